/* SPDX-License-Identifier: MIT */
/* An event decided: link by link, in one transaction. */
#include <stdarg.h>

#include "base/clock.h"
#include "flow/chain_priv.h"

enum { CLOCKS_DIFFER_MS = 60 * 60 * 1000, DOUBT_MS = 10 * 60 * 1000 };

const char *pb__chain_ago(struct pb_world *w, int64_t ms)
{
    if (ms < 0) ms = 0;
    if (ms < 1000) return pb_arena_printf(&w->mem, "%lld ms", (long long)ms);
    if (ms < 120000) return pb_arena_printf(&w->mem, "%lld s", (long long)(ms / 1000));
    if (ms < INT64_C(7200000)) return pb_arena_printf(&w->mem, "%lld min", (long long)(ms / 60000));
    return pb_arena_printf(&w->mem, "%lld h", (long long)(ms / 3600000));
}

static const struct pb_chain *chain_of(const struct pb_firing *f)
{
    return &pb_chains_graph(f->bundle->chains)->chains[f->link->chain];
}

int pb__chain_settle(struct pb_world *w, const struct pb_firing *f, enum pb_outcome outcome, bool once,
                     const char *fmt, ...)
{
    char why[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    struct pb_decision d = {.event = f->event,
                            .run = f->run,
                            .chain = chain_of(f)->name,
                            .link = f->link->name,
                            .occurrence = once ? f->occurrence : pb_str("", 0),
                            .source = f->source,
                            .status = f->status,
                            .why = pb_str_c(why),
                            .outcome = outcome,
                            .at_ms = pb_now_ms()};
    bool known;
    if (pb_store_decision_put(w->s, &d, &known, w->err) != 0) return -1;
    if (!known && w->h->decided) w->h->decided(w->h->user, &d);
    return 0;
}

int pb__chain_alert(struct pb_world *w, const struct pb_firing *f, const char *text)
{
    char id[PB_ID_SIZE];
    if (!w->h->alert.n) return 0;
    const char *say = pb_arena_printf(&w->mem, "Chain \"%.*s\", %.*s: %s", PB_FMT(chain_of(f)->name),
                                      PB_FMT(f->link->name), text);
    return pb__chain_message(w, w->h->alert, pb_str_c(say), pb_str("", 0), pb_str("", 0), pb_str("", 0), id);
}

const struct pb_pause *pb__chain_paused(struct pb_world *w, const char *kind, pbay_str name)
{
    struct pb_err err;
    if (!w->paused_read && pb_store_pause_list(w->s, &w->pauses, &err) == 0) w->paused_read = true;
    for (size_t i = 0; i < w->pauses.n; i++)
        if (pb_str_is(w->pauses.items[i]->kind, kind) && pb_str_eq(w->pauses.items[i]->name, name))
            return w->pauses.items[i];
    return NULL;
}

/* ------------------------------------------------------------------------ one item that a link remembers */

static int recall(struct pb_world *w, const struct pb_firing *f, pbay_str group, pbay_str item,
                  int64_t *at_ms, pbay_str *value)
{
    struct pb_link_states list;
    *at_ms = 0;
    if (pb_store_link_list(w->s, chain_of(f)->name, f->link->name, group, item, &list, w->err) != 0) {
        pb_link_states_free(&list);
        return -1;
    }
    if (list.n) {
        *at_ms = list.items[0]->at_ms;
        if (value) *value = pb_arena_str(&w->mem, list.items[0]->value);
    }
    pb_link_states_free(&list);
    return 0;
}

static int remember(struct pb_world *w, const struct pb_firing *f, pbay_str group, pbay_str item,
                    pbay_str value)
{
    struct pb_link_state in = {chain_of(f)->name, f->link->name, group, item, value, pb_now_ms()};
    return pb_store_link_put(w->s, &in, w->err);
}

/* ------------------------------------------------------------------------ from yes to fired */

int pb__chain_fire(struct pb_world *w, struct pb_firing *f, const char *why)
{
    const struct pb_chain *chain = chain_of(f);
    struct pb_run *run = NULL;
    struct pb_buf said = {0};
    int rc = 0;
    if (f->run.n) {
        if (!(run = pb__chain_run(w, f->run))) return -1;
        if (run->state != PB_RUN_RUNNING)
            return pb__chain_settle(w, f, PB_SKIPPED, true, "the run is %s", pb_run_state_name(run->state));
    } else {
        if (pb__chain_begin(w, f->bundle, chain, f->source, f->event, pb_str("", 0), &run) != 0) return -1;
        f->run = run->id;
    }
    if (f->link->cooldown_ms > 0 && remember(w, f, pb_str("", 0), PB_ITEM_FIRED, pb_str("", 0)) != 0)
        return -1;
    for (uint32_t i = 0; rc == 0 && i < f->link->n_steps; i++) {
        const struct pb_chain_step *step = &f->link->steps[i];
        rc = pb__chain_step(w, f, step, f->args && f->args[i].p ? f->args[i] : step->args, run, &said);
    }
    if (rc == 0)
        rc = pb__chain_settle(w, f, PB_FIRED, true, "%s%s%.*s", why, *why && said.n ? "; " : "",
                              PB_FMT(pb_buf_view(&said)));
    pb_buf_free(&said);
    return rc;
}

/* Is the chain, or an app that would be reloaded, paused? Then it is kept for who pauses. */
static int hold(struct pb_world *w, struct pb_firing *f, bool *held)
{
    const struct pb_pause *p = pb__chain_paused(w, "chain", chain_of(f)->name);
    for (uint32_t i = 0; !p && i < f->link->n_steps; i++)
        if (f->link->steps[i].kind == PB_STEP_RELOAD) p = pb__chain_paused(w, "app", f->link->steps[i].name);
    *held = p != NULL;
    if (!p) return 0;
    struct pb_buf b = {0};
    pb__chain_pack(f, "held", pb_str("", 0), &b);
    const char *item = pb_arena_printf(&w->mem, "@held:%.*s", PB_FMT(f->occurrence));
    int rc = remember(w, f, pb_str("", 0), pb_str_c(item), pb_buf_view(&b));
    pb_buf_free(&b);
    /* Its run goes on when it is released. */
    struct pb_run *run = rc == 0 && f->run.n ? pb__chain_run(w, f->run) : NULL;
    if (rc == 0 && f->run.n && !run) rc = -1;
    if (rc != 0) return -1;
    if (run) run->open++;
    return pb__chain_settle(w, f, PB_HELD, true, "%.*s \"%.*s\" is paused by %.*s%s%.*s", PB_FMT(p->kind),
                            PB_FMT(p->name), PB_FMT(p->by), p->why.n ? ": " : "", PB_FMT(p->why));
}

static int in_window(struct pb_world *w, struct pb_firing *f, bool *open)
{
    int64_t now = pb_now_ms(), next = PB_NEVER;
    *open = !f->link->n_windows;
    for (uint32_t i = 0; i < f->link->n_windows && !*open; i++) {
        *open = pb_window_open(&f->link->windows[i], now);
        int64_t at = pb_window_next(&f->link->windows[i], now);
        if (at < next) next = at;
    }
    if (*open) return 0;
    if (!f->link->wait || next == PB_NEVER)
        return pb__chain_settle(w, f, PB_SKIPPED, true, "outside its window");
    char when[PB_TIME_MAX];
    pb_format_time(next, when);
    if (pb__chain_settle(w, f, PB_DEFERRED, true, "outside its window, which opens at %s", when) != 0)
        return -1;
    return pb__chain_arm(w, f, "window", next, pb_str("", 0));
}

static int cooled(struct pb_world *w, const struct pb_firing *f, bool *yes)
{
    int64_t fired = 0;
    *yes = true;
    if (f->link->cooldown_ms <= 0) return 0;
    if (recall(w, f, pb_str("", 0), PB_ITEM_FIRED, &fired, NULL) != 0) return -1;
    int64_t ago = pb_now_ms() - fired;
    /* A time that is far ahead was a clock's mistake. */
    if (!fired || ago >= f->link->cooldown_ms || -ago > f->link->cooldown_ms) return 0;
    *yes = false;
    return pb__chain_settle(w, f, PB_SKIPPED, true, "cooldown: it fired %s ago, and fires every %s at most",
                            pb__chain_ago(w, ago), pb__chain_ago(w, f->link->cooldown_ms));
}

int pb__chain_pass(struct pb_world *w, struct pb_firing *f)
{
    bool go;
    const struct pb_chain *chain = chain_of(f);
    if (in_window(w, f, &go) != 0) return -1;
    if (!go) return 0;
    if (cooled(w, f, &go) != 0) return -1;
    if (!go) return 0;
    if (f->depth + 1 > chain->max_depth) {
        const char *text = pb_arena_printf(&w->mem, "depth %lld is beyond max_depth %u",
                                           (long long)(f->depth + 1), chain->max_depth);
        if (pb__chain_settle(w, f, PB_SKIPPED, true, "%s", text) != 0) return -1;
        return pb__chain_alert(w, f, text);
    }
    if (hold(w, f, &go) != 0) return -1;
    return go ? 0 : pb__chain_fire(w, f, "");
}

/* Each event begins the silence anew; what comes last fires. */
static int debounce(struct pb_world *w, struct pb_firing *f)
{
    char seq[PB_ID_SIZE];
    pb_id_make(seq);
    if (remember(w, f, pb_str("", 0), PB_ITEM_DEBOUNCE, pb_str_c(seq)) != 0 ||
        pb__chain_settle(w, f, PB_DEFERRED, true, "debounce: fires when %s have passed without another",
                         pb__chain_ago(w, f->link->debounce_ms)) != 0)
        return -1;
    return pb__chain_arm(w, f, "debounce", pb_now_ms() + f->link->debounce_ms, pb_str_c(seq));
}

/* ------------------------------------------------------------------------ fan-in */

static pbay_str group_of(const struct pb_firing *f)
{
    return f->link->per_run ? f->run : pb_str("", 0);
}

/*
 * It does not fire for an occurrence that ended so. Another word of the same occurrence may follow: the
 * engine of a tenant fails, is started anew by the tenant, and the reload ends well.
 */
static pbay_str as_it_ended(struct pb_world *w, const struct pb_firing *f)
{
    return pb_str_c(pb_arena_printf(&w->mem, "%.*s=%.*s", PB_FMT(f->occurrence), PB_FMT(f->status)));
}

static int settle_so(struct pb_world *w, const struct pb_firing *f, const char *fmt, ...) PB_PRINTF(3, 4);
static int settle_so(struct pb_world *w, const struct pb_firing *f, const char *fmt, ...)
{
    struct pb_firing so = *f;
    char why[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    so.occurrence = as_it_ended(w, f);
    return pb__chain_settle(w, &so, PB_SKIPPED, true, "%s", why);
}

/* A source ended otherwise than the link wants: what it had given counts no more. */
static int refuse(struct pb_world *w, struct pb_firing *f)
{
    bool fan_in = f->link->kind == PB_LINK_ALL || f->link->kind == PB_LINK_AT_LEAST;
    int64_t had = 0;
    if (fan_in && (f->run.n || !f->link->per_run)) {
        if (recall(w, f, group_of(f), f->source, &had, NULL) != 0) return -1;
        if (had &&
            pb_store_link_drop(w->s, chain_of(f)->name, f->link->name, group_of(f), f->source, w->err) != 0)
            return -1;
    }
    const char *wants = pb_ended_name(f->link->statuses);
    return settle_so(w, f, "it ended %.*s, and this is for %s%s", PB_FMT(f->status), wants,
                     had ? "; its earlier end counts no more" : "");
}

/* *full: enough of them. Counted otherwise. */
static int count(struct pb_world *w, struct pb_firing *f, bool *full)
{
    const struct pb_chain_link *l = f->link;
    const struct pb_chain *chain = chain_of(f);
    struct pb_link_states list;
    int64_t now = pb_now_ms(), done = 0, oldest = now;
    uint32_t n = 0;
    *full = false;
    if (l->per_run && !f->run.n) {
        struct pb_run *run;
        if (pb__chain_begin(w, f->bundle, chain, f->source, f->event, pb_str("", 0), &run) != 0) return -1;
        f->run = run->id;
    }
    pbay_str group = group_of(f);
    if (l->per_run && recall(w, f, group, PB_ITEM_DONE, &done, NULL) != 0) return -1;
    if (done) return pb__chain_settle(w, f, PB_SKIPPED, true, "it has fired in this run already");
    if (remember(w, f, group, f->source, f->status) != 0) return -1;
    if (pb_store_link_list(w->s, chain->name, l->name, group, pb_str("", 0), &list, w->err) != 0) {
        pb_link_states_free(&list);
        return -1;
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < list.n; i++) {
        if (list.items[i]->item.p[0] == '@') continue;
        if (l->within_ms && now - list.items[i]->at_ms > l->within_ms) {
            rc = pb_store_link_drop(w->s, chain->name, l->name, group, list.items[i]->item, w->err);
            continue;
        }
        if (list.items[i]->at_ms < oldest) oldest = list.items[i]->at_ms;
        n++;
    }
    pb_link_states_free(&list);
    if (rc != 0) return -1;
    if (n >= l->need) {
        *full = true;
        if (l->per_run) return remember(w, f, group, PB_ITEM_DONE, pb_str("", 0));
        return pb_store_link_drop(w->s, chain->name, l->name, group, pb_str("", 0), w->err);
    }
    if (pb__chain_settle(w, f, PB_COUNTED, true, "%u of %u have ended", n, l->need) != 0) return -1;
    if (!l->within_ms || n > 1) return 0;
    return pb__chain_arm(w, f, "within", oldest + l->within_ms + 1, pb_str("", 0));
}

/* ------------------------------------------------------------------------ one link */

static int decide(struct pb_world *w, const struct pb_chain_plan *p, const struct pb_asked *a, int64_t depth)
{
    struct pb_firing f = {.bundle = a->bundle,
                          .link = &pb_chains_graph(a->bundle->chains)->links[a->link],
                          .run = a->run,
                          .step = pb_str_c(a->run.n ? p->step : ""),
                          .event = p->o.event,
                          .occurrence = p->o.occurrence,
                          .source = a->source,
                          .status = pb_str_c(pb_ended_name(p->o.status)),
                          .depth = depth,
                          .args = a->args};
    const struct pb_chain_link *l = f.link;
    bool known, full = true;
    if (l->sources && l->n_sources == 1 && l->sources[0].kind == PB_SOURCE_ANY) {
        const struct pb_chain_app *app = pb_chains_app_of(a->bundle->chains, p->o.connector, p->o.subject);
        if (app) f.source = app->name;
    }
    pbay_str chain = chain_of(&f)->name, over;
    if (pb_store_decision_known(w->s, chain, l->name, f.occurrence, &known, w->err) != 0) return -1;
    if (!known && pb_store_decision_known(w->s, chain, l->name, as_it_ended(w, &f), &known, w->err) != 0)
        return -1;
    if (known) return 0;
    if (pb__chain_is_over(w, chain, f.occurrence, &over) != 0) return -1;
    if (over.n) return pb__chain_settle(w, &f, PB_SKIPPED, true, "%.*s", PB_FMT(over));
    if (!(l->statuses & p->o.status)) return refuse(w, &f);
    if (a->raised) {
        if (pb__chain_settle(w, &f, PB_RAISED, true, "%s", a->why) != 0) return -1;
        return pb__chain_alert(
            w, &f, pb_arena_printf(&w->mem, "the condition failed, so nothing starts: %s", a->why));
    }
    if (a->verdict.defer_ms) {
        if (pb__chain_settle(w, &f, PB_DEFERRED, true, "asked again in %s%s%s",
                             pb__chain_ago(w, a->verdict.defer_ms), a->verdict.why[0] ? ": " : "",
                             a->verdict.why) != 0)
            return -1;
        return pb__chain_arm(w, &f, "defer", pb_now_ms() + a->verdict.defer_ms, pb_str("", 0));
    }
    if (!a->verdict.yes)
        return settle_so(w, &f, "%s", a->verdict.why[0] ? a->verdict.why : "the condition says no");
    if (l->kind == PB_LINK_ALL || l->kind == PB_LINK_ANY || l->kind == PB_LINK_AT_LEAST)
        if (count(w, &f, &full) != 0) return -1;
    if (!full) return 0;
    return l->debounce_ms ? debounce(w, &f) : pb__chain_pass(w, &f);
}

/* ------------------------------------------------------------------------ the event */

/* The app's last end; app-less events have none. */
static int note_node(struct pb_world *w, const struct pb_occurred *o)
{
    struct pb_node *was, is;
    if (!o->app || !o->subject.n || o->coalesced || o->again || pb_str_starts(o->occurrence, PB_STR("skip-")))
        return 0;
    if (pb_store_node_get(w->s, o->connector, o->subject, &was, w->err) != 0) return -1;
    is = (struct pb_node){.connector = o->connector,
                          .subject = o->subject,
                          .status = pb_str_c(pb_ended_name(o->status)),
                          .occurrence = o->occurrence,
                          .at_ms = o->time_ms,
                          .ok_ms = o->status == PB_ENDED_OK ? o->time_ms
                                   : was                    ? was->ok_ms
                                                            : 0,
                          .fired_ms = was ? was->fired_ms : 0};
    /* What comes late does not undo what is newer, unless that is of a time that has not come. */
    bool newer = was && was->at_ms > o->time_ms && was->at_ms < pb_now_ms() + CLOCKS_DIFFER_MS;
    int rc = newer ? 0 : pb_store_node_put(w->s, &is, w->err);
    pb_free(was);
    return rc;
}

/* An app that is known by name has this id: kept both ways. */
static int note_found(struct pb_world *w, const struct pb_occurred *o)
{
    const struct pb_chain_graph *g = w->now ? pb_chains_graph(w->now->chains) : NULL;
    for (uint32_t i = 0; g && o->found.n && i < g->n_apps; i++) {
        const struct pb_chain_app *a = &g->apps[i];
        if (a->id.n || !pb_str_eq(a->connector, o->connector) || !pb_str_ieq(a->title, o->title) ||
            !pb_str_ieq(a->space, o->space))
            continue;
        const char *id = pb_arena_printf(&w->mem, "id/%.*s/%.*s", PB_FMT(a->connector), PB_FMT(a->name));
        const char *app = pb_arena_printf(&w->mem, "app/%.*s/%.*s", PB_FMT(a->connector), PB_FMT(o->found));
        if (pb_store_kv_put(w->s, PB_STR("@chains"), pb_str_c(id), o->found, NULL, 0, w->err) != 0 ||
            pb_store_kv_put(w->s, PB_STR("@chains"), pb_str_c(app), a->name, NULL, 0, w->err) != 0)
            return -1;
    }
    return 0;
}

/* What ended is an attempt before the present one, or what a person has skipped meanwhile. */
static bool is_of_before(const struct pb_run_step *t, const struct pb_occurred *o)
{
    if (o->attempt && o->attempt != (uint64_t)t->attempt) return true;
    return pb_str_starts(t->occurrence, PB_STR("skip-")) && !pb_str_eq(t->occurrence, o->occurrence);
}

static int end_step(struct pb_world *w, const struct pb_chain_plan *p, int64_t *depth, bool *again)
{
    struct pb_run_step *t = NULL;
    *again = false;
    *depth = 0;
    if (!p->step[0]) return 0;
    if (pb_store_step_get(w->s, pb_str_c(p->step), &t, w->err) != 0)
        return w->err->code == PBAY_NOT_FOUND ? 0 : -1;
    int rc = 0;
    *depth = t->depth;
    *again = p->o.coalesced;
    bool live = ((1u << t->state) & PB_RUN_STEP_LIVE) != 0;
    if (live && is_of_before(t, &p->o))
        rc = 0;
    else if (live && p->o.again)
        rc = pb__chain_step_again(w, t, p->o.event);
    else if (live)
        rc = pb__chain_step_end(w, t, p->o.status, p->o.occurrence, p->o.message, p->o.event, again);
    else if (t->state == PB_RUN_STEP_ERROR && !t->error.n && p->o.message.n) {
        /* Another event told of its end first, without why. */
        t->error = p->o.message;
        rc = pb_store_step_set(w->s, t, w->err);
    }
    pb_free(t);
    return rc;
}

int pb_chain_decide(const struct pb_chain_plan *p, struct pb_store *s, const struct pb_chain_host *h,
                    struct pb_err *err)
{
    struct pb_world w = {.s = s, .h = h, .now = p->now, .err = err};
    int64_t depth;
    bool again;
    pb_err_clear(err);
    if (p->o.passing && p->step[0] && !p->timer) return 0;
    int rc = p->timer ? 0 : note_node(&w, &p->o);
    if (rc == 0) rc = note_found(&w, &p->o);
    if (rc == 0 && p->doubt && !p->timer) rc = pb__chain_look_for(&w, p->doubt, DOUBT_MS);
    if (rc == 0) rc = end_step(&w, p, &depth, &again);
    /* What follows follows from the end of the one that is pending. */
    for (size_t i = 0; rc == 0 && i < p->n && !p->o.coalesced && !p->o.again; i++) {
        /* Its own chain waits for the next attempt. */
        if (again && p->asked[i].run.n) continue;
        rc = decide(&w, p, &p->asked[i], p->asked[i].run.n ? depth : 0);
    }
    if (rc == 0 && p->timer && p->run[0]) {
        struct pb_run *run = pb__chain_run(&w, pb_str_c(p->run));
        if (run) run->open--;
    }
    return pb__chain_end(&w, rc);
}
