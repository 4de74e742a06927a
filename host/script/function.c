/* SPDX-License-Identifier: MIT */
/* Functions whose whole work is Lua. State of a call lives in the Lua state, one table for each open call. */
#include "script/function.h"

#include "base/check.h"
#include "script/rows.h"

enum { FN_MAGIC = 0x4e464250, EMIT_ROWS = 16384, EMIT_TEXT = 1 << 20 };
enum part { PART_INIT, PART_STEP, PART_FINAL, PART_ROWS, PARTS };

static const char *const part_names[PARTS] = {"init", "step", "final", "rows"};

struct pb_fn {
    uint32_t magic;
    uint32_t shape;
    struct pb_vm *vm;
    struct pb_script *script;
    struct pb_script_field *params, *returns;
    uint32_t n_params, n_returns;
    bool error_null, bad_null;
    uint32_t generation;
    int map, part[PARTS];
};

struct pb_fn_call {
    struct pb_fn *f;
    struct pb_script_ctx *ctx;
    pb_fn_emit_fn emit;
    void *arg;
    struct pbay_builder *out;
    uint32_t generation;
    int state; /* registry: what init gave and step changes */
    const pbay_batch *in;
    uint32_t row;
    uint32_t rows; /* whole ones in out */
    uint64_t base;
    bool started, failed, cancelled;
};

/* ------------------------------------------------------------------------------------------------ loading */

/* "name:kind" */
static void column_of(lua_State *L, struct pb_fn *f, uint32_t i)
{
    size_t n;
    const char *p = lua_tolstring(L, -1, &n);
    pbay_str s = pb_str(p, n);
    size_t colon = pb_str_chr(s, ':');
    uint32_t kind = PBAY_STR;
    if (colon < n && !pb_kind_parse(pb_str(p + colon + 1, n - colon - 1), &kind))
        luaL_error(L, "columns: \"%s\" wants a name and num, str, dual or json", p);
    f->returns[i].name = pb_str(pb_strndup(p, colon), colon);
    f->returns[i].kind = kind;
}

static void read_columns(lua_State *L, struct pb_fn *f, const char *path)
{
    int type = lua_getfield(L, -1, "columns");
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    lua_Unsigned n = type == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
    if (n < 1 || n > 1024) luaL_error(L, "%s: columns is a list of \"name:kind\", 1 to 1024 of them", path);
    f->shape = PB_FN_TABLE;
    for (lua_Unsigned i = 1; i <= n; i++) {
        if (lua_rawgeti(L, -1, (lua_Integer)i) != LUA_TSTRING)
            luaL_error(L, "%s: columns: item %d is not a text", path, (int)i);
        lua_pop(L, 1);
    }
    pb_fields_free(f->returns, f->n_returns);
    f->returns = pb_zalloc(n * sizeof *f->returns);
    f->n_returns = (uint32_t)n;
    for (lua_Unsigned i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i);
        column_of(L, f, (uint32_t)i - 1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void ready(lua_State *L, struct pb_fn *f)
{
    if (f->generation == f->vm->generation) return;
    const char *path = f->script->path;
    luaL_checkstack(L, 8, NULL);
    pb_script_push(L, f->script);
    f->map = LUA_NOREF;
    for (int i = 0; i < PARTS; i++) f->part[i] = LUA_NOREF;
    if (lua_type(L, -1) == LUA_TFUNCTION) {
        f->shape = PB_FN_MAP;
        f->map = luaL_ref(L, LUA_REGISTRYINDEX);
    } else if (lua_type(L, -1) == LUA_TTABLE) {
        f->shape = PB_FN_AGGREGATE;
        read_columns(L, f, path);
        for (int i = 0; i < PARTS; i++) {
            int type = lua_getfield(L, -1, part_names[i]);
            if (type != LUA_TNIL && type != LUA_TFUNCTION)
                luaL_error(L, "%s: \"%s\" is a %s, not a function", path, part_names[i],
                           lua_typename(L, type));
            if (type == LUA_TNIL)
                lua_pop(L, 1);
            else
                f->part[i] = luaL_ref(L, LUA_REGISTRYINDEX);
        }
        lua_pop(L, 1);
        bool table = f->shape == PB_FN_TABLE;
        if (!table && (f->part[PART_STEP] == LUA_NOREF || f->part[PART_FINAL] == LUA_NOREF))
            luaL_error(L, "%s: an aggregate has init, step and final; a table function has columns too",
                       path);
        if (table && f->part[PART_STEP] == LUA_NOREF && f->part[PART_ROWS] == LUA_NOREF)
            luaL_error(L, "%s: a table function has step or rows", path);
    } else {
        luaL_error(L, "%s: returns a %s, not a function or a table", path, luaL_typename(L, -1));
    }
    f->generation = f->vm->generation;
}

static int ready_now(lua_State *L)
{
    ready(L, lua_touserdata(L, 1));
    return 0;
}

struct pb_fn *pb_fn_new(struct pb_vm *vm, const struct pb_fn_options *o, struct pb_err *err)
{
    struct pb_script *script = pb_script_load(vm, o->path, err);
    if (!script) return NULL;
    struct pb_fn *f = pb_zalloc(sizeof *f);
    f->magic = FN_MAGIC;
    f->vm = vm;
    f->script = script;
    f->params = pb_fields_copy(o->params, o->n_params);
    f->n_params = o->n_params;
    f->returns = pb_fields_copy(o->returns, o->n_returns);
    f->n_returns = o->n_returns;
    f->error_null = o->error_null;
    f->bad_null = o->bad_null;
    f->map = LUA_NOREF;
    for (int i = 0; i < PARTS; i++) f->part[i] = LUA_NOREF;
    int rc = pb_vm_call(vm, NULL, ready_now, f, err);
    if (rc == 0 && !f->n_returns)
        rc = pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: what it returns is not declared", script->path);
    if (rc == 0) return f;
    pb_fn_free(f);
    return NULL;
}

void pb_fn_free(struct pb_fn *f)
{
    if (!f) return;
    PB_MAGIC_CHECK(f, FN_MAGIC);
    pb_vm_unref(f->vm, f->generation, f->map);
    for (int i = 0; i < PARTS; i++) pb_vm_unref(f->vm, f->generation, f->part[i]);
    pb_script_drop(f->script);
    pb_fields_free(f->params, f->n_params);
    pb_fields_free(f->returns, f->n_returns);
    f->magic = 0;
    pb_free(f);
}

uint32_t pb_fn_shape(const struct pb_fn *f)
{
    return f->shape;
}

const struct pb_script_field *pb_fn_columns(const struct pb_fn *f, uint32_t *n)
{
    *n = f->n_returns;
    return f->returns;
}

/* ------------------------------------------------------------------------------------------------ map */

static void push_map(lua_State *L, void *arg)
{
    struct pb_fn *f = arg;
    ready(L, f);
    lua_rawgeti(L, LUA_REGISTRYINDEX, f->map);
}

int pb_fn_map(struct pb_fn *f, struct pb_script_ctx *ctx, const pbay_batch *in, uint64_t base,
              struct pbay_builder *out, struct pb_err *err)
{
    struct pb_err own;
    if (!err) err = &own;
    if (f->shape != PB_FN_MAP) return pb_fail(err, PBAY_INTERNAL, "%s: not a map function", f->script->path);
    if (pb_rows_fit(in, f->n_params, err) != 0) return -1;
    struct pb_rows r = {.push = push_map,
                        .arg = f,
                        .params = f->params,
                        .returns = f->returns,
                        .n_returns = f->n_returns,
                        .error_null = f->error_null,
                        .bad_null = f->bad_null,
                        .in = in,
                        .out = out};
    return pb_rows_run(f->vm, ctx, &r, base, err);
}

/* ------------------------------------------------------------------------------------------------ calls */

static struct pb_fn_call *call_arg(lua_State *L)
{
    struct pb_fn_call *c = lua_touserdata(L, 1);
    ready(L, c->f);
    if (c->generation && c->generation != c->f->vm->generation)
        luaL_error(L, "what this call had gathered is lost: another call filled the memory of its Lua state");
    lua_settop(L, 0);
    return c;
}

/* Hand over what is there. */
static void flush(lua_State *L, struct pb_fn_call *c)
{
    struct pbay_builder *full = c->out;
    c->out = pb_builder_get();
    c->rows = 0;
    pb_cells_columns(c->out, c->f->returns, c->f->n_returns, 0, 0);
    if (c->emit(c->arg, full) == 0) return;
    c->cancelled = true;
    luaL_error(L, "nobody takes the rows any more");
}

/* emit(value, ...): upvalue 1 is the call. A script may keep emit for longer than the call lives: only
 * compare it. */
static int emit(lua_State *L)
{
    struct pb_fn_call *c = lua_touserdata(L, lua_upvalueindex(1));
    if (c != pb_vm_of(L)->emitting) return luaL_error(L, "emit is for the call it was given to");
    struct pb_fn *f = c->f;
    if ((uint32_t)lua_gettop(L) > f->n_returns)
        return luaL_error(L, "emit: %d values for %d columns", lua_gettop(L), (int)f->n_returns);
    lua_settop(L, (int)f->n_returns);
    pb_cells_truncate(c->out, c->rows); /* a row that broke off inside a pcall */
    for (uint32_t i = 0; i < f->n_returns; i++)
        pb_cell_put_fast(L, (int)i + 1, c->out, i, f->returns[i].kind, f->bad_null);
    c->rows++;
    if (c->rows >= EMIT_ROWS || (c->rows % 64 == 0 && pb_builder_text(c->out) >= EMIT_TEXT)) flush(L, c);
    return 0;
}

static void push_emit(lua_State *L, struct pb_fn_call *c)
{
    lua_pushlightuserdata(L, c);
    lua_pushcclosure(L, emit, 1);
}

static int run_init(lua_State *L)
{
    struct pb_fn_call *c = call_arg(L);
    if (c->f->shape == PB_FN_TABLE) return 0;
    if (c->f->part[PART_INIT] != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, c->f->part[PART_INIT]);
        lua_call(L, 0, 1);
    } else {
        lua_createtable(L, 0, 0);
    }
    c->state = luaL_ref(L, LUA_REGISTRYINDEX);
    c->generation = c->f->vm->generation;
    return 0;
}

static int run_step(lua_State *L)
{
    struct pb_fn_call *c = call_arg(L);
    struct pb_fn *f = c->f;
    bool table = f->shape == PB_FN_TABLE;
    if (f->part[PART_STEP] == LUA_NOREF) return 0; /* a table of `rows` alone wants none */
    luaL_checkstack(L, (int)c->in->n_cols + 8, "too many columns");
    lua_rawgeti(L, LUA_REGISTRYINDEX, f->part[PART_STEP]);
    if (table)
        push_emit(L, c);
    else
        lua_rawgeti(L, LUA_REGISTRYINDEX, c->state);
    c->started = true;
    for (; c->row < c->in->n_rows; c->row++) {
        lua_pushvalue(L, 1);
        lua_pushvalue(L, 2);
        for (uint32_t i = 0; i < c->in->n_cols; i++)
            pb_cell_push(L, pbay_batch_col(c->in, i), c->row, f->params[i].integer);
        lua_call(L, (int)c->in->n_cols + 1, 1);
        if (!table && !lua_isnil(L, -1)) lua_replace(L, 2);
        lua_settop(L, 2);
    }
    if (!table) lua_rawseti(L, LUA_REGISTRYINDEX, c->state);
    return 0;
}

static int run_final(lua_State *L)
{
    struct pb_fn_call *c = call_arg(L);
    struct pb_fn *f = c->f;
    c->started = true;
    if (f->shape == PB_FN_TABLE) {
        for (int i = 0; i < 2; i++) {
            int ref = f->part[i ? PART_FINAL : PART_ROWS];
            if (ref == LUA_NOREF) continue;
            lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
            push_emit(L, c);
            lua_call(L, 1, 0);
        }
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, f->part[PART_FINAL]);
        lua_rawgeti(L, LUA_REGISTRYINDEX, c->state);
        lua_call(L, 1, (int)f->n_returns);
        for (uint32_t i = 0; i < f->n_returns; i++)
            pb_cell_put_fast(L, (int)i + 1, c->out, i, f->returns[i].kind, f->bad_null);
    }
    return 0;
}

static int run_part(struct pb_fn_call *c, lua_CFunction part, struct pb_err *err)
{
    struct pb_err own;
    if (!err) err = &own;
    if (c->failed) return pb_fail(err, PBAY_FAILED_PRECONDITION, "the call has failed before");
    c->started = false;
    c->f->vm->emitting = c->f->shape == PB_FN_TABLE ? c : NULL;
    int rc = pb_vm_call(c->f->vm, c->ctx, part, c, err);
    c->f->vm->emitting = NULL;
    if (rc != 0) {
        c->failed = true;
        if (c->cancelled) err->code = PBAY_CANCELLED;
        if (c->started && c->in && c->row < c->in->n_rows)
            pb_cells_blame(err, c->base + c->row + 1, c->in, c->row, NULL, 0);
    }
    c->started = false;
    return rc;
}

struct pb_fn_call *pb_fn_open(struct pb_fn *f, struct pb_script_ctx *ctx, pb_fn_emit_fn emit_fn, void *arg,
                              struct pb_err *err)
{
    PB_MAGIC_CHECK(f, FN_MAGIC);
    if (f->shape == PB_FN_MAP) {
        pb_fail(err, PBAY_INTERNAL, "%s: a map function is not opened", f->script->path);
        return NULL;
    }
    struct pb_fn_call *c = pb_zalloc(sizeof *c);
    c->f = f;
    c->ctx = ctx;
    c->emit = emit_fn;
    c->arg = arg;
    c->state = LUA_NOREF;
    c->out = pb_builder_get();
    pb_cells_columns(c->out, f->returns, f->n_returns, 0, 0);
    if (run_part(c, run_init, err) == 0) return c;
    pb_fn_close(c);
    return NULL;
}

int pb_fn_push(struct pb_fn_call *c, const pbay_batch *in, struct pb_err *err)
{
    if (pb_rows_fit(in, c->f->n_params, err) != 0) return -1;
    c->in = in;
    c->row = 0;
    int rc = run_part(c, run_step, err);
    c->in = NULL;
    c->base += in->n_rows;
    return rc;
}

int pb_fn_end(struct pb_fn_call *c, struct pb_err *err)
{
    if (run_part(c, run_final, err) != 0) return -1;
    if (c->f->shape == PB_FN_TABLE) pb_cells_truncate(c->out, c->rows);
    if (!pb_builder_rows(c->out)) return 0;
    struct pbay_builder *last = c->out;
    c->out = NULL;
    if (c->emit(c->arg, last) == 0) return 0;
    return pb_fail(err, PBAY_CANCELLED, "nobody takes the rows any more");
}

void pb_fn_close(struct pb_fn_call *c)
{
    if (!c) return;
    pb_vm_unref(c->f->vm, c->generation, c->state);
    pb_builder_unref(c->out);
    pb_free(c);
}
