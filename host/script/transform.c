/* SPDX-License-Identifier: MIT */
/* One protected call per batch; a row that raises breaks it off, is dealt with, and the loop goes on behind
 * it. */
#include "script/transform.h"

#include "base/check.h"
#include "script/cells.h"

enum { TRANSFORM_MAGIC = 0x534e5254, COLUMNS_MAX = 4096 };

struct pb_transform {
    uint32_t magic;
    struct pb_vm *vm;
    struct pb_script *script;
    struct pb_transform_options o;
    struct pb_script_field *params, *returns;
    uint32_t generation;                          /* of the references */
    int before, after, before_batch, after_batch; /* LUA_NOREF: not there */
    bool has_before, has_after;
};

/* ------------------------------------------------------------------------------------------------ loading */

static int member(lua_State *L, const char *path, const char *name)
{
    int type = lua_getfield(L, -1, name);
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        return LUA_NOREF;
    }
    if (type != LUA_TFUNCTION)
        luaL_error(L, "%s: \"%s\" is a %s, not a function", path, name, lua_typename(L, type));
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

static void no_other_members(lua_State *L, const char *path)
{
    static const char *const known[] = {"before", "after", "before_batch", "after_batch"};
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pop(L, 1);
        const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, -1);
        bool ok = false;
        for (size_t i = 0; i < PB_COUNTOF(known); i++) ok |= strcmp(name, known[i]) == 0;
        if (ok) continue;
        const char *near = pb_nearest(pb_str_c(name), known, PB_COUNTOF(known));
        luaL_error(L, "%s: a transform has before, after, before_batch and after_batch, not \"%s\"%s%s%s",
                   path, name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
}

/* The functions are in the registry of this state. */
static void ready(lua_State *L, struct pb_transform *t)
{
    if (t->generation == t->vm->generation) return;
    luaL_checkstack(L, 8, NULL);
    pb_script_push(L, t->script);
    if (lua_type(L, -1) != LUA_TTABLE)
        luaL_error(L, "%s: returns a %s, not a table with before and after", t->o.path, luaL_typename(L, -1));
    no_other_members(L, t->o.path);
    t->before = member(L, t->o.path, "before");
    t->after = member(L, t->o.path, "after");
    t->before_batch = member(L, t->o.path, "before_batch");
    t->after_batch = member(L, t->o.path, "after_batch");
    lua_pop(L, 1);
    t->has_before = t->before != LUA_NOREF || t->before_batch != LUA_NOREF;
    t->has_after = t->after != LUA_NOREF || t->after_batch != LUA_NOREF;
    if (t->before != LUA_NOREF && t->before_batch != LUA_NOREF)
        luaL_error(L, "%s: has both before and before_batch", t->o.path);
    if (t->after != LUA_NOREF && t->after_batch != LUA_NOREF)
        luaL_error(L, "%s: has both after and after_batch", t->o.path);
    if (!t->has_before && !t->has_after) luaL_error(L, "%s: has neither before nor after", t->o.path);
    t->generation = t->vm->generation;
}

static int ready_now(lua_State *L)
{
    ready(L, lua_touserdata(L, 1));
    return 0;
}

struct pb_transform *pb_transform_new(struct pb_vm *vm, const struct pb_transform_options *o,
                                      struct pb_err *err)
{
    struct pb_script *script = pb_script_load(vm, o->path, err);
    if (!script) return NULL;
    struct pb_transform *t = pb_zalloc(sizeof *t);
    t->magic = TRANSFORM_MAGIC;
    t->vm = vm;
    t->script = script;
    t->o = *o;
    t->o.path = script->path;
    t->o.params = t->params = pb_fields_copy(o->params, o->n_params);
    t->o.returns = t->returns = pb_fields_copy(o->returns, o->n_returns);
    t->before = t->after = t->before_batch = t->after_batch = LUA_NOREF;
    if (pb_vm_call(vm, NULL, ready_now, t, err) != 0) {
        pb_transform_free(t);
        return NULL;
    }
    return t;
}

void pb_transform_free(struct pb_transform *t)
{
    if (!t) return;
    PB_MAGIC_CHECK(t, TRANSFORM_MAGIC);
    pb_vm_unref(t->vm, t->generation, t->before);
    pb_vm_unref(t->vm, t->generation, t->after);
    pb_vm_unref(t->vm, t->generation, t->before_batch);
    pb_vm_unref(t->vm, t->generation, t->after_batch);
    pb_script_drop(t->script);
    pb_fields_free(t->params, t->o.n_params);
    pb_fields_free(t->returns, t->o.n_returns);
    t->magic = 0;
    pb_free(t);
}

bool pb_transform_has_before(const struct pb_transform *t)
{
    return t->has_before;
}

bool pb_transform_has_after(const struct pb_transform *t)
{
    return t->has_after;
}

/* ------------------------------------------------------------------------------------------------ before */

void pb_sent_drop(struct pb_sent *s)
{
    pb_builder_unref(s->rows);
    pb_free(s->kept);
    pb_free(s->failed);
    pb_arena_free(&s->text);
    memset(s, 0, sizeof *s);
}

static void sent_reset(struct pb_sent *s, uint32_t rows)
{
    if (s->rows) pb_builder_unref(s->rows);
    s->rows = pb_builder_get();
    PB_GROW(s->kept, s->kept_cap, rows);
    s->n_kept = s->n_failed = 0;
    pb_arena_reset(&s->text);
}

static void sent_keep_all(struct pb_sent *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) s->kept[i] = i;
    s->n_kept = n;
}

struct run {
    struct pb_transform *t;
    const pbay_batch *in;       /* before: the rows; after: the answers */
    const pbay_batch *original; /* after */
    struct pb_sent *sent;
    struct pbay_builder *out;
    uint32_t row;    /* of the original, at hand */
    uint32_t answer; /* its answer */
    uint32_t error;  /* next of the answers' row errors */
    uint32_t failed; /* next of the rows that failed before they were sent */
    uint32_t had;    /* rows in out before this run */
    bool started;    /* a row is at hand: an error is its */
};

/* The first n cells of a row. */
static void push_row(lua_State *L, const pbay_batch *b, uint32_t row, uint32_t n,
                     const struct pb_script_field *params)
{
    const char *col = (const char *)b->cols;
    for (uint32_t c = 0; c < n; c++, col += b->col_stride)
        pb_cell_push(L, (const pbay_column *)(const void *)col, row, params && params[c].integer);
}

/* How many values a row gave; the first row decides. Columns are added then. */
static void check_width(lua_State *L, struct run *r, int got)
{
    struct pb_transform *t = r->t;
    if (!r->out->n_cols) {
        if (got > COLUMNS_MAX) luaL_error(L, "more than %d values", COLUMNS_MAX);
        if (t->o.raw && got != 1)
            luaL_error(L, "before gave %d values; with body = raw it gives one text", got);
        const struct pb_script_field text = {.kind = PBAY_STR};
        pb_cells_columns(r->out, t->o.raw ? &text : NULL, t->o.raw, (uint32_t)got, r->had + r->sent->n_kept);
        return;
    }
    if ((uint32_t)got != r->out->n_cols)
        luaL_error(L, "%d values where the rows before gave %d", got, (int)r->out->n_cols);
}

static int before_rows(lua_State *L)
{
    struct run *r = lua_touserdata(L, 1);
    struct pb_transform *t = r->t;
    ready(L, t);
    lua_settop(L, 0);
    luaL_checkstack(L, (int)r->in->n_cols + 8, "too many columns");
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->before);
    uint32_t want = t->o.raw ? PBAY_STR : PB_KIND_ANY, args = pb_args_taken(L, 1, r->in->n_cols);
    r->started = true;
    const uint64_t *skip = r->sent->skip;
    for (; r->row < r->in->n_rows; r->row++) {
        if (PB_UNLIKELY(skip != NULL) && (skip[r->row >> 6] >> (r->row & 63u) & 1u)) continue;
        lua_pushvalue(L, 1);
        push_row(L, r->in, r->row, args, t->params);
        lua_call(L, (int)args, LUA_MULTRET);
        int got = lua_gettop(L) - 1;
        if (got == 0 || (got == 1 && lua_isnil(L, 2))) {
            lua_settop(L, 1);
            continue;
        }
        if (PB_UNLIKELY((uint32_t)got != r->out->n_cols)) check_width(L, r, got);
        for (int i = 0; i < got; i++) {
            uint32_t c = (uint32_t)i;
            /* A number in a column of numbers needs no decision. */
            bool plain = r->out->cols[c].kind == PBAY_NUM && !t->o.raw;
            pb_cell_put_fast(L, i + 2, r->out, c,
                             plain && lua_type(L, i + 2) == LUA_TNUMBER ? PBAY_NUM : want, false);
        }
        r->sent->kept[r->sent->n_kept++] = r->row;
        lua_settop(L, 1);
    }
    return 0;
}

static int before_columns(lua_State *L)
{
    struct run *r = lua_touserdata(L, 1);
    struct pb_transform *t = r->t;
    ready(L, t);
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->before_batch);
    pb_cells_push_columns(L, r->in, t->params);
    lua_call(L, (int)r->in->n_cols, LUA_MULTRET);
    int got = lua_gettop(L);
    if (!got) return luaL_error(L, "%s: before_batch gave no columns", t->o.path);
    check_width(L, r, got);
    for (int i = 0; i < got; i++)
        pb_cells_put_column(L, i + 1, r->out, (uint32_t)i, r->in->n_rows, t->o.raw ? PBAY_STR : PB_KIND_ANY,
                            false);
    return 0;
}

static void note_failed(struct pb_sent *s, uint32_t row, const struct pb_err *err)
{
    PB_GROW(s->failed, s->failed_cap, s->n_failed + 1);
    s->failed[s->n_failed++] = (pbay_row_error){row, err->code, pb_arena_str(&s->text, pb_str_c(err->msg))};
}

int pb_transform_before(struct pb_transform *t, struct pb_script_ctx *ctx, const pbay_batch *in,
                        uint64_t base, struct pb_sent *s, struct pb_err *err)
{
    PB_MAGIC_CHECK(t, TRANSFORM_MAGIC);
    struct pb_err own;
    if (!err) err = &own;
    if (t->o.n_params && in->n_cols != t->o.n_params)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%u columns for %u parameters", in->n_cols, t->o.n_params);
    sent_reset(s, in->n_rows);
    if (!t->has_before) {
        for (uint32_t c = 0; c < in->n_cols; c++) {
            const pbay_column *col = pbay_batch_col(in, c);
            pb_builder_column(s->rows, col->name, col->kind);
        }
        for (uint32_t c = 0; c < in->n_cols; c++)
            pb_builder_copy(s->rows, c, pbay_batch_col(in, c), 0, in->n_rows);
        sent_keep_all(s, in->n_rows);
        return 0;
    }
    struct run r = {.t = t, .in = in, .sent = s, .out = s->rows};
    if (t->before_batch != LUA_NOREF) {
        if (pb_vm_call(t->vm, ctx, before_columns, &r, err) != 0) return -1;
        sent_keep_all(s, in->n_rows);
        return 0;
    }
    if (pb_vm_enter(t->vm, ctx, err) != 0) return -1;
    int rc = 0;
    while (pb_vm_try(t->vm, before_rows, &r, err) != 0) {
        pb_cells_truncate(s->rows, s->n_kept);
        if (r.started && t->vm->end == PB_END_FAILED) {
            note_failed(s, r.row, err);
        } else if (r.started && t->vm->end == PB_END_RAISED && t->o.error_null) {
            if (ctx) ctx->n_nulled++;
        } else {
            if (r.started) pb_cells_blame(err, base + r.row + 1, in, r.row, NULL, 0);
            rc = -1;
            break;
        }
        r.row++;
    }
    pb_vm_leave(t->vm);
    return rc;
}

/* ------------------------------------------------------------------------------------------------ after */

static void null_row(struct run *r)
{
    for (uint32_t c = 0; c < r->out->n_cols; c++) pb_put_null(r->out, c);
}

static bool all_null(const pbay_batch *b, uint32_t row)
{
    for (uint32_t c = 0; c < b->n_cols; c++)
        if (!pbay_cell_null(pbay_batch_col(b, c), row)) return false;
    return true;
}

/* An answer goes out as it came, converted to the declared kind. */
static void pass_row(lua_State *L, struct run *r)
{
    const pbay_batch *a = r->in;
    uint32_t n = r->t->o.n_returns;
    if (n && n != a->n_cols)
        luaL_error(L, "the connector answers %d columns where %d are declared", (int)a->n_cols, (int)n);
    for (uint32_t c = 0; c < a->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(a, c);
        uint32_t want = n ? r->t->returns[c].kind : r->out->cols[c].kind;
        if (pbay_cell_null(col, r->answer)) {
            pb_put_null(r->out, c);
        } else if (want == PBAY_DUAL && col->kind == PBAY_DUAL) {
            pbay_str s = pbay_cell_text(col, r->answer);
            pb_put_dual(r->out, c, col->num[r->answer], s.p, s.n);
        } else if (col->kind != PBAY_NUM && (want == PBAY_STR || want == PBAY_JSON) &&
                   (want == col->kind || col->kind == PBAY_DUAL) &&
                   want + col->kind != PBAY_DUAL + PBAY_JSON) {
            pbay_str s = pbay_cell_text(col, r->answer);
            pb_put_text(r->out, c, s.p, s.n);
        } else {
            pbay_str s = {NULL, 0};
            if (col->kind == PBAY_JSON) s = pbay_cell_text(col, r->answer);
            if (s.n && want != PBAY_JSON)
                pb_json_push(L, s);
            else
                pb_cell_push(L, col, r->answer, false);
            pb_cell_put_fast(L, -1, r->out, c, want, r->t->o.bad_null);
            lua_settop(L, 1);
        }
    }
}

/* The row at hand failed alone, before it was sent or in its answer: say so in the output. */
static bool note_error(struct run *r)
{
    struct pb_sent *s = r->sent;
    const pbay_row_error *e = NULL;
    if (r->answer < s->n_kept && s->kept[r->answer] == r->row) {
        if (r->error < r->in->n_row_errors && r->in->row_errors[r->error].row == r->answer)
            e = &r->in->row_errors[r->error++];
    } else if (r->failed < s->n_failed && s->failed[r->failed].row == r->row) {
        e = &s->failed[r->failed++];
    }
    if (e) pb_builder_row_error(r->out, r->had + r->row, e->code, e->message);
    return e != NULL;
}

/* The next row of the original has an answer that `after` is to see. Otherwise it has been dealt with. */
static bool next_answer(struct run *r)
{
    struct pb_sent *s = r->sent;
    if (r->answer >= s->n_kept || s->kept[r->answer] != r->row) {
        null_row(r);
        note_error(r);
        return false;
    }
    const pbay_batch *a = r->in;
    if (note_error(r)) {
        null_row(r);
        r->answer++;
        return false;
    }
    if (!r->t->o.nulls && all_null(a, r->answer)) {
        null_row(r);
        r->answer++;
        return false;
    }
    return true;
}

/* No row failed, was left out or has a null answer: what next_answer looks for is not there. */
static bool answer_to_all(const struct run *r)
{
    if (!r->in || r->sent->n_kept != r->original->n_rows || r->sent->n_failed || r->in->n_row_errors)
        return false;
    for (uint32_t c = 0; c < r->in->n_cols; c++)
        if (pbay_batch_col(r->in, c)->null_bits) return false;
    return r->in->n_cols > 0;
}

static int after_rows(lua_State *L)
{
    struct run *r = lua_touserdata(L, 1);
    struct pb_transform *t = r->t;
    ready(L, t);
    lua_settop(L, 0);
    uint32_t answers = r->in ? r->in->n_cols : 0, originals = r->original->n_cols;
    luaL_checkstack(L, (int)(answers + originals) + 8, "too many columns");
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->after);
    if (t->after != LUA_NOREF) {
        uint32_t args = pb_args_taken(L, 1, answers + originals);
        if (args < answers) answers = args;
        originals = args - answers;
    }
    uint32_t n = t->o.n_returns;
    bool all = answer_to_all(r);
    r->started = true;
    for (; r->row < r->original->n_rows; r->row++) {
        if (!all && !next_answer(r)) continue;
        if (t->after == LUA_NOREF) {
            pass_row(L, r);
            r->answer++;
            continue;
        }
        lua_pushvalue(L, 1);
        push_row(L, r->in, r->answer, answers, NULL);
        push_row(L, r->original, r->row, originals, t->params);
        lua_call(L, (int)(answers + originals), LUA_MULTRET);
        uint32_t got = (uint32_t)(lua_gettop(L) - 1);
        if (!r->out->n_cols) pb_cells_columns(r->out, NULL, 0, got ? got : 1, r->had + r->row);
        if (PB_UNLIKELY(got != r->out->n_cols)) {
            if (got > r->out->n_cols)
                luaL_error(L, "after gave %d values where %d are expected", (int)got, (int)r->out->n_cols);
            lua_settop(L, (int)r->out->n_cols + 1); /* what is missing is nil */
        }
        for (uint32_t c = 0; c < r->out->n_cols; c++)
            pb_cell_put_fast(L, (int)c + 2, r->out, c, n ? t->returns[c].kind : PB_KIND_ANY, t->o.bad_null);
        lua_settop(L, 1);
        r->answer++;
    }
    return 0;
}

/* The rows that were sent, as columns: after_batch sees answers and originals side by side. */
static int after_columns(lua_State *L)
{
    struct run *r = lua_touserdata(L, 1);
    struct pb_transform *t = r->t;
    ready(L, t);
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->after_batch);
    pb_cells_push_columns(L, r->in, NULL);
    luaL_checkstack(L, (int)r->original->n_cols + 4, "too many columns");
    for (uint32_t c = 0; c < r->original->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(r->original, c);
        lua_createtable(L, (int)r->sent->n_kept, 1);
        for (uint32_t i = 0; i < r->sent->n_kept; i++) {
            pb_cell_push(L, col, r->sent->kept[i], t->params && t->o.n_params && t->params[c].integer);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        lua_pushinteger(L, r->sent->n_kept);
        lua_setfield(L, -2, "n");
    }
    lua_call(L, (int)(r->in->n_cols + r->original->n_cols), LUA_MULTRET);
    uint32_t got = (uint32_t)lua_gettop(L), n = t->o.n_returns;
    if (!got) return luaL_error(L, "%s: after_batch gave no columns", t->o.path);
    if (!r->out->n_cols) pb_cells_columns(r->out, NULL, 0, got, r->had);
    if (got != r->out->n_cols)
        return luaL_error(L, "after_batch gave %d columns where %d are expected", (int)got,
                          (int)r->out->n_cols);
    for (uint32_t c = 0; c < got; c++) {
        uint32_t want = n ? t->returns[c].kind : PB_KIND_ANY, next = 0;
        pb_cells_put_column(L, (int)c + 1, r->out, c, r->sent->n_kept, want, t->o.bad_null);
        if (r->sent->n_kept == r->original->n_rows) continue;
        /* Spread them over the rows that were not sent: once more, with the gaps. */
        for (uint32_t i = r->sent->n_kept; i-- > 0;) {
            struct pb_col *col = &r->out->cols[c];
            uint32_t at = col->n - 1;
            if (col->null_bits && (col->null_bits[at >> 6] >> (at & 63) & 1)) {
                col->null_bits[at >> 6] &= ~((uint64_t)1 << (at & 63));
                col->n_null--;
            }
            col->n--;
        }
        for (uint32_t row = 0; row < r->original->n_rows; row++) {
            if (next < r->sent->n_kept && r->sent->kept[next] == row) {
                lua_rawgeti(L, (int)c + 1, (lua_Integer)++next);
                pb_cell_put_fast(L, -1, r->out, c, want, t->o.bad_null);
                lua_pop(L, 1);
            } else {
                pb_put_null(r->out, c);
            }
        }
    }
    return 0;
}

static int run_after(struct pb_transform *t, struct pb_script_ctx *ctx, struct run *r, uint64_t base,
                     struct pb_err *err)
{
    struct pb_vm *vm = t->vm;
    if (t->after_batch != LUA_NOREF && r->in) {
        if (pb_vm_call(vm, ctx, after_columns, r, err) != 0) return -1;
        for (; r->row < r->original->n_rows; r->row++) {
            bool sent = r->answer < r->sent->n_kept && r->sent->kept[r->answer] == r->row;
            note_error(r);
            r->answer += sent;
        }
        return 0;
    }
    if (pb_vm_enter(vm, ctx, err) != 0) return -1;
    int rc = 0;
    while (pb_vm_try(vm, after_rows, r, err) != 0) {
        pb_cells_truncate(r->out, r->had + r->row);
        if (r->started && vm->end == PB_END_FAILED) {
            null_row(r);
            pb_builder_row_error(r->out, r->had + r->row, err->code, pb_str_c(err->msg));
        } else if (r->started && vm->end == PB_END_RAISED && t->o.error_null) {
            null_row(r);
            if (ctx) ctx->n_nulled++;
        } else {
            if (r->started)
                pb_cells_blame(err, base + r->row + 1, r->in && r->answer < r->in->n_rows ? r->in : NULL,
                               r->answer, r->original, r->row);
            rc = -1;
            break;
        }
        r->row++;
        r->answer++;
    }
    pb_vm_leave(vm);
    return rc;
}

int pb_transform_after(struct pb_transform *t, struct pb_script_ctx *ctx, const pbay_batch *answer,
                       const pbay_batch *original, const struct pb_sent *s, uint64_t base,
                       struct pbay_builder *out, struct pb_err *err)
{
    PB_MAGIC_CHECK(t, TRANSFORM_MAGIC);
    struct pb_err own;
    if (!err) err = &own;
    if ((answer ? answer->n_rows : 0) != s->n_kept)
        return pb_fail(err, PBAY_INTERNAL, "the connector answered %u rows for %u",
                       answer ? answer->n_rows : 0, s->n_kept);
    struct run r = {.t = t, .in = s->n_kept ? answer : NULL, .original = original};
    r.sent = (struct pb_sent *)(uintptr_t)s; /* read only here */
    r.out = out;
    r.had = pb_builder_rows(out);
    if (t->o.n_returns) pb_cells_columns(out, t->returns, t->o.n_returns, 0, r.had);
    if (!out->n_cols && !t->has_after && r.in)
        for (uint32_t c = 0; c < r.in->n_cols; c++)
            pb_builder_column(out, pbay_batch_col(r.in, c)->name, pbay_batch_col(r.in, c)->kind);
    if (run_after(t, ctx, &r, base, err) != 0) return -1;
    /* No row said how many columns there are. */
    if (!out->n_cols) pb_cells_columns(out, NULL, 0, 1, r.had + original->n_rows);
    return 0;
}
