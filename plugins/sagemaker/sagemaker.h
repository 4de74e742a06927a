/* SPDX-License-Identifier: MIT */
/* One connector: the host's services, the keys, and the operations. */
#pragma once

#include <patchbay/actions.h>
#include <patchbay/commands.h>
#include <patchbay/functions.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>
#include <patchbay/host_crypto.h>
#include <patchbay/host_event.h>
#include <patchbay/host_http.h>
#include <patchbay/host_log.h>
#include <patchbay/host_secret.h>
#include <patchbay/host_timer.h>
#include <patchbay/plugin.h>
#include <patchbay/routes.h>
#include <patchbay/secrets.h>

#include <jansson.h>

#include "aws.h"
#include "kit/sigv4.h"

#define STR(lit) ((pbay_str){(lit), sizeof(lit) - 1})

struct sagemaker {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_crypto_1 *crypto;
    const pbay_http_1 *http;
    const pbay_log_1 *log;       /* may be NULL */
    const pbay_secret_1 *secret; /* may be NULL */
    const pbay_timer_1 *timer;
    const pbay_work_1 *work;       /* may be NULL */
    const pbay_action_1 *action;   /* NULL: no actions are run */
    struct running *running;       /* actions.h */
    int64_t poll_ms;               /* between looks at what takes long */
    const pbay_event_1 *event;     /* NULL: no events are stored */
    const pbay_request_1 *request; /* NULL: no routes */
    const pbay_command_1 *command; /* NULL: no commands */
    struct use *uses;              /* policy.h */
    struct polling *polling;       /* under way */
    const pbay_resolve_1 *resolve; /* NULL: no secrets are asked for */
    struct parameter *parameters;  /* under way */
    int64_t secret_ttl_ms;
    struct aws aws;
    char why[1024]; /* for results that must outlive a call */
};

/* The deadline of a call as a timeout for HTTP, at most most_ms. */
int64_t sagemaker_timeout(const struct sagemaker *sm, pbay_call call, int64_t most_ms);
/* Fill *why with a code and a sentence (kept in sm->why). Returns the code. */
int32_t sagemaker_refuse(struct sagemaker *sm, pbay_result *why, int32_t code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* An operation: the four functions that differ. `bound` begins with a pointer to the operation. */
struct operation {
    int32_t (*bind)(struct sagemaker *sm, const pbay_function_info *info, void **bound, pbay_result *why);
    void (*unbind)(struct sagemaker *sm, void *bound);
    pbay_str (*lane)(void *bound);
    int32_t (*submit)(struct sagemaker *sm, void *bound, pbay_call call, const pbay_batch *in,
                      pbay_result *why);
    void (*cancel)(struct sagemaker *sm, void *bound, pbay_call call);
    /* Tables: instead of submit. */
    int32_t (*open)(struct sagemaker *sm, void *bound, pbay_call call, pbay_result *why);
    int32_t (*push)(struct sagemaker *sm, void *bound, pbay_call call, const pbay_batch *in,
                    pbay_result *why);
    void (*end)(struct sagemaker *sm, void *bound, pbay_call call);
    void (*writable)(struct sagemaker *sm, void *bound, pbay_call call);
};

extern const struct operation invoke_operation, rest_single_operation, rest_30_operation,
    echo_table_operation, train_operation, invoke_async_operation;
extern const pbay_option invoke_options[], rest_options[], train_options[], invoke_async_options[];
extern const uint32_t invoke_n_options, rest_n_options, train_n_options, invoke_async_n_options;
