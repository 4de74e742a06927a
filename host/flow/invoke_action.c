/* SPDX-License-Identifier: MIT */
#include "flow/invoke_action.h"

#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"

struct pb_invoked_action {
    struct pb_durable *durable;
    struct pb_arena mem;
    struct pb_job_put put;
    struct pb_store_op op;
    struct pb_job_watch watch;
    struct pb_timer limit;
    struct pb_buf result;
    char id[PB_ID_SIZE];
    bool known, busy, dropped; /* busy: the store has it */
    pb_invoked_action_fn done;
    void *user;
};

static void free_action(struct pb_invoked_action *a)
{
    pb_arena_free(&a->mem);
    pb_buf_free(&a->result);
    pb_free(a);
}

void pb_invoked_action_drop(struct pb_invoked_action *a)
{
    pb_timer_cancel(&a->limit);
    pb_durable_unwatch(a->durable, &a->watch);
    a->dropped = true;
    if (!a->busy) free_action(a);
}

static void tell(struct pb_invoked_action *a, const struct pb_err *err)
{
    if (!a->dropped) a->done(a->user, err, err ? PB_STR("") : pb_buf_view(&a->result));
    pb_invoked_action_drop(a);
}

/* [store thread] */
static int read_result(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_invoked_action *a = user;
    a->result.n = 0;
    return pb_store_job_result(s, pb_str_c(a->id), &a->result, err);
}

static void result_read(void *user, const struct pb_err *err)
{
    struct pb_invoked_action *a = user;
    a->busy = false;
    tell(a, err);
}

static void ended(void *user, const struct pb_job *job, const struct pb_err *err)
{
    struct pb_invoked_action *a = user;
    struct pb_err why = {0};
    if (err) {
        why = *err;
    } else if (job->state == PB_JOB_DONE) {
        a->busy = true;
        a->op = (struct pb_store_op){.run = read_result, .done = result_read, .user = a, .reads = true};
        pb_store_post(pb_durable_store(a->durable), &a->op);
        return;
    } else if (job->state == PB_JOB_CANCELLED) {
        pb_fail(&why, PBAY_CANCELLED, "the action was cancelled");
    } else if (job->state == PB_JOB_PARKED) {
        pb_fail(&why, PBAY_UNKNOWN, "nobody can tell whether it was done: %.*s", PB_FMT(job->error));
        why.effect = PBAY_EFFECT_MAYBE;
    } else {
        pb_fail(&why, job->code ? job->code : PBAY_UNKNOWN, "%.*s", PB_FMT(job->error));
        why.effect = job->effect;
        why.vendor_status = job->vendor_status;
    }
    tell(a, &why);
}

/* [store thread] */
static int put_job(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_invoked_action *a = user;
    return pb_store_job_put(s, &a->put, a->id, &a->known, err);
}

static void job_put(void *user, const struct pb_err *err)
{
    struct pb_invoked_action *a = user;
    a->busy = false;
    if (err || a->dropped) {
        tell(a, err);
        return;
    }
    a->watch = (struct pb_job_watch){.ended = ended, .user = a};
    memcpy(a->watch.id, a->id, sizeof a->id);
    pb_durable_watch(a->durable, &a->watch);
}

static void too_late(void *user)
{
    struct pb_invoked_action *a = user;
    struct pb_err err = {0};
    pb_fail(&err, PBAY_DEADLINE_EXCEEDED, "the deadline passed; the action goes on as job %s", a->id);
    err.effect = PBAY_EFFECT_MAYBE;
    tell(a, &err);
}

struct pb_invoked_action *pb_invoked_action_new(struct pb_actions *actions, struct pb_durable *durable,
                                                const struct pb_invoke_request *r, pb_invoked_action_fn done,
                                                void *user, struct pb_err *err)
{
    if (!actions || !durable) {
        pb_fail(err, PBAY_UNAVAILABLE, "there is no store here");
        return NULL;
    }
    struct pb_invoked_action *a = pb_zalloc(sizeof *a);
    a->durable = durable;
    a->done = done;
    a->user = user;
    pbay_str target = pb_arena_str(&a->mem, r->target), json = pb_arena_str(&a->mem, r->json);
    if (pb_actions_job(actions, target, json, &a->put, err)) {
        free_action(a);
        return NULL;
    }
    /* The connector's own key space, as that of pbay.host.job/1. */
    if (r->key.n)
        a->put.key =
            pb_str_c(pb_arena_printf(&a->mem, "%.*s/%.*s", PB_FMT(a->put.connector), PB_FMT(r->key)));
    a->limit = (struct pb_timer){.fn = too_late, .user = a};
    if (r->deadline_ns != PB_NO_DEADLINE)
        pb_timer_set_at(pb_durable_loop(durable), &a->limit, r->deadline_ns);
    a->busy = true;
    a->op = (struct pb_store_op){.run = put_job, .done = job_put, .user = a};
    pb_store_post(pb_durable_store(durable), &a->op);
    return a;
}
