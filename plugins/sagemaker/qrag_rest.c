/* SPDX-License-Identifier: MIT */
/*
 * The REST functions of the older gateway: one request per row, several rows at once, answers in order.
 *
 *   rest_single   {"data":"first column"}
 *   rest_30       {"data":"all columns, joined by commas"}
 *   rest_template GET url + first column + ?query_parameter=second column&
 *   echo_table    no request: the rows as they came
 *
 * An HTTP status that is not 2xx fails the call; its body is never taken for a prediction.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "answers.h"
#include "http_error.h"
#include "qrag_body.h"
#include "qrag.h"

enum { TIMEOUT_MS = 70000, REPLY_MAX = 1 << 20, WHO = 300, URL_MAX = 4096 };

const pbay_option rest_options[] = {
    {"url", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "where to POST; an http:// URL is allowed here"},
    {"row_in_flight", PBAY_OPT_INT, 0, "12", "1..1000", "requests of one batch at once"},
    {"header", PBAY_OPT_FAMILY, 0, NULL, NULL,
     "header.NAME = value: further request headers, such as x-api-key"},
};
const uint32_t rest_n_options = sizeof rest_options / sizeof *rest_options;
const pbay_option template_options[] = {
    {"url", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "what the first column is put behind; an http:// URL is allowed here"},
    {"query_parameter", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "name of the query's parameter that the second column is the value of"},
    {"answer_key", PBAY_OPT_STR, 0, "ratings", NULL,
     "member of the answer that is a list; its last element counts"},
    {"row_in_flight", PBAY_OPT_INT, 0, "12", "1..1000", "requests of one batch at once"},
    {"header", PBAY_OPT_FAMILY, 0, NULL, NULL,
     "header.NAME = value: further request headers, such as x-api-key"},
};
const uint32_t template_n_options = sizeof template_options / sizeof *template_options;

struct slot {
    struct call *call;
    pbay_http exchange; /* 0: free */
    uint32_t row;
    struct text body, url;
};

struct call {
    struct function *fn;
    struct call *next;
    pbay_call call;
    const pbay_batch *in;
    uint32_t next_row, busy, n_slots;
    struct slot *slots;
    struct text *answers; /* per row */
    char *nulls;
    struct http_error error;
    pbay_result result; /* code not OK: the first failure */
};

struct function {
    const struct operation *op;
    struct sagemaker *sm;
    int all_columns, template;
    pbay_str parameter, answer_key;
    uint32_t row_in_flight;
    pbay_str url;
    char who[WHO]; /* "https://host/path", without a query, which may hold a key */
    pbay_header *headers;
    uint32_t n_headers;
    struct answer_columns columns;
    struct call *calls;
};

/* ------------------------------------------------------------------------------------------------ bind */

static void unbind(struct sagemaker *sm, void *bound)
{
    struct function *fn = bound;
    (void)sm;
    answer_columns_free(&fn->columns);
    free(fn->headers);
    free(fn);
}

static int32_t bind_as(struct sagemaker *sm, const pbay_function_info *info, void **bound, pbay_result *why,
                       const struct operation *op)
{
    const pbay_host *host = sm->host;
    struct function *fn = calloc(1, sizeof *fn);
    uint32_t n = op == &echo_table_operation ? 0 : host->count(info->config, "header");
    if (fn) fn->headers = calloc(n + 1, sizeof *fn->headers);
    if (!fn || !fn->headers || answer_columns_make(&fn->columns, info->answers, info->n_answers)) {
        if (fn) unbind(sm, fn);
        return sagemaker_refuse(sm, why, PBAY_RESOURCE_EXHAUSTED, "out of memory");
    }
    fn->op = op;
    fn->sm = sm;
    fn->all_columns = op == &rest_30_operation;
    fn->template = op == &rest_template_operation;
    if (fn->template) {
        fn->parameter = host->get_str(info->config, "query_parameter");
        fn->answer_key = host->get_str(info->config, "answer_key");
    }
    *bound = fn;
    if (op == &echo_table_operation) return PBAY_OK;
    fn->url = host->get_str(info->config, "url");
    fn->row_in_flight = (uint32_t)host->get_int(info->config, "row_in_flight");
    pbay_str shown = fn->url;
    const char *query = shown.n ? memchr(shown.p, '?', shown.n) : NULL;
    if (query) shown.n = (size_t)(query - shown.p);
    snprintf(fn->who, sizeof fn->who, "%.*s", shown.n < WHO ? (int)shown.n : WHO - 1, shown.n ? shown.p : "");
    int has_type = 0;
    for (uint32_t i = 0; i < n; i++) {
        pbay_header *h = &fn->headers[fn->n_headers++];
        h->value = host->item(info->config, "header", i, &h->name);
        has_type |= h->name.n == 12 && strncasecmp(h->name.p, "content-type", 12) == 0;
    }
    if (!has_type && !fn->template)
        fn->headers[fn->n_headers++] = (pbay_header){STR("Content-Type"), STR("application/json")};
    const char *option = "url", *wrong = NULL;
    if (fn->columns.n != 1)
        wrong = "this operation answers one column";
    else if (!fn->url.n || fn->url.n >= URL_MAX)
        wrong = "url has 1 to 4095 bytes";
    else if (strncasecmp(fn->url.p, "https://", 8) != 0 && strncasecmp(fn->url.p, "http://", 7) != 0)
        wrong = "url is to begin with https:// (or http://)";
    else if (fn->template && !fn->parameter.n) {
        option = "query_parameter";
        wrong = "query_parameter is empty: the name that the second column has in the URL";
    }
    if (!wrong) return PBAY_OK;
    pbay_str where = host->where(info->config, option);
    int32_t rc = sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "%.*s: %s", (int)where.n,
                                  where.n ? where.p : "", wrong);
    unbind(sm, fn);
    return rc;
}

static int32_t bind_single(struct sagemaker *sm, const pbay_function_info *info, void **bound,
                           pbay_result *why)
{
    return bind_as(sm, info, bound, why, &rest_single_operation);
}

static int32_t bind_30(struct sagemaker *sm, const pbay_function_info *info, void **bound, pbay_result *why)
{
    return bind_as(sm, info, bound, why, &rest_30_operation);
}

static int32_t bind_template(struct sagemaker *sm, const pbay_function_info *info, void **bound,
                             pbay_result *why)
{
    return bind_as(sm, info, bound, why, &rest_template_operation);
}

static int32_t bind_echo(struct sagemaker *sm, const pbay_function_info *info, void **bound, pbay_result *why)
{
    return bind_as(sm, info, bound, why, &echo_table_operation);
}

static pbay_str lane(void *bound)
{
    (void)bound;
    return (pbay_str){NULL, 0};
}

/* ------------------------------------------------------------------------------------------------ rows */

static void add_cell(const struct sagemaker *sm, struct text *t, const pbay_column *col, uint32_t row)
{
    char number[40];
    if (pbay_cell_null(col, row)) return;
    if (col->kind == PBAY_NUM) {
        text_add(t, number, answers_format(col->num[row], number));
        return;
    }
    pbay_str s = pbay_cell_text(col, row);
    if (col->kind == PBAY_JSON) s = sm->batch->json_text(s);
    text_add(t, s.p, s.n);
}

static void row_body(struct call *c, uint32_t row, struct text *body)
{
    struct text value = {NULL, 0, 0};
    uint32_t n = c->fn->all_columns ? c->in->n_cols : 1;
    for (uint32_t i = 0; i < n && i < c->in->n_cols; i++) {
        if (i) text_add(&value, ",", 1);
        add_cell(c->fn->sm, &value, pbay_batch_col(c->in, i), row);
    }
    qrag_body(body, (pbay_str){value.p, value.n});
    free(value.p);
}

static void row_url(struct call *c, uint32_t row, struct text *url)
{
    struct text first = {NULL, 0, 0}, second = {NULL, 0, 0};
    add_cell(c->fn->sm, &first, pbay_batch_col(c->in, 0), row);
    add_cell(c->fn->sm, &second, pbay_batch_col(c->in, 1), row);
    qrag_url(url, c->fn->url, (pbay_str){first.p, first.n}, c->fn->parameter, (pbay_str){second.p, second.n});
    free(first.p);
    free(second.p);
}

/* Rows that have nothing to ask with are null: without a first column the URL is another one. */
static void skip_rows(struct call *c)
{
    const pbay_column *col = pbay_batch_col(c->in, 0);
    while (c->fn->template && c->next_row < c->in->n_rows) {
        uint32_t i = c->next_row;
        if (!pbay_cell_null(col, i) && (col->kind == PBAY_NUM || col->off[i] != col->off[i + 1])) return;
        c->nulls[c->next_row++] = 1;
    }
}

static void call_end(struct call *c)
{
    struct function *fn = c->fn;
    struct sagemaker *sm = fn->sm;
    pbay_builder *out = NULL;
    if (c->result.code == PBAY_OK) {
        struct answers a = answers_begin(sm, &fn->columns, fn->who);
        for (uint32_t i = 0; i < c->in->n_rows; i++)
            if (c->nulls[i])
                answers_null(&a, i, 0);
            else
                answers_text(&a, i, 0, (pbay_str){c->answers[i].p, c->answers[i].n});
        out = a.out;
    }
    for (struct call **at = &fn->calls; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    for (uint32_t i = 0; i < c->n_slots; i++) {
        free(c->slots[i].body.p);
        free(c->slots[i].url.p);
    }
    for (uint32_t i = 0; i < c->in->n_rows; i++) free(c->answers[i].p);
    free(c->slots);
    free(c->answers);
    free(c->nulls);
    pbay_result result = c->result;
    sm->call->complete(c->call, &result, out);
    free(c);
}

/* The first failure decides; what is still under way is of no use. */
static void call_fail(struct call *c, const pbay_result *r, uint32_t row)
{
    if (c->result.code != PBAY_OK) return;
    c->result = *r;
    char text[HTTP_ERROR_TEXT];
    snprintf(text, sizeof text, "row %u: %.*s", (unsigned)row + 1,
             (int)(r->message.n < 900 ? r->message.n : 900), r->message.n ? r->message.p : "");
    memcpy(c->error.text, text, sizeof text);
    c->result.message = (pbay_str){c->error.text, strlen(c->error.text)};
    c->result.vendor_code = (pbay_str){NULL, 0};
    for (uint32_t i = 0; i < c->n_slots; i++)
        if (c->slots[i].exchange) c->fn->sm->http->cancel(c->slots[i].exchange);
}

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply);

static int32_t send_row(struct call *c, struct slot *slot, pbay_result *why)
{
    static const pbay_http_events events = {sizeof events, 0, NULL, NULL, NULL, on_done};
    struct function *fn = c->fn;
    slot->row = c->next_row;
    if (fn->template)
        row_url(c, slot->row, &slot->url);
    else
        row_body(c, slot->row, &slot->body);
    pbay_http_request request = {
        .struct_size = sizeof request,
        .flags = PBAY_HTTP_CONFIGURED,
        .method = fn->template ? STR("GET") : STR("POST"),
        .url = fn->template ? (pbay_str){slot->url.p, slot->url.n} : fn->url,
        .headers = fn->headers,
        .n_headers = fn->n_headers,
        .body = {slot->body.p, slot->body.n},
        .timeout_ms = sagemaker_timeout(fn->sm, c->call, TIMEOUT_MS),
        .max_reply = REPLY_MAX,
    };
    slot->exchange = fn->sm->http->send(fn->sm->host, &request, &events, slot, why);
    if (!slot->exchange) return why->code ? why->code : PBAY_INTERNAL;
    c->next_row++;
    c->busy++;
    return PBAY_OK;
}

static int take_answer(struct call *c, uint32_t row, pbay_str body)
{
    struct text *out = &c->answers[row];
    int rc = c->fn->template ? qrag_last(body, c->fn->answer_key, out) : qrag_answer(body, out);
    c->nulls[row] = rc == 1;
    return rc < 0;
}

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct slot *slot = user;
    struct call *c = slot->call;
    struct http_error e;
    pbay_result r = PBAY_RESULT_OK;
    (void)exchange;
    slot->exchange = 0;
    c->busy--;
    if (c->result.code == PBAY_OK) {
        if (reply->result.code != PBAY_OK) {
            call_fail(c, &reply->result, slot->row);
        } else if (reply->status < 200 || reply->status > 299) {
            r = http_error_plain(reply, c->fn->who, &e);
            call_fail(c, &r, slot->row);
        } else if (take_answer(c, slot->row, reply->body)) {
            const struct text *said = &c->answers[slot->row];
            snprintf(e.text, sizeof e.text, "%s: %.*s", c->fn->who, (int)said->n, said->p);
            r.code = PBAY_DATA_LOSS;
            r.message = (pbay_str){e.text, strlen(e.text)};
            call_fail(c, &r, slot->row);
        } else {
            skip_rows(c);
            r.code = PBAY_OK;
            if (c->next_row < c->in->n_rows && send_row(c, slot, &r) != PBAY_OK) call_fail(c, &r, slot->row);
        }
    }
    if (c->busy == 0) call_end(c);
}

static void call_free(struct call *c)
{
    for (uint32_t i = 0; i < c->n_slots; i++) {
        free(c->slots[i].body.p);
        free(c->slots[i].url.p);
    }
    free(c->slots);
    free(c->answers);
    free(c->nulls);
    free(c);
}

static int32_t submit(struct sagemaker *sm, void *bound, pbay_call call, const pbay_batch *in,
                      pbay_result *why)
{
    struct function *fn = bound;
    uint32_t n = in->n_rows < fn->row_in_flight ? in->n_rows : fn->row_in_flight;
    if (in->n_cols == 0)
        return sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "%s: there is no column to send", fn->who);
    if (fn->template && in->n_cols < 2)
        return sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT,
                                "%s: rest_template needs two columns, and the function has one", fn->who);
    struct call *c = calloc(1, sizeof *c);
    if (c) {
        c->slots = calloc(n, sizeof *c->slots);
        c->answers = calloc(in->n_rows, sizeof *c->answers);
        c->nulls = calloc(in->n_rows, 1);
    }
    if (!c || !c->slots || !c->answers || !c->nulls) abort();
    c->fn = fn;
    c->call = call;
    c->in = in;
    c->n_slots = n;
    c->result.struct_size = sizeof c->result;
    for (uint32_t i = 0; i < n; i++) {
        c->slots[i].call = c;
        skip_rows(c);
        if (c->next_row >= in->n_rows) break;
        int32_t rc = send_row(c, &c->slots[i], why);
        if (rc == PBAY_OK) continue;
        if (c->busy) {
            call_fail(c, why, c->slots[i].row);
            break;
        }
        call_free(c);
        return rc;
    }
    c->next = fn->calls;
    fn->calls = c;
    if (c->busy == 0) call_end(c); /* no row had anything to ask with */
    return PBAY_OK;
}

static void cancel(struct sagemaker *sm, void *bound, pbay_call call)
{
    struct function *fn = bound;
    pbay_result r = PBAY_RESULT_OK;
    (void)sm;
    r.code = PBAY_CANCELLED;
    r.effect = PBAY_EFFECT_MAYBE;
    r.message = STR("cancelled");
    for (struct call *c = fn->calls; c; c = c->next)
        if (c->call == call) {
            call_fail(c, &r, c->next_row ? c->next_row - 1 : 0);
            return;
        }
}

/* ------------------------------------------------------------------------------------------------ echo */

static int32_t submit_echo(struct sagemaker *sm, void *bound, pbay_call call, const pbay_batch *in,
                           pbay_result *why)
{
    (void)bound, (void)why;
    pbay_builder *out = sm->batch->create(sm->host);
    for (uint32_t i = 0; i < in->n_cols; i++)
        sm->batch->add_column(out, pbay_batch_col(in, i)->name, pbay_batch_col(in, i)->kind);
    for (uint32_t i = 0; i < in->n_cols; i++) sm->batch->copy(out, i, pbay_batch_col(in, i), 0, in->n_rows);
    pbay_result ok = PBAY_RESULT_OK;
    sm->call->complete(call, &ok, out);
    return PBAY_OK;
}

static void cancel_echo(struct sagemaker *sm, void *bound, pbay_call call)
{
    (void)sm, (void)bound, (void)call; /* it is complete already */
}

const struct operation rest_single_operation = {
    .bind = bind_single, .unbind = unbind, .lane = lane, .submit = submit, .cancel = cancel};
const struct operation rest_30_operation = {
    .bind = bind_30, .unbind = unbind, .lane = lane, .submit = submit, .cancel = cancel};
const struct operation rest_template_operation = {
    .bind = bind_template, .unbind = unbind, .lane = lane, .submit = submit, .cancel = cancel};
const struct operation echo_table_operation = {
    .bind = bind_echo, .unbind = unbind, .lane = lane, .submit = submit_echo, .cancel = cancel_echo};
