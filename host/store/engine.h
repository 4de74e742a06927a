/* SPDX-License-Identifier: MIT */
/*
 * What an engine implements. store.c has checked sizes and text before an engine sees them; the contracts
 * are those of the verbs in store/store.h, and tests/unit/store/store_suite.c holds every engine to them.
 * Private to host/store.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/control.h"
#include "store/events.h"
#include "store/jobs.h"
#include "store/runs.h"
#include "store/store.h"

/* The vendor_code of an error that is the engine's own (its file, its disk), not the caller's. Only between
 * the engine and async.c. */
#define PB_STORE_FAILURE "store"

/* The end of a lease: what becomes of the job. Refused unless it runs under this fence. */
struct pb_settle {
    pbay_str id;
    int64_t fence;
    enum pb_job_state state; /* WAITING in the run phase becomes CANCELLED when that was asked for */
    enum pb_job_phase phase; /* another one than before: tries is 0 */
    uint32_t effect;
    int64_t run_at_ms;
    bool uncount;             /* this claim was no attempt */
    bool got_on;              /* tries is 0 */
    pbay_str handle;          /* p NULL: as it was */
    const struct pb_err *why; /* NULL: as it was */
    const pbay_str *result;   /* NULL: none */
};

struct pb_store_engine {
    const char *scheme; /* "sqlite" */
    /* rest: the URL behind "scheme:" */
    int (*open)(pbay_str rest, struct pb_store **out, struct pb_err *err);
    void (*close)(struct pb_store *s);
    int (*check)(struct pb_store *s, bool quick, struct pb_err *err);
    int (*verify)(pbay_str rest, bool quick, struct pb_err *err);
    void (*spare)(struct pb_store *s); /* it is damaged: closing it writes nothing back */
    /*
     * Nested: the outermost pair is one transaction, taken when no other process writes; the inner ones are
     * parts of it that can be undone alone (end with rc != 0). Every writing verb is such a pair. end returns
     * rc, or -1 with err when it could not be kept; the outermost calls pb__store_ended.
     */
    int (*begin)(struct pb_store *s, struct pb_err *err);
    int (*end)(struct pb_store *s, int rc, struct pb_err *err);
    int (*function_id)(struct pb_store *s, pbay_str scope, pbay_str name, int32_t explicit_id, int32_t *id,
                       struct pb_err *err);
    int (*kv_get)(struct pb_store *s, pbay_str space, pbay_str key, struct pb_buf *out, struct pb_err *err);
    int (*kv_put)(struct pb_store *s, pbay_str space, pbay_str key, pbay_str value, const pbay_str *expected,
                  int64_t ttl_ms, struct pb_err *err);

    /* Without its jobs: events.c puts them, in the same transaction. */
    int (*event_put)(struct pb_store *s, const struct pb_event_put *in, char id[PB_ID_SIZE], bool *known,
                     struct pb_err *err);
    int (*event_list)(struct pb_store *s, const struct pb_event_filter *f, struct pb_events *out,
                      struct pb_err *err);
    int (*event_get)(struct pb_store *s, pbay_str id, struct pb_event **out, struct pb_err *err);
    int (*cursor_get)(struct pb_store *s, pbay_str connector, pbay_str source, struct pb_buf *out,
                      struct pb_err *err);
    int (*cursor_put)(struct pb_store *s, pbay_str connector, pbay_str source, pbay_str cursor,
                      struct pb_err *err);

    int (*job_put)(struct pb_store *s, const struct pb_job_put *in, char id[PB_ID_SIZE], bool *known,
                   struct pb_err *err);
    int (*job_claim)(struct pb_store *s, const struct pb_claim *c, struct pb_jobs *out, struct pb_err *err);
    int (*job_due)(struct pb_store *s, const pbay_str *queues, size_t n_queues, int64_t *due_ms,
                   struct pb_err *err);
    int (*job_renew)(struct pb_store *s, pbay_str id, int64_t fence, int64_t lease_ms, bool *cancel,
                     struct pb_err *err);
    int (*job_settle)(struct pb_store *s, const struct pb_settle *in, enum pb_job_state *state,
                      struct pb_err *err);
    int (*job_cancel)(struct pb_store *s, pbay_str id, struct pb_err *err);
    int (*job_retry)(struct pb_store *s, pbay_str id, struct pb_err *err);
    int (*job_get)(struct pb_store *s, pbay_str id, pbay_str key, struct pb_job **out, struct pb_err *err);
    int (*job_blob)(struct pb_store *s, pbay_str id, bool result, struct pb_buf *out, struct pb_err *err);
    int (*job_list)(struct pb_store *s, const struct pb_job_filter *f, struct pb_jobs *out,
                    struct pb_err *err);
    int (*job_counts)(struct pb_store *s,
                      void (*each)(void *user, pbay_str queue, enum pb_job_state state, uint64_t n),
                      void *user, struct pb_err *err);

    int (*forfeit)(struct pb_store *s, bool (*gone)(pbay_str owner), uint32_t *n, struct pb_err *err);
    int (*lease_take)(struct pb_store *s, pbay_str name, pbay_str owner, int64_t ttl_ms, int64_t *fence,
                      struct pb_err *err);
    /* ttl_ms 0: let go */
    int (*lease_renew)(struct pb_store *s, pbay_str name, int64_t fence, int64_t ttl_ms, struct pb_err *err);
    int (*window_take)(struct pb_store *s, pbay_str key, uint32_t n, int64_t window_ms, uint32_t want,
                       int64_t *after_ms, struct pb_err *err);
    /* on false: the pause ends; by and why are for the audit, which is not the engine's */
    int (*pause_set)(struct pb_store *s, const struct pb_pause *p, bool on, bool *changed,
                     struct pb_err *err);
    int (*pause_list)(struct pb_store *s, struct pb_pauses *out, struct pb_err *err);
    int (*audit_put)(struct pb_store *s, const struct pb_audit *a, struct pb_err *err);
    int (*audit_list)(struct pb_store *s, int64_t before_seq, uint32_t limit, struct pb_audits *out,
                      struct pb_err *err);
    int (*bundle_put)(struct pb_store *s, pbay_str hash, pbay_str text, struct pb_err *err);
    int (*bundle_get)(struct pb_store *s, pbay_str hash, struct pb_buf *out, struct pb_err *err);
    int (*run_put)(struct pb_store *s, const struct pb_run *in, struct pb_err *err);
    int (*run_get)(struct pb_store *s, pbay_str id, struct pb_run **out, struct pb_err *err);
    int (*run_set)(struct pb_store *s, const struct pb_run *run, struct pb_err *err);
    int (*run_list)(struct pb_store *s, const struct pb_run_filter *f, struct pb_runs *out,
                    struct pb_err *err);
    int (*step_put)(struct pb_store *s, const struct pb_run_step *in, struct pb_err *err);
    int (*step_get)(struct pb_store *s, pbay_str id, struct pb_run_step **out, struct pb_err *err);
    int (*step_set)(struct pb_store *s, const struct pb_run_step *step, struct pb_err *err);
    int (*step_list)(struct pb_store *s, const struct pb_step_filter *f, struct pb_steps *out,
                     struct pb_err *err);
    int (*step_count)(struct pb_store *s, const struct pb_step_filter *f, int64_t *n, struct pb_err *err);
    int (*step_waiting)(struct pb_store *s, uint32_t limit, struct pb_steps *out, struct pb_err *err);
    int (*link_put)(struct pb_store *s, const struct pb_link_state *in, struct pb_err *err);
    int (*link_list)(struct pb_store *s, pbay_str chain, pbay_str link, pbay_str group, pbay_str item,
                     struct pb_link_states *out, struct pb_err *err);
    int (*link_drop)(struct pb_store *s, pbay_str chain, pbay_str link, pbay_str group, pbay_str item,
                     struct pb_err *err);
    int (*decision_put)(struct pb_store *s, const struct pb_decision *in, bool *known, struct pb_err *err);
    int (*decision_known)(struct pb_store *s, pbay_str chain, pbay_str link, pbay_str occurrence, bool *known,
                          struct pb_err *err);
    int (*decision_settle)(struct pb_store *s, int64_t seq, enum pb_outcome outcome, struct pb_err *err);
    int (*decision_list)(struct pb_store *s, const struct pb_decision_filter *f, struct pb_decisions *out,
                         struct pb_err *err);
    int (*node_put)(struct pb_store *s, const struct pb_node *in, struct pb_err *err);
    int (*node_fired)(struct pb_store *s, pbay_str connector, pbay_str subject, int64_t fired_ms,
                      struct pb_err *err);
    int (*node_get)(struct pb_store *s, pbay_str connector, pbay_str subject, struct pb_node **out,
                    struct pb_err *err);
    int (*prune)(struct pb_store *s, const struct pb_retention *keep, bool *more, struct pb_err *err);
};

enum { PB_STORE_MAGIC = 0x5053544f };

/* The head of every engine's own struct. */
struct pb_store {
    uint32_t magic;
    const struct pb_store_engine *engine;
    bool work;  /* a verb of this transaction made or moved a job that waits */
    bool ended; /* or ended one */
    /*
     * Set around a transaction of many parts by one who can do it all again: parts need not be undoable
     * alone, which is most of what they cost. One that fails after it wrote spoils the transaction; then the
     * outermost end fails.
     */
    bool bold;
    void (*on_work)(void *user);
    void *on_work_user;
    void (*on_end)(void *user);
    void *on_end_user;
};

/* The outermost transaction has ended. */
void pb__store_ended(struct pb_store *s, bool committed);

/*
 * A struct and the texts its pbay_str members point to, as one block (pb_free). strs: where the members are.
 */
void *pb__store_pack(const void *src, size_t size, const size_t *strs, size_t n);
struct pb_event *pb__event_pack(const struct pb_event *e);
struct pb_job *pb__job_pack(const struct pb_job *j);
/* Room for one more pointer behind the n of a list. */
void *pb__store_grow(void *items, size_t n, size_t *cap);
/* Errors name the argument: "a queue of 0 bytes; expected 1 to 256". */
int pb__check_name(const char *what, pbay_str s, size_t least, struct pb_err *err);
int pb__check_size(const char *what, pbay_str s, size_t most, struct pb_err *err);

extern const struct pb_store_engine pb_store_sqlite;
