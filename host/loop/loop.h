/* SPDX-License-Identifier: MIT */
/*
 * One thread's event loop: libuv underneath, with a run queue, turn hooks, and timers that cost nothing to
 * set.
 *
 * Glossary
 *   turn       what happens between two times the loop may block: I/O callbacks or timers, then the run queue
 * until it is empty, then the turn-end queue, then the turn hooks defer      "later in this turn": nobody is
 * called from inside his own call; FIFO, no allocation turn end   once per turn, after the run queue:
 * gathered output is written there post       defer, from any thread timer      due at a millisecond; for
 * what is set now and then deadline   due within about 10 ms after its time; set and cleared hundreds of
 * thousands of times a second
 *
 * Threads: all functions belong to the loop's thread unless marked [any]. Nodes (defer, timer, deadline) are
 * embedded in their owner's struct, zero-initialised, and must be cancelled before that memory goes away.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"

struct pb_loop;
struct uv_loop_s;

/* ------------------------------------------------------------------------------------------------ life */

/* Returns owned, or NULL with err. */
struct pb_loop *pb_loop_new(struct pb_err *err);
/*
 * Every handle on the loop has been closed by its owner or is being closed: runs the loop until they are
 * gone, then frees it. A handle that nobody closes is a fatal error, because its memory is lost.
 */
void pb_loop_free(struct pb_loop *loop);
/* Turns until pb_loop_stop. */
void pb_loop_run(struct pb_loop *loop);
/* The run ends with this turn. [loop]; from elsewhere post a node that calls it. */
void pb_loop_stop(struct pb_loop *loop);
/* One turn; with wait it blocks until something happens. For tests and for shutting down step by step. */
void pb_loop_turn(struct pb_loop *loop, bool wait);
/* For rooms that may include uv.h. */
struct uv_loop_s *pb_loop_uv(struct pb_loop *loop);
/* CLOCK_MONOTONIC in nanoseconds as of the start of this turn, or, for what came in while the loop waited, of
 * its coming. */
int64_t pb_loop_now(struct pb_loop *loop);

/* ------------------------------------------------------------------------------------------------ run queue
 */

struct pb_defer {
    struct pb_defer *next, *prev; /* NULL when not queued */
    void (*fn)(void *user);
    void *user;
};

static inline struct pb_defer pb_defer_make(void (*fn)(void *user), void *user)
{
    struct pb_defer d = {NULL, NULL, fn, user};
    return d;
}

static inline bool pb_defer_queued(const struct pb_defer *d)
{
    return d->next != NULL;
}

/* Call d->fn(d->user) later in this turn, once. Nothing happens when it is queued already. */
void pb_loop_defer(struct pb_loop *loop, struct pb_defer *d);
/* Call it once at the end of this turn, after the run queue. A node is in one queue at a time. */
void pb_loop_at_turn_end(struct pb_loop *loop, struct pb_defer *d);
/* Take it out of whichever queue it is in. Not for nodes that were posted and have not arrived. */
void pb_defer_cancel(struct pb_defer *d);
/*
 * Run what is queued now, including what that queues, up to PB_LOOP_DRAIN_MAX nodes; the rest runs in the
 * next turn, after sockets had a look in. Called by the loop itself each turn and by sockets after each read
 * callback; inside a drain it does nothing.
 */
enum { PB_LOOP_DRAIN_MAX = 65536 };
void pb_loop_drain(struct pb_loop *loop);

/* Called at the end of every turn until removed, e.g. pb_log_flush. */
struct pb_turn_hook {
    struct pb_turn_hook *next;
    void (*fn)(void *user);
    void *user;
};
void pb_loop_hook_add(struct pb_loop *loop, struct pb_turn_hook *hook);
void pb_loop_hook_remove(struct pb_loop *loop, struct pb_turn_hook *hook);

/* [any] Defer from another thread; wakes the loop. The node must not be queued or posted already. */
void pb_loop_post(struct pb_loop *loop, struct pb_defer *d);

/* ------------------------------------------------------------------------------------------------ timers */

struct pb_timer {
    void (*fn)(void *user);
    void *user;
    int64_t due_ns; /* monotonic */
    uint64_t order; /* equal times fire in the order they were set */
    uint32_t at;    /* place in the heap + 1; 0: not set */
    struct pb_loop *loop;
};

/* Call t->fn(t->user) after_ms from now (rounded up to a millisecond), once. Set again: the new time counts.
 */
void pb_timer_set(struct pb_loop *loop, struct pb_timer *t, int64_t after_ms);
/* The same at a monotonic time. */
void pb_timer_set_at(struct pb_loop *loop, struct pb_timer *t, int64_t due_ns);
void pb_timer_cancel(struct pb_timer *t);
/*
 * When the next timer or deadline is looked at, monotonic (a deadline may turn out not to be due then);
 * PB_NO_DEADLINE: nothing is set. For a clock that somebody else turns.
 */
int64_t pb_loop_due(const struct pb_loop *loop);
static inline bool pb_timer_is_set(const struct pb_timer *t)
{
    return t->at != 0;
}

struct pb_deadline {
    struct pb_deadline *next, *prev; /* NULL when not set */
    void (*fn)(void *user);
    void *user;
    int64_t due_ns;
};

/* Call d->fn(d->user) once, at due_ns or up to PB_DEADLINE_GRAIN_NS later. Set again: the new time counts. */
#define PB_DEADLINE_GRAIN_NS (10 * PB_MS)
void pb_deadline_set(struct pb_loop *loop, struct pb_deadline *d, int64_t due_ns);
static inline bool pb_deadline_is_set(const struct pb_deadline *d)
{
    return d->next != NULL;
}
static inline void pb_deadline_cancel(struct pb_deadline *d)
{
    if (!d->next) return;
    d->next->prev = d->prev;
    d->prev->next = d->next;
    d->next = d->prev = NULL;
}

/* ------------------------------------------------------------------------------------------------ signals */

struct pb_signal;

/* fn(user, signum) on the loop. Returns owned: close with pb_signal_close before the loop is freed. */
struct pb_signal *pb_signal_open(struct pb_loop *loop, int signum, void (*fn)(void *user, int signum),
                                 void *user, struct pb_err *err);
void pb_signal_close(struct pb_signal *s); /* NULL is fine */

/* ------------------------------------------------------------------------------------------------ waking */

/* fn(user) on the loop some time after pb_wake_send; several sends may become one call. */
struct pb_wake;
struct pb_wake *pb_wake_open(struct pb_loop *loop, void (*fn)(void *user), void *user, struct pb_err *err);
void pb_wake_send(struct pb_wake *w);  /* [any] also in a signal handler */
void pb_wake_close(struct pb_wake *w); /* NULL is fine; no send may follow */
