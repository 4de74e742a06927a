/* SPDX-License-Identifier: MIT */
/*
 * pbay.host.job/1: a connector's durable work. What it parks is a job of its own with the action "park",
 * which has no dot, so it is never an action's; its key is CONNECTOR/KEY. The result begins with a line that
 * says of which type it is.
 */
#include <patchbay/host_job.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "plugin/actions.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"

enum { KEY_MOST = 400, TYPE_MOST = 200 };
#define PARK PB_STR("park")

/* A parked job that runs here. */
struct held {
    struct held *next;
    struct pb_turn *turn;
    char id[PB_ID_SIZE];
};

struct pb_service_jobs {
    pbay_job_runner runner;
    void *user;
    struct held *held;
    struct pb_job_handler handler;
};

/* ------------------------------------------------------------------------ what was asked */

enum asked { ENQUEUE, PARK_IT, FIND, RESULT };

struct ask {
    struct pb_connector *connector;
    enum asked what;
    struct pb_store_op op;
    struct pb_defer refused;
    struct pb_err err;
    struct pb_buf key, args, input, target, before; /* before: what was parked under the key already */
    struct pb_job_put put;
    char id[PB_ID_SIZE];
    bool known;
    struct pb_job *job; /* as it is now */
    struct pb_buf result;
    pbay_job_found found;
    void *user;
};

static void free_ask(struct ask *a)
{
    pb_buf_free(&a->key);
    pb_buf_free(&a->args);
    pb_buf_free(&a->input);
    pb_buf_free(&a->target);
    pb_buf_free(&a->before);
    pb_buf_free(&a->result);
    pb_free(a->job);
    pb_free(a);
}

static uint32_t state_of(enum pb_job_state s)
{
    static const uint32_t states[] = {
        [PB_JOB_WAITING] = PBAY_JOB_WAITING, [PB_JOB_RUNNING] = PBAY_JOB_RUNNING,
        [PB_JOB_DONE] = PBAY_JOB_DONE,       [PB_JOB_DEAD] = PBAY_JOB_FAILED,
        [PB_JOB_PARKED] = PBAY_JOB_UNKNOWN,  [PB_JOB_CANCELLED] = PBAY_JOB_CANCELLED};
    return states[s];
}

/* "TYPE\nBODY" of what was parked. */
static void split_result(pbay_str all, pbay_str *type, pbay_str *body)
{
    size_t at = pb_str_chr(all, '\n');
    *type = pb_str(all.p, at);
    *body = at < all.n ? pb_str(all.p + at + 1, all.n - at - 1) : PB_STR("");
}

static void answer(struct ask *a, const struct pb_err *err)
{
    struct pb_connector *c = a->connector;
    static const pbay_result fine = PBAY_RESULT_OK;
    pbay_result result = err ? pb_err_result(err) : fine;
    pbay_job_state s = {.struct_size = sizeof s, .failure = fine};
    const struct pb_job *job = a->job;
    if (!err && job) {
        s.state = state_of(job->state);
        s.known = a->known;
        s.attempt = job->attempt;
        s.id = job->id;
        s.expires_ms = job->expires_ms;
        s.input = pb_buf_view(&a->before);
        if (job->code) {
            s.failure.code = job->code;
            s.failure.effect = job->effect;
            s.failure.vendor_status = job->vendor_status;
            s.failure.vendor_code = job->vendor_code;
            s.failure.message = job->error;
        }
        pbay_str all = pb_buf_view(&a->result);
        if (pb_str_eq(job->action, PARK))
            split_result(all, &s.content_type, &s.result);
        else if (all.n) {
            s.content_type = PB_STR("application/json");
            s.result = all;
        }
    }
    if (a->found) {
        struct pb_visit v;
        pb_visit_enter(&v, c, "job found", NULL);
        a->found(a->user, &result, err ? NULL : &s);
        pb_visit_leave(&v);
    }
    free_ask(a);
    pb_connector_ended(c);
}

static void refused(void *user)
{
    struct ask *a = user;
    answer(a, &a->err);
}

/* [store thread] Its state, and its result if it is there. */
static int read_now(struct ask *a, struct pb_store *s, pbay_str id, pbay_str key, struct pb_err *err)
{
    pb_free(a->job);
    a->job = NULL;
    a->result.n = 0;
    if (pb_store_job_get(s, id, key, &a->job, err) != 0) return -1;
    if (a->job->state != PB_JOB_DONE) return 0;
    struct pb_err none;
    if (pb_store_job_result(s, a->job->id, &a->result, &none) == 0) return 0;
    if (none.code == PBAY_NOT_FOUND) { /* expired, or an action's that has none */
        if ((a->what == FIND || a->what == RESULT) && pb_str_eq(a->job->action, PARK))
            return pb_fail(err, PBAY_NOT_FOUND, "the result of job %.*s has expired", PB_FMT(a->job->id));
        return 0;
    }
    *err = none;
    return -1;
}

/* [store thread] */
static int run(struct pb_store *s, void *user, struct pb_err *err)
{
    struct ask *a = user;
    if (a->what == FIND || a->what == RESULT) {
        pbay_str which = pb_buf_view(&a->key), none = {NULL, 0};
        if (read_now(a, s, a->what == RESULT ? which : none, a->what == FIND ? which : none, err) != 0)
            return -1;
        /* Another connector's is not to be seen. */
        if (pb_str_eq(a->job->connector, pb_str_c(a->connector->name))) return 0;
        return pb_fail(err, PBAY_NOT_FOUND, "no job \"%.*s\"", PB_FMT(which));
    }
    if (pb_store_job_put(s, &a->put, a->id, &a->known, err) != 0 ||
        read_now(a, s, pb_str_c(a->id), pb_str(NULL, 0), err) != 0)
        return -1;
    if (a->what != PARK_IT || !a->known || a->job->state == PB_JOB_DONE) return 0;
    a->before.n = 0;
    if (pb_store_job_input(s, a->job->id, &a->before, err) != 0 && err->code != PBAY_NOT_FOUND) return -1;
    pb_err_clear(err); /* it has ended */
    return 0;
}

static void hold(struct pb_connector *c, struct pb_turn *turn, pbay_str id)
{
    struct held *h = pb_zalloc(sizeof *h);
    h->turn = turn;
    snprintf(h->id, sizeof h->id, "%.*s", PB_FMT(id));
    h->next = c->jobs->held;
    c->jobs->held = h;
    pb_connector_began(c);
}

static void done(void *user, const struct pb_err *err)
{
    struct ask *a = user;
    struct pb_connector *c = a->connector;
    if (!err && a->what == PARK_IT && !a->known) {
        struct pb_turn *turn = pb_durable_hold(c->env->durable, a->job, &c->jobs->handler);
        /* Draining: another worker resumes it when the lease is over. */
        if (turn) hold(c, turn, a->job->id);
    }
    answer(a, err);
}

static struct ask *ask_new(const pbay_host *host, enum asked what, pbay_job_found found, void *user)
{
    struct ask *a = pb_zalloc(sizeof *a);
    a->connector = pb_connector_of(host);
    a->what = what;
    a->found = found;
    a->user = user;
    a->op =
        (struct pb_store_op){.run = run, .done = done, .user = a, .reads = what == FIND || what == RESULT};
    a->refused = pb_defer_make(refused, a);
    pb_connector_began(a->connector);
    return a;
}

/* To the store; or, with err filled, back on a later turn. */
static void go(struct ask *a, int rc)
{
    struct pb_connector *c = a->connector;
    if (rc == 0 && pb_connector_locked(c, PBAY_SVC_JOB))
        rc = pb_fail(&a->err, PBAY_PERMISSION_DENIED, "the request has not been accepted yet");
    if (rc == 0 && !c->env->durable) rc = pb_fail(&a->err, PBAY_UNAVAILABLE, "there is no store here");
    if (rc == 0)
        pb_store_post(pb_durable_store(c->env->durable), &a->op);
    else
        pb_loop_defer(c->env->loop, &a->refused);
}

static int take_key(struct ask *a, pbay_str key, bool may_be_empty)
{
    if (!key.n && may_be_empty) return 0;
    if (!key.n || key.n > KEY_MOST || !pb_utf8_valid(key))
        return pb_fail(&a->err, PBAY_INVALID_ARGUMENT, "a job's key of %zu bytes; expected 1 to %d of UTF-8",
                       key.n, KEY_MOST);
    /* Connectors do not see each other's. */
    pb_buf_printf(&a->key, "%s/", a->connector->name);
    pb_buf_str(&a->key, key);
    return 0;
}

static void job_enqueue(const pbay_host *host, pbay_str action, pbay_str json, pbay_str key,
                        int64_t run_at_ms, pbay_job_found found, void *user)
{
    struct ask *a = ask_new(host, ENQUEUE, found, user);
    int rc = take_key(a, key, true);
    pb_buf_printf(&a->target, "%s.", a->connector->name);
    pb_buf_str(&a->target, action);
    pb_buf_str(&a->args, json);
    if (rc == 0 && !a->connector->env->actions)
        rc = pb_fail(&a->err, PBAY_UNAVAILABLE, "there is no store here");
    if (rc == 0)
        rc = pb_actions_job(a->connector->env->actions, pb_buf_view(&a->target), pb_buf_view(&a->args),
                            &a->put, &a->err);
    if (rc == 0) {
        a->put.key = pb_buf_view(&a->key);
        a->put.run_at_ms = run_at_ms > 0 ? run_at_ms : 0;
    }
    go(a, rc);
}

static void job_park(const pbay_host *host, pbay_str key, pbay_str input, int64_t keep_ms,
                     pbay_job_found found, void *user)
{
    struct ask *a = ask_new(host, PARK_IT, found, user);
    struct pb_connector *c = a->connector;
    int rc = take_key(a, key, false);
    if (rc == 0 && !c->jobs)
        rc = pb_fail(&a->err, PBAY_FAILED_PRECONDITION, "park without on_resume: nobody could run it again");
    if (rc == 0 && input.n > PB_JOB_BLOB_MAX)
        rc = pb_fail(&a->err, PBAY_INVALID_ARGUMENT, "an input of %zu bytes; expected at most %d", input.n,
                     PB_JOB_BLOB_MAX);
    if (rc == 0 && c->env->durable) {
        pb_buf_str(&a->input, input);
        a->put = (struct pb_job_put){.queue = pb_str_c(c->name),
                                     .action = PARK,
                                     .connector = pb_str_c(c->name),
                                     .key = pb_buf_view(&a->key),
                                     .input = pb_buf_view(&a->input),
                                     .keep_ms = keep_ms > 0 ? keep_ms : 0,
                                     .owner = pb_durable_owner(c->env->durable),
                                     .lease_ms = pb_durable_lease_ms(c->env->durable)};
    }
    go(a, rc);
}

static void job_find(const pbay_host *host, pbay_str key, pbay_job_found found, void *user)
{
    struct ask *a = ask_new(host, FIND, found, user);
    go(a, take_key(a, key, false));
}

static void job_result(const pbay_host *host, pbay_str id, pbay_job_found found, void *user)
{
    struct ask *a = ask_new(host, RESULT, found, user);
    pb_buf_str(&a->key, id);
    go(a, pb_id_valid(id) ? 0 : pb_fail(&a->err, PBAY_NOT_FOUND, "that is no job's id"));
}

/* ------------------------------------------------------------------------ what runs here */

static struct held *take_held(struct pb_connector *c, const struct pb_turn *turn, pbay_str id)
{
    struct held **at = c->jobs ? &c->jobs->held : NULL;
    for (; at && *at; at = &(*at)->next)
        if (turn ? (*at)->turn == turn : pb_str_is(id, (*at)->id)) {
            struct held *h = *at;
            *at = h->next;
            return h;
        }
    return NULL;
}

static void job_finish(const pbay_host *host, pbay_str id, const pbay_result *result, pbay_str content_type,
                       pbay_str body)
{
    struct pb_connector *c = pb_connector_of(host);
    struct held *h = take_held(c, NULL, id);
    if (!h) return;
    if (result && result->code != PBAY_OK) {
        struct pb_err err;
        pb_plugin_why(&err, result->code, result, "the job");
        pb_turn_fail(h->turn, &err);
    } else if (content_type.n > TYPE_MOST || pb_str_chr(content_type, '\n') < content_type.n) {
        struct pb_err err = {0};
        pb_connector_fault(c, "a parked job was finished with a content type that is none", NULL);
        pb_fail(&err, PBAY_INTERNAL, "the content type of the result is none");
        pb_turn_fail(h->turn, &err);
    } else {
        struct pb_buf all = {0};
        pb_buf_str(&all, content_type);
        pb_buf_ch(&all, '\n');
        pb_buf_str(&all, body);
        pb_turn_done(h->turn, pb_buf_view(&all));
        pb_buf_free(&all);
    }
    pb_free(h);
    pb_connector_ended(c);
}

static void job_cancel(const pbay_host *host, pbay_str id)
{
    struct pb_connector *c = pb_connector_of(host);
    if (pb_connector_locked(c, PBAY_SVC_JOB) || !c->env->durable || !pb_id_valid(id)) return;
    pb_durable_cancel_job(c->env->durable, id, NULL, NULL);
}

static void resume(void *user, struct pb_turn *turn, const struct pb_job *job)
{
    struct pb_connector *c = user;
    struct pb_service_jobs *j = c->jobs;
    if (c->stopped || !c->started || c->state == PB_CONNECTOR_OUT) {
        pb_turn_release(turn, 5000);
        return;
    }
    hold(c, turn, job->id);
    size_t slash = pb_str_chr(job->key, '/') + 1;
    pbay_str key = slash <= job->key.n ? pb_str(job->key.p + slash, job->key.n - slash) : job->key;
    struct pb_visit v;
    pb_visit_enter(&v, c, "resume", NULL);
    j->runner.resume(j->user, job->id, key, job->input);
    pb_visit_leave(&v);
}

static void cancel(void *user, struct pb_turn *turn)
{
    struct pb_connector *c = user;
    struct held *h = c->jobs->held;
    while (h && h->turn != turn) h = h->next;
    if (!h || !c->jobs->runner.cancel) return;
    struct pb_visit v;
    pb_visit_enter(&v, c, "job cancel", NULL);
    c->jobs->runner.cancel(c->jobs->user, pb_str_c(h->id));
    pb_visit_leave(&v);
}

static void job_on_resume(const pbay_host *host, const pbay_job_runner *runner, void *user)
{
    struct pb_connector *c = pb_connector_of(host);
    if (!runner || !runner->resume) {
        pb_connector_fault(c, "on_resume without resume", NULL);
        return;
    }
    if (!c->jobs) c->jobs = pb_zalloc(sizeof *c->jobs);
    memcpy(&c->jobs->runner, runner,
           runner->struct_size < sizeof c->jobs->runner ? runner->struct_size : sizeof c->jobs->runner);
    c->jobs->user = user;
    c->jobs->handler = (struct pb_job_handler){.run = resume, .cancel = cancel, .user = c};
}

const struct pb_job_handler *pb_service_job_handler(struct pb_connector *c, const struct pb_job *job)
{
    return c->jobs && pb_str_eq(job->action, PARK) ? &c->jobs->handler : NULL;
}

void pb_service_job_drop(struct pb_connector *c)
{
    for (struct held *h; c->jobs && (h = c->jobs->held) != NULL;) {
        c->jobs->held = h->next;
        pb_turn_release(h->turn, 0);
        pb_free(h);
        c->holds--;
    }
}

void pb_service_job_free(struct pb_connector *c)
{
    pb_free(c->jobs);
}

const pbay_job_1 pb_service_job = {
    .struct_size = sizeof(pbay_job_1),
    .enqueue = job_enqueue,
    .park = job_park,
    .finish = job_finish,
    .find = job_find,
    .result = job_result,
    .cancel = job_cancel,
    .on_resume = job_on_resume,
};
