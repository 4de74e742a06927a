/* SPDX-License-Identifier: MIT */
/*
 * Draft: service pbay.host.stream/1: a TCP or TLS stream under the outgoing rules of pbay.host.http/1.
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_STREAM "pbay.host.stream/1"

#define PBAY_STREAM_TLS        1u
#define PBAY_STREAM_CONFIGURED 2u /* the operator wrote host and port: without TLS it is allowed */

/* One stream. A generation-checked number; 0 is never one. */
typedef uint64_t pbay_stream;

typedef struct pbay_stream_open_info {
    uint32_t struct_size;
    uint32_t flags; /* PBAY_STREAM_* */
    pbay_str host;
    uint32_t port;
    uint32_t reserved;
    int64_t connect_timeout_ms; /* 0: 10 s */
    int64_t idle_timeout_ms;    /* nothing read or written for so long: closed; 0: never */
} pbay_stream_open_info;

typedef struct pbay_stream_events {
    uint32_t struct_size;
    uint32_t reserved;
    void (*on_open)(void *user, pbay_stream s);
    /* Bytes, borrowed until return; give their number back with `credit`. */
    void (*on_data)(void *user, pbay_stream s, pbay_str piece);
    void (*on_drained)(void *user, pbay_stream s); /* all that was written has left; may be NULL */
    void (*on_end)(void *user, pbay_stream s);     /* the other side writes no more; may be NULL */
    void (*on_close)(void *user, pbay_stream s, const pbay_result *result); /* exactly once */
} pbay_stream_events;

/* All functions and callbacks: [loop]; callbacks never come from inside a function. */
typedef struct pbay_stream_1 {
    uint32_t struct_size;
    uint32_t reserved;
    pbay_stream (*open)(const pbay_host *host, const pbay_stream_open_info *info,
                        const pbay_stream_events *events, void *user, pbay_result *why);
    /* Copies. PBAY_OK, PBAY_LATER (taken, wait for on_drained), PBAY_CANCELLED (stale). */
    int32_t (*write)(pbay_stream s, pbay_str piece);
    void (*credit)(pbay_stream s, size_t n); /* at first 64 KiB are given */
    void (*half_close)(pbay_stream s);       /* after what was written */
    void (*close)(pbay_stream s);            /* at once */
} pbay_stream_1;

#ifdef __cplusplus
}
#endif
