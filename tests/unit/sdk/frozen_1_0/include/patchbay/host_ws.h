/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.ws/1: a WebSocket client (RFC 6455) under the outgoing rules of pbay.host.http/1: wss
 * only unless the operator wrote the URL, no metadata or link-local addresses, proxies, CA files and client
 * certificates as configured. Pings are answered, and sent to a silent connection; fragments are put
 * together.
 *
 * Reconnecting is the plugin's: only it knows what a lost connection means for what it had sent.
 * All functions and callbacks: [loop]; callbacks never come from inside a function.
 *
 * Example: a question by message, and its answer.
 *
 *     static void on_open(void *user, pbay_ws ws, pbay_str protocol)
 *     {
 *         struct mine *m = user;
 *         (void)protocol;
 *         m->ws->send(ws, PBAY_WS_TEXT, pbay_str_c("{\"ask\": 1}"));
 *     }
 *     static void on_message(void *user, pbay_ws ws, uint32_t type, pbay_str message)
 *     {
 *         struct mine *m = user;
 *         (void)type, (void)message;
 *         m->ws->credit(ws, 1);
 *         m->ws->close(ws, 0, pbay_str_c(NULL));
 *     }
 *     static void on_close(void *user, pbay_ws ws, uint32_t close_code, pbay_str reason,
 *                          const pbay_result *result)
 *     {
 *         struct mine *m = user;
 *         (void)ws, (void)close_code, (void)reason;
 *         m->failures += result->code != PBAY_OK;
 *     }
 *     static pbay_ws ask(struct mine *m, pbay_str url, pbay_result *why)
 *     {
 *         const pbay_ws_open_info info = {.struct_size = sizeof info, .url = url};
 *         const pbay_ws_events events = {
 *             sizeof events, 0, on_open, on_message, NULL, on_close};
 *         return m->ws->open(m->host, &info, &events, m, why);
 *     }
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_WS "pbay.host.ws/1"

#define PBAY_WS_TEXT   1u /* UTF-8, both ways */
#define PBAY_WS_BINARY 2u

/* One connection. A generation-checked number; 0 is never one. */
typedef uint64_t pbay_ws;

/* Zero: the default in parentheses. Borrowed until `open` returns. */
typedef struct pbay_ws_open_info {
    uint32_t struct_size;
    uint32_t flags; /* PBAY_HTTP_CONFIGURED: the URL's host was written by the operator, ws:// is allowed;
                     * PBAY_HTTP_METADATA: link-local addresses are allowed, proxies are not used */
    pbay_str url;   /* wss://host[:port]/path?query, already percent-encoded */
    const pbay_header *headers; /* of the handshake; those of the protocol itself are added */
    uint32_t n_headers;
    uint32_t max_frame;   /* bytes of a frame sent, with its head; longer messages are fragmented (32 KiB) */
    uint64_t max_message; /* bytes of a message received; more ends the connection (16 MiB) */
    uint64_t max_send;    /* bytes of a message sent; more is refused (16 MiB) */
    int64_t connect_timeout_ms; /* until the handshake is complete (10 s) */
    /* A connection silent for so long is asked, and given up after as long again (30 s); -1: never. */
    int64_t ping_ms;
    pbay_str protocols; /* Sec-WebSocket-Protocol: offered, comma-separated; empty: none */
} pbay_ws_open_info;

typedef struct pbay_ws_events {
    uint32_t struct_size;
    uint32_t reserved;
    /* The handshake is complete. protocol: the one agreed on, or empty. */
    void (*on_open)(void *user, pbay_ws ws, pbay_str protocol);
    /* A whole message, borrowed until return; it uses up one credit. */
    void (*on_message)(void *user, pbay_ws ws, uint32_t type, pbay_str message);
    void (*on_writable)(void *user, pbay_ws ws); /* after PBAY_LATER; may be NULL */
    /*
     * The end, exactly once; the handle is stale afterwards. close_code: as the other side sent it (1005: it
     * sent none), with its reason; 0: there was none. result: PBAY_OK after an end that was asked for by
     * `close`, else what happened. Its effect is NONE as long as on_open had not come, its vendor_status the
     * HTTP status of a refused handshake or the close code.
     */
    void (*on_close)(void *user, pbay_ws ws, uint32_t close_code, pbay_str reason, const pbay_result *result);
} pbay_ws_events;

typedef struct pbay_ws_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /*
     * Begin. Returns 0 with *why when the URL or a header is not allowed (then no callback comes). *events is
     * copied; all but on_writable are needed.
     */
    pbay_ws (*open)(const pbay_host *host, const pbay_ws_open_info *info, const pbay_ws_events *events,
                    void *user, pbay_result *why);
    /*
     * Copies. PBAY_OK; PBAY_LATER: taken, but wait for on_writable. Not taken: PBAY_FAILED_PRECONDITION
     * (on_open has not come), PBAY_CANCELLED (closing, or stale), PBAY_OUT_OF_RANGE (longer than max_send),
     * PBAY_INVALID_ARGUMENT (text that is not UTF-8), PBAY_RESOURCE_EXHAUSTED (64 MiB wait already).
     */
    int32_t (*send)(pbay_ws ws, uint32_t type, pbay_str message);
    /* So many messages more may come. 64 are given at first; without any the connection is not read. */
    void (*credit)(pbay_ws ws, uint32_t messages);
    /*
     * Close frame with a code of RFC 6455, 7.4 (0, or one that must not be sent: 1000) and a reason of at
     * most 123 bytes; no on_message any more. on_close comes when the other side has answered, at most 5 s
     * later.
     */
    void (*close)(pbay_ws ws, uint32_t close_code, pbay_str reason);
} pbay_ws_1;

#ifdef __cplusplus
}
#endif
