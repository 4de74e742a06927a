/* SPDX-License-Identifier: MIT */
#include "qrag_frame.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qrag_message.h"

struct cell {
    size_t at, n; /* in `texts` */
    int missing;
};

struct frame {
    uint32_t n_cols, n_rows;
    struct text texts;
    struct cell *names, *cells; /* n_rows * n_cols */
    size_t cap;
    struct cell *line; /* n_line */
    uint32_t n_line, line_cap;
};

/* ------------------------------------------------------------------------------------------------ CSV */

static void keep(struct frame *f, size_t at, size_t n, int quoted)
{
    static const char *const missing[] = {"",     "NaN",  "nan",      "NA",     "N/A",    "n/a",
                                          "null", "NULL", "#N/A",     "#NA",    "<NA>",   "-NaN",
                                          "-nan", "None", "#N/A N/A", "1.#IND", "1.#QNAN"};
    if (f->n_line == f->line_cap) {
        f->line_cap = f->line_cap ? f->line_cap * 2 : 64;
        f->line = realloc(f->line, f->line_cap * sizeof *f->line);
        if (!f->line) abort();
    }
    struct cell *c = &f->line[f->n_line++];
    *c = (struct cell){at, n, 0};
    (void)quoted; /* pandas takes "" for missing too */
    for (size_t i = 0; i < sizeof missing / sizeof *missing && !c->missing; i++)
        c->missing = strlen(missing[i]) == n && (n == 0 || memcmp(missing[i], f->texts.p + at, n) == 0);
}

/* RFC 4180 with the quotes of pandas: a field that begins with one ends with one, "" is one. */
static void split(struct frame *f, pbay_str line)
{
    size_t i = 0;
    f->n_line = 0;
    while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r')) line.n--;
    for (;;) {
        size_t at = f->texts.n;
        int quoted = i < line.n && line.p[i] == '"', inside = quoted;
        if (quoted) i++;
        for (; i < line.n && (inside || line.p[i] != ','); i++) {
            if (inside && line.p[i] == '"') {
                if (i + 1 < line.n && line.p[i + 1] == '"')
                    i++;
                else {
                    inside = 0;
                    continue;
                }
            }
            text_add(&f->texts, line.p + i, 1);
        }
        keep(f, at, f->texts.n - at, quoted);
        if (i >= line.n) return;
        i++; /* the comma */
    }
}

struct frame *frame_new(pbay_str header)
{
    struct frame *f = calloc(1, sizeof *f);
    if (!f) abort();
    split(f, header);
    if (f->n_line == 1 && f->line[0].n == 0) {
        frame_free(f);
        return NULL;
    }
    f->n_cols = f->n_line;
    f->names = malloc(f->n_cols * sizeof *f->names);
    if (!f->names) abort();
    memcpy(f->names, f->line, f->n_cols * sizeof *f->names);
    return f;
}

void frame_free(struct frame *f)
{
    if (!f) return;
    free(f->texts.p);
    free(f->names);
    free(f->cells);
    free(f->line);
    free(f);
}

uint32_t frame_columns(const struct frame *f)
{
    return f->n_cols;
}

int frame_line(struct frame *f, pbay_str line, char why[FRAME_WHY])
{
    split(f, line);
    if (f->n_line != f->n_cols) {
        snprintf(why, FRAME_WHY, "it has %u values, and schema_metadata names %u columns", f->n_line,
                 f->n_cols);
        return -1;
    }
    size_t n = (size_t)f->n_rows * f->n_cols;
    if (f->cap < n + f->n_cols) {
        f->cap = f->cap * 2 + 16 * (size_t)f->n_cols;
        f->cells = realloc(f->cells, f->cap * sizeof *f->cells);
        if (!f->cells) abort();
    }
    memcpy(f->cells + n, f->line, f->n_cols * sizeof *f->cells);
    f->n_rows++;
    return 0;
}

/* ------------------------------------------------------------------------------------------------ types */

enum type { INT, FLOAT, BOOL, TEXT };

static const struct cell *cell(const struct frame *f, uint32_t row, uint32_t col)
{
    return &f->cells[(size_t)row * f->n_cols + col];
}

/* The text of a cell, NUL-terminated, blanks around it cut; 0: longer than any number. */
static int number_text(const struct frame *f, const struct cell *c, char out[64])
{
    const char *p = f->texts.p + c->at;
    size_t n = c->n;
    while (n && *p == ' ') p++, n--;
    while (n && p[n - 1] == ' ') n--;
    if (n == 0 || n > 63) return 0;
    memcpy(out, p, n);
    out[n] = 0;
    return 1;
}

static int is_int(const char *s)
{
    const char *p = s + (*s == '-' || *s == '+');
    size_t n = strlen(p);
    if (!n || strspn(p, "0123456789") != n) return 0;
    errno = 0;
    strtoll(s, NULL, 10);
    return errno == 0;
}

static int is_float(const char *s, double *v)
{
    char *end;
    if (strspn(s, "+-.0123456789eE") != strlen(s)) return 0; /* no hex, no names */
    *v = strtod(s, &end);
    return *end == 0 && isfinite(*v);
}

static int is_bool(const struct frame *f, const struct cell *c, int *v)
{
    static const char *const words[] = {"False", "True", "FALSE", "TRUE", "false", "true"};
    for (int i = 0; i < 6; i++)
        if (c->n == strlen(words[i]) && memcmp(f->texts.p + c->at, words[i], c->n) == 0) {
            *v = i & 1;
            return 1;
        }
    return 0;
}

static enum type type_of(const struct frame *f, uint32_t col)
{
    int ints = 1, floats = 1, bools = 1, any = 0;
    for (uint32_t r = 0; r < f->n_rows; r++) {
        const struct cell *c = cell(f, r, col);
        char s[64];
        double v;
        int b;
        if (c->missing) {
            ints = 0; /* a missing value makes floats of integers, and texts of booleans */
            bools = 0;
            continue;
        }
        any = 1;
        int number = number_text(f, c, s);
        ints = ints && number && is_int(s);
        floats = floats && number && is_float(s, &v);
        bools = bools && is_bool(f, c, &b);
    }
    return !any ? FLOAT : ints ? INT : floats ? FLOAT : bools ? BOOL : TEXT;
}

/* ------------------------------------------------------------------------------------------------ JSON */

static void add(struct text *t, const char *s)
{
    text_add(t, s, strlen(s));
}

static void put(const struct frame *f, const struct cell *c, enum type type, struct text *out)
{
    char s[64], number[PY_FLOAT_MAX];
    double v = 0;
    int b = 0;
    if (c->missing) {
        add(out, "null");
        return;
    }
    switch (type) {
    case INT:
        number_text(f, c, s);
        text_add(out, s, (size_t)snprintf(s, sizeof s, "%lld", strtoll(s, NULL, 10)));
        return;
    case FLOAT:
        number_text(f, c, s);
        is_float(s, &v);
        text_add(out, number, py_float(v, number));
        return;
    case BOOL:
        is_bool(f, c, &b);
        add(out, b ? "true" : "false");
        return;
    default: py_json_text(out, (pbay_str){f->texts.p + c->at, c->n});
    }
}

void frame_json(const struct frame *f, int wrapped, struct text *out)
{
    char number[16];
    enum type *types = malloc(f->n_cols * sizeof *types);
    if (!types) abort();
    for (uint32_t c = 0; c < f->n_cols; c++) types[c] = type_of(f, c);
    add(out, wrapped ? "{\"dataframe_split\": {\"index\": [" : "{\"index\": [");
    for (uint32_t r = 0; r < f->n_rows; r++)
        text_add(out, number, (size_t)snprintf(number, sizeof number, r ? ", %u" : "%u", r));
    add(out, "], \"columns\": [");
    for (uint32_t c = 0; c < f->n_cols; c++) {
        if (c) add(out, ", ");
        py_json_text(out, (pbay_str){f->texts.p + f->names[c].at, f->names[c].n});
    }
    add(out, "], \"data\": [");
    for (uint32_t r = 0; r < f->n_rows; r++) {
        add(out, r ? ", [" : "[");
        for (uint32_t c = 0; c < f->n_cols; c++) {
            if (c) add(out, ", ");
            put(f, cell(f, r, c), types[c], out);
        }
        add(out, "]");
    }
    add(out, wrapped ? "]}}" : "]}");
    free(types);
}

int frame_answers(pbay_str body, uint32_t n, void (*put_one)(void *user, uint32_t i, pbay_str text, int null),
                  void *user, char why[FRAME_WHY])
{
    json_t *v = json_loadb(body.n ? body.p : "", body.n, JSON_ALLOW_NUL, NULL);
    const json_t *list = json_is_object(v) ? json_object_get(v, "predictions") : v;
    int rc = -1;
    if (!json_is_array(list))
        snprintf(why, FRAME_WHY, "what came back is no JSON list of predictions");
    else if (json_array_size(list) != n)
        snprintf(why, FRAME_WHY, "%zu predictions came back for %u rows", json_array_size(list), n);
    else
        rc = 0;
    struct text t = {NULL, 0, 0};
    for (uint32_t i = 0; !rc && i < n; i++) {
        t.n = 0;
        int null = py_str(json_array_get(list, i), &t);
        put_one(user, i, (pbay_str){t.p, t.n}, null);
    }
    free(t.p);
    json_decref(v);
    return rc;
}
