/* SPDX-License-Identifier: MIT */
/* Inside of h2, for h2.c and h2_stream.c. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "base/heap.h"
#include "net/h2.h"

struct pb_h2 {
    nghttp2_session *session;
    struct pb_heap heap; /* of the session */
    const struct pb_h2_ops *ops;
    void *user;
    uint32_t max_streams, stream_window, conn_window, max_header;
    uint32_t n_streams;
    struct pb_h2_stream *streams;
    struct pb_buf *out; /* while pulling */
    uint64_t frames, ping_acks;
    bool hush, held; /* nothing is sent after the next PING; it has been sent */
    struct pb_h2_chunk *chunks; /* free ones */
    struct pb_buf *bufs;        /* free memory of messages that have left */
    uint32_t n_bufs;
    char why[160]; /* nghttp2's last complaint */
};

/* For a session that lives as long as heap. */
nghttp2_mem pb__h2_mem(struct pb_heap *heap);
void pb__h2_put_field(struct pb_buf *text, struct pb_h2_field **fields, uint32_t *n, uint32_t *cap,
                      pbay_str name, pbay_str value);
/* Move n bytes of the stream's output to out. */
void pb__h2_take_output(struct pb_h2_stream *s, struct pb_buf *out, size_t n);
/* The connection does not know the stream any more; its output is dropped. */
void pb__h2_forget(struct pb_h2_stream *s);
void pb__h2_give_buf(struct pb_h2 *h2, struct pb_buf *b);
