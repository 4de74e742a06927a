/* SPDX-License-Identifier: MIT */
/*
 * The loops over factors, compiled once for each width of vectors that a processor may have; the widest that
 * runs here is taken. Rows of factors are padded with zeros to REC_PAD and aligned to it; zeros stay zeros.
 * Threads: any, on different rows.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ratings.h"

enum {
    REC_PAD = 16,  /* floats */
    REC_LANES = 4, /* users that are scored together */
    REC_TILE = 256 /* items that are scored together */
};

/* Learning rates and regularisation of the four kinds of parameters. */
struct rec_rates {
    float lr_bu, lr_bi, lr_pu, lr_qi;
    float reg_bu, reg_bi, reg_pu, reg_qi;
};

struct rec_kernels {
    const char *name; /* "avx512", "avx2" or "generic" */
    /*
     * One pass over a user's n ratings, in their order: user bias and factors p, and the biases and factors
     * q + item * stride of each item. fold (NULL: none) says which fold each rating is in; those of `skip`
     * are passed over.
     */
    void (*fit_user)(const struct rec_rating *ratings, const uint8_t *fold, uint8_t skip, uint64_t n,
                     float mean, float *bu, float *p, float *bi, float *q, uint32_t stride,
                     const struct rec_rates *rates);
    float (*dot)(const float *p, const float *q, uint32_t stride);
    /*
     * Scores of REC_LANES users (rows p[0..3] of n factors) for the REC_TILE items of a tile: out[lane *
     * REC_TILE + i] = bias[i] + p[lane] . item i. The tile is turned: factor k of item i is tile[k * REC_TILE
     * + i]. All are aligned to 64 bytes.
     */
    void (*score)(const float *const p[REC_LANES], const float *tile, const float *bias, uint32_t n,
                  float *out);
    /* The first i >= from with scores[i] > than; n when there is none. */
    uint32_t (*above)(const float *scores, uint32_t from, uint32_t n, float than);
};

/* Those that suit this processor. */
const struct rec_kernels *rec_kernels(void);
/* By name, for tests and measurements; NULL: not compiled in, or not for this processor. */
const struct rec_kernels *rec_kernels_named(const char *name);
