/* SPDX-License-Identifier: MIT */
/*
 * Bytes as text and back: base64 (RFC 4648 §4), base64url without padding (§5, as JWS has it) and hex.
 *
 * Decoding is strict: one text per value. Foreign characters, blanks, missing or surplus padding and bits
 * that mean nothing are refused, so that two different tokens are never the same signature. Threads: any.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

/* Appended to out. */
void pb_base64_encode(pbay_str bytes, struct pb_buf *out);
void pb_base64url_encode(pbay_str bytes, struct pb_buf *out);
void pb_hex_encode(pbay_str bytes, struct pb_buf *out); /* lower case */

/* Appended to out. False: not that, and out is as it was. */
bool pb_base64_decode(pbay_str text, struct pb_buf *out);
bool pb_base64url_decode(pbay_str text, struct pb_buf *out);
bool pb_hex_decode(pbay_str text, struct pb_buf *out); /* either case */
