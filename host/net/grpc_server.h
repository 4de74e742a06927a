/* SPDX-License-Identifier: MIT */
/*
 * gRPC calls as callbacks: methods by path, an ops table per method, one object per call.
 *
 * Wire: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md over HTTP/2, cleartext with prior
 * knowledge or TLS with ALPN h2. Prefixes, compression, deadlines, percent-encoding and base64 of -bin
 * metadata are done here.
 *
 * Glossary
 *   credit   bytes of the flow-control windows that a message holds until pb_grpc_consumed() gives them back.
 * A client can have about one stream window (1 MiB) per call on its way: a method that gives credit back only
 * as its rows leave takes bounded memory however much is sent output   messages given to pb_grpc_send() that
 * have not left; below the low watermark the call is writable dead     closed() has been called: the pointer
 * must not be used again
 *
 * Life of a call: opened, message*, half_close?, then closed exactly once. The method ends it with
 * pb_grpc_finish(); closed(PB_GRPC_DONE) follows when the trailers have left. closed() with another reason
 * may come at any time, also before finish, but never from inside a pb_grpc_* function, and nothing needs to
 * be finished then. After finish no message, half_close or writable comes any more. Everything here: [loop];
 * callbacks may call any function of this header for their call.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/buf.h"
#include "base/err.h"

struct pb_loop;
struct pb_conn;
struct pb_grpc_server;
struct pb_grpc_call;

enum pb_grpc_closed {
    PB_GRPC_DONE = 1,  /* finished, and the trailers have left */
    PB_GRPC_CANCELLED, /* the client reset the stream */
    PB_GRPC_EXPIRED,   /* its grpc-timeout has passed; DEADLINE_EXCEEDED was sent */
    PB_GRPC_LOST,      /* the connection is gone */
    PB_GRPC_REFUSED,   /* the server ended it: a message too large, undecodable, or of an unknown coding */
};

struct pb_grpc_ops {
    /* A trailer that goes with the errors which the server answers by itself (a deadline, a message too
     * large); borrowed as the ops are. NULL: none. */
    const pbay_header *refusal;
    /* Request metadata is there. method_user is what pb_grpc_server_method was given. Set your own with
     * pb_grpc_set_user; finishing at once is fine. NULL: nothing to do. */
    void (*opened)(struct pb_grpc_call *call, void *method_user);
    /* One request message, decompressed, borrowed until this returns. credit: what pb_grpc_consumed() is owed
     * for it (in any portions); a call that closes gives the rest back by itself. */
    void (*message)(struct pb_grpc_call *call, pbay_str message, size_t credit);
    /* The client will send no more. NULL: nothing to do. */
    void (*half_close)(struct pb_grpc_call *call);
    /* Output fell below the low watermark after pb_grpc_send() had returned false. NULL: nothing to do. */
    void (*writable)(struct pb_grpc_call *call);
    /* Last callback. NULL: nothing to do. */
    void (*closed)(struct pb_grpc_call *call, enum pb_grpc_closed reason);
    /* In place of message and half_close: exactly one request message, called at half-close; none or several
     * get an INTERNAL error before it. Credit is given back by itself. Answer now or later with
     * pb_grpc_reply(). */
    void (*unary)(struct pb_grpc_call *call, pbay_str request);
};

/* Zero-initialised members take the default in parentheses. */
struct pb_grpc_options {
    size_t max_message; /* bytes of one request message after inflating; more: RESOURCE_EXHAUSTED (64 MiB) */
    uint32_t max_streams;   /* concurrent calls per connection (1024) */
    uint32_t stream_window; /* bytes (1 MiB) */
    uint32_t conn_window;   /* bytes (64 MiB) */
    uint32_t max_header;    /* bytes of request metadata as HTTP/2 counts them (256 KiB) */
    size_t low, high;       /* watermarks of a call's output in bytes (256 KiB, 1 MiB) */
    int64_t idle_ms;        /* a connection without calls is closed after; -1: never (-1) */
    int64_t ping_ms;        /* a silent connection is asked whether it lives; -1: never (60 s) */
};

/* Counted from the start of the server; plain numbers, [loop]. */
struct pb_grpc_stats {
    uint64_t conns_opened, conns_open, calls_opened, calls_open;
    uint64_t messages_in, messages_out, bytes_in, bytes_out; /* message bytes, uncompressed */
};

/* Returns owned. options may be NULL. name appears in log lines and messages ("sse"); copied. */
struct pb_grpc_server *pb_grpc_server_new(struct pb_loop *loop, const char *name,
                                          const struct pb_grpc_options *options);
/* path: "/package.Service/Method", copied; ops are borrowed as long as the server. A path twice: the later
 * counts. */
void pb_grpc_server_method(struct pb_grpc_server *server, const char *path, const struct pb_grpc_ops *ops,
                           void *method_user);
/* Calls fn for each registered path (for reflection), in order of registration. */
void pb_grpc_server_each(const struct pb_grpc_server *server, void (*fn)(void *user, pbay_str path),
                         void *user);
const struct pb_grpc_stats *pb_grpc_server_stats(const struct pb_grpc_server *server);
/* Serve a connection; takes conn. Listeners call this (net/listener.h). */
void pb_grpc_server_take(struct pb_grpc_server *server, struct pb_conn *conn);
/* GOAWAY on every connection; calls go on to their end, then connections close; drained(user) when none is
 * left (also when there was none, on a later turn). Connections taken afterwards are closed at once. */
void pb_grpc_server_drain(struct pb_grpc_server *server, void (*drained)(void *user), void *user);
/* Calls are closed with PB_GRPC_LOST, connections aborted, the server freed. No drained() follows. */
void pb_grpc_server_free(struct pb_grpc_server *server);

/* ------------------------------------------------------------------------------------------------ the
 * request */

void pb_grpc_set_user(struct pb_grpc_call *call, void *user);
void *pb_grpc_user(const struct pb_grpc_call *call);
/* "/package.Service/Method" */
pbay_str pb_grpc_path(const struct pb_grpc_call *call);
/* The first field of this lower-case name; p is NULL when there is none. Borrowed until closed() returns. */
pbay_str pb_grpc_metadata(const struct pb_grpc_call *call, const char *name);
/*
 * A -bin field decoded, appended to out; padded or not. Of several values (fields or comma-joined) the first.
 * 1: there; 0: there is none; -1 with err (INVALID_ARGUMENT): not base64.
 */
int pb_grpc_metadata_bin(const struct pb_grpc_call *call, const char *name, struct pb_buf *out,
                         struct pb_err *err);
/* Walk all fields but HTTP/2's own; i from 0; false at the end. */
bool pb_grpc_metadata_at(const struct pb_grpc_call *call, size_t i, pbay_str *name, pbay_str *value);
/* Monotonic nanoseconds; PB_NO_DEADLINE when the client gave none. */
int64_t pb_grpc_deadline(const struct pb_grpc_call *call);
/* When its headers were read, monotonic nanoseconds (to a turn's accuracy). */
int64_t pb_grpc_started(const struct pb_grpc_call *call);
/* "203.0.113.7:51034", "[2001:db8::1]:51034" or "unix" */
pbay_str pb_grpc_peer(const struct pb_grpc_call *call);
/* Subject of the client's verified certificate, RFC 2253 ("CN=sse_client,O=Example"); empty without one. */
pbay_str pb_grpc_tls_subject(const struct pb_grpc_call *call);
struct pb_grpc_server *pb_grpc_call_server(const struct pb_grpc_call *call);

/* ------------------------------------------------------------------------------------------------ the reply
 */

/* n bytes of credit back to the client's windows. More than is owed is a fatal error. */
void pb_grpc_consumed(struct pb_grpc_call *call, size_t n);
/* Initial metadata, before the first message; later it is ignored and false returned. Copies. Names are
 * lower-case; the value of a name that ends in -bin is raw bytes, base64-encoded here. */
bool pb_grpc_reply_header(struct pb_grpc_call *call, pbay_str name, pbay_str value);
/* Reply messages are gzip-compressed from now on when the client accepts that; before the first message. */
void pb_grpc_reply_compress(struct pb_grpc_call *call);
/* An empty buffer with memory from calls before; free with pb_buf_free when it is not sent after all. */
struct pb_buf pb_grpc_buf(struct pb_grpc_call *call);
/*
 * One reply message; takes the buffer's memory and leaves *message empty. It leaves at the end of the turn or
 * as the client's windows allow. True: output is below the high watermark; false: it is taken too, but
 * writable() will say when to go on. After finish: ignored, false.
 */
bool pb_grpc_send(struct pb_grpc_call *call, struct pb_buf *message);
/* Bytes of output that have not left. */
size_t pb_grpc_unsent(const struct pb_grpc_call *call);
/*
 * End the call after what was sent: code is gRPC's (0..16), message UTF-8 for a person (percent-encoded and
 * cut at 1 KiB here), trailers as with pb_grpc_reply_header. When nothing was sent this is a trailers-only
 * response. Twice: the first counts.
 */
void pb_grpc_finish(struct pb_grpc_call *call, int32_t code, pbay_str message, const pbay_header *trailers,
                    size_t n_trailers);
/* pb_grpc_finish with what err says. */
void pb_grpc_fail(struct pb_grpc_call *call, const struct pb_err *err);
/* One message and OK. Takes the buffer's memory. */
void pb_grpc_reply(struct pb_grpc_call *call, struct pb_buf *message);
