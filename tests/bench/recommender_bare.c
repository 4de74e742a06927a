/* SPDX-License-Identifier: MIT */
/*
 * What the processor allows: the multiply-adds of one pass and nothing else, in plain loops that the compiler
 * vectorises for this machine as it likes (-O3 -march=native -ffast-math).
 */
#include "recommender_bare.h"

void bare_pass(const struct rec_rating *restrict list, const uint64_t *restrict first, uint32_t users,
               float *restrict p, float *restrict q, uint32_t n, uint32_t stride)
{
    for (uint32_t u = 0; u < users; u++) {
        float *restrict pu = p + (size_t)u * stride;
        for (uint64_t i = first[u]; i < first[u + 1]; i++) {
            float *restrict qi = q + (size_t)list[i].item * stride;
            float s = 0;
            for (uint32_t k = 0; k < n; k++) s += pu[k] * qi[k];
            const float e = 0.005f * (list[i].value - s);
            for (uint32_t k = 0; k < n; k++) {
                const float a = pu[k], b = qi[k];
                pu[k] = 0.9999f * a + e * b;
                qi[k] = 0.9999f * b + e * a;
            }
        }
    }
}
