/* SPDX-License-Identifier: MIT */
/* Steps end, or are tried again; runs end with them; what waited for room starts. */
#include "base/clock.h"
#include "flow/chain_priv.h"

#define LINK_OVER PB_STR("@over")

/* ------------------------------------------------------------------------ attempts that are no news */

int pb__chain_over(struct pb_world *w, pbay_str chain, pbay_str occurrence, const char *why)
{
    struct pb_link_state in = {chain, LINK_OVER, pb_str("", 0), occurrence, pb_str_c(why), pb_now_ms()};
    return occurrence.n ? pb_store_link_put(w->s, &in, w->err) : 0;
}

int pb__chain_is_over(struct pb_world *w, pbay_str chain, pbay_str occurrence, pbay_str *why)
{
    struct pb_link_states list;
    *why = pb_str("", 0);
    if (!occurrence.n) return 0;
    int rc = pb_store_link_list(w->s, chain, LINK_OVER, pb_str("", 0), occurrence, &list, w->err);
    if (rc == 0 && list.n) *why = pb_arena_str(&w->mem, list.items[0]->value);
    pb_link_states_free(&list);
    return rc;
}

int pb__chain_job_over(struct pb_world *w, const struct pb_run_step *t, const char *why, bool stop)
{
    struct pb_job *job = NULL;
    char key[PB_CHAIN_KEY_SIZE], id[PB_ID_SIZE];
    if (!t->job.n) return 0;
    if (pb_store_job_cancel(w->s, t->job, w->err) != 0) return w->err->code == PBAY_NOT_FOUND ? 0 : -1;
    if (pb_store_job_get(w->s, t->job, pb_str("", 0), &job, w->err) != 0)
        return w->err->code == PBAY_NOT_FOUND ? 0 : -1;
    snprintf(key, sizeof key, "%.*s-%lld", PB_FMT(t->id), (long long)t->attempt);
    int rc = pb__chain_over(w, t->chain, pb_str_c(key), why);
    if (rc == 0) rc = pb__chain_over(w, t->chain, job->handle, why);
    if (rc == 0 && stop && t->kind == PB_STEP_RELOAD && job->handle.n) {
        /* It runs over there. A connector that has no such action lets it. */
        const char *target = pb_arena_printf(&w->mem, "%.*s.cancel_reload", PB_FMT(t->connector));
        struct pb_buf args = {0};
        pb_buf_c(&args, "{\"id\":");
        pb_buf_json(&args, job->handle);
        pb_buf_ch(&args, '}');
        snprintf(key, sizeof key, "%.*s-%lld-stop", PB_FMT(t->id), (long long)t->attempt);
        struct pb_job_put put = {.queue = t->connector,
                                 .connector = t->connector,
                                 .action = pb_str_c(target),
                                 .args = pb_buf_view(&args),
                                 .key = pb_str_c(key),
                                 .run = t->run};
        rc = w->h->put_action(w->h->user, w->s, &put, id, w->err);
        if (rc != 0 && (w->err->code == PBAY_NOT_FOUND || w->err->code == PBAY_INVALID_ARGUMENT)) rc = 0;
        pb_buf_free(&args);
    }
    pb_free(job);
    return rc;
}

/* ------------------------------------------------------------------------ a step ends */

/* What an attempt waits for the next: from the bundle that its run has, when it is the present one. */
static int64_t backoff(struct pb_world *w, const struct pb_run_step *t)
{
    struct pb_retry r = {0, 30000, 600000, 2};
    const struct pb_chain *chain = w->now ? pb_chains_chain(w->now->chains, t->chain) : NULL;
    const struct pb_chain_link *l = chain ? pb_chains_link(w->now->chains, chain, t->link) : NULL;
    const struct pb_chain_app *app =
        w->now && t->kind == PB_STEP_RELOAD ? pb_chains_app(w->now->chains, t->name) : NULL;
    if (app && app->reload.has_retry) r = app->reload.retry;
    for (uint32_t i = 0; l && i < l->n_steps; i++)
        if (pb_str_eq(l->steps[i].name, t->name) && l->steps[i].reload.has_retry)
            r = l->steps[i].reload.retry;
    double ms = (double)r.backoff_ms;
    for (int64_t i = 1; i < t->attempt && ms < (double)r.cap_ms; i++) ms *= r.factor;
    return ms < (double)r.cap_ms ? (int64_t)ms : r.cap_ms;
}

/* The next attempt, and why there is one. */
static int once_more(struct pb_world *w, struct pb_run_step *t, pbay_str event, const char *status,
                     const char *why, int64_t delay_ms)
{
    bool known;
    struct pb_decision d = {.event = event,
                            .run = t->run,
                            .chain = t->chain,
                            .link = t->link,
                            .source = t->name,
                            .status = pb_str_c(status),
                            .why = pb_str_c(why),
                            .outcome = PB_RETRIED,
                            .at_ms = pb_now_ms()};
    if (pb_store_decision_put(w->s, &d, &known, w->err) != 0) return -1;
    if (w->h->decided) w->h->decided(w->h->user, &d);
    if (pb__chain_launch(w, t, event, delay_ms) != 0) return -1;
    return pb_store_step_set(w->s, t, w->err);
}

static int retry_step(struct pb_world *w, struct pb_run_step *t, pbay_str occurrence, pbay_str message,
                      pbay_str event)
{
    int64_t delay = backoff(w, t);
    const char *why = pb_arena_printf(&w->mem, "attempt %lld of %lld failed%s%.*s; again in %s",
                                      (long long)t->attempt, (long long)t->max_attempts,
                                      message.n ? ": " : "", (int)(message.n > 400 ? 400 : message.n),
                                      message.p ? message.p : "", pb__chain_ago(w, delay));
    if (pb__chain_over(w, t->chain, occurrence, "it is of an attempt that failed, and another follows") != 0)
        return -1;
    t->error = message;
    return once_more(w, t, event, "error", why, delay > 0 ? delay : 1);
}

int pb__chain_step_again(struct pb_world *w, struct pb_run_step *t, pbay_str event)
{
    return once_more(w, t, event, "pending", "a reload of it was pending, and has ended: once more", 0);
}

int pb__chain_step_end(struct pb_world *w, struct pb_run_step *t, uint32_t status, pbay_str occurrence,
                       pbay_str message, pbay_str event, bool *again)
{
    struct pb_run *run = pb__chain_run(w, t->run);
    bool coalesced = *again;
    *again = false;
    if (!run) return w->err->code == PBAY_NOT_FOUND ? 0 : -1;
    if (message.n > 2000) message.n = pb_utf8_floor(message, 2000);
    if (t->kind == PB_STEP_RELOAD) w->room = true;
    if (status == PB_ENDED_ERROR && t->attempt < t->max_attempts && run->state == PB_RUN_RUNNING) {
        *again = true;
        return retry_step(w, t, occurrence, message, event);
    }
    bool skipped = pb_str_starts(occurrence, PB_STR("skip-")) || coalesced;
    t->state = skipped                       ? PB_RUN_STEP_SKIPPED
               : status == PB_ENDED_OK       ? PB_RUN_STEP_OK
               : status == PB_ENDED_CANCELED ? PB_RUN_STEP_CANCELED
                                             : PB_RUN_STEP_ERROR;
    t->occurrence = occurrence;
    if (message.n || t->state == PB_RUN_STEP_OK) t->error = message;
    t->ended_ms = pb_now_ms();
    w->room = true;
    run->open--;
    return pb_store_step_set(w->s, t, w->err);
}

/* ------------------------------------------------------------------------ the end of a transaction */

static int failed_steps(struct pb_world *w, const struct pb_run *run, bool *failed)
{
    struct pb_steps steps;
    struct pb_step_filter f = {.run = run->id, .states = 1 << PB_RUN_STEP_ERROR | 1 << PB_RUN_STEP_CANCELED};
    int rc = pb_store_step_list(w->s, &f, &steps, w->err);
    *failed = false;
    for (size_t i = 0; rc == 0 && i < steps.n; i++) *failed |= steps.items[i]->kind != PB_STEP_NOTIFY;
    pb_steps_free(&steps);
    return rc;
}

/* The end of a run is an event, when a link listens to it. */
static int tell_end(struct pb_world *w, const struct pb_run *run)
{
    uint32_t n = 0;
    if (w->now) pb_chains_on_chain(w->now->chains, run->chain, &n);
    if (!n || !w->h->put_event) return 0;
    struct pb_buf data = {0};
    static const char *const words[] = {"unknown", "ok", "error", "canceled"};
    pb_buf_printf(&data, "{\"status\":\"%s\",\"run\":\"%.*s\",\"root\":", words[run->state], PB_FMT(run->id));
    pb_buf_json(&data, run->root);
    pb_buf_printf(&data, ",\"duration_ms\":%lld}", (long long)(run->ended_ms - run->started_ms));
    const char *key = pb_arena_printf(&w->mem, "run/%.*s/%lld", PB_FMT(run->id), (long long)run->ended_ms);
    pbay_str keys[] = {pb_str_c(key)};
    struct pb_event_put e = {.connector = PB_STR(PB_CHAIN_SOURCE),
                             .type = PB_STR("chain"),
                             .subject = run->chain,
                             .data = pb_buf_view(&data),
                             .time_ms = run->ended_ms,
                             .keys = keys,
                             .n_keys = 1};
    int rc = w->h->put_event(w->h->user, w->s, &e, w->err);
    pb_buf_free(&data);
    return rc;
}

int pb__chain_canceled(struct pb_world *w, struct pb_run *run)
{
    run->state = PB_RUN_CANCELED;
    run->ended_ms = pb_now_ms();
    run->open = 0;
    w->room = true;
    return tell_end(w, run);
}

static int write_runs(struct pb_world *w)
{
    for (size_t i = 0; i < w->n_runs; i++) {
        struct pb_run *r = w->runs[i].run;
        bool failed, over = r->open <= 0 && r->state == PB_RUN_RUNNING;
        if (over) {
            if (failed_steps(w, r, &failed) != 0) return -1;
            r->state = failed ? PB_RUN_FAILED : PB_RUN_OK;
            r->ended_ms = pb_now_ms();
            r->open = 0;
        }
        if ((w->runs[i].begun ? pb_store_run_put : pb_store_run_set)(w->s, r, w->err) != 0) return -1;
        if (over && tell_end(w, r) != 0) return -1;
    }
    return 0;
}

static int start_waiting(struct pb_world *w)
{
    struct pb_steps list;
    struct pb_map full = {0}; /* whose limits are reached: they are not asked again */
    int rc = pb_store_step_waiting(w->s, PB_LIST_MAX, &list, w->err);
    for (size_t i = 0; rc == 0 && i < list.n; i++) {
        struct pb_run_step *t = list.items[i];
        const char *why;
        pbay_str chain = pb_str_c(pb_arena_printf(&w->mem, " %.*s", PB_FMT(t->chain))), whose;
        if (pb_map_get(&full, t->connector) || pb_map_get(&full, chain)) continue;
        if ((rc = pb__chain_room(w, t, 1, &why, &whose)) != 0) break;
        if (why && whose.n) pb_map_set(&full, whose, w);
        if (why) continue;
        struct pb_run *run = pb__chain_run(w, t->run);
        rc = run ? pb__chain_launch(w, t, pb_str("", 0), 0) : -1;
        if (rc == 0) rc = pb_store_step_set(w->s, t, w->err);
        if (rc == 0 && t->state == PB_RUN_STEP_ERROR) run->open--;
    }
    pb_map_free(&full);
    pb_steps_free(&list);
    return rc;
}

int pb__chain_end(struct pb_world *w, int rc)
{
    if (rc == 0 && w->room) rc = start_waiting(w);
    if (rc == 0) rc = write_runs(w);
    for (size_t i = 0; i < w->n_runs; i++)
        if (!w->runs[i].begun) pb_free(w->runs[i].run);
    pb_free(w->runs);
    pb_pauses_free(&w->pauses);
    pb_arena_free(&w->mem);
    return rc;
}

int pb_chain_notified(struct pb_store *s, const struct pb_job *job, const struct pb_err *why,
                      const struct pb_bundle *now, const struct pb_chain_host *h, struct pb_err *err)
{
    struct pb_world w = {.s = s, .h = h, .now = now, .err = err};
    struct pb_run_step *t = NULL;
    bool again = false;
    if (job->key.n <= PB_ID_LEN || !pb_id_valid(pb_str(job->key.p, PB_ID_LEN))) return 0; /* an alert */
    int rc = pb_store_step_get(s, pb_str(job->key.p, PB_ID_LEN), &t, err);
    if (rc != 0) return err->code == PBAY_NOT_FOUND ? 0 : -1;
    if ((1u << t->state) & PB_RUN_STEP_LIVE)
        rc = pb__chain_step_end(&w, t, why ? PB_ENDED_ERROR : PB_ENDED_OK, job->id,
                                pb_str_c(why ? why->msg : ""), pb_str("", 0), &again);
    pb_free(t);
    return pb__chain_end(&w, rc);
}
