/* SPDX-License-Identifier: MIT */
/*
 * Runs due jobs on the loop: claims them, so many at once, keeps their leases, and writes down what became of
 * them.
 *
 * A runner looks when it is woken (pb_runner_wake: some process committed work), when the next job it knows
 * of is due, when one of its own ends, and every look_ms in any case. All functions: [loop].
 */
#pragma once

#include "store/async.h"
#include "store/jobs.h"

struct pb_runner;
struct pb_turn; /* one job being run, from `run` until its end is on disk */

struct pb_job_handler {
    /*
     * job->phase says what for: RUN, CHECK or POLL. job is borrowed until the turn ends. Owes exactly one of
     * pb_turn_done, _fail, _started, _not_done, _unknown or _release; may call it inside.
     */
    void (*run)(void *user, struct pb_turn *turn, const struct pb_job *job);
    /* Advice, at most once: somebody cancelled the job, or another runner has it. The end is owed still.
     * NULL: none. */
    void (*cancel)(void *user, struct pb_turn *turn);
    void *user;
};

struct pb_runner_config {
    struct pb_loop *loop;
    struct pb_store_async *store;
    const pbay_str *queues; /* NULL: any; copied */
    size_t n_queues;
    pbay_str owner;       /* for people to read; copied */
    uint32_t concurrency; /* 1..PB_JOB_CLAIM_MAX */
    int64_t lease_ms;     /* renewed after a third of it; at least 30 */
    int64_t look_ms;      /* 0: 5 s */
    /* Who runs it: borrowed until the turn ends; NULL: nobody here, another process may. */
    const struct pb_job_handler *(*find)(void *user, const struct pb_job *job);
    void *user;
};

/* Returns owned. Looks at once. */
struct pb_runner *pb_runner_new(const struct pb_runner_config *config);
void pb_runner_wake(struct pb_runner *r);
/*
 * Run a job that was put with a lease of lease_ms (store/jobs.h): it is one of the runner's own from now on,
 * but counts against no concurrency. job is copied; handler's `run` is not called.
 */
struct pb_turn *pb_runner_hold(struct pb_runner *r, const struct pb_job *job,
                               const struct pb_job_handler *handler);
/* Jobs whose turns have not ended. */
uint32_t pb_runner_running(const struct pb_runner *r);
/*
 * Takes no more; when all turns have ended it frees itself and stopped(user) is called. Whoever cannot wait
 * lets the process end: the leases do too. The store is closed after it.
 */
void pb_runner_stop(struct pb_runner *r, void (*stopped)(void *user), void *user);

/*
 * Before the end, at most once: fn runs in the transaction that ends the turn, after it, and may be called
 * again as those of store/async.h; gone(user) when it will not be. When fn fails for good, so does the job,
 * with that error.
 */
void pb_turn_also(struct pb_turn *t, int (*fn)(struct pb_store *s, void *user, struct pb_err *err),
                  void (*gone)(void *user), void *user);
/* What became of the job: for `also`, which runs when that is known. [store thread, in also] */
enum pb_job_state pb_turn_became(const struct pb_turn *t);
/* The ends; texts are copied. After a failure that is tried again `also` is not called. */
void pb_turn_done(struct pb_turn *t, pbay_str result);
void pb_turn_fail(struct pb_turn *t, const struct pb_err *why);
void pb_turn_started(struct pb_turn *t, pbay_str handle, int64_t after_ms);
void pb_turn_not_done(struct pb_turn *t);
void pb_turn_unknown(struct pb_turn *t, pbay_str why);
void pb_turn_release(struct pb_turn *t, int64_t after_ms);
