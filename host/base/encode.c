/* SPDX-License-Identifier: MIT */
#include "base/encode.h"

static const char STANDARD[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(pbay_str in, const char *alphabet, bool padded, struct pb_buf *out)
{
    const unsigned char *p = (const unsigned char *)in.p;
    char *to = pb_buf_room(out, in.n / 3 * 4 + 4);
    size_t n = 0;
    for (size_t i = 0; i < in.n; i += 3) {
        size_t left = in.n - i;
        uint32_t w =
            (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0);
        to[n++] = alphabet[w >> 18];
        to[n++] = alphabet[w >> 12 & 63];
        if (left > 1)
            to[n++] = alphabet[w >> 6 & 63];
        else if (padded)
            to[n++] = '=';
        if (left > 2)
            to[n++] = alphabet[w & 63];
        else if (padded)
            to[n++] = '=';
    }
    out->n += n;
}

void pb_base64_encode(pbay_str bytes, struct pb_buf *out)
{
    encode(bytes, STANDARD, true, out);
}

void pb_base64url_encode(pbay_str bytes, struct pb_buf *out)
{
    encode(bytes, URL, false, out);
}

/* 0..63, or -1. */
static int digit(unsigned char c, char c62, char c63)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == (unsigned char)c62) return 62;
    if (c == (unsigned char)c63) return 63;
    return -1;
}

/* Text without padding. */
static bool decode(pbay_str in, char c62, char c63, struct pb_buf *out)
{
    if (in.n % 4 == 1) return false;
    unsigned char *to = (unsigned char *)pb_buf_room(out, in.n / 4 * 3 + 3);
    size_t n = 0;
    uint32_t w = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < in.n; i++) {
        int d = digit((unsigned char)in.p[i], c62, c63);
        if (d < 0) return false;
        w = w << 6 | (uint32_t)d;
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        to[n++] = (unsigned char)(w >> bits);
        w &= (1u << bits) - 1;
    }
    if (w) return false;
    out->n += n;
    return true;
}

bool pb_base64_decode(pbay_str text, struct pb_buf *out)
{
    if (text.n % 4) return false;
    for (int i = 0; i < 2 && text.n && text.p[text.n - 1] == '='; i++) text.n--;
    return decode(text, '+', '/', out);
}

bool pb_base64url_decode(pbay_str text, struct pb_buf *out)
{
    return decode(text, '-', '_', out);
}

void pb_hex_encode(pbay_str bytes, struct pb_buf *out)
{
    char *to = pb_buf_room(out, bytes.n * 2);
    for (size_t i = 0; i < bytes.n; i++) {
        *to++ = "0123456789abcdef"[(unsigned char)bytes.p[i] >> 4];
        *to++ = "0123456789abcdef"[(unsigned char)bytes.p[i] & 15];
    }
    out->n += bytes.n * 2;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool pb_hex_decode(pbay_str text, struct pb_buf *out)
{
    if (text.n % 2) return false;
    char *to = pb_buf_room(out, text.n / 2);
    for (size_t i = 0; i < text.n; i += 2) {
        int hi = nibble(text.p[i]), lo = nibble(text.p[i + 1]);
        if (hi < 0 || lo < 0) return false;
        to[i / 2] = (char)(hi << 4 | lo);
    }
    out->n += text.n / 2;
    return true;
}
