/* SPDX-License-Identifier: MIT */
/*
 * A few threads for work that really blocks, one pool per connector, so that a stuck one starves nobody else.
 *
 * Each thread is a slot with a number; work gets its slot's number, so that one connection per slot needs no
 * lock. Threads start with the first work. All functions: [loop]; fn runs in a pool thread, done on the loop.
 */
#pragma once

#include "loop/loop.h"

struct pb_pool;

/* One piece of work, embedded in its owner's struct, which must live until `done` was called. */
struct pb_work {
    void (*fn)(void *user, uint32_t slot);    /* [pool thread] */
    void (*done)(void *user, bool cancelled); /* [loop] exactly once; cancelled: fn was not called */
    void *user;
    struct pb_work *next;
    struct pb_pool *pool;
    struct pb_defer back;
    bool cancelled;
};

/* n_threads 1..256; at most queue_max works wait. name is for thread names and messages; copied. Returns
 * owned. */
struct pb_pool *pb_pool_new(struct pb_loop *loop, const char *name, uint32_t n_threads, uint32_t queue_max);
/* 0; or -1 with err (RESOURCE_EXHAUSTED: the queue is full; UNAVAILABLE: the pool is closing), and done is
 * not called. */
int pb_pool_submit(struct pb_pool *pool, struct pb_work *work, struct pb_err *err) PB_NODISCARD;
/*
 * Waiting works are cancelled, running ones run to their end; then the pool frees itself and closed(user) is
 * called. Nothing may be submitted from now on.
 */
void pb_pool_close(struct pb_pool *pool, void (*closed)(void *user), void *user);
/* For how long every slot has been busy with its present work, in nanoseconds; 0: one is free. */
int64_t pb_pool_stuck_ns(struct pb_pool *pool);
