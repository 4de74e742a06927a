/* SPDX-License-Identifier: MIT */
/* The inside of chains at work, for the files chain_*.c alone. All of it runs inside a transaction. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "flow/chain.h"

enum { PB_CHAIN_KEY_SIZE = 64 }; /* of a job: the step and its attempt */

/* What one transaction touches. Zero and set the first members; end with pb__chain_end. */
struct pb_known_run {
    struct pb_run *run;
    bool begun; /* in this transaction: of its memory, and not in the store yet */
};

struct pb_world {
    struct pb_store *s;
    const struct pb_chain_host *h;
    const struct pb_bundle *now;
    struct pb_err *err;
    struct pb_arena mem;
    struct pb_known_run *runs; /* to be written at the end */
    size_t n_runs, cap_runs;
    struct pb_pauses pauses;
    bool paused_read;
    bool room; /* a step ended: others may start */
};

/* A link that fires, or will: everything of it that outlives the transaction. */
struct pb_firing {
    const struct pb_bundle *bundle;
    const struct pb_chain_link *link;
    pbay_str run, step; /* empty: a run begins */
    pbay_str event, occurrence, source, status;
    int64_t depth;
    pbay_str *args; /* as in struct pb_asked; NULL: none */
};

const char *pb__chain_ago(struct pb_world *w, int64_t ms); /* "3 min"; in w->mem */
int pb__chain_settle(struct pb_world *w, const struct pb_firing *f, enum pb_outcome outcome, bool once,
                     const char *fmt, ...) PB_PRINTF(5, 6);
/* Skipped or raised, and somebody is told. */
int pb__chain_alert(struct pb_world *w, const struct pb_firing *f, const char *text);

/* Pauses, windows, cool-down, debounce, depth; then the steps. asked: the condition was (it is not asked
 * here). */
int pb__chain_pass(struct pb_world *w, struct pb_firing *f);
/* The steps start, and FIRED is written; outcome is FIRED or RELEASED. */
int pb__chain_fire(struct pb_world *w, struct pb_firing *f, const char *why);
const struct pb_pause *pb__chain_paused(struct pb_world *w, const char *kind, pbay_str name);

/* chain_steps.c */
struct pb_run *pb__chain_run(struct pb_world *w, pbay_str id); /* NULL with err; borrowed until the end */
int pb__chain_begin(struct pb_world *w, const struct pb_bundle *b, const struct pb_chain *chain,
                    pbay_str root, pbay_str cause, pbay_str by, struct pb_run **out);
int pb__chain_step(struct pb_world *w, const struct pb_firing *f, const struct pb_chain_step *step,
                   pbay_str args, struct pb_run *run, struct pb_buf *said);
/* Put the job of a step's next attempt; the step is written by the caller. */
int pb__chain_launch(struct pb_world *w, struct pb_run_step *t, pbay_str cause, int64_t delay_ms);
/* A message as a step-less job: alerts. */
int pb__chain_message(struct pb_world *w, pbay_str target, pbay_str text, pbay_str key, pbay_str run,
                      pbay_str cause, char id[PB_ID_SIZE]);
/*
 * Is there room for one more of its chain, of its connector, and is its app free? *why: what it waits for;
 * *full: whose limit that is, a connector's name or a chain's after a blank; empty: it is the app. live: of
 * steps with its name, anywhere; what has none is not looked for again.
 */
int pb__chain_room(struct pb_world *w, const struct pb_run_step *t, int64_t live, const char **why,
                   pbay_str *full);

/* chain_ends.c */
/* A live step has ended. *again: in, it counts as skipped; out, it is tried once more. */
int pb__chain_step_end(struct pb_world *w, struct pb_run_step *t, uint32_t status, pbay_str occurrence,
                       pbay_str message, pbay_str event, bool *again);
/* What kept a step from being started is over: its next attempt, which is none after a failure. */
int pb__chain_step_again(struct pb_world *w, struct pb_run_step *t, pbay_str event);
/* Write runs, end those that are over, start what waits. rc: what the transaction came to so far. */
int pb__chain_end(struct pb_world *w, int rc);
/*
 * What the other side calls an attempt that a chain is through with (tried again, skipped, canceled), with
 * why: whatever else tells of its end is no news to that chain. Recalled: *why, empty when it is not.
 */
int pb__chain_over(struct pb_world *w, pbay_str chain, pbay_str occurrence, const char *why);
int pb__chain_is_over(struct pb_world *w, pbay_str chain, pbay_str occurrence, pbay_str *why);
/* The same of the job that a step has, whether or not the other side has said yet. */
int pb__chain_job_over(struct pb_world *w, const struct pb_run_step *t, const char *why, bool stop);
/* A run that is canceled ends now. */
int pb__chain_canceled(struct pb_world *w, struct pb_run *run);

/* chain_plan.c: the plan of one link, asked again; 1 or -1. */
int pb__chain_plan_one(struct pb_chain_plan *p, struct pb_store *s, const struct pb_firing *f,
                       struct pb_err *err);

/* chain_timer.c */
int pb__chain_arm(struct pb_world *w, const struct pb_firing *f, const char *kind, int64_t at_ms,
                  pbay_str note);
/* Ask its connector for the id of an app that is known by name: once in every_ms, for the whole machine. */
int pb__chain_look_for(struct pb_world *w, const struct pb_chain_app *a, int64_t every_ms);
/* Args and the rest as JSON, and back; texts in mem. */
void pb__chain_pack(const struct pb_firing *f, const char *kind, pbay_str note, struct pb_buf *out);
int pb__chain_unpack(struct pb_world *w, pbay_str json, struct pb_firing *f, pbay_str *kind, pbay_str *note,
                     pb_bundle_fn find, void *user);
/* The parts of a link's state that are the engine's. */
#define PB_ITEM_FIRED    PB_STR("@fired")
#define PB_ITEM_DEBOUNCE PB_STR("@debounce")
#define PB_ITEM_DONE     PB_STR("@done") /* of a run: fan-in has fired in it */

/* The message of a notify step without a text of its own. */
void pb__chain_say(struct pb_buf *out, const struct pb_firing *f, pbay_str message);
