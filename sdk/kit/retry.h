/* SPDX-License-Identifier: MIT */
/*
 * When to try again: the "standard" mode of the AWS SDKs as pure functions.
 *
 * A bucket of tokens keeps a broken service from being asked several times as often as a sound one: each
 * repeat costs tokens, each success gives some back, and without tokens there are no repeats. The caller
 * keeps time and rolls dice. For what a plugin does on its own; calls of functions are repeated by the host.
 * Threads: one at a time per struct.
 */
#pragma once

#include <patchbay/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pbay_retry_policy {
    uint32_t max_attempts; /* in all */
    uint32_t bucket;       /* tokens when full */
    uint32_t cost, cost_timeout, cost_throttle;
    int64_t base_ms, base_throttle_ms, max_ms;
    int64_t patience_ms; /* a Retry-After may exceed the computed delay by this much */
} pbay_retry_policy;

/* max_attempts 3, 500 tokens, 5 (10 after a timeout) per repeat, 100 ms (500 ms when throttled) doubling to
 * 20 s. */
extern const pbay_retry_policy pbay_retry_standard;

typedef struct pbay_retry_bucket {
    uint32_t spent; /* tokens missing; zero-initialised is full */
} pbay_retry_bucket;

#define PBAY_RETRY_TRANSIENT 1u
#define PBAY_RETRY_TIMEOUT   2u
#define PBAY_RETRY_THROTTLED 3u

/* Where one request stands. Zero-initialise. */
typedef struct pbay_retry {
    uint32_t failures;
    uint32_t held; /* tokens that a success gives back */
} pbay_retry;

/*
 * An attempt failed. reason: PBAY_RETRY_*. random01: evenly from [0, 1). asked_ms: the reply's Retry-After,
 * or 0. Returns after how many ms to try again (0 and more), or -1: give up.
 */
int64_t pbay_retry_failed(const pbay_retry_policy *p, pbay_retry_bucket *b, pbay_retry *r, uint32_t reason,
                          double random01, int64_t asked_ms);
/* It succeeded at last, or at once. */
void pbay_retry_done(const pbay_retry_policy *p, pbay_retry_bucket *b, pbay_retry *r);

#ifdef __cplusplus
}
#endif
