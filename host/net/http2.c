/* SPDX-License-Identifier: MIT */
/*
 * HTTP/2 connections of the HTTP server (RFC 9113), over the session that gRPC has too; their streams are in
 * http2_stream.c. One without streams gives back what it can after a while, and is closed when it is idle for
 * long.
 */
#include "base/log.h"
#include "base/mem.h"
#include "net/http2_priv.h"

enum { GOAWAY_AFTER_MS = 2000, WINDOW = 256 * 1024, CONN_WINDOW = 4 << 20 };

static void fail_conn(struct pb_http2 *hc)
{
    if (hc->failed) return;
    hc->failed = true;
    pb_conn_close(hc->c.conn); /* what is left of GOAWAY leaves first */
}

void pb__http2_want_write(struct pb_http2 *hc)
{
    if (!hc->failed) pb_conn_want_write(hc->c.conn);
}

static void wait_idle(struct pb_http2 *hc)
{
    if (hc->draining || pb_h2_streams(hc->h2) || pb_deadline_is_set(&hc->phase)) return;
    int64_t idle = hc->c.server->o.idle_ms;
    hc->rested = idle <= PB_HTTP2_REST_AFTER_MS;
    pb_deadline_set(hc->c.server->loop, &hc->phase,
                    pb_mono_ns() + (hc->rested ? idle : PB_HTTP2_REST_AFTER_MS) * PB_MS);
}

/* What a connection at rest needs no more. */
static void shrink(struct pb_http2 *hc)
{
    while (hc->idle) {
        struct pb_http2_stream *t = hc->idle;
        hc->idle = t->next;
        pb__http2_stream_free(t);
    }
    hc->n_idle = 0;
}

static void on_check(void *user)
{
    struct pb_http2 *hc = user;
    if (hc->failed) return;
    if (pb_h2_done(hc->h2) || (hc->draining && !pb_h2_streams(hc->h2) && !pb_deadline_is_set(&hc->phase))) {
        hc->failed = true;
        pb_conn_close(hc->c.conn);
    } else if (!pb_h2_streams(hc->h2)) {
        wait_idle(hc);
    }
}

/* Without streams for too long, or a round trip after the notice of a drain. */
static void on_conn_phase(void *user)
{
    struct pb_http2 *hc = user;
    if (!hc->draining && !hc->rested) {
        int64_t left = hc->c.server->o.idle_ms - PB_HTTP2_REST_AFTER_MS;
        hc->rested = true;
        shrink(hc);
        pb_conn_rest(hc->c.conn);
        pb_deadline_set(hc->c.server->loop, &hc->phase, pb_mono_ns() + left * PB_MS);
        return;
    }
    hc->draining = true;
    pb_h2_goaway(hc->h2);
    pb__http2_want_write(hc);
    pb_loop_defer(hc->c.server->loop, &hc->check);
}

static void on_data(void *user, const char *p, size_t n)
{
    struct pb_http2 *hc = user;
    struct pb_err err;
    if (hc->failed) return;
    if (pb_h2_feed(hc->h2, p, n, &err)) {
        pb_log(PB_LOG_INFO, "net", "connection failed", PB_S("server", hc->c.server->name),
               PB_V("peer", pb_conn_peer(hc->c.conn)), PB_S("error", err.msg));
        pb_conn_want_write(hc->c.conn);
        fail_conn(hc);
        return;
    }
    if (hc->draining && pb_deadline_is_set(&hc->phase) && pb_h2_ping_acks(hc->h2) != hc->acks) {
        pb_deadline_cancel(&hc->phase);
        on_conn_phase(hc); /* it has heard the notice */
    }
    pb__http2_want_write(hc);
}

static bool on_fill(void *user, struct pb_buf *out)
{
    struct pb_http2 *hc = user;
    struct pb_err err;
    if (!hc->h2) return false;
    int rc = pb_h2_pull(hc->h2, out, PB_CONN_OUT_MAX, &err);
    if (rc < 0) {
        fail_conn(hc);
        return false;
    }
    if (rc == 0 && hc->c.server && (hc->draining || pb_h2_done(hc->h2)))
        pb_loop_defer(hc->c.server->loop, &hc->check);
    return rc > 0;
}

static void on_eof(void *user)
{
    struct pb_http2 *hc = user;
    hc->failed = true; /* it can neither open streams nor give windows back */
    pb_conn_abort(hc->c.conn, NULL);
}

static void leave(struct pb_http_conn *c)
{
    struct pb_http2 *hc = (struct pb_http2 *)(void *)c;
    hc->failed = true;
    pb_deadline_cancel(&hc->phase);
    pb_defer_cancel(&hc->check);
    pb_h2_free(hc->h2);
    hc->h2 = NULL;
    pb_defer_cancel(&hc->check); /* its last streams have closed just now */
    shrink(hc);
}

static void drain(struct pb_http_conn *c)
{
    struct pb_http2 *hc = (struct pb_http2 *)(void *)c;
    if (hc->draining || hc->failed) return;
    hc->draining = true;
    hc->acks = pb_h2_ping_acks(hc->h2);
    pb_h2_goaway_notice(hc->h2);
    pb__http2_want_write(hc);
    pb_deadline_set(c->server->loop, &hc->phase, pb_mono_ns() + GOAWAY_AFTER_MS * PB_MS);
}

static const struct pb_http_conn_kind kind = {drain, leave};

static void on_closed(void *user, const struct pb_err *why)
{
    struct pb_http2 *hc = user;
    if (why)
        pb_log(PB_LOG_DEBUG, "net", "connection lost", PB_S("server", hc->c.server ? hc->c.server->name : ""),
               PB_S("why", why->msg));
    pb__http_unlink(&hc->c);
    pb_free(hc);
}

static const struct pb_conn_ops conn_ops = {on_data, on_fill, on_eof, on_closed};

void pb__http2_take(struct pb_http_server *server, struct pb_conn *conn, const char *p, size_t n)
{
    struct pb_http2 *hc = pb_zalloc(sizeof *hc);
    hc->c.kind = &kind;
    hc->c.conn = conn;
    hc->phase = (struct pb_deadline){.fn = on_conn_phase, .user = hc};
    hc->check = pb_defer_make(on_check, hc);
    const struct pb_h2_options o = {.max_streams = server->o.max_streams,
                                    .stream_window = WINDOW,
                                    .conn_window = CONN_WINDOW,
                                    .max_header = server->o.max_head};
    hc->h2 = pb_h2_server_new(&o, &pb__http2_ops, hc);
    pb__http_link(server, &hc->c);
    pb_conn_hand_over(conn, &conn_ops, hc);
    pb_conn_established(conn);
    wait_idle(hc);
    on_data(hc, p, n);
    if (server->draining) drain(&hc->c);
}
