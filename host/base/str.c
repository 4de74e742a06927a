/* SPDX-License-Identifier: MIT */
#include "base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned char lower(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? (unsigned char)(u + 32) : u;
}

bool pb_str_ieq(pbay_str a, pbay_str b)
{
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i])) return false;
    return true;
}

bool pb_str_starts(pbay_str s, pbay_str prefix)
{
    return s.n >= prefix.n && pb_str_eq(pb_str(s.p, prefix.n), prefix);
}

bool pb_str_ends(pbay_str s, pbay_str suffix)
{
    return s.n >= suffix.n && pb_str_eq(pb_str(s.p + (s.n - suffix.n), suffix.n), suffix);
}

int pb_str_cmp(pbay_str a, pbay_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c) return c < 0 ? -1 : 1;
    return a.n < b.n ? -1 : a.n > b.n;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

pbay_str pb_str_trim(pbay_str s)
{
    while (s.n && blank(s.p[0])) s.p++, s.n--;
    while (s.n && blank(s.p[s.n - 1])) s.n--;
    return s;
}

size_t pb_str_chr(pbay_str s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? (size_t)(at - s.p) : s.n;
}

bool pb_str_split(pbay_str *rest, char sep, pbay_str *field)
{
    if (!rest->p) return false;
    size_t n = pb_str_chr(*rest, sep);
    *field = pb_str(rest->p, n);
    if (n == rest->n)
        *rest = pb_str(NULL, 0);
    else
        *rest = pb_str(rest->p + n + 1, rest->n - n - 1);
    return true;
}

bool pb_utf8_valid(pbay_str s)
{
    if (!s.n) return true;
    const unsigned char *p = (const unsigned char *)s.p, *end = p + s.n;
    while (p < end) {
        /* Eight ASCII bytes at a time: nearly all text is that. */
        while (end - p >= 8) {
            uint64_t w;
            memcpy(&w, p, 8);
            if (w & UINT64_C(0x8080808080808080)) break;
            p += 8;
        }
        if (p == end) break;
        if (s.n >= 8 && end - p < 8) { /* what is left, with some of what was seen */
            uint64_t w;
            memcpy(&w, end - 8, 8);
            if (!(w & UINT64_C(0x8080808080808080))) break;
        }
        unsigned c = *p;
        if (c < 0x80) {
            p++;
            continue;
        }
        size_t n;
        unsigned lo = 0x80, hi = 0xbf;
        if (c >= 0xc2 && c <= 0xdf)
            n = 1;
        else if (c >= 0xe0 && c <= 0xef) {
            n = 2;
            if (c == 0xe0) lo = 0xa0;
            if (c == 0xed) hi = 0x9f;
        } else if (c >= 0xf0 && c <= 0xf4) {
            n = 3;
            if (c == 0xf0) lo = 0x90;
            if (c == 0xf4) hi = 0x8f;
        } else
            return false;
        if ((size_t)(end - p) < n + 1 || p[1] < lo || p[1] > hi) return false;
        for (size_t i = 2; i <= n; i++)
            if ((p[i] & 0xc0) != 0x80) return false;
        p += n + 1;
    }
    return true;
}

size_t pb_utf8_floor(pbay_str s, size_t n)
{
    if (n >= s.n) n = s.n;
    size_t start = n;
    while (start > 0 && n - start < 3 && ((unsigned char)s.p[start - 1] & 0xc0) == 0x80) start--;
    if (start == 0) return n;
    unsigned char c = (unsigned char)s.p[start - 1];
    size_t len = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    return start - 1 + len <= n ? n : start - 1;
}

static bool digits(pbay_str s, bool negative_too)
{
    size_t i = negative_too && s.n && (s.p[0] == '-' || s.p[0] == '+');
    if (i == s.n || s.n > 24) return false;
    for (; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return true;
}

bool pb_parse_i64(pbay_str s, int64_t *out)
{
    char t[25];
    if (!digits(s, true)) return false;
    memcpy(t, s.p, s.n);
    t[s.n] = 0;
    errno = 0;
    *out = strtoll(t, NULL, 10);
    return errno == 0;
}

bool pb_parse_u64(pbay_str s, uint64_t *out)
{
    char t[25];
    if (!digits(s, false)) return false;
    memcpy(t, s.p, s.n);
    t[s.n] = 0;
    errno = 0;
    *out = strtoull(t, NULL, 10);
    return errno == 0;
}

/* Plain decimals of up to 15 digits are exact in one division: the cells of most tables. */
static bool simple_f64(pbay_str s, double *out)
{
    static const double pow10[] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    size_t i = s.n && s.p[0] == '-';
    if (s.n > 17 || i == s.n) return false;
    bool neg = i;
    uint64_t v = 0;
    size_t nd = 0, frac = 0;
    bool dot = false;
    for (; i < s.n; i++) {
        char c = s.p[i];
        if (c == '.') {
            if (dot || !nd || i + 1 == s.n) return false;
            dot = true;
            continue;
        }
        if (c < '0' || c > '9' || ++nd > 15) return false;
        v = v * 10 + (uint64_t)(c - '0');
        frac += dot;
    }
    if (!nd) return false;
    double d = (double)v / pow10[frac];
    *out = neg ? -d : d;
    return true;
}

bool pb_parse_f64(pbay_str s, double *out)
{
    if (simple_f64(s, out)) return true;
    char t[512], *end;
    if (!s.n || s.n >= sizeof t) return false;
    char c = s.p[0];
    if (!((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'n' || c == 'N' || c == 'i' ||
          c == 'I'))
        return false;
    memcpy(t, s.p, s.n);
    t[s.n] = 0;
    if (memchr(t, 0, s.n) || strpbrk(t, "xX")) return false;
    *out = strtod(t, &end);
    return *end == 0;
}

size_t pb_format_i64(int64_t v, char out[PB_F64_MAX])
{
    char t[24];
    size_t n = 0, k = 0;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do t[n++] = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0) out[k++] = '-';
    while (n) out[k++] = t[--n];
    out[k] = 0;
    return k;
}

/*
 * Prices, rates, measures: a few digits behind the point. An integer below 10^15 over a power of ten that
 * gives v back is its shortest decimal, as two decimals of 15 digits never share a double. 0: not so.
 */
static size_t short_decimal(double v, char out[PB_F64_MAX])
{
    double a = fabs(v), p = 10;
    if (!(a >= 1e-4 && a < 1e15)) return 0;
    for (size_t k = 1; k <= 9 && a * p < 1e15; k++, p *= 10) {
        uint64_t u = (uint64_t)(a * p + 0.5), unit = (uint64_t)p, frac = u % unit;
        if ((double)u / p != a) continue;
        size_t n = 0;
        if (v < 0) out[n++] = '-';
        n += pb_format_i64((int64_t)(u / unit), out + n);
        out[n++] = '.';
        for (size_t i = k; i--; frac /= 10) out[n + i] = (char)('0' + frac % 10);
        out[n + k] = 0;
        return n + k;
    }
    return 0;
}

size_t pb_format_f64(double v, char out[PB_F64_MAX])
{
    if (v >= -9007199254740992.0 && v <= 9007199254740992.0 && v == (double)(int64_t)v &&
        !(v == 0 && signbit(v)))
        return pb_format_i64((int64_t)v, out);
    if (isnan(v)) return memcpy(out, "nan", 4), 3;
    if (isinf(v)) return v > 0 ? (memcpy(out, "inf", 4), (size_t)3) : (memcpy(out, "-inf", 5), (size_t)4);
    size_t n_short = short_decimal(v, out);
    if (n_short) return n_short;
    for (int prec = 15; prec <= 17; prec++) {
        int n = snprintf(out, PB_F64_MAX, "%.*g", prec, v);
        if (prec == 17 || strtod(out, NULL) == v) return (size_t)n;
    }
    return 0;
}

static size_t distance(pbay_str a, pbay_str b)
{
    size_t row[65];
    if (a.n > 64 || b.n > 64) return 99;
    for (size_t j = 0; j <= b.n; j++) row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diag = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t up = row[j], sub = diag + (lower(a.p[i - 1]) != lower(b.p[j - 1]));
            size_t best = row[j - 1] + 1 < up + 1 ? row[j - 1] + 1 : up + 1;
            row[j] = sub < best ? sub : best;
            diag = up;
        }
    }
    return row[b.n];
}

const char *pb_nearest(pbay_str word, const char *const *names, size_t n)
{
    size_t best = word.n / 3 + 1;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, pb_str_c(names[i]));
        if (d <= best && (!found || d < best)) best = d, found = names[i];
    }
    return found;
}

bool pb_traceparent_is(pbay_str s)
{
    static const char layout[] = "hh-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
    if (s.n != sizeof layout - 1 || pb_str_starts(s, PB_STR("ff"))) return false;
    bool trace = false, parent = false; /* all zero is none */
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (layout[i] == '-' ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
        if (i >= 3 && i < 35) trace = trace || c != '0';
        if (i >= 36 && i < 52) parent = parent || c != '0';
    }
    return trace && parent;
}
