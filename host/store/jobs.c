/* SPDX-License-Identifier: MIT */
#include "store/jobs.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/engine.h"
#include "store/retry.h"

struct pb_job *pb__job_pack(const struct pb_job *j)
{
#define AT(member) offsetof(struct pb_job, member)
    static const size_t strs[] = {
        AT(id),    AT(queue),  AT(connector), AT(function),    AT(action),
        AT(args),  AT(key),    AT(cause),     AT(run),         AT(limit_key),
        AT(owner), AT(handle), AT(error),     AT(vendor_code), AT(input),
    };
#undef AT
    return pb__store_pack(j, sizeof *j, strs, PB_COUNTOF(strs));
}

void pb_jobs_free(struct pb_jobs *list)
{
    for (size_t i = 0; i < list->n; i++) pb_free(list->items[i]);
    pb_free(list->items);
    *list = (struct pb_jobs){NULL, 0, 0};
}

static const char *const states[PB_JOB_STATES] = {
    [PB_JOB_WAITING] = "waiting", [PB_JOB_RUNNING] = "running",     [PB_JOB_DONE] = "done",
    [PB_JOB_DEAD] = "dead",       [PB_JOB_CANCELLED] = "cancelled", [PB_JOB_PARKED] = "parked",
};

/* The digits of an id, which is a UUID: 32 of them. */
static void digits_of(pbay_str id, char out[33])
{
    size_t n = 0;
    for (size_t i = 0; i < id.n && n < 32; i++)
        if (id.p[i] != '-') out[n++] = id.p[i];
    out[n] = 0;
}

pbay_str pb_job_trace(const struct pb_job *job, char out[PB_JOB_TRACE])
{
    char trace[33], span[33];
    digits_of(job->run.n ? job->run : job->id, trace);
    digits_of(job->id, span);
    int n = snprintf(out, PB_JOB_TRACE, "00-%s-%s-01", trace, strlen(span) == 32 ? span + 16 : "");
    pbay_str s = pb_str(out, (size_t)n);
    return pb_traceparent_is(s) ? s : pb_str(NULL, 0);
}

const char *pb_job_state_name(enum pb_job_state state)
{
    return (size_t)state < PB_JOB_STATES ? states[state] : "?";
}

bool pb_job_state_parse(pbay_str s, enum pb_job_state *out)
{
    for (size_t i = 0; i < PB_JOB_STATES; i++)
        if (pb_str_is(s, states[i])) {
            *out = (enum pb_job_state)i;
            return true;
        }
    return false;
}

/* ------------------------------------------------------------------------ put */

static int check_put(const struct pb_job_put *in, struct pb_err *err)
{
    if (pb__check_name("queue", in->queue, 1, err) != 0 ||
        pb__check_name("action", in->action, 1, err) != 0 ||
        pb__check_name("connector", in->connector, 0, err) != 0 ||
        pb__check_name("function", in->function, 0, err) != 0 ||
        pb__check_name("run", in->run, 0, err) != 0 || pb__check_name("cause", in->cause, 0, err) != 0 ||
        pb__check_name("owner", in->owner, 0, err) != 0 ||
        pb__check_name("limit key", in->limit_key, 0, err) != 0 ||
        pb__check_size("key", in->key, PB_STORE_KEY_MAX, err) != 0 ||
        pb__check_size("job's args", in->args, PB_JOB_ARGS_MAX, err) != 0 ||
        pb__check_size("job's input", in->input, PB_JOB_BLOB_MAX, err) != 0)
        return -1;
    if (!pb_utf8_valid(in->args) || !pb_utf8_valid(in->key))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "a job's args or key that are not text in UTF-8");
    if (in->limit_key.n && (in->limit_n < 1 || in->limit_n > 1000000 || in->limit_ms < 1))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "a limit of %u starts in %lld ms; expected at least 1 in 1", in->limit_n,
                       (long long)in->limit_ms);
    if (in->run_at_ms < 0 || in->keep_ms < 0 || in->lease_ms < 0 || in->max_attempts > 1000)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "a job with a negative time, or more than 1000 attempts");
    return 0;
}

int pb_store_job_put(struct pb_store *s, const struct pb_job_put *in, char id[PB_ID_SIZE], bool *known,
                     struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (check_put(in, err) != 0) return -1;
    struct pb_job_put job = *in;
    if (!job.run_at_ms) job.run_at_ms = pb_now_ms();
    if (!job.max_attempts) job.max_attempts = PB_JOB_ATTEMPTS;
    if (!job.keep_ms) job.keep_ms = PB_RESULT_KEEP_MS;
    return s->engine->job_put(s, &job, id, known, err);
}

/* ------------------------------------------------------------------------ claim and lease */

int pb_store_job_claim(struct pb_store *s, const struct pb_claim *c, struct pb_jobs *out, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    *out = (struct pb_jobs){NULL, 0, 0};
    if (pb__check_name("owner", c->owner, 0, err) != 0) return -1;
    if (c->max < 1 || c->max > PB_JOB_CLAIM_MAX || c->n_queues > PB_JOB_QUEUES_MAX || c->lease_ms < 1)
        return pb_fail(
            err, PBAY_INVALID_ARGUMENT,
            "a claim of %u jobs from %zu queues for %lld ms; expected 1 to %d, at most %d, at least 1",
            c->max, c->n_queues, (long long)c->lease_ms, PB_JOB_CLAIM_MAX, PB_JOB_QUEUES_MAX);
    return s->engine->job_claim(s, c, out, err);
}

int pb_store_job_due(struct pb_store *s, const pbay_str *queues, size_t n_queues, int64_t *due_ms,
                     struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->job_due(s, queues, n_queues, due_ms, err);
}

int pb_store_job_renew(struct pb_store *s, pbay_str id, int64_t fence, int64_t lease_ms, bool *cancel,
                       struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    *cancel = false;
    return s->engine->job_renew(s, id, fence, lease_ms, cancel, err);
}

static int settle(struct pb_store *s, const struct pb_settle *in, enum pb_job_state *state,
                  struct pb_err *err)
{
    enum pb_job_state became;
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->job_settle(s, in, state ? state : &became, err);
}

int pb_store_job_done(struct pb_store *s, pbay_str id, int64_t fence, pbay_str result, struct pb_err *err)
{
    struct pb_settle in = {.id = id, .fence = fence, .state = PB_JOB_DONE, .effect = PBAY_EFFECT_DONE};
    if (pb__check_size("result", result, PB_JOB_BLOB_MAX, err) != 0) return -1;
    if (result.n) in.result = &result;
    return settle(s, &in, NULL, err);
}

int pb_store_job_fail(struct pb_store *s, const struct pb_job *job, const struct pb_err *why,
                      enum pb_job_state *state, struct pb_err *err)
{
    struct pb_verdict v = pb_job_verdict(job, why, pb_random_u64());
    struct pb_settle in = {.id = job->id,
                           .fence = job->fence,
                           .state = v.state,
                           .phase = v.phase,
                           .effect = v.effect,
                           .run_at_ms = pb_now_ms() + v.after_ms,
                           .uncount = v.early && v.state == PB_JOB_WAITING && v.phase == job->phase,
                           .why = why};
    return settle(s, &in, state, err);
}

int pb_store_job_started(struct pb_store *s, pbay_str id, int64_t fence, pbay_str handle, int64_t after_ms,
                         struct pb_err *err)
{
    if (pb__check_size("handle", handle, PB_JOB_HANDLE_MAX, err) != 0) return -1;
    if (!handle.n || after_ms < 0)
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "a job that goes on elsewhere needs a handle to poll it by");
    struct pb_settle in = {.id = id,
                           .fence = fence,
                           .state = PB_JOB_WAITING,
                           .phase = PB_JOB_POLL,
                           .effect = PBAY_EFFECT_DONE,
                           .run_at_ms = pb_now_ms() + after_ms,
                           .got_on = true,
                           .handle = handle};
    return settle(s, &in, NULL, err);
}

int pb_store_job_release(struct pb_store *s, const struct pb_job *job, int64_t after_ms, struct pb_err *err)
{
    struct pb_settle in = {.id = job->id,
                           .fence = job->fence,
                           .state = PB_JOB_WAITING,
                           .phase = job->phase,
                           .effect = job->effect,
                           .run_at_ms = pb_now_ms() + after_ms,
                           .uncount = true};
    return settle(s, &in, NULL, err);
}

int pb_store_job_not_done(struct pb_store *s, const struct pb_job *job, struct pb_err *err)
{
    bool last = job->attempt >= job->max_attempts;
    struct pb_settle in = {.id = job->id,
                           .fence = job->fence,
                           .state = last ? PB_JOB_DEAD : PB_JOB_WAITING,
                           .phase = PB_JOB_RUN,
                           .effect = PBAY_EFFECT_NONE,
                           .run_at_ms = pb_now_ms()};
    return settle(s, &in, NULL, err);
}

int pb_store_job_park(struct pb_store *s, const struct pb_job *job, pbay_str why, struct pb_err *err)
{
    struct pb_err text = {0};
    pb_fail(&text, PBAY_UNKNOWN, "%.*s", PB_FMT(why));
    struct pb_settle in = {.id = job->id,
                           .fence = job->fence,
                           .state = PB_JOB_PARKED,
                           .phase = job->phase,
                           .effect = job->effect,
                           .why = &text};
    return settle(s, &in, NULL, err);
}

/* ------------------------------------------------------------------------ for everybody */

int pb_store_job_cancel(struct pb_store *s, pbay_str id, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->job_cancel(s, id, err);
}

int pb_store_job_retry(struct pb_store *s, pbay_str id, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->job_retry(s, id, err);
}

int pb_store_job_get(struct pb_store *s, pbay_str id, pbay_str key, struct pb_job **out, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    *out = NULL;
    return s->engine->job_get(s, id, key, out, err);
}

int pb_store_job_input(struct pb_store *s, pbay_str id, struct pb_buf *out, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->job_blob(s, id, false, out, err);
}

int pb_store_job_result(struct pb_store *s, pbay_str id, struct pb_buf *out, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->job_blob(s, id, true, out, err);
}

int pb_store_job_list(struct pb_store *s, const struct pb_job_filter *f, struct pb_jobs *out,
                      struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    struct pb_job_filter g = *f;
    *out = (struct pb_jobs){NULL, 0, 0};
    if (!g.limit || g.limit > PB_LIST_MAX) g.limit = PB_LIST_MAX;
    if (!g.states) g.states = (1u << PB_JOB_STATES) - 1;
    return s->engine->job_list(s, &g, out, err);
}

int pb_store_job_counts(struct pb_store *s,
                        void (*each)(void *user, pbay_str queue, enum pb_job_state state, uint64_t n),
                        void *user, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->job_counts(s, each, user, err);
}
