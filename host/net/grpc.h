/* SPDX-License-Identifier: MIT */
/*
 * gRPC's own wire format, apart from HTTP/2: message framing, metadata codings, status. Sans I/O.
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/buf.h"
#include "base/err.h"

enum { PB_GRPC_PREFIX = 5 };

/* ------------------------------------------------------------------------------------------------ messages
 */

enum pb_grpc_coding { PB_GRPC_IDENTITY, PB_GRPC_GZIP, PB_GRPC_DEFLATE, PB_GRPC_UNKNOWN_CODING };

/* Of a grpc-encoding header; empty is identity. */
enum pb_grpc_coding pb_grpc_coding_of(pbay_str name);
/* Is gzip in a grpc-accept-encoding list? */
bool pb_grpc_accepts_gzip(pbay_str list);

/* Cuts a stream of bytes into messages. Zero-initialised is ready; limit and coding are set by the owner. */
struct pb_grpc_reader {
    size_t limit; /* of one message, before and after inflating */
    enum pb_grpc_coding coding;
    uint8_t head[PB_GRPC_PREFIX];
    uint32_t n_head;
    uint32_t length;        /* of the message whose prefix is complete */
    struct pb_buf gather;   /* a message that did not come whole */
    struct pb_buf inflated; /* the last compressed message */
};

struct pb_grpc_message {
    pbay_str bytes; /* borrowed until the next call for this reader, or as long as what was fed */
    size_t wire;    /* prefix and payload as they were received */
};

/*
 * Eat from *p, *n. 1: *out is a message, ask again; 0: all eaten; -1 with err: the stream is beyond repair
 * (RESOURCE_EXHAUSTED: larger than limit; INTERNAL: flag or compressed data are wrong; UNIMPLEMENTED: the
 * coding). A message that lies whole in the bytes is not copied.
 */
int pb_grpc_reader_next(struct pb_grpc_reader *r, const char **p, size_t *n, struct pb_grpc_message *out,
                        struct pb_err *err) PB_NODISCARD;
/* Bytes that the message now being received takes on the wire; 0: its prefix is not complete. */
size_t pb_grpc_reader_expects(const struct pb_grpc_reader *r);
/* Is there the beginning of a message? At the end of a stream that is an error. */
bool pb_grpc_reader_partial(const struct pb_grpc_reader *r);
/* Ready for another stream; memory up to 64 KiB is kept. */
void pb_grpc_reader_reset(struct pb_grpc_reader *r);
void pb_grpc_reader_free(struct pb_grpc_reader *r);

void pb_grpc_prefix(uint8_t out[PB_GRPC_PREFIX], bool compressed, uint32_t length);

/* ------------------------------------------------------------------------------------------------ metadata
 */

/* Standard alphabet, padding optional, appended to out. False: not base64, out unchanged. */
bool pb_grpc_base64_decode(pbay_str in, struct pb_buf *out);
/* Without padding, appended to out. */
void pb_grpc_base64_encode(pbay_str in, struct pb_buf *out);
/* "250m" and so on to nanoseconds, saturating. False: not a grpc-timeout. */
bool pb_grpc_timeout_parse(pbay_str s, int64_t *ns);
/* grpc-message: UTF-8 percent-encoded, appended to out; invalid UTF-8 becomes U+FFFD, cut at 1 KiB of text.
 */
void pb_grpc_percent_encode(pbay_str text, struct pb_buf *out);
/* The reverse, for clients; a stray '%' stands for itself. */
void pb_grpc_percent_decode(pbay_str s, struct pb_buf *out);
/* application/grpc, application/grpc+proto, either with parameters. */
bool pb_grpc_content_type_ok(pbay_str s);
/* Lower-case letters, digits, '_', '-', '.'; not "grpc-..." and not a pseudo header. */
bool pb_grpc_key_ok(pbay_str name);
/* Printable ASCII and space: what a value without -bin may hold. */
bool pb_grpc_value_ok(pbay_str value);
