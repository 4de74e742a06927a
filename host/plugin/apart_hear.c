/* SPDX-License-Identifier: MIT */
/*
 * What a connector's process says: checked, and said again by the services that a plugin in the worker calls.
 * A message that is cut short, or rows that are no batch, end the process.
 */
#include <stdio.h>
#include <string.h>

#include <patchbay/host_call.h>

#include "base/log.h"
#include "plugin/apart_priv.h"
#include "plugin/operation_priv.h"
#include "plugin/registry.h"
#include "plugin/services.h"

/* What is held under the handle, if it is still. Stale ones are no fault: answers cross with ends. */
static struct pb_apart_held *held(struct pb_apart *a, enum pb_apart_kind kind, uint64_t handle)
{
    return pb_apart_held(a, kind, handle);
}

static bool release(struct pb_apart *a, enum pb_apart_kind kind, uint64_t handle)
{
    struct pb_apart_held *h = held(a, kind, handle);
    if (h) pb_apart_let_go(a, kind, h);
    return h != NULL;
}

static void marks(uint64_t call, uint32_t flags)
{
    if (flags & PB_APART_IDENTITY) pb_service_call.identity(call);
    if (flags & PB_APART_NO_STORE) pb_service_call.no_store(call);
}

/* The rows that a message ends with; NULL: none, or nonsense. */
static struct pbay_builder *rows(struct pb_apart *a, struct pb_in *in, size_t *bytes)
{
    struct pb_err err;
    struct pbay_builder *out = pb_pipe_rows(a->pipe, in, bytes, &err);
    if (!out) pb_apart_nonsense(a, err.msg);
    return out;
}

static void complete(struct pb_apart *a, uint64_t call, struct pb_in *in)
{
    uint32_t flags = pb_in_u32(in);
    pbay_result r = pb_in_result(in);
    if (in->bad || !held(a, PB_HELD_CALL, call)) return;
    struct pbay_builder *out = NULL;
    size_t bytes;
    if (flags & PB_APART_ROWS && !(out = rows(a, in, &bytes))) return; /* its end answers the call */
    release(a, PB_HELD_CALL, call);
    marks(call, flags);
    pb_service_call.complete(call, &r, out);
}

static void emit(struct pb_apart *a, uint64_t call, struct pb_in *in)
{
    uint32_t flags = pb_in_u32(in);
    size_t bytes = 0;
    struct pb_apart_held *h = held(a, PB_HELD_CALL, call);
    struct pbay_builder *out = in->bad || !h ? NULL : rows(a, in, &bytes);
    if (!out) return;
    marks(call, flags);
    h->emitted += bytes;
    if (pb_service_call.emit(call, out) != PBAY_OK) return; /* `writable` will say when */
    pb_put_u64(pb_pipe_begin(a->pipe, PB_APART_EMITTED, call), h->emitted);
    pb_pipe_commit(a->pipe);
    h->emitted = 0;
}

static void pushed(struct pb_apart *a, uint64_t call, struct pb_in *in)
{
    struct pb_apart_held *h = held(a, PB_HELD_CALL, call);
    uint64_t n = pb_in_u64(in);
    if (!h) return;
    h->pushed -= n < h->pushed ? (size_t)n : h->pushed;
    if (!h->full || h->pushed > PB_APART_WINDOW / 2) return;
    h->full = false;
    pb_service_call.ready(call);
}

static void describe(uint64_t call, struct pb_in *in)
{
    struct pb_arena mem = {0};
    uint32_t n;
    pbay_str name = pb_in_str(in);
    const pbay_field *fields = pb_in_fields(in, &mem, &n);
    if (!in->bad) pb_service_call.describe(call, name, fields, n);
    pb_arena_free(&mem);
}

static void action(struct pb_apart *a, uint32_t type, uint64_t run, struct pb_in *in)
{
    pbay_str text = {NULL, 0};
    pbay_result r = PBAY_RESULT_OK;
    int64_t after = 0;
    if (type == PB_APART_ACTION_FAILED)
        r = pb_in_result(in);
    else
        text = pb_in_str(in);
    if (type == PB_APART_ACTION_STARTED) after = pb_in_i64(in);
    if (in->bad || !release(a, PB_HELD_ACTION, run)) return;
    if (type == PB_APART_ACTION_DONE)
        pb_service_action.done(run, text);
    else if (type == PB_APART_ACTION_STARTED)
        pb_service_action.started(run, text, after);
    else
        pb_service_action.failed(run, &r);
}

static void polled(struct pb_apart *a, uint64_t poll, struct pb_in *in)
{
    struct pb_arena mem = {0};
    uint32_t n;
    pbay_result r = pb_in_result(in);
    const pbay_event *events = pb_in_events(in, &mem, &n);
    pbay_str cursor = pb_in_str(in);
    int again = (int)pb_in_u32(in);
    if (!in->bad && release(a, PB_HELD_POLL, poll))
        pb_service_event.polled(poll, &r, events, n, cursor, again);
    pb_arena_free(&mem);
}

static void respond(struct pb_apart *a, uint64_t request, struct pb_in *in)
{
    struct pb_arena mem = {0};
    uint32_t n;
    int32_t status = pb_in_i32(in);
    const pbay_header *headers = pb_in_headers(in, &mem, &n);
    pbay_str body = pb_in_str(in);
    if (!in->bad && release(a, PB_HELD_REQUEST, request))
        a->c->env->requests->respond(request, status, headers, n, body);
    pb_arena_free(&mem);
}

static void command(struct pb_apart *a, uint32_t type, uint64_t run, struct pb_in *in)
{
    if (type == PB_APART_COMMAND_DONE) {
        pbay_result r = pb_in_result(in);
        if (!in->bad && release(a, PB_HELD_COMMAND, run)) pb_service_command.done(run, &r);
        return;
    }
    uint64_t done = 0, total = 0;
    if (type == PB_APART_COMMAND_PROGRESS) {
        done = pb_in_u64(in);
        total = pb_in_u64(in);
    }
    pbay_str text = pb_in_str(in);
    if (in->bad || !held(a, PB_HELD_COMMAND, run)) return;
    if (type == PB_APART_COMMAND_PRINT)
        pb_service_command.print(run, text);
    else
        pb_service_command.progress(run, done, total, text);
}

static void resolved(struct pb_apart *a, uint64_t question, struct pb_in *in)
{
    pbay_result r = pb_in_result(in);
    pbay_str value = pb_in_str(in);
    int64_t ttl_ms = pb_in_i64(in);
    if (!in->bad && release(a, PB_HELD_RESOLVE, question))
        pb_service_resolve.resolved(question, &r, value, ttl_ms);
}

/* How it is, and how often it broke the rules. */
static void state(struct pb_apart *a, struct pb_in *in)
{
    uint32_t s = pb_in_u32(in);
    uint64_t faults = pb_in_u64(in);
    pbay_str sentence = pb_in_str(in);
    if (in->bad || s < PBAY_UP || s > PBAY_OUT) {
        in->bad = true;
        return;
    }
    if (faults > a->faults) a->c->stats.faults += faults - a->faults;
    a->faults = faults;
    a->state = (enum pb_connector_state)s;
    snprintf(a->sentence, sizeof a->sentence, "%.*s", PB_FMT(sentence));
}

static void explain(struct pb_apart *a, struct pb_in *in)
{
    struct pb_arena mem = {0};
    uint32_t n;
    const struct pb_plugin_env *env = a->c->env;
    pbay_str method = pb_in_str(in), url = pb_in_str(in), body = pb_in_str(in);
    const pbay_header *headers = pb_in_headers(in, &mem, &n);
    if (!in->bad && env->explain)
        env->explain(env->explain_user, pb_str_c(a->c->name), method, url, headers, n, body);
    pb_arena_free(&mem);
}

static void hear(struct pb_apart *a, uint32_t type, uint64_t handle, struct pb_in *in)
{
    switch (type) {
    case PB_APART_COMPLETE: complete(a, handle, in); return;
    case PB_APART_EMIT: emit(a, handle, in); return;
    case PB_APART_PUSHED: pushed(a, handle, in); return;
    case PB_APART_DESCRIBE:
        if (held(a, PB_HELD_CALL, handle)) describe(handle, in);
        return;
    case PB_APART_ACTION_DONE:
    case PB_APART_ACTION_STARTED:
    case PB_APART_ACTION_FAILED: action(a, type, handle, in); return;
    case PB_APART_POLLED: polled(a, handle, in); return;
    case PB_APART_RESPOND: respond(a, handle, in); return;
    case PB_APART_COMMAND_PRINT:
    case PB_APART_COMMAND_PROGRESS:
    case PB_APART_COMMAND_DONE: command(a, type, handle, in); return;
    case PB_APART_RESOLVED: resolved(a, handle, in); return;
    case PB_APART_STATE: state(a, in); return;
    case PB_APART_EXPLAIN: explain(a, in); return;
    case PB_APART_PONG: return;
    case PB_APART_REPLY: pb_apart_replied(a, pb_in_rest(in)); return;
    default: break;
    }
    if (pb_apart_serve(a, type, handle, in) || pb_apart_invoke(a, type, handle, in)) return;
    in->bad = true;
}

void pb_apart_hear(struct pb_apart *a, uint32_t type, uint64_t handle, pbay_str body)
{
    struct pb_in in = pb_in_of(body);
    /* Faults that services notice are this connector's; but the worker is not inside of a plugin. */
    const struct pb_current before = pb_current;
    pb_current = (struct pb_current){a->c, a->c->name, "process", NULL, {NULL, 0}};
    hear(a, type, handle, &in);
    pb_current = before;
    if (in.bad) {
        char what[40];
        snprintf(what, sizeof what, "a message of kind %u", type);
        pb_apart_nonsense(a, what);
    }
}
