/* SPDX-License-Identifier: MIT */
/*
 * For PB_FLATTEN builds: everything that crosses the boundary goes through its encoding and back, the form in
 * which it would reach a connector in a process of its own. What is lost on the way is found by the tests.
 * Inside of this room. Threads: [loop].
 */
#pragma once

#include "base/err.h"
#include "data/batch.h"

/* Decoded from the batch's encoding; the process ends when that fails. Returns owned. */
struct pbay_builder *pb_flatten_batch(const pbay_batch *batch);
/* *b becomes what its encoding says, sealed. NULL with err; *b stays the caller's. */
const pbay_batch *pb_flatten_builder(struct pbay_builder **b, struct pb_err *err);
/* The same for a result. */
void pb_flatten_err(struct pb_err *err);
