/* SPDX-License-Identifier: MIT */
/*
 * Coalescing: rows of different calls of one function in one batch (`coalesce_ms`). An ordinary LOAD makes a
 * call for each row and charts make many small ones; a backend that takes a hundred rows as easily as one is
 * asked once for all that come within a few milliseconds.
 *
 *   member    a unit that waits in a group, or whose rows are on their way with it
 *   group     units whose rows go together, at most max_rows and max_bytes
 *
 * Rows of different callers meet only while nobody asks who they are: a batch whose plugin asks is thrown
 * away, sent again unit by unit, and the function coalesces no more. A failure that is not the backend's
 * state is found by sending each unit alone, so that nobody's bad row fails another's call.
 *
 * Threads: the loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"

struct pb_coalesce;
struct pb_flow;
struct pb_unit;

/* For one function. wait_ms: how long a row may wait for others. Returns owned. */
struct pb_coalesce *pb_coalesce_new(int64_t wait_ms, struct pb_metrics *metrics, pbay_str function);
/* No group is left. NULL is fine. */
void pb_coalesce_free(struct pb_coalesce *c);
/* A plugin has asked who calls: never again for this function. */
bool pb_coalesce_is_off(const struct pb_coalesce *c);
