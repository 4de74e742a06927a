/* SPDX-License-Identifier: MIT */
/*
 * SageMaker's InvokeEndpoint as a map function: rows -> CSV -> signed POST -> CSV or JSON -> rows. Throttling
 * arrives as HTTP 400 with a code; what may be repeated is said with the result, and the host repeats.
 */
#include <patchbay/functions.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>
#include <patchbay/host_crypto.h>
#include <patchbay/host_http.h>
#include <patchbay/host_secret.h>

#include "sketch.h"

struct aws {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_http_1 *http;
    const pbay_crypto_1 *crypto;
    const pbay_secret_1 *secret;
};

struct bound {
    struct aws *aws;
    pbay_str endpoint;
    pbay_codec in, out;
};

struct call {
    struct bound *bound;
    pbay_call id;
    pbay_http exchange;
    pbay_writer *body;
};

static void end(struct call *c, const pbay_result *r, pbay_builder *out)
{
    c->bound->aws->call->complete(c->id, r, out);
    c->bound->aws->batch->writer_free(c->body);
    free(c);
}

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct call *c = user;
    struct aws *a = c->bound->aws;
    pbay_result r = reply->result, why = PBAY_RESULT_OK;
    (void)exchange;
    if (r.code == PBAY_OK && reply->status != 200) {
        r = failed(PBAY_UNAVAILABLE, reply->body);
        r.vendor_status = reply->status;
        r.vendor_code = STR("ThrottlingException"); /* from x-amzn-errortype or the body */
        r.advice = reply->status == 413 ? PBAY_ADVICE_SPLIT : PBAY_ADVICE_SLOW;
        r.retry_after_ms = 500;
        if (reply->status == 403) a->secret->refused(a->host, "secret_access_key");
    }
    if (r.code != PBAY_OK) {
        end(c, &r, NULL);
        return;
    }
    pbay_builder *out = a->batch->create(a->host);
    pbay_reader *reader = a->batch->reader(a->host, &c->bound->out, out);
    int32_t code = a->batch->feed(reader, reply->body, &why);
    if (code == PBAY_OK) code = a->batch->finish(reader, &why);
    a->batch->reader_free(reader);
    if (code != PBAY_OK) a->batch->free(out);
    end(c, code == PBAY_OK ? &r : &why, code == PBAY_OK ? out : NULL);
}

static int32_t submit(void *self, void *bound, pbay_call id, const pbay_batch *in, pbay_result *why)
{
    static const pbay_http_events events = {sizeof events, 0, NULL, NULL, NULL, on_done};
    struct aws *a = self;
    struct call *c = zalloc(sizeof *c);
    c->bound = bound;
    c->id = id;
    c->body = a->batch->writer(a->host, &c->bound->in);
    a->batch->write(c->body, in, NULL);
    pbay_http_request rq = {.struct_size = sizeof rq, .method = STR("POST"), .url = c->bound->endpoint};
    rq.body = a->batch->text_of(c->body);
    uint8_t mac[32];
    pbay_str secret;
    if (a->secret->get(a->host, "secret_access_key", &secret, why) == PBAY_OK)
        a->crypto->hmac(PBAY_HASH_SHA256, secret, &rq.body, 1, mac); /* SigV4 is in the kit */
    const pbay_header headers[] = {{STR("traceparent"), a->call->traceparent(id)}};
    rq.headers = headers;
    rq.n_headers = 1;
    rq.timeout_ms = (a->call->deadline(id) - INT64_C(1)) / 1000000;
    c->exchange = a->http->send(a->host, &rq, &events, c, why);
    if (c->exchange) return PBAY_OK;
    a->batch->writer_free(c->body);
    free(c);
    return why->code;
}

static int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    struct aws *a = self;
    struct bound *b = zalloc(sizeof *b);
    (void)why;
    b->aws = a;
    b->endpoint = a->host->get_str(info->config, "endpoint");
    b->in = (pbay_codec){.struct_size = sizeof b->in, .format = PBAY_FORMAT_CSV};
    b->out = (pbay_codec){
        .struct_size = sizeof b->out, .format = PBAY_FORMAT_JSON_ROWS, .key = STR("predictions")};
    *bound = b;
    return PBAY_OK;
}

static void unbind(void *self, void *bound)
{
    (void)self;
    free(bound);
}

static pbay_str lane(void *self, void *bound)
{
    (void)self;
    return ((struct bound *)bound)->endpoint;
}

static const pbay_option endpoint_options[] = {
    {"endpoint", PBAY_OPT_STR, PBAY_OPTF_REQUIRED | PBAY_OPTF_PER_CALL, NULL, NULL, "Name of the endpoint."},
};
static const pbay_operation operations[] = {
    {"invoke", "Score rows with an endpoint.", PBAY_SHAPE_MAP, 0, {endpoint_options, 1, sizeof(pbay_option)}},
};
static const pbay_functions_1 functions = {
    .struct_size = sizeof functions,
    .n_operations = 1,
    .operations = operations,
    .operation_stride = sizeof(pbay_operation),
    .bind = bind,
    .unbind = unbind,
    .lane = lane,
    .submit = submit,
};

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_FUNCTIONS) ? NULL : &functions;
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct aws *a = zalloc(sizeof *a);
    (void)config;
    a->host = host;
    a->batch = host->service(host, PBAY_SVC_BATCH);
    a->call = host->service(host, PBAY_SVC_CALL);
    a->http = host->service(host, PBAY_SVC_HTTP);
    a->crypto = host->service(host, PBAY_SVC_CRYPTO);
    a->secret = host->service(host, PBAY_SVC_SECRET);
    *self = a;
    if (a->batch && a->call && a->http && a->crypto && a->secret) return PBAY_OK;
    free(a);
    *why = failed(PBAY_UNIMPLEMENTED, STR("this host lacks a service that sagemaker needs"));
    return PBAY_UNIMPLEMENTED;
}

static const pbay_option options[] = {
    {"region", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "AWS region."},
    {"secret_access_key", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "Instead of the credential chain."},
};
SKETCH_ENTRY(invoke_endpoint, options)
