/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1 connections: one request at a time is read, handled and answered; what a client sends ahead waits,
 * up to a limit. Every phase has its time: head, each piece of a body, idleness. A connection whose first
 * bytes are HTTP/2's preface is handed on.
 */
#include "net/http_priv.h"

#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

enum { HELD_MAX = 64 * 1024, OUT_KEEP = 64 * 1024, REST_AFTER_MS = 5000, FIRST_MS = 1000 };

struct http1 {
    struct pb_http_conn c;      /* first */
    struct pb_http_request req; /* one at a time, so it is part of it */
    bool dead;                  /* nothing is read any more: an error was answered, or the client has ended */
    bool established, paused, chunked, close, rested;
    bool served;  /* a request has come on it */
    bool in_head; /* of the request that is read */
    struct pb_h1 h1;
    struct pb_buf held; /* bytes that came while a request was being handled */
    struct pb_buf out;
    struct pb_deadline phase;
    int phase_status; /* what a passed phase deadline is answered with; 0: nothing, just close */
    struct pb_defer go_on;
};

static void go_on(void *user);

static struct http1 *of(const struct pb_http_request *req)
{
    return (struct http1 *)(void *)((char *)(uintptr_t)req - offsetof(struct http1, req));
}

/* ------------------------------------------------------------------------------------------------ phases */

static void phase(struct http1 *hc, int64_t ms, int status)
{
    pb_deadline_cancel(&hc->phase);
    hc->phase_status = status;
    if (ms > 0) pb_deadline_set(hc->c.server->loop, &hc->phase, pb_mono_coarse_ns() + ms * PB_MS);
}

static void shut(struct http1 *hc)
{
    hc->dead = true;
    pb_conn_close(hc->c.conn);
}

/* The client is told what was wrong; the handler, if it knows the request, that the client is gone. */
static void refuse(struct http1 *hc, int status, const char *why)
{
    struct pb_http_request *req = &hc->req;
    struct pb_http_server *server = hc->c.server;
    pb_deadline_cancel(&hc->phase);
    hc->dead = true;
    pb_log(PB_LOG_INFO, "net", "bad request", PB_S("server", server->name),
           PB_V("peer", pb_conn_peer(hc->c.conn)), PB_I("status", status), PB_S("why", why));
    if (!req->begun) {
        struct pb_buf body = {0};
        pb__http_error_body(status, why, &body);
        pb_buf_printf(
            &hc->out,
            "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
            "%sConnection: close\r\n\r\n%.*s",
            status, pb_http_reason(status), pb__http_date(server), body.n,
            status == 429 ? "Retry-After: 1\r\n" : "", PB_FMT(pb_buf_view(&body)));
        pb_buf_free(&body);
        req->begun = true;
    }
    if (req->known && req->state != PB_HTTP_DONE) {
        req->known = false;
        if (server->ops->gone) server->ops->gone(server->user, req);
    }
    pb__http_reply_drop(req);
    req->state = PB_HTTP_DONE;
    pb_conn_close(hc->c.conn);
}

/* Idle for a while: what large requests and answers have left behind is given back. */
static void rest(struct http1 *hc)
{
    uint32_t max_head = hc->h1.max_head;
    struct pb_http_request *req = &hc->req;
    hc->rested = true;
    pb_h1_free(&hc->h1);
    hc->h1 = (struct pb_h1){.max_head = max_head};
    pb_buf_free(&req->body);
    pb_free(req->headers);
    req->headers = NULL;
    req->headers_cap = req->n_headers = 0;
    if (!hc->out.n) pb_buf_free(&hc->out);
    pb_conn_rest(hc->c.conn);
}

static void on_phase(void *user)
{
    struct http1 *hc = user;
    int64_t idle = hc->c.server->o.idle_ms;
    if (hc->c.server->draining && hc->req.state == PB_HTTP_IDLE)
        shut(hc);
    else if (hc->req.state == PB_HTTP_IDLE && !hc->rested && idle > REST_AFTER_MS) {
        rest(hc);
        phase(hc, idle - REST_AFTER_MS, 0);
    } else if (hc->phase_status)
        refuse(hc, hc->phase_status, "the request did not come in time");
    else
        shut(hc);
}

/* ------------------------------------------------------------------------------------------------ the
 * response */

static void put_head(struct pb_http_request *req, int status, const pbay_header *headers, size_t n,
                     int64_t length)
{
    struct http1 *hc = of(req);
    struct pb_buf *out = &hc->out;
    pb_deadline_cancel(&hc->phase);
    bool bodyless = status == 204 || status == 304;
    /* What of the request has not been read cannot be told from the next one. */
    if (!hc->h1.keep_alive || req->state != PB_HTTP_HANDLING || hc->c.server->draining) hc->close = true;
    hc->chunked = length < 0 && !req->http10 && !bodyless;
    if (length < 0 && !hc->chunked && !req->no_body)
        hc->close = true; /* HTTP/1.0: its end is the connection's */
    char num[PB_F64_MAX];
    pb_buf_add(out, "HTTP/1.1 ", 9);
    pb_buf_add(out, num, pb_format_i64(status, num));
    pb_buf_ch(out, ' ');
    pb_buf_c(out, pb_http_reason(status));
    pb_buf_add(out, "\r\nDate: ", 8);
    pb_buf_c(out, pb__http_date(hc->c.server));
    pb_buf_add(out, "\r\n", 2);
    for (size_t i = 0; i < n; i++) {
        pb_buf_str(out, headers[i].name);
        pb_buf_add(out, ": ", 2);
        pb_buf_str(out, headers[i].value);
        pb_buf_add(out, "\r\n", 2);
    }
    if (hc->chunked)
        pb_buf_c(out, "Transfer-Encoding: chunked\r\n");
    else if (length >= 0 && !bodyless) {
        pb_buf_add(out, "Content-Length: ", 16);
        pb_buf_add(out, num, pb_format_i64(length, num));
        pb_buf_add(out, "\r\n", 2);
    }
    if (hc->close)
        pb_buf_c(out, "Connection: close\r\n");
    else if (req->http10)
        pb_buf_c(out, "Connection: keep-alive\r\n");
    pb_buf_add(out, "\r\n", 2);
    pb_conn_want_write(hc->c.conn);
}

static void put_piece(struct pb_http_request *req, struct pb_buf *piece)
{
    struct http1 *hc = of(req);
    if (piece->n && !req->no_body) {
        if (hc->chunked) pb_buf_printf(&hc->out, "%zx\r\n", piece->n);
        pb_buf_str(&hc->out, pb_buf_view(piece));
        if (hc->chunked) pb_buf_add(&hc->out, "\r\n", 2);
        pb_conn_want_write(hc->c.conn);
    }
    pb_buf_free(piece);
}

/* The response is complete: keep the connection or close it. */
static void put_end(struct pb_http_request *req)
{
    struct http1 *hc = of(req);
    if (hc->chunked && !req->no_body) pb_buf_add(&hc->out, "0\r\n\r\n", 5);
    req->known = false;
    req->state = PB_HTTP_DONE;
    pb_deadline_cancel(&hc->phase);
    pb_conn_want_write(hc->c.conn);
    pb_loop_defer(hc->c.server->loop, &hc->go_on);
}

static size_t unsent(const struct pb_http_request *req)
{
    const struct http1 *hc = of(req);
    return hc->out.n + pb_conn_unsent(hc->c.conn);
}

static const struct pb_http_wire wire = {put_head, put_piece, put_end, unsent};

/* ------------------------------------------------------------------------------------------------ requests
 */

static void fresh_request(struct http1 *hc)
{
    pb_h1_reset(&hc->h1);
    pb__http_body_forget(&hc->req);
    pb__http_request_reset(&hc->req);
    hc->req.wire = &wire;
    hc->req.server = hc->c.server;
    hc->req.conn = hc->c.conn;
    hc->req.max_body = hc->c.server->o.max_body;
    hc->chunked = hc->close = false;
}

static void on_head(struct http1 *hc)
{
    struct pb_http_server *server = hc->c.server;
    struct pb_http_request *req = &hc->req;
    const struct pb_h1 *h1 = &hc->h1;
    pb_conn_established(hc->c.conn);
    req->http10 = h1->minor == 0;
    req->method = pb_h1_method(h1);
    req->target = pb_h1_target(h1);
    req->host = pb_h1_host(h1);
    req->n_headers = pb_h1_fields(h1);
    PB_GROW(req->headers, req->headers_cap, req->n_headers);
    for (size_t i = 0; i < req->n_headers; i++)
        req->headers[i] = (pbay_header){pb_h1_field_name(h1, i), pb_h1_field_value(h1, i)};
    if (server->ops->head) {
        req->known = true;
        server->ops->head(server->user, req);
        if (hc->dead || req->begun) return;
    }
    if (h1->has_length && h1->length > req->max_body) {
        refuse(hc, 413, "the body is larger than this server takes");
        return;
    }
    if (h1->expect_continue && (h1->chunked || h1->length)) {
        pb_buf_c(&hc->out, "HTTP/1.1 100 Continue\r\n\r\n");
        pb_conn_want_write(hc->c.conn);
    }
    req->body_since = pb_loop_now(server->loop);
}

static void on_body(struct http1 *hc, pbay_str piece)
{
    struct pb_http_request *req = &hc->req;
    if (req->body.n + piece.n > req->max_body) {
        refuse(hc, 413, "the body is larger than this server takes");
        return;
    }
    if (!pb__http_body_fits(req, piece.n)) {
        pb__http_body_forget(req); /* at once: it makes room for the others */
        pb_buf_free(&req->body);
        refuse(hc, 429, "the bodies of all requests are too much together; again later");
        return;
    }
    pb_buf_str(&req->body, piece);
    if (pb__http_body_crawls(req)) refuse(hc, 408, "the body comes too slowly");
}

static void on_request(struct http1 *hc)
{
    pb_deadline_cancel(&hc->phase);
    hc->req.state = PB_HTTP_HANDLING;
    hc->req.known = true;
    hc->c.server->ops->request(hc->c.server->user, &hc->req);
}

/* Bytes for the parser, until a request is whole. Returns how many it took. */
static size_t parse(struct http1 *hc, const char *p, size_t n)
{
    size_t all = n;
    bool moved = false; /* another phase has begun, or a body's pause has ended */
    while (!hc->dead && !hc->req.begun &&
           (hc->req.state == PB_HTTP_IDLE || hc->req.state == PB_HTTP_READING)) {
        pbay_str body;
        enum pb_h1_event e = pb_h1_next(&hc->h1, &p, &n, &body);
        if (hc->req.state == PB_HTTP_IDLE && pb_h1_started(&hc->h1)) {
            hc->req.state = PB_HTTP_READING;
            hc->served = true;
            hc->in_head = moved = true;
        }
        if (e == PB_H1_HEAD) {
            hc->in_head = false;
            moved = true;
            on_head(hc);
        } else if (e == PB_H1_BODY) {
            moved = true;
            on_body(hc, body);
        } else if (e == PB_H1_END) {
            on_request(hc);
        } else if (e == PB_H1_BAD) {
            refuse(hc, hc->h1.status, hc->h1.why);
        } else {
            break;
        }
    }
    /* Time runs only for what has not come yet. */
    if (moved && hc->req.state == PB_HTTP_READING && !hc->dead && !hc->req.begun)
        phase(hc, hc->in_head ? hc->c.server->o.head_ms : hc->c.server->o.body_ms, 408);
    return hc->dead ? all : all - n;
}

/* After a response: the next request, which may have come already, or the end. */
static void go_on(void *user)
{
    struct http1 *hc = user;
    if (hc->dead || hc->req.state != PB_HTTP_DONE) return;
    if (hc->close) {
        shut(hc);
        return;
    }
    fresh_request(hc);
    if (hc->held.n) {
        size_t took = parse(hc, hc->held.p, hc->held.n);
        pb_buf_drop(&hc->held, took);
        if (!hc->held.n) pb_buf_free(&hc->held);
    }
    if (hc->paused && hc->held.n < HELD_MAX / 2) {
        hc->paused = false;
        pb_conn_pause(hc->c.conn, false);
    }
    if (hc->req.state != PB_HTTP_IDLE || hc->dead) return;
    hc->rested = false;
    int64_t idle = hc->c.server->o.idle_ms;
    if (hc->c.server->draining)
        shut(hc);
    else
        phase(hc, idle < REST_AFTER_MS ? idle : REST_AFTER_MS, 0);
}

/* ------------------------------------------------------------------------------------------------ the
 * connection */

static void release(struct http1 *hc)
{
    pb_h1_free(&hc->h1);
    pb_buf_free(&hc->held);
    pb_buf_free(&hc->out);
    pb_buf_free(&hc->req.body);
    pb_free(hc->req.headers);
    pb_free(hc);
}

static bool is_tls(struct http1 *hc, const char *p)
{
    struct pb_err err;
    if ((unsigned char)p[0] != 0x16) return false;
    pb_conn_wrong_protocol(hc->c.conn, "TLS", "this listener is cleartext: use http, or set tls_dir for it");
    pb_fail(&err, PBAY_UNAVAILABLE, "%.*s speaks TLS", PB_FMT(pb_conn_peer(hc->c.conn)));
    hc->dead = true;
    pb_conn_abort(hc->c.conn, &err);
    return true;
}

/* The first bytes: HTTP/2's preface (RFC 9113, 3.4), which no method begins like beyond its first letters.
 * True: they are dealt with. */
static bool first_bytes(struct http1 *hc, const char *p, size_t n)
{
    pb_buf_add(&hc->held, p, n);
    if (!pb_h2_is_preface(hc->held.p, hc->held.n)) {
        hc->established = true;
        return false;
    }
    if (hc->held.n < PB_H2_PREFACE) return true;
    struct pb_http_server *server = hc->c.server;
    struct pb_conn *conn = hc->c.conn;
    struct pb_buf all = hc->held;
    hc->held = (struct pb_buf){0};
    pb__http_unlink(&hc->c);
    release(hc);
    pb__http2_take(server, conn, all.p, all.n);
    pb_buf_free(&all);
    return true;
}

static void on_data(void *user, const char *p, size_t n)
{
    struct http1 *hc = user;
    if (hc->dead) return;
    if (!hc->established) {
        if (!hc->held.n && is_tls(hc, p)) return;
        /* Most are not HTTP/2, and have no need to be copied. */
        if (!hc->held.n && !pb_h2_is_preface(p, n)) {
            hc->established = true;
        } else {
            if (first_bytes(hc, p, n)) return;
            struct pb_buf all = hc->held;
            hc->held = (struct pb_buf){0};
            on_data(hc, all.p, all.n);
            pb_buf_free(&all);
            return;
        }
    }
    size_t took = 0;
    if (!hc->held.n) took = parse(hc, p, n);
    if (took == n || hc->dead) return;
    pb_buf_add(&hc->held, p + took, n - took);
    if (hc->held.n >= HELD_MAX && !hc->paused) {
        hc->paused = true;
        pb_conn_pause(hc->c.conn, true);
    }
}

static bool on_fill(void *user, struct pb_buf *out)
{
    struct http1 *hc = user;
    if (!out->n && hc->out.n) {
        struct pb_buf swap = *out;
        *out = hc->out;
        hc->out = swap;
    } else {
        pb_buf_str(out, pb_buf_view(&hc->out));
    }
    pb_buf_reset(&hc->out, OUT_KEEP);
    if (!hc->c.server) return false;
    if (hc->req.wants_writable && hc->req.state != PB_HTTP_DONE &&
        pb_conn_unsent(hc->c.conn) <= hc->c.server->o.low && !out->n) {
        hc->req.wants_writable = false;
        pb__http_writable(&hc->req);
    }
    /* Asked again when this has left, to say so. */
    return hc->out.n > 0 || (hc->req.wants_writable && out->n);
}

static void on_eof(void *user)
{
    struct http1 *hc = user;
    /* One that ends its side is taken to have left: what it asked for need not be worked out to the end. */
    if (hc->req.state == PB_HTTP_HANDLING)
        pb_conn_abort(hc->c.conn, NULL);
    else if (hc->req.state == PB_HTTP_READING && !hc->dead)
        refuse(hc, 400, "the request ended too early");
    else if (hc->req.state == PB_HTTP_IDLE)
        shut(hc);
}

static void leave(struct pb_http_conn *c)
{
    struct http1 *hc = (struct http1 *)(void *)c;
    struct pb_http_server *server = c->server;
    hc->dead = true;
    pb_deadline_cancel(&hc->phase);
    pb_defer_cancel(&hc->go_on);
    pb__http_reply_drop(&hc->req);
    if (!hc->req.known) return;
    hc->req.known = false;
    if (server->ops->gone) server->ops->gone(server->user, &hc->req);
}

static void drain(struct pb_http_conn *c)
{
    struct http1 *hc = (struct http1 *)(void *)c;
    if (hc->req.state != PB_HTTP_IDLE || hc->dead) return;
    /* One that has only just come may have its request on its way. */
    if (hc->served)
        shut(hc);
    else
        phase(hc, FIRST_MS, 0);
}

static const struct pb_http_conn_kind kind = {drain, leave};

static void on_closed(void *user, const struct pb_err *why)
{
    struct http1 *hc = user;
    if (why)
        pb_log(PB_LOG_DEBUG, "net", "connection lost", PB_S("server", hc->c.server ? hc->c.server->name : ""),
               PB_S("why", why->msg));
    if (hc->c.server) pb__http_body_forget(&hc->req);
    pb__http_unlink(&hc->c);
    release(hc);
}

static const struct pb_conn_ops conn_ops = {on_data, on_fill, on_eof, on_closed};

void pb__http1_take(struct pb_http_server *server, struct pb_conn *conn)
{
    struct http1 *hc = pb_zalloc(sizeof *hc);
    hc->c.kind = &kind;
    hc->c.conn = conn;
    hc->h1.max_head = server->o.max_head;
    hc->phase = (struct pb_deadline){.fn = on_phase, .user = hc};
    hc->go_on = pb_defer_make(go_on, hc);
    pb__http_link(server, &hc->c);
    fresh_request(hc);
    pb_conn_start(conn, &conn_ops, hc);
    if (server->draining) drain(&hc->c);
}
