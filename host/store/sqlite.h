/* SPDX-License-Identifier: MIT */
/*
 * The SQLite engine's inside: connection, statements, transactions. Private to host/store/sqlite*.c.
 *
 * Writers queue up at a blocking lock on PATH.lock before they ask SQLite for its write lock: SQLite's own
 * waiting is polling and starves a writer for seconds when others are busy. Readers (WAL) take no lock.
 */
#pragma once

#include <sqlite3.h>

#include "store/engine.h"

/* Statements that are prepared once; the texts are in sqlite.c. */
enum pb_sq_stmt {
    PB_SQ_ID_OF_NAME,
    PB_SQ_NAME_OF_ID,
    PB_SQ_ID_RETIRE,
    PB_SQ_ID_PUT,
    PB_SQ_SCOPE_ADD,
    PB_SQ_SCOPE_NEXT,
    PB_SQ_SCOPE_SET,
    PB_SQ_KV_GET,
    PB_SQ_KV_PUT,
    PB_SQ_KV_DELETE,
    PB_SQ_KV_PRUNE,
    PB_SQ_N_STMTS
};

struct pb_sq {
    struct pb_store head;
    sqlite3 *db;
    char *path;
    int lock_fd; /* PATH.lock */
    sqlite3_stmt *stmts[PB_SQ_N_STMTS];
};

/* Fill err from SQLite's last error: `doing` is "open", "write", …. Returns -1. */
int pb_sq_fail(struct pb_sq *s, int rc, const char *doing, struct pb_err *err);
/* A statement ready to be bound, or NULL with err filled. Reset it when done: pb_sq_done. */
sqlite3_stmt *pb_sq_get(struct pb_sq *s, enum pb_sq_stmt which, struct pb_err *err);
void pb_sq_text(sqlite3_stmt *st, int at, pbay_str text);
/* 1 a row, 0 no more, -1 with err filled. */
int pb_sq_step(struct pb_sq *s, sqlite3_stmt *st, const char *doing, struct pb_err *err);
void pb_sq_done(sqlite3_stmt *st);
/* Step to the end and reset: for statements that answer nothing. */
int pb_sq_run(struct pb_sq *s, sqlite3_stmt *st, struct pb_err *err);

/* Wait for the turn to write and begin. */
int pb_sq_begin(struct pb_sq *s, struct pb_err *err);
/* rc 0: commit; else roll back, err stays. Gives up the turn either way. Returns 0 when it was committed. */
int pb_sq_end(struct pb_sq *s, int rc, struct pb_err *err);
int pb_sq_lock(struct pb_sq *s, struct pb_err *err);
void pb_sq_unlock(struct pb_sq *s);

/* The verbs, in files of their own. */
int pb_sq_function_id(struct pb_store *s, pbay_str scope, pbay_str name, int32_t explicit_id, int32_t *id,
                      struct pb_err *err);
int pb_sq_kv_get(struct pb_store *s, pbay_str space, pbay_str key, struct pb_buf *out, struct pb_err *err);
int pb_sq_kv_put(struct pb_store *s, pbay_str space, pbay_str key, pbay_str value, const pbay_str *expected,
                 int64_t ttl_ms, struct pb_err *err);
/* Create what is missing and check whose it is; the lock file stays open in s->lock_fd. */
int pb_sq_files(struct pb_sq *s, struct pb_err *err);
/* Bring the schema up to date, each step in a transaction of its own. Call under the lock. */
int pb_sq_migrate(struct pb_sq *s, struct pb_err *err);
