/* SPDX-License-Identifier: MIT */
#include "reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

struct parse {
    const struct reply_shape *shape;
    const struct reply_sink *sink;
    int32_t *code;
    char *why;
    char *scratch; /* unescaped fields */
};

__attribute__((format(printf, 3, 4))) static int fail(struct parse *p, int32_t code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->why, REPLY_WHY, fmt, ap);
    va_end(ap);
    *p->code = code;
    return -1;
}

static int miscounted(struct parse *p, size_t got)
{
    return fail(p, PBAY_DATA_LOSS, "%u rows were sent and %zu predictions came back",
                (unsigned)p->shape->n_rows, got);
}

static int utf8(pbay_str s)
{
    const unsigned char *p = (const unsigned char *)s.p, *end = p + s.n;
    while (p < end) {
        unsigned char c = *p++;
        if (c < 0x80) continue;
        int more = c >= 0xc2 && c <= 0xdf ? 1 : (c & 0xf0) == 0xe0 ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 0;
        if (!more || end - p < more) return 0;
        if ((c == 0xe0 && p[0] < 0xa0) || (c == 0xed && p[0] > 0x9f) || (c == 0xf0 && p[0] < 0x90) ||
            (c == 0xf4 && p[0] > 0x8f))
            return 0;
        while (more--)
            if ((*p++ & 0xc0) != 0x80) return 0;
    }
    return 1;
}

/* ------------------------------------------------------------------------------------------------ CSV */

struct csv {
    const char *p, *end;
    int quoted; /* the field just read was */
    int last;   /* it ended its line */
};

/* The next field; its text lies in the body or, when quotes were doubled, in scratch. -1: a quote that does
 * not close. */
static int csv_field(struct csv *c, char *scratch, pbay_str *out)
{
    c->quoted = c->p < c->end && *c->p == '"';
    if (!c->quoted) {
        const char *from = c->p;
        while (c->p < c->end && *c->p != ',' && *c->p != '\n') c->p++;
        out->p = from;
        out->n = (size_t)(c->p - from);
        if ((c->p == c->end || *c->p == '\n') && out->n && from[out->n - 1] == '\r') out->n--;
    } else {
        size_t n = 0;
        for (c->p++;; c->p++) {
            if (c->p == c->end) return -1;
            if (*c->p == '"') {
                c->p++;
                if (c->p == c->end || *c->p != '"') break;
            }
            scratch[n++] = *c->p;
        }
        out->p = scratch;
        out->n = n;
        if (c->p < c->end && *c->p == '\r') c->p++;
        if (c->p < c->end && *c->p != ',' && *c->p != '\n') return -1;
    }
    c->last = c->p == c->end || *c->p == '\n';
    if (c->p < c->end) c->p++;
    return 0;
}

static int csv_cell(struct parse *p, uint32_t row, uint32_t col, pbay_str text, int quoted)
{
    if (text.n == 0 && !quoted) {
        p->sink->null(p->sink->user, row, col);
        return 0;
    }
    if (!utf8(text)) return fail(p, PBAY_DATA_LOSS, "prediction %u is not valid UTF-8", (unsigned)row + 1);
    p->sink->text(p->sink->user, row, col, text);
    return 0;
}

/* Blanks at the ends of numbers are usual. */
static pbay_str trim(pbay_str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) s.p++, s.n--;
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) s.n--;
    return s;
}

/* Fields of the first line; and whether anything follows it. */
static uint32_t first_line(struct parse *p, struct csv c, int *alone)
{
    uint32_t n = 0;
    pbay_str f;
    do {
        if (csv_field(&c, p->scratch, &f)) return 0;
        n++;
    } while (!c.last);
    *alone = 1;
    for (; c.p < c.end; c.p++)
        if (*c.p != '\n' && *c.p != '\r') *alone = 0;
    return n;
}

static int parse_csv(struct parse *p, pbay_str body)
{
    const struct reply_shape *s = p->shape;
    const struct path *path = s->path && s->path->n ? s->path : NULL;
    struct csv c = {body.p, body.p + body.n, 0, 0};
    if (path && (path->n != 1 || path->steps[0].kind != PATH_INDEX))
        return fail(p, PBAY_INTERNAL, "the answer is CSV: a path into it is the number of a field, like [0]");
    if (path && s->n_cols != 1)
        return fail(p, PBAY_INTERNAL, "a path to a field of CSV gives one value and the function takes %u",
                    (unsigned)s->n_cols);
    p->scratch = malloc(body.n + 1);
    if (!p->scratch) return fail(p, PBAY_RESOURCE_EXHAUSTED, "out of memory");
    int alone = 0;
    /* Some containers answer all rows on one line. */
    uint32_t per_line = s->n_cols == 1 && s->n_rows > 1 && !path ? first_line(p, c, &alone) : 0;
    int one_line = alone && per_line == s->n_rows;

    uint32_t row = 0, col = 0;
    size_t rows = 0;
    while (c.p < c.end) {
        pbay_str f;
        if (csv_field(&c, p->scratch, &f))
            return fail(p, PBAY_DATA_LOSS, "line %zu of the answer has a quote that does not close",
                        rows + 1);
        if (!c.quoted) f = trim(f);
        if (rows >= s->n_rows) { /* more than there may be: count them, but no blank lines */
            if (c.last && (f.n || col)) rows++;
            col = c.last ? 0 : 1;
            continue;
        }
        if (path) {
            if (col == path->steps[0].index && csv_cell(p, row, 0, f, c.quoted)) return -1;
        } else if (one_line || col < s->n_cols) {
            if (csv_cell(p, row, one_line ? 0 : col, f, c.quoted)) return -1;
        }
        col++;
        if (one_line) {
            row++;
            rows++;
            col = 0;
        } else if (c.last) {
            if (path && col <= path->steps[0].index)
                return fail(p, PBAY_INTERNAL,
                            "line %zu of the answer has %u fields, the path asks for field %u", rows + 1,
                            (unsigned)col, (unsigned)path->steps[0].index);
            if (!path && col != s->n_cols)
                return fail(p, PBAY_INTERNAL,
                            "line %zu of the answer has %u fields and the function takes %u", rows + 1,
                            (unsigned)col, (unsigned)s->n_cols);
            row++;
            rows++;
            col = 0;
        }
    }
    return rows == s->n_rows ? 0 : miscounted(p, rows);
}

/* ------------------------------------------------------------------------------------------------ JSON */

/* The shortest decimal that reads back as the same number. */
static size_t number_text(const json_t *v, char out[40])
{
    if (json_is_integer(v)) return (size_t)snprintf(out, 40, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    double d = json_real_value(v);
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(out, 40, "%.*g", digits, d);
        if (strtod(out, NULL) == d) break;
    }
    return (size_t)n;
}

/* The value as JSON, numbers as short as they can be; jansson alone would write 0.1 as 0.10000000000000001.
 */
static void dump(struct text *t, const json_t *v)
{
    char number[40];
    if (json_is_real(v)) {
        text_add(t, number, number_text(v, number));
    } else if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++) {
            text_add(t, i ? "," : "[", 1);
            dump(t, json_array_get(v, i));
        }
        text_add(t, json_array_size(v) ? "]" : "[]", json_array_size(v) ? 1 : 2);
    } else if (json_is_object(v)) {
        const char *key, *open = "{";
        json_t *m;
        json_object_foreach((json_t *)(uintptr_t)v, key, m)
        {
            json_t *name = json_string_nocheck(key);
            text_add(t, open, 1);
            dump(t, name);
            text_add(t, ":", 1);
            dump(t, m);
            json_decref(name);
            open = ",";
        }
        text_add(t, *open == ',' ? "}" : "{}", *open == ',' ? 1 : 2);
    } else {
        char *plain = json_dumps(v, JSON_ENCODE_ANY);
        if (!plain) abort();
        text_add(t, plain, strlen(plain));
        free(plain);
    }
}

static int json_whole(struct parse *p, uint32_t row, uint32_t col, const json_t *v)
{
    struct text t = {NULL, 0, 0};
    dump(&t, v);
    p->sink->text(p->sink->user, row, col, (pbay_str){t.p, t.n});
    free(t.p);
    return 0;
}

static int json_cell(struct parse *p, uint32_t row, uint32_t col, const json_t *v)
{
    const struct reply_sink *k = p->sink;
    uint32_t kind = p->shape->kinds[col];
    char number[40];
    if (!v || json_is_null(v)) {
        k->null(k->user, row, col);
        return 0;
    }
    if (kind == PBAY_JSON) return json_whole(p, row, col, v);
    if (json_is_string(v)) {
        k->text(k->user, row, col, (pbay_str){json_string_value(v), json_string_length(v)});
        return 0;
    }
    if (json_is_number(v)) {
        if (kind == PBAY_NUM)
            k->num(k->user, row, col, json_number_value(v));
        else
            k->text(k->user, row, col, (pbay_str){number, number_text(v, number)});
        return 0;
    }
    if (json_is_boolean(v)) {
        if (kind == PBAY_NUM)
            k->num(k->user, row, col, json_is_true(v) ? 1 : 0);
        else
            k->text(k->user, row, col, json_is_true(v) ? (pbay_str){"true", 4} : (pbay_str){"false", 5});
        return 0;
    }
    if (kind == PBAY_STR) return json_whole(p, row, col, v);
    return fail(p, PBAY_INTERNAL,
                "prediction %u is %s and the function answers a number: give a path to it (path = ...)",
                (unsigned)row + 1, json_is_array(v) ? "an array" : "an object");
}

/* The member that holds the answer when a row is an object and the function answers one column. */
static const json_t *usual_member(const json_t *v)
{
    static const char *const NAMES[] = {"score",           "predicted_label", "prediction",
                                        "predicted_value", "value",           "label"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        const json_t *m = json_object_get(v, NAMES[i]);
        if (m) return m;
    }
    return json_object_size(v) == 1 ? json_object_iter_value(json_object_iter((json_t *)(uintptr_t)v)) : NULL;
}

static const json_t *member(const json_t *v, pbay_str name)
{
    char key[128];
    if (name.n == 0 || name.n >= sizeof key) return NULL;
    memcpy(key, name.p, name.n);
    key[name.n] = 0;
    return json_object_get(v, key);
}

static int json_row(struct parse *p, uint32_t row, const json_t *v, int by_path)
{
    const struct reply_shape *s = p->shape;
    int whole = by_path || (s->n_cols == 1 && (s->kinds[0] == PBAY_JSON || s->kinds[0] == PBAY_DUAL));
    if (s->n_cols == 1 && (whole || !(json_is_object(v) || json_is_array(v)))) return json_cell(p, row, 0, v);
    if (json_is_array(v)) {
        if (json_array_size(v) != s->n_cols)
            return fail(p, PBAY_INTERNAL, "prediction %u has %zu values and the function takes %u",
                        (unsigned)row + 1, json_array_size(v), (unsigned)s->n_cols);
        for (uint32_t c = 0; c < s->n_cols; c++)
            if (json_cell(p, row, c, json_array_get(v, c))) return -1;
        return 0;
    }
    if (!json_is_object(v))
        return fail(p, PBAY_INTERNAL, "prediction %u is one value and the function takes %u",
                    (unsigned)row + 1, (unsigned)s->n_cols);
    for (uint32_t c = 0; c < s->n_cols; c++) {
        const json_t *m = member(v, s->names[c]);
        if (!m && s->n_cols == 1) m = usual_member(v);
        if (!m)
            return fail(p, PBAY_INTERNAL,
                        "prediction %u has no member \"%.*s\": give a path to it (path = ...)",
                        (unsigned)row + 1, (int)s->names[c].n, s->names[c].n ? s->names[c].p : "");
        if (json_cell(p, row, c, m)) return -1;
    }
    return 0;
}

static int json_rows(struct parse *p, const json_t *rows, const struct path *path, uint32_t from)
{
    size_t n = json_array_size(rows);
    if (n != p->shape->n_rows) return miscounted(p, n);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(rows, i);
        if (path) {
            v = path_follow(path, from, path->n, v);
            if (!v) return fail(p, PBAY_INTERNAL, "prediction %zu has nothing at the path", i + 1);
        }
        if (json_row(p, (uint32_t)i, v, path && from < path->n)) return -1;
    }
    return 0;
}

static int parse_document(struct parse *p, const json_t *doc)
{
    static const char *const NAMES[] = {"predictions", "scores", "outputs", "results", "result"};
    const struct reply_shape *s = p->shape;
    if (s->path && s->path->n) {
        const struct path *path = s->path;
        const json_t *at = path_follow(path, 0, path->rows, doc);
        if (!at) return fail(p, PBAY_INTERNAL, "the answer has nothing at the path");
        if (path->rows < path->n) {
            if (!json_is_array(at))
                return fail(p, PBAY_INTERNAL, "the answer has no array where the path says []");
            return json_rows(p, at, path, path->rows + 1);
        }
        if (json_is_array(at) && (s->n_rows > 1 || json_array_size(at) == 1))
            return json_rows(p, at, NULL, 0);
        if (s->n_rows == 1) return json_row(p, 0, at, 1);
        return miscounted(p, 1);
    }
    const json_t *rows = json_is_array(doc) ? doc : NULL;
    for (size_t i = 0; !rows && i < sizeof NAMES / sizeof *NAMES; i++) {
        const json_t *m = json_object_get(doc, NAMES[i]);
        if (json_is_array(m)) rows = m;
    }
    /* One row may be answered by its values alone, without an array of rows around them. */
    size_t n = json_array_size(doc);
    int bare = s->n_rows == 1 && rows == doc && n > 1 &&
               (n == s->n_cols || (s->n_cols == 1 && s->kinds[0] == PBAY_JSON));
    if (rows && !bare) return json_rows(p, rows, NULL, 0);
    if (s->n_rows == 1) return json_row(p, 0, doc, 0);
    return miscounted(p, 1);
}

/* One document, or several: then each is a row. */
static int parse_json(struct parse *p, pbay_str body)
{
    size_t rows = 0, at = 0;
    json_t *first = NULL;
    int rc = 0;
    while (rc == 0) {
        while (at < body.n &&
               (body.p[at] == ' ' || body.p[at] == '\t' || body.p[at] == '\r' || body.p[at] == '\n'))
            at++;
        if (at == body.n) break;
        json_error_t e;
        json_t *v = json_loadb(body.p + at, body.n - at,
                               JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
        if (!v) {
            rc = fail(p, PBAY_DATA_LOSS, "the answer is not JSON: %s at offset %zu", e.text,
                      at + (size_t)e.position);
            break;
        }
        at += (size_t)e.position;
        if (rows++ == 0) {
            first = v;
            continue;
        }
        /* Lines: the first one was a row, too. */
        const struct path *path = p->shape->path && p->shape->path->n ? p->shape->path : NULL;
        for (size_t i = rows == 2 ? 0 : rows - 1; rc == 0 && i < rows; i++) {
            const json_t *row = i == 0 ? first : v;
            if (i >= p->shape->n_rows) break;
            if (path) row = path_follow(path, 0, path->n, row);
            if (!row)
                rc = fail(p, PBAY_INTERNAL, "line %zu of the answer has nothing at the path", i + 1);
            else
                rc = json_row(p, (uint32_t)i, row, path != NULL);
        }
        json_decref(v);
    }
    if (rc == 0 && rows == 1)
        rc = parse_document(p, first);
    else if (rc == 0 && rows != p->shape->n_rows)
        rc = miscounted(p, rows);
    json_decref(first);
    return rc;
}

int reply_parse(pbay_str body, const struct reply_shape *shape, const struct reply_sink *sink, int32_t *code,
                char why[REPLY_WHY])
{
    struct parse p = {shape, sink, code, why, NULL};
    *code = PBAY_OK;
    why[0] = 0;
    if (body.n >= 3 && memcmp(body.p, "\xef\xbb\xbf", 3) == 0) {
        body.p += 3;
        body.n -= 3;
    }
    size_t at = 0;
    while (at < body.n &&
           (body.p[at] == ' ' || body.p[at] == '\t' || body.p[at] == '\r' || body.p[at] == '\n'))
        at++;
    int is_json = at < body.n && (body.p[at] == '[' || body.p[at] == '{');
    int rc = is_json ? parse_json(&p, body) : parse_csv(&p, body);
    free(p.scratch);
    return rc;
}
