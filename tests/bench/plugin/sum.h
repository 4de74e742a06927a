/* SPDX-License-Identifier: MIT */
/* The function that is measured, the same wherever it stands: bench_rows and plugin_bench. */
#pragma once

#include <string.h>

#include <patchbay/types.h>

/* The sum of the columns, which are numbers, row by row. */
static inline void sum_rows(double *to, const pbay_batch *in)
{
    memset(to, 0, in->n_rows * sizeof *to);
    for (uint32_t c = 0; c < in->n_cols; c++) {
        const double *from = pbay_batch_col(in, c)->num;
        for (uint32_t i = 0; i < in->n_rows; i++) to[i] += from[i];
    }
}
