/* SPDX-License-Identifier: MIT */
#include "net/stream.h"

#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/conn.h"
#include "net/connect.h"
#include "net/http_rules.h"

enum { MAGIC = 0x70625354, OUT_HIGH = 256 * 1024, OUT_KEEP = 64 * 1024 };
#define OUT_MAX ((size_t)64 << 20)

enum state { CONNECTING, OPEN, OVER };

struct pb_stream {
    uint32_t magic;
    enum state state;
    struct pb_loop *loop;
    const struct pb_stream_ops *ops;
    void *user;
    char *host;
    struct pb_connect *connect;
    struct pb_conn *conn;
    size_t credit;
    struct pb_buf held; /* read, and more than was credited */
    struct pb_buf out;
    bool paused, told;
    bool undrained; /* drained() is owed */
    bool ours_ended, theirs_ended, end_told;
    int64_t idle_ms;
    struct pb_deadline idle;
    struct pb_defer deliver, end;
    struct pb_err why;
};

/* ------------------------------------------------------------------------------------------------ ends */

static void release(struct pb_stream *s)
{
    pb_deadline_cancel(&s->idle);
    pb_defer_cancel(&s->deliver);
    pb_defer_cancel(&s->end);
    pb_buf_free(&s->held);
    pb_buf_free(&s->out);
    pb_free(s->host);
    s->magic = 0;
    pb_free(s);
}

static void on_end(void *user)
{
    struct pb_stream *s = user;
    if (!s->told) {
        s->told = true;
        s->ops->closed(s->user, s, &s->why);
    }
    if (s->conn) return;
    void (*gone)(void *) = s->ops->gone;
    void *owner = s->user;
    release(s);
    gone(owner);
}

/* why NULL: as it should. */
static void over(struct pb_stream *s, const struct pb_err *why)
{
    if (s->state == OVER) return;
    if (why) s->why = *why;
    if (s->state == CONNECTING) s->why.effect = PBAY_EFFECT_NONE;
    s->state = OVER;
    pb_deadline_cancel(&s->idle);
    pb_loop_defer(s->loop, &s->end);
    if (s->connect) pb_connect_cancel(s->connect);
    s->connect = NULL;
    if (s->conn) pb_conn_abort(s->conn, NULL);
}

static void fail(struct pb_stream *s, int32_t code, const char *what)
{
    struct pb_err err;
    pb_fail(&err, code, "the stream to %s %s", s->host, what);
    err.effect = PBAY_EFFECT_MAYBE;
    err.advice = PBAY_ADVICE_RETRY;
    over(s, &err);
}

static void on_idle(void *user)
{
    fail(user, PBAY_DEADLINE_EXCEEDED, "was silent for too long");
}

static void stir(struct pb_stream *s)
{
    if (s->idle_ms > 0) pb_deadline_set(s->loop, &s->idle, pb_mono_ns() + s->idle_ms * PB_MS);
}

/* ------------------------------------------------------------------------------------------------ reading */

/* As much as is credited. */
static void give(struct pb_stream *s, const char *p, size_t n)
{
    s->credit -= n;
    s->ops->data(s->user, s, pb_str(p, n));
}

static void settle(struct pb_stream *s)
{
    if (s->state != OPEN) return;
    if (s->theirs_ended && !s->held.n && !s->end_told) {
        s->end_told = true;
        if (s->ops->end) s->ops->end(s->user, s);
    }
    if (s->state != OPEN) return;
    if (s->end_told && s->ours_ended && !s->out.n && !pb_conn_unsent(s->conn)) {
        over(s, NULL);
        return;
    }
    bool paused = s->held.n > 0;
    if (paused == s->paused) return;
    s->paused = paused;
    pb_conn_pause(s->conn, paused);
}

static void on_deliver(void *user)
{
    struct pb_stream *s = user;
    while (s->state == OPEN && s->held.n && s->credit) {
        /* The reader may give credit, or close, from within. */
        struct pb_buf held = s->held;
        s->held = (struct pb_buf){0};
        size_t n = held.n < s->credit ? held.n : s->credit;
        give(s, held.p, n);
        pb_buf_drop(&held, n);
        pb_buf_free(&s->held);
        s->held = held;
    }
    settle(s);
}

static void on_data(void *user, const char *p, size_t n)
{
    struct pb_stream *s = user;
    stir(s);
    size_t now = s->held.n ? 0 : n < s->credit ? n : s->credit;
    if (now) give(s, p, now);
    if (s->state != OPEN) return;
    pb_buf_add(&s->held, p + now, n - now);
    /* Credit that was given just now. */
    if (s->held.n && s->credit) pb_loop_defer(s->loop, &s->deliver);
    settle(s);
}

static void on_eof(void *user)
{
    struct pb_stream *s = user;
    if (pb_conn_truncated(s->conn)) {
        fail(s, PBAY_DATA_LOSS, "ended without closing TLS: it may have been cut");
        return;
    }
    s->theirs_ended = true;
    settle(s);
}

/* ------------------------------------------------------------------------------------------------ writing */

static bool on_fill(void *user, struct pb_buf *out)
{
    struct pb_stream *s = user;
    if (s->out.n) stir(s);
    pb_buf_str(out, pb_buf_view(&s->out));
    pb_buf_reset(&s->out, OUT_KEEP);
    if (s->state != OPEN) return false;
    if (out->n) return s->undrained || s->ours_ended; /* asked again when this has left */
    if (s->undrained) {
        s->undrained = false;
        if (s->ops->drained) s->ops->drained(s->user, s);
    }
    if (s->state == OPEN && s->ours_ended) pb_loop_defer(s->loop, &s->deliver);
    return s->out.n > 0;
}

static void on_closed(void *user, const struct pb_err *why)
{
    struct pb_stream *s = user;
    s->conn = NULL;
    if (s->state != OVER) {
        struct pb_err err;
        pb_fail(&err, PBAY_UNAVAILABLE, "the stream to %s was lost: %s", s->host,
                why ? why->msg : "it was closed");
        err.effect = PBAY_EFFECT_MAYBE;
        err.advice = PBAY_ADVICE_RETRY;
        over(s, &err);
    }
    pb_loop_defer(s->loop, &s->end);
}

static const struct pb_conn_ops conn_ops = {on_data, on_fill, on_eof, on_closed};

static void on_connected(void *user, struct pb_conn *conn, const struct pb_err *err)
{
    struct pb_stream *s = user;
    s->connect = NULL;
    if (!conn) {
        over(s, err);
        return;
    }
    s->conn = conn;
    s->state = OPEN;
    pb_conn_hand_over(conn, &conn_ops, s);
    stir(s);
    s->ops->open(s->user, s);
}

/* ------------------------------------------------------------------------------------------------ functions
 */

struct pb_stream *pb_stream_open(struct pb_loop *loop, const struct pb_stream_options *o,
                                 const struct pb_stream_ops *ops, void *user, struct pb_err *err)
{
    if (pb_http_host_check(o->host, err)) return NULL;
    if (!o->port) {
        pb_fail(err, PBAY_INVALID_ARGUMENT, "a stream to port 0");
        return NULL;
    }
    if (!o->tls && !o->configured) {
        pb_fail(err, PBAY_PERMISSION_DENIED,
                "%.*s:%u: only TLS is used, unless the configuration itself names host and port",
                PB_FMT(o->host), o->port);
        return NULL;
    }
    struct pb_stream *s = pb_zalloc(sizeof *s);
    s->magic = MAGIC;
    s->loop = loop;
    s->ops = ops;
    s->user = user;
    s->credit = PB_STREAM_CREDIT;
    s->idle_ms = o->idle_timeout_ms;
    s->idle = (struct pb_deadline){.fn = on_idle, .user = s};
    s->deliver = pb_defer_make(on_deliver, s);
    s->end = pb_defer_make(on_end, s);
    s->host =
        pb_sprintf(memchr(o->host.p, ':', o->host.n) ? "[%.*s]:%u" : "%.*s:%u", PB_FMT(o->host), o->port);
    const struct pb_connect_options c = {.host = o->host,
                                         .port = o->port,
                                         .tls = o->tls,
                                         .protocol = "a stream",
                                         .timeout_ms = o->connect_timeout_ms,
                                         .outgoing = o->outgoing};
    s->connect = pb_connect_start(loop, &c, on_connected, s, err);
    if (s->connect) return s;
    release(s);
    return NULL;
}

int32_t pb_stream_write(struct pb_stream *s, pbay_str piece)
{
    PB_MAGIC_CHECK(s, MAGIC);
    if (s->state == OVER) return PBAY_CANCELLED;
    if (s->state != OPEN || s->ours_ended) return PBAY_FAILED_PRECONDITION;
    if (s->out.n + pb_conn_unsent(s->conn) > OUT_MAX) return PBAY_RESOURCE_EXHAUSTED;
    pb_buf_str(&s->out, piece);
    s->undrained = true;
    pb_conn_want_write(s->conn);
    return s->out.n + pb_conn_unsent(s->conn) <= OUT_HIGH ? PBAY_OK : PBAY_LATER;
}

void pb_stream_credit(struct pb_stream *s, size_t n)
{
    PB_MAGIC_CHECK(s, MAGIC);
    s->credit = n > SIZE_MAX - s->credit ? SIZE_MAX : s->credit + n;
    if (s->state == OPEN && s->held.n) pb_loop_defer(s->loop, &s->deliver);
}

void pb_stream_half_close(struct pb_stream *s)
{
    PB_MAGIC_CHECK(s, MAGIC);
    if (s->state != OPEN || s->ours_ended) return;
    s->ours_ended = true;
    pb_conn_finish(s->conn);
    pb_loop_defer(s->loop, &s->deliver);
}

void pb_stream_close(struct pb_stream *s)
{
    PB_MAGIC_CHECK(s, MAGIC);
    over(s, NULL);
}
