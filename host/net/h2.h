/* SPDX-License-Identifier: MIT */
/*
 * The server's side of an HTTP/2 connection (RFC 9113) over nghttp2. Sans I/O: bytes are fed and pulled.
 *
 * The user embeds struct pb_h2_stream in his own object per stream, so that a stream costs one pooled object.
 * Received DATA holds the flow-control windows until the user gives it back; what he queues for sending is
 * copied once, into the connection's output. Threads: one at a time.
 *
 * Callbacks come from inside pb_h2_feed and pb_h2_pull only. In them the user may call any function for any
 * stream but pb_h2_feed, pb_h2_pull and pb_h2_free.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/buf.h"
#include "base/err.h"

struct pb_h2;
struct pb_h2_stream;

/* "PRI * HTTP/2.0..." */
enum { PB_H2_PREFACE = 24 };
/* Do the bytes begin (as far as they go) like a client's connection preface? */
bool pb_h2_is_preface(const char *p, size_t n);

struct pb_h2_field {
    uint32_t name, name_n, value, value_n; /* places in the stream's text */
};

struct pb_h2_chunk {
    struct pb_h2_chunk *next;
    struct pb_buf buf;
    size_t at;       /* bytes of buf that have left */
    uint8_t head[8]; /* goes before buf */
    uint8_t head_n, head_at;
};

struct pb_h2_stream {
    struct pb_h2 *h2;
    struct pb_h2_stream *next, *prev; /* streams of the connection */
    int32_t id;
    bool headers_done;  /* request headers are complete */
    bool headers_large; /* they passed the limit: some are missing */
    bool remote_end;    /* END_STREAM received */
    bool responded;     /* response headers were submitted */
    bool finished;      /* nothing will be added to the output */
    bool waiting;       /* nghttp2 waits for output */
    bool reset;         /* we have submitted RST_STREAM */
    bool lingers;       /* set by the user: a request that goes on after its response is not reset at once */
    uint32_t owed;      /* bytes of DATA not given back */
    struct pb_buf text; /* of the fields */
    struct pb_h2_field *fields;
    uint32_t n_fields, fields_cap;
    size_t header_bytes; /* as SETTINGS_MAX_HEADER_LIST_SIZE counts them */
    struct pb_h2_chunk *first, **last;
    size_t unsent;
    struct pb_buf trailer_text;
    struct pb_h2_field *trailers; /* sent after the output; submitted when it has left */
    uint32_t n_trailers, trailers_cap;
    bool has_trailers;
};

struct pb_h2_ops {
    /* A request begins. Returns the embedded stream, zeroed or reset with pb_h2_stream_reset; NULL: refuse
     * it. */
    struct pb_h2_stream *(*open)(void *user);
    /* Request headers are complete. */
    void (*headers)(struct pb_h2_stream *s);
    /* DATA, borrowed. s->owed has been raised by n. */
    void (*data)(struct pb_h2_stream *s, const char *p, size_t n);
    /* END_STREAM. */
    void (*end)(struct pb_h2_stream *s);
    /* Output of n bytes has moved to the connection. */
    void (*sent)(struct pb_h2_stream *s, size_t n);
    /* Over: h2_code is 0 after an orderly end on both sides. s is forgotten by the connection. */
    void (*close)(struct pb_h2_stream *s, uint32_t h2_code);
};

struct pb_h2_options {
    uint32_t max_streams, stream_window, conn_window, max_header; /* 0: 1024, 1 MiB, 64 MiB, 256 KiB */
};

/* Returns owned. ops and user are borrowed as long as it. */
struct pb_h2 *pb_h2_server_new(const struct pb_h2_options *options, const struct pb_h2_ops *ops, void *user);
/* close() is called for every stream left, with code CANCEL (8). */
void pb_h2_free(struct pb_h2 *h2);
void *pb_h2_user(const struct pb_h2 *h2);

/* Bytes in. 0; or -1 with err when the connection cannot go on (pull what is left, e.g. GOAWAY, then close
 * it). */
int pb_h2_feed(struct pb_h2 *h2, const char *p, size_t n, struct pb_err *err) PB_NODISCARD;
/* Bytes out, appended until out holds about limit bytes. 1: there is more; 0: no; -1 with err. */
int pb_h2_pull(struct pb_h2 *h2, struct pb_buf *out, size_t limit, struct pb_err *err) PB_NODISCARD;
/* Is there something to pull? */
bool pb_h2_wants_write(struct pb_h2 *h2);
/* Neither reads nor writes are wanted: close the connection. */
bool pb_h2_done(struct pb_h2 *h2);
uint32_t pb_h2_streams(const struct pb_h2 *h2);
struct pb_h2_stream *pb_h2_first_stream(const struct pb_h2 *h2);

/*
 * Tell the client to open no more streams, without refusing those on their way; then, a round trip later,
 * finally: a PING follows the notice, and its answer comes behind all that was opened before (RFC 9113, 6.8).
 */
void pb_h2_goaway_notice(struct pb_h2 *h2);
void pb_h2_goaway(struct pb_h2 *h2);
/* on: send nothing behind the next PING. Off: go on. */
void pb_h2_hush(struct pb_h2 *h2, bool on);
void pb_h2_ping(struct pb_h2 *h2);
/* Frames received so far: a connection on which it stands still is silent. */
uint64_t pb_h2_frames(const struct pb_h2 *h2);
uint64_t pb_h2_ping_acks(const struct pb_h2 *h2);

/* ------------------------------------------------------------------------------------------------ streams */

/* The field's value, p NULL when absent. Borrowed until close() returns. Pseudo headers by their name
 * (":path"). */
pbay_str pb_h2_header(const struct pb_h2_stream *s, pbay_str name);
static inline pbay_str pb_h2_field_name(const struct pb_h2_stream *s, size_t i)
{
    return pb_str(s->text.p + s->fields[i].name, s->fields[i].name_n);
}
static inline pbay_str pb_h2_field_value(const struct pb_h2_stream *s, size_t i)
{
    return pb_str(s->text.p + s->fields[i].value, s->fields[i].value_n);
}

/* n received bytes back to the windows of stream and connection. */
void pb_h2_consumed(struct pb_h2_stream *s, size_t n);
/* n received bytes that nobody wants: back to the connection's window alone. */
void pb_h2_discard(struct pb_h2_stream *s, size_t n);
/* Make the windows large enough that n bytes can be received while none are given back. */
void pb_h2_expect(struct pb_h2_stream *s, size_t n);

/* Response headers; fields are copied by nghttp2. no_body: END_STREAM with them. Names lower-case. */
void pb_h2_respond(struct pb_h2_stream *s, const pbay_header *fields, size_t n, bool no_body);
/* 100 Continue, before pb_h2_respond. */
void pb_h2_continue(struct pb_h2_stream *s);
/* Queue head (at most 8 bytes) and the buffer, whose memory is taken. After pb_h2_respond. */
void pb_h2_write(struct pb_h2_stream *s, const uint8_t *head, size_t head_n, struct pb_buf *body);
/* Nothing more is written; trailers (copied) follow, or END_STREAM at the last byte when there are none. */
void pb_h2_finish(struct pb_h2_stream *s, const pbay_header *trailers, size_t n);
/* RST_STREAM; close() follows from pull. */
void pb_h2_reset(struct pb_h2_stream *s, uint32_t h2_code);
/* An empty buffer, with memory if there is some at hand. */
struct pb_buf pb_h2_buf(struct pb_h2 *h2);
/* Make the object ready for another stream; memory in reasonable size is kept. */
void pb_h2_stream_reset(struct pb_h2_stream *s);
/* Give back its memory. */
void pb_h2_stream_free(struct pb_h2_stream *s);
