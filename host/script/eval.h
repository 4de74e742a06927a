/* SPDX-License-Identifier: MIT */
/*
 * EvaluateScript: a caller's own Lua over a caller's own rows.
 *
 * In a state of its own, apart from the operators' scripts; each evaluation has a fresh environment over
 * read-only libraries and no files, so nothing it does is seen by the next. The text is an expression or a
 * chunk with `return`. Parameters are there by name (where the name is a Lua name) and as args[1], args[2],
 * ...
 *
 *   scalar, tensor  evaluated for each row; one value for each row
 *   aggregation     evaluated once over all rows; each parameter is a list of its column's values with the
 * number of rows in field `n`; one value
 */
#pragma once

#include "script/transform.h"

#define PB_EVAL_ROWS      1u /* SCALAR and TENSOR */
#define PB_EVAL_AGGREGATE 2u

struct pb_eval; /* one EvaluateScript call */

struct pb_eval_options {
    pbay_str source;
    const struct pb_script_field *params; /* copied */
    uint32_t n_params;
    uint32_t shape;  /* PB_EVAL_* */
    uint32_t answer; /* kind of the answer, PBAY_NUM .. PBAY_DUAL */
    bool bad_null;
};

/* A state for evaluations: 16 MiB and 100 ms each unless `options` says otherwise (NULL is fine); dir is
 * ignored. */
struct pb_vm *pb_eval_vm(const struct pb_vm_options *options, struct pb_err *err);
/* Compiles. NULL with err INVALID_ARGUMENT: "script:1: ...". */
struct pb_eval *pb_eval_new(struct pb_vm *vm, const struct pb_eval_options *o, struct pb_err *err);
void pb_eval_free(struct pb_eval *e);
/* Rows: appends in->n_rows answers to out. Aggregate: takes the rows in; out is not touched. */
int pb_eval_push(struct pb_eval *e, struct pb_script_ctx *ctx, const pbay_batch *in, struct pbay_builder *out,
                 struct pb_err *err);
/* Aggregate: appends the one answer. Rows: nothing to do. */
int pb_eval_end(struct pb_eval *e, struct pb_script_ctx *ctx, struct pbay_builder *out, struct pb_err *err);
