/* SPDX-License-Identifier: MIT */
#include "warehouse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "data/codec.h"
#include "net/crypto.h"
#include "sql.h"
#include "topn.h"

enum { ROWS_AT_ONCE = 5000 /* of an INSERT */, TABLE_MAX = 800 };

struct rec_warehouse {
    struct rec_sql *sql;
};

/* DB.SCHEMA.TABLE goes into statements: names without quotes, or quoted ones without quotes in them. */
static int check_table(const char *what, const char *name, struct pb_err *err)
{
    uint32_t parts = 1;
    const char *p = name;
    for (;;) {
        const char *first = p;
        if (*p == '"') {
            for (p++; *p && *p != '"'; p++) {
            }
            if (*p++ != '"' || p == first + 2) break;
        } else {
            while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                   *p == '_' || *p == '$')
                p++;
            if (p == first) break;
        }
        if (!*p && p - name < TABLE_MAX) return 0;
        if (*p++ != '.' || ++parts > 3) break;
    }
    return pb_fail(err, PBAY_INVALID_ARGUMENT,
                   "%s is \"%.200s\"; expected a table such as DATABASE.SCHEMA.TABLE", what, name);
}

static int run(struct rec_warehouse *w, struct rec_result *out, struct pb_err *err, uint32_t n_statements,
               const char *format, ...) PB_PRINTF(5, 6);

static int run(struct rec_warehouse *w, struct rec_result *out, struct pb_err *err, uint32_t n_statements,
               const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "the name of a table is too long");
    pbay_sf_statement s = {.text = pb_str(text, (size_t)n), .n_statements = n_statements};
    return rec_sql_run(w->sql, &s, out, err);
}

/* DB.SCHEMA.TABLE to DB.SCHEMA.RECOMMENDER_<random>: beside it, and in nobody's way. */
static char *stage_name(const char *table)
{
    uint8_t random[16];
    char id[PBAY_SF_UUID];
    const char *last = table;
    bool quoted = false;
    for (const char *p = table; *p; p++) {
        if (*p == '"') quoted = !quoted;
        if (*p == '.' && !quoted) last = p + 1;
    }
    pb_random(random, sizeof random);
    pbay_sf_uuid(random, id);
    for (char *p = id; *p; p++)
        if (*p == '-') *p = '_';
    return pb_sprintf("%.*sRECOMMENDER_%s", (int)(last - table), table, id);
}

static bool appends(const struct rec_hyper *h)
{
    return h->output_mode && pb_str_is(pb_str_c(h->output_mode), "append");
}

/* The statements that rec_warehouse_write will run, without a row: whether they are allowed only they say. */
static int try_writing(struct rec_warehouse *w, const struct rec_hyper *h, struct pb_err *err)
{
    const char *out = h->output_table;
    struct pb_err ignored;
    char *stage = stage_name(out);
    int rc = run(w, NULL, err, 1, "CREATE TRANSIENT TABLE %s (USERID NUMBER(38, 0), ITEMS VARCHAR)", stage);
    if (!rc) {
        rc = run(w, NULL, err, 1, "INSERT INTO %s SELECT USERID, PARSE_JSON(ITEMS) FROM %s", out, stage);
        if (!rc && !appends(h)) rc = run(w, NULL, err, 1, "DELETE FROM %s WHERE 1 = 0", out);
        run(w, NULL, &ignored, 1, "DROP TABLE IF EXISTS %s", stage);
    }
    pb_free(stage);
    return rc;
}

/* Training takes long: what is missing is said before it. */
static int check_output(struct rec_warehouse *w, const struct rec_hyper *h, struct pb_err *err)
{
    struct rec_result r;
    if (!h->output_table) return 0;
    if (check_table("output_table_name", h->output_table, err)) return -1;
    if (run(w, &r, err, 1, "SELECT * FROM %s LIMIT 0", h->output_table))
        return pb_fail_in(err, "the output table %s", h->output_table);
    uint32_t n = r.n_columns;
    rec_result_free(&r);
    if (n != 2)
        return pb_fail(
            err, PBAY_FAILED_PRECONDITION,
            "the output table %s has %u columns; expected two: the user, and a VARIANT for the items",
            h->output_table, n);
    if (try_writing(w, h, err))
        return pb_fail_in(err, "the output table %s cannot be written", h->output_table);
    return 0;
}

struct rec_warehouse *rec_warehouse_open(const struct rec_hyper *h, struct pb_err *err)
{
    struct rec_warehouse *w = pb_zalloc(sizeof *w);
    if ((w->sql = rec_sql_open(h, err)) && !check_output(w, h, err)) return w;
    rec_warehouse_close(w);
    return NULL;
}

void rec_warehouse_close(struct rec_warehouse *w)
{
    if (!w) return;
    rec_sql_close(w->sql);
    pb_free(w);
}

/* ------------------------------------------------------------------------------------------------ reading */

/* The rows of a partition, each the texts of a user, an item and a rating. */
struct rows {
    struct pbay_builder *builder;
    struct pbay_reader *reader;
};

static void rows_free(struct rows *r)
{
    pb_reader_free(r->reader);
    pb_builder_unref(r->builder);
}

static const pbay_batch *rows_parse(struct rows *r, pbay_str data, struct pb_err *err)
{
    static const char *const names[] = {"user", "item", "rating"};
    static const uint32_t kinds[] = {PBAY_STR, PBAY_STR, PBAY_STR};
    const pbay_codec codec = {.struct_size = sizeof codec,
                              .format = PBAY_FORMAT_JSON_ROWS,
                              .names = names,
                              .kinds = kinds,
                              .n_columns = 3};
    r->builder = pb_builder_new();
    r->reader = pb_reader_new(&codec, r->builder);
    if (pb_reader_feed(r->reader, data, err) || pb_reader_finish(r->reader, err)) return NULL;
    return pb_builder_seal(r->builder, err);
}

static int add_row(struct rec_ratings *r, const pbay_batch *b, uint32_t i, const char *where,
                   struct pb_err *err)
{
    static const char *const what[] = {"user", "item", "rating"};
    int64_t ids[2];
    double value;
    for (uint32_t c = 0; c < 3; c++) {
        const pbay_column *col = pbay_batch_col(b, c);
        if (pbay_cell_null(col, i))
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: the %s is null", where, what[c]);
        pbay_str text = pbay_cell_text(col, i);
        if (c < 2 ? rec_parse_id(text, &ids[c]) : pb_parse_f64(text, &value)) continue;
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: the %s is \"%.*s\"; expected a %snumber", where,
                       what[c], (int)(text.n < 80 ? text.n : 80), text.p, c < 2 ? "whole " : "");
    }
    return rec_ratings_add(r, ids[0], ids[1], value, where, err);
}

static int add_rows(struct rec_ratings *r, pbay_str data, uint64_t *row, const char *table,
                    struct pb_err *err)
{
    struct rows rows = {0};
    char where[TABLE_MAX + 64];
    const pbay_batch *b = rows_parse(&rows, data, err);
    int rc = b ? 0 : pb_fail_in(err, "%s", table);
    for (uint32_t i = 0; !rc && i < b->n_rows; i++) {
        snprintf(where, sizeof where, "%s, row %llu", table, (unsigned long long)++*row);
        rc = add_row(r, b, i, where, err);
    }
    rows_free(&rows);
    return rc;
}

/* Which of the table's columns are which: USERID, MOVIEID or ITEMID, RATING. */
static int find_columns(struct rec_warehouse *w, const char *table, char columns[3][256], struct pb_err *err)
{
    static const char *const names[] = {"USERID", "MOVIEID", "RATING"};
    struct rec_result r;
    if (run(w, &r, err, 1, "SELECT * FROM %s LIMIT 0", table))
        return pb_fail_in(err, "the input table %s", table);
    int rc = 0;
    for (uint32_t k = 0; k < 3 && !rc; k++) {
        columns[k][0] = 0;
        for (uint32_t i = 0; i < r.n_columns && !columns[k][0]; i++)
            if (rec_column_role(r.columns[i]) == (int)k)
                snprintf(columns[k], sizeof columns[k], "\"%.*s\"", PB_FMT(r.columns[i]));
        if (!columns[k][0])
            rc =
                pb_fail(err, PBAY_FAILED_PRECONDITION,
                        "the input table %s has no column %s; expected USERID, MOVIEID or ITEMID, and RATING",
                        table, names[k]);
    }
    rec_result_free(&r);
    return rc;
}

int rec_warehouse_read(struct rec_warehouse *w, const struct rec_hyper *h, struct rec_ratings *r,
                       struct pb_err *err)
{
    const char *table = h->input_table;
    char columns[3][256];
    struct rec_result first, more;
    uint64_t row = 0;
    if (check_table("input_table_name", table, err) || find_columns(w, table, columns, err)) return -1;
    if (run(w, &first, err, 1, "SELECT %s, %s, %s FROM %s ORDER BY 1, 2", columns[0], columns[1], columns[2],
            table))
        return pb_fail_in(err, "the input table %s", table);
    int rc = add_rows(r, first.data, &row, table, err);
    for (uint32_t p = 1; !rc && p < first.n_partitions; p++) {
        rc = rec_sql_partition(w->sql, first.handle, p, &more, err);
        if (rc) break;
        rc = add_rows(r, more.data, &row, table, err);
        rec_result_free(&more);
    }
    rec_result_free(&first);
    return rc;
}

/* ------------------------------------------------------------------------------------------------ writing */

/* Rows on their way into the table beside. */
struct writing {
    struct rec_warehouse *w;
    const struct rec_model *m;
    const char *stage;
    struct pb_arena mem;
    pbay_str users[ROWS_AT_ONCE], lists[ROWS_AT_ONCE];
    uint32_t n;
    uint64_t total;
    int rc;
    struct pb_err *err;
};

static void flush_rows(struct writing *g)
{
    char text[TABLE_MAX + 128];
    const pbay_sf_binding bindings[] = {{"FIXED", g->users, g->n, 1}, {"TEXT", g->lists, g->n, 1}};
    int n = snprintf(text, sizeof text, "INSERT INTO %s VALUES (?, ?)", g->stage);
    pbay_sf_statement s = {.text = pb_str(text, (size_t)n), .bindings = bindings, .n_bindings = 2};
    if (g->n && !g->rc) g->rc = rec_sql_run(g->w->sql, &s, NULL, g->err);
    g->total += g->n;
    g->n = 0;
    pb_arena_reset(&g->mem);
}

static void put_row(void *user, uint32_t who, const uint32_t *items, uint32_t n)
{
    struct writing *g = user;
    struct pb_buf list = {0};
    if (g->rc) return;
    pb_buf_ch(&list, '[');
    for (uint32_t i = 0; i < n; i++)
        pb_buf_printf(&list, "%s%lld", i ? ", " : "", (long long)g->m->items.of[items[i]]);
    pb_buf_ch(&list, ']');
    g->users[g->n] = pb_str_c(pb_arena_printf(&g->mem, "%lld", (long long)g->m->users.of[who]));
    g->lists[g->n++] = pb_arena_str(&g->mem, pb_buf_view(&list));
    pb_buf_free(&list);
    if (g->n == ROWS_AT_ONCE) flush_rows(g);
}

/* What the table holds changes in one transaction, or not at all. */
static int swap(struct rec_warehouse *w, const struct rec_hyper *h, const char *stage, struct pb_err *err)
{
    const char *out = h->output_table;
    if (appends(h))
        return run(w, NULL, err, 1, "INSERT INTO %s SELECT USERID, PARSE_JSON(ITEMS) FROM %s", out, stage);
    return run(w, NULL, err, 4,
               "BEGIN; DELETE FROM %s; INSERT INTO %s SELECT USERID, PARSE_JSON(ITEMS) FROM %s; COMMIT", out,
               out, stage);
}

int rec_warehouse_write(struct rec_warehouse *w, const struct rec_hyper *h, const struct rec_model *m,
                        const struct rec_ratings *r, struct pb_err *err)
{
    char *stage = stage_name(h->output_table);
    struct writing *g = pb_zalloc(sizeof *g);
    struct pb_err ignored;
    *g = (struct writing){.w = w, .m = m, .stage = stage, .err = err};
    g->rc = run(w, NULL, err, 1, "CREATE TRANSIENT TABLE %s (USERID NUMBER(38, 0), ITEMS VARCHAR)", stage);
    if (!g->rc) {
        rec_top(m, r, h->params.top_n, put_row, g);
        flush_rows(g);
        if (!g->rc) g->rc = swap(w, h, stage, err);
        /* If this fails a table is left behind whose name says whose it was. */
        run(w, NULL, &ignored, 1, "DROP TABLE IF EXISTS %s", stage);
    }
    int rc = g->rc ? pb_fail_in(err, "the output table %s", h->output_table) : 0;
    pb_arena_free(&g->mem);
    pb_free(g);
    pb_free(stage);
    return rc;
}
