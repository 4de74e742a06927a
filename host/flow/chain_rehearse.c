/* SPDX-License-Identifier: MIT */
#include "flow/chain_rehearse.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "data/json_object.h"
#include "data/json_scan.h"

enum { FIRST_MS_DAY = 20458 /* 2026-01-05 */, ROUNDS_MAX = 100000, ARGS_MAX = 64 };

struct started {
    enum pb_step_kind kind;
    pbay_str name, args, job, key, connector, action;
    bool expected;
};

struct noted {
    pbay_str chain, link, why, source, status, occurrence;
    enum pb_outcome outcome;
    bool before; /* the last event */
};

struct pb_rehearsal {
    struct pb_bundle bundle;
    struct pb_store *store;
    char *dir, *alert;
    struct pb_chain_host host;
    struct pb_arena mem;
    struct started *started;
    size_t n_started, cap_started;
    struct noted *noted;
    size_t n_noted, cap_noted;
    uint64_t n_reloads;
    char last_event[PB_ID_SIZE];
};

/* ------------------------------------------------------------------------ what the host would do */

static int put_action(void *user, struct pb_store *s, const struct pb_job_put *job, char id[PB_ID_SIZE],
                      struct pb_err *err)
{
    (void)user;
    bool known;
    return pb_store_job_put(s, job, id, &known, err);
}

static int put_event(void *user, struct pb_store *s, const struct pb_event_put *event, struct pb_err *err)
{
    (void)user;
    char id[PB_ID_SIZE];
    bool known;
    struct pb_job_put job = {
        .queue = PB_STR(PB_CHAIN_QUEUE), .action = PB_STR("event"), .args = PB_STR("{}")};
    struct pb_event_put put = *event;
    put.jobs = &job;
    put.n_jobs = 1;
    return pb_store_event_put(s, &put, id, &known, err);
}

static void decided(void *user, const struct pb_decision *d)
{
    struct pb_rehearsal *r = user;
    PB_GROW(r->noted, r->cap_noted, r->n_noted + 1);
    r->noted[r->n_noted++] = (struct noted){.chain = pb_arena_str(&r->mem, d->chain),
                                            .link = pb_arena_str(&r->mem, d->link),
                                            .why = pb_arena_str(&r->mem, d->why),
                                            .source = pb_arena_str(&r->mem, d->source),
                                            .status = pb_arena_str(&r->mem, d->status),
                                            .occurrence = pb_arena_str(&r->mem, d->occurrence),
                                            .outcome = d->outcome};
}

static const struct pb_bundle *find_bundle(void *user, struct pb_store *s, pbay_str hash, struct pb_err *err)
{
    (void)user;
    (void)s;
    pb_fail(err, PBAY_NOT_FOUND, "no bundle \"%.*s\"", PB_FMT(hash));
    return NULL;
}

/* ------------------------------------------------------------------------ its jobs */

struct turn {
    struct pb_rehearsal *r;
    const struct pb_job *job;
    struct pb_chain_plan *plan;
    bool timer;
};

static int end_turn(struct pb_store *s, void *user, struct pb_err *err)
{
    struct turn *t = user;
    struct pb_rehearsal *r = t->r;
    int rc;
    if (pb_str_is(t->job->queue, PB_NOTIFY_QUEUE))
        rc = pb_chain_notified(s, t->job, NULL, &r->bundle, &r->host, err);
    else if (t->timer)
        rc = pb_chain_timer(&r->bundle, s, t->job, &r->host, find_bundle, r, err);
    else
        rc = pb_chain_decide(t->plan, s, &r->host, err);
    return rc ? rc : pb_store_job_done(s, t->job->id, t->job->fence, pb_str("", 0), err);
}

static int run_job(struct pb_rehearsal *r, const struct pb_job *job, struct pb_err *err)
{
    struct pb_chain_plan plan = {0};
    struct turn t = {r, job, &plan, false};
    int rc = 0;
    if (pb_str_is(job->queue, PB_CHAIN_QUEUE) && pb_str_is(job->action, "timer")) {
        rc = pb_chain_plan_timer(&plan, r->store, job, &r->bundle, find_bundle, r, err);
        t.timer = rc == 0;
    } else if (pb_str_is(job->queue, PB_CHAIN_QUEUE)) {
        struct pb_event *e;
        rc = pb_store_event_get(r->store, job->cause, &e, err);
        if (rc == 0) rc = pb_chain_plan(&plan, r->store, e, &r->bundle, find_bundle, r, err);
        if (rc == 0) pb_free(e);
    }
    if (rc >= 0 && plan.wait_ms) {
        rc = pb_store_job_release(r->store, job, plan.wait_ms, err);
    } else if (rc >= 0) {
        if (!t.timer) pb_chain_ask(&plan);
        rc = pb_store_atomic(r->store, end_turn, &t, err);
    }
    pb_chain_plan_free(&plan);
    return rc < 0 ? -1 : 0;
}

static const pbay_str queues[] = {{PB_CHAIN_QUEUE, sizeof PB_CHAIN_QUEUE - 1},
                                  {PB_NOTIFY_QUEUE, sizeof PB_NOTIFY_QUEUE - 1}};

/* Everything that is due now, and what follows from it. */
static int settle(struct pb_rehearsal *r, struct pb_err *err)
{
    for (int i = 0; i < ROUNDS_MAX; i++) {
        struct pb_jobs jobs;
        struct pb_claim claim = {
            .queues = queues, .n_queues = 2, .owner = PB_STR("rehearsal"), .lease_ms = 3600000, .max = 1};
        int rc = pb_store_job_claim(r->store, &claim, &jobs, err);
        size_t n = jobs.n;
        if (rc == 0 && n) rc = run_job(r, jobs.items[0], err);
        pb_jobs_free(&jobs);
        if (rc != 0) return -1;
        if (!n) return 0;
    }
    return pb_fail(err, PBAY_DEADLINE_EXCEEDED,
                   "more than %d things happened at once: is this an endless loop?", ROUNDS_MAX);
}

/* New jobs of connectors and messages are what was started. */
static int look(struct pb_rehearsal *r, struct pb_err *err)
{
    struct pb_jobs jobs;
    if (pb_store_job_list(r->store, &(struct pb_job_filter){0}, &jobs, err) != 0) {
        pb_jobs_free(&jobs);
        return -1;
    }
    for (size_t i = jobs.n; i > 0; i--) {
        const struct pb_job *j = jobs.items[i - 1];
        bool notify = pb_str_is(j->queue, PB_NOTIFY_QUEUE), known = false;
        if (!j->connector.n && !notify) continue;
        for (size_t k = 0; k < r->n_started && !known; k++) known = pb_str_eq(r->started[k].job, j->id);
        /* A retry that waits has not begun. */
        if (known || (j->state == PB_JOB_WAITING && j->run_at_ms > pb_now_ms())) continue;
        struct started s = {.kind = notify ? PB_STEP_NOTIFY : PB_STEP_ACTION,
                            .args = pb_arena_str(&r->mem, j->args),
                            .job = pb_arena_str(&r->mem, j->id),
                            .key = pb_arena_str(&r->mem, j->key),
                            .name = pb_arena_str(&r->mem, j->action),
                            .connector = pb_arena_str(&r->mem, j->connector)};
        struct pb_run_step *t = NULL;
        struct pb_err none;
        if (j->key.n > PB_ID_LEN &&
            pb_store_step_get(r->store, pb_str(j->key.p, PB_ID_LEN), &t, &none) == 0) {
            s.kind = (enum pb_step_kind)t->kind;
            s.name = pb_arena_str(&r->mem, t->name);
            s.action = pb_arena_str(&r->mem, t->action);
        }
        pb_free(t);
        PB_GROW(r->started, r->cap_started, r->n_started + 1);
        r->started[r->n_started++] = s;
    }
    pb_jobs_free(&jobs);
    return 0;
}

static int go_on(struct pb_rehearsal *r, struct pb_err *err)
{
    return settle(r, err) != 0 ? -1 : look(r, err);
}

static int move_to(struct pb_rehearsal *r, int64_t target, struct pb_err *err)
{
    if (target < pb_now_ms()) return pb_fail(err, PBAY_INVALID_ARGUMENT, "the clock does not go back");
    for (;;) {
        int64_t due;
        if (pb_store_job_due(r->store, queues, 2, &due, err) != 0) return -1;
        if (due > target) break;
        if (due > pb_now_ms()) pb_clock_fake(due);
        if (go_on(r, err) != 0) return -1;
    }
    pb_clock_fake(target);
    return go_on(r, err);
}

/* ------------------------------------------------------------------------ arguments */

struct words {
    struct pb_rehearsal *r;
    pbay_str *items;
    size_t n;
    struct pb_buf *out;
    struct pb_err *err;
};

static pbay_str word(struct words *w, size_t i)
{
    pbay_str s;
    return i < w->n && pb_json_string(w->items[i], &w->r->mem, &s) ? s : pb_str("", 0);
}

static int want(struct words *w, size_t i, const char *what, pbay_str *out)
{
    *out = word(w, i);
    return out->n ? 0 : pb_fail(w->err, PBAY_INVALID_ARGUMENT, "argument %zu is %s, a text", i + 1, what);
}

/* ------------------------------------------------------------------------ given, finish */

static pbay_str member_text(struct words *w, const struct pb_json_object *o, const char *name)
{
    pbay_str v = pb_json_get(o, name), s;
    return v.p && pb_json_string(v, &w->r->mem, &s) ? s : pb_str("", 0);
}

static int do_given(struct words *w)
{
    struct pb_rehearsal *r = w->r;
    struct pb_json_object o;
    if (!w->n || pb_json_object(w->items[0], 256, 32, &r->mem, &o, w->err) != 0)
        return pb_fail(w->err, PBAY_INVALID_ARGUMENT,
                       "given wants a table, such as { app = \"extract\", status = \"ok\" }");
    pbay_str app = member_text(w, &o, "app"), connector = member_text(w, &o, "connector"),
             type = member_text(w, &o, "type"), subject = member_text(w, &o, "subject"),
             id = member_text(w, &o, "id");
    struct pb_buf data = {0};
    const struct pb_chain_app *a = app.n ? pb_chains_app(r->bundle.chains, app) : NULL;
    if (app.n && !a)
        return pb_fail(w->err, PBAY_NOT_FOUND, "there is no app \"%.*s\" in the chains", PB_FMT(app));
    if (a) connector = a->connector;
    if (!type.n) type = PB_STR("reload");
    if (!connector.n || (!a && !subject.n && pb_str_is(type, "reload") && !member_text(w, &o, "app_id").n))
        return pb_fail(w->err, PBAY_INVALID_ARGUMENT,
                       "given wants app = NAME, or connector, type and subject");
    pb_buf_ch(&data, '{');
    if (a && a->id.n) {
        pb_buf_c(&data, "\"app_id\":");
        pb_buf_json(&data, a->id);
        subject = a->id;
    } else if (a) {
        pb_buf_c(&data, "\"app_name\":");
        pb_buf_json(&data, a->title);
        subject = a->title;
    }
    if (pb_str_is(type, "reload") && !member_text(w, &o, "reload_id").n)
        pb_buf_printf(&data, "%s\"reload_id\":\"by-hand-%llu\"", data.n > 1 ? "," : "",
                      (unsigned long long)++r->n_reloads);
    for (size_t i = 0; i < o.n; i++) {
        static const char *const own[] = {"app", "connector", "type", "subject", "id"};
        bool skip = false;
        for (size_t k = 0; k < PB_COUNTOF(own); k++) skip |= pb_str_is(o.members[i].name, own[k]);
        if (skip) continue;
        if (data.n > 1) pb_buf_ch(&data, ',');
        pb_buf_json(&data, o.members[i].name);
        pb_buf_ch(&data, ':');
        pb_buf_str(&data, o.members[i].value);
    }
    pb_buf_ch(&data, '}');
    for (size_t i = 0; i < r->n_noted; i++) r->noted[i].before = true;
    struct pb_job_put job = {
        .queue = PB_STR(PB_CHAIN_QUEUE), .action = PB_STR("event"), .args = PB_STR("{}")};
    struct pb_event_put e = {.connector = connector,
                             .type = type,
                             .subject = subject,
                             .data = pb_buf_view(&data),
                             .time_ms = pb_now_ms(),
                             .keys = &id,
                             .n_keys = id.n ? 1 : 0,
                             .jobs = &job,
                             .n_jobs = 1};
    bool known;
    int rc = pb_store_event_put(r->store, &e, r->last_event, &known, w->err);
    pb_buf_free(&data);
    return rc ? rc : go_on(r, w->err);
}

static struct started *live_of(struct words *w, pbay_str name, struct pb_job **job)
{
    struct pb_rehearsal *r = w->r;
    for (size_t i = r->n_started; i > 0; i--) {
        struct started *s = &r->started[i - 1];
        if (s->kind == PB_STEP_NOTIFY || !pb_str_eq(s->name, name)) continue;
        if (pb_store_job_get(r->store, s->job, pb_str("", 0), job, w->err) != 0) return NULL;
        if ((*job)->state == PB_JOB_WAITING) return s;
        pb_free(*job);
    }
    pb_fail(w->err, PBAY_FAILED_PRECONDITION, "\"%.*s\" was not started, or has ended", PB_FMT(name));
    return NULL;
}

/* The end of a job of a connector: its result, and CONNECTOR.ACTION.done. */
static int do_finish(struct words *w)
{
    struct pb_rehearsal *r = w->r;
    pbay_str name, status = word(w, 1), message = word(w, 2);
    struct pb_job *job;
    if (want(w, 0, "the name of an app or an action", &name) != 0) return -1;
    struct started *s = live_of(w, name, &job);
    if (!s) return -1;
    uint32_t ended = status.n ? pb_ended_parse(status) : PB_ENDED_OK;
    if (!ended) {
        pb_free(job);
        return pb_fail(w->err, PBAY_INVALID_ARGUMENT, "\"%.*s\" is no status; expected ok, error or canceled",
                       PB_FMT(status));
    }
    struct pb_buf data = {0};
    pb_buf_printf(&data,
                  "{\"ok\":true,\"code\":\"OK\",\"key\":\"%.*s\",\"args\":%.*s,\"result\":{\"id\":\"reload-%"
                  "llu\",\"status\":\"%s\"",
                  PB_FMT(s->key), PB_FMT(s->args), (unsigned long long)++r->n_reloads, pb_ended_name(ended));
    if (message.n) {
        pb_buf_c(&data, ",\"errorMessage\":");
        pb_buf_json(&data, message);
    }
    pb_buf_c(&data, "}}");
    for (size_t i = 0; i < r->n_noted; i++) r->noted[i].before = true;
    const char *type = pb_arena_printf(&r->mem, "%.*s.done", PB_FMT(s->action));
    struct pb_event_put e = {.connector = s->connector,
                             .type = pb_str_c(type),
                             .subject = s->key,
                             .data = pb_buf_view(&data),
                             .time_ms = pb_now_ms()};
    struct pb_jobs claimed = {0};
    struct pb_claim claim = {
        .queues = &job->queue, .n_queues = 1, .owner = PB_STR("rehearsal"), .lease_ms = 86400000, .max = 256};
    int rc = pb_store_job_claim(r->store, &claim, &claimed, w->err);
    for (size_t i = 0; rc == 0 && i < claimed.n; i++)
        rc = pb_str_eq(claimed.items[i]->id, job->id)
                 ? pb_store_job_done(r->store, job->id, claimed.items[i]->fence, pb_str("", 0), w->err)
                 : pb_store_job_release(r->store, claimed.items[i], 0, w->err);
    pb_jobs_free(&claimed);
    pb_free(job);
    if (rc == 0) rc = put_event(r, r->store, &e, w->err);
    pb_buf_free(&data);
    return rc ? rc : go_on(r, w->err);
}

/* ------------------------------------------------------------------------ the clock, people */

static int do_advance(struct words *w)
{
    int64_t ms;
    pbay_str s = word(w, 0);
    if (!s.n && w->n) s = pb_str_trim(w->items[0]);
    if (!pb_parse_duration(s, &ms))
        return pb_fail(w->err, PBAY_INVALID_ARGUMENT, "advance wants a time such as \"11m\"; got %.*s",
                       PB_FMT(s));
    for (size_t i = 0; i < w->r->n_noted; i++) w->r->noted[i].before = true;
    return move_to(w->r, pb_now_ms() + ms, w->err);
}

static int do_at(struct words *w)
{
    int64_t ms;
    if (!pb_parse_time(word(w, 0), &ms))
        return pb_fail(w->err, PBAY_INVALID_ARGUMENT, "at wants a time such as \"2026-03-29T00:30:00Z\"");
    for (size_t i = 0; i < w->r->n_noted; i++) w->r->noted[i].before = true;
    return move_to(w->r, ms, w->err);
}

static int last_run(struct words *w, struct pb_run **out)
{
    struct pb_runs runs;
    int rc = pb_store_run_list(w->r->store, &(struct pb_run_filter){.limit = 1}, &runs, w->err);
    if (rc == 0 && !runs.n) rc = pb_fail(w->err, PBAY_NOT_FOUND, "there is no run");
    *out = rc == 0 ? runs.items[--runs.n] : NULL;
    pb_runs_free(&runs);
    return rc;
}

struct deed {
    struct words *w;
    pbay_str verb, run;
    uint32_t n;
};

static int deed(struct pb_store *s, void *user, struct pb_err *err)
{
    struct deed *d = user;
    struct pb_rehearsal *r = d->w->r;
    const pbay_str who = PB_STR("test");
    char run[PB_ID_SIZE];
    if (pb_str_is(d->verb, "pause"))
        return pb_store_pause(s, word(d->w, 0), word(d->w, 1), who, PB_STR("test"), err);
    if (pb_str_is(d->verb, "unpause")) {
        pbay_str held = word(d->w, 2);
        enum pb_held h = pb_str_is(held, "all")    ? PB_HELD_ALL
                         : pb_str_is(held, "once") ? PB_HELD_ONCE
                                                   : PB_HELD_NONE;
        if (pb_store_unpause(s, word(d->w, 0), word(d->w, 1), who, err) != 0) return -1;
        return pb_chain_release(&r->bundle, s, &r->host, word(d->w, 0), word(d->w, 1), h, find_bundle, r,
                                &d->n, err);
    }
    if (pb_str_is(d->verb, "start"))
        return pb_chain_start(&r->bundle, s, &r->host, word(d->w, 0), word(d->w, 1), who, run, err);
    if (pb_str_is(d->verb, "resume"))
        return pb_chain_resume(&r->bundle, s, &r->host, d->run, who, &d->n, err);
    if (pb_str_is(d->verb, "skip"))
        return pb_chain_skip(&r->bundle, s, &r->host, d->run, word(d->w, 0), who, err);
    if (pb_str_is(d->verb, "cancel")) return pb_chain_cancel(&r->bundle, s, &r->host, d->run, who, err);
    return pb_chain_replay(s, &r->host, pb_str_c(r->last_event), who, err);
}

static int do_deed(struct words *w, pbay_str verb)
{
    struct pb_run *run = NULL;
    struct deed d = {w, verb, pb_str("", 0), 0};
    bool needs = pb_str_is(verb, "resume") || pb_str_is(verb, "skip") || pb_str_is(verb, "cancel");
    if (needs && last_run(w, &run) != 0) return -1;
    if (run) d.run = run->id;
    for (size_t i = 0; i < w->r->n_noted; i++) w->r->noted[i].before = true;
    int rc = pb_store_atomic(w->r->store, deed, &d, w->err);
    pb_free(run);
    return rc ? rc : go_on(w->r, w->err);
}

/* ------------------------------------------------------------------------ expectations */

static void list_started(struct pb_rehearsal *r, struct pb_buf *b)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_started; i++)
        if (!r->started[i].expected) pb_buf_printf(b, "%s%.*s", n++ ? ", " : "", PB_FMT(r->started[i].name));
    if (!n) pb_buf_c(b, "nothing");
}

static void list_decisions(struct pb_rehearsal *r, struct pb_buf *b)
{
    for (size_t i = 0; i < r->n_noted; i++)
        if (!r->noted[i].before)
            pb_buf_printf(b, "\n  %s %.*s: %.*s", pb_outcome_name(r->noted[i].outcome),
                          PB_FMT(r->noted[i].link), PB_FMT(r->noted[i].why));
}

static int not_so(struct words *w, const char *fmt, ...) PB_PRINTF(2, 3);
static int not_so(struct words *w, const char *fmt, ...)
{
    struct pb_buf b = {0};
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pb_buf_printf(&b, "%s; started and not expected: ", text);
    list_started(w->r, &b);
    list_decisions(w->r, &b);
    pb_fail(w->err, PBAY_FAILED_PRECONDITION, "%.*s", (int)(b.n > 900 ? 900 : b.n), b.p);
    pb_buf_free(&b);
    return -1;
}

/* Every member of `want` stands in `args` with the same JSON text. */
static bool has_members(struct words *w, pbay_str args, pbay_str wanted)
{
    struct pb_json_object a, b;
    struct pb_err none;
    if (pb_json_object(wanted, 256, 32, &w->r->mem, &b, &none) != 0 ||
        pb_json_object(args, 256, 32, &w->r->mem, &a, &none) != 0)
        return false;
    for (size_t i = 0; i < b.n; i++) {
        const char *name = pb_arena_printf(&w->r->mem, "%.*s", PB_FMT(b.members[i].name));
        pbay_str have = pb_json_get(&a, name);
        if (!have.p || !pb_str_eq(pb_str_trim(have), pb_str_trim(b.members[i].value))) return false;
    }
    return true;
}

static bool holds(pbay_str text, pbay_str part)
{
    return !part.n || memmem(text.p, text.n, part.p, part.n) != NULL;
}

static int do_started(struct words *w, enum pb_step_kind kind)
{
    pbay_str name, part = word(w, 1);
    if (want(w, 0, "a name", &name) != 0) return -1;
    for (size_t i = 0; i < w->r->n_started; i++) {
        struct started *s = &w->r->started[i];
        if (s->expected || s->kind != kind || !pb_str_eq(s->name, name)) continue;
        if (kind == PB_STEP_NOTIFY ? !holds(s->args, part)
                                   : w->n > 1 && !has_members(w, s->args, w->items[1]))
            continue;
        s->expected = true;
        return 0;
    }
    static const char *const words[] = {"reload of", "action", "message to"};
    return not_so(w, "no %s \"%.*s\"%s", words[kind], PB_FMT(name), w->n > 1 ? " like that" : "");
}

static int do_nothing(struct words *w)
{
    for (size_t i = 0; i < w->r->n_started; i++)
        if (!w->r->started[i].expected) return not_so(w, "something was started");
    return 0;
}

static int do_decision(struct words *w, bool skip)
{
    pbay_str outcome = skip ? pb_str("", 0) : word(w, 0), part = word(w, skip ? 0 : 1),
             link = word(w, skip ? 1 : 2);
    for (size_t i = 0; i < w->r->n_noted; i++) {
        const struct noted *d = &w->r->noted[i];
        bool against = d->outcome != PB_FIRED && d->outcome != PB_RELEASED;
        if (d->before || (skip ? !against : !pb_str_is(outcome, pb_outcome_name(d->outcome)))) continue;
        if (holds(d->why, part) && holds(d->link, link)) return 0;
    }
    return not_so(w, "no decision \"%.*s%s%.*s\"", PB_FMT(outcome), outcome.n && part.n ? " " : "",
                  PB_FMT(part));
}

static int do_run(struct words *w)
{
    struct pb_run *run;
    if (last_run(w, &run) != 0) return -1;
    bool same = pb_str_is(word(w, 0), pb_run_state_name(run->state));
    int rc =
        same ? 0 : not_so(w, "the run is %s, not %.*s", pb_run_state_name(run->state), PB_FMT(word(w, 0)));
    pb_free(run);
    return rc;
}

/* ------------------------------------------------------------------------ the door */

int pb_rehearsal_call(struct pb_rehearsal *r, pbay_str verb, pbay_str args, struct pb_buf *out,
                      struct pb_err *err)
{
    struct words w = {.r = r, .out = out, .err = err};
    size_t from = out->n;
    int rc = pb_json_array(pb_arena_str(&r->mem, args), ARGS_MAX, 64, &r->mem, &w.items, &w.n, err);
    static const char *const deeds[] = {"pause", "unpause", "start", "resume", "skip", "cancel", "replay"};
    if (rc != 0) return -1;
    for (size_t i = 0; i < PB_COUNTOF(deeds); i++)
        if (pb_str_is(verb, deeds[i])) {
            rc = do_deed(&w, verb);
            if (rc == 0) pb_buf_c(out, "null");
            return rc;
        }
    if (pb_str_is(verb, "given"))
        rc = do_given(&w);
    else if (pb_str_is(verb, "finish"))
        rc = do_finish(&w);
    else if (pb_str_is(verb, "advance"))
        rc = do_advance(&w);
    else if (pb_str_is(verb, "at"))
        rc = do_at(&w);
    else if (pb_str_is(verb, "expect_reload"))
        rc = do_started(&w, PB_STEP_RELOAD);
    else if (pb_str_is(verb, "expect_action"))
        rc = do_started(&w, PB_STEP_ACTION);
    else if (pb_str_is(verb, "expect_notify"))
        rc = do_started(&w, PB_STEP_NOTIFY);
    else if (pb_str_is(verb, "expect_nothing"))
        rc = do_nothing(&w);
    else if (pb_str_is(verb, "expect_skip"))
        rc = do_decision(&w, true);
    else if (pb_str_is(verb, "expect_decision"))
        rc = do_decision(&w, false);
    else if (pb_str_is(verb, "expect_run"))
        rc = do_run(&w);
    else if (pb_str_is(verb, "decisions")) {
        struct pb_buf b = {0};
        pb_rehearsal_report(r, &b);
        pb_buf_json(out, pb_buf_view(&b));
        pb_buf_free(&b);
    } else
        return pb_fail(err, PBAY_NOT_FOUND, "there is no word \"%.*s\"", PB_FMT(verb));
    if (rc == 0 && out->n == from) pb_buf_c(out, "null");
    return rc;
}

void pb_rehearsal_report(struct pb_rehearsal *r, struct pb_buf *out)
{
    for (size_t i = 0; i < r->n_noted; i++) {
        const struct noted *d = &r->noted[i];
        pb_buf_printf(out, "%-8s %.*s %.*s", pb_outcome_name(d->outcome), PB_FMT(d->chain), PB_FMT(d->link));
        if (d->source.n) pb_buf_printf(out, " (%.*s %.*s)", PB_FMT(d->source), PB_FMT(d->status));
        pb_buf_printf(out, ": %.*s\n", PB_FMT(d->why));
    }
}

struct pb_store *pb_rehearsal_store(struct pb_rehearsal *r)
{
    return r->store;
}

const struct pb_bundle *pb_rehearsal_bundle(struct pb_rehearsal *r)
{
    return &r->bundle;
}

/* ------------------------------------------------------------------------ open and close */

static int clocks(struct pb_store *s, void *user, struct pb_err *err)
{
    return pb_chain_clocks(&((struct pb_rehearsal *)user)->bundle, s, NULL, err);
}

int pb_rehearsal_open(const struct pb_rehearsal_options *o, const pbay_str *files, size_t n_files,
                      struct pb_rehearsal **out, struct pb_err *err)
{
    struct pb_rehearsal *r = pb_zalloc(sizeof *r);
    struct pb_chains *chains = NULL;
    /* In memory where there is such a place: nothing of it is to last. */
    const char *tmp = getenv("TMPDIR"), *ram = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    r->dir = pb_sprintf("%s/patchbay-rehearsal-XXXXXX", tmp && *tmp ? tmp : ram);
    r->alert = o->alert.n ? pb_strndup(o->alert.p, o->alert.n) : pb_strdup("alerts");
    r->host = (struct pb_chain_host){r, put_action, put_event, pb_str_c(r->alert), decided};
    struct pb_chains_options co = {.dir = o->dir, .files = files, .n_files = n_files, .names = o->names};
    pb_clock_fake(o->now_ms ? o->now_ms : (int64_t)FIRST_MS_DAY * 86400000);
    int rc = pb_chains_load(&co, &chains, err);
    if (rc == 0) pb_bundle_set(&r->bundle, chains);
    if (rc == 0 && !mkdtemp(r->dir)) rc = pb_fail(err, PBAY_UNAVAILABLE, "%s: %s", r->dir, strerror(errno));
    if (rc == 0) {
        char *url = pb_sprintf("sqlite:%s/state.db", r->dir);
        rc = pb_store_open(url, &r->store, err);
        pb_free(url);
    }
    if (rc == 0) rc = pb_store_atomic(r->store, clocks, r, err);
    if (rc != 0) {
        pb_rehearsal_close(r);
        return -1;
    }
    *out = r;
    return 0;
}

/* The folder of the store, which has no folders in it. */
static void drop(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char *path = pb_sprintf("%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.') unlink(path);
        pb_free(path);
    }
    if (d) closedir(d);
    rmdir(dir);
}

void pb_rehearsal_close(struct pb_rehearsal *r)
{
    if (!r) return;
    pb_store_close(r->store);
    if (r->dir && !strstr(r->dir, "XXXXXX")) drop(r->dir);
    pb_bundle_clear(&r->bundle);
    pb_free(r->started);
    pb_free(r->noted);
    pb_arena_free(&r->mem);
    pb_free(r->alert);
    pb_free(r->dir);
    pb_free(r);
    pb_clock_fake(-1);
}
