/* SPDX-License-Identifier: MIT */
/* Inside of the loop, for this room alone. */
#pragma once

#include <pthread.h>
#include <uv.h>

#include "loop/loop.h"

/* 1024 slots of 10 ms: what is due later than ten seconds is passed by once per ten seconds. */
enum { PB_WHEEL_SLOTS = 1024 };

struct pb_loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    uv_async_t async;
    int64_t now_ns;
    bool waited; /* since now_ns was read: what comes in while the loop polls is later than that */
    bool draining, spinning, stopped;
    bool one_turn, happened;       /* pb_loop_turn: under way; something was called */
    struct pb_defer run, turn_end; /* list heads */
    struct pb_turn_hook *hooks;

    pthread_mutex_t post_lock; /* guards the three below */
    struct pb_defer *posted, **posted_tail;

    /* timers: a heap by due time */
    uv_timer_t timer;
    int64_t armed_ns; /* when the uv timer fires; PB_NO_DEADLINE: not armed */
    struct pb_timer **heap;
    uint32_t n_heap, heap_cap;
    uint64_t order;

    /* deadlines: a wheel of lists; the bit of a slot may be set though its list has become empty */
    struct pb_deadline wheel[PB_WHEEL_SLOTS];
    uint64_t wheel_bits[PB_WHEEL_SLOTS / 64];
    int64_t wheel_tick; /* ticks up to here have been visited */
    int64_t wheel_next; /* no set slot is due before this tick; INT64_MAX: none */
};

void pb__loop_end_turn(struct pb_loop *loop);
void pb__loop_on_idle(uv_idle_t *h);
void pb__timers_init(struct pb_loop *loop);
void pb__timers_close(struct pb_loop *loop);
void pb__timers_free(struct pb_loop *loop);
/* Before the loop blocks: make the uv timer fire when the next timer or deadline is due. */
void pb__timers_arm(struct pb_loop *loop);
