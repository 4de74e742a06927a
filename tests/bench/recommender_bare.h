/* SPDX-License-Identifier: MIT */
#pragma once

#include "ratings.h"

/* One pass over all ratings: n factors of rows `stride` apart. */
void bare_pass(const struct rec_rating *restrict list, const uint64_t *restrict first, uint32_t users,
               float *restrict p, float *restrict q, uint32_t n, uint32_t stride);
