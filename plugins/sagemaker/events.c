/* SPDX-License-Identifier: MIT */
/*
 * POST /CONNECTOR/events takes what an API destination of EventBridge sends, one event or an array of them,
 * and answers 200 when they are on disk. The sources are for sites that nothing can be sent to:
 *
 *   training_job   ListTrainingJobs of what was modified since the cursor
 *   queue          an SQS queue that a rule of EventBridge fills; messages are deleted by the poll after the
 * one that stored them, so none is lost, and one that comes twice is known by its id
 *
 * https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
 */
#include "events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws_call.h"
#include "happening.h"

enum {
    BODY_MAX = 1 << 20,
    EVENTS_MAX = 1000,
    PAGES_MAX = 50,
    OVERLAP_MS = 2000,     /* times of summaries are compared again across this much */
    FIRST_BACK_MS = 60000, /* what the first poll looks back */
    LONG_POLL_S = 20,
    MESSAGES = 10,
};

/* ------------------------------------------------------------------------------------------------ events */

struct batch {
    struct happening *list;
    uint32_t n, cap;
    uint32_t ignored;
};

static struct happening *add(struct batch *b)
{
    if (b->n == b->cap) {
        b->cap = b->cap ? 2 * b->cap : 16;
        b->list = realloc(b->list, b->cap * sizeof *b->list);
        if (!b->list) abort();
    }
    return &b->list[b->n];
}

static void batch_free(struct batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) happening_free(&b->list[i]);
    free(b->list);
}

/* Arrays for as long as `events` is used. */
static pbay_event *events_of(const struct batch *b, pbay_str **keys)
{
    pbay_event *events = calloc(b->n + 1, sizeof *events);
    *keys = calloc(b->n + 1, sizeof **keys);
    if (!events || !*keys) abort();
    for (uint32_t i = 0; i < b->n; i++) events[i] = happening_event(&b->list[i], &(*keys)[i]);
    return events;
}

/* 0, or -1 with a sentence. */
static int take(struct batch *b, const json_t *event, char why[HAPPENING_WHY])
{
    int rc = happening_from_bridge(event, add(b), why);
    if (rc == 0) b->n++;
    if (rc == 1) b->ignored++;
    return rc < 0 ? -1 : 0;
}

/* ------------------------------------------------------------------------------------------------ the route
 */

struct putting {
    struct sagemaker *sm;
    pbay_request request;
    uint32_t ignored;
};

static void respond(struct sagemaker *sm, pbay_request request, int32_t status, json_t *v)
{
    static const pbay_header type = {{"Content-Type", 12}, {"application/json", 16}};
    char *text = json_dumps(v, JSON_COMPACT);
    json_decref(v);
    sm->request->respond(request, status, &type, 1, (pbay_str){text ? text : "", text ? strlen(text) : 0});
    free(text);
}

static void refuse(struct sagemaker *sm, pbay_request request, int32_t status, const char *text)
{
    respond(sm, request, status, json_pack("{s:s}", "error", text));
}

static void stored(void *user, const pbay_result *result, uint32_t n_new)
{
    struct putting *p = user;
    if (result->code == PBAY_OK)
        respond(p->sm, p->request, 200,
                json_pack("{s:I, s:I}", "stored", (json_int_t)n_new, "ignored", (json_int_t)p->ignored));
    else
        refuse(p->sm, p->request, result->code == PBAY_INVALID_ARGUMENT ? 400 : 503,
               "the events could not be stored");
    free(p);
}

static void handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
{
    struct sagemaker *sm = self;
    struct batch b = {0};
    char why[HAPPENING_WHY + 64] = "";
    json_error_t e;
    (void)route;
    if (!sm->event) {
        refuse(sm, request, 503, "this host stores no events");
        return;
    }
    json_t *v = json_loadb(info->body.n ? info->body.p : "", info->body.n, JSON_REJECT_DUPLICATES, &e);
    if (!v)
        snprintf(why, sizeof why, "not JSON: %.200s", e.text);
    else if (!json_is_array(v))
        take(&b, v, why);
    else if (json_array_size(v) > EVENTS_MAX)
        snprintf(why, sizeof why, "an array of %zu events; %d are taken at once", json_array_size(v),
                 EVENTS_MAX);
    else
        for (size_t i = 0; i < json_array_size(v) && !why[0]; i++) {
            char one[HAPPENING_WHY];
            if (take(&b, json_array_get(v, i), one)) snprintf(why, sizeof why, "event %zu: %s", i + 1, one);
        }
    json_decref(v);
    if (why[0]) {
        refuse(sm, request, 400, why);
    } else if (!b.n) {
        respond(sm, request, 200, json_pack("{s:i, s:I}", "stored", 0, "ignored", (json_int_t)b.ignored));
    } else {
        struct putting *p = calloc(1, sizeof *p);
        pbay_str *keys;
        if (!p) abort();
        *p = (struct putting){sm, request, b.ignored};
        pbay_event *events = events_of(&b, &keys);
        sm->event->put(sm->host, events, b.n, stored, p);
        free(events);
        free(keys);
    }
    batch_free(&b);
}

static const pbay_route ROUTES[] = {
    {"POST", "/events", "Events of EventBridge, from an API destination: one, or an array of them.",
     PBAY_AUTH_HOST, PBAY_BODY_DECODED, BODY_MAX},
};
const pbay_routes_1 sagemaker_routes = {
    .struct_size = sizeof sagemaker_routes,
    .n_routes = 1,
    .routes = ROUTES,
    .route_stride = sizeof(pbay_route),
    .handle = handle,
};

/* ------------------------------------------------------------------------------------------------ polls */

enum source { TRAINING_JOB, QUEUE };

struct polling {
    struct sagemaker *sm;
    pbay_poll poll;
    struct polling *next;
    struct aws_call *call;
    char *body;
    struct batch b;
    int64_t since_ms, newest_ms;
    int64_t until_ms; /* when the first page was asked for: what changes later is found again */
    int resumed;      /* by a token of an earlier poll */
    uint32_t pages;
    json_t *handles; /* of messages that are stored, or will be */
};

static void end(struct polling *p, const pbay_result *result, pbay_str cursor, int again)
{
    struct sagemaker *sm = p->sm;
    for (struct polling **at = &sm->polling; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    pbay_str *keys;
    pbay_event *events = events_of(&p->b, &keys);
    sm->event->polled(p->poll, result, events, result->code == PBAY_OK ? p->b.n : 0, cursor, again);
    free(events);
    free(keys);
    batch_free(&p->b);
    json_decref(p->handles);
    free(p->body);
    free(p);
}

static void fail(struct polling *p, int32_t code, const char *text)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    r.message = (pbay_str){text, strlen(text)};
    end(p, &r, (pbay_str){NULL, 0}, 0);
}

static void ask(struct polling *p, enum aws_service service, const char *target, json_t *args,
                int64_t timeout_ms, aws_call_done *done)
{
    free(p->body);
    p->body = json_dumps(args, JSON_COMPACT);
    json_decref(args);
    if (!p->body) abort();
    pbay_header headers[] = {{STR("Content-Type"), service == AWS_SQS ? STR("application/x-amz-json-1.0")
                                                                      : STR("application/x-amz-json-1.1")},
                             {STR("X-Amz-Target"), {target, strlen(target)}}};
    struct aws_request r = {.service = service,
                            .method = STR("POST"),
                            .path = STR("/"),
                            .headers = headers,
                            .n_headers = 2,
                            .body = {p->body, strlen(p->body)},
                            .timeout_ms = timeout_ms,
                            .max_reply = 8 << 20};
    p->call = aws_call_start(&p->sm->aws, &r, 0, INT64_MAX, strchr(target, '.') + 1, done, p);
}

/* ------------------------------------------------------------------------------------------------ jobs */

/*
 * The cursor is a time in milliseconds, "NEWEST", when the list was read to its end, and otherwise, where it
 * was cut short, "SINCE NEWEST UNTIL TOKEN": jobs come in the order of their creation, so NEWEST says nothing
 * about those on the pages to come.
 */
enum { TOKEN_MAX = 8192 };

static void ask_jobs(struct polling *p, const char *token);

static void jobs_end(struct polling *p, const char *token)
{
    const pbay_result ok = PBAY_RESULT_OK;
    char cursor[TOKEN_MAX + 80];
    int n;
    if (token && strlen(token) > TOKEN_MAX) {
        fail(p, PBAY_DATA_LOSS, "ListTrainingJobs answered a NextToken of more than 8192 bytes");
        return;
    }
    if (token)
        n = snprintf(cursor, sizeof cursor, "%lld %lld %lld %s", (long long)p->since_ms,
                     (long long)p->newest_ms, (long long)p->until_ms, token);
    else
        n = snprintf(cursor, sizeof cursor, "%lld", (long long)p->newest_ms);
    end(p, &ok, (pbay_str){cursor, (size_t)n}, token != NULL);
}

static void on_jobs(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct polling *p = user;
    p->call = NULL;
    if (result->code == PBAY_INVALID_ARGUMENT &&
        p->resumed) { /* the token is too old: again from the front */
        p->resumed = 0;
        ask_jobs(p, NULL);
        return;
    }
    p->resumed = 0;
    if (result->code != PBAY_OK) {
        end(p, result, (pbay_str){NULL, 0}, 0);
        return;
    }
    json_t *v = json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, 0, NULL), *item;
    const char *token = json_string_value(json_object_get(v, "NextToken"));
    size_t i;
    if (!json_is_object(v)) {
        fail(p, PBAY_DATA_LOSS, "ListTrainingJobs answered something else than an object");
        return;
    }
    json_array_foreach(json_object_get(v, "TrainingJobSummaries"), i, item)
    {
        struct happening *h = add(&p->b);
        if (happening_from_summary(item, h)) continue;
        int64_t known = h->time_ms < p->until_ms ? h->time_ms : p->until_ms;
        if (known > p->newest_ms) p->newest_ms = known;
        p->b.n++;
    }
    if (token && *token && ++p->pages < PAGES_MAX && p->b.n < EVENTS_MAX)
        ask_jobs(p, token);
    else
        jobs_end(p, token && *token ? token : NULL);
    json_decref(v);
}

static void ask_jobs(struct polling *p, const char *token)
{
    json_t *args = json_object();
    json_object_set_new(args, "LastModifiedTimeAfter", json_real((double)(p->since_ms - OVERLAP_MS) / 1000));
    json_object_set_new(args, "MaxResults", json_integer(100));
    json_object_set_new(args, "SortBy", json_string("CreationTime"));
    json_object_set_new(args, "SortOrder", json_string("Ascending"));
    if (token) json_object_set_new(args, "NextToken", json_string(token));
    ask(p, AWS_CONTROL, "SageMaker.ListTrainingJobs", args, 30000, on_jobs);
}

static void start_jobs(struct polling *p, pbay_str cursor)
{
    char text[TOKEN_MAX + 80], *at;
    int64_t now = p->sm->timer->now_ms() + p->sm->aws.skew_ms;
    snprintf(text, sizeof text, "%.*s", (int)(cursor.n < sizeof text ? cursor.n : sizeof text - 1),
             cursor.n ? cursor.p : "");
    p->since_ms = strtoll(text, &at, 10);
    if (p->since_ms <= 0) p->since_ms = now - FIRST_BACK_MS;
    p->newest_ms = p->since_ms;
    p->until_ms = now;
    if (*at == ' ') {
        p->newest_ms = strtoll(at, &at, 10);
        p->until_ms = strtoll(at, &at, 10);
        p->resumed = *at == ' ' && at[1];
    }
    ask_jobs(p, p->resumed ? at + 1 : NULL);
}

/* ------------------------------------------------------------------------------------------------ a queue */

/* They are deleted like the others: a queue that gives them out again and again helps nobody. */
static void tell_ignored(const struct polling *p, const char *id, const json_t *event)
{
    const char *source = json_string_value(json_object_get(event, "source"));
    const char *type = json_string_value(json_object_get(event, "detail-type"));
    const pbay_header fields[] = {{STR("message"), {id, strlen(id)}},
                                  {STR("source"), {source ? source : "", source ? strlen(source) : 0}},
                                  {STR("detail_type"), {type ? type : "", type ? strlen(type) : 0}}};
    if (p->sm->log)
        p->sm->log->write(p->sm->host, PBAY_LOG_WARN,
                          STR("an event of the queue is not SageMaker's: no chain hears of it"), fields, 3);
}

static void on_messages(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct polling *p = user;
    p->call = NULL;
    if (result->code != PBAY_OK) {
        end(p, result, (pbay_str){NULL, 0}, 0);
        return;
    }
    json_t *v = json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, 0, NULL), *m;
    size_t i;
    json_decref(p->handles);
    p->handles = json_array();
    json_array_foreach(json_object_get(v, "Messages"), i, m)
    {
        const json_t *text = json_object_get(m, "Body");
        const char *id = json_string_value(json_object_get(m, "MessageId"));
        json_t *handle = json_object_get(m, "ReceiptHandle");
        if (!id || !json_is_string(text) || !json_is_string(handle)) continue;
        pbay_str body = {json_string_value(text), json_string_length(text)};
        json_t *event = json_loadb(body.p, body.n, 0, NULL);
        char why[HAPPENING_WHY];
        uint32_t ignored = p->b.ignored;
        if (take(&p->b, event, why)) { /* something else: scripts may know what it is */
            happening_from_message(id, body, add(&p->b));
            p->b.n++;
        } else if (p->b.ignored > ignored)
            tell_ignored(p, id, event);
        json_decref(event);
        json_array_append(p->handles, handle);
    }
    const pbay_result ok = PBAY_RESULT_OK;
    char *cursor = json_dumps(p->handles, JSON_COMPACT);
    size_t n = json_array_size(p->handles);
    json_decref(v);
    end(p, &ok, (pbay_str){cursor ? cursor : "[]", cursor ? strlen(cursor) : 2}, n > 0);
    free(cursor);
}

static void receive(struct polling *p)
{
    pbay_str url = p->sm->host->get_str(p->sm->config, "queue_url");
    json_t *args = json_pack("{s:o, s:i, s:i}", "QueueUrl", json_stringn(url.p, url.n), "MaxNumberOfMessages",
                             MESSAGES, "WaitTimeSeconds", LONG_POLL_S);
    ask(p, AWS_SQS, "AmazonSQS.ReceiveMessage", args, INT64_C(1000) * (LONG_POLL_S + 10), on_messages);
}

static void on_deleted(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct polling *p = user;
    (void)reply;
    p->call = NULL;
    if (result->code == PBAY_UNAVAILABLE || result->code == PBAY_CANCELLED ||
        result->code == PBAY_RESOURCE_EXHAUSTED)
        end(p, result, (pbay_str){NULL, 0}, 0);
    else
        receive(p); /* those that could not be deleted come again and are known */
}

static void start_queue(struct polling *p, pbay_str cursor)
{
    pbay_str url = p->sm->host->get_str(p->sm->config, "queue_url");
    json_t *handles = json_loadb(cursor.n ? cursor.p : "[]", cursor.n ? cursor.n : 2, 0, NULL), *h;
    size_t i;
    if (!url.n) {
        json_decref(handles);
        fail(p, PBAY_FAILED_PRECONDITION, "the source queue needs queue_url in its connector");
        return;
    }
    if (!json_array_size(handles)) {
        json_decref(handles);
        receive(p);
        return;
    }
    json_t *entries = json_array();
    json_array_foreach(handles, i, h)
    {
        json_array_append_new(entries,
                              json_pack("{s:o, s:O}", "Id", json_sprintf("m%zu", i), "ReceiptHandle", h));
    }
    json_decref(handles);
    ask(p, AWS_SQS, "AmazonSQS.DeleteMessageBatch",
        json_pack("{s:o, s:o}", "QueueUrl", json_stringn(url.p, url.n), "Entries", entries), 15000,
        on_deleted);
}

/* ------------------------------------------------------------------------------------------------ sources */

static void poll(void *self, uint32_t source, pbay_poll poll, pbay_str cursor)
{
    struct sagemaker *sm = self;
    struct polling *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->sm = sm;
    p->poll = poll;
    p->next = sm->polling;
    sm->polling = p;
    if (source == QUEUE) {
        start_queue(p, cursor);
        return;
    }
    start_jobs(p, cursor);
}

static void cancel(void *self, uint32_t source, pbay_poll poll)
{
    struct sagemaker *sm = self;
    (void)source;
    for (struct polling *p = sm->polling; p; p = p->next)
        if (p->poll == poll) {
            if (p->call) aws_call_cancel(p->call);
            return;
        }
}

static const pbay_source SOURCES[] = {
    [TRAINING_JOB] = {"training_job", "Training jobs whose state has changed, by ListTrainingJobs.", 60000, 0,
                      0},
    [QUEUE] = {"queue",
               "Messages of the SQS queue queue_url, such as a rule of EventBridge puts there; waited for.",
               1000, 0, 0},
};
const pbay_events_1 sagemaker_events = {
    .struct_size = sizeof sagemaker_events,
    .n_sources = sizeof SOURCES / sizeof *SOURCES,
    .sources = SOURCES,
    .source_stride = sizeof(pbay_source),
    .poll = poll,
    .cancel = cancel,
};
