/* SPDX-License-Identifier: MIT */
/* Runs and steps begin: at once, or when there is room (chain_ends.c). */
#include "base/clock.h"
#include "flow/chain_priv.h"
#include "guard/digest.h"

enum { ALERT_EVERY_MS = 15 * 60 * 1000 };

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
    char own[PB_CHAIN_KEY_SIZE];
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
    char key[PB_CHAIN_KEY_SIZE], id[PB_ID_SIZE];
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

/* ------------------------------------------------------------------------ room */

static int active(struct pb_world *w, pbay_str chain, pbay_str connector, pbay_str name, int64_t *n)
{
    struct pb_step_filter f = {
        .chain = chain, .connector = connector, .name = name, .states = 1 << PB_RUN_STEP_ACTIVE};
    return pb_store_step_count(w->s, &f, n, w->err);
}

int pb__chain_room(struct pb_world *w, const struct pb_run_step *t, int64_t live, const char **why,
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
    if (rc == 0 && !skip) rc = pb__chain_room(w, &t, live, &why, &full);
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
