/* SPDX-License-Identifier: MIT */
#include "replies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void reply(const struct endpoint *e, pbay_request request, int32_t status, const char *type,
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
void refuse(const struct endpoint *e, pbay_request request, int32_t status, const char *error,
            const char *message)
{
    struct out body = {malloc(512), 0, 512};
    if (!body.p) abort();
    body.n = (size_t)snprintf(body.p, body.cap, "{\"message\":\"%s\"}", message);
    reply(e, request, status, "application/json", error, body);
}

void model_error(const struct endpoint *e, pbay_request request, int32_t status, const char *original)
{
    struct out body = {malloc(512), 0, 512};
    if (!body.p) abort();
    body.n =
        (size_t)snprintf(body.p, body.cap,
                         "{\"ErrorCode\":\"CLIENT_ERROR_FROM_MODEL\",\"Message\":\"Received client error "
                         "(%d) from primary\",\"OriginalMessage\":\"%s\",\"OriginalStatusCode\":%d}",
                         (int)status, original, (int)status);
    reply(e, request, 424, "application/json", "ModelError", body);
}
