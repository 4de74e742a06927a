/* SPDX-License-Identifier: MIT */
/*
 * The body of kernels.h, included once for each width. Before it: REC_WIDTH, floats in a vector, REC_KERNELS,
 * the name of the table, and REC_NAME, what it is called.
 */
#include "kernels.h"

#include <string.h>

#if REC_WIDTH == 1
typedef float vec;
#define ALL(x) (x)
static float sum(vec v)
{
    return v;
}
#else
typedef float vec __attribute__((vector_size(4 * REC_WIDTH)));
typedef float quarter __attribute__((vector_size(16)));
#define ALL(x) ((vec){0} + (x))

/* By halves: sixteen additions one after the other would take longer than all the rest. */
static inline float sum(vec v)
{
    quarter parts[REC_WIDTH / 4];
    memcpy(parts, &v, sizeof v);
    for (int n = REC_WIDTH / 8; n; n /= 2)
        for (int i = 0; i < n; i++) parts[i] += parts[i + n];
    return (parts[0][0] + parts[0][2]) + (parts[0][1] + parts[0][3]);
}
#endif

static inline vec load(const float *p)
{
    vec v;
    memcpy(&v, __builtin_assume_aligned(p, 4 * REC_WIDTH), sizeof v);
    return v;
}

static inline void store(float *p, vec v)
{
    memcpy(__builtin_assume_aligned(p, 4 * REC_WIDTH), &v, sizeof v);
}

/* Two sums, because each addition waits for the one before it in the same sum. */
static inline float dot(const float *p, const float *q, uint32_t stride)
{
    vec a = ALL(0.0f), b = ALL(0.0f);
    uint32_t k = 0;
    for (; k + 2 * REC_WIDTH <= stride; k += 2 * REC_WIDTH) {
        a += load(p + k) * load(q + k);
        b += load(p + k + REC_WIDTH) * load(q + k + REC_WIDTH);
    }
    for (; k < stride; k += REC_WIDTH) a += load(p + k) * load(q + k);
    return sum(a + b);
}

static float dot_(const float *p, const float *q, uint32_t stride)
{
    return dot(p, q, stride);
}

struct pass {
    const struct rec_rating *ratings;
    const uint8_t *fold;
    uint8_t skip;
    uint64_t n;
    float mean, *bu, *p, *bi, *q;
    uint32_t stride;
    const struct rec_rates *rates;
};

/* Rows of items come from anywhere. */
static inline void fetch_ahead(const struct pass *a, uint64_t i)
{
    if (i + 4 >= a->n) return;
    const float *next = a->q + (size_t)a->ratings[i + 4].item * a->stride;
    for (uint32_t k = 0; k < a->stride; k += 16) __builtin_prefetch(next + k, 1);
}

/* The biases learn; what the factors multiply is the error. */
static inline float learn_biases(const struct pass *a, float *b, uint32_t item, float value, float product)
{
    const struct rec_rates *r = a->rates;
    float e = value - (a->mean + *b + a->bi[item] + product);
    *b += r->lr_bu * (e - r->reg_bu * *b);
    a->bi[item] += r->lr_bi * (e - r->reg_bi * a->bi[item]);
    return e;
}

/* Rows of any length: the user's factors are read and written each time. */
static void fit_long(const struct pass *a)
{
    const struct rec_rates *r = a->rates;
    const vec keep_p = ALL(1 - r->lr_pu * r->reg_pu), keep_q = ALL(1 - r->lr_qi * r->reg_qi);
    float b = *a->bu;
    for (uint64_t i = 0; i < a->n; i++) {
        fetch_ahead(a, i);
        if (a->fold && a->fold[i] == a->skip) continue;
        float *row = a->q + (size_t)a->ratings[i].item * a->stride;
        float e = learn_biases(a, &b, a->ratings[i].item, a->ratings[i].value, dot(a->p, row, a->stride));
        const vec ep = ALL(r->lr_pu * e), eq = ALL(r->lr_qi * e);
        for (uint32_t k = 0; k < a->stride; k += REC_WIDTH) {
            vec vp = load(a->p + k), vq = load(row + k);
            store(a->p + k, keep_p * vp + ep * vq);
            store(row + k, keep_q * vq + eq * vp);
        }
    }
    *a->bu = b;
}

#if REC_WIDTH == 16
/* Rows of n vectors, n known when this is compiled: the user's factors stay in registers. */
static inline __attribute__((always_inline)) void fit_short(const struct pass *a, const uint32_t n)
{
    const struct rec_rates *r = a->rates;
    const vec keep_p = ALL(1 - r->lr_pu * r->reg_pu), keep_q = ALL(1 - r->lr_qi * r->reg_qi);
    float b = *a->bu;
    vec p[8], q[8];
#pragma GCC unroll 8
    for (uint32_t k = 0; k < n; k++) p[k] = load(a->p + k * REC_WIDTH);
    for (uint64_t i = 0; i < a->n; i++) {
        fetch_ahead(a, i);
        if (a->fold && a->fold[i] == a->skip) continue;
        float *row = a->q + (size_t)a->ratings[i].item * a->stride;
        vec even = ALL(0.0f), odd = ALL(0.0f);
#pragma GCC unroll 8
        for (uint32_t k = 0; k < n; k++) {
            q[k] = load(row + k * REC_WIDTH);
            if (k % 2)
                odd += p[k] * q[k];
            else
                even += p[k] * q[k];
        }
        float e = learn_biases(a, &b, a->ratings[i].item, a->ratings[i].value, sum(even + odd));
        const vec ep = ALL(r->lr_pu * e), eq = ALL(r->lr_qi * e);
#pragma GCC unroll 8
        for (uint32_t k = 0; k < n; k++) {
            store(row + k * REC_WIDTH, keep_q * q[k] + eq * p[k]);
            p[k] = keep_p * p[k] + ep * q[k];
        }
    }
#pragma GCC unroll 8
    for (uint32_t k = 0; k < n; k++) store(a->p + k * REC_WIDTH, p[k]);
    *a->bu = b;
}

static void fit_pass(const struct pass *a)
{
    switch (a->stride / REC_WIDTH) {
    case 1: fit_short(a, 1); return;
    case 2: fit_short(a, 2); return;
    case 3: fit_short(a, 3); return;
    case 4: fit_short(a, 4); return;
    case 5: fit_short(a, 5); return;
    case 6: fit_short(a, 6); return;
    case 7: fit_short(a, 7); return;
    case 8: fit_short(a, 8); return;
    default: fit_long(a); return;
    }
}
#else
static void fit_pass(const struct pass *a)
{
    fit_long(a);
}
#endif

static void fit_user(const struct rec_rating *ratings, const uint8_t *fold, uint8_t skip, uint64_t n,
                     float mean, float *bu, float *p, float *bi, float *q, uint32_t stride,
                     const struct rec_rates *rates)
{
    const struct pass a = {ratings, fold, skip, n, mean, bu, p, bi, q, stride, rates};
    fit_pass(&a);
}

/* Sums of four users and some vectors of items stay in registers: nothing is added across a vector. */
static void score(const float *const p[REC_LANES], const float *tile, const float *bias, uint32_t n,
                  float *out)
{
    enum { VECTORS = REC_WIDTH == 16 ? 4 : 2 };
    for (uint32_t i = 0; i < REC_TILE; i += VECTORS * REC_WIDTH) {
        vec s[REC_LANES][VECTORS];
#pragma GCC unroll 4
        for (uint32_t u = 0; u < REC_LANES; u++)
#pragma GCC unroll 4
            for (uint32_t j = 0; j < VECTORS; j++) s[u][j] = load(bias + i + j * REC_WIDTH);
        for (uint32_t k = 0; k < n; k++) {
            const float *row = tile + (size_t)k * REC_TILE + i;
            vec q[VECTORS];
#pragma GCC unroll 4
            for (uint32_t j = 0; j < VECTORS; j++) q[j] = load(row + j * REC_WIDTH);
#pragma GCC unroll 4
            for (uint32_t u = 0; u < REC_LANES; u++) {
                const vec v = ALL(p[u][k]);
#pragma GCC unroll 4
                for (uint32_t j = 0; j < VECTORS; j++) s[u][j] += v * q[j];
            }
        }
#pragma GCC unroll 4
        for (uint32_t u = 0; u < REC_LANES; u++)
#pragma GCC unroll 4
            for (uint32_t j = 0; j < VECTORS; j++) store(out + u * REC_TILE + i + j * REC_WIDTH, s[u][j]);
    }
}

static uint32_t above(const float *scores, uint32_t from, uint32_t n, float than)
{
    uint32_t i = from;
    for (; i + 16 <= n; i += 16) {
        int any = 0;
        for (uint32_t k = 0; k < 16; k++) any |= scores[i + k] > than;
        if (any) break;
    }
    while (i < n && !(scores[i] > than)) i++;
    return i;
}

extern const struct rec_kernels REC_KERNELS;
const struct rec_kernels REC_KERNELS = {REC_NAME, fit_user, dot_, score, above};
