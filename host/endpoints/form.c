/* SPDX-License-Identifier: MIT */
#include "endpoints/form.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(pbay_str s, struct pb_buf *out)
{
    size_t start = out->n;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i] == '+' ? ' ' : s.p[i];
        if (c == '%') {
            int hi = i + 2 < s.n ? hex(s.p[i + 1]) : -1, lo = i + 2 < s.n ? hex(s.p[i + 2]) : -1;
            if (hi < 0 || lo < 0) {
                out->n = start;
                return false;
            }
            c = (char)(hi << 4 | lo);
            i += 2;
        }
        pb_buf_ch(out, c);
    }
    if (pb_utf8_valid(pb_str(out->p + start, out->n - start))) return true;
    out->n = start;
    return false;
}

bool pb_form_get(pbay_str body, const char *name, struct pb_buf *out)
{
    pbay_str field, wanted = pb_str_c(name);
    while (pb_str_split(&body, '&', &field)) {
        size_t eq = pb_str_chr(field, '='), start = out->n;
        bool good =
            decode(pb_str(field.p, eq), out) && pb_str_eq(pb_str(out->p + start, out->n - start), wanted);
        out->n = start;
        if (!good) continue;
        return eq < field.n ? decode(pb_str(field.p + eq + 1, field.n - eq - 1), out) : true;
    }
    return false;
}

pbay_str pb_cookie_get(pbay_str header, const char *name)
{
    pbay_str one;
    while (pb_str_split(&header, ';', &one)) {
        one = pb_str_trim(one);
        size_t eq = pb_str_chr(one, '=');
        if (eq < one.n && pb_str_is(pb_str(one.p, eq), name)) return pb_str(one.p + eq + 1, one.n - eq - 1);
    }
    return pb_str(NULL, 0);
}
