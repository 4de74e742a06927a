/* SPDX-License-Identifier: MIT */
/* Inside of the HTTP server's HTTP/2: http2.c (connections), http2_stream.c (requests). */
#pragma once

#include "net/http_priv.h"

enum { PB_HTTP2_KEEP_STREAMS = 16, PB_HTTP2_REST_AFTER_MS = 5000 };

struct pb_http2 {
    struct pb_http_conn c; /* first */
    struct pb_h2 *h2;
    bool draining, failed, rested;
    uint64_t acks;            /* draining: PINGs that had been answered when it began */
    size_t bodies;            /* bytes of the bodies of all streams */
    struct pb_deadline phase; /* idleness; the second GOAWAY of a drain */
    struct pb_defer check;    /* may the connection be closed? */
    struct pb_http2_stream *idle;
    uint32_t n_idle;
};

struct pb_http2_stream {
    struct pb_h2_stream s; /* first: the two are one object */
    struct pb_http_request req;
    struct pb_http2 *hc;
    struct pb_http2_stream *next;
    size_t counted;           /* bytes of its body in hc->bodies */
    struct pb_deadline phase; /* header block, body, output */
    int phase_status;         /* of a request that did not come in time; 0: of output that is not taken */
};

/* A connection's streams; user is the connection. */
extern const struct pb_h2_ops pb__http2_ops;
void pb__http2_want_write(struct pb_http2 *hc);
void pb__http2_stream_free(struct pb_http2_stream *t);
