/* SPDX-License-Identifier: MIT */
#include "http_error.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/aws_error.h"
#include "kit/xml.h"

enum { SHOWN = 400, RETRY_AFTER_MAX = 3600 };

pbay_str http_header(const pbay_http_reply *reply, const char *name)
{
    for (uint32_t i = 0; i < reply->n_headers; i++) {
        pbay_str n = reply->headers[i].name;
        if (n.n == strlen(name) && memcmp(n.p, name, n.n) == 0) return reply->headers[i].value;
    }
    return (pbay_str){NULL, 0};
}

static int64_t retry_after(const pbay_http_reply *reply)
{
    pbay_str s = http_header(reply, "retry-after");
    int64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || v > RETRY_AFTER_MAX) return 0;
        v = v * 10 + (s.p[i] - '0');
    }
    return (v > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : v) * 1000;
}

static pbay_str member(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    return json_is_string(v) ? (pbay_str){json_string_value(v), json_string_length(v)} : (pbay_str){NULL, 0};
}

/* Not more than a sentence of it, and no half character at the end. */
static int shown(pbay_str s)
{
    if (s.n <= SHOWN) return (int)s.n;
    size_t n = SHOWN;
    while (n && (s.p[n] & 0xc0) == 0x80) n--;
    return (int)n;
}

#define FMT(s) shown(s), ((s).n ? (s).p : "")

pbay_result http_error_aws(const pbay_http_reply *reply, const char *who, struct http_error *e)
{
    pbay_result r = PBAY_RESULT_OK;
    json_t *body = json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, JSON_ALLOW_NUL, NULL);
    pbay_str code = pbay_aws_error_code(http_header(reply, "x-amzn-errortype"), member(body, "__type"),
                                        member(body, "code"));
    pbay_str message = member(body, "message");
    if (!message.n) message = member(body, "Message");
    if (!body && !code.n) { /* S3, STS */
        code = pbay_xml_element(reply->body, "Code");
        message = pbay_xml_element(reply->body, "Message");
    }
    const json_t *original = json_object_get(body, "OriginalStatusCode");
    /* ModelError is told by its status and members when no header names it. */
    if (!code.n && (reply->status == 424 || original)) code = (pbay_str){"ModelError", 10};
    snprintf(e->code, sizeof e->code, "%.*s", code.n < 100 ? (int)code.n : 100, code.n ? code.p : "");
    pbay_str kept = {e->code, strlen(e->code)};
    e->klass = pbay_aws_error_class(kept, reply->status);
    pbay_aws_error_result(kept, reply->status, &r);
    if (strcmp(e->code, "ModelError") == 0) {
        int status = (int)json_integer_value(original);
        pbay_str words = member(body, "OriginalMessage");
        if (!words.n) words = message;
        snprintf(e->text, sizeof e->text, "%s: the model answered %d: %.*s", who, status, FMT(words));
        if (status == 429 || status == 503) {
            r.code = status == 429 ? PBAY_RESOURCE_EXHAUSTED : PBAY_UNAVAILABLE;
            r.advice = status == 429 ? PBAY_ADVICE_SLOW : PBAY_ADVICE_RETRY;
        } else {
            r.code = status >= 400 && status < 500 ? PBAY_INVALID_ARGUMENT : PBAY_INTERNAL;
        }
    } else if (reply->status >= 300 && reply->status < 400) {
        r.code = PBAY_FAILED_PRECONDITION;
        snprintf(e->text, sizeof e->text,
                 "%s answered HTTP %d%s%s: redirects are not followed, configure where it leads to (region, "
                 "endpoint_url)",
                 who, (int)reply->status, e->code[0] ? " " : "", e->code);
    } else {
        pbay_str id = http_header(reply, "x-amzn-requestid");
        if (!id.n) id = http_header(reply, "x-amz-request-id");
        if (!message.n && !body) message = reply->body;
        snprintf(e->text, sizeof e->text, "%s: %s%s%.*s (HTTP %d%s%.*s)", who, e->code,
                 e->code[0] && message.n ? ": " : "", FMT(message), (int)reply->status,
                 id.n ? ", request " : "", id.n < 64 ? (int)id.n : 64, id.n ? id.p : "");
    }
    json_decref(body);
    r.retry_after_ms = retry_after(reply);
    r.message = (pbay_str){e->text, strlen(e->text)};
    return r;
}

pbay_result http_error_plain(const pbay_http_reply *reply, const char *who, struct http_error *e)
{
    pbay_result r = PBAY_RESULT_OK;
    json_t *body = json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, JSON_ALLOW_NUL, NULL);
    pbay_str message = member(body, "message");
    if (!message.n) message = member(body, "Message");
    if (!message.n) message = reply->body;
    pbay_aws_error_result((pbay_str){NULL, 0}, reply->status, &r);
    if (reply->status == 401) r.code = PBAY_UNAUTHENTICATED;
    if (r.advice == PBAY_ADVICE_SPLIT) r.advice = PBAY_ADVICE_NONE; /* one row per request */
    if (reply->status >= 300 && reply->status < 400) {
        r.code = PBAY_FAILED_PRECONDITION;
        snprintf(e->text, sizeof e->text,
                 "%s answered HTTP %d: redirects are not followed, configure where it leads to", who,
                 (int)reply->status);
    } else {
        snprintf(e->text, sizeof e->text, "%s answered HTTP %d%s%.*s", who, (int)reply->status,
                 message.n ? ": " : "", FMT(message));
    }
    json_decref(body);
    e->code[0] = 0;
    r.vendor_code = (pbay_str){NULL, 0};
    r.retry_after_ms = retry_after(reply);
    r.message = (pbay_str){e->text, strlen(e->text)};
    return r;
}
