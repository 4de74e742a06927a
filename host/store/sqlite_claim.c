/* SPDX-License-Identifier: MIT */
/*
 * Which jobs are due, lane by lane: one look per lane that has waiting work, however much of it there is, so
 * that what is paused or at its limit costs nothing to step over.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/sqlite.h"

struct lane {
    int64_t id, limit_n, limit_ms;
    int64_t
        due[2]; /* earliest run_at of those counted against the limit, and of the others; INT64_MAX: none */
    char *limit_key;
};

struct lanes {
    struct lane *items;
    size_t n, cap;
};

static void free_lanes(struct lanes *l)
{
    for (size_t i = 0; i < l->n; i++) pb_free(l->items[i].limit_key);
    pb_free(l->items);
}

static bool wanted(const pbay_str *queues, size_t n, pbay_str queue)
{
    for (size_t i = 0; i < n; i++)
        if (pb_str_eq(queues[i], queue)) return true;
    return !n;
}

static int64_t due_col(sqlite3_stmt *st, int at)
{
    return sqlite3_column_type(st, at) == SQLITE_NULL ? INT64_MAX : sqlite3_column_int64(st, at);
}

/* A limit that is used up moves what is due to where it has room. */
static int apply_limit(struct pb_sq *s, struct lane *l, int64_t now, int64_t *room, struct pb_err *err)
{
    int64_t free_ms;
    *room = INT64_MAX;
    if (!*l->limit_key || l->due[0] > now) return 0;
    if (pb_sq_window_room(s, pb_str_c(l->limit_key), l->limit_n, l->limit_ms, 1, now, room, &free_ms, err) !=
        0)
        return -1;
    if (*room == 0) l->due[0] = free_ms;
    return 0;
}

static int read_lanes(struct pb_sq *s, const pbay_str *queues, size_t n_queues, struct lanes *out,
                      struct pb_err *err)
{
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_JOB_LANES, &st, err, "");
    for (; rc == 1; rc = pb_sq_step(s, st, "read", err)) {
        if (!wanted(queues, n_queues, pb_sq_col(st, 1))) continue;
        PB_GROW(out->items, out->cap, out->n + 1);
        pbay_str key = pb_sq_col(st, 2);
        out->items[out->n++] = (struct lane){.id = sqlite3_column_int64(st, 0),
                                             .limit_n = sqlite3_column_int64(st, 3),
                                             .limit_ms = sqlite3_column_int64(st, 4),
                                             .due = {due_col(st, 6), due_col(st, 5)},
                                             .limit_key = pb_strndup(key.p, key.n)};
    }
    if (st) pb_sq_done(st);
    return rc;
}

int pb_sq_job_due(struct pb_store *store, const pbay_str *queues, size_t n_queues, int64_t *due_ms,
                  struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    struct lanes lanes = {NULL, 0, 0};
    int64_t now = pb_now_ms(), room;
    *due_ms = INT64_MAX;
    int rc = read_lanes(s, queues, n_queues, &lanes, err);
    for (size_t i = 0; i < lanes.n && rc == 0; i++) {
        struct lane *l = &lanes.items[i];
        rc = apply_limit(s, l, now, &room, err);
        if (l->due[0] < *due_ms) *due_ms = l->due[0];
        if (l->due[1] < *due_ms) *due_ms = l->due[1];
    }
    free_lanes(&lanes);
    if (rc != 0) return -1;
    sqlite3_stmt *st;
    if (pb_sq_find(s, PB_SQ_JOB_LEASE_END, &st, err, "") < 0) return -1;
    if (due_col(st, 0) < *due_ms) *due_ms = due_col(st, 0);
    pb_sq_done(st);
    return 0;
}

/* ------------------------------------------------------------------------ claim */

struct claim {
    struct pb_sq *s;
    const struct pb_claim *in;
    struct pb_jobs *out;
    int64_t now;
    struct pb_err *err;
};

/* The whole job, for who got its row number. */
static int read_job(struct claim *c, int64_t seq)
{
    sqlite3_stmt *st;
    int rc = pb_sq_find(c->s, PB_SQ_JOB_CLAIMED, &st, c->err, "i", seq);
    if (rc == 1) {
        c->out->items = pb__store_grow(c->out->items, c->out->n, &c->out->cap);
        c->out->items[c->out->n++] = pb_sq_job_row(st, pb_sq_col(st, sqlite3_column_count(st) - 1));
        pb_sq_done(st);
    }
    if (rc == 0) return pb_fail(c->err, PBAY_DATA_LOSS, "store %s: a job without a lane", c->s->path);
    return rc < 0 ? -1 : 0;
}

/* Up to n of a lane. */
static int take(struct claim *c, struct lane *l, int unlimited, int64_t n)
{
    int64_t seqs[PB_JOB_CLAIM_MAX], got = 0;
    sqlite3_stmt *st;
    if (l->due[unlimited] > c->now) return 0;
    int rc = pb_sq_find(c->s, PB_SQ_JOB_CLAIM, &st, c->err, "iiiiit", l->id, (int64_t)unlimited, n, c->now,
                        c->now + c->in->lease_ms, c->in->owner);
    for (; rc == 1; rc = pb_sq_step(c->s, st, "write", c->err)) seqs[got++] = sqlite3_column_int64(st, 0);
    if (st) pb_sq_done(st);
    if (rc < 0) return -1;
    if (got && !unlimited && *l->limit_key &&
        pb_sq_window_add(c->s, pb_str_c(l->limit_key), got, l->limit_n, l->limit_ms, c->now, c->err) != 0)
        return -1;
    if (got < n) l->due[unlimited] = INT64_MAX;
    for (int64_t i = 0; i < got; i++)
        if (read_job(c, seqs[i]) != 0) return -1;
    return 0;
}

static int take_from(struct claim *c, struct lane *l, int64_t n)
{
    int64_t room;
    size_t had = c->out->n;
    if (take(c, l, 1, n) != 0 || apply_limit(c->s, l, c->now, &room, c->err) != 0) return -1;
    n -= (int64_t)(c->out->n - had);
    if (n > room) n = room;
    return n > 0 ? take(c, l, 0, n) : 0;
}

static int by_due(const void *a, const void *b)
{
    const struct lane *x = a, *y = b;
    int64_t dx = x->due[0] < x->due[1] ? x->due[0] : x->due[1],
            dy = y->due[0] < y->due[1] ? y->due[0] : y->due[1];
    return (dx > dy) - (dx < dy);
}

/* Leases that ended: their jobs wait again, or ended with them. */
static int end_leases(struct claim *c)
{
    struct {
        char id[PB_ID_SIZE];
    } told[64];
    size_t n = 0, n_told = 0;
    sqlite3_stmt *st;
    int rc = pb_sq_find(c->s, PB_SQ_JOB_EXPIRED, &st, c->err, "i", c->now);
    for (; rc == 1; rc = pb_sq_step(c->s, st, "write", c->err), n++) {
        enum pb_job_state state = (enum pb_job_state)sqlite3_column_int(st, 1);
        bool over = state == PB_JOB_DEAD || state == PB_JOB_CANCELLED;
        if (!over || !sqlite3_column_int(st, 2) || n_told == PB_COUNTOF(told)) continue;
        memcpy(told[n_told].id, pb_sq_col(st, 0).p, PB_ID_LEN);
        told[n_told++].id[PB_ID_LEN] = 0;
    }
    if (st) pb_sq_done(st);
    for (size_t i = 0; i < n_told && rc == 0; i++) rc = pb_sq_job_tell(c->s, pb_str_c(told[i].id), c->err);
    if (n) c->s->head.work = c->s->head.ended = true;
    return rc;
}

/* First a fair share of each lane, then whatever there is. */
static int claim(struct claim *c)
{
    struct lanes lanes = {NULL, 0, 0};
    if (end_leases(c) != 0) return -1;
    int rc = read_lanes(c->s, c->in->queues, c->in->n_queues, &lanes, c->err);
    if (rc == 0 && lanes.n) {
        qsort(lanes.items, lanes.n, sizeof *lanes.items, by_due);
        int64_t share = lanes.n < c->in->max ? c->in->max / (int64_t)lanes.n : 1;
        for (int pass = 0; pass < 2; pass++)
            for (size_t i = 0; i < lanes.n && rc == 0 && c->out->n < c->in->max; i++) {
                int64_t left = c->in->max - (int64_t)c->out->n;
                rc = take_from(c, &lanes.items[i], pass || share > left ? left : share);
            }
    }
    free_lanes(&lanes);
    return rc;
}

int pb_sq_job_claim(struct pb_store *store, const struct pb_claim *in, struct pb_jobs *out,
                    struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    if (pb_sq_begin(s, err) != 0) return -1;
    struct claim c = {s, in, out, pb_now_ms(), err};
    int rc = pb_sq_end(s, claim(&c), err);
    /* What was not kept was not claimed. */
    if (rc != 0) pb_jobs_free(out);
    return rc;
}
