/* SPDX-License-Identifier: MIT */
/* Function ids: given once, never to another name. */
#include "base/attr.h"
#include "base/clock.h"
#include "store/sqlite.h"

/* 1 and *id, 0 when the name has none, -1. */
static int id_of(struct pb_sq *s, pbay_str scope, pbay_str name, int32_t *id, struct pb_err *err)
{
    sqlite3_stmt *st = pb_sq_get(s, PB_SQ_ID_OF_NAME, err);
    if (!st) return -1;
    pb_sq_text(st, 1, scope);
    pb_sq_text(st, 2, name);
    int rc = pb_sq_step(s, st, "read", err);
    if (rc == 1) *id = sqlite3_column_int(st, 0);
    pb_sq_done(st);
    return rc;
}

/* 0 when the id is free, 1 when it is or was this name's; -1 with err naming both when it is another's. */
static int may_have(struct pb_sq *s, pbay_str scope, pbay_str name, int64_t id, struct pb_err *err)
{
    sqlite3_stmt *st = pb_sq_get(s, PB_SQ_NAME_OF_ID, err);
    if (!st) return -1;
    pb_sq_text(st, 1, scope);
    sqlite3_bind_int64(st, 2, id);
    int rc = pb_sq_step(s, st, "read", err);
    if (rc == 1) {
        pbay_str owner =
            pb_str((const char *)sqlite3_column_text(st, 0), (size_t)sqlite3_column_bytes(st, 0));
        if (!pb_str_eq(owner, name))
            rc = pb_fail(err, PBAY_ALREADY_EXISTS,
                         "function id %lld belongs to \"%.*s\" and cannot be given to \"%.*s\": Qlik may "
                         "still call it by "
                         "that id; choose another or leave it out",
                         (long long)id, PB_FMT(owner), PB_FMT(name));
    }
    pb_sq_done(st);
    return rc;
}

static int next_of(struct pb_sq *s, pbay_str scope, int64_t *id, struct pb_err *err)
{
    sqlite3_stmt *st = pb_sq_get(s, PB_SQ_SCOPE_NEXT, err);
    if (!st) return -1;
    pb_sq_text(st, 1, scope);
    int rc = pb_sq_step(s, st, "read", err);
    if (rc == 1) *id = sqlite3_column_int64(st, 0);
    pb_sq_done(st);
    return rc == 1 ? 0 : -1;
}

/* The next id that nobody has. The counter only goes up. */
static int assign(struct pb_sq *s, pbay_str scope, int64_t *id, struct pb_err *err)
{
    if (next_of(s, scope, id, err) != 0) return -1;
    struct pb_err taken = {0};
    /* No function has an empty name: any owner is another. */
    while (may_have(s, scope, PB_STR(""), *id, &taken) != 0) {
        if (taken.code != PBAY_ALREADY_EXISTS) {
            if (err) *err = taken;
            return -1;
        }
        ++*id;
    }
    if (*id > INT32_MAX)
        return pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "store %s: no function ids are left in \"%.*s\"",
                       s->path, PB_FMT(scope));
    sqlite3_stmt *st = pb_sq_get(s, PB_SQ_SCOPE_SET, err);
    if (!st) return -1;
    pb_sq_text(st, 1, scope);
    sqlite3_bind_int64(st, 2, *id + 1);
    return pb_sq_run(s, st, err);
}

static int add_scope(struct pb_sq *s, pbay_str scope, struct pb_err *err)
{
    sqlite3_stmt *st = pb_sq_get(s, PB_SQ_SCOPE_ADD, err);
    if (!st) return -1;
    pb_sq_text(st, 1, scope);
    sqlite3_bind_int(st, 2, PB_STORE_FIRST_ID);
    return pb_sq_run(s, st, err);
}

static int record(struct pb_sq *s, pbay_str scope, pbay_str name, int64_t id, bool given, struct pb_err *err)
{
    sqlite3_stmt *st = pb_sq_get(s, PB_SQ_ID_RETIRE, err);
    if (!st) return -1;
    pb_sq_text(st, 1, scope);
    pb_sq_text(st, 2, name);
    if (pb_sq_run(s, st, err) != 0 || !(st = pb_sq_get(s, PB_SQ_ID_PUT, err))) return -1;
    pb_sq_text(st, 1, scope);
    sqlite3_bind_int64(st, 2, id);
    pb_sq_text(st, 3, name);
    sqlite3_bind_int(st, 4, given);
    sqlite3_bind_int64(st, 5, pb_now_ms());
    return pb_sq_run(s, st, err);
}

/* Inside the transaction: another process may have been first. */
static int decide(struct pb_sq *s, pbay_str scope, pbay_str name, int32_t explicit_id, int32_t *id,
                  struct pb_err *err)
{
    int64_t want = explicit_id;
    int has = id_of(s, scope, name, id, err);
    if (has < 0) return -1;
    if (has && (explicit_id < 0 || explicit_id == *id)) return 0;
    if (add_scope(s, scope, err) != 0) return -1;
    if (explicit_id < 0 ? assign(s, scope, &want, err) != 0 : may_have(s, scope, name, want, err) < 0)
        return -1;
    if (record(s, scope, name, want, explicit_id >= 0, err) != 0) return -1;
    *id = (int32_t)want;
    return 0;
}

int pb_sq_function_id(struct pb_store *store, pbay_str scope, pbay_str name, int32_t explicit_id, int32_t *id,
                      struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    /* Nearly always it is there, and every worker asks for every function at once. */
    int has = id_of(s, scope, name, id, err);
    if (has < 0) return -1;
    if (has && (explicit_id < 0 || explicit_id == *id)) return 0;
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s, decide(s, scope, name, explicit_id, id, err), err);
}
