/* SPDX-License-Identifier: MIT */
#include "kit/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/percent.h"

static char *room(pbay_text *t, size_t n)
{
    if (t->cap - t->n < n) {
        size_t cap = t->cap ? t->cap : 256;
        while (cap - t->n < n) cap *= 2;
        char *fresh = (char *)realloc(t->p, cap);
        if (!fresh) abort();
        t->p = fresh;
        t->cap = cap;
    }
    return t->p + t->n;
}

void pbay_text_add(pbay_text *t, pbay_str s)
{
    if (!s.n) return;
    memcpy(room(t, s.n), s.p, s.n);
    t->n += s.n;
}

void pbay_text_c(pbay_text *t, const char *s)
{
    pbay_text_add(t, (pbay_str){s, strlen(s)});
}

void pbay_text_printf(pbay_text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) abort();
    char *at = room(t, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(at, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->n += (size_t)n;
}

void pbay_text_json(pbay_text *t, pbay_str s)
{
    pbay_text_c(t, "\"");
    for (size_t i = 0, from = 0; i <= s.n; i++) {
        unsigned char c = i < s.n ? (unsigned char)s.p[i] : 0;
        if (i < s.n && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
        pbay_text_add(t, (pbay_str){s.p + from, i - from});
        from = i + 1;
        if (i == s.n) break;
        if (c == '"' || c == '\\')
            pbay_text_printf(t, "\\%c", c);
        else if (c == '\n')
            pbay_text_c(t, "\\n");
        else
            pbay_text_printf(t, "\\u%04x", c);
    }
    pbay_text_c(t, "\"");
}

/* The bytes of p with which text begins, or 0. */
static size_t begins(pbay_str text, const char *p)
{
    size_t n = strlen(p);
    return text.n >= n && memcmp(text.p, p, n) == 0 ? n : 0;
}

/* Does text begin with what goes before the values of a row? How much of it may be said; 0: it does not. */
static size_t before_values(pbay_str text)
{
    static const char *const numbered[] = {"(row ", "answered HTTP ", "answered "};
    size_t n = begins(text, ", found ");
    for (size_t i = 0; !n && i < sizeof numbered / sizeof *numbered; i++) {
        size_t from = begins(text, numbered[i]), k = from;
        while (from && k < text.n && text.p[k] >= '0' && text.p[k] <= '9') k++;
        if (from && k > from && k < text.n && text.p[k] == ':') n = k + 1;
    }
    return n;
}

void pbay_text_unquoted(pbay_text *t, pbay_str m)
{
    for (size_t i = 0, k; i < m.n;) {
        if ((k = before_values((pbay_str){m.p + i, m.n - i}))) {
            pbay_text_add(t, (pbay_str){m.p + i, k});
            pbay_text_c(t, m.p[i] == '(' ? "…)" : "…");
            return;
        }
        pbay_text_add(t, (pbay_str){m.p + i, 1});
        if (m.p[i++] != '"') continue;
        while (i < m.n && m.p[i] != '"') i += m.p[i] == '\\' && i + 1 < m.n ? 2 : 1;
        pbay_text_c(t, i < m.n ? "…\"" : "…");
        i++;
    }
}

void pbay_text_percent(pbay_text *t, pbay_str s)
{
    t->n += pbay_percent_encode(s, room(t, PBAY_PERCENT_ROOM(s.n)));
}

pbay_str pbay_text_view(const pbay_text *t)
{
    return (pbay_str){t->p, t->n};
}

void pbay_text_clear(pbay_text *t)
{
    t->n = 0;
}

void pbay_text_free(pbay_text *t)
{
    free(t->p);
    *t = (pbay_text){NULL, 0, 0};
}
