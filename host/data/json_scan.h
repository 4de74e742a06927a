/* SPDX-License-Identifier: MIT */
/*
 * JSON (RFC 8259) read by pulling: one value, string or number at a time, off text that may not be whole yet.
 * Nothing is allocated and nothing is decoded that is not asked for. Strict: valid UTF-8, no lone surrogates,
 * no control characters in strings, numbers as the RFC spells them. Threads: any.
 */
#pragma once

#include <stdbool.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Deeper than this is refused whatever limit is given. */
enum { PB_JSON_DEPTH = 64, PB_JSON_DEPTH_MAX = 1024 };

enum pb_scan { PB_SCAN_OK, PB_SCAN_MORE, PB_SCAN_BAD };

/* Text under the scanner. Zero-initialise and set p and end. */
struct pb_scan_in {
    const char *p, *end; /* p moves on when PB_SCAN_OK */
    bool whole;          /* nothing follows `end`: what would be MORE is BAD */
    const char *at;      /* BAD: the byte, and what is wrong with it */
    const char *why;
};

/* p stands on the opening quote. raw: what stands between the quotes; escaped: pb_json_unescape has work to
 * do. */
enum pb_scan pb_scan_string(struct pb_scan_in *in, pbay_str *raw, bool *escaped);
/* p stands on a digit or '-'. At the end of text that is not whole a number may go on: MORE. */
enum pb_scan pb_scan_number(struct pb_scan_in *in, pbay_str *number);
/* Any value, blanks before it left out of *value; nesting up to depth levels. */
enum pb_scan pb_scan_value(struct pb_scan_in *in, uint32_t depth, pbay_str *value);
/* Fill where and why; returns PB_SCAN_BAD. */
enum pb_scan pb_scan_bad(struct pb_scan_in *in, const char *at, const char *why);
/* MORE, or BAD when the text is whole. */
enum pb_scan pb_scan_more(struct pb_scan_in *in);

static inline bool pb_json_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline void pb_scan_space(struct pb_scan_in *in)
{
    while (in->p < in->end && pb_json_blank(*in->p)) in->p++;
}

/* The escapes of a string that pb_scan_string took; out has room for raw.n bytes. Returns the bytes written.
 */
size_t pb_json_unescape(pbay_str raw, char *out);

/*
 * Move *pos over the value that begins at it (after blanks). depth 0: PB_JSON_DEPTH. -1: err says what is
 * wrong and at which byte; *pos is as it was.
 */
int pb_json_skip(pbay_str text, size_t *pos, uint32_t depth, struct pb_err *err);
/* Is the text one JSON value, blanks around it allowed? */
bool pb_json_valid(pbay_str text, uint32_t depth);

/*
 * The number in the text of a JSON value (a number, or a string that holds one) or in plain text. False:
 * none, or beyond the range of a double. NaN and infinities are not numbers here.
 */
bool pb_json_to_num(pbay_str text, double *out);
/* A JSON number as pb_scan_number took it. False: beyond the range of a double. */
bool pb_json_number(pbay_str number, double *out);
/* The decoded text of a JSON string, or the text of any other value as it stands; borrows from json or
 * scratch. */
pbay_str pb_json_text(pbay_str json, struct pb_buf *scratch);
