/* SPDX-License-Identifier: MIT */
/*
 * Two ways through a row. The quick one knows the layout every generated encoder writes: one value after the
 * other, numData before strData, each at most once. Whatever else stands there (unknown fields, another
 * order, repeats) is read again by the thorough one, which also knows what to say about it.
 */
#include "data/bundle.h"

#include "base/str.h"
#include "data/wire.h"

enum {
    TAG_ROW = PB_WIRE_TAG(1, PB_WIRE_LEN),
    TAG_DUAL = PB_WIRE_TAG(1, PB_WIRE_LEN),
    TAG_NUM = PB_WIRE_TAG(1, PB_WIRE_I64),
    TAG_STR = PB_WIRE_TAG(2, PB_WIRE_LEN),
    QUICK = 16, /* bytes that are copied at once when there is room on both sides */
};

/* Put a cell. False: a column is full. */
static inline bool put_cell(struct pbay_builder *b, uint32_t c, double num, const uint8_t *s, size_t n,
                            const uint8_t *end)
{
    struct pb_col *col = &b->cols[c];
    if (PB_UNLIKELY(col->n == col->cap)) {
        if (col->n >= UINT32_MAX - 2) return false;
        pb_col_more_cells(col, 1);
    }
    uint32_t row = col->n;
    if (col->num) {
        if (PB_UNLIKELY(num != num) && (col->kind == PBAY_NUM || n == 0)) {
            pb_put_null(b, c);
            return true;
        }
        col->num[row] = num;
    }
    if (col->off) {
        size_t at = col->off[row];
        if (PB_LIKELY(n <= QUICK && col->bytes_cap - at >= QUICK && (size_t)(end - s) >= QUICK)) {
            memcpy(col->bytes + at, s, QUICK);
        } else {
            if (col->bytes_cap - at < n && !pb_col_more_text(b, col, n)) return false;
            if (n) memcpy(col->bytes + at, s, n);
        }
        col->off[row + 1] = (uint32_t)(at + n);
    }
    col->n = row + 1;
    return true;
}

/* A length of one or two bytes, or (NULL) anything longer, which is for the thorough way. */
static inline const uint8_t *short_len(const uint8_t *p, const uint8_t *end, size_t *n)
{
    if (PB_UNLIKELY(p == end)) return NULL;
    if (PB_LIKELY(*p < 0x80)) {
        *n = *p;
        return p + 1;
    }
    if (end - p < 2 || p[1] >= 0x80) return NULL;
    *n = (size_t)(p[0] & 0x7f) | (size_t)p[1] << 7;
    return p + 2;
}

/*
 * One row in the usual layout, p .. end; all_end is the end of the message. False: something else stands
 * there, and some cells of the row may have been put.
 */
static inline bool quick_row(struct pbay_builder *b, const uint8_t *p, const uint8_t *end,
                             const uint8_t *all_end)
{
    for (uint32_t c = 0; c < b->n_cols; c++) {
        size_t len, n = 0;
        double num = 0;
        if (PB_UNLIKELY(p == end || *p != TAG_DUAL)) return false;
        if (!(p = short_len(p + 1, end, &len)) || len > (size_t)(end - p)) return false;
        const uint8_t *stop = p + len, *s = stop;
        if (p != stop && *p == TAG_NUM) {
            if (stop - p < 9) return false;
            memcpy(&num, p + 1, 8);
            p += 9;
        }
        if (p != stop) {
            if (*p != TAG_STR || !(p = short_len(p + 1, stop, &n)) || n != (size_t)(stop - p)) return false;
            s = p;
        }
        if (!put_cell(b, c, num, s, n, all_end)) return false;
        p = stop;
    }
    return p == end;
}

static int not_protobuf(struct pb_err *err, uint32_t row)
{
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "row %u of the bundle is not a valid protobuf message",
                   row + 1);
}

static int too_much(struct pbay_builder *b, struct pb_err *err)
{
    b->overflow = false;
    return pb_fail(
        err, PBAY_RESOURCE_EXHAUSTED,
        "the rows of the call exceed what a batch holds (%zu bytes of text per column): send fewer at once",
        PB_COLUMN_TEXT_MAX);
}

static int thorough_row(struct pbay_builder *b, pbay_str row, uint32_t number, struct pb_err *err)
{
    const uint8_t *p = (const uint8_t *)row.p, *end = p + row.n;
    struct pb_wire_field f, d;
    uint32_t c = 0;
    int more;
    while ((more = pb_wire_next(&p, end, &f)) == 1) {
        if (f.tag != TAG_DUAL) continue;
        double num = 0;
        pbay_str s = {row.p, 0};
        const uint8_t *q = (const uint8_t *)f.bytes.p, *stop = q + f.bytes.n;
        while ((more = pb_wire_next(&q, stop, &d)) == 1) {
            if (d.tag == TAG_NUM)
                memcpy(&num, &d.value, 8);
            else if (d.tag == TAG_STR)
                s = d.bytes;
        }
        if (more < 0) return not_protobuf(err, number);
        if (c < b->n_cols && !put_cell(b, c, num, (const uint8_t *)s.p, s.n, (const uint8_t *)s.p + s.n))
            return too_much(b, err);
        if (c < UINT32_MAX) c++;
    }
    if (more < 0) return not_protobuf(err, number);
    if (c != b->n_cols)
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "row %u of the bundle has %u value%s, the function takes %u", number + 1, c,
                       c == 1 ? "" : "s", b->n_cols);
    return 0;
}

static int one_row(struct pbay_builder *b, const uint8_t *p, size_t len, const uint8_t *all_end,
                   uint32_t before, uint32_t *number, struct pb_err *err)
{
    if (PB_UNLIKELY(!quick_row(b, p, p + len, all_end))) {
        pb_builder_truncate(b, before + *number);
        if (thorough_row(b, pb_str((const char *)p, len), *number, err) != 0) return -1;
    }
    if (!b->n_cols) {
        if (b->bare_rows >= UINT32_MAX - 2) return too_much(b, err);
        b->bare_rows++;
    }
    ++*number;
    return 0;
}

static int rows_of(struct pbay_builder *b, pbay_str msg, uint32_t before, struct pb_err *err)
{
    const uint8_t *p = (const uint8_t *)msg.p, *end = p + msg.n;
    uint32_t number = 0;
    while (p < end) {
        const uint8_t *q;
        size_t len;
        if (PB_LIKELY(*p == TAG_ROW && (q = short_len(p + 1, end, &len)) && len <= (size_t)(end - q))) {
            p = q + len;
        } else {
            struct pb_wire_field f;
            if (pb_wire_next(&p, end, &f) != 1)
                return pb_fail(
                    err, PBAY_INVALID_ARGUMENT,
                    "the bundle is not a valid protobuf message after row %u of it, byte %zu of %zu", number,
                    (size_t)(p - (const uint8_t *)msg.p), msg.n);
            if (f.tag != TAG_ROW) continue;
            q = (const uint8_t *)f.bytes.p;
            len = f.bytes.n;
        }
        if (one_row(b, q, len, end, before, &number, err) != 0) return -1;
    }
    return 0;
}

static int check_text(const struct pbay_builder *b, uint32_t before, struct pb_err *err)
{
    for (uint32_t c = 0; c < b->n_cols; c++) {
        const struct pb_col *col = &b->cols[c];
        if (!col->off) continue;
        uint32_t bad = pb_cells_invalid(col->bytes, col->off, before, col->n - before);
        if (bad == col->n) continue;
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "row %u of the bundle, value %u (\"%.*s\") is not valid UTF-8", bad - before + 1,
                       c + 1, PB_FMT(col->name));
    }
    return 0;
}

int pb_bundle_decode(pbay_str msg, struct pbay_builder *into, struct pb_err *err)
{
    uint32_t before = pb_builder_rows(into);
    if (rows_of(into, msg, before, err) == 0 && check_text(into, before, err) == 0) return 0;
    pb_builder_truncate(into, before);
    return -1;
}
