/* SPDX-License-Identifier: MIT */
/*
 * Example: a stand-in for the SageMaker runtime, for trying things out without an account.
 *
 *     [connector "runtime"]
 *     plugin    = local_endpoint
 *     endpoints = churn-v1
 *
 * answers POST /runtime/endpoints/churn-v1/invocations as AWS would: it verifies the request's signature,
 * knows its endpoints, answers with AWS's errors, and scores CSV rows (score.h). Point a sagemaker
 * connector's endpoint_url to http://ADDRESS/runtime. It shows routes that verify callers themselves, timers,
 * and the kit's SigV4.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <patchbay/host_crypto.h>
#include <patchbay/host_timer.h>
#include <patchbay/plugin.h>
#include <patchbay/routes.h>

#include "kit/sigv4.h"
#include "score.h"

#define STR(lit) ((pbay_str){(lit), sizeof(lit) - 1})

enum { SKEW_MS = 5 * 60 * 1000 };

struct endpoint {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_request_1 *request;
    const pbay_timer_1 *timer;
    pbay_sigv4 *signer;
    pbay_str key_id, secret;
    int64_t latency_ms;
};

static const pbay_option OPTIONS[] = {
    {"access_key_id", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL,
     "who may sign requests; else AWS_ACCESS_KEY_ID"},
    {"secret_access_key", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL,
     "goes with it; else AWS_SECRET_ACCESS_KEY"},
    {"endpoints", PBAY_OPT_LIST, 0, "churn-v1", NULL, "names of the endpoints that exist"},
    {"latency", PBAY_OPT_DURATION, 0, "0ms", "0ms..10m", "how long an answer takes"},
};

/* ------------------------------------------------------------------------------------------------ replies */

/* A reply on its way: at once, or after the latency. */
struct reply {
    const struct endpoint *e;
    pbay_request request;
    int32_t status;
    const char *type, *error;
    struct out body;
};

static void send_reply(void *user)
{
    struct reply *r = user;
    pbay_header headers[4];
    uint32_t n = 0;
    headers[n++] = (pbay_header){STR("content-type"), {r->type, strlen(r->type)}};
    headers[n++] = (pbay_header){STR("x-amzn-requestid"), STR("00000000-0000-4000-8000-000000000000")};
    if (r->error)
        headers[n++] = (pbay_header){STR("x-amzn-errortype"), {r->error, strlen(r->error)}};
    else
        headers[n++] = (pbay_header){STR("x-amzn-invoked-production-variant"), STR("AllTraffic")};
    r->e->request->respond(r->request, r->status, headers, n, (pbay_str){r->body.p, r->body.n});
    free(r->body.p);
    free(r);
}

static void reply(const struct endpoint *e, pbay_request request, int32_t status, const char *type,
                  const char *error, struct out body)
{
    struct reply *r = malloc(sizeof *r);
    if (!r) abort();
    *r = (struct reply){e, request, status, type, error, body};
    if (e->latency_ms && !error)
        e->timer->start(e->host, e->latency_ms, 0, send_reply, r);
    else
        send_reply(r);
}

/* Messages here hold nothing that JSON would want escaped. */
static void refuse(const struct endpoint *e, pbay_request request, int32_t status, const char *error,
                   const char *message)
{
    struct out body = {malloc(512), 0, 512};
    if (!body.p) abort();
    body.n = (size_t)snprintf(body.p, body.cap, "{\"message\":\"%s\"}", message);
    reply(e, request, status, "application/json", error, body);
}

/* ------------------------------------------------------------------------------------------------ requests
 */

static pbay_str header(const pbay_request_info *info, const char *name)
{
    for (uint32_t i = 0; i < info->n_headers; i++)
        if (info->headers[i].name.n == strlen(name) &&
            memcmp(info->headers[i].name.p, name, strlen(name)) == 0)
            return info->headers[i].value;
    return (pbay_str){NULL, 0};
}

static int same(pbay_str a, pbay_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* 1: genuine. Else it has been answered. */
static int verified(const struct endpoint *e, pbay_request request, const pbay_request_info *info)
{
    pbay_sigv4_claim claim;
    pbay_str authorization = header(info, "authorization");
    if (!authorization.n) {
        refuse(e, request, 403, "MissingAuthenticationTokenException", "Missing Authentication Token");
        return 0;
    }
    if (pbay_sigv4_parse(authorization, &claim) != PBAY_OK) {
        refuse(e, request, 403, "IncompleteSignatureException",
               "The Authorization header is not a SigV4 signature.");
        return 0;
    }
    if (!same(claim.key_id, e->key_id)) {
        refuse(e, request, 403, "UnrecognizedClientException",
               "The security token included in the request is invalid.");
        return 0;
    }
    pbay_sigv4_request r = {.method = info->method, .path = info->target, .body = info->body};
    const char *query = info->target.n ? memchr(info->target.p, '?', info->target.n) : NULL;
    if (query) {
        r.path.n = (size_t)(query - info->target.p);
        r.query = (pbay_str){query + 1, info->target.n - r.path.n - 1};
    }
    r.headers = info->headers;
    r.n_headers = info->n_headers;
    const char *why =
        same(claim.service, STR("sagemaker")) ? NULL : "Credential should be scoped to correct service.";
    int32_t rc =
        why ? PBAY_UNAUTHENTICATED
            : pbay_sigv4_verify(e->signer, &claim, e->secret, e->timer->now_ms(), SKEW_MS, &r, NULL, &why);
    if (rc == PBAY_OK && e->request->accept(request, e->key_id) == PBAY_OK) return 1;
    refuse(e, request, 403, "InvalidSignatureException", why ? why : "not allowed here");
    return 0;
}

/* "churn-v1/invocations" to the endpoint's name; 0: no such thing. */
static int known(const struct endpoint *e, pbay_str suffix, pbay_str *name)
{
    static const char tail[] = "/invocations";
    if (suffix.n && suffix.p[0] == '/') suffix.p++, suffix.n--;
    if (suffix.n <= sizeof tail - 1 ||
        memcmp(suffix.p + suffix.n - (sizeof tail - 1), tail, sizeof tail - 1) != 0)
        return 0;
    *name = (pbay_str){suffix.p, suffix.n - (sizeof tail - 1)};
    for (uint32_t i = 0; i < e->host->count(e->config, "endpoints"); i++) {
        pbay_str key;
        if (same(*name, e->host->item(e->config, "endpoints", i, &key))) return 1;
    }
    return 0;
}

static void handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
{
    struct endpoint *e = self;
    pbay_str name = {NULL, 0}, type = header(info, "content-type"), accept = header(info, "accept");
    (void)route;
    if (!verified(e, request, info)) return;
    if (!known(e, info->suffix, &name)) {
        refuse(e, request, 400, "ValidationError", "Endpoint of account 000000000000 not found.");
        return;
    }
    struct out body = {NULL, 0, 0};
    if (type.n < 8 || memcmp(type.p, "text/csv", 8) != 0) {
        static const char text[] =
            "{\"ErrorCode\":\"CLIENT_ERROR_FROM_MODEL\",\"Message\":\"Received client error (415) from "
            "primary\","
            "\"OriginalMessage\":\"This predictor only supports CSV data\",\"OriginalStatusCode\":415}";
        body.p = malloc(sizeof text);
        if (!body.p) abort();
        memcpy(body.p, text, sizeof text);
        body.n = sizeof text - 1;
        reply(e, request, 424, "application/json", "ModelError", body);
        return;
    }
    int json = accept.n >= 16 && memcmp(accept.p, "application/json", 16) == 0;
    score_csv(info->body, json, &body);
    reply(e, request, 200, json ? "application/json" : "text/csv; charset=utf-8", NULL, body);
}

static void gone(void *self, uint32_t route, pbay_request request)
{
    (void)self, (void)route, (void)request; /* the answer is made already */
}

/* ------------------------------------------------------------------------------------------------ life */

static pbay_str key_of(const pbay_host *host, const pbay_config *config, const char *option,
                       const char *variable)
{
    const char *v = getenv(variable);
    if (host->is_set(config, option)) return host->get_str(config, option);
    return (pbay_str){v, v ? strlen(v) : 0};
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct endpoint e = {.host = host, .config = config};
    const pbay_crypto_1 *crypto = host->service(host, PBAY_SVC_CRYPTO);
    e.request = host->service(host, PBAY_SVC_ROUTE_REQUEST);
    e.timer = host->service(host, PBAY_SVC_TIMER);
    e.key_id = key_of(host, config, "access_key_id", "AWS_ACCESS_KEY_ID");
    e.secret = key_of(host, config, "secret_access_key", "AWS_SECRET_ACCESS_KEY");
    e.latency_ms = host->get_int(config, "latency");
    int keys = (e.key_id.n && e.secret.n) || host->check_only(host);
    struct endpoint *made = crypto && e.timer && e.request && keys ? malloc(sizeof *made) : NULL;
    if (made && !(e.signer = pbay_sigv4_new(crypto))) {
        free(made);
        made = NULL;
    }
    if (!made) {
        why->struct_size = sizeof *why;
        why->code = PBAY_FAILED_PRECONDITION;
        why->message = keys
                           ? STR("this host lacks crypto, timers or routes")
                           : STR("access_key_id and secret_access_key are not set, nor AWS_ACCESS_KEY_ID and "
                                 "AWS_SECRET_ACCESS_KEY");
        return why->code;
    }
    *made = e;
    *self = made;
    return PBAY_OK;
}

static void destroy(void *self)
{
    struct endpoint *e = self;
    pbay_sigv4_free(e->signer);
    free(e);
}

static const void *extension(const char *id)
{
    static const pbay_route routes[] = {
        {"POST", "/endpoints/*", "InvokeEndpoint of the SageMaker runtime", PBAY_AUTH_OWN, PBAY_BODY_RAW,
         25u << 20},
    };
    static const pbay_routes_1 table = {sizeof table, 1, routes, sizeof(pbay_route), 0, handle, gone};
    return strcmp(id, PBAY_EXT_ROUTES) == 0 ? &table : NULL;
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "local_endpoint",
        .version = "0.1.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "Stands in for the SageMaker runtime: signatures, errors and a small model",
        .options = {OPTIONS, sizeof OPTIONS / sizeof *OPTIONS, sizeof(pbay_option)},
    };
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         NULL,
                                     NULL,       destroy,      extension};
    return &entry;
}
