/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "thrift.h"

static void be32(unsigned char out[4], uint32_t v)
{
    out[0] = (unsigned char)(v >> 24);
    out[1] = (unsigned char)(v >> 16);
    out[2] = (unsigned char)(v >> 8);
    out[3] = (unsigned char)v;
}

static void put(pbay_text *t, const unsigned char *p, size_t n)
{
    pbay_text_add(t, (pbay_str){(const char *)p, n});
}

thrift_mark thrift_begin(pbay_text *t, enum thrift_kind kind, const char *method, int32_t seqid)
{
    const thrift_mark begun = t->n;
    const unsigned char version[4] = {0x80, 0x01, 0, (unsigned char)kind};
    thrift_i32(t, 0);
    put(t, version, sizeof version);
    thrift_str(t, (pbay_str){method, strlen(method)});
    thrift_i32(t, seqid);
    return begun;
}

int thrift_end(pbay_text *t, thrift_mark begun)
{
    const size_t n = t->n - begun - THRIFT_HEAD;
    if (n > THRIFT_FRAME_MAX) {
        t->n = begun;
        return -1;
    }
    be32((unsigned char *)t->p + begun, (uint32_t)n);
    return 0;
}

void thrift_field(pbay_text *t, enum thrift_type type, int16_t id)
{
    const uint16_t u = (uint16_t)id;
    const unsigned char head[3] = {(unsigned char)type, (unsigned char)(u >> 8), (unsigned char)u};
    put(t, head, sizeof head);
}

static void byte(pbay_text *t, unsigned v)
{
    const unsigned char c = (unsigned char)v;
    put(t, &c, 1);
}

void thrift_stop(pbay_text *t)
{
    byte(t, THRIFT_STOP);
}

void thrift_bool(pbay_text *t, bool v)
{
    byte(t, v);
}

void thrift_i32(pbay_text *t, int32_t v)
{
    unsigned char b[4];
    be32(b, (uint32_t)v);
    put(t, b, sizeof b);
}

void thrift_double(pbay_text *t, double v)
{
    uint64_t bits;
    unsigned char b[8];
    memcpy(&bits, &v, sizeof bits);
    be32(b, (uint32_t)(bits >> 32));
    be32(b + 4, (uint32_t)bits);
    put(t, b, sizeof b);
}

void thrift_str(pbay_text *t, pbay_str s)
{
    thrift_i32(t, s.n > INT32_MAX ? INT32_MAX : (int32_t)s.n);
    pbay_text_add(t, s);
}

void thrift_list(pbay_text *t, enum thrift_type element, uint32_t n)
{
    byte(t, element);
    thrift_i32(t, (int32_t)n);
}

void thrift_map(pbay_text *t, enum thrift_type key, enum thrift_type value, uint32_t n)
{
    byte(t, key);
    byte(t, value);
    thrift_i32(t, (int32_t)n);
}

void thrift_field_bool(pbay_text *t, int16_t id, bool v)
{
    thrift_field(t, THRIFT_BOOL, id);
    thrift_bool(t, v);
}

void thrift_field_i32(pbay_text *t, int16_t id, int32_t v)
{
    thrift_field(t, THRIFT_I32, id);
    thrift_i32(t, v);
}

void thrift_field_double(pbay_text *t, int16_t id, double v)
{
    thrift_field(t, THRIFT_DOUBLE, id);
    thrift_double(t, v);
}

void thrift_field_str(pbay_text *t, int16_t id, pbay_str s)
{
    thrift_field(t, THRIFT_STRING, id);
    thrift_str(t, s);
}
