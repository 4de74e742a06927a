/* SPDX-License-Identifier: MIT */
/* A gRPC client connection on nghttp2 over a non-blocking socket, as small as a load client allows: h2c with
 * prior knowledge, many calls at once, request bodies pulled in pieces, reply messages handed over whole. One
 * thread. Flow control is nghttp2's: a piece is sent only as far as the peer's windows allow, and windows are
 * given back as replies are read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nghttp2/nghttp2.h>

struct grpc_conn;
struct grpc_call;

enum grpc_pull { GRPC_PULL_MORE, GRPC_PULL_LAST, GRPC_PULL_WAIT };

struct grpc_call_ops {
    /* The next piece of the request: sets *data and *len (borrowed until the next pull or the end of the
     * call). LAST: nothing follows it. WAIT: nothing now, the request stays open. */
    enum grpc_pull (*pull)(struct grpc_call *call, const uint8_t **data, size_t *len);
    /* One whole reply message without its prefix, borrowed for the call. */
    void (*message)(struct grpc_call *call, const uint8_t *msg, size_t len);
    /* The end, exactly once per started call. `status` is grpc-status or -1 when none came; `h2_error` the
     * RST_STREAM code (0 for none). The call may be started again from here. */
    void (*done)(struct grpc_call *call, int status, uint32_t h2_error);
};

/* One call at a time; zeroed, then `ops` set, before first use. */
struct grpc_call {
    const struct grpc_call_ops *ops;
    struct grpc_conn *conn;
    int32_t stream_id;
    int status;
    char status_text[200];
    const uint8_t *out;
    size_t out_left;
    bool out_last, out_wait;
    uint8_t prefix[5];
    unsigned prefix_have;
    uint32_t msg_len;
    uint8_t *msg; /* owned; grows to the largest reply that came in pieces */
    size_t msg_have, msg_cap;
};

struct grpc_conn {
    int fd;
    nghttp2_session *h2;
    char authority[80];
    uint8_t *out;
    size_t out_off, out_len, out_cap;
    bool want_write; /* the socket is full */
    bool closed;     /* by the peer or by an error; `why` says which */
    char why[160];
    uint32_t goaway; /* error code + 1 of a GOAWAY received */
};

struct grpc_conn_options {
    uint32_t window;    /* stream window offered to the server, bytes */
    uint32_t max_frame; /* SETTINGS_MAX_FRAME_SIZE offered */
};

/* Connects to HOST:PORT; 0 or -1 with the reason on stderr. */
int grpc_conn_open(struct grpc_conn *c, const char *target, const struct grpc_conn_options *opt);
void grpc_conn_close(struct grpc_conn *c);

/* Starts a call of `path`. `extra` are the metadata fields (borrowed until the next flush). 0 or -1. */
int grpc_conn_start(struct grpc_conn *c, struct grpc_call *call, const char *path, const nghttp2_nv *extra,
                    size_t extra_count);
/* Ends a call with RST_STREAM(CANCEL); `done` comes on a later flush. */
void grpc_conn_cancel(struct grpc_conn *c, struct grpc_call *call);

/* Reads what is there and runs callbacks / writes what is due. False when the connection is closed. */
bool grpc_conn_read(struct grpc_conn *c);
bool grpc_conn_flush(struct grpc_conn *c);

void grpc_call_free(struct grpc_call *call);
