/* SPDX-License-Identifier: MIT */
/* Chains read from a folder or a bundle, looked up, and their conditions asked. */
#include "script/chains.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "script/chains_priv.h"
#include "script/spec.h"

enum { LATE_TIMES = 3 };
#define LATE_NS (60 * PB_SEC)
enum { LOAD_BUDGETS = 10, CONDITION_BUDGET_MS = 1000, FILES_MAX = 10000, ARGS_MAX = 512 << 10 };
#define BUNDLE_HEAD "patchbay-chains 1\n"

/* ------------------------------------------------------------------------ files and bundles */

struct files {
    pbay_str *paths;
    size_t n, cap;
    struct pb_map texts; /* of a bundle: path -> pbay_str */
    pbay_str connector;  /* of a bundle: of its apps that name none */
};

static int by_path(const void *a, const void *b)
{
    return pb_str_cmp(*(const pbay_str *)a, *(const pbay_str *)b);
}

static int find_files(const char *dir, struct pb_arena *mem, struct files *f, struct pb_err *err)
{
    char *path PB_AUTO_FREE = pb_sprintf("%s/chains", dir);
    DIR *d = opendir(path);
    struct dirent *e;
    if (!d && errno == ENOENT) return 0;
    if (!d) return pb_fail(err, PBAY_NOT_FOUND, "%s: cannot be read: %s", path, strerror(errno));
    while ((e = readdir(d)) && f->n < FILES_MAX) {
        pbay_str name = pb_str_c(e->d_name);
        if (*e->d_name == '.' || !pb_str_ends(name, PB_STR(".lua")) || pb_spec_is(name)) continue;
        PB_GROW(f->paths, f->cap, f->n + 1);
        f->paths[f->n++] = pb_str_c(pb_arena_printf(mem, "chains/%s", e->d_name));
    }
    closedir(d);
    if (f->n) qsort(f->paths, f->n, sizeof *f->paths, by_path);
    return 0;
}

/* "script PATH SIZE\n" text "\n"; "file …" for what scripts look up; "connector NAME 0" of apps that name
 * none. */
static int open_bundle(pbay_str text, struct pb_arena *mem, struct files *f, struct pb_err *err)
{
    if (!pb_str_starts(text, PB_STR(BUNDLE_HEAD))) goto bad;
    text = pb_str(text.p + sizeof BUNDLE_HEAD - 1, text.n - (sizeof BUNDLE_HEAD - 1));
    while (text.n) {
        size_t line = pb_str_chr(text, '\n');
        pbay_str rest = pb_str(text.p, line), kind, path, size;
        uint64_t n;
        if (line == text.n || !pb_str_split(&rest, ' ', &kind) || !pb_str_split(&rest, '\t', &path) ||
            !pb_str_split(&rest, '\t', &size) || !pb_parse_u64(size, &n) || n >= text.n - line - 1)
            goto bad;
        pbay_str *body = pb_arena_alloc(mem, sizeof *body);
        *body = pb_arena_str(mem, pb_str(text.p + line + 1, n));
        path = pb_arena_str(mem, path);
        pb_map_set(&f->texts, path, body);
        if (pb_str_is(kind, "connector")) f->connector = path;
        if (pb_str_is(kind, "script")) {
            PB_GROW(f->paths, f->cap, f->n + 1);
            f->paths[f->n++] = path;
        }
        size_t used = line + 1 + n + 1;
        text = pb_str(text.p + used, text.n - used);
    }
    return 0;
bad:
    return pb_fail(err, PBAY_DATA_LOSS, "a bundle of chains is damaged");
}

static int read_bundle(void *arg, pbay_str path, struct pb_buf *out, struct pb_err *err)
{
    const pbay_str *text = pb_map_get(&((struct files *)arg)->texts, path);
    if (!text) return pb_fail(err, PBAY_NOT_FOUND, "%.*s: is not in the bundle", PB_FMT(path));
    pb_buf_str(out, *text);
    return 0;
}

void pb_chains_bundle(const struct pb_chains *c, struct pb_buf *out)
{
    const struct pb_map *m = &c->vm->files;
    pbay_str *paths = pb_array(m->n + 1, sizeof *paths);
    for (size_t i = 0; i < m->n; i++) paths[i] = m->entries[i].key;
    if (m->n) qsort(paths, m->n, sizeof *paths, by_path);
    pb_buf_c(out, BUNDLE_HEAD);
    if (c->connector_of_apps.n) pb_buf_printf(out, "connector %.*s\t0\n\n", PB_FMT(c->connector_of_apps));
    for (size_t i = 0; i < m->n; i++) {
        const struct pb_vm_file *f = pb_map_get(m, paths[i]);
        bool script = pb_map_get(&c->vm->scripts, paths[i]) != NULL;
        pb_buf_printf(out, "%s %.*s\t%zu\n", script ? "script" : "file", PB_FMT(paths[i]), f->text.n);
        pb_buf_add(out, f->text.p, f->text.n);
        pb_buf_ch(out, '\n');
    }
    pb_free(paths);
}

/* ------------------------------------------------------------------------ load */

static int load(struct pb_chains *c, const struct files *f, const struct pb_chains_options *o,
                struct pb_err *err)
{
    int64_t budget_ms = o->budget_ms ? o->budget_ms : CONDITION_BUDGET_MS;
    struct pb_vm_options vo = {.memory_cap = o->memory, .budget_ms = LOAD_BUDGETS * budget_ms, .dir = o->dir};
    if (o->bundle.n) {
        vo.dir = NULL;
        vo.read = read_bundle;
        vo.read_arg = (void *)(uintptr_t)f;
    }
    c->budget_ms = budget_ms;
    c->dsl.mem = &c->mem;
    c->connector_of_apps = pb_arena_str(&c->mem, o->names ? o->names->connector_of_apps : f->connector);
    c->into = &c->dsl;
    c->vm = pb_vm_new_with(&vo, pb_dsl_open, c, err);
    if (!c->vm) return -1;
    c->generation = c->vm->generation;
    c->scripts = pb_array(f->n + 1, sizeof(struct pb_script *));
    for (size_t i = 0; i < f->n; i++) {
        char *path PB_AUTO_FREE = pb_strndup(f->paths[i].p, f->paths[i].n);
        struct pb_script *s = pb_script_load(c->vm, path, err);
        if (!s) return -1;
        c->scripts[c->n_scripts++] = s;
        if (pb_dsl_end(&c->dsl, err) != 0) return -1;
    }
    /* Everything was read: nothing leads to the caller's memory any more. */
    c->vm->o.read_arg = NULL;
    c->vm->o.budget_ms = c->budget_ms;
    return pb_chains_check(c, o->names, err);
}

int pb_chains_load(const struct pb_chains_options *o, struct pb_chains **out, struct pb_err *err)
{
    struct files f = {0};
    struct pb_arena mem = {0};
    struct pb_chains *c = pb_zalloc(sizeof *c);
    int rc = 0;
    if (o->bundle.n) {
        rc = open_bundle(o->bundle, &mem, &f, err);
    } else if (o->files) {
        f.paths = pb_array(o->n_files + 1, sizeof *f.paths);
        memcpy(f.paths, o->files, o->n_files * sizeof *f.paths);
        f.n = o->n_files;
    } else {
        rc = find_files(o->dir, &mem, &f, err);
    }
    if (rc == 0) rc = load(c, &f, o, err);
    pb_free(f.paths);
    pb_map_free(&f.texts);
    pb_arena_free(&mem);
    if (rc == 0)
        *out = c;
    else
        pb_chains_free(c);
    return rc;
}

static void free_hits(struct pb_map *m)
{
    for (size_t i = 0; i < m->n; i++) pb_free(((struct pb_chain_hits *)m->entries[i].value)->links);
    pb_map_free(m);
}

void pb_chains_free(struct pb_chains *c)
{
    if (!c) return;
    for (size_t i = 0; i < c->n_scripts; i++) pb_script_drop(c->scripts[i]);
    pb_free(c->scripts);
    pb_free(c->late);
    pb_vm_free(c->vm);
    pb_map_free(&c->apps);
    pb_map_free(&c->chains);
    pb_map_free(&c->links);
    pb_map_free(&c->by_id);
    pb_map_free(&c->by_title);
    pb_map_free(&c->heads);
    free_hits(&c->on_app);
    free_hits(&c->on_event);
    free_hits(&c->on_chain);
    pb_free(c->on_any.links);
    pb_dsl_free(&c->dsl);
    pb_arena_free(&c->mem);
    pb_arena_free(&c->scratch);
    pb_free(c);
}

/* ------------------------------------------------------------------------ look-ups */

const struct pb_chain_graph *pb_chains_graph(const struct pb_chains *c)
{
    return &c->dsl.g;
}

/* Look "a\0b" up without allocating. */
static void *get2(const struct pb_map *m, pbay_str a, pbay_str b, bool fold)
{
    char key[1024];
    if (a.n + b.n + 1 > sizeof key) return NULL;
    memcpy(key, a.p ? a.p : "", a.n);
    key[a.n] = 0;
    for (size_t i = 0; i < b.n; i++)
        key[a.n + 1 + i] = fold && b.p[i] >= 'A' && b.p[i] <= 'Z' ? (char)(b.p[i] + 32) : b.p[i];
    return pb_map_get(m, pb_str(key, a.n + b.n + 1));
}

static size_t position(void *found)
{
    return (size_t)(uintptr_t)found - 1;
}

const struct pb_chain_app *pb_chains_app(const struct pb_chains *c, pbay_str name)
{
    void *at = pb_map_get(&c->apps, name);
    return at ? &c->dsl.g.apps[position(at)] : NULL;
}

const struct pb_chain *pb_chains_chain(const struct pb_chains *c, pbay_str name)
{
    void *at = pb_map_get(&c->chains, name);
    return at ? &c->dsl.g.chains[position(at)] : NULL;
}

const struct pb_chain_link *pb_chains_link(const struct pb_chains *c, const struct pb_chain *chain,
                                           pbay_str name)
{
    void *at = get2(&c->links, chain->name, name, false);
    return at ? &c->dsl.g.links[position(at)] : NULL;
}

bool pb_chains_head(const struct pb_chains *c, const struct pb_chain *chain, uint32_t app)
{
    return get2(&c->heads, chain->name, c->dsl.g.apps[app].name, false) != NULL;
}

const struct pb_chain_app *pb_chains_app_of(const struct pb_chains *c, pbay_str connector, pbay_str id)
{
    return get2(&c->by_id, connector, id, false);
}

const struct pb_chain_app *pb_chains_app_titled(const struct pb_chains *c, pbay_str connector, pbay_str title)
{
    return get2(&c->by_title, connector, title, true);
}

static const uint32_t *hits(const struct pb_chain_hits *h, uint32_t *n)
{
    *n = h ? h->n : 0;
    return h ? h->links : NULL;
}

const uint32_t *pb_chains_on_app(const struct pb_chains *c, const struct pb_chain_app *app, uint32_t *n)
{
    return hits(pb_map_get(&c->on_app, app->name), n);
}

const uint32_t *pb_chains_on_any(const struct pb_chains *c, uint32_t *n)
{
    return hits(&c->on_any, n);
}

const uint32_t *pb_chains_on_event(const struct pb_chains *c, pbay_str connector, pbay_str type, uint32_t *n)
{
    return hits(get2(&c->on_event, connector, type, false), n);
}

const uint32_t *pb_chains_on_chain(const struct pb_chains *c, pbay_str chain, uint32_t *n)
{
    return hits(pb_map_get(&c->on_chain, chain), n);
}

/* ------------------------------------------------------------------------ conditions */

struct ask {
    struct pb_chains *c;
    uint32_t fn;
    pbay_str ev, run, step;
    struct pb_chain_verdict *verdict;
    struct pb_buf *out;
    bool text;
};

/* The state was rebuilt: the files declare everything once more, of which only the functions are kept. */
static void declare_again(lua_State *L, struct pb_chains *c)
{
    struct pb_vm *vm = c->vm;
    if (c->generation == vm->generation) return;
    c->into->n_fns = 0;
    for (size_t i = 0; i < c->n_scripts; i++) {
        pb_script_push(L, c->scripts[i]);
        lua_pop(L, 1);
    }
    c->generation = vm->generation;
}

static void push_args(lua_State *L, const struct ask *a)
{
    pb_dsl_push_fn(L, a->fn);
    if (!lua_isfunction(L, -1)) luaL_error(L, "the function is not there any more");
    pb_json_push(L, a->ev);
    pb_sandbox_freeze(L);
    pb_json_push(L, a->run);
    pb_sandbox_freeze(L);
}

static void keep_why(lua_State *L, int idx, struct pb_chain_verdict *v)
{
    size_t n;
    if (lua_isnil(L, idx)) return;
    const char *p = luaL_tolstring(L, idx, &n);
    n = pb_utf8_floor(pb_str(p, n), n < sizeof v->why - 1 ? n : sizeof v->why - 1);
    memcpy(v->why, p, n);
    v->why[n] = 0;
    lua_pop(L, 1);
}

static int ask_when(lua_State *L)
{
    struct ask *a = lua_touserdata(L, 1);
    declare_again(L, a->c);
    push_args(L, a);
    lua_call(L, 2, 3);
    int at = lua_gettop(L) - 2;
    if (lua_type(L, at) == LUA_TSTRING && strcmp(lua_tostring(L, at), "defer") == 0) {
        lua_Number s = lua_type(L, at + 1) == LUA_TNUMBER ? lua_tonumber(L, at + 1) : 0;
        if (!(s > 0 && s <= 366.0 * 86400)) return luaL_error(L, "\"defer\" wants seconds, more than 0");
        a->verdict->defer_ms = (int64_t)(s * 1000);
        if (!a->verdict->defer_ms) a->verdict->defer_ms = 1;
        keep_why(L, at + 2, a->verdict);
        return 0;
    }
    if (!lua_isboolean(L, at) && !lua_isnil(L, at))
        return luaL_error(L, "a condition returns true or false, or \"defer\", seconds; got %s",
                          luaL_tolstring(L, at, NULL));
    a->verdict->yes = lua_toboolean(L, at);
    keep_why(L, at + 1, a->verdict);
    return 0;
}

static int ask_args(lua_State *L)
{
    struct ask *a = lua_touserdata(L, 1);
    struct pb_buf *scratch = &pb_vm_of(L)->scratch;
    size_t n;
    declare_again(L, a->c);
    push_args(L, a);
    lua_call(L, 2, 1);
    if (a->text) {
        const char *p = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
        if (!p) return luaL_error(L, "the text of a message is a string; got a %s", luaL_typename(L, -1));
        if (n > 4096) n = pb_utf8_floor(pb_str(p, n), 4096);
        pb_buf_add(a->out, p, n);
        return 0;
    }
    if (!lua_istable(L, -1))
        return luaL_error(L, "the arguments of %s are a table; got a %s", a->step.p, luaL_typename(L, -1));
    scratch->n = 0;
    pb_json_write(L, -1, scratch);
    if (scratch->n > ARGS_MAX) return luaL_error(L, "%d bytes of arguments", (int)scratch->n);
    pb_buf_add(a->out, scratch->p, scratch->n);
    return 0;
}

/*
 * Everything else of the worker waits while a script runs. One that used up its time LATE_TIMES in a row is
 * left alone for a while, so that an endless loop costs others seconds of an hour, and not every event's.
 */
static int is_late(struct pb_chains *c, uint32_t fn, struct pb_err *err)
{
    if (fn >= c->n_late || c->late[fn].times < LATE_TIMES || pb_mono_ns() >= c->late[fn].until_ns) return 0;
    return pb_fail(err, PBAY_RESOURCE_EXHAUSTED,
                   "it was stopped after %d ms %u times in a row, and is not called for a minute",
                   (int)c->budget_ms, c->late[fn].times);
}

static void note_late(struct pb_chains *c, uint32_t fn, bool late)
{
    if (!late && fn >= c->n_late) return;
    if (fn >= c->n_late) {
        size_t cap = c->n_late;
        PB_GROW(c->late, cap, fn + 1);
        for (uint32_t i = c->n_late; i < cap; i++) c->late[i] = (struct pb_chain_late){0};
        c->n_late = (uint32_t)cap;
    }
    c->late[fn].times = late ? c->late[fn].times + 1 : 0;
    c->late[fn].until_ns = pb_mono_ns() + LATE_NS;
}

static int call(struct pb_chains *c, lua_CFunction fn, struct ask *a, struct pb_err *err)
{
    if (is_late(c, a->fn, err) != 0) return -1;
    /* Declarations of a rebuilt state go where they can be forgotten. */
    struct pb_arena mem = {0};
    struct pb_dsl again = {.mem = &mem};
    struct pb_script_ctx ctx = {0};
    c->into = &again;
    bool rebuilt = c->generation != c->vm->generation || c->vm->broken;
    if (rebuilt) c->vm->o.budget_ms = LOAD_BUDGETS * c->budget_ms;
    int rc = pb_vm_call(c->vm, &ctx, fn, a, err);
    note_late(c, a->fn, rc != 0 && c->vm->end == PB_END_BUDGET);
    c->vm->o.budget_ms = c->budget_ms;
    c->into = &c->dsl;
    pb_dsl_free(&again);
    pb_arena_free(&mem);
    return rc;
}

int pb_chains_when(struct pb_chains *c, uint32_t when, pbay_str ev, pbay_str run,
                   struct pb_chain_verdict *out, struct pb_err *err)
{
    *out = (struct pb_chain_verdict){0};
    struct ask a = {.c = c, .fn = when, .ev = ev, .run = run, .verdict = out};
    return call(c, ask_when, &a, err);
}

int pb_chains_args(struct pb_chains *c, const struct pb_chain_step *step, pbay_str ev, pbay_str run,
                   struct pb_buf *out, struct pb_err *err)
{
    struct ask a = {.c = c,
                    .fn = step->fn,
                    .ev = ev,
                    .run = run,
                    .step = step->name,
                    .out = out,
                    .text = step->kind == PB_STEP_NOTIFY};
    return call(c, ask_args, &a, err);
}

/* ------------------------------------------------------------------------ words */

static const struct {
    const char *word;
    uint32_t status;
} words[] = {
    {"ok", PB_ENDED_OK},
    {"error", PB_ENDED_ERROR},
    {"canceled", PB_ENDED_CANCELED},
    {"unknown", PB_ENDED_UNKNOWN},
    {"succeeded", PB_ENDED_OK},
    {"success", PB_ENDED_OK},
    {"completed", PB_ENDED_OK},
    {"failed", PB_ENDED_ERROR},
    {"exceeded_limit", PB_ENDED_ERROR},
    {"cancelled", PB_ENDED_CANCELED},
    {"stopped", PB_ENDED_CANCELED},
};

const char *pb_ended_name(uint32_t status)
{
    for (size_t i = 0; i < 4; i++)
        if (words[i].status == status) return words[i].word;
    return "always";
}

uint32_t pb_ended_parse(pbay_str word)
{
    for (size_t i = 0; i < PB_COUNTOF(words); i++)
        if (pb_str_ieq(word, pb_str_c(words[i].word))) return words[i].status;
    return 0;
}
