/* SPDX-License-Identifier: MIT */
/*
 * Aggregates and tables: rows go in by push, come out by emit, and neither side is called from inside its own
 * call.
 *
 * What the plugin says (describe, emit, ready, complete) is queued with the call and delivered by pump, which
 * runs from the loop's queue; what the caller says goes straight to the plugin.
 */
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "plugin/flatten.h"
#include "plugin/operation_priv.h"

static size_t batch_bytes(const struct pbay_builder *b)
{
    return pb_builder_text(b) + (size_t)pb_builder_rows(b) * 8 * (b->n_cols ? b->n_cols : 1);
}

bool pb_op_stream_take(struct pb_op_call *call, struct pbay_builder *out)
{
    struct pb_err err;
    const pbay_batch *batch = pb_op_seal(&out, &err);
    if (!batch) {
        pb_op_call_fault(call, "rows that do not fit", err.msg);
        return false;
    }
    if (call->op->operation->shape == PBAY_SHAPE_TABLE) {
        if (!call->described || batch->n_cols != call->n_fields) {
            pb_builder_unref(out);
            pb_op_call_fault(
                call, call->described ? "rows with other columns than described" : "rows before describe",
                NULL);
            return false;
        }
    }
    PB_GROW(call->emitted, call->emitted_cap, call->n_emitted + 1);
    struct pb_emitted *e = &call->emitted[call->n_emitted++];
    *e = (struct pb_emitted){out, batch, batch_bytes(out)};
    call->emitted_bytes += e->bytes;
    pb_op_call_kick(call);
    return true;
}

void pb_op_stream_reset(struct pb_op_call *call)
{
    for (uint32_t i = call->emitted_at; i < call->n_emitted; i++) pb_builder_unref(call->emitted[i].out);
    call->n_emitted = call->emitted_at = 0;
    call->emitted_bytes = 0;
    pb_arena_reset(&call->fields_mem);
}

/* True: all are delivered. */
static bool deliver_rows(struct pb_op_call *call)
{
    while (call->emitted_at < call->n_emitted) {
        if (call->paused) return false;
        struct pb_emitted *e = &call->emitted[call->emitted_at++];
        call->emitted_bytes -= e->bytes;
        if (!call->fns->on_emit(call->user, e->out, e->batch)) call->paused = true;
        if (call->failed) return false; /* cancelled by who got the rows */
    }
    call->n_emitted = call->emitted_at = 0;
    return true;
}

bool pb_op_stream_pump(struct pb_op_call *call)
{
    if (call->describe_due) {
        call->describe_due = false;
        if (call->fns->on_describe)
            call->fns->on_describe(call->user, call->table_name, call->fields, call->n_fields);
    }
    if (!deliver_rows(call) || call->failed) return call->failed;
    if (call->ready_due && !call->ending) {
        call->ready_due = false;
        call->fns->on_ready(call->user);
    }
    if (call->want_writable && !call->paused && !call->ending) {
        call->want_writable = false;
        pb_op_call_arm(call, pb_mono_ns());
        if (call->op->table->writable) {
            struct pb_visit v;
            pb_visit_enter(&v, call->op->connector, "writable", call->op->function);
            call->op->table->writable(call->op->connector->self, call->op->bound, call->handle);
            pb_visit_leave(&v);
        }
    }
    /* The plugin may have emitted again from writable: those rows come with the next step. */
    return call->emitted_at == call->n_emitted;
}

int pb_op_open(struct pb_op *op, struct pb_op_context *ctx, uint32_t attempt,
               const struct pb_op_stream_fns *fns, void *user, struct pb_op_call **out, struct pb_err *err)
{
    PB_MAGIC_CHECK(op, PB_OP_MAGIC);
    struct pb_connector *c = op->connector;
    PB_REQUIRE(op->operation->shape != PBAY_SHAPE_MAP);
    if (c->stopped) return pb_fail(err, PBAY_UNAVAILABLE, "connector \"%s\" is stopping", c->name);
    if (c->state == PB_CONNECTOR_OUT) return pb_connector_refuse(c, err);
    struct pb_op_call *call = pb_op_call_new(op, ctx, attempt);
    call->fns = fns;
    call->on_complete = fns->on_complete;
    call->user = user;
    call->ended = call->described = call->describe_due = call->ready_due = false;
    call->awaiting_ready = call->paused = call->want_writable = false;
    pbay_result why = PBAY_RESULT_OK;
    struct pb_visit v;
    pb_visit_enter(&v, c, "open", op->function);
    pb_current.trace = call->ctx->traceparent;
    call->inside = true;
    int32_t code = op->table->open(c->self, op->bound, call->handle, &why);
    call->inside = false;
    pb_visit_leave(&v);
    if (code != PBAY_OK) return pb_op_call_refused(call, code, &why, "open", err);
    c->stats.calls++;
    if (!call->settled) pb_op_call_arm(call, v.start_ns);
    *out = call;
    return 0;
}

int32_t pb_op_push(struct pb_op_call *call, const pbay_batch *batch)
{
    PB_MAGIC_CHECK(call, PB_CALL_MAGIC);
    PB_REQUIRE(!call->ended);
    if (call->ending || call->settled) return PBAY_CANCELLED;
    struct pb_op *op = call->op;
    const pbay_batch *in = batch;
#ifdef PB_FLATTEN
    struct pbay_builder *flat = pb_flatten_batch(batch);
    in = pb_builder_seal(flat, NULL);
#endif
    pbay_result why = PBAY_RESULT_OK;
    struct pb_visit v;
    call->awaiting_ready = false;
    pb_visit_enter(&v, op->connector, "push", op->function);
    pb_current.trace = call->ctx->traceparent;
    call->inside = true;
    int32_t code = op->table->push(op->connector->self, op->bound, call->handle, in, &why);
    call->inside = false;
    pb_visit_leave(&v);
#ifdef PB_FLATTEN
    pb_builder_unref(flat);
#endif
    if (code == PBAY_OK) {
        op->connector->stats.rows += batch->n_rows;
        if (!call->settled) pb_op_call_arm(call, v.start_ns);
        return PBAY_OK;
    }
    if (call->ending) {
        /* Completed from inside: what push answers then does not count. */
        if (code != PBAY_LATER)
            pb_connector_fault(op->connector, "a call was completed and failed", op->function);
        return PBAY_CANCELLED;
    }
    if (code == PBAY_LATER) {
        if (call->ready_due) return PBAY_LATER; /* it has become ready meanwhile */
        call->awaiting_ready = true;
        pb_op_call_arm(call, v.start_ns);
        return PBAY_LATER;
    }
    why.code = pb_plugin_code(code);
    pb_op_call_complete(call, &why, NULL);
    return PBAY_CANCELLED;
}

void pb_op_end(struct pb_op_call *call)
{
    PB_MAGIC_CHECK(call, PB_CALL_MAGIC);
    PB_REQUIRE(!call->ended);
    call->ended = true;
    if (call->ending || call->settled) return;
    pb_op_call_arm(call, pb_mono_ns());
    struct pb_visit v;
    pb_visit_enter(&v, call->op->connector, "end", call->op->function);
    pb_current.trace = call->ctx->traceparent;
    call->op->table->end(call->op->connector->self, call->op->bound, call->handle);
    pb_visit_leave(&v);
}

void pb_op_writable(struct pb_op_call *call)
{
    PB_MAGIC_CHECK(call, PB_CALL_MAGIC);
    if (!call->paused) return;
    call->paused = false;
    if (!call->settled) pb_op_call_arm(call, pb_mono_ns());
    pb_op_call_kick(call);
}
