/* SPDX-License-Identifier: MIT */
/*
 * How many batches a backend bears at once, found out while it works: one more when all places were taken and
 * it kept up, a tenth fewer when it throttles, and fewer in proportion when its answers take more than twice
 * as long as they can. Never more than the lane's limit, never less than one.
 *
 * The number itself lies with the lane, or in the page when workers share it, so that the machine has one;
 * what it is judged by (how fast answers can be) each worker knows for itself. Sans I/O. Threads: the loop;
 * the shared number is changed from several processes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/page.h"

/* How a batch went, as far as the backend's load is concerned. */
enum pb_load { PB_LOAD_FINE, PB_LOAD_THROTTLED, PB_LOAD_UNKNOWN };

enum {
    PB_PACE_SIZES = 24, /* batches are compared with batches of about as many rows */
    PB_PACE_FIRST = 32, /* so many tell what is usual: one lucky answer must not be the measure of all */
};

struct pb_pace {
    double fast_ns[PB_PACE_SIZES];     /* what answers took when they were fastest, smoothed; 0: not known */
    double usual_ns[PB_PACE_SIZES];    /* what they take now, smoothed */
    int64_t sampled_ns[PB_PACE_SIZES]; /* when it was looked at last */
    uint32_t samples[PB_PACE_SIZES];   /* up to PB_PACE_FIRST */
};

/* Batches at once, 1 .. limit. */
uint32_t pb_pace_allowed(const struct pb_pace_shared *s, uint32_t limit);
/*
 * A batch of so many rows has come back after ns. busy: all places were taken when it did. Changes *s. True
 * when it went down.
 */
bool pb_pace_sample(struct pb_pace *p, struct pb_pace_shared *s, uint32_t limit, enum pb_load load,
                    uint32_t rows, int64_t ns, bool busy, int64_t now_ns);
