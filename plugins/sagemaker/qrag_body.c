/* SPDX-License-Identifier: MIT */
#include "qrag_body.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void qrag_body(struct text *out, pbay_str value)
{
    static const char hex[] = "0123456789abcdef", plain[] = "\"\\\n\r\t\b\f", escaped[] = "\"\\nrtbf";
    out->n = 0;
    text_add(out, "{\"data\":\"", 9);
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        const char *at = c ? strchr(plain, c) : NULL;
        if (at) {
            char two[2] = {'\\', escaped[at - plain]};
            text_add(out, two, 2);
        } else if (c < 0x20 || c == 0x7f) {
            char six[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            text_add(out, six, 6);
        } else {
            text_add(out, value.p + i, 1);
        }
    }
    text_add(out, "\"}", 2);
}

static int blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

int qrag_answer(pbay_str body, struct text *out)
{
    out->n = 0;
    while (body.n && blank(body.p[0])) body.p++, body.n--;
    while (body.n && blank(body.p[body.n - 1])) body.n--;
    json_t *v = body.n && body.p[0] == '"'
                    ? json_loadb(body.p, body.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL)
                    : NULL;
    if (v) {
        text_add(out, json_string_value(v), json_string_length(v));
        json_decref(v);
    } else {
        /* Whether it is UTF-8 is what jansson checks when it makes a string of it. */
        json_t *text = json_stringn(body.n ? body.p : "", body.n);
        if (!text) return -1;
        json_decref(text);
        for (size_t i = 0; i < body.n; i++)
            if (body.p[i] != '"') text_add(out, body.p + i, 1);
    }
    size_t skip = 0;
    while (skip < out->n && blank(out->p[skip])) skip++;
    while (out->n > skip && blank(out->p[out->n - 1])) out->n--;
    if (skip) memmove(out->p, out->p + skip, out->n - skip);
    out->n -= skip;
    return 0;
}
