/* SPDX-License-Identifier: MIT */
#include "flow/convert.h"

#include <math.h>

#include "base/buf.h"
#include "data/json_scan.h"

static int bad(uint64_t row, pbay_str value, const pbay_column *src, const char *what, struct pb_err *err)
{
    struct pb_buf q = {0};
    pb_buf_json(&q, pb_str(value.p, pb_utf8_floor(value, 64)));
    pb_fail(err, PBAY_INVALID_ARGUMENT, "row %llu: %s %.*s%s%.*s is not a number%s", (unsigned long long)row,
            what ? what : "the value", PB_FMT(pb_buf_view(&q)), what && src->name.n ? " in column " : "",
            PB_FMT(what ? src->name : PB_STR("")), what ? " (on_bad = null makes such answers null)" : "");
    pb_buf_free(&q);
    return -1;
}

static void put_num_as_text(struct pbay_builder *out, uint32_t c, double v)
{
    char text[PB_F64_MAX];
    pb_put_text(out, c, text, pb_format_f64(v, text));
}

static void put_quoted(struct pbay_builder *out, uint32_t c, pbay_str s, struct pb_buf *scratch)
{
    scratch->n = 0;
    pb_buf_json(scratch, s);
    pb_put_text(out, c, scratch->p, scratch->n);
}

/* The number of a cell; false: it has none. NaN in a NUM is a number here: it was not null. */
static bool cell_num(const pbay_column *src, uint32_t i, double *v)
{
    if (src->num) {
        *v = src->num[i];
        return src->kind == PBAY_NUM || !isnan(*v);
    }
    pbay_str t = pbay_cell_text(src, i);
    return src->kind == PBAY_JSON ? pb_json_to_num(t, v) : pb_parse_f64(pb_str_trim(t), v);
}

/* The text of a cell that is not NUM. */
static pbay_str cell_text(const pbay_column *src, uint32_t i, struct pb_buf *scratch)
{
    pbay_str t = pbay_cell_text(src, i);
    return src->kind == PBAY_JSON ? pb_json_text(t, scratch) : t;
}

static void to_json(const pbay_column *src, uint32_t i, struct pbay_builder *out, uint32_t c,
                    struct pb_buf *scratch)
{
    double v;
    if (src->num && cell_num(src, i, &v)) {
        if (isfinite(v))
            put_num_as_text(out, c, v);
        else
            pb_put_null(out, c);
    } else
        put_quoted(out, c, pbay_cell_text(src, i), scratch);
}

int pb_convert(const pbay_column *src, uint32_t n, struct pbay_builder *out, uint32_t c, enum pb_bad on_bad,
               uint64_t first_row, const uint32_t *rows, const char *what, struct pb_err *err)
{
    uint32_t want = out->cols[c].kind;
    if (want == src->kind) {
        pb_builder_copy(out, c, src, 0, n);
        return 0;
    }
    struct pb_buf scratch = {0};
    int rc = 0;
    pb_col_reserve(&out->cols[c], n);
    for (uint32_t i = 0; i < n && !rc; i++) {
        if (pbay_cell_null(src, i)) {
            pb_put_null(out, c);
            continue;
        }
        double v = NAN;
        switch (want) {
        case PBAY_NUM:
            if (cell_num(src, i, &v))
                pb_put_num(out, c, v);
            else if (on_bad == PB_BAD_NULL || !pbay_cell_text(src, i).n)
                pb_put_null(out, c);
            else
                rc = bad(first_row + (rows ? rows[i] : i) + 1, pbay_cell_text(src, i), src, what, err);
            break;
        case PBAY_STR:
            if (src->kind == PBAY_NUM)
                put_num_as_text(out, c, src->num[i]);
            else {
                pbay_str t = cell_text(src, i, &scratch);
                pb_put_text(out, c, t.p, t.n);
            }
            break;
        case PBAY_DUAL:
            if (!cell_num(src, i, &v)) v = NAN;
            if (src->kind == PBAY_NUM) {
                char text[PB_F64_MAX];
                pb_put_dual(out, c, v, text, pb_format_f64(v, text));
            } else {
                pbay_str t = cell_text(src, i, &scratch);
                pb_put_dual(out, c, v, t.p, t.n);
            }
            break;
        default: to_json(src, i, out, c, &scratch);
        }
    }
    pb_buf_free(&scratch);
    return rc;
}
