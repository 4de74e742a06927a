/* SPDX-License-Identifier: MIT */
/*
 * The ceiling: a server that does nothing but read {"data":[[n,v],...]}, find the spans of each row, and
 * answer them. No validation beyond what finding the spans needs, no log, no limits, no routing.
 * Prints "ready http=HOST:PORT".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <emmintrin.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct conn {
    int fd;
    char *in, *out;
    size_t n, cap, out_n, out_at, out_cap;
};

static void room(char **p, size_t *cap, size_t need)
{
    if (*cap >= need) return;
    while (*cap < need) *cap = *cap ? *cap * 2 : 65536;
    *p = realloc(*p, *cap);
    if (!*p) abort();
}

/* The end of the value that begins at p, which is followed by more text. */
static const char *skip(const char *p)
{
    int depth = 0;
    for (;;) {
        if (*p == '"') {
            for (p++;;) {
                __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
                unsigned m = (unsigned)_mm_movemask_epi8(_mm_or_si128(
                    _mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
                if (!m) {
                    p += 16;
                    continue;
                }
                p += __builtin_ctz(m);
                if (*p == '"') break;
                p += 2;
            }
            p++;
        } else if (*p == '[' || *p == '{') {
            depth++;
            p++;
        } else if (*p == ']' || *p == '}') {
            if (!depth) return p;
            depth--;
            p++;
        } else if (*p == ',' && !depth)
            return p;
        else
            p++;
        if (!depth && (*p == ',' || *p == ']' || *p == '}')) return p;
    }
}

/* Rows to columns of spans, and back: what a program that has columns must do at least. */
struct span {
    uint32_t at, n;
};
static struct span *numbers, *values;
static size_t spans;

static size_t answer(const char *body, size_t n, char *out)
{
    const char *p = (const char *)memchr(body, '[', n) + 1, *end = body + n;
    size_t rows = 0;
    while (p < end && *p != ']') {
        if (*p != '[') {
            p++;
            continue;
        }
        if (rows == spans) {
            spans = spans ? spans * 2 : 1024;
            numbers = realloc(numbers, spans * sizeof *numbers);
            values = realloc(values, spans * sizeof *values);
            if (!numbers || !values) abort();
        }
        const char *a = ++p;
        while (*p != ',') p++;
        numbers[rows] = (struct span){(uint32_t)(a - body), (uint32_t)(p - a)};
        a = ++p;
        p = skip(p);
        values[rows++] = (struct span){(uint32_t)(a - body), (uint32_t)(p - a)};
        p++;
    }
    char *o = out;
    memcpy(o, "{\"data\":[", 9);
    o += 9;
    for (size_t i = 0; i < rows; i++) {
        if (i) *o++ = ',';
        *o++ = '[';
        memcpy(o, body + numbers[i].at, numbers[i].n);
        o += numbers[i].n;
        *o++ = ',';
        memcpy(o, body + values[i].at, values[i].n);
        o += values[i].n;
        *o++ = ']';
    }
    memcpy(o, "]}", 2);
    return (size_t)(o + 2 - out);
}

static int flush_out(struct conn *c)
{
    while (c->out_at < c->out_n) {
        ssize_t n = send(c->fd, c->out + c->out_at, c->out_n - c->out_at, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        c->out_at += (size_t)n;
    }
    c->out_at = c->out_n = 0;
    return 0;
}

static int serve(struct conn *c)
{
    for (;;) {
        room(&c->in, &c->cap, c->n + 65536 + 32);
        ssize_t n = recv(c->fd, c->in + c->n, c->cap - c->n - 32, 0);
        if (n == 0) return -1;
        if (n < 0) return errno == EAGAIN ? flush_out(c) : -1;
        c->n += (size_t)n;
        char *end;
        while ((end = memmem(c->in, c->n, "\r\n\r\n", 4))) {
            *end = 0;
            const char *length = strcasestr(c->in, "content-length:");
            *end = '\r';
            size_t at = (size_t)(end - c->in) + 4, body = length ? strtoull(length + 15, NULL, 10) : 0;
            if (c->n < at + body) {
                room(&c->in, &c->cap, at + body + 65536);
                break;
            }
            room(&c->out, &c->out_cap, c->out_n + body + 256);
            char *head = c->out + c->out_n;
            size_t reply = answer(c->in + at, body, head + 128);
            int k = sprintf(
                head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                reply);
            memmove(head + k, head + 128, reply);
            c->out_n += (size_t)k + reply;
            memmove(c->in, c->in + at + body, c->n - at - body);
            c->n -= at + body;
            if (flush_out(c)) return -1;
        }
    }
}

int main(void)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096)) return 1;
    getsockname(fd, (struct sockaddr *)&a, &len);
    printf("ready http=127.0.0.1:%d\n", ntohs(a.sin_port));
    fflush(stdout);
    struct epoll_event e = {EPOLLIN, {.ptr = NULL}}, events[256];
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    for (;;) {
        int n = epoll_wait(ep, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c) {
                int s;
                while ((s = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    c = calloc(1, sizeof *c);
                    if (!c) return 1;
                    c->fd = s;
                    struct epoll_event ce = {EPOLLIN | EPOLLOUT | EPOLLET, {.ptr = c}};
                    epoll_ctl(ep, EPOLL_CTL_ADD, s, &ce);
                }
            } else if (serve(c)) {
                close(c->fd);
                free(c->in);
                free(c->out);
                free(c);
            }
        }
    }
}
