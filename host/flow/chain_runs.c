/* SPDX-License-Identifier: MIT */
/* Deeds by name, and runs as JSON: what commands and pages share. */
#include "base/clock.h"
#include "flow/chain_work.h"

int pb_chain_do(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_host *h,
                const struct pb_chain_wish *w, pb_bundle_fn find, void *user, struct pb_buf *out,
                struct pb_err *err)
{
    char run[PB_ID_SIZE];
    uint32_t n = 0;
    int rc = -1;
    switch (w->deed) {
    case PB_DEED_START:
        if ((rc = pb_chain_start(now, s, h, w->object, w->name, w->who, run, err)) == 0)
            pb_buf_printf(out, "{\"run\":\"%s\"}", run);
        return rc;
    case PB_DEED_RESUME:
        if ((rc = pb_chain_resume(now, s, h, w->object, w->who, &n, err)) == 0)
            pb_buf_printf(out, "{\"steps\":%u}", n);
        return rc;
    case PB_DEED_SKIP: rc = pb_chain_skip(now, s, h, w->object, w->name, w->who, err); break;
    case PB_DEED_CANCEL: rc = pb_chain_cancel(now, s, h, w->object, w->who, err); break;
    case PB_DEED_REPLAY: rc = pb_chain_replay(s, h, w->object, w->who, err); break;
    case PB_DEED_RELEASE:
        if ((rc = pb_chain_release(now, s, h, w->object, w->name, w->held, find, user, &n, err)) == 0)
            pb_buf_printf(out, "{\"fired\":%u}", n);
        return rc;
    }
    if (rc == 0) pb_buf_c(out, "{}");
    return rc;
}

static void put(struct pb_buf *b, const char *name, pbay_str value)
{
    pb_buf_printf(b, "%s\"%s\":", b->n && b->p[b->n - 1] == '{' ? "" : ",", name);
    pb_buf_json(b, value);
}

static void put_time(struct pb_buf *b, const char *name, int64_t ms)
{
    char time[PB_TIME_MAX];
    if (ms) pb_format_time(ms, time);
    put(b, name, pb_str_c(ms ? time : ""));
}

static void one_run(struct pb_buf *b, const struct pb_run *r)
{
    pb_buf_ch(b, '{');
    put(b, "id", r->id);
    put(b, "chain", r->chain);
    put(b, "state", pb_str_c(pb_run_state_name(r->state)));
    put(b, "root", r->root);
    put(b, "event", r->cause);
    put(b, "by", r->by);
    put_time(b, "started", r->started_ms);
    put_time(b, "ended", r->ended_ms);
    put(b, "bundle", r->bundle);
}

static int steps_json(struct pb_store *s, pbay_str run, struct pb_buf *b, struct pb_err *err)
{
    struct pb_steps steps;
    int rc = pb_store_step_list(s, &(struct pb_step_filter){.run = run}, &steps, err);
    pb_buf_c(b, ",\"steps\":[");
    for (size_t i = 0; rc == 0 && i < steps.n; i++) {
        const struct pb_run_step *t = steps.items[i];
        pb_buf_c(b, i ? ",{" : "{");
        put(b, "id", t->id);
        put(b, "name", t->name);
        put(b, "state", pb_str_c(pb_run_step_state_name(t->state)));
        put(b, "link", t->link);
        put(b, "connector", t->connector);
        put(b, "action", t->action);
        put(b, "subject", t->subject);
        put(b, "parent", t->parent);
        put(b, "job", t->job);
        put(b, "occurrence", t->occurrence);
        put(b, "error", t->error);
        put_time(b, "started", t->started_ms);
        put_time(b, "ended", t->ended_ms);
        pb_buf_printf(b, ",\"attempt\":%lld,\"depth\":%lld}", (long long)t->attempt, (long long)t->depth);
    }
    pb_buf_ch(b, ']');
    pb_steps_free(&steps);
    return rc;
}

static int decisions_json(struct pb_store *s, pbay_str run, struct pb_buf *b, struct pb_err *err)
{
    struct pb_decisions list;
    int rc = pb_store_decision_list(s, &(struct pb_decision_filter){.run = run}, &list, err);
    pb_buf_c(b, ",\"decisions\":[");
    for (size_t i = list.n; rc == 0 && i > 0; i--) {
        const struct pb_decision *d = list.items[i - 1];
        pb_buf_c(b, i < list.n ? ",{" : "{");
        put_time(b, "at", d->at_ms);
        put(b, "outcome", pb_str_c(pb_outcome_name(d->outcome)));
        put(b, "link", d->link);
        put(b, "source", d->source);
        put(b, "status", d->status);
        put(b, "why", d->why);
        put(b, "event", d->event);
        pb_buf_ch(b, '}');
    }
    pb_buf_ch(b, ']');
    pb_decisions_free(&list);
    return rc;
}

int pb_chain_runs_json(struct pb_store *s, pbay_str run, const struct pb_run_filter *f, struct pb_buf *b,
                       struct pb_err *err)
{
    struct pb_runs runs;
    struct pb_run *r;
    int rc;
    if (run.n) {
        if (pb_store_run_get(s, run, &r, err) != 0) return -1;
        one_run(b, r);
        pb_free(r);
        rc = steps_json(s, run, b, err) != 0 || decisions_json(s, run, b, err) != 0 ? -1 : 0;
        pb_buf_c(b, "}\n");
        return rc;
    }
    rc = pb_store_run_list(s, f, &runs, err);
    pb_buf_c(b, "{\"runs\":[");
    for (size_t i = 0; rc == 0 && i < runs.n; i++) {
        if (i) pb_buf_ch(b, ',');
        one_run(b, runs.items[i]);
        pb_buf_ch(b, '}');
    }
    pb_runs_free(&runs);
    pb_buf_c(b, "]}\n");
    return rc;
}
