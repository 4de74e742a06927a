/* SPDX-License-Identifier: MIT */
/*
 * How much one caller may have: so many requests a second, so many connections and streams at once.
 *
 * Everything is in words: atomic 64-bit cells that the caller gives, all zero at first. They may be of this
 * process or of a page that several share: changes are single compare-and-swaps, there are no locks and no
 * pointers in them, and whoever dies leaves nothing half-done. Tables are of fixed size, whatever names come.
 *
 * Rates are kept as one time per caller (the generic cell rate algorithm, as ATM networks have it): the
 * moment at which its bucket will be full again. A caller whose moment has passed is the same as one never
 * seen, so that its cell can be taken by another.
 *
 * Threads: any.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

typedef _Atomic uint64_t pb_word;

/* ------------------------------------------------------------------------------------------------ rates */

/* A token bucket: `rate` a second on average, `burst` at once. Zero-initialised: no limit. */
struct pb_rate {
    double rate;    /* above 0; 0: no limit */
    uint32_t burst; /* 1 or more; 0 counts as 1 */
};

/*
 * Take n from the bucket in *cell. 0: taken. Otherwise nothing was taken, and the milliseconds (1 or more)
 * after which n may be had; n beyond the burst is never had: -1. now_ns is monotonic, of one clock for all
 * who share the cell.
 */
int64_t pb_rate_take(pb_word *cell, const struct pb_rate *rate, uint32_t n, int64_t now_ns);

/*
 * Buckets by name. cells: 2 * size words; size is a power of two, 8 or more. A set of eight cells holds what
 * hashes to it; when all eight are in use, the newcomer goes on with the bucket that is nearest to full. So a
 * flood of invented names gets size * rate at the most, and pushes nobody out of a bucket that is empty.
 */
struct pb_rate_table {
    pb_word *cells;
    uint32_t size;
    uint64_t seed; /* of the hash; the same for all who share the cells, not known outside */
};
enum { PB_LIMIT_WAYS = 8 };
#define PB_RATE_WORDS(size) (2 * (size_t)(size))

/* What pb_rate_take returns, for the bucket of this name in this kind ("key", "user"). */
int64_t pb_rate_table_take(const struct pb_rate_table *t, pbay_str kind, pbay_str name,
                           const struct pb_rate *rate, int64_t now_ns);

/* For Retry-After: whole seconds, rounded up, 1 or more. */
int64_t pb_retry_after_s(int64_t ms);

/* ------------------------------------------------------------------------------------------------ counts */

/* One number with a limit. False: the limit is reached, nothing was taken. */
bool pb_count_take(pb_word *cell, uint64_t limit);
/* Never goes below 0. */
void pb_count_give(pb_word *cell);

/*
 * Counts by name: connections and streams of a peer. size words; a power of two, PB_COUNT_PROBES or more, and
 * at least twice the limit of all together, so that there is always room. A cell is 40 bits of the name's
 * hash and 24 of the count; it is free again when the count is 0, and never taken from who holds it.
 */
struct pb_count_table {
    pb_word *cells;
    pb_word *mine; /* what this process holds of each cell, for pb_count_table_return; NULL: not kept */
    uint32_t size;
    uint64_t seed;
};
enum { PB_COUNT_PROBES = 64, PB_COUNT_MAX = 0xfffff };

/* A hold, to be given back. Zero: none. */
struct pb_count_hold {
    uint64_t tag;
    uint32_t cell;
};

/* False: the name has `limit` already (at most PB_COUNT_MAX), or the table is full; nothing was taken. */
bool pb_count_table_take(const struct pb_count_table *t, pbay_str kind, pbay_str name, uint32_t limit,
                         struct pb_count_hold *out);
void pb_count_table_give(const struct pb_count_table *t, struct pb_count_hold hold);
/* How many the name has. */
uint32_t pb_count_table_get(const struct pb_count_table *t, pbay_str kind, pbay_str name);
/*
 * Give back what a dead process held: t->mine is its array, which is all zero afterwards. A process that died
 * between its two changes is one off to the generous side, until the count is 0 the next time.
 */
void pb_count_table_return(const struct pb_count_table *t);
