/* SPDX-License-Identifier: MIT */
/*
 * A session with Snowflake's SQL API, one statement at a time, waited for: submitted under a request id,
 * polled while it runs, repeated under the same id when an answer is lost (so it runs at most once), with a
 * new token when one was refused.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "hyper.h"
#include "kit/snowflake_sql.h"

struct rec_sql;

/* What a statement answered; everything lives in `mem`. */
struct rec_result {
    struct pb_arena mem;
    pbay_str handle;
    pbay_str *columns; /* names */
    uint32_t n_columns;
    uint32_t n_partitions;
    pbay_str data; /* rows of partition 0: a JSON array of arrays of strings */
};

/* NULL with err. */
struct rec_sql *rec_sql_open(const struct rec_hyper *h, struct pb_err *err);
void rec_sql_close(struct rec_sql *s); /* NULL is fine */
/* 0 with *out to be freed by rec_result_free, or -1 with err: what Snowflake said. out NULL: nobody looks. */
int rec_sql_run(struct rec_sql *s, pbay_sf_statement *statement, struct rec_result *out, struct pb_err *err);
/* The rows of another partition, in out->mem of the caller's own rec_result. */
int rec_sql_partition(struct rec_sql *s, pbay_str handle, uint32_t partition, struct rec_result *out,
                      struct pb_err *err);
void rec_result_free(struct rec_result *r);
