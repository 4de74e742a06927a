/* SPDX-License-Identifier: MIT */
#include "net/zip.h"

#include <limits.h>
#include <stdbool.h>

#include <zlib.h>

#include "base/check.h"
#include "base/mem.h"

/* zlib's codings, in its own number: window bits, and 16 more for gzip, negative for raw. */
static bool window_bits(uint32_t zip, int *bits)
{
    switch (zip) {
    case PB_ZIP_GZIP: *bits = 15 + 16; return true;
    case PB_ZIP_ZLIB: *bits = 15; return true;
    case PB_ZIP_DEFLATE: *bits = -15; return true;
    default: return false;
    }
}

/* zlib counts in unsigned int. */
static uInt piece(size_t n)
{
    return n > UINT_MAX / 2 ? UINT_MAX / 2 : (uInt)n;
}

struct pb_deflater {
    z_stream z;
};

struct pb_deflater *pb_deflater_new(uint32_t zip, int level)
{
    int bits = 0;
    struct pb_deflater *d = pb_zalloc(sizeof *d);
    PB_REQUIRE(window_bits(zip, &bits));
    if (deflateInit2(&d->z, level, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        pb_fatal("out of memory: a compressor");
    return d;
}

void pb_deflater_free(struct pb_deflater *d)
{
    if (!d) return;
    deflateEnd(&d->z);
    pb_free(d);
}

void pb_deflater_add(struct pb_deflater *d, pbay_str in, enum pb_flush flush, struct pb_buf *out)
{
    z_stream *z = &d->z;
    int last = flush == PB_FLUSH_END ? Z_FINISH : flush == PB_FLUSH_SYNC ? Z_SYNC_FLUSH : Z_NO_FLUSH;
    size_t left = in.n;
    z->next_in = (Bytef *)(uintptr_t)in.p;
    z->avail_in = 0;
    for (;;) {
        if (z->avail_in == 0) {
            z->avail_in = piece(left);
            left -= z->avail_in;
        }
        size_t room = 256 + (size_t)z->avail_in / 2;
        z->next_out = (Bytef *)pb_buf_room(out, room);
        z->avail_out = piece(room);
        uInt had = z->avail_out;
        int rc = deflate(z, left ? Z_NO_FLUSH : last);
        PB_REQUIRE(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR);
        out->n += had - z->avail_out;
        if (rc == Z_STREAM_END) return;
        if (last != Z_FINISH && !left && !z->avail_in && z->avail_out) return;
    }
}

int pb_deflate(uint32_t zip, int level, pbay_str in, struct pb_buf *out, struct pb_err *err)
{
    int bits = 0;
    if (!window_bits(zip, &bits) || level < -1 || level > 9)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "no compression %u at level %d", (unsigned)zip, level);
    struct pb_deflater *d = pb_deflater_new(zip, level);
    pb_deflater_add(d, in, PB_FLUSH_END, out);
    pb_deflater_free(d);
    return 0;
}

uint32_t pb_zip_sniff(pbay_str in)
{
    const uint8_t *p = (const uint8_t *)in.p;
    if (in.n >= 2 && p[0] == 0x1f && p[1] == 0x8b) return PB_ZIP_GZIP;
    /* zlib's header at the levels that exist; text seldom begins like this. */
    if (in.n >= 2 && p[0] == 0x78 && (p[1] == 0x01 || p[1] == 0x5e || p[1] == 0x9c || p[1] == 0xda))
        return PB_ZIP_ZLIB;
    return PB_ZIP_SNIFF;
}

static int too_long(struct pb_err *err, size_t max)
{
    return pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "more than the limit of %zu bytes after inflating", max);
}

/* One whole text, members of gzip included. */
static int run(z_stream *z, uint32_t zip, size_t left, size_t max, struct pb_buf *out, struct pb_err *err)
{
    size_t start = out->n;
    for (;;) {
        if (z->avail_in == 0) {
            z->avail_in = piece(left);
            left -= z->avail_in;
        }
        size_t had = out->n - start, room = max - had;
        /* One byte beyond the limit tells a text that ends there from one that goes on. */
        if (room > 1024 + 4 * (size_t)z->avail_in) room = 1024 + 4 * (size_t)z->avail_in;
        z->next_out = (Bytef *)pb_buf_room(out, room + 1);
        z->avail_out = piece(room + 1);
        uInt before = z->avail_out;
        int rc = inflate(z, Z_NO_FLUSH);
        out->n += before - z->avail_out;
        if (out->n - start > max) return too_long(err, max);
        if (rc == Z_STREAM_END) {
            left += z->avail_in;
            if (left == 0) return 0;
            if (zip != PB_ZIP_GZIP)
                return pb_fail(err, PBAY_INVALID_ARGUMENT, "%zu bytes after the end of the compressed data",
                               left);
            z->avail_in = 0;
            if (inflateReset(z) != Z_OK) pb_fatal("zlib cannot start again");
            continue;
        }
        if (rc == Z_MEM_ERROR) pb_fatal("out of memory: a decompressor");
        if (rc != Z_OK && rc != Z_BUF_ERROR)
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "the compressed data is damaged: %s",
                           z->msg ? z->msg : "it needs a dictionary");
        if (z->avail_in == 0 && left == 0 && z->avail_out > 0)
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "the compressed data ends too early");
    }
}

int pb_inflate(uint32_t zip, pbay_str in, size_t max, struct pb_buf *out, struct pb_err *err)
{
    if (zip == PB_ZIP_SNIFF) {
        zip = pb_zip_sniff(in);
        if (zip == PB_ZIP_SNIFF) {
            if (in.n > max)
                return pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "more than the limit of %zu bytes", max);
            pb_buf_str(out, in);
            return 0;
        }
    }
    int bits = 0;
    if (!window_bits(zip, &bits))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "no compression %u", (unsigned)zip);
    z_stream z = {0};
    if (inflateInit2(&z, bits) != Z_OK) pb_fatal("out of memory: a decompressor");
    z.next_in = (Bytef *)(uintptr_t)in.p;
    size_t start = out->n;
    int rc = run(&z, zip, in.n, max, out, err);
    if (rc < 0) out->n = start;
    inflateEnd(&z);
    return rc;
}
