/* SPDX-License-Identifier: MIT */
/* The ceiling: nghttp2 and epoll in one thread with a hand codec, and nothing else: no log line, no limits,
 * no deadline, no metadata beyond the function id. It decodes and encodes every row, so it touches what a
 * real server must touch. Functions: 0 echo, 1 sum of the numbers, 2 text with "!" appended. Windows are
 * given back as answers leave. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

#define OUT_CAP  ((size_t)256 * 1024)
#define WINDOW   ((size_t)1 << 20)
#define HOLD_MAX ((size_t)2 << 20) /* encoded reply bytes waiting above which windows are not given back */

struct bytes {
    uint8_t *at;
    size_t len, cap;
};

struct call {
    struct call *next_free;
    int32_t stream;
    int function;
    bool ended, answered, waiting;
    struct bytes in;  /* an incomplete message, prefix included */
    struct bytes out; /* reply messages not yet sent */
    size_t out_off, hold;
};

struct conn {
    int fd;
    nghttp2_session *h2;
    uint8_t out[OUT_CAP];
    size_t out_off, out_len;
    bool want_write;
};

static struct call *g_free;

static uint8_t *room(struct bytes *b, size_t more)
{
    if (b->len + more > b->cap) {
        b->cap = (b->len + more) * 2;
        if (!(b->at = realloc(b->at, b->cap))) abort();
    }
    return b->at + b->len;
}

static const uint8_t *varint(const uint8_t *p, const uint8_t *end, size_t *v)
{
    if (p < end && *p < 0x80) {
        *v = *p;
        return p + 1;
    }
    *v = 0;
    for (unsigned shift = 0; p < end && shift < 63; shift += 7) {
        *v |= (size_t)(*p & 0x7f) << shift;
        if (!(*p++ & 0x80)) return p;
    }
    return NULL;
}

static uint8_t *put_varint(uint8_t *p, size_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static size_t varint_size(size_t v)
{
    size_t n = 1;
    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

struct dual {
    double num;
    const uint8_t *str;
    size_t str_len;
};

static const uint8_t *get_dual(const uint8_t *p, const uint8_t *end, struct dual *d)
{
    *d = (struct dual){0, p, 0};
    while (p && p < end) {
        if (*p == 0x12) {
            p = varint(p + 1, end, &d->str_len);
            if (!p || d->str_len > (size_t)(end - p)) return NULL;
            d->str = p;
            p += d->str_len;
        } else if (*p == 0x09 && end - p >= 9) {
            memcpy(&d->num, p + 1, 8);
            p += 9;
        } else {
            return NULL;
        }
    }
    return p;
}

static uint8_t *put_dual(uint8_t *p, const struct dual *d, const char *suffix, size_t suffix_len)
{
    size_t text = d->str_len + suffix_len, len = (text ? 1 + varint_size(text) + text : 0);
    bool number = d->num < 0 || d->num > 0;
    if (number) len += 9;
    *p++ = 0x0a;
    p = put_varint(p, len);
    if (number) {
        *p++ = 0x09;
        memcpy(p, &d->num, 8);
        p += 8;
    }
    if (text) {
        *p++ = 0x12;
        p = put_varint(p, text);
        memcpy(p, d->str, d->str_len);
        memcpy(p + d->str_len, suffix, suffix_len);
        p += text;
    }
    return p;
}

static uint8_t *answer_row(int function, const uint8_t *p, const uint8_t *end, uint8_t *out)
{
    struct dual d, sum = {0, p, 0};
    uint8_t *start = out;
    size_t len;
    out += 4; /* tag and up to three bytes of length, moved below when shorter */
    uint8_t *body = out;
    while (p < end) {
        if (*p != 0x0a || !(p = varint(p + 1, end, &len)) || len > (size_t)(end - p)) return NULL;
        if (!(p = get_dual(p, p + len, &d))) return NULL;
        if (function == 1)
            sum.num += d.num;
        else
            out = put_dual(out, &d, "!", function == 2);
    }
    if (function == 1) out = put_dual(out, &sum, "", 0);
    size_t n = (size_t)(out - body), head = 1 + varint_size(n);
    start[0] = 0x0a;
    put_varint(start + 1, n);
    memmove(start + head, body, n);
    return start + head + n;
}

/* Appends the answer to one whole message to c->out. */
static bool answer(struct call *c, const uint8_t *msg, size_t len)
{
    const uint8_t *p = msg, *end = msg + len;
    size_t used = 5, row_len; /* of this answer, which begins at c->out.len */
    room(&c->out, 5 + len + 64);
    while (p < end) {
        if (*p != 0x0a || !(p = varint(p + 1, end, &row_len)) || row_len > (size_t)(end - p)) return false;
        uint8_t *row =
            room(&c->out, used + row_len * 2 + 64) + used; /* "!" can nearly double a row of empty text */
        uint8_t *row_end = answer_row(c->function, p, p + row_len, row);
        if (!row_end) return false;
        used += (size_t)(row_end - row);
        p += row_len;
    }
    uint8_t *start = c->out.at + c->out.len;
    size_t n = used - 5;
    start[0] = 0;
    start[1] = (uint8_t)(n >> 24);
    start[2] = (uint8_t)(n >> 16);
    start[3] = (uint8_t)(n >> 8);
    start[4] = (uint8_t)n;
    c->out.len += 5 + n;
    return true;
}

static uint32_t message_len(const uint8_t *p)
{
    return (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
}

static bool take(struct call *c, const uint8_t *data, size_t len)
{
    while (len > 0) {
        if (c->in.len == 0 && len >= 5 && len - 5 >= message_len(data)) {
            size_t n = message_len(data);
            if (!answer(c, data + 5, n)) return false;
            data += 5 + n;
            len -= 5 + n;
            continue;
        }
        size_t want = c->in.len < 5 ? 5 - c->in.len : 5 + message_len(c->in.at) - c->in.len;
        size_t n = want < len ? want : len;
        memcpy(room(&c->in, n), data, n);
        c->in.len += n;
        data += n;
        len -= n;
        if (c->in.len >= 5 && c->in.len == 5 + (size_t)message_len(c->in.at)) {
            if (!answer(c, c->in.at + 5, c->in.len - 5)) return false;
            c->in.len = 0;
        }
    }
    return true;
}

static ssize_t read_reply(nghttp2_session *h2, int32_t stream, uint8_t *buf, size_t len, uint32_t *flags,
                          nghttp2_data_source *source, void *user)
{
    static const nghttp2_nv trailer = {(uint8_t *)(uintptr_t) "grpc-status", (uint8_t *)(uintptr_t) "0", 11,
                                       1, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
    (void)user, (void)buf;
    struct call *c = source->ptr;
    size_t left = c->out.len - c->out_off;
    if (left == 0 && !c->ended) {
        c->waiting = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t n = left < len ? left : len;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == left && c->ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_submit_trailer(h2, stream, &trailer, 1);
    }
    return (ssize_t)n;
}

static int on_send_data(nghttp2_session *h2, nghttp2_frame *frame, const uint8_t *head, size_t len,
                        nghttp2_data_source *source, void *user)
{
    struct conn *conn = user;
    struct call *c = source->ptr;
    if (conn->out_len + 9 + len > OUT_CAP) return NGHTTP2_ERR_WOULDBLOCK;
    memcpy(conn->out + conn->out_len, head, 9);
    memcpy(conn->out + conn->out_len + 9, c->out.at + c->out_off, len);
    conn->out_len += 9 + len;
    c->out_off += len;
    if (c->out_off == c->out.len) c->out_off = c->out.len = 0;
    if (c->hold && c->out.len - c->out_off < HOLD_MAX) {
        nghttp2_session_consume(h2, frame->hd.stream_id, c->hold);
        c->hold = 0;
    }
    return 0;
}

static ssize_t on_send(nghttp2_session *h2, const uint8_t *data, size_t len, int flags, void *user)
{
    (void)h2, (void)flags;
    struct conn *conn = user;
    if (conn->out_len + len > OUT_CAP) return NGHTTP2_ERR_WOULDBLOCK;
    memcpy(conn->out + conn->out_len, data, len);
    conn->out_len += len;
    return (ssize_t)len;
}

static int on_begin(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    (void)user;
    struct call *c = g_free;
    if (c)
        g_free = c->next_free;
    else if (!(c = calloc(1, sizeof *c)))
        abort();
    c->stream = frame->hd.stream_id;
    c->function = 0;
    c->ended = c->answered = c->waiting = false;
    c->in.len = c->out.len = c->out_off = c->hold = 0;
    nghttp2_session_set_stream_user_data(h2, c->stream, c);
    return 0;
}

static unsigned base64(uint8_t ch)
{
    if (ch >= 'A' && ch <= 'Z') return ch - 'A';
    if (ch >= 'a' && ch <= 'z') return ch - 'a' + 26u;
    if (ch >= '0' && ch <= '9') return ch - '0' + 52u;
    return ch == '+' ? 62 : 63;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    (void)flags, (void)user;
    if (name_len != 30 || memcmp(name, "qlik-functionrequestheader-bin", 30) != 0 || value_len < 3) return 0;
    struct call *c = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
    unsigned a = base64(value[0]) << 2 | base64(value[1]) >> 4,
             b = (base64(value[1]) & 15) << 4 | base64(value[2]) >> 2;
    if (c) c->function = a == 0x08 ? (int)b : 0; /* ids up to 127 */
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t stream, const uint8_t *data, size_t len,
                   void *user)
{
    (void)flags, (void)user;
    struct call *c = nghttp2_session_get_stream_user_data(h2, stream);
    if (!c) {
        nghttp2_session_consume(h2, stream, len);
        return 0;
    }
    if (!take(c, data, len)) nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, stream, NGHTTP2_PROTOCOL_ERROR);
    if (c->out.len - c->out_off < HOLD_MAX)
        nghttp2_session_consume(h2, stream, len);
    else
        c->hold += len;
    return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    static const nghttp2_nv head[] = {{(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "200", 7, 3,
                                       NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE},
                                      {(uint8_t *)(uintptr_t) "content-type",
                                       (uint8_t *)(uintptr_t) "application/grpc", 12, 16,
                                       NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE}};
    (void)user;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    struct call *c = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
    if (!c) return 0;
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) c->ended = true;
    if (!c->answered && (c->ended || c->out.len > 0)) {
        nghttp2_data_provider body = {.source = {.ptr = c}, .read_callback = read_reply};
        nghttp2_submit_response(h2, c->stream, head, 2, &body);
        c->answered = true;
    } else if (c->waiting && (c->ended || c->out.len > 0)) {
        c->waiting = false;
        nghttp2_session_resume_data(h2, c->stream);
    }
    return 0;
}

static int on_close(nghttp2_session *h2, int32_t stream, uint32_t error, void *user)
{
    (void)error, (void)user;
    struct call *c = nghttp2_session_get_stream_user_data(h2, stream);
    if (!c) return 0;
    nghttp2_session_set_stream_user_data(h2, stream, NULL);
    c->next_free = g_free;
    g_free = c;
    return 0;
}

static struct conn *conn_new(int fd)
{
    struct conn *conn = calloc(1, sizeof *conn);
    nghttp2_session_callbacks *cb;
    nghttp2_option *o;
    if (!conn) abort();
    conn->fd = fd;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_option_new(&o);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_session_server_new2(&conn->h2, cb, conn, o);
    nghttp2_option_del(o);
    nghttp2_session_callbacks_del(cb);
    nghttp2_settings_entry s[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000},
                                  {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)WINDOW}};
    nghttp2_submit_settings(conn->h2, NGHTTP2_FLAG_NONE, s, 2);
    nghttp2_session_set_local_window_size(conn->h2, NGHTTP2_FLAG_NONE, 0, (int32_t)WINDOW * 4);
    return conn;
}

static bool conn_flush(struct conn *conn)
{
    for (;;) {
        if (nghttp2_session_send(conn->h2) != 0) return false;
        if (conn->out_len == conn->out_off) break;
        ssize_t n = send(conn->fd, conn->out + conn->out_off, conn->out_len - conn->out_off, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) return false;
        if (n > 0) conn->out_off += (size_t)n;
        conn->want_write = conn->out_off < conn->out_len;
        if (conn->want_write) return true;
        bool more = conn->out_len > OUT_CAP / 2;
        conn->out_off = conn->out_len = 0;
        if (!more) break;
    }
    return nghttp2_session_want_read(conn->h2) || nghttp2_session_want_write(conn->h2);
}

static bool conn_read(struct conn *conn)
{
    static uint8_t buf[128 * 1024];
    ssize_t n = recv(conn->fd, buf, sizeof buf, 0);
    if (n <= 0) return n < 0 && errno == EAGAIN;
    return nghttp2_session_mem_recv(conn->h2, buf, (size_t)n) >= 0;
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM, 0), ep = epoll_create1(0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t at_len = sizeof at;
    if (bind(listener, (struct sockaddr *)&at, at_len) != 0 || listen(listener, 128) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &at_len) != 0) {
        perror("bare_server");
        return 1;
    }
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    printf("ready sse=127.0.0.1:%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event got[64];
        int n = epoll_wait(ep, got, 64, -1);
        for (int i = 0; i < n; i++) {
            struct conn *conn = got[i].data.ptr;
            if (!conn) {
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (fd < 0) continue;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                ev = (struct epoll_event){.events = EPOLLIN, .data.ptr = conn_new(fd)};
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
                continue;
            }
            bool was = conn->want_write;
            if ((got[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !conn_read(conn)) || !conn_flush(conn)) {
                nghttp2_session_del(conn->h2);
                close(conn->fd);
                free(conn);
                continue;
            }
            if (was != conn->want_write) {
                ev = (struct epoll_event){.events = conn->want_write ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                          .data.ptr = conn};
                epoll_ctl(ep, EPOLL_CTL_MOD, conn->fd, &ev);
            }
        }
    }
}
