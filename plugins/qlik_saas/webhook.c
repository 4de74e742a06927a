/* SPDX-License-Identifier: MIT */
/*
 * POST /CONNECTOR/hook: where Qlik Cloud delivers events.
 *
 * Genuine is what carries Qlik-Signature, the hex of HMAC-SHA256 over the body as received
 * (https://qlik.dev/apis/event/verify-webhook-signatures-hmac), by one of two secrets, and, where one is
 * configured, the API key in a header. 2xx is answered when the event is on disk, or when it is not for us:
 * everything else is red in Qlik's log of deliveries. No redirect is ever answered, Qlik drops the event
 * then.
 */
#include <stdlib.h>
#include <string.h>

#include "happening.h"
#include "logs.h"
#include "names.h"
#include "views.h"
#include "webhook.h"

enum { MAC = 32, BODY_MAX = 1 << 20, LINES_PER_MINUTE = 20 };

struct hook {
    struct qlik *q;
    pbay_request request;
    char *app, *app_name, *reload; /* of a reload that failed; else NULL */
};

static const char *const END_NAMES[N_HOOK_ENDS] = {"stored",  "known",   "ignored",
                                                   "refused", "foreign", "lost"};

const char *webhook_end_name(enum hook_end e)
{
    return END_NAMES[e];
}

static void answer(struct qlik *q, pbay_request request, int32_t status, enum hook_end end,
                   const char *reason)
{
    const pbay_header headers[] = {{STR("Content-Type"), STR("application/json")},
                                   {STR("Retry-After"), STR("5")}};
    pbay_text body = {NULL, 0, 0};
    pbay_text_printf(&body, "{\"result\":\"%s\"", END_NAMES[end]);
    if (reason) {
        pbay_text_c(&body, ",\"reason\":");
        pbay_text_json(&body, (pbay_str){reason, strlen(reason)});
    }
    pbay_text_c(&body, "}");
    q->request->respond(request, status, headers, status == 503 ? 2 : 1, pbay_text_view(&body));
    pbay_text_free(&body);
    if (q->metric) q->metric->add(q->host, q->ends[end], 1);
}

/* What was refused, for the operator: not more often than a person can read. */
static void tell(struct qlik *q, uint32_t level, const char *reason, pbay_str detail)
{
    int64_t minute = q->timer->monotonic_ns() / (60000 * NS_PER_MS);
    if (minute != q->hook_minute) {
        q->hook_minute = minute;
        q->hook_lines = 0;
    }
    if (level > PBAY_LOG_INFO && q->hook_lines++ >= LINES_PER_MINUTE) return;
    qlik_log(q, level, level > PBAY_LOG_INFO ? "a webhook was refused" : "a webhook was ignored", "reason",
             (pbay_str){reason, strlen(reason)}, "about", detail);
}

static pbay_str header(const pbay_request_info *info, pbay_str name)
{
    for (uint32_t i = 0; i < info->n_headers; i++)
        if (qlik_same(info->headers[i].name, name)) return info->headers[i].value;
    return (pbay_str){NULL, 0};
}

static int hex(pbay_str s, uint8_t out[MAC])
{
    if (s.n != 2 * MAC) return 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        int v = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (v < 0) return 0;
        out[i / 2] = (uint8_t)(i & 1 ? out[i / 2] | v : v << 4);
    }
    return 1;
}

/* By the present secret or the one before it; both are computed, whichever it was. */
static int signed_by_us(const struct qlik *q, pbay_str signature, pbay_str body)
{
    static const char *const secrets[] = {"webhook_secret", "webhook_secret_previous"};
    uint8_t given[MAC], mac[MAC];
    int good = 0;
    if (!hex(signature, given)) return 0;
    for (size_t i = 0; i < COUNT(secrets); i++) {
        pbay_str key = qlik_secret(q, secrets[i]);
        if (!key.n || q->crypto->hmac(PBAY_HASH_SHA256, key, &body, 1, mac) != PBAY_OK) continue;
        good |= q->crypto->equal((pbay_str){(const char *)given, MAC}, (pbay_str){(const char *)mac, MAC});
    }
    return good;
}

/* 0: it has been answered. */
static int genuine(struct qlik *q, pbay_request request, const pbay_request_info *info)
{
    int32_t status = 401;
    const char *why = NULL;
    pbay_str signature = header(info, STR("qlik-signature"));
    if (q->host->is_set(q->config, "webhook_secret")) {
        if (!signature.n) {
            status = 400;
            why = "there is no Qlik-Signature";
        } else if (!signed_by_us(q, signature, info->body))
            why = "Qlik-Signature is not the body's";
    }
    if (!why && q->host->is_set(q->config, "webhook_api_key") &&
        !q->crypto->equal(header(info, q->host->get_str(q->config, "webhook_api_key_header")),
                          qlik_secret(q, "webhook_api_key")))
        why = "the API key is missing or wrong";
    if (!why && q->request->accept(request, STR("qlik-webhook")) != PBAY_OK) {
        status = 403;
        why = "qlik-webhook is not allowed here";
    }
    if (!why) return 1;
    tell(q, PBAY_LOG_WARN, why, info->peer);
    answer(q, request, status, HOOK_REFUSED, why);
    return 0;
}

static void on_stored(void *user, const pbay_result *result, uint32_t n_new)
{
    struct hook *h = user;
    if (result->code == PBAY_OK) {
        if (n_new && h->reload)
            logs_fetch(h->q, pbay_str_c(h->app), pbay_str_c(h->app_name), pbay_str_c(h->reload));
        answer(h->q, h->request, 200, n_new ? HOOK_STORED : HOOK_KNOWN, NULL);
    } else {
        qlik_log(h->q, PBAY_LOG_ERROR, "an event could not be stored", "error", result->message, NULL,
                 STR(""));
        if (result->code == PBAY_INVALID_ARGUMENT)
            answer(h->q, h->request, 400, HOOK_REFUSED, "the event does not fit into the store");
        else
            answer(h->q, h->request, 503, HOOK_LOST, "the event could not be stored now");
    }
    free(h->app);
    free(h->app_name);
    free(h->reload);
    free(h);
}

static int too_old(const struct qlik *q, const struct envelope *e)
{
    int64_t most = q->host->get_int(q->config, "max_age");
    return most && e->time_ms && q->timer->now_ms() - e->time_ms > most;
}

static void take_event(struct qlik *q, pbay_request request, const struct envelope *e)
{
    struct happening what;
    if (!q->event) {
        answer(q, request, 503, HOOK_LOST, "this gateway keeps no events");
        return;
    }
    struct hook *h = qlik_alloc(sizeof *h);
    h->q = q;
    h->request = request;
    if (e->kind != EVENT_OTHER && e->status == STATUS_ERROR) {
        h->app = qlik_copy(e->app);
        h->app_name = qlik_copy(e->app_name);
        h->reload = qlik_copy(e->reload);
    }
    happening_make(e, &what);
    q->event->put(q->host, &what.event, 1, on_stored, h);
    happening_free(&what);
}

static void handle_hook(struct qlik *q, pbay_request request, const pbay_request_info *info)
{
    struct envelope e;
    char why[ENVELOPE_WHY];
    if (!q->hooks) {
        answer(q, request, 404, HOOK_REFUSED, "this connector takes no webhooks");
        return;
    }
    if (!genuine(q, request, info)) return;
    unsigned flags = q->host->get_int(q->config, "paper_bodies") ? ENVELOPE_PAPER : 0;
    if (envelope_read(info->body, flags, &e, why)) {
        tell(q, PBAY_LOG_WARN, why, info->peer);
        answer(q, request, 400, HOOK_REFUSED, why);
        envelope_free(&e);
        return;
    }
    if (e.kind == EVENT_OTHER) names_forget(q, e.app); /* renamed, moved, deleted: whatever it was */
    int foreign;
    const char *unwanted = happening_unwanted(q, &e, &foreign);
    if (foreign) {
        tell(q, PBAY_LOG_WARN, unwanted, e.tenant);
        answer(q, request, 403, HOOK_FOREIGN, unwanted);
    } else if (unwanted || too_old(q, &e)) {
        if (!unwanted) unwanted = "it is older than max_age";
        tell(q, PBAY_LOG_INFO, unwanted, e.type);
        answer(q, request, 200, HOOK_IGNORED, unwanted);
    } else
        take_event(q, request, &e);
    envelope_free(&e);
}

enum { R_HOOK, R_APPS };

static void handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
{
    if (route == R_HOOK)
        handle_hook(self, request, info);
    else
        views_handle(self, request, info);
}

static const pbay_route ROUTES[] = {
    [R_HOOK] = {"POST", "/hook", "Where Qlik Cloud delivers events.", PBAY_AUTH_OWN, PBAY_BODY_RAW, BODY_MAX},
    [R_APPS] = {"GET", "/apps",
                "The apps of the chains and how they relate; ?format=rows, orgchart, dot, mermaid, json.",
                PBAY_AUTH_HOST, PBAY_BODY_RAW, 0},
};

const pbay_routes_1 qlik_routes = {
    .struct_size = sizeof qlik_routes,
    .n_routes = COUNT(ROUTES),
    .routes = ROUTES,
    .route_stride = sizeof(pbay_route),
    .handle = handle,
};
