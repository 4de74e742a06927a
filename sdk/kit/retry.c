/* SPDX-License-Identifier: MIT */
#include "kit/retry.h"

const pbay_retry_policy pbay_retry_standard = {3, 500, 5, 10, 5, 100, 500, 20000, 5000};

int64_t pbay_retry_failed(const pbay_retry_policy *p, pbay_retry_bucket *b, pbay_retry *r, uint32_t reason,
                          double random01, int64_t asked_ms)
{
    uint32_t before = r->failures++;
    if (r->failures >= p->max_attempts) return -1;
    uint32_t cost = reason == PBAY_RETRY_TIMEOUT     ? p->cost_timeout
                    : reason == PBAY_RETRY_THROTTLED ? p->cost_throttle
                                                     : p->cost;
    if (b->spent > p->bucket || p->bucket - b->spent < cost) return -1;
    b->spent += cost;
    r->held = cost;

    int64_t most = reason == PBAY_RETRY_THROTTLED ? p->base_throttle_ms : p->base_ms;
    for (uint32_t i = 0; i < before && most < p->max_ms; i++) most *= 2;
    if (most > p->max_ms) most = p->max_ms;
    int64_t delay = (int64_t)(random01 * (double)most);
    if (asked_ms > delay) delay = asked_ms > delay + p->patience_ms ? delay + p->patience_ms : asked_ms;
    return delay;
}

void pbay_retry_done(const pbay_retry_policy *p, pbay_retry_bucket *b, pbay_retry *r)
{
    (void)p;
    uint32_t back = r->held ? r->held : 1;
    b->spent = b->spent > back ? b->spent - back : 0;
    r->held = 0;
}
