/* SPDX-License-Identifier: MIT */
#include "reply.h"

static const char *code_name(int32_t code)
{
    static const char *const NAMES[] = {
        "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED"};
    return code >= 0 && (size_t)code < sizeof NAMES / sizeof *NAMES ? NAMES[code] : "UNKNOWN";
}

void reply_init(struct reply *r, struct snowflake *s)
{
    const pbay_codec codec = {.struct_size = sizeof codec,
                              .format = PBAY_FORMAT_JSON_ROWS,
                              .any_kind = PBAY_JSON,
                              .key = STR("data"),
                              .row_numbers = 1};
    *r = (struct reply){.s = s, .out = s->batch->writer(s->host, &codec)};
}

/* Rows from .. from + n - 1 of a column under their numbers; the column is whole, or one made here. */
static void put(struct reply *r, const pbay_batch *rows)
{
    pbay_column numbers = *r->numbers;
    numbers.off += r->n;
    r->s->batch->write(r->out, rows, &numbers);
    r->n += rows->n_rows;
}

/* One value that is JSON already. */
static void put_value(struct reply *r, pbay_str json)
{
    const pbay_batch_1 *b = r->s->batch;
    if (!r->some) r->some = b->create(r->s->host);
    b->reset(r->some);
    b->add_column(r->some, STR(""), PBAY_JSON);
    b->text(r->some, 0, json);
    put(r, b->seal(r->some, NULL));
}

static void put_error(struct reply *r, const pbay_row_error *e)
{
    pbay_text t = {0};
    pbay_text_c(&t, "{\"error\":");
    pbay_text_json(&t, e->message);
    pbay_text_printf(&t, ",\"code\":\"%s\"}", code_name(e->code));
    put_value(r, pbay_text_view(&t));
    pbay_text_free(&t);
}

/* Rows from .. from + n - 1 without errors, in a builder of their own. */
static const pbay_batch *run_of(struct reply *r, const pbay_batch *rows, uint32_t from, uint32_t n)
{
    const pbay_batch_1 *b = r->s->batch;
    if (!r->some) r->some = b->create(r->s->host);
    b->reset(r->some);
    for (uint32_t c = 0; c < rows->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(rows, c);
        b->add_column(r->some, col->name, col->kind);
    }
    for (uint32_t c = 0; c < rows->n_cols; c++) b->copy(r->some, c, pbay_batch_col(rows, c), from, n);
    return b->seal(r->some, NULL);
}

/* Several columns are one value of Snowflake's: an object. */
static void put_objects(struct reply *r, const pbay_batch *rows, uint32_t from, uint32_t n)
{
    const pbay_batch_1 *b = r->s->batch;
    const pbay_codec codec = {
        .struct_size = sizeof codec, .format = PBAY_FORMAT_JSON_ROWS, .any_kind = PBAY_JSON, .objects = 1};
    if (!r->objects) r->objects = b->writer(r->s->host, &codec);
    for (uint32_t i = 0; i < n; i++) {
        b->writer_reset(r->objects);
        b->write(r->objects, run_of(r, rows, from + i, 1), NULL);
        pbay_str s = b->text_of(r->objects); /* [{...}] */
        put_value(r, (pbay_str){s.p + 1, s.n - 2});
    }
}

static void put_run(struct reply *r, const pbay_batch *rows, uint32_t from, uint32_t n)
{
    if (!n) return;
    if (rows->n_cols != 1)
        put_objects(r, rows, from, n);
    else if (n == rows->n_rows)
        put(r, rows);
    else
        put(r, run_of(r, rows, from, n));
}

void reply_add(struct reply *r, const pbay_batch *rows)
{
    uint32_t from = 0;
    for (uint32_t c = 0; c < rows->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(rows, c);
        r->bytes += (uint64_t)rows->n_rows * 4 + (col->off ? col->off[rows->n_rows] - col->off[0] : 0);
    }
    for (uint32_t i = 0; i < rows->n_row_errors; i++) {
        const pbay_row_error *e = &rows->row_errors[i];
        if (e->row < from || e->row >= rows->n_rows) continue;
        put_run(r, rows, from, e->row - from);
        put_error(r, e);
        r->bytes += e->message.n;
        from = e->row + 1;
    }
    put_run(r, rows, from, rows->n_rows - from);
}

pbay_str reply_text(struct reply *r)
{
    return r->s->batch->text_of(r->out);
}

void reply_free(struct reply *r)
{
    if (!r->s) return;
    const pbay_batch_1 *b = r->s->batch;
    if (r->out) b->writer_free(r->out);
    if (r->objects) b->writer_free(r->objects);
    if (r->some) b->free(r->some);
    *r = (struct reply){0};
}
