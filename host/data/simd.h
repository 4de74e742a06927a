/* SPDX-License-Identifier: MIT */
/*
 * Sixteen bytes at a time: which of them are one of a few? Through the compilers' vector types, so that there
 * is one text for every machine; where movemask is not one instruction, eight bytes in a word.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#define PB_LANES 16
typedef unsigned char pb_v16 __attribute__((vector_size(16)));
typedef char pb_c16 __attribute__((vector_size(16)));

static inline pb_v16 pb_v16_load(const char *p)
{
    pb_v16 v;
    memcpy(&v, p, 16);
    return v;
}

static inline uint32_t pb_v16_mask(pb_v16 v)
{
    return (uint32_t)__builtin_ia32_pmovmskb128((pb_c16)v);
}

static inline pb_v16 pb_v16_all(unsigned char c)
{
    return (pb_v16){c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c};
}

/* Bit i: byte i ends a run of plain characters of a JSON string. *high: bit i: byte i is not ASCII. */
static inline uint32_t pb_lanes_json(const char *p, uint32_t *high)
{
    pb_v16 v = pb_v16_load(p);
    *high = pb_v16_mask(v);
    return pb_v16_mask((pb_v16)(v == pb_v16_all('"')) | (pb_v16)(v == pb_v16_all('\\')) |
                       (pb_v16)(v < pb_v16_all(0x20)));
}

/* Bit i: byte i is a, b, CR or LF. */
static inline uint32_t pb_lanes_csv(const char *p, char a, char b, uint32_t *high)
{
    pb_v16 v = pb_v16_load(p);
    *high = pb_v16_mask(v);
    return pb_v16_mask((pb_v16)(v == pb_v16_all((unsigned char)a)) |
                       (pb_v16)(v == pb_v16_all((unsigned char)b)) | (pb_v16)(v == pb_v16_all('\r')) |
                       (pb_v16)(v == pb_v16_all('\n')));
}
#else
#define PB_LANES 8

static inline uint32_t pb_lanes_gather(uint64_t high_bits)
{
    return (uint32_t)((high_bits >> 7) * UINT64_C(0x0102040810204080) >> 56);
}

static inline uint64_t pb_lanes_eq(uint64_t v, unsigned char c)
{
    uint64_t x = v ^ c * UINT64_C(0x0101010101010101);
    /* Exact for every byte: no carry passes from one to the next. */
    return ~(((x & UINT64_C(0x7f7f7f7f7f7f7f7f)) + UINT64_C(0x7f7f7f7f7f7f7f7f)) | x) &
           UINT64_C(0x8080808080808080);
}

static inline uint64_t pb_lanes_load(const char *p)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++) v |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return v;
}

static inline uint32_t pb_lanes_json(const char *p, uint32_t *high)
{
    uint64_t v = pb_lanes_load(p), top = UINT64_C(0x8080808080808080);
    uint64_t control = ~((v & ~top) + UINT64_C(0x6060606060606060)) & ~v & top;
    *high = pb_lanes_gather(v & top);
    return pb_lanes_gather(pb_lanes_eq(v, '"') | pb_lanes_eq(v, '\\') | control);
}

static inline uint32_t pb_lanes_csv(const char *p, char a, char b, uint32_t *high)
{
    uint64_t v = pb_lanes_load(p);
    *high = pb_lanes_gather(v & UINT64_C(0x8080808080808080));
    return pb_lanes_gather(pb_lanes_eq(v, (unsigned char)a) | pb_lanes_eq(v, (unsigned char)b) |
                           pb_lanes_eq(v, '\r') | pb_lanes_eq(v, '\n'));
}
#endif
