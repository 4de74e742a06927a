/* SPDX-License-Identifier: MIT */
/* A training job as the sagemaker connector describes it now, with all its tags. Threads: [loop]. */
#pragma once

#include "modeldb.h"
#include "record.h"

struct description;

/* Once, never from inside; job (record.h) is borrowed until return, NULL with an error, which names the job.
 */
typedef void (*described)(void *user, const pbay_result *result, json_t *job);

/* NULL with *why: the option `sagemaker` names no connector with these actions. deadline: CLOCK_MONOTONIC ns.
 */
struct description *describe_job(struct modeldb *m, pbay_str name, int64_t deadline, described done,
                                 void *user, pbay_result *why);
/* Advice: done still comes. */
void describe_cancel(struct description *d);
