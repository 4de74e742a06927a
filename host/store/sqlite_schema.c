/* SPDX-License-Identifier: MIT */
/*
 * The schema, as the steps that lead to it. A step that was released is never changed: a new one follows
 * it.
 */
#include "base/attr.h"
#include "base/mem.h"
#include "store/sqlite.h"

enum { APPLICATION_ID = 0x50424159 }; /* "PBAY": tells our files from other programs' */

static const char *const steps[] = {
    /* 1: function ids. Rows are never deleted: an id once given stays its name's; `current` is the one in
       use. */
    "CREATE TABLE function_scope ("
    "  scope TEXT NOT NULL PRIMARY KEY,"
    "  next_id INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE function_id ("
    "  scope TEXT NOT NULL REFERENCES function_scope (scope),"
    "  id INTEGER NOT NULL CHECK (id BETWEEN 0 AND 2147483647),"
    "  name TEXT NOT NULL,"
    "  current INTEGER NOT NULL CHECK (current IN (0, 1)),"
    "  given INTEGER NOT NULL CHECK (given IN (0, 1)),"
    "  created_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (scope, id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX function_id_by_name ON function_id (scope, name) WHERE current = 1;",
    /* 2: plugins' key-value pairs */
    "CREATE TABLE kv ("
    "  space TEXT NOT NULL,"
    "  key BLOB NOT NULL,"
    "  value BLOB NOT NULL,"
    "  expires_ms INTEGER"
    ") STRICT;"
    "CREATE UNIQUE INDEX kv_by_key ON kv (space, key);"
    "CREATE INDEX kv_by_expiry ON kv (expires_ms) WHERE expires_ms IS NOT NULL;",
};

static int number(struct pb_sq *s, const char *query, int64_t *out, struct pb_err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, query, -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(st, 0);
    else
        pb_sq_fail(s, rc, "open", err);
    sqlite3_finalize(st);
    return rc == SQLITE_ROW ? 0 : -1;
}

static int step(struct pb_sq *s, size_t i, struct pb_err *err)
{
    char *sql =
        pb_sprintf("BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %zu; COMMIT",
                   steps[i], APPLICATION_ID, i + 1);
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    pb_free(sql);
    if (rc == SQLITE_OK) return 0;
    pb_sq_fail(s, rc, "migration", err);
    if (!sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return pb_fail_in(err, "schema %zu", i + 1);
}

int pb_sq_migrate(struct pb_sq *s, struct pb_err *err)
{
    int64_t app, version, tables;
    if (number(s, "PRAGMA application_id", &app, err) != 0 ||
        number(s, "PRAGMA user_version", &version, err) != 0 ||
        number(s, "SELECT count(*) FROM sqlite_schema", &tables, err) != 0)
        return -1;
    if (app != APPLICATION_ID && (app || version || tables))
        return pb_fail(err, PBAY_FAILED_PRECONDITION,
                       "store %s is another program's SQLite database; correct [store] url", s->path);
    if (version > (int64_t)PB_COUNTOF(steps))
        return pb_fail(err, PBAY_FAILED_PRECONDITION,
                       "store %s has schema %lld, written by a newer version; this one knows up to %zu: "
                       "install the newer version, or restore the backup from before it",
                       s->path, (long long)version, PB_COUNTOF(steps));
    for (size_t i = (size_t)version; i < PB_COUNTOF(steps); i++)
        if (step(s, i, err) != 0) return -1;
    return 0;
}
