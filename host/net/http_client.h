/* SPDX-License-Identifier: MIT */
/*
 * HTTP client: libcurl's multi interface on the loop, over pooled and kept-alive connections.
 *
 * Nobody is called from inside curl or from inside his own call: what curl says is noted, and delivered from
 * the run queue. So a callback may send, cancel and credit as it likes. Threads: the loop's.
 *
 *   exchange   one request and its reply; a generation-checked number, 0 is never one
 *   credit     how much of a streamed reply its reader has used up; without it the exchange stops
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/err.h"
#include "loop/loop.h"

struct pb_http_client;
struct pb_outgoing;

/* Texts are copied. Zero-initialised: the defaults. */
struct pb_http_client_conf {
    uint32_t max_connections;           /* kept and open, in all; 0: 1024 */
    uint32_t max_host_connections;      /* to one host and port; more requests wait for one; 0: 256 */
    const struct pb_outgoing *outgoing; /* borrowed; NULL: what the variables say */
    const char *user_agent;             /* NULL: "patchbay/VERSION"; "": none */
};

/* Returns owned, or NULL with err. */
struct pb_http_client *pb_http_client_new(struct pb_loop *loop, const struct pb_http_client_conf *conf,
                                          struct pb_err *err);
/*
 * Every exchange ends with PBAY_CANCELLED; then connections close, the client frees itself and closed(user)
 * is called (NULL is fine). Nothing may be sent from now on.
 */
void pb_http_client_close(struct pb_http_client *c, void (*closed)(void *user), void *user);

/* The values of PBAY_HTTP_* (patchbay/host_http.h). */
enum pb_fetch_flags {
    PB_FETCH_STREAM_BODY = 1,
    PB_FETCH_STREAM_REPLY = 2,
    PB_FETCH_CONFIGURED = 4,
    PB_FETCH_METADATA = 8,
};

enum { PB_FETCH_WINDOW = 256 * 1024 };

struct pb_fetch_request {
    uint32_t flags;
    uint32_t n_headers;
    pbay_str method;
    pbay_str url; /* absolute, percent-encoded */
    const pbay_header *headers;
    pbay_str body;              /* borrowed until on_done; ignored with STREAM_BODY */
    int64_t body_length;        /* with STREAM_BODY: its length, or -1: chunked */
    int64_t timeout_ms;         /* whole exchange; 0: 60 s */
    int64_t connect_timeout_ms; /* 0: 10 s */
    uint64_t max_reply;         /* bytes of the collected reply, decoded; 0: 32 MiB */
    const struct pb_outgoing
        *outgoing; /* proxy and trust of this request; borrowed until on_done; NULL: the client's */
};

/* Borrowed until the callback returns. */
struct pb_fetch_reply {
    int32_t status; /* 0: there was no reply */
    uint32_t n_headers;
    const pbay_header *headers; /* names in lower case */
    bool connection_reused;
    pbay_str body;
    /* How the exchange went: PBAY_OK whenever a whole reply came. effect: NONE when the request was not sent.
     */
    pbay_result result;
};

struct pb_fetch_events {
    void (*on_head)(void *user, uint64_t exchange, const struct pb_fetch_reply *reply); /* may be NULL */
    void (*on_data)(void *user, uint64_t exchange, pbay_str piece); /* with STREAM_REPLY */
    void (*on_writable)(void *user, uint64_t exchange);             /* may be NULL */
    void (*on_done)(void *user, uint64_t exchange, const struct pb_fetch_reply *reply); /* exactly once */
};

/* Begin. 0 with err when it is not allowed or malformed: then no callback comes. `request` is borrowed until
 * return. */
uint64_t pb_fetch_send(struct pb_http_client *c, const struct pb_fetch_request *request,
                       const struct pb_fetch_events *events, void *user, struct pb_err *err);
/*
 * STREAM_BODY: copies. PBAY_OK; PBAY_LATER: taken, but wait for on_writable; PBAY_CANCELLED: stale.
 * PBAY_OUT_OF_RANGE: more than body_length said; the exchange is cancelled.
 */
int32_t pb_fetch_write(struct pb_http_client *c, uint64_t exchange, pbay_str piece);
void pb_fetch_finish(struct pb_http_client *c, uint64_t exchange);
/* STREAM_REPLY: n bytes were used up. At most about PB_FETCH_WINDOW bytes wait unconfirmed. */
void pb_fetch_credit(struct pb_http_client *c, uint64_t exchange, size_t n);
/* on_done comes with PBAY_CANCELLED, outside this call. */
void pb_fetch_cancel(struct pb_http_client *c, uint64_t exchange);

/* Exchanges that have not ended. */
uint32_t pb_fetch_in_flight(const struct pb_http_client *c);
