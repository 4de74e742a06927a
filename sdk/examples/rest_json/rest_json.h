/* SPDX-License-Identifier: MIT */
/* What plugin.c (options, declarations) and calls.c (batches under way) share. */
#pragma once

#include <patchbay/functions.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>
#include <patchbay/host_http.h>
#include <patchbay/host_secret.h>

#include "template.h"

enum { HEADERS = 16, WHY = 600 };

struct instance {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_http_1 *http;
    const pbay_secret_1 *secret;
    pbay_str base, scheme;
    char why[WHY];
};

struct function {
    pbay_str method, pick, next, cursor;
    struct template path, body, headers[HEADERS];
    pbay_str names[HEADERS]; /* of the headers */
    uint32_t n_headers, at_once, pages, kind;
};

/* Of pbay_functions_1: calls.c. */
int32_t submit_rows(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why);
void cancel_rows(void *self, void *bound, pbay_call call);
