/* SPDX-License-Identifier: MIT */
/* The loop: one protected call, and one more behind each row that raised and may. */
#include "script/rows.h"

static int loop(lua_State *L)
{
    struct pb_rows *r = lua_touserdata(L, 1);
    lua_settop(L, 0);
    r->push(L, r->arg);
    luaL_checkstack(L, (int)(r->in->n_cols + r->n_returns) + 8, "too many columns");
    uint32_t args = pb_args_taken(L, 1, r->in->n_cols);
    r->started = true;
    for (; r->row < r->in->n_rows; r->row++) {
        lua_pushvalue(L, 1);
        for (uint32_t c = 0; c < args; c++)
            pb_cell_push(L, pbay_batch_col(r->in, c), r->row, r->params && r->params[c].integer);
        lua_call(L, (int)args, (int)r->n_returns);
        for (uint32_t c = 0; c < r->n_returns; c++)
            pb_cell_put_fast(L, (int)c + 2, r->out, c, r->returns[c].kind, r->bad_null);
        lua_settop(L, 1);
    }
    return 0;
}

int pb_rows_run(struct pb_vm *vm, struct pb_script_ctx *ctx, struct pb_rows *r, uint64_t base,
                struct pb_err *err)
{
    r->had = pb_builder_rows(r->out);
    pb_cells_columns(r->out, r->returns, r->n_returns, 0, r->had);
    if (pb_vm_enter(vm, ctx, err) != 0) return -1;
    int rc = 0;
    while (pb_vm_try(vm, loop, r, err) != 0) {
        pb_cells_truncate(r->out, r->had + r->row);
        bool alone = vm->end == PB_END_FAILED, nulled = vm->end == PB_END_RAISED && r->error_null;
        if (!r->started || !(alone || nulled)) {
            if (r->started) pb_cells_blame(err, base + r->row + 1, r->in, r->row, NULL, 0);
            rc = -1;
            break;
        }
        for (uint32_t c = 0; c < r->n_returns; c++) pb_put_null(r->out, c);
        if (alone) pb_builder_row_error(r->out, r->had + r->row, err->code, pb_str_c(err->msg));
        if (nulled && ctx) ctx->n_nulled++;
        r->row++;
    }
    pb_vm_leave(vm);
    return rc;
}

int pb_rows_fit(const pbay_batch *in, uint32_t n_params, struct pb_err *err)
{
    if (in->n_cols == n_params) return 0;
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%u columns for %u parameters", in->n_cols, n_params);
}
