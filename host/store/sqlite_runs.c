/* SPDX-License-Identifier: MIT */
/* Runs of chains: bundles, runs, steps, what links remember, decisions, nodes. */
#include <stddef.h>
#include <string.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/sqlite.h"

#define SELF struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head)

/* Append one packed row to a list. */
#define ADD(out, row, strs)                                                                                  \
    do {                                                                                                     \
        (out)->items = pb__store_grow((out)->items, (out)->n, &(out)->cap);                                  \
        (out)->items[(out)->n++] = pb__store_pack(&(row), sizeof(row), strs, PB_COUNTOF(strs));              \
    } while (0)

static int not_found(const char *what, pbay_str id, struct pb_err *err)
{
    return pb_fail(err, PBAY_NOT_FOUND, "no %s \"%.*s\"", what, PB_FMT(id));
}

/* ------------------------------------------------------------------------ bundles */

int pb_sq_bundle_put(struct pb_store *store, pbay_str hash, pbay_str text, struct pb_err *err)
{
    SELF;
    if (pb_sq_begin(s, err) != 0) return -1;
    /* Mostly it is there, and large: to touch the row is to write all of it. The run that is begun in the
     * same transaction keeps it. */
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_BUNDLE_THERE, &st, err, "t", hash);
    if (rc > 0) {
        pb_sq_done(st);
        rc = 0;
    } else if (rc == 0)
        rc = pb_sq_write(s, PB_SQ_BUNDLE_PUT, err, "tbi", hash, text, pb_now_ms());
    return pb_sq_end(s, rc, err);
}

int pb_sq_bundle_get(struct pb_store *store, pbay_str hash, struct pb_buf *out, struct pb_err *err)
{
    SELF;
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_BUNDLE_GET, &st, err, "t", hash);
    if (rc < 0) return -1;
    if (rc == 0) return not_found("bundle", hash, err);
    pb_buf_str(out, pb_sq_col(st, 0));
    pb_sq_done(st);
    return 0;
}

/* ------------------------------------------------------------------------ runs */

static const size_t run_strs[] = {offsetof(struct pb_run, id),     offsetof(struct pb_run, chain),
                                  offsetof(struct pb_run, bundle), offsetof(struct pb_run, root),
                                  offsetof(struct pb_run, cause),  offsetof(struct pb_run, by)};

static struct pb_run run_row(sqlite3_stmt *st)
{
    return (struct pb_run){.id = pb_sq_col(st, 0),
                           .chain = pb_sq_col(st, 1),
                           .bundle = pb_sq_col(st, 2),
                           .root = pb_sq_col(st, 3),
                           .cause = pb_sq_col(st, 4),
                           .by = pb_sq_col(st, 5),
                           .state = (enum pb_run_state)sqlite3_column_int(st, 6),
                           .started_ms = sqlite3_column_int64(st, 7),
                           .ended_ms = sqlite3_column_int64(st, 8),
                           .open = sqlite3_column_int64(st, 9)};
}

int pb_sq_run_put(struct pb_store *store, const struct pb_run *in, struct pb_err *err)
{
    SELF;
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s,
                     pb_sq_write(s, PB_SQ_RUN_PUT, err, "ttttttiizi", in->id, in->chain, in->bundle, in->root,
                                 in->cause, in->by, (int64_t)in->state, in->started_ms, in->ended_ms,
                                 in->open),
                     err);
}

int pb_sq_run_get(struct pb_store *store, pbay_str id, struct pb_run **out, struct pb_err *err)
{
    SELF;
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_RUN_GET, &st, err, "t", id);
    if (rc < 0) return -1;
    if (rc == 0) return not_found("run", id, err);
    struct pb_run row = run_row(st);
    *out = pb__store_pack(&row, sizeof row, run_strs, PB_COUNTOF(run_strs));
    pb_sq_done(st);
    return 0;
}

/* After an UPDATE of one row. */
static int changed(struct pb_sq *s, int rc, const char *what, pbay_str id, struct pb_err *err)
{
    return rc == 0 && sqlite3_changes(s->db) == 0 ? not_found(what, id, err) : rc;
}

int pb_sq_run_set(struct pb_store *store, const struct pb_run *run, struct pb_err *err)
{
    SELF;
    if (pb_sq_begin(s, err) != 0) return -1;
    int rc =
        pb_sq_write(s, PB_SQ_RUN_SET, err, "tizi", run->id, (int64_t)run->state, run->ended_ms, run->open);
    return pb_sq_end(s, changed(s, rc, "run", run->id, err), err);
}

int pb_sq_run_list(struct pb_store *store, const struct pb_run_filter *f, struct pb_runs *out,
                   struct pb_err *err)
{
    SELF;
    sqlite3_stmt *st;
    int64_t before = INT64_MAX;
    int rc;
    if (f->before.n) {
        rc = pb_sq_find(s, PB_SQ_RUN_SEQ, &st, err, "t", f->before);
        if (rc < 0) return -1;
        if (rc == 0) return not_found("run", f->before, err);
        before = sqlite3_column_int64(st, 0);
        pb_sq_done(st);
    }
    rc = pb_sq_find(s, PB_SQ_RUN_LIST, &st, err, "ititii", before, f->chain, (int64_t)f->states, f->app,
                    f->since_ms, f->until_ms);
    for (uint32_t n = 0; rc == 1 && n < f->limit; n++) {
        struct pb_run row = run_row(st);
        ADD(out, row, run_strs);
        rc = pb_sq_step(s, st, "read", err);
    }
    if (st) pb_sq_done(st);
    return rc < 0 ? -1 : 0;
}

/* ------------------------------------------------------------------------ steps */

static const size_t step_strs[] = {
    offsetof(struct pb_run_step, id),         offsetof(struct pb_run_step, run),
    offsetof(struct pb_run_step, chain),      offsetof(struct pb_run_step, link),
    offsetof(struct pb_run_step, name),       offsetof(struct pb_run_step, connector),
    offsetof(struct pb_run_step, action),     offsetof(struct pb_run_step, subject),
    offsetof(struct pb_run_step, args),       offsetof(struct pb_run_step, job),
    offsetof(struct pb_run_step, occurrence), offsetof(struct pb_run_step, parent),
    offsetof(struct pb_run_step, error)};

static struct pb_run_step step_row(sqlite3_stmt *st)
{
    return (struct pb_run_step){.id = pb_sq_col(st, 0),
                                .run = pb_sq_col(st, 1),
                                .chain = pb_sq_col(st, 2),
                                .link = pb_sq_col(st, 3),
                                .name = pb_sq_col(st, 4),
                                .connector = pb_sq_col(st, 5),
                                .action = pb_sq_col(st, 6),
                                .subject = pb_sq_col(st, 7),
                                .args = pb_sq_col(st, 8),
                                .job = pb_sq_col(st, 9),
                                .occurrence = pb_sq_col(st, 10),
                                .parent = pb_sq_col(st, 11),
                                .error = pb_sq_col(st, 12),
                                .state = (enum pb_run_step_state)sqlite3_column_int(st, 13),
                                .kind = sqlite3_column_int64(st, 14),
                                .attempt = sqlite3_column_int64(st, 15),
                                .max_attempts = sqlite3_column_int64(st, 16),
                                .depth = sqlite3_column_int64(st, 17),
                                .weight = sqlite3_column_int64(st, 18),
                                .created_ms = sqlite3_column_int64(st, 19),
                                .started_ms = sqlite3_column_int64(st, 20),
                                .ended_ms = sqlite3_column_int64(st, 21)};
}

int pb_sq_step_put(struct pb_store *store, const struct pb_run_step *in, struct pb_err *err)
{
    SELF;
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s,
                     pb_sq_write(s, PB_SQ_STEP_PUT, err, "tttttttttttttiiiiiiizz", in->id, in->run, in->chain,
                                 in->link, in->name, in->connector, in->action, in->subject, in->args,
                                 in->job, in->occurrence, in->parent, in->error, (int64_t)in->state, in->kind,
                                 in->attempt, in->max_attempts, in->depth, in->weight, pb_now_ms(),
                                 in->started_ms, in->ended_ms),
                     err);
}

int pb_sq_step_get(struct pb_store *store, pbay_str id, struct pb_run_step **out, struct pb_err *err)
{
    SELF;
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_STEP_GET, &st, err, "t", id);
    if (rc < 0) return -1;
    if (rc == 0) return not_found("step", id, err);
    struct pb_run_step row = step_row(st);
    *out = pb__store_pack(&row, sizeof row, step_strs, PB_COUNTOF(step_strs));
    pb_sq_done(st);
    return 0;
}

int pb_sq_step_set(struct pb_store *store, const struct pb_run_step *in, struct pb_err *err)
{
    SELF;
    if (pb_sq_begin(s, err) != 0) return -1;
    int rc =
        pb_sq_write(s, PB_SQ_STEP_SET, err, "ttttttiizz", in->id, in->subject, in->args, in->job,
                    in->occurrence, in->error, (int64_t)in->state, in->attempt, in->started_ms, in->ended_ms);
    return pb_sq_end(s, changed(s, rc, "step", in->id, err), err);
}

static int steps(struct pb_sq *s, sqlite3_stmt *st, int rc, uint32_t limit, struct pb_steps *out,
                 struct pb_err *err)
{
    for (uint32_t n = 0; rc == 1 && n < limit; n++) {
        struct pb_run_step row = step_row(st);
        ADD(out, row, step_strs);
        rc = pb_sq_step(s, st, "read", err);
    }
    if (st) pb_sq_done(st);
    return rc < 0 ? -1 : 0;
}

/* The index that serves: a run's steps, an app's live ones, else the live ones, else all. */
static enum pb_sq_stmt step_stmt(const struct pb_step_filter *f, bool count)
{
    bool live = (f->states & ~(uint32_t)PB_RUN_STEP_LIVE) == 0;
    if (f->run.n) return count ? PB_SQ_STEP_COUNT_RUN : PB_SQ_STEP_LIST_RUN;
    if (live && f->name.n) return count ? PB_SQ_STEP_COUNT_NAME : PB_SQ_STEP_LIST_NAME;
    if (live && !count && f->connector.n && f->subject.n) return PB_SQ_STEP_LIST_SUBJECT;
    if (live) return count ? PB_SQ_STEP_COUNT_LIVE : PB_SQ_STEP_LIST_LIVE;
    return count ? PB_SQ_STEP_COUNT : PB_SQ_STEP_LIST;
}

int pb_sq_step_list(struct pb_store *store, const struct pb_step_filter *f, struct pb_steps *out,
                    struct pb_err *err)
{
    SELF;
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, step_stmt(f, false), &st, err, "tttttii", f->run, f->chain, f->connector,
                        f->subject, f->name, (int64_t)f->states, (int64_t)f->limit);
    return steps(s, st, rc, f->limit, out, err);
}

int pb_sq_step_count(struct pb_store *store, const struct pb_step_filter *f, int64_t *n, struct pb_err *err)
{
    SELF;
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, step_stmt(f, true), &st, err, "tttttii", f->run, f->chain, f->connector,
                        f->subject, f->name, (int64_t)f->states, (int64_t)1);
    *n = 0;
    if (rc < 0) return -1;
    if (rc == 1) *n = sqlite3_column_int64(st, 0);
    pb_sq_done(st);
    return 0;
}

int pb_sq_step_waiting(struct pb_store *store, uint32_t limit, struct pb_steps *out, struct pb_err *err)
{
    SELF;
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_STEP_WAITING, &st, err, "i", (int64_t)limit);
    return steps(s, st, rc, limit, out, err);
}

/* ------------------------------------------------------------------------ links */

int pb_sq_link_put(struct pb_store *store, const struct pb_link_state *in, struct pb_err *err)
{
    SELF;
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s,
                     pb_sq_write(s, PB_SQ_LINK_PUT, err, "ttttbi", in->chain, in->link, in->group, in->item,
                                 in->value, in->at_ms),
                     err);
}

int pb_sq_link_list(struct pb_store *store, pbay_str chain, pbay_str link, pbay_str group, pbay_str item,
                    struct pb_link_states *out, struct pb_err *err)
{
    static const size_t strs[] = {offsetof(struct pb_link_state, chain), offsetof(struct pb_link_state, link),
                                  offsetof(struct pb_link_state, group), offsetof(struct pb_link_state, item),
                                  offsetof(struct pb_link_state, value)};
    SELF;
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_LINK_LIST, &st, err, "tttt", chain, link, group, item);
    for (; rc == 1; rc = pb_sq_step(s, st, "read", err)) {
        struct pb_link_state row = {
            chain, link, group, pb_sq_col(st, 0), pb_sq_col(st, 1), sqlite3_column_int64(st, 2)};
        ADD(out, row, strs);
    }
    if (st) pb_sq_done(st);
    return rc;
}

int pb_sq_link_drop(struct pb_store *store, pbay_str chain, pbay_str link, pbay_str group, pbay_str item,
                    struct pb_err *err)
{
    SELF;
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s, pb_sq_write(s, PB_SQ_LINK_DROP, err, "tttt", chain, link, group, item), err);
}

/* ------------------------------------------------------------------------ decisions, nodes */

int pb_sq_decision_put(struct pb_store *store, const struct pb_decision *in, bool *known, struct pb_err *err)
{
    SELF;
    if (pb_sq_begin(s, err) != 0) return -1;
    int rc = pb_sq_write(s, PB_SQ_DECISION_PUT, err, "ittttTttti", pb_now_ms(), in->event, in->run, in->chain,
                         in->link, in->occurrence, in->source, in->status, in->why, (int64_t)in->outcome);
    if (rc == 0) *known = sqlite3_changes(s->db) == 0;
    return pb_sq_end(s, rc, err);
}

int pb_sq_decision_known(struct pb_store *store, pbay_str chain, pbay_str link, pbay_str occurrence,
                         bool *known, struct pb_err *err)
{
    SELF;
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_DECISION_KNOWN, &st, err, "ttt", chain, link, occurrence);
    *known = rc == 1;
    if (rc == 1) pb_sq_done(st);
    return rc < 0 ? -1 : 0;
}

int pb_sq_decision_settle(struct pb_store *store, int64_t seq, enum pb_outcome outcome, struct pb_err *err)
{
    SELF;
    if (pb_sq_begin(s, err) != 0) return -1;
    int rc = pb_sq_write(s, PB_SQ_DECISION_SETTLE, err, "ii", seq, (int64_t)outcome);
    if (rc == 0 && sqlite3_changes(s->db) == 0)
        rc = pb_fail(err, PBAY_FAILED_PRECONDITION, "decision %lld is not held", (long long)seq);
    return pb_sq_end(s, rc, err);
}

int pb_sq_decision_list(struct pb_store *store, const struct pb_decision_filter *f, struct pb_decisions *out,
                        struct pb_err *err)
{
    static const size_t strs[] = {
        offsetof(struct pb_decision, event),      offsetof(struct pb_decision, run),
        offsetof(struct pb_decision, chain),      offsetof(struct pb_decision, link),
        offsetof(struct pb_decision, occurrence), offsetof(struct pb_decision, source),
        offsetof(struct pb_decision, status),     offsetof(struct pb_decision, why)};
    SELF;
    sqlite3_stmt *st;
    enum pb_sq_stmt which = f->run.n     ? PB_SQ_DECISION_LIST_RUN
                            : f->event.n ? PB_SQ_DECISION_LIST_EVENT
                                         : PB_SQ_DECISION_LIST;
    int rc = pb_sq_find(s, which, &st, err, "ittttii", f->before_seq, f->event, f->run, f->chain, f->link,
                        (int64_t)f->outcomes, (int64_t)f->limit);
    for (; rc == 1; rc = pb_sq_step(s, st, "read", err)) {
        struct pb_decision row = {.seq = sqlite3_column_int64(st, 0),
                                  .at_ms = sqlite3_column_int64(st, 1),
                                  .event = pb_sq_col(st, 2),
                                  .run = pb_sq_col(st, 3),
                                  .chain = pb_sq_col(st, 4),
                                  .link = pb_sq_col(st, 5),
                                  .occurrence = pb_sq_col(st, 6),
                                  .source = pb_sq_col(st, 7),
                                  .status = pb_sq_col(st, 8),
                                  .why = pb_sq_col(st, 9),
                                  .outcome = (enum pb_outcome)sqlite3_column_int(st, 10)};
        ADD(out, row, strs);
    }
    if (st) pb_sq_done(st);
    return rc;
}

int pb_sq_node_put(struct pb_store *store, const struct pb_node *in, struct pb_err *err)
{
    SELF;
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s,
                     pb_sq_write(s, PB_SQ_NODE_PUT, err, "ttttiii", in->connector, in->subject, in->status,
                                 in->occurrence, in->at_ms, in->ok_ms, in->fired_ms),
                     err);
}

int pb_sq_node_fired(struct pb_store *store, pbay_str connector, pbay_str subject, int64_t fired_ms,
                     struct pb_err *err)
{
    SELF;
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s, pb_sq_write(s, PB_SQ_NODE_FIRED, err, "tti", connector, subject, fired_ms), err);
}

int pb_sq_node_get(struct pb_store *store, pbay_str connector, pbay_str subject, struct pb_node **out,
                   struct pb_err *err)
{
    static const size_t strs[] = {offsetof(struct pb_node, connector), offsetof(struct pb_node, subject),
                                  offsetof(struct pb_node, status), offsetof(struct pb_node, occurrence)};
    SELF;
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_NODE_GET, &st, err, "tt", connector, subject);
    if (rc != 1) return rc;
    struct pb_node row = {connector,
                          subject,
                          pb_sq_col(st, 0),
                          pb_sq_col(st, 1),
                          sqlite3_column_int64(st, 2),
                          sqlite3_column_int64(st, 3),
                          sqlite3_column_int64(st, 4)};
    *out = pb__store_pack(&row, sizeof row, strs, PB_COUNTOF(strs));
    pb_sq_done(st);
    return 0;
}
