/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.stream/1: a TCP or TLS stream under the outgoing rules of pbay.host.http/1: TLS only
 * unless the operator wrote host and port, no metadata or link-local addresses, proxies (asked by CONNECT),
 * CA files and client certificates as configured.
 *
 * All functions and callbacks: [loop]; callbacks never come from inside a function.
 *
 * Example: a line there, and what comes back.
 *
 *     static void on_open(void *user, pbay_stream s)
 *     {
 *         struct mine *m = user;
 *         m->stream->write(s, pbay_str_c("hello\r\n"));
 *     }
 *     static void on_data(void *user, pbay_stream s, pbay_str piece)
 *     {
 *         struct mine *m = user;
 *         m->stream->credit(s, piece.n); // used up; without it no more comes
 *     }
 *     static void on_close(void *user, pbay_stream s, const pbay_result *result)
 *     {
 *         struct mine *m = user;
 *         (void)s;
 *         m->failures += result->code != PBAY_OK;
 *     }
 *     static pbay_stream connect_it(struct mine *m, pbay_str host, uint32_t port, pbay_result *why)
 *     {
 *         const pbay_stream_open_info info = {
 *             .struct_size = sizeof info, .flags = PBAY_STREAM_TLS, .host = host, .port = port};
 *         const pbay_stream_events events = {
 *             .struct_size = sizeof events, .on_open = on_open, .on_data = on_data, .on_close = on_close};
 *         return m->stream->open(m->host, &info, &events, m, why);
 *     }
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

/* Borrowed until `open` returns. */
typedef struct pbay_stream_open_info {
    uint32_t struct_size;
    uint32_t flags; /* PBAY_STREAM_* */
    pbay_str host;  /* a name, or a literal address without brackets; TLS: the certificate must be for it */
    uint32_t port;
    uint32_t reserved;
    int64_t connect_timeout_ms; /* until on_open; 0: 10 s */
    int64_t idle_timeout_ms;    /* nothing read or written for so long: closed; 0: never */
} pbay_stream_open_info;

typedef struct pbay_stream_events {
    uint32_t struct_size;
    uint32_t reserved;
    void (*on_open)(void *user, pbay_stream s);
    /* Bytes, borrowed until return; give their number back with `credit` when they are used up. */
    void (*on_data)(void *user, pbay_stream s, pbay_str piece);
    void (*on_drained)(void *user, pbay_stream s); /* all that was written has left; may be NULL */
    void (*on_end)(void *user, pbay_stream s);     /* the other side writes no more; may be NULL */
    /*
     * The end, exactly once; the handle is stale afterwards. result: PBAY_OK after `close`, and when both
     * sides had ended; else what happened, with effect NONE as long as on_open had not come. A TLS stream
     * that ends without saying so is an error (PBAY_DATA_LOSS) and not an end: it may have been cut.
     */
    void (*on_close)(void *user, pbay_stream s, const pbay_result *result);
} pbay_stream_events;

typedef struct pbay_stream_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* Begin. Returns 0 with *why when it is not allowed (then no callback comes). *events is copied; on_open,
     * on_data and on_close are needed. */
    pbay_stream (*open)(const pbay_host *host, const pbay_stream_open_info *info,
                        const pbay_stream_events *events, void *user, pbay_result *why);
    /*
     * Copies. PBAY_OK; PBAY_LATER: taken, but more than 256 KiB wait: go on at on_drained. Not taken:
     * PBAY_FAILED_PRECONDITION (on_open has not come, or after half_close), PBAY_CANCELLED (stale),
     * PBAY_RESOURCE_EXHAUSTED (64 MiB wait already).
     */
    int32_t (*write)(pbay_stream s, pbay_str piece);
    /* n bytes were used up. At first 64 KiB may come; never more than that beyond what was given back. */
    void (*credit)(pbay_stream s, size_t n);
    void (*half_close)(pbay_stream s); /* our side ends after what was written; reading goes on */
    void (*close)(pbay_stream s);      /* at once: what has not left is lost */
} pbay_stream_1;

#ifdef __cplusplus
}
#endif
