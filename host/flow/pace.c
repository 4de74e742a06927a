/* SPDX-License-Identifier: MIT */
#include "flow/pace.h"

#include "base/clock.h"

enum { ONE = 256 };

/* Answers may take so many times as long as they can before there are fewer at once. */
#define SLOWER 2.0
/* And only when at least so many wait at the backend instead of being worked on. */
#define QUEUE 6.0
/* The best is believed less and less, so that a backend that has changed is known in the end. */
#define FORGET_NS (1800.0 * PB_SEC)
/* Never fewer than so much of what there was, at once. */
#define STEP   0.8
#define SMOOTH 0.0625

uint32_t pb_pace_allowed(const struct pb_pace_shared *s, uint32_t limit)
{
    uint32_t a = atomic_load_explicit(&s->allowed, memory_order_relaxed) / ONE;
    if (!a || a > limit) return limit ? limit : 1;
    return a;
}

/* By `change` 256ths, as several processes may at once. */
static bool move(struct pb_pace_shared *s, uint32_t limit, double factor, double add)
{
    uint32_t now = atomic_load(&s->allowed), next;
    do {
        double v = now ? (double)now / ONE : limit;
        v = v * factor + add;
        if (v > limit) v = limit;
        if (v < 1) v = 1;
        next = (uint32_t)(v * ONE);
        if (next == now) return false;
    } while (!atomic_compare_exchange_weak(&s->allowed, &now, next));
    return true;
}

/* Down at most once in the time that it takes to see what that did. */
static bool slow_down(struct pb_pace_shared *s, uint32_t limit, double factor, int64_t rest_ns,
                      int64_t now_ns)
{
    int64_t last = atomic_load(&s->slowed_ns);
    if (last && now_ns - last < rest_ns) return false;
    if (!atomic_compare_exchange_strong(&s->slowed_ns, &last, now_ns)) return false; /* another process has */
    return move(s, limit, factor, 0);
}

static unsigned size_of(uint32_t rows)
{
    unsigned n = 0;
    while (rows > 1 && n + 1 < PB_PACE_SIZES) {
        rows >>= 1;
        n++;
    }
    return n;
}

bool pb_pace_sample(struct pb_pace *p, struct pb_pace_shared *s, uint32_t limit, enum pb_load load,
                    uint32_t rows, int64_t ns, bool busy, int64_t now_ns)
{
    if (load == PB_LOAD_UNKNOWN) return false;
    unsigned size = size_of(rows);
    double t = ns > 0 ? (double)ns : 1, *fast = &p->fast_ns[size], *usual = &p->usual_ns[size];
    if (load == PB_LOAD_THROTTLED) {
        /* A refusal comes back at once; what was sent before it still runs for as long as answers take. */
        double rest = *usual > t ? *usual : t;
        if (rest < 10 * PB_MS) rest = 10 * PB_MS;
        return slow_down(s, limit, 0.9, (int64_t)rest, now_ns);
    }
    double since =
        p->sampled_ns[size] && now_ns > p->sampled_ns[size] ? (double)(now_ns - p->sampled_ns[size]) : 0;
    p->sampled_ns[size] = now_ns;
    if (p->samples[size] < PB_PACE_FIRST) {
        /* The mean of the first ones. */
        *usual += (t - *usual) / ++p->samples[size];
        *fast = *usual;
        since = 0;
    } else
        *usual += (t - *usual) * SMOOTH;
    if (*usual < *fast)
        *fast = *usual;
    else
        *fast += (*usual - *fast) * (since < FORGET_NS ? since / FORGET_NS : 1);
    if (!busy) return false;
    double allowed = pb_pace_allowed(s, limit);
    double waiting = allowed * (1 - *fast / *usual);
    if (*usual > *fast * SLOWER && waiting > QUEUE) {
        double factor = *fast * SLOWER / *usual;
        return slow_down(s, limit, factor > STEP ? factor : STEP, (int64_t)*usual, now_ns);
    }
    if (allowed < limit || atomic_load(&s->allowed)) move(s, limit, 1, 1 / allowed);
    return false;
}
