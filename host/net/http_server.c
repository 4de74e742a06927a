/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1 connections: one request at a time is read, handled and answered; what a client sends ahead waits,
 * up to a limit. Every phase has its time: head, each piece of a body, idleness.
 */
#include "net/http_priv.h"

#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

enum { HELD_MAX = 64 * 1024, BODY_KEEP = 64 * 1024, OUT_KEEP = 64 * 1024 };

static void go_on(void *user);

/* ------------------------------------------------------------------------------------------------ phases */

static void phase(struct pb_http_conn *hc, int64_t ms, int status)
{
    pb_deadline_cancel(&hc->phase);
    hc->phase_status = status;
    if (ms > 0) pb_deadline_set(hc->server->loop, &hc->phase, pb_mono_ns() + ms * PB_MS);
}

static void on_phase(void *user)
{
    struct pb_http_conn *hc = user;
    if (hc->phase_status) {
        pb__http_refuse(hc, hc->phase_status, "the request did not come in time");
    } else {
        hc->dead = true;
        pb_conn_close(hc->conn);
    }
}

/* The client is told what was wrong; the handler, if it knows the request, that the client is gone. */
void pb__http_refuse(struct pb_http_conn *hc, int status, const char *why)
{
    struct pb_http_request *req = &hc->req;
    pb_deadline_cancel(&hc->phase);
    hc->dead = true;
    pb_log(PB_LOG_INFO, "net", "bad request", PB_S("server", hc->server->name),
           PB_V("peer", pb_conn_peer(hc->conn)), PB_I("status", status), PB_S("why", why));
    if (!req->begun) {
        pb_buf_printf(
            &hc->out,
            "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
            "Connection: close\r\n\r\n%s\n",
            status, pb_http_reason(status), pb__http_date(hc->server), strlen(why) + 1, why);
        req->begun = true;
    }
    if (req->known && hc->state != PB_HTTP_DONE) {
        req->known = false;
        if (hc->server->ops->gone) hc->server->ops->gone(hc->server->user, req);
    }
    hc->state = PB_HTTP_DONE;
    pb_conn_close(hc->conn);
}

/* ------------------------------------------------------------------------------------------------ requests
 */

static void fresh_request(struct pb_http_conn *hc)
{
    struct pb_http_request *req = &hc->req;
    pb_h1_reset(&hc->h1);
    struct pb_http_request next = {.magic = PB_HTTP_MAGIC,
                                   .hc = hc,
                                   .max_body = hc->server->o.max_body,
                                   .body = req->body,
                                   .headers = req->headers,
                                   .headers_cap = req->headers_cap};
    *req = next;
    pb_buf_reset(&req->body, BODY_KEEP);
    hc->state = PB_HTTP_IDLE;
}

static void on_head(struct pb_http_conn *hc)
{
    struct pb_http_server *server = hc->server;
    struct pb_http_request *req = &hc->req;
    const struct pb_h1 *h1 = &hc->h1;
    pb_conn_established(hc->conn);
    req->n_headers = pb_h1_fields(h1);
    PB_GROW(req->headers, req->headers_cap, req->n_headers);
    for (size_t i = 0; i < req->n_headers; i++)
        req->headers[i] = (pbay_header){pb_h1_field_name(h1, i), pb_h1_field_value(h1, i)};
    if (server->ops->head) {
        req->known = true;
        server->ops->head(server->user, req);
        if (hc->dead || hc->state == PB_HTTP_DONE) return;
    }
    if (h1->has_length && h1->length > req->max_body) {
        pb__http_refuse(hc, 413, "the body is larger than this server takes");
        return;
    }
    if (h1->expect_continue && (h1->chunked || h1->length)) {
        pb_buf_c(&hc->out, "HTTP/1.1 100 Continue\r\n\r\n");
        pb_conn_want_write(hc->conn);
    }
    phase(hc, server->o.body_ms, 408);
}

static void on_body(struct pb_http_conn *hc, pbay_str piece)
{
    struct pb_http_request *req = &hc->req;
    if (req->body.n + piece.n > req->max_body) {
        pb__http_refuse(hc, 413, "the body is larger than this server takes");
        return;
    }
    pb_buf_str(&req->body, piece);
    phase(hc, hc->server->o.body_ms, 408);
}

static void on_request(struct pb_http_conn *hc)
{
    pb_deadline_cancel(&hc->phase);
    hc->state = PB_HTTP_HANDLING;
    hc->req.known = true;
    hc->server->ops->request(hc->server->user, &hc->req);
}

/* Bytes for the parser, until a request is whole. Returns how many it took. */
static size_t parse(struct pb_http_conn *hc, const char *p, size_t n)
{
    size_t all = n;
    while (!hc->dead && (hc->state == PB_HTTP_IDLE || hc->state == PB_HTTP_READING)) {
        pbay_str body;
        enum pb_h1_event e = pb_h1_next(&hc->h1, &p, &n, &body);
        if (hc->state == PB_HTTP_IDLE && pb_h1_started(&hc->h1)) {
            hc->state = PB_HTTP_READING;
            phase(hc, hc->server->o.head_ms, 408);
        }
        if (e == PB_H1_HEAD)
            on_head(hc);
        else if (e == PB_H1_BODY)
            on_body(hc, body);
        else if (e == PB_H1_END)
            on_request(hc);
        else if (e == PB_H1_BAD)
            pb__http_refuse(hc, hc->h1.status, hc->h1.why);
        else
            break;
    }
    return hc->dead ? all : all - n;
}

void pb__http_complete(struct pb_http_request *req)
{
    struct pb_http_conn *hc = req->hc;
    req->known = false;
    hc->state = PB_HTTP_DONE;
    pb_deadline_cancel(&hc->phase);
    pb_conn_want_write(hc->conn);
    pb_loop_defer(hc->server->loop, &hc->go_on);
}

/* After a response: the next request, which may have come already, or the end. */
static void go_on(void *user)
{
    struct pb_http_conn *hc = user;
    if (hc->dead || hc->state != PB_HTTP_DONE) return;
    if (hc->req.close) {
        hc->dead = true;
        pb_conn_close(hc->conn);
        return;
    }
    fresh_request(hc);
    if (hc->held.n) {
        size_t took = parse(hc, hc->held.p, hc->held.n);
        pb_buf_drop(&hc->held, took);
    }
    if (hc->paused && hc->held.n < HELD_MAX / 2) {
        hc->paused = false;
        pb_conn_pause(hc->conn, false);
    }
    if (hc->state != PB_HTTP_IDLE || hc->dead) return;
    if (hc->server->draining) {
        hc->dead = true;
        pb_conn_close(hc->conn);
    } else {
        phase(hc, hc->server->o.idle_ms, 0);
    }
}

/* ------------------------------------------------------------------------------------------------
 * connections */

static bool wrong_door(struct pb_http_conn *hc, const char *p, size_t n)
{
    if ((unsigned char)p[0] == 0x16) {
        struct pb_err err;
        pb_conn_wrong_protocol(hc->conn, "TLS",
                               "this listener is cleartext: use http, or set tls_dir for it");
        pb_fail(&err, PBAY_UNAVAILABLE, "%.*s speaks TLS", PB_FMT(pb_conn_peer(hc->conn)));
        hc->dead = true;
        pb_conn_abort(hc->conn, &err);
        return true;
    }
    if (n >= 14 && memcmp(p, "PRI * HTTP/2.0", 14) == 0) {
        pb_conn_wrong_protocol(
            hc->conn, "HTTP/2",
            "this port speaks HTTP/1.1: Qlik's SSE connections and gRPC clients belong on the sse "
            "listener. Qlik shows this as error code 14");
        pb__http_refuse(hc, 505, "this port speaks HTTP/1.1");
        return true;
    }
    return false;
}

static void on_data(void *user, const char *p, size_t n)
{
    struct pb_http_conn *hc = user;
    if (hc->dead) return;
    if (!hc->established) {
        hc->established = true;
        if (wrong_door(hc, p, n)) return;
    }
    size_t took = 0;
    if (!hc->held.n) took = parse(hc, p, n);
    if (took == n || hc->dead) return;
    pb_buf_add(&hc->held, p + took, n - took);
    if (hc->held.n >= HELD_MAX && !hc->paused) {
        hc->paused = true;
        pb_conn_pause(hc->conn, true);
    }
}

static bool on_fill(void *user, struct pb_buf *out)
{
    struct pb_http_conn *hc = user;
    if (!out->n && hc->out.n) {
        struct pb_buf swap = *out;
        *out = hc->out;
        hc->out = swap;
    } else {
        pb_buf_str(out, pb_buf_view(&hc->out));
    }
    pb_buf_reset(&hc->out, OUT_KEEP);
    if (hc->req.wants_writable && hc->state == PB_HTTP_HANDLING &&
        pb_conn_unsent(hc->conn) <= hc->server->o.low && !out->n) {
        hc->req.wants_writable = false;
        if (hc->server->ops->writable) hc->server->ops->writable(hc->server->user, &hc->req);
    }
    /* Asked again when this has left, to say so. */
    return hc->out.n > 0 || (hc->req.wants_writable && out->n);
}

static void on_eof(void *user)
{
    struct pb_http_conn *hc = user;
    /* One that ends its side is taken to have left: what it asked for need not be worked out to the end. */
    if (hc->state == PB_HTTP_HANDLING) {
        pb_conn_abort(hc->conn, NULL);
        return;
    }
    if (hc->state == PB_HTTP_READING) {
        pb__http_refuse(hc, 400, "the request ended too early");
        return;
    }
    if (hc->state == PB_HTTP_IDLE) {
        hc->dead = true;
        pb_conn_close(hc->conn);
    }
}

static void unlink_conn(struct pb_http_conn *hc)
{
    if (hc->next) hc->next->prev = hc->prev;
    if (hc->prev)
        hc->prev->next = hc->next;
    else
        hc->server->conns = hc->next;
    hc->server->n_conns--;
}

static void leave(struct pb_http_conn *hc)
{
    struct pb_http_server *server = hc->server;
    hc->dead = true;
    pb_deadline_cancel(&hc->phase);
    pb_defer_cancel(&hc->go_on);
    if (hc->req.known) {
        hc->req.known = false;
        if (server->ops->gone) server->ops->gone(server->user, &hc->req);
    }
    unlink_conn(hc);
    if (server->draining && !server->conns) pb_loop_defer(server->loop, &server->drained_defer);
    hc->server = NULL;
}

static void on_closed(void *user, const struct pb_err *why)
{
    struct pb_http_conn *hc = user;
    if (why)
        pb_log(PB_LOG_DEBUG, "net", "connection lost", PB_S("server", hc->server ? hc->server->name : ""),
               PB_S("why", why->msg));
    if (hc->server) leave(hc);
    pb_h1_free(&hc->h1);
    pb_buf_free(&hc->held);
    pb_buf_free(&hc->out);
    pb_buf_free(&hc->req.body);
    pb_free(hc->req.headers);
    pb_free(hc);
}

static const struct pb_conn_ops conn_ops = {on_data, on_fill, on_eof, on_closed};

void pb_http_server_take(struct pb_http_server *server, struct pb_conn *conn)
{
    struct pb_http_conn *hc = pb_zalloc(sizeof *hc);
    hc->server = server;
    hc->conn = conn;
    hc->h1.max_head = server->o.max_head;
    hc->phase = (struct pb_deadline){.fn = on_phase, .user = hc};
    hc->go_on = pb_defer_make(go_on, hc);
    fresh_request(hc);
    hc->next = server->conns;
    if (hc->next) hc->next->prev = hc;
    server->conns = hc;
    server->n_conns++;
    pb_conn_start(conn, &conn_ops, hc);
    if (server->draining) {
        hc->dead = true;
        pb_conn_close(conn);
    }
}

/* ------------------------------------------------------------------------------------------------ the server
 */

static void on_drained(void *user)
{
    struct pb_http_server *server = user;
    void (*drained)(void *) = server->drained;
    server->drained = NULL;
    if (drained) drained(server->drained_user);
}

#define DEFAULT(field, value)                                                                                \
    do {                                                                                                     \
        if (!server->o.field) server->o.field = (value);                                                     \
    } while (0)

struct pb_http_server *pb_http_server_new(struct pb_loop *loop, const char *name,
                                          const struct pb_http_options *options,
                                          const struct pb_http_ops *ops, void *user)
{
    struct pb_http_server *server = pb_zalloc(sizeof *server);
    PB_REQUIRE(ops->request);
    server->loop = loop;
    server->name = pb_strdup(name);
    server->ops = ops;
    server->user = user;
    if (options) server->o = *options;
    DEFAULT(max_body, (size_t)16 << 20);
    DEFAULT(max_head, PB_H1_MAX_HEAD);
    DEFAULT(head_ms, 10000);
    DEFAULT(body_ms, 30000);
    DEFAULT(idle_ms, 75000);
    DEFAULT(low, (size_t)256 << 10);
    DEFAULT(high, (size_t)1 << 20);
    server->drained_defer = pb_defer_make(on_drained, server);
    return server;
}

void pb_http_server_drain(struct pb_http_server *server, void (*drained)(void *user), void *user)
{
    server->drained = drained;
    server->drained_user = user;
    server->draining = true;
    for (struct pb_http_conn *hc = server->conns; hc; hc = hc->next)
        if (hc->state == PB_HTTP_IDLE && !hc->dead) {
            hc->dead = true;
            pb_conn_close(hc->conn);
        }
    if (!server->conns) pb_loop_defer(server->loop, &server->drained_defer);
}

void pb_http_server_free(struct pb_http_server *server)
{
    if (!server) return;
    server->draining = false;
    while (server->conns) {
        struct pb_http_conn *hc = server->conns;
        leave(hc);
        pb_conn_abort(hc->conn, NULL);
    }
    pb_defer_cancel(&server->drained_defer);
    pb_free(server->name);
    pb_free(server);
}

uint64_t pb_http_server_conns(const struct pb_http_server *server)
{
    return server->n_conns;
}
