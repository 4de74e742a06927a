/* SPDX-License-Identifier: MIT */
/*
 * A request over HTTP/2 is a stream. Its body is taken as it comes, up to its limit and, for all streams of a
 * connection together, BODIES_MAX. Phases have their times as in HTTP/1: a header block, each piece of a
 * body, output that is not taken.
 */
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http2_priv.h"

enum { LINGER_MS = 1000 };
#define BODIES_MAX ((size_t)256 << 20)

static struct pb_http2_stream *of(const struct pb_http_request *req)
{
    return (struct pb_http2_stream *)(void *)((char *)(uintptr_t)req - offsetof(struct pb_http2_stream, req));
}

static struct pb_http2_stream *stream_of(struct pb_h2_stream *s)
{
    return (struct pb_http2_stream *)(void *)s;
}

/* ------------------------------------------------------------------------------------------------ the
 * response */

static void phase(struct pb_http2_stream *t, int64_t ms, int status)
{
    pb_deadline_cancel(&t->phase);
    t->phase_status = status;
    if (ms > 0) pb_deadline_set(t->hc->c.server->loop, &t->phase, pb_mono_ns() + ms * PB_MS);
}

/* The response has left and the request has not ended. Some clients (curl 7.88 among them) take a reset for a
 * failure while they are still sending, so a short rest is let come, within the window that it has. */
static void linger(struct pb_http2_stream *t)
{
    if (!t->s.remote_end) phase(t, LINGER_MS, 0);
}

/* The body has been used: others may have its room. */
static void forget_body(struct pb_http2_stream *t)
{
    if (t->hc->c.server) pb__http_body_forget(&t->req);
    t->hc->bodies -= t->counted;
    t->counted = 0;
    pb_buf_reset(&t->req.body, PB_HTTP_BODY_KEEP);
}

static void put_head(struct pb_http_request *req, int status, const pbay_header *headers, size_t n,
                     int64_t length)
{
    struct pb_http2_stream *t = of(req);
    pb_deadline_cancel(&t->phase);
    pbay_header stack[24], *fields = stack;
    char code[4], digits[PB_F64_MAX];
    struct pb_buf names = {0};
    size_t k = 0, room = 0;
    if (n + 3 > PB_COUNTOF(stack)) fields = pb_array(n + 3, sizeof *fields);
    code[0] = (char)('0' + status / 100);
    code[1] = (char)('0' + status / 10 % 10);
    code[2] = (char)('0' + status % 10);
    fields[k++] = (pbay_header){PB_STR(":status"), pb_str(code, 3)};
    fields[k++] = (pbay_header){PB_STR("date"), pb_str_c(pb__http_date(t->hc->c.server))};
    if (length >= 0 && status != 204 && status != 304)
        fields[k++] = (pbay_header){PB_STR("content-length"), pb_str(digits, pb_format_i64(length, digits))};
    for (size_t i = 0; i < n; i++) room += headers[i].name.n;
    pb_buf_room(&names, room + 1); /* fields point into it */
    for (size_t i = 0; i < n; i++) {
        size_t at = names.n;
        for (size_t j = 0; j < headers[i].name.n; j++) {
            char c = headers[i].name.p[j];
            pb_buf_ch(&names, (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
        }
        fields[k++] = (pbay_header){pb_str(names.p + at, headers[i].name.n), pb_str_trim(headers[i].value)};
    }
    pb_h2_respond(&t->s, fields, k, req->no_body);
    pb_buf_free(&names);
    if (fields != stack) pb_free(fields);
    pb__http2_want_write(t->hc);
}

static void put_piece(struct pb_http_request *req, struct pb_buf *piece)
{
    struct pb_http2_stream *t = of(req);
    if (req->no_body)
        pb_buf_free(piece);
    else
        pb_h2_write(&t->s, NULL, 0, piece);
    if (t->s.unsent && !pb_deadline_is_set(&t->phase)) phase(t, t->hc->c.server->o.write_ms, 0);
    pb__http2_want_write(t->hc);
}

static void put_end(struct pb_http_request *req)
{
    struct pb_http2_stream *t = of(req);
    req->known = false;
    req->state = PB_HTTP_DONE;
    if (!req->no_body) pb_h2_finish(&t->s, NULL, 0);
    forget_body(t);
    if (!t->s.unsent) linger(t);
    pb__http2_want_write(t->hc);
}

static size_t unsent(const struct pb_http_request *req)
{
    const struct pb_http2_stream *t = of(req);
    return t->s.unsent;
}

static const struct pb_http_wire wire = {put_head, put_piece, put_end, unsent};

/* As in HTTP/1, but the connection goes on. */
static void refuse(struct pb_http2_stream *t, int status, const char *why)
{
    struct pb_http_request *req = &t->req;
    struct pb_http_server *server = t->hc->c.server;
    pb_log(PB_LOG_INFO, "net", "bad request", PB_S("server", server->name),
           PB_V("peer", pb_conn_peer(t->hc->c.conn)), PB_I("status", status), PB_S("why", why));
    if (req->known) {
        req->known = false;
        if (server->ops->gone) server->ops->gone(server->user, req);
    }
    if (req->begun || req->state == PB_HTTP_DONE) {
        pb__http_reply_drop(req);
        pb_h2_reset(&t->s, 8 /* CANCEL */);
        pb__http2_want_write(t->hc);
        return;
    }
    struct pb_buf body = {0};
    const pbay_header headers[] = {{PB_STR("content-type"), PB_STR("application/json")},
                                   {PB_STR("retry-after"), PB_STR("1")}};
    pb__http_error_body(status, why, &body);
    pb_http_respond(req, status, headers, status == 429 ? 2 : 1, pb_buf_view(&body));
    pb_buf_free(&body);
}

static void on_phase(void *user)
{
    struct pb_http2_stream *t = user;
    struct pb_err err;
    if (t->req.state == PB_HTTP_DONE && !t->s.unsent) {
        pb_h2_reset(&t->s, 0 /* NO_ERROR: RFC 9113, 8.1 */);
        pb__http2_want_write(t->hc);
    } else if (t->s.headers_done && t->phase_status) {
        refuse(t, t->phase_status, "the request did not come in time");
    } else if (t->s.headers_done) {
        pb_log(PB_LOG_INFO, "net", "a response is not read", PB_S("server", t->hc->c.server->name),
               PB_V("peer", pb_conn_peer(t->hc->c.conn)));
        pb_h2_reset(&t->s, 8 /* CANCEL */); /* close() follows, and gone() */
        pb__http2_want_write(t->hc);
    } else {
        /* A header block that does not end holds up the whole connection. */
        pb_fail(&err, PBAY_DEADLINE_EXCEEDED, "%.*s did not complete a header block in time",
                PB_FMT(pb_conn_peer(t->hc->c.conn)));
        t->hc->failed = true;
        pb_conn_abort(t->hc->c.conn, &err);
    }
}

/* ------------------------------------------------------------------------------------------------ requests
 */

static struct pb_h2_stream *on_open(void *user)
{
    struct pb_http2 *hc = user;
    if (hc->failed || !hc->c.server) return NULL;
    struct pb_http2_stream *t = hc->idle;
    if (t) {
        hc->idle = t->next;
        hc->n_idle--;
        pb_h2_stream_reset(&t->s);
    } else {
        t = pb_zalloc(sizeof *t);
        t->phase = (struct pb_deadline){.fn = on_phase, .user = t};
    }
    t->hc = hc;
    pb__http_request_reset(&t->req);
    t->req.wire = &wire;
    t->req.server = hc->c.server;
    t->req.conn = hc->c.conn;
    t->req.max_body = hc->c.server->o.max_body;
    t->req.state = PB_HTTP_READING;
    t->s.lingers = true;
    if (!hc->draining) pb_deadline_cancel(&hc->phase);
    phase(t, hc->c.server->o.head_ms, 408);
    return &t->s;
}

/* gRPC clients would not understand an answer of ours; Qlik shows theirs. */
static bool is_grpc(struct pb_http2_stream *t)
{
    pbay_str type = pb_h2_header(&t->s, PB_STR("content-type"));
    if (!pb_str_starts(type, PB_STR("application/grpc"))) return false;
    static const char advice[] =
        "this port serves HTTP: Qlik's SSE connections and gRPC clients belong on the sse listener";
    const pbay_header fields[] = {{PB_STR("content-type"), PB_STR("application/grpc")},
                                  {PB_STR("grpc-status"), PB_STR("12")},
                                  {PB_STR("grpc-message"), pb_str(advice, sizeof advice - 1)}};
    pb_conn_wrong_protocol(t->hc->c.conn, "gRPC", advice);
    pb_http_respond(&t->req, 200, fields, PB_COUNTOF(fields), pb_str(NULL, 0));
    return true;
}

/* What nghttp2 has not looked at. NULL, or what is wrong. */
static const char *take_apart(struct pb_http2_stream *t)
{
    struct pb_http_request *req = &t->req;
    pbay_str authority = pb_h2_header(&t->s, PB_STR(":authority")),
             host = pb_h2_header(&t->s, PB_STR("host"));
    req->method = pb_h2_header(&t->s, PB_STR(":method"));
    req->target = pb_h2_header(&t->s, PB_STR(":path"));
    req->host = authority.n ? authority : host;
    if (!pb_h1_token(req->method)) return "the method is not a token";
    if (pb_str_is(req->method, "CONNECT")) return "CONNECT is for proxies";
    if (!req->target.n || (req->target.p[0] != '/' && !pb_str_is(req->target, "*")))
        return "the path does not begin with a slash";
    for (size_t i = 0; i < req->target.n; i++)
        if ((unsigned char)req->target.p[i] <= ' ' || req->target.p[i] == 0x7f)
            return "the path has a blank or a control character";
    if (!req->host.n) return "there is no :authority";
    if (authority.n && host.n && !pb_str_ieq(authority, host)) return "host and :authority differ";
    PB_GROW(req->headers, req->headers_cap, t->s.n_fields + 1);
    bool has_host = false;
    for (uint32_t i = 0; i < t->s.n_fields; i++) {
        pbay_str name = pb_h2_field_name(&t->s, i), value = pb_h2_field_value(&t->s, i);
        if (name.n && name.p[0] == ':') continue;
        if (!pb_h1_token(name) || !pb_h1_value_ok(value)) return "a header is not one of HTTP";
        has_host = has_host || pb_str_is(name, "host");
        req->headers[req->n_headers++] = (pbay_header){name, value};
    }
    if (!has_host) req->headers[req->n_headers++] = (pbay_header){PB_STR("host"), req->host};
    return NULL;
}

static void on_headers(struct pb_h2_stream *s)
{
    struct pb_http2_stream *t = stream_of(s);
    struct pb_http_request *req = &t->req;
    struct pb_http_server *server = t->hc->c.server;
    pb_deadline_cancel(&t->phase);
    if (s->headers_large || s->n_fields > PB_H1_MAX_FIELDS + 4) {
        refuse(t, 431, "the headers are larger than this server takes");
        return;
    }
    const char *wrong = take_apart(t);
    if (wrong) {
        refuse(t, 400, wrong);
        return;
    }
    if (is_grpc(t)) return;
    if (server->ops->head) {
        req->known = true;
        server->ops->head(server->user, req);
        if (req->begun) return;
    }
    uint64_t length;
    pbay_str text = pb_http_header(req, "content-length");
    if (text.p && (!pb_parse_u64(text, &length) || length > req->max_body)) {
        refuse(t, 413, "the body is larger than this server takes");
        return;
    }
    if (!s->remote_end && pb_str_ieq(pb_http_header(req, "expect"), PB_STR("100-continue")))
        pb_h2_continue(s);
    req->body_since = pb_loop_now(server->loop);
    if (!s->remote_end) phase(t, server->o.body_ms, 408);
}

static void on_body(struct pb_h2_stream *s, const char *p, size_t n)
{
    struct pb_http2_stream *t = stream_of(s);
    struct pb_http2 *hc = t->hc;
    struct pb_http_request *req = &t->req;
    if (req->state != PB_HTTP_READING || req->begun) {
        pb_h2_discard(s, n);
        return;
    }
    pb_h2_consumed(s, n);
    if (req->body.n + n > req->max_body) {
        refuse(t, 413, "the body is larger than this server takes");
    } else if (hc->bodies + n > BODIES_MAX && hc->bodies > req->body.n) {
        refuse(t, 503, "the bodies of this connection's requests are too much together");
    } else if (!pb__http_body_fits(req, n)) {
        refuse(t, 429, "the bodies of all requests are too much together; again later");
    } else {
        pb_buf_add(&req->body, p, n);
        hc->bodies += n;
        t->counted += n;
        if (pb__http_body_crawls(req))
            refuse(t, 408, "the body comes too slowly");
        else
            phase(t, hc->c.server->o.body_ms, 408);
    }
}

static void on_end(struct pb_h2_stream *s)
{
    struct pb_http2_stream *t = stream_of(s);
    struct pb_http_request *req = &t->req;
    if (req->state != PB_HTTP_READING || req->begun) return;
    pb_deadline_cancel(&t->phase);
    req->state = PB_HTTP_HANDLING;
    req->known = true;
    req->server->ops->request(req->server->user, req);
}

static void on_sent(struct pb_h2_stream *s, size_t n)
{
    struct pb_http2_stream *t = stream_of(s);
    struct pb_http_server *server = t->hc->c.server;
    (void)n;
    if (!server) return;
    if (s->unsent)
        phase(t, server->o.write_ms, 0);
    else
        pb_deadline_cancel(&t->phase);
    if (!s->unsent && t->req.state == PB_HTTP_DONE) linger(t);
    if (!t->req.wants_writable || s->unsent > server->o.low || t->req.state == PB_HTTP_DONE) return;
    t->req.wants_writable = false;
    pb__http_writable(&t->req);
}

void pb__http2_stream_free(struct pb_http2_stream *t)
{
    pb_h2_stream_free(&t->s);
    pb_buf_free(&t->req.body);
    pb_free(t->req.headers);
    pb_free(t);
}

static void on_close(struct pb_h2_stream *s, uint32_t code)
{
    struct pb_http2_stream *t = stream_of(s);
    struct pb_http2 *hc = t->hc;
    struct pb_http_server *server = hc->c.server;
    (void)code;
    pb_deadline_cancel(&t->phase);
    pb__http_reply_drop(&t->req);
    if (t->req.known) {
        t->req.known = false;
        if (server && server->ops->gone) server->ops->gone(server->user, &t->req);
    }
    forget_body(t);
    if (hc->n_idle < PB_HTTP2_KEEP_STREAMS && server) {
        t->next = hc->idle;
        hc->idle = t;
        hc->n_idle++;
    } else {
        pb__http2_stream_free(t);
    }
    if (server) pb_loop_defer(server->loop, &hc->check);
}

const struct pb_h2_ops pb__http2_ops = {on_open, on_headers, on_body, on_end, on_sent, on_close};
