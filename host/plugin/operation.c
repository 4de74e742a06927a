/* SPDX-License-Identifier: MIT */
#include "plugin/operation_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "plugin/flatten.h"

enum { POOL_MAX = 1024, CONTEXT_SMALL = 512 };

_Thread_local struct pb_handles pb_op_calls;
static _Thread_local struct pb_op_call *pool;
static _Thread_local uint32_t n_pool;
/* Contexts of CONTEXT_SMALL bytes, linked by their first word. */
static _Thread_local void **contexts;
static _Thread_local uint32_t n_contexts;

/* ------------------------------------------------------------------------------------------------ binding */

static int bind(struct pb_op *op, const pbay_function_info *info, struct pb_err *err)
{
    if (!op->table->bind) return 0;
    pbay_function_info mine = *info;
    mine.struct_size = sizeof mine;
    mine.operation = (uint32_t)(op->operation - op->table->operations);
    pbay_result why = PBAY_RESULT_OK;
    struct pb_visit v;
    pb_visit_enter(&v, op->connector, "bind", op->function);
    int32_t code = op->table->bind(op->connector->self, &mine, &op->bound, &why);
    pb_visit_leave(&v);
    if (code == PBAY_OK) return 0;
    pb_plugin_why(err, code, &why, "bind");
    return -1;
}

struct pb_op *pb_op_bind(struct pb_connector *c, pbay_str operation, const pbay_function_info *info,
                         struct pb_err *err)
{
    int i = pb_plugin_operation(c->plugin, operation);
    if (i < 0) {
        struct pb_buf list = {0};
        const char *names[1024];
        uint32_t n = c->plugin->has_functions ? c->plugin->functions.n_operations : 0;
        for (uint32_t k = 0; k < n; k++) {
            names[k] = c->plugin->operations[k].name;
            pb_buf_printf(&list, "%s%s", k ? ", " : "", names[k]);
        }
        const char *near = pb_nearest(operation, names, n);
        pbay_str there = n ? pb_buf_view(&list) : PB_STR("none");
        pb_fail(err, PBAY_NOT_FOUND, "plugin %s has no operation \"%.*s\"%s%s%s; it has: %.*s",
                c->plugin->name, PB_FMT(operation), near ? "; did you mean \"" : "", near ? near : "",
                near ? "\"" : "", PB_FMT(there));
        pb_buf_free(&list);
        return NULL;
    }
    struct pb_op *op = pb_zalloc(sizeof *op);
    op->magic = PB_OP_MAGIC;
    op->connector = c;
    op->table = &c->plugin->functions;
    op->operation = &c->plugin->operations[i];
    op->function = pb_strndup(info->name.p, info->name.n);
    op->config = info->config;
    op->timeout_ns = c->timeout_ms * PB_MS;
    if (bind(op, info, err)) {
        pb_free(op->function);
        pb_free(op);
        return NULL;
    }
    pb_connector_began(c);
    return op;
}

static void unbound(struct pb_op *op)
{
    struct pb_connector *c = op->connector;
    if (op->table->unbind) {
        struct pb_visit v;
        pb_visit_enter(&v, c, "unbind", op->function);
        op->table->unbind(c->self, op->bound);
        pb_visit_leave(&v);
    }
    op->magic = 0;
    pb_free(op->function);
    pb_free(op);
    pb_connector_ended(c);
}

void pb_op_unbind(struct pb_op *op)
{
    if (!op) return;
    PB_MAGIC_CHECK(op, PB_OP_MAGIC);
    op->unbinding = true;
    if (!op->in_flight) unbound(op);
}

uint32_t pb_op_shape(const struct pb_op *op)
{
    return op->operation->shape;
}

uint32_t pb_op_flags(const struct pb_op *op)
{
    return op->operation->flags;
}

struct pb_connector *pb_op_connector(const struct pb_op *op)
{
    return op->connector;
}

pbay_str pb_op_lane(const struct pb_op *op)
{
    if (!op->table->lane) return pb_str(NULL, 0);
    struct pb_visit v;
    pb_visit_enter(&v, op->connector, "lane", op->function);
    pbay_str lane = op->table->lane(op->connector->self, op->bound);
    pb_visit_leave(&v);
    return lane;
}

const struct pbay_config *pb_op_config(const struct pb_op *op)
{
    return op->config;
}

uint32_t pb_op_in_flight(const struct pb_op *op)
{
    return op->in_flight;
}

uint32_t pb_op_late(const struct pb_op *op)
{
    return op->late;
}

/* ------------------------------------------------------------------------------------------------ context */

struct pb_op_context *pb_op_context_new(const struct pb_op_context_info *info)
{
    static const pbay_identity nobody = {sizeof nobody, 0, {0, 0}, {0, 0}, {0, 0}, {0, 0}};
    const pbay_identity *id = info->identity ? info->identity : &nobody;
    const pbay_str from[] = {id->user, id->app, id->principal, id->source, info->traceparent, info->key};
    size_t n = 0;
    for (size_t i = 0; i < PB_COUNTOF(from); i++) n += from[i].n;
    struct pb_op_context *ctx;
    bool small = sizeof *ctx + n <= CONTEXT_SMALL;
    if (small && contexts) {
        ctx = (void *)contexts;
        contexts = *contexts;
        n_contexts--;
    } else
        ctx = pb_alloc(small ? CONTEXT_SMALL : sizeof *ctx + n);
    ctx->small = small;
    ctx->refs = 1;
    ctx->deadline_ns = info->deadline_ns;
    ctx->options = info->own_options ? info->own_options : info->options;
    ctx->own_options = info->own_options;
    ctx->depth = info->depth;
    ctx->next_row = 0;
    ctx->identity = nobody;
    pbay_str *to[] = {&ctx->identity.user,   &ctx->identity.app, &ctx->identity.principal,
                      &ctx->identity.source, &ctx->traceparent,  &ctx->key};
    char *at = ctx->text;
    for (size_t i = 0; i < PB_COUNTOF(from); i++) {
        if (from[i].n) memcpy(at, from[i].p, from[i].n);
        *to[i] = pb_str(at, from[i].n);
        at += from[i].n;
    }
    return ctx;
}

struct pb_op_context *pb_op_context_ref(struct pb_op_context *ctx)
{
    ctx->refs++;
    return ctx;
}

void pb_op_context_unref(struct pb_op_context *ctx)
{
    if (!ctx || --ctx->refs) return;
    pb_config_free(ctx->own_options);
    if (!ctx->small || n_contexts == POOL_MAX) {
        pb_free(ctx);
        return;
    }
    void **free_context = (void **)(void *)ctx;
    *free_context = contexts;
    contexts = free_context;
    n_contexts++;
}

/* ------------------------------------------------------------------------------------------------ life of a
 * call */

struct pb_op_call *pb_op_call_of(pbay_call handle, const char *function)
{
    struct pb_op_call *call = pb_handle_get(&pb_op_calls, handle);
    if (PB_LIKELY(call != NULL)) return call;
    if (pb_current.connector)
        pb_connector_fault(pb_current.connector, "a call that is over was used", function);
    return NULL;
}

static void step(void *user)
{
    struct pb_op_call *call = user;
    if (call->fns && !call->failed && !pb_op_stream_pump(call)) return;
    if (call->ending && !call->told) pb_op_call_tell(call);
}

/* Answered in the plugin's place; what it still owes is watched for another while. */
static void answer_for(struct pb_op_call *call, int32_t code, const char *fmt, ...) PB_PRINTF(3, 4);

static void overdue(struct pb_op_call *call)
{
    struct pb_connector *c = call->op->connector;
    call->overdue = true;
    pb_connector_fault(c, "a call was not completed 60 s after its end", call->op->function);
    char text[PB_STATE_TEXT];
    snprintf(text, sizeof text, "%s not completed a call of \"%s\" 60 s after its end",
             pb_connector_apart(c) ? "has" : "the plugin has", call->op->function);
    pb_connector_stuck(c, text);
}

static void on_deadline(void *user)
{
    struct pb_op_call *call = user;
    if (call->late) {
        overdue(call);
        return;
    }
    int64_t whole = call->ctx->deadline_ns;
    if (whole != PB_NO_DEADLINE && pb_mono_ns() >= whole)
        answer_for(call, PBAY_DEADLINE_EXCEEDED,
                   "the call's deadline passed while connector \"%s\" worked on it",
                   call->op->connector->name);
    else
        answer_for(call, PBAY_DEADLINE_EXCEEDED,
                   "connector \"%s\" did not answer within its timeout of %lld ms", call->op->connector->name,
                   (long long)(call->op->timeout_ns / PB_MS));
}

struct pb_op_call *pb_op_call_new(struct pb_op *op, struct pb_op_context *ctx, uint32_t attempt)
{
    struct pb_op_call *call = pool;
    if (PB_LIKELY(call != NULL)) {
        pool = call->next_free;
        n_pool--;
    } else {
        call = pb_zalloc(sizeof *call);
        call->magic = PB_CALL_MAGIC;
        call->step = pb_defer_make(step, call);
        call->deadline.fn = on_deadline;
        call->deadline.user = call;
    }
    call->attempt = attempt;
    call->op = op;
    call->ctx = pb_op_context_ref(ctx);
    call->handle = pb_handle_new(&pb_op_calls, call);
    call->settled = call->told = call->ending = call->late = call->overdue = call->failed = false;
    call->no_store = call->inside = false;
    call->per_user = op->operation->flags & PBAY_OPF_PER_USER;
    call->out = NULL;
    call->out_batch = NULL;
    call->fns = NULL;
    call->plugins = NULL;
    op->in_flight++;
    op->connector->stats.in_flight++;
    pb_connector_began(op->connector);
    return call;
}

void pb_op_call_settle(struct pb_op_call *call)
{
    if (call->settled) return;
    call->settled = true;
    if (PB_UNLIKELY(call->children != NULL)) pb_invoke_orphan(&call->children);
    pb_handle_release(&pb_op_calls, call->handle);
    pb_deadline_cancel(&call->deadline);
}

void pb_op_call_free(struct pb_op_call *call)
{
    struct pb_op *op = call->op;
    pb_op_call_settle(call);
    pb_defer_cancel(&call->step);
    pb_slice_drop(&call->in);
    pb_builder_unref(call->flat_in);
    call->flat_in = NULL;
    pb_builder_unref(call->out);
    call->out = NULL;
    if (PB_UNLIKELY(call->fns != NULL)) pb_op_stream_reset(call);
    pb_op_context_unref(call->ctx);
    if (call->late) op->late--;
    call->op = NULL;
    if (PB_LIKELY(n_pool < POOL_MAX)) {
        call->next_free = pool;
        pool = call;
        n_pool++;
    } else {
        pb_slice_free(&call->in);
        pb_free(call->err);
        pb_free(call);
    }
    struct pb_connector *c = op->connector;
    c->stats.in_flight--;
    if (!--op->in_flight && op->unbinding) unbound(op);
    pb_connector_ended(c);
}

void pb_op_pool_free(void)
{
    while (pool) {
        struct pb_op_call *call = pool;
        pool = call->next_free;
        pb_slice_free(&call->in);
        pb_arena_free(&call->fields_mem);
        pb_free(call->emitted);
        pb_free(call->err);
        pb_free(call);
    }
    n_pool = 0;
    while (contexts) {
        void **c = contexts;
        contexts = *c;
        pb_free(c);
    }
    n_contexts = 0;
    if (!pb_op_calls.live) pb_handles_free(&pb_op_calls);
    pb_invoke_pool_free();
}

void pb_op_call_arm(struct pb_op_call *call, int64_t now)
{
    int64_t due = call->ctx->deadline_ns;
    /* A stream's plugin may wait for rows or for room without end; it is timed when the next move is its own.
     */
    bool its_turn =
        !call->fns || call->awaiting_ready || (call->ended && !call->paused && !call->want_writable);
    if (its_turn && now + call->op->timeout_ns < due) due = now + call->op->timeout_ns;
    if (due == PB_NO_DEADLINE)
        pb_deadline_cancel(&call->deadline);
    else
        pb_deadline_set(call->op->connector->env->loop, &call->deadline, due);
}

void pb_op_call_fail(struct pb_op_call *call, const struct pb_err *err)
{
    if (call->ending) return;
    call->ending = call->failed = true;
    if (!call->err) call->err = pb_alloc(sizeof *call->err);
    *call->err = *err;
    pb_op_call_kick(call);
}

void pb_op_call_fault(struct pb_op_call *call, const char *what, const char *detail)
{
    struct pb_connector *c = call->op->connector;
    struct pb_err err;
    pb_connector_fault(c, what, detail && *detail ? detail : call->op->function);
    pb_fail(&err, PBAY_INTERNAL, "plugin %s (connector \"%s\"): %s%s%s", c->plugin->name, c->name, what,
            detail && *detail ? ": " : "", detail ? detail : "");
    err.effect = PBAY_EFFECT_MAYBE;
    pb_op_call_fail(call, &err);
}

void pb_op_call_tell(struct pb_op_call *call)
{
    struct pb_connector *c = call->op->connector;
    struct pb_op_answer a = {.err = call->failed ? call->err : NULL,
                             .out = call->failed ? NULL : call->out,
                             .batch = call->failed ? NULL : call->out_batch,
                             .no_store = call->no_store,
                             .per_user = call->per_user,
                             .late = call->late};
    if (a.out) call->out = NULL;
    if (call->failed) c->stats.failed++;
    call->told = true;
    call->on_complete(call->user, &a);
    if (call->settled) pb_op_call_free(call);
}

void pb_op_call_advise_cancel(struct pb_op_call *call)
{
    if (call->children) pb_invoke_orphan(&call->children);
    if (call->settled || !call->op->table->cancel) return;
    struct pb_visit v;
    pb_visit_enter(&v, call->op->connector, "cancel", call->op->function);
    call->op->table->cancel(call->op->connector->self, call->op->bound, call->handle);
    pb_visit_leave(&v);
}

static void answer_for(struct pb_op_call *call, int32_t code, const char *fmt, ...)
{
    if (call->ending) return;
    struct pb_err err;
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pb_fail(&err, code, "%s", text);
    err.effect = PBAY_EFFECT_MAYBE;
    call->late = true;
    call->op->late++;
    call->op->connector->stats.late++;
    pb_op_call_fail(call, &err);
    pb_deadline_set(call->op->connector->env->loop, &call->deadline, pb_mono_ns() + PB_CALL_OVERDUE_NS);
    pb_op_call_advise_cancel(call);
}

void pb_op_cancel(struct pb_op_call *call)
{
    PB_MAGIC_CHECK(call, PB_CALL_MAGIC);
    answer_for(call, PBAY_CANCELLED, "cancelled while connector \"%s\" worked on it",
               call->op->connector->name);
}

/* ------------------------------------------------------------------------------------------------ completion
 */

const pbay_batch *pb_op_seal(struct pbay_builder **out, struct pb_err *err)
{
    const pbay_batch *batch = pb_builder_seal(*out, err);
#ifdef PB_FLATTEN
    if (batch) batch = pb_flatten_builder(out, err);
#endif
    if (batch) return batch;
    pb_builder_unref(*out);
    *out = NULL;
    return NULL;
}

/* A failure that the plugin reports; never OK. */
static void fail_result(struct pb_op_call *call, const pbay_result *result)
{
    struct pb_err err;
    pb_plugin_why(&err, result->code, result, "the call");
    if (err.advice == PBAY_ADVICE_SPLIT && err.effect != PBAY_EFFECT_NONE) {
        pb_connector_fault(call->op->connector, "advice SPLIT with an effect", call->op->function);
        err.advice = PBAY_ADVICE_NONE;
    }
    if (err.advice > PBAY_ADVICE_SPLIT) err.advice = PBAY_ADVICE_NONE;
    if (err.effect > PBAY_EFFECT_DONE) err.effect = PBAY_EFFECT_MAYBE;
    if (err.retry_after_ms < 0) err.retry_after_ms = 0;
#ifdef PB_FLATTEN
    pb_flatten_err(&err);
#endif
    pb_op_call_fail(call, &err);
}

void pb_op_call_complete(struct pb_op_call *call, const pbay_result *result, struct pbay_builder *out)
{
    struct pb_err err;
    pb_op_call_settle(call);
    if (call->ending) {
        /* Told, or about to be told, something else: this was the settling alone. */
        pb_builder_unref(out);
        if (call->told && !call->inside) pb_op_call_free(call);
        return;
    }
    if (result && result->code != PBAY_OK) {
        pb_builder_unref(out);
        fail_result(call, result);
        return;
    }
    if (!out && !call->fns) {
        pb_op_call_fault(call, "completed a map without rows", NULL);
        return;
    }
    if (out && call->fns) {
        if (!pb_op_stream_take(call, out)) return;
    } else if (out) {
        call->out_batch = pb_op_seal(&out, &err);
        call->out = out;
        if (!out) {
            pb_op_call_fault(call, "completed with rows that do not fit", err.msg);
            return;
        }
    }
    call->ending = true;
    pb_op_call_kick(call);
}

/* ------------------------------------------------------------------------------------------------ map */

/* What the plugin is given for rows from .. from + n - 1. */
static const pbay_batch *input(struct pb_op_call *call, const pbay_batch *batch, struct pbay_builder *of,
                               uint32_t from, uint32_t n)
{
    pb_slice_set(&call->in, batch, of, from, n);
#ifdef PB_FLATTEN
    call->flat_in = pb_flatten_batch(&call->in.batch);
    return pb_builder_seal(call->flat_in, NULL);
#else
    return &call->in.batch;
#endif
}

/* Refused: nothing is owed, and who asked gets the reason. */
int pb_op_call_refused(struct pb_op_call *call, int32_t code, const pbay_result *why, const char *what,
                       struct pb_err *err)
{
    struct pb_connector *c = call->op->connector;
    c->stats.refused++;
    pb_plugin_why(err, code, why, what);
    if (call->settled) pb_connector_fault(c, "a call was completed and refused", call->op->function);
    pb_op_call_free(call);
    return -1;
}

int pb_op_submit(struct pb_op *op, struct pb_op_context *ctx, uint32_t attempt, const pbay_batch *batch,
                 struct pbay_builder *of, uint32_t from, uint32_t n, pb_op_complete_fn on_complete,
                 void *user, struct pb_op_call **out, struct pb_err *err)
{
    PB_MAGIC_CHECK(op, PB_OP_MAGIC);
    struct pb_connector *c = op->connector;
    if (PB_UNLIKELY(c->stopped))
        return pb_fail(err, PBAY_UNAVAILABLE, "connector \"%s\" is stopping", c->name);
    if (PB_UNLIKELY(c->state == PB_CONNECTOR_OUT)) return pb_connector_refuse(c, err);
    struct pb_op_call *call = pb_op_call_new(op, ctx, attempt);
    call->on_complete = on_complete;
    call->user = user;
    const pbay_batch *in = input(call, batch, of, from, n);
    pbay_result why = PBAY_RESULT_OK;
    struct pb_visit v;
    pb_visit_enter(&v, c, "submit", op->function);
    pb_current.trace = call->ctx->traceparent;
    call->inside = true;
    int32_t code = op->table->submit(c->self, op->bound, call->handle, in, &why);
    call->inside = false;
    pb_visit_leave(&v);
    if (PB_UNLIKELY(code != PBAY_OK)) return pb_op_call_refused(call, code, &why, "submit", err);
    c->stats.calls++;
    c->stats.rows += n;
    if (!call->settled) pb_op_call_arm(call, v.start_ns);
    if (out) *out = call;
    return 0;
}
