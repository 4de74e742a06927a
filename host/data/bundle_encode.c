/* SPDX-License-Identifier: MIT */
/*
 * Columns to rows: the length of a row is known from the offsets before it is written, so nothing is moved or
 * written twice, and room is asked for once per stretch of rows.
 */
#include "data/bundle.h"

#include <math.h>

#include "base/str.h"
#include "data/json_scan.h"
#include "data/wire.h"

enum {
    TAG_ROW = PB_WIRE_TAG(1, PB_WIRE_LEN),
    TAG_DUAL = PB_WIRE_TAG(1, PB_WIRE_LEN),
    TAG_NUM = PB_WIRE_TAG(1, PB_WIRE_I64),
    TAG_STR = PB_WIRE_TAG(2, PB_WIRE_LEN),
    STRETCH = 256,                  /* rows that room is asked for at once ... */
    STRETCH_TEXT = 64 << 10,        /* ... while their text is not more than this */
    DUAL_EXTRA = 1 + 5 + 9 + 1 + 5, /* bytes of a value beside its text, at most */
    QUICK = 16,
};

/* A column as it is written: after conversion, num and off stand for what is wanted, or are NULL. */
struct out_col {
    const double *num;
    const uint32_t *off;
    const char *bytes;
    const uint64_t *null_bits;
    size_t text_end; /* bytes that may be read */
};

static inline uint64_t num_bits(double v)
{
    uint64_t u;
    memcpy(&u, &v, 8);
    return u;
}

static inline bool is_null(const struct out_col *c, uint32_t row)
{
    return c->null_bits && c->null_bits[row >> 6] >> (row & 63) & 1;
}

/* Content of a value: its length, and what is in it. Negative zero is not the default, so it is written. */
static inline size_t dual_size(const struct out_col *c, uint32_t row, uint64_t *num, size_t *text)
{
    size_t n = 0;
    *num = 0;
    *text = 0;
    if (c->num) {
        *num = PB_UNLIKELY(is_null(c, row)) ? num_bits((double)NAN) : num_bits(c->num[row]);
        if (*num) n += 9;
    }
    if (c->off) {
        *text = c->off[row + 1] - c->off[row];
        if (*text) n += 1 + pb_wire_varint_size(*text) + *text;
    }
    return n;
}

static inline char *put_dual(char *p, const struct out_col *c, uint32_t row, size_t size, uint64_t num,
                             size_t text)
{
    *p++ = TAG_DUAL;
    p = pb_wire_put_varint(p, size);
    if (num) {
        *p++ = TAG_NUM;
        memcpy(p, &num, 8);
        p += 8;
    }
    if (text) {
        *p++ = TAG_STR;
        p = pb_wire_put_varint(p, text);
        size_t at = c->off[row];
        if (PB_LIKELY(text <= QUICK && c->text_end - at >= QUICK))
            memcpy(p, c->bytes + at, QUICK);
        else
            memcpy(p, c->bytes + at, text);
        p += text;
    }
    return p;
}

static size_t row_size(const struct out_col *cols, uint32_t n_cols, uint32_t row)
{
    size_t total = 0;
    for (uint32_t c = 0; c < n_cols; c++) {
        uint64_t num;
        size_t text, size = dual_size(&cols[c], row, &num, &text);
        total += 1 + pb_wire_varint_size(size) + size;
    }
    return total;
}

static inline char *put_row(char *p, const struct out_col *cols, uint32_t n_cols, uint32_t row, size_t size)
{
    *p++ = TAG_ROW;
    p = pb_wire_put_varint(p, size);
    for (uint32_t c = 0; c < n_cols; c++) {
        uint64_t num;
        size_t text, n = dual_size(&cols[c], row, &num, &text);
        p = put_dual(p, &cols[c], row, n, num, text);
    }
    return p;
}

/* Rows of one stretch, and the bytes they take at most. */
static uint32_t stretch(const struct out_col *cols, uint32_t n_cols, uint32_t from, uint32_t end,
                        size_t *room)
{
    uint32_t n = end - from < STRETCH ? end - from : STRETCH;
    for (;; n /= 2) {
        size_t text = 0;
        for (uint32_t c = 0; c < n_cols; c++)
            if (cols[c].off) text += cols[c].off[from + n] - cols[c].off[from];
        if (n > 1 && text > STRETCH_TEXT) continue;
        *room = text + (size_t)n * (6 + (size_t)n_cols * DUAL_EXTRA) + QUICK;
        return n;
    }
}

/* One message in the making. */
struct message {
    struct out_col *cols;
    uint32_t n_cols;
    size_t start, soft_max, hard_max; /* start: where it begins in out */
    struct pb_buf *out;
};

/*
 * Rows from .. end - 1 of the columns, which are rows base + from .. of the batch. Returns the row it stopped
 * before: end unless the message is full.
 */
static uint32_t put_rows(struct message *m, uint32_t from, uint32_t end, uint32_t base, struct pb_err *err)
{
    uint32_t row = from;
    while (row < end) {
        size_t room, before = m->out->n - m->start;
        uint32_t stop = row + stretch(m->cols, m->n_cols, row, end, &room);
        char *first = pb_buf_room(m->out, room), *p = first;
        bool full = false;
        for (; row < stop; row++) {
            size_t now = before + (size_t)(p - first), size, whole, text = 0, dual = 0;
            uint64_t num = 0;
            if (PB_LIKELY(m->n_cols == 1)) { /* what most functions answer: its cell is looked at once */
                dual = dual_size(m->cols, row, &num, &text);
                size = 1 + pb_wire_varint_size(dual) + dual;
            } else {
                size = row_size(m->cols, m->n_cols, row);
            }
            whole = 1 + pb_wire_varint_size(size) + size;
            full = now > m->soft_max || whole > m->hard_max - now;
            if (PB_UNLIKELY(full)) {
                if (now) break;
                pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "row %u takes %zu bytes, a reply message holds %zu",
                        base + row + 1, whole, m->hard_max);
                return PB_BUNDLE_FAILED;
            }
            if (PB_LIKELY(m->n_cols == 1)) {
                *p++ = TAG_ROW;
                p = pb_wire_put_varint(p, size);
                p = put_dual(p, m->cols, row, dual, num, text);
            } else {
                p = put_row(p, m->cols, m->n_cols, row, size);
            }
        }
        m->out->n += (size_t)(p - first);
        if (full) break;
    }
    return row;
}

/* ------------------------------------------------------------------------------------------------ conversion
 */

static uint32_t wanted(uint32_t kind_wanted, uint32_t kind)
{
    if (kind_wanted) return kind_wanted;
    return kind == PBAY_JSON ? PBAY_STR : kind;
}

/* Does the column have what is wanted as it stands? */
static bool as_is(uint32_t want, uint32_t kind)
{
    return want == kind || kind == PBAY_DUAL;
}

/* The n rows of a column of another kind into a builder of one column of the kind wanted; base: see put_rows.
 */
static int convert(const pbay_column *col, uint32_t c, uint32_t want, uint32_t n, uint32_t base,
                   struct pbay_builder *to, struct pb_err *err)
{
    struct pb_buf scratch = {0};
    int rc = 0;
    pb_builder_column(to, col->name, want);
    for (uint32_t row = 0; row < n; row++) {
        if (pbay_cell_null(col, row)) {
            pb_put_null(to, 0);
            continue;
        }
        char digits[PB_F64_MAX];
        double v = (double)NAN;
        pbay_str s;
        if (col->kind == PBAY_NUM) {
            v = col->num[row];
            s = pb_str(digits, pb_format_f64(v, digits));
        } else {
            s = pbay_cell_text(col, row);
            bool is_num = want != PBAY_STR && pb_json_to_num(s, &v);
            if (col->kind == PBAY_JSON) s = pb_json_text(s, &scratch);
            if (!is_num && want == PBAY_NUM) {
                size_t cut = pb_utf8_floor(s, 64);
                rc = pb_fail(
                    err, PBAY_INVALID_ARGUMENT,
                    "row %u, column %u (\"%.*s\"): a number is to be returned, the answer is \"%.*s\"",
                    base + row + 1, c + 1, PB_FMT(col->name), (int)cut, s.p ? s.p : "");
                break;
            }
        }
        if (want == PBAY_NUM)
            pb_put_num(to, 0, v);
        else if (want == PBAY_STR)
            pb_put_text(to, 0, s.p, s.n);
        else
            pb_put_dual(to, 0, v, s.p, s.n);
    }
    pb_buf_free(&scratch);
    if (rc == 0 && to->overflow)
        rc = pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "column %u has too much text", c + 1);
    return rc;
}

static void use(struct out_col *o, const pbay_column *col, uint32_t want, uint32_t n_rows)
{
    *o = (struct out_col){.num = want != PBAY_STR ? col->num : NULL, .null_bits = col->null_bits};
    if (want == PBAY_NUM) return;
    o->off = col->off;
    o->bytes = col->bytes;
    o->text_end = col->off[n_rows];
}

/* As put_rows, for columns of which some are converted. */
static uint32_t put_converted(struct message *m, const pbay_batch *b, uint32_t kind_wanted, uint32_t from,
                              uint32_t end, struct pb_err *err)
{
    struct pbay_builder **made = pb_zalloc(m->n_cols * sizeof *made);
    struct pb_slice part = {0};
    uint32_t stop = PB_BUNDLE_FAILED, c = 0;
    pb_slice_set(&part, b, NULL, from, end - from);
    for (; c < m->n_cols; c++) {
        const pbay_column *col = &part.cols[c];
        uint32_t want = wanted(kind_wanted, col->kind);
        if (!as_is(want, col->kind)) {
            made[c] = pb_builder_get();
            if (convert(col, c, want, end - from, from, made[c], err) != 0) break;
            col = pb_builder_seal(made[c], err)->cols;
        }
        use(&m->cols[c], col, want, end - from);
    }
    if (c == m->n_cols) stop = put_rows(m, 0, end - from, from, err);
    for (c = 0; c < m->n_cols; c++) pb_builder_unref(made[c]);
    pb_free(made);
    pb_slice_free(&part);
    return stop == PB_BUNDLE_FAILED ? stop : from + stop;
}

uint32_t pb_bundle_encode(const pbay_batch *b, uint32_t from, uint32_t kind_wanted, size_t soft_max,
                          size_t hard_max, struct pb_buf *out, struct pb_err *err)
{
    enum { NEAR = 16 };
    struct out_col few[NEAR];
    struct message m = {.cols = b->n_cols <= NEAR ? few : pb_array(b->n_cols, sizeof *m.cols),
                        .n_cols = b->n_cols,
                        .start = out->n,
                        .soft_max = soft_max,
                        .hard_max = hard_max,
                        .out = out};
    bool straight = true;
    for (uint32_t c = 0; c < b->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(b, c);
        uint32_t want = wanted(kind_wanted, col->kind);
        if (as_is(want, col->kind))
            use(&m.cols[c], col, want, b->n_rows);
        else
            straight = false;
    }
    uint32_t row = from, end = from;
    if (straight) row = put_rows(&m, from, b->n_rows, 0, err);
    /* Converted a stretch at a time, so that little is converted in vain when the message is full. */
    while (!straight && row == end && row < b->n_rows) {
        end = b->n_rows - row < STRETCH ? b->n_rows : row + STRETCH;
        row = put_converted(&m, b, kind_wanted, row, end, err);
    }
    if (row == PB_BUNDLE_FAILED) out->n = m.start;
    if (m.cols != few) pb_free(m.cols);
    return row;
}
