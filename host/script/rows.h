/* SPDX-License-Identifier: MIT */
/* A Lua function over rows, one value or more per row, for this room alone: map functions and evaluations. */
#pragma once

#include "script/cells.h"

struct pb_rows {
    void (*push)(lua_State *L, void *arg); /* the function; raises */
    void *arg;
    const struct pb_script_field *params; /* NULL: as they come */
    const struct pb_script_field *returns;
    uint32_t n_returns;
    bool error_null, bad_null;
    const pbay_batch *in;
    struct pbay_builder *out;
    /* in flight */
    uint32_t row, had;
    bool started;
};

/* Appends in->n_rows rows to out. */
int pb_rows_run(struct pb_vm *vm, struct pb_script_ctx *ctx, struct pb_rows *r, uint64_t base,
                struct pb_err *err);
/* Columns against parameters: -1 with err. */
int pb_rows_fit(const pbay_batch *in, uint32_t n_params, struct pb_err *err);
