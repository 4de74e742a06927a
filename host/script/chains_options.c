/* SPDX-License-Identifier: MIT */
#include "script/chains_options.h"

#include <stdlib.h>

#include "base/clock.h"

enum { VARIABLES_MAX = 20, VARIABLE_TEXT_MAX = 256, NAME_TEXT_MAX = 200 };

pbay_str pb_dsl_text_at(lua_State *L, struct pb_dsl *d, int idx, const char *what)
{
    size_t n;
    if (lua_type(L, idx) != LUA_TSTRING)
        luaL_error(L, "%s is a text in quotes; got a %s", what, luaL_typename(L, idx));
    const char *p = lua_tolstring(L, idx, &n);
    if (!n || n > NAME_TEXT_MAX || !pb_utf8_valid(pb_str(p, n)) || memchr(p, 0, n))
        luaL_error(L, "%s has 1 to %d bytes of text; got %d", what, NAME_TEXT_MAX, (int)n);
    return pb_arena_str(d->mem, pb_str(p, n));
}

void pb_dsl_only(lua_State *L, int idx, const char *what, const char *const *names, size_t n)
{
    idx = lua_absindex(L, idx);
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TNUMBER) continue;
        const char *key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
        bool known = false;
        for (size_t i = 0; i < n; i++) known |= strcmp(names[i], key) == 0;
        if (known) continue;
        const char *near = pb_nearest(pb_str_c(key), names, n);
        luaL_error(L, "%s has no option \"%s\"%s%s%s", what, key, near ? "; did you mean \"" : "",
                   near ? near : "", near ? "\"?" : "");
    }
}
int64_t pb_dsl_duration(lua_State *L, int idx, const char *key, int64_t otherwise)
{
    int64_t ms = otherwise;
    int type = lua_getfield(L, idx, key);
    if (type != LUA_TNIL) {
        size_t n;
        lua_pushvalue(L, -1);
        const char *p = type == LUA_TSTRING || type == LUA_TNUMBER ? lua_tolstring(L, -1, &n) : NULL;
        if (!p || !pb_parse_duration(pb_str(p, n), &ms))
            luaL_error(L, "%s is a time such as \"30s\", \"10m\" or \"2h\"; got %s", key,
                       luaL_tolstring(L, -1, NULL));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return ms;
}

bool pb_dsl_boolean(lua_State *L, int idx, const char *key, bool otherwise)
{
    int type = lua_getfield(L, idx, key);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN)
        luaL_error(L, "%s is true or false; got %s", key, luaL_tolstring(L, -1, NULL));
    bool v = type == LUA_TNIL ? otherwise : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

lua_Integer pb_dsl_integer(lua_State *L, int idx, const char *key, lua_Integer least, lua_Integer most,
                           lua_Integer otherwise)
{
    int whole = 1, type = lua_getfield(L, idx, key);
    lua_Integer v = type == LUA_TNIL ? otherwise : lua_tointegerx(L, -1, &whole);
    if (type != LUA_TNIL && (type != LUA_TNUMBER || !whole || v < least || v > most))
        luaL_error(L, "%s is a whole number from %I to %I; got %s", key, (LUAI_UACINT)least,
                   (LUAI_UACINT)most, luaL_tolstring(L, -1, NULL));
    lua_pop(L, 1);
    return v;
}

pbay_str pb_dsl_text(lua_State *L, struct pb_dsl *d, int idx, const char *key)
{
    pbay_str s = {"", 0};
    if (lua_getfield(L, idx, key) != LUA_TNIL) s = pb_dsl_text_at(L, d, -1, key);
    lua_pop(L, 1);
    return s;
}

const struct pb_window *pb_dsl_windows(lua_State *L, struct pb_dsl *d, int idx, uint32_t *n)
{
    struct pb_window *list = NULL;
    int type = lua_getfield(L, idx, "window");
    *n = 0;
    if (type == LUA_TSTRING || type == LUA_TTABLE) {
        lua_Integer many = type == LUA_TTABLE ? (lua_Integer)lua_rawlen(L, -1) : 1;
        if (many > 32) luaL_error(L, "window: at most 32 of them");
        list = pb_arena_zalloc(d->mem, (size_t)(many + 1) * sizeof *list);
        for (lua_Integer i = 0; i < many; i++) {
            struct pb_err err;
            if (type == LUA_TTABLE)
                lua_rawgeti(L, -1, i + 1);
            else
                lua_pushvalue(L, -1);
            pbay_str text = pb_dsl_text_at(L, d, -1, "window");
            lua_pop(L, 1);
            if (pb_window_parse(text, &list[*n], &err) != 0) luaL_error(L, "window %s", err.msg);
            ++*n;
        }
    } else if (type != LUA_TNIL) {
        luaL_error(L, "window is a text such as \"mon-fri 01:00-06:00 Europe/Stockholm\", or a list of them");
    }
    lua_pop(L, 1);
    return list;
}

bool pb_dsl_outside(lua_State *L, int idx, bool otherwise)
{
    bool wait = otherwise;
    if (lua_getfield(L, idx, "outside") != LUA_TNIL) {
        const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        wait = strcmp(s, "wait") == 0;
        if (!wait && strcmp(s, "skip") != 0) luaL_error(L, "outside is \"skip\" or \"wait\"");
    }
    lua_pop(L, 1);
    return wait;
}

bool pb_dsl_retry(lua_State *L, int idx, struct pb_retry *out)
{
    int type = lua_getfield(L, idx, "retry");
    *out = (struct pb_retry){0, 30000, 600000, 2};
    if (type == LUA_TTABLE) {
        int at = lua_gettop(L);
        PB_DSL_ONLY(L, at, "retry", "max", "backoff", "factor", "cap");
        out->max = (uint32_t)pb_dsl_integer(L, at, "max", 0, 100, 3);
        out->backoff_ms = pb_dsl_duration(L, at, "backoff", out->backoff_ms);
        out->cap_ms = pb_dsl_duration(L, at, "cap", out->cap_ms);
        if (lua_getfield(L, at, "factor") != LUA_TNIL) {
            out->factor = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
            if (!(out->factor >= 1 && out->factor <= 100)) luaL_error(L, "factor is a number from 1 to 100");
        }
        lua_pop(L, 1);
    } else if (type == LUA_TNUMBER) {
        out->max = (uint32_t)pb_dsl_integer(L, idx, "retry", 0, 100, 0);
    } else if (type != LUA_TNIL) {
        luaL_error(L, "retry is { max = 3, backoff = \"30s\", factor = 2, cap = \"10m\" } or a number");
    }
    lua_pop(L, 1);
    return type != LUA_TNIL;
}

static int by_text(const void *a, const void *b)
{
    return pb_str_cmp(*(const pbay_str *)a, *(const pbay_str *)b);
}

/* { vDay = "2026-01-01" } as a JSON object, names in order. */
static pbay_str variables(lua_State *L, struct pb_dsl *d, int idx)
{
    pbay_str names[VARIABLES_MAX];
    size_t n = 0;
    int type = lua_getfield(L, idx, "variables");
    struct pb_buf *out = &pb_vm_of(L)->scratch;
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        return pb_str("", 0);
    }
    if (type != LUA_TTABLE) luaL_error(L, "variables is a table such as { vDay = \"2026-01-01\" }");
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "variables: names are texts");
        if (n == VARIABLES_MAX) luaL_error(L, "variables: a reload takes at most %d", VARIABLES_MAX);
        size_t len;
        const char *p = lua_tolstring(L, -2, &len);
        if (!len || len > VARIABLE_TEXT_MAX)
            luaL_error(L, "variables: a name has 1 to %d bytes", VARIABLE_TEXT_MAX);
        names[n++] = pb_arena_str(d->mem, pb_str(p, len));
    }
    qsort(names, n, sizeof *names, by_text);
    out->n = 0;
    pb_buf_ch(out, '{');
    for (size_t i = 0; i < n; i++) {
        size_t len;
        lua_pushlstring(L, names[i].p, names[i].n);
        int kind = lua_rawget(L, -2);
        if (kind != LUA_TSTRING && kind != LUA_TNUMBER)
            luaL_error(L, "variables: %s is not a text", names[i].p);
        const char *p = lua_tolstring(L, -1, &len);
        if (len > VARIABLE_TEXT_MAX)
            luaL_error(L, "variables: %s has %d bytes; a reload takes at most %d", names[i].p, (int)len,
                       VARIABLE_TEXT_MAX);
        if (i) pb_buf_ch(out, ',');
        pb_buf_json(out, names[i]);
        pb_buf_ch(out, ':');
        pb_buf_json(out, pb_str(p, len));
        lua_pop(L, 1);
    }
    pb_buf_ch(out, '}');
    lua_pop(L, 1);
    return pb_arena_str(d->mem, pb_buf_view(out));
}

void pb_dsl_reload_options(lua_State *L, struct pb_dsl *d, int idx, struct pb_reload_options *out)
{
    lua_getfield(L, idx, "partial");
    bool said = !lua_isnil(L, -1);
    lua_pop(L, 1);
    out->partial = said ? pb_dsl_boolean(L, idx, "partial", false) : -1;
    out->weight = (int)pb_dsl_integer(L, idx, "weight", 1, 10, 0);
    out->variables = variables(L, d, idx);
    out->has_retry = pb_dsl_retry(L, idx, &out->retry);
    if (lua_getfield(L, idx, "pending") != LUA_TNIL) {
        const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        if (strcmp(s, "join") != 0 && strcmp(s, "again") != 0)
            luaL_error(
                L,
                "pending is \"join\" or \"again\": what becomes of a reload when one of the app is pending");
        out->pending = strcmp(s, "join") == 0 ? PB_STR("join") : PB_STR("again");
    }
    lua_pop(L, 1);
}
