/* SPDX-License-Identifier: MIT */
/*
 * A gRPC client for the command line: one connection, h2c with prior knowledge or TLS, driven by its own
 * poll(). https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 *
 * It is pulled, not called back: send what there is room for, take what came, then turn.
 *
 *     while (!pb_grpc_stream_over(s)) {
 *         while (more && pb_grpc_stream_unsent(s) < 1 << 20) more = produce(s);
 *         while (pb_grpc_stream_next(s, &message)) consume(message);
 *         pb_grpc_client_turn(client, 1000);
 *     }
 *
 * A turn writes and reads, whichever is possible, so a server that answers while we send never stands still.
 * What was received and not taken counts against the server's window: memory is bounded by the window.
 * Threads: one. The program ignores SIGPIPE (TLS writes with write(2)).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/buf.h"
#include "base/err.h"

struct pb_grpc_client;
struct pb_grpc_stream;

struct pb_grpc_client_options {
    const char *address;  /* "HOST:PORT", "[2001:db8::1]:50058", ":50058" (this machine), "unix:/path" */
    const char *tls_dir;  /* folder of root_cert.pem and, for mutual TLS, sse_client_cert.pem and
                             sse_client_key.pem; NULL: no TLS */
    const char *tls_name; /* what the server's certificate must be for; NULL: HOST */
    int64_t connect_timeout_ms; /* until HTTP/2 is spoken; 0: 10 s */
    size_t max_message;         /* of a reply, before and after inflating; 0: 4 MiB, gRPC's default */
    int wake_fd;                /* readable: connecting and turns are interrupted; -1: none */
};

/*
 * Blocks until the server has spoken HTTP/2. Strings are copied. Returns owned, or NULL with err: UNAVAILABLE
 * with what is there instead (nothing, TLS, HTTP/1, a certificate that is not accepted); INVALID_ARGUMENT (an
 * address that is none, PEM files that cannot be read); CANCELLED when interrupted.
 */
struct pb_grpc_client *pb_grpc_client_open(const struct pb_grpc_client_options *options, struct pb_err *err);
/*
 * Write what can be written, wait up to timeout_ms (-1: as long as it takes) for the socket, read. Returns
 * early when a stream's deadline passes or wake_fd is readable. 0; 1 when wake_fd is readable; -1 when the
 * connection is lost: all its streams are over then.
 */
int pb_grpc_client_turn(struct pb_grpc_client *client, int64_t timeout_ms);
/* Cancels what is open, says GOAWAY, waits at most a second for the bytes to leave. NULL is fine. */
void pb_grpc_client_close(struct pb_grpc_client *client);

/*
 * Begin a call of "/package.Service/Method". Metadata: lower-case names; the value of a name that ends in
 * -bin is raw bytes, encoded here; all is copied. timeout_ms: sent as grpc-timeout and kept here too; 0:
 * none. Never NULL: an error is the stream's status. Returns owned: free before the client is closed.
 */
struct pb_grpc_stream *pb_grpc_stream_open(struct pb_grpc_client *client, const char *path,
                                           const pbay_header *metadata, size_t n_metadata,
                                           int64_t timeout_ms);
/* One message; copied. Ignored when the stream is over. */
void pb_grpc_stream_send(struct pb_grpc_stream *s, pbay_str message);
/* No more messages will be sent. */
void pb_grpc_stream_end(struct pb_grpc_stream *s);
/* Bytes that were sent and have not left for the socket. */
size_t pb_grpc_stream_unsent(const struct pb_grpc_stream *s);
/* The next message, borrowed until the next call for this client; its bytes go back to the server's window.
 */
bool pb_grpc_stream_next(struct pb_grpc_stream *s, pbay_str *message);
/* The status has come and all messages were taken. */
bool pb_grpc_stream_over(struct pb_grpc_stream *s);
/* The reply's first headers are here (or the stream is over). */
bool pb_grpc_stream_answered(const struct pb_grpc_stream *s);
/* How it ended; code PBAY_OK is success. Only when over. Borrowed as long as the stream. */
const struct pb_err *pb_grpc_stream_status(const struct pb_grpc_stream *s);
/* The first field of this name among headers and trailers; p NULL: none. Borrowed as long as the stream. */
pbay_str pb_grpc_stream_metadata(const struct pb_grpc_stream *s, const char *name);
/* A -bin field, decoded and appended to out. 1: there; 0: none; -1 with err: not base64. */
int pb_grpc_stream_metadata_bin(const struct pb_grpc_stream *s, const char *name, struct pb_buf *out,
                                struct pb_err *err);
/* The server is told; the status becomes CANCELLED, what was not taken is dropped. */
void pb_grpc_stream_cancel(struct pb_grpc_stream *s);
/* Cancels when it is not over. NULL is fine. */
void pb_grpc_stream_free(struct pb_grpc_stream *s);

/* One request, one reply, appended to *reply. 0; -1 with err, also when interrupted (CANCELLED). Blocks. */
int pb_grpc_client_unary(struct pb_grpc_client *client, const char *path, const pbay_header *metadata,
                         size_t n_metadata, int64_t timeout_ms, pbay_str request, struct pb_buf *reply,
                         struct pb_err *err);
