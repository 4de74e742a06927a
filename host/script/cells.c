/* SPDX-License-Identifier: MIT */
/* Conversion by declared kind; columns of any kind widen as values come. */
#include "script/cells.h"

struct pb_script_field *pb_fields_copy(const struct pb_script_field *fields, uint32_t n)
{
    if (!n) return NULL;
    struct pb_script_field *copy = pb_array(n, sizeof *copy);
    for (uint32_t i = 0; i < n; i++) {
        copy[i] = fields[i];
        copy[i].name =
            pb_str(pb_strndup(fields[i].name.p ? fields[i].name.p : "", fields[i].name.n), fields[i].name.n);
    }
    return copy;
}

void pb_fields_free(struct pb_script_field *fields, uint32_t n)
{
    for (uint32_t i = 0; fields && i < n; i++) {
        void *name = (void *)(uintptr_t)fields[i].name.p;
        pb_free(name);
    }
    pb_free(fields);
}

uint32_t pb_args_taken(lua_State *L, int idx, uint32_t n)
{
    lua_Debug ar;
    lua_pushvalue(L, idx);
    lua_getinfo(L, ">u", &ar); /* of a function in C: no parameters, but variable arguments */
    return !ar.isvararg && ar.nparams < n ? ar.nparams : n;
}

/* ------------------------------------------------------------------------------------------------ any kind
 */

static void put_json_of(struct pbay_builder *b, uint32_t c, const struct pb_col *from, uint32_t row)
{
    if (from->kind == PBAY_NUM) {
        char text[PB_F64_MAX];
        size_t n = isfinite(from->num[row]) ? pb_format_f64(from->num[row], text) : 0;
        if (n)
            pb_put_text(b, c, text, n);
        else
            pb_put_text(b, c, "null", 4);
        return;
    }
    struct pb_buf json = {0};
    pb_buf_json(&json, pb_str(from->bytes + from->off[row], from->off[row + 1] - from->off[row]));
    pb_put_text(b, c, json.p, json.n);
    pb_buf_free(&json);
}

/* Column c becomes one of `kind`, its cells converted. Nothing of Lua's is called. */
static void widen(struct pbay_builder *b, uint32_t c, uint32_t kind)
{
    struct pbay_builder *other = pb_builder_new();
    struct pb_col *from = &b->cols[c];
    pb_builder_column(other, pb_str(NULL, 0), kind);
    for (uint32_t i = 0; i < from->n; i++) {
        if (from->null_bits && (from->null_bits[i >> 6] >> (i & 63) & 1)) {
            pb_put_null(other, 0);
        } else if (kind == PBAY_STR) {
            char text[PB_F64_MAX];
            pb_put_text(other, 0, text, pb_format_f64(from->num[i], text));
        } else {
            put_json_of(other, 0, from, i);
        }
    }
    struct pb_col was = *from;
    *from = other->cols[0];
    other->cols[0] = was;
    from->name = was.name;
    other->cols[0].name = pb_str(NULL, 0);
    pb_builder_unref(other);
}

static uint32_t decide(struct pbay_builder *b, uint32_t c, int type)
{
    struct pb_col *col = &b->cols[c];
    uint32_t kind = type == LUA_TNUMBER ? PBAY_NUM : type == LUA_TSTRING ? PBAY_STR : PBAY_JSON;
    bool none = col->n == col->n_null;
    if (kind == col->kind || (!none && kind < col->kind)) return col->kind;
    widen(b, c, kind);
    return kind;
}

/* ------------------------------------------------------------------------------------------------ results */

static void misfit(lua_State *L, int idx, struct pbay_builder *b, uint32_t c, const char *want, bool bad_null)
{
    if (bad_null) {
        pb_put_null(b, c);
        return;
    }
    if (lua_type(L, idx) == LUA_TSTRING) {
        size_t n;
        const char *s = lua_tolstring(L, idx, &n);
        char quoted[72];
        size_t cut = n > 64 ? 64 : n;
        for (size_t i = 0; i < cut; i++)
            quoted[i] = (unsigned char)s[i] < 0x20 || (unsigned char)s[i] > 0x7e ? '?' : s[i];
        quoted[cut] = '\0';
        luaL_error(L, "value %d is \"%s%s\" where %s is declared", (int)c + 1, quoted, n > 64 ? "..." : "",
                   want);
    }
    luaL_error(L, "value %d is a %s where %s is declared", (int)c + 1, luaL_typename(L, idx), want);
}

/* The text of a scalar: in place or in buf. False: it has none. */
static bool text_of(lua_State *L, int idx, char buf[PB_F64_MAX], pbay_str *s)
{
    switch (lua_type(L, idx)) {
    case LUA_TSTRING: s->p = lua_tolstring(L, idx, &s->n); return true;
    case LUA_TBOOLEAN: *s = lua_toboolean(L, idx) ? PB_STR("true") : PB_STR("false"); return true;
    case LUA_TNUMBER:
        s->p = buf;
        s->n = lua_isinteger(L, idx) ? pb_format_i64(lua_tointeger(L, idx), buf)
                                     : pb_format_f64(lua_tonumber(L, idx), buf);
        return true;
    default: return false;
    }
}

static void put_json(lua_State *L, int idx, struct pbay_builder *b, uint32_t c, bool verbatim, bool bad_null)
{
    struct pb_buf *buf = &pb_vm_of(L)->scratch;
    if (lua_type(L, idx) == LUA_TSTRING && verbatim) {
        size_t n;
        const char *p = lua_tolstring(L, idx, &n);
        if (!pb_utf8_valid(pb_str(p, n))) {
            misfit(L, idx, b, c, "JSON in UTF-8", bad_null);
            return;
        }
        pb_json_push(L, pb_str(p, n)); /* raises where it is not JSON */
        lua_pop(L, 1);
        pb_put_text(b, c, p, n);
        return;
    }
    buf->n = 0;
    pb_json_write(L, idx, buf);
    pb_put_text(b, c, buf->p, buf->n);
    buf->n = 0;
}

void pb_cell_put(lua_State *L, int idx, struct pbay_builder *b, uint32_t c, uint32_t want, bool bad_null)
{
    int type = lua_type(L, idx);
    if (type == LUA_TNIL || (type == LUA_TLIGHTUSERDATA && !lua_touserdata(L, idx)) ||
        (type == LUA_TNUMBER && want != PBAY_STR && isnan(lua_tonumber(L, idx)))) {
        pb_put_null(b, c);
        return;
    }
    if (type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TBOOLEAN && type != LUA_TTABLE) {
        misfit(L, idx, b, c, "a value", false);
        return;
    }
    bool any = want == PB_KIND_ANY;
    if (any) want = decide(b, c, type);
    char buf[PB_F64_MAX];
    pbay_str s;
    double v = NAN;
    if (want == PBAY_JSON) {
        put_json(L, idx, b, c, !any, bad_null);
        return;
    }
    if (!text_of(L, idx, buf, &s)) {
        misfit(L, idx, b, c, want == PBAY_NUM ? "a number" : "a text", bad_null);
        return;
    }
    if (type == LUA_TSTRING && want != PBAY_NUM && !pb_utf8_valid(s)) {
        misfit(L, idx, b, c, "text in UTF-8", bad_null);
        return;
    }
    if (want == PBAY_STR) {
        pb_put_text(b, c, s.p, s.n);
        return;
    }
    bool number = true;
    if (type == LUA_TBOOLEAN)
        v = lua_toboolean(L, idx);
    else if (type == LUA_TNUMBER)
        v = lua_tonumber(L, idx);
    else
        number = pb_parse_f64(pb_str_trim(s), &v) && !isnan(v);
    if (want == PBAY_DUAL)
        pb_put_dual(b, c, number ? v : NAN, s.p, s.n);
    else if (number)
        pb_put_num(b, c, v);
    else
        misfit(L, idx, b, c, "a number", bad_null);
}

void pb_cells_truncate(struct pbay_builder *b, uint32_t rows)
{
    for (uint32_t c = 0; c < b->n_cols; c++) {
        struct pb_col *col = &b->cols[c];
        for (; col->n > rows; col->n--) {
            uint32_t i = col->n - 1;
            if (!col->null_bits || !(col->null_bits[i >> 6] >> (i & 63) & 1)) continue;
            col->null_bits[i >> 6] &= ~((uint64_t)1 << (i & 63));
            col->n_null--;
        }
    }
}

void pb_cells_columns(struct pbay_builder *b, const struct pb_script_field *returns, uint32_t n_returns,
                      uint32_t n, uint32_t rows)
{
    uint32_t from = b->n_cols;
    for (uint32_t i = from; i < (n_returns ? n_returns : n); i++) {
        uint32_t kind = n_returns && returns[i].kind ? returns[i].kind : PBAY_NUM;
        pb_builder_column(b, n_returns ? returns[i].name : pb_str(NULL, 0), kind);
    }
    for (uint32_t c = from; c < b->n_cols; c++) pb_builder_nulls(b, c, rows);
}

/* ------------------------------------------------------------------------------------------------ messages
 */

static void blame_cells(struct pb_buf *out, const pbay_batch *b, uint32_t row, bool *first)
{
    for (uint32_t c = 0; b && c < b->n_cols && out->n < 400; c++) {
        const pbay_column *col = pbay_batch_col(b, c);
        pb_buf_c(out, *first ? ": " : ", ");
        *first = false;
        if (col->name.n)
            pb_buf_printf(out, "%.*s = ", (int)(col->name.n > 40 ? 40 : col->name.n), col->name.p);
        if (pbay_cell_null(col, row)) {
            pb_buf_c(out, "null");
        } else if (col->kind == PBAY_NUM) {
            char text[PB_F64_MAX];
            pb_buf_add(out, text, pb_format_f64(col->num[row], text));
        } else {
            pbay_str s = pbay_cell_text(col, row);
            pb_buf_json(out, pb_str(s.p, pb_utf8_floor(s, s.n < 64 ? s.n : 64)));
            if (s.n > 64) pb_buf_c(out, "...");
        }
    }
}

void pb_cells_blame(struct pb_err *err, uint64_t row, const pbay_batch *a, uint32_t row_a,
                    const pbay_batch *b, uint32_t row_b)
{
    if (!err) return;
    struct pb_buf out = {0};
    bool first = true;
    pb_buf_printf(&out, " (row %llu", (unsigned long long)row);
    blame_cells(&out, a, row_a, &first);
    blame_cells(&out, b, row_b, &first);
    pb_buf_c(&out, ")");
    size_t at = strlen(err->msg), n = out.n;
    if (at + n >= sizeof err->msg) n = pb_utf8_floor(pb_buf_view(&out), sizeof err->msg - 1 - at);
    memcpy(err->msg + at, out.p, n);
    err->msg[at + n] = '\0';
    pb_buf_free(&out);
}

/* ------------------------------------------------------------------------------------------------ whole
 * columns */

void pb_cells_push_columns(lua_State *L, const pbay_batch *b, const struct pb_script_field *params)
{
    luaL_checkstack(L, (int)b->n_cols + 4, "too many columns");
    for (uint32_t c = 0; c < b->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(b, c);
        lua_createtable(L, (int)b->n_rows, 1);
        for (uint32_t i = 0; i < b->n_rows; i++) {
            pb_cell_push(L, col, i, params && params[c].integer);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        lua_pushinteger(L, b->n_rows);
        lua_setfield(L, -2, "n");
    }
}

void pb_cells_put_column(lua_State *L, int idx, struct pbay_builder *b, uint32_t c, uint32_t n, uint32_t want,
                         bool bad_null)
{
    idx = lua_absindex(L, idx);
    if (lua_type(L, idx) != LUA_TTABLE)
        luaL_error(L, "result %d is a %s, not a list with %d values", (int)c + 1, luaL_typename(L, idx),
                   (int)n);
    lua_pushliteral(L, "n");
    bool said = lua_rawget(L, idx) == LUA_TNUMBER;
    lua_Integer have = said ? lua_tointeger(L, -1) : (lua_Integer)lua_rawlen(L, idx);
    lua_pop(L, 1);
    if (!said && have < (lua_Integer)n) { /* holes make # smaller; the last value shows the length */
        if (lua_rawgeti(L, idx, (lua_Integer)n) != LUA_TNIL) have = n;
        lua_pop(L, 1);
    }
    if (have != (lua_Integer)n)
        luaL_error(L, "result %d has %I values for %d rows (set .n when the last are nil)", (int)c + 1,
                   (LUAI_UACINT)have, (int)n);
    for (uint32_t i = 0; i < n; i++) {
        lua_rawgeti(L, idx, (lua_Integer)i + 1);
        pb_cell_put_fast(L, -1, b, c, want, bad_null);
        lua_pop(L, 1);
    }
}
