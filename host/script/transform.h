/* SPDX-License-Identifier: MIT */
/*
 * Transforms: what a script does with rows before the connector sees them and with answers before the caller
 * does.
 *
 *     return {
 *       before = function(age, income, plan) ... return age, income, plan:lower() end,
 *       after  = function(score, age, income, plan) return score > 0.5 and "leaves" or "stays" end,
 *       -- or whole columns: before_batch(ages, incomes, plans), after_batch(scores, ages, incomes, plans)
 *     }
 *
 * A whole batch is one protected call: rows are looped over in C, cells go in as scalars, results go straight
 * into a builder. Arguments: NUM a float (an integer where the parameter says so), STR a string, DUAL its
 * number or, when it has none, its text, JSON its text, null nil. Results: a number, a string, a boolean (1
 * and 0 for NUM, "true" and "false" for STR, itself for JSON), for JSON also a table; nil is null.
 */
#pragma once

#include "data/batch.h"
#include "script/vm.h"

/* Any kind: the first value of a column that is not null decides, and later ones widen it (NUM, STR, JSON).
 */
#define PB_KIND_ANY 0u

struct pb_script_field {
    pbay_str name;
    uint32_t kind; /* PBAY_NUM .. PBAY_JSON, or PB_KIND_ANY for a result */
    bool integer;  /* NUM parameter: arrives as an integer; a cell that is not one is that row's error */
};

struct pb_transform_options {
    const char *path;                     /* below scripts/ */
    const struct pb_script_field *params; /* the function's parameters; names and array are copied */
    uint32_t n_params;
    const struct pb_script_field
        *returns; /* what the caller gets; n_returns 0: as many as the script answers, any kind */
    uint32_t n_returns;
    bool nulls;      /* `after` also sees null answers */
    bool error_null; /* on_error = null: a row that raises becomes null */
    bool bad_null;   /* on_bad = null: an answer that does not fit its kind becomes null */
    bool raw;        /* body = raw: `before` answers exactly one text */
};

struct pb_transform;

/* Returns owned; NULL with err. The vm outlives it. */
struct pb_transform *pb_transform_new(struct pb_vm *vm, const struct pb_transform_options *o,
                                      struct pb_err *err);
void pb_transform_free(struct pb_transform *t);
bool pb_transform_has_before(const struct pb_transform *t);
bool pb_transform_has_after(const struct pb_transform *t);

/* What goes to the connector. Zero-initialise; used again it keeps its memory; drop releases. */
struct pb_sent {
    struct pbay_builder *rows; /* the columns to send, of the kept rows only; owned. NULL when n_kept is 0 */
    uint32_t *kept;            /* n_kept numbers of rows of the input, ascending */
    uint32_t n_kept;
    uint32_t kept_cap;
    pbay_row_error
        *failed; /* rows that failed alone (`fail`), ascending, never kept; messages are in `text` */
    uint32_t n_failed, failed_cap;
    struct pb_arena text;
    /* In, borrowed: set bits are rows that `before` is not shown, and that are not kept. NULL: none.
     * before_batch sees whole columns, whatever stands here. */
    const uint64_t *skip;
};
void pb_sent_drop(struct pb_sent *s);

/*
 * Run `before` over a batch. Without one everything is kept and s->rows is a copy of the batch. `base` is the
 * number of rows of the call that came earlier: messages count rows of the call from 1. -1 with err: the call
 * fails.
 */
int pb_transform_before(struct pb_transform *t, struct pb_script_ctx *ctx, const pbay_batch *in,
                        uint64_t base, struct pb_sent *s, struct pb_err *err);
/*
 * Answers back into their places: `answer` has s->n_kept rows (NULL when that is 0; another number is an
 * error), `original` is the batch given to `before`. Appends original->n_rows rows to `out`, a builder
 * without columns or with those of an earlier run; rows not sent are null, rows that failed alone are null
 * with a row error.
 */
int pb_transform_after(struct pb_transform *t, struct pb_script_ctx *ctx, const pbay_batch *answer,
                       const pbay_batch *original, const struct pb_sent *s, uint64_t base,
                       struct pbay_builder *out, struct pb_err *err);
