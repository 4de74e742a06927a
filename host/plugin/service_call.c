/* SPDX-License-Identifier: MIT */
/* pbay.host.call/1: what a plugin asks and says of a call it holds. */
#include <patchbay/host_call.h>

#include "base/clock.h"
#include "base/mem.h"
#include "plugin/operation_priv.h"
#include "plugin/services.h"

static int64_t call_deadline(pbay_call handle)
{
    const struct pb_op_call *call = pb_op_call_of(handle, "deadline");
    if (!call) return 0;
    return pb_deadline_is_set(&call->deadline) && !call->late ? call->deadline.due_ns
                                                              : call->ctx->deadline_ns;
}

static const pbay_identity *call_identity(pbay_call handle)
{
    struct pb_op_call *call = pb_op_call_of(handle, "identity");
    if (!call) return NULL;
    call->per_user = true;
    return &call->ctx->identity;
}

static pbay_str call_function(pbay_call handle)
{
    const struct pb_op_call *call = pb_op_call_of(handle, "function");
    return call ? pb_str_c(call->op->function) : pb_str(NULL, 0);
}

static const pbay_config *call_options(pbay_call handle)
{
    const struct pb_op_call *call = pb_op_call_of(handle, "options");
    if (!call) return NULL;
    return call->ctx->options ? call->ctx->options : call->op->config;
}

static pbay_str call_traceparent(pbay_call handle)
{
    const struct pb_op_call *call = pb_op_call_of(handle, "traceparent");
    return call ? call->ctx->traceparent : pb_str(NULL, 0);
}

static uint32_t call_attempt(pbay_call handle)
{
    const struct pb_op_call *call = pb_op_call_of(handle, "attempt");
    return call ? call->attempt : 0;
}

static void call_complete(pbay_call handle, const pbay_result *result, pbay_builder *out)
{
    struct pb_op_call *call = pb_op_call_of(handle, "complete");
    if (call)
        pb_op_call_complete(call, result, out);
    else
        pb_builder_unref(out);
}

/* A call of an aggregate or a table; NULL when it is over, or (a fault) when it is a map. */
static struct pb_op_call *stream_of(pbay_call handle, const char *what)
{
    struct pb_op_call *call = pb_op_call_of(handle, what);
    if (!call) return NULL;
    if (!call->fns) {
        pb_connector_fault(call->op->connector, "a map call was used as a stream", what);
        return NULL;
    }
    return call->ending ? NULL : call;
}

static void call_ready(pbay_call handle)
{
    struct pb_op_call *call = stream_of(handle, "ready");
    if (!call || (!call->awaiting_ready && !call->inside)) return;
    call->awaiting_ready = false;
    call->ready_due = true;
    pb_op_call_kick(call);
}

static int32_t call_emit(pbay_call handle, pbay_builder *out)
{
    struct pb_op_call *call = stream_of(handle, "emit");
    if (!call || !out) {
        pb_builder_unref(out);
        return PBAY_CANCELLED;
    }
    if (!pb_op_stream_take(call, out)) return PBAY_INTERNAL;
    bool full = call->paused || call->emitted_bytes > PB_EMIT_WINDOW;
    call->want_writable = call->want_writable || full;
    pb_op_call_arm(call, pb_mono_ns());
    return full ? PBAY_LATER : PBAY_OK;
}

static void call_describe(pbay_call handle, pbay_str table_name, const pbay_field *fields, uint32_t n)
{
    struct pb_op_call *call = stream_of(handle, "describe");
    if (!call) return;
    if (call->op->operation->shape != PBAY_SHAPE_TABLE || call->described || n > PB_COLUMNS_MAX) {
        pb_op_call_fault(call, call->described ? "described twice" : "described what is not a table", NULL);
        return;
    }
    call->described = call->describe_due = true;
    call->table_name = pb_arena_str(&call->fields_mem, table_name);
    call->fields = pb_arena_zalloc(&call->fields_mem, (n ? n : 1) * sizeof *fields);
    call->n_fields = n;
    for (uint32_t i = 0; i < n; i++) {
        call->fields[i].name = pb_arena_str(&call->fields_mem, fields[i].name);
        call->fields[i].kind = fields[i].kind;
        if (fields[i].kind < PBAY_NUM || fields[i].kind > PBAY_JSON) {
            pb_op_call_fault(call, "described a column of an unknown kind", NULL);
            return;
        }
    }
    pb_op_call_kick(call);
}

static void call_no_store(pbay_call handle)
{
    struct pb_op_call *call = pb_op_call_of(handle, "no_store");
    if (call) call->no_store = true;
}

static void call_set_user(pbay_call handle, void *user)
{
    struct pb_op_call *call = pb_op_call_of(handle, "set_user");
    if (call) call->plugins = user;
}

static void *call_user(pbay_call handle)
{
    const struct pb_op_call *call = pb_op_call_of(handle, "user");
    return call ? call->plugins : NULL;
}

const pbay_call_1 pb_service_call = {
    .struct_size = sizeof(pbay_call_1),
    .deadline = call_deadline,
    .identity = call_identity,
    .function = call_function,
    .options = call_options,
    .traceparent = call_traceparent,
    .attempt = call_attempt,
    .complete = call_complete,
    .ready = call_ready,
    .emit = call_emit,
    .describe = call_describe,
    .no_store = call_no_store,
    .set_user = call_set_user,
    .user = call_user,
};
