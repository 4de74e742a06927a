/* SPDX-License-Identifier: MIT */
/*
 * From a host and a port to a connection that is ready to use: the name is looked up, its addresses are
 * checked (net/http_rules.h) and tried one after another, or a proxy is asked by CONNECT (RFC 9110, 9.3.6),
 * then TLS with the host's certificate verified. For WebSockets and streams; HTTP requests leave by
 * net/http_client.h. Threads: [loop].
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/err.h"

struct pb_conn;
struct pb_connect;
struct pb_loop;
struct pb_outgoing;

/* Texts are copied. */
struct pb_connect_options {
    pbay_str host; /* a name or a literal address, without brackets */
    uint16_t port;
    bool tls;
    bool metadata;                /* link-local addresses are allowed, proxies are not used */
    const char *alpn;             /* the protocol that TLS offers, or NULL; borrowed, a literal */
    const char *protocol;         /* for log lines; borrowed, a literal */
    int64_t timeout_ms;           /* all of it; 0: 10 s */
    struct pb_outgoing *outgoing; /* borrowed until done */
};

/*
 * Begin. done(user, conn, err) comes once, on a later turn, unless it is cancelled: conn owned, started, and
 * with an owner that pb_conn_hand_over must set at once (what has been read already comes to it afterwards);
 * or NULL and err, whose effect is NONE. Returns NULL with err when it is not allowed: then done does not
 * come.
 */
struct pb_connect *pb_connect_start(struct pb_loop *loop, const struct pb_connect_options *options,
                                    void (*done)(void *user, struct pb_conn *conn, const struct pb_err *err),
                                    void *user, struct pb_err *err);
/* Before done; it does not come any more. */
void pb_connect_cancel(struct pb_connect *c);
