/* SPDX-License-Identifier: MIT */
#include "data/wire.h"

const uint8_t *pb_wire_varint_slow(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
    uint64_t sum = 0;
    for (unsigned shift = 0; shift < 70 && p < end; shift += 7) {
        uint8_t c = *p++;
        /* Bits beyond 64 fall off, as every protobuf reader lets them. */
        sum |= (uint64_t)(c & 0x7f) << shift;
        if (c >= 0x80) continue;
        *v = sum;
        return p;
    }
    return NULL;
}

int pb_wire_next(const uint8_t **pp, const uint8_t *end, struct pb_wire_field *f)
{
    const uint8_t *p = *pp;
    if (p == end) return 0;
    uint64_t tag, len;
    if (!(p = pb_wire_varint(p, end, &tag)) || tag > UINT32_MAX || tag >> 3 == 0) return -1;
    f->tag = (uint32_t)tag;
    size_t left = (size_t)(end - p);
    switch (tag & 7) {
    case PB_WIRE_VARINT:
        if (!(p = pb_wire_varint(p, end, &f->value))) return -1;
        break;
    case PB_WIRE_I64:
        if (left < 8) return -1;
        memcpy(&f->value, p, 8);
        p += 8;
        break;
    case PB_WIRE_LEN:
        if (!(p = pb_wire_varint(p, end, &len)) || len > (size_t)(end - p)) return -1;
        f->bytes.p = (const char *)p;
        f->bytes.n = (size_t)len;
        p += len;
        break;
    case PB_WIRE_I32: {
        uint32_t v;
        if (left < 4) return -1;
        memcpy(&v, p, 4);
        f->value = v;
        p += 4;
        break;
    }
    default: return -1;
    }
    *pp = p;
    return 1;
}
