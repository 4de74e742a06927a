/* SPDX-License-Identifier: MIT */
/*
 * Lua patterns (Lua 5.4 reference manual, section 6.4.1) with a budget of steps.
 *
 * The stock matcher is polynomial in the number of `-` and `*` items: 512 bytes against ".-.-.-b" take it
 * tens of seconds, in one C call that no hook can interrupt. This one counts every comparison and gives up
 * with "pattern too complex". It knows nothing of Lua states, so that it can be fuzzed alone. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

enum { PB_PATTERN_CAPTURES = 32, PB_PATTERN_DEPTH = 200, PB_PATTERN_ERROR = 96 };

struct pb_capture {
    const char *at;
    ptrdiff_t n; /* PB_CAPTURE_POSITION: `()`; PB_CAPTURE_OPEN while its `)` has not been seen */
};
#define PB_CAPTURE_OPEN     ((ptrdiff_t)-1)
#define PB_CAPTURE_POSITION ((ptrdiff_t)-2)

struct pb_pattern {
    pbay_str subject;
    pbay_str text;           /* the pattern, without the leading ^ of an anchored one */
    uint64_t steps;          /* left */
    bool (*poll)(void *arg); /* asked every 16,384 steps; true: give up. May be NULL */
    void *poll_arg;
    /* results */
    int n_captures;
    struct pb_capture captures[PB_PATTERN_CAPTURES];
    char error[PB_PATTERN_ERROR]; /* not empty: malformed, or too complex */
    bool stopped;                 /* poll said so */
    /* in flight */
    int depth;
};

/* Match at subject.p + at exactly. The end of the match, or NULL: no match, or `error` is set. */
const char *pb_pattern_at(struct pb_pattern *m, size_t at);
/* Does it contain anything but literal characters? */
bool pb_pattern_special(pbay_str text);
