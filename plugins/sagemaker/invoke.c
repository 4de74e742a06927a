/* SPDX-License-Identifier: MIT */
/*
 * `invoke`: a batch of rows to a SageMaker endpoint and its predictions back, one InvokeEndpoint per batch.
 *
 * https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
 * Errors carry advice and are not repeated here: the host knows how many calls are under way and how long
 * they may take.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "http_error.h"
#include "kit/aws_error.h"
#include "path.h"
#include "policy.h"
#include "reply.h"
#include "sagemaker.h"

enum {
    ENDPOINT_MAX = 63,
    HEADERS_MAX = 32,
    REPLY_MAX = 64 << 20,
    TIMEOUT_MS = 70000, /* the service ends an invocation after 60 s */
    REFUSALS_MAX = 2,   /* of keys, before that is the answer */
    WHO = 96,
};

const pbay_option invoke_options[] = {
    {"endpoint", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "name of the endpoint"},
    {"format", PBAY_OPT_ENUM, 0, "csv", "csv|json|lines",
     "how rows are sent: CSV lines, JSON {\"instances\": [[...]]}, or JSON lines of arrays"},
    {"body", PBAY_OPT_ENUM, 0, "quoted", "quoted|raw",
     "csv: raw sends the one text column as it is, a line per row; quoted writes fields as CSV"},
    {"instances_key", PBAY_OPT_STR, 0, "instances", NULL,
     "json: the member that holds the rows; empty: a bare array"},
    {"content_type", PBAY_OPT_STR, 0, NULL, NULL, "instead of the one that goes with the format"},
    {"accept", PBAY_OPT_STR, 0, NULL, NULL, "instead of the one that goes with the format"},
    {"path", PBAY_OPT_STR, 0, NULL, NULL,
     "where in the answer the predictions are: predictions[].score; for CSV the number of a field: [0]"},
    {"target_variant", PBAY_OPT_STR, 0, NULL, NULL, "production variant to ask"},
    {"target_model", PBAY_OPT_STR, 0, NULL, NULL, "model of a multi-model endpoint"},
    {"target_container", PBAY_OPT_STR, 0, NULL, NULL, "container host name of a multi-container endpoint"},
    {"inference_component", PBAY_OPT_STR, 0, NULL, NULL, "inference component to ask"},
    {"custom_attributes", PBAY_OPT_STR, 0, NULL, NULL,
     "passed on to the container, up to 1024 visible characters"},
    {"header", PBAY_OPT_FAMILY, 0, NULL, NULL, "header.NAME = value: further request headers"},
};
const uint32_t invoke_n_options = sizeof invoke_options / sizeof *invoke_options;

static const struct {
    const char *option, *header;
} TARGETS[] = {
    {"target_variant", "X-Amzn-SageMaker-Target-Variant"},
    {"target_model", "X-Amzn-SageMaker-Target-Model"},
    {"target_container", "X-Amzn-SageMaker-Target-Container-Hostname"},
    {"inference_component", "X-Amzn-SageMaker-Inference-Component"},
    {"custom_attributes", "X-Amzn-SageMaker-Custom-Attributes"},
};

struct call {
    struct function *fn;
    struct call *next;
    pbay_call call;
    pbay_http exchange;
    pbay_writer *writer;
    uint32_t n_rows;
    uint32_t generation; /* of the keys it was signed with */
    uint32_t refusals;
    struct aws_waiter waiter;
    int cancelled;
};

struct function {
    const struct operation *op;
    struct sagemaker *sm;
    char endpoint[ENDPOINT_MAX + 1];
    char who[WHO]; /* "endpoint churn-v1" */
    pbay_codec codec;
    pbay_header headers[HEADERS_MAX]; /* texts are the configuration's */
    uint32_t n_headers;
    struct path path;
    struct answer_columns columns;
    struct call *calls; /* under way */
    struct call *idle;  /* with their writers */
    struct use use;
};

/* ------------------------------------------------------------------------------------------------ bind */

static int endpoint_valid(pbay_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        int alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && !(c == '-' && i && i + 1 < s.n)) return 0;
    }
    return s.n > 0 && s.n <= ENDPOINT_MAX;
}

static int starts_with(pbay_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    if (s.n < n) return 0;
    for (size_t i = 0; i < n; i++)
        if ((s.p[i] | 32) != prefix[i]) return 0;
    return 1;
}

static int32_t refuse_option(struct sagemaker *sm, const pbay_config *config, const char *option,
                             pbay_result *why, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static int32_t refuse_option(struct sagemaker *sm, const pbay_config *config, const char *option,
                             pbay_result *why, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pbay_str where = sm->host->where(config, option);
    return sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "%.*s: %s %s", (int)where.n,
                            where.n ? where.p : "", option, text);
}

static void add_header(struct function *fn, pbay_str name, pbay_str value)
{
    fn->headers[fn->n_headers++] = (pbay_header){name, value};
}

static pbay_str literal(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

static int32_t set_headers(struct function *fn, const pbay_config *config, pbay_result *why)
{
    static const char *const TYPES[] = {"text/csv", "application/json", "application/jsonlines"};
    struct sagemaker *sm = fn->sm;
    const pbay_host *host = sm->host;
    int64_t format = host->get_int(config, "format");
    pbay_str type = host->get_str(config, "content_type"), accept = host->get_str(config, "accept");
    add_header(fn, STR("Content-Type"), type.n ? type : literal(TYPES[format]));
    add_header(fn, STR("Accept"), accept.n ? accept : literal(TYPES[format]));
    for (size_t i = 0; i < sizeof TARGETS / sizeof *TARGETS; i++) {
        pbay_str v = host->get_str(config, TARGETS[i].option);
        if (v.n) add_header(fn, literal(TARGETS[i].header), v);
    }
    uint32_t n = host->count(config, "header");
    if (fn->n_headers + n > HEADERS_MAX)
        return refuse_option(sm, config, "header", why, "is given %u times, %u are allowed", (unsigned)n,
                             (unsigned)(HEADERS_MAX - fn->n_headers));
    for (uint32_t i = 0; i < n; i++) {
        pbay_str name, value = host->item(config, "header", i, &name);
        if (starts_with(name, "x-amz-") || starts_with(name, "authorization"))
            return refuse_option(sm, config, "header", why, "%.*s belongs to the request's signature",
                                 (int)name.n, name.p);
        add_header(fn, name, value);
    }
    return PBAY_OK;
}

static int32_t configure(struct function *fn, const pbay_function_info *info, pbay_result *why)
{
    static const uint32_t FORMATS[] = {PBAY_FORMAT_CSV, PBAY_FORMAT_JSON_ROWS, PBAY_FORMAT_JSON_LINES};
    struct sagemaker *sm = fn->sm;
    const pbay_host *host = sm->host;
    const pbay_config *config = info->config;
    pbay_str endpoint = host->get_str(config, "endpoint"), path = host->get_str(config, "path");
    if (!endpoint_valid(endpoint))
        return refuse_option(sm, config, "endpoint", why,
                             "has 1 to 63 letters, digits and inner hyphens, and \"%.*s\" does not",
                             endpoint.n < 80 ? (int)endpoint.n : 80, endpoint.n ? endpoint.p : "");
    memcpy(fn->endpoint, endpoint.p, endpoint.n);
    snprintf(fn->who, sizeof fn->who, "endpoint %s", fn->endpoint);
    const char *wrong = NULL;
    if (path_parse(path, &fn->path, &wrong))
        return refuse_option(sm, config, "path", why, "cannot be read: %s", wrong);
    fn->codec.struct_size = sizeof fn->codec;
    fn->codec.format = FORMATS[host->get_int(config, "format")];
    fn->codec.trailing_newline = 1;
    if (fn->codec.format == PBAY_FORMAT_JSON_ROWS) fn->codec.key = host->get_str(config, "instances_key");
    if (host->get_int(config, "body") == 1) {
        fn->codec.raw = 1;
        if (fn->codec.format != PBAY_FORMAT_CSV)
            return refuse_option(sm, config, "body", why, "= raw goes with format = csv");
        if (info->n_sends > 1)
            return refuse_option(sm, config, "body", why, "= raw sends one column, and the function sends %u",
                                 (unsigned)info->n_sends);
    }
    return set_headers(fn, config, why);
}

static void unbind(struct sagemaker *sm, void *bound)
{
    struct function *fn = bound;
    use_remove(sm, &fn->use);
    while (fn->idle) {
        struct call *c = fn->idle;
        fn->idle = c->next;
        sm->batch->writer_free(c->writer);
        free(c);
    }
    answer_columns_free(&fn->columns);
    free(fn);
}

static int32_t bind(struct sagemaker *sm, const pbay_function_info *info, void **bound, pbay_result *why)
{
    struct function *fn = calloc(1, sizeof *fn);
    if (!fn) return sagemaker_refuse(sm, why, PBAY_RESOURCE_EXHAUSTED, "out of memory");
    fn->op = &invoke_operation;
    fn->sm = sm;
    int32_t rc = configure(fn, info, why);
    if (rc == PBAY_OK && answer_columns_make(&fn->columns, info->answers, info->n_answers))
        rc = sagemaker_refuse(sm, why, PBAY_RESOURCE_EXHAUSTED, "out of memory");
    if (rc != PBAY_OK) {
        unbind(sm, fn);
        return rc;
    }
    fn->use = (struct use){.action = "sagemaker:InvokeEndpoint", .kind = "endpoint", .name = fn->endpoint};
    use_add(sm, &fn->use);
    *bound = fn;
    return PBAY_OK;
}

static pbay_str lane(void *bound)
{
    const struct function *fn = bound;
    return literal(fn->endpoint);
}

/* ------------------------------------------------------------------------------------------------ reply */

static void complete(struct call *c, const pbay_result *result, pbay_builder *out)
{
    struct function *fn = c->fn;
    pbay_call call = c->call;
    for (struct call **at = &fn->calls; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    fn->sm->batch->writer_reset(c->writer);
    c->next = fn->idle;
    fn->idle = c;
    fn->sm->call->complete(call, result, out);
}

static void go(void *user);

/* Keys that changed, or a clock that is off, are reasons to send the batch once more. */
static int mend(struct call *c, const pbay_http_reply *reply, const struct http_error *e)
{
    if (e->klass != PBAY_AWS_AUTH && e->klass != PBAY_AWS_CLOCK) return 0;
    if (c->cancelled || ++c->refusals > REFUSALS_MAX) return 0;
    return aws_refused(&c->fn->sm->aws, c->generation, reply);
}

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct call *c = user;
    struct function *fn = c->fn;
    struct sagemaker *sm = fn->sm;
    struct http_error e;
    pbay_result r = PBAY_RESULT_OK;
    (void)exchange;
    if (reply->result.code != PBAY_OK) {
        r = reply->result;
        snprintf(e.text, sizeof e.text, "%s: %.*s", fn->who, (int)(r.message.n < 900 ? r.message.n : 900),
                 r.message.n ? r.message.p : "");
        r.message = literal(e.text);
        complete(c, &r, NULL);
        return;
    }
    if (reply->status < 200 || reply->status > 299) {
        r = http_error_aws(reply, fn->who, &e);
        if (mend(c, reply, &e)) {
            go(c);
            return;
        }
        if (c->n_rows == 1 && r.advice == PBAY_ADVICE_SPLIT) r.advice = PBAY_ADVICE_NONE;
        complete(c, &r, NULL);
        return;
    }
    struct answers a = answers_begin(sm, &fn->columns, fn->who);
    struct reply_shape shape = {c->n_rows, fn->columns.n, fn->columns.kinds, fn->columns.names, &fn->path};
    struct reply_sink sink = answers_sink(&a);
    char why[REPLY_WHY];
    if (reply_parse(reply->body, &shape, &sink, &r.code, why) == 0) {
        complete(c, &r, a.out);
        return;
    }
    sm->batch->free(a.out);
    snprintf(e.text, sizeof e.text, "%s: %s", fn->who, why);
    r.message = literal(e.text);
    r.vendor_status = reply->status;
    complete(c, &r, NULL);
}

/* ------------------------------------------------------------------------------------------------ request */

static int32_t send_batch(struct call *c, pbay_result *why)
{
    static const pbay_http_events events = {sizeof events, 0, NULL, NULL, NULL, on_done};
    struct function *fn = c->fn;
    struct sagemaker *sm = fn->sm;
    char path[ENDPOINT_MAX + 64];
    int n = snprintf(path, sizeof path, "/endpoints/%s/invocations", fn->endpoint);
    struct aws_request request = {
        .service = AWS_RUNTIME,
        .method = STR("POST"),
        .path = {path, (size_t)n},
        .headers = fn->headers,
        .n_headers = fn->n_headers,
        .body = sm->batch->text_of(c->writer),
        .timeout_ms = sagemaker_timeout(sm, c->call, TIMEOUT_MS),
        .max_reply = REPLY_MAX,
    };
    c->generation = sm->aws.generation;
    c->exchange = aws_send(&sm->aws, &request, &events, c, why);
    if (c->exchange) return PBAY_OK;
    pbay_str m = why->message;
    return sagemaker_refuse(sm, why, why->code, "%s: %.*s", fn->who, m.n < 900 ? (int)m.n : 900,
                            m.n ? m.p : "");
}

/* Send as soon as there are keys. PBAY_OK: sent or waiting. */
static int32_t attempt(struct call *c, pbay_result *why)
{
    struct sagemaker *sm = c->fn->sm;
    c->exchange = 0;
    c->waiter.ready = go;
    c->waiter.user = c;
    int32_t rc = aws_ready(&sm->aws, &c->waiter);
    if (rc == PBAY_LATER) return PBAY_OK;
    if (rc != PBAY_OK) return sagemaker_refuse(sm, why, rc, "%s: %s", c->fn->who, sm->aws.why);
    return send_batch(c, why);
}

static void go(void *user)
{
    struct call *c = user;
    pbay_result why = PBAY_RESULT_OK;
    if (c->cancelled) {
        why.code = PBAY_CANCELLED;
        complete(c, &why, NULL);
    } else if (attempt(c, &why) != PBAY_OK)
        complete(c, &why, NULL);
}

static struct call *call_get(struct function *fn)
{
    struct call *c = fn->idle;
    if (c) {
        fn->idle = c->next;
        return c;
    }
    c = calloc(1, sizeof *c);
    if (!c) abort();
    c->fn = fn;
    c->writer = fn->sm->batch->writer(fn->sm->host, &fn->codec);
    return c;
}

static int32_t submit(struct sagemaker *sm, void *bound, pbay_call call, const pbay_batch *in,
                      pbay_result *why)
{
    struct function *fn = bound;
    if (fn->codec.raw && (in->n_cols != 1 || pbay_batch_col(in, 0)->kind != PBAY_STR))
        return sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT,
                                "%s: body = raw sends one text column, and there are %u%s", fn->who,
                                (unsigned)in->n_cols, in->n_cols == 1 ? " of another kind" : "");
    struct call *c = call_get(fn);
    c->call = call;
    c->n_rows = in->n_rows;
    c->refusals = 0;
    c->cancelled = 0;
    sm->batch->write(c->writer, in, NULL);
    int32_t rc = attempt(c, why);
    if (rc != PBAY_OK) {
        sm->batch->writer_reset(c->writer);
        c->next = fn->idle;
        fn->idle = c;
        return rc;
    }
    c->next = fn->calls;
    fn->calls = c;
    return PBAY_OK;
}

static void cancel(struct sagemaker *sm, void *bound, pbay_call call)
{
    struct function *fn = bound;
    for (struct call *c = fn->calls; c; c = c->next)
        if (c->call == call) {
            c->cancelled = 1;
            if (c->exchange) {
                sm->http->cancel(c->exchange);
            } else {
                aws_forget(&sm->aws, &c->waiter);
                go(c);
            }
            return;
        }
}

const struct operation invoke_operation = {
    .bind = bind, .unbind = unbind, .lane = lane, .submit = submit, .cancel = cancel};
