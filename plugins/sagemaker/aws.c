/* SPDX-License-Identifier: MIT */
#include "aws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_error.h"
#include "kit/time.h"

enum {
    EARLY_MS = 5 * 60 * 1000,  /* before they expire, keys are renewed */
    HOLD_NS = 2000000000,      /* refused keys are fetched anew at most this often */
    RECHECK_MS = 1000,         /* refused secrets are had again within so long, or not at all */
    AGAIN_MS = 60 * 1000,      /* after a renewal that failed */
    LONGER_MS = 5 * 60 * 1000, /* expired keys are used on for so long, and up to as much more */
    SKEW_MIN_MS = 60000,
    URL_MAX = 8192,
};

static void say(const struct aws *a, uint32_t level, const char *text)
{
    if (!a->log) return;
    pbay_header f = {pbay_str_c("reason"), pbay_str_c(a->why)};
    a->log->write(a->t.host, level, pbay_str_c(text), &f, a->why[0] ? 1 : 0);
}

static int64_t now(const struct aws *a)
{
    return a->t.timer->now_ms() + a->skew_ms;
}

/* ------------------------------------------------------------------------------------------------ fetching
 */

static void begin(struct aws *a);

static void on_time(void *user)
{
    struct aws *a = user;
    a->timer = 0;
    begin(a);
}

static void set_timer(struct aws *a, int64_t ms)
{
    if (a->timer) a->t.timer->cancel(a->timer);
    a->timer = a->stopped ? 0 : a->t.timer->start(a->t.host, ms < 1000 ? 1000 : ms, 0, on_time, a);
}

/* One after the other: what is told may cancel others, or wait for a new chain. */
static void tell(struct aws *a)
{
    struct aws_waiter *w;
    while (!a->chain && !a->recheck && (w = a->waiters)) {
        a->waiters = w->next;
        w->waiting = 0;
        w->ready(w->user);
    }
}

static void take(struct aws *a, struct aws_settings *s, const struct aws_keys *keys, const char *region)
{
    int changed = strcmp(a->keys.id, keys->id) != 0 || strcmp(a->keys.secret, keys->secret) != 0 ||
                  strcmp(a->keys.token, keys->token) != 0;
    a->keys = *keys;
    a->have = 1;
    a->state = PBAY_OK;
    a->why[0] = 0;
    a->generation += changed ? 1 : 0;
    snprintf(a->region, sizeof a->region, "%s", region);
    if (a->s != s) {
        aws_settings_free(a->s);
        a->s = s;
    }
    if (keys->expires_ms) set_timer(a, keys->expires_ms - now(a) - EARLY_MS);
}

/* Nobody could be asked; what is there may serve on. */
static void no_news(struct aws *a, struct aws_settings *s, int32_t code, const char *why)
{
    int64_t left = a->keys.expires_ms ? a->keys.expires_ms - now(a) : 0;
    enum aws_base base = s->recipe.base;
    if (base == AWS_IMDS && !a->have && !a->t.host->get_int(a->config, "credential_source"))
        snprintf(a->why, sizeof a->why,
                 "no AWS credentials: set access_key_id = and secret_access_key =, AWS_ACCESS_KEY_ID and "
                 "AWS_SECRET_ACCESS_KEY, "
                 "keys in the profile \"%.60s\", or give this machine a role (%.120s)",
                 s->recipe.profile, why);
    else
        snprintf(a->why, sizeof a->why, "%s", why);
    a->state = code;
    aws_settings_free(s);
    if (!a->have) return;
    if (a->keys.expires_ms && left <= 0) {
        if (code != PBAY_UNAVAILABLE || (base != AWS_IMDS && base != AWS_CONTAINER)) {
            a->have = 0;
            say(a, PBAY_LOG_ERROR, "AWS credentials have expired and cannot be renewed");
            return;
        }
        a->keys.expires_ms = now(a) + LONGER_MS + a->t.timer->monotonic_ns() % LONGER_MS;
        say(a, PBAY_LOG_WARN,
            "expired AWS credentials are used a while longer, because new ones cannot be had");
    } else {
        say(a, PBAY_LOG_WARN, "AWS credentials could not be renewed; the old ones are still good");
    }
    set_timer(a, AGAIN_MS);
}

static void on_chain(void *user, int32_t code, const struct aws_keys *keys, const char *region,
                     const char *why)
{
    struct aws *a = user;
    struct aws_settings *s = a->next;
    a->chain = NULL;
    a->next = NULL;
    a->fetched_ns = a->t.timer->monotonic_ns(); /* a chain that failed is not begun anew by those it fails */
    if (code == PBAY_OK)
        take(a, s, keys, region);
    else
        no_news(a, s, code, why);
    tell(a);
}

static void begin(struct aws *a)
{
    static const char *const SECRETS[] = {"access_key_id", "secret_access_key", "session_token"};
    if (a->chain || a->stopped) return;
    for (size_t i = 0; a->s && a->secret && i < sizeof SECRETS / sizeof *SECRETS; i++)
        if (a->t.host->is_set(a->config, SECRETS[i])) a->secret->refused(a->t.host, SECRETS[i]);
    a->fetched_ns = a->t.timer->monotonic_ns();
    struct aws_settings *s = aws_settings_read(a->t.host, a->config, a->secret);
    if (s->state != PBAY_OK) {
        a->have = 0;
        no_news(a, s, s->state, s->why);
        return;
    }
    if (s->recipe.base == AWS_STATIC && !s->recipe.n_hops) {
        take(a, s, &s->recipe.keys, s->region);
        return;
    }
    a->next = s;
    a->chain = aws_chain_run(&a->t, s, a->skew_ms, on_chain, a);
}

/* Secrets of the options are asked for again in the background; look whether there are newer ones now. */
static void on_recheck(void *user)
{
    struct aws *a = user;
    a->recheck = 0;
    if (a->s && (a->s->recipe.base != AWS_STATIC || a->s->recipe.n_hops)) { /* refused again so soon */
        begin(a);
        if (!a->chain) tell(a);
        return;
    }
    struct aws_settings *s = aws_settings_read(a->t.host, a->config, a->secret);
    if (s->state == PBAY_OK && s->recipe.base == AWS_STATIC && !s->recipe.n_hops)
        take(a, s, &s->recipe.keys, s->region);
    else {
        aws_settings_free(s);
        a->have = a->keys.id[0] != 0;
    }
    tell(a);
}

void aws_init(struct aws *a, const struct aws_tools *tools, const pbay_config *config,
              const pbay_secret_1 *secret, const pbay_log_1 *log)
{
    a->t = *tools;
    a->config = config;
    a->secret = secret;
    a->log = log;
}

void aws_start(struct aws *a)
{
    if (!a->s && !a->chain) begin(a);
}

void aws_stop(struct aws *a)
{
    a->stopped = 1;
    if (a->timer) a->t.timer->cancel(a->timer);
    a->timer = 0;
    if (a->recheck) {
        a->t.timer->cancel(a->recheck);
        on_recheck(a);
    }
    if (a->chain) aws_chain_cancel(a->chain);
}

void aws_free(struct aws *a)
{
    aws_chain_free(a->chain);
    aws_settings_free(a->next);
    aws_settings_free(a->s);
    a->chain = NULL;
    a->s = a->next = NULL;
}

int32_t aws_ready(struct aws *a, struct aws_waiter *w)
{
    int64_t at = a->t.timer->monotonic_ns();
    int expired = a->have && a->keys.expires_ms && a->keys.expires_ms <= now(a);
    if (a->have && !expired) return PBAY_OK;
    if (!a->chain && !a->recheck && (!a->fetched_ns || at - a->fetched_ns >= HOLD_NS)) {
        begin(a);
        if (a->have && (!a->keys.expires_ms || a->keys.expires_ms > now(a))) return PBAY_OK;
    }
    if (a->chain || a->recheck) {
        if (!w->waiting) {
            w->waiting = 1;
            w->next = a->waiters;
            a->waiters = w;
        }
        return PBAY_LATER;
    }
    if (!a->why[0]) snprintf(a->why, sizeof a->why, "the AWS credentials have expired");
    return a->state != PBAY_OK ? a->state : PBAY_UNAUTHENTICATED;
}

void aws_forget(struct aws *a, struct aws_waiter *w)
{
    if (!w->waiting) return;
    w->waiting = 0;
    for (struct aws_waiter **at = &a->waiters; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            return;
        }
}

/* AccessDenied is about what one may do, not about who one is. */
static int denied(const pbay_http_reply *reply)
{
    static const char CODE[] = "AccessDenied";
    pbay_str where[] = {http_header(reply, "x-amzn-errortype"), reply->body};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i + sizeof CODE - 1 <= where[k].n && i < 512; i++)
            if (memcmp(where[k].p + i, CODE, sizeof CODE - 1) == 0) return 1;
    return 0;
}

int aws_refused(struct aws *a, uint32_t generation, const pbay_http_reply *reply)
{
    int better = 0;
    int64_t there = pbay_time_http(http_header(reply, "date")),
            off = there - a->t.timer->now_ms() - a->skew_ms;
    if (there >= 0 && (off > SKEW_MIN_MS || off < -SKEW_MIN_MS)) {
        a->skew_ms += off;
        if (a->log)
            a->log->write(a->t.host, PBAY_LOG_WARN, pbay_str_c("this machine's clock differs from AWS's"),
                          NULL, 0);
        better = 1;
    }
    if (generation != a->generation || a->chain || a->recheck) return 1;
    if (denied(reply) || a->stopped) return better; /* good keys of somebody who may not */
    int64_t since = a->t.timer->monotonic_ns() - a->fetched_ns;
    int fetched = a->s && (a->s->recipe.base != AWS_STATIC || a->s->recipe.n_hops);
    int64_t later = since >= HOLD_NS ? 0 : (HOLD_NS - since) / 1000000 + 1;
    if (later && !fetched) return better;
    if (!later) {
        begin(a);
        if (a->chain) a->have = 0;
        if (better || a->chain || generation != a->generation) return 1;
        if (!a->t.host->is_set(a->config, "access_key_id")) return 0;
        later = RECHECK_MS;
    }
    a->have = 0;
    a->recheck = a->t.timer->start(a->t.host, later, 0, on_recheck, a);
    return 1;
}

/* ------------------------------------------------------------------------------------------------ sending */

int aws_is_own(const struct aws *a, enum aws_service service)
{
    /* Before the first keys are there, what they are fetched by says where things are. */
    const struct aws_settings *s = a->s ? a->s : a->next;
    return !s || !s->url[service][0];
}

pbay_http aws_send(struct aws *a, const struct aws_request *r, const pbay_http_events *events, void *user,
                   pbay_result *why)
{
    char base[AWS_URL], region[AWS_REGION], url[URL_MAX], hosts[AWS_URL + 80];
    pbay_header headers[AWS_HEADERS];
    pbay_str host, prefix;
    const char *wrong = "";
    snprintf(region, sizeof region, "%.*s", (int)r->region.n, r->region.n ? r->region.p : "");
    if (!region[0]) snprintf(region, sizeof region, "%s", a->region);
    aws_settings_url(a->s, r->service, region, base);
    aws_url_parts(base, &host, &prefix);
    int n_scheme = (int)(host.p - base);
    int n_host =
        snprintf(hosts, sizeof hosts, "%.*s%s%.*s", (int)r->host_label.n,
                 r->host_label.n ? r->host_label.p : "", r->host_label.n ? "." : "", (int)host.n, host.p);
    /* base ends behind the port even when the port is the scheme's own and is not signed. */
    int n = snprintf(url, sizeof url, "%.*s%s%.*s%.*s%s%.*s", n_scheme, base, hosts, (int)prefix.n, prefix.p,
                     (int)r->path.n, r->path.p, r->query.n ? "?" : "", (int)r->query.n,
                     r->query.n ? r->query.p : "");
    if (n < 0 || (size_t)n >= sizeof url || r->n_headers + PBAY_SIGV4_HEADERS > AWS_HEADERS) {
        why->struct_size = sizeof *why;
        why->code = PBAY_INVALID_ARGUMENT;
        why->message =
            pbay_str_c("the address of the request is longer than 8 KiB, or it has too many headers");
        return 0;
    }
    pbay_str path = {url + n_scheme + n_host, prefix.n + r->path.n};
    memcpy(headers, r->headers, r->n_headers * sizeof *headers);
    pbay_sigv4_request to_sign = {
        .method = r->method,
        .host = {hosts, (size_t)n_host},
        .path = path,
        .query = r->query,
        .headers = headers,
        .n_headers = r->n_headers,
        .flags = r->service == AWS_S3 ? PBAY_SIGV4_S3 : 0,
        .body = r->body,
    };
    pbay_aws_keys keys = {pbay_str_c(a->keys.id), pbay_str_c(a->keys.secret), pbay_str_c(a->keys.token)};
    pbay_sigv4_signed sig;
    int32_t rc = pbay_sigv4_sign(a->t.signer, &keys, pbay_str_c(region),
                                 pbay_str_c(aws_services[r->service].signer), now(a), &to_sign, &sig, &wrong);
    if (rc != PBAY_OK) {
        why->struct_size = sizeof *why;
        why->code = rc;
        why->message = pbay_str_c(wrong);
        return 0;
    }
    for (uint32_t i = 0; i < sig.n_headers; i++) headers[r->n_headers + i] = sig.headers[i];
    pbay_http_request request = {
        .struct_size = sizeof request,
        .flags = PBAY_HTTP_CONFIGURED | r->http_flags,
        .method = r->method,
        .url = {url, (size_t)n},
        .headers = headers,
        .n_headers = r->n_headers + sig.n_headers,
        .body = r->body,
        .timeout_ms = r->timeout_ms,
        .max_reply = r->max_reply,
    };
    return a->t.http->send(a->t.host, &request, events, user, why);
}
