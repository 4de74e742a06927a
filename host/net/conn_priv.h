/* SPDX-License-Identifier: MIT */
/* Inside of a connection, for conn.c and conn_info.c. */
#pragma once

#include <uv.h>

#include "loop/loop.h"
#include "net/conn.h"
#include "net/tls.h"

#define PB_CONN_MAGIC 0x70624331u

enum pb_conn_state { PB_CONN_OPEN, PB_CONN_CLOSING, PB_CONN_DEAD };

struct pb_conn {
    uint32_t magic;
    enum pb_conn_state state;
    bool got_bytes, eof, paused;
    bool write_active; /* uv_write is on its way with `writing` */
    bool fill_done;    /* close_notify was written: nothing may follow */
    bool shut;         /* our side has ended */
    bool half;         /* our side is to end when all is sent; reading goes on */
    bool secured;      /* start_tls: ready() was called */
    bool truncated;    /* TLS: the peer ended without close_notify */
    bool has_why;
    struct pb_loop *loop;
    const struct pb_conn_ops *ops;
    void *user;
    struct pb_tls *tls_context;
    struct pb_tls_session *tls;
    char *listener;
    const char *protocol;
    int64_t handshake_ms;
    struct pb_buf out;     /* goes to the socket at the end of the turn */
    struct pb_buf plain;   /* TLS: what is to be encrypted */
    struct pb_buf writing; /* belongs to uv_write */
    size_t writing_left;   /* when it was last looked at */
    int64_t write_ms;      /* 0: no limit */
    struct pb_deadline stall;
    struct pb_defer flush;
    struct pb_deadline deadline; /* handshake, later lingering */
    struct pb_err why;
    void (*gone)(void *user);
    void *gone_user;
    void (*ready)(void *user);             /* of pb_conn_start_tls */
    void (*connected)(void *user, int rc); /* of pb_conn_connect, until it was called */
    char peer[64];
    uv_tcp_t tcp;
    union {
        uv_connect_t connect_req;
        uv_write_t write_req;
    };
    uv_shutdown_t shutdown_req;
};

void pb__conn_name_peer(struct pb_conn *c);
/* Cleartext bytes came where TLS is expected: warn, and answer in the peer's language if it has one. */
void pb__conn_plain_on_tls(struct pb_conn *c, const char *p, size_t n);
/* The handshake or a record failed. */
void pb__conn_tls_failed(struct pb_conn *c, const struct pb_err *err);
