/* SPDX-License-Identifier: MIT */
/*
 * Requests to the tenant: authorised, within its limits, with an answer that says what it means. [loop]
 *
 * Authorisation is an API key, or OAuth's client credentials
 * (https://qlik.dev/authenticate/oauth/getting-started-oauth-m2m): a token is kept for 80 % of its life,
 * fetched once for all who wait, and fetched anew once when it was refused. Limits are counted for the whole
 * machine by pbay.host.limit/1; a 429 with HTTP-429 silences its tier in this process for as long as
 * Retry-After says.
 */
#pragma once

#include <jansson.h>

#include "qlik.h"

struct api_request {
    const char *method;
    pbay_str path;     /* "/api/v1/reloads?limit=1", percent-encoded; copied */
    pbay_str body;     /* JSON, or empty; copied */
    const char *trace; /* traceparent to send along, or NULL; copied */
    enum tier tier;
    int64_t deadline;   /* CLOCK_MONOTONIC ns; 0: 30 s from now */
    uint64_t max_reply; /* bytes; 0: 4 MiB */
    int repeatable;     /* the same again does no harm: then a failure has no effect */
};

/* Borrowed until the callback returns. */
struct api_reply {
    int status; /* 0: none came */
    pbay_str body;
    pbay_result result; /* PBAY_OK for every 2xx; else code, effect, advice and a sentence */
};
typedef void (*api_done)(void *user, const struct api_reply *reply);

/* Begin; done comes once, never from inside. The call is dead then. */
struct api_call *api_send(struct qlik *q, const struct api_request *request, api_done done, void *user);
/* done comes with PBAY_CANCELLED, on a later turn. NULL is fine. */
void api_cancel(struct api_call *call);
/* Frees what is kept between calls; none is alive. */
void api_free(struct qlik *q);

/* A moment of our clock (UTC ms) as the tenant would have read it, at the earliest. */
int64_t api_tenant_time(const struct qlik *q, int64_t ms);
/* Path and query of a list's links.next.href, which cannot lead to another host; empty: this was the last
 * page. Borrowed from root. */
pbay_str api_next_page(const json_t *root);
