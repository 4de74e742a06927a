/* SPDX-License-Identifier: MIT */
#include "parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { MAX_THREADS = 256 };

uint32_t rec_processors(void)
{
    const char *said = getenv("RECOMMENDER_THREADS");
    long n = said ? strtol(said, NULL, 10) : 0;
    if (n >= 1 && n <= MAX_THREADS) return (uint32_t)n;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return 1;
    n = CPU_COUNT(&set);
    return n > MAX_THREADS ? MAX_THREADS : n < 1 ? 1 : (uint32_t)n;
}

struct crew {
    void (*fn)(void *user, uint32_t task, uint32_t thread);
    void *user;
    uint32_t n;
    _Atomic uint32_t next;
};

struct member {
    struct crew *crew;
    uint32_t number;
    pthread_t thread;
};

static void *work(void *arg)
{
    struct member *m = arg;
    struct crew *c = m->crew;
    for (uint32_t task; (task = atomic_fetch_add(&c->next, 1)) < c->n;) c->fn(c->user, task, m->number);
    return NULL;
}

void rec_parallel(uint32_t n, uint32_t threads, void (*fn)(void *user, uint32_t task, uint32_t thread),
                  void *user)
{
    struct crew crew = {.fn = fn, .user = user, .n = n};
    struct member members[MAX_THREADS];
    if (!threads) threads = rec_processors();
    if (threads > n) threads = n;
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    uint32_t started = 1;
    members[0] = (struct member){.crew = &crew, .number = 0};
    /* A thread that cannot be had leaves its tasks to the others. */
    for (; started < threads; started++) {
        members[started] = (struct member){.crew = &crew, .number = started};
        if (pthread_create(&members[started].thread, NULL, work, &members[started])) break;
    }
    work(&members[0]);
    for (uint32_t i = 1; i < started; i++) pthread_join(members[i].thread, NULL);
}
