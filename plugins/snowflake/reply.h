/* SPDX-License-Identifier: MIT */
/*
 * The reply's envelope, {"data": [[number, value], ...]}: one value per row, under the number it came with.
 * Several columns are one object; a row that failed is {"error": ..., "code": ...} where errors of rows are
 * told in the reply.
 */
#pragma once

#include "snowflake.h"

struct reply {
    struct snowflake *s;
    const pbay_column *numbers; /* of all rows of the question */
    pbay_writer *out;
    pbay_writer *objects;
    pbay_builder *some; /* runs of rows, and values made here */
    uint32_t n;         /* rows so far */
    uint64_t bytes;     /* about */
};

void reply_init(struct reply *r, struct snowflake *s);
/* The next rows of the answer, with their errors. */
void reply_add(struct reply *r, const pbay_batch *rows);
/* The envelope, closed; borrowed until reply_free. */
pbay_str reply_text(struct reply *r);
void reply_free(struct reply *r);
