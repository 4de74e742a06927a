/* SPDX-License-Identifier: MIT */
/* Runs and steps: begun, started when there is room, tried again, ended. */
#include "base/clock.h"
#include "flow/chain_priv.h"
#include "guard/digest.h"

enum { ALERT_EVERY_MS = 15 * 60 * 1000, KEY_SIZE = 64 };
#define LINK_OVER PB_STR("@over")

/* ------------------------------------------------------------------------ runs */

static struct pb_run *keep_run(struct pb_world *w, struct pb_run *r, bool begun)
{
    PB_GROW(w->runs, w->cap_runs, w->n_runs + 1);
    w->runs[w->n_runs++] = (struct pb_known_run){r, begun};
    return r;
}

struct pb_run *pb__chain_run(struct pb_world *w, pbay_str id)
{
    struct pb_run *r;
    for (size_t i = 0; i < w->n_runs; i++)
        if (pb_str_eq(w->runs[i].run->id, id)) return w->runs[i].run;
    if (pb_store_run_get(w->s, id, &r, w->err) != 0) return NULL;
    return keep_run(w, r, false);
}

int pb__chain_begin(struct pb_world *w, const struct pb_bundle *b, const struct pb_chain *chain,
                    pbay_str root, pbay_str cause, pbay_str by, struct pb_run **out)
{
    char id[PB_ID_SIZE];
    /* One event begins one run of a chain, however many of its links fire. */
    for (size_t i = 0; i < w->n_runs && cause.n; i++) {
        struct pb_run *r = w->runs[i].run;
        if (!pb_str_eq(r->chain, chain->name) || !pb_str_eq(r->cause, cause) || !pb_str_eq(r->root, root))
            continue;
        *out = r;
        return 0;
    }
    pbay_str shown =
        root.n > PB_STORE_NAME_MAX ? pb_str(root.p, pb_utf8_floor(root, PB_STORE_NAME_MAX)) : root;
    if (pb_store_bundle_put(w->s, pb_str_c(b->hash), pb_buf_view(&b->text), w->err) != 0) return -1;
    pb_id_make(id);
    /* It is written once, with what came of it, at the end of the transaction. */
    struct pb_run *r = pb_arena_alloc(&w->mem, sizeof *r);
    *r = (struct pb_run){.id = pb_arena_str(&w->mem, pb_str(id, PB_ID_LEN)),
                         .chain = pb_arena_str(&w->mem, chain->name),
                         .bundle = pb_arena_str(&w->mem, pb_str_c(b->hash)),
                         .root = pb_arena_str(&w->mem, shown),
                         .cause = pb_arena_str(&w->mem, cause),
                         .by = pb_arena_str(&w->mem, by),
                         .started_ms = pb_now_ms()};
    *out = keep_run(w, r, true);
    return 0;
}

/* ------------------------------------------------------------------------ jobs */

int pb__chain_message(struct pb_world *w, pbay_str target, pbay_str text, pbay_str key, pbay_str run,
                      pbay_str cause, char id[PB_ID_SIZE])
{
    char own[KEY_SIZE];
    bool known;
    struct pb_buf args = {0};
    if (!key.n) {
        /* The same alert is not sent again for a while. */
        uint8_t sum[PB_SHA256_SIZE];
        pb_sha256(text, sum);
        int n = snprintf(own, sizeof own, "alert-%lld-", (long long)(pb_now_ms() / ALERT_EVERY_MS));
        for (int i = 0; i < 10; i++) n += snprintf(own + n, sizeof own - (size_t)n, "%02x", sum[i]);
        key = pb_str_c(own);
    }
    pb_buf_c(&args, "{\"text\":");
    pb_buf_json(&args, text);
    pb_buf_c(&args, "}");
    struct pb_job_put job = {.queue = PB_STR(PB_NOTIFY_QUEUE),
                             .action = target,
                             .args = pb_buf_view(&args),
                             .key = key,
                             .cause = cause,
                             .run = run,
                             .repeat = PB_REPEAT_SAFE,
                             .max_attempts = 5,
                             .limit_key = target,
                             .limit_n = 30,
                             .limit_ms = 60000};
    int rc = pb_store_job_put(w->s, &job, id, &known, w->err);
    pb_buf_free(&args);
    return rc;
}

int pb__chain_launch(struct pb_world *w, struct pb_run_step *t, pbay_str cause, int64_t delay_ms)
{
    char key[KEY_SIZE], id[PB_ID_SIZE];
    int64_t now = pb_now_ms();
    int n = snprintf(key, sizeof key, "%.*s-%lld", PB_FMT(t->id), (long long)t->attempt + 1);
    int rc;
    if (t->kind == PB_STEP_NOTIFY) {
        rc = pb__chain_message(w, t->name, t->args, pb_str(key, (size_t)n), t->run, cause, id);
    } else {
        const char *target = pb_arena_printf(&w->mem, "%.*s.%.*s", PB_FMT(t->connector), PB_FMT(t->action));
        struct pb_job_put job = {.queue = t->connector,
                                 .connector = t->connector,
                                 .action = pb_str_c(target),
                                 .args = t->args,
                                 .key = pb_str(key, (size_t)n),
                                 .cause = cause,
                                 .run = t->run,
                                 .run_at_ms = delay_ms ? now + delay_ms : 0};
        rc = w->h->put_action(w->h->user, w->s, &job, id, w->err);
        if (rc != 0 && w->err->code != PBAY_UNAVAILABLE) {
            /* There is no such action, or not with these arguments: the step has failed. */
            t->state = PB_RUN_STEP_ERROR;
            t->error = pb_arena_str(&w->mem, pb_str_c(w->err->msg));
            t->ended_ms = now;
            t->attempt++;
            return 0;
        }
    }
    if (rc != 0) return -1;
    t->job = pb_arena_str(&w->mem, pb_str_c(id));
    t->attempt++;
    t->occurrence = pb_str("", 0);
    t->state = PB_RUN_STEP_ACTIVE;
    t->started_ms = now;
    return 0;
}

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
    char key[KEY_SIZE], id[PB_ID_SIZE];
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

/* ------------------------------------------------------------------------ room */

static int active(struct pb_world *w, pbay_str chain, pbay_str connector, pbay_str name, int64_t *n)
{
    struct pb_step_filter f = {
        .chain = chain, .connector = connector, .name = name, .states = 1 << PB_RUN_STEP_ACTIVE};
    return pb_store_step_count(w->s, &f, n, w->err);
}

/*
 * Is there room for one more of its chain, of its connector, and is its app free? *why: what it waits for;
 * *full: whose limit that is, a connector's name or a chain's after a blank; empty: it is the app. live: of
 * steps with its name, anywhere; what has none is not looked for again.
 */
static int room_for(struct pb_world *w, const struct pb_run_step *t, int64_t live, const char **why,
                    pbay_str *full)
{
    const pbay_str none = {"", 0};
    int64_t n;
    *why = NULL;
    *full = none;
    if (t->kind == PB_STEP_NOTIFY) return 0;
    if (t->kind == PB_STEP_RELOAD && live) {
        if (active(w, none, t->connector, t->name, &n) != 0) return -1;
        if (n) *why = "it is being reloaded, and will be once more";
    }
    const struct pb_chain *chain = w->now ? pb_chains_chain(w->now->chains, t->chain) : NULL;
    if (!*why && chain && chain->in_flight) {
        if (active(w, t->chain, none, none, &n) != 0) return -1;
        if (n >= chain->in_flight) {
            *why = pb_arena_printf(&w->mem, "its chain runs %u at once", chain->in_flight);
            *full = pb_str_c(pb_arena_printf(&w->mem, " %.*s", PB_FMT(t->chain)));
        }
    }
    const struct pb_chain_graph *g = w->now ? pb_chains_graph(w->now->chains) : NULL;
    for (uint32_t i = 0; !*why && g && i < g->n_limits; i++) {
        if (!pb_str_eq(g->limits[i].connector, t->connector)) continue;
        if (active(w, none, t->connector, none, &n) != 0) return -1;
        if (n >= g->limits[i].in_flight) {
            *why = pb_arena_printf(&w->mem, "its connector runs %u at once", g->limits[i].in_flight);
            *full = t->connector;
        }
    }
    return 0;
}

/* Is there a limit that it counts for? */
static bool is_limited(const struct pb_world *w, const struct pb_run_step *t)
{
    const struct pb_chain_graph *g =
        w->now && t->kind != PB_STEP_NOTIFY ? pb_chains_graph(w->now->chains) : NULL;
    const struct pb_chain *chain = g ? pb_chains_chain(w->now->chains, t->chain) : NULL;
    bool limited = chain && chain->in_flight;
    for (uint32_t i = 0; g && i < g->n_limits; i++)
        limited |= pb_str_eq(g->limits[i].connector, t->connector);
    return limited;
}

/* ------------------------------------------------------------------------ a step begins */

static void reload_args(struct pb_world *w, const struct pb_chain_app *app, const struct pb_chain_step *s,
                        struct pb_buf *b, pbay_str *id)
{
    const struct pb_reload_options *mine = &s->reload, *all = &app->reload;
    int partial = mine->partial >= 0 ? mine->partial : all->partial;
    int weight = mine->weight ? mine->weight : all->weight;
    pbay_str variables = mine->variables.n ? mine->variables : all->variables;
    struct pb_buf known = {0};
    pb_chain_app_id(w->s, app, &known);
    *id = pb_arena_str(&w->mem, pb_buf_view(&known));
    pb_buf_free(&known);
    /* By name, when it is known by name: what it was found by may be gone, and its connector keeps names too.
     */
    if (app->id.n) {
        pb_buf_c(b, "{\"appId\":");
        pb_buf_json(b, app->id);
    } else {
        pb_buf_c(b, "{\"name\":");
        pb_buf_json(b, app->title);
        if (app->space.n) {
            pb_buf_c(b, ",\"space\":");
            pb_buf_json(b, app->space);
        }
    }
    if (partial >= 0) pb_buf_printf(b, ",\"partial\":%s", partial ? "true" : "false");
    if (weight) pb_buf_printf(b, ",\"weight\":%d", weight);
    if (variables.n) pb_buf_printf(b, ",\"variables\":%.*s", PB_FMT(variables));
    if (mine->pending.n || all->pending.n) {
        pb_buf_c(b, ",\"pending\":");
        pb_buf_json(b, mine->pending.n ? mine->pending : all->pending);
    }
    pb_buf_ch(b, '}');
}

void pb__chain_say(struct pb_buf *out, const struct pb_firing *f, pbay_str message)
{
    const struct pb_chain *c = &pb_chains_graph(f->bundle->chains)->chains[f->link->chain];
    if (f->link->kind == PB_LINK_DEADLINE)
        pb_buf_printf(out, "Chain \"%.*s\": \"%.*s\" has not finished in time.", PB_FMT(c->name),
                      PB_FMT(f->source));
    else
        pb_buf_printf(out, "Chain \"%.*s\": \"%.*s\" ended %.*s.", PB_FMT(c->name), PB_FMT(f->source),
                      PB_FMT(f->status));
    if (message.n) pb_buf_printf(out, " %.*s", (int)(message.n > 1000 ? 1000 : message.n), message.p);
}

static void say(struct pb_buf *said, const struct pb_run_step *t, const char *what)
{
    if (said->n > 800) return;
    pb_buf_printf(said, "%s%s %.*s%s%s", said->n ? ", " : "",
                  t->kind == PB_STEP_NOTIFY ? "notifies" : "starts", PB_FMT(t->name), what ? ": " : "",
                  what ? what : "");
}

/* An app that chains reloaded a moment ago is left alone. *skip: so it is. */
static int app_cooled(struct pb_world *w, const struct pb_firing *f, const struct pb_chain_app *app,
                      pbay_str id, bool *skip)
{
    struct pb_node *was, is = {.connector = app->connector, .subject = id, .fired_ms = pb_now_ms()};
    *skip = false;
    if (!id.n) return 0;
    if (!app->cooldown_ms) return pb_store_node_fired(w->s, app->connector, id, is.fired_ms, w->err);
    if (pb_store_node_get(w->s, app->connector, id, &was, w->err) != 0) return -1;
    int64_t ago = was ? is.fired_ms - was->fired_ms : INT64_MAX;
    int rc = 0;
    if (was && was->fired_ms && ago < app->cooldown_ms && -ago <= app->cooldown_ms) {
        *skip = true;
        rc = pb__chain_settle(w, f, PB_SKIPPED, false,
                              "%.*s: cooldown: a chain reloaded it %s ago, and may every %s",
                              PB_FMT(app->name), pb__chain_ago(w, ago), pb__chain_ago(w, app->cooldown_ms));
    } else {
        if (was) {
            is.status = was->status;
            is.occurrence = was->occurrence;
            is.at_ms = was->at_ms;
            is.ok_ms = was->ok_ms;
        }
        rc = pb_store_node_put(w->s, &is, w->err);
    }
    pb_free(was);
    return rc;
}

/* How many steps with its name have not ended, and does one of this run wait already? Then once is enough. */
static int others(struct pb_world *w, const struct pb_run *run, const struct pb_chain_step *s, int64_t *live,
                  bool *waits)
{
    struct pb_step_filter all = {.name = s->name, .states = PB_RUN_STEP_LIVE};
    struct pb_step_filter f = {.run = run->id, .name = s->name, .states = 1 << PB_RUN_STEP_WAITING};
    int64_t n = 0;
    if (pb_store_step_count(w->s, &all, live, w->err) != 0) return -1;
    if (*live && pb_store_step_count(w->s, &f, &n, w->err) != 0) return -1;
    *waits = n > 0;
    return 0;
}

int pb__chain_step(struct pb_world *w, const struct pb_firing *f, const struct pb_chain_step *s,
                   pbay_str args, struct pb_run *run, struct pb_buf *said)
{
    const struct pb_chain_graph *g = pb_chains_graph(f->bundle->chains);
    const struct pb_chain_app *app = s->kind == PB_STEP_RELOAD ? &g->apps[s->app] : NULL;
    struct pb_buf b = {0};
    char id[PB_ID_SIZE];
    bool skip = false;
    int64_t live = 0;
    const char *why = NULL;
    pbay_str full;
    struct pb_run_step t = {.run = run->id,
                            .chain = run->chain,
                            .link = f->link->name,
                            .name = s->name,
                            .connector = s->connector,
                            .action = s->action,
                            .args = args,
                            .parent = f->step,
                            .kind = s->kind,
                            .max_attempts = 1,
                            .depth = f->depth + 1,
                            .weight = 1};
    const struct pb_retry *retry = s->reload.has_retry            ? &s->reload.retry
                                   : app && app->reload.has_retry ? &app->reload.retry
                                                                  : NULL;
    if (retry) t.max_attempts = 1 + (int64_t)retry->max;
    if (app) {
        reload_args(w, app, s, &b, &t.subject);
        t.args = pb_buf_view(&b);
        t.action = PB_STR("reload");
        t.weight = s->reload.weight ? s->reload.weight : app->reload.weight ? app->reload.weight : 1;
    } else if (s->kind == PB_STEP_NOTIFY && !args.n) {
        pb__chain_say(&b, f, pb_str("", 0));
        t.args = pb_buf_view(&b);
    }
    int rc = app ? app_cooled(w, f, app, t.subject, &skip) : 0;
    if (rc == 0 && !skip && s->kind == PB_STEP_RELOAD && (rc = others(w, run, s, &live, &skip)) == 0 && skip)
        say(said, &t, "it waits already");
    if (rc == 0 && !skip) rc = room_for(w, &t, live, &why, &full);
    /* Room that a step has just left is of those that have waited for it: it stands in line with them. */
    bool queued = w->room && is_limited(w, &t);
    if (rc == 0 && !skip) {
        pb_id_make(id);
        t.id = pb_str(id, PB_ID_LEN);
        if (!why && !queued) rc = pb__chain_launch(w, &t, f->event, 0);
        if (rc == 0) rc = pb_store_step_put(w->s, &t, w->err);
        if ((1u << t.state) & PB_RUN_STEP_LIVE) run->open++;
        if (t.state == PB_RUN_STEP_ERROR) why = t.error.p;
        say(said, &t, why);
    }
    pb_buf_free(&b);
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
        if ((rc = room_for(w, t, 1, &why, &whose)) != 0) break;
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
