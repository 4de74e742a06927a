/* SPDX-License-Identifier: MIT */
/*
 * `train`: the rows of a call become CSV on S3 and an AutoML job; the answer is one row that says how the job
 * is.
 *
 *     LOAD * EXTENSION Patchbay.train_churn(Customers{Key, Age, Income, Plan, Churned});
 *
 * The job's name comes from the first row's `key_column`, or else from the rows themselves, so that the same
 * LOAD finds the job that it started: it starts it once, and tells its status and metrics from then on.
 * Nothing is left on S3 by a call that finds its job: parts are taken back.
 *
 * https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateAutoMLJobV2.html
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "http_error.h"
#include "s3.h"
#include "text.h"
#include "train.h"

enum { PIECE = 64 << 10, COLUMNS = 9, REPLY_MAX = 4 << 20, KEY_MAX = 512 };

static const struct {
    const char *name;
    uint32_t kind;
} ANSWER[COLUMNS] = {
    {"job", PBAY_STR},    {"arn", PBAY_STR},   {"status", PBAY_STR}, {"secondary_status", PBAY_STR},
    {"metric", PBAY_STR}, {"value", PBAY_NUM}, {"best", PBAY_STR},   {"reason", PBAY_STR},
    {"rows", PBAY_NUM},
};

enum step { READING, NAMING, FOUND, UPLOADING, CREATING };

/* One call. */
struct training {
    struct trainer *t;
    struct training *next;
    pbay_call call;
    enum step step;
    int ended, blocked, full, over;
    uint64_t rows;
    char name[TRAIN_JOB_NAME + 1];
    char folder[64]; /* below the prefix; where the data go */
    uint8_t digest[32];
    struct text piece; /* of what is hashed */
    pbay_writer *writer;
    struct s3_upload *upload;
    struct aws_call *ask;
    char *body;
    int64_t deadline;
    char why[1024];
    int32_t
        refused; /* what CreateAutoMLJobV2 answered without saying whether there is a job now, or PBAY_OK */
    char refusal[1024];
};

static void advance(struct training *c);

/* ------------------------------------------------------------------------------------------------ ends */

static void release(struct training *c)
{
    struct trainer *t = c->t;
    for (struct training **at = &t->calls; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    t->sm->batch->writer_free(c->writer);
    free(c->piece.p);
    free(c->body);
    free(c);
    if (t->unbound && !t->calls) train_unbind(t->sm, t);
}

/* The call is over as soon as nothing is under way any more. */
static void fail(struct training *c, const pbay_result *result)
{
    if (!c->over) {
        pbay_result r = *result;
        pbay_str m = result->message;
        snprintf(c->why, sizeof c->why, "%s: %.*s", c->t->who, (int)(m.n < 900 ? m.n : 900), m.n ? m.p : "");
        r.message = pbay_str_c(c->why);
        r.advice = PBAY_ADVICE_NONE;
        c->over = 1;
        c->t->sm->call->complete(c->call, &r, NULL);
    }
    if (c->upload) {
        s3_upload_cancel(c->upload);
        return;
    }
    if (!c->ask) release(c);
}

static void fail_code(struct training *c, int32_t code, const char *text)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    r.message = pbay_str_c(text);
    fail(c, &r);
}

/* What a description says, as the one row of the answer. */
static void answer(struct training *c, const json_t *d)
{
    struct sagemaker *sm = c->t->sm;
    const pbay_batch_1 *b = sm->batch;
    const json_t *best = json_object_get(d, "BestCandidate");
    const json_t *metric = json_object_get(best, "FinalAutoMLJobObjectiveMetric");
    const json_t *value = json_object_get(metric, "Value");
    const char *texts[COLUMNS] = {c->name,
                                  json_string_value(json_object_get(d, "AutoMLJobArn")),
                                  json_string_value(json_object_get(d, "AutoMLJobStatus")),
                                  json_string_value(json_object_get(d, "AutoMLJobSecondaryStatus")),
                                  json_string_value(json_object_get(metric, "MetricName")),
                                  NULL,
                                  json_string_value(json_object_get(best, "CandidateName")),
                                  json_string_value(json_object_get(d, "FailureReason"))};
    pbay_field fields[COLUMNS];
    pbay_builder *out = b->create(sm->host);
    const pbay_result ok = PBAY_RESULT_OK;
    for (uint32_t i = 0; i < COLUMNS; i++) {
        fields[i] = (pbay_field){pbay_str_c(ANSWER[i].name), ANSWER[i].kind, 0};
        b->add_column(out, fields[i].name, fields[i].kind);
    }
    for (uint32_t i = 0; i < COLUMNS; i++) {
        if (i == 5 && json_is_number(value))
            b->num(out, i, json_number_value(value));
        else if (i == 8)
            b->num(out, i, (double)c->rows);
        else if (texts[i])
            b->text(out, i, pbay_str_c(texts[i]));
        else
            b->null(out, i);
    }
    sm->call->no_store(c->call);
    sm->call->describe(c->call, pbay_str_c("job"), fields, COLUMNS);
    sm->call->emit(c->call, out);
    c->over = 1;
    sm->call->complete(c->call, &ok, NULL);
    if (c->upload)
        s3_upload_cancel(c->upload); /* it was there already */
    else
        release(c);
}

/* ------------------------------------------------------------------------------------------------ asking */

static void ask(struct training *c, const char *target, json_t *args, uint32_t flags, aws_call_done *done)
{
    char full[80], who[96];
    free(c->body);
    c->body = json_dumps(args, JSON_COMPACT);
    json_decref(args);
    if (!c->body) abort();
    snprintf(full, sizeof full, "SageMaker.%s", target);
    snprintf(who, sizeof who, "%s of %s", target, c->name);
    pbay_header headers[] = {{STR("Content-Type"), STR("application/x-amz-json-1.1")},
                             {STR("X-Amz-Target"), pbay_str_c(full)}};
    struct aws_request r = {.service = AWS_CONTROL,
                            .method = STR("POST"),
                            .path = STR("/"),
                            .headers = headers,
                            .n_headers = 2,
                            .body = pbay_str_c(c->body),
                            .max_reply = REPLY_MAX};
    c->ask = aws_call_start(&c->t->sm->aws, &r, flags, c->deadline, who, done, c);
}

static int said(pbay_str s, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.p + i, part, n) == 0) return 1;
    return 0;
}

static void described(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct training *c = user;
    c->ask = NULL;
    if (c->over) {
        fail(c, result);
        return;
    }
    if (result->code != PBAY_OK) {
        if (!said(result->vendor_code, "NotFound") && !said(result->message, "not found")) {
            fail(c, result);
            return;
        }
        if (c->step == CREATING) { /* the upload has ended: there is no way back */
            if (c->refused != PBAY_OK)
                fail_code(c, c->refused, c->refusal);
            else
                fail(c, result);
            return;
        }
        c->step = READING; /* there is no such job: it will be made */
        if (c->t->key < 0) c->step = UPLOADING;
        advance(c);
        return;
    }
    json_t *d = json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, 0, NULL);
    if (!json_is_object(d))
        fail_code(c, PBAY_DATA_LOSS, "DescribeAutoMLJobV2 answered something else than an object");
    else if (c->step == CREATING || c->ended)
        answer(c, d);
    else { /* the rest of the rows is of no interest; the answer comes when they have ended */
        c->step = FOUND;
        free(c->body);
        c->body = json_dumps(d, JSON_COMPACT);
        advance(c);
    }
    json_decref(d);
}

static void describe(struct training *c)
{
    json_t *args = json_object();
    json_object_set_new(args, "AutoMLJobName", json_string(c->name));
    ask(c, "DescribeAutoMLJobV2", args, 0, described);
}

static void created(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct training *c = user;
    (void)reply;
    c->ask = NULL;
    /* Two loads at once, or an answer that was lost: what counts is what is there. */
    if (c->over || (result->code != PBAY_OK && result->effect == PBAY_EFFECT_NONE &&
                    !said(result->vendor_code, "ResourceInUse")))
        fail(c, result);
    else {
        c->refused = result->code;
        snprintf(c->refusal, sizeof c->refusal, "%.*s",
                 (int)(result->message.n < 900 ? result->message.n : 900),
                 result->message.n ? result->message.p : "");
        describe(c);
    }
}

static void uploaded(void *user, const pbay_result *result, pbay_str etag)
{
    struct training *c = user;
    (void)etag;
    c->upload = NULL;
    if (c->over || result->code != PBAY_OK) {
        fail(c, result);
        return;
    }
    c->step = CREATING;
    ask(c, "CreateAutoMLJobV2", train_job(c->t, c->name, c->folder), AWS_CALL_ONCE, created);
}

/* ------------------------------------------------------------------------------------------------ names */

static void hash_piece(struct training *c)
{
    pbay_str parts[] = {{(const char *)c->digest, sizeof c->digest}, {c->piece.p, c->piece.n}};
    uint8_t out[32];
    c->t->sm->crypto->hash(PBAY_HASH_SHA256, parts, 2, out);
    memcpy(c->digest, out, sizeof out);
    c->piece.n = 0;
}

/* In pieces of one size, so that how rows arrived makes no difference. */
static void hash(struct training *c, pbay_str s)
{
    while (s.n) {
        size_t n = PIECE - c->piece.n < s.n ? PIECE - c->piece.n : s.n;
        text_add(&c->piece, s.p, n);
        s.p += n;
        s.n -= n;
        if (c->piece.n == PIECE) hash_piece(c);
    }
}

static void name_by_hash(struct training *c)
{
    int n = snprintf(c->name, sizeof c->name, "%s-", c->t->prefix);
    for (int i = 0; i < 8; i++) n += snprintf(c->name + n, sizeof c->name - (size_t)n, "%02x", c->digest[i]);
}

static void name_by_key(struct training *c, pbay_str key)
{
    int fits = key.n > 0 && strlen(c->t->prefix) + 1 + key.n <= TRAIN_JOB_NAME && key.p[key.n - 1] != '-';
    for (size_t i = 0; i < key.n; i++) {
        char ch = key.p[i];
        fits &= (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
                (ch == '-' && i);
    }
    if (fits) {
        snprintf(c->name, sizeof c->name, "%s-%.*s", c->t->prefix, (int)key.n, key.p);
        return;
    }
    hash(c, key);
    hash_piece(c);
    name_by_hash(c);
}

/* ------------------------------------------------------------------------------------------------ rows */

static void wake(struct training *c)
{
    if (!c->blocked || c->over) return;
    c->blocked = 0;
    c->t->sm->call->ready(c->call);
}

static void room(void *user)
{
    struct training *c = user;
    c->full = 0;
    if (!c->ask) wake(c);
}

/* Rows have ended, or a name has been looked up. */
static void advance(struct training *c)
{
    struct sagemaker *sm = c->t->sm;
    if (c->over || c->ask) return;
    if (!c->ended) {
        if (!c->full) wake(c);
        return;
    }
    if (c->step == FOUND) {
        json_t *d = json_loads(c->body, 0, NULL);
        answer(c, d);
        json_decref(d);
        return;
    }
    if (!c->rows) {
        fail_code(c, PBAY_INVALID_ARGUMENT, "there are no rows to train with");
        return;
    }
    if (c->t->key < 0 && c->step == READING) {
        hash_piece(c);
        name_by_hash(c);
        c->step = NAMING;
        describe(c);
        return;
    }
    if (c->step == READING || c->step == UPLOADING) {
        c->step = CREATING;
        sm->batch->writer_reset(c->writer);
        s3_upload_finish(c->upload);
    }
}

/* The columns that are trained on, as a batch that borrows. */
static void trained(const struct trainer *t, const pbay_batch *in, pbay_batch *out, pbay_column *cols)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < in->n_cols; i++)
        if ((int32_t)i != t->key) cols[n++] = *pbay_batch_col(in, i);
    *out = *in;
    out->n_cols = n;
    out->cols = cols;
    out->col_stride = sizeof *cols;
    out->n_row_errors = 0;
}

static int32_t key_of(struct training *c, const pbay_batch *in, pbay_result *why)
{
    const struct trainer *t = c->t;
    const pbay_column *col = pbay_batch_col(in, (uint32_t)t->key);
    char number[40];
    pbay_str key = {NULL, 0};
    if (!pbay_cell_null(col, 0)) {
        if (col->off)
            key = pbay_cell_text(col, 0);
        else
            key = (pbay_str){number, (size_t)snprintf(number, sizeof number, "%.15g", col->num[0])};
    }
    if (!key.n || key.n > KEY_MAX)
        return sagemaker_refuse(t->sm, why, PBAY_INVALID_ARGUMENT, "%s: the first row's key is %s", t->who,
                                key.n ? "longer than 512 bytes" : "empty");
    name_by_key(c, key);
    return PBAY_OK;
}

static int32_t push(struct sagemaker *sm, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct trainer *t = bound;
    struct training *c = t->calls;
    while (c && c->call != call) c = c->next;
    if (!c) return PBAY_CANCELLED;
    int32_t rc = PBAY_OK;
    if (in->n_cols != t->n_sends)
        rc = sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "%s: there are %u columns, and %u are declared",
                              t->who, (unsigned)in->n_cols, (unsigned)t->n_sends);
    else if (t->key >= 0 && !c->name[0]) {
        rc = key_of(c, in, why);
        if (rc == PBAY_OK) {
            c->step = NAMING;
            describe(c);
        }
    }
    if (rc != PBAY_OK) { /* that was the end of the call */
        c->over = 1;
        s3_upload_cancel(c->upload);
        return rc;
    }
    if (c->ask || c->full) {
        c->blocked = 1;
        return PBAY_LATER;
    }
    c->rows += in->n_rows;
    if (c->step == FOUND) return PBAY_OK;
    pbay_batch some;
    pbay_column *cols = malloc(in->n_cols * sizeof *cols + 1);
    if (!cols) abort();
    trained(t, in, &some, cols);
    sm->batch->write(c->writer, &some, NULL);
    free(cols);
    pbay_str text = sm->batch->text_of(c->writer);
    if (t->key < 0) hash(c, text);
    if (s3_upload_write(c->upload, text) == PBAY_LATER) c->full = 1; /* failed: `uploaded` says why */
    sm->batch->writer_reset(c->writer);
    return PBAY_OK;
}

static void end(struct sagemaker *sm, void *bound, pbay_call call)
{
    struct trainer *t = bound;
    struct training *c = t->calls;
    (void)sm;
    while (c && c->call != call) c = c->next;
    if (!c) return;
    c->ended = 1;
    advance(c);
}

static void writable(struct sagemaker *sm, void *bound, pbay_call call)
{
    (void)sm;
    (void)bound;
    (void)call; /* one row is emitted, whether it fits or not */
}

static void cancel(struct sagemaker *sm, void *bound, pbay_call call)
{
    struct trainer *t = bound;
    struct training *c = t->calls;
    (void)sm;
    while (c && c->call != call) c = c->next;
    if (!c || c->over) return;
    struct aws_call *asked = c->ask;
    fail_code(c, PBAY_CANCELLED, "cancelled");
    if (asked) aws_call_cancel(asked);
}

static int32_t open(struct sagemaker *sm, void *bound, pbay_call call, pbay_result *why)
{
    struct trainer *t = bound;
    uint8_t random[8];
    char key[S3_KEY];
    struct training *c = calloc(1, sizeof *c);
    if (!c) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    c->t = t;
    c->call = call;
    c->deadline = INT64_MAX; /* the host cancels */
    sm->crypto->random(random, sizeof random);
    int n = snprintf(c->folder, sizeof c->folder, "%s-", t->prefix);
    for (size_t i = 0; i < sizeof random; i++)
        n += snprintf(c->folder + n, sizeof c->folder - (size_t)n, "%02x", random[i]);
    snprintf(key, sizeof key, "%.*s%s%s/train.csv", (int)t->folder.n, t->folder.n ? t->folder.p : "",
             t->folder.n ? "/" : "", c->folder);
    pbay_codec codec = {.struct_size = sizeof codec, .format = PBAY_FORMAT_CSV, .trailing_newline = 1};
    c->writer = sm->batch->writer(sm->host, &codec);
    pbay_header type = {STR("Content-Type"), STR("text/csv")};
    c->upload = s3_upload_open(&sm->aws, t->bucket, pbay_str_c(key), &type, 1, INT64_MAX, uploaded, room, c);
    /* The header line, once. */
    struct text line = {0};
    for (uint32_t i = 0; i < t->n_trained; i++) {
        int quoted = strpbrk(t->names[i], ",\"\r\n") != NULL;
        if (i) text_add(&line, ",", 1);
        if (quoted) text_add(&line, "\"", 1);
        for (const char *p = t->names[i]; *p; p++) text_add(&line, *p == '"' ? "\"\"" : p, *p == '"' ? 2 : 1);
        if (quoted) text_add(&line, "\"", 1);
    }
    text_add(&line, "\n", 1);
    hash(c, (pbay_str){line.p, line.n});
    s3_upload_write(c->upload, (pbay_str){line.p, line.n});
    free(line.p);
    c->next = t->calls;
    t->calls = c;
    return PBAY_OK;
}

static pbay_str lane(void *bound)
{
    (void)bound;
    return STR("control");
}

const struct operation train_operation = {.bind = train_bind,
                                          .unbind = train_unbind,
                                          .lane = lane,
                                          .cancel = cancel,
                                          .open = open,
                                          .push = push,
                                          .end = end,
                                          .writable = writable};
