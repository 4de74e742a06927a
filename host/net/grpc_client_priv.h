/* SPDX-License-Identifier: MIT */
/*
 * What the files of the gRPC client share; nobody else includes it.
 *
 *   grpc_client.c  HTTP/2 and calls: bytes in, bytes out
 *   grpc_dial.c    the socket, TLS, waiting
 */
#pragma once

#include <nghttp2/nghttp2.h>

#include "base/arena.h"
#include "net/grpc.h"
#include "net/grpc_client.h"

enum { PB_GRPC_CLIENT_MAGIC = 0x47434c49, PB_GRPC_STREAM_MAGIC = 0x47435354, PB_H2_FRAME_HEAD = 9 };

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;

/* A connected socket. */
struct pb_dial {
    int fd; /* -1: none */
    int wake_fd;
    SSL_CTX *ctx;
    SSL *ssl;        /* NULL: plain */
    char *address;   /* as given, for messages */
    char *host;      /* without port and brackets */
    bool want_write; /* TLS can go on only when the socket takes bytes */
    bool more;       /* there may be bytes that poll() does not know of */
};

/* Connect, shake hands; deadline in monotonic nanoseconds. -1 with err; free in any case. */
int pb__dial_open(struct pb_dial *d, const struct pb_grpc_client_options *o, int64_t deadline,
                  struct pb_err *err);
void pb__dial_free(struct pb_dial *d);
/* Bytes read (0: none now), -1 with err: the end. */
long pb__dial_read(struct pb_dial *d, char *p, size_t n, struct pb_err *err);
long pb__dial_write(struct pb_dial *d, const char *p, size_t n, struct pb_err *err);
/*
 * Wait until it can be read, or written when asked. 1: something can be done; 0: the deadline passed; -1:
 * woken, and perhaps something can be done.
 */
int pb__dial_wait(struct pb_dial *d, bool write, int64_t deadline);

struct pb_grpc_client {
    uint32_t magic;
    struct pb_dial io;
    nghttp2_session *h2;
    struct pb_grpc_stream *streams;
    char *authority;
    size_t max_message, window;
    struct pb_buf out; /* frames on their way to the socket */
    size_t out_at;
    uint8_t head[PB_H2_FRAME_HEAD]; /* the first bytes: is it HTTP/2 at all? */
    size_t n_head;
    bool is_h2, settings;
    bool lost;
    struct pb_err why;    /* of lost */
    struct pb_err goaway; /* code 0: none */
    char *read_buf;
};

struct pb_grpc_field {
    pbay_str name, value;
};

struct pb_grpc_stream {
    uint32_t magic;
    struct pb_grpc_client *client; /* NULL: the call could not be begun */
    struct pb_grpc_stream *next, **link;
    int32_t id;
    int64_t deadline;

    struct pb_buf out; /* framed messages */
    size_t out_at;
    bool ended, deferred, half_closed;

    struct pb_buf in; /* bytes of messages not taken */
    size_t in_at;
    size_t owed; /* of the server's window */
    struct pb_grpc_reader reader;

    struct pb_arena arena;
    struct pb_grpc_field *fields;
    size_t n_fields, fields_cap;
    bool answered, closed, finished;
    struct pb_err status;
};

/* Bytes from the server. -1 with err: it does not speak HTTP/2, or breaks it. */
int pb__grpc_client_feed(struct pb_grpc_client *c, const char *p, size_t n, struct pb_err *err);
/* Frames to c->out, about 256 KiB. */
int pb__grpc_client_fill(struct pb_grpc_client *c, struct pb_err *err);
/* A session without a socket; window and limits set. */
void pb__grpc_client_session(struct pb_grpc_client *c);
/* The connection is gone: every stream ends. */
void pb__grpc_client_lose(struct pb_grpc_client *c, const struct pb_err *why);
/* Streams whose time is up end; returns the next deadline. */
int64_t pb__grpc_client_expire(struct pb_grpc_client *c);
