/* SPDX-License-Identifier: MIT */
/* pbay.host.ws/1 and pbay.host.stream/1 after a script: the test is the other end. */
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

enum { WS_CREDIT = 64, STREAM_WINDOW = 64 * 1024, LATER_BYTES = 256 * 1024, NO_STATUS = 1005 };

enum state { WAITS, OPENING, OPEN, CLOSING, CLOSED };

struct message {
    uint32_t type;
    char *p;
    size_t n;
};

struct list {
    struct message *m;
    uint32_t n, cap;
};

struct pbay_mock_peer {
    struct pb_mock_later step; /* first: what comes next for the plugin */
    struct pbay_mock_peer *next;
    bool is_ws;
    char *where;
    enum state state;
    uint64_t handle;
    pbay_ws_events ws;
    pbay_stream_events stream;
    void *user;
    struct pb_err refusal; /* code not OK */
    struct list in;        /* to the plugin, from `at` on */
    uint32_t at;
    size_t offset; /* of a stream's piece */
    uint64_t credit;
    struct list out;
    struct pb_buf bytes; /* what a stream was sent */
    size_t unsent;       /* since the last turn */
    bool hung_up, half_closed, asked, end_told, want_room;
    uint32_t close_code;
};

static struct pb_handles peers;

/* ------------------------------------------------------------------------------------------------ the script
 */

static pbay_mock_peer *expect(pbay_mock *m, bool is_ws, const char *where)
{
    struct pbay_mock_peer *p = pb_zalloc(sizeof *p);
    p->is_ws = is_ws;
    p->where = pb_strdup(where);
    *m->peers_end = p;
    m->peers_end = &p->next;
    return p;
}

pbay_mock_peer *pbay_mock_expect_ws(pbay_mock *m, const char *url)
{
    return expect(m, true, url);
}

pbay_mock_peer *pbay_mock_expect_stream(pbay_mock *m, const char *where)
{
    return expect(m, false, where);
}

void pbay_mock_refuse(pbay_mock_peer *p, int32_t code, const char *message)
{
    pb_fail(&p->refusal, code, "%s", message);
}

static void put(struct list *l, uint32_t type, pbay_str s)
{
    PB_GROW(l->m, l->cap, l->n + 1);
    l->m[l->n++] = (struct message){type, pb_strndup(s.p ? s.p : "", s.n), s.n};
}

static void kick(struct pbay_mock_peer *p);

void pbay_mock_send(pbay_mock_peer *p, uint32_t type, pbay_str data)
{
    put(&p->in, type, data);
    if (p->state == OPEN || p->state == OPENING) kick(p);
}

void pbay_mock_hang_up(pbay_mock_peer *p, uint32_t close_code)
{
    p->hung_up = true;
    p->close_code = close_code;
    if (p->state == OPEN || p->state == OPENING || p->state == CLOSING) kick(p);
}

pbay_str pbay_mock_sent(pbay_mock_peer *p, uint32_t i)
{
    pbay_mock_run(pb_mock);
    if (!p->is_ws) return i ? pb_str(NULL, 0) : pb_buf_view(&p->bytes);
    return i < p->out.n ? pb_str(p->out.m[i].p, p->out.m[i].n) : pb_str(NULL, 0);
}

int pbay_mock_peer_state(pbay_mock_peer *p)
{
    pbay_mock_run(pb_mock);
    return p->state < OPEN ? 0 : p->state == OPEN ? 1 : 2;
}

static void free_list(struct list *l)
{
    for (uint32_t i = 0; i < l->n; i++) pb_free(l->m[i].p);
    pb_free(l->m);
}

void pb_mock_peers_free(struct pbay_mock *m)
{
    while (m->peers) {
        struct pbay_mock_peer *p = m->peers;
        m->peers = p->next;
        if (p->state == WAITS)
            pb_mock_fault("a %s to %s was expected and did not come", p->is_ws ? "WebSocket" : "stream",
                          p->where);
        pb_mock_later_cancel(&p->step);
        free_list(&p->in);
        free_list(&p->out);
        pb_buf_free(&p->bytes);
        pb_free(p->where);
        pb_free(p);
    }
    if (!peers.live) pb_handles_free(&peers);
}

static struct pbay_mock_peer *find(bool is_ws, pbay_str where)
{
    for (struct pbay_mock_peer *p = pb_mock->peers; p; p = p->next)
        if (p->is_ws == is_ws && p->state == WAITS && pb_mock_fits(p->where, where)) return p;
    pb_mock_fault("a %s that was not expected: %.*s", is_ws ? "WebSocket" : "stream", PB_FMT(where));
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ deliveries
 */

#define VISIT(what, call)                                                                                    \
    do {                                                                                                     \
        struct pb_visit v_;                                                                                  \
        pb_visit_enter(&v_, pb_mock->connector, what, NULL);                                                 \
        call;                                                                                                \
        pb_visit_leave(&v_);                                                                                 \
    } while (0)

static void over(struct pbay_mock_peer *p, const struct pb_err *err, uint32_t code)
{
    pbay_result result = PBAY_RESULT_OK;
    const uint64_t handle = p->handle;
    if (err) result = pb_err_result(err);
    p->state = CLOSED;
    pb_handle_release(&peers, handle);
    if (p->is_ws)
        VISIT("ws close", p->ws.on_close(p->user, handle, code, pb_str(NULL, 0), &result));
    else
        VISIT("stream close", p->stream.on_close(p->user, handle, &result));
    pb_connector_ended(pb_mock->connector);
}

/* What the other side sent, as far as there is credit. False: the plugin has closed meanwhile. */
static bool deliver(struct pbay_mock_peer *p)
{
    while (p->at < p->in.n && p->credit && p->state == OPEN) {
        const struct message m = p->in.m[p->at];
        if (p->is_ws) {
            p->at++;
            p->credit--;
            VISIT("ws message", p->ws.on_message(p->user, p->handle, m.type, pb_str(m.p, m.n)));
            continue;
        }
        size_t n = m.n - p->offset;
        if (n > p->credit) n = (size_t)p->credit;
        const pbay_str piece = pb_str(m.p + p->offset, n);
        p->offset += n;
        p->credit -= n;
        if (p->offset == m.n) p->at++, p->offset = 0;
        if (n) VISIT("stream data", p->stream.on_data(p->user, p->handle, piece));
    }
    return p->state == OPEN;
}

static void step(struct pb_mock_later *l)
{
    struct pbay_mock_peer *p = (struct pbay_mock_peer *)(void *)l;
    struct pb_err err = {0};
    if (p->state == OPENING && p->refusal.code) {
        over(p, &p->refusal, 0);
        return;
    }
    if (p->state == OPENING) {
        p->state = OPEN;
        if (p->is_ws)
            VISIT("ws open", p->ws.on_open(p->user, p->handle, pb_str(NULL, 0)));
        else
            VISIT("stream open", p->stream.on_open(p->user, p->handle));
    }
    if (p->state == OPEN && (p->want_room || p->unsent)) {
        const bool told = p->is_ws ? p->want_room && p->ws.on_writable : p->stream.on_drained != NULL;
        p->want_room = false;
        p->unsent = 0;
        if (told && p->is_ws) VISIT("ws writable", p->ws.on_writable(p->user, p->handle));
        if (told && !p->is_ws) VISIT("stream drained", p->stream.on_drained(p->user, p->handle));
    }
    if (p->state == OPEN && deliver(p) && p->hung_up && p->at == p->in.n) {
        if (!p->is_ws && !p->end_told) {
            p->end_told = true;
            if (p->stream.on_end) VISIT("stream end", p->stream.on_end(p->user, p->handle));
            if (p->state == OPEN && !p->half_closed) return; /* our side goes on */
        }
        if (p->state == OPEN && p->is_ws) {
            pb_fail(&err, PBAY_UNAVAILABLE,
                    p->close_code ? "the other side closed it with %u" : "the connection was lost",
                    p->close_code);
            err.effect = PBAY_EFFECT_MAYBE;
            err.vendor_status = (int32_t)p->close_code;
            over(p, &err, p->close_code);
            return;
        }
        if (p->state == OPEN) over(p, NULL, 0);
        return;
    }
    if (p->state == CLOSING) over(p, NULL, p->is_ws && p->close_code ? p->close_code : 0);
}

static void kick(struct pbay_mock_peer *p)
{
    pb_mock_later(&p->step, 0, step);
}

static bool begin(struct pb_connector *c, struct pbay_mock_peer *p, void *user)
{
    if (!p) return false;
    p->state = OPENING;
    p->user = user;
    p->handle = pb_handle_new(&peers, p);
    p->credit = p->is_ws ? WS_CREDIT : STREAM_WINDOW;
    pb_connector_began(c);
    kick(p);
    return true;
}

static uint64_t refuse(pbay_result *why, int32_t code, const char *text)
{
    static struct pb_err err; /* *why borrows from it */
    pb_fail(&err, code, "%s", text);
    if (why) *why = pb_err_result(&err);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ WebSockets
 */

static pbay_ws ws_open(const pbay_host *host, const pbay_ws_open_info *given, const pbay_ws_events *events,
                       void *user, pbay_result *why)
{
    pbay_ws_open_info info;
    if (!pb_mock_on_loop(PBAY_SVC_WS, "open")) return 0;
    struct pb_connector *c = pb_connector_of(host);
    pb_copy_known(&info, sizeof info, given, given->struct_size, "pbay_ws_open_info");
    if (pb_connector_locked(c, PBAY_SVC_WS))
        return refuse(why, PBAY_PERMISSION_DENIED, "the request has not been accepted yet");
    const bool plain = pb_str_starts(info.url, PB_STR("ws://"));
    if (!plain && !pb_str_starts(info.url, PB_STR("wss://")))
        return refuse(why, PBAY_INVALID_ARGUMENT, "the URL does not begin with wss://");
    if (plain && !(info.flags & (PBAY_HTTP_CONFIGURED | PBAY_HTTP_METADATA)))
        return refuse(why, PBAY_PERMISSION_DENIED, "ws:// is for URLs that the configuration itself names");
    struct pbay_mock_peer *p = find(true, info.url);
    if (!p) return refuse(why, PBAY_UNAVAILABLE, "the test did not expect it");
    pb_copy_known(&p->ws, sizeof p->ws, events, events->struct_size, "pbay_ws_events");
    if (!p->ws.on_open || !p->ws.on_message || !p->ws.on_close)
        return refuse(why, PBAY_INVALID_ARGUMENT, "on_open, on_message and on_close are needed");
    begin(c, p, user);
    return p->handle;
}

static struct pbay_mock_peer *peer_of(uint64_t handle, const char *service, const char *function)
{
    return pb_mock_on_loop(service, function) ? pb_handle_get(&peers, handle) : NULL;
}

static int32_t ws_send(pbay_ws ws, uint32_t type, pbay_str message)
{
    struct pbay_mock_peer *p = peer_of(ws, PBAY_SVC_WS, "send");
    if (!p || p->state > OPEN) return PBAY_CANCELLED;
    if (p->state < OPEN) return PBAY_FAILED_PRECONDITION;
    if (type == PBAY_WS_TEXT && !pb_utf8_valid(message)) return PBAY_INVALID_ARGUMENT;
    put(&p->out, type, message);
    p->unsent += message.n;
    p->want_room = p->unsent > LATER_BYTES;
    kick(p);
    return p->want_room ? PBAY_LATER : PBAY_OK;
}

static void ws_credit(pbay_ws ws, uint32_t messages)
{
    struct pbay_mock_peer *p = peer_of(ws, PBAY_SVC_WS, "credit");
    if (!p) return;
    p->credit += messages;
    kick(p);
}

static void ws_close(pbay_ws ws, uint32_t close_code, pbay_str reason)
{
    struct pbay_mock_peer *p = peer_of(ws, PBAY_SVC_WS, "close");
    (void)reason;
    if (!p || p->state >= CLOSING) return;
    p->state = CLOSING;
    if (!p->close_code) p->close_code = close_code ? close_code : NO_STATUS;
    kick(p);
}

const pbay_ws_1 pb_mock_ws_service = {sizeof pb_mock_ws_service, 0, ws_open, ws_send, ws_credit, ws_close};

/* ------------------------------------------------------------------------------------------------ streams */

static pbay_stream stream_open(const pbay_host *host, const pbay_stream_open_info *given,
                               const pbay_stream_events *events, void *user, pbay_result *why)
{
    pbay_stream_open_info info;
    struct pb_err err;
    if (!pb_mock_on_loop(PBAY_SVC_STREAM, "open")) return 0;
    struct pb_connector *c = pb_connector_of(host);
    pb_copy_known(&info, sizeof info, given, given->struct_size, "pbay_stream_open_info");
    if (pb_connector_locked(c, PBAY_SVC_STREAM))
        return refuse(why, PBAY_PERMISSION_DENIED, "the request has not been accepted yet");
    if (!(info.flags & (PBAY_STREAM_TLS | PBAY_STREAM_CONFIGURED)))
        return refuse(why, PBAY_PERMISSION_DENIED, "without TLS only to what the configuration itself names");
    if (pb_http_host_check(info.host, &err)) return refuse(why, err.code, err.msg);
    char *where =
        pb_sprintf("%s%.*s:%u", info.flags & PBAY_STREAM_TLS ? "tls:" : "", PB_FMT(info.host), info.port);
    struct pbay_mock_peer *p = find(false, pb_str_c(where));
    pb_free(where);
    if (!p) return refuse(why, PBAY_UNAVAILABLE, "the test did not expect it");
    pb_copy_known(&p->stream, sizeof p->stream, events, events->struct_size, "pbay_stream_events");
    if (!p->stream.on_open || !p->stream.on_data || !p->stream.on_close)
        return refuse(why, PBAY_INVALID_ARGUMENT, "on_open, on_data and on_close are needed");
    begin(c, p, user);
    return p->handle;
}

static int32_t stream_write(pbay_stream s, pbay_str piece)
{
    struct pbay_mock_peer *p = peer_of(s, PBAY_SVC_STREAM, "write");
    if (!p) return PBAY_CANCELLED;
    if (p->state != OPEN || p->half_closed) return PBAY_FAILED_PRECONDITION;
    pb_buf_str(&p->bytes, piece);
    p->unsent += piece.n;
    kick(p);
    return p->unsent > LATER_BYTES ? PBAY_LATER : PBAY_OK;
}

static void stream_credit(pbay_stream s, size_t n)
{
    struct pbay_mock_peer *p = peer_of(s, PBAY_SVC_STREAM, "credit");
    if (!p) return;
    p->credit += n;
    if (p->credit > STREAM_WINDOW) {
        pb_mock_fault("credit: more bytes of a stream were given back than had come");
        p->credit = STREAM_WINDOW;
    }
    kick(p);
}

static void stream_half_close(pbay_stream s)
{
    struct pbay_mock_peer *p = peer_of(s, PBAY_SVC_STREAM, "half_close");
    if (!p) return;
    p->half_closed = true;
    kick(p);
}

static void stream_close(pbay_stream s)
{
    struct pbay_mock_peer *p = peer_of(s, PBAY_SVC_STREAM, "close");
    if (!p || p->state >= CLOSING) return;
    p->state = CLOSING;
    kick(p);
}

const pbay_stream_1 pb_mock_stream_service = {sizeof pb_mock_stream_service,
                                              0,
                                              stream_open,
                                              stream_write,
                                              stream_credit,
                                              stream_half_close,
                                              stream_close};
