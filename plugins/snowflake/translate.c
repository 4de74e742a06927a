/* SPDX-License-Identifier: MIT */
#include "translate.h"

#include "flight.h"
#include "score.h"

enum { PARAMS_MAX = 512 };

struct job {
    struct snowflake *s;
    pbay_request request;
    pbay_builder *rows;
    pbay_writer *out;
    pbay_invoke call;
    uint32_t n, answered;
    int json, coded, too_large;
    pbay_str inflated;
    uint64_t bytes;
    char ids[400]; /* batch id, query id */
    size_t n_batch, n_query;
};

static void end(struct job *j)
{
    flights_count(j->s->flights, -1);
    if (j->inflated.p) j->s->crypto->release(j->inflated);
    if (j->out) j->s->batch->writer_free(j->out);
    j->s->batch->free(j->rows);
    free(j);
}

static void fail(struct job *j, int32_t status, const char *code, pbay_str message)
{
    answer_error(j->s, j->request, status, code, message, (pbay_str){j->ids, j->n_batch},
                 (pbay_str){j->ids + j->n_batch, j->n_query});
    end(j);
}

static void on_ready(void *user, pbay_invoke call)
{
    struct job *j = user;
    const pbay_batch *rows = j->s->batch->seal(j->rows, NULL);
    if (rows && j->s->invoke->push(call, rows) == PBAY_OK) j->s->invoke->end(call);
}

static void on_rows(void *user, pbay_invoke call, const pbay_batch *rows)
{
    struct job *j = user;
    j->s->invoke->credit(call, rows->n_rows);
    for (uint32_t c = 0; c < rows->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(rows, c);
        j->bytes += (uint64_t)rows->n_rows * 4 + (col->off ? col->off[rows->n_rows] - col->off[0] : 0);
    }
    j->too_large = j->too_large || j->bytes > 2 * j->s->max_reply;
    if (!j->too_large) j->s->batch->write(j->out, rows, NULL);
    j->answered += rows->n_rows;
}

static void on_done(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    struct job *j = user;
    (void)call;
    (void)json;
    if (result->code != PBAY_OK) {
        fail(j, status_of(result), "FAILED", result->message);
        return;
    }
    pbay_str text = j->s->batch->text_of(j->out);
    if (j->too_large || text.n > j->s->max_reply) {
        fail(j, 413, "RESOURCE_EXHAUSTED",
             STR("the reply is larger than Snowflake takes: create the function with a smaller "
                 "MAX_BATCH_ROWS"));
        return;
    }
    answer_as(j->s, j->request, 200, j->json ? STR("application/json") : STR("text/csv"), text, j->coded);
    end(j);
}

/* Lines of CSV as they stand, for an endpoint: a newline inside quotes ends none. */
static void split_lines(struct job *j, pbay_str body)
{
    size_t from = 0;
    int quoted = 0;
    j->s->batch->add_column(j->rows, STR("row"), PBAY_STR);
    for (size_t i = 0; i <= body.n; i++) {
        if (i < body.n && body.p[i] == '"') quoted = !quoted;
        if (i < body.n && (body.p[i] != '\n' || quoted)) continue;
        size_t n = i - from;
        if (n && body.p[i - 1] == '\r') n--;
        if (n) j->s->batch->text(j->rows, 0, (pbay_str){body.p + from, n});
        from = i + 1;
    }
}

static int read_rows(struct job *j, pbay_str body, const uint32_t *kinds, uint32_t n, int lines,
                     pbay_result *why)
{
    if (lines && !j->json && !sf_utf8(body)) {
        snowflake_refuse(j->s, why, PBAY_INVALID_ARGUMENT, "the body is not UTF-8");
        return -1;
    }
    if (lines && !j->json) {
        split_lines(j, body);
        return 0;
    }
    const pbay_codec codec = {.struct_size = sizeof codec,
                              .format = j->json ? PBAY_FORMAT_JSON_ROWS : PBAY_FORMAT_CSV,
                              .kinds = n ? kinds : NULL,
                              .n_columns = n,
                              .any_kind = PBAY_JSON,
                              .key = j->json ? STR("instances") : STR("")};
    pbay_reader *r = j->s->batch->reader(j->s->host, &codec, j->rows);
    int32_t rc = j->s->batch->feed(r, body, why);
    if (rc == PBAY_OK) rc = j->s->batch->finish(r, why);
    j->s->batch->reader_free(r);
    return rc == PBAY_OK ? 0 : -1;
}

static void open(struct job *j, pbay_str name, int endpoint, pbay_str region, const struct sf_headers *h)
{
    static const pbay_invoke_events events = {sizeof events, 0, on_ready, NULL, on_rows, on_done};
    struct snowflake *s = j->s;
    pbay_result why = PBAY_RESULT_OK;
    pbay_field sends[PARAMS_MAX], answers = {STR(""), j->json ? PBAY_JSON : PBAY_STR, 0};
    const pbay_header options[] = {{STR("endpoint"), name},
                                   {STR("format"), j->json ? STR("json") : STR("csv")},
                                   {STR("body"), j->json ? STR("quoted") : STR("raw")}};
    pbay_invoke_info info = {.struct_size = sizeof info,
                             .kind = PBAY_INVOKE_FUNCTION,
                             .target = name,
                             .parent_request = j->request,
                             .user = h->user,
                             .app = h->account};
    char target[160];
    const pbay_batch *rows = s->batch->seal(j->rows, &why);
    if (rows && endpoint) {
        pbay_str connector;
        if (snowflake_region(s, region, &connector, &why)) {
            fail(j, status_of(&why), "PERMISSION_DENIED", why.message);
            return;
        }
        int n = snprintf(target, sizeof target, "%.*s.invoke", (int)connector.n, connector.p);
        info.kind = PBAY_INVOKE_OPERATION;
        info.target = (pbay_str){target, (size_t)n};
        info.options = options;
        info.n_options = sizeof options / sizeof *options;
        for (uint32_t c = 0; c < rows->n_cols && c < PARAMS_MAX; c++)
            sends[c] = (pbay_field){pbay_batch_col(rows, c)->name, pbay_batch_col(rows, c)->kind, 0};
        info.sends = sends;
        info.n_sends = rows->n_cols < PARAMS_MAX ? rows->n_cols : PARAMS_MAX;
        info.answers = &answers;
        info.n_answers = 1;
    }
    j->n = rows ? rows->n_rows : 0;
    if (rows) j->call = s->invoke->open(s->host, &info, (pbay_str){NULL, 0}, &events, j, &why);
    if (!j->call)
        fail(j, status_of(&why), "FAILED", why.message);
    else
        on_ready(j, j->call);
}

static size_t put_id(struct job *j, size_t at, pbay_str id)
{
    size_t n = id.n < 200 ? id.n : 200;
    if (n) memcpy(j->ids + at, id.p, n);
    return n;
}

void translate(struct snowflake *s, pbay_request request, const pbay_request_info *info,
               const struct sf_headers *h, pbay_str name, int coded, pbay_str inflated)
{
    uint32_t kinds[PARAMS_MAX];
    pbay_invoke_function fn = {.struct_size = sizeof fn};
    pbay_result why = PBAY_RESULT_OK;
    pbay_str body = info->body;
    size_t i = 0;
    struct job *j = calloc(1, sizeof *j);
    if (!j) abort();
    j->s = s;
    j->request = request;
    j->coded = coded;
    j->inflated = inflated;
    flights_count(s->flights, 1);
    j->rows = s->batch->create(s->host);
    j->n_batch = put_id(j, 0, h->batch_id);
    j->n_query = put_id(j, j->n_batch, h->query_id);
    while (i < body.n && strchr(" \t\r\n", body.p[i])) i++;
    j->json = i < body.n && (body.p[i] == '{' || body.p[i] == '[');
    int endpoint = s->invoke->describe(s->host, name, &fn) != PBAY_OK;
    if (endpoint && !s->host->get_str(s->config, "sagemaker").n) {
        fail(j, 404, "NOT_FOUND", STR("there is no function of this name"));
    } else if (!endpoint &&
               (fn.shape != PBAY_SHAPE_MAP || fn.flags & PBAY_INVOKE_EFFECTS || fn.n_params > PARAMS_MAX)) {
        fail(j, 400, "INVALID_ARGUMENT",
             STR("only map functions without effects can be called with a body of one's own"));
    } else {
        for (uint32_t k = 0; k < fn.n_params; k++) kinds[k] = fn.params[k].kind;
        const pbay_codec out = {.struct_size = sizeof out,
                                .format = j->json ? PBAY_FORMAT_JSON_ROWS : PBAY_FORMAT_CSV,
                                .any_kind = PBAY_JSON,
                                .key = j->json ? STR("predictions") : STR(""),
                                .raw = !j->json && endpoint,
                                .trailing_newline = 1};
        j->out = s->batch->writer(s->host, &out);
        if (read_rows(j, body, kinds, endpoint ? 0 : fn.n_params, endpoint, &why))
            fail(j, 400, "INVALID_ARGUMENT", why.message);
        else
            open(j, name, endpoint, sf_header(info->headers, info->n_headers, "sf-custom-sagemaker-region"),
                 h);
    }
}
