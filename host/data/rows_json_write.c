/* SPDX-License-Identifier: MIT */
/* Batches as JSON rows and JSON lines: arrays, or objects with the columns' names; no blanks. */
#include <math.h>

#include "data/rows.h"
#include "data/simd.h"

void pb_rows_put_json_string(struct pb_buf *out, pbay_str s)
{
    static const char hex[] = "0123456789abcdef";
    const char *p = s.p, *end = p + s.n;
    /* Text that needs no escape is copied as it is looked at; room for the longest escapes is asked for as
     * they come. */
    char *o = pb_buf_room(out, s.n + 2 + 6 + PB_LANES);
    *o++ = '"';
    while (p < end) {
        uint32_t high, m;
        size_t plain;
        if (end - p >= PB_LANES) {
            memcpy(o, p, PB_LANES);
            m = pb_lanes_json(p, &high);
            plain = m ? (size_t)__builtin_ctz(m) : PB_LANES;
            p += plain;
            o += plain;
            if (!m) continue;
        }
        unsigned char c = (unsigned char)*p++;
        if (PB_LIKELY(c != '"' && c != '\\' && c >= 0x20)) {
            *o++ = (char)c;
            continue;
        }
        *o++ = '\\';
        switch (c) {
        case '"':
        case '\\': *o++ = (char)c; break;
        case '\n': *o++ = 'n'; break;
        case '\r': *o++ = 'r'; break;
        case '\t': *o++ = 't'; break;
        default:
            memcpy(o, "u00", 3);
            o[3] = hex[c >> 4];
            o[4] = hex[c & 15];
            o += 5;
        }
        out->n = (size_t)(o - out->p);
        o = pb_buf_room(out, (size_t)(end - p) + 1 + 6 + PB_LANES);
    }
    *o++ = '"';
    out->n = (size_t)(o - out->p);
}

static void put_cell(struct pb_buf *out, const pbay_column *col, uint32_t row)
{
    if (pbay_cell_null(col, row)) {
        pb_buf_add(out, "null", 4);
        return;
    }
    if (col->num && (col->kind == PBAY_NUM || !isnan(col->num[row]))) {
        if (!isfinite(col->num[row])) {
            pb_buf_add(out, "null", 4);
            return;
        }
        pb_buf_room(out, PB_F64_MAX);
        out->n += pb_format_f64(col->num[row], out->p + out->n);
        return;
    }
    pbay_str s = pbay_cell_text(col, row);
    if (col->kind == PBAY_JSON)
        pb_buf_str(out, s);
    else
        pb_rows_put_json_string(out, s);
}

/* "name": of each column, escaped once for all rows. */
static void names(struct pbay_writer *w, const pbay_batch *b)
{
    if (w->n_names == b->n_cols) return;
    w->names.n = 0;
    PB_GROW(w->name_end, w->names_cap, b->n_cols);
    for (w->n_names = 0; w->n_names < b->n_cols; w->n_names++) {
        bool own = w->codec.names && w->n_names < w->codec.n_columns;
        pb_rows_put_json_string(&w->names, own ? pb_str_c(w->codec.names[w->n_names])
                                               : pbay_batch_col(b, w->n_names)->name);
        pb_buf_ch(&w->names, ':');
        w->name_end[w->n_names] = (uint32_t)w->names.n;
    }
}

static void put_number(struct pbay_writer *w, const pbay_column *numbers, uint32_t row)
{
    if (numbers && !pbay_cell_null(numbers, row)) {
        put_cell(&w->out, numbers, row);
        return;
    }
    pb_buf_room(&w->out, PB_F64_MAX);
    w->out.n += pb_format_i64((int64_t)w->rows, w->out.p + w->out.n);
}

static void put_row(struct pbay_writer *w, const pbay_batch *b, const pbay_column *numbers, uint32_t row)
{
    struct pb_buf *out = &w->out;
    bool objects = w->codec.objects, lead = w->codec.row_numbers && w->codec.format == PBAY_FORMAT_JSON_ROWS;
    if (w->codec.raw && w->codec.format == PBAY_FORMAT_JSON_LINES && b->n_cols == 1) {
        put_cell(out, b->cols, row);
        return;
    }
    pb_buf_ch(out, objects ? '{' : '[');
    if (lead && !objects) put_number(w, numbers, row);
    for (uint32_t c = 0; c < b->n_cols; c++) {
        if (c || (lead && !objects)) pb_buf_ch(out, ',');
        if (objects) {
            uint32_t from = c ? w->name_end[c - 1] : 0;
            pb_buf_add(out, w->names.p + from, w->name_end[c] - from);
        }
        put_cell(out, pbay_batch_col(b, c), row);
    }
    pb_buf_ch(out, objects ? '}' : ']');
}

static void open_document(struct pbay_writer *w)
{
    pbay_str rest = w->codec.key, part;
    while (rest.n && pb_str_split(&rest, '.', &part)) {
        pb_buf_ch(&w->out, '{');
        pb_rows_put_json_string(&w->out, part);
        pb_buf_ch(&w->out, ':');
    }
    pb_buf_ch(&w->out, '[');
}

/* Text that is JSON already; `end` is where its column's text ends, behind which nothing may be read. */
static inline char *put_verbatim(char *o, const char *p, size_t n, const char *end)
{
    if (PB_LIKELY(n <= 16 && end - p >= 16))
        memcpy(o, p, 16);
    else
        memcpy(o, p, n);
    return o + n;
}

/* Rows of a number and one JSON cell, [n,value]: room for all of them is asked for once. */
static void put_pairs(struct pbay_writer *w, const pbay_column *col, const pbay_column *numbers,
                      uint32_t n_rows)
{
    size_t bytes = (size_t)(col->off[n_rows] - col->off[0]) + (numbers->off[n_rows] - numbers->off[0]);
    char *o = pb_buf_room(&w->out, bytes + (size_t)n_rows * 8 + 32);
    const char *number_end = numbers->bytes + numbers->off[n_rows],
               *value_end = col->bytes + col->off[n_rows];
    for (uint32_t row = 0; row < n_rows; row++) {
        pbay_str n = pbay_cell_text(numbers, row), v = pbay_cell_text(col, row);
        if (w->rows++) *o++ = ',';
        *o++ = '[';
        o = put_verbatim(o, n.p, n.n, number_end);
        *o++ = ',';
        if (PB_UNLIKELY(pbay_cell_null(col, row))) {
            memcpy(o, "null", 4);
            o += 4;
        } else
            o = put_verbatim(o, v.p, v.n, value_end);
        *o++ = ']';
    }
    w->out.n = (size_t)(o - w->out.p);
}

void pb_rows_json_write(struct pbay_writer *w, const pbay_batch *b, const pbay_column *numbers)
{
    bool whole = w->codec.format == PBAY_FORMAT_JSON_ROWS;
    if (!w->begun && whole) open_document(w);
    w->begun = true;
    if (w->codec.objects) names(w, b);
    if (whole && w->codec.row_numbers && !w->codec.objects && b->n_cols == 1 && b->cols->kind == PBAY_JSON &&
        numbers && !numbers->null_bits && numbers->kind == PBAY_JSON) {
        put_pairs(w, b->cols, numbers, b->n_rows);
        return;
    }
    for (uint32_t row = 0; row < b->n_rows; row++, w->rows++) {
        if (w->rows) pb_buf_ch(&w->out, whole ? ',' : '\n');
        put_row(w, b, numbers, row);
    }
}
