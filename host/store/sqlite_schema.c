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
    /* 3: events and how far their sources were read */
    "CREATE TABLE event ("
    "  seq INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  connector TEXT NOT NULL,"
    "  type TEXT NOT NULL,"
    "  subject TEXT NOT NULL,"
    "  time_ms INTEGER NOT NULL,"
    "  stored_ms INTEGER NOT NULL,"
    "  data BLOB NOT NULL"
    ") STRICT;"
    "CREATE TABLE event_key ("
    "  connector TEXT NOT NULL,"
    "  key BLOB NOT NULL,"
    "  event INTEGER NOT NULL REFERENCES event (seq) ON DELETE CASCADE,"
    "  PRIMARY KEY (connector, key)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX event_key_by_event ON event_key (event);"
    "CREATE TABLE cursor ("
    "  connector TEXT NOT NULL,"
    "  source TEXT NOT NULL,"
    "  value BLOB NOT NULL,"
    "  put_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (connector, source)"
    ") STRICT, WITHOUT ROWID;",
    /*
     * 4: jobs. A lane is what may be claimed together: what is paused or at its limit is stepped over as a
     * whole. `unlimited` jobs of it (checks and polls) are not counted against the limit. blob.id is 2 *
     * job.seq for the input and one more for the result: a job's row stays small.
     */
    "CREATE TABLE lane ("
    "  id INTEGER PRIMARY KEY,"
    "  queue TEXT NOT NULL,"
    "  connector TEXT NOT NULL,"
    "  function TEXT NOT NULL,"
    "  limit_key TEXT NOT NULL,"
    "  limit_n INTEGER NOT NULL,"
    "  limit_ms INTEGER NOT NULL,"
    "  used_ms INTEGER NOT NULL,"
    "  UNIQUE (queue, connector, function, limit_key)"
    ") STRICT;"
    "CREATE TABLE job ("
    "  seq INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  lane INTEGER NOT NULL,"
    "  action TEXT NOT NULL,"
    "  args TEXT NOT NULL,"
    "  key TEXT,"
    "  cause TEXT NOT NULL,"
    "  run TEXT NOT NULL,"
    "  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 5),"
    "  phase INTEGER NOT NULL DEFAULT 0 CHECK (phase BETWEEN 0 AND 2),"
    "  unlimited INTEGER NOT NULL DEFAULT 0,"
    "  repeat INTEGER NOT NULL CHECK (repeat BETWEEN 0 AND 2),"
    "  effect INTEGER NOT NULL DEFAULT 0,"
    "  attempt INTEGER NOT NULL DEFAULT 0,"
    "  tries INTEGER NOT NULL DEFAULT 0,"
    "  max_attempts INTEGER NOT NULL,"
    "  run_at_ms INTEGER NOT NULL,"
    "  fence INTEGER NOT NULL DEFAULT 0,"
    "  lease_until_ms INTEGER,"
    "  owner TEXT NOT NULL DEFAULT '',"
    "  handle TEXT NOT NULL DEFAULT '',"
    "  cancel INTEGER NOT NULL DEFAULT 0,"
    "  version INTEGER NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  first_ms INTEGER,"
    "  ended_ms INTEGER,"
    "  keep_ms INTEGER NOT NULL,"
    "  expires_ms INTEGER,"
    "  code INTEGER NOT NULL DEFAULT 0,"
    "  vendor_status INTEGER NOT NULL DEFAULT 0,"
    "  vendor_code TEXT NOT NULL DEFAULT '',"
    "  error TEXT NOT NULL DEFAULT ''"
    ") STRICT;"
    "CREATE UNIQUE INDEX job_by_key ON job (key) WHERE key IS NOT NULL;"
    "CREATE INDEX job_ready ON job (lane, unlimited, run_at_ms) WHERE state = 0;"
    "CREATE INDEX job_leased ON job (lease_until_ms) WHERE state = 1;"
    "CREATE INDEX job_stopped ON job (state, lane) WHERE state IN (3, 5);"
    "CREATE INDEX job_by_end ON job (ended_ms) WHERE ended_ms IS NOT NULL;"
    "CREATE INDEX job_by_expiry ON job (expires_ms) WHERE expires_ms IS NOT NULL;"
    "CREATE TABLE blob (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;",
    /* 5: leases, windows, pauses, audit */
    "CREATE TABLE lease ("
    "  name TEXT NOT NULL PRIMARY KEY,"
    "  owner TEXT NOT NULL,"
    "  fence INTEGER NOT NULL,"
    "  until_ms INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE start ("
    "  key TEXT NOT NULL,"
    "  at_ms INTEGER NOT NULL,"
    "  n INTEGER NOT NULL,"
    "  until_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (key, at_ms)"
    ") STRICT;"
    "CREATE INDEX start_by_end ON start (until_ms);"
    "CREATE TABLE pause ("
    "  kind TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  by TEXT NOT NULL,"
    "  why TEXT NOT NULL,"
    "  at_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (kind, name)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE audit ("
    "  seq INTEGER PRIMARY KEY,"
    "  at_ms INTEGER NOT NULL,"
    "  who TEXT NOT NULL,"
    "  what TEXT NOT NULL,"
    "  object TEXT NOT NULL,"
    "  detail TEXT NOT NULL"
    ") STRICT;",
    /* 6: runs of chains */
    "CREATE TABLE bundle (hash TEXT NOT NULL PRIMARY KEY, data BLOB NOT NULL, put_ms INTEGER NOT NULL) "
    "STRICT;"
    "CREATE TABLE run ("
    "  seq INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  chain TEXT NOT NULL,"
    "  bundle TEXT NOT NULL,"
    "  root TEXT NOT NULL,"
    "  cause TEXT NOT NULL,"
    "  by TEXT NOT NULL,"
    "  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),"
    "  started_ms INTEGER NOT NULL,"
    "  ended_ms INTEGER,"
    "  open INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX run_by_chain ON run (chain, seq);"
    "CREATE INDEX run_by_end ON run (ended_ms) WHERE ended_ms IS NOT NULL;"
    "CREATE TABLE step ("
    "  seq INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  run TEXT NOT NULL,"
    "  chain TEXT NOT NULL,"
    "  link TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  connector TEXT NOT NULL,"
    "  action TEXT NOT NULL,"
    "  subject TEXT NOT NULL,"
    "  args TEXT NOT NULL,"
    "  job TEXT NOT NULL,"
    "  occurrence TEXT NOT NULL,"
    "  parent TEXT NOT NULL,"
    "  error TEXT NOT NULL,"
    "  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 5),"
    "  kind INTEGER NOT NULL,"
    "  attempt INTEGER NOT NULL,"
    "  max_attempts INTEGER NOT NULL,"
    "  depth INTEGER NOT NULL,"
    "  weight INTEGER NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  started_ms INTEGER,"
    "  ended_ms INTEGER"
    ") STRICT;"
    "CREATE INDEX step_by_run ON step (run, seq);"
    "CREATE INDEX step_by_name ON step (name, seq);"
    "CREATE INDEX step_live ON step (state, connector, subject) WHERE state < 2;"
    "CREATE TABLE link_state ("
    "  chain TEXT NOT NULL,"
    "  link TEXT NOT NULL,"
    "  grp TEXT NOT NULL,"
    "  item TEXT NOT NULL,"
    "  value BLOB NOT NULL,"
    "  at_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (chain, link, grp, item)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX link_state_by_time ON link_state (at_ms);"
    "CREATE TABLE decision ("
    "  seq INTEGER PRIMARY KEY,"
    "  at_ms INTEGER NOT NULL,"
    "  event TEXT NOT NULL,"
    "  run TEXT NOT NULL,"
    "  chain TEXT NOT NULL,"
    "  link TEXT NOT NULL,"
    "  occurrence TEXT,"
    "  source TEXT NOT NULL,"
    "  status TEXT NOT NULL,"
    "  why TEXT NOT NULL,"
    "  outcome INTEGER NOT NULL CHECK (outcome BETWEEN 0 AND 8)"
    ") STRICT;"
    "CREATE UNIQUE INDEX decision_once ON decision (chain, link, occurrence) WHERE occurrence IS NOT NULL;"
    "CREATE INDEX decision_by_event ON decision (event, seq);"
    "CREATE INDEX decision_by_run ON decision (run, seq);"
    "CREATE INDEX decision_held ON decision (chain, seq) WHERE outcome = 4;"
    "CREATE TABLE node ("
    "  connector TEXT NOT NULL,"
    "  subject TEXT NOT NULL,"
    "  status TEXT NOT NULL,"
    "  occurrence TEXT NOT NULL,"
    "  at_ms INTEGER NOT NULL,"
    "  ok_ms INTEGER NOT NULL,"
    "  fired_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (connector, subject)"
    ") STRICT, WITHOUT ROWID;",
    /* 7: jobs whose end is told */
    "ALTER TABLE job ADD COLUMN tell INTEGER NOT NULL DEFAULT 0;",
    /* 8: live steps by name */
    "CREATE INDEX step_live_name ON step (name, state, connector) WHERE state < 2;",
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
