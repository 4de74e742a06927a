/* SPDX-License-Identifier: MIT */
/*
 * When things happen on a wall clock: cron lines, times of day, windows of time. Instants are UTC in
 * milliseconds.
 *
 * Where clocks are put forward over a time, it happens once at the first minute after the gap; where they are
 * put back over it, it happens once, the first time. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/zone.h"

#define PB_NEVER INT64_MAX

struct pb_cron {
    uint64_t minutes; /* bit per value */
    uint32_t hours, days /* 1..31 */;
    uint16_t months;     /* 1..12 */
    uint8_t weekdays;    /* 0 Sunday .. 6 */
    bool day_or_weekday; /* both were restricted: either will do, as in cron(5) */
    const struct pb_zone *zone;
};

struct pb_window {
    uint8_t weekdays;    /* of the day it opens */
    int32_t from, until; /* minutes of the day; until <= from: into the next day */
    const struct pb_zone *zone;
};

/*
 * "0 2 * * mon-fri" (minute hour day month weekday; names, lists, ranges, /steps; Sunday is 0 or 7) or
 * @hourly, @daily, @weekly, @monthly; zone empty: UTC. Errors: INVALID_ARGUMENT, which field and what is
 * expected; those of pb_zone_load.
 */
int pb_cron_parse(pbay_str text, pbay_str zone, struct pb_cron *out, struct pb_err *err);
/* "06:00 Europe/Stockholm", "mon-fri 06:00": a time of day as a cron. */
int pb_moment_parse(pbay_str text, struct pb_cron *out, struct pb_err *err);
/* The first time after `after_ms`; PB_NEVER when there is none in the next eight years. */
int64_t pb_cron_next(const struct pb_cron *c, int64_t after_ms);

/* "mon-fri 01:00-06:00 Europe/Stockholm", "22:00-04:00", "sat,sun 00:00-24:00". */
int pb_window_parse(pbay_str text, struct pb_window *out, struct pb_err *err);
bool pb_window_open(const struct pb_window *w, int64_t at_ms);
/* When it opens next after `after_ms`. */
int64_t pb_window_next(const struct pb_window *w, int64_t after_ms);
