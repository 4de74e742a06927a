/* SPDX-License-Identifier: MIT */
/* One connector, and what it replies, as the SageMaker runtime words it. */
#pragma once

#include <patchbay/host_crypto.h>
#include <patchbay/host_http.h>
#include <patchbay/host_timer.h>
#include <patchbay/plugin.h>
#include <patchbay/routes.h>

#include "kit/sigv4.h"
#include "score.h"

#define STR(lit) ((pbay_str){(lit), sizeof(lit) - 1})

struct endpoint {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_request_1 *request;
    const pbay_timer_1 *timer;
    const pbay_http_1 *http;
    pbay_sigv4 *signer;
    pbay_str key_id, secret;
    int64_t latency_ms;
};

/* At once, or after the connector's latency; error (a literal): its type, NULL: it is none. Takes body. */
void reply(const struct endpoint *e, pbay_request request, int32_t status, const char *type,
           const char *error, struct out body);
/* message: nothing that JSON would want escaped. */
void refuse(const struct endpoint *e, pbay_request request, int32_t status, const char *error,
            const char *message);
/* The model said no. Its own text is not shown: it may hold anything. */
void model_error(const struct endpoint *e, pbay_request request, int32_t status, const char *original);
