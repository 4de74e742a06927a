/* SPDX-License-Identifier: MIT */
/* Services that the worker answers: the store, secrets, metrics, chains. */
#include <stdatomic.h>
#include <string.h>

#include "base/handle.h"
#include "base/mem.h"
#include "plugin/inside_priv.h"
#include "plugin/services.h"
#include "plugin/why.h"

/* ------------------------------------------------------------------------------------------------ asking */

enum kind { KV_GET, KV_PUT, LIMIT, EVENT, CHAIN, JOB };

/* A question whose answer comes later. */
struct ask {
    enum kind kind;
    uint64_t handle;
    struct pb_defer refused;
    union {
        void (*text)(void *user, const pbay_result *result, pbay_str text);
        void (*result)(void *user, const pbay_result *result);
        void (*number)(void *user, const pbay_result *result, int64_t n);
        void (*stored)(void *user, const pbay_result *result, uint32_t n_new);
        pbay_job_found job;
    } fn;
    void *user;
};

static struct pb_handles asks;

static void answered(struct ask *q, struct pb_in *in)
{
    static const char *const names[] = {"kv",           "kv",       "limit taken", "events stored",
                                        "chains drawn", "job found"};
    pbay_result r = pb_in_result(in);
    struct pb_visit v;
    pb_handle_release(&asks, q->handle);
    pb_visit_enter(&v, pb_inside.c, names[q->kind], NULL);
    switch (q->kind) {
    case KV_GET:
    case CHAIN: {
        pbay_str text = pb_in_str(in);
        q->fn.text(q->user, &r, text);
        break;
    }
    case KV_PUT:
        if (q->fn.result) q->fn.result(q->user, &r);
        break;
    case LIMIT: q->fn.number(q->user, &r, pb_in_i64(in)); break;
    case EVENT:
        if (q->fn.stored) q->fn.stored(q->user, &r, (uint32_t)pb_in_i64(in));
        break;
    case JOB: {
        pbay_job_state s = {.struct_size = sizeof s};
        bool there = pb_in_u32(in);
        if (there) {
            s.state = pb_in_u32(in);
            s.known = pb_in_u32(in);
            s.attempt = pb_in_u32(in);
            s.id = pb_in_str(in);
            s.content_type = pb_in_str(in);
            s.result = pb_in_str(in);
            s.expires_ms = pb_in_i64(in);
            s.failure = pb_in_result(in);
            s.input = pb_in_str(in);
        }
        if (q->fn.job) q->fn.job(q->user, &r, there ? &s : NULL);
        break;
    }
    }
    pb_visit_leave(&v);
    pb_free(q);
    pb_connector_ended(pb_inside.c);
}

/* Nobody is called from inside his own call. */
static void refused(void *user)
{
    struct pb_buf m = {0};
    struct pb_err err;
    pb_fail(&err, PBAY_PERMISSION_DENIED, "the request has not been accepted yet");
    pb_put_err(&m, &err);
    pb_put_i64(&m, 0); /* whatever else it has, empty */
    struct pb_in in = pb_in_of(pb_buf_view(&m));
    answered(user, &in);
    pb_buf_free(&m);
}

/* A question, whose message has begun; NULL: it is refused, and the answer comes by itself. */
static struct pb_buf *ask(const struct ask *as, uint32_t type, const char *service)
{
    struct ask *q = pb_zalloc(sizeof *q);
    *q = *as;
    q->handle = pb_handle_new(&asks, q);
    pb_connector_began(pb_inside.c);
    if (!pb_connector_locked(pb_inside.c, service)) return pb_inside_begin(type, q->handle);
    q->refused = pb_defer_make(refused, q);
    pb_loop_defer(pb_inside.loop, &q->refused);
    return NULL;
}

/* ------------------------------------------------------------------------------ kv, limit, events, chains */

static void kv_get(const pbay_host *host, pbay_str key,
                   void (*found)(void *user, const pbay_result *result, pbay_str value), void *user)
{
    const struct ask q = {.kind = KV_GET, .fn.text = found, .user = user};
    struct pb_buf *m = ask(&q, PB_APART_KV_GET, PBAY_SVC_KV);
    (void)host;
    if (!m) return;
    pb_put_str(m, key);
    pb_inside_commit();
}

static void kv_put(const pbay_host *host, pbay_str key, pbay_str value, const pbay_str *expected,
                   int64_t ttl_ms, void (*done)(void *user, const pbay_result *result), void *user)
{
    const struct ask q = {.kind = KV_PUT, .fn.result = done, .user = user};
    struct pb_buf *m = ask(&q, PB_APART_KV_PUT, PBAY_SVC_KV);
    (void)host;
    if (!m) return;
    pb_put_str(m, key);
    pb_put_u32(m, expected != NULL);
    pb_put_str(m, value);
    pb_put_str(m, expected ? *expected : pb_str(NULL, 0));
    pb_put_i64(m, ttl_ms);
    pb_inside_commit();
}

const pbay_kv_1 pb_inside_kv = {.struct_size = sizeof(pbay_kv_1), .get = kv_get, .put = kv_put};

static void limit_take(const pbay_host *host, pbay_str name, uint32_t n, uint32_t max, int64_t window_ms,
                       void (*taken)(void *user, const pbay_result *result, int64_t after_ms), void *user)
{
    const struct ask q = {.kind = LIMIT, .fn.number = taken, .user = user};
    struct pb_buf *m = ask(&q, PB_APART_LIMIT, PBAY_SVC_LIMIT);
    (void)host;
    if (!m) return;
    pb_put_str(m, name);
    pb_put_u32(m, n);
    pb_put_u32(m, max);
    pb_put_i64(m, window_ms);
    pb_inside_commit();
}

const pbay_limit_1 pb_inside_limit = {.struct_size = sizeof(pbay_limit_1), .take = limit_take};

static void event_put(const pbay_host *host, const pbay_event *events, uint32_t n,
                      void (*stored)(void *user, const pbay_result *result, uint32_t n_new), void *user)
{
    const struct ask q = {.kind = EVENT, .fn.stored = stored, .user = user};
    struct pb_buf *m = ask(&q, PB_APART_EVENT_PUT, PBAY_SVC_EVENT);
    (void)host;
    if (!m) return;
    pb_put_events(m, events, n);
    pb_inside_commit();
}

const pbay_event_1 pb_inside_event = {
    .struct_size = sizeof(pbay_event_1), .put = event_put, .polled = pb_inside_polled};

static void chain_graph(const pbay_host *host, uint32_t format, pbay_str chain,
                        void (*got)(void *user, const pbay_result *result, pbay_str text), void *user)
{
    const struct ask q = {.kind = CHAIN, .fn.text = got, .user = user};
    struct pb_buf *m = ask(&q, PB_APART_CHAIN, PBAY_SVC_CHAIN);
    (void)host;
    if (!m) return;
    pb_put_u32(m, format);
    pb_put_str(m, chain);
    pb_inside_commit();
}

const pbay_chain_1 pb_inside_chain = {.struct_size = sizeof(pbay_chain_1), .graph = chain_graph};

/* ------------------------------------------------------------------------------------------------ jobs */

static pbay_job_runner runner;
static void *runner_user;

static struct pb_buf *ask_job(uint32_t type, pbay_job_found found, void *user)
{
    const struct ask q = {.kind = JOB, .fn.job = found, .user = user};
    return ask(&q, type, PBAY_SVC_JOB);
}

static void job_enqueue(const pbay_host *host, pbay_str action, pbay_str json, pbay_str key,
                        int64_t run_at_ms, pbay_job_found found, void *user)
{
    struct pb_buf *m = ask_job(PB_APART_JOB_ENQUEUE, found, user);
    (void)host;
    if (!m) return;
    pb_put_str(m, action);
    pb_put_str(m, json);
    pb_put_str(m, key);
    pb_put_i64(m, run_at_ms);
    pb_inside_commit();
}

static void job_park(const pbay_host *host, pbay_str key, pbay_str input, int64_t keep_ms,
                     pbay_job_found found, void *user)
{
    struct pb_buf *m = ask_job(PB_APART_JOB_PARK, found, user);
    (void)host;
    if (!m) return;
    pb_put_str(m, key);
    pb_put_str(m, input);
    pb_put_i64(m, keep_ms);
    pb_inside_commit();
}

static void job_finish(const pbay_host *host, pbay_str id, const pbay_result *result, pbay_str content_type,
                       pbay_str body)
{
    struct pb_buf *m = pb_inside_begin(PB_APART_JOB_FINISH, 0);
    (void)host;
    pb_put_str(m, id);
    pb_put_result(m, result);
    pb_put_str(m, content_type);
    pb_put_str(m, body);
    pb_inside_commit();
}

static void job_find(const pbay_host *host, pbay_str key, pbay_job_found found, void *user)
{
    struct pb_buf *m = ask_job(PB_APART_JOB_FIND, found, user);
    (void)host;
    if (!m) return;
    pb_put_str(m, key);
    pb_inside_commit();
}

static void job_result(const pbay_host *host, pbay_str id, pbay_job_found found, void *user)
{
    struct pb_buf *m = ask_job(PB_APART_JOB_RESULT, found, user);
    (void)host;
    if (!m) return;
    pb_put_str(m, id);
    pb_inside_commit();
}

static void job_cancel(const pbay_host *host, pbay_str id)
{
    (void)host;
    if (pb_connector_locked(pb_inside.c, PBAY_SVC_JOB)) return;
    pb_put_str(pb_inside_begin(PB_APART_JOB_CANCEL, 0), id);
    pb_inside_commit();
}

static void job_on_resume(const pbay_host *host, const pbay_job_runner *r, void *user)
{
    if (!r || !r->resume) {
        pb_connector_fault(pb_connector_of(host), "on_resume without resume", NULL);
        return;
    }
    pb_copy_known(&runner, sizeof runner, r, r->struct_size, "pbay_job_runner");
    runner_user = user;
    pb_put_u32(pb_inside_begin(PB_APART_JOB_ON_RESUME, 0), runner.cancel != NULL);
    pb_inside_commit();
}

const pbay_job_1 pb_inside_job = {
    .struct_size = sizeof(pbay_job_1),
    .enqueue = job_enqueue,
    .park = job_park,
    .finish = job_finish,
    .find = job_find,
    .result = job_result,
    .cancel = job_cancel,
    .on_resume = job_on_resume,
};

static void run_job(uint32_t type, struct pb_in *in)
{
    struct pb_arena mem = {0};
    struct pb_visit v;
    pbay_str id = pb_arena_str(&mem, pb_in_str(in));
    if (type == PB_APART_JOB_RESUME && runner.resume) {
        pbay_str key = pb_arena_str(&mem, pb_in_str(in)), input = pb_arena_str(&mem, pb_in_str(in));
        pb_visit_enter(&v, pb_inside.c, "resume", NULL);
        runner.resume(runner_user, id, key, input);
        pb_visit_leave(&v);
    } else if (type == PB_APART_JOB_CANCELLED && runner.cancel) {
        pb_visit_enter(&v, pb_inside.c, "job cancel", NULL);
        runner.cancel(runner_user, id);
        pb_visit_leave(&v);
    }
    pb_arena_free(&mem);
}

bool pb_inside_answer(uint32_t type, uint64_t handle, struct pb_in *in)
{
    if (type == PB_APART_JOB_RESUME || type == PB_APART_JOB_CANCELLED) {
        run_job(type, in);
        return true;
    }
    if (type != PB_APART_ANSWER) return false;
    struct ask *q = pb_handle_get(&asks, handle);
    if (q) answered(q, in);
    return true;
}

/* ------------------------------------------------------------------------------------------------ secrets */

static int32_t secret_get(const pbay_host *host, const char *option, pbay_str *value, pbay_result *why)
{
    static struct pb_buf kept; /* until the next call */
    (void)host;
    pb_put_cstr(pb_inside_question(PB_APART_SECRET_GET), option);
    struct pb_in in = pb_inside_ask();
    pbay_result r = pb_in_result(&in);
    pbay_str s = pb_in_str(&in);
    if (kept.cap) explicit_bzero(kept.p, kept.cap);
    kept.n = 0;
    pb_buf_str(&kept, s);
    *value = pb_buf_view(&kept);
    if (r.code == PBAY_OK) return PBAY_OK;
    pb_err_from_result(pb_why_err(), &r);
    return pb_why_put(why);
}

static void secret_refused(const pbay_host *host, const char *option)
{
    (void)host;
    pb_put_cstr(pb_inside_begin(PB_APART_SECRET_REFUSED, 0), option);
    pb_inside_commit();
}

const pbay_secret_1 pb_inside_secret = {
    .struct_size = sizeof(pbay_secret_1), .get = secret_get, .refused = secret_refused};

/* ------------------------------------------------------------------------------------------------ metrics */

enum { SLOTS = 65 };

/* Changed from any thread, told to the worker by the loop. */
static _Atomic int64_t added[SLOTS], last[SLOTS];
static _Atomic uint32_t was_set[SLOTS], changed;

static pbay_metric metric_slot(const pbay_host *host, uint32_t type, const char *name, const char *labels,
                               const char *help)
{
    (void)host;
    struct pb_buf *m = pb_inside_question(PB_APART_METRIC_SLOT);
    pb_put_u32(m, type);
    pb_put_cstr(m, name);
    pb_put_cstr(m, labels);
    pb_put_cstr(m, help);
    struct pb_in in = pb_inside_ask();
    uint32_t slot = pb_in_u32(&in);
    return slot < SLOTS ? slot : 0;
}

static void metric_add(const pbay_host *host, pbay_metric metric, int64_t n)
{
    (void)host;
    if (!metric || metric >= SLOTS) return;
    atomic_fetch_add_explicit(&added[metric], n, memory_order_relaxed);
    atomic_store_explicit(&changed, 1, memory_order_release);
}

static void metric_set(const pbay_host *host, pbay_metric metric, int64_t value)
{
    (void)host;
    if (!metric || metric >= SLOTS) return;
    atomic_store_explicit(&added[metric], 0, memory_order_relaxed);
    atomic_store_explicit(&last[metric], value, memory_order_relaxed);
    atomic_store_explicit(&was_set[metric], 1, memory_order_release);
    atomic_store_explicit(&changed, 1, memory_order_release);
}

static void put_metric(struct pb_buf *m, uint32_t slot, uint32_t set, int64_t v)
{
    pb_put_u32(m, slot);
    pb_put_u32(m, set);
    pb_put_i64(m, v);
}

void pb_inside_metrics(void)
{
    if (!atomic_exchange_explicit(&changed, 0, memory_order_acquire)) return;
    struct pb_buf *m = pb_pipe_begin(pb_inside.pipe, PB_APART_METRIC, 0);
    size_t at = m->n;
    uint32_t n = 0;
    pb_put_u32(m, 0);
    for (uint32_t i = 1; i < SLOTS; i++) {
        if (atomic_exchange_explicit(&was_set[i], 0, memory_order_acquire)) {
            put_metric(m, i, 1, atomic_load_explicit(&last[i], memory_order_relaxed));
            n++;
        }
        int64_t more = atomic_exchange_explicit(&added[i], 0, memory_order_relaxed);
        if (!more) continue;
        put_metric(m, i, 0, more);
        n++;
    }
    memcpy(m->p + at, &n, sizeof n);
    pb_inside_commit();
}

const pbay_metric_1 pb_inside_metric = {
    .struct_size = sizeof(pbay_metric_1), .slot = metric_slot, .add = metric_add, .set = metric_set};
