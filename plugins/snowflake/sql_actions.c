/* SPDX-License-Identifier: MIT */
/*
 * The SQL API as actions: execute, insert, status, fetch, cancel. A statement is submitted under a request id
 * that is made of the action's key, so every attempt after the first one says `retry`, and it runs at most
 * once. One that takes long is polled by the host.
 */
#include "sql_actions.h"

#include <jansson.h>

#include "sql.h"

enum { POLL_MS = 1000, BINDINGS_MAX = 16384 };

struct run {
    struct snowflake *s;
    struct run *next, **link;
    struct sql_call *call;
    pbay_action_run run;
    int wait; /* 202 is not an answer */
    char handle[80];
};

/* ------------------------------------------------------------------------------------------------ ends */

static void end(struct run *r)
{
    *r->link = r->next;
    if (r->next) r->next->link = r->link;
    free(r);
}

static void fail(struct run *r, const pbay_result *result)
{
    r->s->action->failed(r->run, result);
    end(r);
}

static void copy_member(json_t *to, const json_t *from, const char *name)
{
    json_t *v = json_object_get(from, name);
    if (v) json_object_set(to, name, v);
}

/* What an action answers: the vendor's members that say something to whoever asked, and the first rows. */
static void done(struct run *r, const json_t *v)
{
    json_t *o = json_object();
    static const char *const MEMBERS[] = {"statementHandle",   "statementHandles", "code", "sqlState",
                                          "message",           "createdOn",        "data", "stats",
                                          "statementStatusUrl"};
    for (size_t i = 0; i < sizeof MEMBERS / sizeof *MEMBERS; i++) copy_member(o, v, MEMBERS[i]);
    const json_t *meta = json_object_get(v, "resultSetMetaData");
    copy_member(o, meta, "numRows");
    const json_t *types = json_object_get(meta, "rowType"), *parts = json_object_get(meta, "partitionInfo");
    if (types) {
        json_t *columns = json_array();
        for (size_t i = 0; i < json_array_size(types); i++)
            json_array_append(columns, json_object_get(json_array_get(types, i), "name"));
        json_object_set_new(o, "columns", columns);
    }
    if (parts) json_object_set_new(o, "partitions", json_integer((json_int_t)json_array_size(parts)));
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    if (!text) abort();
    r->s->action->done(r->run, str_c(text));
    free(text);
    end(r);
}

static void on_answer(void *user, int32_t status, const pbay_result *result, pbay_str body)
{
    struct run *r = user;
    r->call = NULL;
    if (result->code != PBAY_OK) {
        fail(r, result);
        return;
    }
    json_t *v = body.n ? json_loadb(body.p, body.n, JSON_ALLOW_NUL, NULL) : NULL;
    const char *handle = json_string_value(json_object_get(v, "statementHandle"));
    if (status == 202 && r->wait && (handle || r->handle[0])) {
        char text[80];
        snprintf(text, sizeof text, "%s", handle ? handle : r->handle);
        r->s->action->started(r->run, str_c(text), POLL_MS);
        end(r);
    } else if (json_is_object(v) && !(status == 202 && r->wait))
        done(r, v);
    else {
        pbay_result why = PBAY_RESULT_OK;
        int runs = status == 202; /* asked again under its request id, it runs once */
        snowflake_refuse(r->s, &why, runs ? PBAY_UNAVAILABLE : PBAY_DATA_LOSS, "Snowflake: %s",
                         runs ? "a statement runs, and its handle is missing"
                              : "the answer is not a JSON object");
        if (runs) why.advice = PBAY_ADVICE_RETRY;
        why.effect = PBAY_EFFECT_MAYBE;
        fail(r, &why);
    }
    json_decref(v);
}

/* ------------------------------------------------------------------------------------------------ questions
 */

static int32_t ask(struct snowflake *s, pbay_action_run run, const char *method, const char *path,
                   pbay_str body, int submitted, int wait, pbay_str handle, pbay_result *why)
{
    struct run *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->s = s;
    r->run = run;
    r->wait = wait;
    snprintf(r->handle, sizeof r->handle, "%.*s", handle.n < 70 ? (int)handle.n : 70,
             handle.n ? handle.p : "");
    r->link = &s->runs;
    r->next = s->runs;
    if (r->next) r->next->link = &r->next;
    s->runs = r;
    if (!sql_send(s->sql, method, path, body, submitted, on_answer, r, &r->call, why)) return PBAY_OK;
    end(r);
    return why->code ? why->code : PBAY_INTERNAL;
}

static pbay_str arg(const struct snowflake *s, const pbay_action_info *info, const char *name)
{
    return s->host->get_str(info->arguments, name);
}

static int32_t submit(struct snowflake *s, pbay_action_run run, const pbay_action_info *info,
                      pbay_sf_statement *st, pbay_result *why)
{
    char id[PBAY_SF_UUID], path[PBAY_SF_PATH];
    pbay_text body = {0};
    sql_defaults(s->sql, st);
    sql_request_id(s, info->key, id);
    /* Snowflake answers what is done within 45 s, and 202 after that. */
    pbay_sf_path_submit(id, info->attempt > 1, 0, path);
    pbay_sf_put_body(st, sql_put, &body);
    int32_t rc = ask(s, run, "POST", path, pbay_text_view(&body), 1, 1, (pbay_str){NULL, 0}, why);
    pbay_text_free(&body);
    return rc;
}

/*
 * The arguments, with every number as a text of its literal behind U+0001: a NUMBER has 38 digits, and what
 * is bound is a text anyway. Texts that begin so get another one. NULL: *why.
 */
static json_t *arguments(struct snowflake *s, pbay_str json, pbay_result *why)
{
    static const pbay_str MARK = {"\\u0001", 6};
    pbay_text t = {0};
    size_t from = 0, i = 0;
    while (i < json.n) {
        char c = json.p[i];
        if (c == '"') {
            i++;
            if (json.n - i >= MARK.n && memcmp(json.p + i, MARK.p, MARK.n) == 0) {
                pbay_text_add(&t, (pbay_str){json.p + from, i - from});
                pbay_text_add(&t, MARK);
                from = i;
            }
            while (i < json.n && json.p[i] != '"') i += json.p[i] == '\\' ? 2 : 1;
            i++;
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            pbay_text_add(&t, (pbay_str){json.p + from, i - from});
            from = i;
            while (i < json.n && json.p[i] && strchr("+-.0123456789Ee", json.p[i])) i++;
            pbay_text_c(&t, "\"");
            pbay_text_add(&t, MARK);
            pbay_text_add(&t, (pbay_str){json.p + from, i - from});
            pbay_text_c(&t, "\"");
            from = i;
        } else
            i++;
    }
    if (from < json.n) pbay_text_add(&t, (pbay_str){json.p + from, json.n - from});
    json_t *v = json_loadb(t.p, t.n, JSON_ALLOW_NUL, NULL);
    pbay_text_free(&t);
    if (!v) snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT, "the arguments are not a JSON object");
    return v;
}

/* JSON scalars as the API wants them: all binding values are texts or null. NULL: it is none. */
static const char *value_text(const json_t *v, pbay_str *out)
{
    if (json_is_null(v)) {
        *out = (pbay_str){NULL, 0};
        return "TEXT";
    }
    if (json_is_boolean(v)) {
        *out = json_is_true(v) ? STR("true") : STR("false");
        return "BOOLEAN";
    }
    if (!json_is_string(v)) return NULL;
    *out = (pbay_str){json_string_value(v), json_string_length(v)};
    if (!out->n || out->p[0] != 1) return "TEXT";
    out->p++;
    out->n--;
    if (out->n && out->p[0] == 1) return "TEXT";
    for (size_t i = 0; i < out->n; i++)
        if (strchr(".eE", out->p[i])) return "REAL";
    return "FIXED";
}

static const char *known_type(const char *t)
{
    static const char *const TYPES[] = {"FIXED", "REAL",          "TEXT",          "BOOLEAN",      "DATE",
                                        "TIME",  "TIMESTAMP_LTZ", "TIMESTAMP_NTZ", "TIMESTAMP_TZ", "BINARY"};
    for (size_t i = 0; t && i < sizeof TYPES / sizeof *TYPES; i++)
        if (strcmp(TYPES[i], t) == 0) return TYPES[i];
    return NULL;
}

struct bound {
    pbay_sf_binding *b;
    pbay_str *values;
};

static void bound_new(struct bound *b, size_t n_bindings, size_t n_values)
{
    b->b = calloc(n_bindings + 1, sizeof *b->b);
    b->values = calloc(n_values + 1, sizeof *b->values);
    if (!b->b || !b->values) abort();
}

static void bound_free(struct bound *b)
{
    free(b->b);
    free(b->values);
}

/* "bindings": a list of values, each a scalar or {"type": "DATE", "value": "..."}. */
static int32_t execute(struct snowflake *s, pbay_action_run run, const pbay_action_info *info,
                       const json_t *args, pbay_result *why)
{
    const json_t *list = json_object_get(args, "bindings");
    size_t n = json_array_size(list);
    struct bound b;
    if (list && (!json_is_array(list) || n > BINDINGS_MAX))
        return snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT,
                                "bindings is to be a list of at most %d values", BINDINGS_MAX);
    int64_t several = s->host->get_int(info->arguments, "statements");
    pbay_sf_statement st = {.text = arg(s, info, "statement"),
                            .database = arg(s, info, "database"),
                            .schema = arg(s, info, "schema"),
                            .warehouse = arg(s, info, "warehouse"),
                            .role = arg(s, info, "role"),
                            .query_tag = arg(s, info, "query_tag"),
                            .timeout_s = s->host->get_int(info->arguments, "timeout"),
                            .n_statements = several == 0 ? UINT32_MAX : (uint32_t)several};
    int32_t rc = PBAY_OK;
    bound_new(&b, n, n);
    for (size_t i = 0; i < n && rc == PBAY_OK; i++) {
        const json_t *v = json_array_get(list, i);
        const char *type = NULL, *own;
        if (json_is_object(v)) {
            type = known_type(json_string_value(json_object_get(v, "type")));
            v = json_object_get(v, "value");
            if (!type) v = NULL;
        }
        if (!v || !(own = value_text(v, &b.values[i])))
            rc = snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT,
                                  "bindings: value %zu is to be a scalar or {\"type\": ..., \"value\": ...}",
                                  i + 1);
        else
            b.b[i] = (pbay_sf_binding){type ? type : own, &b.values[i], 1, 0};
    }
    st.bindings = b.b;
    st.n_bindings = (uint32_t)n;
    if (rc == PBAY_OK) rc = submit(s, run, info, &st, why);
    bound_free(&b);
    return rc;
}

/* {"table": "DB.S.T", "columns": ["A", "B"], "rows": [[1, "x"], ...]}: one INSERT with arrays bound to it. */
static int32_t insert(struct snowflake *s, pbay_action_run run, const pbay_action_info *info,
                      const json_t *args, pbay_result *why)
{
    const json_t *rows = json_object_get(args, "rows"), *columns = json_object_get(args, "columns");
    pbay_str table = arg(s, info, "table");
    size_t n = json_array_size(columns), n_rows = json_array_size(rows);
    if (!sql_is_name(table, 3))
        return snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT, "\"%.*s\" is not the name of a table",
                                table.n < 200 ? (int)table.n : 200, table.n ? table.p : "");
    if (!n || n > 500 || !n_rows || !json_is_array(rows))
        return snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT,
                                "insert wants columns, a list of 1 to 500 names, and rows, a list of lists");
    pbay_str names[500];
    for (size_t i = 0; i < n; i++) {
        const json_t *c = json_array_get(columns, i);
        names[i] = (pbay_str){json_string_value(c), json_is_string(c) ? json_string_length(c) : 0};
        if (!sql_is_name(names[i], 1))
            return snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT, "columns: name %zu is not one of a column",
                                    i + 1);
    }
    struct bound b;
    int32_t rc = PBAY_OK;
    bound_new(&b, n, n * n_rows);
    for (size_t r = 0; r < n_rows && rc == PBAY_OK; r++) {
        const json_t *row = json_array_get(rows, r);
        if (json_array_size(row) != n)
            rc =
                snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT, "rows: row %zu has not %zu values", r + 1, n);
        for (size_t c = 0; c < n && rc == PBAY_OK; c++)
            if (!value_text(json_array_get(row, c), &b.values[c * n_rows + r]))
                rc = snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT, "rows: row %zu, value %zu is no scalar",
                                      r + 1, c + 1);
    }
    for (size_t c = 0; c < n; c++)
        b.b[c] = (pbay_sf_binding){"TEXT", b.values + c * n_rows, (uint32_t)n_rows, 1};
    pbay_text text = {0};
    sql_put_insert(&text, table, names, (uint32_t)n);
    pbay_sf_statement st = {.text = pbay_text_view(&text), .bindings = b.b, .n_bindings = (uint32_t)n};
    if (rc == PBAY_OK) rc = submit(s, run, info, &st, why);
    pbay_text_free(&text);
    bound_free(&b);
    return rc;
}

/* ------------------------------------------------------------------------------------------------ the table
 */

enum { EXECUTE, INSERT, STATUS, FETCH, CANCEL };

static int32_t by_handle(struct snowflake *s, uint32_t action, pbay_action_run run, pbay_str handle,
                         int64_t partition, int wait, pbay_result *why)
{
    char path[PBAY_SF_PATH];
    size_t n = action == CANCEL ? pbay_sf_path_cancel(handle, path)
                                : pbay_sf_path_poll(handle, (uint32_t)partition, path);
    if (!n) return snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT, "statementHandle is none of Snowflake's");
    return ask(s, run, action == CANCEL ? "POST" : "GET", path, (pbay_str){NULL, 0}, 0, wait, handle, why);
}

static int32_t run_action(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                          pbay_result *why)
{
    struct snowflake *s = self;
    if (!s->sql)
        return snowflake_refuse(
            s, why, PBAY_FAILED_PRECONDITION,
            "this connector has neither private_key nor token, so it cannot ask Snowflake");
    if (action >= STATUS)
        return by_handle(s, action, run, arg(s, info, "statementHandle"),
                         action == FETCH ? s->host->get_int(info->arguments, "partition") : 0, 0, why);
    json_t *args = arguments(s, info->json, why);
    if (!args) return PBAY_INVALID_ARGUMENT;
    int32_t rc = action == EXECUTE ? execute(s, run, info, args, why) : insert(s, run, info, args, why);
    json_decref(args);
    return rc;
}

static int32_t poll_action(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                           pbay_result *why)
{
    (void)action;
    return by_handle(self, STATUS, run, info->handle, 0, 1, why);
}

static void cancel_action(void *self, uint32_t action, pbay_action_run run)
{
    struct snowflake *s = self;
    (void)action;
    for (struct run *r = s->runs; r; r = r->next)
        if (r->run == run && r->call) {
            sql_drop(r->call);
            return;
        }
}

static const pbay_option STATEMENT[] = {
    {"statement", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "the SQL, with ? for what bindings hold"},
    {"database", PBAY_OPT_STR, 0, NULL, NULL, "instead of the connector's"},
    {"schema", PBAY_OPT_STR, 0, NULL, NULL, "instead of the connector's"},
    {"warehouse", PBAY_OPT_STR, 0, NULL, NULL, "instead of the connector's"},
    {"role", PBAY_OPT_STR, 0, NULL, NULL, "instead of the connector's"},
    {"query_tag", PBAY_OPT_STR, 0, NULL, NULL, "shown in the query history"},
    {"timeout", PBAY_OPT_INT, 0, "0", "0..604800", "seconds, on Snowflake's side; 0: the account's"},
    {"statements", PBAY_OPT_INT, 0, "1", "0..10000", "how many stand in the text; 0: any number"},
};
static const pbay_option ROWS[] = {
    {"table", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "DB.SCHEMA.TABLE, or what database and schema complete"},
};
static const pbay_option HANDLE[] = {
    {"statementHandle", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "as execute answered it"},
};
static const pbay_option PARTITION[] = {
    {"statementHandle", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "as execute answered it"},
    {"partition", PBAY_OPT_INT, 0, "0", "0..1000000", "which part of the rows"},
};

#define TABLE(t)                                                                                             \
    {                                                                                                        \
        t, sizeof t / sizeof *t, sizeof *t                                                                   \
    }

const pbay_actions_1 *sql_actions(void)
{
    static const pbay_action ACTIONS[] = {
        {"execute",
         "Run a statement, or several, and answer the first partition of its rows; bindings is a list.",
         PBAY_REPEAT_KEYED, PBAY_ACTF_MORE, TABLE(STATEMENT)},
        {"insert",
         "Insert rows (a list of lists) into columns (a list of names) of a table, in one statement.",
         PBAY_REPEAT_KEYED, PBAY_ACTF_MORE, TABLE(ROWS)},
        {"status", "How is a statement?", PBAY_REPEAT_SAFE, 0, TABLE(HANDLE)},
        {"fetch", "A partition of a statement's rows.", PBAY_REPEAT_SAFE, 0, TABLE(PARTITION)},
        {"cancel", "End a statement that runs.", PBAY_REPEAT_SAFE, 0, TABLE(HANDLE)},
    };
    static const pbay_actions_1 actions = {.struct_size = sizeof actions,
                                           .n_actions = sizeof ACTIONS / sizeof *ACTIONS,
                                           .actions = ACTIONS,
                                           .action_stride = sizeof(pbay_action),
                                           .run = run_action,
                                           .poll = poll_action,
                                           .cancel = cancel_action};
    return &actions;
}
