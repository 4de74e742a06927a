/* SPDX-License-Identifier: MIT */
#include "store/runner.h"

#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/engine.h"

enum {
    LOOK_MS = 5000,
    MISSED_MS = 20, /* another process was faster */
    NO_HANDLER_MS = 5000,
    STORE_RETRY_MS = 1000, /* the store could not write down how a turn ended */
};

enum end { END_NONE, END_DONE, END_FAIL, END_STARTED, END_NOT_DONE, END_UNKNOWN, END_RELEASE };

struct pb_turn {
    struct pb_runner *runner;
    struct pb_turn *next, *prev;
    struct pb_job *job;
    const struct pb_job_handler *handler;
    bool held;       /* it was not claimed */
    bool told;       /* cancel was called */
    bool lost;       /* another runner has it */
    int64_t held_ns; /* the lease as far as is known */

    enum end end;
    enum pb_job_state became; /* of the store thread */
    struct pb_buf text;       /* result, handle or reason */
    int64_t after_ms;
    struct pb_err why;
    int (*also)(struct pb_store *s, void *user, struct pb_err *err);
    void (*also_gone)(void *user);
    void *also_user;
    struct pb_store_op op; /* writes it down */
    struct pb_timer again;
};

/* One round of renewals: which turns, and what the store said. */
struct renewal {
    struct pb_turn *turn;
    struct pb_job *job; /* the turn keeps it until the round is back */
    int64_t fence;
    bool cancel, lost;
};

struct pb_runner {
    struct pb_runner_config c;
    struct pb_turn turns;   /* list head */
    uint32_t running, held; /* held: those of them that count against nothing */
    bool stopping, looking, claiming, renewing, look_again;
    void (*stopped)(void *user);
    void *stopped_user;
    struct pb_defer finish;
    struct pb_timer look_timer, renew_timer;

    struct pb_store_op look_op;
    int64_t due_ms;
    struct pb_store_op claim_op;
    struct pb_claim claim;
    struct pb_jobs claimed;
    struct pb_store_op renew_op;
    struct renewal *renewals;
    size_t n_renewals, renewals_cap;
};

static void look(struct pb_runner *r);

static bool busy(const struct pb_runner *r)
{
    return r->looking || r->claiming || r->renewing;
}

static void check_stopped(struct pb_runner *r)
{
    if (r->stopping && !r->running && !busy(r)) pb_loop_defer(r->c.loop, &r->finish);
}

/* ------------------------------------------------------------------------ the end of a turn */

static void drop_also(struct pb_turn *t)
{
    if (t->also_gone) t->also_gone(t->also_user);
    t->also = NULL;
    t->also_gone = NULL;
}

static void free_turn(struct pb_turn *t)
{
    struct pb_runner *r = t->runner;
    drop_also(t);
    t->next->prev = t->prev;
    t->prev->next = t->next;
    /* A round of renewals that is under way reads the job. */
    bool read = false;
    for (size_t i = 0; r->renewing && i < r->n_renewals; i++)
        if (r->renewals[i].turn == t) {
            r->renewals[i].turn = NULL;
            read = true;
        }
    if (!read) pb_free(t->job);
    pb_buf_free(&t->text);
    r->held -= t->held;
    r->running--;
    pb_free(t);
    look(r);
    check_stopped(r);
}

/* [store thread] */
static int write_end(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_turn *t = user;
    const struct pb_job *job = t->job;
    pbay_str text = pb_buf_view(&t->text);
    enum pb_job_state state = PB_JOB_DONE;
    int rc = -1;
    switch (t->end) {
    case END_DONE: rc = pb_store_job_done(s, job->id, job->fence, text, err); break;
    case END_FAIL: rc = pb_store_job_fail(s, job, &t->why, &state, err); break;
    case END_STARTED: rc = pb_store_job_started(s, job->id, job->fence, text, t->after_ms, err); break;
    case END_NOT_DONE: rc = pb_store_job_not_done(s, job, err); break;
    case END_UNKNOWN:
        rc = pb_store_job_park(s, job, text, err);
        state = PB_JOB_PARKED;
        break;
    case END_RELEASE: rc = pb_store_job_release(s, job, t->after_ms, err); break;
    case END_NONE: PB_REQUIRE(!"a turn that has not ended");
    }
    if (rc != 0 || !t->also || state == PB_JOB_WAITING) return rc;
    if (t->end == END_STARTED || t->end == END_NOT_DONE || t->end == END_RELEASE) {
        /* Waiting, unless it was the last attempt or somebody cancelled it. */
        struct pb_job *now;
        if (pb_store_job_get(s, job->id, PB_STR(""), &now, err) != 0) return -1;
        state = now->state;
        pb_free(now);
    }
    t->became = state;
    return t->also(s, t->also_user, err);
}

static void log_turn(const struct pb_turn *t, const char *message, const struct pb_err *err)
{
    pb_log(PB_LOG_WARN, "store", message, PB_V("job", t->job->id), PB_V("action", t->job->action),
           PB_I("fence", t->job->fence), PB_S("error", err->msg));
}

static void end_written(void *user, const struct pb_err *err)
{
    struct pb_turn *t = user;
    if (!err) {
        free_turn(t);
        return;
    }
    switch (err->code) {
    case PBAY_ABORTED:
    case PBAY_NOT_FOUND:
        log_turn(t, "a job's end came too late", err);
        free_turn(t);
        return;
    case PBAY_UNAVAILABLE:
    case PBAY_RESOURCE_EXHAUSTED:
    case PBAY_FAILED_PRECONDITION:
    case PBAY_DATA_LOSS:
        log_turn(t, "a job's end cannot be stored; trying again", err);
        pb_timer_set(t->runner->c.loop, &t->again, STORE_RETRY_MS);
        return;
    default: break;
    }
    /* Its result, or what goes with it, is not to be stored: that is how it ended. */
    if (t->end == END_FAIL && !t->also) {
        log_turn(t, "a job's end cannot be stored; its lease will end", err);
        free_turn(t);
        return;
    }
    bool had = t->end == END_DONE || t->end == END_STARTED;
    drop_also(t);
    t->end = END_FAIL;
    t->why = *err;
    t->why.effect = had ? PBAY_EFFECT_DONE : t->job->effect;
    pb_store_post(t->runner->c.store, &t->op);
}

static void write_again(void *user)
{
    struct pb_turn *t = user;
    pb_store_post(t->runner->c.store, &t->op);
}

static void end_turn(struct pb_turn *t, enum end end, pbay_str text)
{
    PB_REQUIRE(t->end == END_NONE);
    t->end = end;
    pb_buf_str(&t->text, text);
    if (t->lost) {
        free_turn(t);
        return;
    }
    pb_store_post(t->runner->c.store, &t->op);
}

void pb_turn_also(struct pb_turn *t, int (*fn)(struct pb_store *s, void *user, struct pb_err *err),
                  void (*gone)(void *user), void *user)
{
    PB_REQUIRE(t->end == END_NONE && !t->also);
    t->also = fn;
    t->also_gone = gone;
    t->also_user = user;
}

enum pb_job_state pb_turn_became(const struct pb_turn *t)
{
    return t->became;
}

void pb_turn_done(struct pb_turn *t, pbay_str result)
{
    end_turn(t, END_DONE, result);
}

void pb_turn_fail(struct pb_turn *t, const struct pb_err *why)
{
    t->why = *why;
    end_turn(t, END_FAIL, PB_STR(""));
}

void pb_turn_started(struct pb_turn *t, pbay_str handle, int64_t after_ms)
{
    t->after_ms = after_ms;
    end_turn(t, END_STARTED, handle);
}

void pb_turn_not_done(struct pb_turn *t)
{
    end_turn(t, END_NOT_DONE, PB_STR(""));
}

void pb_turn_unknown(struct pb_turn *t, pbay_str why)
{
    end_turn(t, END_UNKNOWN, why);
}

void pb_turn_release(struct pb_turn *t, int64_t after_ms)
{
    t->after_ms = after_ms;
    end_turn(t, END_RELEASE, PB_STR(""));
}

/* ------------------------------------------------------------------------ leases */

static void renew_soon(struct pb_runner *r)
{
    if (r->running && !r->renewing && !pb_timer_is_set(&r->renew_timer))
        pb_timer_set(r->c.loop, &r->renew_timer, r->c.lease_ms / 3);
}

/* [store thread] */
static int renew_all(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_runner *r = user;
    for (size_t i = 0; i < r->n_renewals; i++) {
        struct renewal *n = &r->renewals[i];
        n->lost = false;
        if (pb_store_job_renew(s, n->job->id, n->fence, r->c.lease_ms, &n->cancel, err) == 0) continue;
        /* The others are kept all the same. */
        if (err->code != PBAY_ABORTED && err->code != PBAY_NOT_FOUND) return -1;
        n->lost = true;
    }
    return 0;
}

static void tell(struct pb_turn *t)
{
    if (t->told || t->end != END_NONE) return;
    t->told = true;
    if (t->handler && t->handler->cancel) t->handler->cancel(t->handler->user, t);
}

static void renewed(void *user, const struct pb_err *err)
{
    struct pb_runner *r = user;
    if (err && !pb_store_is_away(err))
        pb_log(PB_LOG_WARN, "store", "leases cannot be renewed", PB_I("jobs", r->n_renewals),
               PB_S("error", err->msg));
    int64_t now = pb_mono_ns();
    for (size_t i = 0; i < r->n_renewals; i++) {
        struct renewal *n = &r->renewals[i];
        struct pb_turn *t = n->turn;
        if (!t) {
            pb_free(n->job);
            continue;
        }
        bool mine = !err && !n->lost;
        if (mine) t->held_ns = r->renew_op.posted_ns + r->c.lease_ms * PB_MS;
        /* An end that is on its way is for its fence to refuse. */
        if (t->end != END_NONE || (mine && !n->cancel) || (err && now < t->held_ns)) continue;
        if (!err) {
            t->lost = n->lost;
            t->job->cancel |= n->cancel;
        }
        n->turn = NULL; /* `cancel` may end it: then its job is gone as well */
        tell(t);
    }
    r->n_renewals = 0;
    r->renewing = false;
    renew_soon(r);
    check_stopped(r);
}

static void renew(void *user)
{
    struct pb_runner *r = user;
    for (struct pb_turn *t = r->turns.next; t != &r->turns; t = t->next) {
        if (t->lost) continue;
        PB_GROW(r->renewals, r->renewals_cap, r->n_renewals + 1);
        r->renewals[r->n_renewals++] = (struct renewal){.turn = t, .job = t->job, .fence = t->job->fence};
    }
    if (!r->n_renewals) return;
    r->renewing = true;
    pb_store_post(r->c.store, &r->renew_op);
}

/* ------------------------------------------------------------------------ look, claim, run */

static struct pb_turn *add_turn(struct pb_runner *r, struct pb_job *job, int64_t since_ns)
{
    struct pb_turn *t = pb_zalloc(sizeof *t);
    t->runner = r;
    t->job = job;
    t->held_ns = since_ns + r->c.lease_ms * PB_MS;
    t->op = (struct pb_store_op){.run = write_end, .done = end_written, .user = t};
    t->again = (struct pb_timer){.fn = write_again, .user = t};
    t->next = &r->turns;
    t->prev = r->turns.prev;
    t->prev->next = t;
    r->turns.prev = t;
    r->running++;
    return t;
}

static void run_job(struct pb_runner *r, struct pb_job *job)
{
    struct pb_turn *t = add_turn(r, job, r->claim_op.posted_ns);
    t->handler = r->stopping ? NULL : r->c.find(r->c.user, job);
    if (t->handler)
        t->handler->run(t->handler->user, t, t->job);
    else
        pb_turn_release(t, r->stopping ? 0 : NO_HANDLER_MS);
}

/* [store thread] */
static int run_claim(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_runner *r = user;
    pb_jobs_free(&r->claimed);
    return pb_store_job_claim(s, &r->claim, &r->claimed, err);
}

static void look_in(struct pb_runner *r, int64_t ms)
{
    if (!r->stopping) pb_timer_set(r->c.loop, &r->look_timer, ms < r->c.look_ms ? ms : r->c.look_ms);
}

static void claim_done(void *user, const struct pb_err *err)
{
    struct pb_runner *r = user;
    struct pb_jobs jobs = r->claimed;
    r->claimed = (struct pb_jobs){NULL, 0, 0};
    if (err) {
        if (!pb_store_is_away(err))
            pb_log(PB_LOG_WARN, "store", "jobs cannot be claimed", PB_S("error", err->msg));
        pb_jobs_free(&jobs); /* they were not kept */
    }
    bool missed = !jobs.n;
    for (size_t i = 0; i < jobs.n; i++) run_job(r, jobs.items[i]);
    jobs.n = 0;
    pb_jobs_free(&jobs);
    r->claiming = false;
    renew_soon(r);
    if (err)
        look_in(r, STORE_RETRY_MS);
    else if (missed && !r->look_again)
        look_in(r, MISSED_MS);
    else
        look(r);
    check_stopped(r);
}

/* [store thread] */
static int run_look(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_runner *r = user;
    return pb_store_job_due(s, r->c.queues, r->c.n_queues, &r->due_ms, err);
}

static void look_done(void *user, const struct pb_err *err)
{
    struct pb_runner *r = user;
    r->looking = false;
    int64_t wait = err ? STORE_RETRY_MS : r->due_ms == INT64_MAX ? r->c.look_ms : r->due_ms - pb_now_ms();
    if (r->stopping) {
        check_stopped(r);
    } else if (wait <= 0 && r->running - r->held < r->c.concurrency) {
        r->claim.max = r->c.concurrency - (r->running - r->held);
        r->claiming = true;
        pb_store_post(r->c.store, &r->claim_op);
    } else if (r->look_again) {
        look(r);
    } else {
        look_in(r, wait > 0 ? wait : 0);
    }
}

static void look(struct pb_runner *r)
{
    if (r->stopping || r->running - r->held >= r->c.concurrency) return;
    r->look_again = r->looking || r->claiming;
    if (r->look_again) return;
    pb_timer_cancel(&r->look_timer);
    r->looking = true;
    pb_store_post(r->c.store, &r->look_op);
}

static void on_look_timer(void *user)
{
    look(user);
}

/* ------------------------------------------------------------------------ life */

static void finish(void *user)
{
    struct pb_runner *r = user;
    void (*stopped)(void *) = r->stopped;
    void *stopped_user = r->stopped_user;
    pb_timer_cancel(&r->look_timer);
    pb_timer_cancel(&r->renew_timer);
    pb_free(r->renewals);
    for (size_t i = 0; i < r->c.n_queues; i++) pb_free((char *)(uintptr_t)r->c.queues[i].p);
    pb_free((pbay_str *)(uintptr_t)r->c.queues);
    pb_free((char *)(uintptr_t)r->c.owner.p);
    pb_free(r);
    if (stopped) stopped(stopped_user);
}

struct pb_runner *pb_runner_new(const struct pb_runner_config *config)
{
    struct pb_runner *r = pb_zalloc(sizeof *r);
    r->c = *config;
    PB_REQUIRE(r->c.concurrency >= 1 && r->c.concurrency <= PB_JOB_CLAIM_MAX &&
               r->c.n_queues <= PB_JOB_QUEUES_MAX && r->c.lease_ms >= 30);
    if (!r->c.look_ms) r->c.look_ms = LOOK_MS;
    r->c.owner.p = pb_strndup(config->owner.p, config->owner.n);
    pbay_str *queues = config->n_queues ? pb_array(config->n_queues, sizeof *queues) : NULL;
    for (size_t i = 0; i < config->n_queues; i++)
        queues[i] = pb_str(pb_strndup(config->queues[i].p, config->queues[i].n), config->queues[i].n);
    r->c.queues = queues;
    r->turns.next = r->turns.prev = &r->turns;
    r->finish = pb_defer_make(finish, r);
    r->look_timer = (struct pb_timer){.fn = on_look_timer, .user = r};
    r->renew_timer = (struct pb_timer){.fn = renew, .user = r};
    r->look_op = (struct pb_store_op){.run = run_look, .done = look_done, .user = r, .reads = true};
    r->claim_op = (struct pb_store_op){.run = run_claim, .done = claim_done, .user = r};
    r->renew_op = (struct pb_store_op){.run = renew_all, .done = renewed, .user = r};
    r->claim = (struct pb_claim){
        .queues = r->c.queues, .n_queues = r->c.n_queues, .owner = r->c.owner, .lease_ms = r->c.lease_ms};
    look(r);
    return r;
}

struct pb_turn *pb_runner_hold(struct pb_runner *r, const struct pb_job *job,
                               const struct pb_job_handler *handler)
{
    /* Since when: before it was put, a moment ago. Renewing soon makes it exact. */
    struct pb_turn *t = add_turn(r, pb__job_pack(job), pb_mono_ns());
    t->handler = handler;
    t->held = true;
    r->held++;
    renew_soon(r);
    return t;
}

void pb_runner_wake(struct pb_runner *r)
{
    look(r);
}

uint32_t pb_runner_running(const struct pb_runner *r)
{
    return r->running;
}

void pb_runner_stop(struct pb_runner *r, void (*stopped)(void *user), void *user)
{
    r->stopping = true;
    r->stopped = stopped;
    r->stopped_user = user;
    pb_timer_cancel(&r->look_timer);
    check_stopped(r);
}
