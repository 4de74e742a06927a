/* SPDX-License-Identifier: MIT */
/* What the load client reads off: a monotonic clock, a latency histogram, and the CPU time and peak memory of
 * the process under test with its children (from /proc). */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

uint64_t measure_now_ns(void);

/* Log-linear histogram of nanoseconds: relative error below 1/64, no allocation per sample. */
struct measure_hist {
    uint64_t count;
    uint64_t max;
    uint32_t cell[64 * 64];
};

void measure_hist_clear(struct measure_hist *h);
void measure_hist_add(struct measure_hist *h, uint64_t ns);
/* The value below which the share `q` (0 to 1) of the samples lies, in ns. */
uint64_t measure_hist_at(const struct measure_hist *h, double q);

/* CPU time used so far by `pid` and all its living descendants and those they have waited for, in
 * microseconds. Grains of the kernel's tick (10 ms). 0 when pid is 0 or gone. */
uint64_t measure_cpu_us(pid_t pid);

/* CPU time of this process, in microseconds. */
uint64_t measure_own_cpu_us(void);

/* Sum of the peak resident set sizes of `pid` and its descendants in KiB; 0 when unknown. */
uint64_t measure_peak_kib(pid_t pid);
/* The same of the present resident set. */
uint64_t measure_rss_kib(pid_t pid);
/* Starts the peak anew where the kernel allows it; returns 0 or -1. */
int measure_peak_reset(pid_t pid);
/* Open descriptors of `pid` alone; -1 when they cannot be read. */
int measure_fds(pid_t pid);

/* Median of `n` values; sorts them. */
double measure_median(double *values, size_t n);
