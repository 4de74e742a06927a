/* SPDX-License-Identifier: MIT */
/*
 * `invoke`: a batch of rows to a SageMaker endpoint and its predictions back, one InvokeEndpoint per batch;
 * one for each combination of values where columns choose endpoint, model or other headers.
 *
 * https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
 * Errors carry advice and are not repeated here: the host knows how many calls are under way and how long
 * they may take. Only keys that were refused are a reason to send again: the host cannot know of those.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_error.h"
#include "kit/aws_error.h"
#include "scoring.h"

enum {
    REPLY_MAX = 64 << 20,
    TIMEOUT_MS = 70000, /* the service ends an invocation after 60 s */
    REFUSALS_MAX = 2,   /* of keys, before that is the answer */
    PARTS_MAX = 256,
    VALUE_MAX = 1024,
};

const pbay_option invoke_options[] = {
    SCORING_OPTIONS,
    {"target_variant", PBAY_OPT_STR, PBAY_OPTF_PER_CALL, NULL, NULL, "production variant to ask"},
    {"target_model", PBAY_OPT_STR, PBAY_OPTF_PER_CALL, NULL, NULL, "model of a multi-model endpoint"},
    {"target_container", PBAY_OPT_STR, PBAY_OPTF_PER_CALL, NULL, NULL,
     "container host name of a multi-container endpoint"},
    {"inference_component", PBAY_OPT_STR, PBAY_OPTF_PER_CALL, NULL, NULL, "inference component to ask"},
    {"session_id", PBAY_OPT_STR, PBAY_OPTF_PER_CALL, NULL, NULL,
     "of a stateful model: NEW_SESSION, or one that is open"},
    {"enable_explanations", PBAY_OPT_STR, PBAY_OPTF_PER_CALL, NULL, NULL, "expression for SageMaker Clarify"},
    {"header", PBAY_OPT_FAMILY, 0, NULL, NULL, "header.NAME = value: further request headers"},
    {"column", PBAY_OPT_FAMILY, 0, NULL, NULL,
     "column.WHAT = PARAMETER (or its number, where Lua decides what is sent): this column is not sent, its "
     "value is the row's "
     "own endpoint, region, target_model, ... or any header; rows with the same values go together"},
};
const uint32_t invoke_n_options = sizeof invoke_options / sizeof *invoke_options;

struct call;

/* One request. */
struct part {
    struct call *call;
    pbay_http exchange;
    pbay_writer *writer;
    uint32_t n_rows;
    uint32_t generation; /* of the keys it was signed with */
    uint32_t refusals;
    struct aws_waiter waiter;
    int over;
    /* Where columns decide: */
    pbay_builder *out;                 /* its answers */
    pbay_str values[SCORING_COLUMNS];  /* of s.from, p NULL: null. Borrowed from the batch */
    char numbers[SCORING_COLUMNS][40]; /* those that were not text */
    char who[SCORING_WHO];
};

struct call {
    struct function *fn;
    struct call *next;
    pbay_call call;
    const pbay_batch *in;
    struct part one, *parts; /* parts: &one, or owned */
    uint32_t n_parts, left;
    uint32_t *part_of; /* row -> part; NULL: there is one */
    int cancelled, failed;
    pbay_result result;
    char text[1024], code[HTTP_ERROR_CODE];
};

struct function {
    const struct operation *op;
    struct scoring s;
    struct call *calls; /* under way */
    struct call *idle;  /* with their writers */
};

static pbay_str literal(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

/* ------------------------------------------------------------------------------------------------ bind */

static void unbind(struct sagemaker *sm, void *bound)
{
    struct function *fn = bound;
    while (fn->idle) {
        struct call *c = fn->idle;
        fn->idle = c->next;
        sm->batch->writer_free(c->one.writer);
        free(c);
    }
    scoring_free(&fn->s);
    free(fn);
}

static int32_t bind(struct sagemaker *sm, const pbay_function_info *info, void **bound, pbay_result *why)
{
    struct function *fn = calloc(1, sizeof *fn);
    if (!fn) return sagemaker_refuse(sm, why, PBAY_RESOURCE_EXHAUSTED, "out of memory");
    fn->op = &invoke_operation;
    int32_t rc = scoring_read(&fn->s, sm, info, 0, why);
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

/* ------------------------------------------------------------------------------------------------ ends */

/* Answers of the parts, row by row where the rows were. */
static pbay_builder *merge(struct call *c)
{
    const struct scoring *s = &c->fn->s;
    const pbay_batch_1 *b = s->sm->batch;
    struct answers a = answers_begin(s->sm, &s->columns, s->who);
    const pbay_batch **got = calloc(c->n_parts, sizeof(void *));
    uint32_t *at = calloc(c->n_parts, sizeof *at), *error = calloc(c->n_parts, sizeof *error);
    if (!got || !at || !error) abort();
    for (uint32_t p = 0; p < c->n_parts; p++) got[p] = b->seal(c->parts[p].out, &c->result);
    for (uint32_t row = 0; row < c->in->n_rows; row++) {
        uint32_t p = c->part_of[row], i = at[p]++;
        for (uint32_t col = 0; col < s->columns.n; col++)
            b->copy(a.out, col, pbay_batch_col(got[p], col), i, 1);
        if (error[p] < got[p]->n_row_errors && got[p]->row_errors[error[p]].row == i) {
            const pbay_row_error *e = &got[p]->row_errors[error[p]++];
            b->row_error(a.out, row, e->code, e->message);
        }
    }
    free(got);
    free(at);
    free(error);
    return a.out;
}

static void complete(struct call *c)
{
    struct function *fn = c->fn;
    const pbay_batch_1 *b = fn->s.sm->batch;
    pbay_call call = c->call;
    pbay_result r = c->result;
    pbay_builder *out = c->failed ? NULL : c->part_of ? merge(c) : c->one.out;
    for (struct call **at = &fn->calls; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    for (uint32_t p = 0; p < c->n_parts; p++) {
        struct part *one = &c->parts[p];
        if (one->out && one->out != out) b->free(one->out);
        one->out = NULL;
        if (c->part_of)
            b->writer_free(one->writer);
        else
            b->writer_reset(one->writer);
    }
    if (c->part_of) free(c->parts);
    free(c->part_of);
    c->part_of = NULL;
    c->next = fn->idle;
    fn->idle = c;
    fn->s.sm->call->complete(call, &r, out);
}

static void part_over(struct part *p)
{
    struct call *c = p->call;
    if (p->over) return;
    p->over = 1;
    if (--c->left == 0) complete(c);
}

static void stop_parts(struct call *c);

/* The first failure is the call's; the other parts are of no interest any more. */
static void fail(struct part *p, const pbay_result *r)
{
    struct call *c = p->call;
    if (!c->failed) {
        c->failed = 1;
        c->result = *r;
        snprintf(c->text, sizeof c->text, "%.*s",
                 (int)(r->message.n < sizeof c->text ? r->message.n : sizeof c->text - 1),
                 r->message.n ? r->message.p : "");
        snprintf(c->code, sizeof c->code, "%.*s",
                 (int)(r->vendor_code.n < sizeof c->code ? r->vendor_code.n : sizeof c->code - 1),
                 r->vendor_code.n ? r->vendor_code.p : "");
        c->result.message = literal(c->text);
        c->result.vendor_code = literal(c->code);
        p->over = 1;
        if (c->n_parts > 1) stop_parts(c);
        p->over = 0;
    }
    part_over(p);
}

/* ------------------------------------------------------------------------------------------------ reply */

static void go(void *user);

/* Keys that changed, or a clock that is off, are reasons to send the batch once more. */
static int mend(struct part *p, const pbay_http_reply *reply, const struct http_error *e)
{
    struct call *c = p->call;
    if (e->klass != PBAY_AWS_AUTH && e->klass != PBAY_AWS_CLOCK) return 0;
    if (c->cancelled || c->failed || ++p->refusals > REFUSALS_MAX) return 0;
    return aws_refused(&c->fn->s.sm->aws, p->generation, reply);
}

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct part *p = user;
    struct call *c = p->call;
    struct http_error e;
    pbay_result r = PBAY_RESULT_OK;
    (void)exchange;
    p->exchange = 0;
    if (reply->result.code != PBAY_OK) {
        r = reply->result;
        snprintf(e.text, sizeof e.text, "%s: %.*s", p->who, (int)(r.message.n < 900 ? r.message.n : 900),
                 r.message.n ? r.message.p : "");
        r.message = literal(e.text);
        fail(p, &r);
    } else if (reply->status < 200 || reply->status > 299) {
        r = http_error_aws(reply, p->who, &e);
        if (mend(p, reply, &e)) {
            go(p);
            return;
        }
        if (c->in->n_rows == 1 && r.advice == PBAY_ADVICE_SPLIT) r.advice = PBAY_ADVICE_NONE;
        fail(p, &r);
    } else {
        p->out = scoring_answers(&c->fn->s, p->who, reply->body, p->n_rows, &r, e.text);
        r.vendor_status = r.code == PBAY_OK ? 0 : reply->status;
        if (p->out)
            part_over(p);
        else
            fail(p, &r);
    }
}

/* ------------------------------------------------------------------------------------------------ request */

static int32_t send_part(struct part *p, pbay_result *why)
{
    static const pbay_http_events events = {sizeof events, 0, NULL, NULL, NULL, on_done};
    struct call *c = p->call;
    const struct scoring *s = &c->fn->s;
    struct sagemaker *sm = s->sm;
    char path[ENDPOINT_MAX + 64];
    pbay_str endpoint = literal(s->endpoint), region = literal(s->region);
    pbay_header headers[SCORING_HEADERS];
    uint32_t n = s->n_headers;
    memcpy(headers, s->headers, n * sizeof *headers);
    for (uint32_t i = 0; i < s->n_from; i++) {
        const struct scoring_column *from = &s->from[i];
        if (!p->values[i].p) continue;
        if (from->what == COLUMN_ENDPOINT)
            endpoint = p->values[i];
        else if (from->what == COLUMN_REGION)
            region = p->values[i];
        else
            headers[n++] = (pbay_header){from->header, p->values[i]};
    }
    int len = snprintf(path, sizeof path, "/endpoints/%.*s/invocations", (int)endpoint.n, endpoint.p);
    struct aws_request request = {
        .service = AWS_RUNTIME,
        .method = STR("POST"),
        .region = region,
        .path = {path, (size_t)len},
        .headers = headers,
        .n_headers = n,
        .body = sm->batch->text_of(p->writer),
        .timeout_ms = sagemaker_timeout(sm, c->call, TIMEOUT_MS),
        .max_reply = REPLY_MAX,
    };
    p->generation = sm->aws.generation;
    p->exchange = aws_send(&sm->aws, &request, &events, p, why);
    if (p->exchange) return PBAY_OK;
    pbay_str m = why->message;
    return sagemaker_refuse(sm, why, why->code, "%s: %.*s", p->who, m.n < 900 ? (int)m.n : 900,
                            m.n ? m.p : "");
}

/* Send as soon as there are keys. PBAY_OK: sent or waiting. */
static int32_t attempt(struct part *p, pbay_result *why)
{
    struct sagemaker *sm = p->call->fn->s.sm;
    p->exchange = 0;
    p->waiter.ready = go;
    p->waiter.user = p;
    int32_t rc = aws_ready(&sm->aws, &p->waiter);
    if (rc == PBAY_LATER) return PBAY_OK;
    if (rc != PBAY_OK) return sagemaker_refuse(sm, why, rc, "%s: %s", p->who, sm->aws.why);
    return send_part(p, why);
}

static void go(void *user)
{
    struct part *p = user;
    pbay_result why = PBAY_RESULT_OK;
    if (p->call->cancelled || p->call->failed) {
        why.code = PBAY_CANCELLED;
        why.message = STR("cancelled");
        fail(p, &why);
    } else if (attempt(p, &why) != PBAY_OK)
        fail(p, &why);
}

static void stop_part(struct part *p)
{
    struct sagemaker *sm = p->call->fn->s.sm;
    if (p->over) return;
    if (p->exchange) {
        sm->http->cancel(p->exchange);
    } else {
        aws_forget(&sm->aws, &p->waiter);
        go(p);
    }
}

/* One that is stopped may stop all others: the call is held until the last has been looked at. */
static void stop_parts(struct call *c)
{
    c->left++;
    for (uint32_t i = 0, n = c->n_parts; i < n; i++) stop_part(&c->parts[i]);
    if (--c->left == 0) complete(c);
}

/* ------------------------------------------------------------------------------------------------ parts */

/* The text of a cell that goes into a header. 0, or -1: it cannot. */
static int value_of(struct part *p, uint32_t i, const pbay_column *col, uint32_t row)
{
    if (pbay_cell_null(col, row)) {
        p->values[i] = (pbay_str){NULL, 0};
        return 0;
    }
    pbay_str v = col->off ? pbay_cell_text(col, row)
                          : (pbay_str){p->numbers[i], answers_format(col->num[row], p->numbers[i])};
    if (!v.n) v.p = NULL; /* as if it were null: the function's own */
    for (size_t k = 0; k < v.n; k++)
        if ((unsigned char)v.p[k] < ' ' || v.p[k] == 0x7f) return -1;
    p->values[i] = v;
    return v.n <= VALUE_MAX ? 0 : -1;
}

static int same(const struct part *a, const struct part *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!a->values[i].p != !b->values[i].p || a->values[i].n != b->values[i].n) return 0;
        if (a->values[i].p && b->values[i].p && memcmp(a->values[i].p, b->values[i].p, a->values[i].n) != 0)
            return 0;
    }
    return 1;
}

static int32_t refuse_row(const struct scoring *s, uint32_t row, const struct scoring_column *from,
                          pbay_str v, int32_t code, const char *text, pbay_result *why)
{
    return sagemaker_refuse(s->sm, why, code, "%s: row %u: %.*s \"%.*s\" %s", s->who, (unsigned)row + 1,
                            (int)from->name.n, from->name.p, (int)(v.n < 80 ? v.n : 80), v.n ? v.p : "",
                            text);
}

static int is(pbay_str v, const char *text)
{
    return v.n == strlen(text) && memcmp(v.p, text, v.n) == 0;
}

/* Is what a row chose allowed? What the function would take without it always is. */
static int32_t check_values(const struct scoring *s, const struct part *p, uint32_t row, pbay_result *why)
{
    for (uint32_t i = 0; i < s->n_from; i++) {
        pbay_str v = p->values[i];
        if (!v.p || s->from[i].what == COLUMN_HEADER) continue;
        if (s->from[i].what == COLUMN_ENDPOINT && !scoring_endpoint_valid(v))
            return refuse_row(s, row, &s->from[i], v, PBAY_INVALID_ARGUMENT, "is not the name of one", why);
        if (s->from[i].what == COLUMN_ENDPOINT && !is(v, s->endpoint) &&
            !scoring_allowed(s->sm, "allow_endpoints", v))
            return refuse_row(s, row, &s->from[i], v, PBAY_PERMISSION_DENIED,
                              "is not one of allow_endpoints of the connector", why);
        if (s->from[i].what == COLUMN_REGION &&
            (!aws_region_valid(v) ||
             (!is(v, s->sm->aws.region) && !is(v, s->region) && !scoring_allowed(s->sm, "allow_regions", v))))
            return refuse_row(s, row, &s->from[i], v, PBAY_PERMISSION_DENIED,
                              "is not one of allow_regions of the connector", why);
    }
    return PBAY_OK;
}

static int32_t find_parts(struct call *c, pbay_result *why)
{
    const struct scoring *s = &c->fn->s;
    const pbay_batch *in = c->in;
    c->part_of = malloc(in->n_rows * sizeof *c->part_of);
    c->parts = calloc(PARTS_MAX, sizeof *c->parts);
    c->n_parts = 0;
    if (!c->part_of || !c->parts) abort();
    for (uint32_t row = 0; row < in->n_rows; row++) {
        struct part one = {0};
        uint32_t k = 0;
        for (uint32_t i = 0; i < s->n_from; i++)
            if (value_of(&one, i, pbay_batch_col(in, s->from[i].index), row))
                return refuse_row(
                    s, row, &s->from[i], (pbay_str){NULL, 0}, PBAY_INVALID_ARGUMENT,
                    "is longer than 1024 bytes or has control characters: it cannot be a header", why);
        while (k < c->n_parts && !same(&c->parts[k], &one, s->n_from)) k++;
        if (k == PARTS_MAX)
            return sagemaker_refuse(s->sm, why, PBAY_INVALID_ARGUMENT,
                                    "%s: more than %d combinations of values in one batch: lower max_rows",
                                    s->who, PARTS_MAX);
        if (k == c->n_parts) {
            int32_t rc = check_values(s, &one, row, why);
            if (rc != PBAY_OK) return rc;
            struct part *fresh = &c->parts[c->n_parts++];
            for (uint32_t i = 0; i < s->n_from; i++)
                value_of(fresh, i, pbay_batch_col(in, s->from[i].index), row);
            fresh->call = c;
            snprintf(fresh->who, sizeof fresh->who, "%s", s->who);
            for (uint32_t i = 0; i < s->n_from; i++)
                if (s->from[i].what == COLUMN_ENDPOINT && fresh->values[i].p)
                    snprintf(fresh->who, sizeof fresh->who, "endpoint %.*s", (int)fresh->values[i].n,
                             fresh->values[i].p);
        }
        c->parts[k].n_rows++;
        c->part_of[row] = k;
    }
    return PBAY_OK;
}

/* The columns that are sent, as a batch that borrows; returns their indexes into the batch that came. */
static uint32_t sent(const struct scoring *s, const pbay_batch *in, uint32_t *index)
{
    uint32_t n = 0;
    for (uint32_t col = 0; col < in->n_cols; col++) {
        int taken = 0;
        for (uint32_t i = 0; i < s->n_from; i++) taken |= s->from[i].index == col;
        if (!taken) index[n++] = col;
    }
    return n;
}

static void write_parts(struct call *c)
{
    const struct scoring *s = &c->fn->s;
    const pbay_batch_1 *b = s->sm->batch;
    const pbay_batch *in = c->in;
    uint32_t *index = malloc((in->n_cols + 1) * sizeof *index);
    if (!index) abort();
    uint32_t n = sent(s, in, index);
    for (uint32_t p = 0; p < c->n_parts; p++) {
        pbay_builder *rows = b->create(s->sm->host);
        pbay_result why = PBAY_RESULT_OK;
        for (uint32_t i = 0; i < n; i++) {
            const pbay_column *col = pbay_batch_col(in, index[i]);
            b->add_column(rows, col->name, col->kind);
        }
        for (uint32_t row = 0; row < in->n_rows; row++)
            if (c->part_of[row] == p)
                for (uint32_t i = 0; i < n; i++) b->copy(rows, i, pbay_batch_col(in, index[i]), row, 1);
        c->parts[p].writer = b->writer(s->sm->host, &s->codec);
        b->write(c->parts[p].writer, b->seal(rows, &why), NULL);
        b->free(rows);
    }
    free(index);
}

/* ------------------------------------------------------------------------------------------------ submit */

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
    c->one.call = c;
    c->one.writer = fn->s.sm->batch->writer(fn->s.sm->host, &fn->s.codec);
    snprintf(c->one.who, sizeof c->one.who, "%s", fn->s.who);
    return c;
}

static void call_put(struct function *fn, struct call *c)
{
    if (c->part_of) free(c->parts);
    free(c->part_of);
    c->part_of = NULL;
    fn->s.sm->batch->writer_reset(c->one.writer);
    c->next = fn->idle;
    fn->idle = c;
}

static int32_t submit(struct sagemaker *sm, void *bound, pbay_call call, const pbay_batch *in,
                      pbay_result *why)
{
    struct function *fn = bound;
    int32_t rc = scoring_fits(&fn->s, in, why);
    if (rc != PBAY_OK) return rc;
    struct call *c = call_get(fn);
    c->call = call;
    c->in = in;
    c->cancelled = c->failed = 0;
    c->result = (pbay_result)PBAY_RESULT_OK;
    if (!fn->s.n_from) {
        struct part *p = c->parts = &c->one;
        c->n_parts = c->left = 1;
        p->n_rows = in->n_rows;
        p->refusals = 0;
        p->over = 0;
        p->out = NULL;
        sm->batch->write(p->writer, in, NULL);
        rc = attempt(p, why);
        if (rc != PBAY_OK) {
            call_put(fn, c);
            return rc;
        }
        c->next = fn->calls;
        fn->calls = c;
        return PBAY_OK;
    }
    rc = find_parts(c, why);
    if (rc != PBAY_OK) {
        call_put(fn, c);
        return rc;
    }
    write_parts(c);
    c->left = c->n_parts;
    c->next = fn->calls;
    fn->calls = c;
    for (uint32_t i = 0, n = c->n_parts; i < n && !c->failed; i++)
        if (!c->parts[i].over) go(&c->parts[i]);
    return PBAY_OK;
}

static void cancel(struct sagemaker *sm, void *bound, pbay_call call)
{
    struct function *fn = bound;
    (void)sm;
    for (struct call *c = fn->calls; c; c = c->next)
        if (c->call == call) {
            c->cancelled = 1;
            if (c->n_parts == 1)
                stop_part(&c->parts[0]);
            else
                stop_parts(c);
            return;
        }
}

const struct operation invoke_operation = {
    .bind = bind, .unbind = unbind, .lane = lane, .submit = submit, .cancel = cancel};
