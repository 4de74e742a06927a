/* SPDX-License-Identifier: MIT */
/* The connection: nghttp2 session, settings, feeding and pulling. Streams' output and headers are in
 * h2_stream.c. */
#include "net/h2_priv.h"

#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "net/conn.h"

enum { FRAME_MAX = 64 * 1024, BUFS_MAX = 256, BUF_KEEP = 64 * 1024 };

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

bool pb_h2_is_preface(const char *p, size_t n)
{
    return memcmp(p, preface, n < PB_H2_PREFACE ? n : PB_H2_PREFACE) == 0;
}

static struct pb_h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* ------------------------------------------------------------------------------------------------ received
 */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct pb_h2 *h2 = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    struct pb_h2_stream *s = h2->n_streams < h2->max_streams ? h2->ops->open(h2->user) : NULL;
    if (!s) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    s->h2 = h2;
    s->id = frame->hd.stream_id;
    s->last = &s->first;
    s->prev = NULL;
    s->next = h2->streams;
    if (s->next) s->next->prev = s;
    h2->streams = s;
    h2->n_streams++;
    nghttp2_session_set_stream_user_data(session, s->id, s);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    struct pb_h2 *h2 = user;
    (void)flags;
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    struct pb_h2_stream *s = stream_of(session, frame->hd.stream_id);
    if (!s || s->headers_done) return 0; /* request trailers mean nothing to anyone here */
    s->header_bytes += name_n + value_n + 32;
    if (s->header_bytes > h2->max_header) {
        s->headers_large = true;
        return 0;
    }
    pb__h2_put_field(&s->text, &s->fields, &s->n_fields, &s->fields_cap, pb_str((const char *)name, name_n),
                     pb_str((const char *)value, value_n));
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct pb_h2 *h2 = user;
    h2->frames++;
    if (frame->hd.type == NGHTTP2_PING && frame->hd.flags & NGHTTP2_FLAG_ACK) h2->ping_acks++;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    struct pb_h2_stream *s = stream_of(session, frame->hd.stream_id);
    if (!s) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !s->headers_done) {
        s->headers_done = true;
        s->remote_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
        h2->ops->headers(s);
    } else if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        s->remote_end = true;
    } else {
        return 0;
    }
    if (s->remote_end) h2->ops->end(s);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *user)
{
    struct pb_h2 *h2 = user;
    (void)flags;
    struct pb_h2_stream *s = stream_of(session, id);
    if (!s || s->reset) {
        nghttp2_session_consume_connection(session, n);
        return 0;
    }
    s->owed += (uint32_t)n;
    h2->ops->data(s, (const char *)p, n);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct pb_h2 *h2 = user;
    struct pb_h2_stream *s = stream_of(session, id);
    if (!s) return 0;
    if (s->owed) nghttp2_session_consume_connection(session, s->owed);
    s->owed = 0;
    pb__h2_forget(s);
    h2->ops->close(s, code);
    return 0;
}

static int on_error(nghttp2_session *session, int code, const char *text, size_t n, void *user)
{
    struct pb_h2 *h2 = user;
    (void)session;
    (void)code;
    if (n >= sizeof h2->why) n = sizeof h2->why - 1;
    memcpy(h2->why, text, n);
    h2->why[n] = '\0';
    return 0;
}

/* ------------------------------------------------------------------------------------------------ sending */

/* Headers that cannot be sent would leave the stream open for ever. */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int code, void *user)
{
    (void)user;
    struct pb_h2_stream *s =
        frame->hd.type == NGHTTP2_HEADERS ? stream_of(session, frame->hd.stream_id) : NULL;
    if (s && code != NGHTTP2_ERR_STREAM_CLOSED && code != NGHTTP2_ERR_STREAM_CLOSING)
        pb_h2_reset(s, NGHTTP2_INTERNAL_ERROR);
    return 0;
}

/* RFC 9113, 8.1: a response that ends before its request asks the client to stop sending. */
/*
 * The library ends the connection: somebody will look for the reason. It takes no header field above 64 KiB
 * on the wire whatever the list's limit says, and a script that Qlik sends along is one field in base64.
 */
enum { FAULTS_SAID = 5 }; /* in a second */

static void say_goodbye(const struct pb_h2 *h2, const nghttp2_frame *frame)
{
    static _Thread_local struct pb_warnings warnings;
    int64_t unsaid;
    if (!pb_conn_may_warn(&warnings, FAULTS_SAID, &unsaid)) return;
    const char *advice =
        frame->goaway.error_code == NGHTTP2_COMPRESSION_ERROR
            ? "most likely a header field above 65,536 bytes: a script sent along must stay below 48 KB"
            : "";
    pb_log(PB_LOG_WARN, "net", "HTTP/2 connection ended for a fault of the client's",
           PB_S("fault", nghttp2_http2_strerror(frame->goaway.error_code)), PB_S("why", h2->why),
           PB_S("advice", advice), PB_I("unsaid_before", unsaid));
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct pb_h2 *h2 = user;
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
        say_goodbye(h2, frame);
    /* Not submitted with it: the library sends a PING before what was submitted earlier. */
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code == NGHTTP2_NO_ERROR &&
        frame->goaway.last_stream_id == INT32_MAX)
        pb_h2_ping(h2);
    if (frame->hd.type == NGHTTP2_PING && !(frame->hd.flags & NGHTTP2_FLAG_ACK)) h2->held = h2->hush;
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    struct pb_h2_stream *s = stream_of(session, frame->hd.stream_id);
    if (s && !s->remote_end && !s->lingers) pb_h2_reset(s, NGHTTP2_NO_ERROR);
    return 0;
}

/* Frames as large as the peer takes them: the default of 16 KiB costs a header per 16 KiB. */
static ssize_t on_read_length(nghttp2_session *session, uint8_t type, int32_t id, int32_t session_window,
                              int32_t stream_window, uint32_t peer_max, void *user)
{
    (void)session;
    (void)type;
    (void)id;
    (void)user;
    int64_t n = session_window < stream_window ? session_window : stream_window;
    if (n > (int64_t)peer_max) n = peer_max;
    return n > FRAME_MAX ? FRAME_MAX : n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
                        nghttp2_data_source *source, void *user)
{
    struct pb_h2 *h2 = user;
    struct pb_h2_stream *s = source->ptr;
    (void)session;
    pb_buf_add(h2->out, head, 9);
    if (frame->data.padlen > 0) pb_buf_ch(h2->out, (char)(frame->data.padlen - 1));
    pb__h2_take_output(s, h2->out, n);
    if (frame->data.padlen > 1) {
        memset(pb_buf_room(h2->out, frame->data.padlen - 1), 0, frame->data.padlen - 1);
        h2->out->n += frame->data.padlen - 1;
    }
    if (n) h2->ops->sent(s, n);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ life */

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *c;
    if (nghttp2_session_callbacks_new(&c)) pb_fatal("nghttp2: out of memory");
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_sent);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
    nghttp2_session_callbacks_set_error_callback2(c, on_error);
    nghttp2_session_callbacks_set_data_source_read_length_callback(c, on_read_length);
    nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
    return c;
}

static nghttp2_option *make_options(const struct pb_h2 *h2)
{
    nghttp2_option *o;
    if (nghttp2_option_new(&o)) pb_fatal("nghttp2: out of memory");
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_send_header_block_length(o, 1 << 20);
    nghttp2_option_set_max_settings(o, 32);
    nghttp2_option_set_max_outbound_ack(o, 1000);
#ifdef PB_HAVE_NGHTTP2_RESET_LIMIT
    /* A burst of cancelled calls is normal when a chart is redrawn; a flood of them is an attack
     * (CVE-2023-44487). */
    nghttp2_option_set_stream_reset_rate_limit(o, (uint64_t)h2->max_streams * 16 + 1000, 2000);
#endif
#ifdef PB_HAVE_NGHTTP2_MAX_CONTINUATIONS
    /* Each CONTINUATION carries up to a frame; the header limit needs at most this many of 1 KiB
     * (CVE-2024-28182). */
    nghttp2_option_set_max_continuations(o, h2->max_header / 1024 + 8);
#endif
    return o;
}

struct pb_h2 *pb_h2_server_new(const struct pb_h2_options *options, const struct pb_h2_ops *ops, void *user)
{
    static const struct pb_h2_options none;
    if (!options) options = &none;
    struct pb_h2 *h2 = pb_zalloc(sizeof *h2);
    h2->ops = ops;
    h2->user = user;
    h2->max_streams = options->max_streams ? options->max_streams : 1024;
    h2->stream_window = options->stream_window ? options->stream_window : 1u << 20;
    h2->conn_window = options->conn_window ? options->conn_window : 64u << 20;
    h2->max_header = options->max_header ? options->max_header : 256u << 10;
    if (h2->stream_window > INT32_MAX) h2->stream_window = INT32_MAX;
    if (h2->conn_window > INT32_MAX) h2->conn_window = INT32_MAX;
    if (h2->conn_window < h2->stream_window) h2->conn_window = h2->stream_window;
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_option *option = make_options(h2);
    nghttp2_mem mem = pb__h2_mem(&h2->heap);
    if (nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &mem))
        pb_fatal("nghttp2: out of memory");
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h2->max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h2->stream_window},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_MAX},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h2->max_header},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    if (nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, PB_COUNTOF(settings)) ||
        nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0, (int32_t)h2->conn_window))
        pb_fatal("nghttp2: settings refused");
    return h2;
}

void pb_h2_free(struct pb_h2 *h2)
{
    if (!h2) return;
    while (h2->streams) {
        struct pb_h2_stream *s = h2->streams;
        pb__h2_forget(s);
        h2->ops->close(s, NGHTTP2_CANCEL);
    }
    nghttp2_session_del(h2->session);
    pb_heap_free(&h2->heap);
    while (h2->n_bufs) pb_buf_free(&h2->bufs[--h2->n_bufs]);
    pb_free(h2->bufs);
    while (h2->chunks) {
        struct pb_h2_chunk *c = h2->chunks;
        h2->chunks = c->next;
        pb_free(c);
    }
    pb_free(h2);
}

void *pb_h2_user(const struct pb_h2 *h2)
{
    return h2->user;
}

/* ------------------------------------------------------------------------------------------------ bytes */

int pb_h2_feed(struct pb_h2 *h2, const char *p, size_t n, struct pb_err *err)
{
    ssize_t rc = nghttp2_session_mem_recv(h2->session, (const uint8_t *)p, n);
    if (rc < 0)
        return pb_fail(err, PBAY_INTERNAL, "HTTP/2: %s%s%s", nghttp2_strerror((int)rc),
                       h2->why[0] ? ": " : "", h2->why);
    return 0;
}

int pb_h2_pull(struct pb_h2 *h2, struct pb_buf *out, size_t limit, struct pb_err *err)
{
    h2->out = out;
    int rc = 0;
    for (;;) {
        if (out->n >= limit) {
            rc = pb_h2_wants_write(h2);
            break;
        }
        if (h2->held) break;
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(h2->session, &p);
        if (n > 0) {
            pb_buf_add(out, p, (size_t)n);
        } else {
            if (n < 0) rc = pb_fail(err, PBAY_INTERNAL, "HTTP/2: %s", nghttp2_strerror((int)n));
            break;
        }
    }
    h2->out = NULL;
    return rc;
}

bool pb_h2_wants_write(struct pb_h2 *h2)
{
    return nghttp2_session_want_write(h2->session);
}

bool pb_h2_done(struct pb_h2 *h2)
{
    return !nghttp2_session_want_write(h2->session) && !nghttp2_session_want_read(h2->session);
}

uint32_t pb_h2_streams(const struct pb_h2 *h2)
{
    return h2->n_streams;
}

struct pb_h2_stream *pb_h2_first_stream(const struct pb_h2 *h2)
{
    return h2->streams;
}

void pb_h2_goaway_notice(struct pb_h2 *h2)
{
    nghttp2_submit_shutdown_notice(h2->session);
}

void pb_h2_goaway(struct pb_h2 *h2)
{
    nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(h2->session), NGHTTP2_NO_ERROR, NULL, 0);
}

void pb_h2_hush(struct pb_h2 *h2, bool on)
{
    h2->hush = on;
    h2->held = false;
}

void pb_h2_ping(struct pb_h2 *h2)
{
    nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL);
}

uint64_t pb_h2_frames(const struct pb_h2 *h2)
{
    return h2->frames;
}

uint64_t pb_h2_ping_acks(const struct pb_h2 *h2)
{
    return h2->ping_acks;
}

/* ------------------------------------------------------------------------------------------------ memory */

struct pb_buf pb_h2_buf(struct pb_h2 *h2)
{
    struct pb_buf b = {0};
    if (h2->n_bufs) b = h2->bufs[--h2->n_bufs];
    return b;
}

void pb__h2_give_buf(struct pb_h2 *h2, struct pb_buf *b)
{
    if (b->cap && b->cap <= BUF_KEEP && h2->n_bufs < BUFS_MAX) {
        if (!h2->bufs) h2->bufs = pb_array(BUFS_MAX, sizeof *h2->bufs);
        b->n = 0;
        h2->bufs[h2->n_bufs++] = *b;
        *b = (struct pb_buf){0};
    } else {
        pb_buf_free(b);
    }
}
