/* SPDX-License-Identifier: MIT */
/* Specs run in a state of their own with a few more globals; what they test runs in another, as it does in
 * the host. */
#include "script/spec.h"

#include <math.h>

#include "script/cells.h"
#include "script/function.h"

enum { SPEC_BUDGET_MS = 120000, FIELDS_MAX = 64, CHAIN_FILES_MAX = 256 };

/* Everything that a run allocates hangs here, because any Lua call may leave by longjmp. */
struct spec {
    const char *dir;
    struct pb_buf *out;
    struct pb_spec_result *result;
    struct pb_vm *under; /* the state of what is tested */
    struct pb_transform *transform;
    struct pb_fn *fn;
    struct pb_fn_call *call;
    struct pbay_builder *in, *answers, *done;
    struct pb_sent sent;
    struct pb_script_field params[FIELDS_MAX], returns[FIELDS_MAX];
    uint32_t n_params, n_returns;
    struct pb_arena names, kept;
    struct pb_err err;
    const struct pb_spec_chains *chains;
    pbay_str chain_files[CHAIN_FILES_MAX]; /* in kept */
    size_t n_chain_files;
    bool chains_open;
    struct pb_buf answer;
};

static void spec_clear(struct spec *s)
{
    pb_fn_close(s->call);
    pb_fn_free(s->fn);
    pb_transform_free(s->transform);
    pb_sent_drop(&s->sent);
    pb_builder_unref(s->in);
    pb_builder_unref(s->answers);
    pb_builder_unref(s->done);
    pb_vm_free(s->under);
    s->call = NULL;
    s->fn = NULL;
    s->transform = NULL;
    s->in = s->answers = s->done = NULL;
    s->under = NULL;
    s->n_params = s->n_returns = 0;
    pb_arena_reset(&s->names);
}

static struct spec *spec_of(lua_State *L)
{
    return pb_vm_of(L)->extend_arg;
}

/* ------------------------------------------------------------------------------------------------ run */

/* "age:num, plan:str, n:int" */
static uint32_t fields(lua_State *L, struct spec *s, const char *key, struct pb_script_field *out)
{
    int type = lua_getfield(L, 1, key);
    uint32_t n = 0;
    if (type == LUA_TSTRING) {
        size_t len;
        const char *p = lua_tolstring(L, -1, &len);
        pbay_str rest = pb_arena_str(&s->names, pb_str(p, len)), part;
        while (pb_str_split(&rest, ',', &part)) {
            if (n == FIELDS_MAX) luaL_error(L, "run: more than %d %s", FIELDS_MAX, key);
            part = pb_str_trim(part);
            size_t colon = pb_str_chr(part, ':');
            pbay_str kind = colon < part.n ? pb_str(part.p + colon + 1, part.n - colon - 1) : part;
            struct pb_script_field f = {.name = colon < part.n ? pb_str(part.p, colon) : pb_str(NULL, 0)};
            f.integer = pb_str_is(kind, "int");
            if (f.integer)
                f.kind = PBAY_NUM;
            else if (!pb_kind_parse(kind, &f.kind))
                luaL_error(L, "run: %s: kinds are num, int, str, dual and json", key);
            out[n++] = f;
        }
    } else if (type != LUA_TNIL) {
        luaL_error(L, "run: %s is a text such as \"age:num, plan:str\"", key);
    }
    lua_pop(L, 1);
    return n;
}

/* Append the row on the top (a list, or one value) to b. */
static void put_row(lua_State *L, struct pbay_builder *b, uint32_t row, const struct pb_script_field *f,
                    uint32_t n)
{
    bool list = lua_type(L, -1) == LUA_TTABLE;
    if (!b->n_cols) {
        uint32_t width = n ? n : list ? (uint32_t)lua_rawlen(L, -1) : 1;
        pb_cells_columns(b, f, n, width ? width : 1, row);
    }
    for (uint32_t c = 0; c < b->n_cols; c++) {
        if (list)
            lua_rawgeti(L, -1, (lua_Integer)c + 1);
        else if (c == 0)
            lua_pushvalue(L, -1);
        else
            lua_pushnil(L);
        pb_cell_put(L, -1, b, c, n ? f[c].kind : PB_KIND_ANY, false);
        lua_pop(L, 1);
    }
}

static void push_back(lua_State *L, const pbay_column *col, uint32_t row)
{
    if (pbay_cell_null(col, row))
        lua_pushlightuserdata(L, NULL);
    else
        pb_cell_push(L, col, row, false);
}

/* A batch as a list: of values when it has one column and `flat`, else of lists. */
static void push_rows(lua_State *L, const pbay_batch *b, bool flat)
{
    uint32_t error = 0;
    luaL_checkstack(L, 8, NULL);
    lua_createtable(L, b ? (int)b->n_rows : 0, 0);
    for (uint32_t i = 0; b && i < b->n_rows; i++) {
        if (error < b->n_row_errors && b->row_errors[error].row == i) {
            lua_createtable(L, 0, 1);
            lua_pushlstring(L, b->row_errors[error].message.p, b->row_errors[error].message.n);
            lua_setfield(L, -2, "error");
            error++;
        } else if (flat && b->n_cols == 1) {
            push_back(L, pbay_batch_col(b, 0), i);
        } else {
            lua_createtable(L, (int)b->n_cols, 0);
            for (uint32_t c = 0; c < b->n_cols; c++) {
                push_back(L, pbay_batch_col(b, c), i);
                lua_rawseti(L, -2, (lua_Integer)c + 1);
            }
        }
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static bool flag(lua_State *L, const char *key)
{
    lua_getfield(L, 1, key);
    bool yes =
        lua_type(L, -1) == LUA_TSTRING ? strcmp(lua_tostring(L, -1), "null") == 0 : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return yes;
}

static const pbay_batch *sealed(lua_State *L, struct spec *s, struct pbay_builder *b)
{
    const pbay_batch *batch = pb_builder_seal(b, &s->err);
    if (!batch) luaL_error(L, "run: %s", s->err.msg);
    return batch;
}

/* What the stand-in answers for the rows that were sent. */
static void ask(lua_State *L, struct spec *s)
{
    if (!s->sent.n_kept) return;
    if (lua_getfield(L, 1, "answer") != LUA_TFUNCTION) luaL_error(L, "run: answer is a function(rows)");
    push_rows(L, sealed(L, s, s->sent.rows), false);
    lua_call(L, 1, 1);
    if (lua_type(L, -1) != LUA_TTABLE)
        luaL_error(L, "run: answer gave a %s, not a list", luaL_typename(L, -1));
    for (uint32_t i = 0; i <= s->sent.n_kept; i++) {
        bool more = lua_rawgeti(L, -1, (lua_Integer)i + 1) != LUA_TNIL;
        if (i == s->sent.n_kept && more)
            luaL_error(L, "run: answer gave more values than the %d rows sent", (int)i);
        if (i < s->sent.n_kept) put_row(L, s->answers, i, NULL, 0);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void run_transform(lua_State *L, struct spec *s, const char *path)
{
    struct pb_transform_options o = {.path = path,
                                     .params = s->params,
                                     .n_params = s->n_params,
                                     .returns = s->returns,
                                     .n_returns = s->n_returns,
                                     .nulls = flag(L, "nulls"),
                                     .error_null = flag(L, "on_error"),
                                     .bad_null = flag(L, "on_bad"),
                                     .raw = flag(L, "raw")};
    struct pb_script_ctx ctx = {.function = pb_str_c("test")};
    s->transform = pb_transform_new(s->under, &o, &s->err);
    if (!s->transform) luaL_error(L, "%s", s->err.msg);
    const pbay_batch *in = sealed(L, s, s->in);
    if (pb_transform_before(s->transform, &ctx, in, 0, &s->sent, &s->err) != 0)
        luaL_error(L, "%s", s->err.msg);
    ask(L, s);
    const pbay_batch *answers = s->sent.n_kept ? sealed(L, s, s->answers) : NULL;
    if (pb_transform_after(s->transform, &ctx, answers, in, &s->sent, 0, s->done, &s->err) != 0)
        luaL_error(L, "%s", s->err.msg);
}

static int collect(void *arg, struct pbay_builder *rows)
{
    struct spec *s = arg;
    const pbay_batch *b = pb_builder_seal(rows, NULL);
    for (uint32_t c = s->done->n_cols; b && c < b->n_cols; c++)
        pb_builder_column(s->done, pbay_batch_col(b, c)->name, pbay_batch_col(b, c)->kind);
    for (uint32_t c = 0; b && c < b->n_cols; c++)
        pb_builder_copy(s->done, c, pbay_batch_col(b, c), 0, b->n_rows);
    pb_builder_unref(rows);
    return 0;
}

static void run_fn(lua_State *L, struct spec *s, const char *path)
{
    const pbay_batch *in = sealed(L, s, s->in);
    if (!s->n_params)
        for (; s->n_params < in->n_cols && s->n_params < FIELDS_MAX; s->n_params++)
            s->params[s->n_params] = (struct pb_script_field){.kind = pbay_batch_col(in, s->n_params)->kind};
    struct pb_fn_options o = {.path = path,
                              .params = s->params,
                              .n_params = s->n_params,
                              .returns = s->returns,
                              .n_returns = s->n_returns,
                              .error_null = flag(L, "on_error"),
                              .bad_null = flag(L, "on_bad")};
    s->fn = pb_fn_new(s->under, &o, &s->err);
    if (!s->fn) luaL_error(L, "%s", s->err.msg);
    bool ok;
    if (pb_fn_shape(s->fn) == PB_FN_MAP) {
        ok = pb_fn_map(s->fn, NULL, in, 0, s->done, &s->err) == 0;
    } else {
        s->call = pb_fn_open(s->fn, NULL, collect, s, &s->err);
        ok = s->call && (!in->n_rows || pb_fn_push(s->call, in, &s->err) == 0) &&
             pb_fn_end(s->call, &s->err) == 0;
    }
    if (!ok) luaL_error(L, "%s", s->err.msg);
}

static int spec_run(lua_State *L)
{
    struct spec *s = spec_of(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    spec_clear(s);
    s->n_params = fields(L, s, "params", s->params);
    s->n_returns = fields(L, s, "returns", s->returns);
    s->in = pb_builder_new();
    s->answers = pb_builder_new();
    s->done = pb_builder_new();
    lua_Integer n = 0;
    if (lua_getfield(L, 1, "rows") == LUA_TTABLE) n = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, 2, i + 1);
        put_row(L, s->in, (uint32_t)i, s->params, s->n_params);
        lua_pop(L, 1);
    }
    if (!s->in->n_cols) pb_cells_columns(s->in, s->params, s->n_params, 0, 0);
    s->under = pb_vm_new(&(struct pb_vm_options){.dir = s->dir}, &s->err);
    if (!s->under) return luaL_error(L, "%s", s->err.msg);
    lua_getfield(L, 1, "transform");
    lua_getfield(L, 1, "fn");
    if (lua_isstring(L, -2))
        run_transform(L, s, lua_tostring(L, -2));
    else if (lua_isstring(L, -1))
        run_fn(L, s, lua_tostring(L, -1));
    else
        return luaL_error(L, "run wants transform = \"transforms/x.lua\" or fn = \"functions/x.lua\"");
    push_rows(L, sealed(L, s, s->done), true);
    return 1;
}

/* ------------------------------------------------------------------------------------------------ checks */

static bool is_null(lua_State *L, int idx)
{
    return lua_isnil(L, idx) || (lua_type(L, idx) == LUA_TLIGHTUSERDATA && !lua_touserdata(L, idx));
}

static bool same(lua_State *L, int a, int b, int depth)
{
    if (is_null(L, a) || is_null(L, b)) return is_null(L, a) && is_null(L, b);
    if (lua_type(L, a) != LUA_TTABLE || lua_type(L, b) != LUA_TTABLE) return lua_compare(L, a, b, LUA_OPEQ);
    if (depth > 32) return false;
    luaL_checkstack(L, 8, NULL);
    a = lua_absindex(L, a);
    b = lua_absindex(L, b);
    /* Each key of one in the other, both ways. */
    for (int way = 0; way < 2; way++) {
        lua_pushnil(L);
        while (lua_next(L, way ? b : a)) {
            lua_pushvalue(L, -2);
            lua_rawget(L, way ? a : b);
            bool ok = same(L, -1, -2, depth + 1);
            lua_pop(L, 2);
            if (ok) continue;
            lua_pop(L, 1);
            return false;
        }
    }
    return true;
}

static void push_shown(lua_State *L, int idx)
{
    struct pb_buf *b = &pb_vm_of(L)->scratch;
    int type = lua_type(L, idx);
    if (type == LUA_TFUNCTION || (type == LUA_TNUMBER && !isfinite(lua_tonumber(L, idx)))) {
        luaL_tolstring(L, idx, NULL);
        return;
    }
    b->n = 0;
    pb_json_write(L, idx, b);
    lua_pushlstring(L, b->p, b->n > 400 ? 400 : b->n);
}

static int spec_equal(lua_State *L)
{
    luaL_checkany(L, 2);
    if (same(L, 1, 2, 0)) return 0;
    push_shown(L, 1);
    push_shown(L, 2);
    return luaL_error(L, "got %s, expected %s", lua_tostring(L, -2), lua_tostring(L, -1));
}

static int spec_near(lua_State *L)
{
    lua_Number got = luaL_checknumber(L, 1), want = luaL_checknumber(L, 2),
               within = luaL_optnumber(L, 3, 1e-9);
    if (fabs(got - want) <= within) return 0;
    return luaL_error(L, "got %f, expected %f within %f", got, want, within);
}

static int spec_raises(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    const char *part = luaL_optstring(L, 2, "");
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 0, 0, 0) == LUA_OK) return luaL_error(L, "nothing was raised");
    const char *text = luaL_tolstring(L, -1, NULL);
    if (strstr(text, part)) return 0;
    return luaL_error(L, "raised \"%s\", expected \"%s\"", text, part);
}

/* ------------------------------------------------------------------------------------------------ chains */

static int spec_chains(lua_State *L)
{
    struct spec *s = spec_of(L);
    int n = lua_gettop(L);
    if (n > CHAIN_FILES_MAX) return luaL_error(L, "chains: at most %d files", CHAIN_FILES_MAX);
    for (int i = 1; i <= n; i++) {
        size_t len;
        const char *p = luaL_checklstring(L, i, &len);
        s->chain_files[i - 1] = pb_arena_str(&s->kept, pb_str(p, len));
    }
    s->n_chain_files = (size_t)n;
    return 0;
}

static int chain_call(lua_State *L, const char *verb)
{
    struct spec *s = spec_of(L);
    struct pb_buf *b = &pb_vm_of(L)->scratch;
    int n = lua_gettop(L);
    if (!s->chains) return luaL_error(L, "%s: chains cannot be tested here", verb);
    if (!s->chains_open) {
        if (s->chains->open(s->chains->user, s->n_chain_files ? s->chain_files : NULL, s->n_chain_files,
                            &s->err) != 0)
            return luaL_error(L, "%s", s->err.msg);
        s->chains_open = true;
    }
    lua_createtable(L, n, 0);
    lua_insert(L, 1);
    for (int i = n; i >= 1; i--) lua_rawseti(L, 1, i);
    b->n = 0;
    pb_json_write(L, 1, b);
    if (n == 0) b->n = 0, pb_buf_c(b, "[]");
    s->answer.n = 0;
    if (s->chains->call(s->chains->user, pb_str_c(verb), pb_buf_view(b), &s->answer, &s->err) != 0)
        return luaL_error(L, "%s", s->err.msg);
    pb_json_push(L, pb_buf_view(&s->answer));
    return 1;
}

#define CHAIN_WORD(name)                                                                                     \
    static int spec_##name(lua_State *L)                                                                     \
    {                                                                                                        \
        return chain_call(L, #name);                                                                         \
    }
CHAIN_WORD(given)
CHAIN_WORD(finish)
CHAIN_WORD(advance)
CHAIN_WORD(at)
CHAIN_WORD(pause)
CHAIN_WORD(unpause)
CHAIN_WORD(start)
CHAIN_WORD(resume)
CHAIN_WORD(skip)
CHAIN_WORD(cancel)
CHAIN_WORD(replay)
CHAIN_WORD(decisions)
CHAIN_WORD(expect_reload)
CHAIN_WORD(expect_action)
CHAIN_WORD(expect_notify)
CHAIN_WORD(expect_nothing)
CHAIN_WORD(expect_skip)
CHAIN_WORD(expect_decision)
CHAIN_WORD(expect_run)

static int spec_event(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    return 1;
}

static void close_chains(struct spec *s)
{
    if (s->chains_open) s->chains->close(s->chains->user);
    s->chains_open = false;
}

static int spec_test(lua_State *L)
{
    struct spec *s = spec_of(L);
    size_t n;
    luaL_checklstring(L, 1, &n);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    close_chains(s); /* each test begins with nothing */
    lua_pushvalue(L, 2);
    bool ok = lua_pcall(L, 0, 0, 0) == LUA_OK;
    pb_vm_poll(L, 0);
    const char *name = lua_tostring(L, 1), *why = ok ? "" : luaL_tolstring(L, -1, NULL);
    uint32_t *count = ok ? &s->result->passed : &s->result->failed;
    ++*count;
    pb_buf_printf(s->out, "%s %u - %s\n", ok ? "ok" : "not ok", s->result->passed + s->result->failed, name);
    for (pbay_str rest = pb_str_c(why), line; !ok && pb_str_split(&rest, '\n', &line);)
        pb_buf_printf(s->out, "# %.*s\n", PB_FMT(line));
    return 0;
}

const struct pb_binding pb_bind_spec[] = {
    {"test", "(name, function)", "One test: it fails when the function raises.", spec_test},
    {"equal", "(got, expected)",
     "Raises unless they are the same, tables by their content; nil and null are alike.", spec_equal},
    {"near", "(got, expected [, within])", "Raises unless the numbers differ by at most `within` (1e-9).",
     spec_near},
    {"raises", "(function [, text])", "Raises unless the function does, with `text` in its message.",
     spec_raises},
    {"run", "{ transform = path | fn = path, rows = list, ... } -> list",
     "Takes rows through a transform or a function as the host does. `rows` is a list of lists (or of "
     "values); "
     "`params = \"age:num, plan:str\"` and `returns = \"num\"` are what the configuration declares, "
     "otherwise the values "
     "decide. For transforms `answer = function(rows) ... end` stands in for the connector: it sees the rows "
     "sent and "
     "gives one answer for each. `nulls`, `on_error`, `on_bad`, `raw` as configured. The result has one "
     "value for each "
     "row (a list where there are several columns), `null` for null, `{ error = message }` where the row "
     "failed alone.",
     spec_run},
    {"null", "", "The same as json.null.", NULL},
    {"chains", "(path, ...)", "Which files of chains the tests below use; without it all of scripts/chains.",
     spec_chains},
    {"event", "{ ... } -> table", "An event, for given.", spec_event},
    {"given", "(event)",
     "It happens: given(event { app = \"extract\", status = \"ok\" }), or with connector, type, subject. "
     "Further members "
     "are what conditions see.",
     spec_given},
    {"finish", "(app [, status [, message]])",
     "A reload (or action) that a chain started ends; ok unless said.", spec_finish},
    {"advance", "(time)", "The clock moves on, and what becomes due happens: advance(\"11m\").",
     spec_advance},
    {"at", "(time)",
     "The clock moves to a time: at(\"2026-03-29T00:30:00Z\"). Tests begin on Monday, 2026-01-05, at 00:00.",
     spec_at},
    {"expect_reload", "(app [, members])", "A reload of it was started, with these members of its arguments.",
     spec_expect_reload},
    {"expect_action", "(CONNECTOR.ACTION [, members])", "Likewise.", spec_expect_action},
    {"expect_notify", "(target [, text])", "A message was sent, with this text in it.", spec_expect_notify},
    {"expect_nothing", "()", "Nothing was started but what was expected.", spec_expect_nothing},
    {"expect_skip", "(text [, link])", "A link did not fire, and its reason holds the text.",
     spec_expect_skip},
    {"expect_decision", "(outcome [, text [, link]])",
     "A decision since the last event: fired, skipped, counted, deferred, held, raised, retried, released.",
     spec_expect_decision},
    {"expect_run", "(state)", "The last run is running, ok, failed or canceled.", spec_expect_run},
    {"start", "(chain, app)", "What people do: begin a run at an app.", spec_start},
    {"resume", "()", "The failed steps of the last run start again.", spec_resume},
    {"skip", "(app)", "A step of the last run counts as ended well.", spec_skip},
    {"cancel", "()", "The last run is canceled.", spec_cancel},
    {"replay", "()", "The last given event happens once more.", spec_replay},
    {"pause", "(kind, name)", "\"chain\" or \"app\".", spec_pause},
    {"unpause", "(kind, name [, held])", "held: none, once or all of what would have fired.", spec_unpause},
    {"decisions", "() -> text", "All decisions so far, one a line.", spec_decisions},
    {NULL, NULL, NULL, NULL},
};

/* ------------------------------------------------------------------------------------------------ files */

static void extend(lua_State *L, void *arg)
{
    (void)arg;
    pb_bind(L, pb_bind_spec);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
}

bool pb_spec_is(pbay_str path)
{
    return pb_str_ends(path, PB_STR("_test.lua"));
}

int pb_spec_run(const char *dir, const char *path, const struct pb_spec_chains *chains, struct pb_buf *out,
                struct pb_spec_result *result, struct pb_err *err)
{
    struct spec s = {.dir = dir, .out = out, .result = result, .chains = chains};
    struct pb_vm *vm =
        pb_vm_new_with(&(struct pb_vm_options){.dir = dir, .budget_ms = SPEC_BUDGET_MS}, extend, &s, err);
    if (!vm) return -1;
    result->passed = result->failed = 0;
    struct pb_script *file = pb_script_load(vm, path, err);
    if (file) pb_buf_printf(out, "1..%u\n", result->passed + result->failed);
    spec_clear(&s);
    close_chains(&s);
    pb_buf_free(&s.answer);
    pb_arena_free(&s.names);
    pb_arena_free(&s.kept);
    pb_script_drop(file);
    pb_vm_free(vm);
    return file ? 0 : -1;
}
