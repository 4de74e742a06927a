/* SPDX-License-Identifier: MIT */
/*
 * The client's HTTP/2 session and its calls; sans I/O: pb__grpc_client_feed() eats bytes,
 * pb__grpc_client_fill() makes them. What the status of a call is when the server does not say follows gRPC's
 * documents "PROTOCOL-HTTP2.md" (errors of HTTP/2) and "http-grpc-status-mapping.md".
 */
#include "net/grpc_client_priv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"

enum {
    DEFAULT_MESSAGE = 4 * 1024 * 1024,
    OUT_SOFT = 256 * 1024,
    KEEP = 1024 * 1024,
    FIELDS_MAX = 256,
};

/* ---------------------------------------------------------------------------------------------- how it ended
 */

static void finish(struct pb_grpc_stream *s, int32_t code, const char *fmt, ...) PB_PRINTF(3, 4);

/* The first counts. */
static void finish(struct pb_grpc_stream *s, int32_t code, const char *fmt, ...)
{
    if (s->finished) return;
    s->finished = true;
    char text[PB_ERR_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (code == PBAY_OK)
        pb_err_clear(&s->status);
    else
        pb_fail(&s->status, code, "%s", text);
    pb_buf_reset(&s->out, 0);
    s->out_at = 0;
}

static int32_t code_of_http(int64_t status)
{
    switch (status) {
    case 400: return PBAY_INTERNAL;
    case 401: return PBAY_UNAUTHENTICATED;
    case 403: return PBAY_PERMISSION_DENIED;
    case 404: return PBAY_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504: return PBAY_UNAVAILABLE;
    default: return PBAY_UNKNOWN;
    }
}

static int32_t code_of_reset(uint32_t h2)
{
    switch (h2) {
    case NGHTTP2_REFUSED_STREAM: return PBAY_UNAVAILABLE;
    case NGHTTP2_CANCEL: return PBAY_CANCELLED;
    case NGHTTP2_ENHANCE_YOUR_CALM: return PBAY_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY: return PBAY_PERMISSION_DENIED;
    default: return PBAY_INTERNAL;
    }
}

/* The server has said all it will say. */
static void finish_by_fields(struct pb_grpc_stream *s)
{
    pbay_str status = pb_grpc_stream_metadata(s, "grpc-status");
    int64_t code;
    if (status.p) {
        struct pb_buf text = {0};
        if (!pb_parse_i64(status, &code) || code < 0 || code > PBAY_UNAUTHENTICATED) code = PBAY_UNKNOWN;
        pb_grpc_percent_decode(pb_grpc_stream_metadata(s, "grpc-message"), &text);
        if (code != PBAY_OK && !text.n) pb_buf_c(&text, "the server gives no reason");
        finish(s, (int32_t)code, "%.*s", PB_FMT(pb_buf_view(&text)));
        pb_buf_free(&text);
        return;
    }
    pbay_str http = pb_grpc_stream_metadata(s, ":status");
    if (pb_parse_i64(http, &code) && code != 200) {
        finish(s, code_of_http(code), "%s answered with HTTP status %" PRId64 " and not as gRPC: wrong port?",
               s->client->io.address, code);
        return;
    }
    finish(s, PBAY_UNKNOWN, "the reply of %s ended without a grpc-status", s->client->io.address);
}

static void reset(struct pb_grpc_stream *s, uint32_t h2_code)
{
    if (s->closed) return;
    nghttp2_submit_rst_stream(s->client->h2, NGHTTP2_FLAG_NONE, s->id, h2_code);
}

/* ---------------------------------------------------------------------------------------------- session
 * callbacks */

static struct pb_grpc_stream *stream_of(nghttp2_session *h2, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h2, id);
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t n_name,
                     const uint8_t *value, size_t n_value, uint8_t flags, void *user)
{
    (void)flags;
    (void)user;
    struct pb_grpc_stream *s = stream_of(h2, frame->hd.stream_id);
    if (!s || s->finished) return 0;
    if (s->n_fields == FIELDS_MAX) {
        finish(s, PBAY_RESOURCE_EXHAUSTED, "a reply with more than %d header fields", FIELDS_MAX);
        reset(s, NGHTTP2_CANCEL);
        return 0;
    }
    PB_GROW(s->fields, s->fields_cap, s->n_fields + 1);
    s->fields[s->n_fields++] = (struct pb_grpc_field){
        pb_arena_str(&s->arena, pb_str((const char *)name, n_name)),
        pb_arena_str(&s->arena, pb_str((const char *)value, n_value)),
    };
    return 0;
}

static void on_headers_done(struct pb_grpc_stream *s, const nghttp2_frame *frame)
{
    if (s->answered || frame->hd.flags & NGHTTP2_FLAG_END_STREAM) return;
    pbay_str status = pb_grpc_stream_metadata(s, ":status");
    if (status.n == 3 && status.p[0] == '1') {
        s->n_fields = 0; /* informational: the real headers are still to come */
        return;
    }
    s->answered = true;
    int64_t code;
    pbay_str type = pb_grpc_stream_metadata(s, "content-type");
    if (pb_parse_i64(status, &code) && code != 200) {
        finish_by_fields(s);
    } else if (!pb_grpc_content_type_ok(type)) {
        finish(s, PBAY_UNKNOWN, "%s answered with content-type \"%.*s\" and not as gRPC: wrong port?",
               s->client->io.address, (int)(type.n > 80 ? 80 : type.n), type.p ? type.p : "");
    } else {
        s->reader.coding = pb_grpc_coding_of(pb_grpc_stream_metadata(s, "grpc-encoding"));
    }
    if (s->finished) reset(s, NGHTTP2_CANCEL);
}

static void on_goaway(struct pb_grpc_client *c, const nghttp2_goaway *frame)
{
    /* Of two, as a graceful end sends them, the first has said all. */
    if (c->goaway.code) return;
    pbay_str text = pb_str((const char *)frame->opaque_data, frame->opaque_data_len);
    if (text.n > 200) text.n = pb_utf8_floor(text, 200);
    if (!pb_grpc_value_ok(text)) text.n = 0;
    pb_fail(&c->goaway, PBAY_UNAVAILABLE, "%s is closing the connection (%s%s%.*s)", c->io.address,
            nghttp2_http2_strerror(frame->error_code), text.n ? ": " : "", PB_FMT(text));
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    struct pb_grpc_client *c = user;
    if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK)) c->settings = true;
    if (frame->hd.type == NGHTTP2_GOAWAY) on_goaway(c, &frame->goaway);
    struct pb_grpc_stream *s = frame->hd.stream_id ? stream_of(h2, frame->hd.stream_id) : NULL;
    if (!s || s->finished) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS) on_headers_done(s, frame);
    if (s->finished) return 0;
    bool may_end = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (may_end && frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        s->answered = true;
        finish_by_fields(s);
        /* It has answered without wanting the rest. */
        if (!s->half_closed) reset(s, NGHTTP2_NO_ERROR);
    }
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
    (void)flags;
    (void)user;
    struct pb_grpc_stream *s = stream_of(h2, id);
    if (!s || s->finished) {
        nghttp2_session_consume(h2, id, n);
        return 0;
    }
    if (s->in_at) {
        pb_buf_drop(&s->in, s->in_at);
        s->in_at = 0;
    }
    pb_buf_add(&s->in, p, n);
    s->owed += n;
    return 0;
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t code, void *user)
{
    (void)user;
    struct pb_grpc_stream *s = stream_of(h2, id);
    if (!s) return 0;
    s->closed = true;
    const char *address = s->client->io.address;
    if (s->client->goaway.code && code == NGHTTP2_REFUSED_STREAM)
        finish(s, PBAY_UNAVAILABLE, "%s", s->client->goaway.msg);
    else if (code == NGHTTP2_NO_ERROR)
        finish(s, PBAY_UNKNOWN, "%s ended the call without a grpc-status", address);
    else
        finish(s, code_of_reset(code), "%s reset the call (%s)", address, nghttp2_http2_strerror(code));
    return 0;
}

static int on_invalid_frame(nghttp2_session *h2, const nghttp2_frame *frame, int lib_error, void *user)
{
    (void)h2;
    struct pb_grpc_client *c = user;
    if (!c->goaway.code)
        pb_fail(&c->goaway, PBAY_INTERNAL, "%s sent an HTTP/2 frame of type %u that breaks the protocol: %s",
                c->io.address, frame->hd.type, nghttp2_strerror(lib_error));
    return 0;
}

static ssize_t read_body(nghttp2_session *h2, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    (void)source;
    (void)user;
    struct pb_grpc_stream *s = stream_of(h2, id);
    if (!s) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* freed meanwhile */
    size_t there = s->out.n - s->out_at;
    if (n > there) n = there;
    if (n) memcpy(to, s->out.p + s->out_at, n);
    s->out_at += n;
    if (s->out_at == s->out.n) {
        pb_buf_reset(&s->out, KEEP);
        s->out_at = 0;
        if (s->ended) {
            s->half_closed = true;
            *flags |= NGHTTP2_DATA_FLAG_EOF;
            return (ssize_t)n;
        }
    }
    if (n) return (ssize_t)n;
    s->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
}

/* ---------------------------------------------------------------------------------------------- the session
 */

void pb__grpc_client_session(struct pb_grpc_client *c)
{
    nghttp2_session_callbacks *cb;
    nghttp2_option *option;
    PB_REQUIRE(nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_option_set_no_auto_window_update(option, 1);
    PB_REQUIRE(nghttp2_session_client_new2(&c->h2, cb, c, option) == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);

    if (!c->max_message) c->max_message = DEFAULT_MESSAGE;
    /* A whole message must fit: nothing of it is given back before it can be taken. */
    c->window = c->max_message + (1u << 20);
    if (c->window > INT32_MAX) c->window = INT32_MAX;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)c->window},
    };
    PB_REQUIRE(nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, settings, PB_COUNTOF(settings)) == 0);
    PB_REQUIRE(nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0, (int32_t)c->window) == 0);
}

/* Does what came first begin like HTTP/2: a SETTINGS frame (type 4) of stream 0? */
static int recognise(struct pb_grpc_client *c, struct pb_err *err)
{
    const uint8_t *h = c->head;
    const char *address = c->io.address;
    /* Some servers answer a request they cannot read with a bare page. */
    if (c->n_head >= 4 && (!memcmp(h, "HTTP", 4) || h[0] == '<'))
        return pb_fail(err, PBAY_UNAVAILABLE, "%s answered with HTTP/1 and not gRPC: wrong port?", address);
    if (c->n_head >= 3 && (h[0] == 0x15 || h[0] == 0x16) && h[1] == 3)
        return pb_fail(err, PBAY_UNAVAILABLE, "%s answered with TLS: wrong port, or --tls DIR is missing?",
                       address);
    if (c->n_head < PB_H2_FRAME_HEAD) return 0;
    if (h[3] != 4 || h[4] != 0 || h[5] || h[6] || h[7] || h[8])
        return pb_fail(err, PBAY_UNAVAILABLE,
                       "%s does not speak HTTP/2 (its first bytes are %02x %02x %02x %02x): "
                       "wrong port?",
                       address, h[0], h[1], h[2], h[3]);
    c->is_h2 = true;
    return 0;
}

static int feed_session(struct pb_grpc_client *c, const void *p, size_t n, struct pb_err *err)
{
    ssize_t rc = nghttp2_session_mem_recv(c->h2, p, n);
    if (rc >= 0) return 0;
    if (c->goaway.code)
        *err = c->goaway;
    else
        pb_fail(err, PBAY_INTERNAL, "%s breaks HTTP/2: %s", c->io.address, nghttp2_strerror((int)rc));
    return -1;
}

int pb__grpc_client_feed(struct pb_grpc_client *c, const char *p, size_t n, struct pb_err *err)
{
    if (!c->is_h2) {
        while (n && c->n_head < PB_H2_FRAME_HEAD) {
            c->head[c->n_head++] = (uint8_t)*p++;
            n--;
        }
        if (recognise(c, err)) return -1;
        if (!c->is_h2) return 0;
        if (feed_session(c, c->head, c->n_head, err)) return -1;
    }
    return n ? feed_session(c, p, n, err) : 0;
}

int pb__grpc_client_fill(struct pb_grpc_client *c, struct pb_err *err)
{
    if (c->out_at == c->out.n) {
        pb_buf_reset(&c->out, KEEP);
        c->out_at = 0;
    }
    while (c->out.n - c->out_at < OUT_SOFT) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(c->h2, &p);
        if (n < 0)
            return pb_fail(err, PBAY_INTERNAL, "HTTP/2 to %s: %s", c->io.address, nghttp2_strerror((int)n));
        if (n == 0) break;
        pb_buf_add(&c->out, p, (size_t)n);
    }
    return 0;
}

void pb__grpc_client_lose(struct pb_grpc_client *c, const struct pb_err *why)
{
    if (c->lost) return;
    c->lost = true;
    c->why = *why;
    for (struct pb_grpc_stream *s = c->streams; s; s = s->next) {
        s->closed = true;
        finish(s, PBAY_UNAVAILABLE, "%s", why->msg);
    }
}

int64_t pb__grpc_client_expire(struct pb_grpc_client *c)
{
    int64_t next = PB_NO_DEADLINE, now = pb_mono_ns();
    for (struct pb_grpc_stream *s = c->streams; s; s = s->next) {
        if (s->finished) continue;
        if (s->deadline <= now) {
            finish(s, PBAY_DEADLINE_EXCEEDED, "no answer of %s in time", c->io.address);
            reset(s, NGHTTP2_CANCEL);
        } else if (s->deadline < next) {
            next = s->deadline;
        }
    }
    return next;
}

/* ---------------------------------------------------------------------------------------------- calls */

static nghttp2_nv nv(pbay_str name, pbay_str value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)(value.p ? value.p : ""), name.n,
                        value.n, NGHTTP2_NV_FLAG_NONE};
}

/* grpc-timeout: at most eight digits. */
static pbay_str timeout_text(int64_t ms, char text[24])
{
    int64_t v = ms;
    char unit = 'm';
    if (v > 99999999) {
        v = (ms + 999) / 1000;
        unit = 'S';
    }
    if (v > 99999999) v = 99999999;
    int n = snprintf(text, 24, "%" PRId64 "%c", v, unit);
    return pb_str(text, (size_t)n);
}

static int submit(struct pb_grpc_stream *s, const char *path, const pbay_header *metadata, size_t n,
                  int64_t timeout_ms)
{
    struct pb_grpc_client *c = s->client;
    struct pb_arena a = {0};
    char text[24];
    nghttp2_nv *fields = pb_arena_alloc(&a, (n + 9) * sizeof *fields);
    size_t k = 0;
    fields[k++] = nv(PB_STR(":method"), PB_STR("POST"));
    fields[k++] = nv(PB_STR(":scheme"), c->io.ssl ? PB_STR("https") : PB_STR("http"));
    fields[k++] = nv(PB_STR(":path"), pb_str_c(path));
    fields[k++] = nv(PB_STR(":authority"), pb_str_c(c->authority));
    fields[k++] = nv(PB_STR("te"), PB_STR("trailers"));
    if (timeout_ms > 0) fields[k++] = nv(PB_STR("grpc-timeout"), timeout_text(timeout_ms, text));
    fields[k++] = nv(PB_STR("content-type"), PB_STR("application/grpc"));
    fields[k++] = nv(PB_STR("user-agent"), PB_STR("patchbay/" PB_VERSION));
    fields[k++] = nv(PB_STR("grpc-accept-encoding"), PB_STR("identity,gzip,deflate"));
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        pbay_str value = metadata[i].value;
        if (!pb_grpc_key_ok(metadata[i].name)) {
            finish(s, PBAY_INVALID_ARGUMENT, "\"%.*s\" is no name for metadata", PB_FMT(metadata[i].name));
            rc = -1;
        } else if (pb_str_ends(metadata[i].name, PB_STR("-bin"))) {
            struct pb_buf b = {0};
            pb_grpc_base64_encode(value, &b);
            value = pb_arena_str(&a, pb_buf_view(&b));
            pb_buf_free(&b);
        } else if (!pb_grpc_value_ok(value)) {
            finish(s, PBAY_INVALID_ARGUMENT,
                   "metadata %.*s holds more than printable ASCII; use a name that ends in -bin",
                   PB_FMT(metadata[i].name));
            rc = -1;
        }
        fields[k++] = nv(metadata[i].name, value);
    }
    if (!rc) {
        nghttp2_data_provider body = {{.ptr = NULL}, read_body};
        s->id = nghttp2_submit_request(c->h2, NULL, fields, k, &body, s);
        if (s->id < 0)
            finish(s, PBAY_UNAVAILABLE, "%s takes no more calls: %s", c->io.address, nghttp2_strerror(s->id));
        rc = s->id < 0 ? -1 : 0;
    }
    pb_arena_free(&a);
    return rc;
}

struct pb_grpc_stream *pb_grpc_stream_open(struct pb_grpc_client *c, const char *path,
                                           const pbay_header *metadata, size_t n_metadata, int64_t timeout_ms)
{
    PB_MAGIC_CHECK(c, PB_GRPC_CLIENT_MAGIC);
    struct pb_grpc_stream *s = pb_zalloc(sizeof *s);
    s->magic = PB_GRPC_STREAM_MAGIC;
    s->client = c;
    s->reader.limit = c->max_message;
    s->deadline = PB_NO_DEADLINE;
    if (timeout_ms > 0 && timeout_ms < (PB_NO_DEADLINE - pb_mono_ns()) / PB_MS)
        s->deadline = pb_mono_ns() + timeout_ms * PB_MS;
    s->next = c->streams;
    s->link = &c->streams;
    if (s->next) s->next->link = &s->next;
    c->streams = s;
    if (c->lost)
        finish(s, PBAY_UNAVAILABLE, "%s", c->why.msg);
    else if (c->goaway.code)
        finish(s, PBAY_UNAVAILABLE, "%s", c->goaway.msg);
    else
        submit(s, path, metadata, n_metadata, timeout_ms);
    if (s->finished) s->closed = true;
    return s;
}

static void resume(struct pb_grpc_stream *s)
{
    if (!s->deferred || s->closed) return;
    s->deferred = false;
    nghttp2_session_resume_data(s->client->h2, s->id);
}

void pb_grpc_stream_send(struct pb_grpc_stream *s, pbay_str message)
{
    PB_REQUIRE(!s->ended);
    if (s->finished) return;
    PB_REQUIRE(message.n <= UINT32_MAX);
    if (s->out_at > s->out.n / 2) {
        pb_buf_drop(&s->out, s->out_at);
        s->out_at = 0;
    }
    uint8_t prefix[PB_GRPC_PREFIX];
    pb_grpc_prefix(prefix, false, (uint32_t)message.n);
    pb_buf_add(&s->out, prefix, sizeof prefix);
    pb_buf_str(&s->out, message);
    resume(s);
}

void pb_grpc_stream_end(struct pb_grpc_stream *s)
{
    if (s->ended) return;
    s->ended = true;
    if (!s->finished) resume(s);
}

size_t pb_grpc_stream_unsent(const struct pb_grpc_stream *s)
{
    return s->out.n - s->out_at;
}

static void give_back(struct pb_grpc_stream *s, size_t n)
{
    if (n > s->owed) n = s->owed;
    s->owed -= n;
    if (n && !s->client->lost) nghttp2_session_consume(s->client->h2, s->id, n);
}

static void drop_input(struct pb_grpc_stream *s)
{
    give_back(s, s->owed);
    pb_buf_reset(&s->in, 0);
    s->in_at = 0;
    pb_grpc_reader_reset(&s->reader);
}

/* What was received is no good: it ends with this, whatever the server said. */
static void spoil(struct pb_grpc_stream *s, int32_t code, const char *what)
{
    s->finished = false;
    finish(s, code, "the reply of %s: %s", s->client->io.address, what);
    reset(s, NGHTTP2_CANCEL);
    drop_input(s);
}

bool pb_grpc_stream_next(struct pb_grpc_stream *s, pbay_str *message)
{
    PB_MAGIC_CHECK(s, PB_GRPC_STREAM_MAGIC);
    const char *p = s->in.p + s->in_at;
    size_t n = s->in.n - s->in_at;
    if (!n) return false;
    struct pb_grpc_message m;
    struct pb_err err;
    int rc = pb_grpc_reader_next(&s->reader, &p, &n, &m, &err);
    s->in_at = s->in.n - n;
    if (rc < 0) {
        spoil(s, err.code, err.msg);
        return false;
    }
    if (rc == 0) return false;
    give_back(s, m.wire);
    *message = m.bytes;
    return true;
}

bool pb_grpc_stream_over(struct pb_grpc_stream *s)
{
    if (!s->finished || s->in.n - s->in_at) return false;
    if (s->status.code == PBAY_OK && pb_grpc_reader_partial(&s->reader))
        spoil(s, PBAY_INTERNAL, "it ends within a message");
    return true;
}

bool pb_grpc_stream_answered(const struct pb_grpc_stream *s)
{
    return s->answered || s->finished;
}

const struct pb_err *pb_grpc_stream_status(const struct pb_grpc_stream *s)
{
    PB_REQUIRE(s->finished);
    return &s->status;
}

pbay_str pb_grpc_stream_metadata(const struct pb_grpc_stream *s, const char *name)
{
    pbay_str want = pb_str_c(name);
    for (size_t i = 0; i < s->n_fields; i++)
        if (pb_str_eq(s->fields[i].name, want)) return s->fields[i].value;
    return pb_str(NULL, 0);
}

int pb_grpc_stream_metadata_bin(const struct pb_grpc_stream *s, const char *name, struct pb_buf *out,
                                struct pb_err *err)
{
    pbay_str value = pb_grpc_stream_metadata(s, name);
    if (!value.p) return 0;
    value.n = pb_str_chr(value, ','); /* of several, joined, the first */
    if (!pb_grpc_base64_decode(value, out))
        return pb_fail(err, PBAY_INTERNAL, "metadata %s of the reply is not base64", name);
    return 1;
}

void pb_grpc_stream_cancel(struct pb_grpc_stream *s)
{
    if (!s->finished) {
        finish(s, PBAY_CANCELLED, "cancelled");
        reset(s, NGHTTP2_CANCEL);
    }
    drop_input(s);
}

void pb_grpc_stream_free(struct pb_grpc_stream *s)
{
    if (!s) return;
    PB_MAGIC_CHECK(s, PB_GRPC_STREAM_MAGIC);
    pb_grpc_stream_cancel(s);
    if (!s->closed && s->id > 0) {
        /* The session may still hold a frame of this stream; it must not find us. */
        nghttp2_session_set_stream_user_data(s->client->h2, s->id, NULL);
    }
    *s->link = s->next;
    if (s->next) s->next->link = s->link;
    pb_buf_free(&s->out);
    pb_buf_free(&s->in);
    pb_grpc_reader_free(&s->reader);
    pb_arena_free(&s->arena);
    pb_free(s->fields);
    s->magic = 0;
    pb_free(s);
}

int pb_grpc_client_unary(struct pb_grpc_client *c, const char *path, const pbay_header *metadata,
                         size_t n_metadata, int64_t timeout_ms, pbay_str request, struct pb_buf *reply,
                         struct pb_err *err)
{
    struct pb_grpc_stream *s = pb_grpc_stream_open(c, path, metadata, n_metadata, timeout_ms);
    pb_grpc_stream_send(s, request);
    pb_grpc_stream_end(s);
    size_t start = reply->n, messages = 0;
    pbay_str m;
    for (;;) {
        for (; pb_grpc_stream_next(s, &m); messages++)
            if (!messages) pb_buf_str(reply, m);
        if (pb_grpc_stream_over(s)) break;
        if (pb_grpc_client_turn(c, -1) == 1) pb_grpc_stream_cancel(s);
    }
    const struct pb_err *status = pb_grpc_stream_status(s);
    int rc = 0;
    if (status->code != PBAY_OK) {
        if (err) *err = *status;
        rc = -1;
    } else if (messages != 1) {
        rc = pb_fail(err, PBAY_INTERNAL, "%s answered %s with %zu messages instead of one", c->io.address,
                     path, messages);
    }
    if (rc) reply->n = start;
    pb_grpc_stream_free(s);
    return rc;
}
