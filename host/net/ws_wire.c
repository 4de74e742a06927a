/* SPDX-License-Identifier: MIT */
/* Frames are wslay's: its event interface reads (fragments, pings, UTF-8), its frame interface writes,
 * because only that lets us say how long a fragment is. */
#include "net/ws_wire.h"

#include <string.h>

#include <wslay/wslay.h>

#include "base/check.h"
#include "base/encode.h"
#include "base/mem.h"
#include "net/crypto.h"
#include "net/h1_reply.h"
#include "net/http_rules.h"

enum { KEY = 24, FRAME_HEAD = 14, REASON_MAX = 123, SHOWN_BODY = 200 };

struct pb_ws_wire {
    struct pb_ws_wire_options o;
    const struct pb_ws_wire_ops *ops;
    void *user;
    struct pb_buf *out;
    struct pb_h1_reply reply;
    char key[KEY + 1];
    bool open, hold, closed, close_sent;
    const char *in;
    size_t in_n;
    wslay_event_context_ptr events;
    wslay_frame_context_ptr frames;
};

/* ------------------------------------------------------------------------------------------------ wslay */

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *user)
{
    struct pb_ws_wire *w = user;
    (void)flags;
    if (w->hold || !w->in_n) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (len > w->in_n) len = w->in_n;
    memcpy(buf, w->in, len);
    w->in += len;
    w->in_n -= len;
    return (ssize_t)len;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *user)
{
    struct pb_ws_wire *w = user;
    (void)ctx, (void)flags;
    pb_buf_add(w->out, data, len);
    return (ssize_t)len;
}

static int on_mask(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, void *user)
{
    (void)ctx, (void)user;
    pb_random(buf, len);
    return 0;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    struct pb_ws_wire *w = user;
    (void)ctx;
    pbay_str text = pb_str((const char *)arg->msg, arg->msg_length);
    if (arg->opcode == WSLAY_CONNECTION_CLOSE) {
        /* Code and reason: RFC 6455, 5.5.1. */
        bool none = arg->status_code == 0 || text.n < 2;
        w->closed = true;
        w->ops->close(w->user, none ? PB_WS_NO_STATUS : arg->status_code,
                      none ? pb_str(NULL, 0) : pb_str(text.p + 2, text.n - 2));
    } else if (arg->opcode == WSLAY_TEXT_FRAME || arg->opcode == WSLAY_BINARY_FRAME) {
        if (!w->ops->message(w->user, arg->opcode, text)) w->hold = true;
    }
}

static ssize_t on_frame_send(const uint8_t *data, size_t len, int flags, void *user)
{
    return on_send(NULL, data, len, flags, user);
}

static int on_frame_mask(uint8_t *buf, size_t len, void *user)
{
    return on_mask(NULL, buf, len, user);
}

struct pb_ws_wire *pb_ws_wire_new(const struct pb_ws_wire_options *options, const struct pb_ws_wire_ops *ops,
                                  void *user, struct pb_buf *out)
{
    static const struct wslay_event_callbacks events = {on_recv, on_send, on_mask,   NULL,
                                                        NULL,    NULL,    on_message};
    static const struct wslay_frame_callbacks frames = {on_frame_send, NULL, on_frame_mask};
    struct pb_ws_wire *w = pb_zalloc(sizeof *w);
    PB_REQUIRE(options->max_frame > FRAME_HEAD);
    w->o = *options;
    w->ops = ops;
    w->user = user;
    w->out = out;
    if (wslay_event_context_client_init(&w->events, &events, w) ||
        wslay_frame_context_init(&w->frames, &frames, w))
        pb_fatal("out of memory: a WebSocket");
    wslay_event_config_set_max_recv_msg_length(w->events, w->o.max_message);
    return w;
}

void pb_ws_wire_free(struct pb_ws_wire *w)
{
    if (!w) return;
    wslay_event_context_free(w->events);
    wslay_frame_context_free(w->frames);
    pb_h1_reply_free(&w->reply);
    pb_free(w);
}

/* ------------------------------------------------------------------------------------------------ handshake
 */

void pb_ws_wire_set_key(struct pb_ws_wire *w, const char key[25])
{
    memcpy(w->key, key, sizeof w->key);
}

static void make_key(struct pb_ws_wire *w)
{
    char nonce[16];
    struct pb_buf b = {0};
    pb_random(nonce, sizeof nonce);
    pb_base64_encode(pb_str(nonce, sizeof nonce), &b);
    PB_REQUIRE(b.n == KEY);
    memcpy(w->key, b.p, KEY);
    pb_buf_free(&b);
}

static bool starts_with(pbay_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && pb_str_ieq(pb_str(s.p, n), pb_str(prefix, n));
}

int pb_ws_wire_request(struct pb_ws_wire *w, pbay_str host, pbay_str target, const pbay_header *headers,
                       uint32_t n, struct pb_err *err)
{
    bool agent = false;
    if (pb_http_head_check(PB_STR("GET"), headers, n, err)) return -1;
    for (uint32_t i = 0; i < n; i++) {
        if (starts_with(headers[i].name, "sec-websocket-"))
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "the header \"%.*s\" is written by the gateway itself",
                           PB_FMT(headers[i].name));
        agent = agent || pb_str_ieq(headers[i].name, PB_STR("user-agent"));
    }
    const pbay_header protocols = {PB_STR("sec-websocket-protocol"), w->o.protocols};
    if (pb_http_head_check(PB_STR("GET"), &protocols, 1, err)) return -1;
    if (!w->key[0]) make_key(w);
    pb_buf_printf(w->out,
                  "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n",
                  PB_FMT(target), PB_FMT(host), w->key);
    if (w->o.protocols.n) pb_buf_printf(w->out, "Sec-WebSocket-Protocol: %.*s\r\n", PB_FMT(w->o.protocols));
    if (!agent) pb_buf_c(w->out, "User-Agent: patchbay/" PB_VERSION "\r\n");
    for (uint32_t i = 0; i < n; i++) {
        pb_buf_str(w->out, headers[i].name);
        pb_buf_c(w->out, ": ");
        pb_buf_str(w->out, pb_str_trim(headers[i].value));
        pb_buf_c(w->out, "\r\n");
    }
    pb_buf_c(w->out, "\r\n");
    return 0;
}

static bool has_token(pbay_str list, const char *token)
{
    pbay_str one;
    while (pb_str_split(&list, ',', &one))
        if (pb_str_ieq(pb_str_trim(one), pb_str_c(token))) return true;
    return false;
}

static bool offered(pbay_str list, pbay_str protocol)
{
    pbay_str one;
    while (pb_str_split(&list, ',', &one))
        if (pb_str_eq(pb_str_trim(one), protocol)) return true;
    return false;
}

/* base64(SHA-1(key + GUID)): RFC 6455, 4.2.2. */
static bool accepts(const struct pb_ws_wire *w, pbay_str given)
{
    const pbay_str parts[] = {pb_str(w->key, KEY), PB_STR("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")};
    uint8_t hash[20];
    struct pb_buf b = {0};
    pb_digest(PB_HASH_SHA1, parts, 2, hash);
    pb_base64_encode(pb_str((const char *)hash, sizeof hash), &b);
    bool same = pb_str_eq(pb_buf_view(&b), given);
    pb_buf_free(&b);
    return same;
}

static int32_t code_of(int status)
{
    switch (status) {
    case 401: return PBAY_UNAUTHENTICATED;
    case 403: return PBAY_PERMISSION_DENIED;
    case 404: return PBAY_NOT_FOUND;
    case 429: return PBAY_RESOURCE_EXHAUSTED;
    default: return status >= 500 ? PBAY_UNAVAILABLE : PBAY_FAILED_PRECONDITION;
    }
}

/* What is there of a body may say why. */
static int refused(struct pb_ws_wire *w, pbay_str body, struct pb_err *err)
{
    int status = w->reply.status;
    pbay_str reason = pb_h1_reply_reason(&w->reply);
    if (body.n > SHOWN_BODY) body.n = pb_utf8_floor(body, SHOWN_BODY);
    struct pb_buf shown = {0};
    if (body.n) pb_buf_json(&shown, body);
    pb_fail(err, code_of(status), "the WebSocket handshake was refused: %d %.*s%s%.*s", status,
            PB_FMT(reason), shown.n ? ", " : "", PB_FMT(pb_buf_view(&shown)));
    pb_buf_free(&shown);
    if (!err) return -1;
    err->effect = PBAY_EFFECT_NONE;
    err->vendor_status = status;
    err->advice = status == 429 ? PBAY_ADVICE_SLOW : status >= 500 ? PBAY_ADVICE_RETRY : PBAY_ADVICE_NONE;
    return -1;
}

static int not_a_websocket(struct pb_err *err, const char *why)
{
    pb_fail(err, PBAY_FAILED_PRECONDITION, "the answer to the WebSocket handshake is not one: %s", why);
    if (err) err->effect = PBAY_EFFECT_NONE;
    return -1;
}

static int check_reply(struct pb_ws_wire *w, pbay_str rest, struct pb_err *err)
{
    const struct pb_h1_reply *r = &w->reply;
    if (r->status != 101) return refused(w, rest, err);
    if (!has_token(pb_h1_reply_field(r, "upgrade"), "websocket"))
        return not_a_websocket(err, "Upgrade does not say websocket");
    if (!has_token(pb_h1_reply_field(r, "connection"), "upgrade"))
        return not_a_websocket(err, "Connection does not say Upgrade");
    if (pb_h1_reply_count(r, "sec-websocket-accept") != 1 ||
        !accepts(w, pb_h1_reply_field(r, "sec-websocket-accept")))
        return not_a_websocket(err, "Sec-WebSocket-Accept does not fit the key");
    if (pb_h1_reply_field(r, "sec-websocket-extensions").n)
        return not_a_websocket(err, "it takes an extension that was not offered");
    pbay_str protocol = pb_h1_reply_field(r, "sec-websocket-protocol");
    if (pb_h1_reply_count(r, "sec-websocket-protocol") > 1 ||
        (protocol.p && !offered(w->o.protocols, protocol)))
        return not_a_websocket(err, "it takes a protocol that was not offered");
    w->open = true;
    w->ops->open(w->user, protocol);
    return 0;
}

static int handshake(struct pb_ws_wire *w, struct pb_err *err)
{
    switch (pb_h1_reply_next(&w->reply, &w->in, &w->in_n)) {
    case PB_H1_REPLY_MORE: return 0;
    case PB_H1_REPLY_BAD: return not_a_websocket(err, w->reply.why);
    default: return check_reply(w, pb_str(w->in, w->in_n), err);
    }
}

/* ------------------------------------------------------------------------------------------------ frames */

static int broken(struct pb_ws_wire *w, struct pb_err *err)
{
    uint16_t code = wslay_event_get_status_code_sent(w->events);
    if (code == WSLAY_CODE_MESSAGE_TOO_BIG)
        pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "the WebSocket sent a message of more than %llu bytes",
                (unsigned long long)w->o.max_message);
    else if (code == WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA)
        pb_fail(err, PBAY_DATA_LOSS, "the WebSocket sent a text that is not UTF-8");
    else
        pb_fail(err, PBAY_DATA_LOSS, "the WebSocket sent frames that RFC 6455 does not allow");
    if (err) {
        err->effect = PBAY_EFFECT_MAYBE;
        err->vendor_status = code;
    }
    return -1;
}

/* What wslay has queued: pongs, and the answer to a close. */
static void flush_control(struct pb_ws_wire *w)
{
    if (wslay_event_want_write(w->events)) wslay_event_send(w->events);
}

int pb_ws_wire_feed(struct pb_ws_wire *w, const char *p, size_t n, size_t *took, struct pb_err *err)
{
    int rc = 0;
    w->in = p;
    w->in_n = n;
    w->hold = false;
    if (!w->open) rc = handshake(w, err);
    if (rc == 0 && w->open && !w->closed) {
        bool failed = wslay_event_recv(w->events) != 0;
        flush_control(w);
        if (!w->closed && (failed || !wslay_event_want_read(w->events))) rc = broken(w, err);
    }
    *took = w->closed || rc ? n : n - w->in_n;
    return rc;
}

void pb_ws_wire_send(struct pb_ws_wire *w, uint32_t type, pbay_str message)
{
    PB_REQUIRE(w->open && (type == PB_WS_TEXT || type == PB_WS_BINARY));
    if (w->close_sent || w->closed) return;
    size_t most = w->o.max_frame - FRAME_HEAD, at = 0;
    do {
        size_t n = message.n - at < most ? message.n - at : most;
        struct wslay_frame_iocb f = {.fin = at + n == message.n,
                                     .opcode = at ? WSLAY_CONTINUATION_FRAME : (uint8_t)type,
                                     .payload_length = n,
                                     .mask = 1,
                                     .data = (const uint8_t *)(message.p ? message.p + at : ""),
                                     .data_length = n};
        ssize_t rc = wslay_frame_send(w->frames, &f);
        PB_REQUIRE(rc == (ssize_t)n); /* on_send takes everything */
        at += n;
    } while (at < message.n);
}

void pb_ws_wire_ping(struct pb_ws_wire *w)
{
    const struct wslay_event_msg ping = {WSLAY_PING, NULL, 0};
    if (!w->open || w->close_sent || w->closed) return;
    wslay_event_queue_msg(w->events, &ping);
    flush_control(w);
}

bool pb_ws_code_ok(uint32_t code)
{
    return code == 1000 || code == 1001 ||
           (code >= 1003 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

void pb_ws_wire_close(struct pb_ws_wire *w, uint32_t code, pbay_str reason)
{
    if (!w->open || w->close_sent || w->closed) return;
    w->close_sent = true;
    if (reason.n > REASON_MAX) reason.n = pb_utf8_floor(reason, REASON_MAX);
    wslay_event_queue_close(w->events, (uint16_t)code, (const uint8_t *)reason.p, reason.n);
    flush_control(w);
}
