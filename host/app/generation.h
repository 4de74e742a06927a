/* SPDX-License-Identifier: MIT */
/*
 * Everything one configuration makes: plugins loaded, connectors created, scripts read, functions declared,
 * catalogs filled. A worker serves one; a new configuration is a new generation in a new worker.
 *
 *     build -> start -> ( serve ) -> close -> free
 *
 * `patchbay check` builds and frees. Threads: the loop.
 */
#pragma once

#include "app/site.h"
#include "base/page.h"
#include "endpoints/catalog.h"
#include "flow/invoke.h"
#include "plugin/registry.h"
#include "script/chains.h"
#include "store/store.h"

/* An old gateway's folder: functions and ids of its own on a listener of its own. */
struct pb_qrag {
    const struct pb_site_part *part;
    struct pb_catalog catalog;
    pbay_str address; /* HOST:PORT */
    pbay_str tls_dir; /* empty: cleartext */
};

struct pb_declared; /* a function with what is freed with it */

struct pb_generation {
    struct pb_site *site; /* owned */
    struct pb_page *page; /* NULL: no other workers */
    uint32_t row;
    struct pb_plugin_env env;
    struct pb_registry *registry;
    struct pb_invokes *invokes; /* NULL: plugins cannot invoke */
    struct pb_actions *actions;
    struct pb_chains *chains; /* until a worker takes them */
    struct pb_vm *vm;
    struct pb_catalog catalog;
    struct pb_qrag *qrags;
    size_t n_qrags;
    struct pb_declared *declared, **declared_end; /* in the order of the files */
    struct pb_map lanes;                          /* "connector/lane" -> struct pb_lane */
    struct pb_arena mem;
    bool check_only, patient;
    bool has_scripts; /* functions with Lua */
    uint8_t *made;    /* of site->connectors: how far each is */
    unsigned closing;
    void (*closed)(void *user);
    void *closed_user;
};

struct pb_generation_options {
    bool connectors_only;  /* no scripts, no functions: for `patchbay PLUGIN VERB` */
    bool check_only;       /* connectors are created, never started; ids are not assigned */
    bool patient;          /* of connectors' processes (plugin/connector.h): nothing else could serve */
    bool probe;            /* try plugins in a child first */
    struct pb_page *page;  /* limits are for all workers; NULL: there is one */
    uint32_t row;          /* of the page: this worker's */
    const char *state_dir; /* of the copy of the functions' ids (app/function_ids.h); NULL: none */
    struct pb_plugin_env env;
    struct pb_flow *flow; /* for pbay.host.invoke/1; NULL: plugins cannot invoke */
};

/* app/chains.c: scripts/chains/ against what the configuration has. */
int pb_generation_load_chains(struct pb_generation *g, struct pb_err *err);
struct pb_chain_work_config;
/* Fill what the configuration says of chains; strings live as long as g, whose chains are taken. */
void pb_generation_chain_work(struct pb_generation *g, struct pb_chain_work_config *out);

/* Takes site. NULL with err: FILE:LINE, what, what to do. */
struct pb_generation *pb_generation_build(struct pb_site *site, const struct pb_generation_options *o,
                                          struct pb_err *err);
/*
 * Start the connectors. A connector that cannot start is out, with its reason in the log; the others serve.
 * page: those that crashes have put out are not started; may be NULL.
 */
void pb_generation_start(struct pb_generation *g, const struct pb_page *page);
/* Put out what the page says. */
void pb_generation_outs(struct pb_generation *g, const struct pb_page *page);
/* No calls any more: functions unbound, connectors stopped; closed(user) on a later turn. */
void pb_generation_close(struct pb_generation *g, void (*closed)(void *user), void *user);
/* After closed. */
void pb_generation_free(struct pb_generation *g);

/* ------------------------------------------------------------------------------------------------ for
 * declare.c, qrag.c */

struct pb_declared {
    struct pb_declared *next;
    struct pb_function fn;
    struct pb_function_counters counters;
    struct pbay_config *cfg;
    pbay_str scope;      /* of its id */
    int32_t explicit_id; /* -1: assigned */
};

/* What a declaration needs beside its configuration. */
struct pb_declaration {
    pbay_str scope; /* of ids: "patchbay", or the qrag section */
    pbay_str name, where, doc;
    int64_t id;              /* -1: assigned */
    struct pbay_config *cfg; /* taken, also on failure */
    struct pb_connector *connector;
    pbay_str operation;
    const char *transform, *script; /* paths below the script folder; NULL: none */
    const struct pb_script_field *params, *answers, *returns;
    uint32_t n_params, n_answers, n_returns;
    int type; /* enum pb_function_type; -1: by shape */
    uint32_t max_rows, max_bytes, in_flight, attempts;
    int64_t call_timeout_ms;
    int64_t coalesce_ms, result_cache_ms; /* 0: off */
    size_t result_cache_size;
    bool more_columns; /* as in struct pb_function */
    enum pb_empty empty;
    bool nulls, bad_null, error_null, raw, cache;
    uint32_t max_waiting;         /* 0: no limit */
    const struct pb_allow *allow; /* NULL: no lists */
    const char *refusal;          /* not NULL: it is listed, and calls are answered UNIMPLEMENTED with this */
    bool is_action; /* each row is an action: kinds of its own unless written, never kept or repeated */
};

/* Bind it and put it into the catalog. Strings and arrays of d live in g->mem. */
int pb_declare(struct pb_generation *g, struct pb_catalog *catalog, struct pb_declaration *d,
               struct pb_err *err);
/*
 * The lane of an operation (of the function's own when the plugin names none), at most in_flight at once; 0:
 * as its functions say.
 */
struct pb_lane *pb_generation_lane(struct pb_generation *g, struct pb_op *op, pbay_str scope, pbay_str name,
                                   uint32_t in_flight);
/* The allow_* lists of a section, in g->mem, borrowing from cfg; *out NULL: there is none. -1 with err: a
 * token that names no issuer where there are several. */
int pb_generation_allow(struct pb_generation *g, const struct pbay_config *cfg, const struct pb_allow **out,
                        struct pb_err *err);
/* One [function "NAME"]. */
int pb_declare_section(struct pb_generation *g, const struct pb_site_part *part, struct pb_err *err);
/* One [qrag "NAME"]: its functions into q->catalog. */
int pb_qrag_build(struct pb_generation *g, const struct pb_site_part *part, struct pb_qrag *q,
                  struct pb_err *err);
/*
 * For making a configuration of a section of this generation: references that connectors resolve are asked
 * for, after those connectors were made and started. asks is borrowed as long as the environment.
 */
struct pb_resolving {
    struct pb_generation *generation;
    const struct pb_site_part *part; /* the connector whose configuration it is; NULL: a function's */
};
struct pb_config_env pb_generation_env(struct pb_resolving *asks);
/* A connector made of a section's own keys (q: none written, all defaults). */
struct pb_connector *pb_generation_connector(struct pb_generation *g, const struct pb_ini_section *sec,
                                             pbay_str name, pbay_str plugin, struct pb_err *err);
