/* SPDX-License-Identifier: MIT */
/*
 * What stands in the tables of scripts/chains: { within = "2h", retry = 3, window = { ... } }. Each reads one
 * member of the table at idx; what does not fit raises an error of Lua's that says what would. Texts and
 * lists live in d->mem.
 */
#pragma once

#include "script/chains_priv.h"

/* Every text key of the table is one of these; else an error with the nearest. what: whose options they are.
 */
void pb_dsl_only(lua_State *L, int idx, const char *what, const char *const *names, size_t n);
#define PB_DSL_ONLY(L, idx, what, ...)                                                                       \
    do {                                                                                                     \
        static const char *const names_[] = {__VA_ARGS__};                                                   \
        pb_dsl_only(L, idx, what, names_, PB_COUNTOF(names_));                                               \
    } while (0)

/* "30s", "10m": in ms. */
int64_t pb_dsl_duration(lua_State *L, int idx, const char *key, int64_t otherwise);
bool pb_dsl_boolean(lua_State *L, int idx, const char *key, bool otherwise);
lua_Integer pb_dsl_integer(lua_State *L, int idx, const char *key, lua_Integer least, lua_Integer most,
                           lua_Integer otherwise);
/* Of 1 to 200 bytes; empty when it is not there. */
pbay_str pb_dsl_text(lua_State *L, struct pb_dsl *d, int idx, const char *key);
/* The value at idx itself; what: its name in errors. */
pbay_str pb_dsl_text_at(lua_State *L, struct pb_dsl *d, int idx, const char *what);
/* window = "..." or a list of them. NULL with *n 0: none. */
const struct pb_window *pb_dsl_windows(lua_State *L, struct pb_dsl *d, int idx, uint32_t *n);
/* outside = "skip" or "wait": true is to wait. */
bool pb_dsl_outside(lua_State *L, int idx, bool otherwise);
/* retry = 3, or { max, backoff, factor, cap }. False: it is not there; *out has what holds then. */
bool pb_dsl_retry(lua_State *L, int idx, struct pb_retry *out);
/* partial, weight, variables, retry. */
void pb_dsl_reload_options(lua_State *L, struct pb_dsl *d, int idx, struct pb_reload_options *out);
