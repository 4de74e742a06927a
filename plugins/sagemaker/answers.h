/* SPDX-License-Identifier: MIT */
/* Answers on their way into a batch: cells become what the function's columns are, or fail row by row. */
#pragma once

#include "reply.h"
#include "sagemaker.h"

/* The columns a function answers; kept by its `bound`. */
struct answer_columns {
    uint32_t n;
    uint32_t *kinds;
    pbay_str *names; /* texts lie behind the array */
};

struct answers {
    const struct sagemaker *sm;
    const struct answer_columns *columns;
    pbay_builder *out;
    const char *from;    /* who answered, for messages: "endpoint churn-v1" */
    uint32_t failed_row; /* the last row that failed + 1 */
};

/* Copies. 0, or -1: out of memory. A function without declared answers has one text column. */
int answer_columns_make(struct answer_columns *c, const pbay_field *fields, uint32_t n);
void answer_columns_free(struct answer_columns *c);

/* A builder with the columns; the caller hands a.out on or frees it. */
struct answers answers_begin(const struct sagemaker *sm, const struct answer_columns *c, const char *from);
/* Cells, in row order. A text that is no number where one is wanted fails its row. */
void answers_num(struct answers *a, uint32_t row, uint32_t col, double v);
void answers_text(struct answers *a, uint32_t row, uint32_t col, pbay_str v);
void answers_null(struct answers *a, uint32_t row, uint32_t col);
struct reply_sink answers_sink(struct answers *a);
/* A double as the shortest decimal; returns its length. */
size_t answers_format(double v, char out[40]);
