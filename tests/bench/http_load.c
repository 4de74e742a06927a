/* SPDX-License-Identifier: MIT */
/*
 * Load client for servers that answer one POST with one fixed reply: N kept-alive connections over epoll, the
 * same body again and again, every reply compared with the first one byte by byte (which the caller of this
 * program judges).
 *
 *     http_load --connect HOST:PORT --path PATH --body FILE [--header "name: value"]... [--connections 64]
 *               [--seconds 3] [--save FILE] [--allow 429] [--pid PID]
 *
 * Prints one line of JSON: requests, seconds, p50_ms, p99_ms, errors, others (statuses that are allowed), and
 * with --pid the seconds of CPU that the server took and its peak memory in KiB.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADERS_MAX = 16384, SAMPLES = 1 << 20 };

struct conn {
    int fd;
    size_t sent, got, need; /* need: whole reply, once its head is there */
    int status;
    size_t body_at;
    char *in;
    size_t cap;
    int64_t began;
};

static char *request, *first, *save_to;
static size_t n_request, n_first;
static int connections = 64, allowed, epoll;
static double seconds = 3;
static uint64_t done, errors, others;
static float *latency, *latency_other;
static uint64_t n_latency, n_latency_other;
static struct sockaddr_in to;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void dial(struct conn *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to)) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {EPOLLIN | EPOLLOUT | EPOLLET, {.ptr = c}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e)) die("epoll");
}

static void push(struct conn *c)
{
    if (!c->sent) c->began = now();
    while (c->sent < n_request) {
        ssize_t n = send(c->fd, request + c->sent, n_request - c->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN) return;
            errors++;
            close(c->fd);
            c->sent = c->got = c->need = 0;
            dial(c);
            return;
        }
        c->sent += (size_t)n;
    }
}

static void judge(struct conn *c)
{
    float ms = (float)((double)(now() - c->began) / 1e6);
    const char *body = c->in + c->body_at;
    size_t n = c->need - c->body_at;
    if (c->status == 200) {
        if (!first) {
            first = malloc(n + 1);
            memcpy(first, body, n);
            n_first = n;
        } else if (n != n_first || memcmp(first, body, n) != 0)
            errors++;
        if (n_latency < SAMPLES) latency[n_latency++] = ms;
        done++;
    } else if (c->status == allowed) {
        if (n_latency_other < SAMPLES) latency_other[n_latency_other++] = ms;
        others++;
    } else
        errors++;
}

/* 0: the reply is not whole. -1: it is none. */
static int parse_head(struct conn *c)
{
    char *end = memmem(c->in, c->got, "\r\n\r\n", 4);
    if (!end) return c->got > HEADERS_MAX ? -1 : 0;
    *end = 0;
    c->status = c->got > 12 ? atoi(c->in + 9) : 0;
    const char *length = strcasestr(c->in, "content-length:");
    c->body_at = (size_t)(end - c->in) + 4;
    if (!length || !c->status) return -1;
    c->need = c->body_at + strtoull(length + 15, NULL, 10);
    if (c->need > c->cap) {
        c->cap = c->need;
        c->in = realloc(c->in, c->cap);
        if (!c->in) die("realloc");
    }
    return 1;
}

static void pull(struct conn *c)
{
    for (;;) {
        if (c->got == c->cap) {
            c->cap = c->cap ? c->cap * 2 : 65536;
            c->in = realloc(c->in, c->cap);
            if (!c->in) die("realloc");
        }
        ssize_t n = recv(c->fd, c->in + c->got, c->cap - c->got, 0);
        if (n <= 0) {
            if (n < 0 && errno == EAGAIN) return;
            errors++;
            close(c->fd);
            c->sent = c->got = c->need = 0;
            dial(c);
            return;
        }
        c->got += (size_t)n;
        if (!c->need && parse_head(c) < 0) {
            fprintf(stderr, "not a reply: %.200s\n", c->in);
            exit(1);
        }
        if (!c->need || c->got < c->need) continue;
        judge(c);
        c->got = c->need = c->sent = 0;
        push(c);
    }
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static double at(float *v, uint64_t n, double q)
{
    if (!n) return 0;
    qsort(v, n, sizeof *v, ascending);
    return (double)v[(uint64_t)(q * (double)(n - 1))];
}

static double cpu_of(int pid)
{
    char path[64], text[1024];
    unsigned long user = 0, sys = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = pid ? fopen(path, "r") : NULL;
    if (!f) return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    fclose(f);
    const char *p = strrchr(text, ')');
    if (p) sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys);
    return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static long peak_of(int pid)
{
    char path[64], line[256];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = pid ? fopen(path, "r") : NULL;
    while (f && fgets(line, sizeof line, f)) sscanf(line, "VmHWM: %ld", &kib);
    if (f) fclose(f);
    return kib;
}

static char *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) die(path);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *p = malloc(*n + 1);
    if (!p || fread(p, 1, *n, f) != *n) die(path);
    fclose(f);
    return p;
}

int main(int argc, char **argv)
{
    const char *path = "/", *body_file = NULL, *address = NULL;
    char headers[HEADERS_MAX] = "";
    int pid = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *o = argv[i], *v = argv[i + 1];
        if (!strcmp(o, "--connect"))
            address = v;
        else if (!strcmp(o, "--path"))
            path = v;
        else if (!strcmp(o, "--body"))
            body_file = v;
        else if (!strcmp(o, "--connections"))
            connections = atoi(v);
        else if (!strcmp(o, "--seconds"))
            seconds = atof(v);
        else if (!strcmp(o, "--allow"))
            allowed = atoi(v);
        else if (!strcmp(o, "--pid"))
            pid = atoi(v);
        else if (!strcmp(o, "--save"))
            save_to = argv[i + 1];
        else if (!strcmp(o, "--header")) {
            size_t at_ = strlen(headers);
            snprintf(headers + at_, sizeof headers - at_, "%s\r\n", v);
        } else {
            fprintf(stderr, "http_load: what is %s?\n", o);
            return 2;
        }
    }
    const char *colon = address ? strrchr(address, ':') : NULL;
    if (!colon || !body_file) {
        fprintf(stderr, "http_load: --connect HOST:PORT and --body FILE are needed\n");
        return 2;
    }
    to.sin_family = AF_INET;
    to.sin_port = htons((uint16_t)atoi(colon + 1));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size_t n_body;
    char *body = read_file(body_file, &n_body);
    request = malloc(n_body + HEADERS_MAX + 1024);
    latency = malloc(SAMPLES * sizeof *latency);
    latency_other = malloc(SAMPLES * sizeof *latency_other);
    struct conn *conns = calloc((size_t)connections, sizeof *conns);
    if (!request || !latency || !latency_other || !conns) die("malloc");
    n_request = (size_t)sprintf(
        request,
        "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n",
        path, address, headers, n_body);
    memcpy(request + n_request, body, n_body);
    n_request += n_body;
    epoll = epoll_create1(0);
    for (int i = 0; i < connections; i++) dial(&conns[i]);
    double cpu = cpu_of(pid);
    int64_t began = now(), end = began + (int64_t)(seconds * 1e9);
    struct epoll_event events[256];
    while (now() < end) {
        int n = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) pull(c);
            if (events[i].events & EPOLLOUT) push(c);
        }
    }
    double took = (double)(now() - began) / 1e9;
    cpu = cpu_of(pid) - cpu;
    if (save_to && first) {
        FILE *f = fopen(save_to, "wb");
        if (!f || fwrite(first, 1, n_first, f) != n_first || fclose(f)) die(save_to);
    }
    printf("{\"requests\": %llu, \"seconds\": %.3f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"errors\": %llu, "
           "\"others\": %llu, "
           "\"others_p99_ms\": %.3f, \"cpu\": %.3f, \"peak_kib\": %ld}\n",
           (unsigned long long)done, took, at(latency, n_latency, .5), at(latency, n_latency, .99),
           (unsigned long long)errors, (unsigned long long)others, at(latency_other, n_latency_other, .99),
           cpu, peak_of(pid));
    return 0;
}
