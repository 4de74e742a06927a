/* SPDX-License-Identifier: MIT */
#include "store/retry.h"

#include "base/clock.h"

enum { SLOWER = 5, RETRY_AFTER_MOST_MS = 24 * 3600 * 1000, EARLY_MOST_MS = 3 * 24 * 3600 * 1000 };

static int64_t first = 1000, most = 5 * 60 * 1000;

void pb_job_backoff(int64_t first_ms, int64_t most_ms)
{
    first = first_ms < 2 ? 2 : first_ms;
    most = most_ms < first ? first : most_ms;
}

bool pb_err_transient(const struct pb_err *err)
{
    if (err->advice == PBAY_ADVICE_RETRY || err->advice == PBAY_ADVICE_SLOW) return true;
    switch (err->code) {
    case PBAY_CANCELLED:
    case PBAY_DEADLINE_EXCEEDED:
    case PBAY_RESOURCE_EXHAUSTED:
    case PBAY_ABORTED:
    case PBAY_UNAVAILABLE: return true;
    default: return false;
    }
}

int64_t pb_job_delay_ms(uint32_t n, bool slow, uint64_t random)
{
    int64_t ms = slow ? first * SLOWER : first;
    for (uint32_t i = 1; i < n && ms < most; i++) ms *= 2;
    if (ms > most) ms = most;
    return ms / 2 + (int64_t)(random % (uint64_t)(ms / 2 + 1));
}

static int64_t delay(uint32_t n, const struct pb_err *why, uint64_t random)
{
    int64_t ms = pb_job_delay_ms(n, why->advice == PBAY_ADVICE_SLOW, random);
    int64_t least = why->retry_after_ms < RETRY_AFTER_MOST_MS ? why->retry_after_ms : RETRY_AFTER_MOST_MS;
    if (least <= 0) return ms;
    /* Not all at the very moment the other side named. */
    if (ms < least) ms = least + (int64_t)(random % (uint64_t)(least / 10 + 1));
    return ms;
}

struct pb_verdict pb_job_verdict(const struct pb_job *job, const struct pb_err *why, uint64_t random)
{
    uint32_t n = job->phase == PB_JOB_RUN ? job->attempt : job->tries;
    struct pb_verdict v = {PB_JOB_WAITING, job->phase, job->effect, delay(n, why, random), false};
    bool last = n >= job->max_attempts || !pb_err_transient(why);
    v.early = why->code == PBAY_RESOURCE_EXHAUSTED && why->retry_after_ms > 0 &&
              why->effect == PBAY_EFFECT_NONE && !job->cancel && pb_now_ms() - job->first_ms < EARLY_MOST_MS;
    last &= !v.early;
    /* A poll or a check changes nothing: what counts is the effect of the run before it. */
    if (job->phase == PB_JOB_RUN && why->effect > v.effect) v.effect = why->effect;
    if (job->phase == PB_JOB_CHECK) {
        if (last) v.state = PB_JOB_PARKED;
    } else if (job->phase == PB_JOB_POLL) {
        if (last) v.state = job->cancel ? PB_JOB_CANCELLED : PB_JOB_DEAD;
    } else if (job->repeat == PB_REPEAT_CHECK && v.effect != PBAY_EFFECT_NONE) {
        /* Whether it was done must be found out even when it is not to be tried again. */
        v.phase = PB_JOB_CHECK;
    } else if (job->cancel) {
        v.state = PB_JOB_CANCELLED;
    } else if (last) {
        v.state = PB_JOB_DEAD;
    }
    return v;
}
