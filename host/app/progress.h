/* SPDX-License-Identifier: MIT */
/* One line on a terminal that says how far a long command is. Drawn at most ten times a second. Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

struct pb_progress {
    bool on;
    bool drawn;
    const char *what;
    int64_t started, last; /* monotonic nanoseconds */
};

/* On when fd 2 is a terminal and `wanted`. */
void pb_progress_start(struct pb_progress *p, const char *what, bool wanted);
/* done of total (bytes; total 0: not known), and rows so far. */
void pb_progress_show(struct pb_progress *p, uint64_t done, uint64_t total, uint64_t rows);
/* The same for what has no rows: "what: doing, 12 of 30". doing: text from outside, cut. */
void pb_progress_step(struct pb_progress *p, uint64_t done, uint64_t total, pbay_str doing);
/* Take the line away; with a summary, leave "what: N rows in T s (R rows/s)" instead. */
void pb_progress_end(struct pb_progress *p, bool summary, uint64_t rows);
