/* SPDX-License-Identifier: MIT */
/* The inside of chains: what is declared (chains_dsl.c), checked (chains_graph.c) and asked (chains.c). */
#pragma once

#include "script/chains.h"
#include "script/vm_priv.h"

/* A declaration that was begun: chain "x" without its table says nothing. */
struct pb_dsl_open {
    struct pb_dsl_open *next;
    const char *what;
    struct pb_place at;
    bool done;
};

/* What the files of one state declare. Strings and lists live in mem. */
struct pb_dsl {
    struct pb_arena *mem;
    struct pb_chain_graph g;
    size_t cap_apps, cap_chains, cap_links, cap_limits;
    struct pb_dsl_open *open;
    uint32_t n_fns; /* functions given so far: fns[n] in the registry */
};

struct pb_chain_hits {
    uint32_t n, cap;
    uint32_t *links;
};

/* A function that used up its time, several times in a row: until then it is not called. */
struct pb_chain_late {
    uint32_t times;
    int64_t until_ns;
};

struct pb_chains {
    struct pb_vm *vm;
    struct pb_chain_late *late; /* by function */
    uint32_t n_late;
    struct pb_arena mem, scratch;
    struct pb_dsl dsl;
    struct pb_dsl *into; /* where declarations go now */
    struct pb_script **scripts;
    size_t n_scripts;
    uint32_t generation; /* of the state that has the functions */
    int64_t budget_ms;
    pbay_str connector_of_apps;               /* that name none */
    struct pb_map apps, chains, links;        /* name, "chain\0name" -> index + 1 */
    struct pb_map by_id, by_title;            /* "connector\0id" -> app */
    struct pb_map on_app, on_event, on_chain; /* -> struct pb_chain_hits */
    struct pb_map heads;                      /* "chain\0app" */
    struct pb_chain_hits on_any;
};

/* More globals for a state; arg is the struct pb_chains. Globals are on the top. */
void pb_dsl_open(lua_State *L, void *arg);
/* Nothing was left half declared. */

int pb_dsl_end(struct pb_dsl *d, struct pb_err *err);
/* Push function `fn` of the state. */
void pb_dsl_push_fn(lua_State *L, uint32_t fn);
void pb_dsl_free(struct pb_dsl *d);

/* Resolve names, find cycles, fill the indexes. */
int pb_chains_check(struct pb_chains *c, const struct pb_chain_names *names, struct pb_err *err);
/* "a\0b" in mem; a key of the maps above. */
pbay_str pb_chains_key(struct pb_arena *mem, pbay_str a, pbay_str b);
