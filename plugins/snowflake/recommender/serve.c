/* SPDX-License-Identifier: MIT */
#include "serve.h"

#include <signal.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/log.h"
#include "loop/loop.h"
#include "net/http_server.h"
#include "net/http_status.h"
#include "net/listener.h"
#include "train.h"

struct server {
    struct rec_model model;
    struct pb_loop *loop;
    struct pb_http_server *http;
    struct pb_listener *listener;
    struct pb_signal *signals[2];
    bool stopping;
};

static void respond(struct pb_http_request *req, int status, const char *type, pbay_str body)
{
    const pbay_header h = {PB_STR("content-type"), pb_str_c(type)};
    pb_http_respond(req, status, &h, 1, body);
}

static void respond_text(struct pb_http_request *req, int status, const char *text)
{
    respond(req, status, "text/plain; charset=utf-8", pb_str_c(text));
}

static void not_allowed(struct pb_http_request *req, const char *allow)
{
    const pbay_header h[] = {{PB_STR("content-type"), PB_STR("text/plain; charset=utf-8")},
                             {PB_STR("allow"), pb_str_c(allow)}};
    pb_http_respond(req, 405, h, PB_COUNTOF(h), PB_STR("another method is expected here\n"));
}

static void invocations(const struct server *s, struct pb_http_request *req)
{
    struct pb_buf out = {0};
    struct pb_err err;
    if (!pb_str_is(pb_http_header(req, "content-type"), "text/csv"))
        respond_text(req, 415, "This predictor only supports CSV data");
    else if (rec_answer(&s->model, pb_http_body(req), &out, &err))
        respond_text(req, 400, err.msg);
    else
        respond(req, 200, "text/csv; charset=utf-8", pb_buf_view(&out));
    pb_buf_free(&out);
}

static void on_request(void *user, struct pb_http_request *req)
{
    struct server *s = user;
    pbay_str path = pb_http_path(req), method = pb_http_method(req);
    if (pb_str_is(path, "/ping")) {
        if (pb_str_is(method, "GET") || pb_str_is(method, "HEAD"))
            respond(req, 200, "application/json", PB_STR("\n"));
        else
            not_allowed(req, "GET, HEAD");
    } else if (pb_str_is(path, "/invocations")) {
        if (pb_str_is(method, "POST"))
            invocations(s, req);
        else
            not_allowed(req, "POST");
    } else
        respond_text(req, 404, "here are /ping and /invocations\n");
}

static const struct pb_http_ops ops = {.request = on_request};

static void take(void *user, struct pb_conn *conn)
{
    struct server *s = user;
    pb_http_server_take(s->http, conn);
}

static void drained(void *user)
{
    struct server *s = user;
    pb_loop_stop(s->loop);
}

/* A second signal does not wait for anybody. */
static void on_signal(void *user, int signum)
{
    struct server *s = user;
    (void)signum;
    if (s->stopping) {
        pb_loop_stop(s->loop);
        return;
    }
    s->stopping = true;
    pb_listener_close(s->listener);
    s->listener = NULL;
    pb_http_server_drain(s->http, drained, s);
}

static int open_server(struct server *s, const char *address, struct pb_err *err)
{
    static const int signums[] = {SIGTERM, SIGINT};
    if (!(s->loop = pb_loop_new(err))) return -1;
    for (size_t i = 0; i < PB_COUNTOF(signums); i++)
        if (!(s->signals[i] = pb_signal_open(s->loop, signums[i], on_signal, s, err))) return -1;
    const struct pb_http_options ho = {.max_body = REC_BODY_MAX};
    s->http = pb_http_server_new(s->loop, "recommender", &ho, &ops, s);
    const struct pb_listener_options lo = {
        .name = "recommender", .address = address, .protocol = "HTTP", .take = take, .user = s};
    return (s->listener = pb_listener_open(s->loop, &lo, err)) ? 0 : -1;
}

static void close_server(struct server *s)
{
    pb_listener_close(s->listener);
    if (s->http) pb_http_server_free(s->http);
    for (size_t i = 0; i < PB_COUNTOF(s->signals); i++) pb_signal_close(s->signals[i]);
    if (s->loop) pb_loop_free(s->loop);
}

int rec_serve(const char *root, const char *address, struct pb_err *err)
{
    struct server s = {0};
    char *path = rec_model_path(root);
    int rc = rec_model_load(&s.model, path, err);
    pb_free(path);
    if (rc) return -1;
    signal(SIGPIPE, SIG_IGN);
    rc = open_server(&s, address, err);
    if (!rc) {
        pbay_str at = pb_listener_address(s.listener);
        printf("ready http=%.*s users=%u items=%u factors=%u\n", PB_FMT(at), s.model.users.n, s.model.items.n,
               s.model.n_factors);
        fflush(stdout);
        pb_loop_run(s.loop);
    }
    close_server(&s);
    pb_log_flush();
    rec_model_free(&s.model);
    return rc;
}
