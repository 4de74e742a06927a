/* SPDX-License-Identifier: MIT */
/* pbay.host.job/1 in memory: what was enqueued and parked, and the results of what was finished. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "mockhost/store.h"
#include "plugin/connector_priv.h"

enum { KEY_MAX_BYTES = 400, KEEP_MS = 12 * 3600 * 1000 };

struct job {
    char id[24];
    char *action; /* NULL: parked */
    char *key;
    uint32_t state;
    struct pb_buf args, result;
    char *content_type;
    struct pb_err failure;
    int64_t keep_ms, expires_ms;
    bool held; /* a `finish` is owed */
};

static struct {
    struct job **list;
    uint32_t n, cap;
    const pbay_job_runner *runner;
    void *runner_user;
} jobs;

static struct job *by_key(pbay_str key)
{
    for (uint32_t i = 0; i < jobs.n && key.n; i++)
        if (pb_str_is(key, jobs.list[i]->key)) return jobs.list[i];
    return NULL;
}

static struct job *by_id(pbay_str id)
{
    for (uint32_t i = 0; i < jobs.n; i++)
        if (pb_str_is(id, jobs.list[i]->id)) return jobs.list[i];
    return NULL;
}

static struct job *job_new(pbay_str action, pbay_str key, pbay_str args)
{
    struct job *j = pb_zalloc(sizeof *j);
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the items are pointers */
    PB_GROW(jobs.list, jobs.cap, jobs.n + 1);
    jobs.list[jobs.n] = j;
    snprintf(j->id, sizeof j->id, "job-%u", ++jobs.n);
    j->action = action.n ? pb_strndup(action.p, action.n) : NULL;
    j->key = pb_strndup(key.p ? key.p : "", key.n);
    j->state = PBAY_JOB_WAITING;
    pb_buf_str(&j->args, args);
    return j;
}

void pb_mock_jobs_free(struct pbay_mock *m)
{
    (void)m;
    for (uint32_t i = 0; i < jobs.n; i++) {
        struct job *j = jobs.list[i];
        if (j->held)
            pb_mock_fault(
                "the parked job with the key %s was never finished: one `finish` is owed for what was parked "
                "or resumed",
                j->key);
        pb_buf_free(&j->args);
        pb_buf_free(&j->result);
        pb_free(j->action);
        pb_free(j->key);
        pb_free(j->content_type);
        pb_free(j);
    }
    pb_free(jobs.list);
    memset(&jobs, 0, sizeof jobs);
}

/* ------------------------------------------------------------------------------------------------ the test
 */

uint32_t pbay_mock_jobs(pbay_mock *m)
{
    if (m->connector) pbay_mock_run(m);
    return jobs.n;
}

static const char *const states[] = {"?", "waiting", "running", "done", "failed", "unknown", "cancelled"};

const char *pbay_mock_job(pbay_mock *m, uint32_t i)
{
    if (i >= pbay_mock_jobs(m)) return NULL;
    const struct job *j = jobs.list[i];
    struct pb_buf *b = pb_mock_text();
    pb_buf_c(b, "{");
    if (j->action) {
        pb_buf_c(b, "\"action\": ");
        pb_buf_json(b, pb_str_c(j->action));
        pb_buf_c(b, ", ");
    }
    pb_buf_c(b, "\"key\": ");
    pb_buf_json(b, pb_str_c(j->key));
    pb_buf_printf(b, ", \"state\": \"%s\", ", states[j->state]);
    if (j->action) {
        pb_buf_c(b, "\"args\": ");
        pb_buf_str(b, j->args.n ? pb_buf_view(&j->args) : PB_STR("null"));
    } else {
        pb_buf_c(b, "\"input\": ");
        pb_buf_json(b, pb_buf_view(&j->args));
    }
    if (j->content_type) {
        pb_buf_c(b, ", \"result\": ");
        pb_buf_json(b, pb_buf_view(&j->result));
        pb_buf_c(b, ", \"content_type\": ");
        pb_buf_json(b, pb_str_c(j->content_type));
    }
    pb_buf_c(b, "}");
    return pb_mock_said(b);
}

void pbay_mock_job_resume(pbay_mock *m, uint32_t i)
{
    struct job *j = i < jobs.n ? jobs.list[i] : NULL;
    if (!j || j->action || !jobs.runner || !m->connector) {
        pb_mock_fault("job %u cannot be resumed: %s", i,
                      !j          ? "there is none"
                      : j->action ? "it is an action"
                                  : "the plugin has not called on_resume");
        return;
    }
    struct pb_visit v;
    j->state = PBAY_JOB_RUNNING;
    j->held = true;
    pb_visit_enter(&v, m->connector, "resume", NULL);
    jobs.runner->resume(jobs.runner_user, pb_str_c(j->id), pb_str_c(j->key), pb_buf_view(&j->args));
    pb_visit_leave(&v);
}

/* ------------------------------------------------------------------------------------------------ the
 * service */

static void tell_found(struct pb_mock_answer *a)
{
    const pbay_result r = pb_err_result(&a->err);
    const struct job *j = a->job ? jobs.list[a->job - 1] : NULL;
    if (!a->found) return;
    if (a->err.code || !j) {
        a->found(a->user, &r, NULL);
        return;
    }
    pbay_job_state s = {.struct_size = sizeof s,
                        .state = j->state,
                        .known = a->known,
                        .attempt = 1,
                        .id = pb_str_c(j->id),
                        .content_type = pb_str_c(j->content_type),
                        .result = j->state == PBAY_JOB_DONE ? pb_buf_view(&j->result) : pb_str(NULL, 0),
                        .expires_ms = j->expires_ms,
                        .failure = pb_err_result(&j->failure)};
    if (a->known && !j->action && j->state <= PBAY_JOB_RUNNING) s.input = pb_buf_view(&j->args);
    a->found(a->user, &r, &s);
}

static uint32_t number_of(const struct job *j)
{
    for (uint32_t i = 0; j && i < jobs.n; i++)
        if (jobs.list[i] == j) return i + 1;
    return 0;
}

static struct pb_mock_answer *begin(const pbay_host *host, const char *function, pbay_job_found found,
                                    void *user)
{
    if (!pb_mock_on_loop(PBAY_SVC_JOB, function)) return NULL;
    struct pb_mock_answer *a = pb_mock_answer_new(pb_connector_of(host), tell_found, user);
    a->found = found;
    pb_mock_store_usable(a->connector, PBAY_SVC_JOB, &a->err);
    return a;
}

static void job_enqueue(const pbay_host *host, pbay_str action, pbay_str json, pbay_str key,
                        int64_t run_at_ms, pbay_job_found found, void *user)
{
    struct pb_mock_answer *a = begin(host, "enqueue", found, user);
    (void)run_at_ms;
    if (!a || a->err.code) return;
    const int i = pb_action_find(a->connector, action, &a->err);
    if (i < 0 || pb_action_check(a->connector, i, json, &a->err)) return;
    struct job *j = by_key(key);
    a->known = j != NULL;
    a->job = number_of(j ? j : job_new(action, key, json));
}

static void job_park(const pbay_host *host, pbay_str key, pbay_str input, int64_t keep_ms,
                     pbay_job_found found, void *user)
{
    struct pb_mock_answer *a = begin(host, "park", found, user);
    if (!a || a->err.code) return;
    if (!jobs.runner)
        pb_fail(&a->err, PBAY_FAILED_PRECONDITION,
                "on_resume was not called in create: nobody could resume it");
    else if (!key.n || key.n > KEY_MAX_BYTES)
        pb_fail(&a->err, PBAY_INVALID_ARGUMENT, "a key has 1 to %d bytes, not %zu", KEY_MAX_BYTES, key.n);
    if (a->err.code) return;
    struct job *j = by_key(key);
    a->known = j != NULL;
    if (!j) {
        j = job_new(pb_str(NULL, 0), key, input);
        j->keep_ms = keep_ms ? keep_ms : KEEP_MS;
        j->state = PBAY_JOB_RUNNING;
        j->held = true;
    }
    a->job = number_of(j);
}

static void job_finish(const pbay_host *host, pbay_str id, const pbay_result *result, pbay_str content_type,
                       pbay_str body)
{
    struct job *j = pb_mock_on_loop(PBAY_SVC_JOB, "finish") ? by_id(id) : NULL;
    (void)host;
    if (!j || !j->held) return; /* not held here: ignored, as the header says */
    j->held = false;
    j->expires_ms = pb_mock->utc_ms + j->keep_ms;
    if (result->code != PBAY_OK) {
        pb_err_from_result(&j->failure, result);
        j->state = result->advice == PBAY_ADVICE_RETRY || result->advice == PBAY_ADVICE_SLOW
                       ? PBAY_JOB_WAITING
                       : PBAY_JOB_FAILED;
        return;
    }
    j->state = PBAY_JOB_DONE;
    j->content_type = pb_strndup(content_type.p ? content_type.p : "", content_type.n);
    pb_buf_str(&j->result, body);
}

static void found_or_not(struct pb_mock_answer *a, const struct job *j)
{
    const bool gone = j && j->expires_ms && j->expires_ms <= pb_mock->utc_ms;
    if (!j || gone)
        pb_fail(&a->err, PBAY_NOT_FOUND, "there is no such job");
    else
        a->job = number_of(j);
}

static void job_find(const pbay_host *host, pbay_str key, pbay_job_found found, void *user)
{
    struct pb_mock_answer *a = begin(host, "find", found, user);
    if (a && !a->err.code) found_or_not(a, by_key(key));
}

static void job_result(const pbay_host *host, pbay_str id, pbay_job_found found, void *user)
{
    struct pb_mock_answer *a = begin(host, "result", found, user);
    if (a && !a->err.code) found_or_not(a, by_id(id));
}

static void job_cancel(const pbay_host *host, pbay_str id)
{
    struct job *j = pb_mock_on_loop(PBAY_SVC_JOB, "cancel") ? by_id(id) : NULL;
    (void)host;
    if (!j || j->state > PBAY_JOB_RUNNING) return;
    if (j->held && jobs.runner && jobs.runner->cancel)
        jobs.runner->cancel(jobs.runner_user, id);
    else if (!j->held)
        j->state = PBAY_JOB_CANCELLED;
}

static void job_on_resume(const pbay_host *host, const pbay_job_runner *runner, void *user)
{
    (void)host;
    if (!pb_mock_on_loop(PBAY_SVC_JOB, "on_resume")) return;
    if (!runner->resume) {
        pb_mock_fault("on_resume without resume");
        return;
    }
    jobs.runner = runner;
    jobs.runner_user = user;
}

const pbay_job_1 pb_mock_job_service = {sizeof pb_mock_job_service,
                                        0,
                                        job_enqueue,
                                        job_park,
                                        job_finish,
                                        job_find,
                                        job_result,
                                        job_cancel,
                                        job_on_resume};
