/* SPDX-License-Identifier: MIT */
#include "guard/limits.h"

#include <math.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/str.h"

/* ------------------------------------------------------------------------------------------------ hash */

/* SipHash-2-4 (Aumasson, Bernstein): names come from outside, and cells are shared, so the seed is the
 * caller's. */
struct sip {
    uint64_t v[4];
    uint64_t word;
    unsigned n; /* bytes so far, modulo 256 */
};

static uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void sip_rounds(struct sip *s, int n)
{
    uint64_t *v = s->v;
    while (n-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] = rotl(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] = rotl(v[2], 32);
    }
}

static void sip_add(struct sip *s, pbay_str bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        s->word |= (uint64_t)(unsigned char)bytes.p[i] << s->n % 8 * 8;
        s->n = (s->n + 1) & 255;
        if (s->n % 8) continue;
        s->v[3] ^= s->word;
        sip_rounds(s, 2);
        s->v[0] ^= s->word;
        s->word = 0;
    }
}

static uint64_t hash_of(uint64_t seed, pbay_str kind, pbay_str name)
{
    uint64_t k1 = ~rotl(seed, 29);
    struct sip s = {{seed ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                     seed ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)},
                    0,
                    0};
    sip_add(&s, kind);
    sip_add(&s, pb_str("", 1)); /* a kind has no NUL: nothing can pass for another kind's name */
    sip_add(&s, name);
    uint64_t last = (uint64_t)s.n << 56 | s.word;
    s.v[3] ^= last;
    sip_rounds(&s, 2);
    s.v[0] ^= last;
    s.v[2] ^= 0xff;
    sip_rounds(&s, 4);
    return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}

static bool fits(uint32_t size, uint32_t least)
{
    return size >= least && (size & (size - 1)) == 0;
}

/* ------------------------------------------------------------------------------------------------ rates */

int64_t pb_rate_take(pb_word *cell, const struct pb_rate *rate, uint32_t n, int64_t now_ns)
{
    if (!(rate->rate > 0) || !n) return 0;
    uint32_t burst = rate->burst ? rate->burst : 1;
    if (n > burst) return -1;
    /* At most a day for one and a year for the burst: nothing overflows. */
    double one = fmin((double)PB_SEC / rate->rate, 86400.0 * (double)PB_SEC);
    int64_t room = (int64_t)fmin(one * burst, 365 * 86400.0 * (double)PB_SEC);
    int64_t cost = (int64_t)ceil(one * n);
    if (cost > room) cost = room;
    uint64_t was = atomic_load_explicit(cell, memory_order_relaxed);
    for (;;) {
        int64_t full_at = (int64_t)was > now_ns ? (int64_t)was : now_ns;
        int64_t late = full_at + cost - room - now_ns;
        if (late > 0) return (late + PB_MS - 1) / PB_MS;
        if (atomic_compare_exchange_weak_explicit(cell, &was, (uint64_t)(full_at + cost),
                                                  memory_order_relaxed, memory_order_relaxed))
            return 0;
    }
}

/* The bucket of the hash, taking one when it has none. */
static pb_word *bucket_of(const struct pb_rate_table *t, uint64_t h, int64_t now_ns)
{
    pb_word *set = t->cells + 2 * (size_t)((h >> 32) & (t->size / PB_LIMIT_WAYS - 1)) * PB_LIMIT_WAYS;
    for (;;) {
        size_t best = 0;
        int64_t best_at = INT64_MAX;
        for (size_t i = 0; i < PB_LIMIT_WAYS; i++) {
            if (atomic_load_explicit(&set[2 * i], memory_order_relaxed) == h) return &set[2 * i + 1];
            int64_t at = (int64_t)atomic_load_explicit(&set[2 * i + 1], memory_order_relaxed);
            if (at < now_ns) at = 0; /* full: all the same, the first will do */
            if (at >= best_at) continue;
            best = i;
            best_at = at;
        }
        uint64_t was = atomic_load_explicit(&set[2 * best], memory_order_relaxed);
        if (was == h) return &set[2 * best + 1];
        if (atomic_compare_exchange_strong_explicit(&set[2 * best], &was, h, memory_order_relaxed,
                                                    memory_order_relaxed))
            return &set[2 * best + 1];
    }
}

int64_t pb_rate_table_take(const struct pb_rate_table *t, pbay_str kind, pbay_str name,
                           const struct pb_rate *rate, int64_t now_ns)
{
    PB_REQUIRE(fits(t->size, PB_LIMIT_WAYS));
    if (!(rate->rate > 0)) return 0;
    uint64_t h = hash_of(t->seed, kind, name);
    return pb_rate_take(bucket_of(t, h ? h : 1, now_ns), rate, 1, now_ns);
}

int64_t pb_retry_after_s(int64_t ms)
{
    return ms <= 1000 ? 1 : ms / 1000 + (ms % 1000 != 0);
}

/* ------------------------------------------------------------------------------------------------ counts */

enum { COUNT_BITS = 24 };
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)

bool pb_count_take(pb_word *cell, uint64_t limit)
{
    uint64_t was = atomic_load_explicit(cell, memory_order_relaxed);
    do {
        if (was >= limit) return false;
    } while (!atomic_compare_exchange_weak_explicit(cell, &was, was + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void pb_count_give(pb_word *cell)
{
    uint64_t was = atomic_load_explicit(cell, memory_order_relaxed);
    while (was && !atomic_compare_exchange_weak_explicit(cell, &was, was - 1, memory_order_relaxed,
                                                         memory_order_relaxed))
        continue;
}

static uint64_t tag_of(uint64_t h)
{
    h |= UINT64_C(1) << COUNT_BITS; /* never 0 */
    return h & ~COUNT_MASK;
}

static uint32_t first_cell(const struct pb_count_table *t, uint64_t h)
{
    PB_REQUIRE(fits(t->size, PB_COUNT_PROBES));
    return (uint32_t)(h * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (t->size - 1);
}

/* The cell that counts for the tag, else the first free one, else -1. */
static int64_t find_cell(const struct pb_count_table *t, uint64_t h, uint64_t tag, uint64_t *was)
{
    int64_t room = -1;
    for (uint32_t i = 0, c = first_cell(t, h); i < PB_COUNT_PROBES; i++, c = (c + 1) & (t->size - 1)) {
        uint64_t w = atomic_load_explicit(&t->cells[c], memory_order_relaxed);
        if ((w & COUNT_MASK) && (w & ~COUNT_MASK) == tag) {
            *was = w;
            return c;
        }
        if (room < 0 && !(w & COUNT_MASK)) {
            room = c;
            *was = w;
        }
    }
    return room;
}

bool pb_count_table_take(const struct pb_count_table *t, pbay_str kind, pbay_str name, uint32_t limit,
                         struct pb_count_hold *out)
{
    uint64_t h = hash_of(t->seed, kind, name), tag = tag_of(h), was;
    if (limit > PB_COUNT_MAX) limit = PB_COUNT_MAX;
    *out = (struct pb_count_hold){0, 0};
    for (;;) {
        int64_t c = find_cell(t, h, tag, &was);
        if (c < 0 || (was & COUNT_MASK) >= limit) return false;
        uint64_t now = tag | ((was & COUNT_MASK) + 1);
        if (t->mine) atomic_fetch_add_explicit(&t->mine[c], 1, memory_order_relaxed);
        if (atomic_compare_exchange_strong_explicit(&t->cells[c], &was, now, memory_order_relaxed,
                                                    memory_order_relaxed)) {
            *out = (struct pb_count_hold){tag, (uint32_t)c};
            return true;
        }
        if (t->mine) pb_count_give(&t->mine[c]);
    }
}

/* Take n off the cell, down to 0 at most. */
static void lower(pb_word *cell, uint64_t tag, uint64_t n)
{
    uint64_t was = atomic_load_explicit(cell, memory_order_relaxed), now;
    do {
        if ((was & ~COUNT_MASK) != tag) return;
        uint64_t count = was & COUNT_MASK;
        now = tag | (count > n ? count - n : 0);
    } while (
        !atomic_compare_exchange_weak_explicit(cell, &was, now, memory_order_relaxed, memory_order_relaxed));
}

void pb_count_table_give(const struct pb_count_table *t, struct pb_count_hold hold)
{
    if (!hold.tag) return;
    lower(&t->cells[hold.cell], hold.tag, 1);
    if (t->mine) pb_count_give(&t->mine[hold.cell]);
}

uint32_t pb_count_table_get(const struct pb_count_table *t, pbay_str kind, pbay_str name)
{
    uint64_t h = hash_of(t->seed, kind, name), was = 0;
    int64_t c = find_cell(t, h, tag_of(h), &was);
    return c < 0 ? 0 : (uint32_t)(was & COUNT_MASK);
}

void pb_count_table_return(const struct pb_count_table *t)
{
    for (uint32_t c = 0; t->mine && c < t->size; c++) {
        uint64_t n = atomic_exchange_explicit(&t->mine[c], 0, memory_order_relaxed);
        if (!n) continue;
        uint64_t tag = atomic_load_explicit(&t->cells[c], memory_order_relaxed) & ~COUNT_MASK;
        lower(&t->cells[c], tag, n);
    }
}
