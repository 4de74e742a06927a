/* SPDX-License-Identifier: MIT */
/*
 * A batch as one run of bytes, for the same machine: numbers in its byte order, every array at a multiple
 * of 8.
 *
 *   head, n_cols times col, n_row_errors times note,
 *   then for each column: name, num, off, null bits, text (those it has); then the messages; each padded with
 * zeros
 *
 * There is one way to write a batch: what decodes encodes to the same bytes again.
 */
#include "data/batch.h"

#include "base/buf.h"
#include "base/str.h"

#define FLAT_MAGIC 0x31464250u /* "PBF1" */

struct head {
    uint32_t magic, n_cols, n_rows, n_notes;
    uint64_t total;
};
struct col {
    uint32_t kind, has_nulls, name_n, text_n;
};
struct note {
    uint32_t row;
    int32_t code;
    uint32_t n, zero;
};

static bool has_num(uint32_t kind)
{
    return kind == PBAY_NUM || kind == PBAY_DUAL;
}

static void put(struct pb_buf *out, const void *p, size_t n)
{
    static const char zeros[8];
    pb_buf_add(out, p, n);
    pb_buf_add(out, zeros, -n & 7);
}

void pb_batch_encode(const pbay_batch *batch, struct pb_buf *out)
{
    size_t start = out->n, rows = batch->n_rows;
    struct head head = {FLAT_MAGIC, batch->n_cols, batch->n_rows, batch->n_row_errors, 0};
    put(out, &head, sizeof head);
    for (uint32_t c = 0; c < batch->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(batch, c);
        struct col h = {col->kind, col->null_bits && pb_bits_count(col->null_bits, rows),
                        (uint32_t)col->name.n, col->kind == PBAY_NUM ? 0 : col->off[rows] - col->off[0]};
        put(out, &h, sizeof h);
    }
    for (uint32_t i = 0; i < batch->n_row_errors; i++) {
        const pbay_row_error *e = &batch->row_errors[i];
        struct note note = {e->row, e->code, (uint32_t)e->message.n, 0};
        put(out, &note, sizeof note);
    }
    for (uint32_t c = 0; c < batch->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(batch, c);
        put(out, col->name.p, col->name.n);
        if (has_num(col->kind)) put(out, col->num, rows * sizeof *col->num);
        if (col->kind != PBAY_NUM) {
            size_t n = (rows + 1) * sizeof(uint32_t);
            char *to = pb_buf_room(out, n + 8);
            for (size_t i = 0; i <= rows; i++) {
                uint32_t v = col->off[i] - col->off[0];
                memcpy(to + i * sizeof v, &v, sizeof v);
            }
            memset(to + n, 0, -n & 7);
            out->n += n + (-n & 7);
        }
        if (col->null_bits && pb_bits_count(col->null_bits, rows)) {
            size_t n = (rows + 63) / 64 * 8;
            put(out, col->null_bits, n);
            /* What stands past the last row is not part of the batch. */
            uint64_t last;
            char *at = out->p + out->n - 8;
            memcpy(&last, at, 8);
            if (rows % 64) last &= (UINT64_C(1) << rows % 64) - 1;
            memcpy(at, &last, 8);
        }
        if (col->kind != PBAY_NUM && col->off[rows] > col->off[0])
            put(out, col->bytes + col->off[0], col->off[rows] - col->off[0]);
    }
    for (uint32_t i = 0; i < batch->n_row_errors; i++)
        put(out, batch->row_errors[i].message.p, batch->row_errors[i].message.n);
    head.total = out->n - start;
    memcpy(out->p + start, &head, sizeof head);
}

static size_t padded(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

size_t pb_batch_encoded_most(const pbay_batch *batch)
{
    size_t rows = batch->n_rows, n = padded(sizeof(struct head));
    n += batch->n_cols * padded(sizeof(struct col)) + batch->n_row_errors * padded(sizeof(struct note));
    for (uint32_t c = 0; c < batch->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(batch, c);
        n += padded(col->name.n);
        if (has_num(col->kind)) n += rows * sizeof *col->num;
        if (col->null_bits) n += (rows + 63) / 64 * 8;
        if (col->kind != PBAY_NUM)
            n += padded((rows + 1) * sizeof(uint32_t)) + padded(col->off[rows] - col->off[0]);
    }
    for (uint32_t i = 0; i < batch->n_row_errors; i++) n += padded(batch->row_errors[i].message.n);
    return n;
}

/* ------------------------------------------------------------------------------------------------ decode */

struct in {
    pbay_str flat;
    size_t at;
};

/* The next n bytes and their padding, or NULL. */
static const char *take(struct in *in, uint64_t n)
{
    uint64_t padded = (n + 7) & ~UINT64_C(7);
    if (padded < n || padded > in->flat.n - in->at) return NULL;
    const char *p = in->flat.p + in->at;
    for (uint64_t i = n; i < padded; i++)
        if (p[i]) return NULL;
    in->at += (size_t)padded;
    return p;
}

#define BAD(...) pb_fail(err, PBAY_INTERNAL, "flat batch: " __VA_ARGS__)

static int read_cells(struct in *in, struct pbay_builder *b, uint32_t c, const struct col *h, uint32_t rows,
                      struct pb_err *err)
{
    struct pb_col *col = &b->cols[c];
    const char *num = has_num(h->kind) ? take(in, (uint64_t)rows * 8) : "";
    const char *off = h->kind != PBAY_NUM ? take(in, ((uint64_t)rows + 1) * 4) : "";
    const char *bits = h->has_nulls ? take(in, ((uint64_t)rows + 63) / 64 * 8) : "";
    const char *text = h->kind != PBAY_NUM ? take(in, h->text_n) : "";
    if (!num || !off || !bits || !text) return BAD("column %u is cut short", c);
    pb_col_reserve(col, rows);
    if (col->num) memcpy(col->num, num, (size_t)rows * 8);
    col->n = rows;
    if (h->has_nulls) {
        uint64_t last = 0;
        if (rows % 64) memcpy(&last, bits + rows / 64 * 8, 8);
        if (!rows || last >> rows % 64) return BAD("column %u: null bits of rows that are not", c);
        pb_col_set_null(col, 0);
        memcpy(col->null_bits, bits, ((size_t)rows + 63) / 64 * 8);
        col->n_null = (uint32_t)pb_bits_count(col->null_bits, rows);
        if (!col->n_null) return BAD("column %u: null bits without a null", c);
    }
    if (col->off) {
        memcpy(col->off, off, ((size_t)rows + 1) * 4);
        if (col->off[0] != 0 || col->off[rows] != h->text_n)
            return BAD("column %u: offsets do not span its text", c);
        for (uint32_t i = 0; i < rows; i++) {
            if (col->off[i] > col->off[i + 1]) return BAD("column %u, row %u: offsets run backwards", c, i);
            if (h->has_nulls && col->off[i] != col->off[i + 1] && (col->null_bits[i / 64] >> i % 64 & 1))
                return BAD("column %u, row %u: null with text", c, i);
        }
        if (col->bytes_cap < h->text_n) {
            pb_free(col->bytes);
            col->bytes = pb_alloc(col->bytes_cap = h->text_n);
        }
        if (h->text_n) memcpy(col->bytes, text, h->text_n);
        uint32_t bad = pb_cells_invalid(col->bytes, col->off, 0, rows);
        if (bad != rows) return BAD("column %u, row %u: not valid UTF-8", c, bad);
    }
    return 0;
}

static int decode(struct in *in, struct pbay_builder *b, struct pb_err *err)
{
    struct head head;
    const char *p = take(in, sizeof head);
    if (!p) return BAD("%zu bytes are too few", in->flat.n);
    memcpy(&head, p, sizeof head);
    if (head.magic != FLAT_MAGIC) return BAD("begins with 0x%08x", head.magic);
    if (head.total != in->flat.n)
        return BAD("says %llu bytes, is %zu", (unsigned long long)head.total, in->flat.n);
    if (head.n_rows == UINT32_MAX) return BAD("too many rows");
    if (head.n_cols > PB_COLUMNS_MAX) return BAD("%u columns, at most %u", head.n_cols, PB_COLUMNS_MAX);
    const char *cols = take(in, (uint64_t)head.n_cols * sizeof(struct col));
    const char *notes = cols ? take(in, (uint64_t)head.n_notes * sizeof(struct note)) : NULL;
    if (!cols || !notes) return BAD("%u columns and %u row errors do not fit", head.n_cols, head.n_notes);

    /* All columns are declared before the first cell. */
    for (uint32_t c = 0; c < head.n_cols; c++) {
        struct col h;
        memcpy(&h, cols + (size_t)c * sizeof h, sizeof h);
        if (h.kind < PBAY_NUM || h.kind > PBAY_JSON) return BAD("column %u: kind %u", c, h.kind);
        if (h.has_nulls > 1) return BAD("column %u: null flag %u", c, h.has_nulls);
        if (h.text_n > PB_COLUMN_TEXT_MAX || (h.kind == PBAY_NUM && h.text_n))
            return BAD("column %u: %u bytes of text", c, h.text_n);
        pb_builder_column(b, pb_str(NULL, 0), h.kind);
    }
    for (uint32_t c = 0; c < head.n_cols; c++) {
        struct col h;
        memcpy(&h, cols + (size_t)c * sizeof h, sizeof h);
        pbay_str name = pb_str(take(in, h.name_n), h.name_n);
        if (!name.p) return BAD("column %u: name is cut short", c);
        if (!pb_utf8_valid(name)) return BAD("column %u: name is not valid UTF-8", c);
        b->cols[c].name = pb_arena_str(&b->names, name);
        if (read_cells(in, b, c, &h, head.n_rows, err) != 0) return -1;
    }
    if (!head.n_cols) b->bare_rows = head.n_rows;
    for (uint32_t i = 0, before = 0; i < head.n_notes; i++) {
        struct note note;
        memcpy(&note, notes + (size_t)i * sizeof note, sizeof note);
        pbay_str text = pb_str(take(in, note.n), note.n);
        if (!text.p || !pb_utf8_valid(text))
            return BAD("row error %u: message is cut short or not valid UTF-8", i);
        if (note.row >= head.n_rows || (i && note.row <= before) || note.code <= PBAY_OK ||
            (note.code > PBAY_UNAUTHENTICATED && note.code != PBAY_BAD_VALUE) || note.zero)
            return BAD("row error %u: row %u of %u, code %d", i, note.row, head.n_rows, note.code);
        before = note.row;
        pb_builder_row_error(b, note.row, note.code, text);
    }
    if (in->at != in->flat.n) return BAD("%zu bytes too many", in->flat.n - in->at);
    return 0;
}

struct pbay_builder *pb_batch_decode(pbay_str flat, struct pb_err *err)
{
    struct in in = {flat, 0};
    struct pbay_builder *b = pb_builder_get();
    if (decode(&in, b, err) == 0) return b;
    pb_builder_reset(b);
    pb_builder_unref(b);
    return NULL;
}
