/* SPDX-License-Identifier: MIT */
#include "fold.h"

static uint32_t next_char(pbay_str *s)
{
    unsigned char c = (unsigned char)*s->p;
    unsigned n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    uint32_t v = n == 1 ? c : c & (0xffu >> (n + 1));
    if (n > s->n) n = (unsigned)s->n;
    for (unsigned i = 1; i < n; i++) v = v << 6 | ((unsigned char)s->p[i] & 0x3fu);
    s->p += n;
    s->n -= n;
    return v;
}

/* Simple case folding of the scripts that app names are written in (Unicode's CaseFolding.txt, status C). */
static uint32_t fold(uint32_t c)
{
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if (c >= 0xc0 && c <= 0xde && c != 0xd7) return c + 32;
    if ((c >= 0x100 && c <= 0x12f) || (c >= 0x132 && c <= 0x137) || (c >= 0x14a && c <= 0x177)) return c | 1;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e)) return c & 1 ? c + 1 : c;
    if (c == 0x178) return 0xff;
    if (c >= 0x391 && c <= 0x3ab && c != 0x3a2) return c + 32;
    if (c >= 0x410 && c <= 0x42f) return c + 32;
    return c >= 0x400 && c <= 0x40f ? c + 80 : c;
}

int fold_equal(pbay_str a, pbay_str b)
{
    while (a.n && b.n)
        if (fold(next_char(&a)) != fold(next_char(&b))) return 0;
    return !a.n && !b.n;
}
