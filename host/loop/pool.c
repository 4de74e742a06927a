/* SPDX-License-Identifier: MIT */
#include "loop/pool.h"

#include <pthread.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"

struct slot {
    struct pb_pool *pool;
    uint32_t number;
    pthread_t thread;
    bool started;
    int64_t since; /* when its present work began; 0: idle */
};

struct pb_pool {
    struct pb_loop *loop;
    char *name;
    uint32_t n_slots, n_started, queue_max;
    uint32_t pending; /* submitted, done not yet called [loop] */
    void (*closed)(void *user);
    void *closed_user;
    struct pb_defer finish;

    pthread_mutex_t lock; /* guards what follows, and since of the slots */
    pthread_cond_t more;
    struct pb_work *first, **last;
    uint32_t waiting, idle;
    bool closing;
    struct slot slots[];
};

static void *slot_main(void *arg)
{
    struct slot *s = arg;
    struct pb_pool *pool = s->pool;
    char name[16];
    snprintf(name, sizeof name, "%.10s/%u", pool->name, s->number % 1000);
    pthread_setname_np(pthread_self(), name);
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->first && !pool->closing) {
            pool->idle++;
            pthread_cond_wait(&pool->more, &pool->lock);
            pool->idle--;
        }
        struct pb_work *w = pool->first;
        if (!w) break;
        pool->first = w->next;
        if (!pool->first) pool->last = &pool->first;
        pool->waiting--;
        s->since = pb_mono_ns();
        pthread_mutex_unlock(&pool->lock);
        w->fn(w->user, s->number);
        pthread_mutex_lock(&pool->lock);
        s->since = 0;
        pb_loop_post(pool->loop, &w->back);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct pb_pool *pb_pool_new(struct pb_loop *loop, const char *name, uint32_t n_threads, uint32_t queue_max)
{
    if (n_threads < 1) n_threads = 1;
    if (n_threads > 256) n_threads = 256;
    struct pb_pool *pool = pb_zalloc(sizeof *pool + n_threads * sizeof *pool->slots);
    pool->loop = loop;
    pool->name = pb_strdup(name);
    pool->n_slots = n_threads;
    pool->queue_max = queue_max;
    pool->last = &pool->first;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
    for (uint32_t i = 0; i < n_threads; i++) pool->slots[i] = (struct slot){.pool = pool, .number = i};
    return pool;
}

static void finish(void *user)
{
    struct pb_pool *pool = user;
    for (uint32_t i = 0; i < pool->n_started; i++) pthread_join(pool->slots[i].thread, NULL);
    void (*closed)(void *) = pool->closed;
    void *closed_user = pool->closed_user;
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->more);
    pb_free(pool->name);
    pb_free(pool);
    if (closed) closed(closed_user);
}

static void work_back(void *user)
{
    struct pb_work *w = user;
    struct pb_pool *pool = w->pool;
    w->done(w->user, w->cancelled);
    if (--pool->pending == 0 && pool->closing) pb_loop_defer(pool->loop, &pool->finish);
}

int pb_pool_submit(struct pb_pool *pool, struct pb_work *work, struct pb_err *err)
{
    work->next = NULL;
    work->pool = pool;
    work->cancelled = false;
    work->back = pb_defer_make(work_back, work);
    pthread_mutex_lock(&pool->lock);
    bool closing = pool->closing, full = pool->waiting >= pool->queue_max && pool->idle <= pool->waiting &&
                                         pool->n_started == pool->n_slots;
    bool start = false;
    if (!closing && !full) {
        *pool->last = work;
        pool->last = &work->next;
        pool->waiting++;
        start = pool->idle < pool->waiting && pool->n_started < pool->n_slots;
        pthread_cond_signal(&pool->more);
    }
    pthread_mutex_unlock(&pool->lock);
    if (closing) return pb_fail(err, PBAY_UNAVAILABLE, "%s: the work pool is closing", pool->name);
    if (full)
        return pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "%s: %u pieces of work wait already for %u threads",
                       pool->name, pool->queue_max, pool->n_slots);
    pool->pending++;
    if (start) {
        struct slot *s = &pool->slots[pool->n_started];
        if (pthread_create(&s->thread, NULL, slot_main, s) == 0)
            pool->n_started++;
        else if (pool->n_started == 0)
            pb_fatal("%s: cannot start a thread", pool->name);
    }
    return 0;
}

void pb_pool_close(struct pb_pool *pool, void (*closed)(void *user), void *user)
{
    pool->closed = closed;
    pool->closed_user = user;
    pool->finish = pb_defer_make(finish, pool);
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    struct pb_work *w = pool->first;
    pool->first = NULL;
    pool->last = &pool->first;
    pool->waiting = 0;
    pthread_cond_broadcast(&pool->more);
    pthread_mutex_unlock(&pool->lock);
    for (struct pb_work *next; w; w = next) {
        next = w->next;
        w->cancelled = true;
        pb_loop_defer(pool->loop, &w->back);
    }
    if (pool->pending == 0) pb_loop_defer(pool->loop, &pool->finish);
}

int64_t pb_pool_stuck_ns(struct pb_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    int64_t youngest = pool->n_started == pool->n_slots ? 1 : 0;
    for (uint32_t i = 0; youngest && i < pool->n_slots; i++) {
        int64_t since = pool->slots[i].since;
        if (!since)
            youngest = 0;
        else if (since > youngest)
            youngest = since;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!youngest) return 0;
    int64_t ns = pb_mono_ns() - youngest;
    return ns > 0 ? ns : 1;
}
