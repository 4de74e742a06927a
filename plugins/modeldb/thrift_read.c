/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "thrift.h"

const char *thrift_fault_name(enum thrift_fault fault)
{
    switch (fault) {
    case THRIFT_SHORT: return "short";
    case THRIFT_LENGTH: return "length";
    case THRIFT_FOREIGN: return "foreign";
    case THRIFT_MALFORMED: return "malformed";
    case THRIFT_TOO_DEEP: return "depth";
    case THRIFT_FINE: break;
    }
    return "none";
}

static uint32_t u32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ------------------------------------------------------------------------------------------------- frames */

/* The bytes a person should see: printable ones as they are, others as dots. */
static void glimpse(const unsigned char *p, size_t n, char out[20])
{
    size_t k = n < 19 ? n : 19;
    for (size_t i = 0; i < k; i++) out[i] = (char)(p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' ? p[i] : '.');
    out[k] = 0;
}

int thrift_frame(pbay_str came, pbay_str *frame, size_t *more, enum thrift_fault *fault, char why[THRIFT_WHY])
{
    const unsigned char *p = (const unsigned char *)came.p;
    if (came.n < THRIFT_HEAD) {
        *more = THRIFT_HEAD - came.n;
        return 0;
    }
    const uint32_t n = u32(p);
    /* Said about the 4 bytes alone, so that nothing more is waited for. */
    if (p[0] == 0x80 && p[1] == 0x01) {
        *fault = THRIFT_FOREIGN;
        snprintf(why, THRIFT_WHY,
                 "the answer is Thrift without frames (it begins with %08x); the server must use "
                 "TFramedTransport",
                 (unsigned)n);
        return -1;
    }
    if (p[0] >= 0x20 && p[0] < 0x7f && p[1] >= 0x20 && p[1] < 0x7f) {
        char text[20];
        glimpse(p, came.n, text);
        *fault = THRIFT_FOREIGN;
        snprintf(why, THRIFT_WHY,
                 "the answer is text (\"%s\"), not a Thrift frame; is this the port of ModelDB's "
                 "Thrift server?",
                 text);
        return -1;
    }
    if (n > THRIFT_FRAME_MAX || n == 0) {
        *fault = THRIFT_LENGTH;
        snprintf(why, THRIFT_WHY, "the answer announces a frame of %ld bytes; 1 to %d are possible",
                 (long)(int32_t)n, THRIFT_FRAME_MAX);
        return -1;
    }
    if (came.n - THRIFT_HEAD < n) {
        *more = n - (came.n - THRIFT_HEAD);
        return 0;
    }
    *frame = (pbay_str){came.p + THRIFT_HEAD, n};
    return 1;
}

/* ------------------------------------------------------------------------------------------------- values */

void thrift_in_init(thrift_in *in, pbay_str frame)
{
    *in = (thrift_in){.p = (const unsigned char *)frame.p, .left = frame.n, .size = frame.n};
}

void thrift_in_fail(thrift_in *in, enum thrift_fault fault, const char *fmt, ...)
{
    va_list ap;
    if (in->fault) return;
    in->fault = fault;
    va_start(ap, fmt);
    int n = vsnprintf(in->why, sizeof in->why, fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n < sizeof in->why)
        snprintf(in->why + n, sizeof in->why - (size_t)n, " (byte %zu of %zu)", in->size - in->left,
                 in->size);
    in->left = 0;
}

static const unsigned char *take(thrift_in *in, size_t n)
{
    static const unsigned char none[8];
    if (in->fault) return none;
    if (in->left < n) {
        thrift_in_fail(in, THRIFT_SHORT, "the frame ends within a value of %zu bytes", n);
        return none;
    }
    const unsigned char *p = in->p;
    in->p += n;
    in->left -= n;
    return p;
}

/* The fewest bytes that a value of the type has; 0: there is no such type. */
static size_t least(unsigned type)
{
    switch (type) {
    case THRIFT_BOOL:
    case THRIFT_BYTE:
    case THRIFT_STRUCT: return 1;
    case THRIFT_I16: return 2;
    case THRIFT_I32:
    case THRIFT_STRING: return 4;
    case THRIFT_LIST:
    case THRIFT_SET: return 5;
    case THRIFT_MAP: return 6;
    case THRIFT_DOUBLE:
    case THRIFT_I64: return 8;
    default: return 0;
    }
}

bool thrift_in_bool(thrift_in *in)
{
    return *take(in, 1) != 0;
}

int32_t thrift_in_i32(thrift_in *in)
{
    return (int32_t)u32(take(in, 4));
}

double thrift_in_double(thrift_in *in)
{
    const unsigned char *p = take(in, 8);
    const uint64_t bits = (uint64_t)u32(p) << 32 | u32(p + 4);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

pbay_str thrift_in_str(thrift_in *in)
{
    const int32_t n = thrift_in_i32(in);
    if (in->fault) return (pbay_str){"", 0};
    if (n < 0 || (size_t)n > in->left) {
        thrift_in_fail(in, THRIFT_LENGTH, "a text of %ld bytes where %zu are left", (long)n, in->left);
        return (pbay_str){"", 0};
    }
    return (pbay_str){(const char *)take(in, (size_t)n), (size_t)n};
}

static uint32_t count(thrift_in *in, size_t each, const char *what)
{
    const int32_t n = thrift_in_i32(in);
    if (in->fault) return 0;
    if (n < 0 || (n && !each) || (size_t)n > in->left / (each ? each : 1)) {
        thrift_in_fail(in, THRIFT_LENGTH, "a %s of %ld elements where %zu bytes are left", what, (long)n,
                       in->left);
        return 0;
    }
    return (uint32_t)n;
}

static enum thrift_type type_of(thrift_in *in, unsigned raw, uint32_t n)
{
    if (n && !least(raw))
        thrift_in_fail(in, THRIFT_MALFORMED, "a container of type %u, which does not exist", raw);
    return (enum thrift_type)raw;
}

uint32_t thrift_in_list(thrift_in *in, enum thrift_type *element)
{
    const unsigned raw = *take(in, 1);
    /* The type is judged after the count: that of an empty list means nothing. */
    const uint32_t n = count(in, least(raw) ? least(raw) : 1, "list");
    *element = type_of(in, raw, n);
    return in->fault ? 0 : n;
}

uint32_t thrift_in_map(thrift_in *in, enum thrift_type *key, enum thrift_type *value)
{
    const unsigned char *raw = take(in, 2);
    const unsigned k = raw[0], v = raw[1];
    const size_t each = least(k) + least(v);
    const uint32_t n = count(in, each ? each : 1, "map");
    *key = type_of(in, k, n);
    *value = type_of(in, v, n);
    return in->fault ? 0 : n;
}

bool thrift_in_field(thrift_in *in, enum thrift_type *type, int16_t *id)
{
    const unsigned raw = *take(in, 1);
    if (in->fault || raw == THRIFT_STOP) return false;
    if (!least(raw)) {
        thrift_in_fail(in, THRIFT_MALFORMED, "a field of type %u, which does not exist", raw);
        return false;
    }
    const unsigned char *p = take(in, 2);
    *type = (enum thrift_type)raw;
    *id = (int16_t)(uint16_t)(p[0] << 8 | p[1]);
    return !in->fault;
}

static void skip(thrift_in *in, enum thrift_type type, unsigned depth)
{
    enum thrift_type a, b;
    int16_t id;
    uint32_t n;
    if (depth > THRIFT_DEPTH) {
        thrift_in_fail(in, THRIFT_TOO_DEEP, "more than %d structs and containers inside each other",
                       THRIFT_DEPTH);
        return;
    }
    switch (type) {
    case THRIFT_STRING: thrift_in_str(in); break;
    case THRIFT_STRUCT:
        while (thrift_in_field(in, &a, &id)) skip(in, a, depth + 1);
        break;
    case THRIFT_LIST:
    case THRIFT_SET:
        n = thrift_in_list(in, &a);
        for (uint32_t i = 0; i < n && !in->fault; i++) skip(in, a, depth + 1);
        break;
    case THRIFT_MAP:
        n = thrift_in_map(in, &a, &b);
        for (uint32_t i = 0; i < n && !in->fault; i++) {
            skip(in, a, depth + 1);
            skip(in, b, depth + 1);
        }
        break;
    default:
        if (least((unsigned)type))
            take(in, least((unsigned)type));
        else
            thrift_in_fail(in, THRIFT_MALFORMED, "a value of type %u, which does not exist", (unsigned)type);
    }
}

void thrift_in_skip(thrift_in *in, enum thrift_type type)
{
    skip(in, type, 1);
}

bool thrift_in_done(thrift_in *in)
{
    if (!in->fault && in->left)
        thrift_in_fail(in, THRIFT_MALFORMED, "%zu bytes follow the end of the message", in->left);
    return !in->fault;
}

/* ----------------------------------------------------------------------------------------------- messages */

bool thrift_in_message(thrift_in *in, thrift_message *m)
{
    *m = (thrift_message){.method = {"", 0}};
    const uint32_t head = (uint32_t)thrift_in_i32(in);
    if (in->fault) return false;
    if (head >> 16 != 0x8001) {
        thrift_in_fail(in, THRIFT_FOREIGN,
                       "the message begins with %08x instead of 8001: not Thrift's strict binary "
                       "protocol",
                       (unsigned)head);
        return false;
    }
    const unsigned kind = head & 0xff;
    m->method = thrift_in_str(in);
    m->seqid = thrift_in_i32(in);
    if (!in->fault && (kind < THRIFT_CALL || kind > THRIFT_ONEWAY))
        thrift_in_fail(in, THRIFT_MALFORMED, "a message of kind %u, which does not exist", kind);
    m->kind = (enum thrift_kind)kind;
    return !in->fault;
}

void thrift_in_exception(thrift_in *in, thrift_exception *e)
{
    enum thrift_type type;
    int16_t id;
    *e = (thrift_exception){.message = {"", 0}};
    while (thrift_in_field(in, &type, &id)) {
        if (id == 1 && type == THRIFT_STRING)
            e->message = thrift_in_str(in);
        else if (id == 2 && type == THRIFT_I32)
            e->type = thrift_in_i32(in);
        else
            thrift_in_skip(in, type);
    }
}

/* TApplicationException: https://github.com/apache/thrift/blob/master/doc/specs/thrift-rpc.md */
const char *thrift_exception_name(int32_t type)
{
    static const char *const names[] = {"unknown",           "unknown method",    "invalid message type",
                                        "wrong method name", "bad sequence id",   "missing result",
                                        "internal error",    "protocol error",    "invalid transform",
                                        "invalid protocol",  "unsupported client"};
    return type >= 0 && (size_t)type < sizeof names / sizeof *names ? names[type] : names[0];
}
