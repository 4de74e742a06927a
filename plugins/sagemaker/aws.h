/* SPDX-License-Identifier: MIT */
/*
 * One connector's AWS: credentials that are kept fresh, and requests signed with them.
 *
 * Credentials are fetched once however many wait for them, renewed five minutes before they expire while the
 * old ones serve, and fetched anew when they are refused. When the instance's or the container's metadata
 * cannot be asked, expired keys are used a while longer, as AWS's own tools do. All functions: [loop].
 */
#pragma once

#include <patchbay/host_log.h>

#include "aws_chain.h"
#include "kit/retry.h"

enum { AWS_HEADERS = 40 };

struct aws {
    struct aws_tools t;
    const pbay_config *config;
    const pbay_secret_1 *secret; /* may be NULL */
    const pbay_log_1 *log;       /* may be NULL */
    struct aws_settings *s;      /* NULL before the first need */
    struct aws_settings *next;   /* what the chain works on */
    struct aws_chain *chain;     /* one at most */
    struct aws_keys keys;
    char region[AWS_REGION];
    uint32_t generation; /* counts keys */
    int have;            /* keys are usable */
    int stopped;
    int32_t state;      /* of the last fetch */
    int64_t fetched_ns; /* when it began */
    int64_t skew_ms;    /* AWS's clock minus ours */
    pbay_timer timer;
    pbay_timer recheck; /* keys of the options were refused: newer ones may be on their way */
    struct aws_waiter *waiters;
    pbay_retry_bucket bucket; /* of aws_call.h */
    char why[AWS_WHY];
};

/* Embedded in whatever waits. */
struct aws_waiter {
    void (*ready)(void *user); /* ask aws_ready again */
    void *user;
    struct aws_waiter *next;
    int waiting;
};

/* Services are borrowed for its life. */
void aws_init(struct aws *a, const struct aws_tools *tools, const pbay_config *config,
              const pbay_secret_1 *secret, const pbay_log_1 *log);
/* Begin to fetch, so that the first call need not wait. */
void aws_start(struct aws *a);
/* Nothing is fetched any more; who waits is told. */
void aws_stop(struct aws *a);
void aws_free(struct aws *a);

/*
 * Are there keys? PBAY_OK. PBAY_LATER: w->ready will be called on a later turn. Else a code, and the sentence
 * is a->why.
 */
int32_t aws_ready(struct aws *a, struct aws_waiter *w);
/* w does not wait any more. */
void aws_forget(struct aws *a, struct aws_waiter *w);
/*
 * A request signed with keys of that generation was refused as AUTH or CLOCK (kit/aws_error.h). Non-zero:
 * worth another try after aws_ready: the clock was corrected, or there are newer keys, or they are being
 * fetched.
 */
int aws_refused(struct aws *a, uint32_t generation, const pbay_http_reply *reply);

struct aws_request {
    enum aws_service service;
    pbay_str method;
    pbay_str region; /* empty: the connector's */
    pbay_str
        host_label; /* before the service's host, and a dot: a bucket; only where the host is AWS's own */
    pbay_str path;  /* percent-encoded, from '/' on */
    pbay_str query; /* percent-encoded, without '?' */
    const pbay_header *headers;
    uint32_t n_headers;
    uint32_t http_flags; /* PBAY_HTTP_STREAM_REPLY */
    pbay_str body;       /* borrowed until on_done */
    int64_t timeout_ms;
    uint64_t max_reply;
};

/* Sign and send; aws_ready said OK. 0 with *why: it is not allowed or malformed. */
pbay_http aws_send(struct aws *a, const struct aws_request *r, const pbay_http_events *events, void *user,
                   pbay_result *why);
/* Is the service where AWS has it (and not where the configuration puts it)? */
int aws_is_own(const struct aws *a, enum aws_service service);
