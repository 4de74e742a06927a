/* SPDX-License-Identifier: MIT */
/* Helpers that scripts would otherwise write again and again: text, lists, numbers, dates. */
#include <math.h>

#include "base/clock.h"
#include "script/vm_priv.h"

static pbay_str str_arg(lua_State *L, int idx)
{
    size_t n;
    const char *p = luaL_checklstring(L, idx, &n);
    return pb_str(p, n);
}

/* ------------------------------------------------------------------------------------------------ strings */

static int str_split(lua_State *L)
{
    pbay_str s = str_arg(L, 1), sep = pb_str(",", 1);
    if (!lua_isnoneornil(L, 2)) sep = str_arg(L, 2);
    luaL_argcheck(L, sep.n > 0, 2, "the separator is empty");
    lua_createtable(L, 4, 0);
    lua_Integer n = 0;
    for (;;) {
        const char *hit = memmem(s.p, s.n, sep.p, sep.n);
        lua_pushlstring(L, s.p, hit ? (size_t)(hit - s.p) : s.n);
        lua_rawseti(L, -2, ++n);
        if (!hit) return 1;
        s.n -= (size_t)(hit - s.p) + sep.n;
        s.p = hit + sep.n;
    }
}

static int str_trim(lua_State *L)
{
    pbay_str s = pb_str_trim(str_arg(L, 1));
    lua_pushlstring(L, s.p, s.n);
    return 1;
}

static int str_starts(lua_State *L)
{
    lua_pushboolean(L, pb_str_starts(str_arg(L, 1), str_arg(L, 2)));
    return 1;
}

static int str_ends(lua_State *L)
{
    lua_pushboolean(L, pb_str_ends(str_arg(L, 1), str_arg(L, 2)));
    return 1;
}

const struct pb_binding pb_bind_string[] = {
    {"string.split", "(s [, separator]) -> list",
     "The pieces between separators (plain text, \",\" by default).", str_split},
    {"string.trim", "(s) -> text", "Without blanks, tabs and line ends at both ends.", str_trim},
    {"string.starts", "(s, prefix) -> boolean", "Does s begin with prefix?", str_starts},
    {"string.ends", "(s, suffix) -> boolean", "Does s end with suffix?", str_ends},
    {NULL, NULL, NULL, NULL},
};

/* ------------------------------------------------------------------------------------------------ tables */

/* The stock insert, remove and move loop in C over what # says, which a __len or a sparse table makes
 * endless. These ask after every 4,096 elements whether the budget is over. */
enum { POLL_EVERY = 4096 };

static void shift_poll(lua_State *L, lua_Unsigned i)
{
    if (i % POLL_EVERY == 0) pb_vm_poll(L, POLL_EVERY);
}

static int tab_insert(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer end = (lua_Integer)((lua_Unsigned)luaL_len(L, 1) + 1);
    int n = lua_gettop(L);
    if (n == 2) {
        lua_seti(L, 1, end);
        return 0;
    }
    if (n != 3) return luaL_error(L, "wrong number of arguments to 'insert'");
    lua_Integer at = luaL_checkinteger(L, 2);
    luaL_argcheck(L, (lua_Unsigned)at - 1u < (lua_Unsigned)end, 2, "position out of bounds");
    for (lua_Integer i = end; i > at; i--) {
        shift_poll(L, (lua_Unsigned)i);
        lua_geti(L, 1, i - 1);
        lua_seti(L, 1, i);
    }
    lua_seti(L, 1, at);
    return 0;
}

static int tab_remove(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer end = luaL_len(L, 1);
    lua_Integer at = luaL_optinteger(L, 2, end);
    if (lua_gettop(L) > 1)
        luaL_argcheck(L, (lua_Unsigned)end + 1u >= (lua_Unsigned)at, 2, "position out of bounds");
    lua_geti(L, 1, at);
    for (; at < end; at++) {
        shift_poll(L, (lua_Unsigned)at);
        lua_geti(L, 1, at + 1);
        lua_seti(L, 1, at);
    }
    lua_pushnil(L);
    lua_seti(L, 1, at);
    return 1;
}

static int tab_move(lua_State *L)
{
    lua_Integer from = luaL_checkinteger(L, 2), end = luaL_checkinteger(L, 3), to = luaL_checkinteger(L, 4);
    int dst = lua_isnoneornil(L, 5) ? 1 : 5;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, dst, LUA_TTABLE);
    if (end >= from) {
        luaL_argcheck(L, from > 0 || end < LUA_MAXINTEGER + from, 3, "too many elements to move");
        lua_Integer n = end - from + 1;
        luaL_argcheck(L, to <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
        bool backwards = to > from && to <= end && dst == 1;
        for (lua_Integer k = 0; k < n; k++) {
            shift_poll(L, (lua_Unsigned)k + 1);
            lua_Integer i = backwards ? n - 1 - k : k;
            lua_geti(L, 1, from + i);
            lua_seti(L, dst, to + i);
        }
    }
    lua_pushvalue(L, dst);
    return 1;
}

const struct pb_binding pb_bind_table[] = {
    {"table.insert", "(list, [position,] value)", "As in Lua 5.4.", tab_insert},
    {"table.remove", "(list [, position]) -> value", "As in Lua 5.4.", tab_remove},
    {"table.move", "(list, first, last, to [, other]) -> table", "As in Lua 5.4.", tab_move},
    {NULL, NULL, NULL, NULL},
};

/* ------------------------------------------------------------------------------------------------ numbers */

/* Half away from zero, on the decimal text that the number stands for: 1.005 to 2 digits is 1.01, not
 * the 1.00 that multiplying its binary form gives. 15 significant digits decide. */
static double round_to(double v, int digits)
{
    if (!isfinite(v) || v == 0) return v;
    double scale = pow(10, digits);
    double scaled = v * scale;
    if (!isfinite(scaled) || !isfinite(scale) || scale == 0 || fabs(scaled) >= 4503599627370496.0)
        return digits < 0 ? 0.0 * v : v;
    double whole = trunc(scaled), rest = fabs(scaled - whole);
    /* What 15 digits cannot tell from a half is a half. */
    double slack = fabs(scaled) * 1e-15 + 1e-300;
    if (rest >= 0.5 - slack) whole += v < 0 ? -1 : 1;
    return whole / scale;
}

static int num_round(lua_State *L)
{
    lua_Integer digits = luaL_optinteger(L, 2, 0);
    luaL_argcheck(L, digits >= -300 && digits <= 300, 2, "digits are -300 to 300");
    if (lua_isinteger(L, 1) && digits >= 0) {
        lua_settop(L, 1);
        return 1;
    }
    double v = round_to(luaL_checknumber(L, 1), (int)digits);
    lua_Integer whole;
    if (digits <= 0 && lua_numbertointeger(v, &whole))
        lua_pushinteger(L, whole);
    else
        lua_pushnumber(L, v);
    return 1;
}

static int num_clamp(lua_State *L)
{
    for (int i = 1; i <= 3; i++) luaL_checknumber(L, i);
    luaL_argcheck(L, lua_compare(L, 2, 3, LUA_OPLE), 2, "the lower bound is above the upper one");
    lua_settop(L, 3);
    if (lua_compare(L, 1, 2, LUA_OPLT))
        lua_pushvalue(L, 2);
    else if (lua_compare(L, 3, 1, LUA_OPLT))
        lua_pushvalue(L, 3);
    else
        lua_pushvalue(L, 1);
    return 1;
}

/* Over a list or over the arguments. */
static int num_argmax(lua_State *L)
{
    bool list = lua_istable(L, 1);
    lua_Integer n = list ? (lua_Integer)lua_rawlen(L, 1) : lua_gettop(L);
    lua_Integer best = 0;
    double most = 0;
    for (lua_Integer i = 1; i <= n; i++) {
        if (i % POLL_EVERY == 0) pb_vm_poll(L, POLL_EVERY);
        if (list)
            lua_rawgeti(L, 1, i);
        else
            lua_pushvalue(L, (int)i);
        if (!lua_isnil(L, -1)) {
            int ok;
            double v = lua_tonumberx(L, -1, &ok);
            if (!ok)
                return luaL_error(L, "argmax: value %I is a %s, not a number", (LUAI_UACINT)i,
                                  luaL_typename(L, -1));
            if (!isnan(v) && (!best || v > most)) {
                best = i;
                most = v;
            }
        }
        lua_pop(L, 1);
    }
    if (!best) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, best);
    lua_pushnumber(L, most);
    return 2;
}

const struct pb_binding pb_bind_number[] = {
    {"math.round", "(x [, digits]) -> number",
     "Rounded to so many decimal digits (0), halves away from zero. With 0 digits or fewer the result is an "
     "integer.",
     num_round},
    {"math.clamp", "(x, low, high) -> number", "x, but not below low nor above high.", num_clamp},
    {"math.argmax", "(list) or (a, b, ...) -> position, value",
     "Where the greatest number is, and the number; the first of equals. nil values are passed over; nil "
     "when there is "
     "none.",
     num_argmax},
    {NULL, NULL, NULL, NULL},
};

/* ------------------------------------------------------------------------------------------------ dates */

static int date_parse(lua_State *L)
{
    int64_t ms;
    if (pb_parse_time(str_arg(L, 1), &ms))
        lua_pushinteger(L, ms);
    else
        lua_pushnil(L);
    return 1;
}

static int date_format(lua_State *L)
{
    lua_Number v = luaL_checknumber(L, 1);
    /* Years 0 to 9999. */
    luaL_argcheck(L, v >= -62167219200000.0 && v < 253402300800000.0, 1, "beyond the years 0 to 9999");
    char out[PB_TIME_MAX];
    size_t n = pb_format_time((int64_t)floor(v), out);
    lua_pushlstring(L, out, n);
    return 1;
}

const struct pb_binding pb_bind_date[] = {
    {"date.parse", "(text) -> ms or nil",
     "Milliseconds since 1970 (UTC) of an RFC 3339 time such as \"2026-11-21T07:31:05+01:00\"; nil when it "
     "is not one.",
     date_parse},
    {"date.format", "(ms) -> text", "The RFC 3339 text in UTC: \"2026-11-21T06:31:05.000Z\".", date_format},
    {NULL, NULL, NULL, NULL},
};
