/* SPDX-License-Identifier: MIT */
/*
 * The connection's states: open -> closing (output drains, then shutdown, then the peer's end is awaited) ->
 * dead (uv_close is on its way). Reading and TLS are here too; names and warnings are in conn_info.c.
 */
#include "net/conn_priv.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"

enum {
    READ_BUFFER = 256 * 1024,
    LINGER_MS = 2000,
    HANDSHAKE_MS = 10000,
    KEEPALIVE_S = 60,
    OUT_KEEP = 64 * 1024
};

/* One loop per thread, one read buffer per loop: what is read is handed on before the next read. */
static _Thread_local char *t_read_buffer;
static _Thread_local uint32_t t_conns;

static void flush(void *user);
static void on_deadline(void *user);
static void on_stall(void *user);

/* ------------------------------------------------------------------------------------------------ life */

static struct pb_conn *make(struct pb_loop *loop, const struct pb_conn_options *o)
{
    struct pb_conn *c = pb_zalloc(sizeof *c);
    c->magic = PB_CONN_MAGIC;
    c->loop = loop;
    c->tls_context = o->tls;
    c->listener = pb_strdup(o->listener ? o->listener : "");
    c->gone = o->gone;
    c->gone_user = o->gone_user;
    c->protocol = o->protocol ? o->protocol : "";
    c->flush = pb_defer_make(flush, c);
    c->deadline = (struct pb_deadline){.fn = on_deadline, .user = c};
    c->stall = (struct pb_deadline){.fn = on_stall, .user = c};
    c->handshake_ms = o->handshake_ms ? o->handshake_ms : HANDSHAKE_MS;
    uv_tcp_init(pb_loop_uv(loop), &c->tcp);
    c->tcp.data = c;
    t_conns++;
    return c;
}

static void on_uv_close(uv_handle_t *h)
{
    struct pb_conn *c = h->data;
    if (c->ops && c->ops->closed) c->ops->closed(c->user, c->has_why ? &c->why : NULL);
    if (c->gone) c->gone(c->gone_user);
    pb_tls_session_free(c->tls);
    pb_buf_free(&c->out);
    pb_buf_free(&c->plain);
    pb_buf_free(&c->writing);
    pb_free(c->listener);
    c->magic = 0;
    pb_free(c);
    if (--t_conns == 0) {
        pb_free(t_read_buffer);
        t_read_buffer = NULL;
    }
}

static void destroy(struct pb_conn *c)
{
    if (c->state == PB_CONN_DEAD) return;
    c->state = PB_CONN_DEAD;
    pb_defer_cancel(&c->flush);
    pb_deadline_cancel(&c->deadline);
    pb_deadline_cancel(&c->stall);
    uv_close((uv_handle_t *)&c->tcp, on_uv_close);
}

static struct pb_conn *ready(struct pb_conn *c)
{
    uv_tcp_nodelay(&c->tcp, 1);
    uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
    pb__conn_name_peer(c);
    if (c->tls_context) c->tls = pb_tls_session_new(c->tls_context);
    return c;
}

struct pb_conn *pb_conn_accept(struct pb_loop *loop, uv_stream_t *server,
                               const struct pb_conn_options *options, struct pb_err *err)
{
    struct pb_conn *c = make(loop, options);
    int rc = uv_accept(server, (uv_stream_t *)&c->tcp);
    if (rc == 0) return ready(c);
    pb_fail(err, PBAY_UNAVAILABLE, "cannot accept a connection: %s", uv_strerror(rc));
    destroy(c);
    return NULL;
}

struct pb_conn *pb_conn_from_fd(struct pb_loop *loop, int fd, const struct pb_conn_options *options,
                                struct pb_err *err)
{
    struct pb_conn *c = make(loop, options);
    int rc = uv_tcp_open(&c->tcp, fd);
    if (rc == 0) return ready(c);
    close(fd);
    pb_fail(err, PBAY_UNAVAILABLE, "cannot take over a connection: %s", uv_strerror(rc));
    destroy(c);
    return NULL;
}

static void on_connect(uv_connect_t *req, int status)
{
    struct pb_conn *c = req->handle->data;
    void (*connected)(void *, int) = c->connected;
    if (c->state == PB_CONN_DEAD) return;
    c->connected = NULL;
    if (status == 0) ready(c);
    connected(c->user, status);
}

struct pb_conn *pb_conn_connect(struct pb_loop *loop, const struct sockaddr *address,
                                const struct pb_conn_options *options, void (*connected)(void *user, int rc),
                                void *user, struct pb_err *err)
{
    struct pb_conn *c = make(loop, options);
    c->connected = connected;
    c->user = user;
    int rc = uv_tcp_connect(&c->connect_req, &c->tcp, address, on_connect);
    if (rc == 0) return c;
    pb_fail(err, PBAY_UNAVAILABLE, "cannot connect: %s", uv_strerror(rc));
    destroy(c);
    return NULL;
}

void pb_conn_hand_over(struct pb_conn *c, const struct pb_conn_ops *ops, void *user)
{
    PB_MAGIC_CHECK(c, PB_CONN_MAGIC);
    PB_REQUIRE(c->ops);
    c->ops = ops;
    c->user = user;
}

void pb_conn_abort(struct pb_conn *c, const struct pb_err *why)
{
    PB_MAGIC_CHECK(c, PB_CONN_MAGIC);
    if (c->state == PB_CONN_DEAD) return;
    if (why && !c->has_why) {
        c->why = *why;
        c->has_why = true;
    }
    destroy(c);
}

static void lost(struct pb_conn *c, const char *doing, int rc)
{
    struct pb_err err;
    pb_fail(&err, PBAY_UNAVAILABLE, "%s %.*s: %s", doing, PB_FMT(pb_conn_peer(c)), uv_strerror(rc));
    pb_conn_abort(c, &err);
}

static void on_deadline(void *user)
{
    struct pb_conn *c = user;
    struct pb_err err;
    if (c->state == PB_CONN_OPEN) {
        const char *what = c->tls && !pb_tls_ready(c->tls) ? "completed the TLS handshake" : "said anything";
        pb_fail(&err, PBAY_DEADLINE_EXCEEDED, "%.*s has not %s within %lld ms", PB_FMT(pb_conn_peer(c)),
                c->got_bytes && !c->tls ? "completed its first request" : what, (long long)c->handshake_ms);
        pb_conn_abort(c, &err);
    } else {
        destroy(c); /* it lingered long enough */
    }
}

/* ------------------------------------------------------------------------------------------------ reading */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h;
    (void)suggested;
    if (!t_read_buffer) t_read_buffer = pb_alloc(READ_BUFFER);
    buf->base = t_read_buffer;
    buf->len = READ_BUFFER;
}

/* A client's handshake is complete; its first data may be in the same packet. */
static void secured(struct pb_conn *c)
{
    c->secured = true;
    if (c->ready) c->ready(c->user);
}

static bool on_plain(void *user, const char *p, size_t n)
{
    struct pb_conn *c = user;
    if (c->state == PB_CONN_OPEN && !c->secured && pb_tls_is_client(c->tls)) secured(c);
    if (c->state != PB_CONN_OPEN) return false;
    c->ops->data(c->user, p, n);
    return c->state == PB_CONN_OPEN;
}

static void at_end(struct pb_conn *c)
{
    if (c->eof) return;
    c->eof = true;
    c->truncated = c->tls && !pb_tls_eof(c->tls);
    if (c->state == PB_CONN_OPEN)
        c->ops->eof(c->user);
    else if (c->shut)
        destroy(c);
}

static void tls_input(struct pb_conn *c, const char *p, size_t n)
{
    struct pb_err err;
    bool client = pb_tls_is_client(c->tls);
    if (!client && !c->got_bytes && (unsigned char)p[0] != 0x16) {
        pb__conn_plain_on_tls(c, p, n);
        pb_fail(&err, PBAY_UNAVAILABLE, "%.*s does not speak TLS", PB_FMT(pb_conn_peer(c)));
        pb_conn_abort(c, &err);
        return;
    }
    c->got_bytes = true;
    int rc = pb_tls_feed(c->tls, p, n, &c->out, on_plain, c, &err);
    if (c->state == PB_CONN_DEAD) return;
    if (c->out.n) pb_conn_want_write(c);
    if (rc) {
        if (!client) pb__conn_tls_failed(c, &err);
        flush(c); /* the alert */
        pb_conn_abort(c, &err);
        return;
    }
    if (client && !c->secured && pb_tls_ready(c->tls) && c->state == PB_CONN_OPEN) secured(c);
    if (c->state != PB_CONN_DEAD && pb_tls_eof(c->tls)) at_end(c);
}

static void input(struct pb_conn *c, const char *p, size_t n)
{
    if (c->state == PB_CONN_CLOSING) return; /* what comes after our end is nobody's */
    if (c->tls) {
        tls_input(c, p, n);
    } else {
        c->got_bytes = true;
        c->ops->data(c->user, p, n);
    }
}

void pb_conn_feed(struct pb_conn *c, const char *p, size_t n)
{
    if (c->state == PB_CONN_OPEN && n) input(c, p, n);
}

void pb_conn_start_tls(struct pb_conn *c, struct pb_tls_session *session, void (*secure)(void *user))
{
    PB_MAGIC_CHECK(c, PB_CONN_MAGIC);
    PB_REQUIRE(!c->tls && c->ops && pb_tls_is_client(session));
    c->tls = session;
    c->ready = secure;
    tls_input(c, NULL, 0); /* the first flight */
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct pb_conn *c = stream->data;
    struct pb_loop *loop = c->loop;
    if (n == 0 || c->state == PB_CONN_DEAD) return;
    if (n == UV_EOF) {
        uv_read_stop(stream);
        at_end(c);
    } else if (n < 0) {
        lost(c, "reading from", (int)n);
    } else {
        input(c, buf->base, (size_t)n);
    }
    pb_loop_drain(loop);
}

void pb_conn_start(struct pb_conn *c, const struct pb_conn_ops *ops, void *user)
{
    PB_MAGIC_CHECK(c, PB_CONN_MAGIC);
    c->ops = ops;
    c->user = user;
    if (c->handshake_ms > 0)
        pb_deadline_set(c->loop, &c->deadline, pb_loop_now(c->loop) + c->handshake_ms * PB_MS);
    int rc = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    if (rc) lost(c, "reading from", rc);
}

void pb_conn_established(struct pb_conn *c)
{
    if (c->state == PB_CONN_OPEN) pb_deadline_cancel(&c->deadline);
}

void pb_conn_pause(struct pb_conn *c, bool paused)
{
    if (c->state != PB_CONN_OPEN || c->eof || c->paused == paused) return;
    c->paused = paused;
    if (paused)
        uv_read_stop((uv_stream_t *)&c->tcp);
    else
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

/* ------------------------------------------------------------------------------------------------ writing */

void pb_conn_rest(struct pb_conn *c)
{
    if (c->write_active || c->out.n || c->plain.n) return;
    pb_buf_free(&c->out);
    pb_buf_free(&c->plain);
    pb_buf_free(&c->writing);
}

void pb_conn_limit_writes(struct pb_conn *c, int64_t ms)
{
    c->write_ms = ms;
}

static void await_progress(struct pb_conn *c)
{
    c->writing_left = uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp);
    if (c->write_ms > 0) pb_deadline_set(c->loop, &c->stall, pb_mono_ns() + c->write_ms * PB_MS);
}

static void on_stall(void *user)
{
    struct pb_conn *c = user;
    if (c->state == PB_CONN_DEAD || !c->write_active) return;
    if (uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp) < c->writing_left) {
        await_progress(c);
        return;
    }
    struct pb_err err;
    pb_fail(&err, PBAY_DEADLINE_EXCEEDED, "%.*s has not taken anything for %lld ms", PB_FMT(pb_conn_peer(c)),
            (long long)c->write_ms);
    pb_conn_abort(c, &err);
}

static void on_written(uv_write_t *req, int status)
{
    struct pb_conn *c = req->handle->data;
    pb_deadline_cancel(&c->stall);
    c->writing.n = 0;
    if (c->writing.cap > OUT_KEEP) pb_buf_free(&c->writing);
    c->write_active = false;
    if (c->state == PB_CONN_DEAD) return;
    if (status < 0)
        lost(c, "writing to", status);
    else
        flush(c);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct pb_conn *c = req->handle->data;
    if (c->state == PB_CONN_DEAD) return;
    if (status < 0 || (c->eof && c->state == PB_CONN_CLOSING)) destroy(c);
}

/* All output has left and the protocol wants no more. */
static void end_output(struct pb_conn *c)
{
    if (c->shut) return;
    c->shut = c->fill_done = true;
    if (c->state == PB_CONN_CLOSING) /* a paused one too: its end is awaited */
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    if (uv_shutdown(&c->shutdown_req, (uv_stream_t *)&c->tcp, on_shutdown)) destroy(c);
}

/* Ask the protocol; its bytes end up, encrypted or not, in c->out. True: it has more. */
static bool fill(struct pb_conn *c)
{
    if (!c->ops || c->fill_done || (c->tls && !pb_tls_ready(c->tls))) return false;
    if (!c->tls) return c->ops->fill(c->user, &c->out);
    bool more = c->ops->fill(c->user, &c->plain);
    struct pb_err err;
    int rc = c->plain.n ? pb_tls_write(c->tls, c->plain.p, c->plain.n, &c->out, &err) : 0;
    pb_buf_reset(&c->plain, OUT_KEEP);
    if (rc && c->state != PB_CONN_DEAD) pb_conn_abort(c, &err);
    return more && rc == 0;
}

static void flush(void *user)
{
    struct pb_conn *c = user;
    while (c->state != PB_CONN_DEAD && !c->write_active) {
        bool more = fill(c);
        if (c->state == PB_CONN_DEAD) return;
        if (c->out.n == 0) {
            if (more) continue;
            if (c->state != PB_CONN_CLOSING && !c->half) return;
            if (c->tls && pb_tls_ready(c->tls) && !c->fill_done) {
                c->fill_done = true;
                pb_tls_close(c->tls, &c->out);
                continue;
            }
            end_output(c);
            return;
        }
        uv_buf_t b = uv_buf_init(c->out.p, (unsigned)c->out.n);
        int n = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
        if (n == UV_EAGAIN) n = 0;
        if (n < 0) {
            lost(c, "writing to", n);
            return;
        }
        if ((size_t)n == c->out.n) {
            pb_buf_reset(&c->out, 2 * PB_CONN_OUT_MAX);
            if (!more && c->state == PB_CONN_OPEN && !c->half) return;
            continue;
        }
        /* The rest leaves when the socket has room; meanwhile nothing more is taken from the protocol. */
        struct pb_buf spare = c->writing;
        c->writing = c->out;
        c->out = spare;
        c->out.n = 0;
        c->write_active = true;
        b = uv_buf_init(c->writing.p + n, (unsigned)(c->writing.n - (size_t)n));
        int rc = uv_write(&c->write_req, (uv_stream_t *)&c->tcp, &b, 1, on_written);
        if (rc) {
            c->write_active = false;
            lost(c, "writing to", rc);
        } else {
            await_progress(c);
        }
        return;
    }
}

void pb_conn_want_write(struct pb_conn *c)
{
    if (c->state != PB_CONN_DEAD && !c->write_active) pb_loop_at_turn_end(c->loop, &c->flush);
}

size_t pb_conn_unsent(const struct pb_conn *c)
{
    return c->out.n + (c->write_active ? uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp) : 0);
}

void pb_conn_close(struct pb_conn *c)
{
    PB_MAGIC_CHECK(c, PB_CONN_MAGIC);
    if (c->state != PB_CONN_OPEN) return;
    c->state = PB_CONN_CLOSING;
    if (c->shut && c->eof) {
        destroy(c);
        return;
    }
    pb_deadline_cancel(&c->deadline);
    pb_deadline_set(c->loop, &c->deadline, pb_mono_ns() + LINGER_MS * PB_MS);
    pb_conn_want_write(c);
}

void pb_conn_finish(struct pb_conn *c)
{
    PB_MAGIC_CHECK(c, PB_CONN_MAGIC);
    if (c->state != PB_CONN_OPEN || c->half) return;
    c->half = true;
    pb_conn_want_write(c);
}

bool pb_conn_truncated(const struct pb_conn *c)
{
    return c->truncated;
}

void pb_conn_send_last(struct pb_conn *c, pbay_str bytes)
{
    struct pb_err err;
    if (c->state != PB_CONN_OPEN) return;
    if (!c->tls)
        pb_buf_str(&c->out, bytes);
    else if (!pb_tls_ready(c->tls) || pb_tls_write(c->tls, bytes.p, bytes.n, &c->out, &err))
        bytes.n = 0;
    pb_conn_close(c);
}
