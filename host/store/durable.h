/* SPDX-License-Identifier: MIT */
/*
 * Durable work of one worker: its store, the thread that uses it, the runner of jobs, and whoever wants to
 * hear of what happens. One per worker; everything that is to survive a crash goes through it.
 *
 *     open -> ( handlers, hooks ) -> start -> ( serve ) -> drain -> close
 *
 * Workers of one machine, and later machines, meet in the store: a job that one of them puts is run by
 * whichever looks first, and all of them look at once when something becomes due (loop/bell.h). What a verb
 * of the store means is in store/events.h, store/jobs.h and store/control.h; what runs a job, in
 * store/runner.h.
 *
 * Jobs of connectors have `connector` set and are for the one who registered pb_durable_on_connectors; jobs
 * of the host have no connector and are for the handler of their queue.
 *
 * Threads: [loop], but for what is marked [store thread].
 */
#pragma once

#include "store/async.h"
#include "store/control.h"
#include "store/events.h"
#include "store/jobs.h"
#include "store/runner.h"

struct pb_durable;
struct pb_page;

struct pb_durable_config {
    struct pb_loop *loop;
    struct pb_store *store;   /* taken, at start; until then its verbs may be used on the loop's thread */
    const char *url;          /* what to open again when it fails; NULL: nothing. Copied */
    const struct pb_err *why; /* store NULL: why it could not be opened; url is tried until it can */
    struct pb_page *page;     /* where workers wake each other; NULL: this process alone. Borrowed */
    uint32_t row;             /* this worker's, of the page */
    pbay_str owner;           /* for people to read: who runs a job. Copied */
    uint32_t concurrency;     /* jobs that this worker runs at once: 1..PB_JOB_CLAIM_MAX */
    int64_t lease_ms; /* how long after the death of who runs a job it runs again, where nobody can tell that
                       * it died (store/owner.h); at least 30 */
    struct pb_retention keep;
    /* Beside a gateway: what is put is run there, here no job is claimed and nothing is removed. */
    bool aside;
    void (*woken)(
        void *user); /* [loop] something has become due: tell the gateway; NULL: it need not be told */
    void *user;
};

/* Services may be used from here on; what they post waits for the start. Returns owned, or NULL with err. */
struct pb_durable *pb_durable_open(const struct pb_durable_config *config, struct pb_err *err);
/* Handlers and hooks are registered: the thread begins, jobs are claimed, what is old is removed. */
void pb_durable_start(struct pb_durable *d);
/* Take no more jobs; drained(user), on a later turn, when those that run here have ended. Once. */
void pb_durable_drain(struct pb_durable *d, void (*drained)(void *user), void *user);
/*
 * Drains if nobody did; what was posted is finished, the store is closed, d frees itself; closed(user). Also
 * without a start.
 */
void pb_durable_close(struct pb_durable *d, void (*closed)(void *user), void *user);
bool pb_durable_aside(const struct pb_durable *d);
/* changed(user) after the store went away or came back (pb_store_async_health). One. Before the start. */
void pb_durable_on_health(struct pb_durable *d, void (*changed)(void *user), void *user);
/* For operations of one's own (store/async.h). */
struct pb_store_async *pb_durable_store(struct pb_durable *d);
struct pb_loop *pb_durable_loop(struct pb_durable *d);

/* ------------------------------------------------------------------------ events */

/*
 * What an event causes. Called for each event that is new, in the transaction that stores it: jobs (their
 * `cause` is id) and whatever else fn writes are kept or lost with it. May run a second time (store/async.h):
 * it touches nothing that the loop changes. -1 with err: the event is refused. One fn; NULL: nothing. Before
 * the start. [store thread]
 */
typedef int (*pb_durable_cause_fn)(struct pb_store *s, void *user, const struct pb_event_put *event,
                                   pbay_str id, struct pb_err *err);
void pb_durable_on_event(struct pb_durable *d, pb_durable_cause_fn fn, void *user);

/*
 * Store events and what they cause, all or none; stored(user, NULL, how many were new) when they are on disk:
 * the time to acknowledge. Everything is copied. stored NULL: nobody waits.
 */
void pb_durable_put_events(struct pb_durable *d, const struct pb_event_put *events, uint32_t n,
                           void (*stored)(void *user, const struct pb_err *err, uint32_t n_new), void *user);
/* One event as a part of the present transaction, with what it causes. [store thread] */
int pb_durable_event(struct pb_durable *d, struct pb_store *s, const struct pb_event_put *event,
                     char id[PB_ID_SIZE], bool *known, struct pb_err *err);

/* ------------------------------------------------------------------------ jobs */

/*
 * Put a job; done(user, NULL, its id, whether its key was known) when it is on disk. Everything is copied.
 * done NULL: nobody waits. To put it with something else, use pb_store_job_put in a transaction of one's own.
 */
void pb_durable_put_job(struct pb_durable *d, const struct pb_job_put *job,
                        void (*done)(void *user, const struct pb_err *err, pbay_str id, bool known),
                        void *user);
/* Cancel, or (retry) run again; done as above, may be NULL. Errors: those of the verbs. */
void pb_durable_cancel_job(struct pb_durable *d, pbay_str id,
                           void (*done)(void *user, const struct pb_err *err), void *user);
void pb_durable_retry_job(struct pb_durable *d, pbay_str id,
                          void (*done)(void *user, const struct pb_err *err), void *user);

/* Who runs the host's own jobs of a queue, "chain" for instance. Borrowed. Before the start. */
void pb_durable_on_queue(struct pb_durable *d, const char *queue, const struct pb_job_handler *handler);
/* Who runs those of connectors; find as in store/runner.h. Before the start. */
void pb_durable_on_connectors(struct pb_durable *d,
                              const struct pb_job_handler *(*find)(void *user, const struct pb_job *job),
                              void *user);
/*
 * A job that was put with `lease_ms` of this worker (pb_durable_lease_ms, pb_durable_owner): keeps its lease
 * until one of the ends of store/runner.h. It counts against no concurrency. job is copied; the turn is
 * valid until its end, and cancel of the handler (may be NULL) as usual.
 */
struct pb_turn *pb_durable_hold(struct pb_durable *d, const struct pb_job *job,
                                const struct pb_job_handler *handler);
int64_t pb_durable_lease_ms(const struct pb_durable *d);
pbay_str pb_durable_owner(const struct pb_durable *d); /* borrowed as long as d */

/*
 * Wait for the end of a job, wherever it runs: ended(user, job) once, when it is done, dead or cancelled (or
 * parked, which may pass), or job NULL with why it cannot be told. job is borrowed until return. Embedded in
 * its owner's struct; zero what is private.
 */
struct pb_job_watch {
    void (*ended)(void *user, const struct pb_job *job, const struct pb_err *err);
    void *user;
    char id[PB_ID_SIZE];
    struct pb_job_watch *next, *prev; /* private from here; NULL: not watched */
    struct pb_job *job;
    struct pb_err *err;
};
void pb_durable_watch(struct pb_durable *d, struct pb_job_watch *w);
/* Nobody waits any more; fine when it ended already. */
void pb_durable_unwatch(struct pb_durable *d, struct pb_job_watch *w);

/* ------------------------------------------------------------------------ pauses */

/* Somebody changed the store from outside, or paused something: all workers look at once. */
void pb_durable_look(struct pb_durable *d);

/*
 * Has somebody paused it? As of the last change that this worker heard of, which is milliseconds ago. Kinds
 * are those of pb_store_pause. Borrowed until the loop's next turn; NULL: not paused.
 */
const struct pb_pause *pb_durable_paused(const struct pb_durable *d, const char *kind, pbay_str name);
