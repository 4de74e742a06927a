/* SPDX-License-Identifier: MIT */
/*
 * Chains: scripts/chains/X.lua read into a graph, and the conditions they hold.
 *
 *     app "extract" { connector = "prod", id = "b4a3cf85-…" }
 *     chain "finance" { on("extract").ok { "transform" }, on("extract").error { notify "ops" } }
 *
 * Loading is pure: the files make a model, names are resolved, cycles refused, and nothing else happens.
 * The model does not change afterwards; any thread may read it. Conditions run in the Lua state, on the
 * thread that owns it. docs/chains.md is the operator's side.
 *
 * Glossary
 *   source   what a link listens to: an app, a CONNECTOR.EVENT, a chain, or any app ("*")
 *   link     sources, which of their ends, under which condition, and the steps that follow
 *   step     what a link does: reload an app, an action of a connector, a message to a notify target
 *   head     a source app of a chain that no link of the chain reloads: a run begins there
 *   bundle   the texts of all files that were read, as one: what a run is pinned to
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "data/schedule.h"

/* How a source ended; bits of a link's statuses. */
enum { PB_ENDED_OK = 1, PB_ENDED_ERROR = 2, PB_ENDED_CANCELED = 4, PB_ENDED_UNKNOWN = 8, PB_ENDED_ANY = 15 };

enum {
    PB_CHAIN_SOURCES_MAX = 256, /* of one link */
    PB_CHAIN_STEPS_MAX = 256,   /* of one link */
    PB_CHAIN_DEPTH = 50,        /* of a run, when the chain does not say */
};

struct pb_place {
    pbay_str file; /* "chains/finance.lua" */
    uint32_t line;
};

struct pb_retry {
    uint32_t max; /* attempts after the first; 0: none */
    int64_t backoff_ms, cap_ms;
    double factor;
};

/* What starting a reload may carry; an app's, unless a step says otherwise. */
struct pb_reload_options {
    int partial;        /* -1: not said */
    int weight;         /* 0: not said; 1..10 */
    pbay_str variables; /* JSON object of strings; empty: none */
    pbay_str pending;   /* "join", "again"; empty: not said */
    bool has_retry;
    struct pb_retry retry;
};

struct pb_chain_app {
    pbay_str name, connector;
    pbay_str id;           /* empty: found by title and space */
    pbay_str title, space; /* as the tenant knows it */
    struct pb_reload_options reload;
    int64_t cooldown_ms; /* between two reloads that chains start; 0: none */
    struct pb_place at;
};

enum pb_source_kind { PB_SOURCE_APP, PB_SOURCE_EVENT, PB_SOURCE_CHAIN, PB_SOURCE_ANY };
struct pb_chain_source {
    enum pb_source_kind kind;
    pbay_str name; /* as written */
    uint32_t app, chain;
    pbay_str connector, type; /* EVENT */
};

enum pb_step_kind { PB_STEP_RELOAD, PB_STEP_ACTION, PB_STEP_NOTIFY };
struct pb_chain_step {
    enum pb_step_kind kind;
    pbay_str name; /* as written: app, CONNECTOR.ACTION, target */
    uint32_t app;
    pbay_str connector, action;
    pbay_str args;                   /* ACTION: JSON object; NOTIFY: the text, empty: a usual one */
    uint32_t fn;                     /* a function that gives them instead; 0: none */
    struct pb_reload_options reload; /* RELOAD; retry also for ACTION */
    struct pb_place at;
};

enum pb_link_kind { PB_LINK_ON, PB_LINK_ALL, PB_LINK_ANY, PB_LINK_AT_LEAST, PB_LINK_CRON, PB_LINK_DEADLINE };
struct pb_chain_link {
    enum pb_link_kind kind;
    uint32_t chain;
    pbay_str name; /* unique in the chain; what state and history know it by */
    const struct pb_chain_source *sources;
    uint32_t n_sources, need; /* need: of AT_LEAST */
    uint32_t statuses;        /* PB_ENDED_* */
    uint32_t when;            /* condition; 0: none */
    const struct pb_chain_step *steps;
    uint32_t n_steps;
    int64_t within_ms, cooldown_ms, debounce_ms; /* 0: none; cooldown -1: not said */
    const struct pb_window *windows;             /* its own, else the chain's */
    uint32_t n_windows;
    bool wait; /* outside the windows: when one opens, instead of not at all */
    bool allow_cycle;
    bool per_run;        /* fan-in: slots are a run's; else the chain's */
    struct pb_cron cron; /* CRON, DEADLINE */
    int64_t late_ms;     /* CRON: what is later than that is left out */
    int64_t since_ms;    /* DEADLINE: how far back an end counts */
    struct pb_place at;
};

struct pb_chain {
    pbay_str name;
    uint32_t first_link, n_links;
    uint32_t max_depth, in_flight /* 0: no limit */;
    int64_t cooldown_ms;
    bool adopt; /* a reload that nobody here started continues the chain at any node, not at heads alone */
    const struct pb_window *windows;
    uint32_t n_windows;
    bool wait;
    struct pb_place at;
};

struct pb_chain_limit {
    pbay_str connector;
    uint32_t in_flight;
    struct pb_place at;
};

struct pb_chain_graph {
    struct pb_chain_app *apps;
    struct pb_chain *chains;
    struct pb_chain_link *links;
    struct pb_chain_limit *limits;
    uint32_t n_apps, n_chains, n_links, n_limits;
};

/* What a configuration knows; every function may be NULL: then nothing of its kind is checked. */
struct pb_chain_names {
    void *user;
    /* Is there such a connector? */
    bool (*connector)(void *user, pbay_str name);
    /* Has it such an action, or such an event? */
    bool (*action)(void *user, pbay_str connector, pbay_str action);
    bool (*event)(void *user, pbay_str connector, pbay_str type);
    bool (*notify)(void *user, pbay_str name);
    /* The nearest name of a connector or a target, or NULL; an action's with a connector given. */
    const char *(*near)(void *user, pbay_str connector, pbay_str name);
    pbay_str connector_of_apps; /* of apps that name none; empty: they must */
    /* Would an action take these arguments? -1 with err, which says which one it would not. */
    int (*takes)(void *user, pbay_str connector, pbay_str action, pbay_str args, struct pb_err *err);
};

struct pb_chains_options {
    const char *dir;       /* scripts/; read unless `bundle` is given */
    const pbay_str *files; /* below dir; NULL: every chains/ *.lua but tests, in name order */
    size_t n_files;
    pbay_str bundle;                    /* read from it instead; borrowed during load */
    const struct pb_chain_names *names; /* NULL: nothing is checked that is not in the files */
    size_t memory;                      /* bytes; 0: 64 MiB */
    int64_t budget_ms;                  /* of one condition; 0: 1000. Loading may take ten times that */
};

struct pb_chains;

/*
 * Read and check. *out is the caller's. Errors: INVALID_ARGUMENT "chains/finance.lua:7: …", the first there
 * is; NOT_FOUND (a file).
 */
int pb_chains_load(const struct pb_chains_options *o, struct pb_chains **out, struct pb_err *err);
void pb_chains_free(struct pb_chains *c);

/* Borrowed; lives as long as c. */
const struct pb_chain_graph *pb_chains_graph(const struct pb_chains *c);
/* Append the bundle: the same files give the same text. */
void pb_chains_bundle(const struct pb_chains *c, struct pb_buf *out);

/* NULL when there is none. */
const struct pb_chain_app *pb_chains_app(const struct pb_chains *c, pbay_str name);
const struct pb_chain *pb_chains_chain(const struct pb_chains *c, pbay_str name);
const struct pb_chain_link *pb_chains_link(const struct pb_chains *c, const struct pb_chain *chain,
                                           pbay_str name);
/* Is the app a head of the chain? */
bool pb_chains_head(const struct pb_chains *c, const struct pb_chain *chain, uint32_t app);
/* The app that has this id at this connector; or that title, case aside, when it has no id. Or NULL. */
const struct pb_chain_app *pb_chains_app_of(const struct pb_chains *c, pbay_str connector, pbay_str id);
const struct pb_chain_app *pb_chains_app_titled(const struct pb_chains *c, pbay_str connector,
                                                pbay_str title);

/* The links that listen, in their order; *n of them, borrowed. */
const uint32_t *pb_chains_on_app(const struct pb_chains *c, const struct pb_chain_app *app, uint32_t *n);
const uint32_t *pb_chains_on_any(const struct pb_chains *c, uint32_t *n);
const uint32_t *pb_chains_on_event(const struct pb_chains *c, pbay_str connector, pbay_str type, uint32_t *n);
const uint32_t *pb_chains_on_chain(const struct pb_chains *c, pbay_str chain, uint32_t *n);

/* ------------------------------------------------------------------------ conditions; the state's thread */

struct pb_chain_verdict {
    bool yes;
    int64_t defer_ms; /* > 0: ask again then */
    char why[256];    /* what the condition says; empty: nothing */
};

/*
 * Ask a condition: function(ev, run) -> yes [, why], or "defer", seconds [, why]. ev and run are JSON
 * objects. -1 with err: it raised, or took too long; the caller skips and says so.
 */
int pb_chains_when(struct pb_chains *c, uint32_t when, pbay_str ev, pbay_str run,
                   struct pb_chain_verdict *out, struct pb_err *err);
/* Call a step's function: a table becomes a JSON object, appended; a string (NOTIFY) is appended as it is. */
int pb_chains_args(struct pb_chains *c, const struct pb_chain_step *step, pbay_str ev, pbay_str run,
                   struct pb_buf *out, struct pb_err *err);

/* "ok", "error", "canceled", "unknown" for a single PB_ENDED_*; and back, vendors' words too: 0 for none. */
const char *pb_ended_name(uint32_t status);
uint32_t pb_ended_parse(pbay_str word);
