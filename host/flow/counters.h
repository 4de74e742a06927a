/* SPDX-License-Identifier: MIT */
/* What is counted of a function, as series of base/metrics.h. Threads: any. */
#pragma once

#include "base/metrics.h"

enum { PB_CODES = 17 };

struct pb_function_counters {
    struct pb_metrics *metrics;
    uint32_t in_flight; /* calls now */
    uint32_t rows_in, rows_out;
    uint32_t batches, repeats;
    uint32_t nulled;             /* rows answered without asking the backend */
    uint32_t by_code[PB_CODES];  /* ended calls */
    struct pb_histogram latency; /* ended calls, nanoseconds */
};

/* Register the series of a function. */
void pb_counters_init(struct pb_function_counters *c, struct pb_metrics *metrics, pbay_str function);
