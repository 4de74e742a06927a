/* SPDX-License-Identifier: MIT */
/*
 * `rest_dataframe`: rows as a pandas data frame to a model of Databricks or MLflow, a request per batch. A
 * row is one text of CSV, or as many columns as schema_metadata names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "http_error.h"
#include "qrag_frame.h"
#include "qrag.h"

enum { TIMEOUT_MS = 120000, REPLY_MAX = 64 << 20, URL_MAX = 4096, WHO = 300 };

const pbay_option dataframe_options[] = {
    {"url", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "where to POST; an http:// URL is allowed here"},
    {"schema_metadata", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "the columns' names as a header line of CSV: age,income,plan"},
    {"databricks_token", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "sent as Authorization: Bearer"},
    {"batch_size", PBAY_OPT_INT, 0, "1000", "1..1000000", "most rows in one request"},
    {"frame", PBAY_OPT_ENUM, 0, "split", "split|dataframe_split",
     "split: the frame is the body; dataframe_split: it stands below that name, as MLflow 2 wants it"},
    {"header", PBAY_OPT_FAMILY, 0, NULL, NULL, "header.NAME = value: further request headers"},
};
const uint32_t dataframe_n_options = sizeof dataframe_options / sizeof *dataframe_options;

struct frame_function {
    const struct operation *op;
    struct sagemaker *sm;
    uint32_t batch_size;
    int wrapped;
    pbay_str url, schema;
    char who[WHO];
    char *bearer;
    pbay_header *headers;
    uint32_t n_headers;
    struct answer_columns columns;
    struct frame_call *calls;
};

struct frame_call {
    struct frame_function *fn;
    struct frame_call *next;
    pbay_call call;
    uint32_t n_rows;
    pbay_http exchange;
    struct text body;
    struct answers answers;
};

static void unbind(struct sagemaker *sm, void *bound)
{
    struct frame_function *fn = bound;
    (void)sm;
    answer_columns_free(&fn->columns);
    if (fn->bearer) {
        volatile char *wipe = fn->bearer;
        for (size_t n = strlen(fn->bearer); n; n--) *wipe++ = 0;
    }
    free(fn->bearer);
    free(fn->headers);
    free(fn);
}

static int32_t bind_frame(struct sagemaker *sm, const pbay_function_info *info, void **bound,
                          pbay_result *why)
{
    const pbay_host *host = sm->host;
    const pbay_config *config = info->config;
    struct frame_function *fn = calloc(1, sizeof *fn);
    uint32_t n = host->count(config, "header");
    if (fn) fn->headers = calloc(n + 2, sizeof *fn->headers);
    if (!fn || !fn->headers || answer_columns_make(&fn->columns, info->answers, info->n_answers)) abort();
    fn->op = &rest_dataframe_operation;
    fn->sm = sm;
    fn->batch_size = (uint32_t)host->get_int(config, "batch_size");
    fn->wrapped = host->get_int(config, "frame") == 1;
    fn->url = host->get_str(config, "url");
    fn->schema = host->get_str(config, "schema_metadata");
    pbay_str token = host->get_str(config, "databricks_token");
    if (token.n) {
        fn->bearer = malloc(token.n + 8);
        if (!fn->bearer) abort();
        sprintf(fn->bearer, "Bearer %.*s", (int)token.n, token.p);
        fn->headers[fn->n_headers++] = (pbay_header){STR("Authorization"), {fn->bearer, strlen(fn->bearer)}};
    }
    fn->headers[fn->n_headers++] = (pbay_header){STR("Content-Type"), STR("application/json")};
    for (uint32_t i = 0; i < n; i++) {
        pbay_header *h = &fn->headers[fn->n_headers++];
        h->value = host->item(config, "header", i, &h->name);
    }
    pbay_str shown = fn->url;
    const char *query = shown.n ? memchr(shown.p, '?', shown.n) : NULL;
    if (query) shown.n = (size_t)(query - shown.p);
    snprintf(fn->who, sizeof fn->who, "%.*s", (int)(shown.n < WHO ? shown.n : WHO - 1),
             shown.n ? shown.p : "");
    struct frame *f = frame_new(fn->schema);
    const char *option = !f ? "schema_metadata" : "url";
    const char *wrong = !f                                   ? "names no column"
                        : !fn->url.n || fn->url.n >= URL_MAX ? "has 1 to 4095 bytes"
                        : fn->columns.n != 1                 ? "this operation answers one column"
                                                             : NULL;
    frame_free(f);
    if (!wrong) {
        *bound = fn;
        return PBAY_OK;
    }
    pbay_str where = host->where(config, option);
    int32_t rc = sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "%.*s: %s: %s", (int)where.n,
                                  where.n ? where.p : "", option, wrong);
    unbind(sm, fn);
    return rc;
}

static pbay_str lane(void *bound)
{
    (void)bound;
    return (pbay_str){NULL, 0};
}

/* ------------------------------------------------------------------------------------------------ rows */

static void put_cell(const struct frame_function *fn, const pbay_column *col, uint32_t row, int quote,
                     struct text *line)
{
    char number[40];
    if (pbay_cell_null(col, row)) return;
    pbay_str s;
    if (col->kind == PBAY_NUM)
        s = (pbay_str){number, answers_format(col->num[row], number)};
    else
        s = col->kind == PBAY_JSON ? fn->sm->batch->json_text(pbay_cell_text(col, row))
                                   : pbay_cell_text(col, row);
    if (!quote) {
        text_add(line, s.p, s.n);
        return;
    }
    text_add(line, "\"", 1);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"') text_add(line, "\"", 1);
        text_add(line, s.p + i, 1);
    }
    text_add(line, "\"", 1);
}

/* The body for the batch. 0, or -1 with a sentence in why and the row's number. */
static int make_body(const struct frame_function *fn, const pbay_batch *in, struct text *body, uint32_t *row,
                     char why[FRAME_WHY])
{
    struct frame *f = frame_new(fn->schema);
    struct text line = {NULL, 0, 0};
    int whole = in->n_cols > 1 && in->n_cols == frame_columns(f), rc = 0;
    for (*row = 0; !rc && *row < in->n_rows; ++*row) {
        line.n = 0;
        for (uint32_t c = 0; c < (whole ? in->n_cols : 1); c++) {
            if (c) text_add(&line, ",", 1);
            put_cell(fn, pbay_batch_col(in, c), *row, whole, &line);
        }
        rc = frame_line(f, (pbay_str){line.p, line.n}, why);
    }
    if (!rc) frame_json(f, fn->wrapped, body);
    frame_free(f);
    free(line.p);
    return rc;
}

static void put_answer(void *user, uint32_t i, pbay_str text, int null)
{
    struct frame_call *c = user;
    if (null)
        answers_null(&c->answers, i, 0);
    else
        answers_text(&c->answers, i, 0, text);
}

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct frame_call *c = user, **at = &c->fn->calls;
    struct frame_function *fn = c->fn;
    struct sagemaker *sm = fn->sm;
    pbay_result r = PBAY_RESULT_OK;
    struct http_error e;
    char why[FRAME_WHY];
    (void)exchange;
    while (*at != c) at = &(*at)->next;
    *at = c->next;
    c->answers.out = NULL;
    if (reply->result.code != PBAY_OK)
        r = reply->result;
    else if (reply->status < 200 || reply->status > 299)
        r = http_error_plain(reply, fn->who, &e);
    else {
        c->answers = answers_begin(sm, &fn->columns, fn->who);
        if (frame_answers(reply->body, c->n_rows, put_answer, c, why)) {
            snprintf(e.text, sizeof e.text, "%s: %s", fn->who, why);
            r.code = PBAY_DATA_LOSS;
            r.message = (pbay_str){e.text, strlen(e.text)};
            sm->batch->free(c->answers.out);
            c->answers.out = NULL;
        }
    }
    sm->call->complete(c->call, &r, c->answers.out);
    free(c->body.p);
    free(c);
}

static int32_t submit(struct sagemaker *sm, void *bound, pbay_call call, const pbay_batch *in,
                      pbay_result *why)
{
    static const pbay_http_events events = {sizeof events, 0, NULL, NULL, NULL, on_done};
    struct frame_function *fn = bound;
    char text[FRAME_WHY];
    uint32_t row = 0;
    if (in->n_cols == 0)
        return sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "%s: there is no column to send", fn->who);
    if (in->n_rows > fn->batch_size) {
        why->advice = PBAY_ADVICE_SPLIT;
        return sagemaker_refuse(sm, why, PBAY_RESOURCE_EXHAUSTED, "%u rows, and batch_size is %u", in->n_rows,
                                fn->batch_size);
    }
    struct frame_call *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->fn = fn;
    c->call = call;
    c->n_rows = in->n_rows;
    int32_t rc = PBAY_OK;
    if (make_body(fn, in, &c->body, &row, text))
        rc = sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "row %u: %s", (unsigned)row, text);
    else {
        const pbay_http_request request = {.struct_size = sizeof request,
                                           .flags = PBAY_HTTP_CONFIGURED,
                                           .method = STR("POST"),
                                           .url = fn->url,
                                           .headers = fn->headers,
                                           .n_headers = fn->n_headers,
                                           .body = {c->body.p, c->body.n},
                                           .timeout_ms = sagemaker_timeout(sm, call, TIMEOUT_MS),
                                           .max_reply = REPLY_MAX};
        c->exchange = sm->http->send(sm->host, &request, &events, c, why);
        if (!c->exchange) rc = why->code ? why->code : PBAY_INTERNAL;
    }
    if (rc != PBAY_OK) {
        free(c->body.p);
        free(c);
        return rc;
    }
    c->next = fn->calls;
    fn->calls = c;
    return PBAY_OK;
}

static void cancel(struct sagemaker *sm, void *bound, pbay_call call)
{
    struct frame_function *fn = bound;
    for (struct frame_call *c = fn->calls; c; c = c->next)
        if (c->call == call) {
            sm->http->cancel(c->exchange);
            return;
        }
}

const struct operation rest_dataframe_operation = {
    .bind = bind_frame, .unbind = unbind, .lane = lane, .submit = submit, .cancel = cancel};
