/* SPDX-License-Identifier: MIT */
/* EvaluateScript: compile once for a call, in an environment that is thrown away with it. */
#include "script/eval.h"

#include <ctype.h>

#include "base/check.h"
#include "script/rows.h"

enum { EVAL_MAGIC = 0x4c415645, SOURCE_MAX = 1 << 20, LOCALS_MAX = 120 };

struct pb_eval {
    uint32_t magic;
    struct pb_vm *vm;
    struct pb_script_field *params;
    uint32_t n_params, shape;
    struct pb_script_field answer;
    bool bad_null;
    char *expr, *chunk; /* the text as an expression, and as it is, behind its parameters */
    uint32_t generation;
    int ref;   /* the compiled function */
    int lists; /* aggregate: the columns gathered so far */
    uint32_t lists_generation;
    uint32_t rows;
    uint64_t base;
    const pbay_batch *in;
    struct pbay_builder *out;
};

struct pb_vm *pb_eval_vm(const struct pb_vm_options *options, struct pb_err *err)
{
    struct pb_vm_options o = {0};
    if (options) o = *options;
    if (!o.memory_cap) o.memory_cap = (size_t)16 << 20;
    if (!o.budget_ms) o.budget_ms = 100;
    o.dir = NULL;
    o.read = NULL;
    return pb_vm_new(&o, err);
}

static bool is_name(pbay_str s)
{
    static const char *const words[] = {"and",   "break", "do",       "else",  "elseif", "end",
                                        "false", "for",   "function", "goto",  "if",     "in",
                                        "local", "nil",   "not",      "or",    "repeat", "return",
                                        "then",  "true",  "until",    "while", "_ENV",   "args"};
    if (!s.n || s.n > 100 || !(isalpha((unsigned char)s.p[0]) || s.p[0] == '_')) return false;
    for (size_t i = 0; i < s.n; i++)
        if (!(isalnum((unsigned char)s.p[i]) || s.p[i] == '_') || (unsigned char)s.p[i] > 0x7e) return false;
    for (size_t i = 0; i < PB_COUNTOF(words); i++)
        if (pb_str_is(s, words[i])) return false;
    return true;
}

/* "local Age,_,Plan=...;" on the first line, so that lines keep their numbers. */
static char *wrap(const struct pb_eval_options *o, const char *before)
{
    struct pb_buf b = {0};
    bool any = false;
    for (uint32_t i = 0; i < o->n_params && i < LOCALS_MAX; i++) {
        pbay_str name = is_name(o->params[i].name) ? o->params[i].name : PB_STR("_");
        pb_buf_c(&b, any ? "," : "local ");
        pb_buf_str(&b, name);
        any = true;
    }
    if (any) pb_buf_c(&b, "=...;");
    /* A table for each row only where the text asks for one. */
    if (memmem(o->source.p ? o->source.p : "", o->source.n, "args", 4)) pb_buf_c(&b, "local args={...};");
    pb_buf_c(&b, before);
    pb_buf_str(&b, o->source);
    pb_buf_ch(&b, '\0');
    return b.p;
}

static int compile(lua_State *L, struct pb_eval *e)
{
    int rc = luaL_loadbufferx(L, e->expr, strlen(e->expr), "=script", "t");
    if (rc == LUA_ERRSYNTAX) {
        lua_pop(L, 1);
        rc = luaL_loadbufferx(L, e->chunk, strlen(e->chunk), "=script", "t");
    }
    return rc;
}

static void ready(lua_State *L, struct pb_eval *e)
{
    if (e->generation == e->vm->generation) return;
    luaL_checkstack(L, 8, NULL);
    if (compile(L, e) != LUA_OK) lua_error(L);
    pb_sandbox_env(L);
    lua_setupvalue(L, -2, 1);
    e->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    e->generation = e->vm->generation;
}

static int ready_now(lua_State *L)
{
    ready(L, lua_touserdata(L, 1));
    return 0;
}

struct pb_eval *pb_eval_new(struct pb_vm *vm, const struct pb_eval_options *o, struct pb_err *err)
{
    if (o->source.n > SOURCE_MAX || (o->source.n && memchr(o->source.p, '\0', o->source.n))) {
        pb_fail(err, PBAY_INVALID_ARGUMENT, "a script is text of at most 1 MiB without NUL");
        return NULL;
    }
    struct pb_eval *e = pb_zalloc(sizeof *e);
    e->magic = EVAL_MAGIC;
    e->vm = vm;
    e->params = pb_fields_copy(o->params, o->n_params);
    e->n_params = o->n_params;
    e->shape = o->shape;
    e->answer.kind = o->answer;
    e->bad_null = o->bad_null;
    e->expr = wrap(o, "return ");
    e->chunk = wrap(o, "");
    e->ref = e->lists = LUA_NOREF;
    if (pb_vm_call(vm, NULL, ready_now, e, err) == 0) return e;
    pb_eval_free(e);
    return NULL;
}

void pb_eval_free(struct pb_eval *e)
{
    if (!e) return;
    PB_MAGIC_CHECK(e, EVAL_MAGIC);
    pb_vm_unref(e->vm, e->generation, e->ref);
    pb_vm_unref(e->vm, e->lists_generation, e->lists);
    pb_fields_free(e->params, e->n_params);
    pb_free(e->expr);
    pb_free(e->chunk);
    e->magic = 0;
    pb_free(e);
}

static void push_fn(lua_State *L, void *arg)
{
    struct pb_eval *e = arg;
    ready(L, e);
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->ref);
}

static void push_lists(lua_State *L, struct pb_eval *e)
{
    if (e->lists == LUA_NOREF) {
        lua_createtable(L, (int)e->n_params, 0);
        for (uint32_t c = 0; c < e->n_params; c++) {
            lua_createtable(L, 64, 1);
            lua_rawseti(L, -2, (lua_Integer)c + 1);
        }
        e->lists = luaL_ref(L, LUA_REGISTRYINDEX);
        e->lists_generation = e->vm->generation;
    }
    if (e->lists_generation != e->vm->generation)
        luaL_error(L, "what this call had gathered is lost: another call filled the memory of the Lua state");
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->lists);
}

static int gather(lua_State *L)
{
    struct pb_eval *e = lua_touserdata(L, 1);
    push_lists(L, e);
    for (uint32_t c = 0; c < e->n_params; c++) {
        const pbay_column *col = pbay_batch_col(e->in, c);
        lua_rawgeti(L, -1, (lua_Integer)c + 1);
        for (uint32_t i = 0; i < e->in->n_rows; i++) {
            pb_cell_push(L, col, i, e->params[c].integer);
            lua_rawseti(L, -2, (lua_Integer)e->rows + i + 1);
        }
        lua_pop(L, 1);
    }
    return 0;
}

static int finish(lua_State *L)
{
    struct pb_eval *e = lua_touserdata(L, 1);
    lua_settop(L, 0);
    push_lists(L, e);
    luaL_checkstack(L, (int)e->n_params + 8, "too many parameters");
    push_fn(L, e);
    for (uint32_t c = 0; c < e->n_params; c++) {
        lua_rawgeti(L, 1, (lua_Integer)c + 1);
        lua_pushinteger(L, e->rows);
        lua_setfield(L, -2, "n");
    }
    lua_call(L, (int)e->n_params, 1);
    pb_cell_put(L, -1, e->out, 0, e->answer.kind, e->bad_null);
    return 0;
}

int pb_eval_push(struct pb_eval *e, struct pb_script_ctx *ctx, const pbay_batch *in, struct pbay_builder *out,
                 struct pb_err *err)
{
    struct pb_err own;
    if (!err) err = &own;
    PB_MAGIC_CHECK(e, EVAL_MAGIC);
    if (pb_rows_fit(in, e->n_params, err) != 0) return -1;
    if (e->shape == PB_EVAL_AGGREGATE) {
        e->in = in;
        int rc = pb_vm_call(e->vm, ctx, gather, e, err);
        e->in = NULL;
        if (rc == 0) e->rows += in->n_rows;
        return rc;
    }
    struct pb_rows r = {.push = push_fn,
                        .arg = e,
                        .params = e->params,
                        .returns = &e->answer,
                        .n_returns = 1,
                        .bad_null = e->bad_null,
                        .in = in,
                        .out = out};
    int rc = pb_rows_run(e->vm, ctx, &r, e->base, err);
    e->base += in->n_rows;
    return rc;
}

int pb_eval_end(struct pb_eval *e, struct pb_script_ctx *ctx, struct pbay_builder *out, struct pb_err *err)
{
    PB_MAGIC_CHECK(e, EVAL_MAGIC);
    if (e->shape != PB_EVAL_AGGREGATE) return 0;
    e->out = out;
    uint32_t had = pb_builder_rows(out);
    pb_cells_columns(out, &e->answer, 1, 0, had);
    int rc = pb_vm_call(e->vm, ctx, finish, e, err);
    if (rc != 0) pb_cells_truncate(out, had);
    e->out = NULL;
    return rc;
}
