/* SPDX-License-Identifier: MIT */
/*
 * Random numbers that are the same everywhere for the same seed: splitmix64 (Steele, Lea, Flood, "Fast
 * splittable pseudorandom number generators", OOPSLA 2014), whose few lines any language can repeat.
 * Threads: each has its own.
 */
#pragma once

#include <math.h>
#include <stdint.h>

struct rec_rng {
    uint64_t state;
};

static inline uint64_t rec_rng_next(struct rec_rng *g)
{
    uint64_t x = g->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* 0 .. n - 1 by multiplication (Lemire 2019); n at most 2^32, so the bias is below 2^-32. */
static inline uint64_t rec_rng_below(struct rec_rng *g, uint64_t n)
{
    return ((rec_rng_next(g) >> 32) * n) >> 32;
}

/* Uniform in (0, 1]. */
static inline double rec_rng_unit(struct rec_rng *g)
{
    return ((double)(rec_rng_next(g) >> 11) + 1.0) * 0x1p-53;
}

/* Two independent values of N(0, 1), by Box and Muller's transform. */
static inline void rec_rng_normals(struct rec_rng *g, double out[2])
{
    double r = sqrt(-2.0 * log(rec_rng_unit(g))), turn = 6.283185307179586 * rec_rng_unit(g);
    out[0] = r * cos(turn);
    out[1] = r * sin(turn);
}
