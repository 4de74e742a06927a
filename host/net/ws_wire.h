/* SPDX-License-Identifier: MIT */
/*
 * The client's side of a WebSocket (RFC 6455): handshake, frames, fragments, pings and closing. Sans I/O:
 * bytes are fed, what is to be sent is appended to a buffer of the user's. Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/buf.h"
#include "base/err.h"

enum pb_ws_type { PB_WS_TEXT = 1, PB_WS_BINARY = 2 }; /* the values of PBAY_WS_*, and of the wire */

/* Close codes that are not sent but said (RFC 6455, 7.4.1). */
enum { PB_WS_NORMAL = 1000, PB_WS_GOING_AWAY = 1001, PB_WS_NO_STATUS = 1005 };

struct pb_ws_wire_options {
    uint32_t max_frame;   /* bytes of a frame sent, its head included; longer messages are fragmented */
    uint64_t max_message; /* bytes of a message received */
    pbay_str protocols;   /* offered, comma-separated; empty: none. Borrowed as long as the wire */
};

struct pb_ws_wire_ops {
    /* The handshake is complete. protocol: as agreed, or empty. */
    void (*open)(void *user, pbay_str protocol);
    /* A whole message; text is UTF-8. Borrowed until return. False: give no more until pb_ws_wire_feed is
     * called again (a few that were read already come all the same). */
    bool (*message)(void *user, uint32_t type, pbay_str message);
    /* The other side closes; code is PB_WS_NO_STATUS when it said none. Its answer is in the output already.
     */
    void (*close)(void *user, uint32_t code, pbay_str reason);
};

struct pb_ws_wire;

/* Returns owned; options are copied, ops borrowed, out is where everything that must be sent goes. */
struct pb_ws_wire *pb_ws_wire_new(const struct pb_ws_wire_options *options, const struct pb_ws_wire_ops *ops,
                                  void *user, struct pb_buf *out);
void pb_ws_wire_free(struct pb_ws_wire *w); /* NULL is fine */

/*
 * The request. host: for the Host field; target: path and query. 0, or -1 with err: a header that is not one,
 * or is written here.
 */
int pb_ws_wire_request(struct pb_ws_wire *w, pbay_str host, pbay_str target, const pbay_header *headers,
                       uint32_t n, struct pb_err *err) PB_NODISCARD;
/*
 * Bytes in; *took says how many were eaten (fewer when message() answered false). 0; -1 with err when the
 * connection cannot go on: what is in the output may still be sent. vendor_status of err: the status of a
 * refused handshake, or the close code that was sent.
 */
int pb_ws_wire_feed(struct pb_ws_wire *w, const char *p, size_t n, size_t *took,
                    struct pb_err *err) PB_NODISCARD;
/* Once open and until close: a message. The user has checked its text to be UTF-8. */
void pb_ws_wire_send(struct pb_ws_wire *w, uint32_t type, pbay_str message);
void pb_ws_wire_ping(struct pb_ws_wire *w);
/* Our close frame, once. reason: at most 123 bytes. */
void pb_ws_wire_close(struct pb_ws_wire *w, uint32_t code, pbay_str reason);
/* May a client send this code (RFC 6455, 7.4)? */
bool pb_ws_code_ok(uint32_t code);
/* For tests: the key that the next handshake sends, in place of a random one. */
void pb_ws_wire_set_key(struct pb_ws_wire *w, const char key[25]);
