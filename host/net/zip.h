/* SPDX-License-Identifier: MIT */
/*
 * gzip (RFC 1952), zlib (RFC 1950) and raw deflate (RFC 1951) of whole buffers, with a limit on what comes
 * out. Threads: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* The values of PBAY_ZIP_* (patchbay/host_crypto.h). */
enum pb_zip { PB_ZIP_GZIP = 1, PB_ZIP_ZLIB, PB_ZIP_DEFLATE, PB_ZIP_SNIFF };

/* Append `in` compressed to *out. level 0..9, or -1: zlib's choice. 0, or -1 with err (no such zip or level).
 */
int pb_deflate(uint32_t zip, int level, pbay_str in, struct pb_buf *out, struct pb_err *err);
/*
 * Append `in` inflated to *out, at most max bytes. gzip: members one after another are one text.
 * PB_ZIP_SNIFF: gzip or zlib by the first bytes, anything else is copied as it is (and held to the same
 * limit). 0, or -1 with err and *out as it was: PBAY_RESOURCE_EXHAUSTED beyond max, PBAY_INVALID_ARGUMENT for
 * damage, for an end that is missing and for bytes after it.
 */
int pb_inflate(uint32_t zip, pbay_str in, size_t max, struct pb_buf *out, struct pb_err *err);

/* PB_ZIP_GZIP or PB_ZIP_ZLIB by the first bytes; PB_ZIP_SNIFF: neither. */
uint32_t pb_zip_sniff(pbay_str in);

/* A text that is compressed in pieces. zip: not PB_ZIP_SNIFF. Returns owned. */
struct pb_deflater;
struct pb_deflater *pb_deflater_new(uint32_t zip, int level);
enum pb_flush {
    PB_FLUSH_NONE,
    PB_FLUSH_SYNC, /* whoever has the output can read all of the input */
    PB_FLUSH_END,
};
void pb_deflater_add(struct pb_deflater *d, pbay_str in, enum pb_flush flush, struct pb_buf *out);
void pb_deflater_free(struct pb_deflater *d); /* NULL is fine */
