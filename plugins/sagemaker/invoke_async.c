/* SPDX-License-Identifier: MIT */
/*
 * `invoke_async`: a batch of rows to an asynchronous endpoint: InvokeEndpointAsync, then the object on S3
 * that the answer is put to, or the one that says why there is none.
 *
 * https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html
 * https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-invoke-endpoint.html
 * Small batches go in the request itself, larger ones by way of S3. The connector's `timeout` bounds all of
 * it. S3 tells a key that is not there yet from one that may not be read only where s3:ListBucket is allowed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws_call.h"
#include "http_error.h"
#include "s3.h"
#include "scoring.h"

enum {
    INLINE_MAX = 128000,
    REPLY_MAX = 64 << 20,
    DENIED_MAX = 3,
    URI = S3_BUCKET + S3_KEY + 8,
    ROOM = S3_BUCKET + 3 * S3_KEY + 3
};

const pbay_option invoke_async_options[] = {
    SCORING_OPTIONS,
    {"input", PBAY_OPT_ENUM, 0, "auto", "auto|inline|s3",
     "how rows are sent: in the request (up to 128,000 bytes), or by an object on S3; auto: by their size"},
    {"s3_uri", PBAY_OPT_STR, 0, NULL, NULL, "s3://BUCKET/PREFIX for the objects that rows are sent by"},
    {"poll", PBAY_OPT_DURATION, 0, "1s", "50ms..10m", "between looks for the answer"},
    {"invocation_timeout", PBAY_OPT_DURATION, 0, NULL, "1s..1h",
     "what the model may take; else SageMaker's 15 minutes"},
};
const uint32_t invoke_async_n_options = sizeof invoke_async_options / sizeof *invoke_async_options;

struct call;

struct function {
    const struct operation *op;
    struct scoring s;
    int64_t input, poll_ms;
    pbay_str bucket, folder; /* of s3_uri; the configuration's */
    char timeout_s[24];      /* X-Amzn-SageMaker-InvocationTimeoutSeconds */
    struct call *calls;
};

struct call {
    struct function *fn;
    struct call *next;
    pbay_call call;
    pbay_writer *writer;
    uint32_t n_rows, denied;
    struct aws_call *ask;
    struct s3_upload *upload;
    pbay_timer timer;
    int cancelled, looks_at_failure;
    char input[URI], output[URI], failure[URI];
    char room[ROOM];
};

static pbay_str literal(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

/* ------------------------------------------------------------------------------------------------ ends */

static void complete(struct call *c, const pbay_result *r, pbay_builder *out)
{
    struct function *fn = c->fn;
    pbay_call call = c->call;
    for (struct call **at = &fn->calls; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    fn->s.sm->batch->writer_free(c->writer);
    fn->s.sm->call->complete(call, r, out);
    free(c);
}

static void fail(struct call *c, const pbay_result *result)
{
    char text[1024];
    pbay_result r = *result;
    pbay_str m = r.message;
    if (r.code != PBAY_CANCELLED) {
        snprintf(text, sizeof text, "%s: %.*s", c->fn->s.who, (int)(m.n < 900 ? m.n : 900), m.n ? m.p : "");
        r.message = literal(text);
    }
    /* What was already asked for goes on over there; asking again costs another invocation, and does no harm.
     */
    if (c->n_rows == 1 && r.advice == PBAY_ADVICE_SPLIT) r.advice = PBAY_ADVICE_NONE;
    complete(c, &r, NULL);
}

static void fail_code(struct call *c, int32_t code, const char *text)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    r.message = literal(text);
    fail(c, &r);
}

/* ------------------------------------------------------------------------------------------------ looking */

static void look(void *user);

static void later(struct call *c)
{
    struct sagemaker *sm = c->fn->s.sm;
    c->looks_at_failure = 0;
    c->timer = sm->timer->start(sm->host, c->fn->poll_ms, 0, look, c);
}

static void on_object(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct call *c = user;
    const struct scoring *s = &c->fn->s;
    char text[1024];
    pbay_result r = *result;
    c->ask = NULL;
    if (c->cancelled) {
        fail_code(c, PBAY_CANCELLED, "cancelled");
        return;
    }
    int missing = reply && (reply->status == 404 || (reply->status == 403 && ++c->denied <= DENIED_MAX));
    if (r.code != PBAY_OK && missing) {
        c->looks_at_failure = !c->looks_at_failure && c->failure[0];
        if (c->looks_at_failure)
            look(c);
        else
            later(c);
        return;
    }
    if (r.code != PBAY_OK || !reply) {
        fail(c, &r);
    } else if (c->looks_at_failure) {
        pbay_str m = reply->body;
        snprintf(text, sizeof text, "the model failed: %.*s", (int)(m.n < 700 ? m.n : 700), m.n ? m.p : "");
        fail_code(c, PBAY_INVALID_ARGUMENT, text);
    } else {
        pbay_builder *out = scoring_answers(s, s->who, reply->body, c->n_rows, &r, text);
        complete(c, &r, out);
    }
}

static void look(void *user)
{
    struct call *c = user;
    struct sagemaker *sm = c->fn->s.sm;
    pbay_str bucket, key;
    const char *uri = c->looks_at_failure ? c->failure : c->output;
    struct aws_request r = {.method = STR("GET"), .max_reply = REPLY_MAX, .region = literal(c->fn->s.region)};
    c->timer = 0;
    if (s3_uri(literal(uri), &bucket, &key)) {
        fail_code(c, PBAY_DATA_LOSS, "the answer is said to be at an address that is none of S3");
        return;
    }
    s3_address(&sm->aws, bucket, key, c->room, &r);
    c->ask = aws_call_start(&sm->aws, &r, 0, sm->call->deadline(c->call), uri, on_object, c);
}

/* ------------------------------------------------------------------------------------------------ asking */

static void keep(char to[URI], pbay_str v)
{
    snprintf(to, URI, "%.*s", (int)(v.n < URI ? v.n : 0), v.n ? v.p : "");
}

static void on_accepted(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct call *c = user;
    c->ask = NULL;
    if (result->code != PBAY_OK || c->cancelled) {
        pbay_result r = *result;
        if (c->cancelled) r.code = PBAY_CANCELLED;
        fail(c, &r);
        return;
    }
    keep(c->output, http_header(reply, "x-amzn-sagemaker-outputlocation"));
    keep(c->failure, http_header(reply, "x-amzn-sagemaker-failurelocation"));
    if (!c->output[0]) {
        fail_code(c, PBAY_DATA_LOSS, "the invocation was accepted without an OutputLocation");
        return;
    }
    later(c);
}

/* input: empty: the rows are the body. */
static void invoke(struct call *c)
{
    const struct scoring *s = &c->fn->s;
    struct sagemaker *sm = s->sm;
    char path[ENDPOINT_MAX + 64];
    pbay_header headers[SCORING_HEADERS];
    uint32_t n = s->n_headers;
    memcpy(headers, s->headers, n * sizeof *headers);
    if (c->input[0]) headers[n++] = (pbay_header){STR("X-Amzn-SageMaker-InputLocation"), literal(c->input)};
    if (c->fn->timeout_s[0])
        headers[n++] =
            (pbay_header){STR("X-Amzn-SageMaker-InvocationTimeoutSeconds"), literal(c->fn->timeout_s)};
    int len = snprintf(path, sizeof path, "/endpoints/%s/async-invocations", s->endpoint);
    struct aws_request r = {.service = AWS_RUNTIME,
                            .method = STR("POST"),
                            .region = literal(s->region),
                            .path = {path, (size_t)len},
                            .headers = headers,
                            .n_headers = n,
                            .body = c->input[0] ? (pbay_str){NULL, 0} : sm->batch->text_of(c->writer),
                            .max_reply = 1 << 20};
    c->ask =
        aws_call_start(&sm->aws, &r, 0, sm->call->deadline(c->call), "InvokeEndpointAsync", on_accepted, c);
}

static void uploaded(void *user, const pbay_result *result, pbay_str etag)
{
    struct call *c = user;
    (void)etag;
    c->upload = NULL;
    if (result->code != PBAY_OK || c->cancelled)
        fail(c, result);
    else
        invoke(c);
}

static void upload(struct call *c)
{
    struct function *fn = c->fn;
    struct sagemaker *sm = fn->s.sm;
    uint8_t random[16];
    char key[S3_KEY], hex[33];
    sm->crypto->random(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++) snprintf(hex + 2 * i, 3, "%02x", random[i]);
    snprintf(key, sizeof key, "%.*s%s%s", (int)fn->folder.n, fn->folder.n ? fn->folder.p : "",
             fn->folder.n ? "/" : "", hex);
    snprintf(c->input, sizeof c->input, "s3://%.*s/%s", (int)fn->bucket.n, fn->bucket.p, key);
    pbay_header type = {STR("Content-Type"), fn->s.headers[0].value};
    c->upload = s3_upload_open(&sm->aws, fn->bucket, literal(key), &type, 1, sm->call->deadline(c->call),
                               uploaded, NULL, c);
    s3_upload_write(c->upload, sm->batch->text_of(c->writer));
    s3_upload_finish(c->upload);
}

/* ------------------------------------------------------------------------------------------------ bind,
 * submit */

static void unbind(struct sagemaker *sm, void *bound)
{
    struct function *fn = bound;
    (void)sm;
    scoring_free(&fn->s);
    free(fn);
}

static int32_t wrong(struct function *fn, const pbay_config *config, const char *option, const char *text,
                     pbay_result *why)
{
    pbay_str where = fn->s.sm->host->where(config, option);
    return sagemaker_refuse(fn->s.sm, why, PBAY_INVALID_ARGUMENT, "%.*s: %s %s", (int)where.n,
                            where.n ? where.p : "", option, text);
}

static int32_t configure(struct function *fn, const pbay_function_info *info, pbay_result *why)
{
    struct sagemaker *sm = fn->s.sm;
    const pbay_host *host = sm->host;
    pbay_str uri = host->get_str(info->config, "s3_uri");
    fn->input = host->get_int(info->config, "input");
    fn->poll_ms = host->get_int(info->config, "poll");
    if (host->is_set(info->config, "invocation_timeout"))
        snprintf(fn->timeout_s, sizeof fn->timeout_s, "%lld",
                 (long long)host->get_int(info->config, "invocation_timeout") / 1000);
    if (uri.n && s3_uri(uri, &fn->bucket, &fn->folder))
        return wrong(fn, info->config, "s3_uri", "is not an address as s3://bucket/prefix", why);
    while (fn->folder.n && fn->folder.p[fn->folder.n - 1] == '/') fn->folder.n--;
    if (fn->folder.n > S3_KEY - 64) return wrong(fn, info->config, "s3_uri", "is too long", why);
    if (fn->input == 2 && !uri.n) return wrong(fn, info->config, "s3_uri", "is needed with input = s3", why);
    if (fn->input != 1 && uri.n) {
        fn->s.use.bucket = fn->bucket;
        fn->s.use.folder = fn->folder;
    }
    return PBAY_OK;
}

static int32_t bind(struct sagemaker *sm, const pbay_function_info *info, void **bound, pbay_result *why)
{
    struct function *fn = calloc(1, sizeof *fn);
    if (!fn) return sagemaker_refuse(sm, why, PBAY_RESOURCE_EXHAUSTED, "out of memory");
    fn->op = &invoke_async_operation;
    int32_t rc = scoring_read(&fn->s, sm, info, 1, why);
    if (rc == PBAY_OK) rc = configure(fn, info, why);
    if (rc != PBAY_OK) {
        unbind(sm, fn);
        return rc;
    }
    *bound = fn;
    return PBAY_OK;
}

static pbay_str lane(void *bound)
{
    const struct function *fn = bound;
    return literal(fn->s.endpoint);
}

static int32_t submit(struct sagemaker *sm, void *bound, pbay_call call, const pbay_batch *in,
                      pbay_result *why)
{
    struct function *fn = bound;
    int32_t rc = scoring_fits(&fn->s, in, why);
    if (rc != PBAY_OK) return rc;
    struct call *c = calloc(1, sizeof *c);
    if (!c) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    c->fn = fn;
    c->call = call;
    c->n_rows = in->n_rows;
    c->writer = sm->batch->writer(sm->host, &fn->s.codec);
    sm->batch->write(c->writer, in, NULL);
    size_t n = sm->batch->text_of(c->writer).n;
    int large = n > INLINE_MAX;
    if (large && (fn->input == 1 || !fn->bucket.n)) {
        sm->batch->writer_free(c->writer);
        free(c);
        sagemaker_refuse(
            sm, why, PBAY_RESOURCE_EXHAUSTED,
            "%s: %zu bytes of rows, and a request holds 128,000: set s3_uri, or a smaller max_rows",
            fn->s.who, n);
        if (in->n_rows > 1) why->advice = PBAY_ADVICE_SPLIT;
        return why->code;
    }
    c->next = fn->calls;
    fn->calls = c;
    if (fn->input == 2 || large)
        upload(c);
    else
        invoke(c);
    return PBAY_OK;
}

static void cancel(struct sagemaker *sm, void *bound, pbay_call call)
{
    struct function *fn = bound;
    struct call *c = fn->calls;
    while (c && c->call != call) c = c->next;
    if (!c || c->cancelled) return;
    c->cancelled = 1;
    if (c->ask)
        aws_call_cancel(c->ask);
    else if (c->upload)
        s3_upload_cancel(c->upload);
    else if (c->timer) {
        sm->timer->cancel(c->timer);
        fail_code(c, PBAY_CANCELLED, "cancelled");
    }
}

const struct operation invoke_async_operation = {
    .bind = bind, .unbind = unbind, .lane = lane, .submit = submit, .cancel = cancel};
