/* SPDX-License-Identifier: MIT */
/* Patterns against what the manual says and against the stock matcher of the installed library. */
#include "script/helpers.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

#include "script/pattern.h"
#include "script/vm_priv.h"

/* The stock function's results, then ours, printed alike. */
static void results(lua_State *L, const char *name, int args, char out[1024])
{
    int base = lua_gettop(L) - args;
    size_t at = 0;
    if (lua_pcall(L, args, LUA_MULTRET, 0) != LUA_OK) {
        const char *why = lua_tostring(L, -1);
        snprintf(out, 1024, "error: %s", why ? why : name);
        lua_settop(L, base - 1);
        return;
    }
    out[0] = '\0';
    for (int i = base; i <= lua_gettop(L) && at < 900; i++) {
        at += (size_t)snprintf(out + at, 1024 - at, "[%.200s]", luaL_tolstring(L, i, NULL));
        lua_pop(L, 1);
    }
    lua_settop(L, base - 1);
}

static lua_CFunction ours(const char *name)
{
    for (const struct pb_binding *b = pb_bind_pattern; b->name; b++)
        if (strcmp(b->name + 7, name) == 0) return b->fn;
    return NULL;
}

struct pair {
    lua_State *L;
    struct pb_vm vm; /* what the bindings read of their state */
};

static void compare(struct pair *p, const char *name, const char *s, size_t n, const char *pattern,
                    const char *third)
{
    lua_State *L = p->L;
    char want[1024], have[1024];
    for (int i = 0; i < 2; i++) {
        if (i) {
            lua_pushcfunction(L, ours(name));
        } else {
            lua_getglobal(L, "string");
            lua_getfield(L, -1, name);
            lua_remove(L, -2);
        }
        lua_pushlstring(L, s, n);
        lua_pushstring(L, pattern);
        int args = 2;
        if (third) {
            lua_pushstring(L, third);
            args++;
        }
        results(L, name, args, i ? have : want);
    }
    if (strncmp(want, "error", 5) == 0 && strncmp(have, "error", 5) == 0) return; /* words may differ */
    /* The stock one notices only when the capture is used. */
    if (strstr(have, "unfinished capture")) return;
    if (strcmp(want, have) != 0)
        fail_msg("%s(\"%s\", \"%s\"): %s, the stock one %s", name, s, pattern, have, want);
}

static void open_pair(struct pair *p)
{
    memset(p, 0, sizeof *p);
    p->vm.magic = PB_VM_MAGIC;
    p->vm.o.pattern_steps = 1000000;
    p->L = luaL_newstate();
    luaL_openlibs(p->L);
    *(struct pb_vm **)lua_getextraspace(p->L) = &p->vm;
}

static const char *const subjects[] = {
    "",      "a",          "hello world",   "key = value", "THE (quick) fox",
    "aaaab", "2026-11-21", "x = (a(b)c)d)", "  trim  ",    "a,b,,c",
    "äöü ñ", "%d.%d",      "abcabcabc",     "[]]^-"};
static const char *const patterns[] = {"",
                                       "a",
                                       ".",
                                       ".-",
                                       ".*",
                                       "^.*$",
                                       "%a+",
                                       "(%a+)",
                                       "(%w+)%s*=%s*(%w+)",
                                       "%b()",
                                       "%f[%w]%w+",
                                       "%f[%W]",
                                       "()a()",
                                       "(a*(.)%w(%s*))",
                                       "^(%d+)-(%d+)-(%d+)$",
                                       "^%s*(.-)%s*$",
                                       "([^,]*)",
                                       "[%]]",
                                       "[]]",
                                       "[^]]",
                                       "[a-c]+",
                                       "[^a-c]",
                                       "[a-]",
                                       "[%a_][%w_]*",
                                       "(.)%1",
                                       "(a)(b)(c)%3",
                                       "a?b?c?",
                                       "a-b",
                                       "%%",
                                       "%.",
                                       "$",
                                       "^",
                                       "a$b",
                                       "x*",
                                       "[%w-]+",
                                       "(",
                                       ")",
                                       "%",
                                       "[",
                                       "[a",
                                       "%b",
                                       "%bx",
                                       "%f",
                                       "%9",
                                       "(()",
                                       "[^",
                                       "[%",
                                       "[]",
                                       "a**",
                                       "(%1)",
                                       "\\",
                                       "%g+",
                                       "%p",
                                       "%u%l+",
                                       "%x+",
                                       "[a-%a]",
                                       "[%a-z]",
                                       "[z-a]",
                                       "%z"};

static void test_like_stock(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    for (size_t i = 0; i < PB_COUNTOF(subjects); i++)
        for (size_t k = 0; k < PB_COUNTOF(patterns); k++) {
            size_t n = strlen(subjects[i]);
            static const char *const at[] = {NULL, "1", "3", "-2", "0", "100"};
            for (size_t j = 0; j < PB_COUNTOF(at); j++) {
                compare(&p, "find", subjects[i], n, patterns[k], at[j]);
                compare(&p, "match", subjects[i], n, patterns[k], at[j]);
            }
            static const char *const with[] = {"<%0>", "%1%1", "", "%%", "%2", "%x"};
            for (size_t j = 0; j < PB_COUNTOF(with); j++)
                compare(&p, "gsub", subjects[i], n, patterns[k], with[j]);
        }
    lua_close(p.L);
}

/* Pieces of patterns thrown together. The seed is fixed. */
static void test_random(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a",    "b",     ".",  "%a", "%d", "[ab]", "[^a]", "*",
                                         "+",    "-",     "?",  "(",  ")",  "()",   "^",    "$",
                                         "%b()", "%f[a]", "%1", "%",  "[",  "]",    "(a)",  "(.-)"};
    struct pair p;
    open_pair(&p);
    unsigned seed = 7;
    for (int i = 0; i < 20000; i++) {
        char pattern[64] = "", s[16];
        for (int k = rand_r(&seed) % 6; k >= 0; k--)
            strcat(pattern, pieces[(size_t)rand_r(&seed) % PB_COUNTOF(pieces)]);
        int n = rand_r(&seed) % 12;
        for (int k = 0; k < n; k++) s[k] = "ab(1)"[rand_r(&seed) % 5];
        s[n] = '\0';
        compare(&p, "find", s, (size_t)n, pattern, NULL);
        compare(&p, "gsub", s, (size_t)n, pattern, "<%0>");
        lua_settop(p.L, 0);
    }
    lua_close(p.L);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_like_stock), cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
