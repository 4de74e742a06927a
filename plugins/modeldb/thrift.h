/* SPDX-License-Identifier: MIT */
/*
 * Thrift's strict binary protocol in frames (TBinaryProtocol over TFramedTransport), sans I/O.
 *
 * https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md and thrift-rpc.md: a frame
 * is a 4-byte big-endian length and a message; a message is 80 01 00 TYPE, the method, a sequence number and
 * a struct.
 *
 * The writer appends to a pbay_text. The reader borrows from the frame; each length and count in it is
 * checked against the bytes that are left before it is believed. The first fault stays: whatever is read
 * afterwards is 0 or empty, so a reader checks once, at its end. Threads: one at a time per struct.
 */
#pragma once

#include <stdbool.h>

#include <patchbay/types.h>

#include "kit/text.h"

enum thrift_type {
    THRIFT_STOP = 0,
    THRIFT_BOOL = 2,
    THRIFT_BYTE = 3,
    THRIFT_DOUBLE = 4,
    THRIFT_I16 = 6,
    THRIFT_I32 = 8,
    THRIFT_I64 = 10,
    THRIFT_STRING = 11,
    THRIFT_STRUCT = 12,
    THRIFT_MAP = 13,
    THRIFT_SET = 14,
    THRIFT_LIST = 15
};

enum thrift_kind { THRIFT_CALL = 1, THRIFT_REPLY = 2, THRIFT_EXCEPTION = 3, THRIFT_ONEWAY = 4 };

enum {
    THRIFT_FRAME_MAX = 16384000, /* what Java's TFramedTransport takes unless told otherwise */
    THRIFT_HEAD = 4,             /* the length before a frame */
    THRIFT_DEPTH = 64,           /* structs and containers inside each other */
    THRIFT_WHY = 200
};

/* ------------------------------------------------------------------------------------------------- writer */

/* Where a frame that is being written began. */
typedef size_t thrift_mark;

thrift_mark thrift_begin(pbay_text *t, enum thrift_kind kind, const char *method, int32_t seqid);
/* Puts the length in its place. Returns 0, or -1 for more than THRIFT_FRAME_MAX: then the frame is taken
 * back. */
int thrift_end(pbay_text *t, thrift_mark begun);

/* The header of a field; its value follows. */
void thrift_field(pbay_text *t, enum thrift_type type, int16_t id);
void thrift_stop(pbay_text *t);
void thrift_bool(pbay_text *t, bool v);
void thrift_i32(pbay_text *t, int32_t v);
void thrift_double(pbay_text *t, double v);
/* At most 2^31 - 1 bytes; what is longer cannot leave, as the frame cannot. */
void thrift_str(pbay_text *t, pbay_str s);
/* The head of a list; n elements follow. */
void thrift_list(pbay_text *t, enum thrift_type element, uint32_t n);
void thrift_map(pbay_text *t, enum thrift_type key, enum thrift_type value, uint32_t n);
/* Header and value in one. */
void thrift_field_bool(pbay_text *t, int16_t id, bool v);
void thrift_field_i32(pbay_text *t, int16_t id, int32_t v);
void thrift_field_double(pbay_text *t, int16_t id, double v);
void thrift_field_str(pbay_text *t, int16_t id, pbay_str s);

/* ------------------------------------------------------------------------------------------------- reader */

enum thrift_fault {
    THRIFT_FINE,
    THRIFT_SHORT,     /* a value goes on beyond the frame */
    THRIFT_LENGTH,    /* a length or count that is negative, above its limit or more than the bytes left */
    THRIFT_FOREIGN,   /* not Thrift's strict binary protocol: another version, HTTP, ... */
    THRIFT_MALFORMED, /* a type that does not exist, bytes after the end */
    THRIFT_TOO_DEEP
};

/* "short", "length", "foreign", "malformed", "depth"; "none". */
const char *thrift_fault_name(enum thrift_fault fault);

/*
 * Is there a frame at the start of the bytes that came? 1: yes, *frame is its inside, borrowed, and
 * THRIFT_HEAD bytes before it belong to it; 0: more must come, *more says how many bytes at least; -1: what
 * came cannot be one, *fault says of which kind and why says it for a person.
 */
int thrift_frame(pbay_str came, pbay_str *frame, size_t *more, enum thrift_fault *fault,
                 char why[THRIFT_WHY]);

typedef struct thrift_in {
    const unsigned char *p; /* what is left */
    size_t left, size;
    enum thrift_fault fault;
    char why[THRIFT_WHY]; /* of the first fault: what, at which byte */
} thrift_in;

void thrift_in_init(thrift_in *in, pbay_str frame);

typedef struct thrift_message {
    enum thrift_kind kind;
    int32_t seqid;
    pbay_str method;
} thrift_message;

/* All of these return nothing of use after a fault: 0, false, the empty string. */
bool thrift_in_message(thrift_in *in, thrift_message *m);
/* The next field of a struct. False: there are no more (or a fault). */
bool thrift_in_field(thrift_in *in, enum thrift_type *type, int16_t *id);
bool thrift_in_bool(thrift_in *in);
int32_t thrift_in_i32(thrift_in *in);
double thrift_in_double(thrift_in *in);
pbay_str thrift_in_str(thrift_in *in);
/* The head of a list or set; its count can be trusted to fit into what is left. An empty one may have any
 * element type. */
uint32_t thrift_in_list(thrift_in *in, enum thrift_type *element);
uint32_t thrift_in_map(thrift_in *in, enum thrift_type *key, enum thrift_type *value);
/* Over one value of that type, whatever is in it. */
void thrift_in_skip(thrift_in *in, enum thrift_type type);
/* Nothing may be left. True when all was well. */
bool thrift_in_done(thrift_in *in);
/* For readers of what is above: a fault of their own. The first one stays. */
void thrift_in_fail(thrift_in *in, enum thrift_fault fault, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The struct of a message of kind THRIFT_EXCEPTION. */
typedef struct thrift_exception {
    pbay_str message;
    int32_t type;
} thrift_exception;

void thrift_in_exception(thrift_in *in, thrift_exception *e);
/* "unknown method", "internal error", ... */
const char *thrift_exception_name(int32_t type);
