/* SPDX-License-Identifier: MIT */
/*
 * A Snowflake external function: POST {"data": [[0, ...], ...]} is decoded in pieces and pushed into any map
 * function as far as it takes rows; the answer goes back in the same envelope. What is not done in 20 s is
 * parked: 202, and GET with the same batch id finds it. A batch id that is known already is not run again.
 */
#include <patchbay/host_invoke.h>
#include <patchbay/host_job.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_timer.h>
#include <patchbay/routes.h>

#include "sketch.h"

enum { PIECE = 256 << 10 };

struct snowflake {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_invoke_1 *invoke;
    const pbay_job_1 *job;
    const pbay_timer_1 *timer;
    const pbay_request_1 *request;
};

struct query {
    struct snowflake *s;
    pbay_request request; /* 0: answered with 202, or resumed */
    pbay_str body;        /* the request's, until it is answered; then the job's */
    size_t at;
    pbay_builder *rows;
    pbay_builder *order; /* the numbers of all rows, as they came */
    uint32_t answered;
    pbay_reader *reader;
    pbay_writer *reply;
    pbay_invoke call;
    pbay_timer patience;
    pbay_str job; /* parked under */
    int failed, ended;
};

static pbay_codec envelope(void)
{
    return (pbay_codec){.struct_size = sizeof(pbay_codec),
                        .format = PBAY_FORMAT_JSON_ROWS,
                        .any_kind = PBAY_JSON,
                        .key = STR("data"),
                        .row_numbers = 1};
}

/* Decode and push until the function has enough, or there is no more. */
static void pump(struct query *q)
{
    struct snowflake *s = q->s;
    pbay_result why = PBAY_RESULT_OK;
    while (!q->ended) {
        const pbay_batch *rows = s->batch->seal(q->rows, &why);
        if (rows && rows->n_rows) {
            if (s->invoke->push(q->call, rows) != PBAY_OK) return; /* on_ready, or on_done */
            s->batch->copy(q->order, 0, s->batch->numbers(q->reader), 0, rows->n_rows);
            s->batch->clear_rows(q->rows);
        }
        size_t n = q->body.n - q->at < PIECE ? q->body.n - q->at : PIECE;
        int32_t code = n ? s->batch->feed(q->reader, (pbay_str){q->body.p + q->at, n}, &why)
                         : s->batch->finish(q->reader, &why);
        q->at += n;
        if (code != PBAY_OK) {
            q->failed = 1;
            s->invoke->cancel(q->call);
            return;
        }
        if (!n) {
            q->ended = 1;
            s->invoke->end(q->call);
        }
    }
}

static void on_ready(void *user, pbay_invoke call)
{
    (void)call;
    pump(user);
}

static void on_rows(void *user, pbay_invoke call, const pbay_batch *rows)
{
    struct query *q = user;
    const pbay_batch *order = q->s->batch->seal(q->order, NULL);
    pbay_column numbers = *pbay_batch_col(order, 0);
    numbers.off += q->answered;
    q->answered += rows->n_rows;
    q->s->batch->write(q->reply, rows, &numbers);
    q->s->invoke->credit(call, rows->n_rows);
}

static void on_done(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    struct query *q = user;
    struct snowflake *s = q->s;
    pbay_str text = s->batch->text_of(q->reply);
    (void)call;
    (void)json;
    s->timer->cancel(q->patience);
    if (q->request)
        s->request->respond(q->request, result->code == PBAY_OK ? 200 : q->failed ? 400 : 503, NULL, 0, text);
    else
        s->job->finish(s->host, q->job, result, STR("application/json"), text);
    s->batch->reader_free(q->reader);
    s->batch->writer_free(q->reply);
    s->batch->free(q->rows);
    s->batch->free(q->order);
    free(q);
}

static void on_parked(void *user, const pbay_result *result, const pbay_job_state *job)
{
    struct query *q = user;
    if (result->code != PBAY_OK || job->known) return; /* goes on as it was */
    q->s->request->respond(q->request, 202, NULL, 0, STR("{}"));
    q->request = 0;
    q->job = job->id; /* copied in the real one */
}

static void out_of_patience(void *user)
{
    struct query *q = user;
    q->s->job->park(q->s->host, STR("fn:batch-id:sha256"), q->body, 0, on_parked, q);
}

static void begin(struct snowflake *s, pbay_request request, pbay_str body)
{
    static const pbay_invoke_events events = {sizeof events, 0, on_ready, NULL, on_rows, on_done};
    struct query *q = zalloc(sizeof *q);
    const pbay_codec codec = envelope();
    q->s = s;
    q->request = request;
    q->body = body;
    q->rows = s->batch->create(s->host);
    q->order = s->batch->create(s->host);
    s->batch->add_column(q->order, STR(""), PBAY_JSON);
    q->reader = s->batch->reader(s->host, &codec, q->rows);
    q->reply = s->batch->writer(s->host, &codec);
    pbay_invoke_info info = {
        .struct_size = sizeof info, .kind = PBAY_INVOKE_FUNCTION, .target = STR("predict_churn")};
    info.parent_request = request;
    info.user = STR("ANALYST");
    pbay_result why = PBAY_RESULT_OK;
    q->call = s->invoke->open(s->host, &info, (pbay_str){NULL, 0}, &events, q, &why);
    q->patience = s->timer->start(s->host, 20000, 0, out_of_patience, q);
    if (q->call)
        pump(q);
    else
        on_done(q, 0, &why, (pbay_str){NULL, 0});
}

struct poll {
    struct snowflake *s;
    pbay_request request;
};

static void on_found(void *user, const pbay_result *result, const pbay_job_state *job)
{
    struct poll *p = user;
    int32_t status = result->code == PBAY_NOT_FOUND ? 404 : job->state == PBAY_JOB_DONE ? 200 : 202;
    p->s->request->respond(p->request, status, NULL, 0, status == 200 ? job->result : STR("{}"));
    free(p);
}

static void handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
{
    struct snowflake *s = self;
    (void)route;
    if (info->method.p[0] == 'P') {
        begin(s, request, info->body);
        return;
    }
    struct poll *p = zalloc(sizeof *p);
    p->s = s;
    p->request = request;
    s->job->find(s->host, STR("fn:batch-id:sha256"), on_found, p);
}

static void resume(void *user, pbay_str id, pbay_str key, pbay_str input)
{
    (void)id;
    (void)key;
    begin(user, 0, input);
}

static const pbay_job_runner runner = {sizeof runner, 0, resume, NULL};

static const pbay_route routes[] = {
    {"GET|POST", "/*", "External functions.", PBAY_AUTH_HOST, PBAY_BODY_SNIFFED, 64u << 20},
};
static const pbay_routes_1 route_table = {
    .struct_size = sizeof route_table,
    .n_routes = 1,
    .routes = routes,
    .route_stride = sizeof(pbay_route),
    .handle = handle,
};

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_ROUTES) ? NULL : &route_table;
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct snowflake *s = zalloc(sizeof *s);
    (void)config;
    (void)why;
    s->host = host;
    s->batch = host->service(host, PBAY_SVC_BATCH);
    s->invoke = host->service(host, PBAY_SVC_INVOKE);
    s->job = host->service(host, PBAY_SVC_JOB);
    s->timer = host->service(host, PBAY_SVC_TIMER);
    s->request = host->service(host, PBAY_SVC_REQUEST);
    s->job->on_resume(host, &runner, s);
    *self = s;
    return PBAY_OK;
}

static const pbay_option options[] = {
    {"patience", PBAY_OPT_DURATION, 0, "20s", NULL, "When a batch is answered with 202."},
};
SKETCH_ENTRY(snowflake_route, options)
