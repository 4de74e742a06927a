/* SPDX-License-Identifier: MIT */
/*
 * Two clocks: UTC in milliseconds for what is stored and shown, monotonic nanoseconds for deadlines.
 * Threads: any. Time zones and calendars are in base/zone.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#define PB_MS          INT64_C(1000000) /* nanoseconds */
#define PB_SEC         INT64_C(1000000000)
#define PB_NO_DEADLINE INT64_MAX

int64_t pb_mono_ns(void);
int64_t pb_now_ms(void);
/* The same two as of the kernel's last tick, up to 10 ms ago: for what is asked for many times per request
 * and counts in seconds. */
int64_t pb_mono_coarse_ns(void);
int64_t pb_now_coarse_ms(void);
/* Tests: freeze pb_now_ms at ms, or (-1) let it run again. */
void pb_clock_fake(int64_t ms);
/* Tests: freeze pb_mono_ns and pb_mono_coarse_ns at ns, or (-1) let them run again. Loops wait by their own
 * clock all the same: who freezes it asks pb_loop_due when to go on. */
void pb_clock_fake_mono(int64_t ns);

/* "2026-11-21T07:31:05.123Z" with NUL; returns the length. */
enum { PB_TIME_MAX = 32 };
size_t pb_format_time(int64_t ms, char out[PB_TIME_MAX]);
/* RFC 3339 with any offset and fraction. False: not one. */
bool pb_parse_time(pbay_str s, int64_t *ms);

/* "250ms", "30s", "5m", "2h", "7d", or a bare number of seconds, to milliseconds. False: not one, or beyond
 * 100 years. */
bool pb_parse_duration(pbay_str s, int64_t *ms);
/* "512", "64k", "6M", "1G" to bytes (powers of 1024). */
bool pb_parse_size(pbay_str s, uint64_t *bytes);

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar, and back. */
int64_t pb_days_from_civil(int64_t year, unsigned month, unsigned day);
void pb_civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day);
