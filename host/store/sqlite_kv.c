/* SPDX-License-Identifier: MIT */
/* Plugins' key-value pairs. */
#include "base/attr.h"
#include "base/clock.h"
#include "store/sqlite.h"

static void bind_blob(sqlite3_stmt *st, int at, pbay_str b)
{
    sqlite3_bind_blob64(st, at, b.n ? b.p : "", b.n, SQLITE_STATIC);
}

static sqlite3_stmt *bound(struct pb_sq *s, enum pb_sq_stmt which, pbay_str space, pbay_str key,
                           struct pb_err *err)
{
    sqlite3_stmt *st = pb_sq_get(s, which, err);
    if (!st) return NULL;
    pb_sq_text(st, 1, space);
    bind_blob(st, 2, key);
    return st;
}

/* 1 with the value in the statement (pb_sq_done it), 0, -1. */
static int find(struct pb_sq *s, pbay_str space, pbay_str key, sqlite3_stmt **out, pbay_str *value,
                struct pb_err *err)
{
    sqlite3_stmt *st = *out = bound(s, PB_SQ_KV_GET, space, key, err);
    if (!st) return -1;
    sqlite3_bind_int64(st, 3, pb_now_ms());
    int rc = pb_sq_step(s, st, "read", err);
    if (rc != 1)
        pb_sq_done(st);
    else
        *value = pb_str(sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0));
    return rc;
}

int pb_sq_kv_get(struct pb_store *store, pbay_str space, pbay_str key, struct pb_buf *out, struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    sqlite3_stmt *st;
    pbay_str value = {NULL, 0};
    int rc = find(s, space, key, &st, &value, err);
    if (rc < 0) return -1;
    if (rc == 0) return pb_fail(err, PBAY_NOT_FOUND, "no such key in \"%.*s\"", PB_FMT(space));
    pb_buf_str(out, value);
    pb_sq_done(st);
    return 0;
}

static int as_expected(struct pb_sq *s, pbay_str space, pbay_str key, pbay_str expected, struct pb_err *err)
{
    sqlite3_stmt *st;
    pbay_str value = {NULL, 0};
    int rc = find(s, space, key, &st, &value, err);
    if (rc < 0) return -1;
    bool same = expected.n ? rc == 1 && pb_str_eq(value, expected) : rc == 0;
    if (rc == 1) pb_sq_done(st);
    if (same) return 0;
    return pb_fail(err, PBAY_ABORTED, "the value in \"%.*s\" is not the expected one", PB_FMT(space));
}

/* A few at a time: what expired costs the writers little and never piles up. */
static int prune(struct pb_sq *s, struct pb_err *err)
{
    sqlite3_stmt *st = pb_sq_get(s, PB_SQ_KV_PRUNE, err);
    if (!st) return -1;
    sqlite3_bind_int64(st, 1, pb_now_ms());
    return pb_sq_run(s, st, err);
}

static int put(struct pb_sq *s, pbay_str space, pbay_str key, pbay_str value, int64_t ttl_ms,
               struct pb_err *err)
{
    sqlite3_stmt *st = bound(s, value.p ? PB_SQ_KV_PUT : PB_SQ_KV_DELETE, space, key, err);
    if (!st) return -1;
    if (value.p) {
        int64_t now = pb_now_ms();
        bind_blob(st, 3, value);
        if (ttl_ms) sqlite3_bind_int64(st, 4, ttl_ms > INT64_MAX - now ? INT64_MAX : now + ttl_ms);
    }
    return pb_sq_run(s, st, err);
}

int pb_sq_kv_put(struct pb_store *store, pbay_str space, pbay_str key, pbay_str value,
                 const pbay_str *expected, int64_t ttl_ms, struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    if (pb_sq_begin(s, err) != 0) return -1;
    int rc = expected ? as_expected(s, space, key, *expected, err) : 0;
    if (rc == 0) rc = put(s, space, key, value, ttl_ms, err);
    if (rc == 0) rc = prune(s, err);
    return pb_sq_end(s, rc, err);
}
