/* SPDX-License-Identifier: MIT */
/*
 * JSON rows and JSON lines to columns. One pass: a cell is scanned, checked and put in its column before the
 * next is looked at; a row that turns out to be cut or wrong is taken out of the columns again.
 */
#include <math.h>

#include "base/check.h"
#include "data/rows.h"

/* Blanks, then a byte that is there. */
#define SKIP_TO_BYTE(in)                                                                                     \
    do {                                                                                                     \
        pb_scan_space(in);                                                                                   \
        if (PB_UNLIKELY((in)->p == (in)->end)) return pb_scan_more(in);                                      \
    } while (0)

#define TRY(call)                                                                                            \
    do {                                                                                                     \
        enum pb_scan rc_ = (call);                                                                           \
        if (PB_UNLIKELY(rc_ != PB_SCAN_OK)) return rc_;                                                      \
    } while (0)

/* ------------------------------------------------------------------------------------------------ cells */

static enum pb_scan string_cell(struct pbay_reader *r, struct pb_scan_in *in, uint32_t c)
{
    struct pbay_builder *b = r->into;
    const char *start = in->p;
    pbay_str raw;
    bool escaped;
    TRY(pb_scan_string(in, &raw, &escaped));
    uint32_t kind = r->kinds[c];
    if (kind == PBAY_JSON) {
        pb_put_text_near(b, c, start, (size_t)(in->p - start), (size_t)(in->end - start));
        return PB_SCAN_OK;
    }
    double v = (double)NAN;
    if (kind != PBAY_STR && !pb_json_to_num(pb_str(start, (size_t)(in->p - start)), &v) && kind == PBAY_NUM)
        return pb_rows_misfit(r, c, pb_str(start, (size_t)(in->p - start)));
    if (kind == PBAY_NUM) {
        pb_put_num(b, c, v);
        return PB_SCAN_OK;
    }
    pb_col_reserve(&b->cols[c], 1);
    if (kind == PBAY_DUAL) b->cols[c].num[b->cols[c].n] = v;
    if (!escaped) {
        pb_put_text_near(b, c, raw.p, raw.n, (size_t)(in->end - raw.p));
        return PB_SCAN_OK;
    }
    char *to = pb_rows_text_room(r, c, raw.n);
    struct pb_col *col = &b->cols[c];
    uint32_t at = col->off[col->n];
    col->off[++col->n] = at + (to ? (uint32_t)pb_json_unescape(raw, to) : 0);
    return PB_SCAN_OK;
}

static enum pb_scan number_cell(struct pbay_reader *r, struct pb_scan_in *in, uint32_t c)
{
    pbay_str s;
    double v = 0;
    const char *start = in->p;
    TRY(pb_scan_number(in, &s));
    uint32_t kind = r->kinds[c];
    if ((kind == PBAY_NUM || kind == PBAY_DUAL) && !pb_json_number(s, &v))
        return pb_rows_fail(r, start, c, "\"%.*s%s\" is beyond the range of a number",
                            (int)(s.n < 40 ? s.n : 40), s.p, s.n > 40 ? "…" : "");
    if (kind == PBAY_NUM)
        pb_put_num(r->into, c, v);
    else if (kind == PBAY_DUAL)
        pb_put_dual(r->into, c, v, s.p, s.n);
    else
        pb_put_text_near(r->into, c, s.p, s.n, (size_t)(in->end - s.p));
    return PB_SCAN_OK;
}

/* in->p stands on the first byte of the value. */
static inline enum pb_scan cell(struct pbay_reader *r, struct pb_scan_in *in, uint32_t c)
{
    char first = *in->p;
    if (first == '"') return string_cell(r, in, c);
    if ((first >= '0' && first <= '9') || first == '-') return number_cell(r, in, c);
    pbay_str v;
    TRY(pb_scan_value(in, r->codec.max_depth, &v));
    uint32_t kind = r->kinds[c];
    if (first == 'n')
        pb_put_null(r->into, c);
    else if (kind == PBAY_JSON || (kind == PBAY_STR && (first == 't' || first == 'f')))
        pb_put_text(r->into, c, v.p, v.n);
    else if (kind == PBAY_DUAL && (first == 't' || first == 'f'))
        pb_put_dual(r->into, c, (double)NAN, v.p, v.n);
    else
        return pb_rows_misfit(r, c, v);
    return PB_SCAN_OK;
}

/* ------------------------------------------------------------------------------------------------ rows */

/* The next value of an array; *n counts them. False in *more: the array is at its end, in->p behind it. */
static enum pb_scan next_in_array(struct pb_scan_in *in, uint32_t n, bool *more)
{
    SKIP_TO_BYTE(in);
    *more = *in->p != ']';
    if (!*more) {
        in->p++;
        return PB_SCAN_OK;
    }
    if (n) {
        if (*in->p != ',') return pb_scan_bad(in, in->p, "expected ',' or ']'");
        in->p++;
        SKIP_TO_BYTE(in);
    }
    return PB_SCAN_OK;
}

/* What the row holds is not what the columns are: count it for the message. */
static enum pb_scan wrong_count(struct pbay_reader *r, struct pb_scan_in *in, const char *start)
{
    uint32_t n = 0;
    in->p = start + 1;
    for (bool more; n < UINT32_MAX; n++) {
        pbay_str v;
        TRY(next_in_array(in, n, &more));
        if (!more) break;
        TRY(pb_scan_value(in, r->codec.max_depth, &v));
    }
    if (r->codec.row_numbers)
        return n ? pb_rows_fail(r, start, PB_NO_COL, "a row number and %u value%s, %u expected", n - 1,
                                n == 2 ? "" : "s", r->n_cols)
                 : pb_rows_fail(r, start, PB_NO_COL, "the row number is missing");
    return pb_rows_fail(r, start, PB_NO_COL, "%u value%s, %u expected", n, n == 1 ? "" : "s", r->n_cols);
}

static enum pb_scan row_number(struct pbay_reader *r, struct pb_scan_in *in)
{
    pbay_str s;
    if (*in->p != '-' && (*in->p < '0' || *in->p > '9'))
        return pb_rows_fail(r, in->p, PB_NO_COL, "a row begins with its number");
    TRY(pb_scan_number(in, &s));
    pb_put_text(r->numbers, 0, s.p, s.n);
    return PB_SCAN_OK;
}

static enum pb_scan array_row(struct pbay_reader *r, struct pb_scan_in *in)
{
    const char *start = in->p++;
    uint32_t lead = r->codec.row_numbers ? 1 : 0, n = lead + r->n_cols;
    bool more;
    for (uint32_t i = 0; i < n; i++) {
        TRY(next_in_array(in, i, &more));
        if (PB_UNLIKELY(!more)) return wrong_count(r, in, start);
        TRY(i < lead ? row_number(r, in) : cell(r, in, i - lead));
    }
    SKIP_TO_BYTE(in);
    if (PB_UNLIKELY(*in->p != ']')) return wrong_count(r, in, start);
    in->p++;
    return PB_SCAN_OK;
}

/* The name of the next member, without its escapes, and its colon. */
static enum pb_scan member_name(struct pbay_reader *r, struct pb_scan_in *in, pbay_str *name)
{
    bool escaped;
    SKIP_TO_BYTE(in);
    if (*in->p != '"') return pb_scan_bad(in, in->p, "expected the name of a member in quotes");
    TRY(pb_scan_string(in, name, &escaped));
    if (escaped) {
        r->scratch.n = 0;
        char *to = pb_buf_room(&r->scratch, name->n);
        *name = pb_str(to, pb_json_unescape(*name, to));
    }
    SKIP_TO_BYTE(in);
    if (*in->p != ':') return pb_scan_bad(in, in->p, "expected ':'");
    in->p++;
    SKIP_TO_BYTE(in);
    return PB_SCAN_OK;
}

/* As next_in_array, for objects. */
static enum pb_scan next_in_object(struct pb_scan_in *in, uint32_t n, bool *more)
{
    SKIP_TO_BYTE(in);
    *more = *in->p != '}';
    if (!*more) {
        in->p++;
        return PB_SCAN_OK;
    }
    if (n) {
        if (*in->p != ',') return pb_scan_bad(in, in->p, "expected ',' or '}'");
        in->p++;
    }
    return PB_SCAN_OK;
}

static enum pb_scan unknown_member(struct pbay_reader *r, const char *at, pbay_str name)
{
    struct pb_buf there = {0};
    for (uint32_t c = 0; c < r->n_cols && c < 24; c++)
        pb_buf_printf(&there, "%s%.*s", c ? ", " : "", PB_FMT(r->names[c]));
    if (r->n_cols > 24) pb_buf_printf(&there, " and %u more", r->n_cols - 24);
    if (name.n > 64) name.n = pb_utf8_floor(name, 64);
    enum pb_scan rc = pb_rows_fail(r, at, PB_NO_COL, "there is no column \"%.*s\"; there are: %.*s",
                                   PB_FMT(name), PB_FMT(pb_buf_view(&there)));
    pb_buf_free(&there);
    return rc;
}

static enum pb_scan object_row(struct pbay_reader *r, struct pb_scan_in *in, uint32_t base)
{
    const char *start = in->p++;
    if (!r->names) return pb_rows_fail(r, start, PB_NO_COL, "an object, and the columns have no names");
    if (r->codec.row_numbers) return pb_rows_fail(r, start, PB_NO_COL, "an object has no row number");
    struct pb_col *cols = r->into->cols;
    uint32_t guess = 0;
    for (uint32_t i = 0;; i++) {
        pbay_str name, v;
        bool more;
        TRY(next_in_object(in, i, &more));
        if (!more) break;
        const char *at = in->p;
        TRY(member_name(r, in, &name));
        uint32_t c = pb_rows_column_of(r, name, guess);
        if (c == PB_NO_COL && r->codec.strict) return unknown_member(r, at, name);
        if (c == PB_NO_COL) {
            TRY(pb_scan_value(in, r->codec.max_depth, &v));
            continue;
        }
        if (cols[c].n != base) return pb_rows_fail(r, at, c, "the member is there twice");
        TRY(cell(r, in, c));
        guess = c + 1;
    }
    for (uint32_t c = 0; c < r->n_cols; c++)
        if (cols[c].n == base) pb_put_null(r->into, c);
    return PB_SCAN_OK;
}

/* The first row says what the columns are; it is read again after that. */
static enum pb_scan infer(struct pbay_reader *r, struct pb_scan_in *in)
{
    const char *start = in->p;
    uint32_t n = 0, cap = 0, lead = r->codec.row_numbers ? 1 : 0;
    pbay_str *names = NULL, v;
    enum pb_scan rc = PB_SCAN_OK;
    bool more = true, object = *start == '{', array = *start == '[';
    if (object || array) in->p++;
    while (rc == PB_SCAN_OK && (object || array)) {
        rc = object ? next_in_object(in, n, &more) : next_in_array(in, n, &more);
        if (rc != PB_SCAN_OK || !more) break;
        if (object) {
            pbay_str name;
            if ((rc = member_name(r, in, &name)) != PB_SCAN_OK) break;
            PB_GROW(names, cap, n + 1);
            names[n] = pb_arena_str(&r->arena, name);
        }
        rc = pb_scan_value(in, r->codec.max_depth, &v);
        if (rc == PB_SCAN_OK && ++n > PB_COLUMNS_MAX)
            rc = pb_rows_fail(r, start, PB_NO_COL, "more than %u values", PB_COLUMNS_MAX);
    }
    if (rc == PB_SCAN_OK && array && n < lead)
        rc = pb_rows_fail(r, start, PB_NO_COL, "the row number is missing");
    if (rc == PB_SCAN_OK) rc = pb_rows_columns(r, names, NULL, array ? n - lead : object ? n : 1);
    pb_free(names);
    in->p = start;
    return rc;
}

static enum pb_scan row(struct pbay_reader *r, struct pb_scan_in *in, uint32_t base)
{
    if (PB_UNLIKELY(!r->known)) TRY(infer(r, in));
    if (*in->p == '[') return array_row(r, in);
    if (*in->p == '{' && !(r->n_cols == 1 && !r->names && r->kinds[0] == PBAY_JSON))
        return object_row(r, in, base);
    if (r->n_cols != 1 || r->codec.row_numbers)
        return pb_rows_fail(r, in->p, PB_NO_COL, "a row is an array or an object");
    return cell(r, in, 0);
}

/* One row, or the builder and in->p as they were. */
static enum pb_scan whole_row(struct pbay_reader *r, struct pb_scan_in *in, const char *begin)
{
    uint32_t base = pb_builder_rows(r->into);
    if (PB_UNLIKELY(pb_rows_full(r)))
        return pb_rows_fail(r, in->p, PB_NO_COL, "there are more than %llu rows",
                            (unsigned long long)r->max_rows);
    enum pb_scan rc = row(r, in, base);
    if (PB_UNLIKELY(rc != PB_SCAN_OK)) {
        if (r->known) pb_builder_truncate(r->into, base);
        if (r->numbers) pb_builder_truncate(r->numbers, base);
        in->p = begin;
        return rc;
    }
    if (!r->n_cols) r->into->bare_rows++;
    r->rows++;
    return PB_SCAN_OK;
}

/*
 * A row as machines write it, without blanks: [number,cell,...]. True: it was taken. False: nothing was, and
 * the whole way reads it and says what is wrong.
 */
static bool tight_row(struct pbay_reader *r, struct pb_scan_in *in)
{
    enum { AHEAD = 32 }; /* bytes that need no look at the end: comma, bracket, number, comma */
    const char *begin = in->p, *p = begin, *end = in->end;
    if (end - p < AHEAD || pb_rows_full(r)) return false;
    if (!r->first && *p++ != ',') return false;
    if (*p++ != '[') return false;
    const char *number = p;
    if (r->codec.row_numbers) {
        if (*p >= '1' && *p <= '9')
            while (*p >= '0' && *p <= '9' && p - number < 20) p++;
        else if (*p == '0')
            p++;
        if (p == number || *p != ',') return false;
        pb_put_text_near(r->numbers, 0, number, (size_t)(p - number), (size_t)(end - number));
        p++;
    }
    uint32_t base = r->into->cols[0].n;
    for (uint32_t c = 0; c < r->n_cols; c++) {
        if (c && (p == end || *p++ != ',')) goto undo;
        if (p == end) goto undo;
        in->p = p;
        if (cell(r, in, c) != PB_SCAN_OK) goto undo;
        p = in->p;
    }
    if (p == end || *p != ']') goto undo;
    in->p = p + 1;
    r->first = false;
    r->rows++;
    return true;
undo:
    in->p = begin;
    pb_builder_truncate(r->into, base);
    if (r->numbers) pb_builder_truncate(r->numbers, base);
    return false;
}

/* ------------------------------------------------------------------------------------------------ documents
 */

static enum pb_scan rows(struct pbay_reader *r, struct pb_scan_in *in)
{
    for (;;) {
        if (r->known && r->n_cols)
            while (tight_row(r, in)) continue;
        const char *begin = in->p;
        pb_scan_space(in);
        if (in->p == in->end) return pb_scan_more(in);
        if (*in->p == ']') {
            in->p++;
            r->state = r->n_path ? PB_JSON_MEMBERS : PB_JSON_END;
            r->first = false;
            return PB_SCAN_OK;
        }
        if (!r->first) {
            if (*in->p != ',') return pb_scan_bad(in, in->p, "expected ',' or ']' after a row");
            in->p++;
            pb_scan_space(in);
            if (in->p == in->end) {
                in->p = begin;
                return pb_scan_more(in);
            }
        }
        TRY(whole_row(r, in, begin));
        r->first = false;
    }
}

static enum pb_scan lines(struct pbay_reader *r, struct pb_scan_in *in)
{
    for (;;) {
        if (!r->first) {
            while (in->p < in->end && *in->p != '\n' && pb_json_blank(*in->p)) in->p++;
            if (in->p == in->end) return PB_SCAN_MORE;
            if (*in->p != '\n') return pb_scan_bad(in, in->p, "expected the end of the line");
            r->first = true;
        }
        pb_scan_space(in);
        if (in->p == in->end) return PB_SCAN_MORE;
        TRY(whole_row(r, in, in->p));
        r->first = false;
    }
}

/* Members on the way to the rows; the one of the path is entered, the others are skipped. */
static enum pb_scan members(struct pbay_reader *r, struct pb_scan_in *in)
{
    const char *begin = in->p;
    pbay_str name, v;
    bool more;
    enum pb_scan rc = next_in_object(in, r->first ? 0 : 1, &more);
    uint32_t level = r->depth - 1;
    if (rc == PB_SCAN_OK && !more) {
        if (!(r->found >> level & 1))
            return pb_rows_fail(r, in->p - 1, PB_NO_COL, "there is no member \"%.*s\"",
                                PB_FMT(r->path[level]));
        r->first = false;
        if (!--r->depth) r->state = PB_JSON_END;
        return PB_SCAN_OK;
    }
    const char *at = in->p;
    if (rc == PB_SCAN_OK) rc = member_name(r, in, &name);
    if (rc == PB_SCAN_OK && pb_str_eq(name, r->path[level])) {
        bool last = r->depth == r->n_path;
        if (r->found >> level & 1)
            return pb_rows_fail(r, at, PB_NO_COL, "the member \"%.*s\" is there twice", PB_FMT(name));
        if (*in->p != (last ? '[' : '{'))
            return pb_rows_fail(r, in->p, PB_NO_COL, "the member \"%.*s\" is to be %s", PB_FMT(name),
                                last ? "an array of rows" : "an object");
        r->found |= 1u << level;
        in->p++;
        r->first = true;
        if (last)
            r->state = PB_JSON_ROWS;
        else
            r->found &= ~(1u << r->depth++);
        return PB_SCAN_OK;
    }
    if (rc == PB_SCAN_OK) rc = pb_scan_value(in, r->codec.max_depth, &v);
    if (rc == PB_SCAN_OK)
        r->first = false;
    else
        in->p = begin;
    return rc;
}

static enum pb_scan begin_document(struct pbay_reader *r, struct pb_scan_in *in)
{
    pb_scan_space(in);
    if (in->p == in->end) return pb_scan_more(in);
    if (!r->n_path && *in->p != '[') return pb_scan_bad(in, in->p, "expected an array of rows");
    if (r->n_path && *in->p != '{')
        return pb_rows_fail(r, in->p, PB_NO_COL, "expected an object with the member \"%.*s\"",
                            PB_FMT(r->path[0]));
    in->p++;
    r->state = r->n_path ? PB_JSON_MEMBERS : PB_JSON_ROWS;
    r->depth = r->n_path ? 1 : 0;
    r->first = true;
    return PB_SCAN_OK;
}

enum pb_scan pb_rows_json(struct pbay_reader *r, struct pb_scan_in *in)
{
    enum pb_scan rc = PB_SCAN_OK;
    while (rc == PB_SCAN_OK) {
        switch (r->state) {
        case PB_JSON_START: rc = begin_document(r, in); break;
        case PB_JSON_MEMBERS: rc = members(r, in); break;
        case PB_JSON_ROWS: rc = rows(r, in); break;
        case PB_JSON_LINES: rc = lines(r, in); break;
        case PB_JSON_END:
            pb_scan_space(in);
            if (in->p == in->end) return PB_SCAN_MORE;
            return pb_scan_bad(in, in->p, "there is text after the end");
        }
    }
    return rc;
}
