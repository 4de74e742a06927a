/* SPDX-License-Identifier: MIT */
/*
 * HTTP requests as callbacks: a whole request in, a response out, whole or in pieces. HTTP/1.1, HTTP/1.0 and
 * HTTP/2 (RFC 9110, 9112, 9113) come in on the same port, with and without TLS; nothing here tells which it
 * is.
 *
 * Life of a request: head? when its headers are there, request when its body is there too, then exactly one
 * of: the response is complete (pb_http_respond, pb_http_end), or gone() is called because the client left.
 * The pointer is dead after that: do not use it after pb_http_respond or pb_http_end either. gone() never
 * comes from inside a pb_http_* function. Threads: [loop].
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/buf.h"
#include "base/err.h"

struct pb_conn;
struct pb_http_request;
struct pb_http_server;
struct pb_loop;

struct pb_http_ops {
    /* Headers are there, the body is not: a place to set a body limit, or to answer without reading it. NULL:
     * nothing. */
    void (*head)(void *user, struct pb_http_request *req);
    /* The whole request. A response is owed, now or later. */
    void (*request)(void *user, struct pb_http_request *req);
    /* The client left before the response was complete. Only after head or request was called for it. NULL:
     * nothing. */
    void (*gone)(void *user, struct pb_http_request *req);
    /* pb_http_write() had returned false, and output has left. NULL: nothing. */
    void (*writable)(void *user, struct pb_http_request *req);
};

/* Zero-initialised members take the default in parentheses. */
struct pb_http_options {
    size_t max_body;      /* bytes; more: 413 (16 MiB) */
    size_t max_bodies;    /* bytes of all requests' bodies at once; more: 429, but for short ones (512 MiB) */
    uint32_t max_head;    /* bytes of request line and headers; more: 431 (64 KiB) */
    uint32_t max_streams; /* requests at once on an HTTP/2 connection (128) */
    size_t pack_min;  /* bytes; longer bodies of text are compressed for those who take it (1 KiB); SIZE_MAX:
                         none */
    int64_t head_ms;  /* from its first byte until a head is complete; then 408 (10 s) */
    int64_t body_ms;  /* between two pieces of a body; then 408 (30 s). After so long it must come with 256
                         bytes a second */
    int64_t write_ms; /* a client that takes nothing of a response for so long is given up (60 s) */
    int64_t idle_ms;  /* a kept-alive connection without a request is closed (75 s) */
    size_t low, high; /* watermarks of a streamed response (256 KiB, 1 MiB) */
};

/* Returns owned; options may be NULL, ops are borrowed as long as it. name is for log lines; copied. */
struct pb_http_server *pb_http_server_new(struct pb_loop *loop, const char *name,
                                          const struct pb_http_options *options,
                                          const struct pb_http_ops *ops, void *user);
/* Serve a connection; takes conn. For pb_listener_options.take. */
void pb_http_server_take(struct pb_http_server *server, struct pb_conn *conn);
/* Idle connections close, others after their response; drained(user) when none is left, on a later turn. */
void pb_http_server_drain(struct pb_http_server *server, void (*drained)(void *user), void *user);
/* gone() for every open request, connections aborted, the server freed. */
void pb_http_server_free(struct pb_http_server *server);
uint64_t pb_http_server_conns(const struct pb_http_server *server);

/* ------------------------------------------------------------------------------------------------ the
 * request */

/* Borrowed as long as the request. */
pbay_str pb_http_method(const struct pb_http_request *req); /* as sent: "POST" */
pbay_str pb_http_path(
    const struct pb_http_request *req); /* as sent, percent-encoded, without query; or "*" */
pbay_str pb_http_query(const struct pb_http_request *req); /* as sent, without '?'; empty: none */
pbay_str pb_http_host(const struct pb_http_request *req);  /* host[:port] it was sent to */
pbay_str pb_http_body(const struct pb_http_request *req);  /* as received: content codings are not undone */
/* The body becomes the caller's, at the place where it is: for who still needs it when the request ends. */
struct pb_buf pb_http_take_body(struct pb_http_request *req);
/*
 * The body with its content coding (gzip, deflate) undone, appended to out; at most max bytes come out. 0; or
 * with err the status to answer with: 400 damaged, 413 more than max, 415 another coding.
 */
int pb_http_decode_body(const struct pb_http_request *req, size_t max, struct pb_buf *out,
                        struct pb_err *err);
/* The first field of this lower-case name, p NULL when absent. */
pbay_str pb_http_header(const struct pb_http_request *req, const char *name);
/* All fields, names in lower case; borrowed. */
const pbay_header *pb_http_headers(const struct pb_http_request *req, size_t *n);
pbay_str pb_http_peer(const struct pb_http_request *req);
pbay_str pb_http_tls_subject(const struct pb_http_request *req);
bool pb_http_is_tls(const struct pb_http_request *req);
void pb_http_set_user(struct pb_http_request *req, void *user);
void *pb_http_user(const struct pb_http_request *req);
/* In head(): this request's limit instead of max_body. */
void pb_http_limit_body(struct pb_http_request *req, size_t max_body);
size_t pb_http_body_limit(const struct pb_http_request *req);

/* ------------------------------------------------------------------------------------------------ the
 * response */

/*
 * The whole response; copies. Content-Length, Date and Connection are set here and ignored among the headers,
 * as are fields whose name or value HTTP does not allow (CR, LF, NUL). To HEAD the body is counted and not
 * sent. Text (by Content-Type) of at least pack_min bytes is compressed for clients that accept it, unless
 * there is a Content-Encoding already or Cache-Control says no-transform; long bodies over several turns.
 */
void pb_http_respond(struct pb_http_request *req, int status, const pbay_header *headers, size_t n,
                     pbay_str body);
/* text/plain, one line. */
void pb_http_respond_text(struct pb_http_request *req, int status, const char *text);
/* A response in pieces: begin, write*, end. Write takes the buffer's memory; false: wait for writable(). */
void pb_http_begin(struct pb_http_request *req, int status, const pbay_header *headers, size_t n);
bool pb_http_write(struct pb_http_request *req, struct pb_buf *piece);
void pb_http_end(struct pb_http_request *req);
/* "Not Found"; "" for a number it does not know. */
const char *pb_http_reason(int status);
