/* SPDX-License-Identifier: MIT */
/*
 * A plugin of the tests' own: text is answered doubled, and the operation that a function uses says how the
 * backend behaves.
 */
#pragma once

#include <patchbay/functions.h>
#include <patchbay/host_call.h>
#include <patchbay/host_invoke.h>
#include <patchbay/host_timer.h>

struct held {
    pbay_call call;
    pbay_builder *out;
    pbay_timer timer;
};

/* What the plugin has seen; set to zero by the fixture. */
extern struct doubling {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_timer_1 *timer;
    const pbay_invoke_1 *invoke;
    unsigned submits, at_once, most_at_once, cancels, fail_next;
    uint32_t most_rows;
    struct held held[64];
    unsigned n_held;
    unsigned deepest;    /* "nest": invocations inside invocations that were opened */
    pbay_result refusal; /* and why the next one was not */
    char refusal_text[256];
} P;

const pbay_entry *doubling_entry(void);
