/* SPDX-License-Identifier: MIT */
/*
 * Inside of the HTTP server: http_server.c (the server), http1.c and http2.c (connections), http_request.c
 * (what a handler reads), http_reply.c (what it answers).
 */
#pragma once

#include "loop/loop.h"
#include "net/conn.h"
#include "net/h1.h"
#include "net/h2.h"
#include "net/http_server.h"

#define PB_HTTP_MAGIC 0x70624833u

enum { PB_HTTP_BODY_KEEP = 64 * 1024 };

enum pb_http_state {
    PB_HTTP_IDLE,     /* between requests */
    PB_HTTP_READING,  /* head or body is being received */
    PB_HTTP_HANDLING, /* the handler has it whole */
    PB_HTTP_DONE,     /* the response is complete */
};

struct pb_http_packer;
struct pb_http_request;

/* How a response gets onto a connection. */
struct pb_http_wire {
    /* Status and headers, which are fit to be sent. length: of the body; -1: it comes in pieces. */
    void (*head)(struct pb_http_request *req, int status, const pbay_header *headers, size_t n,
                 int64_t length);
    void (*piece)(struct pb_http_request *req, struct pb_buf *piece); /* takes */
    void (*end)(struct pb_http_request *req);                         /* req may be gone when it returns */
    size_t (*unsent)(const struct pb_http_request *req);
};

struct pb_http_request {
    uint32_t magic;
    uint8_t state; /* enum pb_http_state */
    bool http10;
    bool known; /* head() or request() was called for it */
    bool begun; /* response headers are in the output */
    bool no_body, wants_writable;
    const struct pb_http_wire *wire;
    struct pb_http_server *server;
    struct pb_conn *conn;
    void *user;
    pbay_str method, target, host; /* as the connection has them */
    size_t max_body;
    int64_t body_since; /* when its body was begun to be waited for */
    size_t counted;     /* bytes of its body in server->bodies */
    struct pb_buf body;
    pbay_header *headers;
    size_t n_headers, headers_cap;
    struct pb_http_packer *packer; /* the response is being compressed; NULL: it is not */
};

struct pb_http_conn;
struct pb_http_conn_kind {
    void (*drain)(struct pb_http_conn *c); /* no more requests; close when those that are here are answered */
    /* gone() for its requests; c is unlinked already and is freed when its connection has closed. */
    void (*leave)(struct pb_http_conn *c);
};

/* First member of both kinds of connections. */
struct pb_http_conn {
    const struct pb_http_conn_kind *kind;
    struct pb_http_server *server; /* NULL: it has left */
    struct pb_http_conn *next, *prev;
    struct pb_conn *conn;
};

struct pb_http_server {
    struct pb_loop *loop;
    char *name;
    struct pb_http_options o;
    const struct pb_http_ops *ops;
    void *user;
    struct pb_http_conn *conns;
    uint64_t n_conns;
    size_t bodies; /* bytes that its requests hold */
    bool draining;
    void (*drained)(void *user);
    void *drained_user;
    struct pb_defer drained_defer;
    int64_t date_s; /* of date */
    char date[40];
};

void pb__http_link(struct pb_http_server *server, struct pb_http_conn *c);
/* Out of the server's list: kind->leave, and drained when it was the last. */
void pb__http_unlink(struct pb_http_conn *c);
/* "Sat, 21 Nov 2026 08:00:00 GMT", renewed once a second. */
const char *pb__http_date(struct pb_http_server *server);
/* {"error":{"code":"...","message":"..."}} for a request that no handler answers. */
void pb__http_error_body(int status, const char *why, struct pb_buf *out);

/* A connection that has read nothing yet; takes conn. HTTP/2 goes on to pb__http2_take. */
void pb__http1_take(struct pb_http_server *server, struct pb_conn *conn);
/* The first bytes are HTTP/2's: p, n is all that has been read. conn has been another's. */
void pb__http2_take(struct pb_http_server *server, struct pb_conn *conn, const char *p, size_t n);

/* Pieces come in time, but so few that the whole would take for ever: below 256 bytes a second after body_ms.
 */
bool pb__http_body_crawls(const struct pb_http_request *req);
/*
 * May its body grow by n bytes, beside those of all other requests? Then they are counted until
 * pb__http_body_forget. One alone may, and so may a short one: who holds much does not keep out the many who
 * want little.
 */
bool pb__http_body_fits(struct pb_http_request *req, size_t n);
/* It has been used. Only while the server is there. */
void pb__http_body_forget(struct pb_http_request *req);
/* Output of a response has left: go on with it, or tell the handler. */
void pb__http_writable(struct pb_http_request *req);
/* The client has left, or the connection is done with it: what http_reply.c keeps is freed. */
void pb__http_reply_drop(struct pb_http_request *req);
/* Ready for another request; memory is kept. */
void pb__http_request_reset(struct pb_http_request *req);
