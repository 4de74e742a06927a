/* SPDX-License-Identifier: MIT */
/*
 * Durable work: verbs of the store (store/store.h says what holds for all of them). store/runner.h runs it.
 *
 * A job is run by one runner at a time: a claim gives a lease, which the runner renews, and a fence, a number
 * that grows with every claim. When the lease ends without a word, the next claim takes the job over, and
 * verbs with the old fence are refused with ABORTED. What became of the outside world meanwhile is not known
 * then (effect maybe), and the job's `repeat` decides what comes next; so it does after a failure that may
 * have had an effect.
 *
 * Glossary
 *   phase     what the next claim is for: run it; check whether it was done (repeat = check); poll what it
 * started limit     at most limit_n starts within any limit_ms, for all jobs with the same limit_key,
 * whatever their queue parked    nobody can tell whether it was done: waits for a person, who retries or
 * cancels it dead      given up; the last error is kept
 */
#pragma once

#include <stdbool.h>

#include "base/id.h"
#include "store/store.h"

enum pb_job_state {
    PB_JOB_WAITING,
    PB_JOB_RUNNING,
    PB_JOB_DONE,
    PB_JOB_DEAD,
    PB_JOB_CANCELLED,
    PB_JOB_PARKED,
    PB_JOB_STATES
};
enum pb_job_phase { PB_JOB_RUN, PB_JOB_CHECK, PB_JOB_POLL };
/* May it be done twice: yes; yes, with the same key; only after a lookup said that it was not done. */
enum pb_job_repeat { PB_REPEAT_SAFE, PB_REPEAT_KEYED, PB_REPEAT_CHECK };

enum {
    PB_JOB_BLOB_MAX = 64 << 20, /* bytes of an input or a result */
    PB_JOB_ARGS_MAX = 1 << 20,
    PB_JOB_HANDLE_MAX = 4096,
    PB_JOB_ATTEMPTS = 8, /* when a job does not say */
    PB_JOB_CLAIM_MAX = 256,
    PB_JOB_QUEUES_MAX = 64, /* of one claim */
};
#define PB_RESULT_KEEP_MS (INT64_C(12) * 3600 * 1000) /* when a job does not say */

struct pb_job {
    pbay_str id, queue, connector, function, action;
    pbay_str args;  /* JSON text: names of secrets, never secrets */
    pbay_str key;   /* idempotency key; empty: none, then the id serves */
    pbay_str cause; /* an event's id */
    pbay_str run;   /* of a chain */
    pbay_str limit_key, owner, handle;
    pbay_str error, vendor_code; /* of the last failure */
    pbay_str input;              /* of a claim; elsewhere pb_store_job_input */
    uint64_t input_n, result_n;  /* bytes there are */
    enum pb_job_state state;
    enum pb_job_phase phase;
    enum pb_job_repeat repeat;
    uint32_t effect; /* PBAY_EFFECT_* of the attempts so far */
    uint32_t attempt,
        max_attempts; /* runs begun; how many there may be, and as many checks or polls that fail */
    uint32_t tries;   /* claims of a check or poll since the last that got on */
    int64_t fence;
    int64_t created_ms, run_at_ms, lease_until_ms, first_ms /* of the first attempt */, ended_ms,
        expires_ms;              /* 0: not */
    int32_t code, vendor_status; /* of the last failure */
    int32_t version;
    bool cancel; /* asked for while it runs */
};

struct pb_job_put {
    pbay_str queue, action;       /* 1..PB_STORE_NAME_MAX bytes */
    pbay_str connector, function; /* may be empty; what pausing one holds back */
    pbay_str args, key, cause, run;
    pbay_str input;
    pbay_str limit_key; /* empty: no limit */
    uint32_t limit_n;   /* with a limit_key: at least 1; of the last put with this key and queue */
    int64_t limit_ms;
    int64_t run_at_ms; /* 0: now */
    enum pb_job_repeat repeat;
    uint32_t max_attempts; /* 0: PB_JOB_ATTEMPTS */
    int64_t keep_ms;       /* the result, from its end; 0: PB_RESULT_KEEP_MS */
    int32_t version;       /* of args and input, for who wrote them */
    pbay_str owner;        /* with lease_ms > 0: the caller runs it himself, under fence 1 */
    int64_t lease_ms;
    /*
     * When it ends without a turn (cancelled while nobody ran it, or its lease ended for the last time), a
     * job of the queue PB_JOB_TELL_QUEUE tells of it, put in the same transaction: its args are the id.
     */
    bool tell;
};
#define PB_JOB_TELL_QUEUE "host"

/*
 * Enqueue. With a key that a job has already: that job, whatever its state, and *known. id is the job's
 * either way. Errors: INVALID_ARGUMENT (sizes).
 */
int pb_store_job_put(struct pb_store *s, const struct pb_job_put *in, char id[PB_ID_SIZE], bool *known,
                     struct pb_err *err);

struct pb_jobs {
    struct pb_job **items; /* one block each: take one out and pb_free it, or all with pb_jobs_free */
    size_t n, cap;
};
void pb_jobs_free(struct pb_jobs *list);

struct pb_claim {
    const pbay_str *queues; /* NULL: any */
    size_t n_queues;
    pbay_str owner;   /* who, for people to read */
    int64_t lease_ms; /* at least 1 */
    uint32_t max;     /* 1..PB_JOB_CLAIM_MAX */
};

/*
 * Take jobs that are due: fair between queues, connectors and limits, the longest due first within one. None
 * is taken whose queue, connector or function is paused, nor one more start than its limit allows. Free *out,
 * also after -1.
 */
int pb_store_job_claim(struct pb_store *s, const struct pb_claim *c, struct pb_jobs *out, struct pb_err *err);
/* When the next claim for these queues may find something: UTC ms, INT64_MAX for never as things stand. */
int pb_store_job_due(struct pb_store *s, const pbay_str *queues, size_t n_queues, int64_t *due_ms,
                     struct pb_err *err);

/*
 * The verbs of the one who holds the lease. Errors: ABORTED (it was taken over, cancelled or ended; nothing
 * of it is yours any more), NOT_FOUND.
 */
/* Keep it for lease_ms from now. *cancel: somebody asked for its end. */
int pb_store_job_renew(struct pb_store *s, pbay_str id, int64_t fence, int64_t lease_ms, bool *cancel,
                       struct pb_err *err);
/* Done. The result, if any, can be read until it expires; the input is dropped. */
int pb_store_job_done(struct pb_store *s, pbay_str id, int64_t fence, pbay_str result, struct pb_err *err);
/*
 * Failed: again later, parked or dead, as store/retry.h decides from the error, the repeat rule and the
 * attempts. `job` is as it was claimed; *state is what became of it.
 */
int pb_store_job_fail(struct pb_store *s, const struct pb_job *job, const struct pb_err *why,
                      enum pb_job_state *state, struct pb_err *err);
/* It goes on elsewhere, or still does: poll it by its handle in after_ms. */
int pb_store_job_started(struct pb_store *s, pbay_str id, int64_t fence, pbay_str handle, int64_t after_ms,
                         struct pb_err *err);
/* Neither tried nor failed: back into its queue as before this claim, due in after_ms. */
int pb_store_job_release(struct pb_store *s, const struct pb_job *job, int64_t after_ms, struct pb_err *err);
/* In the check phase: it was not done (run it again, if it may), or nobody can tell (park it, saying why). */
int pb_store_job_not_done(struct pb_store *s, const struct pb_job *job, struct pb_err *err);
int pb_store_job_park(struct pb_store *s, const struct pb_job *job, pbay_str why, struct pb_err *err);

/*
 * For everybody. cancel: at once when nobody runs it; else its runner is told, and it ends when he does.
 * Ended already (done, dead, cancelled): nothing. retry: a dead, parked or cancelled one runs again, attempts
 * counted anew; a waiting one is due now. Errors: NOT_FOUND, FAILED_PRECONDITION (retry of what runs or is
 * done).
 */
int pb_store_job_cancel(struct pb_store *s, pbay_str id, struct pb_err *err);
int pb_store_job_retry(struct pb_store *s, pbay_str id, struct pb_err *err);
/* By id or by key (the other one empty). One block: pb_free. Errors: NOT_FOUND. */
int pb_store_job_get(struct pb_store *s, pbay_str id, pbay_str key, struct pb_job **out, struct pb_err *err);
/* Append. Errors: NOT_FOUND (no such job, none, dropped or expired). */
int pb_store_job_input(struct pb_store *s, pbay_str id, struct pb_buf *out, struct pb_err *err);
int pb_store_job_result(struct pb_store *s, pbay_str id, struct pb_buf *out, struct pb_err *err);

struct pb_job_filter {
    uint32_t states;                        /* bits 1 << PB_JOB_*; 0: all */
    pbay_str queue, connector, action, run; /* empty: any */
    pbay_str before; /* a job's id: only what was put before it; empty: from the newest on */
    uint32_t limit;  /* 0 or more than PB_LIST_MAX: that many */
};
/* Newest first. Free *out, also after -1. Errors: NOT_FOUND (`before`). */
int pb_store_job_list(struct pb_store *s, const struct pb_job_filter *f, struct pb_jobs *out,
                      struct pb_err *err);

/* How many jobs of a queue wait, run, are dead or parked; each(user) once per queue and state that has some.
 */
int pb_store_job_counts(struct pb_store *s,
                        void (*each)(void *user, pbay_str queue, enum pb_job_state state, uint64_t n),
                        void *user, struct pb_err *err);

/*
 * The trace that requests of a job belong to (https://www.w3.org/TR/trace-context/#traceparent-header), as
 * text in out: its id is the run's, or the job's own outside of runs, without the dashes, so that who has one
 * finds the others; the parent is the job. Empty for ids that are none of the store's.
 */
enum { PB_JOB_TRACE = 64 };
pbay_str pb_job_trace(const struct pb_job *job, char out[PB_JOB_TRACE]);

/* "waiting"; and back: false when it is none. */
const char *pb_job_state_name(enum pb_job_state state);
bool pb_job_state_parse(pbay_str s, enum pb_job_state *out);
