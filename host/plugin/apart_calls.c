/* SPDX-License-Identifier: MIT */
/* What the house asks of a connector in a process: the tables of its extensions, as messages. */
#include <stdio.h>
#include <string.h>

#include <patchbay/host_call.h>

#include "base/mem.h"
#include "plugin/apart_priv.h"
#include "plugin/operation_priv.h"
#include "plugin/services.h"
#include "plugin/why.h"

enum { SERVING_WAIT_MS = 250 };

/* ------------------------------------------------------------------------------------------------ held */

struct pb_apart_held *pb_apart_hold(struct pb_apart *a, enum pb_apart_kind kind, uint64_t handle,
                                    uint64_t number)
{
    struct pb_apart_table *t = &a->held[kind];
    uint32_t i = (uint32_t)handle;
    if (PB_UNLIKELY(i >= t->n)) {
        uint32_t n = i < 32 ? 64 : i * 2;
        t->slots = pb_realloc(t->slots, n * sizeof *t->slots);
        memset(t->slots + t->n, 0, (n - t->n) * sizeof *t->slots);
        t->n = n;
    }
    t->live++;
    t->slots[i] = (struct pb_apart_held){.handle = handle, .number = number};
    return &t->slots[i];
}

struct pb_apart_held *pb_apart_held(struct pb_apart *a, enum pb_apart_kind kind, uint64_t handle)
{
    struct pb_apart_table *t = &a->held[kind];
    uint32_t i = (uint32_t)handle;
    return handle && i < t->n && t->slots[i].handle == handle ? &t->slots[i] : NULL;
}

void pb_apart_let_go(struct pb_apart *a, enum pb_apart_kind kind, struct pb_apart_held *h)
{
    a->held[kind].live--;
    h->handle = 0;
}

/* What becomes of one thing that the process had. */
static void fail(struct pb_apart *a, enum pb_apart_kind kind, const struct pb_apart_held *h)
{
    static const pbay_header plain = {{"content-type", 12}, {"text/plain; charset=utf-8", 25}};
    static const char *const names[] = {"call", "action", "poll", "request", "command", "question"};
    struct pb_connector *c = a->c;
    struct pb_err err = {0};
    char what[200];
    snprintf(what, sizeof what, "%s", names[kind]);
    if (kind == PB_HELD_CALL) {
        const struct pb_op_call *call = pb_handle_get(&pb_op_calls, h->handle);
        if (call) snprintf(what, sizeof what, "call of \"%.128s\"", call->op->function);
    }
    /* The one that it died of is not to be tried again. */
    bool died_of = kind == PB_HELD_CALL && atomic_load(&a->page->call) == h->handle;
    bool begun = h->number <= atomic_load_explicit(&a->page->begun, memory_order_acquire);
    pb_fail(&err, PBAY_UNAVAILABLE, "connector \"%s\": its process %s; it %s this %s", c->name, a->last,
            died_of ? "was running"
            : begun ? "had"
                    : "had not begun",
            what);
    err.effect = begun ? PBAY_EFFECT_MAYBE : PBAY_EFFECT_NONE;
    if (!a->stopping && !died_of) {
        err.advice = PBAY_ADVICE_RETRY;
        err.retry_after_ms = a->backoff_ms;
    }
    const pbay_result result = pb_err_result(&err);
    switch (kind) {
    case PB_HELD_CALL: pb_service_call.complete(h->handle, &result, NULL); break;
    case PB_HELD_ACTION: pb_service_action.failed(h->handle, &result); break;
    case PB_HELD_POLL: pb_service_event.polled(h->handle, &result, NULL, 0, pb_str(NULL, 0), 0); break;
    case PB_HELD_REQUEST: c->env->requests->respond(h->handle, 503, &plain, 1, pb_str_c(err.msg)); break;
    case PB_HELD_COMMAND: pb_service_command.done(h->handle, &result); break;
    case PB_HELD_RESOLVE: pb_service_resolve.resolved(h->handle, &result, pb_str(NULL, 0), 0); break;
    default: break;
    }
}

void pb_apart_fail_all(struct pb_apart *a)
{
    for (int kind = 0; kind < PB_HELD_KINDS; kind++) {
        struct pb_apart_table *t = &a->held[kind];
        for (uint32_t i = 0; i < t->n && t->live; i++) {
            if (!t->slots[i].handle) continue;
            const struct pb_apart_held h = t->slots[i];
            pb_apart_let_go(a, (enum pb_apart_kind)kind, &t->slots[i]);
            fail(a, (enum pb_apart_kind)kind, &h);
        }
    }
    struct pb_err err;
    pb_fail(&err, PBAY_UNAVAILABLE, "connector \"%s\": its process %s", a->c->name, a->last);
    err.advice = PBAY_ADVICE_RETRY;
    err.effect = PBAY_EFFECT_MAYBE;
    pb_apart_drop_jobs(a, &err);
    pb_apart_drop_invokes(a);
}

/* ---------------------------------------------------------------------------------------------- functions */

static void free_bound(struct pb_apart_bound *b)
{
    *(b->prev ? &b->prev->next : &b->apart->bounds) = b->next;
    if (b->next) b->next->prev = b->prev;
    pb_handle_release(&b->apart->bound_ids, b->id);
    if (b->message.cap) explicit_bzero(b->message.p, b->message.cap);
    pb_buf_free(&b->message);
    pb_free(b->lane);
    pb_free(b->function);
    pb_free(b);
}

static const pbay_option_table *options_of(const struct pb_apart_bound *b)
{
    return &b->apart->c->plugin->operations[b->operation].options;
}

static int32_t apart_bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    struct pb_apart *a = self;
    int32_t code = PBAY_OK;
    bool patient = a->c->patient && !a->c->started, later = patient && a->phase != PB_APART_UP;
    if (!later && !pb_apart_ready(a, why, &code)) return code;
    if (a->slow && !patient)
        return pb_why(why, PBAY_UNAVAILABLE, "connector \"%s\": its process does not answer", a->c->name);
    struct pb_apart_bound *b = pb_zalloc(sizeof *b);
    b->apart = a;
    b->id = pb_handle_new(&a->bound_ids, b);
    b->operation = info->operation;
    b->config = info->config;
    b->function = pb_strndup(info->name.p, info->name.n);
    b->next = a->bounds;
    if (b->next) b->next->prev = b;
    a->bounds = b;
    struct pb_buf *m = &b->message;
    const pbay_option_table *options = options_of(b);
    pb_put_u64(m, b->id);
    pb_put_u32(m, info->operation);
    pb_put_str(m, info->name);
    pb_put_fields(m, info->sends, info->n_sends);
    pb_put_fields(m, info->answers, info->n_answers);
    pb_put_u32(m, info->max_rows);
    pb_put_u32(m, info->flags);
    pb_put_config(m, info->config, &options, 1);
    if (later) { /* without its lane, which only the process knows: it is counted as if it had none */
        pb_apart_bind_later(a, b);
        *bound = b;
        return PBAY_OK;
    }
    uint64_t asked = pb_apart_ask(a);
    pb_buf_str(pb_pipe_begin(a->pipe, PB_APART_BIND, asked), pb_buf_view(m));
    pb_pipe_commit(a->pipe);
    pbay_str body;
    struct pb_err *err = pb_why_err();
    if (pb_apart_await(a, asked, a->c->started ? SERVING_WAIT_MS : a->hang_ms, "bind", &body, err)) {
        if (patient) {
            if (err->code == PBAY_DEADLINE_EXCEEDED)
                pb_apart_kill(a, "did not answer bind within %lld ms", (long long)a->hang_ms);
            *bound = b;
            return PBAY_OK;
        }
        a->slow = true;
        pb_pipe_send(a->pipe, PB_APART_UNBIND, b->id); /* it may do it yet */
        pb_fail_in(err, "connector \"%s\"", a->c->name);
        err->code = PBAY_UNAVAILABLE;
        free_bound(b);
        return pb_why_put(why);
    }
    struct pb_in in = pb_in_of(body);
    pbay_result r = pb_in_result(&in);
    if (r.code == PBAY_OK && !in.bad) {
        pbay_str lane = pb_in_str(&in);
        b->lane = pb_strndup(lane.p, lane.n);
        *bound = b;
        return PBAY_OK;
    }
    pb_err_from_result(err, &r);
    free_bound(b);
    return pb_why_put(why);
}

static void apart_unbind(void *self, void *bound)
{
    struct pb_apart *a = self;
    struct pb_apart_bound *b = bound;
    if (a->pipe) pb_pipe_send(a->pipe, PB_APART_UNBIND, b->id);
    free_bound(b);
}

static pbay_str apart_lane(void *self, void *bound)
{
    const struct pb_apart_bound *b = bound;
    (void)self;
    return pb_str_c(b->lane ? b->lane : "");
}

/* What a call is, in front of its rows. */
static struct pb_buf *begin_call(struct pb_apart *a, const struct pb_apart_bound *b, uint32_t type,
                                 pbay_call handle)
{
    const struct pb_op_call *call = pb_handle_get(&pb_op_calls, handle);
    const struct pb_op_context *ctx = call->ctx;
    const pbay_option_table *options = options_of(b);
    struct pb_buf *m = pb_pipe_begin(a->pipe, type, handle);
    pb_put_u64(m, b->id);
    pb_put_u32(m, call->attempt);
    pb_put_i64(m, ctx->deadline_ns);
    pb_put_i64(m, call->op->timeout_ns);
    pb_put_str(m, ctx->identity.user);
    pb_put_str(m, ctx->identity.app);
    pb_put_str(m, ctx->identity.principal);
    pb_put_str(m, ctx->identity.source);
    pb_put_str(m, ctx->traceparent);
    pb_put_config(m, ctx->options && ctx->options != b->config ? ctx->options : NULL, &options, 1);
    return m;
}

/* The rows of a message that was begun; then it goes. 0 and *why: they are too many. *bytes: of the rows. */
static uint64_t with_rows(struct pb_apart *a, struct pb_buf *m, const pbay_batch *in, size_t *bytes,
                          pbay_result *why)
{
    *bytes = pb_pipe_put_rows(a->pipe, m, in);
    if (PB_LIKELY(m->n < PB_APART_MESSAGE_MAX)) return pb_pipe_commit(a->pipe);
    pb_pipe_abort(a->pipe);
    pb_why(why, PBAY_OUT_OF_RANGE, "connector \"%s\": a batch of %u rows is too long for its process",
           a->c->name, in->n_rows);
    return 0;
}

static int32_t apart_submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct pb_apart *a = self;
    int32_t code = PBAY_OUT_OF_RANGE;
    if (!pb_apart_ready(a, why, &code)) return code;
    size_t bytes;
    uint64_t number = with_rows(a, begin_call(a, bound, PB_APART_SUBMIT, call), in, &bytes, why);
    if (!number) return code;
    pb_apart_hold(a, PB_HELD_CALL, call, number);
    return PBAY_OK;
}

static int32_t apart_open(void *self, void *bound, pbay_call call, pbay_result *why)
{
    struct pb_apart *a = self;
    int32_t code = PBAY_OK;
    if (!pb_apart_ready(a, why, &code)) return code;
    begin_call(a, bound, PB_APART_OPEN, call);
    pb_apart_hold(a, PB_HELD_CALL, call, pb_pipe_commit(a->pipe));
    return PBAY_OK;
}

static int32_t apart_push(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct pb_apart *a = self;
    struct pb_apart_held *h = pb_apart_held(a, PB_HELD_CALL, call);
    (void)bound;
    if (!h || !a->pipe) return PBAY_LATER; /* its end is on the way */
    if (h->pushed > PB_APART_WINDOW) {
        h->full = true;
        return PBAY_LATER;
    }
    size_t bytes;
    if (!with_rows(a, pb_pipe_begin(a->pipe, PB_APART_PUSH, call), in, &bytes, why)) return PBAY_OUT_OF_RANGE;
    h->pushed += bytes;
    return PBAY_OK;
}

static void tell(struct pb_apart *a, enum pb_apart_kind kind, uint32_t type, uint64_t handle)
{
    if (a->pipe && pb_apart_held(a, kind, handle)) pb_pipe_send(a->pipe, type, handle);
}

static void apart_end(void *self, void *bound, pbay_call call)
{
    (void)bound;
    tell(self, PB_HELD_CALL, PB_APART_END, call);
}

static void apart_writable(void *self, void *bound, pbay_call call)
{
    struct pb_apart *a = self;
    struct pb_apart_held *h = pb_apart_held(a, PB_HELD_CALL, call);
    (void)bound;
    if (!h || !a->pipe) return;
    pb_put_u64(pb_pipe_begin(a->pipe, PB_APART_EMITTED, call), h->emitted);
    pb_pipe_commit(a->pipe);
    h->emitted = 0;
}

static void apart_cancel(void *self, void *bound, pbay_call call)
{
    (void)bound;
    tell(self, PB_HELD_CALL, PB_APART_CANCEL, call);
}

const pbay_functions_1 pb_apart_functions = {
    .struct_size = sizeof(pbay_functions_1),
    .bind = apart_bind,
    .unbind = apart_unbind,
    .lane = apart_lane,
    .submit = apart_submit,
    .open = apart_open,
    .push = apart_push,
    .end = apart_end,
    .writable = apart_writable,
    .cancel = apart_cancel,
};

/* --------------------------------------------------------------------------------------- actions, sources */

static int32_t action(struct pb_apart *a, uint32_t what, uint32_t index, pbay_action_run run,
                      const pbay_action_info *info, pbay_result *why)
{
    int32_t code = PBAY_OK;
    if (!pb_apart_ready(a, why, &code)) return code;
    struct pb_buf *m = pb_pipe_begin(a->pipe, PB_APART_ACTION, run);
    pb_put_u32(m, what);
    pb_put_u32(m, index);
    pb_put_u32(m, info->attempt);
    pb_put_u64(m, info->fence);
    pb_put_str(m, info->key);
    pb_put_str(m, info->json);
    pb_put_i64(m, info->first_attempt_ms);
    pb_put_i64(m, info->deadline);
    pb_put_str(m, info->handle);
    pb_put_str(m, info->traceparent);
    pb_apart_hold(a, PB_HELD_ACTION, run, pb_pipe_commit(a->pipe));
    return PBAY_OK;
}

static int32_t apart_run(void *self, uint32_t index, pbay_action_run run, const pbay_action_info *info,
                         pbay_result *why)
{
    return action(self, 0, index, run, info, why);
}

static int32_t apart_action_poll(void *self, uint32_t index, pbay_action_run run,
                                 const pbay_action_info *info, pbay_result *why)
{
    return action(self, 1, index, run, info, why);
}

static int32_t apart_lookup(void *self, uint32_t index, pbay_action_run run, const pbay_action_info *info,
                            pbay_result *why)
{
    return action(self, 2, index, run, info, why);
}

static void apart_action_cancel(void *self, uint32_t index, pbay_action_run run)
{
    (void)index;
    tell(self, PB_HELD_ACTION, PB_APART_ACTION_CANCEL, run);
}

const pbay_actions_1 pb_apart_actions = {
    .struct_size = sizeof(pbay_actions_1),
    .run = apart_run,
    .poll = apart_action_poll,
    .lookup = apart_lookup,
    .cancel = apart_action_cancel,
};

static void apart_poll(void *self, uint32_t source, pbay_poll poll, pbay_str cursor)
{
    struct pb_apart *a = self;
    pbay_result why = PBAY_RESULT_OK;
    int32_t code = PBAY_OK;
    if (!pb_apart_ready(a, &why, &code)) {
        pb_service_event.polled(poll, &why, NULL, 0, pb_str(NULL, 0), 0);
        return;
    }
    struct pb_buf *m = pb_pipe_begin(a->pipe, PB_APART_POLL, poll);
    pb_put_u32(m, source);
    pb_put_str(m, cursor);
    pb_apart_hold(a, PB_HELD_POLL, poll, pb_pipe_commit(a->pipe));
}

static void apart_poll_cancel(void *self, uint32_t source, pbay_poll poll)
{
    (void)source;
    tell(self, PB_HELD_POLL, PB_APART_POLL_CANCEL, poll);
}

const pbay_events_1 pb_apart_events = {
    .struct_size = sizeof(pbay_events_1),
    .poll = apart_poll,
    .cancel = apart_poll_cancel,
};

/* ------------------------------------------------------------------------------------------------ routes */

static void apart_handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
{
    static const pbay_header plain = {{"content-type", 12}, {"text/plain; charset=utf-8", 25}};
    struct pb_apart *a = self;
    pbay_result why = PBAY_RESULT_OK;
    int32_t code = PBAY_OK;
    if (!pb_apart_ready(a, &why, &code)) {
        a->c->env->requests->respond(request, 503, &plain, 1, why.message);
        return;
    }
    struct pb_buf *m = pb_pipe_begin(a->pipe, PB_APART_REQUEST, request);
    pb_put_u32(m, route);
    pb_put_u32(m, a->c->unproven);
    const pbay_str texts[] = {info->method, info->target, info->path,      info->suffix,     info->query,
                              info->body,   info->peer,   info->principal, info->traceparent};
    for (size_t i = 0; i < PB_COUNTOF(texts); i++) pb_put_str(m, texts[i]);
    pb_put_i64(m, info->deadline);
    pb_put_headers(m, info->headers, info->n_headers);
    pb_apart_hold(a, PB_HELD_REQUEST, request, pb_pipe_commit(a->pipe));
}

static void apart_request_cancel(void *self, uint32_t route, pbay_request request)
{
    (void)route;
    tell(self, PB_HELD_REQUEST, PB_APART_REQUEST_CANCEL, request);
}

const pbay_routes_1 pb_apart_routes = {
    .struct_size = sizeof(pbay_routes_1),
    .handle = apart_handle,
    .cancel = apart_request_cancel,
};

/* ------------------------------------------------------------------------------ commands, secrets, health */

static void apart_command(void *self, uint32_t command, pbay_command_run run, const pbay_config *arguments)
{
    struct pb_apart *a = self;
    pbay_result why = PBAY_RESULT_OK;
    int32_t code = PBAY_OK;
    if (!pb_apart_ready(a, &why, &code)) {
        pb_service_command.done(run, &why);
        return;
    }
    const pbay_option_table *table = &a->c->plugin->command_table[command].arguments;
    struct pb_buf *m = pb_pipe_begin(a->pipe, PB_APART_COMMAND, run);
    pb_put_u32(m, command);
    pb_put_config(m, arguments, &table, 1);
    pb_apart_hold(a, PB_HELD_COMMAND, run, pb_pipe_commit(a->pipe));
}

static void apart_command_cancel(void *self, uint32_t command, pbay_command_run run)
{
    (void)command;
    tell(self, PB_HELD_COMMAND, PB_APART_COMMAND_CANCEL, run);
}

const pbay_commands_1 pb_apart_commands = {
    .struct_size = sizeof(pbay_commands_1),
    .run = apart_command,
    .cancel = apart_command_cancel,
};

static void apart_resolve(void *self, uint32_t scheme, pbay_resolve question, pbay_str rest)
{
    struct pb_apart *a = self;
    pbay_result why = PBAY_RESULT_OK;
    int32_t code = PBAY_OK;
    if (!pb_apart_ready(a, &why, &code)) {
        pb_service_resolve.resolved(question, &why, pb_str(NULL, 0), 0);
        return;
    }
    struct pb_buf *m = pb_pipe_begin(a->pipe, PB_APART_RESOLVE, question);
    pb_put_u32(m, scheme);
    pb_put_str(m, rest);
    pb_apart_hold(a, PB_HELD_RESOLVE, question, pb_pipe_commit(a->pipe));
}

const pbay_secrets_1 pb_apart_secrets = {.struct_size = sizeof(pbay_secrets_1), .resolve = apart_resolve};

static uint32_t apart_state(void *self, pbay_str *sentence)
{
    const struct pb_apart *a = self;
    *sentence = pb_str_c(a->sentence);
    return a->phase == PB_APART_UP && a->state ? (uint32_t)a->state : PBAY_UP;
}

const pbay_health_1 pb_apart_health = {.struct_size = sizeof(pbay_health_1), .state = apart_state};
