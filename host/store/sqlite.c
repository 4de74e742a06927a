/* SPDX-License-Identifier: MIT */
/* The SQLite engine: open, statements, transactions, errors. */
#include "store/sqlite.h"

#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"

enum { BUSY_MS = 2000 }; /* for programs that do not know our lock, such as sqlite3's shell */

static const char *const sql[PB_SQ_N_STMTS] = {
    [PB_SQ_ID_OF_NAME] = "SELECT id FROM function_id WHERE scope = ?1 AND name = ?2 AND current = 1",
    [PB_SQ_NAME_OF_ID] = "SELECT name FROM function_id WHERE scope = ?1 AND id = ?2",
    [PB_SQ_ID_RETIRE] = "UPDATE function_id SET current = 0 WHERE scope = ?1 AND name = ?2 AND current = 1",
    [PB_SQ_ID_PUT] = ("INSERT INTO function_id (scope, id, name, current, given, created_ms) VALUES (?1, ?2, "
                      "?3, 1, ?4, ?5)"
                      " ON CONFLICT (scope, id) DO UPDATE SET current = 1, given = excluded.given"),
    [PB_SQ_SCOPE_ADD] = "INSERT INTO function_scope (scope, next_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    [PB_SQ_SCOPE_NEXT] = "SELECT next_id FROM function_scope WHERE scope = ?1",
    [PB_SQ_SCOPE_SET] = "UPDATE function_scope SET next_id = ?2 WHERE scope = ?1",
    [PB_SQ_KV_GET] =
        "SELECT value FROM kv WHERE space = ?1 AND key = ?2 AND (expires_ms IS NULL OR expires_ms > ?3)",
    [PB_SQ_KV_PUT] =
        ("INSERT INTO kv (space, key, value, expires_ms) VALUES (?1, ?2, ?3, ?4)"
         " ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, expires_ms = excluded.expires_ms"),
    [PB_SQ_KV_DELETE] = "DELETE FROM kv WHERE space = ?1 AND key = ?2",
    [PB_SQ_KV_PRUNE] = "DELETE FROM kv WHERE rowid IN (SELECT rowid FROM kv WHERE expires_ms <= ?1 LIMIT 16)",
};

int pb_sq_fail(struct pb_sq *s, int rc, const char *doing, struct pb_err *err)
{
    int last = errno; /* SQLite keeps it for some errors only; the callers cleared it before they asked */
    const char *text = s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return pb_fail(err, PBAY_RESOURCE_EXHAUSTED,
                       "store %s: %s failed: the disk is full; make room, nothing is lost", s->path, doing);
    case SQLITE_READONLY:
        return pb_fail(err, PBAY_FAILED_PRECONDITION,
                       "store %s: %s failed: the file or its disk is read-only", s->path, doing);
    case SQLITE_NOTADB:
        return pb_fail(err, PBAY_DATA_LOSS,
                       "store %s is not a SQLite database; move it away or correct [store] url", s->path);
    case SQLITE_CORRUPT:
        return pb_fail(err, PBAY_DATA_LOSS,
                       "store %s: %s failed: the file is damaged (%s); restore it from a backup", s->path,
                       doing, text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        pb_fail(err, PBAY_UNAVAILABLE, "store %s: %s failed: another program keeps it locked", s->path,
                doing);
        if (err) err->advice = PBAY_ADVICE_RETRY;
        return -1;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN: {
        int os = s->db ? sqlite3_system_errno(s->db) : 0;
        if (!os) os = last;
        bool room = os == ENOSPC || os == EFBIG || os == EDQUOT;
        return pb_fail(err,
                       room          ? PBAY_RESOURCE_EXHAUSTED
                       : os == EROFS ? PBAY_FAILED_PRECONDITION
                                     : PBAY_UNAVAILABLE,
                       "store %s: %s failed: %s%s%s", s->path, doing, text, os ? ": " : "",
                       os ? strerror(os) : "");
    }
    default: return pb_fail(err, PBAY_INTERNAL, "store %s: %s failed: %s", s->path, doing, text);
    }
}

/* ------------------------------------------------------------------------ statements */

sqlite3_stmt *pb_sq_get(struct pb_sq *s, enum pb_sq_stmt which, struct pb_err *err)
{
    if (s->stmts[which]) return s->stmts[which];
    int rc = sqlite3_prepare_v3(s->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, &s->stmts[which], NULL);
    if (rc == SQLITE_OK) return s->stmts[which];
    pb_sq_fail(s, rc, "prepare", err);
    return NULL;
}

void pb_sq_text(sqlite3_stmt *st, int at, pbay_str text)
{
    sqlite3_bind_text64(st, at, text.p ? text.p : "", text.n, SQLITE_STATIC, SQLITE_UTF8);
}

int pb_sq_step(struct pb_sq *s, sqlite3_stmt *st, const char *doing, struct pb_err *err)
{
    errno = 0;
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) return 1;
    if (rc == SQLITE_DONE) return 0;
    return pb_sq_fail(s, rc, doing, err);
}

void pb_sq_done(sqlite3_stmt *st)
{
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
}

int pb_sq_run(struct pb_sq *s, sqlite3_stmt *st, struct pb_err *err)
{
    int rc = pb_sq_step(s, st, "write", err);
    pb_sq_done(st);
    return rc < 0 ? -1 : 0;
}

/* ------------------------------------------------------------------------ transactions */

int pb_sq_lock(struct pb_sq *s, struct pb_err *err)
{
    while (flock(s->lock_fd, LOCK_EX) != 0)
        if (errno != EINTR)
            return pb_fail(err, PBAY_UNAVAILABLE, "store lock %s.lock: %s", s->path, strerror(errno));
    return 0;
}

void pb_sq_unlock(struct pb_sq *s)
{
    flock(s->lock_fd, LOCK_UN);
}

int pb_sq_begin(struct pb_sq *s, struct pb_err *err)
{
    if (pb_sq_lock(s, err) != 0) return -1;
    errno = 0;
    int rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK) return 0;
    pb_sq_fail(s, rc, "write", err);
    pb_sq_unlock(s);
    return -1;
}

int pb_sq_end(struct pb_sq *s, int rc, struct pb_err *err)
{
    if (rc == 0) {
        errno = 0;
        int sq = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
        if (sq != SQLITE_OK) rc = pb_sq_fail(s, sq, "write", err);
    }
    /* SQLite may have rolled back by itself, for instance when the disk is full. */
    if (rc != 0 && !sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    pb_sq_unlock(s);
    return rc;
}

/* ------------------------------------------------------------------------ open and close */

static void close_sq(struct pb_store *store)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    for (size_t i = 0; i < PB_SQ_N_STMTS; i++) sqlite3_finalize(s->stmts[i]);
    if (s->db && sqlite3_close(s->db) != SQLITE_OK) PB_REQUIRE(!"a statement of the store is still open");
    if (s->lock_fd >= 0) close(s->lock_fd);
    pb_free(s->path);
    s->head.magic = 0;
    pb_free(s);
}

static int is_wal(void *user, int n, char **values, char **names)
{
    (void)names;
    *(bool *)user = n == 1 && values[0] && strcmp(values[0], "wal") == 0;
    return 0;
}

static int set_up(struct pb_sq *s, struct pb_err *err)
{
    static const char settings[] =
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"
        "PRAGMA cell_size_check = ON; PRAGMA journal_size_limit = 67108864";
    bool wal = false;
    int rc = sqlite3_exec(s->db, "PRAGMA journal_mode = WAL", is_wal, &wal, NULL);
    if (rc != SQLITE_OK) return pb_sq_fail(s, rc, "open", err);
    if (!wal)
        return pb_fail(err, PBAY_FAILED_PRECONDITION,
                       "store %s: its disk does not support SQLite's WAL mode (a network "
                       "file system?); put it on a local one",
                       s->path);
    rc = sqlite3_exec(s->db, settings, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : pb_sq_fail(s, rc, "open", err);
}

static int open_sq(pbay_str rest, struct pb_store **out, struct pb_err *err)
{
    struct pb_sq *s = pb_zalloc(sizeof *s);
    s->head.magic = PB_STORE_MAGIC;
    s->head.engine = &pb_store_sqlite;
    s->path = pb_strndup(rest.p, rest.n);
    s->lock_fd = -1;
    int rc = pb_sq_files(s, err);
    if (rc == 0) {
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
        /* "./x": a path that begins with "file:" or is ":memory:" is a path like any other. */
        char *path = *s->path == '/' ? pb_strdup(s->path) : pb_sprintf("./%s", s->path);
        errno = 0;
        int sq = sqlite3_open_v2(path, &s->db, flags, NULL);
        pb_free(path);
        if (sq != SQLITE_OK) rc = pb_sq_fail(s, sq, "open", err);
    }
    if (rc == 0) {
        sqlite3_extended_result_codes(s->db, 1);
        sqlite3_busy_timeout(s->db, BUSY_MS);
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        rc = pb_sq_lock(s, err);
    }
    if (rc == 0) {
        rc = set_up(s, err) != 0 || pb_sq_migrate(s, err) != 0 ? -1 : 0;
        pb_sq_unlock(s);
    }
    if (rc != 0) {
        close_sq(&s->head);
        return -1;
    }
    *out = &s->head;
    return 0;
}

struct verdict {
    struct pb_sq *s;
    struct pb_err *err;
    int rc;
};

static int on_check(void *user, int n, char **values, char **names)
{
    struct verdict *v = user;
    (void)names;
    const char *text = n > 0 && values[0] ? values[0] : "?";
    if (strcmp(text, "ok") == 0 || v->rc != 0) return 0;
    v->rc = pb_fail(v->err, PBAY_DATA_LOSS, "store %s is damaged: %s; restore it from a backup", v->s->path,
                    text);
    return 0;
}

static int check_sq(struct pb_store *store, struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    struct verdict v = {s, err, 0};
    int rc = sqlite3_exec(s->db, "PRAGMA integrity_check(10); PRAGMA foreign_key_check", on_check, &v, NULL);
    if (v.rc != 0) return -1;
    return rc == SQLITE_OK ? 0 : pb_sq_fail(s, rc, "check", err);
}

const struct pb_store_engine pb_store_sqlite = {
    .scheme = "sqlite",
    .open = open_sq,
    .close = close_sq,
    .check = check_sq,
    .function_id = pb_sq_function_id,
    .kv_get = pb_sq_kv_get,
    .kv_put = pb_sq_kv_put,
};
