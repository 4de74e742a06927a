/* SPDX-License-Identifier: MIT */
/* The SQLite engine: open, statements, transactions, errors. */
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"

enum { BUSY_MS = 2000 }; /* for programs that do not know our lock, such as sqlite3's shell */

static int say(struct pb_sq *s, int rc, const char *doing, struct pb_err *err)
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
                       "store %s is not a SQLite database; restore it from a backup, move it away, or "
                       "correct [store] url",
                       s->path);
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

int pb_sq_fail(struct pb_sq *s, int rc, const char *doing, struct pb_err *err)
{
    say(s, rc, doing, err);
    if (err) snprintf(err->vendor_code, sizeof err->vendor_code, "%s", PB_STORE_FAILURE);
    return -1;
}

/* ------------------------------------------------------------------------ statements */

sqlite3_stmt *pb_sq_get(struct pb_sq *s, enum pb_sq_stmt which, struct pb_err *err)
{
    if (s->stmts[which]) return s->stmts[which];
    int rc =
        sqlite3_prepare_v3(s->db, pb_sq_sql[which], -1, SQLITE_PREPARE_PERSISTENT, &s->stmts[which], NULL);
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

static void bind_all(sqlite3_stmt *st, const char *types, va_list ap)
{
    for (int at = 1; *types; types++, at++) {
        if (*types == 'i' || *types == 'z') {
            int64_t v = va_arg(ap, int64_t);
            if (v || *types == 'i') sqlite3_bind_int64(st, at, v);
        } else if (*types != 'n') {
            pbay_str v = va_arg(ap, pbay_str);
            if (*types == 'b')
                sqlite3_bind_blob64(st, at, v.n ? v.p : "", v.n, SQLITE_STATIC);
            else if (*types == 't' || (*types == 'T' ? v.n != 0 : v.p != NULL))
                pb_sq_text(st, at, v);
        }
    }
}

int pb_sq_find(struct pb_sq *s, enum pb_sq_stmt which, sqlite3_stmt **out, struct pb_err *err,
               const char *types, ...)
{
    sqlite3_stmt *st = *out = pb_sq_get(s, which, err);
    if (!st) return -1;
    va_list ap;
    va_start(ap, types);
    bind_all(st, types, ap);
    va_end(ap);
    int rc = pb_sq_step(s, st, "read", err);
    if (rc != 1) pb_sq_done(st);
    return rc;
}

int pb_sq_write(struct pb_sq *s, enum pb_sq_stmt which, struct pb_err *err, const char *types, ...)
{
    sqlite3_stmt *st = pb_sq_get(s, which, err);
    if (!st) return -1;
    va_list ap;
    va_start(ap, types);
    bind_all(st, types, ap);
    va_end(ap);
    return pb_sq_run(s, st, err);
}

pbay_str pb_sq_col(sqlite3_stmt *st, int at)
{
    const char *p = sqlite3_column_blob(st, at);
    return pb_str(p ? p : "", (size_t)sqlite3_column_bytes(st, at));
}

/* ------------------------------------------------------------------------ transactions */

/*
 * Two locks, for fairness: who waits for the turn stands at the gate, alone, and the one who just had the
 * turn must pass the gate again behind him. With one lock the last holder is back before the others have
 * woken up.
 */
static int lock_gate(struct pb_sq *s, short type)
{
    struct flock gate = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    return fcntl(s->lock_fd, F_OFD_SETLKW, &gate);
}

int pb_sq_lock(struct pb_sq *s, struct pb_err *err)
{
    int rc;
    while ((rc = lock_gate(s, F_WRLCK)) != 0 && errno == EINTR) continue;
    while (rc == 0 && (rc = flock(s->lock_fd, LOCK_EX)) != 0 && errno == EINTR) rc = 0;
    int why = errno;
    lock_gate(s, F_UNLCK);
    if (rc == 0) return 0;
    return pb_fail(err, PBAY_UNAVAILABLE, "store lock %s.lock: %s", s->path, strerror(why));
}

void pb_sq_unlock(struct pb_sq *s)
{
    flock(s->lock_fd, LOCK_UN);
}

static int command(struct pb_sq *s, const char *text, struct pb_err *err)
{
    errno = 0;
    int rc = sqlite3_exec(s->db, text, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : pb_sq_fail(s, rc, "write", err);
}

static int rolled_back(struct pb_sq *s, struct pb_err *err)
{
    pb_fail(err, PBAY_ABORTED, "store %s: the transaction was rolled back", s->path);
    if (err) snprintf(err->vendor_code, sizeof err->vendor_code, "%s", PB_STORE_FAILURE);
    return -1;
}

/*
 * A part that begins where the one around it began, with nothing written in between, needs no savepoint of
 * its own: undoing it leads to the same place. So an operation that is one verb costs one.
 */
static int begin_part(struct pb_sq *s, struct pb_err *err)
{
    int64_t changes = sqlite3_total_changes64(s->db);
    PB_REQUIRE(s->depth < PB_SQ_DEPTH_MAX);
    /* SQLite may have rolled back by itself, for instance when the disk is full. */
    if (s->spoiled || sqlite3_get_autocommit(s->db)) return rolled_back(s, err);
    bool save = !s->head.bold && (s->depth == 1 || s->parts[s->depth - 1].changes != changes);
    sqlite3_stmt *st;
    if (save && (!(st = pb_sq_get(s, PB_SQ_SAVE, err)) || pb_sq_run(s, st, err) != 0)) return -1;
    s->parts[s->depth].changes = changes;
    s->parts[s->depth++].saved = save;
    return 0;
}

int pb_sq_begin(struct pb_sq *s, struct pb_err *err)
{
    if (s->depth) return begin_part(s, err);
    if (pb_sq_lock(s, err) != 0) return -1;
    if (command(s, "BEGIN IMMEDIATE", err) == 0) {
        s->depth = 1;
        return 0;
    }
    pb_sq_unlock(s);
    return -1;
}

static int end_part(struct pb_sq *s, int rc, struct pb_err *err)
{
    if (s->spoiled || sqlite3_get_autocommit(s->db)) return rc ? rc : rolled_back(s, err);
    if (s->head.bold) {
        s->spoiled = rc != 0 && s->parts[s->depth].changes != sqlite3_total_changes64(s->db);
        return rc;
    }
    struct pb_err *why = rc ? NULL : err;
    sqlite3_stmt *st;
    /* All are named alike: this is the innermost that there is. */
    if (rc != 0 && (!(st = pb_sq_get(s, PB_SQ_UNDO, why)) || pb_sq_run(s, st, why) != 0)) return -1;
    if (!s->parts[s->depth].saved) return rc;
    if (!(st = pb_sq_get(s, PB_SQ_RELEASE, why)) || pb_sq_run(s, st, why) != 0) return -1;
    return rc;
}

int pb_sq_end(struct pb_sq *s, int rc, struct pb_err *err)
{
    if (--s->depth) return end_part(s, rc, err);
    if (rc == 0 && (s->spoiled || sqlite3_get_autocommit(s->db))) rc = rolled_back(s, err);
    s->spoiled = false;
    if (rc == 0) rc = command(s, "COMMIT", err);
    if (rc != 0 && !sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    pb_sq_unlock(s);
    pb__store_ended(&s->head, rc == 0);
    return rc;
}

static int begin_sq(struct pb_store *store, struct pb_err *err)
{
    return pb_sq_begin(PB_CONTAINER(store, struct pb_sq, head), err);
}

static int end_sq(struct pb_store *store, int rc, struct pb_err *err)
{
    return pb_sq_end(PB_CONTAINER(store, struct pb_sq, head), rc, err);
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
        "PRAGMA cell_size_check = ON; PRAGMA secure_delete = FAST; PRAGMA temp_store = MEMORY;"
        /* Pages that several commits changed are written back once. */
        "PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 4000;"
        "PRAGMA journal_size_limit = 67108864";
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

/* Counting the memory takes a lock at each allocation, and nobody asks for the count. */
static void configure(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int open_db(struct pb_sq *s, int mode)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure);
    /* "./x": a path that begins with "file:" or is ":memory:" is a path like any other. */
    char *path = *s->path == '/' ? pb_strdup(s->path) : pb_sprintf("./%s", s->path);
    errno = 0;
    int rc = sqlite3_open_v2(path, &s->db, mode | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
    pb_free(path);
    if (rc != SQLITE_OK) return rc;
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, BUSY_MS);
    return rc;
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
        int sq = open_db(s, SQLITE_OPEN_READWRITE);
        if (sq != SQLITE_OK) rc = pb_sq_fail(s, sq, "open", err);
    }
    if (rc == 0) {
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

static void spare_sq(struct pb_store *store)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

static int check_sq(struct pb_store *store, bool quick, struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    struct verdict v = {s, err, 0};
    int rc = sqlite3_exec(
        s->db, quick ? "PRAGMA quick_check(10)" : "PRAGMA integrity_check(10); PRAGMA foreign_key_check",
        on_check, &v, NULL);
    if (v.rc != 0) return -1;
    return rc == SQLITE_OK ? 0 : pb_sq_fail(s, rc, "check", err);
}

static int verify_sq(pbay_str rest, bool quick, struct pb_err *err)
{
    struct pb_sq *s = pb_zalloc(sizeof *s);
    s->head.magic = PB_STORE_MAGIC;
    s->path = pb_strndup(rest.p, rest.n);
    s->lock_fd = -1;
    errno = 0;
    int sq = open_db(s, SQLITE_OPEN_READONLY);
    int rc = sq == SQLITE_OK ? check_sq(&s->head, quick, err) : pb_sq_fail(s, sq, "open", err);
    close_sq(&s->head);
    return rc;
}

const struct pb_store_engine pb_store_sqlite = {
    .scheme = "sqlite",
    .open = open_sq,
    .close = close_sq,
    .check = check_sq,
    .spare = spare_sq,
    .verify = verify_sq,
    .begin = begin_sq,
    .end = end_sq,
    .function_id = pb_sq_function_id,
    .kv_get = pb_sq_kv_get,
    .kv_put = pb_sq_kv_put,
    .event_put = pb_sq_event_put,
    .event_get = pb_sq_event_get,
    .event_list = pb_sq_event_list,
    .cursor_get = pb_sq_cursor_get,
    .cursor_put = pb_sq_cursor_put,
    .job_put = pb_sq_job_put,
    .job_claim = pb_sq_job_claim,
    .job_due = pb_sq_job_due,
    .job_renew = pb_sq_job_renew,
    .job_settle = pb_sq_job_settle,
    .job_cancel = pb_sq_job_cancel,
    .job_retry = pb_sq_job_retry,
    .job_get = pb_sq_job_get,
    .job_blob = pb_sq_job_blob,
    .job_list = pb_sq_job_list,
    .job_counts = pb_sq_job_counts,
    .forfeit = pb_sq_forfeit,
    .lease_take = pb_sq_lease_take,
    .lease_renew = pb_sq_lease_renew,
    .window_take = pb_sq_window_take,
    .pause_set = pb_sq_pause_set,
    .pause_list = pb_sq_pause_list,
    .audit_put = pb_sq_audit_put,
    .audit_list = pb_sq_audit_list,
    .bundle_put = pb_sq_bundle_put,
    .bundle_get = pb_sq_bundle_get,
    .run_put = pb_sq_run_put,
    .run_get = pb_sq_run_get,
    .run_set = pb_sq_run_set,
    .run_list = pb_sq_run_list,
    .step_put = pb_sq_step_put,
    .step_get = pb_sq_step_get,
    .step_set = pb_sq_step_set,
    .step_list = pb_sq_step_list,
    .step_count = pb_sq_step_count,
    .step_waiting = pb_sq_step_waiting,
    .link_put = pb_sq_link_put,
    .link_list = pb_sq_link_list,
    .link_drop = pb_sq_link_drop,
    .decision_put = pb_sq_decision_put,
    .decision_known = pb_sq_decision_known,
    .decision_settle = pb_sq_decision_settle,
    .decision_list = pb_sq_decision_list,
    .node_put = pb_sq_node_put,
    .node_fired = pb_sq_node_fired,
    .node_get = pb_sq_node_get,
    .prune = pb_sq_prune,
};
