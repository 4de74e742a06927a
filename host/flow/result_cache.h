/* SPDX-License-Identifier: MIT */
/*
 * The host's own cache of answers (`result_cache`): what a backend answered for a row, for as long as the
 * operator says, in a bounded memory. A row that is being asked for is in it too: others who ask the same
 * wait for its answer instead of asking again.
 *
 *   row     what goes to the backend, after `before`; the key is all of its cells with their kinds
 *   answer  what the backend said of it, before `after`: so scripts still run for each call
 *   shape   columns of the answers. All answers here have one; when the backend answers in another, the
 *           cache begins anew
 *
 * For one function in one worker. Threads: the loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"
#include "data/batch.h"

struct pb_result_cache;
struct pb_cache_entry;

/* One who waits for an entry that somebody else asks for. */
struct pb_cache_waiter {
    struct pb_cache_waiter *next;
    /*
     * How it went. ready: the answer is `row` of `batch`. Else err->code says why: a row that failed alone,
     * the backend's state (then asking again would not help), or PBAY_CANCELLED: ask for yourself. Borrowed.
     * The waiter is in no list any more.
     */
    void (*resolved)(struct pb_cache_waiter *w, const pbay_batch *batch, uint32_t row,
                     const struct pb_err *err);
};

enum pb_cache_found { PB_CACHE_READY, PB_CACHE_PENDING, PB_CACHE_NEW };

/* max_bytes: about what all of it takes. Returns owned. */
struct pb_result_cache *pb_result_cache_new(int64_t ttl_ns, size_t max_bytes, struct pb_metrics *metrics,
                                            pbay_str function);
/* Nothing is pending. NULL is fine. */
void pb_result_cache_free(struct pb_result_cache *c);

/*
 * Row `row` of a batch. READY: its answer was appended to `into`, whose columns this made. PENDING: somebody
 * asks for it; *entry. NEW: it is not there and is pending from now on: *entry is to be settled or given up.
 */
enum pb_cache_found pb_cache_ask(struct pb_result_cache *c, const pbay_batch *batch, uint32_t row,
                                 struct pbay_builder *into, int64_t now_ns, struct pb_cache_entry **entry);
/* Who asks for a pending entry: a mark of one's own, and a number. */
void pb_cache_mark(struct pb_cache_entry *e, const void *owner, uint32_t number);
bool pb_cache_marked(const struct pb_cache_entry *e, const void *owner, uint32_t *number);

void pb_cache_wait(struct pb_cache_entry *e, struct pb_cache_waiter *w);
/* Do not wait any more. */
void pb_cache_forget(struct pb_cache_entry *e, struct pb_cache_waiter *w);
/* The answer has come: kept, and told to who waits. Pending no more. */
void pb_cache_settle(struct pb_result_cache *c, struct pb_cache_entry *e, const pbay_batch *answer,
                     uint32_t row, int64_t now_ns);
/* There is none to keep. err->code: see pb_cache_waiter. The entry is gone. */
void pb_cache_give_up(struct pb_result_cache *c, struct pb_cache_entry *e, const struct pb_err *err);

/* Append an empty column of the answer's for each of batch's, or are they these already? */
bool pb_cache_shape(struct pbay_builder *into, const pbay_batch *batch);
