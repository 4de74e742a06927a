/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.timer/1: clocks and timers of the worker's loop. All functions and callbacks: [loop].
 *
 * Example: something every minute, from `start` on.
 *
 *     static void tick(void *user)
 *     {
 *         struct mine *m = user;
 *         m->last_tick_ms = m->timer->now_ms();
 *     }
 *     static int32_t start(void *self, pbay_result *why)
 *     {
 *         struct mine *m = self;
 *         (void)why;
 *         m->ticking = m->timer->start(m->host, 1000, 60000, tick, m); // until cancel(m->ticking)
 *         return PBAY_OK;
 *     }
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_TIMER "pbay.host.timer/1"

/* One timer. A generation-checked number; 0 is never one. */
typedef uint64_t pbay_timer;

typedef struct pbay_timer_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* CLOCK_MONOTONIC in nanoseconds. [any] */
    int64_t (*monotonic_ns)(void);
    /* UTC in milliseconds since 1970; the fake clock's under tests. [any] */
    int64_t (*now_ms)(void);
    /* Call fn(user) after delay_ms (at least one turn of the loop), then every period_ms unless that is 0. 0:
     * a request is being handled whose caller has not been accepted yet (patchbay/routes.h). */
    pbay_timer (*start)(const pbay_host *host, int64_t delay_ms, int64_t period_ms, void (*fn)(void *user),
                        void *user);
    /* fn will not be called any more. Stale handles are ignored. Those that are left end before `destroy`. */
    void (*cancel)(pbay_timer timer);
} pbay_timer_1;

#ifdef __cplusplus
}
#endif
