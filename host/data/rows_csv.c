/* SPDX-License-Identifier: MIT */
/*
 * CSV (RFC 4180) to columns. Lines end with LF or CRLF. What the RFC does not allow is an error rather than a
 * guess: a quote within an unquoted field, text behind a closing quote, a CR alone.
 */
#include <math.h>

#include "data/rows.h"
#include "data/simd.h"

/* One field as it stands. */
struct field {
    pbay_str raw; /* without the quotes around it */
    bool quoted;
    bool doubled; /* there are "" in it */
    bool high;    /* it is not ASCII */
    bool last;    /* the line ends behind it */
};

/* Behind a field: the delimiter or the end of the line. */
static enum pb_scan after_field(struct pb_scan_in *in, const char *p, char delimiter, struct field *f)
{
    if (p == in->end) return pb_scan_more(in);
    f->last = *p != delimiter;
    if (!f->last || *p == '\n') {
        in->p = p + 1;
        return PB_SCAN_OK;
    }
    if (*p != '\r') return pb_scan_bad(in, p, "text behind the closing quote of a field");
    if (p + 1 == in->end) return pb_scan_more(in);
    if (p[1] != '\n')
        return pb_scan_bad(in, p, "a carriage return that no newline follows: put the field in quotes");
    in->p = p + 2;
    return PB_SCAN_OK;
}

static enum pb_scan quoted_field(struct pb_scan_in *in, char delimiter, struct field *f)
{
    const char *start = in->p + 1, *p = start;
    for (;;) {
        p = memchr(p, '"', (size_t)(in->end - p));
        if (!p)
            return in->whole ? pb_scan_bad(in, in->p, "the quotes that open here are never closed")
                             : PB_SCAN_MORE;
        if (p + 1 == in->end && !in->whole) return PB_SCAN_MORE;
        if (p + 1 == in->end || p[1] != '"') break;
        f->doubled = true;
        p += 2;
    }
    f->raw = pb_str(start, (size_t)(p - start));
    f->quoted = f->high = true;
    return after_field(in, p + 1, delimiter, f);
}

static enum pb_scan next_field(struct pb_scan_in *in, char delimiter, struct field *f)
{
    *f = (struct field){.raw = {NULL, 0}};
    const char *start = in->p, *p = start, *end = in->end;
    if (p == end) return pb_scan_more(in);
    if (*p == '"') return quoted_field(in, delimiter, f);
    uint32_t any_high = 0, high, m = 0;
    while (end - p >= PB_LANES) {
        m = pb_lanes_csv(p, delimiter, '"', &high);
        if (m) {
            unsigned i = (unsigned)__builtin_ctz(m);
            any_high |= high & ((UINT32_C(1) << i) - 1);
            p += i;
            break;
        }
        any_high |= high;
        p += PB_LANES;
    }
    if (!m)
        for (; p < end && *p != delimiter && *p != '"' && *p != '\n' && *p != '\r'; p++)
            any_high |= *p & 0x80;
    if (p == end) return pb_scan_more(in);
    if (*p == '"') return pb_scan_bad(in, p, "a quote within a field that does not begin with one");
    f->raw = pb_str(start, (size_t)(p - start));
    f->high = any_high;
    return after_field(in, p, delimiter, f);
}

static size_t undouble(pbay_str raw, char *out)
{
    char *o = out;
    for (size_t i = 0; i < raw.n; i++) {
        *o++ = raw.p[i];
        i += raw.p[i] == '"';
    }
    return (size_t)(o - out);
}

/* The text of a field; borrows from it or from scratch. */
static pbay_str text_of(struct pbay_reader *r, const struct field *f)
{
    if (!f->doubled) return f->raw;
    r->scratch.n = 0;
    char *to = pb_buf_room(&r->scratch, f->raw.n);
    return pb_str(to, undouble(f->raw, to));
}

/* A number or a boolean as JSON spells them. */
static bool bare_json(pbay_str s)
{
    if (pb_str_is(s, "true") || pb_str_is(s, "false")) return true;
    if (!s.n || !(s.p[0] == '-' || (s.p[0] >= '0' && s.p[0] <= '9'))) return false;
    struct pb_scan_in in = {.p = s.p, .end = s.p + s.n, .whole = true};
    pbay_str number;
    return pb_scan_number(&in, &number) == PB_SCAN_OK && in.p == in.end;
}

static inline bool csv_number(pbay_str s, double *v)
{
    size_t i = s.n && s.p[0] == '-';
    if (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') return pb_json_number(s, v);
    return s.n && s.p[0] != '"' && pb_json_to_num(s, v);
}

static enum pb_scan put_field(struct pbay_reader *r, struct pb_scan_in *in, uint32_t c, const struct field *f)
{
    struct pbay_builder *b = r->into;
    uint32_t kind = r->kinds[c];
    pbay_str s = f->raw;
    double v = (double)NAN;
    if (PB_UNLIKELY(f->high) && !pb_utf8_valid(s))
        return pb_rows_fail(r, s.p, c, "the field is not valid UTF-8");
    if (!s.n && (!f->quoted || kind == PBAY_NUM)) {
        pb_put_null(b, c);
        return PB_SCAN_OK;
    }
    if (kind == PBAY_NUM) {
        if (!csv_number(s, &v)) return pb_rows_misfit(r, c, s.n ? s : pb_str("", 0));
        pb_put_num(b, c, v);
        return PB_SCAN_OK;
    }
    if (kind == PBAY_JSON) {
        if (!f->quoted && bare_json(s)) {
            pb_put_text(b, c, s.p, s.n);
            return PB_SCAN_OK;
        }
        r->json.n = 0;
        pb_rows_put_json_string(&r->json, text_of(r, f));
        pb_put_text(b, c, r->json.p, r->json.n);
        return PB_SCAN_OK;
    }
    if (PB_UNLIKELY(f->doubled)) s = text_of(r, f);
    if (kind == PBAY_DUAL) {
        if (!csv_number(s, &v)) v = (double)NAN;
        pb_put_dual(b, c, v, s.p, s.n);
    } else if (f->doubled)
        pb_put_text(b, c, s.p, s.n);
    else
        pb_put_text_near(b, c, s.p, s.n, (size_t)(in->end - s.p));
    return PB_SCAN_OK;
}

/* Count the fields of the line that begins at in->p, without moving. */
static enum pb_scan count_fields(const struct pb_scan_in *at, char delimiter, uint32_t *n)
{
    struct pb_scan_in in = *at;
    struct field f;
    for (*n = 0; *n < UINT32_MAX;) {
        enum pb_scan rc = next_field(&in, delimiter, &f);
        if (rc != PB_SCAN_OK) return rc;
        ++*n;
        if (f.last) break;
    }
    return PB_SCAN_OK;
}

static enum pb_scan wrong_count(struct pbay_reader *r, struct pb_scan_in *in, const char *start)
{
    uint32_t n;
    in->p = start;
    enum pb_scan rc = count_fields(in, r->codec.delimiter, &n);
    if (rc == PB_SCAN_BAD) return pb_scan_bad(in, start, "the line cannot be read as fields");
    if (rc != PB_SCAN_OK) return rc;
    return pb_rows_fail(r, start, PB_NO_COL, "%u field%s, %u expected", n, n == 1 ? "" : "s", r->n_fields);
}

static enum pb_scan line(struct pbay_reader *r, struct pb_scan_in *in)
{
    const char *start = in->p;
    for (uint32_t i = 0; i < r->n_fields; i++) {
        struct field f;
        enum pb_scan rc = next_field(in, r->codec.delimiter, &f);
        if (PB_UNLIKELY(rc != PB_SCAN_OK)) return rc;
        if (PB_UNLIKELY(f.last != (i + 1 == r->n_fields))) return wrong_count(r, in, start);
        uint32_t c = r->field_col ? r->field_col[i] : i;
        if (c == PB_NO_COL) continue;
        rc = put_field(r, in, c, &f);
        if (PB_UNLIKELY(rc != PB_SCAN_OK)) return rc;
    }
    return PB_SCAN_OK;
}

/* Which column each field of the header is. */
static enum pb_scan header(struct pbay_reader *r, struct pb_scan_in *in)
{
    struct pb_scan_in look = *in;
    struct field f;
    uint32_t n;
    enum pb_scan rc = count_fields(in, r->codec.delimiter, &n);
    if (rc == PB_SCAN_BAD) {
        do rc = next_field(&look, r->codec.delimiter, &f);
        while (rc == PB_SCAN_OK);
        return pb_scan_bad(in, look.at, look.why);
    }
    if (rc != PB_SCAN_OK) return rc;
    if (n > PB_COLUMNS_MAX) return pb_rows_fail(r, in->p, PB_NO_COL, "more than %u fields", PB_COLUMNS_MAX);
    pbay_str *names = pb_arena_alloc(&r->arena, n * sizeof *names);
    for (uint32_t i = 0; i < n; i++) {
        (void)next_field(&look, r->codec.delimiter, &f);
        if (f.high && !pb_utf8_valid(f.raw))
            return pb_rows_fail(r, f.raw.p, PB_NO_COL, "field %u is not valid UTF-8", i + 1);
        names[i] = pb_arena_str(&r->arena, text_of(r, &f));
    }
    if (!r->known && pb_rows_columns(r, names, NULL, n) != PB_SCAN_OK) return PB_SCAN_BAD;
    r->n_fields = n;
    if (!r->names && n != r->n_cols)
        return pb_rows_fail(r, in->p, PB_NO_COL, "%u fields, %u expected", n, r->n_cols);
    if (r->names) {
        r->field_col = pb_arena_alloc(&r->arena, n * sizeof *r->field_col);
        uint32_t *seen =
            memset(pb_arena_alloc(&r->arena, r->n_cols * sizeof *seen), 0, r->n_cols * sizeof *seen);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t c = r->field_col[i] = pb_rows_column_of(r, names[i], i);
            if (c != PB_NO_COL && seen[c]++)
                return pb_rows_fail(r, in->p, PB_NO_COL, "the field \"%.*s\" is there twice",
                                    PB_FMT(names[i]));
        }
        for (uint32_t c = 0; c < r->n_cols; c++)
            if (!seen[c])
                return pb_rows_fail(r, in->p, PB_NO_COL, "there is no field \"%.*s\"", PB_FMT(r->names[c]));
    }
    in->p = look.p;
    r->header = false;
    return PB_SCAN_OK;
}

/* A line without anything is no row where rows have several fields. */
static bool blank_line(const struct pbay_reader *r, struct pb_scan_in *in)
{
    const char *p = in->p;
    if (r->known && !r->header && r->n_fields == 1) return false;
    if (p < in->end && *p == '\r') p++;
    if (p == in->end || *p != '\n') return false;
    in->p = p + 1;
    return true;
}

enum pb_scan pb_rows_csv(struct pbay_reader *r, struct pb_scan_in *in)
{
    enum pb_scan rc;
    if (r->first) {
        /* What Excel puts in front of UTF-8. */
        if (in->end - in->p < 3 && !in->whole && in->p < in->end && *in->p == '\xef') return PB_SCAN_MORE;
        if (in->end - in->p >= 3 && memcmp(in->p, "\xef\xbb\xbf", 3) == 0) in->p += 3;
        r->first = false;
    }
    while (in->p < in->end) {
        if (r->known && !r->n_fields && !r->header) r->n_fields = r->n_cols;
        if (blank_line(r, in)) continue;
        if (PB_UNLIKELY(r->header)) {
            if ((rc = header(r, in)) != PB_SCAN_OK) return rc;
            continue;
        }
        if (PB_UNLIKELY(!r->known)) {
            if ((rc = count_fields(in, r->codec.delimiter, &r->n_fields)) == PB_SCAN_MORE) return rc;
            if (rc == PB_SCAN_BAD) r->n_fields = 1; /* read it for its error */
            if (pb_rows_columns(r, NULL, NULL, r->n_fields) != PB_SCAN_OK) return PB_SCAN_BAD;
        }
        const char *start = in->p;
        if (PB_UNLIKELY(pb_rows_full(r)))
            return pb_rows_fail(r, start, PB_NO_COL, "there are more than %llu rows",
                                (unsigned long long)r->max_rows);
        uint32_t base = pb_builder_rows(r->into);
        rc = line(r, in);
        if (PB_UNLIKELY(rc != PB_SCAN_OK)) {
            pb_builder_truncate(r->into, base);
            in->p = start;
            return rc;
        }
        r->rows++;
    }
    return r->header && in->whole ? pb_rows_fail(r, in->p, PB_NO_COL, "the header line is missing")
                                  : PB_SCAN_MORE;
}
