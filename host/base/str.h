/* SPDX-License-Identifier: MIT */
/* Strings by pointer and length (pbay_str), UTF-8, numbers and escapes. Threads: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <patchbay/types.h>

static inline pbay_str pb_str(const char *p, size_t n)
{
    pbay_str s = {p, n};
    return s;
}

/* Of a NUL-terminated string; NULL is empty. */
static inline pbay_str pb_str_c(const char *s)
{
    return pb_str(s, s ? strlen(s) : 0);
}

/* Of a literal. */
#define PB_STR(lit) ((pbay_str){(lit), sizeof(lit) - 1})

/* For "%.*s". */
#define PB_FMT(s) (int)((s).n > 0x7fffffff ? 0x7fffffff : (s).n), ((s).p ? (s).p : "")

static inline bool pb_str_eq(pbay_str a, pbay_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool pb_str_is(pbay_str a, const char *lit)
{
    return pb_str_eq(a, pb_str_c(lit));
}

/* ASCII letters compare alike in both cases. */
bool pb_str_ieq(pbay_str a, pbay_str b);
bool pb_str_starts(pbay_str s, pbay_str prefix);
bool pb_str_ends(pbay_str s, pbay_str suffix);
/* -1, 0, 1 in byte order. */
int pb_str_cmp(pbay_str a, pbay_str b);
/* Without leading and trailing blanks, tabs, CR and LF. */
pbay_str pb_str_trim(pbay_str s);
/* Position of a byte, or s.n. */
size_t pb_str_chr(pbay_str s, char c);
/* Cut the next field off the front of *rest, up to sep or the end. False when *rest is exhausted (p NULL). */
bool pb_str_split(pbay_str *rest, char sep, pbay_str *field);

/* Is it valid UTF-8 (RFC 3629: shortest form, no surrogates, up to U+10FFFF)? */
bool pb_utf8_valid(pbay_str s);
/* The greatest n' <= n at which s can be cut without splitting a character. */
size_t pb_utf8_floor(pbay_str s, size_t n);

/* Whole text as a number. False: not one, or out of range. Decimal only; dbl takes what strtod does, C
 * locale, no hex. */
bool pb_parse_i64(pbay_str s, int64_t *out);
bool pb_parse_u64(pbay_str s, uint64_t *out);
bool pb_parse_f64(pbay_str s, double *out);

/* Shortest decimal that reads back as v; integers up to 2^53 without exponent; "nan", "inf", "-inf". Returns
 * length. */
enum { PB_F64_MAX = 32 };
size_t pb_format_f64(double v, char out[PB_F64_MAX]);
size_t pb_format_i64(int64_t v, char out[PB_F64_MAX]);

/* The nearest of n names within an edit distance that a typing error explains, or NULL: "did you mean". */
const char *pb_nearest(pbay_str word, const char *const *names, size_t n);
/* Is it a traceparent (https://www.w3.org/TR/trace-context/#traceparent-header) of a known layout? */
bool pb_traceparent_is(pbay_str s);
