/* SPDX-License-Identifier: MIT */
/*
 * Chains at work: an event comes in, links are decided, steps start, and all of it is one transaction.
 *
 *     event -> correlate (which run, which step) -> ask conditions (Lua) -> decide (store)
 *
 * Nothing here does I/O but through a store, and nothing knows of loops: flow/chain_work.h runs it in a
 * worker, on the store thread where it says so; `patchbay test` and `patchbay simulate` run it on a store of
 * their own with a clock that stands still.
 *
 * Rules
 *   An occurrence (a reload, by its id) is decided once at a link, whatever number of events tell of it.
 *   Each decision is kept with why: fired, skipped, counted, deferred, held, raised, retried.
 *   A step's attempt is a job with a key, so it is not started twice; its end is an event again.
 *   A run is pinned to the bundle of scripts it began with.
 *
 * Threads: one at a time for each struct; conditions on the thread of the Lua state.
 */
#pragma once

#include "base/map.h"
#include "script/chains.h"
#include "store/control.h"
#include "store/events.h"
#include "store/jobs.h"
#include "store/runs.h"

#define PB_CHAIN_QUEUE  "chain"    /* evaluations and timers */
#define PB_NOTIFY_QUEUE "notify"   /* messages; action is the target */
#define PB_CHAIN_SOURCE "patchbay" /* the connector of events that the engine itself puts */

/* Scripts of one content. */
struct pb_bundle {
    struct pb_chains *chains; /* owned */
    char hash[65];            /* SHA-256, hex */
    struct pb_buf text;
};
/* Takes chains. */
void pb_bundle_set(struct pb_bundle *b, struct pb_chains *chains);
void pb_bundle_clear(struct pb_bundle *b);

/* What the decisions need of the host. */
struct pb_chain_host {
    void *user;
    /* Put the job of a connector's action, in the present transaction. key is 1 to 64 of [A-Za-z0-9_-]. */
    int (*put_action)(void *user, struct pb_store *s, const struct pb_job_put *job, char id[PB_ID_SIZE],
                      struct pb_err *err);
    /* Put an event of the engine's own, with what it causes. */
    int (*put_event)(void *user, struct pb_store *s, const struct pb_event_put *event, struct pb_err *err);
    pbay_str alert; /* the [notify] target of alerts; empty: the log alone */
    /* Told of each decision that is written, for simulate, specs and metrics; may be NULL. May run again. */
    void (*decided)(void *user, const struct pb_decision *d);
};

/* An event as links see it; texts live in mem. */
struct pb_occurred {
    struct pb_arena mem;
    pbay_str event;           /* its id */
    pbay_str connector, type; /* "prod", "reload" */
    pbay_str subject;         /* an app's id, a chain's name */
    pbay_str title;           /* of the app, when it is told */
    pbay_str space, found;    /* an app was found by title and space: its id */
    pbay_str occurrence;      /* the reload's id; else the event's */
    pbay_str step;            /* of a run, when the event is the end of our own job; else empty */
    uint64_t attempt;         /* of that step, whose job it was; 0: none */
    pbay_str message;         /* of a failure */
    uint32_t status;          /* PB_ENDED_* */
    bool app;                 /* an app ended */
    bool own_end;             /* CONNECTOR.ACTION.done */
    bool coalesced;           /* not started, because one was pending already: that one tells */
    bool again;   /* not started either: the one that was pending has ended, so it is asked for now */
    bool passing; /* its data says `final: false`: of a step of ours the last word is still to come */
    int64_t time_ms;
    pbay_str ev; /* what conditions see, JSON */
};
/* Data that is no JSON object is an event without members. Free with pb_occurred_free. */
void pb_occurred_read(struct pb_occurred *o, const struct pb_event *e);
void pb_occurred_free(struct pb_occurred *o);

/* One link to decide, and what its condition said. */
struct pb_asked {
    const struct pb_bundle *bundle;
    uint32_t link;
    pbay_str source;   /* the name by which the link knows what ended */
    pbay_str run;      /* empty: none yet */
    pbay_str run_json; /* what conditions see */
    bool raised;
    struct pb_chain_verdict verdict;
    char why[512];
    pbay_str *args; /* of each step that has a function; p NULL: it has none. In the plan's mem */
};

struct pb_chain_plan {
    struct pb_occurred o;
    char step[PB_ID_SIZE], run[PB_ID_SIZE]; /* which it belongs to; empty: to none */
    struct pb_asked *asked;
    size_t n, cap;
    bool timer;                       /* of a deferred condition */
    const struct pb_chain_app *doubt; /* of `now`: its title told, and another id than it was found by */
    int64_t wait_ms;                  /* > 0: it cannot be told yet whose it is; ask again then */
    const struct pb_bundle *now;      /* new runs begin with it */
    struct pb_arena mem;
};

/* Find a bundle by its hash; NULL with err. Called while a plan is made. */
typedef const struct pb_bundle *(*pb_bundle_fn)(void *user, struct pb_store *s, pbay_str hash,
                                                struct pb_err *err);

/*
 * Which links listen, and for which run. Reads the store. After ten minutes nobody waits for a job
 * to say whether a reload is its own, unless it is finding that out. *plan is zeroed by the caller.
 */
int pb_chain_plan(struct pb_chain_plan *plan, struct pb_store *s, const struct pb_event *event,
                  const struct pb_bundle *now, pb_bundle_fn find, void *user, struct pb_err *err);
/* Ask the conditions. On the Lua states' thread; no store. */
void pb_chain_ask(struct pb_chain_plan *plan);
void pb_chain_plan_free(struct pb_chain_plan *plan);
/* Decide and start; inside a transaction. May run again. */
int pb_chain_decide(const struct pb_chain_plan *plan, struct pb_store *s, const struct pb_chain_host *h,
                    struct pb_err *err);

/* Append the id of an app: its own, or the one that it was found by; nothing when it was not found yet.
 * Reads. */
void pb_chain_app_id(struct pb_store *s, const struct pb_chain_app *app, struct pb_buf *out);

/* Would anybody listen? For the hook that is asked when an event is stored. Any thread. */
bool pb_chain_listens(const struct pb_bundle *now, const struct pb_event_put *event);

/* ------------------------------------------------------------------------ timers */

/*
 * Put the next time of each cron and deadline, those that are there already stay; inside a transaction. h,
 * unless NULL: apps that are known by name alone are looked for (the action find_app of their connector), so
 * that events which tell an id alone are known to be theirs; and steps that wait start where there is room.
 */
int pb_chain_clocks(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_host *h,
                    struct pb_err *err);
/*
 * A job of PB_CHAIN_QUEUE with action "timer". Some want a condition asked anew: 1, and the plan is as that
 * of an event; 0: it is for pb_chain_timer. Reads the store.
 */
int pb_chain_plan_timer(struct pb_chain_plan *plan, struct pb_store *s, const struct pb_job *job,
                        const struct pb_bundle *now, pb_bundle_fn find, void *user, struct pb_err *err);
/* What is due happens; inside a transaction. */
int pb_chain_timer(const struct pb_bundle *now, struct pb_store *s, const struct pb_job *job,
                   const struct pb_chain_host *h, pb_bundle_fn find, void *user, struct pb_err *err);

/* ------------------------------------------------------------------------ the end of a message */

/* The job of a NOTIFY step ended; why NULL: well. Inside a transaction. */
int pb_chain_notified(struct pb_store *s, const struct pb_job *job, const struct pb_err *why,
                      const struct pb_bundle *now, const struct pb_chain_host *h, struct pb_err *err);

/* ------------------------------------------------------------------------ what people do */

/* All inside a transaction, and written into the audit by `who`. run is a new run's id where there is one. */

/* Begin a run at an app of a chain: it is reloaded, and what follows follows. */
int pb_chain_start(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_host *h,
                   pbay_str chain, pbay_str app, pbay_str who, char run[PB_ID_SIZE], struct pb_err *err);
/* Start the failed and cancelled steps of a run again, as limits let them. *n: how many. */
int pb_chain_resume(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_host *h,
                    pbay_str run, pbay_str who, uint32_t *n, struct pb_err *err);
/* A step that has not ended well counts as ended well: what follows it fires. By an event, which is put. */
int pb_chain_skip(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_host *h,
                  pbay_str run, pbay_str name, pbay_str who, struct pb_err *err);
/* No more steps of it start; those that run are cancelled, reloads in their tenant too. */
int pb_chain_cancel(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_host *h,
                    pbay_str run, pbay_str who, struct pb_err *err);
/* The event happens once more, as a new occurrence. */
int pb_chain_replay(struct pb_store *s, const struct pb_chain_host *h, pbay_str event, pbay_str who,
                    struct pb_err *err);

enum pb_held { PB_HELD_NONE, PB_HELD_ONCE, PB_HELD_ALL };
/*
 * What was held while a chain or an app was paused: drop it, fire the last of each link, or all. kind "chain"
 * or "app". *n: how many fired. The pause itself is lifted by who calls.
 */
int pb_chain_release(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_host *h,
                     pbay_str kind, pbay_str name, enum pb_held held, pb_bundle_fn find, void *user,
                     uint32_t *n, struct pb_err *err);

/* ------------------------------------------------------------------------ pictures */

/* PBAY_CHAIN_*; chain empty: all. Reads the store for live state, unless s is NULL. Appends. */
int pb_chain_picture(const struct pb_bundle *b, struct pb_store *s, uint32_t format, pbay_str chain,
                     struct pb_buf *out, struct pb_err *err);
