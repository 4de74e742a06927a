/* SPDX-License-Identifier: MIT */
/*
 * What comes after an attempt that failed: the rules of effect and repeat, and back-off. Nothing here touches
 * the store.
 */
#pragma once

#include "store/jobs.h"

struct pb_verdict {
    enum pb_job_state state; /* WAITING, DEAD, CANCELLED or PARKED */
    enum pb_job_phase phase;
    uint32_t effect;
    int64_t after_ms; /* with WAITING */
    bool early;       /* it was told to come later, and by when; that is no attempt */
};

/*
 * `job` as it was claimed: attempt, or tries, counts this one. random spreads retries: the delay is between
 * half and all of what the number gives, never less than the error's retry_after_ms.
 * Who is told that a limit is reached, and when to come again (RESOURCE_EXHAUSTED with retry_after_ms and no
 * effect), came too early and has not failed: that goes on for three days at most.
 */
struct pb_verdict pb_job_verdict(const struct pb_job *job, const struct pb_err *why, uint64_t random);
/* Would the same again, later, possibly succeed? By the error's advice, else by its code. */
bool pb_err_transient(const struct pb_err *err);
/* The first and the longest delay, of this process, before its threads; 1 s and 5 min when it is not called.
 * Who asks to be slowed down gets five times the first. */
void pb_job_backoff(int64_t first_ms, int64_t most_ms);
/* The delay after the n-th failure (from 1) in ms, without retry_after. */
int64_t pb_job_delay_ms(uint32_t n, bool slow, uint64_t random);
