/* SPDX-License-Identifier: MIT */
/* Which links listen to an event and for which run; and their conditions asked. */
#include "base/clock.h"
#include "flow/chain_priv.h"

enum { WAIT_MS = 1000, PATIENCE_MS = 10 * 60 * 1000 };

struct planning {
    struct pb_chain_plan *p;
    struct pb_store *s;
    pb_bundle_fn find;
    void *user;
    struct pb_err *err;
};

/* ------------------------------------------------------------------------ whose is it */

static void belongs(struct pb_chain_plan *p, const struct pb_run_step *t)
{
    snprintf(p->step, sizeof p->step, "%.*s", PB_FMT(t->id));
    snprintf(p->run, sizeof p->run, "%.*s", PB_FMT(t->run));
}

/*
 * The app of that title, unless it was found and is another one: a published copy, the one in a personal
 * space. It is looked for again then, because an app that was made anew has the old one's title and not its
 * id.
 */
static const struct pb_chain_app *app_titled(struct planning *g, const struct pb_bundle *b)
{
    struct pb_chain_plan *p = g->p;
    const struct pb_chain_app *a = pb_chains_app_titled(b->chains, p->o.connector, p->o.title);
    struct pb_buf id = {0};
    if (!a || !p->o.subject.n) return a;
    pb_chain_app_id(g->s, a, &id);
    if (id.n && !pb_str_eq(pb_buf_view(&id), p->o.subject)) {
        if (b == p->now) p->doubt = a;
        a = NULL;
    }
    pb_buf_free(&id);
    return a;
}

static const struct pb_chain_app *app_in(struct planning *g, const struct pb_bundle *b, pbay_str name)
{
    const struct pb_chain_app *a = NULL;
    struct pb_chain_plan *p = g->p;
    if (!p->o.app) return NULL;
    if (name.n) a = pb_chains_app(b->chains, name);
    if (!a && p->o.subject.n) a = pb_chains_app_of(b->chains, p->o.connector, p->o.subject);
    if (!a && p->o.title.n) a = app_titled(g, b);
    if (!a && p->o.subject.n) {
        /* Found by name once: the id was kept then. */
        struct pb_buf title = {0};
        struct pb_err err;
        pbay_str key =
            pb_str_c(pb_arena_printf(&p->mem, "app/%.*s/%.*s", PB_FMT(p->o.connector), PB_FMT(p->o.subject)));
        if (pb_store_kv_get(g->s, PB_STR("@chains"), key, &title, &err) == 0)
            a = pb_chains_app(b->chains, pb_buf_view(&title));
        pb_buf_free(&title);
    }
    return a;
}

/* However long that takes, when the machine was away in between: it ends by itself. */
static bool is_being_found_out(const struct pb_job *job)
{
    return job->state == PB_JOB_RUNNING || (job->state == PB_JOB_WAITING && job->phase == PB_JOB_CHECK);
}

/*
 * A reload ended that may be a step's. Known by the reload's id, which the step or its job has; while a job
 * is at it and has not said, nobody knows: then it waits.
 */
static int match_live(struct planning *g, const struct pb_event *e)
{
    struct pb_chain_plan *p = g->p;
    struct pb_steps live;
    const struct pb_chain_app *app = app_in(g, p->now, pb_str("", 0));
    bool by_name = app && !app->id.n; /* then a step may not know its id yet */
    struct pb_step_filter f = {
        .connector = p->o.connector, .subject = p->o.subject, .states = 1 << PB_RUN_STEP_ACTIVE, .limit = 16};
    if (by_name) {
        f.subject = pb_str("", 0);
        f.name = app->name;
    }
    if (pb_store_step_list(g->s, &f, &live, g->err) != 0) {
        pb_steps_free(&live);
        return -1;
    }
    bool patient = pb_now_ms() - e->stored_ms < PATIENCE_MS;
    for (size_t i = 0; i < live.n && !p->step[0]; i++) {
        struct pb_run_step *t = live.items[i];
        struct pb_job *job = NULL;
        if (t->occurrence.n) {
            if (pb_str_eq(t->occurrence, p->o.occurrence)) belongs(p, t);
            continue;
        }
        if (pb_store_job_get(g->s, t->job, pb_str("", 0), &job, NULL) != 0) continue;
        if (job->handle.n) {
            if (pb_str_eq(job->handle, p->o.occurrence)) belongs(p, t);
        } else if (job->attempt > 0 && job->first_ms <= e->stored_ms &&
                   (patient || is_being_found_out(job))) {
            /* Also when it has ended: what tells of its end is on its way. */
            p->wait_ms = WAIT_MS;
        }
        pb_free(job);
    }
    if (p->step[0]) p->wait_ms = 0;
    pb_steps_free(&live);
    return 0;
}

static int correlate(struct planning *g, const struct pb_event *e)
{
    struct pb_chain_plan *p = g->p;
    struct pb_run_step *t = NULL;
    if (p->o.step.n) {
        if (pb_store_step_get(g->s, p->o.step, &t, g->err) == 0)
            belongs(p, t);
        else if (g->err->code != PBAY_NOT_FOUND)
            return -1;
        pb_free(t);
        return 0;
    }
    return p->o.app && p->o.subject.n ? match_live(g, e) : 0;
}

/* ------------------------------------------------------------------------ who listens */

static void add(struct pb_chain_plan *p, const struct pb_bundle *b, uint32_t link, pbay_str source,
                pbay_str run, pbay_str run_json)
{
    PB_GROW(p->asked, p->cap, p->n + 1);
    p->asked[p->n++] =
        (struct pb_asked){.bundle = b, .link = link, .source = source, .run = run, .run_json = run_json};
}

/* Of a bundle: the links of one chain (NULL: of all but `not`) that listen to what ended. */
static void listeners(struct pb_chain_plan *p, const struct pb_bundle *b, const struct pb_chain_app *app,
                      const struct pb_chain *only, pbay_str not, pbay_str run, pbay_str run_json)
{
    const struct pb_chain_graph *g = pb_chains_graph(b->chains);
    struct {
        const uint32_t *links;
        uint32_t n;
        pbay_str source;
        bool app;
    } lists[4] = {{0}};
    pbay_str full =
        pb_str_c(pb_arena_printf(&p->mem, "%.*s.%.*s", PB_FMT(p->o.connector), PB_FMT(p->o.type)));
    if (app) {
        lists[0].links = pb_chains_on_app(b->chains, app, &lists[0].n);
        lists[0].source = app->name;
        lists[0].app = true;
        lists[1].links = pb_chains_on_any(b->chains, &lists[1].n);
        lists[1].source = PB_STR("*");
    }
    lists[2].links = pb_chains_on_event(b->chains, p->o.connector, p->o.type, &lists[2].n);
    lists[2].source = full;
    if (pb_str_is(p->o.connector, PB_CHAIN_SOURCE)) {
        lists[3].links = pb_chains_on_chain(b->chains, p->o.subject, &lists[3].n);
        lists[3].source = p->o.subject;
    }
    for (size_t k = 0; k < PB_COUNTOF(lists); k++)
        for (uint32_t i = 0; i < lists[k].n; i++) {
            const struct pb_chain *chain = &g->chains[g->links[lists[k].links[i]].chain];
            if (only ? chain != only : pb_str_eq(chain->name, not )) continue;
            /* Reloads that nobody here started begin at heads, unless the chain adopts them anywhere. */
            if (!only && !p->step[0] && lists[k].app && !chain->adopt &&
                !pb_chains_head(b->chains, chain, (uint32_t)(app - g->apps)))
                continue;
            add(p, b, lists[k].links[i], lists[k].source, run, run_json);
        }
}

static void put(struct pb_buf *b, const char *name, pbay_str value)
{
    pb_buf_printf(b, "%s\"%s\":", b->n > 1 ? "," : "", name);
    pb_buf_json(b, value);
}

/* id chain root started depth attempt upstream{name = status} */
static int run_json(struct planning *g, const struct pb_run *run, const struct pb_run_step *step,
                    pbay_str *out)
{
    struct pb_buf b = {0};
    struct pb_steps steps = {0};
    int rc = 0;
    pb_buf_ch(&b, '{');
    if (run) {
        char time[PB_TIME_MAX];
        pb_format_time(run->started_ms, time);
        put(&b, "id", run->id);
        put(&b, "chain", run->chain);
        put(&b, "root", run->root);
        put(&b, "started", pb_str_c(time));
        pb_buf_printf(&b, ",\"started_ms\":%lld,\"depth\":%lld,\"attempt\":%lld,\"upstream\":{",
                      (long long)run->started_ms, (long long)step->depth, (long long)step->attempt);
        rc = pb_store_step_list(g->s, &(struct pb_step_filter){.run = run->id}, &steps, g->err);
        size_t from = b.n;
        for (size_t i = 0; rc == 0 && i < steps.n; i++) {
            /* The last of a name counts. */
            bool later = false;
            for (size_t k = i + 1; k < steps.n && steps.n < 300; k++)
                later |= pb_str_eq(steps.items[i]->name, steps.items[k]->name);
            if (later) continue;
            if (b.n > from) pb_buf_ch(&b, ',');
            pb_buf_json(&b, steps.items[i]->name);
            pb_buf_printf(&b, ":\"%s\"", pb_run_step_state_name(steps.items[i]->state));
        }
        pb_steps_free(&steps);
        pb_buf_ch(&b, '}');
    } else {
        pb_buf_c(&b, "\"depth\":0,\"attempt\":0,\"upstream\":{}");
    }
    pb_buf_ch(&b, '}');
    *out = pb_arena_str(&g->p->mem, pb_buf_view(&b));
    pb_buf_free(&b);
    return rc;
}

/* The links of the run's own chain, by the bundle that it began with. */
static int own_links(struct planning *g, pbay_str *chain)
{
    struct pb_chain_plan *p = g->p;
    struct pb_run *run = NULL;
    struct pb_run_step *t = NULL;
    pbay_str json;
    int rc = pb_store_step_get(g->s, pb_str_c(p->step), &t, g->err);
    if (rc == 0 && pb_store_run_get(g->s, t->run, &run, g->err) != 0) {
        rc = g->err->code == PBAY_NOT_FOUND ? 0 : -1;
    } else if (rc == 0) {
        const struct pb_bundle *b =
            pb_str_is(run->bundle, p->now->hash) ? p->now : g->find(g->user, g->s, run->bundle, g->err);
        *chain = pb_arena_str(&p->mem, run->chain);
        const struct pb_chain *c = b ? pb_chains_chain(b->chains, run->chain) : NULL;
        if (!b) rc = -1;
        if (rc == 0 && c && run->state == PB_RUN_RUNNING) {
            rc = run_json(g, run, t, &json);
            if (rc == 0) listeners(p, b, app_in(g, b, t->name), c, pb_str("", 0), pb_str_c(p->run), json);
        }
    }
    pb_free(run);
    pb_free(t);
    return rc;
}

int pb_chain_plan(struct pb_chain_plan *p, struct pb_store *s, const struct pb_event *e,
                  const struct pb_bundle *now, pb_bundle_fn find, void *user, struct pb_err *err)
{
    struct planning g = {p, s, find, user, err};
    pbay_str own = {"", 0}, json;
    p->now = now;
    pb_occurred_read(&p->o, e);
    if (correlate(&g, e) != 0) return -1;
    if (p->wait_ms) return 0;
    if (p->step[0] && own_links(&g, &own) != 0) return -1;
    if (run_json(&g, NULL, NULL, &json) != 0) return -1;
    listeners(p, now, app_in(&g, now, pb_str("", 0)), NULL, own, pb_str("", 0), json);
    return 0;
}

int pb__chain_plan_one(struct pb_chain_plan *p, struct pb_store *s, const struct pb_firing *f,
                       struct pb_err *err)
{
    struct planning g = {.p = p, .s = s, .err = err};
    struct pb_run *run = NULL;
    struct pb_run_step *t = NULL, root = {0};
    pbay_str json;
    int rc = 0;
    if (f->run.n && pb_store_run_get(s, f->run, &run, err) != 0) rc = err->code == PBAY_NOT_FOUND ? 0 : -1;
    if (rc == 0 && f->step.n && pb_store_step_get(s, f->step, &t, err) != 0)
        rc = err->code == PBAY_NOT_FOUND ? 0 : -1;
    if (rc == 0) rc = run_json(&g, run, t ? t : &root, &json);
    if (rc == 0)
        add(p, f->bundle, (uint32_t)(f->link - pb_chains_graph(f->bundle->chains)->links),
            pb_arena_str(&p->mem, f->source), pb_arena_str(&p->mem, f->run), json);
    pb_free(run);
    pb_free(t);
    return rc == 0 ? 1 : -1;
}

void pb_chain_plan_free(struct pb_chain_plan *p)
{
    pb_occurred_free(&p->o);
    pb_free(p->asked);
    pb_arena_free(&p->mem);
    *p = (struct pb_chain_plan){0};
}

/* ------------------------------------------------------------------------ conditions */

static void raised(struct pb_asked *a, const struct pb_err *err)
{
    a->raised = true;
    snprintf(a->why, sizeof a->why, "%.*s", (int)pb_utf8_floor(pb_str_c(err->msg), sizeof a->why - 1),
             err->msg);
}

static void ask_args(struct pb_chain_plan *p, struct pb_asked *a, const struct pb_chain_link *l)
{
    for (uint32_t i = 0; i < l->n_steps && !a->raised; i++) {
        struct pb_buf out = {0};
        struct pb_err err;
        if (!l->steps[i].fn) continue;
        if (!a->args) a->args = pb_arena_zalloc(&p->mem, l->n_steps * sizeof *a->args);
        if (pb_chains_args(a->bundle->chains, &l->steps[i], p->o.ev, a->run_json, &out, &err) != 0)
            raised(a, &err);
        else
            a->args[i] = pb_arena_str(&p->mem, out.n ? pb_buf_view(&out) : PB_STR(""));
        pb_buf_free(&out);
    }
}

void pb_chain_ask(struct pb_chain_plan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        struct pb_asked *a = &p->asked[i];
        const struct pb_chain_link *l = &pb_chains_graph(a->bundle->chains)->links[a->link];
        struct pb_err err;
        bool fits = l->kind == PB_LINK_CRON || (l->statuses & p->o.status);
        a->verdict = (struct pb_chain_verdict){.yes = true};
        if (!fits) continue;
        if (l->when &&
            pb_chains_when(a->bundle->chains, l->when, p->o.ev, a->run_json, &a->verdict, &err) != 0)
            raised(a, &err);
        if (!a->raised && a->verdict.yes) ask_args(p, a, l);
    }
}
