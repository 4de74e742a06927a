/* SPDX-License-Identifier: MIT */
#include "kit/xml.h"

#include <string.h>

static const char *find(const char *p, const char *end, const char *what, size_t n)
{
    for (; (size_t)(end - p) >= n; p++) {
        p = memchr(p, what[0], (size_t)(end - p) - n + 1);
        if (!p) return NULL;
        if (memcmp(p, what, n) == 0) return p;
    }
    return NULL;
}

static int name_ends(char c)
{
    return c == '>' || c == '/' || c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

pbay_str pbay_xml_next(pbay_str xml, size_t *at, const char *name)
{
    const pbay_str none = {NULL, 0};
    size_t n = strlen(name);
    if (*at >= xml.n) return none;
    const char *p = xml.p + *at, *end = xml.p + xml.n;
    while ((p = memchr(p, '<', (size_t)(end - p)))) {
        if ((size_t)(end - p) >= 4 && memcmp(p, "<!--", 4) == 0) {
            const char *over = find(p + 4, end, "-->", 3);
            if (!over) return none;
            p = over + 3;
            continue;
        }
        p++;
        if ((size_t)(end - p) <= n || memcmp(p, name, n) != 0 || !name_ends(p[n])) continue;
        const char *close = memchr(p + n, '>', (size_t)(end - p) - n);
        if (!close) return none;
        const char *from = close + 1;
        if (close[-1] == '/') {
            *at = (size_t)(from - xml.p);
            return (pbay_str){from, 0};
        }
        for (const char *q = from; (q = find(q, end, "</", 2)); q += 2) {
            if ((size_t)(end - q) < n + 3 || memcmp(q + 2, name, n) != 0 || !name_ends(q[2 + n])) continue;
            const char *last = memchr(q + 2 + n, '>', (size_t)(end - q) - 2 - n);
            *at = last ? (size_t)(last + 1 - xml.p) : xml.n;
            return (pbay_str){from, (size_t)(q - from)};
        }
        return none;
    }
    return none;
}

pbay_str pbay_xml_element(pbay_str xml, const char *name)
{
    size_t at = 0;
    return pbay_xml_next(xml, &at, name);
}

static size_t utf8(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* &#38; and &#x26; without their ends. 0: not a character of XML's. */
static uint32_t numeric(const char *p, size_t n)
{
    uint32_t base = 10, v = 0;
    size_t i = 1;
    if (n > 1 && (p[1] | 32) == 'x') {
        base = 16;
        i = 2;
    }
    if (i == n) return 0;
    for (; i < n; i++) {
        uint32_t d = p[i] >= '0' && p[i] <= '9'                 ? (uint32_t)(p[i] - '0')
                     : (p[i] | 32) >= 'a' && (p[i] | 32) <= 'f' ? (uint32_t)((p[i] | 32) - 'a') + 10
                                                                : 99;
        if (d >= base || v > 0x10ffff) return 0;
        v = v * base + d;
    }
    int ok = v == 9 || v == 10 || v == 13 || (v >= 0x20 && v < 0xd800) || (v >= 0xe000 && v <= 0x10ffff);
    return ok && v != 0xfffe && v != 0xffff ? v : 0;
}

ptrdiff_t pbay_xml_text(pbay_str in, char *out)
{
    static const struct {
        const char *name;
        char c;
    } NAMED[] = {{"lt", '<'}, {"gt", '>'}, {"amp", '&'}, {"quot", '"'}, {"apos", '\''}};
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] != '&') {
            out[n++] = in.p[i];
            continue;
        }
        const char *name = in.p + i + 1, *semi = memchr(name, ';', in.n - i - 1);
        if (!semi) return -1;
        size_t len = (size_t)(semi - name);
        uint32_t c = len && name[0] == '#' ? numeric(name, len) : 0;
        for (size_t k = 0; !c && k < sizeof NAMED / sizeof *NAMED; k++)
            if (strlen(NAMED[k].name) == len && memcmp(NAMED[k].name, name, len) == 0)
                c = (unsigned char)NAMED[k].c;
        if (!c) return -1;
        n += utf8(c, out + n);
        i += len + 1;
    }
    return (ptrdiff_t)n;
}
