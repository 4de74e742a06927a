/* SPDX-License-Identifier: MIT */
/* Inside of the gRPC server: grpc_server.c (server and connections), grpc_call.c (calls). */
#pragma once

#include "base/map.h"
#include "loop/loop.h"
#include "net/conn.h"
#include "net/grpc.h"
#include "net/grpc_server.h"
#include "net/h2.h"

#define PB_GRPC_CALL_MAGIC 0x70624732u

struct pb_grpc_method {
    struct pb_grpc_method *next;
    char *path;
    const struct pb_grpc_ops *ops;
    void *user;
};

/*
 * How a connection drains. Some clients fail a call that they begin between the moment a GOAWAY comes in and
 * the one in which all of the library knows of it (gRPC's C++ library up to 1.51 at least). Most begin a call
 * when another is answered, so around the notice nothing is answered: those that have just been answered
 * begin their next call before it, and the others after.
 */
enum pb_grpc_drain {
    PB_GRPC_STAYS,
    PB_GRPC_HUSH,   /* nothing is sent for HUSH_MS */
    PB_GRPC_TOLD,   /* the notice and a PING have been sent, nothing is sent behind them for HEARD_MS */
    PB_GRPC_HEARD,  /* the PING was answered; HUSH_MS more */
    PB_GRPC_UNSURE, /* it was not answered in time: answers go on, and the final GOAWAY waits for it longer */
    PB_GRPC_LEAVES, /* the final GOAWAY was sent: the connection closes after the last call */
};

struct pb_grpc_conn {
    struct pb_grpc_server *server;
    struct pb_grpc_conn *next, *prev;
    struct pb_conn *conn;
    struct pb_h2 *h2;
    bool preface_seen, failed;
    enum pb_grpc_drain drain;
    uint64_t acks;             /* PB_GRPC_TOLD and later: PINGs that had been answered when it began */
    char first[PB_H2_PREFACE]; /* until the preface is recognised */
    uint32_t first_n;
    struct pb_defer check;     /* after calls ended: may the connection be closed? */
    struct pb_deadline upkeep; /* idle, ping, and the second GOAWAY of a drain */
    uint64_t frames_seen, acks_seen;
    bool ping_sent;
    int64_t quiet_since;
    struct pb_err why;
};

enum pb_grpc_state {
    PB_GRPC_OPENING,  /* headers are being received */
    PB_GRPC_OPEN,     /* the method has it */
    PB_GRPC_FINISHED, /* pb_grpc_finish was called; the method waits for closed() */
    PB_GRPC_DEAD,     /* closed() was called, or never opened */
};

struct pb_grpc_call {
    struct pb_h2_stream s; /* first member: the two are one object */
    uint32_t magic;
    uint8_t state; /* enum pb_grpc_state */
    bool wants_writable, compress, sent_any, accepts_gzip, got_unary;
    struct pb_grpc_conn *conn; /* NULL after the stream is gone */
    struct pb_grpc_server *server;
    const struct pb_grpc_method *method;
    const struct pb_grpc_ops *ops;
    void *user;
    int64_t started, deadline_ns;
    struct pb_deadline deadline;
    struct pb_grpc_reader reader;
    struct pb_buf unary;
    struct pb_buf reply_text; /* initial metadata: name, value pairs */
    struct pb_h2_field *reply;
    uint32_t n_reply, reply_cap;
    struct pb_grpc_call *next_free;
};

struct pb_grpc_server {
    struct pb_loop *loop;
    char *name;
    struct pb_grpc_options o;
    struct pb_map methods;
    struct pb_grpc_method *first_method, **last_method;
    const struct pb_grpc_method *recent; /* most calls go where the last one went */
    struct pb_grpc_conn *conns;
    struct pb_grpc_call *free_calls;
    uint32_t n_free;
    struct pb_grpc_stats stats;
    bool draining;
    void (*drained)(void *user);
    void *drained_user;
    struct pb_defer drained_defer;
};

extern const struct pb_h2_ops pb__grpc_h2_ops;

/* The method forgets the call; the stream may go on to its end. */
void pb__grpc_call_closed(struct pb_grpc_call *call, enum pb_grpc_closed reason);
void pb__grpc_call_free(struct pb_grpc_call *call);
const struct pb_grpc_method *pb__grpc_find(struct pb_grpc_server *server, pbay_str path);
