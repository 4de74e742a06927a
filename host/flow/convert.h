/* SPDX-License-Identifier: MIT */
/* From the kind a backend answered to the kind a function returns. Whole columns at a time. Threads: any. */
#pragma once

#include "data/batch.h"
#include "flow/function.h"

/*
 * Append all n rows of src to column c of out, whose kind decides. Null stays null. What does not convert
 * (text that is no number for NUM) is an error naming row and value, or null, as on_bad says. The row is
 * first_row + 1 + its index, or rows[its index] where rows (borrowed) is not NULL: rows that went to a
 * backend are not all rows. what: "the answer", for messages; then on_bad is named as a way out.
 */
int pb_convert(const pbay_column *src, uint32_t n, struct pbay_builder *out, uint32_t c, enum pb_bad on_bad,
               uint64_t first_row, const uint32_t *rows, const char *what, struct pb_err *err);
