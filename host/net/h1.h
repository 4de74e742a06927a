/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 requests, read strictly (RFC 9112). Sans I/O.
 *
 * What two parsers could read differently is refused: bare LF, folded lines, blanks before the colon, two
 * lengths, a length and chunks, two hosts. Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/buf.h"

enum { PB_H1_MAX_LINE = 8 * 1024, PB_H1_MAX_FIELDS = 100, PB_H1_MAX_HEAD = 64 * 1024 };

enum pb_h1_event {
    PB_H1_MORE, /* all bytes are eaten */
    PB_H1_HEAD, /* request line and headers are there */
    PB_H1_BODY, /* a piece of the body */
    PB_H1_END,  /* the request is complete; pb_h1_reset before the next */
    PB_H1_BAD,  /* status and why say what is wrong; the connection cannot go on */
};

struct pb_h1_field {
    uint32_t name, name_n, value, value_n; /* places in text; names in lower case */
};

struct pb_h1 {
    uint32_t max_head; /* bytes; 0: PB_H1_MAX_HEAD */
    uint8_t state;
    bool blank; /* the one empty line allowed before a request was seen */
    bool saw_cr, chunked, has_length, has_te, expect_continue, keep_alive;
    uint8_t minor; /* of HTTP/1.x */
    int status;    /* BAD: what to answer */
    const char *why;
    uint32_t line; /* where the present line begins in text */
    uint32_t head_bytes, n_lines;
    uint64_t length; /* of the body, or of the chunk, that is left */
    struct pb_buf text;
    struct pb_h1_field *fields;
    uint32_t n_fields, fields_cap, n_head_fields;
    struct pb_h1_field method, target, host; /* name members unused */
};

/*
 * Eat from *p, *n up to the next event. BODY: *body borrows from what was fed. Zero-initialised is ready.
 */
enum pb_h1_event pb_h1_next(struct pb_h1 *h, const char **p, size_t *n, pbay_str *body);
/* Ready for the next request; max_head and memory are kept. */
void pb_h1_reset(struct pb_h1 *h);
void pb_h1_free(struct pb_h1 *h);
/* Has a request begun? */
bool pb_h1_started(const struct pb_h1 *h);

/* After HEAD; borrowed until reset. */
pbay_str pb_h1_method(const struct pb_h1 *h);
pbay_str pb_h1_target(const struct pb_h1 *h); /* as sent, scheme and host of an absolute target cut off */
pbay_str pb_h1_host(
    const struct pb_h1 *h); /* of the absolute target, else of Host; empty only for HTTP/1.0 */
pbay_str pb_h1_field_name(const struct pb_h1 *h, size_t i);
pbay_str pb_h1_field_value(const struct pb_h1 *h, size_t i);
size_t pb_h1_fields(const struct pb_h1 *h); /* without trailers */

/* token of RFC 9110, and what a field value may hold (no CR, LF, NUL and other controls, HTAB allowed) */
bool pb_h1_token(pbay_str s);
bool pb_h1_value_ok(pbay_str s);
