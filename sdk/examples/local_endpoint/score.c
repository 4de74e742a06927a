/* SPDX-License-Identifier: MIT */
#include "score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *room(struct out *o, size_t n)
{
    if (o->cap - o->n < n) {
        o->cap = o->cap * 2 + n + 4096;
        o->p = realloc(o->p, o->cap);
        if (!o->p) abort();
    }
    return o->p + o->n;
}

static void add(struct out *o, const char *text)
{
    size_t n = strlen(text);
    memcpy(room(o, n), text, n);
    o->n += n;
}

/* The whole field as a number; the common forms without strtod, which needs a NUL. */
static int number(pbay_str f, double *out)
{
    char copy[64], *end;
    if (f.n == 0 || f.n >= sizeof copy) return 0;
    double v = 0;
    size_t i = 0;
    for (; i < f.n && i < 15 && f.p[i] >= '0' && f.p[i] <= '9'; i++) v = v * 10 + (f.p[i] - '0');
    if (i == f.n) {
        *out = v;
        return 1;
    }
    if (f.p[0] != '-' && f.p[0] != '+' && f.p[0] != '.' && (f.p[0] < '0' || f.p[0] > '9')) return 0;
    memcpy(copy, f.p, f.n);
    copy[f.n] = 0;
    *out = strtod(copy, &end);
    return *end == 0 && isfinite(*out);
}

static double field(pbay_str f, size_t i)
{
    static const double w[] = {1.2, -1.5, 1, -0.8}, c[] = {1.6, 4.5, 1, 1.6};
    double x;
    if (f.n == 0) return 0;
    if (number(f, &x)) return w[i % 4] * (log10(1 + fabs(x)) - c[i % 4]);
    uint64_t h = 0;
    for (size_t k = 0; k < f.n; k++) h += (uint64_t)(unsigned char)f.p[k] * (k + 1);
    return ((double)(h % 201) - 100) / 125;
}

/* The next field of a line, quotes undone into scratch. Moves *at behind its comma; 1: the line goes on. */
static int next_field(const char **at, const char *end, char *scratch, pbay_str *f)
{
    const char *p = *at;
    if (p < end && *p == '"') {
        size_t n = 0;
        for (p++; p < end; p++) {
            if (*p == '"') {
                if (p + 1 < end && p[1] == '"')
                    p++;
                else
                    break;
            }
            scratch[n++] = *p;
        }
        *f = (pbay_str){scratch, n};
        while (p < end && *p != ',' && *p != '\n') p++;
    } else {
        const char *from = p;
        while (p < end && *p != ',' && *p != '\n') p++;
        *f = (pbay_str){from, (size_t)(p - from)};
        if (f->n && from[f->n - 1] == '\r') f->n--;
    }
    int more = p < end && *p == ',';
    *at = p < end ? p + 1 : p;
    return more;
}

/* Six decimals; printf would take longer than the rest. */
static void add_score(struct out *o, double score)
{
    unsigned v = (unsigned)(score * 1000000 + 0.5);
    char *p = room(o, 16);
    p[0] = (char)('0' + v / 1000000);
    p[1] = '.';
    v %= 1000000;
    for (int i = 7; i >= 2; i--, v /= 10) p[i] = (char)('0' + v % 10);
    o->n += 8;
}

size_t score_csv(pbay_str body, int json, struct out *out)
{
    const char *at = body.p, *end = body.p + body.n;
    char *scratch = malloc(body.n + 1);
    size_t rows = 0;
    if (!scratch) abort();
    if (json) add(out, "{\"predictions\":[");
    while (at < end) {
        double z = -0.2;
        pbay_str f;
        int more = 1;
        for (size_t i = 0; more; i++) {
            more = next_field(&at, end, scratch, &f);
            z += field(f, i);
        }
        if (json) add(out, rows ? ",{\"score\":" : "{\"score\":");
        add_score(out, 1 / (1 + exp(-z)));
        add(out, json ? "}" : "\n");
        rows++;
    }
    if (json) add(out, "]}");
    free(scratch);
    return rows;
}
