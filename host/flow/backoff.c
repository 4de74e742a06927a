/* SPDX-License-Identifier: MIT */
#include "flow/backoff.h"

#include <sys/random.h>

static uint32_t random32(void)
{
    /* xorshift: jitter only has to differ between processes. */
    static uint64_t state;
    if (!state) {
        if (getrandom(&state, sizeof state, GRND_NONBLOCK) != (long)sizeof state) state = 88172645463325252u;
        state |= 1;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

int64_t pb_backoff_ms(uint32_t attempt, bool throttled, int64_t asked_ms)
{
    /* The AWS SDKs' standard mode: 100 ms and 500 ms bases.
     * https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html */
    int64_t span = throttled ? 500 : 100;
    for (uint32_t i = 1; i < attempt && span < PB_BACKOFF_CAP_MS; i++) span *= 2;
    if (span > PB_BACKOFF_CAP_MS) span = PB_BACKOFF_CAP_MS;
    int64_t wait = (int64_t)(random32() % (uint32_t)(span + 1));
    return wait > asked_ms ? wait : asked_ms;
}
