/* SPDX-License-Identifier: MIT */
#include "data/json_scan.h"

#include <math.h>

#include "data/simd.h"

enum pb_scan pb_scan_bad(struct pb_scan_in *in, const char *at, const char *why)
{
    in->at = at;
    in->why = why;
    return PB_SCAN_BAD;
}

enum pb_scan pb_scan_more(struct pb_scan_in *in)
{
    return in->whole ? pb_scan_bad(in, in->end, "the text ends here, within a value") : PB_SCAN_MORE;
}

static int hex4(const char *p)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) return -1;
        v = v << 4 | d;
    }
    return v;
}

/* p stands on a backslash; *next is set behind the escape. */
static enum pb_scan escape(struct pb_scan_in *in, const char *p, const char **next)
{
    if (in->end - p < 2) return pb_scan_more(in);
    if (p[1] != 'u') {
        if (!p[1] || !strchr("\"\\/bfnrt", p[1]))
            return pb_scan_bad(in, p, "no such escape in a JSON string");
        *next = p + 2;
        return PB_SCAN_OK;
    }
    if (in->end - p < 6) return pb_scan_more(in);
    int u = hex4(p + 2);
    if (u < 0) return pb_scan_bad(in, p, "\\u wants four hexadecimal digits");
    *next = p + 6;
    if (u < 0xd800 || u > 0xdfff) return PB_SCAN_OK;
    if (u >= 0xdc00) return pb_scan_bad(in, p, "half of a surrogate pair");
    if (in->end - p < 12) {
        /* Is it wrong already? */
        if (in->end - p > 6 && p[6] != '\\') return pb_scan_bad(in, p, "half of a surrogate pair");
        return pb_scan_more(in);
    }
    int low = p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
    if (low < 0xdc00 || low > 0xdfff) return pb_scan_bad(in, p, "half of a surrogate pair");
    *next = p + 12;
    return PB_SCAN_OK;
}

enum pb_scan pb_scan_string(struct pb_scan_in *in, pbay_str *raw, bool *escaped)
{
    const char *start = in->p + 1, *p = start, *end = in->end;
    uint32_t any_high = 0, high, m;
    *escaped = false;
    for (;;) {
        while (end - p >= PB_LANES) {
            m = pb_lanes_json(p, &high);
            if (m) {
                unsigned i = (unsigned)__builtin_ctz(m);
                any_high |= high & ((UINT32_C(1) << i) - 1);
                p += i;
                goto special;
            }
            any_high |= high;
            p += PB_LANES;
        }
        while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20) any_high |= *p & 0x80, p++;
        if (p == end) return pb_scan_more(in);
    special:
        if (PB_LIKELY(*p == '"')) break;
        if (*p != '\\') return pb_scan_bad(in, p, "a control character in a string must be escaped");
        *escaped = true;
        enum pb_scan rc = escape(in, p, &p);
        if (rc != PB_SCAN_OK) return rc;
    }
    *raw = pb_str(start, (size_t)(p - start));
    if (PB_UNLIKELY(any_high) && !pb_utf8_valid(*raw))
        return pb_scan_bad(in, start, "the string is not valid UTF-8");
    in->p = p + 1;
    return PB_SCAN_OK;
}

enum pb_scan pb_scan_number(struct pb_scan_in *in, pbay_str *number)
{
    const char *p = in->p, *end = in->end;
    if (*p == '-') p++;
    if (p == end) return pb_scan_more(in);
    if (*p == '0')
        p++;
    else if (*p >= '1' && *p <= '9')
        while (p < end && *p >= '0' && *p <= '9') p++;
    else
        return pb_scan_bad(in, p, "a number wants a digit here");
    if (p < end && *p == '.') {
        const char *first = ++p;
        while (p < end && *p >= '0' && *p <= '9') p++;
        if (p == first && p < end) return pb_scan_bad(in, p, "a number wants a digit after the point");
        if (p == first) return pb_scan_more(in);
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        const char *first = p;
        while (p < end && *p >= '0' && *p <= '9') p++;
        if (p == first && p < end) return pb_scan_bad(in, p, "a number wants a digit in its exponent");
        if (p == first) return pb_scan_more(in);
    }
    if (p == end && !in->whole) return PB_SCAN_MORE;
    if (p < end && ((*p >= '0' && *p <= '9') || *p == '.'))
        return pb_scan_bad(in, p, "a number has no leading zero and one point");
    *number = pb_str(in->p, (size_t)(p - in->p));
    in->p = p;
    return PB_SCAN_OK;
}

static enum pb_scan literal(struct pb_scan_in *in, const char *word, size_t n)
{
    size_t left = (size_t)(in->end - in->p), cut = left < n ? left : n;
    if (memcmp(in->p, word, cut) != 0) return pb_scan_bad(in, in->p, "expected a JSON value");
    if (left < n) return pb_scan_more(in);
    in->p += n;
    return PB_SCAN_OK;
}

static enum pb_scan scalar(struct pb_scan_in *in)
{
    pbay_str s;
    bool escaped;
    switch (*in->p) {
    case '"': return pb_scan_string(in, &s, &escaped);
    case 't': return literal(in, "true", 4);
    case 'f': return literal(in, "false", 5);
    case 'n': return literal(in, "null", 4);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': return pb_scan_number(in, &s);
    default: return pb_scan_bad(in, in->p, "expected a JSON value");
    }
}

/* A member's name and its colon. */
static enum pb_scan member(struct pb_scan_in *in)
{
    pbay_str s;
    bool escaped;
    pb_scan_space(in);
    if (in->p == in->end) return pb_scan_more(in);
    if (*in->p != '"') return pb_scan_bad(in, in->p, "expected the name of a member in quotes");
    enum pb_scan rc = pb_scan_string(in, &s, &escaped);
    if (rc != PB_SCAN_OK) return rc;
    pb_scan_space(in);
    if (in->p == in->end) return pb_scan_more(in);
    if (*in->p != ':') return pb_scan_bad(in, in->p, "expected ':'");
    in->p++;
    return PB_SCAN_OK;
}

static enum pb_scan nested(struct pb_scan_in *in, uint32_t limit)
{
    uint64_t is_object[PB_JSON_DEPTH_MAX / 64]; /* one bit a level */
    uint32_t depth = 0;
    enum pb_scan rc;
    if (limit > PB_JSON_DEPTH_MAX) limit = PB_JSON_DEPTH_MAX;
    for (;;) {
        /* A value. */
        pb_scan_space(in);
        if (in->p == in->end) return pb_scan_more(in);
        char c = *in->p;
        if (c == '{' || c == '[') {
            if (depth == limit) return pb_scan_bad(in, in->p, "nested too deeply");
            uint64_t bit = UINT64_C(1) << depth % 64, *word = &is_object[depth / 64];
            if (depth % 64 == 0) *word = 0;
            *word = c == '{' ? *word | bit : *word & ~bit;
            depth++;
            in->p++;
            pb_scan_space(in);
            if (in->p == in->end) return pb_scan_more(in);
            if (*in->p != (c == '{' ? '}' : ']')) {
                if (c == '{' && (rc = member(in)) != PB_SCAN_OK) return rc;
                continue;
            }
            in->p++;
            depth--;
        } else if ((rc = scalar(in)) != PB_SCAN_OK)
            return rc;

        /* What follows it. */
        for (;; in->p++, depth--) {
            if (!depth) return PB_SCAN_OK;
            bool object = is_object[(depth - 1) / 64] >> (depth - 1) % 64 & 1;
            pb_scan_space(in);
            if (in->p == in->end) return pb_scan_more(in);
            if (*in->p == ',') {
                in->p++;
                if (object && (rc = member(in)) != PB_SCAN_OK) return rc;
                break;
            }
            if (*in->p != (object ? '}' : ']'))
                return pb_scan_bad(in, in->p, object ? "expected ',' or '}'" : "expected ',' or ']'");
        }
    }
}

enum pb_scan pb_scan_value(struct pb_scan_in *in, uint32_t depth, pbay_str *value)
{
    pb_scan_space(in);
    if (in->p == in->end) return pb_scan_more(in);
    const char *start = in->p;
    enum pb_scan rc = *start == '{' || *start == '[' ? nested(in, depth) : scalar(in);
    if (rc == PB_SCAN_OK)
        *value = pb_str(start, (size_t)(in->p - start));
    else
        in->p = start;
    return rc;
}

static size_t put_utf8(char *out, uint32_t u)
{
    if (u < 0x80) {
        out[0] = (char)u;
        return 1;
    }
    if (u < 0x800) {
        out[0] = (char)(0xc0 | u >> 6);
        out[1] = (char)(0x80 | (u & 0x3f));
        return 2;
    }
    if (u < 0x10000) {
        out[0] = (char)(0xe0 | u >> 12);
        out[1] = (char)(0x80 | (u >> 6 & 0x3f));
        out[2] = (char)(0x80 | (u & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | u >> 18);
    out[1] = (char)(0x80 | (u >> 12 & 0x3f));
    out[2] = (char)(0x80 | (u >> 6 & 0x3f));
    out[3] = (char)(0x80 | (u & 0x3f));
    return 4;
}

size_t pb_json_unescape(pbay_str raw, char *out)
{
    const char *p = raw.p, *end = p + raw.n;
    char *o = out;
    while (p < end) {
        const char *bs = memchr(p, '\\', (size_t)(end - p));
        size_t plain = (size_t)((bs ? bs : end) - p);
        if (plain) memmove(o, p, plain);
        o += plain;
        if (!bs) break;
        p = bs + 2;
        switch (bs[1]) {
        case 'b': *o++ = '\b'; break;
        case 'f': *o++ = '\f'; break;
        case 'n': *o++ = '\n'; break;
        case 'r': *o++ = '\r'; break;
        case 't': *o++ = '\t'; break;
        case 'u': {
            uint32_t u = (uint32_t)hex4(p);
            p += 4;
            if (u >= 0xd800 && u <= 0xdbff) {
                u = 0x10000 + ((u - 0xd800) << 10) + ((uint32_t)hex4(p + 2) - 0xdc00);
                p += 6;
            }
            o += put_utf8(o, u);
            break;
        }
        default: *o++ = bs[1];
        }
    }
    return (size_t)(o - out);
}

/* ------------------------------------------------------------------------------------------------ whole
 * texts */

int pb_json_skip(pbay_str text, size_t *pos, uint32_t depth, struct pb_err *err)
{
    struct pb_scan_in in = {.p = text.p + *pos, .end = text.p + text.n, .whole = true};
    pbay_str value;
    if (pb_scan_value(&in, depth ? depth : PB_JSON_DEPTH, &value) != PB_SCAN_OK)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "JSON, offset %zu: %s", (size_t)(in.at - text.p), in.why);
    *pos = (size_t)(in.p - text.p);
    return 0;
}

bool pb_json_valid(pbay_str text, uint32_t depth)
{
    struct pb_scan_in in = {.p = text.p, .end = text.p + text.n, .whole = true};
    pbay_str value;
    if (!text.n || pb_scan_value(&in, depth ? depth : PB_JSON_DEPTH, &value) != PB_SCAN_OK) return false;
    pb_scan_space(&in);
    return in.p == in.end;
}

bool pb_json_number(pbay_str number, double *out)
{
    /*
     * Up to 19 digits make an exact integer; when that and the power of ten are exact as doubles, one
     * multiplication or division rounds once and so rightly. The rest is strtod's.
     */
    static const double pow10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char *p = number.p, *end = p + number.n;
    bool neg = *p == '-';
    p += neg;
    uint64_t v = 0;
    int exp10 = 0;
    if (PB_LIKELY(end - p <= 19)) {
        for (; p < end && *p >= '0' && *p <= '9'; p++) v = v * 10 + (uint64_t)(*p - '0');
        if (p < end && *p == '.')
            for (p++; p < end && *p >= '0' && *p <= '9'; p++, exp10--) v = v * 10 + (uint64_t)(*p - '0');
        if (p == end && v <= UINT64_C(1) << 53 && exp10 >= -22) {
            double d = (double)v;
            if (exp10) d /= pow10[-exp10];
            *out = neg ? -d : d;
            return true;
        }
    }
    return pb_parse_f64(number, out) && isfinite(*out);
}

/* Text that is a decimal number: JSON's, and what people write besides (+1, .5, 1.). */
static bool plain_number(pbay_str s, double *out)
{
    s = pb_str_trim(s);
    if (!s.n) return false;
    char c = s.p[s.p[0] == '-' || s.p[0] == '+' ? (s.n > 1) : 0];
    return ((c >= '0' && c <= '9') || c == '.') && pb_parse_f64(s, out) && isfinite(*out);
}

bool pb_json_to_num(pbay_str text, double *out)
{
    if (!text.n || text.p[0] != '"') return plain_number(text, out);
    struct pb_scan_in in = {.p = text.p, .end = text.p + text.n, .whole = true};
    pbay_str raw;
    bool escaped;
    if (pb_scan_string(&in, &raw, &escaped) != PB_SCAN_OK || in.p != in.end) return false;
    if (!escaped) return plain_number(raw, out);
    char few[256];
    return raw.n <= sizeof few && plain_number(pb_str(few, pb_json_unescape(raw, few)), out);
}

pbay_str pb_json_text(pbay_str json, struct pb_buf *scratch)
{
    if (!json.n || json.p[0] != '"') return json;
    struct pb_scan_in in = {.p = json.p, .end = json.p + json.n, .whole = true};
    pbay_str raw;
    bool escaped;
    if (pb_scan_string(&in, &raw, &escaped) != PB_SCAN_OK || in.p != in.end) return json;
    if (!escaped) return raw;
    scratch->n = 0;
    char *out = pb_buf_room(scratch, raw.n);
    return pb_str(out, pb_json_unescape(raw, out));
}
