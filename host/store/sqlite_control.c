/* SPDX-License-Identifier: MIT */
/* Leases, windows, pauses, audit, and the removal of what is old. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/sqlite.h"

enum { PRUNE_ROWS = 200 };

/* ------------------------------------------------------------------------ leases */

static int lease_take(struct pb_sq *s, pbay_str name, pbay_str owner, int64_t ttl_ms, int64_t *fence,
                      struct pb_err *err)
{
    sqlite3_stmt *st;
    int64_t now = pb_now_ms();
    int rc = pb_sq_find(s, PB_SQ_LEASE_GET, &st, err, "t", name);
    if (rc < 0) return -1;
    *fence = 1;
    if (rc == 1) {
        int64_t left = sqlite3_column_int64(st, 2) - now;
        pbay_str holder = pb_sq_col(st, 0);
        *fence = sqlite3_column_int64(st, 1) + 1;
        if (left > 0)
            pb_fail(err, PBAY_ABORTED, "lease \"%.*s\" is held by \"%.*s\" for another %lld ms", PB_FMT(name),
                    PB_FMT(holder), (long long)left);
        pb_sq_done(st);
        if (left > 0) return -1;
    }
    return pb_sq_write(s, PB_SQ_LEASE_PUT, err, "ttii", name, owner, *fence, now + ttl_ms);
}

int pb_sq_lease_take(struct pb_store *store, pbay_str name, pbay_str owner, int64_t ttl_ms, int64_t *fence,
                     struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s, lease_take(s, name, owner, ttl_ms, fence, err), err);
}

int pb_sq_lease_renew(struct pb_store *store, pbay_str name, int64_t fence, int64_t ttl_ms,
                      struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    if (pb_sq_begin(s, err) != 0) return -1;
    int rc = pb_sq_write(s, PB_SQ_LEASE_SET, err, "tii", name, fence, ttl_ms ? pb_now_ms() + ttl_ms : 0);
    if (rc == 0 && sqlite3_changes(s->db) == 0)
        rc = pb_fail(err, PBAY_ABORTED, "lease \"%.*s\" is not held under fence %lld", PB_FMT(name),
                     (long long)fence);
    return pb_sq_end(s, rc, err);
}

/* Texts, one behind the other, each with its NUL. */
static int read_owners(struct pb_sq *s, int64_t now, bool (*gone)(pbay_str owner), struct pb_buf *out,
                       struct pb_err *err)
{
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_OWNERS, &st, err, "i", now);
    for (; rc == 1; rc = pb_sq_step(s, st, "read", err)) {
        pbay_str owner = pb_sq_col(st, 0);
        if (!gone(owner)) continue;
        pb_buf_str(out, owner);
        pb_buf_ch(out, 0);
    }
    if (st) pb_sq_done(st);
    return rc;
}

static int take_from_gone(struct pb_sq *s, bool (*gone)(pbay_str owner), uint32_t *n, struct pb_err *err)
{
    struct pb_buf owners = {0};
    int64_t now = pb_now_ms();
    int rc = read_owners(s, now, gone, &owners, err);
    for (size_t at = 0; rc == 0 && at < owners.n; ++*n) {
        pbay_str owner = pb_str_c(owners.p + at);
        at += owner.n + 1;
        rc = pb_sq_write(s, PB_SQ_JOB_FORFEIT, err, "ti", owner, now);
        if (rc == 0 && sqlite3_changes(s->db)) s->head.work = true;
        if (rc == 0) rc = pb_sq_write(s, PB_SQ_LEASE_FORFEIT, err, "ti", owner, now);
    }
    pb_buf_free(&owners);
    return rc;
}

int pb_sq_forfeit(struct pb_store *store, bool (*gone)(pbay_str owner), uint32_t *n, struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    *n = 0;
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s, take_from_gone(s, gone, n, err), err);
}

/* ------------------------------------------------------------------------ windows */

enum { GRAINS = 256, SWEEP_EVERY = 16 };

int pb_sq_window_room(struct pb_sq *s, pbay_str key, int64_t n, int64_t window_ms, int64_t want, int64_t now,
                      int64_t *room, int64_t *free_ms, struct pb_err *err)
{
    sqlite3_stmt *st;
    if (pb_sq_find(s, PB_SQ_WINDOW_USED, &st, err, "ti", key, now - window_ms) < 0) return -1;
    int64_t used = sqlite3_column_int64(st, 0);
    pb_sq_done(st);
    *room = n > used ? n - used : 0;
    *free_ms = now;
    if (*room >= want) return 0;
    /* The oldest leave first. */
    int rc = pb_sq_find(s, PB_SQ_WINDOW_ROWS, &st, err, "ti", key, now - window_ms);
    for (; rc == 1 && n - used < want; rc = pb_sq_step(s, st, "read", err)) {
        used -= sqlite3_column_int64(st, 1);
        *free_ms = sqlite3_column_int64(st, 0) + window_ms;
    }
    if (st) pb_sq_done(st);
    return rc < 0 ? -1 : 0;
}

/*
 * Of a window with more than a few hundred starts so many are counted together: it is a few hundred rows,
 * however many starts are in it. They leave it together too, with the last of them, so there are never more
 * than allowed.
 */
static int64_t together(int64_t now, int64_t most, int64_t window_ms)
{
    int64_t grain = most <= GRAINS || window_ms < 2 * GRAINS ? 1 : window_ms / GRAINS;
    return now - now % grain + grain - 1;
}

int pb_sq_window_add(struct pb_sq *s, pbay_str key, int64_t n, int64_t most, int64_t window_ms, int64_t now,
                     struct pb_err *err)
{
    int64_t at = together(now, most, window_ms);
    /* Those that have left are not counted; to sweep them now and then keeps the window short. */
    if (s->n_window_adds++ % SWEEP_EVERY == 0 &&
        pb_sq_write(s, PB_SQ_WINDOW_DROP, err, "ti", key, now - window_ms) != 0)
        return -1;
    return pb_sq_write(s, PB_SQ_WINDOW_ADD, err, "tiii", key, at, n, at + window_ms);
}

static int window_take(struct pb_sq *s, pbay_str key, int64_t n, int64_t window_ms, int64_t want,
                       int64_t *after_ms, struct pb_err *err)
{
    int64_t now = pb_now_ms(), room, free_ms;
    if (pb_sq_window_room(s, key, n, window_ms, want, now, &room, &free_ms, err) != 0) return -1;
    *after_ms = free_ms - now;
    return room >= want ? pb_sq_window_add(s, key, want, n, window_ms, now, err) : 0;
}

int pb_sq_window_take(struct pb_store *store, pbay_str key, uint32_t n, int64_t window_ms, uint32_t want,
                      int64_t *after_ms, struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s, window_take(s, key, n, window_ms, want, after_ms, err), err);
}

/* ------------------------------------------------------------------------ pauses and audit */

int pb_sq_pause_set(struct pb_store *store, const struct pb_pause *p, bool on, bool *changed,
                    struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    if (pb_sq_begin(s, err) != 0) return -1;
    int rc = on ? pb_sq_write(s, PB_SQ_PAUSE_PUT, err, "tttti", p->kind, p->name, p->by, p->why, pb_now_ms())
                : pb_sq_write(s, PB_SQ_PAUSE_DROP, err, "tt", p->kind, p->name);
    *changed = rc == 0 && sqlite3_changes(s->db) > 0;
    if (*changed && !on) s->head.work = true;
    return pb_sq_end(s, rc, err);
}

int pb_sq_pause_list(struct pb_store *store, struct pb_pauses *out, struct pb_err *err)
{
    static const size_t strs[] = {offsetof(struct pb_pause, kind), offsetof(struct pb_pause, name),
                                  offsetof(struct pb_pause, by), offsetof(struct pb_pause, why)};
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_PAUSE_LIST, &st, err, "");
    for (; rc == 1; rc = pb_sq_step(s, st, "read", err)) {
        struct pb_pause p = {pb_sq_col(st, 0), pb_sq_col(st, 1), pb_sq_col(st, 2), pb_sq_col(st, 3),
                             sqlite3_column_int64(st, 4)};
        out->items = pb__store_grow(out->items, out->n, &out->cap);
        out->items[out->n++] = pb__store_pack(&p, sizeof p, strs, PB_COUNTOF(strs));
    }
    if (st) pb_sq_done(st);
    return rc;
}

int pb_sq_audit_put(struct pb_store *store, const struct pb_audit *a, struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    if (pb_sq_begin(s, err) != 0) return -1;
    int rc =
        pb_sq_write(s, PB_SQ_AUDIT_PUT, err, "itttt", pb_now_ms(), a->who, a->what, a->object, a->detail);
    return pb_sq_end(s, rc, err);
}

int pb_sq_audit_list(struct pb_store *store, int64_t before_seq, uint32_t limit, struct pb_audits *out,
                     struct pb_err *err)
{
    static const size_t strs[] = {offsetof(struct pb_audit, who), offsetof(struct pb_audit, what),
                                  offsetof(struct pb_audit, object), offsetof(struct pb_audit, detail)};
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_AUDIT_LIST, &st, err, "ii", before_seq, (int64_t)limit);
    for (; rc == 1; rc = pb_sq_step(s, st, "read", err)) {
        struct pb_audit a = {pb_sq_col(st, 0),
                             pb_sq_col(st, 1),
                             pb_sq_col(st, 2),
                             pb_sq_col(st, 3),
                             sqlite3_column_int64(st, 4),
                             sqlite3_column_int64(st, 5)};
        out->items = pb__store_grow(out->items, out->n, &out->cap);
        out->items[out->n++] = pb__store_pack(&a, sizeof a, strs, PB_COUNTOF(strs));
    }
    if (st) pb_sq_done(st);
    return rc;
}

/* ------------------------------------------------------------------------ what is old */

int pb_sq_prune(struct pb_store *store, const struct pb_retention *keep, bool *more, struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    int64_t now = pb_now_ms();
    const struct {
        enum pb_sq_stmt stmt;
        int64_t before;
        bool counts; /* the statement of a pair that tells whether there was more */
    } steps[] = {
        {PB_SQ_PRUNE_RESULTS, now, false},
        {PB_SQ_PRUNE_EXPIRY, now, true},
        {PB_SQ_PRUNE_EVENTS, now - keep->events, true},
        {PB_SQ_PRUNE_BLOBS, now - keep->jobs, false},
        {PB_SQ_PRUNE_JOBS, now - keep->jobs, true},
        {PB_SQ_PRUNE_STARTS, now, true},
        {PB_SQ_PRUNE_AUDIT, now - keep->audit, true},
        {PB_SQ_PRUNE_STEPS, now - keep->jobs, false},
        {PB_SQ_PRUNE_RUNS, now - keep->jobs, true},
        {PB_SQ_PRUNE_DECISIONS, now - keep->jobs, true},
        {PB_SQ_PRUNE_LINKS, now - keep->audit, true},
        {PB_SQ_PRUNE_BUNDLES, now - keep->jobs, false},
        {PB_SQ_PRUNE_LANES, now - keep->jobs - 2 * PB_DAY_MS, false},
    };
    *more = false;
    if (pb_sq_begin(s, err) != 0) return -1;
    int rc = 0;
    for (size_t i = 0; i < PB_COUNTOF(steps) && rc == 0; i++) {
        rc = pb_sq_write(s, steps[i].stmt, err, "ii", steps[i].before, (int64_t)PRUNE_ROWS);
        if (steps[i].counts && sqlite3_changes(s->db) >= PRUNE_ROWS) *more = true;
    }
    return pb_sq_end(s, rc, err);
}
