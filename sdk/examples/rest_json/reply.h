/* SPDX-License-Identifier: MIT */
/* What stands in a reply: a place in its JSON, what a cell of the answer is made of it, and where the next
 * page is. */
#pragma once

#include <jansson.h>

#include <patchbay/host_batch.h>

#include "kit/text.h"

/* "current.days.0.max": members with dots between them, positions in lists. NULL: it is not there. */
json_t *reply_pick(json_t *v, pbay_str place);
/* Appends v (NULL: null) to column 0 of out, which is of this kind. */
void reply_put(const pbay_batch_1 *batch, pbay_builder *out, uint32_t row, uint32_t kind, const json_t *v);
/*
 * The address of the next page from what stands at `next`: a URL or a path of the same API, or, with
 * `cursor`, the value of that member of the query. 1: it is in url; 0: there is no other page; -1: it is
 * somewhere else, where the token must not go.
 */
int reply_next(json_t *v, pbay_str base, pbay_str first, pbay_str cursor, pbay_text *url);
