/* SPDX-License-Identifier: MIT */
#include "rest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADERS_MAX = 16, REPLY_MAX = 32 << 20, TIMEOUT_MS = 30000, RETRY_AFTER_MAX = 3600, CODE = 64 };

struct rest {
    struct modeldb *m;
    char *url, *code;
    rest_headers headers;
    void *headers_user;
    rest_task *tasks;
    bool stopped;
};

struct rest_task {
    rest *r;
    rest_task *next;
    const rest_plan *ops;
    void *plan;
    int64_t deadline;
    mdb_done done;
    void *user;
    bool reads, wrote, cancelled;
    pbay_http exchange;
    pbay_timer soon;
    rest_want want;
    char *url, *body;
    char name[300], code[CODE], trace[64], why[1200];
};

/* -------------------------------------------------------------------------------------------------- helpers
 */

static void *made(size_t n)
{
    void *p = calloc(1, n ? n : 1);
    if (!p) abort();
    return p;
}

static pbay_str c_str(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

static char *copied(pbay_str s)
{
    char *p = made(s.n + 1);
    if (s.n) memcpy(p, s.p, s.n);
    return p;
}

static bool is_json(const pbay_http_reply *reply)
{
    for (uint32_t i = 0; i < reply->n_headers; i++) {
        const pbay_header *h = &reply->headers[i];
        if (h->name.n == 12 && !memcmp(h->name.p, "content-type", 12))
            return h->value.n >= 16 && !strncasecmp(h->value.p, "application/json", 16);
    }
    return false;
}

static int64_t retry_after_ms(const pbay_http_reply *reply)
{
    for (uint32_t i = 0; i < reply->n_headers; i++) {
        const pbay_header *h = &reply->headers[i];
        int64_t v = 0;
        if (h->name.n != 11 || memcmp(h->name.p, "retry-after", 11)) continue;
        for (size_t k = 0;
             k < h->value.n && h->value.p[k] >= '0' && h->value.p[k] <= '9' && v < RETRY_AFTER_MAX; k++)
            v = 10 * v + (h->value.p[k] - '0');
        return (v < RETRY_AFTER_MAX ? v : RETRY_AFTER_MAX) * 1000;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------------ end
 */

static void clear_want(rest_task *t)
{
    pbay_text_free(&t->want.query);
    json_decref(t->want.body);
    free(t->url);
    free(t->body);
    t->url = t->body = NULL;
    t->want = (rest_want){.method = NULL};
}

static void finish(rest_task *t, const pbay_result *r, pbay_str json)
{
    rest_task **at = &t->r->tasks;
    while (*at != t) at = &(*at)->next;
    *at = t->next;
    if (t->soon) t->r->m->timer->cancel(t->soon);
    t->done(t->user, r, json);
    clear_want(t);
    t->ops->free(t->plan);
    free(t);
}

static void failed(rest_task *t, int32_t code, uint32_t advice, int64_t retry_after, int status,
                   const char *fmt, ...) __attribute__((format(printf, 6, 7)));

static void failed(rest_task *t, int32_t code, uint32_t advice, int64_t retry_after, int status,
                   const char *fmt, ...)
{
    pbay_result r = PBAY_RESULT_OK;
    va_list ap;
    int n = snprintf(t->why, sizeof t->why, "%s: ", t->name);
    va_start(ap, fmt);
    vsnprintf(t->why + n, sizeof t->why - (size_t)n, fmt, ap);
    va_end(ap);
    r.code = t->cancelled ? PBAY_CANCELLED : code;
    r.effect = t->wrote ? PBAY_EFFECT_MAYBE : PBAY_EFFECT_NONE;
    r.advice = advice;
    r.retry_after_ms = retry_after;
    r.vendor_status = status;
    r.vendor_code = c_str(t->code);
    r.message = c_str(t->why);
    finish(t, &r, STR(""));
}

/* What an HTTP status that nobody reckoned with means. */
static void refused(rest_task *t, const pbay_http_reply *reply, const char *message)
{
    static const struct {
        int status;
        int32_t code;
        uint32_t advice;
    } known[] = {
        {400, PBAY_INVALID_ARGUMENT, PBAY_ADVICE_NONE},    {401, PBAY_UNAUTHENTICATED, PBAY_ADVICE_NONE},
        {403, PBAY_PERMISSION_DENIED, PBAY_ADVICE_NONE},   {404, PBAY_NOT_FOUND, PBAY_ADVICE_NONE},
        {408, PBAY_UNAVAILABLE, PBAY_ADVICE_RETRY},        {409, PBAY_ABORTED, PBAY_ADVICE_RETRY},
        {412, PBAY_FAILED_PRECONDITION, PBAY_ADVICE_NONE}, {429, PBAY_RESOURCE_EXHAUSTED, PBAY_ADVICE_SLOW},
        {500, PBAY_INTERNAL, PBAY_ADVICE_RETRY},           {501, PBAY_UNIMPLEMENTED, PBAY_ADVICE_NONE},
        {502, PBAY_UNAVAILABLE, PBAY_ADVICE_RETRY},        {503, PBAY_UNAVAILABLE, PBAY_ADVICE_RETRY},
        {504, PBAY_UNAVAILABLE, PBAY_ADVICE_RETRY},
    };
    int32_t code = reply->status >= 500 ? PBAY_UNAVAILABLE : PBAY_UNKNOWN;
    uint32_t advice = reply->status >= 500 ? PBAY_ADVICE_RETRY : PBAY_ADVICE_NONE;
    for (size_t i = 0; i < COUNT(known); i++) {
        if (known[i].status != reply->status) continue;
        code = known[i].code;
        advice = known[i].advice;
    }
    failed(t, code, advice, retry_after_ms(reply), reply->status, "%s answers %s %s with %d%s%s: %.400s",
           t->r->url, t->want.method, t->want.call, (int)reply->status, t->code[0] ? " " : "", t->code,
           message);
}

/* ------------------------------------------------------------------------------------------------- exchange
 */

static void step(rest_task *t);

static void on_soon(void *user)
{
    rest_task *t = user;
    t->soon = 0;
    if (t->cancelled)
        failed(t, PBAY_CANCELLED, PBAY_ADVICE_RETRY, 0, 0, "cancelled before it was asked");
    else
        step(t);
}

static void later(rest_task *t)
{
    if (!t->soon) t->soon = t->r->m->timer->start(t->r->m->host, 0, 0, on_soon, t);
}

/* An error's code may be a number (gRPC's) or a word. */
static void read_code(rest_task *t, const json_t *body)
{
    const json_t *code = json_object_get(body, t->r->code);
    t->code[0] = 0;
    if (json_is_integer(code))
        snprintf(t->code, sizeof t->code, "%ld", (long)json_integer_value(code));
    else if (json_is_string(code))
        snprintf(t->code, sizeof t->code, "%.63s", json_string_value(code));
}

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    rest_task *t = user;
    const pbay_str m = reply->result.message;
    (void)exchange;
    t->exchange = 0;
    t->code[0] = 0;
    const bool get = !strcmp(t->want.method, "GET");
    if (!get && !t->reads && reply->result.effect != PBAY_EFFECT_NONE) t->wrote = true;
    if (!get && !t->reads && reply->status) t->wrote = true;
    if (reply->result.code) {
        failed(t, reply->result.code,
               reply->result.advice == PBAY_ADVICE_NONE && reply->result.code != PBAY_PERMISSION_DENIED
                   ? PBAY_ADVICE_RETRY
                   : reply->result.advice,
               reply->result.retry_after_ms, 0, "%s %s at %s: %.*s", t->want.method, t->want.call, t->r->url,
               (int)(m.n < 500 ? m.n : 500), m.n ? m.p : "");
        return;
    }
    const bool good = reply->status >= 200 && reply->status < 300;
    if (!is_json(reply)) {
        if (good || (reply->status >= 300 && reply->status < 400))
            failed(t, PBAY_FAILED_PRECONDITION, PBAY_ADVICE_RETRY, 0, reply->status,
                   "%s answers %s %s with %d and something else than JSON: a page of a web application or a "
                   "proxy; is "
                   "`url` the API's?",
                   t->r->url, t->want.method, t->want.call, (int)reply->status);
        else
            refused(t, reply,
                    reply->status == 404 ? "no such call here; is `url` the API's?" : "without a JSON body");
        return;
    }
    json_error_t e;
    json_t *body = json_loadb(reply->body.p ? reply->body.p : "", reply->body.n, 0, &e);
    if (!json_is_object(body)) {
        json_decref(body);
        if (good)
            failed(t, PBAY_DATA_LOSS, PBAY_ADVICE_RETRY, 0, reply->status, "%s answers %s %s with %s",
                   t->r->url, t->want.method, t->want.call,
                   body ? "JSON that is no object" : "JSON that is cut or wrong");
        else
            refused(t, reply, "with an unreadable body");
        return;
    }
    if (!good) read_code(t, body);
    const rest_answer a = {reply->status, body, t->code, good ? "" : rest_member(body, "message").p};
    const bool expected = t->ops->answer(t->plan, &a);
    if (!expected) refused(t, reply, a.message);
    json_decref(body);
    if (!expected) return;
    clear_want(t);
    step(t);
}

static bool send_it(rest_task *t, pbay_result *why)
{
    static const pbay_http_events events = {sizeof events, 0, NULL, NULL, NULL, on_done};
    const struct modeldb *m = t->r->m;
    pbay_header headers[HEADERS_MAX] = {{STR("Accept"), STR("application/json")}};
    uint32_t n = 1;
    pbay_text url = {NULL, 0, 0};
    pbay_text_printf(&url, "%s/%s%s%.*s", t->r->url, t->want.call, t->want.query.n ? "?" : "",
                     (int)t->want.query.n, t->want.query.n ? t->want.query.p : "");
    pbay_text_add(&url, (pbay_str){"", 1});
    t->url = url.p;
    if (t->want.body) {
        headers[n++] = (pbay_header){STR("Content-Type"), STR("application/json")};
        t->body = json_dumps(t->want.body, JSON_COMPACT);
        if (!t->body) abort();
    }
    if (t->trace[0]) headers[n++] = (pbay_header){STR("traceparent"), c_str(t->trace)};
    if (t->r->headers) n += t->r->headers(t->r->headers_user, headers + n, HEADERS_MAX - n);
    const int64_t left = (t->deadline - m->timer->monotonic_ns()) / NS_PER_MS;
    const pbay_http_request q = {.struct_size = sizeof q,
                                 .flags = PBAY_HTTP_CONFIGURED,
                                 .method = c_str(t->want.method),
                                 .url = c_str(t->url),
                                 .headers = headers,
                                 .n_headers = n,
                                 .body = t->body ? c_str(t->body) : (pbay_str){NULL, 0},
                                 .timeout_ms = left < TIMEOUT_MS ? left : TIMEOUT_MS,
                                 .max_reply = REPLY_MAX};
    t->exchange = m->http->send(m->host, &q, &events, t, why);
    return t->exchange != 0;
}

static void step(rest_task *t)
{
    pbay_text json = {NULL, 0, 0};
    const struct modeldb *m = t->r->m;
    if (t->ops->next(t->plan, &t->want)) {
        pbay_result why = PBAY_RESULT_OK;
        if (t->r->stopped)
            failed(t, PBAY_CANCELLED, PBAY_ADVICE_RETRY, 0, 0, "the connector stops");
        else if (t->cancelled)
            failed(t, PBAY_CANCELLED, PBAY_ADVICE_RETRY, 0, 0, "cancelled before %s", t->want.call);
        else if (t->deadline - m->timer->monotonic_ns() < NS_PER_MS)
            failed(t, PBAY_DEADLINE_EXCEEDED, PBAY_ADVICE_RETRY, 0, 0, "%s is not through with it in time",
                   t->r->url);
        else if (!send_it(t, &why))
            failed(t, why.code ? why.code : PBAY_INTERNAL, why.advice, 0, 0, "%s %s at %s: %.*s",
                   t->want.method, t->want.call, t->r->url, FMT(why.message));
        return;
    }
    bool passes = false;
    const char *wrong = t->ops->end(t->plan, &json, &passes);
    const pbay_result ok = PBAY_RESULT_OK;
    if (wrong)
        failed(t, passes ? PBAY_DATA_LOSS : PBAY_FAILED_PRECONDITION,
               passes ? PBAY_ADVICE_RETRY : PBAY_ADVICE_NONE, 0, 0, "%s: %s", t->r->url, wrong);
    else
        finish(t, &ok, pbay_text_view(&json));
    pbay_text_free(&json);
}

rest_task *rest_begin(rest *r, const rest_plan *ops, void *plan, const mdb_record *record, bool reads,
                      int64_t deadline, mdb_done done, void *user)
{
    rest_task *t = made(sizeof *t);
    t->r = r;
    t->ops = ops;
    t->plan = plan;
    t->reads = reads;
    t->deadline = deadline;
    t->done = done;
    t->user = user;
    t->next = r->tasks;
    r->tasks = t;
    const pbay_str name = record->name, trace = record->trace;
    snprintf(t->name, sizeof t->name, "job %.*s", (int)(name.n < 200 ? name.n : 200), name.n ? name.p : "");
    snprintf(t->trace, sizeof t->trace, "%.*s", FMT(trace));
    later(t); /* done never comes from inside */
    return t;
}

void rest_cancel(rest_task *t)
{
    t->cancelled = true;
    if (t->exchange)
        t->r->m->http->cancel(t->exchange);
    else
        later(t);
}

/* --------------------------------------------------------------------------------------------------- life */

static void *no_url(struct modeldb *m, const char *option, pbay_result *why, const char *what)
{
    modeldb_refuse(m, why, PBAY_INVALID_ARGUMENT,
                   "%.*s: `%s` must be an http:// or https:// URL, the base that the calls are "
                   "put behind%s",
                   FMT(m->host->where(m->config, option)), option, what);
    return NULL;
}

rest *rest_new(struct modeldb *m, const char *option, const char *tail, bool always, const char *code,
               pbay_result *why)
{
    pbay_str url = m->host->get_str(m->config, option);
    while (url.n && url.p[url.n - 1] == '/') url.n--;
    size_t host = url.n > 7 && !strncasecmp(url.p, "http://", 7) ? 7 : 0;
    if (url.n > 8 && !strncasecmp(url.p, "https://", 8)) host = 8;
    if (!host) return no_url(m, option, why, "");
    const char *path = memchr(url.p + host, '/', url.n - host);
    const size_t authority = path ? (size_t)(path - url.p) - host : url.n - host, n = strlen(tail);
    if (memchr(url.p, '?', url.n) || memchr(url.p, '#', url.n))
        return no_url(m, option, why, ", without '?' and '#'");
    if (memchr(url.p + host, '@', authority))
        return no_url(m, option, why, "; credentials have options of their own");
    const bool ends = url.n > n && !memcmp(url.p + url.n - n, tail, n);
    rest *r = made(sizeof *r);
    pbay_text whole = {NULL, 0, 0};
    pbay_text_add(&whole, url);
    if (!path || (always && !ends)) pbay_text_c(&whole, tail);
    r->m = m;
    r->url = copied(pbay_text_view(&whole));
    r->code = copied(c_str(code));
    pbay_text_free(&whole);
    return r;
}

void rest_authorise(rest *r, rest_headers fn, void *user)
{
    r->headers = fn;
    r->headers_user = user;
}

const char *rest_where(const rest *r)
{
    return r->url;
}

void rest_stop(rest *r)
{
    r->stopped = true; /* what is asked gets its answer; nothing more is */
}

void rest_free(rest *r)
{
    if (!r) return;
    free(r->url);
    free(r->code);
    free(r);
}
