/* SPDX-License-Identifier: MIT */
/* A listening socket, and what becomes of who connects. Threads: [loop]. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/attr.h"
#include "base/err.h"

struct pb_conn;
struct pb_listener;
struct pb_loop;
struct pb_tls;

struct pb_listener_options {
    const char *name;     /* "sse", for log lines; copied */
    const char *address;  /* "0.0.0.0:50058", "[::]:50058", "localhost:0"; port 0 picks a free one */
    const char *protocol; /* "gRPC (HTTP/2)", what is expected here; a literal */
    struct pb_tls *tls;   /* NULL: cleartext. Referenced */
    int backlog;          /* 0: as many as the system allows */
    uint32_t max_conns;   /* open at once; more are closed at once, with a warning; 0: 4096 */
    /* A connection is there, its TLS handshake is not: takes conn (pb_grpc_server_take, pb_http_server_take).
     */
    void (*take)(void *user, struct pb_conn *conn);
    void *user;
    /* A connection, or what did not become one, has ended; may come after pb_listener_close. NULL: nobody is
     * told. */
    void (*gone)(void *user);
    void *gone_user;
    /*
     * May this peer ("203.0.113.7:51034") have one more connection? False: it is closed at once, and one
     * warning a second says so. *ticket, 0 at first, comes back when the connection has ended; also after
     * pb_listener_close. NULL: everybody may.
     */
    bool (*admit)(void *user, pbay_str peer, uint64_t *ticket);
    void (*leave)(void *user, uint64_t ticket);
    void *admit_user;
};

/* Returns owned, or NULL with err, which names the address. */
struct pb_listener *pb_listener_open(struct pb_loop *loop, const struct pb_listener_options *options,
                                     struct pb_err *err);
/*
 * The same without a socket of its own: address is only a name, connections come from pb_listener_adopt().
 */
struct pb_listener *pb_listener_for_fds(struct pb_loop *loop, const struct pb_listener_options *options);
/* A connected descriptor, as if it had been accepted here. Takes fd, also on failure. */
int pb_listener_adopt(struct pb_listener *l, int fd, struct pb_err *err) PB_NODISCARD;
/* Where it really listens: "127.0.0.1:41235", "[::]:50058". */
pbay_str pb_listener_address(const struct pb_listener *l);
uint16_t pb_listener_port(const struct pb_listener *l);
/* Accept no more; connections are untouched and may outlive it. */
void pb_listener_close(struct pb_listener *l); /* NULL is fine */
