/* SPDX-License-Identifier: MIT */
/* What a connector's process asks of the house: the store, secrets, metrics, chains. */
#include <stdio.h>
#include <string.h>

#include <patchbay/host_chain.h>
#include <patchbay/host_job.h>
#include <patchbay/host_kv.h>
#include <patchbay/host_limit.h>
#include <patchbay/host_metric.h>
#include <patchbay/host_secret.h>

#include "base/mem.h"
#include "plugin/apart_priv.h"
#include "plugin/services.h"

/* A question whose answer comes later, perhaps after the process that asked. */
struct ask {
    struct pb_apart *apart;
    uint32_t incarnation;
    uint64_t handle;
    bool parks;
};

static struct ask *ask_new(struct pb_apart *a, uint64_t handle)
{
    struct ask *q = pb_zalloc(sizeof *q);
    *q = (struct ask){.apart = a, .incarnation = a->incarnation, .handle = handle};
    return q;
}

/* Where the answer goes; NULL: nowhere any more. Begun with the result. */
static struct pb_buf *answer(const struct ask *q, const pbay_result *result)
{
    struct pb_apart *a = q->apart;
    if (!a->pipe || a->incarnation != q->incarnation) return NULL;
    struct pb_buf *m = pb_pipe_begin(a->pipe, PB_APART_ANSWER, q->handle);
    pb_put_result(m, result);
    return m;
}

static void on_text(void *user, const pbay_result *result, pbay_str text)
{
    struct ask *q = user;
    struct pb_buf *m = answer(q, result);
    if (m) {
        pb_put_str(m, text);
        pb_pipe_commit(q->apart->pipe);
    }
    pb_free(q);
}

static void on_result(void *user, const pbay_result *result)
{
    struct ask *q = user;
    if (answer(q, result)) pb_pipe_commit(q->apart->pipe);
    pb_free(q);
}

static void on_number(void *user, const pbay_result *result, int64_t n)
{
    struct ask *q = user;
    struct pb_buf *m = answer(q, result);
    if (m) {
        pb_put_i64(m, n);
        pb_pipe_commit(q->apart->pipe);
    }
    pb_free(q);
}

static void on_stored(void *user, const pbay_result *result, uint32_t n_new)
{
    on_number(user, result, n_new);
}

/* ------------------------------------------------------------------------------------------------ jobs */

static void keep_job(struct pb_apart *a, pbay_str id)
{
    struct pb_apart_job *j = pb_zalloc(sizeof *j);
    snprintf(j->id, sizeof j->id, "%.*s", PB_FMT(id));
    j->next = a->jobs;
    a->jobs = j;
}

void pb_apart_forget_job(struct pb_apart *a, pbay_str id)
{
    for (struct pb_apart_job **at = &a->jobs; *at; at = &(*at)->next)
        if (pb_str_is(id, (*at)->id)) {
            struct pb_apart_job *j = *at;
            *at = j->next;
            pb_free(j);
            return;
        }
}

static void fail_job(struct pb_apart *a, pbay_str id, const struct pb_err *why)
{
    const pbay_result r = pb_err_result(why);
    pb_service_job.finish(&a->c->host, id, &r, pb_str(NULL, 0), pb_str(NULL, 0));
}

void pb_apart_drop_jobs(struct pb_apart *a, const struct pb_err *why)
{
    for (struct pb_apart_job *j; (j = a->jobs) != NULL;) {
        a->jobs = j->next;
        fail_job(a, pb_str_c(j->id), why);
        pb_free(j);
    }
    a->has_runner = false;
}

static void on_job(void *user, const pbay_result *result, const pbay_job_state *job)
{
    struct ask *q = user;
    struct pb_apart *a = q->apart;
    /* Parked: from now on it is run there; when there is no more, from its input by whoever comes next. */
    bool runs = q->parks && result->code == PBAY_OK && job && job->state == PBAY_JOB_RUNNING && !job->known;
    struct pb_buf *m = answer(q, result);
    if (m) {
        pb_put_u32(m, job != NULL);
        if (job) {
            pb_put_u32(m, job->state);
            pb_put_u32(m, job->known);
            pb_put_u32(m, job->attempt);
            pb_put_str(m, job->id);
            pb_put_str(m, job->content_type);
            pb_put_str(m, job->result);
            pb_put_i64(m, job->expires_ms);
            pb_put_result(m, &job->failure);
            pb_put_str(m, job->input);
        }
        pb_pipe_commit(a->pipe);
        if (runs) keep_job(a, job->id);
    } else if (runs) {
        struct pb_err err;
        pb_fail(&err, PBAY_UNAVAILABLE, "connector \"%s\": its process %s", a->c->name, a->last);
        err.advice = PBAY_ADVICE_RETRY;
        fail_job(a, job->id, &err);
    }
    pb_free(q);
}

static void resume(void *user, pbay_str id, pbay_str key, pbay_str input)
{
    struct pb_apart *a = user;
    if (a->phase != PB_APART_UP || !a->has_runner) {
        struct pb_err err;
        pb_fail(&err, PBAY_UNAVAILABLE, "connector \"%s\": its process is not there", a->c->name);
        err.advice = PBAY_ADVICE_RETRY;
        fail_job(a, id, &err);
        return;
    }
    struct pb_buf *m = pb_pipe_begin(a->pipe, PB_APART_JOB_RESUME, 0);
    pb_put_str(m, id);
    pb_put_str(m, key);
    pb_put_str(m, input);
    pb_pipe_commit(a->pipe);
    keep_job(a, id);
}

static void job_cancelled(void *user, pbay_str id)
{
    struct pb_apart *a = user;
    if (!a->pipe || !a->runner_cancels) return;
    pb_put_str(pb_pipe_begin(a->pipe, PB_APART_JOB_CANCELLED, 0), id);
    pb_pipe_commit(a->pipe);
}

static const pbay_job_runner runner = {sizeof runner, 0, resume, job_cancelled};

static bool job(struct pb_apart *a, uint32_t type, uint64_t handle, struct pb_in *in)
{
    const pbay_host *host = &a->c->host;
    const pbay_job_1 *s = &pb_service_job;
    pbay_str x, y, z;
    int64_t n;
    struct ask *q;
    switch (type) {
    case PB_APART_JOB_ENQUEUE:
        x = pb_in_str(in), y = pb_in_str(in), z = pb_in_str(in), n = pb_in_i64(in);
        if (!in->bad) s->enqueue(host, x, y, z, n, on_job, ask_new(a, handle));
        return true;
    case PB_APART_JOB_PARK:
        x = pb_in_str(in), y = pb_in_str(in), n = pb_in_i64(in);
        if (in->bad) return true;
        q = ask_new(a, handle);
        q->parks = true;
        s->park(host, x, y, n, on_job, q);
        return true;
    case PB_APART_JOB_FINISH: {
        x = pb_in_str(in);
        pbay_result r = pb_in_result(in);
        y = pb_in_str(in), z = pb_in_str(in);
        if (in->bad) return true;
        pb_apart_forget_job(a, x);
        s->finish(host, x, &r, y, z);
        return true;
    }
    case PB_APART_JOB_FIND:
        x = pb_in_str(in);
        if (!in->bad) s->find(host, x, on_job, ask_new(a, handle));
        return true;
    case PB_APART_JOB_RESULT:
        x = pb_in_str(in);
        if (!in->bad) s->result(host, x, on_job, ask_new(a, handle));
        return true;
    case PB_APART_JOB_CANCEL:
        x = pb_in_str(in);
        if (!in->bad) s->cancel(host, x);
        return true;
    case PB_APART_JOB_ON_RESUME:
        a->has_runner = true;
        a->runner_cancels = pb_in_u32(in) != 0;
        s->on_resume(host, &runner, a);
        return true;
    default: return false;
    }
}

/* ------------------------------------------------------------------------------------- what is waited for */

static struct pb_buf *reply(struct pb_apart *a, uint64_t handle)
{
    return pb_pipe_begin(a->pipe, PB_APART_REPLY, handle);
}

static void accept_it(struct pb_apart *a, uint64_t handle, struct pb_in *in)
{
    uint64_t request = pb_in_u64(in);
    pbay_str principal = pb_in_str(in);
    int32_t code = PBAY_NOT_FOUND;
    if (in->bad) return;
    if (pb_apart_held(a, PB_HELD_REQUEST, request)) code = a->c->env->requests->accept(request, principal);
    pb_put_i32(reply(a, handle), code);
    pb_pipe_commit(a->pipe);
}

static void secret(struct pb_apart *a, uint64_t handle, struct pb_in *in, bool get)
{
    struct pb_arena mem = {0};
    const char *option = pb_in_cstr(in, &mem);
    if (!in->bad && option && !get) pb_service_secret.refused(&a->c->host, option);
    if (!in->bad && option && get) {
        pbay_str value = {NULL, 0};
        pbay_result why = PBAY_RESULT_OK;
        why.code = pb_service_secret.get(&a->c->host, option, &value, &why);
        struct pb_buf *m = reply(a, handle);
        pb_put_result(m, &why);
        pb_put_str(m, value);
        pb_pipe_commit(a->pipe);
    }
    in->bad |= !option;
    pb_arena_free(&mem);
}

/* Slots of its own are numbers from 1, in the order in which they were asked for. */
static void metric_slot(struct pb_apart *a, uint64_t handle, struct pb_in *in)
{
    struct pb_arena mem = {0};
    uint32_t kind = pb_in_u32(in), slot = 0;
    const char *name = pb_in_cstr(in, &mem), *labels = pb_in_cstr(in, &mem), *help = pb_in_cstr(in, &mem);
    if (!in->bad) {
        uint32_t real =
            a->c->env->metrics ? pb_service_metric.slot(&a->c->host, kind, name, labels, help) : 0;
        for (uint32_t i = 1; real && i <= a->n_metrics; i++)
            if (a->metrics[i] == real) slot = i;
        if (real && !slot && a->n_metrics + 1 < PB_COUNTOF(a->metrics)) {
            slot = ++a->n_metrics;
            a->metrics[slot] = real;
        }
        pb_put_u32(reply(a, handle), slot);
        pb_pipe_commit(a->pipe);
    }
    pb_arena_free(&mem);
}

static void metric(struct pb_apart *a, struct pb_in *in)
{
    uint32_t n = pb_in_count(in, 16);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t slot = pb_in_u32(in), set = pb_in_u32(in);
        int64_t v = pb_in_i64(in);
        if (in->bad || !slot || slot > a->n_metrics) {
            in->bad = true;
            return;
        }
        (set ? pb_service_metric.set : pb_service_metric.add)(&a->c->host, a->metrics[slot], v);
    }
}

/* ------------------------------------------------------------------------------------------------ all */

static void put_events(struct pb_apart *a, uint64_t handle, struct pb_in *in)
{
    struct pb_arena mem = {0};
    uint32_t n;
    const pbay_event *events = pb_in_events(in, &mem, &n);
    if (!in->bad) pb_service_event.put(&a->c->host, events, n, on_stored, ask_new(a, handle));
    pb_arena_free(&mem);
}

static void put_kv(struct pb_apart *a, uint64_t handle, struct pb_in *in)
{
    pbay_str key = pb_in_str(in);
    bool expects = pb_in_u32(in);
    pbay_str value = pb_in_str(in), expected = pb_in_str(in);
    int64_t ttl_ms = pb_in_i64(in);
    if (in->bad) return;
    pb_service_kv.put(&a->c->host, key, value, expects ? &expected : NULL, ttl_ms, on_result,
                      ask_new(a, handle));
}

bool pb_apart_serve(struct pb_apart *a, uint32_t type, uint64_t handle, struct pb_in *in)
{
    const pbay_host *host = &a->c->host;
    pbay_str text;
    switch (type) {
    case PB_APART_KV_GET:
        text = pb_in_str(in);
        if (!in->bad) pb_service_kv.get(host, text, on_text, ask_new(a, handle));
        return true;
    case PB_APART_KV_PUT: put_kv(a, handle, in); return true;
    case PB_APART_LIMIT: {
        text = pb_in_str(in);
        uint32_t n = pb_in_u32(in), max = pb_in_u32(in);
        int64_t window_ms = pb_in_i64(in);
        if (!in->bad) pb_service_limit.take(host, text, n, max, window_ms, on_number, ask_new(a, handle));
        return true;
    }
    case PB_APART_EVENT_PUT: put_events(a, handle, in); return true;
    case PB_APART_CHAIN: {
        uint32_t format = pb_in_u32(in);
        text = pb_in_str(in);
        if (!in->bad) pb_service_chain.graph(host, format, text, on_text, ask_new(a, handle));
        return true;
    }
    case PB_APART_ACCEPT: accept_it(a, handle, in); return true;
    case PB_APART_SECRET_GET: secret(a, handle, in, true); return true;
    case PB_APART_SECRET_REFUSED: secret(a, handle, in, false); return true;
    case PB_APART_METRIC_SLOT: metric_slot(a, handle, in); return true;
    case PB_APART_METRIC: metric(a, in); return true;
    default: return job(a, type, handle, in);
    }
}
