/* SPDX-License-Identifier: MIT */
/*
 * A Qlik Cloud tenant that is none: POST /api/v1/reloads, and a webhook when the reload is over, as
 * https://qlik.dev/apis/rest/reloads and https://qlik.dev/apis/event/reloads have them. For demonstrations.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <patchbay/host_crypto.h>
#include <patchbay/host_http.h>
#include <patchbay/host_timer.h>
#include <patchbay/routes.h>

#include "kit/text.h"
#include "kit/time.h"

#define STR(lit) ((pbay_str){(lit), sizeof(lit) - 1})

enum { RELOADS_MAX = 1000, ID_MAX = 64 };

struct tenant {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_crypto_1 *crypto;
    const pbay_http_1 *http;
    const pbay_request_1 *request;
    const pbay_timer_1 *timer;
    struct reload *reloads;
    uint32_t n;
};

/*
 * One reload. Its id says everything, "1764381600000-9f3c-x-APP": when it was started, a bit of chance, by
 * whom (x: the API, h: by hand), of which app. So each worker's instance can tell of reloads that another one
 * started.
 */
struct reload {
    struct tenant *t;
    char id[ID_MAX + 32];
    pbay_text event; /* on its way */
};

static int same(pbay_str a, pbay_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static void stamp(pbay_text *out, const char *name, int64_t ms)
{
    char text[PBAY_TIME_TEXT];
    pbay_time_format(ms, text);
    pbay_text_printf(out, ",\"%s\":\"%s\"", name, text);
}

struct told {
    int64_t created_ms, ended_ms; /* ended_ms 0: it runs */
    int by_hand, failed;
    const char *app;
};

/* 0: no such id. */
static int tell(struct tenant *t, const char *id, struct told *out)
{
    char *rest;
    uint32_t n = t->host->count(t->config, "fail");
    *out = (struct told){.created_ms = strtoll(id, &rest, 10)};
    if (out->created_ms <= 0 || strlen(rest) < 9 || rest[0] != '-' || rest[5] != '-' || rest[7] != '-')
        return 0;
    int64_t end = out->created_ms + t->host->get_int(t->config, "duration");
    out->by_hand = rest[6] == 'h';
    out->app = rest + 8;
    out->ended_ms = end <= t->timer->now_ms() ? end : 0;
    for (uint32_t i = 0; i < n; i++) {
        pbay_str key, app = t->host->item(t->config, "fail", i, &key);
        if (same(app, pbay_str_c(out->app))) out->failed = 1;
    }
    return 1;
}

static void record(const struct told *r, const char *id, pbay_text *out)
{
    const char *status = !r->ended_ms ? "RELOADING" : r->failed ? "FAILED" : "SUCCEEDED";
    pbay_text_printf(
        out,
        "{\"id\":\"%s\",\"appId\":\"%s\",\"tenantId\":\"demo\",\"userId\":\"demo\",\"type\":\"%s\","
        "\"status\":\"%s\"",
        id, r->app, r->by_hand ? "hub" : "external", status);
    stamp(out, "creationTime", r->created_ms);
    if (r->ended_ms) stamp(out, "endTime", r->ended_ms);
    if (r->ended_ms && r->failed) pbay_text_c(out, ",\"errorMessage\":\"Field x is missing\"");
    pbay_text_c(out, "}");
}

/* ------------------------------------------------------------------------------------------------ the
 * webhook */

static void delivered(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct reload *r = user;
    (void)exchange;
    (void)reply; /* a tenant does not mind */
    pbay_text_free(&r->event);
}

static void deliver(struct reload *r)
{
    static const pbay_http_events events = {.struct_size = sizeof events, .on_done = delivered};
    struct tenant *t = r->t;
    uint8_t mac[32];
    char hex[65];
    struct told told;
    tell(t, r->id, &told);
    pbay_text_printf(
        &r->event,
        "{\"id\":\"event-%s\",\"type\":\"com.qlik.v1.reload.finished\",\"source\":\"com.qlik/reloads\","
        "\"specversion\":\"1.0\",\"tenantid\":\"demo\",\"toplevelresourceid\":\"%s\"",
        r->id, told.app);
    stamp(&r->event, "time", told.ended_ms);
    pbay_text_printf(
        &r->event,
        ",\"data\":{\"id\":\"%s\",\"appId\":\"%s\",\"userId\":\"demo\",\"type\":\"%s\",\"status\":\"%s\","
        "\"succeeded\":%s%s}}",
        r->id, told.app, told.by_hand ? "hub" : "external", told.failed ? "FAILED" : "SUCCEEDED",
        told.failed ? "false" : "true", told.failed ? ",\"errorMessage\":\"Field x is missing\"" : "");
    pbay_str body = pbay_text_view(&r->event);
    t->crypto->hmac(PBAY_HASH_SHA256, t->host->get_str(t->config, "webhook_secret"), &body, 1, mac);
    for (size_t i = 0; i < sizeof mac; i++) {
        hex[2 * i] = "0123456789abcdef"[mac[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[mac[i] & 15];
    }
    const pbay_header headers[] = {{STR("Content-Type"), STR("application/json")},
                                   {STR("User-Agent"), STR("Qlik Webhook")},
                                   {STR("Qlik-Signature"), {hex, 64}}};
    pbay_http_request rq = {.struct_size = sizeof rq, .flags = PBAY_HTTP_CONFIGURED, .method = STR("POST")};
    rq.url = t->host->get_str(t->config, "hook_url");
    rq.headers = headers;
    rq.n_headers = 3;
    rq.body = body;
    pbay_result why = PBAY_RESULT_OK;
    if (!t->http->send(t->host, &rq, &events, r, &why)) pbay_text_free(&r->event);
}

static void over(void *user)
{
    deliver(user);
}

/* ------------------------------------------------------------------------------------------------ requests
 */

static void answer(struct tenant *t, pbay_request request, int32_t status, pbay_str body)
{
    const pbay_header type = {STR("Content-Type"), STR("application/json")};
    t->request->respond(request, status, &type, 1, body);
}

static void begin(struct tenant *t, pbay_request request, pbay_str app, int by_hand)
{
    size_t plain = 0;
    while (plain < app.n && app.p[plain] > ' ' && app.p[plain] < 0x7f && app.p[plain] != '"' &&
           app.p[plain] != '\\')
        plain++;
    if (!app.n || app.n >= ID_MAX || plain < app.n || t->n == RELOADS_MAX) {
        answer(t, request, 400,
               STR("{\"errors\":[{\"code\":\"RELOADS-001\",\"title\":\"Invalid request\"}]}"));
        return;
    }
    struct reload *r = &t->reloads[t->n++];
    uint8_t chance[2];
    struct told told;
    t->crypto->random(chance, sizeof chance);
    r->t = t;
    snprintf(r->id, sizeof r->id, "%lld-%02x%02x-%c-%.*s", (long long)t->timer->now_ms(), chance[0],
             chance[1], by_hand ? 'h' : 'x', (int)app.n, app.p);
    tell(t, r->id, &told);
    t->timer->start(t->host, t->host->get_int(t->config, "duration") + 1, 0, over, r);
    pbay_text body = {NULL, 0, 0};
    record(&told, r->id, &body);
    answer(t, request, 201, pbay_text_view(&body));
    pbay_text_free(&body);
}

/* The text behind "appId": in a body that our own connector has written. */
static pbay_str app_of(pbay_str body)
{
    static const char name[] = "\"appId\":\"";
    for (size_t i = 0; i + sizeof name - 1 < body.n; i++)
        if (!memcmp(body.p + i, name, sizeof name - 1)) {
            const char *from = body.p + i + sizeof name - 1,
                       *end = memchr(from, '"', (size_t)(body.p + body.n - from));
            return end ? (pbay_str){from, (size_t)(end - from)} : STR("");
        }
    return STR("");
}

static int genuine(struct tenant *t, pbay_request request, const pbay_request_info *info)
{
    pbay_text wanted = {NULL, 0, 0};
    pbay_str key = t->host->get_str(t->config, "api_key"), given = STR("");
    for (uint32_t i = 0; i < info->n_headers; i++)
        if (same(info->headers[i].name, STR("authorization"))) given = info->headers[i].value;
    pbay_text_printf(&wanted, "Bearer %.*s", (int)key.n, key.p);
    int good = t->crypto->equal(given, pbay_text_view(&wanted)) &&
               t->request->accept(request, STR("demo")) == PBAY_OK;
    pbay_text_free(&wanted);
    if (!good)
        answer(t, request, 401, STR("{\"errors\":[{\"code\":\"HTTP-401\",\"title\":\"Unauthorized\"}]}"));
    return good;
}

enum { R_START, R_LIST, R_GET, R_HUB };

static void handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
{
    struct tenant *t = self;
    pbay_str rest = info->suffix;
    while (rest.n && *rest.p == '/') rest.p++, rest.n--;
    if (!genuine(t, request, info)) return;
    if (route == R_START || route == R_HUB) {
        begin(t, request, route == R_START ? app_of(info->body) : rest, route == R_HUB);
        return;
    }
    pbay_text body = {NULL, 0, 0};
    char id[ID_MAX + 32];
    struct told told;
    snprintf(id, sizeof id, "%.*s", (int)(rest.n < sizeof id ? rest.n : 0), rest.n ? rest.p : "");
    if (route == R_GET && tell(t, id, &told)) record(&told, id, &body);
    if (route == R_LIST)
        answer(t, request, 200, STR("{\"data\":[],\"links\":{}}"));
    else if (body.n)
        answer(t, request, 200, pbay_text_view(&body));
    else
        answer(t, request, 404, STR("{\"errors\":[{\"code\":\"RELOADS-004\",\"title\":\"No such one.\"}]}"));
    pbay_text_free(&body);
}

/* ------------------------------------------------------------------------------------------------ life */

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct tenant *t = calloc(1, sizeof *t);
    if (!t) return PBAY_RESOURCE_EXHAUSTED;
    t->host = host, t->config = config;
    t->crypto = host->service(host, PBAY_SVC_CRYPTO);
    t->http = host->service(host, PBAY_SVC_HTTP);
    t->request = host->service(host, PBAY_SVC_REQUEST);
    t->timer = host->service(host, PBAY_SVC_TIMER);
    t->reloads = calloc(RELOADS_MAX, sizeof *t->reloads);
    *self = t;
    if (t->crypto && t->http && t->request && t->timer && t->reloads) return PBAY_OK;
    free(t->reloads);
    free(t);
    return pbay_fail(why, PBAY_FAILED_PRECONDITION, "this host lacks crypto, http, timers or routes");
}

static void destroy(void *self)
{
    struct tenant *t = self;
    for (uint32_t i = 0; i < t->n; i++) pbay_text_free(&t->reloads[i].event);
    free(t->reloads);
    free(t);
}

static const void *extension(const char *id)
{
    static const pbay_route routes[] = {
        {"POST", "/api/v1/reloads", "Start a reload.", PBAY_AUTH_OWN, PBAY_BODY_RAW, 1 << 16},
        {"GET", "/api/v1/reloads", "None, as a list.", PBAY_AUTH_OWN, PBAY_BODY_RAW, 0},
        {"GET", "/api/v1/reloads/*", "A reload.", PBAY_AUTH_OWN, PBAY_BODY_RAW, 0},
        {"POST", "/hub/*", "Somebody starts a reload by hand.", PBAY_AUTH_OWN, PBAY_BODY_RAW, 1 << 16},
    };
    static const pbay_routes_1 table = {sizeof table, 4, routes, sizeof(pbay_route), 0, handle, NULL};
    return strcmp(id, PBAY_EXT_ROUTES) == 0 ? &table : NULL;
}

static const pbay_option OPTIONS[] = {
    {"api_key", PBAY_OPT_STR, PBAY_OPTF_REQUIRED | PBAY_OPTF_SECRET, NULL, NULL, "What callers show."},
    {"hook_url", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "Where the webhook goes."},
    {"webhook_secret", PBAY_OPT_STR, PBAY_OPTF_REQUIRED | PBAY_OPTF_SECRET, NULL, NULL, "What signs it."},
    {"duration", PBAY_OPT_DURATION, 0, "300ms", "1ms..1h", "How long a reload takes."},
    {"fail", PBAY_OPT_LIST, 0, NULL, NULL, "Apps whose reloads fail."},
};

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "local_tenant",
        .version = "0.1.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "Stands in for a Qlik Cloud tenant: reloads and their webhook",
        .options = {OPTIONS, sizeof OPTIONS / sizeof *OPTIONS, sizeof(pbay_option)},
    };
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         NULL,
                                     NULL,       destroy,      extension};
    return &entry;
}
