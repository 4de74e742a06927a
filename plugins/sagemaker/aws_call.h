/* SPDX-License-Identifier: MIT */
/*
 * One call of an AWS service seen to its end: waits for credentials, signs, sends, and repeats as the AWS
 * SDKs' standard mode does (kit/retry.h;
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html).
 *
 * For what the plugin does on its own account. Batches of rows do not come this way: the host repeats those.
 * [loop]
 */
#pragma once

#include "aws.h"

/* It changes something: repeated only after answers that say nothing was done. */
#define AWS_CALL_ONCE 1u

struct aws_call;

/*
 * The end, exactly once, never from inside aws_call_start. Borrowed until return. result OK: reply has a
 * status of 2xx (or 304). Else its message says who answered what; reply is NULL when there was none.
 */
typedef void aws_call_done(void *user, const pbay_result *result, const pbay_http_reply *reply);

/*
 * r: copied, but its body is borrowed until done. who: "CreateTrainingJob of my-job", for messages; copied.
 * deadline_ns: CLOCK_MONOTONIC, INT64_MAX: none. Never NULL.
 */
struct aws_call *aws_call_start(struct aws *a, const struct aws_request *r, uint32_t flags,
                                int64_t deadline_ns, const char *who, aws_call_done *done, void *user);
/* done comes soon, with PBAY_CANCELLED. */
void aws_call_cancel(struct aws_call *c);
