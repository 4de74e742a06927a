/* SPDX-License-Identifier: MIT */
/*
 * Extension pbay.routes/1: HTTP requests that a plugin answers.
 *
 * A route stands at `/CONNECTOR` + suffix; [route "/path"] adds others. The host checks sizes, hosts,
 * origins, content coding and (auth = HOST) the identity before the plugin sees anything.
 *
 * Example: POST /CONNECTOR/hook, whose callers prove themselves by a key of the host's.
 *
 *     static void handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
 *     {
 *         const struct mine *m = self;
 *         const pbay_header type = {{"content-type", 12}, {"text/plain", 10}};
 *         (void)route;
 *         m->request->respond(request, info->body.n ? 200 : 400, &type, 1, pbay_str_c("thank you\n"));
 *     }
 *     static const pbay_route all[] = {
 *         {"POST", "/hook", "What the other side has to tell.", PBAY_AUTH_HOST, PBAY_BODY_DECODED, 1 << 20},
 *     };
 *     static const pbay_routes_1 routes = {
 *         .struct_size = sizeof routes,
 *         .n_routes = 1,
 *         .routes = all,
 *         .route_stride = sizeof(pbay_route),
 *         .handle = handle,
 *     };
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_EXT_ROUTES  "pbay.routes/1"
#define PBAY_SVC_REQUEST "pbay.host.request/1"

#define PBAY_AUTH_HOST 1u /* a key, token or certificate that the configuration knows */
/* The plugin verifies; until `accept` only crypto, secret, log and request services answer. */
#define PBAY_AUTH_OWN  2u
#define PBAY_AUTH_NONE 3u /* changes nothing and reveals nothing: a ping */
/* As OWN; but a key or bearer token that the request shows is the host's to judge, and must be good: then its
 * owner is the principal, as with a certificate, and `accept` of that principal keeps who it is. */
#define PBAY_AUTH_EITHER 4u

#define PBAY_BODY_RAW     1u /* as received */
#define PBAY_BODY_DECODED 2u /* inflated as Content-Encoding says */
#define PBAY_BODY_SNIFFED 3u /* inflated by its first bytes, whatever the header says */

/* One request. A generation-checked number; 0 is never one. */
typedef uint64_t pbay_request;

typedef struct pbay_route {
    const char *method; /* "POST"; several: "GET|POST"; others get 405 with Allow */
    const char *suffix; /* "", "/hook", "/train"; ends in slash star: everything below */
    const char *doc;
    uint32_t auth;     /* PBAY_AUTH_* */
    uint32_t body;     /* PBAY_BODY_* */
    uint64_t max_body; /* bytes after inflating; more: 413 */
} pbay_route;

/* Borrowed until `respond`. */
typedef struct pbay_request_info {
    uint32_t struct_size;
    uint32_t reserved;
    pbay_str method;
    pbay_str target;            /* path and query exactly as received: what signatures are made of */
    pbay_str path;              /* percent-decoded */
    pbay_str suffix;            /* what matched the star, percent-decoded */
    pbay_str query;             /* as received, without '?' */
    const pbay_header *headers; /* names in lower case */
    uint32_t n_headers;
    uint32_t reserved2;
    pbay_str body;
    pbay_str peer;        /* "203.0.113.7:51034" */
    pbay_str principal;   /* AUTH_HOST: who it is */
    pbay_str traceparent; /* W3C trace context, or empty */
    int64_t deadline;     /* CLOCK_MONOTONIC nanoseconds by which the host answers in the plugin's place */
} pbay_request_info;

typedef struct pbay_routes_1 {
    uint32_t struct_size;
    uint32_t n_routes;
    const pbay_route *routes;
    uint32_t route_stride; /* sizeof(pbay_route) as the plugin knows it */
    uint32_t reserved;
    /* [loop] A whole request; info is borrowed until `respond`. One `respond` is owed, now or later. route:
     * index into routes. */
    void (*handle)(void *self, uint32_t route, pbay_request request, const pbay_request_info *info);
    /* [loop] The client went away: advice; `respond` is still owed. May be NULL. */
    void (*cancel)(void *self, uint32_t route, pbay_request request);
} pbay_routes_1;

/* Service pbay.host.request/1. All functions: [loop]. */
typedef struct pbay_request_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* AUTH_OWN, EITHER: the caller is genuine; principal is logged and checked against the route's allow
     * list. PBAY_OK; NOT_FOUND: the request has ended; PERMISSION_DENIED: he may not do this here. (Respond
     * in every case.) */
    int32_t (*accept)(pbay_request request, pbay_str principal);
    /* The reply, whole; copies. Compressed when the client accepts it. The handle is stale afterwards. */
    void (*respond)(pbay_request request, int32_t status, const pbay_header *headers, uint32_t n,
                    pbay_str body);
} pbay_request_1;

#ifdef __cplusplus
}
#endif
