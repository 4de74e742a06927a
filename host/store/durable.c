/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/attr.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/durable_priv.h"
#include "store/owner.h"

/* ------------------------------------------------------------------------ life */

/* [store thread] */
static int forfeit(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_durable *d = user;
    return pb_store_forfeit(s, pb_owner_gone, &d->forfeited, err);
}

static void look_for_dead(struct pb_durable *d, bool always)
{
    uint32_t deaths = d->c.page ? atomic_load(&d->c.page->deaths) : 0;
    if (d->closing || d->forfeiting || (!always && deaths == d->deaths_seen)) return;
    d->deaths_seen = deaths;
    d->forfeiting = true;
    pb_store_post(d->async, &d->forfeit_op);
}

static void forfeit_done(void *user, const struct pb_err *err)
{
    struct pb_durable *d = user;
    d->forfeiting = false;
    if (!err && d->forfeited)
        pb_log(PB_LOG_INFO, "store", "leases of processes that have died are over",
               PB_I("owners", d->forfeited));
    if (!err) look_for_dead(d, false);
}

static void rung(void *user)
{
    struct pb_durable *d = user;
    if (!d->started || d->closing) return;
    look_for_dead(d, false);
    if (d->runner) pb_runner_wake(d->runner);
    if (d->c.woken) d->c.woken(d->c.user);
    pb_durable_watch_look(d);
    pb_durable_pauses_look(d, false);
}

/* [store thread] */
static void on_work(void *user)
{
    struct pb_durable *d = user;
    pb_bell_ring(d->bell);
}

/* [store thread] */
static void on_end(void *user)
{
    struct pb_durable *d = user;
    bool waited = atomic_load(&d->own_watches) > 0;
    for (uint32_t i = 0; d->c.page && i < PB_PAGE_ROWS && !waited; i++)
        waited = atomic_load_explicit(&d->c.page->rows[i].watching, memory_order_relaxed) > 0;
    if (waited) pb_bell_ring(d->bell);
}

/* [store thread] */
static void on_opened(struct pb_store *s, void *user)
{
    pb_store_on_work(s, on_work, user);
    pb_store_on_end(s, on_end, user);
}

static void on_health(void *user)
{
    struct pb_durable *d = user;
    if (d->closing) return;
    if (d->health) d->health(d->health_user);
    if (d->started) look_for_dead(d, true);
    rung(d);
}

void pb_durable_on_health(struct pb_durable *d, void (*changed)(void *user), void *user)
{
    PB_REQUIRE(!d->started);
    d->health = changed;
    d->health_user = user;
}

static void finish(void *user)
{
    struct pb_durable *d = user;
    void (*closed)(void *) = d->closed;
    void *closed_user = d->closed_user;
    pb_durable_watch_close(d);
    pb_map_free(&d->queues);
    pb_bell_close(d->bell);
    pb_free((char *)(uintptr_t)d->c.owner.p);
    pb_free(d);
    if (closed) closed(closed_user);
}

/* Whatever the end waits for has ended, or not yet. */
static void step(void *user)
{
    struct pb_durable *d = user;
    if (d->runner) return;
    if (d->drained) {
        void (*drained)(void *) = d->drained;
        d->drained = NULL;
        drained(d->drained_user);
    }
    if (!d->closing || d->keeper || !d->async) return;
    struct pb_store_async *async = d->async;
    d->async = NULL;
    pb_timer_cancel(&d->watch_timer);
    pb_timer_cancel(&d->pause_timer);
    pb_store_async_close(async, finish, d);
}

static void runner_stopped(void *user)
{
    struct pb_durable *d = user;
    d->runner = NULL;
    pb_loop_defer(d->c.loop, &d->step);
}

static void keeper_stopped(void *user)
{
    struct pb_durable *d = user;
    d->keeper = NULL;
    pb_loop_defer(d->c.loop, &d->step);
}

struct pb_durable *pb_durable_open(const struct pb_durable_config *config, struct pb_err *err)
{
    struct pb_durable *d = pb_zalloc(sizeof *d);
    d->c = *config;
    d->c.owner.p = pb_strndup(config->owner.p, config->owner.n);
    d->step = pb_defer_make(step, d);
    d->forfeit_op = (struct pb_store_op){.run = forfeit, .done = forfeit_done, .user = d};
    pb_durable_watch_open(d);
    d->bell = pb_bell_open(d->c.loop, d->c.page ? &d->c.page->work : NULL, rung, d, err);
    if (!d->bell) {
        pb_durable_watch_close(d);
        pb_free((char *)(uintptr_t)d->c.owner.p);
        pb_free(d);
        return NULL;
    }
    if (d->c.store) on_opened(d->c.store, d);
    d->async = pb_store_async_new_idle(d->c.loop, d->c.store);
    if (d->c.url) pb_store_async_keep(d->async, d->c.url, d->c.why, on_opened, on_health, d);
    d->c.url = NULL;
    d->c.why = NULL;
    return d;
}

static const struct pb_job_handler *find(void *user, const struct pb_job *job)
{
    struct pb_durable *d = user;
    if (job->connector.n) return d->connectors ? d->connectors(d->connectors_user, job) : NULL;
    return pb_map_get(&d->queues, job->queue);
}

void pb_durable_start(struct pb_durable *d)
{
    d->started = true;
    pb_store_async_start(d->async);
    if (d->c.aside) {
        pb_durable_pauses_look(d, true);
        return;
    }
    const struct pb_runner_config rc = {.loop = d->c.loop,
                                        .store = d->async,
                                        .owner = d->c.owner,
                                        .concurrency = d->c.concurrency,
                                        .lease_ms = d->c.lease_ms,
                                        .find = find,
                                        .user = d};
    d->runner = pb_runner_new(&rc);
    d->keeper = pb_keeper_new(d->c.loop, d->async, d->c.owner, &d->c.keep);
    pb_durable_pauses_look(d, true);
    look_for_dead(d, true);
}

void pb_durable_drain(struct pb_durable *d, void (*drained)(void *user), void *user)
{
    d->drained = drained;
    d->drained_user = user;
    if (d->draining) return;
    d->draining = true;
    if (d->runner)
        pb_runner_stop(d->runner, runner_stopped, d);
    else
        pb_loop_defer(d->c.loop, &d->step);
}

void pb_durable_close(struct pb_durable *d, void (*closed)(void *user), void *user)
{
    d->closing = true;
    d->closed = closed;
    d->closed_user = user;
    if (d->keeper) pb_keeper_stop(d->keeper, keeper_stopped, d);
    pb_durable_drain(d, d->drained, d->drained_user);
    pb_loop_defer(d->c.loop, &d->step);
}

bool pb_durable_aside(const struct pb_durable *d)
{
    return d->c.aside;
}

struct pb_store_async *pb_durable_store(struct pb_durable *d)
{
    return d->async;
}

struct pb_loop *pb_durable_loop(struct pb_durable *d)
{
    return d->c.loop;
}

int64_t pb_durable_lease_ms(const struct pb_durable *d)
{
    return d->c.lease_ms;
}

pbay_str pb_durable_owner(const struct pb_durable *d)
{
    return d->c.owner;
}

/* ------------------------------------------------------------------------ events */

void pb_durable_on_event(struct pb_durable *d, pb_durable_cause_fn fn, void *user)
{
    PB_REQUIRE(!d->started);
    d->cause = fn;
    d->cause_user = user;
}

int pb_durable_event(struct pb_durable *d, struct pb_store *s, const struct pb_event_put *event,
                     char id[PB_ID_SIZE], bool *known, struct pb_err *err)
{
    if (pb_store_event_put(s, event, id, known, err) != 0) return -1;
    if (*known || !d->cause) return 0;
    return d->cause(s, d->cause_user, event, pb_str(id, PB_ID_LEN), err);
}

struct put_events {
    struct pb_durable *durable;
    struct pb_store_op op;
    struct pb_arena mem;
    struct pb_event_put *events;
    uint32_t n, n_new;
    void (*stored)(void *user, const struct pb_err *err, uint32_t n_new);
    void *user;
};

/* [store thread] */
static int run_put_events(struct pb_store *s, void *user, struct pb_err *err)
{
    struct put_events *p = user;
    p->n_new = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        char id[PB_ID_SIZE];
        bool known;
        if (pb_durable_event(p->durable, s, &p->events[i], id, &known, err) != 0)
            return p->n > 1 ? pb_fail_in(err, "event %u", i + 1) : -1;
        p->n_new += !known;
    }
    return 0;
}

static void events_put(void *user, const struct pb_err *err)
{
    struct put_events *p = user;
    if (p->stored) p->stored(p->user, err, err ? 0 : p->n_new);
    pb_arena_free(&p->mem);
    pb_free(p);
}

static pbay_str copy(struct pb_arena *a, pbay_str s)
{
    return pb_arena_str(a, s);
}

void pb_durable_put_events(struct pb_durable *d, const struct pb_event_put *events, uint32_t n,
                           void (*stored)(void *user, const struct pb_err *err, uint32_t n_new), void *user)
{
    struct put_events *p = pb_zalloc(sizeof *p);
    *p = (struct put_events){.durable = d, .n = n, .stored = stored, .user = user};
    p->op = (struct pb_store_op){.run = run_put_events, .done = events_put, .user = p};
    p->events = pb_arena_alloc(&p->mem, (n + 1) * sizeof *p->events);
    for (uint32_t i = 0; i < n; i++) {
        const struct pb_event_put *in = &events[i];
        PB_REQUIRE(in->n_jobs == 0); /* on_event names them */
        struct pb_event_put *out = &p->events[i];
        *out = *in;
        out->connector = copy(&p->mem, in->connector);
        out->type = copy(&p->mem, in->type);
        out->subject = copy(&p->mem, in->subject);
        out->data = copy(&p->mem, in->data);
        pbay_str *keys = pb_arena_alloc(&p->mem, (in->n_keys + 1) * sizeof *keys);
        for (size_t k = 0; k < in->n_keys; k++) keys[k] = copy(&p->mem, in->keys[k]);
        out->keys = keys;
    }
    pb_store_post(d->async, &p->op);
}

/* ------------------------------------------------------------------------ jobs */

void pb_durable_on_queue(struct pb_durable *d, const char *queue, const struct pb_job_handler *handler)
{
    PB_REQUIRE(!d->started);
    bool first = pb_map_add(&d->queues, pb_str_c(queue), (void *)(uintptr_t)handler);
    PB_REQUIRE(first);
}

void pb_durable_on_connectors(struct pb_durable *d,
                              const struct pb_job_handler *(*find_handler)(void *user,
                                                                           const struct pb_job *job),
                              void *user)
{
    PB_REQUIRE(!d->started);
    d->connectors = find_handler;
    d->connectors_user = user;
}

struct pb_turn *pb_durable_hold(struct pb_durable *d, const struct pb_job *job,
                                const struct pb_job_handler *handler)
{
    return d->runner ? pb_runner_hold(d->runner, job, handler) : NULL;
}

struct put_job {
    struct pb_store_op op;
    struct pb_arena mem;
    struct pb_job_put job;
    char id[PB_ID_SIZE];
    bool known;
    void (*done)(void *user, const struct pb_err *err, pbay_str id, bool known);
    void *user;
};

/* [store thread] */
static int run_put_job(struct pb_store *s, void *user, struct pb_err *err)
{
    struct put_job *p = user;
    return pb_store_job_put(s, &p->job, p->id, &p->known, err);
}

static void job_put(void *user, const struct pb_err *err)
{
    struct put_job *p = user;
    if (p->done) p->done(p->user, err, err ? PB_STR("") : pb_str_c(p->id), p->known);
    pb_arena_free(&p->mem);
    pb_free(p);
}

void pb_durable_put_job(struct pb_durable *d, const struct pb_job_put *job,
                        void (*done)(void *user, const struct pb_err *err, pbay_str id, bool known),
                        void *user)
{
    struct put_job *p = pb_zalloc(sizeof *p);
    p->job = *job;
    p->done = done;
    p->user = user;
    p->op = (struct pb_store_op){.run = run_put_job, .done = job_put, .user = p};
    pbay_str *const texts[] = {&p->job.queue, &p->job.action, &p->job.connector, &p->job.function,
                               &p->job.args,  &p->job.key,    &p->job.cause,     &p->job.run,
                               &p->job.input, &p->job.owner,  &p->job.limit_key};
    for (size_t i = 0; i < PB_COUNTOF(texts); i++) *texts[i] = copy(&p->mem, *texts[i]);
    pb_store_post(d->async, &p->op);
}

struct change_job {
    struct pb_store_op op;
    char id[PB_ID_SIZE];
    bool retry;
    void (*done)(void *user, const struct pb_err *err);
    void *user;
};

/* [store thread] */
static int run_change_job(struct pb_store *s, void *user, struct pb_err *err)
{
    struct change_job *c = user;
    return c->retry ? pb_store_job_retry(s, pb_str_c(c->id), err)
                    : pb_store_job_cancel(s, pb_str_c(c->id), err);
}

static void job_changed(void *user, const struct pb_err *err)
{
    struct change_job *c = user;
    if (c->done) c->done(c->user, err);
    pb_free(c);
}

static void change_job(struct pb_durable *d, pbay_str id, bool retry,
                       void (*done)(void *user, const struct pb_err *err), void *user)
{
    struct change_job *c = pb_zalloc(sizeof *c);
    c->retry = retry;
    c->done = done;
    c->user = user;
    /* What is no id is not found. */
    memcpy(c->id, id.p, id.n < PB_ID_LEN ? id.n : PB_ID_LEN);
    c->op = (struct pb_store_op){.run = run_change_job, .done = job_changed, .user = c};
    pb_store_post(d->async, &c->op);
}

void pb_durable_cancel_job(struct pb_durable *d, pbay_str id,
                           void (*done)(void *user, const struct pb_err *err), void *user)
{
    change_job(d, id, false, done, user);
}

void pb_durable_retry_job(struct pb_durable *d, pbay_str id,
                          void (*done)(void *user, const struct pb_err *err), void *user)
{
    change_job(d, id, true, done, user);
}
