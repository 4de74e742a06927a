/* SPDX-License-Identifier: MIT */
/*
 * TCP and TLS streams to elsewhere, with credit for what is read. Threads: [loop].
 *
 * Life: opened, then open() once or never, then data() and so on, then closed() exactly once, then gone();
 * the pointer is dead after closed(). No callback comes from inside a function here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/err.h"

struct pb_loop;
struct pb_outgoing;
struct pb_stream;

enum { PB_STREAM_CREDIT = 64 * 1024 };

struct pb_stream_options {
    pbay_str host; /* name or literal address, without brackets */
    uint16_t port;
    bool tls;
    bool configured;              /* the operator wrote host and port: without TLS it is allowed */
    int64_t connect_timeout_ms;   /* 0: 10 s */
    int64_t idle_timeout_ms;      /* nothing read or written for so long: closed; 0: never */
    struct pb_outgoing *outgoing; /* borrowed until closed */
};

struct pb_stream_ops {
    void (*open)(void *user, struct pb_stream *s);
    void (*data)(void *user, struct pb_stream *s, pbay_str piece); /* borrowed until return; takes credit */
    void (*drained)(void *user, struct pb_stream *s);              /* all that was written has left */
    void (*end)(void *user, struct pb_stream *s);                  /* the other side writes no more */
    void (*closed)(void *user, struct pb_stream *s,
                   const struct pb_err *why); /* code PBAY_OK: as it should */
    void (*gone)(void *user);                 /* after closed(), when the socket is closed too */
};

/* Returns owned by itself, or NULL with err when it is not allowed: then nothing comes. */
struct pb_stream *pb_stream_open(struct pb_loop *loop, const struct pb_stream_options *options,
                                 const struct pb_stream_ops *ops, void *user, struct pb_err *err);
/* As pbay_stream_1.write (patchbay/host_stream.h). */
int32_t pb_stream_write(struct pb_stream *s, pbay_str piece);
void pb_stream_credit(struct pb_stream *s, size_t n);
void pb_stream_half_close(struct pb_stream *s);
void pb_stream_close(struct pb_stream *s);
