/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/check.h"

char *pb_buf_room(struct pb_buf *b, size_t n)
{
    if (b->cap - b->n < n) {
        size_t need;
        if (__builtin_add_overflow(b->n, n, &need)) pb_fatal("a buffer of %zu + %zu bytes", b->n, n);
        size_t cap = b->cap ? b->cap + b->cap / 2 : 256;
        if (cap < need) cap = need;
        b->p = pb_realloc(b->p, cap);
        b->cap = cap;
    }
    return b->p + b->n;
}

void pb_buf_free(struct pb_buf *b)
{
    pb_free(b->p);
    *b = (struct pb_buf){0};
}

void pb_buf_reset(struct pb_buf *b, size_t keep)
{
    if (b->cap > keep) pb_buf_free(b);
    b->n = 0;
}

void pb_buf_drop(struct pb_buf *b, size_t n)
{
    PB_REQUIRE(n <= b->n);
    b->n -= n;
    if (b->n) memmove(b->p, b->p + n, b->n);
}

void pb_buf_printf(struct pb_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    PB_REQUIRE(n >= 0);
    char *p = pb_buf_room(b, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
}

/* Length of the valid UTF-8 character at s.p[i], or 0. */
static size_t char_at(pbay_str s, size_t i)
{
    for (size_t k = 1; k <= 4 && i + k <= s.n; k++)
        if (pb_utf8_valid(pb_str(s.p + i, k))) return k;
    return 0;
}

static bool as_is(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void pb_buf_json(struct pb_buf *b, pbay_str s)
{
    static const char hex[] = "0123456789abcdef";
    pb_buf_ch(b, '"');
    for (size_t i = 0; i < s.n;) {
        size_t from = i;
        while (i < s.n && as_is((unsigned char)s.p[i])) i++;
        if (i > from) {
            pb_buf_add(b, s.p + from, i - from);
            continue;
        }
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x80) {
            size_t k = char_at(s, i);
            if (k)
                pb_buf_add(b, s.p + i, k);
            else
                pb_buf_c(b, "\xef\xbf\xbd");
            i += k ? k : 1;
            continue;
        }
        i++;
        switch (c) {
        case '"': pb_buf_c(b, "\\\""); break;
        case '\\': pb_buf_c(b, "\\\\"); break;
        case '\n': pb_buf_c(b, "\\n"); break;
        case '\r': pb_buf_c(b, "\\r"); break;
        case '\t': pb_buf_c(b, "\\t"); break;
        default: {
            const char esc[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            pb_buf_add(b, esc, 6);
        }
        }
    }
    pb_buf_ch(b, '"');
}
