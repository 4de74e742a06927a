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

/* Statements that are prepared once; the texts are in sqlite_sql.c. */
enum pb_sq_stmt {
    PB_SQ_SAVE,
    PB_SQ_UNDO,
    PB_SQ_RELEASE,
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
    PB_SQ_EVENT_KEY,
    PB_SQ_EVENT_PUT,
    PB_SQ_EVENT_KEY_PUT,
    PB_SQ_EVENT_GET,
    PB_SQ_EVENT_SEQ,
    PB_SQ_EVENT_LIST,
    PB_SQ_CURSOR_GET,
    PB_SQ_CURSOR_PUT,
    PB_SQ_JOB_OF_KEY,
    PB_SQ_LANE_GET,
    PB_SQ_LANE_PUT,
    PB_SQ_LANE_SET,
    PB_SQ_JOB_PUT,
    PB_SQ_BLOB_PUT,
    PB_SQ_RESULT_PUT,
    PB_SQ_INPUT_DROP,
    PB_SQ_JOB_EXPIRED,
    PB_SQ_JOB_LANES,
    PB_SQ_JOB_CLAIM,
    PB_SQ_JOB_LEASE_END,
    PB_SQ_JOB_RENEW,
    PB_SQ_JOB_SETTLE,
    PB_SQ_JOB_STATE,
    PB_SQ_JOB_CANCEL,
    PB_SQ_JOB_RETRY,
    PB_SQ_JOB_CLAIMED,
    PB_SQ_JOB_BY_ID,
    PB_SQ_JOB_BY_KEY,
    PB_SQ_JOB_LIST,
    PB_SQ_JOB_BLOB,
    PB_SQ_JOB_COUNTS,
    PB_SQ_LEASE_GET,
    PB_SQ_LEASE_PUT,
    PB_SQ_LEASE_SET,
    PB_SQ_OWNERS,
    PB_SQ_JOB_FORFEIT,
    PB_SQ_LEASE_FORFEIT,
    PB_SQ_WINDOW_USED,
    PB_SQ_WINDOW_ROWS,
    PB_SQ_WINDOW_ADD,
    PB_SQ_WINDOW_DROP,
    PB_SQ_PAUSE_PUT,
    PB_SQ_PAUSE_DROP,
    PB_SQ_PAUSE_LIST,
    PB_SQ_AUDIT_PUT,
    PB_SQ_AUDIT_LIST,
    PB_SQ_PRUNE_EVENTS,
    PB_SQ_PRUNE_BLOBS,
    PB_SQ_PRUNE_JOBS,
    PB_SQ_PRUNE_RESULTS,
    PB_SQ_PRUNE_EXPIRY,
    PB_SQ_PRUNE_STARTS,
    PB_SQ_PRUNE_AUDIT,
    PB_SQ_PRUNE_LANES,
    PB_SQ_BUNDLE_PUT,
    PB_SQ_BUNDLE_THERE,
    PB_SQ_BUNDLE_GET,
    PB_SQ_RUN_PUT,
    PB_SQ_RUN_GET,
    PB_SQ_RUN_SET,
    PB_SQ_RUN_SEQ,
    PB_SQ_RUN_LIST,
    PB_SQ_STEP_PUT,
    PB_SQ_STEP_GET,
    PB_SQ_STEP_SET,
    PB_SQ_STEP_LIST,
    PB_SQ_STEP_LIST_RUN,
    PB_SQ_STEP_LIST_LIVE,
    PB_SQ_STEP_LIST_NAME,
    PB_SQ_STEP_LIST_SUBJECT,
    PB_SQ_STEP_COUNT,
    PB_SQ_STEP_COUNT_RUN,
    PB_SQ_STEP_COUNT_LIVE,
    PB_SQ_STEP_COUNT_NAME,
    PB_SQ_STEP_WAITING,
    PB_SQ_LINK_PUT,
    PB_SQ_LINK_LIST,
    PB_SQ_LINK_DROP,
    PB_SQ_DECISION_PUT,
    PB_SQ_DECISION_KNOWN,
    PB_SQ_DECISION_SETTLE,
    PB_SQ_DECISION_LIST,
    PB_SQ_DECISION_LIST_RUN,
    PB_SQ_DECISION_LIST_EVENT,
    PB_SQ_NODE_PUT,
    PB_SQ_NODE_FIRED,
    PB_SQ_NODE_GET,
    PB_SQ_PRUNE_STEPS,
    PB_SQ_PRUNE_LINKS,
    PB_SQ_PRUNE_RUNS,
    PB_SQ_PRUNE_DECISIONS,
    PB_SQ_PRUNE_BUNDLES,
    PB_SQ_N_STMTS
};

enum { PB_SQ_DEPTH_MAX = 8 };

extern const char *const pb_sq_sql[PB_SQ_N_STMTS];

struct pb_sq {
    struct pb_store head;
    sqlite3 *db;
    char *path;
    int lock_fd; /* PATH.lock */
    int depth;   /* of parts: the first is the transaction, the others can be undone alone */
    struct {
        int64_t changes; /* rows changed when it began */
        bool saved;      /* it has a savepoint of its own */
    } parts[PB_SQ_DEPTH_MAX];
    bool spoiled; /* see head.bold */
    uint32_t n_window_adds;
    sqlite3_stmt *stmts[PB_SQ_N_STMTS];
};

/* Fill err from SQLite's last error: `doing` is "open", "write", …. Its vendor_code is PB_STORE_FAILURE.
 * Returns -1. */
int pb_sq_fail(struct pb_sq *s, int rc, const char *doing, struct pb_err *err);
/* A statement ready to be bound, or NULL with err filled. Reset it when done: pb_sq_done. */
sqlite3_stmt *pb_sq_get(struct pb_sq *s, enum pb_sq_stmt which, struct pb_err *err);
void pb_sq_text(sqlite3_stmt *st, int at, pbay_str text);
/* 1 a row, 0 no more, -1 with err filled. */
int pb_sq_step(struct pb_sq *s, sqlite3_stmt *st, const char *doing, struct pb_err *err);
void pb_sq_done(sqlite3_stmt *st);
/* Step to the end and reset: for statements that answer nothing. */
int pb_sq_run(struct pb_sq *s, sqlite3_stmt *st, struct pb_err *err);

/*
 * Prepare, bind and step. types, one letter per parameter: t text, T text or NULL when empty, h text or NULL
 * when its p is, b blob (pbay_str); i int64_t, z int64_t or NULL when 0, n NULL (nothing is passed). Texts
 * are borrowed until the statement is done.
 */
/* 1 with a row in *out (pb_sq_done it), 0 none, -1. Further rows: pb_sq_step. */
int pb_sq_find(struct pb_sq *s, enum pb_sq_stmt which, sqlite3_stmt **out, struct pb_err *err,
               const char *types, ...);
/* To the end. 0 or -1. */
int pb_sq_write(struct pb_sq *s, enum pb_sq_stmt which, struct pb_err *err, const char *types, ...);
/* Borrowed until the statement's next step. */
pbay_str pb_sq_col(sqlite3_stmt *st, int at);

/* Wait for the turn to write and begin; inside a transaction: a part that can be undone alone. */
int pb_sq_begin(struct pb_sq *s, struct pb_err *err);
/*
 * rc 0: keep what was done since the begin that belongs to it; else undo it, err stays. The outermost commits
 * and gives up the turn either way. Returns 0 when it was kept.
 */
int pb_sq_end(struct pb_sq *s, int rc, struct pb_err *err);
int pb_sq_lock(struct pb_sq *s, struct pb_err *err);
void pb_sq_unlock(struct pb_sq *s);

/* The verbs, in files of their own. */
int pb_sq_function_id(struct pb_store *s, pbay_str scope, pbay_str name, int32_t explicit_id, int32_t *id,
                      struct pb_err *err);
int pb_sq_kv_get(struct pb_store *s, pbay_str space, pbay_str key, struct pb_buf *out, struct pb_err *err);
int pb_sq_kv_put(struct pb_store *s, pbay_str space, pbay_str key, pbay_str value, const pbay_str *expected,
                 int64_t ttl_ms, struct pb_err *err);
int pb_sq_event_put(struct pb_store *s, const struct pb_event_put *in, char id[PB_ID_SIZE], bool *known,
                    struct pb_err *err);
int pb_sq_event_get(struct pb_store *s, pbay_str id, struct pb_event **out, struct pb_err *err);
int pb_sq_event_list(struct pb_store *s, const struct pb_event_filter *f, struct pb_events *out,
                     struct pb_err *err);
int pb_sq_cursor_get(struct pb_store *s, pbay_str connector, pbay_str source, struct pb_buf *out,
                     struct pb_err *err);
int pb_sq_cursor_put(struct pb_store *s, pbay_str connector, pbay_str source, pbay_str cursor,
                     struct pb_err *err);
int pb_sq_job_put(struct pb_store *s, const struct pb_job_put *in, char id[PB_ID_SIZE], bool *known,
                  struct pb_err *err);
int pb_sq_job_claim(struct pb_store *s, const struct pb_claim *c, struct pb_jobs *out, struct pb_err *err);
int pb_sq_job_due(struct pb_store *s, const pbay_str *queues, size_t n_queues, int64_t *due_ms,
                  struct pb_err *err);
int pb_sq_job_renew(struct pb_store *s, pbay_str id, int64_t fence, int64_t lease_ms, bool *cancel,
                    struct pb_err *err);
int pb_sq_job_settle(struct pb_store *s, const struct pb_settle *in, enum pb_job_state *state,
                     struct pb_err *err);
int pb_sq_job_cancel(struct pb_store *s, pbay_str id, struct pb_err *err);
int pb_sq_job_retry(struct pb_store *s, pbay_str id, struct pb_err *err);
int pb_sq_job_get(struct pb_store *s, pbay_str id, pbay_str key, struct pb_job **out, struct pb_err *err);
int pb_sq_job_blob(struct pb_store *s, pbay_str id, bool result, struct pb_buf *out, struct pb_err *err);
int pb_sq_job_list(struct pb_store *s, const struct pb_job_filter *f, struct pb_jobs *out,
                   struct pb_err *err);
int pb_sq_job_counts(struct pb_store *s,
                     void (*each)(void *user, pbay_str queue, enum pb_job_state state, uint64_t n),
                     void *user, struct pb_err *err);
int pb_sq_forfeit(struct pb_store *s, bool (*gone)(pbay_str owner), uint32_t *n, struct pb_err *err);
int pb_sq_lease_take(struct pb_store *s, pbay_str name, pbay_str owner, int64_t ttl_ms, int64_t *fence,
                     struct pb_err *err);
int pb_sq_lease_renew(struct pb_store *s, pbay_str name, int64_t fence, int64_t ttl_ms, struct pb_err *err);
int pb_sq_window_take(struct pb_store *s, pbay_str key, uint32_t n, int64_t window_ms, uint32_t want,
                      int64_t *after_ms, struct pb_err *err);
int pb_sq_pause_set(struct pb_store *s, const struct pb_pause *p, bool on, bool *changed, struct pb_err *err);
int pb_sq_pause_list(struct pb_store *s, struct pb_pauses *out, struct pb_err *err);
int pb_sq_audit_put(struct pb_store *s, const struct pb_audit *a, struct pb_err *err);
int pb_sq_audit_list(struct pb_store *s, int64_t before_seq, uint32_t limit, struct pb_audits *out,
                     struct pb_err *err);
int pb_sq_bundle_put(struct pb_store *s, pbay_str hash, pbay_str text, struct pb_err *err);
int pb_sq_bundle_get(struct pb_store *s, pbay_str hash, struct pb_buf *out, struct pb_err *err);
int pb_sq_run_put(struct pb_store *s, const struct pb_run *in, struct pb_err *err);
int pb_sq_run_get(struct pb_store *s, pbay_str id, struct pb_run **out, struct pb_err *err);
int pb_sq_run_set(struct pb_store *s, const struct pb_run *run, struct pb_err *err);
int pb_sq_run_list(struct pb_store *s, const struct pb_run_filter *f, struct pb_runs *out,
                   struct pb_err *err);
int pb_sq_step_put(struct pb_store *s, const struct pb_run_step *in, struct pb_err *err);
int pb_sq_step_get(struct pb_store *s, pbay_str id, struct pb_run_step **out, struct pb_err *err);
int pb_sq_step_set(struct pb_store *s, const struct pb_run_step *step, struct pb_err *err);
int pb_sq_step_list(struct pb_store *s, const struct pb_step_filter *f, struct pb_steps *out,
                    struct pb_err *err);
int pb_sq_step_count(struct pb_store *s, const struct pb_step_filter *f, int64_t *n, struct pb_err *err);
int pb_sq_step_waiting(struct pb_store *s, uint32_t limit, struct pb_steps *out, struct pb_err *err);
int pb_sq_link_put(struct pb_store *s, const struct pb_link_state *in, struct pb_err *err);
int pb_sq_link_list(struct pb_store *s, pbay_str chain, pbay_str link, pbay_str group, pbay_str item,
                    struct pb_link_states *out, struct pb_err *err);
int pb_sq_link_drop(struct pb_store *s, pbay_str chain, pbay_str link, pbay_str group, pbay_str item,
                    struct pb_err *err);
int pb_sq_decision_put(struct pb_store *s, const struct pb_decision *in, bool *known, struct pb_err *err);
int pb_sq_decision_known(struct pb_store *s, pbay_str chain, pbay_str link, pbay_str occurrence, bool *known,
                         struct pb_err *err);
int pb_sq_decision_settle(struct pb_store *s, int64_t seq, enum pb_outcome outcome, struct pb_err *err);
int pb_sq_decision_list(struct pb_store *s, const struct pb_decision_filter *f, struct pb_decisions *out,
                        struct pb_err *err);
int pb_sq_node_put(struct pb_store *s, const struct pb_node *in, struct pb_err *err);
int pb_sq_node_fired(struct pb_store *s, pbay_str connector, pbay_str subject, int64_t fired_ms,
                     struct pb_err *err);
int pb_sq_node_get(struct pb_store *s, pbay_str connector, pbay_str subject, struct pb_node **out,
                   struct pb_err *err);
int pb_sq_prune(struct pb_store *s, const struct pb_retention *keep, bool *more, struct pb_err *err);
/*
 * How many more starts a window allows at `now`; with none, *free_ms is when there will be one. For the
 * transaction that then adds them.
 */
int pb_sq_window_room(struct pb_sq *s, pbay_str key, int64_t n, int64_t window_ms, int64_t want, int64_t now,
                      int64_t *room, int64_t *free_ms, struct pb_err *err);
int pb_sq_window_add(struct pb_sq *s, pbay_str key, int64_t n, int64_t most, int64_t window_ms, int64_t now,
                     struct pb_err *err);
/* A job whose end is to be told has ended without a turn: the job that tells of it. */
int pb_sq_job_tell(struct pb_sq *s, pbay_str id, struct pb_err *err);
/* The job in the statement's row. Returned owned. */
struct pb_job *pb_sq_job_row(sqlite3_stmt *st, pbay_str input);
/* Create what is missing and check whose it is; the lock file stays open in s->lock_fd. */
int pb_sq_files(struct pb_sq *s, struct pb_err *err);
/* Bring the schema up to date, each step in a transaction of its own. Call under the lock. */
int pb_sq_migrate(struct pb_sq *s, struct pb_err *err);
