/* SPDX-License-Identifier: MIT */
#include "answers.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int answer_columns_make(struct answer_columns *c, const pbay_field *fields, uint32_t n)
{
    static const pbay_field ANY = {{"", 0}, PBAY_STR, 0};
    if (n == 0) {
        fields = &ANY;
        n = 1;
    }
    size_t texts = 0;
    for (uint32_t i = 0; i < n; i++) texts += fields[i].name.n;
    c->n = n;
    c->kinds = calloc(n, sizeof *c->kinds);
    c->names = malloc(n * sizeof *c->names + texts + 1);
    if (!c->kinds || !c->names) {
        answer_columns_free(c);
        return -1;
    }
    char *at = (char *)(c->names + n);
    for (uint32_t i = 0; i < n; i++) {
        c->kinds[i] = fields[i].kind;
        c->names[i] = (pbay_str){at, fields[i].name.n};
        if (fields[i].name.n) memcpy(at, fields[i].name.p, fields[i].name.n);
        at += fields[i].name.n;
    }
    return 0;
}

void answer_columns_free(struct answer_columns *c)
{
    free(c->kinds);
    free(c->names);
    c->kinds = NULL;
    c->names = NULL;
}

struct answers answers_begin(const struct sagemaker *sm, const struct answer_columns *c, const char *from)
{
    struct answers a = {sm, c, sm->batch->create(sm->host), from, 0};
    for (uint32_t i = 0; i < c->n; i++) sm->batch->add_column(a.out, c->names[i], c->kinds[i]);
    return a;
}

size_t answers_format(double v, char out[40])
{
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(out, 40, "%.*g", digits, v);
        if (strtod(out, NULL) == v) break;
    }
    return (size_t)n;
}

void answers_null(struct answers *a, uint32_t row, uint32_t col)
{
    (void)row;
    a->sm->batch->null(a->out, col);
}

void answers_num(struct answers *a, uint32_t row, uint32_t col, double v)
{
    char text[40];
    if (a->columns->kinds[col] == PBAY_NUM) {
        a->sm->batch->num(a->out, col, v);
        return;
    }
    size_t n = answers_format(v, text);
    answers_text(a, row, col, (pbay_str){text, n});
}

/* A JSON value that says the same as the text: the text itself when it is one, else a string. */
static void put_json(struct answers *a, uint32_t col, pbay_str v)
{
    json_t *whole = json_loadb(v.n ? v.p : "", v.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (whole) {
        json_decref(whole);
        a->sm->batch->text(a->out, col, v);
        return;
    }
    char *quoted = malloc(6 * v.n + 3);
    if (!quoted) abort();
    size_t n = 0;
    quoted[n++] = '"';
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c < 0x20) {
            n += (size_t)sprintf(quoted + n, "\\u%04x", c);
        } else {
            if (c == '"' || c == '\\') quoted[n++] = '\\';
            quoted[n++] = (char)c;
        }
    }
    quoted[n++] = '"';
    a->sm->batch->text(a->out, col, (pbay_str){quoted, n});
    free(quoted);
}

void answers_text(struct answers *a, uint32_t row, uint32_t col, pbay_str v)
{
    const pbay_batch_1 *b = a->sm->batch;
    double d = NAN;
    switch (a->columns->kinds[col]) {
    case PBAY_NUM:
        if (b->to_num(v, &d)) {
            b->num(a->out, col, d);
            return;
        }
        b->null(a->out, col);
        if (a->failed_row != row + 1) {
            char text[256];
            int shown = v.n > 80 ? 80 : (int)v.n;
            while (shown > 0 && (size_t)shown < v.n && (v.p[shown] & 0xc0) == 0x80) shown--;
            snprintf(text, sizeof text, "%s answered \"%.*s\" where the function answers a number", a->from,
                     shown, v.n ? v.p : "");
            b->row_error(a->out, row, PBAY_BAD_VALUE, (pbay_str){text, strlen(text)});
            a->failed_row = row + 1;
        }
        return;
    case PBAY_DUAL:
        if (!b->to_num(v, &d)) d = NAN;
        b->dual(a->out, col, d, v);
        return;
    case PBAY_JSON: put_json(a, col, v); return;
    default: b->text(a->out, col, v); return;
    }
}

static void sink_num(void *user, uint32_t row, uint32_t col, double v)
{
    answers_num(user, row, col, v);
}

static void sink_text(void *user, uint32_t row, uint32_t col, pbay_str v)
{
    answers_text(user, row, col, v);
}

static void sink_null(void *user, uint32_t row, uint32_t col)
{
    answers_null(user, row, col);
}

struct reply_sink answers_sink(struct answers *a)
{
    return (struct reply_sink){a, sink_num, sink_text, sink_null};
}
