/* SPDX-License-Identifier: MIT */
#include "base64.h"

#include <string.h>

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(pbay_str in, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i += 3) {
        size_t left = in.n - i;
        uint32_t v = (uint32_t)(uint8_t)in.p[i] << 16;
        if (left > 1) v |= (uint32_t)(uint8_t)in.p[i + 1] << 8;
        if (left > 2) v |= (uint32_t)(uint8_t)in.p[i + 2];
        out[n++] = ALPHABET[v >> 18];
        out[n++] = ALPHABET[v >> 12 & 63];
        out[n++] = left > 1 ? ALPHABET[v >> 6 & 63] : '=';
        out[n++] = left > 2 ? ALPHABET[v & 63] : '=';
    }
    return n;
}

ptrdiff_t base64_decode(pbay_str in, char *out)
{
    size_t n = 0;
    if (in.n % 4) return -1;
    for (size_t i = 0; i < in.n; i += 4) {
        uint32_t v = 0;
        size_t pad = 0;
        for (size_t k = 0; k < 4; k++) {
            char c = in.p[i + k];
            const char *at = c ? strchr(ALPHABET, c) : NULL;
            if (c == '=' && i + 4 == in.n && k >= 2)
                pad++;
            else if (!at || pad)
                return -1;
            v = v << 6 | (at ? (uint32_t)(at - ALPHABET) : 0);
        }
        out[n++] = (char)(v >> 16);
        if (pad < 2) out[n++] = (char)(v >> 8 & 255);
        if (pad < 1) out[n++] = (char)(v & 255);
    }
    return (ptrdiff_t)n;
}
