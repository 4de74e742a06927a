/* SPDX-License-Identifier: MIT */
/* One connector: the host's services, its options, and the batches that are under way. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <patchbay/host_batch.h>
#include <patchbay/host_crypto.h>
#include <patchbay/host_http.h>
#include <patchbay/actions.h>
#include <patchbay/commands.h>
#include <patchbay/host_call.h>
#include <patchbay/host_invoke.h>
#include <patchbay/host_job.h>
#include <patchbay/host_log.h>
#include <patchbay/host_secret.h>
#include <patchbay/host_timer.h>
#include <patchbay/plugin.h>
#include <patchbay/routes.h>

#include "kit/text.h"

#define STR(lit) ((pbay_str){(lit), sizeof(lit) - 1})

/* Snowflake gives up on a batch after 600 s of polling:
 * https://docs.snowflake.com/en/sql-reference/external-functions-implementation */
enum { POLLING_MS = 600 * 1000, BODY_MAX = 64 << 20 };

struct flights;
struct run;
struct sql;

struct snowflake {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_action_1 *action;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_command_1 *command;
    const pbay_crypto_1 *crypto;
    const pbay_http_1 *http;
    const pbay_invoke_1 *invoke;
    const pbay_job_1 *job;       /* NULL: nothing is stored here */
    const pbay_log_1 *log;       /* may be NULL */
    const pbay_secret_1 *secret; /* may be NULL */
    const pbay_timer_1 *timer;
    const pbay_request_1 *request;

    char lower[128]; /* the header of the shared secret, in lower case */
    int64_t async_after_ms, results_ttl_ms;
    uint64_t max_reply;
    uint32_t in_flight; /* batches at once, in this process */
    int rows_mode;      /* errors of rows stand in the reply */
    int two_secrets;    /* secret_next is set */
    int md5;

    struct flights *flights;
    struct sql *sql;  /* NULL: this connector cannot ask Snowflake */
    struct run *runs; /* actions under way */
    char why[1024];   /* for results that must outlive a call */
};

/* Fill *why with a code and a sentence (kept in s->why). Returns the code. */
int32_t snowflake_refuse(struct snowflake *s, pbay_result *why, int32_t code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static inline int str_is(pbay_str s, const char *lit)
{
    size_t n = strlen(lit);
    return s.n == n && (!n || memcmp(s.p, lit, n) == 0);
}

static inline int str_eq(pbay_str a, pbay_str b)
{
    return a.n == b.n && (!a.n || memcmp(a.p, b.p, a.n) == 0);
}

static inline pbay_str str_c(const char *s)
{
    return (pbay_str){s, strlen(s)};
}
