/* SPDX-License-Identifier: MIT */
#include "api.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/time.h"

enum {
    TIMEOUT_MS = 30000,
    REPLY_MAX = 4 << 20,
    RETRY_AFTER_MAX = 3600,
    TOKEN_LIFE = 300, /* seconds, when the tenant does not say */
    SKEW_MAX = 3600 * 1000,
};

struct api_call {
    struct qlik *q;
    struct api_call *next, *prev; /* q->calls */
    struct api_call *next_waiting;
    const char *method;
    char *url;
    pbay_text body;
    enum tier tier;
    int64_t deadline, sent_ms;
    uint64_t max_reply;
    int repeatable, authorised_twice, cancelled, waiting;
    char *token; /* what it was sent with */
    char trace[64];
    pbay_http exchange;
    pbay_timer later;
    api_done done;
    void *user;
    pbay_result failure;
    char code[64], message[700];
};

static void authorise(struct api_call *c);

/* ------------------------------------------------------------------------------------------------ the end */

static void finish(struct api_call *c, const struct api_reply *reply)
{
    struct qlik *q = c->q;
    if (c->next) c->next->prev = c->prev;
    *(c->prev ? &c->prev->next : &q->calls) = c->next;
    c->done(c->user, reply);
    free(c->url);
    free(c->token);
    pbay_text_free(&c->body);
    free(c);
}

static void fail_now(void *user)
{
    struct api_call *c = user;
    const struct api_reply reply = {.result = c->failure};
    finish(c, &reply);
}

static pbay_str kept(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

/* It ends with c->message on a later turn. */
static void fail_later(struct api_call *c, int32_t code, uint32_t advice, int64_t retry_after_ms)
{
    c->failure = (pbay_result)PBAY_RESULT_OK;
    c->failure.code = c->cancelled ? PBAY_CANCELLED : code;
    c->failure.advice = c->cancelled ? PBAY_ADVICE_NONE : advice;
    c->failure.retry_after_ms = retry_after_ms;
    c->failure.message = kept(c->message);
    c->later = c->q->timer->start(c->q->host, 0, 0, fail_now, c);
}

static pbay_str header(const pbay_http_reply *reply, const char *name)
{
    for (uint32_t i = 0; i < reply->n_headers; i++)
        if (qlik_same(reply->headers[i].name, kept(name))) return reply->headers[i].value;
    return (pbay_str){NULL, 0};
}

static int64_t retry_after_ms(const pbay_http_reply *reply)
{
    pbay_str s = header(reply, "retry-after");
    int64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return 1000;
        v = v * 10 + (s.p[i] - '0');
        if (v > RETRY_AFTER_MAX) return RETRY_AFTER_MAX * 1000;
    }
    return v ? v * 1000 : 1000;
}

/* The tenant's clock is within a second behind its Date, and within the time that the exchange took. */
static void compare_clocks(struct qlik *q, const struct api_call *c, const pbay_http_reply *reply)
{
    int64_t there = pbay_time_http(header(reply, "date")), now = q->timer->now_ms();
    if (there < 0 || !c->sent_ms) return;
    int64_t lo = there - now, hi = there + 1000 - c->sent_ms;
    if (lo > SKEW_MAX || hi < -SKEW_MAX) return;
    if (q->clock_lo < lo) q->clock_lo = lo;
    if (q->clock_hi > hi) q->clock_hi = hi;
    if (q->clock_lo > q->clock_hi) { /* one of the clocks was set */
        q->clock_lo = lo;
        q->clock_hi = hi;
    }
}

int64_t api_tenant_time(const struct qlik *q, int64_t ms)
{
    return ms + (q->clock_lo == INT64_MIN ? -1000 : q->clock_lo);
}

/* ------------------------------------------------------------------------------------------------ what it
 * means */

static pbay_str member(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    return json_is_string(v) ? (pbay_str){json_string_value(v), json_string_length(v)} : (pbay_str){NULL, 0};
}

/* Not more than a sentence of it, and no half character at the end. */
static int cut(pbay_str s, size_t most)
{
    size_t n = s.n < most ? s.n : most;
    if (n < s.n)
        while (n && ((unsigned char)s.p[n] & 0xc0) == 0x80) n--;
    return (int)n;
}

/* {"errors":[{"code":"RELOADS-007","title":"...","detail":"..."}],"traceId":"..."} into code and message. */
static void read_errors(struct api_call *c, int status, pbay_str body)
{
    json_t *root = json_loadb(body.n ? body.p : "", body.n, 0, NULL);
    const json_t *first = json_array_get(json_object_get(root, "errors"), 0),
                 *number = json_object_get(first, "code");
    pbay_str code = member(first, "code"), title = member(first, "title"), detail = member(first, "detail"),
             trace = member(root, "traceId");
    if (!title.n) title = member(root, "error_description");
    if (json_is_integer(number))
        snprintf(c->code, sizeof c->code, "%lld", (long long)json_integer_value(number));
    else
        snprintf(c->code, sizeof c->code, "%.*s", cut(code, sizeof c->code - 1), code.n ? code.p : "");
    snprintf(c->message, sizeof c->message, "Qlik Cloud answers %d%s%s%s%s%.*s%s%.*s", status,
             c->code[0] ? " (" : "", c->code, c->code[0] ? ")" : "", title.n ? ": " : "", cut(title, 200),
             title.n ? title.p : "", detail.n ? " " : "", cut(detail, 200), detail.n ? detail.p : "");
    if (trace.n) {
        size_t n = strlen(c->message);
        snprintf(c->message + n, sizeof c->message - n, " [traceId %.*s]", cut(trace, 64), trace.p);
    }
    json_decref(root);
}

pbay_str api_next_page(const json_t *root)
{
    pbay_str href = member(json_object_get(json_object_get(root, "links"), "next"), "href");
    const char *api = NULL;
    for (size_t i = 0; i + 5 <= href.n && !api; i++)
        if (!memcmp(href.p + i, "/api/", 5)) api = href.p + i;
    if (!api) return (pbay_str){NULL, 0};
    pbay_str path = {api, (size_t)(href.p + href.n - api)};
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] <= ' ' || path.p[i] > '~') return (pbay_str){NULL, 0};
    return path;
}

static void note(struct qlik *q, int32_t code, const char *why)
{
    q->state = code;
    snprintf(q->state_why, sizeof q->state_why, "%.*s", (int)sizeof q->state_why - 1, why);
}

static pbay_result judge(struct api_call *c, int status, pbay_str body, const pbay_http_reply *reply)
{
    struct qlik *q = c->q;
    pbay_result r = PBAY_RESULT_OK;
    read_errors(c, status, body);
    r.vendor_status = status;
    r.vendor_code = kept(c->code);
    r.message = kept(c->message);
    int reloads = strncmp(c->code, "RELOADS-", 8) == 0;
    if (status == 429 && reloads) {
        r.code = PBAY_ALREADY_EXISTS; /* a reload of the app is pending: the same again would say the same */
    } else if (status == 429) {
        r.code = PBAY_RESOURCE_EXHAUSTED;
        r.advice = PBAY_ADVICE_SLOW;
        r.retry_after_ms = retry_after_ms(reply);
        q->paused_until[c->tier] = q->timer->monotonic_ns() + r.retry_after_ms * NS_PER_MS;
    } else if (status == 403 && !strcmp(c->code, "RELOADS-013")) {
        r.code = PBAY_RESOURCE_EXHAUSTED; /* the quota of reloads is used up; it opens by and by */
        r.advice = PBAY_ADVICE_RETRY;
        r.retry_after_ms = q->host->get_int(q->config, "quota_wait");
        qlik_log(q, PBAY_LOG_WARN,
                 "the quota of reloads of an app is used up; it is asked for again after quota_wait", "error",
                 r.message, NULL, STR(""));
    } else if (status >= 500 || status == 408) {
        r.code = PBAY_UNAVAILABLE;
        r.advice = PBAY_ADVICE_RETRY;
        r.effect = c->repeatable ? PBAY_EFFECT_NONE : PBAY_EFFECT_MAYBE;
        if (header(reply, "retry-after").n) r.retry_after_ms = retry_after_ms(reply);
    } else {
        r.code = status == 401   ? PBAY_UNAUTHENTICATED
                 : status == 403 ? PBAY_PERMISSION_DENIED
                 : status == 404 ? PBAY_NOT_FOUND
                 : status == 409 ? PBAY_FAILED_PRECONDITION
                 : status < 400  ? PBAY_FAILED_PRECONDITION
                                 : PBAY_INVALID_ARGUMENT;
        if (status < 400) {
            size_t n = strlen(c->message);
            snprintf(c->message + n, sizeof c->message - n, ": is tenant_url (%s) the tenant's own address?",
                     q->base);
            r.message = kept(c->message);
        }
    }
    if (status == 401) note(q, r.code, c->message);
    return r;
}

/* ------------------------------------------------------------------------------------------------ one
 * exchange */

static void drop_token(struct qlik *q)
{
    if (q->token) memset(q->token, 0, strlen(q->token));
    free(q->token);
    q->token = NULL;
}

static void on_reply(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct api_call *c = user;
    struct qlik *q = c->q;
    (void)exchange;
    c->exchange = 0;
    struct api_reply out = {.status = reply->status, .body = reply->body, .result = reply->result};
    if (reply->result.code != PBAY_OK || !reply->status) {
        out.status = 0;
        snprintf(c->message, sizeof c->message, "Qlik Cloud at %s: %.*s", q->base,
                 cut(reply->result.message, 300), reply->result.message.n ? reply->result.message.p : "");
        out.result.message = kept(c->message);
        if (out.result.code == PBAY_OK) out.result.code = PBAY_UNAVAILABLE;
        if (c->repeatable) out.result.effect = PBAY_EFFECT_NONE;
        if (out.result.code != PBAY_CANCELLED) {
            if (!out.result.advice) out.result.advice = PBAY_ADVICE_RETRY;
            note(q, out.result.code, c->message);
        }
        finish(c, &out);
        return;
    }
    compare_clocks(q, c, reply);
    if (reply->status == 401 && !c->authorised_twice) {
        c->authorised_twice = 1;
        if (q->oauth && q->token && c->token && !strcmp(q->token, c->token)) drop_token(q);
        if (!q->oauth && q->secret) q->secret->refused(q->host, "api_key");
        authorise(c); /* nothing was done */
        return;
    }
    out.result = (pbay_result)PBAY_RESULT_OK;
    if (reply->status < 200 || reply->status > 299)
        out.result = judge(c, reply->status, reply->body, reply);
    else
        note(q, PBAY_OK, "");
    out.result.vendor_status = reply->status;
    finish(c, &out);
}

static const pbay_http_events EVENTS = {.struct_size = sizeof EVENTS, .on_done = on_reply};

static void send_now(struct api_call *c, pbay_str token)
{
    struct qlik *q = c->q;
    int64_t left = (c->deadline - q->timer->monotonic_ns()) / NS_PER_MS;
    if (c->cancelled || left < 1) {
        snprintf(c->message, sizeof c->message, "there was no time left to ask Qlik Cloud at %s", q->base);
        fail_later(c, PBAY_DEADLINE_EXCEEDED, PBAY_ADVICE_RETRY, 0);
        return;
    }
    pbay_text bearer = {NULL, 0, 0};
    pbay_text_printf(&bearer, "Bearer %.*s", FMT(token));
    pbay_header headers[5] = {{STR("Authorization"), pbay_text_view(&bearer)},
                              {STR("Accept"), STR("application/json, text/plain")},
                              {STR("User-Agent"), q->host->version(q->host)}};
    uint32_t n = 3;
    if (c->body.n) headers[n++] = (pbay_header){STR("Content-Type"), STR("application/json")};
    if (c->trace[0]) headers[n++] = (pbay_header){STR("traceparent"), kept(c->trace)};
    pbay_http_request r = {.struct_size = sizeof r, .flags = q->http_flags, .method = kept(c->method)};
    r.url = kept(c->url);
    r.headers = headers;
    r.n_headers = n;
    r.body = pbay_text_view(&c->body);
    r.timeout_ms = left;
    r.max_reply = c->max_reply;
    free(c->token);
    c->token = qlik_copy(token);
    c->sent_ms = q->timer->now_ms();
    pbay_result why = PBAY_RESULT_OK;
    c->exchange = q->http->send(q->host, &r, &EVENTS, c, &why);
    memset(bearer.p, 0, bearer.n);
    pbay_text_free(&bearer);
    if (c->exchange) return;
    snprintf(c->message, sizeof c->message, "Qlik Cloud at %s: %.*s", q->base, cut(why.message, 300),
             why.message.n ? why.message.p : "");
    fail_later(c, why.code ? why.code : PBAY_INTERNAL, why.advice, why.retry_after_ms);
}

/* ------------------------------------------------------------------------------------------------ tokens */

/* Those that wait for a token get it, or fail as it failed. */
static void tell_waiting(struct qlik *q, const pbay_result *why, const char *message)
{
    struct api_call *c = q->waiting;
    q->waiting = NULL;
    q->fetching = 0;
    for (struct api_call *next; c; c = next) {
        next = c->next_waiting;
        c->next_waiting = NULL;
        c->waiting = 0;
        if (q->token && !c->cancelled) {
            send_now(c, kept(q->token));
            continue;
        }
        snprintf(c->message, sizeof c->message, "%s", message);
        fail_later(c, why->code, why->advice, why->retry_after_ms);
    }
}

static void on_token(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct qlik *q = user;
    (void)exchange;
    pbay_result why = reply->result;
    char message[400];
    json_t *root =
        reply->status == 200 ? json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, 0, NULL) : NULL;
    pbay_str token = member(root, "access_token");
    const json_t *life = json_object_get(root, "expires_in");
    drop_token(q);
    if (token.n && token.n < 16384) {
        int64_t seconds = json_is_integer(life) ? (int64_t)json_integer_value(life) : TOKEN_LIFE;
        if (seconds < 1 || seconds > 86400 * 30) seconds = TOKEN_LIFE;
        q->token = qlik_copy(token);
        q->token_until = q->timer->monotonic_ns() + seconds * 800 * NS_PER_MS;
        json_decref(root);
        tell_waiting(q, NULL, "");
        return;
    }
    json_decref(root);
    if (why.code == PBAY_OK) {
        int s = reply->status;
        why.code = s == 401 || s == 400 || s == 403 ? PBAY_UNAUTHENTICATED : PBAY_UNAVAILABLE;
        why.advice = why.code == PBAY_UNAVAILABLE ? PBAY_ADVICE_RETRY : PBAY_ADVICE_NONE;
        why.retry_after_ms = s == 429 ? retry_after_ms(reply) : 0;
        snprintf(message, sizeof message, "%s/oauth/token answers %d%s", q->base, s,
                 why.code == PBAY_UNAUTHENTICATED ? ": are client_id and client_secret right?"
                                                  : " and no access_token");
    } else {
        why.advice = PBAY_ADVICE_RETRY;
        snprintf(message, sizeof message, "no token from %s/oauth/token: %.*s", q->base,
                 cut(why.message, 200), why.message.n ? why.message.p : "");
    }
    note(q, why.code, message);
    tell_waiting(q, &why, message);
}

static void wipe_token_request(struct qlik *q)
{
    if (q->token_request.p) memset(q->token_request.p, 0, q->token_request.n);
    pbay_text_free(&q->token_request);
}

static void fetch_token(struct qlik *q)
{
    static const pbay_http_events events = {.struct_size = sizeof events, .on_done = on_token};
    pbay_text url = {NULL, 0, 0}, body = {NULL, 0, 0};
    q->fetching = 1;
    pbay_text_printf(&url, "%s/oauth/token", q->base);
    pbay_text_c(&body, "{\"client_id\":");
    pbay_text_json(&body, qlik_secret(q, "client_id"));
    pbay_text_c(&body, ",\"client_secret\":");
    pbay_text_json(&body, qlik_secret(q, "client_secret"));
    pbay_text_c(&body, ",\"grant_type\":\"client_credentials\"");
    if (q->host->is_set(q->config, "scope")) {
        pbay_text_c(&body, ",\"scope\":");
        pbay_text_json(&body, q->host->get_str(q->config, "scope"));
    }
    pbay_text_c(&body, "}");
    const pbay_header headers[] = {{STR("Accept"), STR("application/json")},
                                   {STR("User-Agent"), q->host->version(q->host)},
                                   {STR("Content-Type"), STR("application/json")}};
    pbay_http_request r = {.struct_size = sizeof r, .flags = q->http_flags, .method = STR("POST")};
    r.url = pbay_text_view(&url);
    r.headers = headers;
    r.n_headers = COUNT(headers);
    wipe_token_request(q);
    q->token_request = body; /* borrowed until the reply */
    r.body = pbay_text_view(&body);
    r.timeout_ms = TIMEOUT_MS;
    pbay_result why = PBAY_RESULT_OK;
    pbay_http sent = q->http->send(q->host, &r, &events, q, &why);
    pbay_text_free(&url);
    if (sent) return;
    char message[300];
    snprintf(message, sizeof message, "no token from %s: %.*s", q->base, cut(why.message, 200),
             why.message.n ? why.message.p : "");
    tell_waiting(q, &why, message);
}

static void authorise(struct api_call *c)
{
    struct qlik *q = c->q;
    if (!q->oauth) {
        send_now(c, qlik_secret(q, "api_key"));
        return;
    }
    if (q->token && q->timer->monotonic_ns() < q->token_until) {
        send_now(c, kept(q->token));
        return;
    }
    c->next_waiting = q->waiting;
    c->waiting = 1;
    q->waiting = c;
    if (!q->fetching) fetch_token(q);
}

/* ------------------------------------------------------------------------------------------------ limits */

static void on_taken(void *user, const pbay_result *result, int64_t after_ms)
{
    struct api_call *c = user;
    if (result->code == PBAY_OK && after_ms <= 0) {
        authorise(c);
        return;
    }
    if (result->code == PBAY_OK) {
        snprintf(c->message, sizeof c->message,
                 "the tenant's limit of requests of this kind is used up; there is room in %lld ms",
                 (long long)after_ms);
        fail_later(c, PBAY_RESOURCE_EXHAUSTED, PBAY_ADVICE_SLOW, after_ms);
        return;
    }
    snprintf(c->message, sizeof c->message, "the limit of requests cannot be counted: %.*s",
             cut(result->message, 300), result->message.n ? result->message.p : "");
    fail_later(c, PBAY_UNAVAILABLE, PBAY_ADVICE_RETRY, result->retry_after_ms);
}

/* Qlik counts per tenant and user, so connectors with one credential have one window. */
static pbay_str window_of(struct qlik *q, const char *kind, char out[96])
{
    static const char digits[] = "0123456789abcdef";
    const pbay_str who = q->oauth ? qlik_secret(q, "client_id") : qlik_secret(q, "api_key");
    const pbay_str parts[] = {{q->base, strlen(q->base)}, {"", 1}, who};
    uint8_t h[32];
    char hex[33];
    q->crypto->hash(PBAY_HASH_SHA256, parts, 3, h);
    for (size_t i = 0; i < 32; i++) hex[i] = digits[i % 2 ? h[i / 2] & 15 : h[i / 2] >> 4];
    hex[32] = 0;
    int n = snprintf(out, 96, "plugin/%s/%s", hex, kind);
    return (pbay_str){out, (size_t)n};
}

struct api_call *api_send(struct qlik *q, const struct api_request *rq, api_done done, void *user)
{
    static const char *const windows[N_TIERS] = {"reads", "writes", "starts"};
    static const char *const options[N_TIERS] = {"limit_reads", "limit_writes", "limit_starts"};
    struct api_call *c = qlik_alloc(sizeof *c);
    int64_t now = q->timer->monotonic_ns();
    c->q = q;
    c->next = q->calls;
    if (c->next) c->next->prev = c;
    q->calls = c;
    c->method = rq->method;
    size_t n = strlen(q->base);
    c->url = qlik_alloc(n + rq->path.n + 1);
    memcpy(c->url, q->base, n);
    memcpy(c->url + n, rq->path.p, rq->path.n);
    pbay_text_add(&c->body, rq->body);
    if (rq->trace) snprintf(c->trace, sizeof c->trace, "%s", rq->trace);
    c->tier = rq->tier;
    c->deadline = rq->deadline ? rq->deadline : now + TIMEOUT_MS * NS_PER_MS;
    c->max_reply = rq->max_reply ? rq->max_reply : REPLY_MAX;
    c->repeatable = rq->repeatable || !strcmp(rq->method, "GET");
    c->done = done;
    c->user = user;
    int64_t silence = (q->paused_until[c->tier] - now) / NS_PER_MS;
    if (silence > 0) {
        snprintf(c->message, sizeof c->message, "Qlik Cloud asked for silence for %lld ms more",
                 (long long)silence);
        fail_later(c, PBAY_RESOURCE_EXHAUSTED, PBAY_ADVICE_SLOW, silence);
    } else if (q->limit && !q->command_run) { /* a command has no store to count in */
        char window[96];
        q->limit->take(q->host, window_of(q, windows[c->tier], window), 1,
                       (uint32_t)q->host->get_int(q->config, options[c->tier]),
                       q->host->get_int(q->config, "limit_window"), on_taken, c);
    } else
        authorise(c);
    return c;
}

void api_cancel(struct api_call *c)
{
    if (!c || c->cancelled) return;
    c->cancelled = 1;
    if (c->exchange) c->q->http->cancel(c->exchange);
    if (c->later) c->failure.code = PBAY_CANCELLED;
}

void api_free(struct qlik *q)
{
    drop_token(q);
    wipe_token_request(q);
    free(q->base);
}
