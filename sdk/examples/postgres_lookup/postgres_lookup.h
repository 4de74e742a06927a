/* SPDX-License-Identifier: MIT */
/* What plugin.c (options, declarations) and lookup.c (batches under way) share. */
#pragma once

#include <patchbay/functions.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>
#include <patchbay/host_metric.h>
#include <patchbay/host_work.h>

#include "database.h"

enum { PARAMS = 32 };

struct instance {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_work_1 *work;
    const pbay_metric_1 *metric;
    pbay_metric rows;
    char *dsn;
    int64_t timeout_ms;
    uint64_t numbers; /* of statements that are taken */
    char down[400];   /* why the database does not answer; "": it did when it was last asked */
    struct database slots[PBAY_WORK_SLOTS];
};

struct function {
    char *sql;
    uint32_t number, n, kind;
};

/* Of pbay_functions_1: lookup.c. */
int32_t lookup_submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why);
void lookup_cancel(void *self, void *bound, pbay_call call);
