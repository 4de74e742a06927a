/* SPDX-License-Identifier: MIT */
#include "aws_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_error.h"
#include "kit/aws_error.h"

enum { WHO = 192, REFUSALS_MAX = 2, TIMEOUT_MS = 60000, ID = 37, ATTEMPT = 32 };

struct aws_call {
    struct aws *a;
    struct aws_request r;
    pbay_header headers[AWS_HEADERS];
    char *texts; /* of what was copied */
    uint32_t flags;
    int64_t deadline_ns;
    char who[WHO];
    aws_call_done *done;
    void *user;
    struct aws_waiter waiter;
    pbay_http exchange;
    pbay_timer timer;
    pbay_retry retry;
    uint32_t generation, refusals, attempt;
    int cancelled;
    char id[ID]; /* of all attempts */
    char attempt_text[ATTEMPT];
    pbay_result result; /* what ended it without a reply */
    char why[1024];
};

/* ------------------------------------------------------------------------------------------------ end */

static void end(struct aws_call *c, const pbay_result *result, const pbay_http_reply *reply)
{
    c->done(c->user, result, reply);
    free(c->texts);
    free(c);
}

static void end_later(void *user)
{
    struct aws_call *c = user;
    c->timer = 0;
    if (c->cancelled) {
        c->result.code = PBAY_CANCELLED;
        c->result.message = pbay_str_c("cancelled");
    }
    end(c, &c->result, NULL);
}

static void fail_later(struct aws_call *c, int32_t code, pbay_str message)
{
    c->result = (pbay_result)PBAY_RESULT_OK;
    c->result.code = code;
    snprintf(c->why, sizeof c->why, "%s: %.*s", c->who, message.n < 800 ? (int)message.n : 800,
             message.n ? message.p : "");
    c->result.message = pbay_str_c(c->why);
    c->timer = c->a->t.timer->start(c->a->t.host, 0, 0, end_later, c);
}

/* ------------------------------------------------------------------------------------------------ attempts
 */

static void go(void *user);

static void again(void *user)
{
    struct aws_call *c = user;
    c->timer = 0;
    go(c);
}

static double dice(const struct aws_call *c)
{
    uint32_t r;
    c->a->t.crypto->random((uint8_t *)&r, sizeof r);
    return r / 4294967296.0;
}

/* After how long it is worth another try; -1: not. */
static int64_t pause(struct aws_call *c, const pbay_result *r)
{
    pbay_retry_policy p = pbay_retry_standard;
    if (c->cancelled || (r->advice != PBAY_ADVICE_RETRY && r->advice != PBAY_ADVICE_SLOW)) return -1;
    if ((c->flags & AWS_CALL_ONCE) && r->effect != PBAY_EFFECT_NONE) return -1;
    p.max_attempts = c->a->s ? c->a->s->max_attempts : p.max_attempts;
    uint32_t reason = r->advice == PBAY_ADVICE_SLOW       ? PBAY_RETRY_THROTTLED
                      : r->code == PBAY_DEADLINE_EXCEEDED ? PBAY_RETRY_TIMEOUT
                                                          : PBAY_RETRY_TRANSIENT;
    int64_t ms = pbay_retry_failed(&p, &c->a->bucket, &c->retry, reason, dice(c), r->retry_after_ms);
    if (ms >= 0 && c->deadline_ns != INT64_MAX &&
        ms > (c->deadline_ns - c->a->t.timer->monotonic_ns()) / 1000000)
        return -1;
    return ms;
}

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct aws_call *c = user;
    struct http_error e;
    pbay_result r = reply->result;
    (void)exchange;
    c->exchange = 0;
    if (r.code == PBAY_OK && ((reply->status >= 200 && reply->status < 300) || reply->status == 304)) {
        pbay_retry_done(&pbay_retry_standard, &c->a->bucket, &c->retry);
        end(c, &r, reply);
        return;
    }
    if (r.code == PBAY_OK) {
        r = http_error_aws(reply, c->who, &e);
        if (!c->cancelled && (e.klass == PBAY_AWS_AUTH || e.klass == PBAY_AWS_CLOCK) &&
            ++c->refusals <= REFUSALS_MAX && aws_refused(c->a, c->generation, reply)) {
            go(c);
            return;
        }
    } else {
        snprintf(e.text, sizeof e.text, "%s: %.*s", c->who, r.message.n < 800 ? (int)r.message.n : 800,
                 r.message.n ? r.message.p : "");
        r.message = pbay_str_c(e.text);
    }
    int64_t ms = pause(c, &r);
    if (ms < 0)
        end(c, &r, reply->result.code == PBAY_OK ? reply : NULL);
    else
        c->timer = c->a->t.timer->start(c->a->t.host, ms, 0, again, c);
}

static void go(void *user)
{
    static const pbay_http_events events = {sizeof events, 0, NULL, NULL, NULL, on_done};
    struct aws_call *c = user;
    pbay_result why = PBAY_RESULT_OK;
    struct aws_request r = c->r;
    pbay_header headers[AWS_HEADERS];
    if (c->cancelled) {
        fail_later(c, PBAY_CANCELLED, pbay_str_c("cancelled"));
        return;
    }
    int32_t rc = aws_ready(c->a, &c->waiter);
    if (rc == PBAY_LATER) return;
    if (rc != PBAY_OK) {
        fail_later(c, rc, pbay_str_c(c->a->why));
        return;
    }
    memcpy(headers, c->headers, c->r.n_headers * sizeof *headers);
    snprintf(c->attempt_text, sizeof c->attempt_text, "attempt=%u; max=%u", ++c->attempt,
             c->a->s ? c->a->s->max_attempts : 3);
    headers[r.n_headers++] = (pbay_header){pbay_str_c("amz-sdk-invocation-id"), pbay_str_c(c->id)};
    headers[r.n_headers++] = (pbay_header){pbay_str_c("amz-sdk-request"), pbay_str_c(c->attempt_text)};
    r.headers = headers;
    if (r.timeout_ms <= 0) r.timeout_ms = TIMEOUT_MS;
    if (c->deadline_ns != INT64_MAX) {
        int64_t left = (c->deadline_ns - c->a->t.timer->monotonic_ns()) / 1000000 + 1;
        if (left < 1) left = 1;
        if (left < r.timeout_ms) r.timeout_ms = left;
    }
    c->generation = c->a->generation;
    c->exchange = aws_send(c->a, &r, &events, c, &why);
    if (!c->exchange) fail_later(c, why.code, why.message);
}

/* ------------------------------------------------------------------------------------------------ life */

static pbay_str keep(char **at, pbay_str s)
{
    pbay_str kept = {*at, s.n};
    if (s.n) memcpy(*at, s.p, s.n);
    *at += s.n;
    return kept;
}

static void copy(struct aws_call *c, const struct aws_request *r)
{
    size_t n = r->method.n + r->region.n + r->host_label.n + r->path.n + r->query.n + 1;
    for (uint32_t i = 0; i < r->n_headers; i++) n += r->headers[i].name.n + r->headers[i].value.n;
    char *at = c->texts = malloc(n);
    if (!at) abort();
    c->r = *r;
    c->r.method = keep(&at, r->method);
    c->r.region = keep(&at, r->region);
    c->r.host_label = keep(&at, r->host_label);
    c->r.path = keep(&at, r->path);
    c->r.query = keep(&at, r->query);
    c->r.headers = c->headers;
    for (uint32_t i = 0; i < r->n_headers; i++)
        c->headers[i] = (pbay_header){keep(&at, r->headers[i].name), keep(&at, r->headers[i].value)};
}

struct aws_call *aws_call_start(struct aws *a, const struct aws_request *r, uint32_t flags,
                                int64_t deadline_ns, const char *who, aws_call_done *done, void *user)
{
    uint8_t raw[16];
    struct aws_call *c = calloc(1, sizeof *c);
    if (!c || r->n_headers + 2 + PBAY_SIGV4_HEADERS > AWS_HEADERS) abort();
    copy(c, r);
    c->a = a;
    c->flags = flags;
    c->deadline_ns = deadline_ns;
    c->done = done;
    c->user = user;
    c->waiter.ready = go;
    c->waiter.user = c;
    snprintf(c->who, sizeof c->who, "%s", who);
    a->t.crypto->random(raw, sizeof raw);
    raw[6] = (uint8_t)((raw[6] & 0x0f) | 0x40);
    raw[8] = (uint8_t)((raw[8] & 0x3f) | 0x80);
    for (size_t i = 0, k = 0; i < sizeof raw; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) c->id[k++] = '-';
        snprintf(c->id + k, 3, "%02x", raw[i]);
        k += 2;
    }
    go(c);
    return c;
}

void aws_call_cancel(struct aws_call *c)
{
    if (c->cancelled) return;
    c->cancelled = 1;
    if (c->exchange) {
        c->a->t.http->cancel(c->exchange);
        return;
    }
    aws_forget(c->a, &c->waiter);
    if (c->timer) c->a->t.timer->cancel(c->timer);
    fail_later(c, PBAY_CANCELLED, pbay_str_c("cancelled"));
}
