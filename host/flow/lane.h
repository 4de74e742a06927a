/* SPDX-License-Identifier: MIT */
/*
 * A lane: how many batches may be at a backend at once, shared by all functions that go there, and fair turns
 * among the calls that wait. With a page, all workers of the machine share the limit, and a worker that waits
 * for places that others have looks again every millisecond. How many of the places are used adapts to what
 * the backend bears (pace.h). Threads: the loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/metrics.h"
#include "base/page.h"
#include "flow/pace.h"
#include "loop/loop.h"

/* One who waits; embedded in a call. Zero-initialised. */
struct pb_lane_waiter {
    struct pb_lane_waiter *next, *prev;
    bool waiting;
    /* A place was taken for you; use it, or give it back with pb_lane_leave. */
    void (*turn)(struct pb_lane_waiter *w);
};

struct pb_lane {
    pbay_str name;
    uint32_t limit; /* batches at once, at most */
    uint32_t running;
    uint32_t n_waiting;
    struct pb_lane_waiter *first, *last;
    struct pb_page *page; /* NULL: the limit is this process' own */
    uint32_t row;
    int shared;           /* the page's limit */
    struct pb_loop *loop; /* with a page */
    struct pb_timer retry;
    struct pb_pace pace;
    struct pb_pace_shared own;  /* without a page */
    struct pb_metrics *metrics; /* NULL: nothing is counted */
    uint32_t at_backend, slowed, throttled;
};

/* Share the lane, by its name, with whoever maps the page. Before its first use; it must not move afterwards.
 */
void pb_lane_share(struct pb_lane *lane, struct pb_loop *loop, struct pb_page *page, uint32_t row);
/* Count in the metrics, by its name. */
void pb_lane_count(struct pb_lane *lane, struct pb_metrics *metrics);
/* Batches at once now. */
uint32_t pb_lane_allowed(const struct pb_lane *lane);
/*
 * Take a place. False: there is none; the waiter is in the queue and `turn` will come. again: it had one and
 * gave it back to wait, so it stands first.
 */
bool pb_lane_enter(struct pb_lane *lane, struct pb_lane_waiter *w, bool again);
/* How a batch went that has a place; before it is given back. */
void pb_lane_report(struct pb_lane *lane, enum pb_load load, uint32_t rows, int64_t ns, int64_t now_ns);
/* Give a place back; the first who waits gets its turn before this returns. */
void pb_lane_leave(struct pb_lane *lane);
/* How many wait for a place, in all workers that share it. */
uint32_t pb_lane_waiting(const struct pb_lane *lane);
/* Do not wait any more. */
void pb_lane_forget(struct pb_lane *lane, struct pb_lane_waiter *w);
