/* SPDX-License-Identifier: MIT */
/*
 * WebSocket client: a connection by net/connect.h, the protocol of net/ws_wire.h, credit for messages, pings
 * for silence. Threads: [loop].
 *
 * Life: opened, then open() once or never, then messages, then closed() exactly once; the pointer is dead
 * after that. No callback comes from inside a function here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/err.h"
#include "net/ws_wire.h"

struct pb_loop;
struct pb_outgoing;
struct pb_ws;

enum { PB_WS_CREDIT = 64 };

/* Zero-initialised members take the default in parentheses. */
struct pb_ws_options {
    pbay_str url;               /* wss://host[:port]/path?query, percent-encoded; ws:// with `configured` */
    bool configured;            /* the operator wrote the host */
    bool metadata;              /* link-local addresses are allowed, proxies are not used */
    const pbay_header *headers; /* in order; those of the handshake itself are written here */
    uint32_t n_headers;
    uint32_t max_frame;         /* bytes of a frame sent, its head included (32 KiB) */
    uint64_t max_message;       /* bytes of a message received (16 MiB) */
    uint64_t max_send;          /* bytes of a message sent (16 MiB) */
    int64_t connect_timeout_ms; /* until the handshake is complete (10 s) */
    int64_t ping_ms;    /* a silent connection is asked, and given up after as long again (30 s); -1: never */
    pbay_str protocols; /* offered, comma-separated; empty: none */
    struct pb_outgoing *outgoing; /* borrowed until closed */
};

struct pb_ws_ops {
    void (*open)(void *user, struct pb_ws *ws, pbay_str protocol);
    /* Borrowed until return; one credit is used up. */
    void (*message)(void *user, struct pb_ws *ws, uint32_t type, pbay_str message);
    void (*writable)(void *user, struct pb_ws *ws); /* pb_ws_send had answered PBAY_LATER */
    /* code: as received, or 0 and why says what happened. why is never NULL: code and effect OK and NONE
     * after an end that we asked for. */
    void (*closed)(void *user, struct pb_ws *ws, uint32_t code, pbay_str reason, const struct pb_err *why);
    /* After closed(), when the socket is closed too: the loop may be freed. May be NULL. */
    void (*gone)(void *user);
};

/* Returns owned by itself, or NULL with err when the URL or a header is not allowed: then nothing comes. */
struct pb_ws *pb_ws_open(struct pb_loop *loop, const struct pb_ws_options *options,
                         const struct pb_ws_ops *ops, void *user, struct pb_err *err);
/*
 * Copies. PBAY_OK; PBAY_LATER: taken, but wait for writable(). Not taken: PBAY_FAILED_PRECONDITION (not open
 * yet), PBAY_CANCELLED (closing), PBAY_OUT_OF_RANGE (longer than max_send), PBAY_INVALID_ARGUMENT (text that
 * is not UTF-8), PBAY_RESOURCE_EXHAUSTED (64 MiB wait already).
 */
int32_t pb_ws_send(struct pb_ws *ws, uint32_t type, pbay_str message);
/* So many messages more may be delivered; PB_WS_CREDIT are given at first. */
void pb_ws_credit(struct pb_ws *ws, uint32_t messages);
/* Send a close frame and wait a little for the other side's; before open(): give up. 0: PB_WS_NORMAL. */
void pb_ws_close(struct pb_ws *ws, uint32_t code, pbay_str reason);
