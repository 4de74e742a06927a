/* SPDX-License-Identifier: MIT */
/* pbay.host.http/1 after a script. */
#include <patchbay/host_http.h>
#include <patchbay/host_stream.h>
#include <patchbay/host_ws.h>
#include <string.h>

#include "base/handle.h"
#include "base/mem.h"
#include "mockhost/mock.h"
#include "net/http_rules.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"

enum { PIECE = 16384, WINDOW = 256 * 1024, DEFAULT_MS = 60000, DEFAULT_REPLY = 32 << 20 };

/* What is expected, and how it is answered. */
struct pbay_mock_http {
    struct pbay_mock_http *next;
    char *method, *url;
    uint32_t times, seen; /* times 0: any number */
    bool silent;          /* there is no answer */
    int32_t status;
    struct pb_mock_headers headers;
    struct pb_buf body;
    struct pb_err failure; /* code not OK: the exchange fails */
    int64_t after_ms;
    /* the last one that came */
    char *last_url;
    struct pb_mock_headers last_headers;
    struct pb_buf last_body;
};

struct exchange {
    struct pb_mock_later step; /* first: the answer */
    struct pb_mock_later end;  /* its timeout, or its cancel */
    struct exchange *next, *prev;
    struct pbay_mock_http *script;
    uint64_t handle;
    uint32_t flags;
    pbay_http_events events;
    void *user;
    int64_t timeout_ms;
    size_t written, given, waits; /* of the body; of the reply, and what was not given back */
    bool finished, head;
    struct pb_err why;
    uint64_t max_reply;
    pbay_str lent;      /* the body, which is the plugin's until the end, */
    struct pb_buf body; /* and what it was */
};

static struct pb_handles exchanges;
static struct exchange *live;

/* ------------------------------------------------------------------------------------------------ the script
 */

pbay_mock_http *pbay_mock_expect(pbay_mock *m, const char *method, const char *url)
{
    struct pbay_mock_http *x = pb_zalloc(sizeof *x);
    x->method = pb_strdup(method);
    x->url = pb_strdup(url);
    x->times = 1;
    x->silent = true;
    *m->http_end = x;
    m->http_end = &x->next;
    return x;
}

void pbay_mock_times(pbay_mock_http *x, uint32_t n)
{
    x->times = n;
}

void pbay_mock_reply_bytes(pbay_mock_http *x, int32_t status, const char *headers, pbay_str body)
{
    x->silent = false;
    x->status = status;
    pb_mock_headers_parse(&x->headers, headers ? headers : "");
    x->body.n = 0;
    pb_buf_str(&x->body, body);
    pb_err_clear(&x->failure);
}

void pbay_mock_reply(pbay_mock_http *x, int32_t status, const char *headers, const char *body)
{
    pbay_mock_reply_bytes(x, status, headers, pb_str_c(body));
}

void pbay_mock_fail(pbay_mock_http *x, int32_t code, uint32_t effect, const char *message)
{
    x->silent = false;
    pb_fail(&x->failure, code, "%s", message);
    x->failure.effect = effect;
}

void pbay_mock_after(pbay_mock_http *x, int64_t ms)
{
    x->after_ms = ms;
}

uint32_t pbay_mock_seen(const pbay_mock_http *x)
{
    return x->seen;
}

const char *pbay_mock_seen_url(const pbay_mock_http *x)
{
    return x->last_url ? x->last_url : "";
}

pbay_str pbay_mock_seen_body(const pbay_mock_http *x)
{
    return pb_buf_view(&x->last_body);
}

const char *pbay_mock_seen_header(const pbay_mock_http *x, const char *name)
{
    return pb_mock_headers_get(&x->last_headers, name);
}

void pb_mock_http_free(struct pbay_mock *m)
{
    while (m->http) {
        struct pbay_mock_http *x = m->http;
        m->http = x->next;
        if (x->times && x->seen < x->times)
            pb_mock_fault("%s %s was expected%s and did not come", x->method, x->url,
                          x->seen ? " once more" : "");
        pb_mock_headers_free(&x->headers);
        pb_mock_headers_free(&x->last_headers);
        pb_buf_free(&x->body);
        pb_buf_free(&x->last_body);
        pb_free(x->last_url);
        pb_free(x->method);
        pb_free(x->url);
        pb_free(x);
    }
    if (!exchanges.live) pb_handles_free(&exchanges);
}

/* The first expectation that fits; NULL and a fault, which says what is expected. */
static struct pbay_mock_http *find(pbay_str method, pbay_str url)
{
    struct pb_buf open = {0};
    for (struct pbay_mock_http *x = pb_mock->http; x; x = x->next) {
        if (x->times && x->seen >= x->times) continue;
        if (pb_str_is(method, x->method) && pb_mock_fits(x->url, url)) {
            pb_buf_free(&open);
            return x;
        }
        pb_buf_printf(&open, "%s%s %s", open.n ? ", " : "", x->method, x->url);
    }
    pb_buf_ch(&open, 0);
    pb_mock_fault("a request that was not expected: %.*s %.*s; %s%s", PB_FMT(method), PB_FMT(url),
                  open.n > 1 ? "expected are: " : "no other is expected", open.p);
    pb_buf_free(&open);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ an
 * exchange */

static void drop(struct exchange *x)
{
    pb_mock_later_cancel(&x->step);
    pb_mock_later_cancel(&x->end);
    if (x->next) x->next->prev = x->prev;
    *(x->prev ? &x->prev->next : &live) = x->next;
    pb_buf_free(&x->body);
    pb_free(x);
    pb_connector_ended(pb_mock->connector);
}

/* The gateway sends it when the network takes it, so it must be there as long as that. */
static void look_at_body(const struct exchange *x)
{
    struct pb_visit v;
    if (!x->lent.n) return;
    pb_visit_enter(&v, pb_mock->connector, "looking for a request's body, which is borrowed until on_done",
                   NULL);
    const bool same = !memcmp(x->lent.p, x->body.p, x->lent.n);
    pb_visit_leave(&v);
    if (!same)
        pb_mock_fault("the body of a request was freed or changed before on_done: it is borrowed until then");
}

static void done(struct exchange *x, const struct pb_err *err)
{
    struct pb_connector *c = pb_mock->connector;
    const struct pbay_mock_http *s = x->script;
    pbay_http_reply reply = {.struct_size = sizeof reply};
    pbay_result ok = PBAY_RESULT_OK;
    if (!err || x->head) {
        reply.status = s->status;
        reply.headers = s->headers.list;
        reply.n_headers = s->headers.n;
    }
    if (!err && !(x->flags & PBAY_HTTP_STREAM_REPLY)) reply.body = pb_buf_view(&s->body);
    reply.connection_reused = s && s->seen > 1;
    reply.result = err ? pb_err_result(err) : ok;
    const pbay_http_events events = x->events;
    void *user = x->user;
    const uint64_t handle = x->handle;
    look_at_body(x);
    pb_handle_release(&exchanges, handle); /* stale for the callback already */
    struct pb_visit v;
    pb_visit_enter(&v, c, "http done", NULL);
    events.on_done(user, handle, &reply);
    pb_visit_leave(&v);
    drop(x);
}

static void ended(struct pb_mock_later *l)
{
    struct exchange *x = (struct exchange *)(void *)((char *)l - offsetof(struct exchange, end));
    const struct pb_err why = x->why;
    done(x, &why);
}

static void end_after(struct exchange *x, int64_t ms, int32_t code, uint32_t effect, const char *message)
{
    pb_fail(&x->why, code, "%s", message);
    x->why.effect = effect;
    pb_mock_later(&x->end, ms, ended);
}

static void give(struct exchange *x)
{
    const struct pbay_mock_http *s = x->script;
    struct pb_connector *c = pb_mock->connector;
    const uint64_t handle = x->handle;
    struct pb_visit v;
    if (!x->head) {
        const pbay_http_reply head = {.struct_size = sizeof head,
                                      .status = s->status,
                                      .headers = s->headers.list,
                                      .n_headers = s->headers.n,
                                      .result = PBAY_RESULT_OK};
        x->head = true;
        if (x->events.on_head) {
            pb_visit_enter(&v, c, "http head", NULL);
            x->events.on_head(x->user, handle, &head);
            pb_visit_leave(&v);
        }
    }
    while (x->flags & PBAY_HTTP_STREAM_REPLY && x->given < s->body.n) {
        if (x->why.code || x->waits >= WINDOW) return; /* cancelled; or: until there is credit */
        const size_t left = s->body.n - x->given, n = left < PIECE ? left : PIECE;
        x->waits += n;
        x->given += n;
        pb_visit_enter(&v, c, "http data", NULL);
        x->events.on_data(x->user, handle, pb_str(s->body.p + x->given - n, n));
        pb_visit_leave(&v);
    }
    if (!x->why.code) done(x, NULL);
}

static void step(struct pb_mock_later *l)
{
    struct exchange *x = (struct exchange *)(void *)l;
    const struct pbay_mock_http *s = x->script;
    if (x->why.code && x->why.code != PBAY_DEADLINE_EXCEEDED) return;
    pb_err_clear(&x->why);
    pb_mock_later_cancel(&x->end);
    if (s->failure.code)
        done(x, &s->failure);
    else if (!(x->flags & PBAY_HTTP_STREAM_REPLY) && s->body.n > x->max_reply) {
        pb_fail(&x->why, PBAY_RESOURCE_EXHAUSTED, "the reply has more than %llu bytes",
                (unsigned long long)x->max_reply);
        x->why.effect = PBAY_EFFECT_MAYBE;
        const struct pb_err why = x->why;
        done(x, &why);
    } else
        give(x);
}

/* The request is whole: what follows follows from the script. */
static void whole(struct exchange *x)
{
    const struct pbay_mock_http *s = x->script;
    end_after(x, x->timeout_ms, PBAY_DEADLINE_EXCEEDED, PBAY_EFFECT_MAYBE,
              "no reply within the request's timeout");
    if (!s->silent && s->after_ms < x->timeout_ms) pb_mock_later(&x->step, s->after_ms, step);
}

/* ------------------------------------------------------------------------------------------------ the
 * service */

static const char *wrong(const pbay_http_request *rq, const pbay_http_events *ev)
{
    return !ev->on_done                                         ? "events.on_done is NULL"
           : rq->flags & PBAY_HTTP_STREAM_REPLY && !ev->on_data ? "events.on_data is NULL"
           : rq->flags > (PBAY_HTTP_METADATA << 1) - 1          ? "request.flags are not known"
                                                                : NULL;
}

/* The gateway's own rules for what leaves it. */
static int allowed(struct pb_connector *c, const pbay_http_request *rq, const pbay_http_events *ev,
                   struct pb_err *err)
{
    struct pb_http_url url;
    if (pb_connector_locked(c, PBAY_SVC_HTTP))
        return pb_fail(err, PBAY_PERMISSION_DENIED,
                       "the request that is being handled has not been accepted yet");
    if (wrong(rq, ev)) return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s", wrong(rq, ev));
    if (pb_http_url_parse(rq->url, &url, err) ||
        pb_http_head_check(rq->method, rq->headers, rq->n_headers, err))
        return -1;
    if (!url.tls && !(rq->flags & (PBAY_HTTP_CONFIGURED | PBAY_HTTP_METADATA)))
        return pb_fail(
            err, PBAY_PERMISSION_DENIED,
            "http://%.*s: only https is used, unless the configuration itself names an http:// URL",
            PB_FMT(url.authority));
    if (!(rq->flags & PBAY_HTTP_METADATA) && !pb_http_host_allowed(url.host))
        return pb_fail(err, PBAY_PERMISSION_DENIED, "%.*s is a link-local address", PB_FMT(url.host));
    return 0;
}

static pbay_http http_send(const pbay_host *host, const pbay_http_request *request,
                           const pbay_http_events *events, void *user, pbay_result *why)
{
    static struct pb_err err; /* *why borrows from it */
    struct pb_connector *c = pb_connector_of(host);
    pbay_http_request rq;
    pbay_http_events ev;
    if (!pb_mock_on_loop(PBAY_SVC_HTTP, "send")) return 0;
    pb_copy_known(&rq, sizeof rq, request, request->struct_size, "pbay_http_request");
    pb_copy_known(&ev, sizeof ev, events, events->struct_size, "pbay_http_events");
    pb_err_clear(&err);
    struct pbay_mock_http *s = allowed(c, &rq, &ev, &err) ? NULL : find(rq.method, rq.url);
    if (!s) {
        if (err.code == PBAY_OK) pb_fail(&err, PBAY_UNAVAILABLE, "the test did not expect it");
        if (why) *why = pb_err_result(&err);
        return 0;
    }
    s->seen++;
    pb_free(s->last_url);
    s->last_url = pb_strndup(rq.url.p, rq.url.n);
    pb_mock_headers_copy(&s->last_headers, rq.headers, rq.n_headers);
    s->last_body.n = 0;
    struct exchange *x = pb_zalloc(sizeof *x);
    x->script = s;
    x->flags = rq.flags;
    x->events = ev;
    x->user = user;
    x->timeout_ms = rq.timeout_ms > 0 ? rq.timeout_ms : DEFAULT_MS;
    x->max_reply = rq.max_reply ? rq.max_reply : DEFAULT_REPLY;
    x->handle = pb_handle_new(&exchanges, x);
    x->next = live;
    if (live) live->prev = x;
    live = x;
    pb_connector_began(c);
    if (rq.flags & PBAY_HTTP_STREAM_BODY) {
        end_after(x, x->timeout_ms, PBAY_DEADLINE_EXCEEDED, PBAY_EFFECT_MAYBE,
                  "the body was not finished within the request's timeout");
    } else {
        pb_buf_str(&s->last_body, rq.body);
        x->lent = rq.body;
        pb_buf_str(&x->body, rq.body);
        whole(x);
    }
    return x->handle;
}

static void room(struct pb_mock_later *l)
{
    struct exchange *x = (struct exchange *)(void *)l;
    struct pb_visit v;
    if (!x->events.on_writable || x->finished) return;
    pb_visit_enter(&v, pb_mock->connector, "http writable", NULL);
    x->events.on_writable(x->user, x->handle);
    pb_visit_leave(&v);
}

static int32_t http_write(pbay_http handle, pbay_str piece)
{
    if (!pb_mock_on_loop(PBAY_SVC_HTTP, "write")) return PBAY_INTERNAL;
    struct exchange *x = pb_handle_get(&exchanges, handle);
    if (!x || x->finished || !(x->flags & PBAY_HTTP_STREAM_BODY)) return PBAY_CANCELLED;
    pb_buf_str(&x->script->last_body, piece);
    x->written += piece.n;
    if (x->written < WINDOW) return PBAY_OK;
    x->written = 0; /* it leaves on a later turn */
    pb_mock_later(&x->step, 0, room);
    return PBAY_LATER;
}

static void http_finish(pbay_http handle)
{
    if (!pb_mock_on_loop(PBAY_SVC_HTTP, "finish")) return;
    struct exchange *x = pb_handle_get(&exchanges, handle);
    if (!x || x->finished || !(x->flags & PBAY_HTTP_STREAM_BODY)) return;
    x->finished = true;
    whole(x);
}

static void http_credit(pbay_http handle, size_t n)
{
    if (!pb_mock_on_loop(PBAY_SVC_HTTP, "credit")) return;
    struct exchange *x = pb_handle_get(&exchanges, handle);
    if (!x || !x->head) return;
    if (n > x->waits) {
        pb_mock_fault("credit: %zu bytes of a reply were given back, and %zu were not yet", n, x->waits);
        n = x->waits;
    }
    x->waits -= n;
    if (x->given < x->script->body.n) pb_mock_later(&x->step, 0, step);
}

static void http_cancel(pbay_http handle)
{
    if (!pb_mock_on_loop(PBAY_SVC_HTTP, "cancel")) return;
    struct exchange *x = pb_handle_get(&exchanges, handle);
    if (!x || x->why.code == PBAY_CANCELLED) return;
    pb_mock_later_cancel(&x->step);
    end_after(x, 0, PBAY_CANCELLED, PBAY_EFFECT_MAYBE, "cancelled");
}

const pbay_http_1 pb_mock_http_service = {
    sizeof pb_mock_http_service, 0, http_send, http_write, http_finish, http_credit, http_cancel};

const void *pb_mock_net(const char *id)
{
    if (!strcmp(id, PBAY_SVC_HTTP)) return &pb_mock_http_service;
    if (!strcmp(id, PBAY_SVC_WS)) return &pb_mock_ws_service;
    if (!strcmp(id, PBAY_SVC_STREAM)) return &pb_mock_stream_service;
    return NULL;
}
