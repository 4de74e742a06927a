/* SPDX-License-Identifier: MIT */
/* string.find, match, gmatch, gsub and rep: as the manual says, on our own matcher. */
#include "script/pattern.h"
#include "script/vm_priv.h"

enum { REP_MAX = 1 << 20 };

static bool poll_expired(void *arg)
{
    struct pb_vm *vm = arg;
    return vm->expired;
}

static void prepare(lua_State *L, struct pb_pattern *m, pbay_str subject, pbay_str text)
{
    struct pb_vm *vm = pb_vm_of(L);
    m->subject = subject;
    m->text = text;
    m->steps = vm->o.pattern_steps;
    m->poll = poll_expired;
    m->poll_arg = vm;
    m->error[0] = '\0';
    m->stopped = false;
}

/* Raise what the matcher noticed, if anything. */
static void check(lua_State *L, const struct pb_pattern *m)
{
    if (m->stopped) pb_vm_poll(L, 0);
    if (m->error[0]) luaL_error(L, "%s", m->error);
}

static pbay_str str_arg(lua_State *L, int idx)
{
    size_t n;
    const char *p = luaL_checklstring(L, idx, &n);
    return pb_str(p, n);
}

/* Relative positions as the manual has them: 1 the first, -1 the last; 0-based and at least 0 here. */
static size_t start_arg(lua_State *L, int idx, size_t n)
{
    lua_Integer at = luaL_optinteger(L, idx, 1);
    if (at > 0) return (lua_Unsigned)at - 1 > n ? n + 1 : (size_t)at - 1;
    if (at == 0) return 0;
    return (lua_Unsigned)0 - (lua_Unsigned)at > n ? 0 : n - (size_t)((lua_Unsigned)0 - (lua_Unsigned)at);
}

static void push_capture(lua_State *L, const struct pb_pattern *m, int i)
{
    const struct pb_capture *c = &m->captures[i];
    if (c->n == PB_CAPTURE_POSITION)
        lua_pushinteger(L, c->at - m->subject.p + 1);
    else
        lua_pushlstring(L, c->at, (size_t)c->n);
}

/* All captures, or the whole match when there are none and `whole`. */
static int push_captures(lua_State *L, const struct pb_pattern *m, const char *s, const char *end, bool whole)
{
    luaL_checkstack(L, m->n_captures + 1, "too many captures");
    if (m->n_captures == 0 && whole) {
        lua_pushlstring(L, s, (size_t)(end - s));
        return 1;
    }
    for (int i = 0; i < m->n_captures; i++) push_capture(L, m, i);
    return m->n_captures;
}

static bool anchored(pbay_str *text)
{
    if (text->n == 0 || text->p[0] != '^') return false;
    text->p++;
    text->n--;
    return true;
}

static int find_or_match(lua_State *L, bool find)
{
    pbay_str s = str_arg(L, 1), text = str_arg(L, 2);
    size_t at = start_arg(L, 3, s.n);
    if (at > s.n) {
        lua_pushnil(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || !pb_pattern_special(text))) {
        const char *hit = text.n ? memmem(s.p + at, s.n - at, text.p, text.n) : s.p + at;
        if (!hit) {
            lua_pushnil(L);
            return 1;
        }
        lua_pushinteger(L, hit - s.p + 1);
        lua_pushinteger(L, hit - s.p + (lua_Integer)text.n);
        return 2;
    }
    bool fixed = anchored(&text);
    struct pb_pattern m;
    prepare(L, &m, s, text);
    do {
        const char *end = pb_pattern_at(&m, at);
        check(L, &m);
        if (!end) continue;
        if (!find) return push_captures(L, &m, s.p + at, end, true);
        lua_pushinteger(L, (lua_Integer)at + 1);
        lua_pushinteger(L, end - s.p);
        return push_captures(L, &m, NULL, NULL, false) + 2;
    } while (at++ < s.n && !fixed);
    lua_pushnil(L);
    return 1;
}

static int str_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int str_match(lua_State *L)
{
    return find_or_match(L, false);
}

/* Upvalues: subject, pattern, where to go on, end of the last match (-1: none). */
static int gmatch_next(lua_State *L)
{
    pbay_str s = str_arg(L, lua_upvalueindex(1)), text = str_arg(L, lua_upvalueindex(2));
    lua_Integer at = lua_tointeger(L, lua_upvalueindex(3)), last = lua_tointeger(L, lua_upvalueindex(4));
    struct pb_pattern m;
    prepare(L, &m, s, text);
    for (; (size_t)at <= s.n; at++) {
        const char *end = pb_pattern_at(&m, (size_t)at);
        check(L, &m);
        if (!end || end - s.p == last) continue;
        lua_pushinteger(L, end - s.p);
        lua_pushvalue(L, -1);
        lua_replace(L, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
        return push_captures(L, &m, s.p + at, end, true);
    }
    return 0;
}

static int str_gmatch(lua_State *L)
{
    pbay_str s = str_arg(L, 1);
    str_arg(L, 2);
    size_t at = start_arg(L, 3, s.n);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)at);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* The replacement text with %0 .. %9 and %% filled in. */
static void add_text(lua_State *L, luaL_Buffer *b, const struct pb_pattern *m, const char *s, const char *end)
{
    size_t n;
    const char *r = lua_tolstring(L, 3, &n);
    for (size_t i = 0; i < n; i++) {
        if (r[i] != '%') {
            luaL_addchar(b, r[i]);
            continue;
        }
        i++;
        char c = i < n ? r[i] : '\0';
        if (c == '%') {
            luaL_addchar(b, '%');
        } else if (c == '0' || (c == '1' && m->n_captures == 0)) {
            luaL_addlstring(b, s, (size_t)(end - s));
        } else if (c >= '1' && c <= '9') {
            if (c - '1' >= m->n_captures)
                luaL_error(L, "invalid capture index %%%d in replacement string", c - '0');
            push_capture(L, m, c - '1');
            luaL_addvalue(b);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
}

/* Table or function: ask it with the first capture, or all; false and nil keep what was matched. */
static bool add_asked(lua_State *L, luaL_Buffer *b, const struct pb_pattern *m, const char *s,
                      const char *end)
{
    if (lua_type(L, 3) == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(L, m, s, end, true), 1);
    } else {
        if (m->n_captures)
            push_capture(L, m, 0);
        else
            lua_pushlstring(L, s, (size_t)(end - s));
        lua_gettable(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, s, (size_t)(end - s));
        return false;
    }
    if (!lua_isstring(L, -1)) return luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(b);
    return true;
}

static int str_gsub(lua_State *L)
{
    pbay_str s = str_arg(L, 1), text = str_arg(L, 2);
    int kind = lua_type(L, 3);
    luaL_argexpected(
        L, kind == LUA_TNUMBER || kind == LUA_TSTRING || kind == LUA_TTABLE || kind == LUA_TFUNCTION, 3,
        "string/function/table");
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)s.n + 1);
    lua_settop(L, 4);
    bool fixed = anchored(&text);
    const char *at = s.p, *stop = s.p + s.n, *last = NULL;
    lua_Integer n = 0;
    struct pb_pattern m;
    luaL_Buffer b;
    prepare(L, &m, s, text);
    luaL_buffinit(L, &b);
    while (n < most) {
        const char *end = pb_pattern_at(&m, (size_t)(at - s.p));
        check(L, &m);
        if (end && end != last) {
            n++;
            if (kind == LUA_TTABLE || kind == LUA_TFUNCTION) {
                uint64_t left = m.steps; /* the call may match too; its steps are its own */
                add_asked(L, &b, &m, at, end);
                m.steps = left;
            } else {
                add_text(L, &b, &m, at, end);
            }
            at = last = end;
        } else if (at < stop) {
            luaL_addchar(&b, *at++);
        } else {
            break;
        }
        if (fixed) break;
    }
    luaL_addlstring(&b, at, (size_t)(stop - at));
    luaL_pushresult(&b);
    lua_pushinteger(L, n);
    return 2;
}

static int str_rep(lua_State *L)
{
    pbay_str s = str_arg(L, 1), sep = pb_str(NULL, 0);
    lua_Integer n = luaL_checkinteger(L, 2);
    if (!lua_isnoneornil(L, 3)) sep = str_arg(L, 3);
    if (n <= 0 || s.n + sep.n == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if ((size_t)n > REP_MAX / (s.n + sep.n))
        return luaL_error(L, "string.rep makes at most %d bytes", REP_MAX);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (lua_Integer i = 0; i < n; i++) {
        if (i && sep.n) luaL_addlstring(&b, sep.p, sep.n);
        luaL_addlstring(&b, s.p, s.n);
    }
    luaL_pushresult(&b);
    return 1;
}

const struct pb_binding pb_bind_pattern[] = {
    {"string.find", "(s, pattern [, init [, plain]]) -> first, last, captures...",
     "As in Lua 5.4. A pattern that needs more than 4,000,000 steps raises \"pattern too complex\"; so do "
     "the others.",
     str_find},
    {"string.match", "(s, pattern [, init]) -> captures...", "As in Lua 5.4.", str_match},
    {"string.gmatch", "(s, pattern [, init]) -> iterator", "As in Lua 5.4.", str_gmatch},
    {"string.gsub", "(s, pattern, replacement [, n]) -> text, count", "As in Lua 5.4.", str_gsub},
    {"string.rep", "(s, n [, sep]) -> text", "As in Lua 5.4, up to 1 MiB.", str_rep},
    {NULL, NULL, NULL, NULL},
};
