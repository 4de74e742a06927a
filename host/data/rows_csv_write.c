/* SPDX-License-Identifier: MIT */
/* Batches as CSV: lines end with LF, quotes only where they are needed unless all texts are to have them. */
#include <math.h>

#include "data/rows.h"
#include "data/simd.h"

/* Must the text stand in quotes? The empty one must, to differ from null. */
static bool needs_quotes(pbay_str s, char delimiter)
{
    const char *p = s.p, *end = p + s.n;
    uint32_t high;
    if (!s.n) return true;
    /* At the beginning of a file it would be taken for a byte order mark. */
    if (pb_str_starts(s, PB_STR("\xef\xbb\xbf"))) return true;
    for (; end - p >= PB_LANES; p += PB_LANES)
        if (pb_lanes_csv(p, delimiter, '"', &high)) return true;
    for (; p < end; p++)
        if (*p == delimiter || *p == '"' || *p == '\n' || *p == '\r') return true;
    return false;
}

static void put_text(struct pb_buf *out, pbay_str s, char delimiter, bool quote)
{
    if (!quote && !needs_quotes(s, delimiter)) {
        pb_buf_str(out, s);
        return;
    }
    pb_buf_ch(out, '"');
    while (s.n) {
        size_t n = pb_str_chr(s, '"');
        pb_buf_add(out, s.p, n);
        if (n == s.n) break;
        pb_buf_add(out, "\"\"", 2);
        s.p += n + 1;
        s.n -= n + 1;
    }
    pb_buf_ch(out, '"');
}

static void put_cell(struct pbay_writer *w, const pbay_column *col, uint32_t row, struct pb_buf *scratch)
{
    const pbay_codec *c = &w->codec;
    if (pbay_cell_null(col, row)) return;
    if (col->num && (col->kind == PBAY_NUM || !isnan(col->num[row]))) {
        if (!isfinite(col->num[row])) return;
        pb_buf_room(&w->out, PB_F64_MAX);
        w->out.n += pb_format_f64(col->num[row], w->out.p + w->out.n);
        return;
    }
    pbay_str s = pbay_cell_text(col, row);
    bool string = col->kind != PBAY_JSON || (s.n && s.p[0] == '"');
    if (col->kind == PBAY_JSON) s = pb_json_text(s, scratch);
    if (c->raw)
        pb_buf_str(&w->out, s);
    else
        put_text(&w->out, s, c->delimiter, (c->quote_all && string) || (col->kind == PBAY_JSON && string));
}

static void put_header(struct pbay_writer *w, const pbay_batch *b)
{
    const pbay_codec *c = &w->codec;
    uint32_t n = c->names ? c->n_columns : b->n_cols;
    for (uint32_t i = 0; i < n; i++) {
        if (i) pb_buf_ch(&w->out, c->delimiter);
        put_text(&w->out, c->names ? pb_str_c(c->names[i]) : pbay_batch_col(b, i)->name, c->delimiter,
                 c->quote_all);
    }
}

void pb_rows_csv_write(struct pbay_writer *w, const pbay_batch *b)
{
    struct pb_buf scratch = {0};
    bool header = !w->begun && w->codec.header;
    if (header) put_header(w, b);
    w->begun = true;
    for (uint32_t row = 0; row < b->n_rows; row++, w->rows++) {
        if (w->rows || w->codec.header) pb_buf_ch(&w->out, '\n');
        size_t start = w->out.n;
        for (uint32_t c = 0; c < b->n_cols; c++) {
            if (c) pb_buf_ch(&w->out, w->codec.delimiter);
            put_cell(w, pbay_batch_col(b, c), row, &scratch);
        }
        w->blank = w->out.n == start;
    }
    pb_buf_free(&scratch);
}
