/* SPDX-License-Identifier: MIT */
/*
 * A small HTTP server for tests with clients that are not ours: http_peer_server MS [TLS_DIR]. MS is how long
 * each phase of a request may take. Prints its port (and the one for TLS), ends on SIGTERM after a drain.
 *
 * /echo     answers method, path, query, host and the body
 * /plain    answers the body with its content coding undone
 * /text?n   answers n bytes of text
 * /lines    answers 1000 lines of text in pieces
 * /who      answers the subject of the client's certificate
 * /held     answers when the server drains; /holding answers how many wait so
 * /later    answers after 50 ms
 * /never    never answers; /gone answers how many of those left
 * /stream   answers 100 pieces of 100,000 bytes, as the client takes them
 * /small    answers before it reads the body, which may have 10 bytes
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/http_server.h"
#include "net/listener.h"
#include "net/tls.h"

static struct pb_loop *g_loop;
static struct pb_http_server *g_server;
static struct pb_listener *g_listener;
static struct pb_listener *g_tls_listener;
static int g_gone;
static struct pb_http_request *g_held[16];
static size_t g_n_held;

struct later {
    struct pb_timer timer;
    struct pb_http_request *req;
    int pieces;
};

static void on_later(void *user)
{
    struct later *l = user;
    pb_http_respond_text(l->req, 200, "later");
    pb_free(l);
}

static void on_writable(void *user, struct pb_http_request *req)
{
    struct later *l = pb_http_user(req);
    (void)user;
    while (l->pieces) {
        struct pb_buf b = {0};
        memset(pb_buf_room(&b, 100000), 'a' + l->pieces % 26, 100000);
        b.n = 100000;
        l->pieces--;
        if (!pb_http_write(req, &b)) return;
    }
    pb_free(l);
    pb_http_end(req);
}

static void on_head(void *user, struct pb_http_request *req)
{
    (void)user;
    if (pb_str_is(pb_http_path(req), "/small")) pb_http_limit_body(req, 10);
}

static void put_text(struct pb_buf *b, size_t n)
{
    for (unsigned i = 0; b->n < n; i++) pb_buf_printf(b, "line %u of a text that can be compressed\n", i);
    b->n = n;
}

static void answer_text(struct pb_http_request *req)
{
    const pbay_header type = {PB_STR("Content-Type"), PB_STR("text/plain")};
    uint64_t n = 0;
    struct pb_buf b = {0};
    pb_parse_u64(pb_http_query(req), &n);
    put_text(&b, n);
    pb_http_respond(req, 200, &type, 1, pb_buf_view(&b));
    pb_buf_free(&b);
}

static void answer_lines(struct pb_http_request *req)
{
    const pbay_header type = {PB_STR("Content-Type"), PB_STR("application/x-ndjson")};
    pb_http_begin(req, 200, &type, 1);
    for (int i = 0; i < 1000; i++) {
        struct pb_buf b = {0};
        pb_buf_printf(&b, "{\"line\": %d}\n", i);
        pb_http_write(req, &b); /* they are few */
    }
    pb_http_end(req);
}

static void answer_plain(struct pb_http_request *req)
{
    struct pb_buf b = {0};
    struct pb_err err;
    int status = pb_http_decode_body(req, 1 << 20, &b, &err);
    if (status)
        pb_http_respond_text(req, status, err.msg);
    else
        pb_http_respond(req, 200, NULL, 0, pb_buf_view(&b));
    pb_buf_free(&b);
}

static bool answered(struct pb_http_request *req, pbay_str path)
{
    char text[16];
    if (pb_str_is(path, "/text"))
        answer_text(req);
    else if (pb_str_is(path, "/lines"))
        answer_lines(req);
    else if (pb_str_is(path, "/plain"))
        answer_plain(req);
    else if (pb_str_is(path, "/held") && g_n_held < PB_COUNTOF(g_held))
        g_held[g_n_held++] = req;
    else if (pb_str_is(path, "/holding")) {
        snprintf(text, sizeof text, "%zu", g_n_held);
        pb_http_respond_text(req, 200, text);
    } else if (pb_str_is(path, "/who")) {
        pb_http_respond(req, 200, NULL, 0, pb_http_tls_subject(req));
    } else {
        return false;
    }
    return true;
}

static void on_request(void *user, struct pb_http_request *req)
{
    pbay_str path = pb_http_path(req);
    (void)user;
    if (answered(req, path)) return;
    if (pb_str_is(path, "/later")) {
        struct later *l = pb_zalloc(sizeof *l);
        l->req = req;
        l->timer = (struct pb_timer){.fn = on_later, .user = l};
        pb_timer_set(g_loop, &l->timer, 50);
    } else if (pb_str_is(path, "/never")) {
        return;
    } else if (pb_str_is(path, "/gone")) {
        char text[16];
        snprintf(text, sizeof text, "%d", g_gone);
        pb_http_respond_text(req, 200, text);
    } else if (pb_str_is(path, "/stream")) {
        struct later *l = pb_zalloc(sizeof *l);
        l->pieces = 100;
        pb_http_set_user(req, l);
        pb_http_begin(req, 200, NULL, 0);
        on_writable(NULL, req);
    } else if (pb_str_is(path, "/echo")) {
        struct pb_buf b = {0};
        pb_buf_printf(&b, "%.*s %.*s %.*s %.*s\n", PB_FMT(pb_http_method(req)), PB_FMT(path),
                      PB_FMT(pb_http_query(req)), PB_FMT(pb_http_host(req)));
        pb_buf_str(&b, pb_http_body(req));
        const pbay_header h[] = {{PB_STR("X-Good"), PB_STR("yes")},
                                 {PB_STR("X-Split"), PB_STR("a\r\nX-Evil: 1")},
                                 {PB_STR("Content-Length"), PB_STR("1")}};
        pb_http_respond(req, 200, h, PB_COUNTOF(h), pb_buf_view(&b));
        pb_buf_free(&b);
    } else {
        pb_http_respond_text(req, 404, "no such path");
    }
}

static void on_gone(void *user, struct pb_http_request *req)
{
    (void)user;
    g_gone++;
    if (pb_str_is(pb_http_path(req), "/stream")) pb_free(pb_http_user(req));
}

static void take(void *user, struct pb_conn *conn)
{
    pb_http_server_take(user, conn);
}

static void on_drained(void *user)
{
    (void)user;
    pb_loop_stop(g_loop);
}

static void on_term(void *user, int signum)
{
    (void)user;
    (void)signum;
    pb_listener_close(g_listener);
    pb_listener_close(g_tls_listener);
    g_listener = NULL;
    pb_http_server_drain(g_server, on_drained, NULL);
    for (size_t i = 0; i < g_n_held; i++) pb_http_respond_text(g_held[i], 200, "held");
}

int main(int argc, char **argv)
{
    struct pb_err err;
    static const struct pb_http_ops ops = {on_head, on_request, on_gone, on_writable};
    int64_t ms = argc > 1 ? strtol(argv[1], NULL, 10) : 60000;
    const struct pb_http_options o = {
        .max_body = 1 << 20, .max_streams = 32, .head_ms = ms, .body_ms = ms, .write_ms = ms, .idle_ms = ms};
    struct pb_tls *tls = NULL;
    signal(SIGPIPE, SIG_IGN);
    g_loop = pb_loop_new(&err);
    g_server = pb_http_server_new(g_loop, "http", &o, &ops, NULL);
    struct pb_listener_options lo = {
        .name = "http", .address = "127.0.0.1:0", .protocol = "HTTP", .take = take, .user = g_server};
    g_listener = pb_listener_open(g_loop, &lo, &err);
    if (g_listener && argc > 2) {
        tls = lo.tls = pb_tls_server_from_dir(argv[2], PB_ALPN_H2, &err);
        if (tls) g_tls_listener = pb_listener_open(g_loop, &lo, &err);
    }
    if (!g_listener || (argc > 2 && !g_tls_listener)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    struct pb_signal *term = pb_signal_open(g_loop, SIGTERM, on_term, NULL, &err);
    printf("%u", pb_listener_port(g_listener));
    if (g_tls_listener) printf(" %u", pb_listener_port(g_tls_listener));
    printf("\n");
    fflush(stdout);
    pb_loop_run(g_loop);
    pb_signal_close(term);
    pb_http_server_free(g_server);
    pb_tls_unref(tls);
    pb_loop_free(g_loop);
    return 0;
}
