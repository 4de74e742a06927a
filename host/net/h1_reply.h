/* SPDX-License-Identifier: MIT */
/*
 * The head of an HTTP/1.1 response, read strictly (RFC 9112): for CONNECT and for the WebSocket handshake,
 * where what follows the head is another protocol. Sans I/O. Threads: one at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/buf.h"
#include "net/h1.h"

enum { PB_H1_REPLY_MAX = 16 * 1024, PB_H1_REPLY_FIELDS = 100 };

enum pb_h1_reply_event {
    PB_H1_REPLY_MORE, /* all bytes are eaten */
    PB_H1_REPLY_HEAD, /* status and fields are there; what is left of the bytes is not HTTP's */
    PB_H1_REPLY_BAD,  /* why says what is wrong */
};

/* Zero-initialised is ready. */
struct pb_h1_reply {
    int status;
    const char *why;
    struct pb_buf text;
    struct pb_h1_field reason; /* value members */
    struct pb_h1_field *fields;
    uint32_t n_fields, fields_cap;
    bool done;
};

/* Eat from *p, *n. Interim responses (1xx other than 101) are skipped. */
enum pb_h1_reply_event pb_h1_reply_next(struct pb_h1_reply *r, const char **p, size_t *n);
void pb_h1_reply_free(struct pb_h1_reply *r);

/* After HEAD; borrowed until free. */
pbay_str pb_h1_reply_reason(const struct pb_h1_reply *r);
/* The first field of this lower-case name, p NULL when absent. */
pbay_str pb_h1_reply_field(const struct pb_h1_reply *r, const char *name);
/* How many there are of it. */
uint32_t pb_h1_reply_count(const struct pb_h1_reply *r, const char *name);
