/* SPDX-License-Identifier: MIT */
/*
 * A Qlik webhook and its reload action. The signature is over the body as received, so the route has auth =
 * own and body = raw; nothing but crypto, secrets and log works until `accept`. 2xx is answered when the
 * event is on disk. A reload may have been started though the answer was lost: repeat = check, and the lookup
 * asks Qlik for one since.
 */
#include <patchbay/actions.h>
#include <patchbay/host_event.h>
#include <patchbay/host_limit.h>
#include <patchbay/host_crypto.h>
#include <patchbay/host_http.h>
#include <patchbay/host_secret.h>
#include <patchbay/routes.h>

#include "sketch.h"

struct qlik {
    const pbay_host *host;
    const pbay_crypto_1 *crypto;
    const pbay_secret_1 *secret;
    const pbay_http_1 *http;
    const pbay_event_1 *event;
    const pbay_action_1 *action;
    const pbay_limit_1 *limit;
    const pbay_request_1 *request;
};

struct hook {
    struct qlik *q;
    pbay_request request;
};

static void on_stored(void *user, const pbay_result *result, uint32_t n_new)
{
    struct hook *h = user;
    (void)n_new; /* delivered twice: 200 all the same */
    h->q->request->respond(h->request, result->code == PBAY_OK ? 200 : 503, NULL, 0, STR(""));
    free(h);
}

static void handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
{
    struct qlik *q = self;
    pbay_str secret, given = {NULL, 0};
    uint8_t mac[32];
    (void)route;
    for (uint32_t i = 0; i < info->n_headers; i++)
        if (info->headers[i].name.n == 14 && !memcmp(info->headers[i].name.p, "qlik-signature", 14))
            given = info->headers[i].value;
    int good = q->secret->get(q->host, "webhook_secret", &secret, NULL) == PBAY_OK &&
               q->crypto->hmac(PBAY_HASH_SHA256, secret, &info->body, 1, mac) == PBAY_OK &&
               q->crypto->equal(given, (pbay_str){(const char *)mac, sizeof mac}); /* hex in the real one */
    if (!good || q->request->accept(request, STR("qlik-webhook")) != PBAY_OK) {
        q->request->respond(request, 401, NULL, 0, STR(""));
        return;
    }
    struct hook *h = zalloc(sizeof *h);
    h->q = q;
    h->request = request;
    const pbay_str keys[] = {STR("app-1:reload-7")};
    pbay_event ev = {.struct_size = sizeof ev, .n_keys = 1, .keys = keys, .type = STR("reload.finished")};
    ev.data = info->body;
    q->event->put(q->host, &ev, 1, on_stored, h);
}

static const pbay_route routes[] = {
    {"POST", "/hook", "Where Qlik Cloud delivers events.", PBAY_AUTH_OWN, PBAY_BODY_RAW, 1 << 20},
};
static const pbay_routes_1 route_table = {
    .struct_size = sizeof route_table,
    .n_routes = 1,
    .routes = routes,
    .route_stride = sizeof(pbay_route),
    .handle = handle,
};

struct run {
    struct qlik *q;
    pbay_action_run id;
    int lookup;
};

static void on_reply(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct run *r = user;
    (void)exchange;
    pbay_result result = reply->result;
    if (result.code == PBAY_OK && reply->status == 201)
        r->q->action->started(r->id, STR("reload-8"), 5000);
    else if (r->lookup && reply->status == 200)
        r->q->action->done(r->id, reply->body);
    else
        r->q->action->failed(r->id, &result);
    free(r);
}

static int32_t send(struct qlik *q, pbay_action_run run, int lookup, pbay_str method, pbay_result *why)
{
    static const pbay_http_events events = {sizeof events, 0, NULL, NULL, NULL, on_reply};
    struct run *r = zalloc(sizeof *r);
    r->q = q;
    r->id = run;
    r->lookup = lookup;
    pbay_http_request rq = {.struct_size = sizeof rq, .method = method};
    rq.url = STR("https://tenant.eu.qlikcloud.com/api/v1/reloads");
    if (q->http->send(q->host, &rq, &events, r, why)) return PBAY_OK;
    free(r);
    return why->code;
}

static void on_taken(void *user, const pbay_result *result, int64_t after_ms)
{
    struct run *r = user;
    pbay_result why = *result;
    if (why.code == PBAY_OK && after_ms) {
        why = failed(PBAY_RESOURCE_EXHAUSTED, STR("reloads are started as fast as Qlik Cloud allows"));
        why.advice = PBAY_ADVICE_RETRY;
        why.retry_after_ms = after_ms;
    }
    if (why.code != PBAY_OK || send(r->q, r->id, 0, STR("POST"), &why) != PBAY_OK)
        r->q->action->failed(r->id, &why);
    free(r);
}

static int32_t reload(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                      pbay_result *why)
{
    struct run *r = zalloc(sizeof *r);
    (void)action;
    (void)info;
    (void)why;
    r->q = self;
    r->id = run;
    r->q->limit->take(r->q->host, STR("starts"), 1, 100, 60000, on_taken, r);
    return PBAY_OK;
}

static int32_t poll_reload(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                           pbay_result *why)
{
    (void)action;
    return info->handle.n ? send(self, run, 1, STR("GET"), why) : PBAY_INVALID_ARGUMENT;
}

static const pbay_option arguments[] = {
    {"app", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "Id of the app."},
    {"partial", PBAY_OPT_BOOL, 0, "no", NULL, "A partial reload."},
};
static const pbay_action actions[] = {
    {"reload", "Reload an app.", PBAY_REPEAT_CHECK, 0, {arguments, 2, sizeof(pbay_option)}},
};
static const pbay_actions_1 action_table = {
    .struct_size = sizeof action_table,
    .n_actions = 1,
    .actions = actions,
    .action_stride = sizeof(pbay_action),
    .run = reload,
    .poll = poll_reload,
    .lookup = poll_reload,
};

static const void *extension(const char *id)
{
    if (!strcmp(id, PBAY_EXT_ROUTES)) return &route_table;
    return strcmp(id, PBAY_EXT_ACTIONS) ? NULL : &action_table;
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    if (!host->is_set(config, "webhook_secret")) {
        *why = failed(PBAY_FAILED_PRECONDITION, STR("webhook_secret is not set: anybody could send events"));
        return why->code;
    }
    struct qlik *q = zalloc(sizeof *q);
    q->host = host;
    q->crypto = host->service(host, PBAY_SVC_CRYPTO);
    q->secret = host->service(host, PBAY_SVC_SECRET);
    q->http = host->service(host, PBAY_SVC_HTTP);
    q->event = host->service(host, PBAY_SVC_EVENT);
    q->action = host->service(host, PBAY_SVC_ACTION);
    q->limit = host->service(host, PBAY_SVC_LIMIT);
    q->request = host->service(host, PBAY_SVC_REQUEST);
    *self = q;
    return PBAY_OK;
}

static const pbay_option options[] = {
    {"webhook_secret", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "What Qlik signs with."},
};
SKETCH_ENTRY(qlik_hook, options)
