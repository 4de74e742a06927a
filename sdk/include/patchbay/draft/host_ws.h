/* SPDX-License-Identifier: MIT */
/*
 * Draft: service pbay.host.ws/1: a WebSocket client (RFC 6455) under the outgoing rules of pbay.host.http/1.
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_WS "pbay.host.ws/1"

#define PBAY_WS_TEXT   1u
#define PBAY_WS_BINARY 2u

/* One connection. A generation-checked number; 0 is never one. */
typedef uint64_t pbay_ws;

typedef struct pbay_ws_open_info {
    uint32_t struct_size;
    uint32_t flags; /* PBAY_HTTP_CONFIGURED, PBAY_HTTP_METADATA */
    pbay_str url;   /* wss://... */
    const pbay_header *headers;
    uint32_t n_headers;
    uint32_t max_frame;         /* bytes of a frame sent; longer messages are fragmented; 0: 32 KiB */
    uint64_t max_message;       /* bytes of a message received; 0: 16 MiB */
    int64_t connect_timeout_ms; /* 0: 10 s */
    int64_t ping_ms;            /* a silent connection is asked; 0: 30 s */
    pbay_str protocols;         /* Sec-WebSocket-Protocol, or empty */
} pbay_ws_open_info;

typedef struct pbay_ws_events {
    uint32_t struct_size;
    uint32_t reserved;
    void (*on_open)(void *user, pbay_ws ws, pbay_str protocol);
    /* A whole message, borrowed until return; give one back with `credit`. */
    void (*on_message)(void *user, pbay_ws ws, uint32_t type, pbay_str message);
    void (*on_writable)(void *user, pbay_ws ws); /* may be NULL */
    /* The end, exactly once: close_code as received, or 0 with result saying why there was none. */
    void (*on_close)(void *user, pbay_ws ws, uint32_t close_code, pbay_str reason, const pbay_result *result);
} pbay_ws_events;

/* All functions and callbacks: [loop]; callbacks never come from inside a function. */
typedef struct pbay_ws_1 {
    uint32_t struct_size;
    uint32_t reserved;
    pbay_ws (*open)(const pbay_host *host, const pbay_ws_open_info *info, const pbay_ws_events *events,
                    void *user, pbay_result *why);
    /* Copies. PBAY_OK, PBAY_LATER (taken, wait for on_writable), PBAY_CANCELLED (stale). */
    int32_t (*send)(pbay_ws ws, uint32_t type, pbay_str message);
    void (*credit)(pbay_ws ws, uint32_t messages); /* at first 64 are given */
    void (*close)(pbay_ws ws, uint32_t close_code, pbay_str reason);
} pbay_ws_1;

#ifdef __cplusplus
}
#endif
