/* SPDX-License-Identifier: MIT */
/*
 * Load client for webhooks: sends requests that were made beforehand and measures how long each waits for its
 * answer.
 *
 *     hook_load HOST:PORT FILE CONNECTIONS     kept-alive connections, one request at a time on each
 *     hook_load HOST:PORT FILE 0               as many connections as requests, all at once, one request each
 *
 * FILE: whole HTTP/1.1 requests, each behind its length (4 bytes, little-endian). Prints one line of JSON:
 * requests, seconds, ok (answers 2xx), p50_us, p99_us, longest_us, began (seconds since 1970). Exit code 1
 * when an answer was missing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { REPLY = 16384, EVENTS = 512 };

struct request {
    const char *p;
    uint32_t n;
};

struct conn {
    int fd;
    const struct request *rq; /* on its way; NULL: none */
    uint32_t sent;
    int64_t began;
    size_t got;
    char reply[REPLY];
};

static struct request *requests;
static size_t n_requests, next, ended, good;
static int64_t *waits;
static int epoll, at_once;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "hook_load: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void read_file(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) || st.st_size == 0) die(path);
    const char *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0), *end = p + st.st_size;
    if (p == MAP_FAILED) die(path);
    close(fd);
    for (size_t cap = 0; p + 4 <= end;) {
        uint32_t n;
        memcpy(&n, p, 4);
        if (n_requests == cap) {
            cap = cap ? 2 * cap : 1024;
            requests = realloc(requests, cap * sizeof *requests);
            if (!requests) die("memory");
        }
        if (n > (size_t)(end - p - 4)) die("the file is cut");
        requests[n_requests++] = (struct request){p + 4, n};
        p += 4 + n;
    }
}

static void watch(struct conn *c, uint32_t events, int op)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll, op, c->fd, &ev)) die("epoll_ctl");
}

static void send_on(struct conn *c)
{
    while (c->sent < c->rq->n) {
        ssize_t n = write(c->fd, c->rq->p + c->sent, c->rq->n - c->sent);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
            return;
        }
        if (n < 0) die("write");
        c->sent += (uint32_t)n;
    }
    watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

static void begin(struct conn *c)
{
    if (next == n_requests) {
        c->rq = NULL;
        return;
    }
    c->rq = &requests[next++];
    c->sent = 0;
    c->got = 0;
    if (!at_once) c->began = now_ns();
    send_on(c);
}

/* A whole answer? Its length. */
static size_t whole(struct conn *c)
{
    c->reply[c->got] = 0;
    char *body = strstr(c->reply, "\r\n\r\n");
    if (!body) return 0;
    char *length = strcasestr(c->reply, "\r\ncontent-length:");
    size_t n = (size_t)(body + 4 - c->reply) + (length && length < body ? strtoul(length + 17, NULL, 10) : 0);
    return c->got >= n ? n : 0;
}

static void receive(struct conn *c)
{
    ssize_t n = read(c->fd, c->reply + c->got, REPLY - 1 - c->got);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        if (!c->rq) return;
        fprintf(stderr, "hook_load: a connection was closed in place of an answer\n");
        exit(1);
    }
    c->got += (size_t)n;
    if (!c->rq || !whole(c)) return;
    waits[ended++] = now_ns() - c->began;
    good += !strncmp(c->reply, "HTTP/1.1 2", 10);
    if (at_once) {
        close(c->fd);
        c->rq = NULL;
    } else
        begin(c);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: hook_load HOST:PORT FILE CONNECTIONS\n");
        return 2;
    }
    char host[64];
    const char *colon = strrchr(argv[1], ':');
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (!colon || colon - argv[1] >= (int)sizeof host) die("HOST:PORT");
    memcpy(host, argv[1], (size_t)(colon - argv[1]));
    host[colon - argv[1]] = 0;
    to.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1) die("HOST:PORT");
    read_file(argv[2]);
    size_t n_conns = (size_t)atoi(argv[3]);
    at_once = n_conns == 0;
    if (at_once) n_conns = n_requests;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    waits = calloc(n_requests, sizeof *waits);
    struct conn *conns = calloc(n_conns, sizeof *conns);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!waits || !conns || epoll < 0) die("memory");
    int64_t began = now_ns();
    for (size_t i = 0; i < n_conns; i++) {
        struct conn *c = &conns[i];
        int one = 1;
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (at_once ? SOCK_NONBLOCK : 0), 0);
        if (c->fd < 0) die("socket");
        if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) die("connect");
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (!at_once) fcntl(c->fd, F_SETFL, O_NONBLOCK);
        c->began = began;
        watch(c, at_once ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_ADD);
        if (at_once) c->rq = &requests[next++];
    }
    if (!at_once) began = now_ns();
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    for (size_t i = 0; i < n_conns && !at_once; i++) begin(&conns[i]);
    while (ended < n_requests) {
        struct epoll_event evs[EVENTS];
        int n = epoll_wait(epoll, evs, EVENTS, 60000);
        if (n == 0) {
            fprintf(stderr, "hook_load: no answer for 60 s; %zu of %zu came\n", ended, n_requests);
            return 1;
        }
        for (int i = 0; i < n; i++) {
            struct conn *c = evs[i].data.ptr;
            if ((evs[i].events & EPOLLOUT) && c->rq) send_on(c);
            if (evs[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
        }
    }
    double seconds = (double)(now_ns() - began) / 1e9;
    qsort(waits, n_requests, sizeof *waits, by_size);
    printf("{\"requests\": %zu, \"ok\": %zu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"longest_us\": %.1f, \"began\": %.6f}\n",
           n_requests, good, seconds, (double)waits[n_requests / 2] / 1e3,
           (double)waits[n_requests * 99 / 100] / 1e3, (double)waits[n_requests - 1] / 1e3,
           (double)wall.tv_sec + (double)wall.tv_nsec / 1e9);
    return good == n_requests ? 0 : 1;
}
