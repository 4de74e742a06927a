/* SPDX-License-Identifier: MIT */
/*
 * Runs of chains: what began, which steps it has, what was decided and why, and what fan-in waits for. Verbs
 * of the store (store/store.h says what holds for all of them); the chain engine (flow/chain.h) combines them
 * in transactions of its own.
 *
 * Glossary
 *   run       one passage through a chain, pinned to the bundle of scripts that it began with
 *   step      one thing that a run does; its attempts are jobs
 *   state     what a link of a chain remembers: the sources that have ended (slots), when it fired. A group
 *             is a run's id, or empty for what the whole chain shares
 *   decision  what became of an occurrence at a link. One occurrence (a reload) is decided once, whatever
 *             number of events tell of it
 *   node      an app as it was last heard of
 */
#pragma once

#include <stdbool.h>

#include "base/id.h"
#include "store/store.h"

enum { PB_BUNDLE_MAX = 32 << 20, PB_STEP_ARGS_MAX = 1 << 20 };

/* ------------------------------------------------------------------------ bundles */

/* Keep scripts by the hash of their text. Known already: nothing. */
int pb_store_bundle_put(struct pb_store *s, pbay_str hash, pbay_str text, struct pb_err *err);
/* Append the text. Errors: NOT_FOUND. */
int pb_store_bundle_get(struct pb_store *s, pbay_str hash, struct pb_buf *out, struct pb_err *err);

/* ------------------------------------------------------------------------ runs */

enum pb_run_state { PB_RUN_RUNNING, PB_RUN_OK, PB_RUN_FAILED, PB_RUN_CANCELED, PB_RUN_STATES };

struct pb_run {
    pbay_str id, chain, bundle;
    pbay_str root;  /* what it began with: an app, an event's type, a cron */
    pbay_str cause; /* the event's id; empty: a person or a clock */
    pbay_str by;    /* who, when a person did */
    enum pb_run_state state;
    int64_t started_ms, ended_ms; /* ended 0: not yet */
    int64_t open;                 /* steps that have not ended, and timers */
};

/* As in `in`, under its id, which is a new one of pb_id_make. */
int pb_store_run_put(struct pb_store *s, const struct pb_run *in, struct pb_err *err);
/* One block: pb_free. Errors: NOT_FOUND. */
int pb_store_run_get(struct pb_store *s, pbay_str id, struct pb_run **out, struct pb_err *err);
/* state, ended_ms and open as in `run`. Errors: NOT_FOUND. */
int pb_store_run_set(struct pb_store *s, const struct pb_run *run, struct pb_err *err);

struct pb_run_filter {
    pbay_str chain;
    uint32_t states;            /* bits 1 << PB_RUN_*; 0: all */
    int64_t since_ms, until_ms; /* of the start; 0: open */
    pbay_str app;               /* a step of it has this name */
    pbay_str before;            /* a run's id: only those before it */
    uint32_t limit;             /* 0 or more than PB_LIST_MAX: that many */
};
struct pb_runs {
    struct pb_run **items;
    size_t n, cap;
};
/* Newest first. Free *out, also after -1. Errors: NOT_FOUND (`before`). */
int pb_store_run_list(struct pb_store *s, const struct pb_run_filter *f, struct pb_runs *out,
                      struct pb_err *err);
void pb_runs_free(struct pb_runs *list);
const char *pb_run_state_name(enum pb_run_state state);
bool pb_run_state_parse(pbay_str s, enum pb_run_state *out);

/* ------------------------------------------------------------------------ steps */

enum pb_run_step_state {
    PB_RUN_STEP_WAITING, /* for room: a limit is reached */
    PB_RUN_STEP_ACTIVE,  /* its job is put */
    PB_RUN_STEP_OK,
    PB_RUN_STEP_ERROR,
    PB_RUN_STEP_CANCELED,
    PB_RUN_STEP_SKIPPED, /* by a person: counts as ended well */
    PB_RUN_STEP_STATES
};
enum { PB_RUN_STEP_LIVE = 1 << PB_RUN_STEP_WAITING | 1 << PB_RUN_STEP_ACTIVE };

struct pb_run_step {
    pbay_str id, run, chain, link;
    pbay_str name;              /* app, CONNECTOR.ACTION, target */
    pbay_str connector, action; /* empty connector: the host's own */
    pbay_str subject;           /* an app's id; empty: not known */
    pbay_str args;              /* JSON */
    pbay_str job;               /* of the present attempt */
    pbay_str occurrence;        /* what the other side calls it: a reload's id */
    pbay_str parent;            /* the step whose end led here; empty: the root */
    pbay_str error;             /* of the last failure */
    enum pb_run_step_state state;
    int64_t kind;                  /* for the engine */
    int64_t attempt, max_attempts; /* attempts begun */
    int64_t depth, weight;
    int64_t created_ms, started_ms, ended_ms;
};

/* As in `in`, under its id, which is a new one of pb_id_make; created now. */
int pb_store_step_put(struct pb_store *s, const struct pb_run_step *in, struct pb_err *err);
/* One block: pb_free. Errors: NOT_FOUND. */
int pb_store_step_get(struct pb_store *s, pbay_str id, struct pb_run_step **out, struct pb_err *err);
/* subject, args, job, occurrence, error, state, attempt, started_ms and ended_ms as in `step`. NOT_FOUND. */
int pb_store_step_set(struct pb_store *s, const struct pb_run_step *step, struct pb_err *err);

struct pb_step_filter {
    pbay_str run, chain, connector, subject, name; /* empty: any */
    uint32_t states;                               /* bits 1 << PB_RUN_STEP_*; 0: all */
    uint32_t limit;                                /* 0 or more than PB_LIST_MAX: that many */
};
struct pb_steps {
    struct pb_run_step **items;
    size_t n, cap;
};
/* Oldest first. Free *out, also after -1. */
int pb_store_step_list(struct pb_store *s, const struct pb_step_filter *f, struct pb_steps *out,
                       struct pb_err *err);
void pb_steps_free(struct pb_steps *list);
/* How many there are; limit is not looked at. */
int pb_store_step_count(struct pb_store *s, const struct pb_step_filter *f, int64_t *n, struct pb_err *err);
/*
 * Of the waiting steps those to start first: of the runs with the fewest active ones, then the greatest
 * weight, then the longest waiting. As list.
 */
int pb_store_step_waiting(struct pb_store *s, uint32_t limit, struct pb_steps *out, struct pb_err *err);
const char *pb_run_step_state_name(enum pb_run_step_state state);

/* ------------------------------------------------------------------------ what links remember */

struct pb_link_state {
    pbay_str chain, link, group;
    pbay_str item;  /* a source's name, or the engine's own, which begins with "@" */
    pbay_str value; /* at most PB_STORE_VALUE_MAX bytes */
    int64_t at_ms;
};
struct pb_link_states {
    struct pb_link_state **items;
    size_t n, cap;
};
/* Add or replace. */
int pb_store_link_put(struct pb_store *s, const struct pb_link_state *in, struct pb_err *err);
/* Of a link and group, by item; item empty: all of them. Free *out, also after -1. */
int pb_store_link_list(struct pb_store *s, pbay_str chain, pbay_str link, pbay_str group, pbay_str item,
                       struct pb_link_states *out, struct pb_err *err);
/* item empty: all of the group. Fine when there is none. */
int pb_store_link_drop(struct pb_store *s, pbay_str chain, pbay_str link, pbay_str group, pbay_str item,
                       struct pb_err *err);
void pb_link_states_free(struct pb_link_states *list);

/* ------------------------------------------------------------------------ decisions */

enum pb_outcome {
    PB_FIRED,
    PB_SKIPPED,
    PB_COUNTED,  /* fan-in: noted, and waits for more */
    PB_DEFERRED, /* asked again later: debounce, window, condition */
    PB_HELD,     /* somebody paused the chain or the app: it fires when he wants it to */
    PB_RAISED,   /* the condition failed: a skip, and an alert */
    PB_RETRIED,  /* the step is tried again instead */
    PB_RELEASED, /* was held, and fired */
    PB_DROPPED,  /* was held, and did not */
    PB_OUTCOMES
};
struct pb_decision {
    int64_t seq, at_ms; /* given by the store */
    pbay_str event, run, chain, link;
    pbay_str occurrence; /* empty: may be decided any number of times */
    pbay_str source;     /* what ended: an app's name, an event's type */
    pbay_str status;     /* "ok" … */
    pbay_str why;        /* one sentence, at most 1 KiB */
    enum pb_outcome outcome;
};
/* known: this occurrence was decided at this link; nothing is written. */
int pb_store_decision_put(struct pb_store *s, const struct pb_decision *in, bool *known, struct pb_err *err);
/* Was this occurrence decided at this link? */
int pb_store_decision_known(struct pb_store *s, pbay_str chain, pbay_str link, pbay_str occurrence,
                            bool *known, struct pb_err *err);
/* What was held becomes RELEASED or DROPPED. Errors: NOT_FOUND, FAILED_PRECONDITION (it is not held). */
int pb_store_decision_settle(struct pb_store *s, int64_t seq, enum pb_outcome outcome, struct pb_err *err);

struct pb_decision_filter {
    pbay_str event, run, chain, link; /* empty: any */
    uint32_t outcomes;                /* bits 1 << …; 0: all */
    int64_t before_seq;               /* 0: from the newest on */
    uint32_t limit;
};
struct pb_decisions {
    struct pb_decision **items;
    size_t n, cap;
};
/* Newest first. Free *out, also after -1. */
int pb_store_decision_list(struct pb_store *s, const struct pb_decision_filter *f, struct pb_decisions *out,
                           struct pb_err *err);
void pb_decisions_free(struct pb_decisions *list);
const char *pb_outcome_name(enum pb_outcome outcome);

/* ------------------------------------------------------------------------ nodes */

struct pb_node {
    pbay_str connector, subject, status, occurrence;
    int64_t at_ms, ok_ms; /* of the last end, of the last good one; 0: never */
    int64_t fired_ms;     /* when a chain started it last */
};
/* Add or replace. */
int pb_store_node_put(struct pb_store *s, const struct pb_node *in, struct pb_err *err);
/* When a chain started it last, and nothing else of it. */
int pb_store_node_fired(struct pb_store *s, pbay_str connector, pbay_str subject, int64_t fired_ms,
                        struct pb_err *err);
/* One block: pb_free; NULL when there is none. */
int pb_store_node_get(struct pb_store *s, pbay_str connector, pbay_str subject, struct pb_node **out,
                      struct pb_err *err);
