/* SPDX-License-Identifier: MIT */
/* Inside of the HTTP server: http_server.c (connections, HTTP/1), http_request.c (requests and responses). */
#pragma once

#include "loop/loop.h"
#include "net/conn.h"
#include "net/h1.h"
#include "net/http_server.h"

#define PB_HTTP_MAGIC 0x70624833u

enum pb_http_state {
    PB_HTTP_IDLE,     /* between requests */
    PB_HTTP_READING,  /* head or body is being received */
    PB_HTTP_HANDLING, /* the handler has it whole */
    PB_HTTP_DONE,     /* the response is complete */
};

struct pb_http_conn;

/* One at a time per HTTP/1 connection, so it is part of it. */
struct pb_http_request {
    uint32_t magic;
    struct pb_http_conn *hc;
    void *user;
    bool known; /* head() or request() was called for it */
    bool begun; /* response headers are in the output */
    bool chunked, no_body, close;
    bool wants_writable;
    size_t max_body;
    struct pb_buf body;
    pbay_header *headers;
    size_t n_headers, headers_cap;
};

struct pb_http_conn {
    struct pb_http_server *server;
    struct pb_http_conn *next, *prev;
    struct pb_conn *conn;
    enum pb_http_state state;
    bool dead; /* nothing is read any more: an error was answered, or the client has ended */
    bool established, in_next, paused;
    struct pb_h1 h1;
    struct pb_buf held; /* bytes that came while a request was being handled */
    struct pb_buf out;
    struct pb_deadline phase;
    int phase_status; /* what a passed phase deadline is answered with; 0: nothing, just close */
    struct pb_defer go_on;
    struct pb_http_request req;
};

struct pb_http_server {
    struct pb_loop *loop;
    char *name;
    struct pb_http_options o;
    const struct pb_http_ops *ops;
    void *user;
    struct pb_http_conn *conns;
    uint64_t n_conns;
    bool draining;
    void (*drained)(void *user);
    void *drained_user;
    struct pb_defer drained_defer;
    int64_t date_s; /* of date */
    char date[40];
};

/* The response is complete: keep the connection or close it. */
void pb__http_complete(struct pb_http_request *req);
/* "Sat, 21 Nov 2026 08:00:00 GMT", renewed once a second. */
const char *pb__http_date(struct pb_http_server *server);
/* Answer with an error that is not the handler's, and close. */
void pb__http_refuse(struct pb_http_conn *hc, int status, const char *why);
