/* SPDX-License-Identifier: MIT */
/*
 * What is the same for every format: the codec's copy, columns, pieces, errors. The formats read only text
 * that is there as a whole; a row that is cut by the end of a piece is begun again when more of it is there.
 * To keep that from costing the square of its length when a long row comes in small pieces, it is tried again
 * only after it has grown by a quarter.
 */
#include "data/codec.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "data/rows.h"

enum { TRY_ALWAYS = 512, FEW_NAMES = 16 };

/* A reader of good rows has none, and is the smaller for it. */
static struct pb_err *err_of(struct pbay_reader *r)
{
    if (!r->err) r->err = pb_arena_zalloc(&r->arena, sizeof *r->err);
    return r->err;
}

/* Only what the caller's version of the struct has. */
static void copy_codec(pbay_codec *to, const pbay_codec *from, struct pb_arena *a)
{
    size_t n = from->struct_size < sizeof *to ? from->struct_size : sizeof *to;
    *to = (pbay_codec){0};
    memcpy(to, from, n);
    to->struct_size = sizeof *to;
    to->key = pb_arena_str(a, to->key);
    if (!to->any_kind) to->any_kind = PBAY_JSON;
    if (!to->delimiter) to->delimiter = ',';
    if (!to->max_depth) to->max_depth = PB_JSON_DEPTH;
}

static int check_codec(struct pbay_reader *r)
{
    const pbay_codec *c = &r->codec;
    if (c->format != PBAY_FORMAT_CSV && c->format != PBAY_FORMAT_JSON_ROWS &&
        c->format != PBAY_FORMAT_JSON_LINES)
        return pb_fail(err_of(r), PBAY_INVALID_ARGUMENT, "rows as text: there is no format %u", c->format);
    if (c->delimiter == '"' || c->delimiter == '\n' || c->delimiter == '\r')
        return pb_fail(err_of(r), PBAY_INVALID_ARGUMENT,
                       "rows as text: quotes and line ends cannot separate fields");
    if (c->n_columns > PB_COLUMNS_MAX)
        return pb_fail(err_of(r), PBAY_INVALID_ARGUMENT, "rows as text: %u columns, at most %u", c->n_columns,
                       PB_COLUMNS_MAX);
    pbay_str rest = c->key, part;
    while (rest.n && pb_str_split(&rest, '.', &part)) {
        if (r->n_path == PB_KEY_PARTS)
            return pb_fail(err_of(r), PBAY_INVALID_ARGUMENT,
                           "rows as text: the key \"%.*s\" has more than %d parts", PB_FMT(c->key),
                           PB_KEY_PARTS);
        r->path[r->n_path++] = part;
    }
    return 0;
}

struct pbay_reader *pb_reader_new(const pbay_codec *codec, struct pbay_builder *into)
{
    struct pbay_reader *r = pb_zalloc(sizeof *r);
    r->magic = PB_READER_MAGIC;
    r->into = into;
    r->first = true;
    copy_codec(&r->codec, codec, &r->arena);
    const pbay_codec *c = &r->codec;
    r->header = c->format == PBAY_FORMAT_CSV && c->header;
    r->max_rows = c->max_rows ? c->max_rows : UINT32_MAX - 1;
    r->state = c->format == PBAY_FORMAT_JSON_LINES ? PB_JSON_LINES : PB_JSON_START;
    if (check_codec(r) != 0) {
        r->failed = true;
        return r;
    }
    if (c->row_numbers) {
        r->numbers = pb_builder_get();
        pb_builder_column(r->numbers, pb_str(NULL, 0), PBAY_JSON);
    }
    if (!c->n_columns) return r;
    pbay_str *names = c->names ? pb_arena_alloc(&r->arena, c->n_columns * sizeof *names) : NULL;
    for (uint32_t i = 0; names && i < c->n_columns; i++) names[i] = pb_str_c(c->names[i]);
    if (pb_rows_columns(r, names, c->kinds, c->n_columns) != PB_SCAN_OK) r->failed = true;
    return r;
}

enum pb_scan pb_rows_columns(struct pbay_reader *r, const pbay_str *names, const uint32_t *kinds, uint32_t n)
{
    if (n > PB_COLUMNS_MAX) {
        pb_fail(err_of(r), PBAY_INVALID_ARGUMENT, "the rows have %u columns, at most %u", n, PB_COLUMNS_MAX);
        return PB_SCAN_BAD;
    }
    r->n_cols = n;
    r->known = true;
    r->kinds = pb_arena_alloc(&r->arena, n * sizeof *r->kinds);
    r->names = names ? pb_arena_alloc(&r->arena, n * sizeof *r->names) : NULL;
    for (uint32_t i = 0; i < n; i++) {
        r->kinds[i] = kinds ? kinds[i] : r->codec.any_kind;
        if (r->kinds[i] < PBAY_NUM || r->kinds[i] > PBAY_JSON) {
            pb_fail(err_of(r), PBAY_INVALID_ARGUMENT, "rows as text: column %u has kind %u", i + 1,
                    r->kinds[i]);
            return PB_SCAN_BAD;
        }
        if (names) r->names[i] = pb_arena_str(&r->arena, names[i]);
    }
    /* Of two columns with one name the first is meant. */
    for (uint32_t i = 0; names && n > FEW_NAMES && i < n; i++)
        pb_map_add(&r->by_name, r->names[i], &r->names[i]);
    for (uint32_t i = 0; i < n; i++)
        pb_builder_column(r->into, names ? r->names[i] : pb_str(NULL, 0), r->kinds[i]);
    return PB_SCAN_OK;
}

void pb_reader_into(struct pbay_reader *r, struct pbay_builder *into)
{
    PB_MAGIC_CHECK(r, PB_READER_MAGIC);
    r->into = into;
    if (r->numbers) pb_builder_clear_rows(r->numbers);
    for (uint32_t i = 0; r->known && i < r->n_cols; i++)
        pb_builder_column(into, r->names ? r->names[i] : pb_str(NULL, 0), r->kinds[i]);
}

uint32_t pb_rows_column_of(const struct pbay_reader *r, pbay_str name, uint32_t guess)
{
    /* Members come in the same order in nearly every row. */
    if (guess < r->n_cols && pb_str_eq(r->names[guess], name)) return guess;
    if (r->n_cols > FEW_NAMES) {
        const pbay_str *found = pb_map_get(&r->by_name, name);
        return found ? (uint32_t)(found - r->names) : PB_NO_COL;
    }
    for (uint32_t i = 0; i < r->n_cols; i++)
        if (pb_str_eq(r->names[i], name)) return i;
    return PB_NO_COL;
}

char *pb_rows_text_room(struct pbay_reader *r, uint32_t c, size_t n)
{
    struct pb_col *col = &r->into->cols[c];
    size_t at = col->off[col->n];
    if (col->bytes_cap - at < n && !pb_col_more_text(r->into, col, n)) return NULL;
    return col->bytes + at;
}

enum pb_scan pb_rows_fail(struct pbay_reader *r, const char *at, uint32_t col, const char *fmt, ...)
{
    char what[512], name[160] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    size_t len = strlen(what);
    if (len == sizeof what - 1) what[pb_utf8_floor(pb_str(what, len), len)] = 0;
    if (col != PB_NO_COL && r->names) {
        pbay_str s = r->names[col];
        snprintf(name, sizeof name, " (\"%.*s\")", (int)pb_utf8_floor(s, 120), s.p);
    }
    unsigned long long row = r->rows + 1, offset = r->offset + (uint64_t)(at - r->text);
    if (r->header)
        pb_fail(err_of(r), PBAY_INVALID_ARGUMENT, "header line, offset %llu: %s", offset, what);
    else if (r->state == PB_JSON_START ? r->codec.format == PBAY_FORMAT_JSON_ROWS
                                       : r->state == PB_JSON_MEMBERS || r->state == PB_JSON_END)
        pb_fail(err_of(r), PBAY_INVALID_ARGUMENT, "offset %llu: %s", offset, what);
    else if (col == PB_NO_COL)
        pb_fail(err_of(r), PBAY_INVALID_ARGUMENT, "row %llu, offset %llu: %s", row, offset, what);
    else
        pb_fail(err_of(r), PBAY_INVALID_ARGUMENT, "row %llu, column %u%s, offset %llu: %s", row, col + 1,
                name, offset, what);
    return PB_SCAN_BAD;
}

enum pb_scan pb_rows_misfit(struct pbay_reader *r, uint32_t col, pbay_str text)
{
    static const char *const wants[] = {"a number", "a text", "a number or a text", "a JSON value"};
    size_t cut = pb_utf8_floor(text, 60);
    return pb_rows_fail(r, text.p, col, "%s is expected, found %.*s%s", wants[r->kinds[col] - PBAY_NUM],
                        (int)cut, text.p, cut < text.n ? "…" : "");
}

/* ------------------------------------------------------------------------------------------------ pieces */

/* Read p .. end; *used is what was taken. */
static int read_text(struct pbay_reader *r, const char *p, size_t n, bool whole, size_t *used)
{
    struct pb_scan_in in = {.p = p, .end = p + n, .whole = whole};
    r->text = p;
    if (r->err) r->err->code = PBAY_OK;
    if (r->known && r->into->n_cols < r->n_cols) {
        r->failed = true;
        return pb_fail(err_of(r), PBAY_INTERNAL, "the builder of a reader has lost its columns");
    }
    /* Rows that were taken out of the builder have taken their numbers along. */
    if (r->numbers && pb_builder_rows(r->into) == 0) pb_builder_clear_rows(r->numbers);
    enum pb_scan rc = r->codec.format == PBAY_FORMAT_CSV ? pb_rows_csv(r, &in) : pb_rows_json(r, &in);
    if (rc != PB_SCAN_BAD && r->into->overflow) {
        pb_fail(err_of(r), PBAY_RESOURCE_EXHAUSTED, "row %llu: a column has more than %zu bytes of text",
                (unsigned long long)r->rows, PB_COLUMN_TEXT_MAX);
        rc = PB_SCAN_BAD;
    }
    if (rc == PB_SCAN_BAD) {
        if (!r->err || r->err->code == PBAY_OK) pb_rows_fail(r, in.at, PB_NO_COL, "%s", in.why);
        r->failed = true;
        return -1;
    }
    *used = (size_t)(in.p - p);
    r->offset += *used;
    return 0;
}

static int failed(const struct pbay_reader *r, struct pb_err *err)
{
    if (err && r->err) *err = *r->err;
    return -1;
}

int pb_reader_feed(struct pbay_reader *r, pbay_str piece, struct pb_err *err)
{
    PB_MAGIC_CHECK(r, PB_READER_MAGIC);
    if (r->failed) return failed(r, err);
    size_t used;
    if (r->carry.n == 0) {
        if (!piece.n) return 0;
        if (read_text(r, piece.p, piece.n, false, &used) != 0) return failed(r, err);
        pb_buf_add(&r->carry, piece.p + used, piece.n - used);
    } else {
        pb_buf_add(&r->carry, piece.p, piece.n);
        if (r->carry.n > TRY_ALWAYS && r->carry.n < r->next_try) return 0;
        if (read_text(r, r->carry.p, r->carry.n, false, &used) != 0) return failed(r, err);
        pb_buf_drop(&r->carry, used);
    }
    r->next_try = r->carry.n + r->carry.n / 4;
    return 0;
}

int pb_reader_finish(struct pbay_reader *r, struct pb_err *err)
{
    PB_MAGIC_CHECK(r, PB_READER_MAGIC);
    if (r->failed) return failed(r, err);
    size_t used;
    /* The last line may come without its end. */
    bool cut = r->carry.n && r->carry.p[r->carry.n - 1] != '\n';
    if (cut && r->codec.format != PBAY_FORMAT_JSON_ROWS) pb_buf_ch(&r->carry, '\n');
    if (read_text(r, r->carry.n ? r->carry.p : "", r->carry.n, true, &used) != 0) return failed(r, err);
    pb_buf_drop(&r->carry, used);
    /* An end is an end: what is fed from now on is one piece too many. */
    r->failed = true;
    pb_fail(err_of(r), PBAY_FAILED_PRECONDITION, "the text was at its end already");
    return 0;
}

const pbay_column *pb_reader_numbers(struct pbay_reader *r)
{
    PB_MAGIC_CHECK(r, PB_READER_MAGIC);
    if (!r->numbers) return NULL;
    return pb_builder_seal(r->numbers, NULL)->cols;
}

uint64_t pb_reader_rows(const struct pbay_reader *r)
{
    return r->rows;
}

void pb_reader_free(struct pbay_reader *r)
{
    if (!r) return;
    PB_MAGIC_CHECK(r, PB_READER_MAGIC);
    r->magic = 0;
    if (r->numbers) pb_builder_unref(r->numbers);
    pb_arena_free(&r->arena);
    pb_buf_free(&r->carry);
    pb_buf_free(&r->scratch);
    pb_buf_free(&r->json);
    pb_map_free(&r->by_name);
    pb_free(r);
}

/* ------------------------------------------------------------------------------------------------ writing */

struct pbay_writer *pb_writer_new(const pbay_codec *codec)
{
    struct pbay_writer *w = pb_zalloc(sizeof *w);
    w->magic = PB_WRITER_MAGIC;
    copy_codec(&w->codec, codec, &w->arena);
    pbay_codec *c = &w->codec;
    const char **names = c->names ? pb_arena_alloc(&w->arena, c->n_columns * sizeof *names) : NULL;
    for (uint32_t i = 0; names && i < c->n_columns; i++)
        names[i] = pb_arena_str(&w->arena, pb_str_c(c->names[i])).p;
    c->names = names;
    c->kinds = NULL;
    return w;
}

void pb_writer_write(struct pbay_writer *w, const pbay_batch *batch, const pbay_column *numbers)
{
    PB_MAGIC_CHECK(w, PB_WRITER_MAGIC);
    if (PB_CHECK_FAILS(!w->closed)) return;
    if (w->codec.format == PBAY_FORMAT_CSV)
        pb_rows_csv_write(w, batch);
    else
        pb_rows_json_write(w, batch, numbers);
}

pbay_str pb_writer_text(struct pbay_writer *w)
{
    PB_MAGIC_CHECK(w, PB_WRITER_MAGIC);
    if (!w->closed) {
        /* Without a batch, a list without rows. */
        static const pbay_batch nothing = {.struct_size = sizeof nothing, .col_stride = sizeof(pbay_column)};
        if (!w->begun) pb_writer_write(w, &nothing, NULL);
        w->closed = true;
        if (w->codec.format == PBAY_FORMAT_JSON_ROWS) {
            pb_buf_ch(&w->out, ']');
            if (w->codec.key.n) pb_buf_ch(&w->out, '}');
            for (size_t i = 0; i < w->codec.key.n; i++)
                if (w->codec.key.p[i] == '.') pb_buf_ch(&w->out, '}');
        } else if (w->blank || (w->codec.trailing_newline && w->out.n))
            pb_buf_ch(&w->out, '\n');
    }
    return pb_buf_view(&w->out);
}

void pb_writer_reset(struct pbay_writer *w)
{
    PB_MAGIC_CHECK(w, PB_WRITER_MAGIC);
    pb_buf_reset(&w->out, (size_t)4 << 20);
    w->names.n = 0;
    w->n_names = 0;
    w->begun = w->closed = w->blank = false;
    w->rows = 0;
}

void pb_writer_free(struct pbay_writer *w)
{
    if (!w) return;
    PB_MAGIC_CHECK(w, PB_WRITER_MAGIC);
    w->magic = 0;
    pb_free(w->name_end);
    pb_buf_free(&w->names);
    pb_buf_free(&w->out);
    pb_arena_free(&w->arena);
    pb_free(w);
}
