/* SPDX-License-Identifier: MIT */
#include "kit/percent.h"

static int unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static size_t encode(pbay_str in, char keep, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        unsigned char c = (unsigned char)in.p[i];
        if (unreserved(c) || (keep && c == (unsigned char)keep)) {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = digits[c >> 4];
            out[n++] = digits[c & 15];
        }
    }
    return n;
}

size_t pbay_percent_encode(pbay_str in, char *out)
{
    return encode(in, 0, out);
}

size_t pbay_percent_encode_path(pbay_str in, char *out)
{
    return encode(in, '/', out);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

ptrdiff_t pbay_percent_decode(pbay_str in, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] != '%') {
            out[n++] = in.p[i];
            continue;
        }
        if (in.n - i < 3 || digit(in.p[i + 1]) < 0 || digit(in.p[i + 2]) < 0) return -1;
        out[n++] = (char)(digit(in.p[i + 1]) * 16 + digit(in.p[i + 2]));
        i += 2;
    }
    return (ptrdiff_t)n;
}
