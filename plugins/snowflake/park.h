/* SPDX-License-Identifier: MIT */
/*
 * Batches as durable jobs (pbay.host.job/1): what takes longer than `async_after`, and what has effects. The
 * input is on disk before 202 is answered; the reply is the job's result, which any worker finds; what was
 * cut short by a crash begins again from its input.
 */
#pragma once

#include "flight.h"

/* Ask for the services; resumed batches come from here on. */
void park_init(struct snowflake *s);
/* Make a job of it: flight_parked follows, or flight_leave when another process has it. */
void park(struct flight *f);
/* The reply of a parked batch, or a failure that may pass, after which it is tried again. result NULL: as
 * f->status says. */
void park_finish(struct flight *f, const pbay_result *result, pbay_str text);
/* A resumed job whose input cannot be read. */
void park_fail(struct snowflake *s, const char *job, const pbay_result *why);
/* GET of a batch that this process does not know: answers the request. */
void park_poll(struct snowflake *s, pbay_request request, const struct batch_id *id, pbay_str query_id,
               int coded);
