/* SPDX-License-Identifier: MIT */
#include "flow/chain_work.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "data/json_object.h"
#include "flow/chain_log.h"
#include "plugin/actions.h"

enum { CLOCKS_AGAIN_MS = 5000, CLOCKS_EVERY_MS = 10 * 60 * 1000, LOOKS = 11, LOOK_AGAIN_MS = 500 };

struct loaded {
    struct loaded *next;
    struct pb_bundle bundle;
};

struct pb_chain_work {
    struct pb_chain_work_config c;
    uint32_t counts[PB_OUTCOMES];
    struct pb_bundle now;
    struct pb_chain_host host;
    struct pb_job_handler handler, notifier;
    pthread_mutex_t lock; /* of loaded: the store thread looks bundles up */
    struct loaded *loaded;
    struct pb_store_op clocks;
    struct pb_timer again; /* of clocks */
    bool stopped;
    bool quiet; /* [store thread] there are no chains, and no run of earlier ones goes on */
};

/* ------------------------------------------------------------------------ bundles of earlier scripts */

struct kept {
    struct kept *next;
    enum pb_outcome outcome;
    char *chain, *link, *source, *status, *why, *run, *event;
};

/* One evaluation, from its claim to the end of its turn. */
struct task {
    struct pb_chain_work *w;
    struct pb_turn *turn;
    const struct pb_job *job;
    struct pb_store_op op;
    struct pb_chain_plan plan;
    bool timer; /* for pb_chain_timer */
    struct pb_chain_host host;
    struct kept *kept;  /* decisions, newest first: logged by the loop when they are on disk */
    char missing[65];   /* a bundle that must be loaded first */
    struct pb_buf text; /* of it */
    struct pb_err why;
};

static const struct pb_bundle *look_up(struct pb_chain_work *w, pbay_str hash)
{
    const struct pb_bundle *found = pb_str_is(hash, w->now.hash) ? &w->now : NULL;
    pthread_mutex_lock(&w->lock);
    for (struct loaded *l = w->loaded; l && !found; l = l->next)
        if (pb_str_is(hash, l->bundle.hash)) found = &l->bundle;
    pthread_mutex_unlock(&w->lock);
    return found;
}

/* [store thread] What is not loaded is fetched; the loop loads it and asks again. */
static const struct pb_bundle *find_bundle(void *user, struct pb_store *s, pbay_str hash, struct pb_err *err)
{
    struct task *t = user;
    const struct pb_bundle *b = look_up(t->w, hash);
    if (b) return b;
    t->text.n = 0;
    if (pb_store_bundle_get(s, hash, &t->text, err) != 0) return NULL;
    snprintf(t->missing, sizeof t->missing, "%.*s", PB_FMT(hash));
    pb_fail(err, PBAY_UNAVAILABLE, "the scripts %.12s are not loaded yet", t->missing);
    return NULL;
}

static int load_missing(struct task *t, struct pb_err *err)
{
    struct pb_chains *chains;
    struct loaded *l;
    const struct pb_chains_options o = {.bundle = pb_buf_view(&t->text)};
    if (look_up(t->w, pb_str_c(t->missing))) return 0;
    if (pb_chains_load(&o, &chains, err) != 0)
        return pb_fail_in(err, "scripts %.12s of an earlier run", t->missing);
    l = pb_zalloc(sizeof *l);
    pb_bundle_set(&l->bundle, chains);
    /* Names that the configuration gave then are not in the text: it keeps the name it was stored under. */
    snprintf(l->bundle.hash, sizeof l->bundle.hash, "%s", t->missing);
    pthread_mutex_lock(&t->w->lock);
    l->next = t->w->loaded;
    t->w->loaded = l;
    pthread_mutex_unlock(&t->w->lock);
    pb_log(PB_LOG_INFO, "chain", "scripts of an earlier run loaded", PB_S("bundle", t->missing));
    return 0;
}

/* ------------------------------------------------------------------------ evaluation */

static char *copy(pbay_str s)
{
    return pb_strndup(s.p ? s.p : "", s.n);
}

/* [store thread] */
static void decided(void *user, const struct pb_decision *d)
{
    struct task *t = user;
    struct kept *k = pb_alloc(sizeof *k);
    *k = (struct kept){t->kept,         d->outcome,   copy(d->chain), copy(d->link), copy(d->source),
                       copy(d->status), copy(d->why), copy(d->run),   copy(d->event)};
    t->kept = k;
}

/* Told, or (they were not kept) forgotten. */
static void decisions(struct task *t, bool tell)
{
    struct kept *list = NULL;
    for (struct kept *k = t->kept, *next; k; k = next) { /* oldest first */
        next = k->next;
        k->next = list;
        list = k;
    }
    t->kept = NULL;
    for (struct kept *k = list, *next; k; k = next) {
        enum pb_log_level level = k->outcome == PB_RAISED    ? PB_LOG_WARN
                                  : k->outcome == PB_SKIPPED ? PB_LOG_DEBUG
                                                             : PB_LOG_INFO;
        if (tell && t->w->c.metrics) pb_metric_add_own(t->w->c.metrics, t->w->counts[k->outcome], 1);
        if (tell)
            pb_log(level, "chain", "decision", PB_S("outcome", pb_outcome_name(k->outcome)),
                   PB_S("chain", k->chain), PB_S("link", k->link), PB_S("source", k->source),
                   PB_S("status", k->status), PB_S("why", k->why), PB_S("run", k->run),
                   PB_S("event", k->event));
        next = k->next;
        char *texts[] = {k->chain, k->link, k->source, k->status, k->why, k->run, k->event};
        for (size_t i = 0; i < PB_COUNTOF(texts); i++) pb_free(texts[i]);
        pb_free(k);
    }
}

static void task_free(void *user)
{
    struct task *t = user;
    decisions(t, true);
    pb_chain_plan_free(&t->plan);
    pb_buf_free(&t->text);
    pb_free(t);
}

static int read_task(struct pb_store *s, void *user, struct pb_err *err)
{
    struct task *t = user;
    struct pb_event *e = NULL;
    int rc;
    pb_chain_plan_free(&t->plan);
    t->missing[0] = 0;
    if (pb_str_is(t->job->action, "timer")) {
        rc = pb_chain_plan_timer(&t->plan, s, t->job, &t->w->now, find_bundle, t, err);
        t->timer = rc == 0;
        return rc < 0 ? -1 : 0;
    }
    if (pb_store_event_get(s, t->job->cause, &e, err) != 0) return -1;
    rc = pb_chain_plan(&t->plan, s, e, &t->w->now, find_bundle, t, err);
    pb_free(e);
    return rc;
}

/* [store thread] In the transaction that ends the job. */
static int end_task(struct pb_store *s, void *user, struct pb_err *err)
{
    struct task *t = user;
    decisions(t, false); /* of a time before that was not kept */
    t->host = t->w->host;
    t->host.user = t;
    t->host.decided = decided;
    if (t->timer) return pb_chain_timer(&t->w->now, s, t->job, &t->host, find_bundle, t, err);
    return pb_chain_decide(&t->plan, s, &t->host, err);
}

static void task_read(void *user, const struct pb_err *err)
{
    struct task *t = user;
    struct pb_turn *turn = t->turn;
    if (err && t->missing[0]) {
        struct pb_err why;
        if (load_missing(t, &why) == 0) {
            pb_store_post(pb_durable_store(t->w->c.durable), &t->op);
            return;
        }
        pb_log(PB_LOG_ERROR, "chain", "a run's scripts cannot be loaded", PB_S("error", why.msg));
        task_free(t);
        pb_turn_fail(turn, &why);
    } else if (err) {
        struct pb_err why = *err;
        pb_log(PB_LOG_WARN, "chain", "an event could not be evaluated", PB_S("error", err->msg));
        task_free(t);
        if (why.code == PBAY_NOT_FOUND)
            pb_turn_done(turn, pb_str("", 0)); /* the event is older than events are kept */
        else
            pb_turn_fail(turn, &why);
    } else if (t->plan.wait_ms) {
        int64_t ms = t->plan.wait_ms;
        task_free(t);
        pb_turn_release(turn, ms);
    } else {
        if (!t->timer) pb_chain_ask(&t->plan);
        pb_turn_also(turn, end_task, task_free, t);
        pb_turn_done(turn, pb_str("", 0));
    }
}

static void run_task(void *user, struct pb_turn *turn, const struct pb_job *job)
{
    struct task *t = pb_zalloc(sizeof *t);
    t->w = user;
    t->turn = turn;
    t->job = job;
    t->op = (struct pb_store_op){.run = read_task, .done = task_read, .user = t, .reads = true};
    pb_store_post(pb_durable_store(t->w->c.durable), &t->op);
}

/* ------------------------------------------------------------------------ messages */

struct message {
    struct pb_chain_work *w;
    struct pb_turn *turn;
    const struct pb_job *job;
    const struct pb_notify_target *target;
    struct pb_store_op look; /* for a script's log */
    struct pb_timer again;
    unsigned looks;
    bool reload;
    struct pb_buf body, log;
    bool failed;
    struct pb_err why;
};

static void message_free(void *user)
{
    struct message *m = user;
    pb_buf_free(&m->body);
    pb_buf_free(&m->log);
    pb_free(m);
}

static int end_message(struct pb_store *s, void *user, struct pb_err *err)
{
    struct message *m = user;
    struct task t = {.w = m->w};
    struct pb_chain_host host = m->w->host;
    host.user = &t;
    return pb_chain_notified(s, m->job, m->failed ? &m->why : NULL, &m->w->now, &host, err);
}

static void message_over(struct message *m)
{
    struct pb_turn *turn = m->turn;
    struct pb_err why = m->why;
    bool failed = m->failed;
    if (failed)
        pb_log(PB_LOG_WARN, "chain", "a message was not sent", PB_V("target", m->job->action),
               PB_S("error", why.msg));
    pb_turn_also(turn, end_message, message_free, m);
    if (failed)
        pb_turn_fail(turn, &why);
    else
        pb_turn_done(turn, pb_str("", 0));
}

static void message_sent(void *user, uint64_t exchange, const struct pb_fetch_reply *r)
{
    struct message *m = user;
    pbay_str retry_after = {"", 0};
    (void)exchange;
    for (uint32_t i = 0; i < r->n_headers; i++)
        if (pb_str_is(r->headers[i].name, "retry-after")) retry_after = r->headers[i].value;
    m->failed = pb_notify_answer(r->status, &r->result, retry_after, &m->why) != 0;
    message_over(m);
}

static void send_message(struct message *m)
{
    static const struct pb_fetch_events events = {.on_done = message_sent};
    char trace[PB_JOB_TRACE];
    const pbay_header headers[] = {{PB_STR("content-type"), PB_STR("application/json")},
                                   {PB_STR("traceparent"), pb_job_trace(m->job, trace)}};
    struct pb_arena mem = {0};
    struct pb_json_object o;
    pbay_str text = {"", 0};
    if (pb_json_object(m->job->args, 16, 8, &mem, &o, &m->why) == 0)
        pb_json_string(pb_json_get(&o, "text"), &mem, &text);
    pb_notify_body(&m->body, m->target, text, pb_buf_view(&m->log));
    const struct pb_fetch_request q = {.flags = PB_FETCH_CONFIGURED,
                                       .method = PB_STR("POST"),
                                       .url = m->target->url,
                                       .headers = headers,
                                       .n_headers = headers[1].value.n ? 2 : 1,
                                       .body = pb_buf_view(&m->body),
                                       .timeout_ms = 30000,
                                       .max_reply = 65536};
    m->failed = !pb_fetch_send(m->w->c.http, &q, &events, m, &m->why);
    pb_arena_free(&mem);
    if (m->failed) message_over(m);
}

/* [store thread] */
static int look_for_log(struct pb_store *s, void *user, struct pb_err *err)
{
    struct message *m = user;
    m->log.n = 0;
    return pb_chain_log(s, m->job->cause, m->target->log_lines, &m->reload, &m->log, err);
}

static void look_again(void *user)
{
    struct message *m = user;
    pb_store_post(pb_durable_store(m->w->c.durable), &m->look);
}

/* The log comes a moment after the failure. A message that nobody can add one to is sent as it is. */
static void looked(void *user, const struct pb_err *err)
{
    struct message *m = user;
    if (!err && m->reload && !m->log.n && ++m->looks < LOOKS && !m->w->stopped)
        pb_timer_set(pb_durable_loop(m->w->c.durable), &m->again, LOOK_AGAIN_MS);
    else
        send_message(m);
}

static void run_message(void *user, struct pb_turn *turn, const struct pb_job *job)
{
    struct pb_chain_work *w = user;
    struct message *m = pb_zalloc(sizeof *m);
    *m = (struct message){.w = w, .turn = turn, .job = job};
    for (size_t i = 0; i < w->c.n_targets; i++)
        if (pb_str_eq(w->c.targets[i].name, job->action)) m->target = &w->c.targets[i];
    m->again = (struct pb_timer){.fn = look_again, .user = m};
    m->look = (struct pb_store_op){.run = look_for_log, .done = looked, .user = m, .reads = true};
    m->failed = !m->target;
    if (!m->target) {
        pb_fail(&m->why, PBAY_FAILED_PRECONDITION, "there is no [notify \"%.*s\"] in the configuration",
                PB_FMT(job->action));
        message_over(m);
    } else if (m->target->log_lines && job->cause.n) {
        look_again(m);
    } else {
        send_message(m);
    }
}

/* ------------------------------------------------------------------------ the host */

/* [store thread] */
static int cause(struct pb_store *s, void *user, const struct pb_event_put *event, pbay_str id,
                 struct pb_err *err)
{
    struct pb_chain_work *w = user;
    char job_id[PB_ID_SIZE];
    bool known;
    if (w->quiet || !pb_chain_listens(&w->now, event)) return 0;
    struct pb_job_put job = {.queue = PB_STR(PB_CHAIN_QUEUE),
                             .action = PB_STR("event"),
                             .args = PB_STR("{}"),
                             .cause = id,
                             .max_attempts = 1000};
    return pb_store_job_put(s, &job, job_id, &known, err);
}

/* [store thread] */
static int put_action(void *user, struct pb_store *s, const struct pb_job_put *in, char id[PB_ID_SIZE],
                      struct pb_err *err)
{
    struct pb_chain_work *w = ((struct task *)user)->w;
    struct pb_job_put job;
    bool known;
    if (pb_actions_job(w->c.actions, in->action, in->args, &job, err) != 0) return -1;
    job.key = in->key;
    job.cause = in->cause;
    job.run = in->run;
    job.run_at_ms = in->run_at_ms;
    return pb_store_job_put(s, &job, id, &known, err);
}

/* [store thread] */
static int put_event(void *user, struct pb_store *s, const struct pb_event_put *event, struct pb_err *err)
{
    struct pb_chain_work *w = ((struct task *)user)->w;
    char id[PB_ID_SIZE];
    bool known;
    return pb_durable_event(w->c.durable, s, event, id, &known, err);
}

struct pb_chain_work *pb_chain_work_new(const struct pb_chain_work_config *c)
{
    struct pb_chain_work *w = pb_zalloc(sizeof *w);
    w->c = *c;
    pb_bundle_set(&w->now, c->chains);
    w->host = (struct pb_chain_host){NULL, put_action, put_event, c->alert, NULL};
    w->handler = (struct pb_job_handler){.run = run_task, .user = w};
    w->notifier = (struct pb_job_handler){.run = run_message, .user = w};
    pthread_mutex_init(&w->lock, NULL);
    for (int i = 0; c->metrics && i < PB_OUTCOMES; i++) {
        char labels[40];
        snprintf(labels, sizeof labels, "outcome=\"%s\"", pb_outcome_name((enum pb_outcome)i));
        w->counts[i] = pb_metric(c->metrics, PB_METRIC_COUNTER, "chain_decisions_total", labels,
                                 "Links of chains that were looked at, by what was decided.");
    }
    pb_durable_on_event(c->durable, cause, w);
    pb_durable_on_queue(c->durable, PB_CHAIN_QUEUE, &w->handler);
    pb_durable_on_queue(c->durable, PB_NOTIFY_QUEUE, &w->notifier);
    return w;
}

static int put_clocks(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_chain_work *work = user;
    struct pb_runs going;
    if (!pb_chains_graph(work->now.chains)->n_links) {
        int rc = pb_store_run_list(s, &(struct pb_run_filter){.states = 1 << PB_RUN_RUNNING, .limit = 1},
                                   &going, err);
        work->quiet = rc == 0 && !going.n;
        pb_runs_free(&going);
        if (rc != 0) return -1;
    }
    struct task t = {.w = user};
    struct pb_chain_host host = t.w->host;
    host.user = &t;
    return pb_chain_clocks(&t.w->now, s, &host, err);
}

static void clocks_put(void *user, const struct pb_err *err)
{
    struct pb_chain_work *w = user;
    if (w->stopped) return;
    if (err)
        pb_log(PB_LOG_ERROR, "chain", "cron and deadlines are not set; it is tried again",
               PB_S("error", err->msg));
    /* Now and then also when they are: the clock may have been set back, and apps are looked for once a day.
     */
    pb_timer_set(pb_durable_loop(w->c.durable), &w->again, err ? CLOCKS_AGAIN_MS : CLOCKS_EVERY_MS);
}

static void set_clocks(void *user)
{
    struct pb_chain_work *w = user;
    w->clocks = (struct pb_store_op){.run = put_clocks, .done = clocks_put, .user = w};
    pb_store_post(pb_durable_store(w->c.durable), &w->clocks);
}

void pb_chain_work_start(struct pb_chain_work *w)
{
    w->again.fn = set_clocks;
    w->again.user = w;
    set_clocks(w);
}

void pb_chain_work_stop(struct pb_chain_work *w)
{
    if (!w) return;
    w->stopped = true;
    pb_timer_cancel(&w->again);
}

void pb_chain_work_free(struct pb_chain_work *w)
{
    if (!w) return;
    for (struct loaded *l = w->loaded, *next; l; l = next) {
        next = l->next;
        pb_bundle_clear(&l->bundle);
        pb_free(l);
    }
    pb_bundle_clear(&w->now);
    pthread_mutex_destroy(&w->lock);
    pb_free(w);
}

const struct pb_bundle *pb_chain_work_bundle(const struct pb_chain_work *w)
{
    return &w->now;
}

/* ------------------------------------------------------------------------ pictures and deeds */

struct errand {
    struct pb_chain_work *w;
    struct pb_store_op op;
    struct task find; /* what find_bundle writes to */
    struct pb_buf out, texts;
    uint32_t format;
    pbay_str chain;
    struct pb_chain_wish wish;
    struct pb_arena mem;
    void (*got)(void *user, const struct pb_err *err, pbay_str text);
    void *user;
};

static int draw(struct pb_store *s, void *user, struct pb_err *err)
{
    struct errand *e = user;
    e->out.n = 0;
    return pb_chain_picture(&e->w->now, s, e->format, e->chain, &e->out, err);
}

static int do_it(struct pb_store *s, void *user, struct pb_err *err)
{
    struct errand *e = user;
    e->out.n = 0;
    e->find.missing[0] = 0;
    decisions(&e->find, false);
    e->find.host = e->w->host;
    e->find.host.user = &e->find;
    e->find.host.decided = decided;
    return pb_chain_do(&e->w->now, s, &e->find.host, &e->wish, find_bundle, &e->find, &e->out, err);
}

static void errand_done(void *user, const struct pb_err *err)
{
    struct errand *e = user;
    struct pb_err why;
    if (err && e->find.missing[0] && load_missing(&e->find, &why) == 0) {
        pb_store_post(pb_durable_store(e->w->c.durable), &e->op);
        return;
    }
    decisions(&e->find, !err);
    e->got(e->user, err, pb_buf_view(&e->out));
    pb_buf_free(&e->out);
    pb_buf_free(&e->find.text);
    pb_arena_free(&e->mem);
    pb_free(e);
}

static struct errand *errand(struct pb_chain_work *w,
                             void (*got)(void *user, const struct pb_err *err, pbay_str text), void *user)
{
    struct errand *e = pb_zalloc(sizeof *e);
    e->w = e->find.w = w;
    e->got = got;
    e->user = user;
    return e;
}

void pb_chain_work_picture(struct pb_chain_work *w, uint32_t format, pbay_str chain,
                           void (*got)(void *user, const struct pb_err *err, pbay_str text), void *user)
{
    struct errand *e = errand(w, got, user);
    e->format = format;
    e->chain = pb_arena_str(&e->mem, chain);
    e->op = (struct pb_store_op){.run = draw, .done = errand_done, .user = e, .reads = true};
    pb_store_post(pb_durable_store(w->c.durable), &e->op);
}

void pb_chain_work_do(struct pb_chain_work *w, const struct pb_chain_wish *wish,
                      void (*done)(void *user, const struct pb_err *err, pbay_str json), void *user)
{
    struct errand *e = errand(w, done, user);
    e->wish = *wish;
    e->wish.object = pb_arena_str(&e->mem, wish->object);
    e->wish.name = pb_arena_str(&e->mem, wish->name);
    e->wish.who = pb_arena_str(&e->mem, wish->who);
    e->op = (struct pb_store_op){.run = do_it, .done = errand_done, .user = e};
    pb_store_post(pb_durable_store(w->c.durable), &e->op);
}
