/* SPDX-License-Identifier: MIT */
/*
 * The words of scripts/chains: app, chain, on, all_of, any_of, at_least, cron, deadline, reload, action,
 * notify, limit.
 *
 * Each makes an object that scripts can hand on but not look into (a userdata that points into the arena);
 * chain, app and limit put it into the model. Names are resolved later, when all files have been read.
 */
#include <stdlib.h>

#include "script/chains_options.h"

enum { TAG_WHEN, TAG_LINK, TAG_STEP };

struct obj {
    int tag;
    void *p;
    struct pb_dsl_open *open;
};

static const char obj_key, fns_key;

static struct pb_dsl *dsl_of(lua_State *L)
{
    struct pb_vm *vm = pb_vm_of(L);
    if (!vm->loading) luaL_error(L, "chains are declared while a file is loaded, not in a condition");
    return ((struct pb_chains *)vm->extend_arg)->into;
}

static struct pb_place place(lua_State *L, struct pb_dsl *d)
{
    lua_Debug ar;
    struct pb_place at = {PB_STR("?"), 0};
    if (!lua_getstack(L, 1, &ar)) return at;
    lua_getinfo(L, "Sl", &ar);
    const char *name = *ar.source == '=' ? ar.source + 1 : ar.source;
    /* The same file again and again: one copy. */
    struct pb_dsl_open *last = d->open;
    at.file = last && pb_str_is(last->at.file, name) ? last->at.file : pb_arena_str(d->mem, pb_str_c(name));
    at.line = ar.currentline > 0 ? (uint32_t)ar.currentline : 0;
    return at;
}

static struct pb_dsl_open *begin(lua_State *L, struct pb_dsl *d, const char *what)
{
    struct pb_place at = place(L, d);
    struct pb_dsl_open *o = pb_arena_zalloc(d->mem, sizeof *o);
    *o = (struct pb_dsl_open){d->open, what, at, false};
    return d->open = o;
}

static struct obj *push_obj(lua_State *L, int tag, void *p, struct pb_dsl_open *open)
{
    struct obj *o = lua_newuserdatauv(L, sizeof *o, 0);
    *o = (struct obj){tag, p, open};
    lua_rawgetp(L, LUA_REGISTRYINDEX, &obj_key);
    lua_setmetatable(L, -2);
    return o;
}

static struct obj *obj_at(lua_State *L, int idx)
{
    struct obj *o = lua_touserdata(L, idx);
    if (lua_type(L, idx) != LUA_TUSERDATA || !lua_getmetatable(L, idx)) return NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &obj_key);
    bool ours = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return ours ? o : NULL;
}

static uint32_t keep_fn(lua_State *L, struct pb_dsl *d, int idx)
{
    idx = lua_absindex(L, idx);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &fns_key);
    lua_pushvalue(L, idx);
    lua_rawseti(L, -2, (lua_Integer)++d->n_fns);
    lua_pop(L, 1);
    return d->n_fns;
}

/* ------------------------------------------------------------------------ app, limit */

static int app_body(lua_State *L)
{
    struct pb_dsl *d = dsl_of(L);
    struct pb_dsl_open *o = lua_touserdata(L, lua_upvalueindex(1));
    struct pb_chain_app a = {.at = o->at};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    PB_DSL_ONLY(L, 1, "app", "connector", "id", "name", "space", "partial", "weight", "variables", "retry",
                "pending", "cooldown");
    a.name = pb_dsl_text_at(L, d, lua_upvalueindex(2), "the name of an app");
    a.connector = pb_dsl_text(L, d, 1, "connector");
    a.id = pb_dsl_text(L, d, 1, "id");
    a.title = pb_dsl_text(L, d, 1, "name");
    a.space = pb_dsl_text(L, d, 1, "space");
    if (!a.id.n && !a.title.n)
        luaL_error(L, "app \"%s\" has neither an id nor a name at its connector", a.name.p);
    if (a.id.n && a.space.n)
        luaL_error(L, "app \"%s\" has an id: space is for apps that are found by name", a.name.p);
    a.cooldown_ms = pb_dsl_duration(L, 1, "cooldown", 0);
    pb_dsl_reload_options(L, d, 1, &a.reload);
    if (o->done) return luaL_error(L, "app \"%s\" is given twice", a.name.p);
    o->done = true;
    PB_GROW(d->g.apps, d->cap_apps, (size_t)d->g.n_apps + 1);
    d->g.apps[d->g.n_apps++] = a;
    return 0;
}

static int limit_body(lua_State *L)
{
    struct pb_dsl *d = dsl_of(L);
    struct pb_dsl_open *o = lua_touserdata(L, lua_upvalueindex(1));
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    PB_DSL_ONLY(L, 1, "limit", "in_flight");
    struct pb_chain_limit l = {.at = o->at};
    l.connector = pb_dsl_text_at(L, d, lua_upvalueindex(2), "the name of a connector");
    l.in_flight = (uint32_t)pb_dsl_integer(L, 1, "in_flight", 1, 100000, 0);
    if (!l.in_flight) return luaL_error(L, "limit \"%s\" wants in_flight = N", l.connector.p);
    o->done = true;
    PB_GROW(d->g.limits, d->cap_limits, (size_t)d->g.n_limits + 1);
    d->g.limits[d->g.n_limits++] = l;
    return 0;
}

/* ------------------------------------------------------------------------ steps */

static struct pb_chain_step *new_step(lua_State *L, enum pb_step_kind kind)
{
    struct pb_dsl *d = dsl_of(L);
    struct pb_chain_step *s = pb_arena_zalloc(d->mem, sizeof *s);
    s->kind = kind;
    s->at = place(L, d);
    s->reload.partial = -1;
    return s;
}

static pbay_str first_text(lua_State *L, struct pb_dsl *d, int idx, const char *what)
{
    lua_rawgeti(L, idx, 1);
    pbay_str s = pb_dsl_text_at(L, d, -1, what);
    lua_pop(L, 1);
    return s;
}

static int dsl_reload(lua_State *L)
{
    struct pb_chain_step *s = new_step(L, PB_STEP_RELOAD);
    struct pb_dsl *d = dsl_of(L);
    lua_settop(L, 1);
    if (lua_istable(L, 1)) {
        PB_DSL_ONLY(L, 1, "reload", "partial", "weight", "variables", "retry", "pending");
        s->name = first_text(L, d, 1, "reload: the name of an app");
        pb_dsl_reload_options(L, d, 1, &s->reload);
    } else {
        s->name = pb_dsl_text_at(L, d, 1, "reload: the name of an app");
    }
    push_obj(L, TAG_STEP, s, NULL);
    return 1;
}

static int dsl_notify(lua_State *L)
{
    struct pb_chain_step *s = new_step(L, PB_STEP_NOTIFY);
    struct pb_dsl *d = dsl_of(L);
    lua_settop(L, 1);
    if (lua_istable(L, 1)) {
        PB_DSL_ONLY(L, 1, "notify", "text");
        s->name = first_text(L, d, 1, "notify: the name of a target");
        if (lua_getfield(L, 1, "text") == LUA_TFUNCTION) {
            s->fn = keep_fn(L, d, -1);
        } else if (!lua_isnil(L, -1)) {
            size_t n;
            const char *p = luaL_checklstring(L, -1, &n);
            if (n > 4096) luaL_error(L, "notify: text has at most 4096 bytes; got %d", (int)n);
            s->args = pb_arena_str(d->mem, pb_str(p, n));
        }
        lua_pop(L, 1);
    } else {
        s->name = pb_dsl_text_at(L, d, 1, "notify: the name of a target");
    }
    push_obj(L, TAG_STEP, s, NULL);
    return 1;
}

static void action_args(lua_State *L, struct pb_dsl *d, struct pb_chain_step *s, int idx)
{
    if (lua_isfunction(L, idx)) {
        s->fn = keep_fn(L, d, idx);
        return;
    }
    if (!lua_istable(L, idx))
        luaL_error(L, "action \"%s\": the arguments are a table or a function", s->name.p);
    struct pb_buf *out = &pb_vm_of(L)->scratch;
    /* retry is the host's, everything else the action's. */
    s->reload.has_retry = pb_dsl_retry(L, idx, &s->reload.retry);
    if (s->reload.has_retry) {
        lua_pushnil(L);
        lua_setfield(L, idx, "retry");
    }
    out->n = 0;
    pb_json_write(L, idx, out);
    if (out->n > (512 << 10)) luaL_error(L, "action \"%s\": %d bytes of arguments", s->name.p, (int)out->n);
    s->args = pb_arena_str(d->mem, pb_buf_view(out));
}

static int dsl_action(lua_State *L)
{
    struct pb_chain_step *s = new_step(L, PB_STEP_ACTION);
    struct pb_dsl *d = dsl_of(L);
    s->name = pb_dsl_text_at(L, d, 1, "action: CONNECTOR.ACTION");
    size_t dot = pb_str_chr(s->name, '.');
    if (!dot || dot + 1 >= s->name.n)
        return luaL_error(L, "action \"%s\" is not CONNECTOR.ACTION", s->name.p);
    s->connector = pb_str(s->name.p, dot);
    s->action = pb_str(s->name.p + dot + 1, s->name.n - dot - 1);
    s->args = PB_STR("{}");
    if (!lua_isnoneornil(L, 2)) action_args(L, d, s, 2);
    push_obj(L, TAG_STEP, s, NULL);
    return 1;
}

/* ------------------------------------------------------------------------ sources */

static int new_link(lua_State *L, enum pb_link_kind kind, int first, uint32_t need, uint32_t statuses)
{
    struct pb_dsl *d = dsl_of(L);
    int n = lua_gettop(L) - first + 1;
    if (n < 1 || n > PB_CHAIN_SOURCES_MAX)
        return luaL_error(L, "expected 1 to %d sources; got %d", PB_CHAIN_SOURCES_MAX, n);
    struct pb_chain_link *l = pb_arena_zalloc(d->mem, sizeof *l);
    struct pb_chain_source *list = pb_arena_zalloc(d->mem, (size_t)n * sizeof *list);
    struct pb_dsl_open *open = begin(L, d, "this link has no steps: { … } is missing");
    *l = (struct pb_chain_link){.kind = kind, .sources = list, .n_sources = (uint32_t)n, .need = need};
    l->statuses = statuses;
    l->cooldown_ms = -1;
    l->at = open->at;
    for (int i = 0; i < n; i++) {
        list[i].name = pb_dsl_text_at(L, d, first + i, "a source");
        for (int k = 0; k < i && kind != PB_LINK_ON; k++)
            if (pb_str_eq(list[i].name, list[k].name))
                return luaL_error(L, "\"%s\" stands twice among the sources", list[i].name.p);
    }
    push_obj(L, TAG_WHEN, l, open);
    return 1;
}

static int dsl_on(lua_State *L)
{
    lua_settop(L, 1);
    return new_link(L, PB_LINK_ON, 1, 1, 0);
}

static int dsl_all_of(lua_State *L)
{
    return new_link(L, PB_LINK_ALL, 1, (uint32_t)lua_gettop(L), PB_ENDED_OK);
}

static int dsl_any_of(lua_State *L)
{
    return new_link(L, PB_LINK_ANY, 1, 1, PB_ENDED_OK);
}

static int dsl_at_least(lua_State *L)
{
    lua_Integer k = luaL_checkinteger(L, 1);
    int n = lua_gettop(L) - 1;
    if (k < 1 || k > n) return luaL_error(L, "at_least: %I of %d sources", (LUAI_UACINT)k, n);
    return new_link(L, PB_LINK_AT_LEAST, 2, (uint32_t)k, PB_ENDED_OK);
}

static int clock_link(lua_State *L, struct pb_chain_link *l, const struct pb_cron *cron, const char *missing)
{
    struct pb_dsl *d = dsl_of(L);
    struct pb_dsl_open *open = begin(L, d, missing);
    l->cron = *cron;
    l->cooldown_ms = -1;
    l->statuses = PB_ENDED_ANY;
    l->at = open->at;
    push_obj(L, TAG_WHEN, l, open);
    return 1;
}

static int dsl_cron(lua_State *L)
{
    struct pb_dsl *d = dsl_of(L);
    struct pb_cron cron;
    struct pb_err err;
    struct pb_chain_link *l = pb_arena_zalloc(d->mem, sizeof *l);
    lua_settop(L, 2);
    pbay_str line = pb_dsl_text_at(L, d, 1, "cron: the line"), zone = {"", 0};
    if (!lua_isnil(L, 2)) zone = pb_dsl_text_at(L, d, 2, "cron: the time zone");
    if (pb_cron_parse(line, zone, &cron, &err) != 0) return luaL_error(L, "%s", err.msg);
    l->kind = PB_LINK_CRON;
    l->name = pb_str_c(pb_arena_printf(d->mem, "cron(\"%.*s\"%s%.*s%s)", PB_FMT(line), zone.n ? ", \"" : "",
                                       PB_FMT(zone), zone.n ? "\"" : ""));
    l->late_ms = 3600 * 1000;
    return clock_link(L, l, &cron, "this cron has no steps: { … } is missing");
}

static int dsl_deadline(lua_State *L)
{
    struct pb_dsl *d = dsl_of(L);
    struct pb_cron cron;
    struct pb_err err;
    struct pb_chain_link *l = pb_arena_zalloc(d->mem, sizeof *l);
    struct pb_chain_source *source = pb_arena_zalloc(d->mem, sizeof *source);
    lua_settop(L, 2);
    source->name = pb_dsl_text_at(L, d, 1, "deadline: the name of an app");
    pbay_str by = pb_dsl_text_at(L, d, 2, "deadline: the time");
    if (pb_moment_parse(by, &cron, &err) != 0) return luaL_error(L, "deadline %s", err.msg);
    l->kind = PB_LINK_DEADLINE;
    l->sources = source;
    l->n_sources = 1;
    l->name = pb_str_c(pb_arena_printf(d->mem, "deadline(\"%s\", \"%s\")", source->name.p, by.p));
    l->late_ms = 24 * 3600 * 1000;
    l->since_ms = 24 * 3600 * 1000;
    return clock_link(L, l, &cron, "this deadline has no steps: { … } is missing");
}

/* ------------------------------------------------------------------------ .ok, .when and the steps */

static void copy_when(lua_State *L, struct pb_dsl *d, const struct obj *o, struct pb_chain_link **l)
{
    *l = pb_arena_alloc(d->mem, sizeof **l);
    **l = *(struct pb_chain_link *)o->p;
    push_obj(L, TAG_WHEN, *l, o->open);
}

static int when_call(lua_State *L)
{
    struct pb_dsl *d = dsl_of(L);
    struct obj *o = lua_touserdata(L, lua_upvalueindex(1));
    struct pb_chain_link *l;
    if (!lua_isfunction(L, 1))
        return luaL_error(L, "when takes function(ev, run); got a %s", luaL_typename(L, 1));
    lua_settop(L, 1);
    copy_when(L, d, o, &l);
    if (l->when) return luaL_error(L, "this link has a condition already");
    l->when = keep_fn(L, d, 1);
    if (!l->statuses) l->statuses = PB_ENDED_ANY;
    return 1;
}

static int obj_index(lua_State *L)
{
    struct pb_dsl *d = dsl_of(L);
    struct obj *o = obj_at(L, 1);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    static const char *const words[] = {"ok", "error", "canceled", "cancelled", "always", "when"};
    static const uint32_t bits[] = {PB_ENDED_OK, PB_ENDED_ERROR, PB_ENDED_CANCELED, PB_ENDED_CANCELED,
                                    PB_ENDED_ANY};
    if (!o || o->tag != TAG_WHEN) return luaL_error(L, "a link or a step has no field \"%s\"", key);
    if (strcmp(key, "when") == 0) {
        lua_settop(L, 1);
        lua_pushcclosure(L, when_call, 1);
        return 1;
    }
    for (size_t i = 0; i < PB_COUNTOF(bits); i++)
        if (strcmp(words[i], key) == 0) {
            struct pb_chain_link *l = o->p;
            if (l->kind == PB_LINK_CRON || l->kind == PB_LINK_DEADLINE)
                return luaL_error(L, "a cron and a deadline have no .%s", key);
            copy_when(L, d, o, &l);
            l->statuses = bits[i];
            return 1;
        }
    const char *near = pb_nearest(pb_str_c(key), words, PB_COUNTOF(words));
    return luaL_error(L, "there is no .%s; expected .ok, .error, .canceled, .always or .when%s%s%s", key,
                      near ? "; did you mean ." : "", near ? near : "", near ? "?" : "");
}

static void link_steps(lua_State *L, struct pb_dsl *d, struct pb_chain_link *l)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
    if (n > PB_CHAIN_STEPS_MAX)
        luaL_error(L, "a link has at most %d steps; got %I", PB_CHAIN_STEPS_MAX, (LUAI_UACINT)n);
    struct pb_chain_step *steps = pb_arena_zalloc(d->mem, (size_t)(n + 1) * sizeof *steps);
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, 2, i + 1);
        struct obj *o = obj_at(L, -1);
        if (o && o->tag == TAG_STEP) {
            steps[i] = *(struct pb_chain_step *)o->p;
        } else if (lua_type(L, -1) == LUA_TSTRING) {
            steps[i] = (struct pb_chain_step){.kind = PB_STEP_RELOAD, .at = l->at, .reload.partial = -1};
            steps[i].name = pb_dsl_text_at(L, d, -1, "a step");
        } else {
            luaL_error(L,
                       "step %d of the link is a %s; expected the name of an app, reload, action or notify",
                       (int)i + 1, o ? "link" : luaL_typename(L, -1));
        }
        lua_pop(L, 1);
    }
    l->steps = steps;
    l->n_steps = (uint32_t)n;
}

static int obj_call(lua_State *L)
{
    struct pb_dsl *d = dsl_of(L);
    struct obj *o = obj_at(L, 1);
    if (!o || o->tag == TAG_LINK) return luaL_error(L, "this link has its steps already");
    lua_settop(L, 2);
    if (o->tag == TAG_STEP) {
        struct pb_chain_step *s = o->p;
        if (s->kind != PB_STEP_ACTION) return luaL_error(L, "only an action takes arguments");
        action_args(L, d, s, 2);
        lua_settop(L, 1);
        return 1;
    }
    if (!lua_istable(L, 2))
        return luaL_error(L, "the steps of a link stand in { … }; got a %s", luaL_typename(L, 2));
    struct pb_chain_link *l = pb_arena_alloc(d->mem, sizeof *l);
    *l = *(struct pb_chain_link *)o->p;
    if (!l->statuses)
        return luaL_error(L,
                          "on(\"%s\") does not say when: .ok, .error, .canceled, .always or .when(function)",
                          l->sources[0].name.p);
    PB_DSL_ONLY(L, 2, "a link", "within", "cooldown", "debounce", "window", "outside", "allow_cycle", "scope",
                "name", "late", "since");
    l->within_ms = pb_dsl_duration(L, 2, "within", 0);
    l->cooldown_ms = pb_dsl_duration(L, 2, "cooldown", -1);
    l->debounce_ms = pb_dsl_duration(L, 2, "debounce", 0);
    l->late_ms = pb_dsl_duration(L, 2, "late", l->late_ms);
    l->since_ms = pb_dsl_duration(L, 2, "since", l->since_ms);
    l->windows = pb_dsl_windows(L, d, 2, &l->n_windows);
    l->wait = pb_dsl_outside(L, 2, false);
    l->allow_cycle = pb_dsl_boolean(L, 2, "allow_cycle", false);
    pbay_str name = pb_dsl_text(L, d, 2, "name");
    if (name.n) l->name = name;
    bool fan_in = l->kind == PB_LINK_ALL || l->kind == PB_LINK_AT_LEAST;
    if (l->within_ms && !fan_in) return luaL_error(L, "within is for all_of and at_least");
    if (lua_getfield(L, 2, "scope") != LUA_TNIL) {
        const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        if (!fan_in || (strcmp(s, "run") != 0 && strcmp(s, "chain") != 0))
            return luaL_error(L, "scope is \"run\" or \"chain\", for all_of and at_least");
        l->need |= *s == 'r' ? 0x10000u : 0x20000u; /* chains_graph.c takes it off again */
    }
    lua_pop(L, 1);
    if (l->allow_cycle && l->cooldown_ms <= 0)
        return luaL_error(L, "allow_cycle wants a cooldown, such as cooldown = \"10m\", on the same link");
    link_steps(L, d, l);
    struct pb_dsl_open *open = o->open;
    if (!open->done) {
        open->done = true;
        /* And now it must get into a chain. */
        open = begin(L, d, "this link stands in no chain");
        open->at = l->at;
    }
    push_obj(L, TAG_LINK, l, open);
    return 1;
}

/* ------------------------------------------------------------------------ chain */

static int chain_body(lua_State *L)
{
    struct pb_dsl *d = dsl_of(L);
    struct pb_dsl_open *open = lua_touserdata(L, lua_upvalueindex(1));
    struct pb_chain c = {.at = open->at, .first_link = d->g.n_links};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    PB_DSL_ONLY(L, 1, "chain", "max_depth", "in_flight", "cooldown", "adopt", "window", "outside");
    c.name = pb_dsl_text_at(L, d, lua_upvalueindex(2), "the name of a chain");
    c.max_depth = (uint32_t)pb_dsl_integer(L, 1, "max_depth", 1, 10000, PB_CHAIN_DEPTH);
    c.in_flight = (uint32_t)pb_dsl_integer(L, 1, "in_flight", 1, 100000, 0);
    c.cooldown_ms = pb_dsl_duration(L, 1, "cooldown", 0);
    c.adopt = pb_dsl_boolean(L, 1, "adopt", true);
    c.windows = pb_dsl_windows(L, d, 1, &c.n_windows);
    c.wait = pb_dsl_outside(L, 1, false);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, 1, i + 1);
        struct obj *o = obj_at(L, -1);
        if (!o || o->tag != TAG_LINK) {
            const struct pb_chain_link *w = o && o->tag == TAG_WHEN ? o->p : NULL;
            if (w)
                return luaL_error(L, "link %d of chain \"%s\" (line %d) has no steps: { … } is missing",
                                  (int)i + 1, c.name.p, (int)w->at.line);
            return luaL_error(
                L, "entry %d of chain \"%s\" is a %s; expected links such as on(\"a\").ok { \"b\" }",
                (int)i + 1, c.name.p, o ? "step" : luaL_typename(L, -1));
        }
        PB_GROW(d->g.links, d->cap_links, (size_t)d->g.n_links + 1);
        struct pb_chain_link *l = &d->g.links[d->g.n_links++];
        *l = *(struct pb_chain_link *)o->p;
        l->chain = d->g.n_chains;
        o->open->done = true;
        lua_pop(L, 1);
    }
    if (open->done) return luaL_error(L, "chain \"%s\" is given twice", c.name.p);
    open->done = true;
    c.n_links = d->g.n_links - c.first_link;
    PB_GROW(d->g.chains, d->cap_chains, (size_t)d->g.n_chains + 1);
    d->g.chains[d->g.n_chains++] = c;
    return 0;
}

static int declaration(lua_State *L, const char *missing, const char *what, lua_CFunction body)
{
    struct pb_dsl *d = dsl_of(L);
    lua_settop(L, 1);
    (void)pb_dsl_text_at(L, d, 1, what);
    lua_pushlightuserdata(L, begin(L, d, missing));
    lua_insert(L, 1);
    lua_pushcclosure(L, body, 2);
    return 1;
}

static int dsl_app(lua_State *L)
{
    return declaration(L, "this app has no { … }", "the name of an app", app_body);
}

static int dsl_chain(lua_State *L)
{
    return declaration(L, "this chain has no { … }", "the name of a chain", chain_body);
}

static int dsl_limit(lua_State *L)
{
    return declaration(L, "this limit has no { … }", "the name of a connector", limit_body);
}

const struct pb_binding pb_bind_chains[] = {
    {"app", "(name) { connector =, id = | name = [, space =], ... }",
     "An app that chains name: by its `id`, or found at its connector by its exact `name` (and `space`). "
     "`partial`, "
     "`weight` (1 to 10), `variables`, `retry`, `pending` hold for every reload of it; `cooldown` is the "
     "least time "
     "between two "
     "reloads that chains start.",
     dsl_app},
    {"chain", "(name) { link, ... }",
     "Links that belong together. `max_depth` (50), `in_flight` (steps at once), `cooldown`, `window`, "
     "`outside`; "
     "`adopt = false`: reloads that nobody here started begin a run at heads only.",
     dsl_chain},
    {"on", "(source)",
     "A link from an app, a CONNECTOR.EVENT, a chain or \"*\" (any app): on(\"a\").ok { \"b\" }. Also "
     ".error, .canceled, "
     ".always, and .when(function(ev, run) return yes, why end), which may return \"defer\", seconds.",
     dsl_on},
    {"all_of", "(source, ...)",
     "When all of them have ended well (or .error, ...) since it fired last; `within` bounds how far apart. "
     "`scope = "
     "\"run\"` counts what ended in one run, \"chain\" what ended at all; by default a run's when one run "
     "starts them all.",
     dsl_all_of},
    {"any_of", "(source, ...)", "When the first of them has, once in a run.", dsl_any_of},
    {"at_least", "(k, source, ...)", "When k of them have.", dsl_at_least},
    {"cron", "(line [, zone])",
     "At times: cron(\"0 2 * * mon-fri\", \"Europe/Stockholm\") { \"a\" }. `late` (1h): what could not begin "
     "by then is "
     "left out.",
     dsl_cron},
    {"deadline", "(app, time)",
     "When the app has not ended well by then: deadline(\"report\", \"mon-fri 06:00 Europe/Stockholm\") { "
     "notify \"ops\" }. "
     "`since` (24h) is how far back an end counts.",
     dsl_deadline},
    {"reload", "(app) or { app, partial =, weight =, variables =, retry =, pending = }",
     "A step: reload an app. Is a reload of it pending in the tenant already, its end counts (`pending = "
     "\"join\"`), or one more follows it (\"again\").",
     dsl_reload},
    {"action", "(CONNECTOR.ACTION) { ... }",
     "A step: an action with these arguments, or function(ev, run) that returns them. Its end is the event "
     "CONNECTOR.ACTION.done.",
     dsl_action},
    {"notify", "(target) or { target, text = }",
     "A step: a message to a [notify] target; `text` may be function(ev, run).", dsl_notify},
    {"limit", "(connector) { in_flight = n }", "How many steps of chains a connector runs at once.",
     dsl_limit},
    {NULL, NULL, NULL, NULL},
};

/* ------------------------------------------------------------------------ states */

void pb_dsl_open(lua_State *L, void *arg)
{
    (void)arg;
    pb_bind(L, pb_bind_chains);
    lua_createtable(L, 0, 0);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &fns_key);
    lua_createtable(L, 0, 4);
    lua_pushcfunction(L, obj_index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, obj_call);
    lua_setfield(L, -2, "__call");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushliteral(L, "link");
    lua_setfield(L, -2, "__name");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &obj_key);
}

void pb_dsl_push_fn(lua_State *L, uint32_t fn)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &fns_key);
    lua_rawgeti(L, -1, (lua_Integer)fn);
    lua_remove(L, -2);
}

int pb_dsl_end(struct pb_dsl *d, struct pb_err *err)
{
    const struct pb_dsl_open *first = NULL;
    for (const struct pb_dsl_open *o = d->open; o; o = o->next)
        if (!o->done) first = o;
    if (!first) return 0;
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%.*s:%u: %s", PB_FMT(first->at.file), first->at.line,
                   first->what);
}

void pb_dsl_free(struct pb_dsl *d)
{
    pb_free(d->g.apps);
    pb_free(d->g.chains);
    pb_free(d->g.links);
    pb_free(d->g.limits);
    *d = (struct pb_dsl){.mem = d->mem};
}
