/* SPDX-License-Identifier: MIT */
/* What happens later: windows, debounce, deferred conditions, fan-in that ran out of time, cron, deadlines.
 */
#include "base/clock.h"
#include "data/json_object.h"
#include "flow/chain_priv.h"
#include "guard/digest.h"

enum { KEY_TEXT = 64 };

/* ------------------------------------------------------------------------ a firing as JSON */

static void put(struct pb_buf *b, const char *name, pbay_str value)
{
    pb_buf_printf(b, "%s\"%s\":", b->n > 1 ? "," : "", name);
    pb_buf_json(b, value);
}

void pb__chain_pack(const struct pb_firing *f, const char *kind, pbay_str note, struct pb_buf *b)
{
    pb_buf_ch(b, '{');
    put(b, "kind", pb_str_c(kind));
    put(b, "chain", pb_chains_graph(f->bundle->chains)->chains[f->link->chain].name);
    put(b, "link", f->link->name);
    put(b, "bundle", pb_str_c(f->bundle->hash));
    put(b, "run", f->run);
    put(b, "step", f->step);
    put(b, "event", f->event);
    put(b, "occurrence", f->occurrence);
    put(b, "source", f->source);
    put(b, "status", f->status);
    put(b, "note", note);
    pb_buf_printf(b, ",\"depth\":%lld,\"args\":[", (long long)f->depth);
    for (uint32_t i = 0; f->args && i < f->link->n_steps; i++) {
        if (i) pb_buf_ch(b, ',');
        if (f->args[i].p)
            pb_buf_json(b, f->args[i]);
        else
            pb_buf_c(b, "null");
    }
    pb_buf_c(b, "]}");
}

static pbay_str text(struct pb_world *w, const struct pb_json_object *o, const char *name)
{
    pbay_str value = pb_json_get(o, name), s;
    return value.p && pb_json_string(value, &w->mem, &s) ? s : pb_str("", 0);
}

/* 0; -1 with err; 1: the link is not there any more, in any bundle that can be had. */
int pb__chain_unpack(struct pb_world *w, pbay_str json, struct pb_firing *f, pbay_str *kind, pbay_str *note,
                     pb_bundle_fn find, void *user)
{
    struct pb_json_object o;
    pbay_str *items;
    size_t n = 0;
    *f = (struct pb_firing){0};
    if (pb_json_object(pb_arena_str(&w->mem, json), 64, 16, &w->mem, &o, w->err) != 0) return -1;
    *kind = text(w, &o, "kind");
    *note = text(w, &o, "note");
    f->run = text(w, &o, "run");
    f->step = text(w, &o, "step");
    f->event = text(w, &o, "event");
    f->occurrence = text(w, &o, "occurrence");
    f->source = text(w, &o, "source");
    f->status = text(w, &o, "status");
    pb_parse_i64(pb_str_trim(pb_json_get(&o, "depth")), &f->depth);
    pbay_str hash = text(w, &o, "bundle"), chain = text(w, &o, "chain"), link = text(w, &o, "link");
    /* Clocks are the present scripts'; what belongs to a run is its own. */
    bool clock = pb_str_is(*kind, "cron") || pb_str_is(*kind, "deadline");
    f->bundle = clock || pb_str_is(hash, w->now->hash) ? w->now : find(user, w->s, hash, w->err);
    if (!f->bundle) return w->err->code == PBAY_NOT_FOUND ? 1 : -1;
    const struct pb_chain *c = pb_chains_chain(f->bundle->chains, chain);
    f->link = c ? pb_chains_link(f->bundle->chains, c, link) : NULL;
    if (!f->link) return 1;
    if (pb_json_array(pb_json_get(&o, "args"), PB_CHAIN_STEPS_MAX, 4, &w->mem, &items, &n, NULL) == 0 &&
        n == f->link->n_steps) {
        f->args = pb_arena_zalloc(&w->mem, n * sizeof *f->args);
        for (size_t i = 0; i < n; i++)
            if (!pb_json_string(items[i], &w->mem, &f->args[i])) f->args[i] = pb_str(NULL, 0);
    }
    return 0;
}

int pb__chain_arm(struct pb_world *w, const struct pb_firing *f, const char *kind, int64_t at_ms,
                  pbay_str note)
{
    struct pb_buf args = {0};
    char id[PB_ID_SIZE];
    bool known;
    pb__chain_pack(f, kind, note, &args);
    struct pb_job_put job = {.queue = PB_STR(PB_CHAIN_QUEUE),
                             .action = PB_STR("timer"),
                             .args = pb_buf_view(&args),
                             .cause = f->event,
                             .run = f->run,
                             .run_at_ms = at_ms,
                             .max_attempts = 1000};
    int rc = pb_store_job_put(w->s, &job, id, &known, w->err);
    pb_buf_free(&args);
    if (rc != 0) return -1;
    /* A run does not end while something of it is to come; fan-in that waits is no reason to stay. */
    if (f->run.n && strcmp(kind, "within") != 0) {
        struct pb_run *run = pb__chain_run(w, f->run);
        if (!run) return -1;
        run->open++;
    }
    return 0;
}

/* ------------------------------------------------------------------------ clocks */

static int put_clock(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_link *l,
                     int64_t at_ms, struct pb_err *err)
{
    const struct pb_chain *c = &pb_chains_graph(now->chains)->chains[l->chain];
    struct pb_firing f = {.bundle = now, .link = l};
    struct pb_buf args = {0}, name = {0};
    uint8_t sum[PB_SHA256_SIZE];
    char key[KEY_TEXT], id[PB_ID_SIZE], note[PB_TIME_MAX];
    bool known;
    pb_buf_printf(&name, "%.*s\n%.*s", PB_FMT(c->name), PB_FMT(l->name));
    pb_sha256(pb_buf_view(&name), sum);
    int n = snprintf(key, sizeof key, "clock-");
    for (int i = 0; i < 12; i++) n += snprintf(key + n, sizeof key - (size_t)n, "%02x", sum[i]);
    snprintf(key + n, sizeof key - (size_t)n, "-%lld", (long long)(at_ms / 1000));
    pb_format_time(at_ms, note);
    f.occurrence = pb_str_c(note);
    f.source = l->n_sources ? l->sources[0].name : PB_STR("cron");
    pb__chain_pack(&f, l->kind == PB_LINK_CRON ? "cron" : "deadline", pb_str_c(note), &args);
    struct pb_job_put job = {.queue = PB_STR(PB_CHAIN_QUEUE),
                             .action = PB_STR("timer"),
                             .args = pb_buf_view(&args),
                             .key = pb_str_c(key),
                             .run_at_ms = at_ms,
                             .max_attempts = 1000};
    int rc = pb_store_job_put(s, &job, id, &known, err);
    pb_buf_free(&args);
    pb_buf_free(&name);
    return rc;
}

int pb__chain_look_for(struct pb_world *w, const struct pb_chain_app *a, int64_t every_ms)
{
    struct pb_buf args = {0}, target = {0};
    uint8_t sum[PB_SHA256_SIZE];
    char key[KEY_TEXT], id[PB_ID_SIZE];
    pb_buf_c(&args, "{\"name\":");
    pb_buf_json(&args, a->title);
    if (a->space.n) {
        pb_buf_c(&args, ",\"space\":");
        pb_buf_json(&args, a->space);
    }
    pb_buf_ch(&args, '}');
    pb_buf_printf(&target, "%.*s.find_app\n%.*s", PB_FMT(a->connector), PB_FMT(pb_buf_view(&args)));
    pb_sha256(pb_buf_view(&target), sum);
    int n = snprintf(key, sizeof key, "find-%llds-%lld-", (long long)(every_ms / 1000),
                     (long long)(pb_now_ms() / every_ms));
    for (int i = 0; i < 12; i++) n += snprintf(key + n, sizeof key - (size_t)n, "%02x", sum[i]);
    struct pb_job_put job = {.queue = a->connector,
                             .connector = a->connector,
                             .action = pb_str(target.p, pb_str_chr(pb_buf_view(&target), '\n')),
                             .args = pb_buf_view(&args),
                             .key = pb_str_c(key)};
    int rc = w->h->put_action(w->h->user, w->s, &job, id, w->err);
    /* A connector that cannot look leaves it to the first reload. */
    if (rc != 0 && (w->err->code == PBAY_NOT_FOUND || w->err->code == PBAY_INVALID_ARGUMENT)) rc = 0;
    pb_buf_free(&args);
    pb_buf_free(&target);
    return rc;
}

int pb_chain_clocks(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_host *h,
                    struct pb_err *err)
{
    const struct pb_chain_graph *g = pb_chains_graph(now->chains);
    if (pb_store_bundle_put(s, pb_str_c(now->hash), pb_buf_view(&now->text), err) != 0) return -1;
    for (uint32_t i = 0; i < g->n_links; i++) {
        const struct pb_chain_link *l = &g->links[i];
        if (l->kind != PB_LINK_CRON && l->kind != PB_LINK_DEADLINE) continue;
        int64_t at = pb_cron_next(&l->cron, pb_now_ms());
        if (at != PB_NEVER && put_clock(now, s, l, at, err) != 0) return -1;
    }
    if (!h) return 0;
    /* Whatever waits for room starts when the scripts of now have more of it. */
    struct pb_world w = {.s = s, .h = h, .now = now, .err = err, .room = true};
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < g->n_apps; i++)
        if (!g->apps[i].id.n) rc = pb__chain_look_for(&w, &g->apps[i], PB_DAY_MS);
    return pb__chain_end(&w, rc);
}

/* The app ended well since: nobody is told. */
static int in_time(struct pb_world *w, const struct pb_firing *f, int64_t due, bool *yes, const char **why)
{
    const struct pb_chain_app *app = &pb_chains_graph(f->bundle->chains)->apps[f->link->sources[0].app];
    struct pb_buf id = {0};
    struct pb_node *node = NULL;
    *yes = false;
    pb_chain_app_id(w->s, app, &id);
    int rc = id.n ? pb_store_node_get(w->s, app->connector, pb_buf_view(&id), &node, w->err) : 0;
    pb_buf_free(&id);
    if (rc != 0) return -1;
    int64_t ok = node ? node->ok_ms : 0;
    pb_free(node);
    *yes = ok > due - f->link->since_ms && ok <= due;
    char time[PB_TIME_MAX];
    pb_format_time(ok, time);
    *why = *yes ? pb_arena_printf(&w->mem, "it ended well at %s", time)
           : ok ? pb_arena_printf(&w->mem, "it ended well last at %s", time)
                : "it has never been seen to end well";
    return 0;
}

static int clock_timer(struct pb_world *w, struct pb_firing *f, pbay_str kind, pbay_str note)
{
    int64_t due, now = pb_now_ms(), next;
    const struct pb_chain_link *l = f->link;
    bool cron = pb_str_is(kind, "cron"), done;
    const char *why = "";
    if (!pb_parse_time(note, &due)) return 0;
    /* Edited meanwhile: the new schedule has a timer of its own. */
    if (l->kind != (cron ? PB_LINK_CRON : PB_LINK_DEADLINE) || pb_cron_next(&l->cron, due - 1) != due)
        return 0;
    next = pb_cron_next(&l->cron, now > due ? now : due);
    if (next != PB_NEVER && put_clock(w->now, w->s, l, next, w->err) != 0) return -1;
    f->status = PB_STR("due");
    if (l->late_ms && now - due > l->late_ms)
        return pb__chain_settle(w, f, PB_SKIPPED, true, "it is %s late, and more than %s is left out",
                                pb__chain_ago(w, now - due), pb__chain_ago(w, l->late_ms));
    if (!cron) {
        if (in_time(w, f, due, &done, &why) != 0) return -1;
        if (done) return pb__chain_settle(w, f, PB_SKIPPED, true, "%s", why);
        f->status = PB_STR("late");
    }
    return pb__chain_pass(w, f);
}

/* ------------------------------------------------------------------------ the others */

static int within_timer(struct pb_world *w, struct pb_firing *f)
{
    struct pb_link_states list;
    const struct pb_chain *c = &pb_chains_graph(f->bundle->chains)->chains[f->link->chain];
    pbay_str group = f->link->per_run ? f->run : pb_str("", 0);
    int64_t now = pb_now_ms(), n = 0, old = 0, next = PB_NEVER;
    int rc = pb_store_link_list(w->s, c->name, f->link->name, group, pb_str("", 0), &list, w->err);
    for (size_t i = 0; rc == 0 && i < list.n; i++) {
        if (list.items[i]->item.p[0] == '@') continue;
        n++;
        if (now - list.items[i]->at_ms > f->link->within_ms) {
            old++;
            rc = pb_store_link_drop(w->s, c->name, f->link->name, group, list.items[i]->item, w->err);
        } else if (list.items[i]->at_ms + f->link->within_ms + 1 < next) {
            next = list.items[i]->at_ms + f->link->within_ms + 1;
        }
    }
    pb_link_states_free(&list);
    if (rc != 0) return -1;
    if (next != PB_NEVER && pb__chain_arm(w, f, "within", next, pb_str("", 0)) != 0) return -1;
    if (!old) return 0;
    const char *why = pb_arena_printf(&w->mem, "its window of %s is over with %lld of %u ended",
                                      pb__chain_ago(w, f->link->within_ms), (long long)n, f->link->need);
    if (pb__chain_settle(w, f, PB_SKIPPED, false, "%s", why) != 0) return -1;
    return pb__chain_alert(w, f, why);
}

/* The last event of a debounce fires; earlier ones find that it was not the last. */
static int debounce_timer(struct pb_world *w, struct pb_firing *f, pbay_str note, bool *last)
{
    struct pb_link_states list;
    const struct pb_chain *c = &pb_chains_graph(f->bundle->chains)->chains[f->link->chain];
    int rc = pb_store_link_list(w->s, c->name, f->link->name, pb_str("", 0), PB_ITEM_DEBOUNCE, &list, w->err);
    *last = rc == 0 && list.n && pb_str_eq(list.items[0]->value, note);
    pb_link_states_free(&list);
    return rc;
}

/* Each way of being late is an occurrence of its own. */
static void later(struct pb_world *w, struct pb_firing *f, pbay_str kind)
{
    f->occurrence = pb_str_c(pb_arena_printf(&w->mem, "%.*s~%.*s", PB_FMT(f->occurrence), PB_FMT(kind)));
}

static int one_link(struct pb_world *w, struct pb_firing *f, pbay_str kind, pbay_str note)
{
    bool last = true;
    if (pb_str_is(kind, "cron") || pb_str_is(kind, "deadline")) return clock_timer(w, f, kind, note);
    if (pb_str_is(kind, "within")) return within_timer(w, f);
    if (pb_str_is(kind, "debounce") && debounce_timer(w, f, note, &last) != 0) return -1;
    bool had_run = f->run.n > 0, deferred = pb_str_is(kind, "defer");
    later(w, f, kind);
    /* Of a condition this is asked only when there is nothing left to ask it about. */
    int rc = deferred ? pb__chain_settle(w, f, PB_SKIPPED, true, "its event is not kept any more")
             : last   ? pb__chain_pass(w, f)
                      : pb__chain_settle(w, f, PB_SKIPPED, true, "debounce: another came after it");
    /* The timer itself is over. */
    struct pb_run *run = rc == 0 && had_run ? pb__chain_run(w, f->run) : NULL;
    if (run) run->open--;
    return rc;
}

int pb_chain_plan_timer(struct pb_chain_plan *p, struct pb_store *s, const struct pb_job *job,
                        const struct pb_bundle *now, pb_bundle_fn find, void *user, struct pb_err *err)
{
    struct pb_chain_host none = {0};
    struct pb_world w = {.s = s, .h = &none, .now = now, .err = err};
    struct pb_firing f;
    struct pb_event *e = NULL;
    pbay_str kind, note;
    int rc = pb__chain_unpack(&w, job->args, &f, &kind, &note, find, user);
    if (rc == 0 && pb_str_is(kind, "defer"))
        rc = pb_store_event_get(s, f.event, &e, err) == 0 ? 2 : err->code == PBAY_NOT_FOUND ? 0 : -1;
    if (rc == 2) {
        p->now = now;
        pb_occurred_read(&p->o, e);
        p->o.occurrence = pb_str_c(pb_arena_printf(&p->o.mem, "%.*s~defer", PB_FMT(f.occurrence)));
        snprintf(p->step, sizeof p->step, "%.*s", PB_FMT(f.step));
        snprintf(p->run, sizeof p->run, "%.*s", PB_FMT(f.run));
        p->timer = true;
        rc = pb__chain_plan_one(p, s, &f, err);
    } else if (rc > 0) {
        rc = 0;
    }
    pb_free(e);
    pb_arena_free(&w.mem);
    return rc;
}

int pb_chain_timer(const struct pb_bundle *now, struct pb_store *s, const struct pb_job *job,
                   const struct pb_chain_host *h, pb_bundle_fn find, void *user, struct pb_err *err)
{
    struct pb_world w = {.s = s, .h = h, .now = now, .err = err};
    struct pb_firing f;
    pbay_str kind, note;
    int rc = pb__chain_unpack(&w, job->args, &f, &kind, &note, find, user);
    if (rc == 1) {
        /* The scripts have forgotten it: its run goes on without. */
        struct pb_run *run = f.run.n ? pb__chain_run(&w, f.run) : NULL;
        if (run && !pb_str_is(kind, "within")) run->open--;
        rc = 0;
    } else if (rc == 0) {
        rc = one_link(&w, &f, kind, note);
    }
    return pb__chain_end(&w, rc);
}
