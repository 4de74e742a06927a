/* SPDX-License-Identifier: MIT */
/*
 * Two operations over the SQL API:
 *
 *   query    a table function: the rows of a statement, page by page; its parameters are bound to the
 *            statement's ?, and with several rows of them it runs once for each
 *   insert   an aggregate: all rows of a call into a table, `rows_per_insert` a statement; answers their
 * number
 *
 * A submission that was not answered is repeated under its request id, so it runs once.
 */
#include "sql_query.h"

#include <patchbay/host_call.h>

#include <jansson.h>

#include "sql.h"

enum { POLL_MS = 200, POLL_MAX_MS = 5000, RETRIES = 5, ROWS_MAX = 10000000 };
enum { QUERY, INSERT };

struct bound_fn {
    struct snowflake *s;
    const pbay_config *config;
    uint32_t op;
    struct job *jobs;
};

struct job {
    struct bound_fn *fn;
    struct job *next;
    pbay_call call;
    pbay_builder *in;
    uint32_t at;   /* the row (query), or the first row (insert), that runs */
    uint32_t step; /* rows that the statement takes */
    char id[PBAY_SF_UUID], handle[80];
    uint32_t attempt, failures; /* of the statement; in a row */
    uint32_t partition, n_partitions, n_cols;
    int64_t due, came; /* rows of the statement; due -1: not said */
    uint32_t *kinds;
    int64_t poll_ms;
    uint64_t inserted;
    pbay_text body;
    struct sql_call *asked;
    pbay_timer timer;
    int described, waiting, over, cancelled;
};

static void next_statement(struct job *j);
static void submit(struct job *j);

/* ------------------------------------------------------------------------------------------------ ends */

static void finish(struct job *j, const pbay_result *r, pbay_builder *out)
{
    struct snowflake *s = j->fn->s;
    for (struct job **at = &j->fn->jobs; *at; at = &(*at)->next)
        if (*at == j) {
            *at = j->next;
            break;
        }
    if (j->timer) s->timer->cancel(j->timer);
    pbay_call call = j->call;
    s->batch->free(j->in);
    pbay_text_free(&j->body);
    free(j->kinds);
    free(j);
    s->call->complete(call, r, out);
}

static void fail(struct job *j, const pbay_result *r)
{
    finish(j, r, NULL);
}

static void complain(struct job *j, int32_t code, const char *what)
{
    pbay_result r = PBAY_RESULT_OK;
    snowflake_refuse(j->fn->s, &r, code, "%s", what);
    fail(j, &r);
}

/* ------------------------------------------------------------------------------------------------ rows out
 */

static uint32_t kind_of(const json_t *type)
{
    const char *t = json_string_value(json_object_get(type, "type"));
    const json_t *precision = json_object_get(type, "precision");
    if (!t) return PBAY_STR;
    if (strcmp(t, "real") == 0) return PBAY_NUM;
    /* A double holds 15 digits; longer numbers stay what they are, as text. */
    if (strcmp(t, "fixed") == 0 && json_is_integer(precision) && json_integer_value(precision) <= 15)
        return PBAY_NUM;
    return PBAY_STR;
}

static int describe(struct job *j, const json_t *meta)
{
    struct snowflake *s = j->fn->s;
    const json_t *types = json_object_get(meta, "rowType");
    uint32_t n = (uint32_t)json_array_size(types);
    if (j->described) return n == j->n_cols ? 0 : -1;
    if (!n || n > 16000) return -1;
    pbay_field *fields = calloc(n, sizeof *fields);
    j->kinds = calloc(n, sizeof *j->kinds);
    if (!fields || !j->kinds) abort();
    for (uint32_t i = 0; i < n; i++) {
        const json_t *type = json_array_get(types, i), *name = json_object_get(type, "name");
        j->kinds[i] = kind_of(type);
        fields[i] = (pbay_field){{json_string_value(name), json_string_length(name)}, j->kinds[i], 0};
    }
    s->call->describe(j->call, j->fn->s->host->name(s->host), fields, n);
    free(fields);
    j->n_cols = n;
    j->described = 1;
    return 0;
}

/* The rows of a partition; 0, PBAY_LATER: wait for writable, else an error was told. */
static int32_t put_rows(struct job *j, pbay_str body)
{
    struct snowflake *s = j->fn->s;
    pbay_result why = PBAY_RESULT_OK;
    const pbay_codec codec = {.struct_size = sizeof codec,
                              .format = PBAY_FORMAT_JSON_ROWS,
                              .kinds = j->kinds,
                              .n_columns = j->n_cols,
                              .any_kind = PBAY_STR,
                              .key = STR("data"),
                              .max_rows = ROWS_MAX};
    pbay_builder *rows = s->batch->create(s->host);
    pbay_reader *r = s->batch->reader(s->host, &codec, rows);
    int32_t rc = s->batch->feed(r, body, &why);
    if (rc == PBAY_OK) rc = s->batch->finish(r, &why);
    s->batch->reader_free(r);
    const pbay_batch *batch = rc == PBAY_OK ? s->batch->seal(rows, &why) : NULL;
    j->came += batch ? batch->n_rows : 0;
    if (batch && j->due >= 0 && j->partition + 1 >= j->n_partitions && j->came != j->due) {
        snowflake_refuse(s, &why, PBAY_DATA_LOSS, "Snowflake: %lld rows came, and the statement has %lld",
                         (long long)j->came, (long long)j->due);
        batch = NULL;
    }
    if (!batch) {
        s->batch->free(rows);
        fail(j, &why);
        return PBAY_DATA_LOSS;
    }
    if (batch->n_rows) return s->call->emit(j->call, rows);
    s->batch->free(rows);
    return PBAY_OK;
}

/* ------------------------------------------------------------------------------------------------ the way */

static void on_answer(void *user, int32_t status, const pbay_result *result, pbay_str body);

static void get(struct job *j)
{
    char path[PBAY_SF_PATH];
    pbay_result why = PBAY_RESULT_OK;
    if (!pbay_sf_path_poll(str_c(j->handle), j->partition, path))
        complain(j, PBAY_DATA_LOSS, "Snowflake: the statement's handle is none");
    else if (sql_send(j->fn->s->sql, "GET", path, (pbay_str){NULL, 0}, 0, on_answer, j, &j->asked, &why))
        fail(j, &why);
}

static void on_timer(void *user)
{
    struct job *j = user;
    j->timer = 0;
    if (j->cancelled)
        complain(j, PBAY_CANCELLED, "cancelled");
    else if (j->handle[0])
        get(j);
    else
        submit(j);
}

static void later(struct job *j, int64_t ms)
{
    j->timer = j->fn->s->timer->start(j->fn->s->host, ms, 0, on_timer, j);
}

static void partition_done(struct job *j)
{
    if (++j->partition < j->n_partitions) {
        get(j);
        return;
    }
    j->at += j->step;
    next_statement(j);
}

static void have_rows(struct job *j, pbay_str body)
{
    json_t *v = NULL;
    if (!j->partition) {
        v = json_loadb(body.p, body.n, JSON_ALLOW_NUL, NULL);
        const json_t *meta = json_object_get(v, "resultSetMetaData");
        const json_t *rows = json_object_get(meta, "numRows");
        j->n_partitions = (uint32_t)json_array_size(json_object_get(meta, "partitionInfo"));
        j->due = j->n_partitions && json_is_integer(rows) ? json_integer_value(rows) : -1;
        int bad = j->fn->op == QUERY && describe(j, meta);
        json_decref(v);
        if (bad) {
            complain(j, PBAY_DATA_LOSS,
                     "Snowflake: the answer has no rows, or other columns than the one before");
            return;
        }
    }
    if (j->fn->op == INSERT) {
        j->inserted += j->step;
        j->n_partitions = 0;
        partition_done(j);
        return;
    }
    int32_t rc = put_rows(j, body);
    if (rc == PBAY_OK)
        partition_done(j);
    else if (rc == PBAY_LATER)
        j->waiting = 1;
    else if (rc != PBAY_DATA_LOSS)
        complain(j, PBAY_CANCELLED, "the call is over");
}

static void on_answer(void *user, int32_t status, const pbay_result *result, pbay_str body)
{
    struct job *j = user;
    j->asked = NULL;
    if (result->code != PBAY_OK) {
        if (result->advice == PBAY_ADVICE_NONE || ++j->failures > RETRIES || j->cancelled) {
            fail(j, result);
            return;
        }
        j->attempt++;
        int64_t ms = INT64_C(200) << j->failures;
        later(j, result->retry_after_ms > ms ? result->retry_after_ms : ms);
        return;
    }
    j->failures = 0;
    if (!j->handle[0]) {
        json_t *v = json_loadb(body.p, body.n, JSON_ALLOW_NUL, NULL);
        const char *handle = json_string_value(json_object_get(v, "statementHandle"));
        if (handle) snprintf(j->handle, sizeof j->handle, "%s", handle);
        json_decref(v);
    }
    if (status != 202)
        have_rows(j, body);
    else if (!j->handle[0] && ++j->attempt > RETRIES)
        complain(j, PBAY_DATA_LOSS, "Snowflake: a statement runs, and its handle is missing");
    else { /* without a handle it is submitted again, as a repetition */
        later(j, j->poll_ms);
        j->poll_ms = j->poll_ms * 2 > POLL_MAX_MS ? POLL_MAX_MS : j->poll_ms * 2;
    }
}

static void submit(struct job *j)
{
    char path[PBAY_SF_PATH];
    pbay_result why = PBAY_RESULT_OK;
    pbay_sf_path_submit(j->id, j->attempt > 0, 0, path);
    if (sql_send(j->fn->s->sql, "POST", path, pbay_text_view(&j->body), 1, on_answer, j, &j->asked, &why))
        fail(j, &why);
}

/* A cell as the text that is bound; numbers without a fraction as integers. */
static pbay_str bind_cell(const pbay_column *col, uint32_t row, char room[64])
{
    if (pbay_cell_null(col, row)) return (pbay_str){NULL, 0};
    if (col->kind != PBAY_NUM) return pbay_cell_text(col, row);
    double v = col->num[row];
    if (v > -1e15 && v < 1e15 && v == (double)(int64_t)v)
        return (pbay_str){room, (size_t)snprintf(room, 64, "%lld", (long long)v)};
    /* The shortest that reads as the same number: it may become a text, or digits of a NUMBER. */
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(room, 64, "%.*g", digits, v);
        if (strtod(room, NULL) == v) break;
    }
    return (pbay_str){room, (size_t)n};
}

static void make_body(struct job *j, const pbay_batch *in)
{
    struct snowflake *s = j->fn->s;
    const pbay_config *cfg = j->fn->config;
    uint32_t n = in->n_cols, rows = j->fn->op == INSERT ? j->step : 1;
    if (!in->n_rows) n = 0;
    pbay_sf_binding *b = calloc(n + 1, sizeof *b);
    pbay_str *values = calloc((size_t)n * rows + 1, sizeof *values);
    char(*rooms)[64] = calloc((size_t)n * rows + 1, sizeof *rooms);
    pbay_text text = {0};
    if (!b || !values || !rooms) abort();
    for (uint32_t c = 0; c < n; c++) {
        const pbay_column *col = pbay_batch_col(in, c);
        for (uint32_t i = 0; i < rows; i++)
            values[(size_t)c * rows + i] = bind_cell(col, j->at + i, rooms[(size_t)c * rows + i]);
        pbay_str v = values[(size_t)c * rows];
        int whole = col->kind == PBAY_NUM && v.p && !memchr(v.p, '.', v.n) && !memchr(v.p, 'e', v.n);
        b[c] = (pbay_sf_binding){j->fn->op == INSERT || col->kind != PBAY_NUM ? "TEXT"
                                 : whole                                      ? "FIXED"
                                                                              : "REAL",
                                 values + (size_t)c * rows, rows, j->fn->op == INSERT};
    }
    pbay_sf_statement st = {.bindings = b, .n_bindings = n, .query_tag = s->host->get_str(cfg, "query_tag")};
    if (j->fn->op == INSERT) {
        uint32_t names = s->host->count(cfg, "columns");
        pbay_str *columns = calloc(names + 1, sizeof *columns), key;
        if (!columns) abort();
        for (uint32_t i = 0; i < names; i++) columns[i] = s->host->item(cfg, "columns", i, &key);
        sql_put_insert(&text, s->host->get_str(cfg, "table"), names ? columns : NULL, n);
        free(columns);
        st.text = pbay_text_view(&text);
    } else
        st.text = s->host->get_str(cfg, "statement");
    sql_defaults(s->sql, &st);
    pbay_text_clear(&j->body);
    pbay_sf_put_body(&st, sql_put, &j->body);
    pbay_text_free(&text);
    free(rooms);
    free(values);
    free(b);
}

static void answer_count(struct job *j)
{
    struct snowflake *s = j->fn->s;
    const pbay_result ok = PBAY_RESULT_OK;
    pbay_builder *out = s->batch->create(s->host);
    s->batch->add_column(out, STR("rows"), PBAY_NUM);
    s->batch->num(out, 0, (double)j->inserted);
    s->call->emit(j->call, out);
    finish(j, &ok, NULL);
}

static void next_statement(struct job *j)
{
    struct snowflake *s = j->fn->s;
    const pbay_result ok = PBAY_RESULT_OK;
    pbay_result why = PBAY_RESULT_OK;
    uint8_t random[16];
    const pbay_batch *in = s->batch->seal(j->in, &why);
    if (!in) {
        fail(j, &why);
        return;
    }
    uint32_t total = in->n_rows ? in->n_rows : j->fn->op == QUERY ? 1 : 0;
    if (j->at >= total) {
        if (j->fn->op == INSERT)
            answer_count(j);
        else
            finish(j, &ok, NULL);
        return;
    }
    j->step = 1;
    if (j->fn->op == INSERT) {
        j->step = (uint32_t)s->host->get_int(j->fn->config, "rows_per_insert");
        if (j->step > total - j->at) j->step = total - j->at;
    }
    s->crypto->random(random, sizeof random);
    pbay_sf_uuid(random, j->id);
    j->handle[0] = 0;
    j->attempt = j->failures = j->partition = j->n_partitions = 0;
    j->came = 0;
    j->poll_ms = POLL_MS;
    make_body(j, in);
    submit(j);
}

/* ------------------------------------------------------------------------------------------------ the table
 */

static int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    struct snowflake *s = self;
    const pbay_host *h = s->host;
    if (info->operation == INSERT) {
        pbay_str table = h->get_str(info->config, "table"), where = h->where(info->config, "table"), key;
        if (!sql_is_name(table, 3))
            return snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT,
                                    "%.*s: table = %.*s is not the name of a table", (int)where.n, where.p,
                                    (int)table.n, table.p);
        uint32_t n = h->count(info->config, "columns");
        for (uint32_t i = 0; i < n; i++)
            if (!sql_is_name(h->item(info->config, "columns", i, &key), 1))
                return snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT,
                                        "%.*s: columns: name %u is not one of a column", (int)where.n,
                                        where.p, i + 1);
        if (n && info->n_sends && n != info->n_sends)
            return snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT,
                                    "%.*s: %u columns, and the function sends %u", (int)where.n, where.p, n,
                                    info->n_sends);
    }
    struct bound_fn *fn = calloc(1, sizeof *fn);
    if (!fn) abort();
    *fn = (struct bound_fn){.s = s, .config = info->config, .op = info->operation};
    *bound = fn;
    return PBAY_OK;
}

static void unbind(void *self, void *bound)
{
    (void)self;
    free(bound);
}

static int32_t open_call(void *self, void *bound, pbay_call call, pbay_result *why)
{
    struct snowflake *s = self;
    struct bound_fn *fn = bound;
    if (!s->sql)
        return snowflake_refuse(
            s, why, PBAY_FAILED_PRECONDITION,
            "connector \"%.*s\" has neither private_key nor token, so it cannot ask Snowflake",
            (int)s->host->name(s->host).n, s->host->name(s->host).p);
    struct job *j = calloc(1, sizeof *j);
    if (!j) abort();
    j->fn = fn;
    j->call = call;
    j->in = s->batch->create(s->host);
    j->next = fn->jobs;
    fn->jobs = j;
    return PBAY_OK;
}

static struct job *job_of(struct bound_fn *fn, pbay_call call)
{
    for (struct job *j = fn->jobs; j; j = j->next)
        if (j->call == call) return j;
    return NULL;
}

static int32_t push(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct snowflake *s = self;
    struct job *j = job_of(bound, call);
    pbay_result w = PBAY_RESULT_OK;
    (void)why;
    const pbay_batch *have = s->batch->seal(j->in, &w);
    if (have && !have->n_cols)
        for (uint32_t c = 0; c < in->n_cols; c++)
            s->batch->add_column(j->in, pbay_batch_col(in, c)->name, pbay_batch_col(in, c)->kind);
    for (uint32_t c = 0; c < in->n_cols; c++) s->batch->copy(j->in, c, pbay_batch_col(in, c), 0, in->n_rows);
    return PBAY_OK;
}

static void end_of_rows(void *self, void *bound, pbay_call call)
{
    (void)self;
    struct job *j = job_of(bound, call);
    if (j) next_statement(j);
}

static void writable(void *self, void *bound, pbay_call call)
{
    (void)self;
    struct job *j = job_of(bound, call);
    if (!j || !j->waiting || j->cancelled) return;
    j->waiting = 0;
    partition_done(j);
}

/* The statement is cancelled on Snowflake's side too. */
static void no_matter(void *user, int32_t status, const pbay_result *result, pbay_str body)
{
    (void)user;
    (void)status;
    (void)result;
    (void)body;
}

static void cancel(void *self, void *bound, pbay_call call)
{
    struct snowflake *s = self;
    struct job *j = job_of(bound, call);
    char path[PBAY_SF_PATH];
    pbay_result why = PBAY_RESULT_OK;
    if (!j || j->cancelled) return;
    j->cancelled = 1;
    if (j->handle[0] && pbay_sf_path_cancel(str_c(j->handle), path))
        sql_send(s->sql, "POST", path, (pbay_str){NULL, 0}, 0, no_matter, NULL, NULL, &why);
    if (j->asked)
        sql_drop(j->asked);
    else if (!j->timer)
        later(j, 0);
}

static const pbay_option QUERY_OPTIONS[] = {
    {"statement", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "the SQL; its ? are the function's parameters"},
    {"query_tag", PBAY_OPT_STR, 0, NULL, NULL, "shown in the query history"},
};
static const pbay_option INSERT_OPTIONS[] = {
    {"table", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "DB.SCHEMA.TABLE, or what database and schema complete"},
    {"columns", PBAY_OPT_LIST, 0, NULL, NULL,
     "its columns, in the order of the parameters; empty: as the table has them"},
    {"rows_per_insert", PBAY_OPT_INT, 0, "10000", "1..16384", "rows of one statement"},
    {"query_tag", PBAY_OPT_STR, 0, NULL, NULL, "shown in the query history"},
};

const pbay_functions_1 *sql_functions(void)
{
    static const pbay_operation OPERATIONS[] = {
        {"query",
         "The rows of a statement.",
         PBAY_SHAPE_TABLE,
         0,
         {QUERY_OPTIONS, sizeof QUERY_OPTIONS / sizeof *QUERY_OPTIONS, sizeof(pbay_option)}},
        {"insert",
         "Rows into a table; answers how many.",
         PBAY_SHAPE_AGGREGATE,
         PBAY_OPF_EFFECTS,
         {INSERT_OPTIONS, sizeof INSERT_OPTIONS / sizeof *INSERT_OPTIONS, sizeof(pbay_option)}},
    };
    static const pbay_functions_1 functions = {.struct_size = sizeof functions,
                                               .n_operations = sizeof OPERATIONS / sizeof *OPERATIONS,
                                               .operations = OPERATIONS,
                                               .operation_stride = sizeof(pbay_operation),
                                               .bind = bind,
                                               .unbind = unbind,
                                               .open = open_call,
                                               .push = push,
                                               .end = end_of_rows,
                                               .writable = writable,
                                               .cancel = cancel};
    return &functions;
}
