/* SPDX-License-Identifier: MIT */
/* Message framing. Metadata codings are in grpc_metadata.c. */
#include "net/grpc.h"

#include <string.h>

#include "net/zip.h"

enum { KEEP = 64 * 1024 };

enum pb_grpc_coding pb_grpc_coding_of(pbay_str name)
{
    if (!name.n || pb_str_is(name, "identity")) return PB_GRPC_IDENTITY;
    if (pb_str_is(name, "gzip")) return PB_GRPC_GZIP;
    if (pb_str_is(name, "deflate")) return PB_GRPC_DEFLATE;
    return PB_GRPC_UNKNOWN_CODING;
}

bool pb_grpc_accepts_gzip(pbay_str list)
{
    pbay_str item;
    while (pb_str_split(&list, ',', &item))
        if (pb_str_is(pb_str_trim(item), "gzip")) return true;
    return false;
}

/* What a stream's prefix promises, once it is complete. */
static int check_prefix(struct pb_grpc_reader *r, struct pb_err *err)
{
    r->length =
        (uint32_t)r->head[1] << 24 | (uint32_t)r->head[2] << 16 | (uint32_t)r->head[3] << 8 | r->head[4];
    if (r->head[0] > 1)
        return pb_fail(err, PBAY_INTERNAL,
                       "the request is not gRPC: a message begins with byte 0x%02x where 0 or 1 is expected",
                       r->head[0]);
    if (r->head[0] == 1 && r->coding == PB_GRPC_IDENTITY)
        return pb_fail(err, PBAY_INTERNAL, "a compressed message in a request without grpc-encoding");
    if (r->head[0] == 1 && r->coding == PB_GRPC_UNKNOWN_CODING)
        return pb_fail(err, PBAY_UNIMPLEMENTED,
                       "the request's grpc-encoding is not known here; use gzip or deflate");
    if (r->length > r->limit)
        return pb_fail(err, PBAY_RESOURCE_EXHAUSTED,
                       "a request message of %u bytes is larger than the limit of %zu", r->length, r->limit);
    return 0;
}

static int deliver(struct pb_grpc_reader *r, pbay_str raw, struct pb_grpc_message *out, struct pb_err *err)
{
    out->wire = PB_GRPC_PREFIX + (size_t)r->length;
    out->bytes = raw;
    bool compressed = r->head[0];
    r->n_head = 0;
    if (!compressed) return 1;
    pb_buf_reset(&r->inflated, KEEP);
    if (pb_inflate(r->coding == PB_GRPC_GZIP ? PB_ZIP_GZIP : PB_ZIP_ZLIB, raw, r->limit, &r->inflated, err)) {
        if (err->code == PBAY_INVALID_ARGUMENT) err->code = PBAY_INTERNAL;
        return pb_fail_in(err, "a compressed request message");
    }
    out->bytes = pb_buf_view(&r->inflated);
    return 1;
}

int pb_grpc_reader_next(struct pb_grpc_reader *r, const char **p, size_t *n, struct pb_grpc_message *out,
                        struct pb_err *err)
{
    if (r->n_head < PB_GRPC_PREFIX) {
        size_t take = PB_GRPC_PREFIX - r->n_head;
        if (take > *n) take = *n;
        if (take) memcpy(r->head + r->n_head, *p, take);
        r->n_head += (uint32_t)take;
        *p += take;
        *n -= take;
        if (r->n_head < PB_GRPC_PREFIX) return 0;
        if (check_prefix(r, err)) return -1;
        pb_buf_reset(&r->gather, KEEP);
    }
    if (!r->gather.n && *n >= r->length) {
        pbay_str raw = pb_str(*p, r->length);
        *p += r->length;
        *n -= r->length;
        return deliver(r, raw, out, err);
    }
    size_t take = r->length - r->gather.n;
    if (take > *n) take = *n;
    /* Memory grows with what has come, not with what was promised. */
    pb_buf_add(&r->gather, *p, take);
    *p += take;
    *n -= take;
    if (r->gather.n < r->length) return 0;
    int rc = deliver(r, pb_buf_view(&r->gather), out, err);
    r->gather.n = 0; /* the bytes stay until the next prefix */
    return rc;
}

size_t pb_grpc_reader_expects(const struct pb_grpc_reader *r)
{
    return r->n_head == PB_GRPC_PREFIX ? PB_GRPC_PREFIX + (size_t)r->length : 0;
}

bool pb_grpc_reader_partial(const struct pb_grpc_reader *r)
{
    return r->n_head != 0;
}

void pb_grpc_reader_reset(struct pb_grpc_reader *r)
{
    r->n_head = 0;
    r->coding = PB_GRPC_IDENTITY;
    pb_buf_reset(&r->gather, KEEP);
    pb_buf_reset(&r->inflated, KEEP);
}

void pb_grpc_reader_free(struct pb_grpc_reader *r)
{
    pb_buf_free(&r->gather);
    pb_buf_free(&r->inflated);
}

void pb_grpc_prefix(uint8_t out[PB_GRPC_PREFIX], bool compressed, uint32_t length)
{
    out[0] = compressed;
    out[1] = (uint8_t)(length >> 24);
    out[2] = (uint8_t)(length >> 16);
    out[3] = (uint8_t)(length >> 8);
    out[4] = (uint8_t)length;
}
