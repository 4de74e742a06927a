/* SPDX-License-Identifier: MIT */
/*
 * The inside of ops and calls, for this room alone.
 *
 * A call ends twice: `told` when on_complete was called, `settled` when the plugin has completed. Usually
 * settled comes first; after a deadline or a cancel told may. Its memory goes back to the pool when both are
 * true.
 */
#pragma once

#include "base/handle.h"
#include "plugin/connector_priv.h"
#include "plugin/operation.h"

enum { PB_OP_MAGIC = 0x4f505f5f, PB_CALL_MAGIC = 0x43414c4c };

/* How long after its deadline a plugin may keep a call before that is its fault. */
#define PB_CALL_OVERDUE_NS (60 * PB_SEC)
/* Emitted text and numbers that may wait for the caller before emit answers PBAY_LATER. */
#define PB_EMIT_WINDOW ((size_t)1 << 20)

struct pb_op {
    uint32_t magic;
    struct pb_connector *connector;
    const pbay_functions_1 *table;
    const pbay_operation *operation;
    void *bound;
    char *function;
    const struct pbay_config *config;
    int64_t timeout_ns;
    uint32_t in_flight, late;
    bool unbinding;
};

struct pb_op_context {
    uint32_t refs;
    bool small; /* of the pool */
    int64_t deadline_ns;
    const struct pbay_config *options;
    struct pbay_config *own_options; /* freed with it; options is this then */
    uint32_t depth;
    pbay_identity identity;
    pbay_str traceparent;
    pbay_str key;      /* of the whole call, or empty */
    uint64_t next_row; /* of the call, for who numbers rows (action_function.c) */
    char text[];       /* what the strings point into */
};

struct pb_emitted {
    struct pbay_builder *out;
    const pbay_batch *batch;
    size_t bytes;
};

struct pb_op_call {
    uint32_t magic;
    uint32_t attempt;
    uint64_t handle;
    struct pb_op *op;
    struct pb_op_context *ctx;
    struct pb_slice in;
    struct pbay_builder *flat_in; /* PB_FLATTEN: what the plugin was really given */
    struct pb_op_call *next_free;

    pb_op_complete_fn on_complete;
    const struct pb_op_stream_fns *fns; /* NULL: map */
    void *user;
    void *plugins; /* what the plugin keeps for it */

    struct pb_defer step;
    struct pb_deadline deadline;

    bool settled; /* the plugin has completed, or was refused */
    bool told;    /* on_complete was called */
    bool ending;  /* there is an answer: out or err; nothing of the plugin is heard any more */
    bool late;    /* answered in the plugin's place */
    bool overdue; /* and its 60 s are over */
    bool no_store, per_user;
    struct pb_invoked *children; /* what the plugin has invoked for it: plugin/invoke.h */
    bool inside;                 /* submit, open or push is running: a refusal may still come */

    /* streams */
    bool ended, described, describe_due, ready_due, awaiting_ready, paused, want_writable;
    struct pb_emitted *emitted;
    uint32_t n_emitted, emitted_cap, emitted_at;
    size_t emitted_bytes;
    struct pb_arena fields_mem;
    pbay_str table_name;
    pbay_field *fields;
    uint32_t n_fields;

    struct pbay_builder *out;
    const pbay_batch *out_batch;
    struct pb_err *err; /* kept with the call, allocated at its first failure */
    bool failed;
};

/* Calls that plugins hold, of this thread. */
extern _Thread_local struct pb_handles pb_op_calls;

/* The call behind a handle; NULL, and a fault of the plugin that runs now, when it is stale. */
struct pb_op_call *pb_op_call_of(pbay_call handle, const char *function);

/* A call from the pool, with handle and context; counted in flight. */
struct pb_op_call *pb_op_call_new(struct pb_op *op, struct pb_op_context *ctx, uint32_t attempt);
/* Nothing refers to it but its owner: back to the pool. */
void pb_op_call_free(struct pb_op_call *call);
/* The plugin holds it no more. */
void pb_op_call_settle(struct pb_op_call *call);
/* Go on with deliveries later in this turn. */
static inline void pb_op_call_kick(struct pb_op_call *call)
{
    pb_loop_defer(call->op->connector->env->loop, &call->step);
}
/* The answer is this failure. Only the first answer counts. */
void pb_op_call_fail(struct pb_op_call *call, const struct pb_err *err);
/* The same for a breach of the rules, which is counted too. */
void pb_op_call_fault(struct pb_op_call *call, const char *what, const char *detail);
/* Set the deadline from now on, as the state of the call asks for. */
void pb_op_call_arm(struct pb_op_call *call, int64_t now);
/* The last step of a call: on_complete, and the end when the plugin has settled. */
void pb_op_call_tell(struct pb_op_call *call);
/* The plugin's advice function, once. */
void pb_op_call_advise_cancel(struct pb_op_call *call);

/* operation_stream.c: describe, emits, ready, writable as far as they can go; true when nothing is left of
 * them. */
bool pb_op_stream_pump(struct pb_op_call *call);
void pb_op_stream_reset(struct pb_op_call *call);

/* Queue rows; takes out. False, and a fault, when they do not fit. */
bool pb_op_stream_take(struct pb_op_call *call, struct pbay_builder *out);
/* `submit` or `open` did not answer PBAY_OK: fills err, frees the call, returns -1. */
int pb_op_call_refused(struct pb_op_call *call, int32_t code, const pbay_result *why, const char *what,
                       struct pb_err *err);

/* What a plugin that completes says (service_call.c). Takes out. */
void pb_op_call_complete(struct pb_op_call *call, const pbay_result *result, struct pbay_builder *out);
/* Seal what a plugin built; in a flattening build: decoded from its encoding. Takes *out; NULL with err. */
const pbay_batch *pb_op_seal(struct pbay_builder **out, struct pb_err *err);
