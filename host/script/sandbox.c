/* SPDX-License-Identifier: MIT */
/*
 * What scripts see: a table of globals made from nothing, with the safe part of Lua's libraries and our own
 * bindings.
 *
 * Not there: io, package, require, debug, coroutine, load, loadstring, loadfile, dofile, collectgarbage,
 * xpcall, string.dump, and of os everything but time, date and clock. A message handler of xpcall and a __gc
 * finalizer run where hooks are off, a coroutine has hooks of its own: each could loop for ever, so there is
 * none of them.
 *
 * Every library is a read-only view: an empty table whose metatable leads to the real one and cannot be had.
 */
#include "script/vm_priv.h"

const char pb_globals_key;
static const char frozen_key;

/* ------------------------------------------------------------------------------------------------ views */

static int refuse_write(lua_State *L)
{
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    return luaL_error(L, "\"%s\" cannot be set: this table is read-only", name);
}

static int view_next(lua_State *L)
{
    lua_settop(L, 2);
    if (lua_next(L, lua_upvalueindex(1))) return 2;
    lua_pushnil(L);
    return 1;
}

/* The real table stays an upvalue: handing it out would open it. */
static int view_pairs(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, view_next, 1);
    return 1;
}

static int view_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, lua_upvalueindex(1)));
    return 1;
}

static void mark_frozen(lua_State *L, int meta)
{
    meta = lua_absindex(L, meta);
    lua_pushboolean(L, 0);
    lua_setfield(L, meta, "__metatable");
    lua_pushboolean(L, 1);
    lua_rawsetp(L, meta, &frozen_key);
}

void pb_sandbox_freeze(lua_State *L)
{
    int real = lua_gettop(L);
    lua_createtable(L, 0, 0);
    lua_createtable(L, 0, 6);
    lua_pushvalue(L, real);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushvalue(L, real);
    lua_pushcclosure(L, view_pairs, 1);
    lua_setfield(L, -2, "__pairs");
    lua_pushvalue(L, real);
    lua_pushcclosure(L, view_len, 1);
    lua_setfield(L, -2, "__len");
    mark_frozen(L, -1);
    lua_setmetatable(L, -2);
    lua_replace(L, real);
}

bool pb_sandbox_frozen(lua_State *L, int idx)
{
    if (!lua_getmetatable(L, idx)) return false;
    bool frozen = lua_rawgetp(L, -1, &frozen_key) != LUA_TNIL;
    lua_pop(L, 2);
    return frozen;
}

/* ------------------------------------------------------------------------------------------------
 * environments */

static int refuse_read(lua_State *L)
{
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    return luaL_error(L, "\"%s\" is not defined", name);
}

static int refuse_global(lua_State *L)
{
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    return luaL_error(L, "global \"%s\" cannot be set after loading; write \"local %s\"", name, name);
}

void pb_sandbox_env(lua_State *L)
{
    lua_createtable(L, 0, 4);
    lua_createtable(L, 0, 4);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &pb_globals_key);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "_G");
}

void pb_sandbox_seal(lua_State *L, int idx)
{
    idx = lua_absindex(L, idx);
    luaL_checkstack(L, 8, NULL);
    lua_getmetatable(L, idx);
    int meta = lua_gettop(L);
    /* What the script defined moves behind the view. */
    lua_createtable(L, 0, 4);
    int behind = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, behind);
    }
    lua_pushnil(L);
    while (lua_next(L, behind)) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, idx);
    }
    lua_createtable(L, 0, 1);
    lua_getfield(L, meta, "__index");
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, behind);
    lua_setfield(L, meta, "__index");
    lua_pushcfunction(L, refuse_global);
    lua_setfield(L, meta, "__newindex");
    mark_frozen(L, meta);
    lua_pop(L, 1);
}

/* ------------------------------------------------------------------------------------------------ base */

static int safe_setmetatable(lua_State *L)
{
    int kind = lua_type(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, kind == LUA_TNIL || kind == LUA_TTABLE, 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "cannot change a protected metatable");
    if (kind == LUA_TTABLE) {
        lua_pushstring(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL) return luaL_error(L, "__gc is not available to scripts");
        lua_pop(L, 1);
    }
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

static int safe_rawset(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    if (pb_sandbox_frozen(L, 1)) return refuse_write(L);
    lua_rawset(L, 1);
    return 1;
}

/* Copy fields of a library that luaL_requiref left on the top; the list ends with NULL. */
static void pick(lua_State *L, int to, const char *const *names)
{
    for (; *names; names++) {
        lua_getfield(L, -1, *names);
        lua_setfield(L, to, *names);
    }
}

static const char *const base_names[] = {
    "_VERSION", "assert", "error",  "getmetatable", "ipairs",   "next",     "pairs", "pcall",
    "rawequal", "rawget", "rawlen", "select",       "tonumber", "tostring", "type",  NULL};
static const char *const string_names[] = {"byte",     "char",    "format", "len",    "lower", "pack",
                                           "packsize", "reverse", "sub",    "unpack", "upper", NULL};
static const char *const table_names[] = {"concat", "pack", "sort", "unpack", NULL};
static const char *const os_names[] = {"clock", "date", "time", NULL};

static void pick_library(lua_State *L, const char *name, lua_CFunction open, const char *const *names)
{
    int globals = lua_gettop(L);
    lua_createtable(L, 0, 16);
    luaL_requiref(L, name, open, 0);
    if (names) {
        pick(L, globals + 1, names);
    } else {
        lua_pushnil(L);
        while (lua_next(L, globals + 2)) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, globals + 1);
        }
    }
    lua_settop(L, globals + 1);
    lua_setfield(L, globals, name);
}

/* Methods of strings are those of our library, and the metatable cannot be had. */
static void string_methods(lua_State *L)
{
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_getfield(L, -3, "string");
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}

static void freeze_libraries(lua_State *L)
{
    int globals = lua_gettop(L);
    lua_createtable(L, 0, 8);
    lua_pushnil(L);
    while (lua_next(L, globals)) {
        if (lua_type(L, -1) == LUA_TTABLE && !pb_sandbox_frozen(L, -1)) {
            pb_sandbox_freeze(L);
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, globals); /* an existing field: the walk goes on */
        } else {
            lua_pop(L, 1);
        }
    }
    lua_settop(L, globals);
}

void pb_bind(lua_State *L, const struct pb_binding *list)
{
    int globals = lua_gettop(L);
    luaL_checkstack(L, 8, NULL);
    for (; list->name; list++) {
        if (!list->fn) continue;
        const char *dot = strchr(list->name, '.');
        if (!dot) {
            lua_pushcfunction(L, list->fn);
            lua_setfield(L, globals, list->name);
            continue;
        }
        lua_pushlstring(L, list->name, (size_t)(dot - list->name));
        lua_pushvalue(L, -1);
        if (lua_rawget(L, globals) != LUA_TTABLE) {
            lua_pop(L, 1);
            lua_createtable(L, 0, 8);
            lua_pushvalue(L, -2);
            lua_pushvalue(L, -2);
            lua_rawset(L, globals);
        }
        lua_pushcfunction(L, list->fn);
        lua_setfield(L, -2, dot + 1);
        lua_settop(L, globals);
    }
}

void pb_sandbox_open(lua_State *L)
{
    struct pb_vm *vm = pb_vm_of(L);
    luaL_checkstack(L, 16, NULL);
    lua_createtable(L, 0, 48);
    int globals = lua_gettop(L);
    luaL_requiref(L, "_G", luaopen_base, 0);
    pick(L, globals, base_names);
    lua_pop(L, 1);
    lua_pushcfunction(L, safe_setmetatable);
    lua_setfield(L, globals, "setmetatable");
    lua_pushcfunction(L, safe_rawset);
    lua_setfield(L, globals, "rawset");
    pick_library(L, "string", luaopen_string, string_names);
    pick_library(L, "table", luaopen_table, table_names);
    pick_library(L, "math", luaopen_math, NULL);
    pick_library(L, "utf8", luaopen_utf8, NULL);
    pick_library(L, "os", luaopen_os, os_names);
    pb_bind(L, pb_bind_pattern);
    pb_bind(L, pb_bind_string);
    pb_bind(L, pb_bind_table);
    pb_bind(L, pb_bind_number);
    pb_bind(L, pb_bind_date);
    pb_bind(L, pb_bind_json);
    pb_bind(L, pb_bind_csv);
    pb_bind(L, pb_bind_host);
    pb_bind_values(L);
    if (vm->extend) vm->extend(L, vm->extend_arg);
    string_methods(L);
    freeze_libraries(L);
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, refuse_read);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, globals);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &pb_globals_key);
    /* The stock tables are only in the registry now; nothing of ours leads there, so let them go. */
    lua_pushnil(L);
    lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_createtable(L, 0, 0);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}
