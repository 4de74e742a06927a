/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.http/1: an asynchronous HTTP client over pooled, kept-alive connections.
 *
 * The outgoing rules of the host hold: https only and no redirects, unless the configuration itself names an
 * http:// URL; no metadata or link-local addresses after resolution; proxies and CA files as configured.
 * All functions and callbacks: [loop]. Callbacks never run inside `send`.
 *
 * Example: a GET whose reply answers a call.
 *
 *     struct asked {
 *         struct mine *m;
 *         pbay_call call;
 *     };
 *     static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply)
 *     {
 *         struct asked *a = user;
 *         pbay_result result = reply->result; // says also what of the request may have happened
 *         pbay_builder *out = NULL;
 *         (void)exchange;
 *         if (result.code == PBAY_OK && reply->status == 200) {
 *             out = a->m->batch->create(a->m->host);
 *             a->m->batch->add_column(out, pbay_str_c("reply"), PBAY_STR);
 *             a->m->batch->text(out, 0, reply->body);
 *         } else if (result.code == PBAY_OK) {
 *             pbay_fail(&result, PBAY_UNAVAILABLE, "the other side answers another status than 200");
 *             result.vendor_status = reply->status;
 *             result.advice = PBAY_ADVICE_RETRY;
 *         }
 *         a->m->call->complete(a->call, &result, out);
 *         free(a);
 *     }
 *     static int32_t ask(struct asked *a, pbay_str url, pbay_result *why)
 *     {
 *         static const pbay_http_events events = {.struct_size = sizeof events, .on_done = on_done};
 *         const pbay_http_request request = {
 *             .struct_size = sizeof request, .method = pbay_str_c("GET"), .url = url, .timeout_ms = 5000};
 *         return a->m->http->send(a->m->host, &request, &events, a, why) ? PBAY_OK : why->code;
 *     }
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_HTTP "pbay.host.http/1"

/* One exchange. A generation-checked number; 0 is never one. */
typedef uint64_t pbay_http;

/* Flags of a request. */
#define PBAY_HTTP_STREAM_BODY 1u /* the body comes with `write` and `finish` */
/* The reply goes to on_data with credit; else it is collected for on_done. */
#define PBAY_HTTP_STREAM_REPLY 2u
#define PBAY_HTTP_CONFIGURED   4u /* the URL's host was written by the operator: http:// is allowed */
/* Credential chain only: link-local addresses are allowed, proxies are not used. */
#define PBAY_HTTP_METADATA 8u

/* Zero-initialise, set struct_size, method and url. Borrowed until `send` returns, but for body. */
typedef struct pbay_http_request {
    uint32_t struct_size;
    uint32_t flags;
    pbay_str method;            /* "POST" */
    pbay_str url;               /* absolute, already percent-encoded */
    const pbay_header *headers; /* sent as they are, in order; Host and Content-Length are added */
    uint32_t n_headers;
    uint32_t reserved;
    pbay_str body;              /* borrowed until on_done; ignored with STREAM_BODY */
    int64_t body_length;        /* with STREAM_BODY: its length, or -1: chunked */
    int64_t timeout_ms;         /* whole exchange; 0: 60 s */
    int64_t connect_timeout_ms; /* 0: 10 s */
    uint64_t max_reply;         /* bytes of the collected reply; more is an error; 0: 32 MiB */
} pbay_http_request;

/* Borrowed until the callback returns. */
typedef struct pbay_http_reply {
    uint32_t struct_size;
    int32_t status;             /* 200; 0 when there was no reply: see result */
    const pbay_header *headers; /* names in lower case */
    uint32_t n_headers;
    uint32_t connection_reused; /* 1: on a connection that had served before */
    pbay_str body;              /* collected reply, content encodings undone */
    /*
     * How the exchange itself went; PBAY_OK whenever a whole reply came, whatever its status. effect tells
     * whether the other side may have acted: NONE when the request was not sent, MAYBE when it was and no
     * reply came.
     */
    pbay_result result;
} pbay_http_reply;

typedef struct pbay_http_events {
    uint32_t struct_size;
    uint32_t reserved;
    /* Head of the reply, before its body. May be NULL. reply->body is empty. */
    void (*on_head)(void *user, pbay_http exchange, const pbay_http_reply *reply);
    /* STREAM_REPLY: a piece; give its length back with `credit` when it was used up. */
    void (*on_data)(void *user, pbay_http exchange, pbay_str piece);
    /* STREAM_BODY: there is room for more. May be NULL. */
    void (*on_writable)(void *user, pbay_http exchange);
    /* The end, exactly once, also after cancel. The handle is stale afterwards. */
    void (*on_done)(void *user, pbay_http exchange, const pbay_http_reply *reply);
} pbay_http_events;

typedef struct pbay_http_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /*
     * Begin. Returns 0 with *why when the request is not allowed or malformed (then no callback comes).
     * `events` and everything in `request` but the body are borrowed until return; *events is copied.
     */
    pbay_http (*send)(const pbay_host *host, const pbay_http_request *request, const pbay_http_events *events,
                      void *user, pbay_result *why);
    /* STREAM_BODY: copies. PBAY_OK, PBAY_LATER (taken, but wait for on_writable), PBAY_CANCELLED (stale). */
    int32_t (*write)(pbay_http exchange, pbay_str piece);
    void (*finish)(pbay_http exchange); /* STREAM_BODY: that was all of it */
    /* STREAM_REPLY: n bytes were used up. At most 256 KiB wait unconfirmed. */
    void (*credit)(pbay_http exchange, size_t n);
    /* on_done comes with PBAY_CANCELLED, on a later turn. A stale handle is ignored, as by the functions
     * above.
     */
    void (*cancel)(pbay_http exchange);
} pbay_http_1;

#ifdef __cplusplus
}
#endif
