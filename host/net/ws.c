/* SPDX-License-Identifier: MIT */
#include "net/ws.h"

#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/conn.h"
#include "net/connect.h"
#include "net/http_rules.h"
#include "net/outgoing.h"

enum {
    MAGIC = 0x70625753,
    MAX_FRAME = 32 * 1024,
    CONNECT_MS = 10000,
    PING_MS = 30000,
    CLOSE_MS = 5000,
    OUT_HIGH = 256 * 1024,
    OUT_LOW = 64 * 1024,
    OUT_KEEP = 64 * 1024
};
#define MAX_MESSAGE ((uint64_t)16 << 20)
#define OUT_MAX     ((size_t)64 << 20)

enum state { CONNECTING, SHAKING, OPEN, CLOSING, OVER };

/* A message that came without credit. */
struct waiting {
    struct waiting *next;
    uint32_t type;
    size_t n;
    char bytes[];
};

struct pb_ws {
    uint32_t magic;
    enum state state;
    struct pb_loop *loop;
    const struct pb_ws_ops *ops;
    void *user;
    struct pb_connect *connect;
    struct pb_conn *conn;
    struct pb_ws_wire *wire;
    struct pb_buf url, protocols, out, held; /* held: read and not fed */
    pbay_str host;                           /* in url, for messages */
    uint64_t max_send;
    int64_t ping_ms, heard_ns;
    bool asked; /* a ping is under way */
    bool paused, tell_writable, open_told, told;
    uint32_t credit;
    struct waiting *first, **last;
    struct pb_timer limit; /* handshake, later closing */
    struct pb_deadline silence;
    struct pb_defer deliver, end;
    uint32_t close_code;
    struct pb_buf reason;
    struct pb_err why;
};

/* ------------------------------------------------------------------------------------------------ ends */

static void release(struct pb_ws *ws)
{
    while (ws->first) {
        struct waiting *m = ws->first;
        ws->first = m->next;
        pb_free(m);
    }
    pb_timer_cancel(&ws->limit);
    pb_deadline_cancel(&ws->silence);
    pb_defer_cancel(&ws->deliver);
    pb_defer_cancel(&ws->end);
    pb_ws_wire_free(ws->wire);
    pb_buf_free(&ws->url);
    pb_buf_free(&ws->protocols);
    pb_buf_free(&ws->out);
    pb_buf_free(&ws->held);
    pb_buf_free(&ws->reason);
    ws->magic = 0;
    pb_free(ws);
}

static void depart(struct pb_ws *ws)
{
    void (*gone)(void *) = ws->ops->gone;
    void *user = ws->user;
    release(ws);
    if (gone) gone(user);
}

/* Told once, in a turn of its own; the connection may go on to send our last words. */
static void on_end(void *user)
{
    struct pb_ws *ws = user;
    if (!ws->told) {
        ws->told = true;
        ws->ops->closed(ws->user, ws, ws->close_code, pb_buf_view(&ws->reason), &ws->why);
    }
    if (!ws->conn) depart(ws);
}

static void over(struct pb_ws *ws, const struct pb_err *why)
{
    if (ws->state == OVER) return;
    if (why) ws->why = *why;
    if (ws->state < OPEN) ws->why.effect = PBAY_EFFECT_NONE;
    ws->state = OVER;
    pb_timer_cancel(&ws->limit);
    pb_deadline_cancel(&ws->silence);
    pb_loop_defer(ws->loop, &ws->end);
}

/* Something is wrong: what is in the output is the last that is sent. */
static void fail(struct pb_ws *ws, const struct pb_err *why)
{
    over(ws, why);
    if (ws->connect) {
        pb_connect_cancel(ws->connect);
        ws->connect = NULL;
    }
    if (ws->conn) pb_conn_close(ws->conn);
}

static void lost(struct pb_ws *ws, int32_t code, const char *what)
{
    struct pb_err err;
    pb_fail(&err, code, "the WebSocket to %.*s %s", PB_FMT(ws->host), what);
    err.effect = PBAY_EFFECT_MAYBE;
    err.advice = PBAY_ADVICE_RETRY;
    fail(ws, &err);
}

static void on_limit(void *user)
{
    struct pb_ws *ws = user;
    if (ws->state == CLOSING) {
        /* The other side does not answer our close: what we wanted has happened. */
        struct pb_conn *conn = ws->conn;
        over(ws, NULL);
        if (conn) pb_conn_abort(conn, NULL);
        return;
    }
    lost(ws, PBAY_DEADLINE_EXCEEDED, "did not complete its handshake in time");
}

/* ------------------------------------------------------------------------------------------------ silence */

static void listen_on(struct pb_ws *ws)
{
    if (ws->ping_ms > 0) pb_deadline_set(ws->loop, &ws->silence, pb_mono_ns() + ws->ping_ms * PB_MS);
}

static void on_silence(void *user)
{
    struct pb_ws *ws = user;
    if (ws->state != OPEN) return;
    bool heard = pb_mono_ns() - ws->heard_ns < ws->ping_ms * PB_MS;
    if (ws->paused || heard) {
        ws->asked = false;
    } else if (ws->asked) {
        lost(ws, PBAY_UNAVAILABLE, "does not answer pings any more");
        return;
    } else {
        ws->asked = true;
        pb_ws_wire_ping(ws->wire);
        pb_conn_want_write(ws->conn);
    }
    listen_on(ws);
}

/* ------------------------------------------------------------------------------------------------ the wire's
 * side */

static void on_wire_open(void *user, pbay_str protocol)
{
    struct pb_ws *ws = user;
    ws->state = OPEN;
    ws->open_told = true;
    pb_timer_cancel(&ws->limit);
    listen_on(ws);
    ws->ops->open(ws->user, ws, protocol);
}

static bool on_wire_message(void *user, uint32_t type, pbay_str message)
{
    struct pb_ws *ws = user;
    if (ws->state != OPEN) return true; /* we are leaving */
    if (ws->credit && !ws->first) {
        ws->credit--;
        ws->ops->message(ws->user, ws, type, message);
        return ws->credit > 0;
    }
    struct waiting *m = pb_alloc(sizeof *m + message.n);
    m->next = NULL;
    m->type = type;
    m->n = message.n;
    if (message.n) memcpy(m->bytes, message.p, message.n);
    *ws->last = m;
    ws->last = &m->next;
    return false;
}

static void on_wire_close(void *user, uint32_t code, pbay_str reason)
{
    struct pb_ws *ws = user;
    bool asked = ws->state == CLOSING;
    ws->close_code = code;
    pb_buf_str(&ws->reason, reason);
    struct pb_err err = {0};
    if (!asked) {
        pb_fail(&err, PBAY_UNAVAILABLE, "the WebSocket to %.*s was closed with code %u", PB_FMT(ws->host),
                code);
        err.effect = PBAY_EFFECT_MAYBE;
        err.advice = PBAY_ADVICE_RETRY;
        err.vendor_status = (int32_t)code;
    }
    over(ws, &err);
}

static const struct pb_ws_wire_ops wire_ops = {on_wire_open, on_wire_message, on_wire_close};

/* What cannot be delivered, or answered, must not be read either. */
static void set_paused(struct pb_ws *ws)
{
    bool paused = ws->state == OPEN && (ws->held.n || (ws->first && !ws->credit) || ws->out.n > OUT_HIGH * 4);
    if (!ws->conn || paused == ws->paused) return;
    ws->paused = paused;
    if (!paused) ws->heard_ns = pb_mono_ns();
    pb_conn_pause(ws->conn, paused);
}

static size_t feed(struct pb_ws *ws, const char *p, size_t n)
{
    struct pb_err err;
    size_t took = n;
    int rc = pb_ws_wire_feed(ws->wire, p, n, &took, &err);
    if (ws->conn && ws->out.n) pb_conn_want_write(ws->conn);
    if (rc) {
        if (ws->state < OPEN || err.vendor_status) pb_fail_in(&err, "%.*s", PB_FMT(ws->host));
        fail(ws, &err);
    } else if (ws->state == OVER && ws->conn) {
        pb_conn_close(ws->conn); /* the answer to a close leaves first */
    }
    return took;
}

static void on_deliver(void *user)
{
    struct pb_ws *ws = user;
    while (ws->state == OPEN && ws->first && ws->credit) {
        struct waiting *m = ws->first;
        ws->first = m->next;
        if (!ws->first) ws->last = &ws->first;
        ws->credit--;
        ws->ops->message(ws->user, ws, m->type, pb_str(m->bytes, m->n));
        pb_free(m);
    }
    if (ws->conn && ((ws->state == OPEN && ws->credit) || ws->state == CLOSING)) {
        /* wslay may have whole messages in its own buffer: it is asked even when nothing is held here. */
        struct pb_buf held = ws->held;
        ws->held = (struct pb_buf){0};
        size_t took = feed(ws, held.p, held.n);
        pb_buf_drop(&held, took);
        ws->held = held;
        if (ws->first && ws->credit && ws->state == OPEN) pb_loop_defer(ws->loop, &ws->deliver);
    }
    set_paused(ws);
}

/* ------------------------------------------------------------------------------------------------ the
 * socket's side */

static void on_data(void *user, const char *p, size_t n)
{
    struct pb_ws *ws = user;
    if (ws->state == OVER) return;
    ws->heard_ns = pb_mono_ns();
    size_t took = ws->held.n ? 0 : feed(ws, p, n);
    if (ws->state == OVER) return;
    pb_buf_add(&ws->held, p + took, n - took);
    if (ws->state == CLOSING) pb_loop_defer(ws->loop, &ws->deliver);
    set_paused(ws);
}

static bool on_fill(void *user, struct pb_buf *out)
{
    struct pb_ws *ws = user;
    pb_buf_str(out, pb_buf_view(&ws->out));
    pb_buf_reset(&ws->out, OUT_KEEP);
    if (ws->tell_writable) {
        if (out->n > OUT_LOW) return true; /* asked again when this has left */
        ws->tell_writable = false;
        if (ws->state == OPEN && ws->ops->writable) ws->ops->writable(ws->user, ws);
    }
    set_paused(ws);
    return ws->out.n > 0;
}

static void on_eof(void *user)
{
    struct pb_ws *ws = user;
    if (ws->state == CLOSING)
        fail(ws, NULL);
    else if (ws->state < OPEN)
        lost(ws, PBAY_UNAVAILABLE, "ended in the middle of its handshake");
    else if (ws->state == OPEN)
        lost(ws, PBAY_UNAVAILABLE, "ended without a close frame");
    else
        pb_conn_close(ws->conn);
}

static void on_closed(void *user, const struct pb_err *why)
{
    struct pb_ws *ws = user;
    ws->conn = NULL;
    if (ws->state != OVER) {
        struct pb_err err;
        pb_fail(&err, PBAY_UNAVAILABLE, "the WebSocket to %.*s was lost: %s", PB_FMT(ws->host),
                why ? why->msg : "the connection was closed");
        err.effect = PBAY_EFFECT_MAYBE;
        err.advice = PBAY_ADVICE_RETRY;
        over(ws, ws->state == CLOSING ? NULL : &err);
    } else {
        pb_loop_defer(ws->loop, &ws->end);
    }
}

static const struct pb_conn_ops conn_ops = {on_data, on_fill, on_eof, on_closed};

static void on_connected(void *user, struct pb_conn *conn, const struct pb_err *err)
{
    struct pb_ws *ws = user;
    ws->connect = NULL;
    if (!conn) {
        over(ws, err);
        return;
    }
    ws->conn = conn;
    ws->state = SHAKING;
    ws->heard_ns = pb_mono_ns();
    pb_conn_hand_over(conn, &conn_ops, ws);
    pb_conn_want_write(conn);
}

/* ------------------------------------------------------------------------------------------------ functions
 */

/* ws and wss have the rules of http and https. */
static int parse(struct pb_ws *ws, const struct pb_ws_options *o, struct pb_http_url *parts,
                 struct pb_err *err)
{
    bool tls = o->url.n >= 6 && pb_str_ieq(pb_str(o->url.p, 6), PB_STR("wss://"));
    bool clear = o->url.n >= 5 && pb_str_ieq(pb_str(o->url.p, 5), PB_STR("ws://"));
    if (!tls && !clear)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "the URL of a WebSocket begins with wss:// or ws://");
    size_t skip = tls ? 3 : 2;
    pb_buf_c(&ws->url, tls ? "https" : "http");
    pb_buf_add(&ws->url, o->url.p + skip, o->url.n - skip);
    if (pb_http_url_parse(pb_buf_view(&ws->url), parts, err)) return -1;
    if (clear && !o->configured)
        return pb_fail(err, PBAY_PERMISSION_DENIED,
                       "ws://%.*s: only wss is used, unless the configuration itself names a ws:// URL",
                       PB_FMT(parts->authority));
    return 0;
}

static int prepare(struct pb_ws *ws, const struct pb_ws_options *o, struct pb_err *err)
{
    struct pb_http_url parts;
    if (parse(ws, o, &parts, err)) return -1;
    ws->host = parts.authority;
    pb_buf_str(&ws->protocols, o->protocols);
    const struct pb_ws_wire_options wire = {
        .max_frame = o->max_frame ? (o->max_frame < 128 ? 128 : o->max_frame) : MAX_FRAME,
        .max_message = o->max_message ? o->max_message : MAX_MESSAGE,
        .protocols = pb_buf_view(&ws->protocols)};
    ws->wire = pb_ws_wire_new(&wire, &wire_ops, ws, &ws->out);
    const char *end = ws->url.p + ws->url.n, *path = parts.authority.p + parts.authority.n;
    struct pb_buf target = {0};
    if (path == end || *path == '?') pb_buf_ch(&target, '/');
    pb_buf_add(&target, path, (size_t)(end - path));
    int rc =
        pb_ws_wire_request(ws->wire, parts.authority, pb_buf_view(&target), o->headers, o->n_headers, err);
    pb_buf_free(&target);
    if (rc) return -1;
    int64_t limit = o->connect_timeout_ms > 0 ? o->connect_timeout_ms : CONNECT_MS;
    const struct pb_connect_options c = {.host = parts.host,
                                         .port = parts.port,
                                         .tls = parts.tls,
                                         .metadata = o->metadata,
                                         .alpn = "http/1.1",
                                         .protocol = "WebSocket",
                                         .timeout_ms = limit,
                                         .outgoing = o->outgoing};
    ws->connect = pb_connect_start(ws->loop, &c, on_connected, ws, err);
    if (!ws->connect) return -1;
    if (!parts.tls)
        pb_log(PB_LOG_DEBUG, "net", "a WebSocket goes unencrypted", PB_V("host", parts.authority));
    pb_timer_set(ws->loop, &ws->limit, limit + 50); /* the connection has the better reason */
    return 0;
}

struct pb_ws *pb_ws_open(struct pb_loop *loop, const struct pb_ws_options *o, const struct pb_ws_ops *ops,
                         void *user, struct pb_err *err)
{
    struct pb_ws *ws = pb_zalloc(sizeof *ws);
    ws->magic = MAGIC;
    ws->loop = loop;
    ws->ops = ops;
    ws->user = user;
    ws->credit = PB_WS_CREDIT;
    ws->last = &ws->first;
    ws->max_send = o->max_send ? o->max_send : MAX_MESSAGE;
    ws->ping_ms = o->ping_ms ? o->ping_ms : PING_MS;
    ws->limit = (struct pb_timer){.fn = on_limit, .user = ws};
    ws->silence = (struct pb_deadline){.fn = on_silence, .user = ws};
    ws->deliver = pb_defer_make(on_deliver, ws);
    ws->end = pb_defer_make(on_end, ws);
    if (prepare(ws, o, err) == 0) return ws;
    release(ws);
    return NULL;
}

int32_t pb_ws_send(struct pb_ws *ws, uint32_t type, pbay_str message)
{
    PB_MAGIC_CHECK(ws, MAGIC);
    if (ws->state < OPEN) return PBAY_FAILED_PRECONDITION;
    if (ws->state != OPEN) return PBAY_CANCELLED;
    if (message.n > ws->max_send) return PBAY_OUT_OF_RANGE;
    if (type != PB_WS_TEXT && type != PB_WS_BINARY) return PBAY_INVALID_ARGUMENT;
    if (type == PB_WS_TEXT && !pb_utf8_valid(message)) return PBAY_INVALID_ARGUMENT;
    if (ws->out.n + pb_conn_unsent(ws->conn) > OUT_MAX) return PBAY_RESOURCE_EXHAUSTED;
    pb_ws_wire_send(ws->wire, type, message);
    pb_conn_want_write(ws->conn);
    if (ws->out.n + pb_conn_unsent(ws->conn) <= OUT_HIGH) return PBAY_OK;
    ws->tell_writable = true;
    return PBAY_LATER;
}

void pb_ws_credit(struct pb_ws *ws, uint32_t messages)
{
    PB_MAGIC_CHECK(ws, MAGIC);
    ws->credit = messages > UINT32_MAX - ws->credit ? UINT32_MAX : ws->credit + messages;
    if (ws->state == OPEN && ws->credit) pb_loop_defer(ws->loop, &ws->deliver);
}

void pb_ws_close(struct pb_ws *ws, uint32_t code, pbay_str reason)
{
    PB_MAGIC_CHECK(ws, MAGIC);
    if (ws->state == CONNECTING || ws->state == SHAKING) {
        struct pb_err err;
        pb_fail(&err, PBAY_CANCELLED, "closed before it was open");
        fail(ws, &err);
        return;
    }
    if (ws->state != OPEN) return;
    pb_deadline_cancel(&ws->silence);
    pb_ws_wire_close(ws->wire, pb_ws_code_ok(code) ? code : PB_WS_NORMAL, reason);
    ws->state = CLOSING;
    if (ws->paused) { /* nothing is delivered any more: the answer is read for */
        ws->paused = false;
        pb_conn_pause(ws->conn, false);
    }
    pb_loop_defer(ws->loop, &ws->deliver);
    pb_conn_want_write(ws->conn);
    pb_timer_set(ws->loop, &ws->limit, CLOSE_MS);
}
