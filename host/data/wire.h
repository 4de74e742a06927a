/* SPDX-License-Identifier: MIT */
/*
 * Protobuf's wire format, read and written by hand: varints, tags, lengths
 * (https://protobuf.dev/programming-guides/encoding/). For messages whose every byte counts; inline for that
 * reason.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <patchbay/types.h>

#include "base/attr.h"

enum { PB_WIRE_VARINT = 0, PB_WIRE_I64 = 1, PB_WIRE_LEN = 2, PB_WIRE_I32 = 5 };
#define PB_WIRE_TAG(field, type) ((uint32_t)(field) << 3 | (type))

/* One field of a message. */
struct pb_wire_field {
    uint32_t tag;   /* PB_WIRE_TAG */
    uint64_t value; /* VARINT, I64, I32 */
    pbay_str bytes; /* LEN; borrows from the message */
};

/* After the varint, or NULL: cut short, or longer than ten bytes. */
const uint8_t *pb_wire_varint_slow(const uint8_t *p, const uint8_t *end, uint64_t *v);
/*
 * Read one field of any type off the front. 1: done, 0: the message is at its end, -1: not protobuf (a length
 * beyond the end, field number 0, a group).
 */
int pb_wire_next(const uint8_t **p, const uint8_t *end, struct pb_wire_field *f);

static inline const uint8_t *pb_wire_varint(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
    if (PB_LIKELY(p < end && *p < 0x80)) {
        *v = *p;
        return p + 1;
    }
    return pb_wire_varint_slow(p, end, v);
}

static inline size_t pb_wire_varint_size(uint64_t v)
{
    /* Seven bits a byte: 1 + floor(log2(v | 1)) / 7, as a multiplication. */
    return (size_t)(((63 ^ __builtin_clzll(v | 1)) * 9 + 73) / 64);
}

/* Room for ten bytes is the caller's business; returns where to go on. */
static inline char *pb_wire_put_varint(char *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) *p++ = (char)(v | 0x80);
    *p++ = (char)v;
    return p;
}
