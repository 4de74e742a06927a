/* SPDX-License-Identifier: MIT */
/*
 * What keeps processes out of each other's way, and what people decided: verbs of the store (store/store.h
 * says what holds for all of them).
 *
 * Glossary
 *   lease    a name that one owner holds until a time; its fence grows whenever it changes hands
 *   window   at most n starts within any span of so many milliseconds, counted for the whole machine
 *   pause    a person's decision that something is not to be started, kept until he takes it back
 *   audit    who did what, when
 */
#pragma once

#include <stdbool.h>

#include "store/store.h"

/*
 * Hold a name for ttl_ms. ABORTED, with the holder named, while somebody else does (also the same owner from
 * an earlier take: he renews). renew and release: ABORTED when the fence is not the present one, or the lease
 * has ended and was taken; a renew in one pb_store_atomic with other verbs makes them part of the lease.
 */
int pb_store_lease_take(struct pb_store *s, pbay_str name, pbay_str owner, int64_t ttl_ms, int64_t *fence,
                        struct pb_err *err);
int pb_store_lease_renew(struct pb_store *s, pbay_str name, int64_t fence, int64_t ttl_ms,
                         struct pb_err *err);
/*
 * End every lease, of names and of jobs, whose owner is gone: what it held is for others now, jobs as after a
 * lease that has ended. *n (NULL is fine): of how many owners. gone may be called for each owner there is.
 */
int pb_store_forfeit(struct pb_store *s, bool (*gone)(pbay_str owner), uint32_t *n, struct pb_err *err);
int pb_store_lease_release(struct pb_store *s, pbay_str name, int64_t fence, struct pb_err *err);

/* Take `want` starts of a window: 0 and *after_ms 0; or nothing taken and *after_ms, when there may be room.
 */
int pb_store_window_take(struct pb_store *s, pbay_str key, uint32_t n, int64_t window_ms, uint32_t want,
                         int64_t *after_ms, struct pb_err *err);

/* kind is "queue", "connector", "function", "chain" or "app". Is written into the audit as well. */
int pb_store_pause(struct pb_store *s, pbay_str kind, pbay_str name, pbay_str by, pbay_str why,
                   struct pb_err *err);
/* Fine when it is not paused. */
int pb_store_unpause(struct pb_store *s, pbay_str kind, pbay_str name, pbay_str by, struct pb_err *err);

struct pb_pause {
    pbay_str kind, name, by, why;
    int64_t at_ms;
};
struct pb_pauses {
    struct pb_pause **items;
    size_t n, cap;
};
/* All of them, by kind and name. Free *out, also after -1. */
int pb_store_pause_list(struct pb_store *s, struct pb_pauses *out, struct pb_err *err);
void pb_pauses_free(struct pb_pauses *list);

struct pb_audit {
    pbay_str who, what, object, detail; /* "cli:anna", "pause", "queue finance", a sentence */
    int64_t seq, at_ms;
};
struct pb_audits {
    struct pb_audit **items;
    size_t n, cap;
};
/* seq and at_ms are given by the store. Texts of at most PB_STORE_NAME_MAX bytes, detail 4 KiB. */
int pb_store_audit_put(struct pb_store *s, const struct pb_audit *a, struct pb_err *err);
/* Newest first, from before_seq down (0: the newest). Free *out, also after -1. */
int pb_store_audit_list(struct pb_store *s, int64_t before_seq, uint32_t limit, struct pb_audits *out,
                        struct pb_err *err);
void pb_audits_free(struct pb_audits *list);

/* How long things are kept, in ms. */
struct pb_retention {
    int64_t events, jobs /* and runs that ended */, audit;
};
#define PB_DAY_MS (INT64_C(24) * 3600 * 1000)
#define PB_RETENTION                                                                                         \
    {                                                                                                        \
        30 * PB_DAY_MS, 90 * PB_DAY_MS, 365 * PB_DAY_MS                                                      \
    }
/*
 * Remove some of what is older, and results that expired: a small step, so that nobody waits for it. *more:
 * there was more than fits into one.
 */
int pb_store_prune(struct pb_store *s, const struct pb_retention *keep, bool *more, struct pb_err *err);
