/* SPDX-License-Identifier: MIT */
/* The load client's gRPC connection; see grpc_conn.h. */
#include "grpc_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUT_CAP  ((size_t)512 * 1024)
#define READ_CAP ((size_t)256 * 1024)

static void refill(struct grpc_call *call)
{
    while (call->out_left == 0 && !call->out_last && !call->out_wait) {
        enum grpc_pull r = call->ops->pull(call, &call->out, &call->out_left);
        call->out_last = r == GRPC_PULL_LAST;
        if (r == GRPC_PULL_WAIT) {
            call->out_wait = true;
            call->out_left = 0;
        }
    }
}

static ssize_t on_read_body(nghttp2_session *h2, int32_t stream, uint8_t *buf, size_t len, uint32_t *flags,
                            nghttp2_data_source *source, void *user)
{
    (void)h2, (void)stream, (void)buf, (void)user;
    struct grpc_call *call = source->ptr;
    refill(call);
    if (call->out_wait) return NGHTTP2_ERR_DEFERRED;
    size_t n = call->out_left < len ? call->out_left : len;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == call->out_left && call->out_last) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static bool out_room(const struct grpc_conn *c, size_t n)
{
    return c->out_len + n <= c->out_cap;
}

static ssize_t on_send(nghttp2_session *h2, const uint8_t *data, size_t len, int flags, void *user)
{
    (void)h2, (void)flags;
    struct grpc_conn *c = user;
    if (!out_room(c, len)) return NGHTTP2_ERR_WOULDBLOCK;
    memcpy(c->out + c->out_len, data, len);
    c->out_len += len;
    return (ssize_t)len;
}

static int on_send_data(nghttp2_session *h2, nghttp2_frame *frame, const uint8_t *head, size_t len,
                        nghttp2_data_source *source, void *user)
{
    (void)h2, (void)frame;
    struct grpc_conn *c = user;
    struct grpc_call *call = source->ptr;
    if (!out_room(c, 9 + len)) return NGHTTP2_ERR_WOULDBLOCK;
    memcpy(c->out + c->out_len, head, 9);
    memcpy(c->out + c->out_len + 9, call->out, len);
    c->out_len += 9 + len;
    call->out += len;
    call->out_left -= len;
    return 0;
}

static ssize_t on_read_length(nghttp2_session *h2, uint8_t type, int32_t stream, int32_t conn_window,
                              int32_t stream_window, uint32_t max_frame, void *user)
{
    (void)h2, (void)type, (void)stream, (void)user;
    int64_t n = conn_window < stream_window ? conn_window : stream_window;
    if (n > (int64_t)max_frame) n = max_frame;
    return n > 65536 ? 65536 : (ssize_t)n;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    (void)flags, (void)user;
    if (name_len < 11 || memcmp(name, "grpc-", 5) != 0) return 0;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
    if (!call) return 0;
    if (name_len == 11 && memcmp(name, "grpc-status", 11) == 0) {
        call->status = 0;
        for (size_t i = 0; i < value_len; i++) call->status = call->status * 10 + (value[i] - '0');
    } else if (name_len == 12 && memcmp(name, "grpc-message", 12) == 0) {
        snprintf(call->status_text, sizeof call->status_text, "%.*s", (int)value_len, (const char *)value);
    }
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t stream, const uint8_t *data, size_t len,
                   void *user)
{
    (void)flags, (void)user;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(h2, stream);
    if (!call) return 0;
    while (len > 0) {
        if (call->prefix_have < 5) {
            call->prefix[call->prefix_have++] = *data++;
            len--;
            if (call->prefix_have < 5) continue;
            call->msg_len = (uint32_t)call->prefix[1] << 24 | (uint32_t)call->prefix[2] << 16 |
                            (uint32_t)call->prefix[3] << 8 | call->prefix[4];
            call->msg_have = 0;
            if (call->msg_len > 0 && len == 0) return 0;
        }
        if (call->msg_have == 0 && len >= call->msg_len) {
            call->prefix_have = 0;
            call->ops->message(call, data, call->msg_len);
            data += call->msg_len;
            len -= call->msg_len;
            continue;
        }
        if (call->msg_cap < call->msg_len) {
            call->msg = realloc(call->msg, call->msg_len);
            if (!call->msg) abort();
            call->msg_cap = call->msg_len;
        }
        size_t n = call->msg_len - call->msg_have < len ? call->msg_len - call->msg_have : len;
        memcpy(call->msg + call->msg_have, data, n);
        call->msg_have += n;
        data += n;
        len -= n;
        if (call->msg_have == call->msg_len) {
            call->prefix_have = 0;
            call->ops->message(call, call->msg, call->msg_len);
            call->msg_have = 0;
        }
    }
    return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    struct grpc_conn *c = user;
    if (frame->hd.type == NGHTTP2_GOAWAY) c->goaway = frame->goaway.error_code + 1;
    /* A server that ends a call early leaves our half open: end it, as gRPC clients do. */
    if (frame->hd.type == NGHTTP2_HEADERS && frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        struct grpc_call *call = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
        if (call && !(call->out_last && call->out_left == 0))
            nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
}

static int on_close(nghttp2_session *h2, int32_t stream, uint32_t error, void *user)
{
    (void)user;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(h2, stream);
    if (!call || call->stream_id != stream) return 0;
    call->stream_id = 0;
    call->ops->done(call, call->status, error);
    return 0;
}

static int tcp_connect(const char *target)
{
    char host[64];
    const char *colon = strrchr(target, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    if (!colon || (size_t)(colon - target) >= sizeof host) return -1;
    memcpy(host, target, (size_t)(colon - target));
    host[colon - target] = '\0';
    if (getaddrinfo(host, colon + 1, &hints, &list) != 0) return -1;
    int fd = -1;
    for (struct addrinfo *a = list; a; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0) break;
        if (fd >= 0) close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    if (fd < 0) return -1;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

int grpc_conn_open(struct grpc_conn *c, const char *target, const struct grpc_conn_options *opt)
{
    *c = (struct grpc_conn){.fd = tcp_connect(target)};
    if (c->fd < 0) {
        fprintf(stderr, "sse_load: cannot connect to %s: %s\n", target, strerror(errno));
        return -1;
    }
    snprintf(c->authority, sizeof c->authority, "%s", target);
    c->out_cap = OUT_CAP;
    if (!(c->out = malloc(c->out_cap))) abort();

    nghttp2_session_callbacks *cb;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(cb, on_read_length);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_option *o;
    nghttp2_option_new(&o);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_session_client_new2(&c->h2, cb, c, o);
    nghttp2_option_del(o);
    nghttp2_session_callbacks_del(cb);

    nghttp2_settings_entry s[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                  {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, opt->window},
                                  {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, opt->max_frame}};
    nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, s, sizeof s / sizeof s[0]);
    uint64_t whole = (uint64_t)opt->window * 4;
    nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0,
                                          whole > 0x7fffffff ? 0x7fffffff : (int32_t)whole);
    return grpc_conn_flush(c) ? 0 : -1;
}

void grpc_conn_close(struct grpc_conn *c)
{
    if (c->h2) nghttp2_session_del(c->h2);
    if (c->fd >= 0) close(c->fd);
    free(c->out);
    *c = (struct grpc_conn){.fd = -1, .closed = true};
}

#define FIELD(n, v, v_len)                                                                                   \
    {                                                                                                        \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, (v_len),                        \
            NGHTTP2_NV_FLAG_NO_COPY_NAME                                                                     \
    }

int grpc_conn_start(struct grpc_conn *c, struct grpc_call *call, const char *path, const nghttp2_nv *extra,
                    size_t extra_count)
{
    nghttp2_nv nv[16] = {
        FIELD(":method", "POST", 4),          FIELD(":scheme", "http", 4),
        FIELD(":path", path, strlen(path)),   FIELD(":authority", c->authority, strlen(c->authority)),
        FIELD("te", "trailers", 8),           FIELD("content-type", "application/grpc", 16),
        FIELD("user-agent", "sse-load/1", 10)};
    size_t n = 7;
    for (size_t i = 0; i < extra_count && n < sizeof nv / sizeof nv[0]; i++) nv[n++] = extra[i];
    call->conn = c;
    call->status = -1;
    call->status_text[0] = '\0';
    call->out = NULL;
    call->out_left = 0;
    call->out_last = call->out_wait = false;
    call->prefix_have = 0;
    call->msg_have = 0;
    nghttp2_data_provider body = {.source = {.ptr = call}, .read_callback = on_read_body};
    int32_t id = nghttp2_submit_request(c->h2, NULL, nv, n, &body, call);
    if (id < 0) {
        snprintf(c->why, sizeof c->why, "submit: %s", nghttp2_strerror(id));
        return -1;
    }
    call->stream_id = id;
    return 0;
}

void grpc_conn_cancel(struct grpc_conn *c, struct grpc_call *call)
{
    if (call->stream_id) nghttp2_submit_rst_stream(c->h2, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_CANCEL);
}

static bool lost(struct grpc_conn *c, const char *why)
{
    c->closed = true;
    if (!c->why[0]) snprintf(c->why, sizeof c->why, "%s", why);
    return false;
}

bool grpc_conn_read(struct grpc_conn *c)
{
    static uint8_t buf[READ_CAP];
    if (c->closed) return false;
    ssize_t n = recv(c->fd, buf, sizeof buf, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n < 0) return lost(c, strerror(errno));
    if (n == 0) return lost(c, c->goaway ? "closed after GOAWAY" : "closed by the server");
    ssize_t used = nghttp2_session_mem_recv(c->h2, buf, (size_t)n);
    if (used < 0) return lost(c, nghttp2_strerror((int)used));
    return true;
}

bool grpc_conn_flush(struct grpc_conn *c)
{
    if (c->closed) return false;
    for (;;) {
        int rc = nghttp2_session_send(c->h2);
        if (rc != 0) return lost(c, nghttp2_strerror(rc));
        if (c->out_len == c->out_off) {
            c->out_len = c->out_off = 0;
            c->want_write = false;
            if (!nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2))
                return lost(c, c->goaway ? "ended by GOAWAY" : "ended");
            return true;
        }
        bool was_full = c->out_len > c->out_cap / 2;
        ssize_t n = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return lost(c, strerror(errno));
        if (n > 0) c->out_off += (size_t)n;
        if (c->out_off < c->out_len) {
            c->want_write = true;
            return true;
        }
        c->out_off = c->out_len = 0;
        c->want_write = false;
        if (!was_full) return true;
    }
}

void grpc_call_free(struct grpc_call *call)
{
    free(call->msg);
    call->msg = NULL;
    call->msg_cap = 0;
}
