/* SPDX-License-Identifier: MIT */
/*
 * A byte stream over TCP, with or without TLS. The protocol above it is pushed input and pulled for output.
 *
 * Input is read into one buffer per loop and handed on as it lies there; output is gathered into one buffer
 * per connection and written once, at the end of the turn. Threads: [loop].
 *
 * Life: created from an accepted socket or a descriptor, started with ops, ended by pb_conn_close or
 * pb_conn_abort (by either side of it), then closed() once, on a later turn; the pointer is dead after that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/buf.h"
#include "base/err.h"

struct pb_conn;
struct pb_loop;
struct pb_tls;
struct pb_tls_session;
struct sockaddr;
struct uv_stream_s;

/* fill() is asked for about this much at once; a connection never gathers more than this and one answer to
 * fill(). */
enum { PB_CONN_OUT_MAX = 256 * 1024 };

struct pb_conn_ops {
    /* Bytes came, decrypted, borrowed until this returns. */
    void (*data)(void *user, const char *p, size_t n);
    /* Append output to out, up to about PB_CONN_OUT_MAX bytes in it. True: there is more as soon as this has
     * left. */
    bool (*fill)(void *user, struct pb_buf *out);
    /* The peer will send no more. Output may still be wanted. */
    void (*eof)(void *user);
    /* Gone. why: NULL after an orderly end, else what happened (UNAVAILABLE, DEADLINE_EXCEEDED, ...). */
    void (*closed)(void *user, const struct pb_err *why);
};

struct pb_conn_options {
    struct pb_tls *tls;   /* NULL: cleartext. Borrowed until closed */
    const char *listener; /* for log lines: "sse 0.0.0.0:50058"; copied */
    const char *protocol; /* what is expected, for log lines: "gRPC (HTTP/2)"; borrowed, a literal */
    int64_t handshake_ms; /* from the start to pb_conn_established(); 0: 10 s; -1: no limit */
    void (*gone)(
        void *user); /* after closed(), or in its place when the connection was never started; may be NULL */
    void *gone_user;
};

/* Take what waits in a listening stream. Returns owned, or NULL with err. */
struct pb_conn *pb_conn_accept(struct pb_loop *loop, struct uv_stream_s *server,
                               const struct pb_conn_options *options, struct pb_err *err);
/* Take a connected descriptor; it is closed on failure too. */
struct pb_conn *pb_conn_from_fd(struct pb_loop *loop, int fd, const struct pb_conn_options *options,
                                struct pb_err *err);
/*
 * Connect to an address; for clients. connected(user, rc) comes once, on a later turn, 0 or a negative number
 * of libuv's, unless pb_conn_abort was called before; it may start the connection, or abort it (after a
 * failure it must). Returns owned, or NULL with err.
 */
struct pb_conn *pb_conn_connect(struct pb_loop *loop, const struct sockaddr *address,
                                const struct pb_conn_options *options, void (*connected)(void *user, int rc),
                                void *user, struct pb_err *err);
/* From now on the connection, which was started, is another's: the protocol on it changes hands. */
void pb_conn_hand_over(struct pb_conn *conn, const struct pb_conn_ops *ops, void *user);
/*
 * TLS begins on a cleartext connection that was started, as its client; takes session. ready(user) comes once
 * the handshake is complete, with the user that the connection has then; what fails before goes to closed().
 */
void pb_conn_start_tls(struct pb_conn *conn, struct pb_tls_session *session, void (*ready)(void *user));
/* Bytes that were read too early, by the protocol before: as if they came now. */
void pb_conn_feed(struct pb_conn *conn, const char *p, size_t n);
/* Our side ends when everything is sent; data() goes on to come until the peer ends too. */
void pb_conn_finish(struct pb_conn *conn);
/* In eof(): the peer ended a TLS connection without saying so: it may have been cut. */
bool pb_conn_truncated(const struct pb_conn *conn);
/* Begin to read. ops are borrowed until closed() returns. Callbacks come on later turns. */
void pb_conn_start(struct pb_conn *conn, const struct pb_conn_ops *ops, void *user);
/* The first bytes are those of the protocol that is spoken here: the handshake limit ends. */
void pb_conn_established(struct pb_conn *conn);
/* There is output: fill() is called at the end of this turn. Costs nothing when repeated. */
void pb_conn_want_write(struct pb_conn *conn);
/* Bytes that fill() gave and the socket has not taken. */
size_t pb_conn_unsent(const struct pb_conn *conn);
/* A peer that takes nothing of what waits for it for so long is given up (DEADLINE_EXCEEDED); 0: never.
 * Before start. */
void pb_conn_limit_writes(struct pb_conn *conn, int64_t ms);
/* Give back the memory of buffers that are empty: nothing has happened for a while. */
void pb_conn_rest(struct pb_conn *conn);
/* Stop and go on reading: back-pressure for protocols without windows of their own. */
void pb_conn_pause(struct pb_conn *conn, bool paused);
/*
 * Send what fill() still has, then end our side, then wait a little for the peer's end so that it can read
 * the last bytes. No data() any more.
 */
void pb_conn_close(struct pb_conn *conn);
/* Copy these bytes behind what fill() gave, then pb_conn_close. For last words before a protocol was agreed
 * on. */
void pb_conn_send_last(struct pb_conn *conn, pbay_str bytes);
/* Now, with a reset when something was unsent. why may be NULL; copied. */
void pb_conn_abort(struct pb_conn *conn, const struct pb_err *why);

/* "203.0.113.7:51034", "[2001:db8::1]:51034"; borrowed as long as conn. */
pbay_str pb_conn_peer(const struct pb_conn *conn);
/* Subject of the peer's verified certificate, RFC 2253; empty without one. */
pbay_str pb_conn_tls_subject(const struct pb_conn *conn);
/* "h2", "http/1.1" or empty. */
pbay_str pb_conn_alpn(const struct pb_conn *conn);
bool pb_conn_is_tls(const struct pb_conn *conn);
const char *pb_conn_listener(const struct pb_conn *conn);
struct pb_loop *pb_conn_loop(const struct pb_conn *conn);

/* Lines about what clients did, of one kind and thread: who keeps trying must not fill the disk. */
struct pb_warnings {
    int64_t since_ns, unsaid;
    unsigned n;
};
/* At most so many within a second; *unsaid: how many were not said since the last. */
bool pb_conn_may_warn(struct pb_warnings *w, unsigned most, int64_t *unsaid);

/*
 * One warning that says who spoke what to which listener and what to change; at most one a second per kind is
 * written and the next says how many were not. came: "HTTP/1.1", "TLS", ...; advice: one sentence. Borrowed
 * literals.
 */
void pb_conn_wrong_protocol(const struct pb_conn *conn, const char *came, const char *advice);
