/* SPDX-License-Identifier: MIT */
#include "park.h"

#include <jansson.h>

#include "route.h"

static const struct {
    const char *name;
    size_t at;
} FIELDS[] = {
    {"name", offsetof(struct flight, name)},         {"batch_id", offsetof(struct flight, batch_id)},
    {"query_id", offsetof(struct flight, query_id)}, {"user", offsetof(struct flight, user)},
    {"account", offsetof(struct flight, account)},   {"endpoint", offsetof(struct flight, endpoint)},
    {"region", offsetof(struct flight, region)},
};
enum { N_FIELDS = sizeof FIELDS / sizeof *FIELDS };

/* A line of JSON, then bytes: both the input and the result of a job look so. */
static json_t *head_of(pbay_str blob, pbay_str *rest)
{
    const char *nl = blob.n ? memchr(blob.p, '\n', blob.n) : NULL;
    if (!nl) return NULL;
    size_t n = (size_t)(nl - blob.p);
    *rest = (pbay_str){nl + 1, blob.n - n - 1};
    return json_loadb(blob.p, n, JSON_ALLOW_NUL, NULL);
}

static pbay_str text_of(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    return json_is_string(v) ? (pbay_str){json_string_value(v), json_string_length(v)} : (pbay_str){NULL, 0};
}

/* ------------------------------------------------------------------------------------------------ parking */

static void leave_error(struct flight *f, int32_t status, const char *code, pbay_str message)
{
    pbay_text t = {0};
    error_text(&t, code, message, f->batch_id, f->query_id);
    answer_error(f->s, 0, status, code, message, f->batch_id, f->query_id);
    flight_leave(f, status, pbay_text_view(&t));
    pbay_text_free(&t);
}

/* The job is known already: what it has come to is the answer, when the rows are the same. What it was parked
 * with and what it ended with both begin with the hash of its body. */
static void answer_known(struct flight *f, const pbay_job_state *job)
{
    pbay_str body = {NULL, 0};
    int done = job->state == PBAY_JOB_DONE;
    int under_way = job->state == PBAY_JOB_WAITING || job->state == PBAY_JOB_RUNNING;
    json_t *head = head_of(done ? job->result : job->input, &body);
    pbay_str hash = text_of(head, "hash");
    if (hash.n && !str_eq(hash, str_c(f->body_hash)))
        leave_error(f, 409, "ALREADY_EXISTS", STR("this batch id came before with other rows"));
    else if (under_way)
        flight_leave(f, 202, STR("{}"));
    else if (done && head)
        flight_leave(f, (int32_t)json_integer_value(json_object_get(head, "status")), body);
    else if (job->state == PBAY_JOB_FAILED)
        leave_error(f, 422, "FAILED", job->failure.message);
    else
        leave_error(f, 422, "UNKNOWN",
                    STR("this batch may have been worked on, and nobody can tell: see patchbay jobs"));
    json_decref(head);
}

static void on_parked(void *user, const pbay_result *result, const pbay_job_state *job)
{
    struct flight *f = user;
    char id[80];
    if (f->job[0]) { /* resumed meanwhile, and so it is this one's */
        flight_parked(f, NULL);
        return;
    }
    if (result->code == PBAY_OK && job->known && !f->done) {
        f->parking = 0;
        answer_known(f, job);
        flight_drop(f);
        return;
    }
    if (result->code != PBAY_OK || job->known) {
        if (result->code != PBAY_OK && f->s->log) {
            const pbay_header fields[] = {{STR("batch_id"), f->batch_id},
                                          {STR("query_id"), f->query_id},
                                          {STR("error"), result->message}};
            f->s->log->write(f->s->host, PBAY_LOG_ERROR, STR("batch not parked"), fields, 3);
        }
        flight_parked(f, NULL);
        return;
    }
    snprintf(id, sizeof id, "%.*s", (int)job->id.n, job->id.p);
    flight_parked(f, id);
}

void park(struct flight *f)
{
    struct snowflake *s = f->s;
    if (!f->body_hash[0]) hash_hex(s, &f->body, 1, f->body_hash, 64);
    if (!s->job) { /* nothing outlives this process, and only this worker knows */
        if (f->effects && f->patient) return;
        f->parked = 1;
        flight_leave(f, 202, STR("{}"));
        return;
    }
    if (!f->key[0]) flight_key(f);
    pbay_text input = {0};
    pbay_text_printf(&input, "{\"v\":1,\"rows_mode\":%d,\"hash\":\"%s\"", f->rows_mode, f->body_hash);
    for (int i = 0; i < N_FIELDS; i++) {
        pbay_text_printf(&input, ",\"%s\":", FIELDS[i].name);
        pbay_text_json(&input, *(const pbay_str *)(const void *)((const char *)f + FIELDS[i].at));
    }
    pbay_text_c(&input, "}\n");
    pbay_text_add(&input, f->body);
    f->parking = 1;
    s->job->park(s->host, str_c(f->key), pbay_text_view(&input), s->results_ttl_ms, on_parked, f);
    pbay_text_free(&input);
}

void park_finish(struct flight *f, const pbay_result *result, pbay_str text)
{
    struct snowflake *s = f->s;
    pbay_result ok = PBAY_RESULT_OK, again = PBAY_RESULT_OK;
    pbay_text blob = {0};
    if (!s->job || !f->job[0]) return;
    if (flight_may_pass(f)) { /* the host tries it again from its input, later each time */
        if (result && result->code != PBAY_OK) again = *result;
        if (again.code == PBAY_OK) {
            again.code = PBAY_UNAVAILABLE;
            again.message = STR("the batch failed in a way that may pass");
        }
        s->job->finish(s->host, str_c(f->job), &again, (pbay_str){NULL, 0}, (pbay_str){NULL, 0});
        return;
    }
    pbay_text_printf(&blob, "{\"status\":%d,\"hash\":\"%s\"}\n", (int)f->status, f->body_hash);
    pbay_text_add(&blob, text);
    s->job->finish(s->host, str_c(f->job), &ok, STR("application/json"), pbay_text_view(&blob));
    pbay_text_free(&blob);
}

void park_fail(struct snowflake *s, const char *job, const pbay_result *why)
{
    if (s->job) s->job->finish(s->host, str_c(job), why, (pbay_str){NULL, 0}, (pbay_str){NULL, 0});
}

/* ------------------------------------------------------------------------------------------------ polling */

struct poll {
    struct snowflake *s;
    pbay_request request;
    int coded;
    char *batch_id, *query_id;
    size_t n_batch, n_query;
};

static void refuse_poll(struct poll *p, int32_t status, const char *code, pbay_str message)
{
    answer_error(p->s, p->request, status, code, message, (pbay_str){p->batch_id, p->n_batch},
                 (pbay_str){p->query_id, p->n_query});
}

static void on_found(void *user, const pbay_result *result, const pbay_job_state *job)
{
    struct poll *p = user;
    pbay_str body = {NULL, 0};
    json_t *head = NULL;
    if (result->code == PBAY_NOT_FOUND)
        refuse_poll(p, 404, "NOT_FOUND", STR("this batch was never sent here, or its result is too old"));
    else if (result->code != PBAY_OK)
        refuse_poll(p, 503, "UNAVAILABLE", result->message);
    else if (job->state == PBAY_JOB_WAITING || job->state == PBAY_JOB_RUNNING)
        answer(p->s, p->request, 202, STR("{}"), p->coded);
    else if (job->state == PBAY_JOB_DONE && (head = head_of(job->result, &body)))
        answer(p->s, p->request, (int32_t)json_integer_value(json_object_get(head, "status")), body,
               p->coded);
    else
        refuse_poll(p, 422, "UNKNOWN",
                    job->failure.message.n ? job->failure.message
                                           : STR("the batch ended without a reply: see patchbay jobs"));
    json_decref(head);
    free(p->batch_id);
    free(p->query_id);
    free(p);
}

static char *copy(pbay_str s)
{
    char *p = malloc(s.n + 1);
    if (!p) abort();
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return p;
}

void park_poll(struct snowflake *s, pbay_request request, const struct batch_id *id, pbay_str query_id,
               int coded)
{
    struct poll *p = calloc(1, sizeof *p);
    if (!p) abort();
    *p = (struct poll){s, request, coded, copy(id->batch), copy(query_id), id->batch.n, query_id.n};
    if (!s->job) {
        const pbay_result none = {.struct_size = sizeof none, .code = PBAY_NOT_FOUND};
        on_found(p, &none, NULL);
        return;
    }
    char key[65];
    batch_key(s, id, key);
    s->job->find(s->host, str_c(key), on_found, p);
}

/* ------------------------------------------------------------------------------------------------ after a
 * crash */

static void resume(void *user, pbay_str id, pbay_str key, pbay_str input)
{
    struct snowflake *s = user;
    pbay_str body = {NULL, 0};
    pbay_result why = PBAY_RESULT_OK;
    json_t *head = head_of(input, &body);
    (void)key;
    char *job = copy(id);
    const struct batch_id known = {text_of(head, "name"), text_of(head, "endpoint"), text_of(head, "region"),
                                   text_of(head, "batch_id")};
    if (!head) {
        snowflake_refuse(s, &why, PBAY_DATA_LOSS, "the stored batch cannot be read");
        park_fail(s, job, &why);
    } else if (flight_adopt(s->flights, &known, job)) {
        /* The batch came again before this job did: it goes on under it. */
    } else {
        struct flight_info i = {.name = known.name,
                                .batch_id = known.batch,
                                .query_id = text_of(head, "query_id"),
                                .user = text_of(head, "user"),
                                .account = text_of(head, "account"),
                                .endpoint = known.endpoint,
                                .region = known.region,
                                .body = body,
                                .rows_mode = json_integer_value(json_object_get(head, "rows_mode")) != 0,
                                .hash = text_of(head, "hash"),
                                .job = job};
        route_resume(s, &i);
    }
    json_decref(head);
    free(job);
}

static void cancelled(void *user, pbay_str id)
{
    struct snowflake *s = user;
    flights_cancel(s->flights, id);
}

void park_init(struct snowflake *s)
{
    static const pbay_job_runner runner = {sizeof runner, 0, resume, cancelled};
    s->job = s->host->check_only(s->host) ? NULL : s->host->service(s->host, PBAY_SVC_JOB);
    if (s->job) s->job->on_resume(s->host, &runner, s);
}
