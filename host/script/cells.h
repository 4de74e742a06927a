/* SPDX-License-Identifier: MIT */
/* Cells to Lua values and back, for this room alone: the path of every row. */
#pragma once

#include <math.h>

#include "script/transform.h"
#include "script/vm_priv.h"

/* Copies of declared fields, NULL for none; freed with pb_fields_free. */
struct pb_script_field *pb_fields_copy(const struct pb_script_field *fields, uint32_t n);
void pb_fields_free(struct pb_script_field *fields, uint32_t n);

/* Push the cell. Raises when `integer` is wanted and it is not one. */
static inline void pb_cell_push(lua_State *L, const pbay_column *col, uint32_t row, bool integer)
{
    if (pbay_cell_null(col, row)) {
        lua_pushnil(L);
        return;
    }
    if (col->num && (col->kind == PBAY_NUM || !isnan(col->num[row]))) {
        double v = col->num[row];
        lua_Integer i;
        if (!integer)
            lua_pushnumber(L, v);
        else if (floor(v) == v && lua_numbertointeger(v, &i))
            lua_pushinteger(L, i);
        else
            luaL_error(L, "%f is not a whole number, which the parameter \"%s\" wants", v,
                       col->name.n ? col->name.p : "");
        return;
    }
    pbay_str s = pbay_cell_text(col, row);
    lua_pushlstring(L, s.p, s.n);
}

/* How many of `n` arguments the function at idx can see: cells that it has no parameter for are not made into
 * values. */
uint32_t pb_args_taken(lua_State *L, int idx, uint32_t n);

/* Append the value at idx to column c. want: a kind, or PB_KIND_ANY. Raises when it does not fit, unless
 * bad_null. */
void pb_cell_put(lua_State *L, int idx, struct pbay_builder *b, uint32_t c, uint32_t want, bool bad_null);
/* The same for the usual cases, inline. */
static inline void pb_cell_put_fast(lua_State *L, int idx, struct pbay_builder *b, uint32_t c, uint32_t want,
                                    bool bad_null)
{
    if (want == PBAY_NUM && lua_type(L, idx) == LUA_TNUMBER) {
        double v = lua_tonumber(L, idx);
        if (PB_LIKELY(!isnan(v))) {
            pb_put_num(b, c, v);
            return;
        }
    } else if (want == PBAY_STR && lua_type(L, idx) == LUA_TSTRING) {
        size_t n;
        const char *p = lua_tolstring(L, idx, &n);
        if (PB_LIKELY(pb_utf8_valid(pb_str(p, n)))) {
            pb_put_text(b, c, p, n);
            return;
        }
    }
    pb_cell_put(L, idx, b, c, want, bad_null);
}

/* Make every column of b rows long again after a row broke off. */
void pb_cells_truncate(struct pbay_builder *b, uint32_t rows);
/* Add the columns that returns describe (or n of any kind), each with `rows` nulls. */
void pb_cells_columns(struct pbay_builder *b, const struct pb_script_field *returns, uint32_t n_returns,
                      uint32_t n, uint32_t rows);
/* " (row 17: age = 42, plan = \"gold\")" behind the message. Batches b may be NULL. */
void pb_cells_blame(struct pb_err *err, uint64_t row, const pbay_batch *a, uint32_t row_a,
                    const pbay_batch *b, uint32_t row_b);
/* Push each column of a batch as a list with its length in `n`. */
void pb_cells_push_columns(lua_State *L, const pbay_batch *b, const struct pb_script_field *params);
/* Append the list at idx, n values, to column c. Raises when it is of another length. */
void pb_cells_put_column(lua_State *L, int idx, struct pbay_builder *b, uint32_t c, uint32_t n, uint32_t want,
                         bool bad_null);
