/* SPDX-License-Identifier: MIT */
/* pbay.host.http/1 over net/http_client.h: each exchange knows its connector, and can be shown instead of
 * sent. */
#include <patchbay/host_http.h>

#include <string.h>

#include "base/arena.h"
#include "base/handle.h"
#include "base/mem.h"
#include "net/http_client.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"
#include "plugin/why.h"

_Static_assert(PBAY_HTTP_STREAM_BODY == PB_FETCH_STREAM_BODY &&
                   PBAY_HTTP_STREAM_REPLY == PB_FETCH_STREAM_REPLY &&
                   PBAY_HTTP_CONFIGURED == PB_FETCH_CONFIGURED && PBAY_HTTP_METADATA == PB_FETCH_METADATA,
               "one numbering of flags");

enum { TRACE = 64 };

struct exchange {
    struct pb_connector *connector;
    uint64_t handle;      /* what the plugin holds */
    uint64_t in_client;   /* 0: explained, never sent */
    struct pb_defer done; /* explained: its end */
    pbay_http_events events;
    void *user;
    char trace[TRACE + 1]; /* of the call that it was sent for, also for what its end makes the plugin send */
};

static _Thread_local struct pb_handles exchanges;

static pbay_http_reply reply_of(const struct pb_fetch_reply *r)
{
    return (pbay_http_reply){sizeof(pbay_http_reply), r->status, r->headers, r->n_headers,
                             r->connection_reused,    r->body,   r->result};
}

static void on_head(void *user, uint64_t id, const struct pb_fetch_reply *r)
{
    (void)id;
    struct exchange *x = user;
    pbay_http_reply reply = reply_of(r);
    struct pb_visit v;
    pb_visit_enter(&v, x->connector, "http head", NULL);
    x->events.on_head(x->user, x->handle, &reply);
    pb_visit_leave(&v);
}

static void on_data(void *user, uint64_t id, pbay_str piece)
{
    (void)id;
    struct exchange *x = user;
    struct pb_visit v;
    pb_visit_enter(&v, x->connector, "http data", NULL);
    x->events.on_data(x->user, x->handle, piece);
    pb_visit_leave(&v);
}

static void on_writable(void *user, uint64_t id)
{
    (void)id;
    struct exchange *x = user;
    struct pb_visit v;
    pb_visit_enter(&v, x->connector, "http writable", NULL);
    x->events.on_writable(x->user, x->handle);
    pb_visit_leave(&v);
}

static void on_done(void *user, uint64_t id, const struct pb_fetch_reply *r)
{
    (void)id;
    struct exchange *x = user;
    struct pb_connector *c = x->connector;
    pbay_http_reply reply = reply_of(r);
    pb_handle_release(&exchanges, x->handle);
    struct pb_visit v;
    pb_visit_enter(&v, c, "http done", NULL);
    pb_current.trace = pb_str_c(x->trace);
    x->events.on_done(x->user, x->handle, &reply);
    pb_visit_leave(&v);
    pb_free(x);
    if (!exchanges.live) pb_handles_free(&exchanges);
    pb_connector_ended(c);
}

static void explained(void *user)
{
    struct pb_err err;
    pb_fail(&err, PBAY_CANCELLED, "shown, not sent");
    struct pb_fetch_reply r = {.result = pb_err_result(&err)};
    on_done(user, 0, &r);
}

static bool good(struct pb_connector *c, const pbay_http_request *rq, const pbay_http_events *ev,
                 pbay_result *why)
{
    if (pb_connector_locked(c, PBAY_SVC_HTTP)) {
        pb_why(why, PBAY_PERMISSION_DENIED, "the request that is being handled has not been accepted yet");
        return false;
    }
    const char *wrong = !ev->on_done                                         ? "events.on_done is NULL"
                        : rq->flags & PBAY_HTTP_STREAM_REPLY && !ev->on_data ? "events.on_data is NULL"
                        : rq->flags > (PBAY_HTTP_METADATA << 1) - 1          ? "request.flags are not known"
                                                                             : NULL;
    if (wrong) pb_why(why, PBAY_INVALID_ARGUMENT, "%s", wrong);
    return !wrong;
}

/* https://www.w3.org/TR/trace-context/: what we were given goes on to who is asked, unless the plugin says
 * another. */
static void pass_trace(struct exchange *x, pbay_http_request *rq, struct pb_arena *mem)
{
    pbay_str trace = pb_current.trace;
    if (!trace.n || trace.n > TRACE) return;
    memcpy(x->trace, trace.p, trace.n);
    for (uint32_t i = 0; i < rq->n_headers; i++)
        if (pb_str_ieq(rq->headers[i].name, PB_STR("traceparent"))) return;
    pbay_header *all = pb_arena_alloc(mem, (rq->n_headers + 1) * sizeof *all);
    if (rq->n_headers) memcpy(all, rq->headers, rq->n_headers * sizeof *all);
    all[rq->n_headers++] = (pbay_header){PB_STR("traceparent"), pb_str_c(x->trace)};
    rq->headers = all;
}

static pbay_http http_send(const pbay_host *host, const pbay_http_request *request,
                           const pbay_http_events *events, void *user, pbay_result *why)
{
    struct pb_connector *c = pb_connector_of(host);
    pbay_http_request rq;
    pbay_http_events ev;
    pb_copy_known(&rq, sizeof rq, request, request->struct_size, "pbay_http_request");
    pb_copy_known(&ev, sizeof ev, events, events->struct_size, "pbay_http_events");
    if (!good(c, &rq, &ev, why)) return 0;
    struct exchange *x = pb_zalloc(sizeof *x);
    x->connector = c;
    x->events = ev;
    x->user = user;
    x->handle = pb_handle_new(&exchanges, x);
    uint64_t handle = x->handle;
    pb_connector_began(c);
    if (c->env->explain) {
        if (!(rq.flags & PBAY_HTTP_METADATA)) /* asking for credentials is not what is to be explained */
            c->env->explain(c->env->explain_user, pb_str_c(c->name), rq.method, rq.url, rq.headers,
                            rq.n_headers, rq.body);
        x->done = pb_defer_make(explained, x);
        pb_loop_defer(c->env->loop, &x->done);
        return handle;
    }
    struct pb_arena mem = {0};
    if (!(rq.flags & PBAY_HTTP_METADATA)) pass_trace(x, &rq, &mem);
    const struct pb_fetch_request out = {
        .flags = rq.flags,
        .n_headers = rq.n_headers,
        .method = rq.method,
        .url = rq.url,
        .headers = rq.headers,
        .body = rq.body,
        .body_length = rq.body_length,
        .timeout_ms = rq.timeout_ms,
        .connect_timeout_ms = rq.connect_timeout_ms,
        .max_reply = rq.max_reply,
        .outgoing = pb_connector_outgoing(c),
    };
    const struct pb_fetch_events back = {
        .on_head = ev.on_head ? on_head : NULL,
        .on_data = ev.on_data ? on_data : NULL,
        .on_writable = ev.on_writable ? on_writable : NULL,
        .on_done = on_done,
    };
    x->in_client = pb_fetch_send(c->env->http, &out, &back, x, pb_why_err());
    pb_arena_free(&mem);
    if (x->in_client) return handle;
    pb_handle_release(&exchanges, handle);
    pb_free(x);
    pb_connector_ended(c);
    pb_why_put(why);
    return 0;
}

static struct exchange *sent(pbay_http handle)
{
    struct exchange *x = pb_handle_get(&exchanges, handle);
    return x && x->in_client ? x : NULL;
}

static int32_t http_write(pbay_http handle, pbay_str piece)
{
    const struct exchange *x = sent(handle);
    return x ? pb_fetch_write(x->connector->env->http, x->in_client, piece) : PBAY_CANCELLED;
}

static void http_finish(pbay_http handle)
{
    const struct exchange *x = sent(handle);
    if (x) pb_fetch_finish(x->connector->env->http, x->in_client);
}

static void http_credit(pbay_http handle, size_t n)
{
    const struct exchange *x = sent(handle);
    if (x) pb_fetch_credit(x->connector->env->http, x->in_client, n);
}

static void http_cancel(pbay_http handle)
{
    const struct exchange *x = sent(handle);
    if (x) pb_fetch_cancel(x->connector->env->http, x->in_client);
}

const pbay_http_1 pb_service_http = {
    .struct_size = sizeof(pbay_http_1),
    .send = http_send,
    .write = http_write,
    .finish = http_finish,
    .credit = http_credit,
    .cancel = http_cancel,
};
