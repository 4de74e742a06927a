/* SPDX-License-Identifier: MIT */
/* What people do with runs: start, resume, skip, cancel, replay, release. */
#include "base/clock.h"
#include "data/json_scan.h"
#include "flow/chain_priv.h"

static int audit(struct pb_world *w, pbay_str who, const char *what, pbay_str kind, pbay_str object)
{
    const char *name = pb_arena_printf(&w->mem, "%.*s %.*s", PB_FMT(kind), PB_FMT(object));
    struct pb_audit a = {.who = who.n ? who : PB_STR("?"), .what = pb_str_c(what), .object = pb_str_c(name)};
    return pb_store_audit_put(w->s, &a, w->err);
}

/* "; did you mean …" of the chains' or the apps' names; empty. */
static const char *near(struct pb_world *w, const struct pb_chain_graph *g, bool apps, pbay_str name)
{
    uint32_t n = apps ? g->n_apps : g->n_chains;
    const char **names = pb_array(n + 1, sizeof *names);
    for (uint32_t i = 0; i < n; i++)
        names[i] = pb_arena_printf(&w->mem, "%.*s", PB_FMT(apps ? g->apps[i].name : g->chains[i].name));
    const char *found = pb_nearest(name, names, n);
    pb_free(names);
    return found ? pb_arena_printf(&w->mem, "; did you mean \"%s\"?", found) : "";
}

int pb_chain_start(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_host *h,
                   pbay_str chain, pbay_str app, pbay_str who, char run_id[PB_ID_SIZE], struct pb_err *err)
{
    struct pb_world w = {.s = s, .h = h, .now = now, .err = err};
    const struct pb_chain_graph *g = pb_chains_graph(now->chains);
    const struct pb_chain *c = pb_chains_chain(now->chains, chain);
    const struct pb_chain_app *a = pb_chains_app(now->chains, app);
    bool inside = false;
    if (!c || !a) {
        pb_fail(err, PBAY_NOT_FOUND, "there is no %s \"%.*s\"%s", c ? "app" : "chain",
                PB_FMT(c ? app : chain), near(&w, g, c != NULL, c ? app : chain));
        pb_arena_free(&w.mem);
        return -1;
    }
    for (uint32_t i = c->first_link; i < c->first_link + c->n_links && !inside; i++) {
        const struct pb_chain_link *l = &g->links[i];
        for (uint32_t k = 0; k < l->n_sources; k++)
            inside |= l->sources[k].kind == PB_SOURCE_APP && &g->apps[l->sources[k].app] == a;
        for (uint32_t k = 0; k < l->n_steps; k++)
            inside |= l->steps[k].kind == PB_STEP_RELOAD && &g->apps[l->steps[k].app] == a;
    }
    if (!inside)
        return pb_fail(err, PBAY_NOT_FOUND, "app \"%.*s\" is no part of chain \"%.*s\"", PB_FMT(app),
                       PB_FMT(chain));
    struct pb_chain_link by_hand = {.name = PB_STR("started by hand"), .chain = (uint32_t)(c - g->chains)};
    struct pb_chain_step step = {.kind = PB_STEP_RELOAD,
                                 .name = a->name,
                                 .app = (uint32_t)(a - g->apps),
                                 .connector = a->connector,
                                 .reload.partial = -1};
    struct pb_firing f = {
        .bundle = now, .link = &by_hand, .source = a->name, .status = PB_STR("started"), .depth = -1};
    struct pb_run *run = NULL;
    struct pb_buf said = {0};
    int rc = pb__chain_begin(&w, now, c, a->name, pb_str("", 0), who, &run);
    if (rc == 0) {
        snprintf(run_id, PB_ID_SIZE, "%.*s", PB_FMT(run->id));
        f.run = run->id;
        rc = pb__chain_step(&w, &f, &step, pb_str("", 0), run, &said);
    }
    if (rc == 0)
        rc = pb__chain_settle(&w, &f, PB_FIRED, false, "by %.*s; %.*s", PB_FMT(who),
                              PB_FMT(pb_buf_view(&said)));
    if (rc == 0) rc = audit(&w, who, "start", PB_STR("chain"), chain);
    pb_buf_free(&said);
    return pb__chain_end(&w, rc);
}

int pb_chain_resume(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_host *h,
                    pbay_str run_id, pbay_str who, uint32_t *n, struct pb_err *err)
{
    struct pb_world w = {.s = s, .h = h, .now = now, .err = err};
    struct pb_steps steps = {0};
    struct pb_run *run = pb__chain_run(&w, run_id);
    int rc = run ? 0 : -1;
    *n = 0;
    struct pb_step_filter f = {.run = run_id, .states = 1 << PB_RUN_STEP_ERROR | 1 << PB_RUN_STEP_CANCELED};
    if (rc == 0) rc = pb_store_step_list(s, &f, &steps, err);
    for (size_t i = 0; rc == 0 && i < steps.n; i++) {
        struct pb_run_step *t = steps.items[i];
        if (t->kind == PB_STEP_NOTIFY) continue;
        /* It stands in line: at once, when there is room. */
        t->ended_ms = 0;
        t->state = PB_RUN_STEP_WAITING;
        rc = pb_store_step_set(s, t, err);
        run->open++;
        w.room = true;
        ++*n;
    }
    pb_steps_free(&steps);
    if (rc == 0 && !*n)
        rc = pb_fail(err, PBAY_FAILED_PRECONDITION, "run %.*s has no step that failed or was canceled",
                     PB_FMT(run_id));
    if (rc == 0) {
        run->state = PB_RUN_RUNNING;
        run->ended_ms = 0;
        rc = audit(&w, who, "resume", PB_STR("run"), run_id);
    }
    return pb__chain_end(&w, rc);
}

/* The last step of that name. */
static int find_step(struct pb_world *w, pbay_str run, pbay_str name, struct pb_run_step **out)
{
    struct pb_steps steps;
    int rc = pb_store_step_list(w->s, &(struct pb_step_filter){.run = run, .name = name}, &steps, w->err);
    *out = NULL;
    if (rc == 0 && !steps.n)
        rc = pb_fail(w->err, PBAY_NOT_FOUND, "run %.*s has no step \"%.*s\"", PB_FMT(run), PB_FMT(name));
    if (rc == 0) *out = steps.items[--steps.n];
    pb_steps_free(&steps);
    return rc;
}

int pb_chain_skip(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_host *h,
                  pbay_str run_id, pbay_str name, pbay_str who, struct pb_err *err)
{
    struct pb_world w = {.s = s, .h = h, .now = now, .err = err};
    struct pb_run *run = pb__chain_run(&w, run_id);
    struct pb_run_step *t = NULL;
    struct pb_buf data = {0};
    int rc = run ? find_step(&w, run_id, name, &t) : -1;
    if (rc == 0 && (t->state == PB_RUN_STEP_OK || t->state == PB_RUN_STEP_SKIPPED))
        rc = pb_fail(err, PBAY_FAILED_PRECONDITION, "step \"%.*s\" has ended well already", PB_FMT(name));
    if (rc == 0 && run->state == PB_RUN_CANCELED)
        rc = pb_fail(err, PBAY_FAILED_PRECONDITION, "run %.*s was canceled", PB_FMT(run_id));
    if (rc == 0) {
        bool live = ((1u << t->state) & PB_RUN_STEP_LIVE) != 0;
        if (t->state == PB_RUN_STEP_ACTIVE) rc = pb__chain_job_over(&w, t, "a person has skipped it", false);
        if (!live) run->open++;
        run->state = PB_RUN_RUNNING;
        run->ended_ms = 0;
        /* It is live until the event below is decided, which ends it. */
        t->state = PB_RUN_STEP_ACTIVE;
        t->job = pb_str("", 0);
        t->occurrence =
            pb_str_c(pb_arena_printf(&w.mem, "skip-%.*s-%lld", PB_FMT(t->id), (long long)t->attempt));
        t->error = pb_str_c(pb_arena_printf(&w.mem, "skipped by %.*s", PB_FMT(who)));
        if (rc == 0) rc = pb_store_step_set(s, t, err);
        pb_buf_printf(
            &data, "{\"ok\":true,\"code\":\"OK\",\"key\":\"%.*s-skip\",\"args\":{\"appId\":", PB_FMT(t->id));
        pb_buf_json(&data, t->subject);
        pb_buf_printf(&data, "},\"result\":{\"id\":\"%.*s\",\"skipped\":true}}", PB_FMT(t->occurrence));
        const char *type = pb_arena_printf(&w.mem, "%.*s.done", PB_FMT(t->action));
        struct pb_event_put e = {.connector = t->connector,
                                 .type = pb_str_c(type),
                                 .subject = t->subject,
                                 .data = pb_buf_view(&data),
                                 .time_ms = pb_now_ms()};
        if (rc == 0) rc = h->put_event(h->user, s, &e, err);
        if (rc == 0) rc = audit(&w, who, "skip", PB_STR("step"), name);
    }
    pb_buf_free(&data);
    pb_free(t);
    return pb__chain_end(&w, rc);
}

int pb_chain_cancel(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_host *h,
                    pbay_str run_id, pbay_str who, struct pb_err *err)
{
    struct pb_world w = {.s = s, .h = h, .now = now, .err = err};
    struct pb_steps steps = {0};
    struct pb_run *run = pb__chain_run(&w, run_id);
    int rc = run ? 0 : -1;
    if (rc == 0 && run->state != PB_RUN_RUNNING)
        rc = pb_fail(err, PBAY_FAILED_PRECONDITION, "run %.*s has ended: it is %s", PB_FMT(run_id),
                     pb_run_state_name(run->state));
    if (rc == 0)
        rc = pb_store_step_list(s, &(struct pb_step_filter){.run = run_id, .states = PB_RUN_STEP_LIVE},
                                &steps, err);
    for (size_t i = 0; rc == 0 && i < steps.n; i++) {
        struct pb_run_step *t = steps.items[i];
        rc = pb__chain_job_over(&w, t, "its run was canceled", true);
        t->state = PB_RUN_STEP_CANCELED;
        t->ended_ms = pb_now_ms();
        t->error = pb_str_c(pb_arena_printf(&w.mem, "run canceled by %.*s", PB_FMT(who)));
        if (rc == 0) rc = pb_store_step_set(s, t, err);
    }
    pb_steps_free(&steps);
    if (rc == 0) {
        rc = pb__chain_canceled(&w, run);
        if (rc == 0) rc = audit(&w, who, "cancel", PB_STR("run"), run_id);
    }
    return pb__chain_end(&w, rc);
}

int pb_chain_replay(struct pb_store *s, const struct pb_chain_host *h, pbay_str event, pbay_str who,
                    struct pb_err *err)
{
    struct pb_world w = {.s = s, .h = h, .err = err};
    struct pb_event *e = NULL;
    struct pb_buf data = {0};
    char mark[PB_ID_SIZE];
    int rc = pb_store_event_get(s, event, &e, err);
    pbay_str body = rc == 0 ? pb_str_trim(e->data) : pb_str("", 0);
    if (rc == 0 && (body.n < 2 || body.p[0] != '{'))
        rc = pb_fail(err, PBAY_FAILED_PRECONDITION, "event %.*s has no JSON object as its data",
                     PB_FMT(event));
    if (rc == 0) {
        pb_id_make(mark);
        pbay_str rest = pb_str_trim(pb_str(body.p + 1, body.n - 1));
        pb_buf_printf(&data, "{\"replay\":\"%.8s\"%s%.*s", mark + 24, rest.p[0] == '}' ? "" : ",",
                      PB_FMT(rest));
        struct pb_event_put put = {.connector = e->connector,
                                   .type = e->type,
                                   .subject = e->subject,
                                   .data = pb_buf_view(&data),
                                   .time_ms = pb_now_ms()};
        rc = h->put_event(h->user, s, &put, err);
    }
    if (rc == 0) rc = audit(&w, who, "replay", PB_STR("event"), event);
    pb_buf_free(&data);
    pb_free(e);
    return pb__chain_end(&w, rc);
}

/* ------------------------------------------------------------------------ what was held */

struct release {
    struct pb_world *w;
    pbay_str kind, name;
    enum pb_held held;
    pb_bundle_fn find;
    void *user;
    uint32_t n;
};

/* Read what was kept of a held decision. 1: it is not for this release, or nothing of it is left. */
static int recall(struct release *r, const struct pb_decision *d, struct pb_firing *f)
{
    struct pb_link_states list;
    pbay_str kind, note;
    const char *item = pb_arena_printf(&r->w->mem, "@held:%.*s", PB_FMT(d->occurrence));
    int rc = pb_store_link_list(r->w->s, d->chain, d->link, pb_str("", 0), pb_str_c(item), &list, r->w->err);
    if (rc == 0 && !list.n) rc = 1;
    if (rc == 0) rc = pb__chain_unpack(r->w, list.items[0]->value, f, &kind, &note, r->find, r->user);
    pb_link_states_free(&list);
    if (rc == 0 && pb_str_is(r->kind, "app")) {
        bool named = false;
        for (uint32_t i = 0; i < f->link->n_steps; i++)
            named |= f->link->steps[i].kind == PB_STEP_RELOAD && pb_str_eq(f->link->steps[i].name, r->name);
        if (!named) return 2;
    }
    return rc;
}

/* Does another pause hold it? The chain's when an app was released, an app's when the chain was. */
static bool is_held_still(struct release *r, const struct pb_decision *d, const struct pb_firing *f)
{
    const struct pb_pause *p = pb__chain_paused(r->w, "chain", d->chain);
    for (uint32_t i = 0; !p && i < f->link->n_steps; i++)
        if (f->link->steps[i].kind == PB_STEP_RELOAD)
            p = pb__chain_paused(r->w, "app", f->link->steps[i].name);
    return p && !(pb_str_eq(p->kind, r->kind) && pb_str_eq(p->name, r->name));
}

static int release_one(struct release *r, const struct pb_decision *d, bool fire)
{
    struct pb_firing f;
    int rc = recall(r, d, &f);
    if (rc == 2) return 0;
    if (rc < 0) return -1;
    fire = fire && rc == 0;
    if (fire && is_held_still(r, d, &f)) return 0;
    struct pb_run *run = rc == 0 && f.run.n ? pb__chain_run(r->w, f.run) : NULL;
    bool going = run && run->state == PB_RUN_RUNNING;
    /* Who canceled the run meant this too. */
    if (run && run->state == PB_RUN_CANCELED) fire = false;
    if (pb_store_decision_settle(r->w->s, d->seq, fire ? PB_RELEASED : PB_DROPPED, r->w->err) != 0) return -1;
    const char *item = pb_arena_printf(&r->w->mem, "@held:%.*s", PB_FMT(d->occurrence));
    if (pb_store_link_drop(r->w->s, d->chain, d->link, pb_str("", 0), pb_str_c(item), r->w->err) != 0)
        return -1;
    if (going) run->open--; /* it kept it open */
    if (!fire) return 0;
    r->n++;
    f.occurrence = pb_str_c(pb_arena_printf(&r->w->mem, "%.*s~released", PB_FMT(f.occurrence)));
    /* Its run may be forgotten, after so long a time. */
    if (f.run.n && !going) f.run = f.step = pb_str("", 0);
    return pb__chain_fire(r->w, &f, "released");
}

int pb_chain_release(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_host *h,
                     pbay_str kind, pbay_str name, enum pb_held held, pb_bundle_fn find, void *user,
                     uint32_t *n, struct pb_err *err)
{
    struct pb_world w = {.s = s, .h = h, .now = now, .err = err};
    struct release r = {&w, kind, name, held, find, user, 0};
    struct pb_decisions page, all = {0};
    struct pb_decision_filter f = {.outcomes = 1 << PB_HELD};
    struct pb_map last = {0}; /* of each link that which was held last */
    size_t got;
    int rc;
    if (pb_str_is(kind, "chain")) f.chain = name;
    do { /* newest first, page by page */
        rc = pb_store_decision_list(s, &f, &page, err);
        for (size_t i = 0; rc == 0 && i < page.n; i++) {
            struct pb_decision *d = page.items[i];
            const char *key = pb_arena_printf(&w.mem, "%.*s\n%.*s", PB_FMT(d->chain), PB_FMT(d->link));
            pb_map_add(&last, pb_str_c(key), d);
            f.before_seq = d->seq;
            PB_GROW(all.items, all.cap, all.n + 1);
            all.items[all.n++] = d;
            page.items[i] = NULL;
        }
        got = page.n;
        pb_decisions_free(&page);
    } while (rc == 0 && got == PB_LIST_MAX);
    for (size_t i = all.n; rc == 0 && i > 0; i--) {
        const struct pb_decision *d = all.items[i - 1];
        const char *key = pb_arena_printf(&w.mem, "%.*s\n%.*s", PB_FMT(d->chain), PB_FMT(d->link));
        bool is_last = pb_map_get(&last, pb_str_c(key)) == d;
        rc = release_one(&r, d, held == PB_HELD_ALL || (held == PB_HELD_ONCE && is_last));
    }
    pb_map_free(&last);
    pb_decisions_free(&all);
    *n = r.n;
    return pb__chain_end(&w, rc);
}
