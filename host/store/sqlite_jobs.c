/* SPDX-License-Identifier: MIT */
/* Jobs: put, settle, and what people do with them. Claiming is in sqlite_claim.c. */
#include <string.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/sqlite.h"

enum { LANE_USED_GRAIN_MS = 24 * 3600 * 1000 };

/* ------------------------------------------------------------------------ put */

static int lane_of(struct pb_sq *s, const struct pb_job_put *in, int64_t *lane, struct pb_err *err)
{
    sqlite3_stmt *st;
    int64_t now = pb_now_ms(), n = in->limit_key.n ? in->limit_n : 0, ms = in->limit_key.n ? in->limit_ms : 0;
    int rc = pb_sq_find(s, PB_SQ_LANE_GET, &st, err, "tttt", in->queue, in->connector, in->function,
                        in->limit_key);
    if (rc < 0) return -1;
    if (rc == 0) {
        if (pb_sq_write(s, PB_SQ_LANE_PUT, err, "ttttiii", in->queue, in->connector, in->function,
                        in->limit_key, n, ms, now) != 0)
            return -1;
        *lane = sqlite3_last_insert_rowid(s->db);
        return 0;
    }
    *lane = sqlite3_column_int64(st, 0);
    bool same = sqlite3_column_int64(st, 1) == n && sqlite3_column_int64(st, 2) == ms &&
                sqlite3_column_int64(st, 3) > now - LANE_USED_GRAIN_MS;
    pb_sq_done(st);
    return same ? 0 : pb_sq_write(s, PB_SQ_LANE_SET, err, "iiii", *lane, n, ms, now);
}

static int put(struct pb_sq *s, const struct pb_job_put *in, char id[PB_ID_SIZE], bool *known,
               struct pb_err *err)
{
    sqlite3_stmt *st;
    int64_t lane;
    *known = false;
    if (in->key.n) {
        int rc = pb_sq_find(s, PB_SQ_JOB_OF_KEY, &st, err, "t", in->key);
        if (rc < 0) return -1;
        if (rc == 1) {
            memcpy(id, pb_sq_col(st, 0).p, PB_ID_LEN);
            id[PB_ID_LEN] = 0;
            pb_sq_done(st);
            *known = true;
            return 0;
        }
    }
    if (lane_of(s, in, &lane, err) != 0) return -1;
    pb_id_make(id);
    int64_t now = pb_now_ms(), held = in->lease_ms > 0;
    if (pb_sq_write(s, PB_SQ_JOB_PUT, err, "tittTttiiiiiiitzzi", pb_str(id, PB_ID_LEN), lane, in->action,
                    in->args, in->key, in->cause, in->run, held, (int64_t)in->repeat,
                    (int64_t)in->max_attempts, in->run_at_ms, (int64_t)in->version, now, in->keep_ms,
                    in->owner, held ? now : 0, held ? now + in->lease_ms : 0, (int64_t)in->tell) != 0)
        return -1;
    int64_t seq = sqlite3_last_insert_rowid(s->db);
    if (in->input.n && pb_sq_write(s, PB_SQ_BLOB_PUT, err, "ib", 2 * seq, in->input) != 0) return -1;
    s->head.work = true;
    return 0;
}

int pb_sq_job_put(struct pb_store *store, const struct pb_job_put *in, char id[PB_ID_SIZE], bool *known,
                  struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s, put(s, in, id, known, err), err);
}

/* ------------------------------------------------------------------------ the end of a lease */

static int job_state(struct pb_sq *s, pbay_str id, int64_t *seq, enum pb_job_state *state, struct pb_err *err)
{
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_JOB_STATE, &st, err, "t", id);
    if (rc < 0) return -1;
    if (rc == 0) return pb_fail(err, PBAY_NOT_FOUND, "no job \"%.*s\"", PB_FMT(id));
    *seq = sqlite3_column_int64(st, 0);
    *state = (enum pb_job_state)sqlite3_column_int(st, 1);
    pb_sq_done(st);
    return 0;
}

/* Why a verb with this fence found nothing. Returns -1. */
static int not_yours(struct pb_sq *s, pbay_str id, int64_t fence, struct pb_err *err)
{
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_JOB_STATE, &st, err, "t", id);
    if (rc < 0) return -1;
    if (rc == 0) return pb_fail(err, PBAY_NOT_FOUND, "no job \"%.*s\"", PB_FMT(id));
    enum pb_job_state state = (enum pb_job_state)sqlite3_column_int(st, 1);
    int64_t now = sqlite3_column_int64(st, 2);
    pb_sq_done(st);
    return pb_fail(err, PBAY_ABORTED, "job %.*s is %s under fence %lld, not running under %lld", PB_FMT(id),
                   pb_job_state_name(state), (long long)now, (long long)fence);
}

static int renew(struct pb_sq *s, pbay_str id, int64_t fence, int64_t lease_ms, bool *cancel,
                 struct pb_err *err)
{
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_JOB_RENEW, &st, err, "tii", id, fence, pb_now_ms() + lease_ms);
    if (rc < 0) return -1;
    if (rc == 0) return not_yours(s, id, fence, err);
    *cancel = sqlite3_column_int(st, 0) != 0;
    pb_sq_done(st);
    return 0;
}

int pb_sq_job_renew(struct pb_store *store, pbay_str id, int64_t fence, int64_t lease_ms, bool *cancel,
                    struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s, renew(s, id, fence, lease_ms, cancel, err), err);
}

static int settle_row(struct pb_sq *s, const struct pb_settle *in, struct pb_err *err)
{
    const struct pb_err *why = in->why;
#define HEAD                                                                                                 \
    in->id, in->fence, (int64_t)in->state, (int64_t)in->phase, (int64_t)in->effect, in->run_at_ms,           \
        pb_now_ms(), (int64_t)in->uncount, (int64_t)in->got_on, in->handle
    if (why)
        return pb_sq_write(s, PB_SQ_JOB_SETTLE, err, "tiiiiiiiihiitti", HEAD, (int64_t)why->code,
                           (int64_t)why->vendor_status, pb_str_c(why->vendor_code), pb_str_c(why->msg),
                           (int64_t)0);
    return pb_sq_write(s, PB_SQ_JOB_SETTLE, err, "tiiiiiiiihnnnni", HEAD, (int64_t)(in->result != NULL));
#undef HEAD
}

static int settle(struct pb_sq *s, const struct pb_settle *in, enum pb_job_state *state, struct pb_err *err)
{
    int64_t seq;
    *state = in->state;
    if (settle_row(s, in, err) != 0) return -1;
    if (sqlite3_changes(s->db) == 0) return not_yours(s, in->id, in->fence, err);
    /* What would be tried again was perhaps cancelled meanwhile. */
    if (in->state == PB_JOB_WAITING && in->phase == PB_JOB_RUN && job_state(s, in->id, &seq, state, err) != 0)
        return -1;
    if (in->state == PB_JOB_DONE && pb_sq_write(s, PB_SQ_INPUT_DROP, err, "t", in->id) != 0) return -1;
    if (in->result && pb_sq_write(s, PB_SQ_RESULT_PUT, err, "tb", in->id, *in->result) != 0) return -1;
    if (*state == PB_JOB_WAITING)
        s->head.work = true;
    else
        s->head.ended = true;
    return 0;
}

int pb_sq_job_settle(struct pb_store *store, const struct pb_settle *in, enum pb_job_state *state,
                     struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s, settle(s, in, state, err), err);
}

/* ------------------------------------------------------------------------ for everybody */

int pb_sq_job_tell(struct pb_sq *s, pbay_str id, struct pb_err *err)
{
    char told[PB_ID_SIZE];
    bool known;
    const struct pb_job_put in = {.queue = PB_STR(PB_JOB_TELL_QUEUE),
                                  .action = PB_STR("ended"),
                                  .args = id,
                                  .run_at_ms = pb_now_ms(),
                                  .max_attempts = PB_JOB_ATTEMPTS,
                                  .keep_ms = 1};
    return put(s, &in, told, &known, err);
}

static int cancel(struct pb_sq *s, pbay_str id, struct pb_err *err)
{
    sqlite3_stmt *st;
    int64_t seq;
    enum pb_job_state before, after;
    if (job_state(s, id, &seq, &before, err) != 0 ||
        pb_sq_write(s, PB_SQ_JOB_CANCEL, err, "ti", id, pb_now_ms()) != 0)
        return -1;
    int rc = pb_sq_find(s, PB_SQ_JOB_STATE, &st, err, "t", id);
    if (rc != 1) return rc;
    after = (enum pb_job_state)sqlite3_column_int(st, 1);
    bool tell = sqlite3_column_int(st, 3) != 0 && after != before && after == PB_JOB_CANCELLED;
    pb_sq_done(st);
    s->head.ended = true;
    return tell ? pb_sq_job_tell(s, id, err) : 0;
}

int pb_sq_job_cancel(struct pb_store *store, pbay_str id, struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s, cancel(s, id, err), err);
}

static int retry(struct pb_sq *s, pbay_str id, struct pb_err *err)
{
    int64_t seq;
    enum pb_job_state state = PB_JOB_WAITING;
    if (job_state(s, id, &seq, &state, err) != 0) return -1;
    if (state == PB_JOB_RUNNING || state == PB_JOB_DONE)
        return pb_fail(err, PBAY_FAILED_PRECONDITION,
                       "job %.*s is %s; only one that ended otherwise, or waits, is retried", PB_FMT(id),
                       pb_job_state_name(state));
    s->head.work = true;
    return pb_sq_write(s, PB_SQ_JOB_RETRY, err, "ti", id, pb_now_ms());
}

int pb_sq_job_retry(struct pb_store *store, pbay_str id, struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s, retry(s, id, err), err);
}

struct pb_job *pb_sq_job_row(sqlite3_stmt *st, pbay_str input)
{
    int at = 0;
#define STR pb_sq_col(st, at++)
#define INT sqlite3_column_int64(st, at++)
    struct pb_job j = {.input = input};
    pbay_str *const strs[] = {&j.id,    &j.queue,  &j.connector, &j.function,   &j.action,
                              &j.args,  &j.key,    &j.cause,     &j.run,        &j.limit_key,
                              &j.owner, &j.handle, &j.error,     &j.vendor_code};
    for (size_t i = 0; i < PB_COUNTOF(strs); i++) *strs[i] = STR;
    j.state = (enum pb_job_state)INT;
    j.phase = (enum pb_job_phase)INT;
    j.repeat = (enum pb_job_repeat)INT;
    j.effect = (uint32_t)INT;
    j.attempt = (uint32_t)INT;
    j.max_attempts = (uint32_t)INT;
    j.tries = (uint32_t)INT;
    int64_t *const ints[] = {&j.fence,    &j.created_ms, &j.run_at_ms, &j.lease_until_ms,
                             &j.first_ms, &j.ended_ms,   &j.expires_ms};
    for (size_t i = 0; i < PB_COUNTOF(ints); i++) *ints[i] = INT;
    j.code = (int32_t)INT;
    j.vendor_status = (int32_t)INT;
    j.version = (int32_t)INT;
    j.cancel = INT != 0;
    j.input_n = (uint64_t)INT;
    j.result_n = (uint64_t)INT;
#undef STR
#undef INT
    return pb__job_pack(&j);
}

int pb_sq_job_get(struct pb_store *store, pbay_str id, pbay_str key, struct pb_job **out, struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, id.n ? PB_SQ_JOB_BY_ID : PB_SQ_JOB_BY_KEY, &st, err, "t", id.n ? id : key);
    if (rc < 0) return -1;
    if (rc == 0)
        return pb_fail(err, PBAY_NOT_FOUND, "no job %s\"%.*s\"", id.n ? "" : "with the key ",
                       PB_FMT(id.n ? id : key));
    *out = pb_sq_job_row(st, PB_STR(""));
    pb_sq_done(st);
    return 0;
}

int pb_sq_job_blob(struct pb_store *store, pbay_str id, bool result, struct pb_buf *out, struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_JOB_BLOB, &st, err, "tii", id, (int64_t)result, pb_now_ms());
    if (rc < 0) return -1;
    if (rc == 0)
        return pb_fail(err, PBAY_NOT_FOUND, "job \"%.*s\" has no %s, or no longer", PB_FMT(id),
                       result ? "result" : "input");
    pb_buf_str(out, pb_sq_col(st, 0));
    pb_sq_done(st);
    return 0;
}

int pb_sq_job_list(struct pb_store *store, const struct pb_job_filter *f, struct pb_jobs *out,
                   struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    sqlite3_stmt *st;
    int64_t before = INT64_MAX;
    enum pb_job_state state;
    if (f->before.n && job_state(s, f->before, &before, &state, err) != 0) return -1;
    int rc = pb_sq_find(s, PB_SQ_JOB_LIST, &st, err, "iitttti", before, (int64_t)f->states, f->queue,
                        f->connector, f->action, f->run, (int64_t)f->limit);
    while (rc == 1) {
        out->items = pb__store_grow(out->items, out->n, &out->cap);
        out->items[out->n++] = pb_sq_job_row(st, PB_STR(""));
        rc = pb_sq_step(s, st, "read", err);
    }
    if (st) pb_sq_done(st);
    return rc;
}

int pb_sq_job_counts(struct pb_store *store,
                     void (*each)(void *user, pbay_str queue, enum pb_job_state state, uint64_t n),
                     void *user, struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_JOB_COUNTS, &st, err, "");
    while (rc == 1) {
        each(user, pb_sq_col(st, 0), (enum pb_job_state)sqlite3_column_int(st, 1),
             (uint64_t)sqlite3_column_int64(st, 2));
        rc = pb_sq_step(s, st, "read", err);
    }
    if (st) pb_sq_done(st);
    return rc;
}
