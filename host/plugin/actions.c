/* SPDX-License-Identifier: MIT */
#include "plugin/actions.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "data/options.h"
#include "plugin/action.h"
#include "plugin/connector_priv.h"
#include "plugin/registry.h"
#include "plugin/services.h"

/* A connector that is out or stopping: somebody else may run it, or we later. */
enum { OUT_MS = 5000 };

/* One job of an action being run here. */
struct running {
    struct running *next, *prev;
    struct pb_actions *actions;
    struct pb_turn *turn;
    const struct pb_job *job;
    struct pb_action_call *call; /* NULL: not begun, or over */
};

struct pb_actions {
    struct pb_registry *registry;
    struct pb_actions_config c;
    struct pb_arena mem;
    struct running running; /* list head */
    struct pb_job_handler handler, told;
};

/* ------------------------------------------------------------------------ which job an action is */

static int split(struct pb_actions *a, pbay_str target, struct pb_connector **c, pbay_str *name,
                 struct pb_err *err)
{
    size_t dot = pb_str_chr(target, '.');
    *c = NULL;
    if (dot == 0 || dot + 1 >= target.n) {
        pb_fail(err, PBAY_INVALID_ARGUMENT, "action \"%.*s\": expected CONNECTOR.ACTION", PB_FMT(target));
        return -1;
    }
    pbay_str connector = pb_str(target.p, dot);
    *name = pb_str(target.p + dot + 1, target.n - dot - 1);
    *c = pb_registry_connector(a->registry, connector);
    if (*c) return 0;
    pb_fail(err, PBAY_NOT_FOUND, "action \"%.*s\": there is no [connector \"%.*s\"]", PB_FMT(target),
            PB_FMT(connector));
    return -1;
}

static int find(struct pb_actions *a, pbay_str target, struct pb_connector **c, int *action,
                struct pb_err *err)
{
    pbay_str name = {NULL, 0};
    if (split(a, target, c, &name, err)) return -1;
    *action = pb_action_find(*c, name, err);
    return *action < 0 ? -1 : 0;
}

int pb_actions_known(struct pb_actions *a, pbay_str target, struct pb_err *err)
{
    struct pb_connector *c;
    int action;
    return find(a, target, &c, &action, err);
}

bool pb_actions_takes(struct pb_actions *a, pbay_str target, pbay_str name, struct pb_err *err)
{
    struct pb_connector *c;
    int action;
    if (find(a, target, &c, &action, err)) return false;
    const pbay_action *x = pb_action_at(c, action);
    const pbay_option_table *t = &x->arguments;
    if ((x->flags & PBAY_ACTF_MORE) || pb_str_is(name, "key") || pb_str_is(name, "args")) return true;
    const char **names = pb_array(t->count + 1, sizeof *names);
    bool there = false;
    for (uint32_t i = 0; i < t->count; i++) {
        names[i] = pb_option_at(t, i)->name;
        there |= pb_str_is(name, names[i]);
    }
    const char *near = pb_nearest(name, names, t->count);
    if (!there)
        pb_fail(err, PBAY_INVALID_ARGUMENT,
                "action %.*s has no argument \"%.*s\"%s%s%s; a parameter is an argument, or `args`, or `key`",
                PB_FMT(target), PB_FMT(name), near ? "; did you mean \"" : "", near ? near : "",
                near ? "\"?" : "");
    pb_free(names);
    return there;
}

static bool lists(const struct pb_action_queue *q, pbay_str target, pbay_str connector)
{
    if (!q->n_targets) return pb_str_eq(q->name, connector);
    for (uint32_t i = 0; i < q->n_targets; i++) {
        pbay_str t = q->targets[i];
        if (pb_str_eq(t, target)) return true;
        if (pb_str_ends(t, PB_STR(".*")) && pb_str_eq(pb_str(t.p, t.n - 2), connector)) return true;
    }
    return false;
}

int pb_actions_job(struct pb_actions *a, pbay_str target, pbay_str args, struct pb_job_put *out,
                   struct pb_err *err)
{
    struct pb_connector *c;
    int action;
    if (!args.n) args = PB_STR("{}");
    if (find(a, target, &c, &action, err) || pb_action_check(c, action, args, err)) return -1;
    const pbay_action *what = pb_action_at(c, action);
    *out = (struct pb_job_put){.queue = pb_str_c(c->name),
                               .action = target,
                               .connector = pb_str_c(c->name),
                               .args = args,
                               .repeat = (enum pb_job_repeat)(what->repeat - 1),
                               .max_attempts = (what->flags & PBAY_ACTF_PATIENT) && !a->c.attempts_said
                                                   ? PBAY_ACTION_TRIES
                                                   : a->c.attempts,
                               .keep_ms = a->c.keep_ms,
                               .tell = true};
    for (uint32_t i = 0; i < a->c.n_queues; i++) {
        const struct pb_action_queue *q = &a->c.queues[i];
        if (!lists(q, target, out->queue)) continue;
        out->queue = q->name;
        if (q->attempts) out->max_attempts = q->attempts;
        if (q->starts) {
            out->limit_key = q->name;
            out->limit_n = q->starts;
            out->limit_ms = q->per_ms;
        }
        break;
    }
    return 0;
}

/* ------------------------------------------------------------------------ the event of the end */

/* As who asked knows it: services put the connector's name in front, functions theirs. */
static pbay_str own_key(const struct pb_job *job)
{
    const pbay_str fronts[] = {job->connector, job->function};
    for (size_t i = 0; i < PB_COUNTOF(fronts); i++) {
        size_t n = fronts[i].n + 1;
        if (n > 1 && job->key.n > n && pb_str_starts(job->key, fronts[i]) && job->key.p[n - 1] == '/')
            return pb_str(job->key.p + n, job->key.n - n);
    }
    return job->key;
}

void pb_action_end_data(struct pb_buf *out, const struct pb_job *job, enum pb_job_state state,
                        const struct pb_err *why, pbay_str result)
{
    bool ok = state == PB_JOB_DONE;
    int32_t code = ok ? PBAY_OK : why && why->code != PBAY_OK ? why->code : PBAY_UNKNOWN;
    if (state == PB_JOB_CANCELLED) code = PBAY_CANCELLED;
    pb_buf_printf(out, "{\"ok\":%s,\"state\":\"%s\",\"code\":\"%s\",\"message\":", ok ? "true" : "false",
                  pb_job_state_name(state), pb_code_name(code));
    pb_buf_json(out, ok || !why ? PB_STR("") : pb_str_c(why->msg));
    if (!ok && why && (why->vendor_status || why->vendor_code[0])) {
        pb_buf_printf(out, ",\"vendor_status\":%d,\"vendor_code\":", why->vendor_status);
        pb_buf_json(out, pb_str_c(why->vendor_code));
    }
    pb_buf_c(out, ",\"job\":");
    pb_buf_json(out, job->id);
    pb_buf_c(out, ",\"key\":");
    pb_buf_json(out, own_key(job));
    if (job->run.n) {
        pb_buf_c(out, ",\"run\":");
        pb_buf_json(out, job->run);
    }
    pb_buf_printf(out, ",\"attempt\":%u", job->attempt);
    if (job->handle.n) {
        pb_buf_c(out, ",\"handle\":");
        pb_buf_json(out, job->handle);
    }
    /* An event has room for what decides something; the rest is the job's, as long as it is kept. */
    bool has_args = job->args.n && out->n + job->args.n + 64 <= PB_EVENT_DATA_MAX;
    pb_buf_c(out, ",\"args\":");
    pb_buf_str(out, has_args ? job->args : PB_STR("null"));
    if (result.n && out->n + result.n + 64 > PB_EVENT_DATA_MAX) {
        pb_buf_printf(out, ",\"result_bytes\":%zu", result.n);
        result.n = 0;
    }
    pb_buf_c(out, ",\"result\":");
    pb_buf_str(out, result.n ? result : PB_STR("null"));
    pb_buf_ch(out, '}');
}

/* [store thread] */
static int put_end(struct pb_durable *d, struct pb_store *s, const struct pb_job *job,
                   enum pb_job_state state, const struct pb_err *why, pbay_str result, struct pb_err *err)
{
    struct pb_buf data = {0};
    char key[PB_ID_SIZE + 32], type[PB_STORE_NAME_MAX + 8], id[PB_ID_SIZE];
    bool known;
    size_t dot = pb_str_chr(job->action, '.');
    pbay_str name =
        dot < job->action.n ? pb_str(job->action.p + dot + 1, job->action.n - dot - 1) : job->action;
    snprintf(type, sizeof type, "%.*s.done", PB_FMT(name));
    /* A job that a person retries ends again, under another fence. */
    snprintf(key, sizeof key, "job:%.*s:%lld", PB_FMT(job->id), (long long)job->fence);
    const pbay_str k = pb_str_c(key);
    pb_action_end_data(&data, job, state, why, result);
    const struct pb_event_put event = {.connector = job->connector,
                                       .type = pb_str_c(type),
                                       .subject = job->key.n ? own_key(job) : job->id,
                                       .data = pb_buf_view(&data),
                                       .time_ms = pb_now_ms(),
                                       .keys = &k,
                                       .n_keys = 1};
    int rc = pb_durable_event(d, s, &event, id, &known, err);
    pb_buf_free(&data);
    return rc;
}

struct end {
    struct pb_durable *durable;
    const struct pb_turn *turn;
    const struct pb_job *job; /* the turn's, as long as the turn */
    bool failed;
    struct pb_err why;
    struct pb_buf result;
};

/* [store thread] */
static int also_end(struct pb_store *s, void *user, struct pb_err *err)
{
    struct end *e = user;
    enum pb_job_state state = pb_turn_became(e->turn);
    if (state != PB_JOB_DONE && state != PB_JOB_DEAD && state != PB_JOB_CANCELLED) return 0;
    return put_end(e->durable, s, e->job, state, e->failed ? &e->why : NULL, pb_buf_view(&e->result), err);
}

static void end_gone(void *user)
{
    struct end *e = user;
    pb_buf_free(&e->result);
    pb_free(e);
}

/* The turn's end brings the event along. */
static void with_event(struct pb_actions *a, struct pb_turn *turn, const struct pb_job *job,
                       const struct pb_err *why, pbay_str result)
{
    struct end *e = pb_zalloc(sizeof *e);
    e->durable = a->c.durable;
    e->turn = turn;
    e->job = job;
    e->failed = why != NULL;
    if (why) e->why = *why;
    pb_buf_str(&e->result, result);
    pb_turn_also(turn, also_end, end_gone, e);
}

/* Ends without a turn (PB_JOB_TELL_QUEUE). */
struct tell {
    struct pb_durable *durable;
    char id[PB_ID_SIZE];
};

/* [store thread] */
static int also_tell(struct pb_store *s, void *user, struct pb_err *err)
{
    struct tell *t = user;
    struct pb_job *job;
    if (pb_store_job_get(s, pb_str_c(t->id), PB_STR(""), &job, err) != 0)
        return err->code == PBAY_NOT_FOUND ? 0 : -1;
    struct pb_err why = {0};
    int rc = 0;
    if (job->state == PB_JOB_DEAD || job->state == PB_JOB_CANCELLED) {
        pb_fail(&why, job->code, "%.*s", PB_FMT(job->error));
        rc = put_end(t->durable, s, job, job->state, &why, PB_STR(""), err);
    }
    pb_free(job);
    return rc;
}

static void tell_gone(void *user)
{
    pb_free(user);
}

static void run_tell(void *user, struct pb_turn *turn, const struct pb_job *job)
{
    const struct pb_actions *a = user;
    struct tell *t = pb_zalloc(sizeof *t);
    t->durable = a->c.durable;
    snprintf(t->id, sizeof t->id, "%.*s", PB_FMT(job->args));
    pb_turn_also(turn, also_tell, tell_gone, t);
    pb_turn_done(turn, PB_STR(""));
}

/* ------------------------------------------------------------------------ running */

static void over(struct running *r)
{
    r->next->prev = r->prev;
    r->prev->next = r->next;
    pb_free(r);
}

static void fail(struct pb_actions *a, struct pb_turn *turn, const struct pb_job *job,
                 const struct pb_err *why)
{
    with_event(a, turn, job, why, PB_STR(""));
    pb_turn_fail(turn, why);
}

static void on_end(void *user, const struct pb_action_answer *answer)
{
    struct running *r = user;
    struct pb_actions *a = r->actions;
    struct pb_turn *turn = r->turn;
    const struct pb_job *job = r->job;
    over(r);
    const struct pb_err *err = answer->err;
    if (!err && answer->started) {
        pb_turn_started(turn, answer->text, answer->poll_after_ms);
    } else if (!err) {
        with_event(a, turn, job, NULL, answer->text);
        pb_turn_done(turn, answer->text);
    } else if (job->phase == PB_JOB_CHECK && err->code == PBAY_NOT_FOUND && !answer->late) {
        /* It was the last attempt: that it was not done is how it ended. */
        with_event(a, turn, job, err, PB_STR(""));
        pb_turn_not_done(turn);
    } else if (job->phase == PB_JOB_CHECK && err->code == PBAY_UNKNOWN && !answer->late) {
        pb_turn_unknown(turn, pb_str_c(err->msg));
    } else {
        fail(a, turn, job, err);
    }
}

/* What the other side may know it by: 1 to 64 of [A-Za-z0-9_-]. */
static pbay_str key_of(const struct pb_job *job)
{
    pbay_str key = own_key(job);
    if (!key.n || key.n > 64) return job->id;
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
              c == '-'))
            return job->id;
    }
    return key;
}

static void run(void *user, struct pb_turn *turn, const struct pb_job *job)
{
    struct pb_actions *a = user;
    struct pb_connector *c;
    struct pb_err err = {0};
    char trace[PB_JOB_TRACE];
    int action;
    if (find(a, job->action, &c, &action, &err)) {
        fail(a, turn, job, &err);
        return;
    }
    if (!c->started || c->stopped || pb_connector_state(c, NULL) == PB_CONNECTOR_OUT) {
        pb_fail(&err, PBAY_CANCELLED, "it was cancelled while connector \"%s\" was out", c->name);
        with_event(a, turn, job, &err, PB_STR("")); /* if it was */
        pb_turn_release(turn, OUT_MS);
        return;
    }
    if (job->phase == PB_JOB_CHECK && !c->plugin->actions.lookup) {
        pb_turn_unknown(turn, PB_STR("the plugin cannot tell any more whether it was done"));
        return;
    }
    static const enum pb_action_what what[] = {PB_ACTION_RUN, PB_ACTION_LOOKUP, PB_ACTION_POLL};
    const struct pb_action_info info = {.what = what[job->phase],
                                        .attempt = job->attempt,
                                        .fence = (uint64_t)job->fence,
                                        .key = key_of(job),
                                        .args = job->args,
                                        .handle = job->handle,
                                        .traceparent = pb_job_trace(job, trace),
                                        .first_attempt_ms = job->first_ms};
    struct running *r = pb_zalloc(sizeof *r);
    *r = (struct running){
        .actions = a, .turn = turn, .job = job, .next = &a->running, .prev = a->running.prev};
    r->prev->next = r;
    a->running.prev = r;
    r->call = pb_action_begin(c, action, &info, on_end, r, &err);
    if (r->call) {
        if (job->cancel) pb_action_cancel(r->call);
        return;
    }
    const struct pb_action_answer answer = {.err = &err};
    on_end(r, &answer);
}

static void cancel(void *user, struct pb_turn *turn)
{
    struct pb_actions *a = user;
    for (struct running *r = a->running.next; r != &a->running; r = r->next)
        if (r->turn == turn && r->call) {
            pb_action_cancel(r->call);
            return;
        }
}

static const struct pb_job_handler *find_handler(void *user, const struct pb_job *job)
{
    struct pb_actions *a = user;
    struct pb_connector *c = pb_registry_connector(a->registry, job->connector);
    if (!c) return NULL;
    return pb_str_chr(job->action, '.') < job->action.n ? &a->handler : pb_service_job_handler(c, job);
}

/* ------------------------------------------------------------------------ life */

struct pb_actions *pb_actions_new(struct pb_registry *r, const struct pb_actions_config *config)
{
    struct pb_actions *a = pb_zalloc(sizeof *a);
    a->registry = r;
    a->c = *config;
    a->running.next = a->running.prev = &a->running;
    struct pb_action_queue *queues = pb_arena_alloc(&a->mem, (a->c.n_queues + 1) * sizeof *queues);
    for (uint32_t i = 0; i < a->c.n_queues; i++) queues[i] = config->queues[i];
    a->c.queues = queues;
    a->handler = (struct pb_job_handler){.run = run, .cancel = cancel, .user = a};
    a->told = (struct pb_job_handler){.run = run_tell, .user = a};
    if (a->c.durable) {
        pb_durable_on_connectors(a->c.durable, find_handler, a);
        pb_durable_on_queue(a->c.durable, PB_JOB_TELL_QUEUE, &a->told);
    }
    return a;
}

void pb_actions_free(struct pb_actions *a)
{
    if (!a) return;
    PB_REQUIRE(a->running.next == &a->running);
    pb_arena_free(&a->mem);
    pb_free(a);
}
