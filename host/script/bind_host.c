/* SPDX-License-Identifier: MIT */
/* What the host gives: who asks (ctx), the log, fail, the version; and the reference page of it all. */
#include "base/clock.h"
#include "base/log.h"
#include "script/vm_priv.h"

enum { LOG_PER_SECOND = 20 };

static int ctx_index(lua_State *L)
{
    struct pb_vm *vm = pb_vm_of(L);
    struct pb_script_ctx *c = vm->ctx;
    pbay_str key = {"", 0}, v;
    if (lua_type(L, 2) == LUA_TSTRING) key.p = lua_tolstring(L, 2, &key.n);
    bool personal = true;
    if (pb_str_is(key, "now")) {
        lua_pushinteger(L, c && c->now_ms ? c->now_ms : pb_now_ms());
        return 1;
    }
    if (!c) return luaL_error(L, "ctx is there while a function is called, not while a script is loaded");
    if (pb_str_is(key, "user"))
        v = c->user;
    else if (pb_str_is(key, "app"))
        v = c->app;
    else if (pb_str_is(key, "query_id"))
        v = c->query_id;
    else if (pb_str_is(key, "function"))
        v = c->function, personal = false;
    else
        return luaL_error(L, "ctx has user, app, [\"function\"], query_id and now");
    if (personal) c->personal = true;
    if (v.n == 0)
        lua_pushnil(L);
    else
        lua_pushlstring(L, v.p, v.n);
    return 1;
}

static int ctx_refuse(lua_State *L)
{
    return luaL_error(L, "ctx is read-only");
}

static int host_fail(lua_State *L)
{
    luaL_checkstring(L, 1);
    lua_settop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &pb_fail_key);
    lua_pushlightuserdata(L, (void *)(uintptr_t)&pb_fail_key);
    return lua_error(L);
}

static int log_line(lua_State *L, enum pb_log_level level)
{
    struct pb_vm *vm = pb_vm_of(L);
    int n = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1) luaL_addchar(&b, ' ');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    luaL_where(L, 1);
    int64_t now = pb_mono_ns() / PB_MS;
    if (now - vm->log_window >= 1000) {
        if (vm->log_dropped) pb_log(PB_LOG_WARN, "script", "lines left out", PB_I("lines", vm->log_dropped));
        vm->log_window = now;
        vm->log_lines = vm->log_dropped = 0;
    }
    if (vm->log_lines >= LOG_PER_SECOND) {
        vm->log_dropped++;
        return 0;
    }
    vm->log_lines++;
    size_t text_n, at_n;
    const char *text = lua_tolstring(L, -2, &text_n), *at = lua_tolstring(L, -1, &at_n);
    while (at_n && (at[at_n - 1] == ' ' || at[at_n - 1] == ':')) at_n--;
    pb_log(level, "script", "says", PB_V("text", pb_str(text, text_n)), PB_V("at", pb_str(at, at_n)));
    return 0;
}

static int log_info(lua_State *L)
{
    return log_line(L, PB_LOG_INFO);
}

static int log_warn(lua_State *L)
{
    return log_line(L, PB_LOG_WARN);
}

void pb_bind_values(lua_State *L)
{
    int globals = lua_gettop(L);
    lua_createtable(L, 0, 0);
    lua_createtable(L, 0, 3);
    lua_pushcfunction(L, ctx_index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, ctx_refuse);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    pb_sandbox_freeze(L);
    lua_setfield(L, globals, "ctx");
    lua_createtable(L, 0, 1);
    lua_pushinteger(L, PB_LUA_API_VERSION);
    lua_setfield(L, -2, "version");
    lua_setfield(L, globals, "patchbay");
    pb_json_values(L);
}

const struct pb_binding pb_bind_host[] = {
    {"fail", "(message)",
     "The row at hand fails with this message and the others go on, where the protocol can say so; elsewhere "
     "the call "
     "fails.",
     host_fail},
    {"log.info", "(value, ...)",
     "A line in the host's log with the place in the script; at most 20 a second.", log_info},
    {"log.warn", "(value, ...)", "The same, as a warning.", log_warn},
    {"print", "(value, ...)", "The same as log.info.", log_info},
    {"ctx", "",
     "Who asks: `ctx.user`, `ctx.app`, `ctx[\"function\"]`, `ctx.query_id` (nil when not known) and "
     "`ctx.now` "
     "(milliseconds since 1970). Reading user, app or query_id keeps the answer from being shared with other "
     "callers.",
     NULL},
    {"patchbay.version", "", "The version of this page: a number that grows when something is added.", NULL},
    {NULL, NULL, NULL, NULL},
};

/* ------------------------------------------------------------------------------------------------ reference
 */

static void describe(struct pb_buf *out, const char *title, const struct pb_binding *list)
{
    pb_buf_printf(out, "\n## %s\n\n", title);
    for (; list->name; list++)
        pb_buf_printf(out, "- **`%s%s`**  \n  %s\n", list->name, list->args, list->doc);
}

void pb_script_reference(struct pb_buf *out)
{
    pb_buf_printf(
        out,
        "# Lua in Patchbay\n\n"
        "Version %d (`patchbay.version`). Generated from the bindings: edit those, not this page.\n\n"
        "Scripts are Lua 5.4 with `string`, `table`, `math`, `utf8`, and of `os` the functions `time`, "
        "`date`\n"
        "and `clock`. Not there: `io`, `require`, `package`, `debug`, `coroutine`, `load` and its kin,\n"
        "`collectgarbage`, `xpcall`, `string.dump`, and `__gc`. Libraries are read-only, and after a file "
        "is\n"
        "loaded its globals are too: reading one that is not defined and setting any is an error.\n",
        PB_LUA_API_VERSION);
    describe(out, "Host", pb_bind_host);
    describe(out, "JSON", pb_bind_json);
    describe(out, "CSV and files", pb_bind_csv);
    describe(out, "Text", pb_bind_string);
    describe(out, "Patterns", pb_bind_pattern);
    describe(out, "Lists", pb_bind_table);
    describe(out, "Numbers", pb_bind_number);
    describe(out, "Dates", pb_bind_date);
    describe(out, "Chains (`chains/*.lua`, while they are loaded)", pb_bind_chains);
    describe(out, "Tests (`*_test.lua`, run by `patchbay test`)", pb_bind_spec);
}
