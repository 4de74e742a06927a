/* SPDX-License-Identifier: MIT */
/*
 * Whole functions in Lua, scripts/functions/X.lua. What the script returns says which shape it has:
 *
 *   map        return function(a, b) ... return v end
 *   aggregate  return { init = function() return state end, step = function(state, a, b) ... return state
 * end, final = function(state) return v end }          one row for all rows of a call table      return {
 * columns = { "name:str", "n:num" }, step = function(emit, a, b) ... end, final = function(emit) ... end }
 * any number of rows or, without rows going in, { columns = ..., rows = function(emit) ... end }
 *
 * Values cross as in transform.h. `step` may return nothing when the state is a table it changed.
 */
#pragma once

#include "script/transform.h"

#define PB_FN_MAP       1u
#define PB_FN_AGGREGATE 2u
#define PB_FN_TABLE     3u

struct pb_fn;      /* one declared function */
struct pb_fn_call; /* one call of an aggregate or a table function; several may be open at once */

struct pb_fn_options {
    const char *path;
    const struct pb_script_field *params;
    uint32_t n_params;
    const struct pb_script_field *returns; /* map and aggregate; a table's own `columns` decide for it */
    uint32_t n_returns;
    bool error_null; /* map only */
    bool bad_null;
};

struct pb_fn *pb_fn_new(struct pb_vm *vm, const struct pb_fn_options *o, struct pb_err *err);
void pb_fn_free(struct pb_fn *f); /* after its calls */
uint32_t pb_fn_shape(const struct pb_fn *f);
/* The columns of a table function; borrowed. */
const struct pb_script_field *pb_fn_columns(const struct pb_fn *f, uint32_t *n);

/* Map: appends in->n_rows rows to out. */
int pb_fn_map(struct pb_fn *f, struct pb_script_ctx *ctx, const pbay_batch *in, uint64_t base,
              struct pbay_builder *out, struct pb_err *err);

/*
 * Where rows go that a table or an aggregate gives: called with a full builder (about 1 MiB or 16,384 rows)
 * and at the end with the rest, from inside push and end. It takes the builder. Not 0: stop, the call fails
 * as cancelled. It must not call into the same state.
 */
typedef int (*pb_fn_emit_fn)(void *arg, struct pbay_builder *rows);

/* Returns owned; runs `init`. NULL with err. ctx is borrowed until close. */
struct pb_fn_call *pb_fn_open(struct pb_fn *f, struct pb_script_ctx *ctx, pb_fn_emit_fn emit, void *arg,
                              struct pb_err *err);
/* Rows of the call, in order. -1 with err: the call has failed; close it. */
int pb_fn_push(struct pb_fn_call *c, const pbay_batch *in, struct pb_err *err);
/* No more rows: `final`, and the rest is emitted. */
int pb_fn_end(struct pb_fn_call *c, struct pb_err *err);
void pb_fn_close(struct pb_fn_call *c);
