/* SPDX-License-Identifier: MIT */
/*
 * The reply side of one streaming SSE call: rows become BundledRows messages of about 1 MiB, sent when full
 * or at the end of the turn; the cache header and the table description go before them; the status after.
 * Threads: the loop.
 */
#pragma once

#include <patchbay/functions.h>

#include "data/batch.h"
#include "loop/loop.h"
#include "net/grpc_server.h"

/* qlik-cache: no-store, for answers that the server makes without the method: a failed answer is never kept.
 */
extern const pbay_header pb_sse_not_kept;

struct pb_sse_reply {
    struct pb_grpc_call *grpc; /* NULL: the client is gone */
    struct pb_loop *loop;
    bool no_store; /* told already */
    bool full;     /* a message was one too many: hold until pb_sse_reply_writable */
    bool started;  /* a message was sent */
    struct pb_buf out;
    struct pb_defer flush;
};

void pb_sse_reply_open(struct pb_sse_reply *r, struct pb_loop *loop, struct pb_grpc_call *grpc,
                       bool no_store);
/* TableDescription of `LOAD ... EXTENSION`; before the first rows. */
void pb_sse_reply_describe(struct pb_sse_reply *r, pbay_str name, const pbay_field *fields, uint32_t n);
/* 0: taken. 1: taken, but hold. -1 with err: a row cannot be sent. first_row: its number in the answer, from
 * 0. */
int pb_sse_reply_rows(struct pb_sse_reply *r, const pbay_batch *batch, uint64_t first_row,
                      struct pb_err *err);
/* The gRPC call is writable again. */
void pb_sse_reply_writable(struct pb_sse_reply *r);
/* The status. no_store: Qlik must not keep what it got. */
void pb_sse_reply_finish(struct pb_sse_reply *r, const struct pb_err *err, bool no_store);
/* The client is gone, or all is sent: free. */
void pb_sse_reply_close(struct pb_sse_reply *r);
