/* SPDX-License-Identifier: MIT */
/* A REST API that answers JSON, as a function: a request for each row, some of them at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <patchbay/functions.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>
#include <patchbay/host_http.h>

#include "kit/text.h"

enum { HEADERS = 32, COLUMNS = 64, NAME = 128, WHY = 600, REPLY_MOST = 4 << 20 };

struct instance {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_http_1 *http;
    struct rows *calls;
    char why[WHY];
};

struct function {
    pbay_str path, body, pick, method;
    uint32_t at_once, kind, n_columns;
    char columns[COLUMNS][NAME];
};

/* One batch under way. */
struct rows {
    struct instance *x;
    struct rows *next_call;
    const struct function *fn;
    const pbay_batch *in;
    pbay_call call;
    struct row *rows;
    uint32_t next, running, done;
    pbay_result end; /* the first failure: no more requests are made */
    char why[WHY];
};

struct row {
    struct rows *all;
    json_t *answer; /* NULL: null */
    char *body;
    pbay_http exchange;
};

static pbay_str c_str(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

/* ------------------------------------------------------------------------------------------- templates */

/* The next {column} at or after *at. Its number; n_columns: there is none of that name; -1: no more of them.
 */
static int hole(const struct function *fn, pbay_str t, size_t *at, size_t *end)
{
    for (; *at < t.n; ++*at) {
        if (t.p[*at] != '{') continue;
        for (*end = *at + 1; *end < t.n && strchr("{}\" :,", t.p[*end]) == NULL;) ++*end;
        if (*end == t.n || t.p[*end] != '}' || *end == *at + 1) continue; /* a brace of JSON's */
        uint32_t c = 0;
        const size_t n = *end - *at - 1;
        while (c < fn->n_columns && (strlen(fn->columns[c]) != n || memcmp(fn->columns[c], t.p + *at + 1, n)))
            c++;
        return (int)c;
    }
    return -1;
}

static void put_cell(pbay_text *out, const pbay_column *col, uint32_t row, int json)
{
    if (pbay_cell_null(col, row))
        pbay_text_c(out, json ? "null" : "");
    else if (col->kind == PBAY_NUM)
        pbay_text_printf(out, "%.15g", col->num[row]);
    else if (col->kind == PBAY_JSON && json)
        pbay_text_add(out, pbay_cell_text(col, row));
    else if (json)
        pbay_text_json(out, pbay_cell_text(col, row));
    else
        pbay_text_percent(out, pbay_cell_text(col, row));
}

static void fill(const struct function *fn, pbay_str t, const pbay_batch *in, uint32_t row, int json,
                 pbay_text *out)
{
    size_t from = 0, at = 0, end;
    int c;
    while ((c = hole(fn, t, &at, &end)) >= 0) {
        pbay_text_add(out, (pbay_str){t.p + from, at - from});
        put_cell(out, pbay_batch_col(in, (uint32_t)c), row, json);
        from = at = end + 1;
    }
    pbay_text_add(out, (pbay_str){t.p + from, t.n - from});
}

/* ------------------------------------------------------------------------------------------- functions */

static int32_t refuse(struct instance *x, pbay_result *why, const char *what, pbay_str which)
{
    snprintf(x->why, sizeof x->why, "%s%.*s", what, (int)(which.n < 200 ? which.n : 200),
             which.n ? which.p : "");
    why->code = PBAY_INVALID_ARGUMENT;
    why->message = c_str(x->why);
    return why->code;
}

static int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    struct instance *x = self;
    const pbay_host *h = x->host;
    struct function *fn = calloc(1, sizeof *fn);
    if (!fn) return why->code = PBAY_RESOURCE_EXHAUSTED;
    fn->path = h->get_str(info->config, "path");
    fn->body = h->get_str(info->config, "body");
    fn->pick = h->get_str(info->config, "pick");
    fn->method = h->get_str(info->config, "method");
    if (!fn->method.n) fn->method = fn->body.n ? c_str("POST") : c_str("GET");
    fn->at_once = (uint32_t)h->get_int(info->config, "at_once");
    fn->kind = info->n_answers ? info->answers[0].kind : PBAY_STR;
    fn->n_columns = info->n_sends < COLUMNS ? info->n_sends : COLUMNS;
    for (uint32_t c = 0; c < fn->n_columns; c++)
        snprintf(fn->columns[c], NAME, "%.*s",
                 (int)(info->sends[c].name.n < NAME ? info->sends[c].name.n : NAME - 1),
                 info->sends[c].name.p);
    int32_t rc = PBAY_OK;
    if (info->n_answers != 1 || !info->n_sends || fn->kind == PBAY_DUAL)
        rc = refuse(x, why, "params are needed, and one answer: num, str or json", c_str(""));
    if (!rc && (!fn->path.n || fn->path.p[0] != '/'))
        rc = refuse(x, why, "path begins with '/'; it is ", fn->path);
    const pbay_str templates[] = {fn->path, fn->body};
    for (int t = 0; t < 2 && !rc; t++) {
        size_t at = 0, end;
        for (int c; !rc && (c = hole(fn, templates[t], &at, &end)) >= 0; at = end + 1)
            if ((uint32_t)c == fn->n_columns)
                rc = refuse(x, why, "no param has the name in ",
                            (pbay_str){templates[t].p + at, end - at + 1});
    }
    if (rc)
        free(fn);
    else
        *bound = fn;
    return rc;
}

static void unbind(void *self, void *bound)
{
    (void)self;
    free(bound);
}

/* ------------------------------------------------------------------------------------------ the answers */

/* "current.days.0.max" */
static const json_t *picked(const json_t *v, pbay_str pick)
{
    while (pick.n && v) {
        const char *dot = memchr(pick.p, '.', pick.n);
        const size_t n = dot ? (size_t)(dot - pick.p) : pick.n;
        char name[NAME];
        snprintf(name, sizeof name, "%.*s", (int)(n < NAME ? n : NAME - 1), pick.p);
        v = json_is_array(v) ? json_array_get(v, strtoul(name, NULL, 10)) : json_object_get(v, name);
        pick.p += dot ? n + 1 : n;
        pick.n -= dot ? n + 1 : n;
    }
    return v;
}

static void put_answer(const struct instance *x, pbay_builder *out, uint32_t row, uint32_t kind,
                       const json_t *v)
{
    char *text =
        v && (kind == PBAY_JSON || !json_is_string(v)) ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    double number;
    const pbay_str s = text ? c_str(text) : v ? c_str(json_string_value(v)) : c_str("");
    if (!v || json_is_null(v)) {
        x->batch->null(out, 0);
    } else if (kind != PBAY_NUM) {
        x->batch->text(out, 0, s);
    } else if (x->batch->to_num(s, &number)) {
        x->batch->num(out, 0, number);
    } else {
        x->batch->row_error(out, row, PBAY_BAD_VALUE, s);
        x->batch->null(out, 0);
    }
    free(text);
}

static void finish(struct rows *r)
{
    struct instance *x = r->x;
    struct rows **at = &x->calls;
    pbay_builder *out = NULL;
    while (*at != r) at = &(*at)->next_call;
    *at = r->next_call;
    if (!r->end.code) {
        out = x->batch->create(x->host);
        x->batch->add_column(out, c_str("answer"), r->fn->kind);
        for (uint32_t i = 0; i < r->in->n_rows; i++) put_answer(x, out, i, r->fn->kind, r->rows[i].answer);
    }
    for (uint32_t i = 0; i < r->in->n_rows; i++) {
        json_decref(r->rows[i].answer);
        free(r->rows[i].body);
    }
    x->call->complete(r->call, &r->end, out);
    free(r->rows);
    free(r);
}

static void failed(struct rows *r, int32_t code, uint32_t advice, int32_t status, const char *what,
                   pbay_str more)
{
    if (r->end.code) return;
    snprintf(r->why, sizeof r->why, "%s%.*s", what, (int)(more.n < 300 ? more.n : 300), more.n ? more.p : "");
    r->end.code = code;
    r->end.advice = advice;
    r->end.vendor_status = status;
    r->end.effect = r->fn->body.n ? PBAY_EFFECT_MAYBE : PBAY_EFFECT_NONE;
    r->end.message = c_str(r->why);
}

static void judge(struct row *w, const pbay_http_reply *reply)
{
    struct rows *r = w->all;
    const int s = reply->status;
    char what[80];
    snprintf(what, sizeof what, "the API answers %d: ", s);
    if (reply->result.code) {
        failed(r, reply->result.code, reply->result.advice, 0,
               "the API does not answer: ", reply->result.message);
    } else if (s >= 200 && s < 300) {
        json_error_t e;
        json_t *v = json_loadb(reply->body.p ? reply->body.p : "", reply->body.n, JSON_DECODE_ANY, &e);
        if (!v)
            failed(r, PBAY_DATA_LOSS, PBAY_ADVICE_NONE, s,
                   "the API answers something else than JSON: ", c_str(e.text));
        w->answer = json_incref((json_t *)picked(v, r->fn->pick));
        json_decref(v);
    } else if (s == 429) {
        failed(r, PBAY_RESOURCE_EXHAUSTED, PBAY_ADVICE_SLOW, s, what, reply->body);
    } else if (s >= 500) {
        failed(r, PBAY_UNAVAILABLE, PBAY_ADVICE_RETRY, s, what, reply->body);
    } else if (s != 404) {
        failed(r, s == 401 || s == 403 ? PBAY_PERMISSION_DENIED : PBAY_INVALID_ARGUMENT, PBAY_ADVICE_NONE, s,
               what, reply->body);
    }
}

static void go_on(struct rows *r);

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct row *w = user;
    struct rows *r = w->all;
    (void)exchange;
    w->exchange = 0;
    r->running--;
    r->done++;
    judge(w, reply);
    go_on(r);
}

static void request(struct rows *r, uint32_t row)
{
    static const pbay_http_events events = {.struct_size = sizeof events, .on_done = on_done};
    const struct instance *x = r->x;
    struct row *w = &r->rows[row];
    pbay_header headers[HEADERS] = {{c_str("Accept"), c_str("application/json")}};
    uint32_t n = 1;
    pbay_text url = {NULL, 0, 0}, body = {NULL, 0, 0}, bearer = {NULL, 0, 0};
    const pbay_str token = x->host->get_str(x->config, "token");
    pbay_result why = PBAY_RESULT_OK;
    pbay_text_add(&url, x->host->get_str(x->config, "base"));
    fill(r->fn, r->fn->path, r->in, row, 0, &url);
    fill(r->fn, r->fn->body, r->in, row, 1, &body);
    if (body.n) headers[n++] = (pbay_header){c_str("Content-Type"), c_str("application/json")};
    pbay_text_printf(&bearer, "Bearer %.*s", (int)token.n, token.n ? token.p : "");
    if (token.n) headers[n++] = (pbay_header){c_str("Authorization"), pbay_text_view(&bearer)};
    for (uint32_t i = 0; i < x->host->count(x->config, "header") && n < HEADERS; i++, n++)
        headers[n].value = x->host->item(x->config, "header", i, &headers[n].name);
    const pbay_http_request q = {.struct_size = sizeof q,
                                 .flags = PBAY_HTTP_CONFIGURED,
                                 .method = r->fn->method,
                                 .url = pbay_text_view(&url),
                                 .headers = headers,
                                 .n_headers = n,
                                 .body = pbay_text_view(&body),
                                 .max_reply = REPLY_MOST};
    w->all = r;
    w->body = body.p; /* borrowed by the host until on_done */
    w->exchange = x->http->send(x->host, &q, &events, w, &why);
    if (w->exchange)
        r->running++;
    else
        failed(r, why.code, why.advice, 0, "", why.message);
    pbay_text_free(&url);
    pbay_text_free(&bearer);
}

static void go_on(struct rows *r)
{
    while (!r->end.code && r->running < r->fn->at_once && r->next < r->in->n_rows) request(r, r->next++);
    if (!r->running) finish(r);
}

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct instance *x = self;
    struct rows *r = calloc(1, sizeof *r);
    struct row *rows = calloc(in->n_rows, sizeof *rows);
    if (!r || !rows) {
        free(r);
        free(rows);
        return why->code = PBAY_RESOURCE_EXHAUSTED;
    }
    *r = (struct rows){.x = x,
                       .next_call = x->calls,
                       .fn = bound,
                       .in = in,
                       .call = call,
                       .rows = rows,
                       .end = PBAY_RESULT_OK};
    x->calls = r;
    go_on(r);
    return PBAY_OK;
}

static void cancel(void *self, void *bound, pbay_call call)
{
    struct instance *x = self;
    struct rows *r = x->calls;
    (void)bound;
    while (r && r->call != call) r = r->next_call;
    if (!r) return;
    failed(r, PBAY_CANCELLED, PBAY_ADVICE_NONE, 0, "cancelled", c_str(""));
    for (uint32_t i = 0; i < r->in->n_rows; i++)
        if (r->rows[i].exchange) x->http->cancel(r->rows[i].exchange); /* on_done comes later */
}

/* ----------------------------------------------------------------------------------------------- plugin */

static const pbay_option request_options[] = {
    {"path", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "Behind `base`; {column} becomes the row's value, percent-encoded."},
    {"body", PBAY_OPT_STR, 0, NULL, NULL, "JSON to send; {column} becomes the row's value as JSON."},
    {"method", PBAY_OPT_STR, 0, NULL, NULL, "GET, or POST with a body, unless given."},
    {"pick", PBAY_OPT_STR, 0, NULL, NULL,
     "Where the answer is in the reply: members with dots, positions in lists."},
    {"at_once", PBAY_OPT_INT, 0, "4", "1..100", "Requests at once for one batch."},
};
static const pbay_operation operations[] = {
    {"request", "A request for each row.", PBAY_SHAPE_MAP, 0, {request_options, 5, sizeof(pbay_option)}},
};
static const pbay_functions_1 functions = {.struct_size = sizeof functions,
                                           .n_operations = 1,
                                           .operations = operations,
                                           .operation_stride = sizeof(pbay_operation),
                                           .bind = bind,
                                           .unbind = unbind,
                                           .submit = submit,
                                           .cancel = cancel};
static const pbay_option options[] = {
    {"base", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "The API's URL, without a '/' at its end."},
    {"token", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "A bearer token."},
    {"header", PBAY_OPT_FAMILY, 0, NULL, NULL, "header.NAME = value: more headers of every request"},
};

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    static const char missing[] = "this host lacks pbay.host.batch/1, call/1 or http/1";
    struct instance *x = calloc(1, sizeof *x);
    if (!x) return why->code = PBAY_RESOURCE_EXHAUSTED;
    x->host = host;
    x->config = config;
    x->batch = host->service(host, PBAY_SVC_BATCH);
    x->call = host->service(host, PBAY_SVC_CALL);
    x->http = host->service(host, PBAY_SVC_HTTP);
    *self = x;
    if (x->batch && x->call && x->http) return PBAY_OK;
    free(x);
    why->message = c_str(missing);
    return PBAY_UNIMPLEMENTED;
}

static void destroy(void *self)
{
    free(self);
}

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_FUNCTIONS) == 0 ? &functions : NULL;
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "rest_json",
        .version = "1.0.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "Any REST API that answers JSON, as a function",
        .options = {options, 3, sizeof(pbay_option)},
    };
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         NULL,
                                     NULL,       destroy,      extension};
    return &entry;
}
