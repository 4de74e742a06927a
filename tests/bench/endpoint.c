/* SPDX-License-Identifier: MIT */
/*
 * bench_endpoint: a scoring endpoint that costs next to nothing: HTTP/1.1 over epoll in one thread, a line
 * "1" for each line of the request's body (at least one), so that who asks is what is measured.
 *
 *     bench_endpoint [--delay MS] [--room N] [--json]
 *
 * --delay: an answer takes so long; --room: so many at once, others wait their turn; --json: {"result"} is
 * answered as API Gateway does: "0.5". Prints `ready http=127.0.0.1:PORT`.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, BACKLOG = 1024 };

struct conn {
    int fd;
    char *in;
    size_t n, cap;
    size_t lines;      /* of the request that is being served */
    int64_t due_ns;    /* 0: not being served */
    struct conn *next; /* waiting, or being served, in the order of arrival */
};

struct queue {
    struct conn *first, **last;
    unsigned n;
};

static int ep;
static int64_t delay_ns;
static unsigned places = UINT32_MAX;
static int json;
static struct queue waiting = {NULL, &waiting.first, 0}, serving = {NULL, &serving.first, 0};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void put(struct queue *q, struct conn *c)
{
    c->next = NULL;
    *q->last = c;
    q->last = &c->next;
    q->n++;
}

static struct conn *take(struct queue *q)
{
    struct conn *c = q->first;
    q->first = c->next;
    if (!q->first) q->last = &q->first;
    q->n--;
    return c;
}

static void drop(struct queue *q, struct conn *c)
{
    for (struct conn **at = &q->first; *at; at = &(*at)->next) {
        if (*at != c) continue;
        *at = c->next;
        if (q->last == &c->next) q->last = at;
        q->n--;
        return;
    }
}

static void gone(struct conn *c)
{
    drop(&waiting, c);
    drop(&serving, c);
    close(c->fd);
    free(c->in);
    free(c);
}

static void answer(struct conn *c)
{
    static char body[1 << 20], head[160];
    size_t n = 0;
    if (json) {
        memcpy(body, "\"0.5\"", n = 5);
    } else {
        for (size_t i = 0; i < c->lines && n + 2 <= sizeof body; i++) {
            body[n++] = '1';
            body[n++] = '\n';
        }
    }
    int k = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                     json ? "application/json" : "text/csv", n);
    char *all = malloc((size_t)k + n);
    if (!all) abort();
    memcpy(all, head, (size_t)k);
    memcpy(all + k, body, n);
    for (size_t at = 0; at < (size_t)k + n;) { /* loopback takes it; the odd full buffer is waited for */
        ssize_t w = write(c->fd, all + at, (size_t)k + n - at);
        if (w < 0 && errno != EAGAIN && errno != EINTR) break;
        if (w > 0) at += (size_t)w;
    }
    free(all);
    c->due_ns = 0;
}

/* A whole request in the buffer? Its length, and how many lines its body has; 0: not yet. */
static size_t whole(struct conn *c)
{
    char *end = c->n ? memmem(c->in, c->n, "\r\n\r\n", 4) : NULL;
    if (!end) return 0;
    size_t head = (size_t)(end + 4 - c->in), body = 0;
    for (char *p = c->in; p < end;) {
        char *nl = memchr(p, '\n', (size_t)(end + 2 - p));
        if (strncasecmp(p, "content-length:", 15) == 0) body = strtoul(p + 15, NULL, 10);
        if (!nl) break;
        p = nl + 1;
    }
    if (c->n < head + body) return 0;
    c->lines = 0;
    for (size_t i = 0; i < body; i++) c->lines += c->in[head + i] == '\n';
    if (!c->lines) c->lines = 1;
    return head + body;
}

static void begin(struct conn *c);

static void next_request(struct conn *c)
{
    size_t n = c->due_ns ? 0 : whole(c);
    if (!n) return;
    memmove(c->in, c->in + n, c->n - n);
    c->n -= n;
    begin(c);
}

static void begin(struct conn *c)
{
    if (!delay_ns && places == UINT32_MAX) {
        answer(c);
        next_request(c);
        return;
    }
    c->due_ns = -1;
    if (serving.n < places) {
        c->due_ns = now_ns() + delay_ns;
        put(&serving, c);
    } else
        put(&waiting, c);
}

static void serve_due(void)
{
    int64_t now = now_ns();
    while (serving.first && serving.first->due_ns <= now) {
        struct conn *c = take(&serving);
        answer(c);
        if (waiting.first) {
            struct conn *w = take(&waiting);
            w->due_ns = now + delay_ns;
            put(&serving, w);
        }
        next_request(c);
    }
}

static void readable(struct conn *c)
{
    for (;;) {
        if (c->cap - c->n < 65536) {
            c->cap = c->cap ? c->cap * 2 : 131072;
            c->in = realloc(c->in, c->cap);
            if (!c->in) abort();
        }
        ssize_t n = read(c->fd, c->in + c->n, c->cap - c->n);
        if (n > 0) {
            c->n += (size_t)n;
            continue;
        }
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            gone(c);
            return;
        }
        break;
    }
    next_request(c);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--delay") && i + 1 < argc)
            delay_ns = strtol(argv[++i], NULL, 10) * 1000000;
        else if (!strcmp(argv[i], "--room") && i + 1 < argc)
            places = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--json"))
            json = 1;
        else {
            fprintf(stderr, "usage: bench_endpoint [--delay MS] [--room N] [--json]\n");
            return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int one = 1, lfd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (lfd < 0 || bind(lfd, (struct sockaddr *)&a, sizeof a) || listen(lfd, BACKLOG) ||
        getsockname(lfd, (struct sockaddr *)&a, &len)) {
        perror("bench_endpoint");
        return 1;
    }
    ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL}, got[EVENTS];
    epoll_ctl(ep, EPOLL_CTL_ADD, lfd, &ev);
    printf("ready http=127.0.0.1:%d\n", ntohs(a.sin_port));
    fflush(stdout);
    for (;;) {
        int wait = -1;
        if (serving.first) {
            int64_t left = serving.first->due_ns - now_ns();
            wait = left <= 0 ? 0 : (int)(left / 1000000) + (left % 1000000 > 200000);
        }
        int n = epoll_wait(ep, got, EVENTS, wait);
        for (int i = 0; i < n; i++) {
            if (got[i].data.ptr) {
                readable(got[i].data.ptr);
                continue;
            }
            int fd;
            while ((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                struct conn *c = calloc(1, sizeof *c);
                if (!c) abort();
                c->fd = fd;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
            }
        }
        serve_due();
    }
}
