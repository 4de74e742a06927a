/* SPDX-License-Identifier: MIT */
#include "plugin/action.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/handle.h"
#include "base/mem.h"
#include "data/config.h"
#include "data/json_scan.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"
#include "store/jobs.h"

enum { MAGIC = 0x41435431 };
/* How long after its end a plugin may keep an attempt before that is its fault. */
#define OVERDUE_NS (60 * PB_SEC)

/* One attempt. It ends twice: `told` when on_end was called, `settled` when the plugin has answered. */
struct pb_action_call {
    uint32_t magic;
    uint64_t handle;
    struct pb_connector *connector;
    struct pb_action_call *next, *prev; /* of the connector */
    int action;
    enum pb_action_what what;
    struct pb_arena mem;
    struct pbay_config *arguments;
    pbay_action_info info;

    pb_action_end_fn on_end;
    void *user;
    struct pb_defer step;
    struct pb_deadline deadline;
    bool settled, told, ending, inside, cancelled, overdue;

    /* the answer */
    bool late, started, failed;
    struct pb_err err;
    struct pb_buf text;
    int64_t poll_after_ms;
};

/* Attempts that plugins hold, of this thread. */
static _Thread_local struct pb_handles calls;

/* ------------------------------------------------------------------------ what there is */

int pb_action_find(const struct pb_connector *c, pbay_str name, struct pb_err *err)
{
    int i = pb_plugin_action(c->plugin, name);
    if (i >= 0) return i;
    struct pb_buf list = {0};
    uint32_t n = c->plugin->has_actions ? c->plugin->actions.n_actions : 0;
    const char **names = pb_array(n + 1, sizeof *names);
    for (uint32_t k = 0; k < n; k++) {
        names[k] = c->plugin->action_table[k].name;
        pb_buf_printf(&list, "%s%s", k ? ", " : "", names[k]);
    }
    const char *near = pb_nearest(name, names, n);
    pbay_str there = n ? pb_buf_view(&list) : PB_STR("none");
    pb_fail(err, PBAY_NOT_FOUND, "plugin %s has no action \"%.*s\"%s%s%s; it has: %.*s", c->plugin->name,
            PB_FMT(name), near ? "; did you mean \"" : "", near ? near : "", near ? "\"" : "", PB_FMT(there));
    pb_buf_free(&list);
    pb_free(names);
    return -1;
}

const pbay_action *pb_action_at(const struct pb_connector *c, int action)
{
    return &c->plugin->action_table[action];
}

static int read_arguments(const struct pb_connector *c, int action, pbay_str args, struct pbay_config **out,
                          struct pb_err *err)
{
    const pbay_action *a = pb_action_at(c, action);
    char *what = pb_sprintf("arguments of %s.%s", c->name, a->name);
    int rc = pb_config_from_json(what, args, &a->arguments, a->flags & PBAY_ACTF_MORE, out, err);
    /* Messages that go on must not point to it. */
    pb_free(what);
    return rc;
}

int pb_action_check(const struct pb_connector *c, int action, pbay_str args, struct pb_err *err)
{
    struct pbay_config *cfg;
    int rc = read_arguments(c, action, args, &cfg, err);
    pb_config_free(cfg);
    return rc;
}

/* ------------------------------------------------------------------------ life */

static void unlink_call(struct pb_action_call *call)
{
    if (!call->next) return;
    struct pb_connector *c = call->connector;
    if (c->action_calls == call) c->action_calls = call->next == call ? NULL : call->next;
    call->next->prev = call->prev;
    call->prev->next = call->next;
    call->next = call->prev = NULL;
}

static void free_call(struct pb_action_call *call)
{
    struct pb_connector *c = call->connector;
    if (!call->settled) pb_handle_release(&calls, call->handle);
    pb_deadline_cancel(&call->deadline);
    pb_defer_cancel(&call->step);
    unlink_call(call);
    pb_config_free(call->arguments);
    pb_arena_free(&call->mem);
    pb_buf_free(&call->text);
    call->magic = 0;
    pb_free(call);
    c->stats.in_flight--;
    pb_connector_ended(c);
}

/* The plugin holds it no more. */
static void settle(struct pb_action_call *call)
{
    if (call->settled) return;
    call->settled = true;
    pb_handle_release(&calls, call->handle);
    pb_deadline_cancel(&call->deadline);
}

static void step(void *user)
{
    struct pb_action_call *call = user;
    PB_MAGIC_CHECK(call, MAGIC);
    if (call->ending && !call->told) {
        call->told = true;
        if (call->failed) call->connector->stats.failed++;
        const struct pb_action_answer answer = {.err = call->failed ? &call->err : NULL,
                                                .started = call->started,
                                                .text = pb_buf_view(&call->text),
                                                .poll_after_ms = call->poll_after_ms,
                                                .late = call->late};
        call->on_end(call->user, &answer);
    }
    if (call->told && call->settled) free_call(call);
}

static void kick(struct pb_action_call *call)
{
    pb_loop_defer(call->connector->env->loop, &call->step);
}

static void end_with(struct pb_action_call *call, const struct pb_err *err)
{
    if (call->ending) return;
    call->ending = call->failed = true;
    call->err = *err;
    kick(call);
}

/* The plugin broke a rule: what became of it nobody knows. */
static void fault(struct pb_action_call *call, const char *what)
{
    const char *name = pb_action_at(call->connector, call->action)->name;
    struct pb_err err = {0};
    pb_connector_fault(call->connector, what, name);
    pb_fail(&err, PBAY_INTERNAL, "connector \"%s\", action %s: %s", call->connector->name, name, what);
    if (call->what == PB_ACTION_RUN) err.effect = PBAY_EFFECT_MAYBE;
    end_with(call, &err);
}

static void advise(struct pb_action_call *call)
{
    struct pb_connector *c = call->connector;
    if (call->cancelled || call->settled) return;
    call->cancelled = true;
    if (!c->plugin->actions.cancel) return;
    struct pb_visit v;
    pb_visit_enter(&v, c, "action cancel", pb_action_at(c, call->action)->name);
    c->plugin->actions.cancel(c->self, (uint32_t)call->action, call->handle);
    pb_visit_leave(&v);
}

static void answer_for(struct pb_action_call *call, const struct pb_err *err)
{
    call->late = true;
    call->connector->stats.late++;
    end_with(call, err);
    advise(call);
}

static void on_deadline(void *user)
{
    struct pb_action_call *call = user;
    struct pb_connector *c = call->connector;
    const char *name = pb_action_at(c, call->action)->name;
    if (call->late) {
        char text[PB_STATE_TEXT];
        snprintf(text, sizeof text, "%s not answered action %s 60 s after its end",
                 pb_connector_apart(c) ? "has" : "the plugin has", name);
        pb_connector_fault(c, "an action was not answered 60 s after its end", name);
        pb_connector_stuck(c, text);
        return;
    }
    struct pb_err err = {0};
    pb_fail(&err, PBAY_DEADLINE_EXCEEDED, "connector \"%s\" did not answer %s within its timeout of %lld ms",
            c->name, name, (long long)c->timeout_ms);
    err.advice = PBAY_ADVICE_RETRY;
    if (call->what == PB_ACTION_RUN) err.effect = PBAY_EFFECT_MAYBE;
    answer_for(call, &err);
    if (!call->settled) pb_deadline_set(c->env->loop, &call->deadline, pb_mono_ns() + OVERDUE_NS);
}

void pb_action_abandon(struct pb_connector *c)
{
    struct pb_err err = {0};
    pb_fail(&err, PBAY_UNAVAILABLE, "connector \"%s\" was stopped before it answered", c->name);
    err.effect = PBAY_EFFECT_MAYBE;
    for (struct pb_action_call *call = c->action_calls; call;
         call = call->next == c->action_calls ? NULL : call->next)
        if (!call->ending) {
            call->late = true;
            end_with(call, &err);
        }
}

void pb_action_pool_free(void)
{
    if (!calls.live) pb_handles_free(&calls);
}

static struct pb_action_call *new_call(struct pb_connector *c, int action, const struct pb_action_info *info)
{
    struct pb_action_call *call = pb_zalloc(sizeof *call);
    call->magic = MAGIC;
    call->connector = c;
    call->action = action;
    call->what = info->what;
    call->step = pb_defer_make(step, call);
    call->deadline.fn = on_deadline;
    call->deadline.user = call;
    call->handle = pb_handle_new(&calls, call);
    call->info = (pbay_action_info){.struct_size = sizeof call->info,
                                    .attempt = info->attempt,
                                    .fence = info->fence,
                                    .key = pb_arena_str(&call->mem, info->key),
                                    .json = pb_arena_str(&call->mem, info->args),
                                    .first_attempt_ms = info->first_attempt_ms,
                                    .deadline = pb_mono_ns() + c->timeout_ms * PB_MS,
                                    .handle = pb_arena_str(&call->mem, info->handle),
                                    .traceparent = pb_arena_str(&call->mem, info->traceparent)};
    if (c->action_calls) {
        call->next = c->action_calls;
        call->prev = c->action_calls->prev;
        call->prev->next = call->next->prev = call;
    } else
        c->action_calls = call->next = call->prev = call;
    c->stats.in_flight++;
    pb_connector_began(c);
    return call;
}

struct pb_action_call *pb_action_begin(struct pb_connector *c, int action, const struct pb_action_info *info,
                                       pb_action_end_fn on_end, void *user, struct pb_err *err)
{
    const pbay_actions_1 *t = &c->plugin->actions;
    const pbay_action *a = pb_action_at(c, action);
    struct pbay_config *arguments;
    pb_err_clear(err);
    if (c->stopped || !c->started) {
        pb_fail(err, PBAY_UNAVAILABLE, "connector \"%s\" is %s", c->name,
                c->stopped ? "stopping" : "not started");
        return NULL;
    }
    if (c->state == PB_CONNECTOR_OUT) {
        pb_connector_refuse(c, err);
        return NULL;
    }
    if (read_arguments(c, action, info->args, &arguments, err)) return NULL;
    struct pb_action_call *call = new_call(c, action, info);
    call->on_end = on_end;
    call->user = user;
    call->arguments = arguments;
    call->info.arguments = arguments;
    static const char *const what[] = {"action", "action poll", "action lookup"};
    int32_t (*const fns[])(void *, uint32_t, pbay_action_run, const pbay_action_info *,
                           pbay_result *) = {t->run, t->poll, t->lookup};
    if (!fns[info->what]) {
        pb_fail(err, PBAY_UNIMPLEMENTED, "plugin %s has no %s for action %s", c->plugin->name,
                info->what == PB_ACTION_POLL ? "poll" : "lookup", a->name);
        free_call(call);
        return NULL;
    }
    pbay_result why = PBAY_RESULT_OK;
    struct pb_visit v;
    pb_visit_enter(&v, c, what[info->what], a->name);
    pb_current.trace = call->info.traceparent;
    call->inside = true;
    int32_t code = fns[info->what](c->self, (uint32_t)action, call->handle, &call->info, &why);
    call->inside = false;
    pb_visit_leave(&v);
    if (code != PBAY_OK) {
        c->stats.refused++;
        pb_plugin_why(err, code, &why, what[info->what]);
        if (call->settled) pb_connector_fault(c, "an action was answered and refused", a->name);
        free_call(call);
        return NULL;
    }
    c->stats.calls++;
    if (!call->settled) pb_deadline_set(c->env->loop, &call->deadline, call->info.deadline);
    return call;
}

void pb_action_cancel(struct pb_action_call *call)
{
    PB_MAGIC_CHECK(call, MAGIC);
    if (!call->ending) advise(call);
}

/* ------------------------------------------------------------------------ pbay.host.action/1 */

/* The attempt that a plugin answers, settled; NULL when it is over, which is a fault unless it was answered
 * in its place. */
static struct pb_action_call *answered(pbay_action_run run, const char *what)
{
    struct pb_action_call *call = pb_handle_get(&calls, run);
    if (!call) {
        if (pb_current.connector)
            pb_connector_fault(pb_current.connector, "an action that is over was answered", what);
        return NULL;
    }
    settle(call);
    if (!call->ending) return call;
    if (!call->inside) kick(call); /* told, or about to be: this was the settling alone */
    return NULL;
}

static void action_done(pbay_action_run run, pbay_str json)
{
    struct pb_action_call *call = answered(run, "done");
    if (!call) return;
    if (json.n > PB_JOB_BLOB_MAX) {
        fault(call, "its result has more than 64 MiB");
        return;
    }
    if (json.n && !pb_json_valid(json, 0)) {
        fault(call, "its result is not JSON");
        return;
    }
    call->ending = true;
    pb_buf_str(&call->text, json.n ? json : PB_STR("null"));
    kick(call);
}

static void action_started(pbay_action_run run, pbay_str handle, int64_t poll_after_ms)
{
    struct pb_action_call *call = answered(run, "started");
    if (!call) return;
    if (!call->connector->plugin->actions.poll) {
        fault(call, "it was started, and the plugin has no poll");
        return;
    }
    if (!handle.n || handle.n > PB_JOB_HANDLE_MAX || !pb_utf8_valid(handle) || poll_after_ms < 0) {
        fault(call, "started with a handle that is not 1 to 4096 bytes of UTF-8, or a negative time");
        return;
    }
    call->ending = call->started = true;
    call->poll_after_ms = poll_after_ms;
    pb_buf_str(&call->text, handle);
    kick(call);
}

static void action_failed(pbay_action_run run, const pbay_result *result)
{
    struct pb_action_call *call = answered(run, "failed");
    if (!call) return;
    struct pb_err err;
    pb_plugin_why(&err, result ? result->code : PBAY_UNKNOWN, result, "the action");
    if (err.advice > PBAY_ADVICE_SLOW) err.advice = PBAY_ADVICE_NONE;
    if (err.effect > PBAY_EFFECT_DONE) err.effect = PBAY_EFFECT_MAYBE;
    if (err.retry_after_ms < 0) err.retry_after_ms = 0;
    end_with(call, &err);
}

const pbay_action_1 pb_service_action = {
    .struct_size = sizeof(pbay_action_1),
    .done = action_done,
    .started = action_started,
    .failed = action_failed,
};
