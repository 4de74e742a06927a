/* SPDX-License-Identifier: MIT */
/* Metadata codings of gRPC: base64 of -bin values, timeouts, percent-encoded messages, what names may hold.
 */
#include "net/grpc.h"

#include <string.h>

static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum { NO_SEXTET = 0x80 };

#define TIMES_16(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x
#define NONE_16     TIMES_16(NO_SEXTET)
/* The inverse of abc. */
static const unsigned char sextets[256] = {
    NONE_16, NONE_16,
    /* clang-format off */
    128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,  62, 128, 128, 128,  63,
     52,  53,  54,  55,  56,  57,  58,  59,  60,  61, 128, 128, 128, 128, 128, 128,
    128,   0,   1,   2,   3,   4,   5,   6,   7,   8,   9,  10,  11,  12,  13,  14,
     15,  16,  17,  18,  19,  20,  21,  22,  23,  24,  25, 128, 128, 128, 128, 128,
    128,  26,  27,  28,  29,  30,  31,  32,  33,  34,  35,  36,  37,  38,  39,  40,
     41,  42,  43,  44,  45,  46,  47,  48,  49,  50,  51, 128, 128, 128, 128, 128,
    /* clang-format on */
    NONE_16, NONE_16, NONE_16, NONE_16, NONE_16, NONE_16, NONE_16, NONE_16};

bool pb_grpc_base64_decode(pbay_str in, struct pb_buf *out)
{
    size_t n = in.n;
    if (n && n % 4 == 0 && in.p[n - 1] == '=') n -= in.p[n - 2] == '=' ? 2 : 1;
    if (n % 4 == 1) return false;
    char *at = pb_buf_room(out, n / 4 * 3 + 3), *start = at;
    const unsigned char *p = (const unsigned char *)in.p;
    uint32_t word = 0, bad = 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        uint32_t a = sextets[p[i]], b = sextets[p[i + 1]], c = sextets[p[i + 2]], d = sextets[p[i + 3]];
        bad |= a | b | c | d;
        word = a << 18 | b << 12 | c << 6 | d;
        *at++ = (char)(word >> 16);
        *at++ = (char)(word >> 8);
        *at++ = (char)word;
    }
    for (; i < n; i++) {
        bad |= sextets[p[i]];
        word = word << 6 | sextets[p[i]];
    }
    if (bad & NO_SEXTET) return false;
    /* Bits beyond the last byte are not looked at: senders exist that leave them set. */
    if (n % 4 == 2) {
        *at++ = (char)(word >> 4);
    } else if (n % 4 == 3) {
        *at++ = (char)(word >> 10);
        *at++ = (char)(word >> 2);
    }
    out->n += (size_t)(at - start);
    return true;
}

void pb_grpc_base64_encode(pbay_str in, struct pb_buf *out)
{
    char *at = pb_buf_room(out, in.n / 3 * 4 + 4), *start = at;
    const unsigned char *p = (const unsigned char *)in.p;
    size_t i = 0;
    for (; i + 3 <= in.n; i += 3) {
        uint32_t w = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
        *at++ = abc[w >> 18];
        *at++ = abc[w >> 12 & 63];
        *at++ = abc[w >> 6 & 63];
        *at++ = abc[w & 63];
    }
    if (in.n - i == 1) {
        *at++ = abc[p[i] >> 2];
        *at++ = abc[(p[i] & 3) << 4];
    } else if (in.n - i == 2) {
        *at++ = abc[p[i] >> 2];
        *at++ = abc[(p[i] & 3) << 4 | p[i + 1] >> 4];
        *at++ = abc[(p[i + 1] & 15) << 2];
    }
    out->n += (size_t)(at - start);
}

bool pb_grpc_timeout_parse(pbay_str s, int64_t *ns)
{
    if (s.n < 2 || s.n > 9) return false; /* one to eight digits and a unit */
    int64_t v = 0;
    for (size_t i = 0; i + 1 < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        v = v * 10 + (s.p[i] - '0');
    }
    int64_t unit;
    switch (s.p[s.n - 1]) {
    case 'H': unit = INT64_C(3600000000000); break;
    case 'M': unit = INT64_C(60000000000); break;
    case 'S': unit = INT64_C(1000000000); break;
    case 'm': unit = 1000000; break;
    case 'u': unit = 1000; break;
    case 'n': unit = 1; break;
    default: return false;
    }
    if (__builtin_mul_overflow(v, unit, ns)) *ns = INT64_MAX;
    return true;
}

static const char hex[] = "0123456789ABCDEF";

static void percent(unsigned char c, struct pb_buf *out)
{
    const char e[3] = {'%', hex[c >> 4], hex[c & 15]};
    pb_buf_add(out, e, 3);
}

void pb_grpc_percent_encode(pbay_str text, struct pb_buf *out)
{
    enum { MAX_TEXT = 1024 };
    size_t end = text.n > MAX_TEXT ? pb_utf8_floor(text, MAX_TEXT) : text.n;
    for (size_t i = 0; i < end;) {
        unsigned char c = (unsigned char)text.p[i];
        if (c < 0x80) {
            if (c >= 0x20 && c <= 0x7e && c != '%')
                pb_buf_ch(out, (char)c);
            else
                percent(c, out);
            i++;
            continue;
        }
        size_t k = 2;
        while (k <= 4 && i + k <= end && !pb_utf8_valid(pb_str(text.p + i, k))) k++;
        if (k > 4 || i + k > end) {
            pb_buf_c(out, "%EF%BF%BD");
            i++;
            continue;
        }
        for (; k; k--) percent((unsigned char)text.p[i++], out);
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

void pb_grpc_percent_decode(pbay_str s, struct pb_buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        int hi, lo;
        if (s.p[i] == '%' && i + 2 < s.n && (hi = hex_value(s.p[i + 1])) >= 0 &&
            (lo = hex_value(s.p[i + 2])) >= 0) {
            pb_buf_ch(out, (char)(hi << 4 | lo));
            i += 2;
        } else {
            pb_buf_ch(out, s.p[i]);
        }
    }
}

bool pb_grpc_content_type_ok(pbay_str s)
{
    if (!pb_str_starts(s, PB_STR("application/grpc"))) return false;
    pbay_str rest = pb_str(s.p + 16, s.n - 16);
    if (pb_str_starts(rest, PB_STR("+proto"))) rest = pb_str(rest.p + 6, rest.n - 6);
    rest = pb_str_trim(rest);
    return !rest.n || rest.p[0] == ';';
}

bool pb_grpc_key_ok(pbay_str name)
{
    if (!name.n || name.n > 256 || pb_str_starts(name, PB_STR("grpc-"))) return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'))
            return false;
    }
    return true;
}

bool pb_grpc_value_ok(pbay_str value)
{
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] < 0x20 || value.p[i] > 0x7e) return false;
    return true;
}
