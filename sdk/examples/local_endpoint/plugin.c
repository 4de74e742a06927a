/* SPDX-License-Identifier: MIT */
/*
 * Example: a stand-in for the SageMaker runtime, for trying things out without an account.
 *
 *     [connector "runtime"]
 *     plugin    = local_endpoint
 *     endpoints = churn-v1
 *
 * answers POST /runtime/endpoints/churn-v1/invocations as AWS would: it verifies the request's signature,
 * knows its endpoints, answers with AWS's errors, and scores CSV rows (score.h), or has a container do that
 * (container.NAME = http://127.0.0.1:8080). Point a sagemaker connector's endpoint_url to
 * http://ADDRESS/runtime. It shows routes that verify callers themselves, timers, the HTTP client and the
 * kit's SigV4.
 */
#include <stdlib.h>
#include <string.h>

#include "container.h"
#include "lambda.h"
#include "replies.h"

enum { SKEW_MS = 5 * 60 * 1000 };

static const pbay_option OPTIONS[] = {
    {"access_key_id", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL,
     "who may sign requests; else AWS_ACCESS_KEY_ID"},
    {"secret_access_key", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL,
     "goes with it; else AWS_SECRET_ACCESS_KEY"},
    {"endpoints", PBAY_OPT_LIST, 0, "churn-v1", NULL, "names of the endpoints that exist"},
    {"container", PBAY_OPT_FAMILY, 0, NULL, NULL,
     "container.NAME = URL: this endpoint is a container that serves /invocations there"},
    {"latency", PBAY_OPT_DURATION, 0, "0ms", "0ms..10m", "how long an answer takes"},
};

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

/* "churn-v1/invocations" to the endpoint's name, and its container when it has one; 0: no such thing. */
static int known(const struct endpoint *e, pbay_str suffix, pbay_str *container)
{
    static const char tail[] = "/invocations";
    if (suffix.n && suffix.p[0] == '/') suffix.p++, suffix.n--;
    if (suffix.n <= sizeof tail - 1 ||
        memcmp(suffix.p + suffix.n - (sizeof tail - 1), tail, sizeof tail - 1) != 0)
        return 0;
    const pbay_str name = {suffix.p, suffix.n - (sizeof tail - 1)};
    pbay_str key;
    for (uint32_t i = 0; i < e->host->count(e->config, "container"); i++) {
        *container = e->host->item(e->config, "container", i, &key);
        if (same(name, key)) return 1;
    }
    *container = (pbay_str){NULL, 0};
    for (uint32_t i = 0; i < e->host->count(e->config, "endpoints"); i++)
        if (same(name, e->host->item(e->config, "endpoints", i, &key))) return 1;
    return 0;
}

/* One request that a container has. */
struct asked {
    const struct endpoint *e;
    pbay_request request;
};

static void answered(void *user, int32_t status, pbay_str type, pbay_str text)
{
    struct asked *a = user;
    struct out body = {malloc(text.n + 1), text.n, text.n + 1};
    if (!body.p) abort();
    if (status == 200) {
        if (text.n) memcpy(body.p, text.p, text.n);
        reply(a->e, a->request, 200,
              type.n >= 8 && !memcmp(type.p, "text/csv", 8) ? "text/csv" : "application/json", NULL, body);
    } else {
        free(body.p);
        if (status)
            model_error(a->e, a->request, status, "the container refused it");
        else
            refuse(a->e, a->request, 500, "InternalFailure", "the container does not answer");
    }
    free(a);
}

static void pass_on(const struct endpoint *e, pbay_request request, pbay_str url, pbay_str type,
                    pbay_str body)
{
    struct asked *a = malloc(sizeof *a);
    pbay_result why = PBAY_RESULT_OK;
    if (!a) abort();
    *a = (struct asked){e, request};
    if (e->http && container_ask(e->host, e->http, url, type, body, answered, a, &why)) return;
    free(a);
    refuse(e, request, 500, "InternalFailure", "the container cannot be asked");
}

static void lambda(const struct endpoint *e, pbay_request request, const pbay_request_info *info)
{
    static const char wrong[] = "{\"message\": \"Could not parse request body into json\"}";
    struct out body = {NULL, 0, 0};
    if (lambda_answer(info->body, &body) == 0) {
        reply(e, request, 200, "application/json", NULL, body);
        return;
    }
    body.p = malloc(sizeof wrong);
    if (!body.p) abort();
    memcpy(body.p, wrong, sizeof wrong);
    body.n = sizeof wrong - 1;
    reply(e, request, 400, "application/json", NULL, body);
}

static void handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
{
    struct endpoint *e = self;
    if (route == 1) {
        lambda(e, request, info);
        return;
    }
    pbay_str container, type = header(info, "content-type"), accept = header(info, "accept");
    if (!verified(e, request, info)) return;
    if (!known(e, info->suffix, &container)) {
        refuse(e, request, 400, "ValidationError", "Endpoint of account 000000000000 not found.");
        return;
    }
    if (container.n) {
        pass_on(e, request, container, type, info->body);
        return;
    }
    struct out body = {NULL, 0, 0};
    if (type.n < 8 || memcmp(type.p, "text/csv", 8) != 0) {
        model_error(e, request, 415, "This predictor only supports CSV data");
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
    e.request = host->service(host, PBAY_SVC_REQUEST);
    e.timer = host->service(host, PBAY_SVC_TIMER);
    e.http = host->service(host, PBAY_SVC_HTTP);
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
        {"POST", "/lambda", "What an older gateway called: {\"data\": \"CSV\"} to a score", PBAY_AUTH_NONE,
         PBAY_BODY_RAW, 64u << 10},
    };
    static const pbay_routes_1 table = {sizeof table, 2, routes, sizeof(pbay_route), 0, handle, gone};
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
