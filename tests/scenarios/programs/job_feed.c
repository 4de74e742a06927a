/* SPDX-License-Identifier: MIT */
/*
 * Durable jobs at a rate that Python does not reach: POSTs "ACTION KEY ARGS" to a path, each with a key of
 * its own, over kept-alive connections, one per thread.
 *
 *     job_feed PORT PATH RATE THREADS FILE
 *
 * Until standard input ends. FILE gets a line for each key whose job was acknowledged as new. A connection
 * that breaks is made again; what it was waiting for counts as not acknowledged. Prints how many were sent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in to;
static const char *path;
static double rate;
static int threads;
static FILE *out;
static atomic_bool stop;
static atomic_ullong sent;

static int dial(void)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    close(fd);
    return -1;
}

/* A whole answer; false: the connection is of no use any more. */
static bool answer(int fd, char *in, size_t cap)
{
    size_t n = 0, need = 0;
    for (;;) {
        ssize_t got = recv(fd, in + n, cap - 1 - n, 0);
        if (got <= 0) return false;
        n += (size_t)got;
        in[n] = 0;
        const char *end = strstr(in, "\r\n\r\n");
        const char *length = end ? strcasestr(in, "content-length:") : NULL;
        if (end && !length) return false;
        if (end) need = (size_t)(end - in) + 4 + strtoul(length + 15, NULL, 10);
        if (need >= cap) return false;
        if (need && n >= need) return n == need;
    }
}

static void *run(void *arg)
{
    int me = (int)(intptr_t)arg, fd = -1;
    char body[128], request[512], in[8192];
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (unsigned n = 0; !atomic_load(&stop); n++) {
        int b = snprintf(body, sizeof body, "echo d%d-%u {\"delay\": \"%ums\"}", me, n, n % 10);
        int r = snprintf(request, sizeof request,
                         "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: %d\r\n\r\n%s", path,
                         ntohs(to.sin_port), b, body);
        if (fd < 0) fd = dial();
        bool good = fd >= 0 && send(fd, request, (size_t)r, MSG_NOSIGNAL) == r && answer(fd, in, sizeof in);
        atomic_fetch_add(&sent, 1);
        if (!good && fd >= 0) {
            close(fd);
            fd = -1;
        }
        if (good && strstr(in, " known=0 id=")) fprintf(out, "d%d-%u\n", me, n);
        due.tv_nsec += (long)(threads / rate * 1e9);
        while (due.tv_nsec >= 1000000000) {
            due.tv_nsec -= 1000000000;
            due.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    }
    if (fd >= 0) close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    char c;
    if (argc != 6) return 2;
    to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    path = argv[2];
    rate = atof(argv[3]);
    threads = atoi(argv[4]);
    if (!(out = fopen(argv[5], "w")) || rate <= 0 || threads < 1 || threads > 256) return 2;
    pthread_t ids[256];
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, run, (void *)(intptr_t)i)) return 1;
    while (read(0, &c, 1) > 0) continue;
    atomic_store(&stop, true);
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    fclose(out);
    printf("%llu\n", (unsigned long long)atomic_load(&sent));
    return 0;
}
