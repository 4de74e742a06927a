/* SPDX-License-Identifier: MIT */
/*
 * LOAD ... EXTENSION: a table function that uploads its rows to S3 as they come, as the parts of a multipart
 * upload, then starts AutoML and answers one row that says where. While a part is on its way, push answers
 * PBAY_LATER.
 */
#include <patchbay/functions.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>
#include <patchbay/host_http.h>

#include "sketch.h"

enum { PART = 8 << 20 };

struct s3 {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_http_1 *http;
};

struct upload {
    struct s3 *s3;
    pbay_call call;
    pbay_writer *csv; /* the part that is being filled */
    pbay_http exchange;
    uint32_t part;
    int waiting, ended, starting, doomed;
};

static struct upload *uploads; /* by call; a real one keeps a map */

static void finish(struct upload *u, const pbay_result *r)
{
    if (r->code == PBAY_OK) {
        pbay_builder *row = u->s3->batch->create(u->s3->host);
        u->s3->batch->add_column(row, STR("job"), PBAY_STR);
        u->s3->batch->text(row, 0, STR("automl-20261121"));
        u->s3->call->emit(u->call, row);
    }
    u->s3->call->complete(u->call, r, NULL);
    u->s3->batch->writer_free(u->csv);
    free(u);
}

static void send_part(struct upload *u);

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct upload *u = user;
    (void)exchange;
    u->exchange = 0;
    pbay_result r = reply->result;
    if (r.code == PBAY_OK && reply->status >= 300) r = failed(PBAY_UNAVAILABLE, reply->body);
    if (r.code != PBAY_OK || u->starting || u->doomed) {
        r.effect = u->starting ? PBAY_EFFECT_MAYBE : PBAY_EFFECT_NONE;
        finish(u, &r);
        return;
    }
    u->s3->batch->writer_reset(u->csv);
    u->part++;
    if (u->ended) {
        u->starting = 1; /* CompleteMultipartUpload and CreateAutoMLJobV2 are posts like this one */
        send_part(u);
    } else if (u->waiting) {
        u->waiting = 0;
        u->s3->call->ready(u->call);
    }
}

static void send_part(struct upload *u)
{
    static const pbay_http_events events = {sizeof events, 0, NULL, NULL, NULL, on_done};
    pbay_http_request rq = {.struct_size = sizeof rq, .method = STR("PUT")};
    rq.url = STR("https://bucket.s3.eu-west-1.amazonaws.com/key?partNumber=1&uploadId=x");
    rq.body = u->s3->batch->text_of(u->csv); /* borrowed until on_done: the writer waits that long */
    pbay_result why = PBAY_RESULT_OK;
    u->exchange = u->s3->http->send(u->s3->host, &rq, &events, u, &why);
    if (!u->exchange) finish(u, &why);
}

static int32_t open_call(void *self, void *bound, pbay_call call, pbay_result *why)
{
    struct upload *u = zalloc(sizeof *u);
    const pbay_codec csv = {.struct_size = sizeof csv, .format = PBAY_FORMAT_CSV, .trailing_newline = 1};
    const pbay_field job = {STR("job"), PBAY_STR, 0};
    (void)bound;
    (void)why;
    u->s3 = self;
    u->call = call;
    u->csv = u->s3->batch->writer(u->s3->host, &csv);
    u->s3->call->describe(call, STR("upload"), &job, 1);
    uploads = u;
    return PBAY_OK;
}

static int32_t push(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct upload *u = uploads;
    (void)self;
    (void)bound;
    (void)call;
    (void)why;
    if (u->exchange) {
        u->waiting = 1;
        return PBAY_LATER;
    }
    u->s3->batch->write(u->csv, in, NULL);
    if (u->s3->batch->text_of(u->csv).n >= PART) send_part(u);
    return PBAY_OK;
}

static void end(void *self, void *bound, pbay_call call)
{
    (void)self;
    (void)bound;
    (void)call;
    uploads->ended = 1;
    if (!uploads->exchange) send_part(uploads);
}

static void cancel(void *self, void *bound, pbay_call call)
{
    struct upload *u = uploads;
    (void)bound;
    (void)call;
    u->doomed = 1;
    if (u->exchange) ((struct s3 *)self)->http->cancel(u->exchange); /* on_done completes */
}

static const pbay_operation operations[] = {
    {"train", "Upload a table and train on it.", PBAY_SHAPE_TABLE, PBAY_OPF_EFFECTS, {NULL, 0, 0}},
};
static const pbay_functions_1 functions = {
    .struct_size = sizeof functions,
    .n_operations = 1,
    .operations = operations,
    .operation_stride = sizeof(pbay_operation),
    .open = open_call,
    .push = push,
    .end = end,
    .cancel = cancel,
};

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_FUNCTIONS) ? NULL : &functions;
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct s3 *s = zalloc(sizeof *s);
    (void)config;
    (void)why;
    s->host = host;
    s->batch = host->service(host, PBAY_SVC_BATCH);
    s->call = host->service(host, PBAY_SVC_CALL);
    s->http = host->service(host, PBAY_SVC_HTTP);
    *self = s;
    return PBAY_OK;
}

static const pbay_option options[] = {
    {"bucket", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "Where the rows go."},
};
SKETCH_ENTRY(upload_table, options)
