/* SPDX-License-Identifier: MIT */
/* Inside of the HTTP client: http_client.c (sockets, timers, ends) and http_exchange.c (one request and its
 * reply). */
#pragma once

#include <curl/curl.h>
#include <uv.h>

#include "base/buf.h"
#include "base/handle.h"
#include "base/map.h"
#include "loop/loop.h"
#include "net/http_client.h"
#include "net/http_rules.h"
#include "net/outgoing.h"

enum { PB_FETCH_IDLE_MAX = 256, PB_FETCH_KEEP = 64 * 1024 };

/*
 * A socket that curl watches. Once a request has gone out on it, it keeps its poll handle while its
 * connection rests in the pool, so that the next request costs no epoll_ctl; we learn of its end by
 * pb__fetch_close_socket. Others (of the resolver, or of attempts to connect, which curl closes without a
 * word) are forgotten with CURL_POLL_REMOVE.
 */
struct pb_fetch_sock {
    uv_poll_t poll;
    struct pb_http_client *client;
    curl_socket_t fd;
    int want;    /* what curl asked for: CURL_POLL_IN, OUT, INOUT; 0: the connection rests */
    int polling; /* what uv watches: UV_READABLE | UV_WRITABLE; 0: nothing */
    bool served;
};

struct pb_fetch_line {
    uint32_t name, n_name, value, n_value; /* offsets into head */
};

struct pb_fetch_exchange {
    struct pb_http_client *client;
    struct pb_fetch_exchange *next; /* in the list of idle or of finished ones */
    struct pb_fetch_exchange *live_prev, *live_next;
    CURL *easy; /* kept from one use to the next */
    uint64_t handle;
    uint32_t flags;
    struct pb_fetch_events events;
    void *user;
    struct pb_defer deliver; /* head, pieces, room: to be told from the run queue */
    bool in_multi, over;
    bool head_ready, head_told, tell_writable;
    bool sent;   /* the request has begun to go out */
    bool resent; /* curl wanted to send it again on another connection */
    bool too_large, refused, paused_in, paused_out, unpause;
    bool body_finished, idempotent;
    const struct pb_proxy *proxy; /* on the way, or NULL */

    struct pb_buf url; /* NUL-terminated */
    struct pb_http_url parts;
    struct curl_slist *headers; /* nodes in slots, texts in lines */
    struct curl_slist *slots;
    uint32_t slots_cap;
    struct pb_buf lines;
    int64_t timeout_ms, connect_ms;
    uint64_t max_reply;

    struct pb_buf up; /* STREAM_BODY: what curl has not taken */
    size_t up_at;
    int64_t up_left; /* of body_length; -1: chunked */

    struct pb_buf head;
    struct pb_fetch_line *head_lines;
    uint32_t n_head_lines, head_lines_cap;
    pbay_header *reply_headers;
    uint32_t reply_headers_cap;
    struct pb_buf body; /* collected, or waiting to be delivered */
    size_t uncredited;  /* delivered and not credited */

    struct pb_err err;
    char curl_err[CURL_ERROR_SIZE];
};

struct pb_http_client {
    uint32_t magic;
    struct pb_loop *loop;
    CURLM *multi;
    struct pb_timer timer;
    struct pb_defer kick;         /* curl's timeout is now */
    struct pb_defer reap;         /* see which transfers ended, and tell */
    struct pb_fetch_sock **socks; /* by descriptor */
    uint32_t n_socks;
    uint32_t open_polls;
    struct pb_handles handles;
    struct pb_fetch_exchange *idle;
    uint32_t n_idle;
    struct pb_fetch_exchange *live;
    struct pb_fetch_exchange *finished, **finished_tail;
    struct pb_map warned;               /* hosts talked to without TLS */
    struct pb_outgoing *own;            /* made here */
    const struct pb_outgoing *outgoing; /* own, or borrowed */
    char *user_agent;
    bool closing;
    void (*closed)(void *user);
    void *closed_user;
};

/* Make the easy handle say what the request says. 0, or -1 with err. */
int pb__fetch_prepare(struct pb_fetch_exchange *ex, const struct pb_fetch_request *request,
                      struct pb_err *err);
/* Fill ex->err from how curl ended; PBAY_OK when a whole reply came. */
void pb__fetch_outcome(struct pb_fetch_exchange *ex, CURLcode rc);
/* The reply as collected so far; borrowed until the exchange changes. */
struct pb_fetch_reply pb__fetch_reply(struct pb_fetch_exchange *ex);
/* Queue the deliver node. */
void pb__fetch_tell(struct pb_fetch_exchange *ex);
/* curl's socket callbacks; clientp is the exchange for open, the client for close. */
curl_socket_t pb__fetch_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *addr);
int pb__fetch_close_socket(void *user, curl_socket_t fd);
