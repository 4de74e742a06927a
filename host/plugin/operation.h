/* SPDX-License-Identifier: MIT */
/*
 * Operations of connectors, from the side of who calls them (flow).
 *
 *   op       a function bound to an operation of a connector
 *   context  what the calls of one client call have in common: who, until when, which options.
 * Reference-counted call     one batch of a map, or one whole aggregate or table call
 *
 * Contract: a call that began (submit or open returned 0) ends with exactly one on_complete, on a later turn
 * or later in this one, never inside the function that began it. When its deadline passes or it is cancelled,
 * on_complete comes soon with DEADLINE_EXCEEDED or CANCELLED; what the plugin does with it afterwards is this
 * room's business: the input stays referenced until it completes. Callbacks of one call never nest in
 * functions of this header for the same call.
 *
 * Breaches by the plugin (completed twice, completed without rows, columns of unequal length, ...) are
 * counted and logged by the connector's name, and answered as INTERNAL. Whether a map's answer has as many
 * rows as were sent is the caller's to check. Threads: [loop].
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/functions.h>
#include <patchbay/host_call.h>

#include "base/err.h"
#include "data/batch.h"

struct pb_connector;
struct pb_op;
struct pb_op_call;

/* ------------------------------------------------------------------------------------------------ binding */

/*
 * Bind a function. info->operation is filled in here from the name; the rest (name, fields, config) is
 * borrowed until pb_op_unbind. NULL with err: no such operation (and which there are), or the plugin's
 * refusal.
 */
struct pb_op *pb_op_bind(struct pb_connector *c, pbay_str operation, const pbay_function_info *info,
                         struct pb_err *err);
/* No more calls; the plugin is told when the last one has completed. op is dead. NULL is fine. */
void pb_op_unbind(struct pb_op *op);

uint32_t pb_op_shape(const struct pb_op *op); /* PBAY_SHAPE_* */
uint32_t pb_op_flags(const struct pb_op *op); /* PBAY_OPF_* */
struct pb_connector *pb_op_connector(const struct pb_op *op);
/* Functions whose in_flight and throttling are shared: borrowed as long as op; empty: its own. */
pbay_str pb_op_lane(const struct pb_op *op);
/* The configuration it was bound with. */
const struct pbay_config *pb_op_config(const struct pb_op *op);
/* Calls that the plugin has not completed; those of them that were answered in its place. */
uint32_t pb_op_in_flight(const struct pb_op *op);
uint32_t pb_op_late(const struct pb_op *op);

/* ------------------------------------------------------------------------------------------------ context */

struct pb_op_context_info {
    const pbay_identity *identity; /* NULL: nobody, or several callers */
    pbay_str traceparent;
    pbay_str key;        /* idempotency key of the call; empty: none */
    int64_t deadline_ns; /* of the whole call, monotonic; PB_NO_DEADLINE. A call's own is the earlier of this
                            and timeout */
    const struct pbay_config
        *options; /* per-call options, borrowed until the last reference is dropped; NULL: the function's */
    struct pbay_config *own_options; /* the same, taken: freed with the context. Instead of options */
    uint32_t depth;                  /* how many invocations this call is inside of; 0: a client's own */
};

/* Copies what it is given. Returns owned, one reference. */
struct pb_op_context *pb_op_context_new(const struct pb_op_context_info *info);
struct pb_op_context *pb_op_context_ref(struct pb_op_context *ctx);
void pb_op_context_unref(struct pb_op_context *ctx); /* NULL is fine */

/* ------------------------------------------------------------------------------------------------ answers */

struct pb_op_answer {
    const struct pb_err *err; /* NULL: success. Borrowed until return */
    struct pbay_builder *out; /* map, success: the callee's to unref. Else NULL */
    const pbay_batch *batch;  /* out, sealed */
    bool no_store;            /* must not be kept by a cache */
    bool per_user;            /* the plugin asked who calls, or its operation says so */
    bool late;                /* answered in the plugin's place */
};

typedef void (*pb_op_complete_fn)(void *user, struct pb_op_answer *answer);

/* ------------------------------------------------------------------------------------------------ map */

/*
 * Send rows from .. from + n - 1 of a batch; n >= 1. `of` is the builder behind it, referenced until the
 * plugin completes; NULL: the batch itself must live that long (its columns, not the structs). ctx is
 * referenced. attempt counts from 1. 0 with *call (NULL is fine), valid until on_complete; or -1 with err:
 * refused.
 */
int pb_op_submit(struct pb_op *op, struct pb_op_context *ctx, uint32_t attempt, const pbay_batch *batch,
                 struct pbay_builder *of, uint32_t from, uint32_t n, pb_op_complete_fn on_complete,
                 void *user, struct pb_op_call **call, struct pb_err *err);
/* Any shape: nobody waits any more. on_complete still comes, soon, with CANCELLED. */
void pb_op_cancel(struct pb_op_call *call);

/* ------------------------------------------------------------------------------------------------ aggregate,
 * table */

struct pb_op_stream_fns {
    /* A table's columns, before its first emit. Borrowed until return. */
    void (*on_describe)(void *user, pbay_str table_name, const pbay_field *fields, uint32_t n);
    /*
     * Rows of the answer: out is the callee's to unref. Return true to go on, false: no more until
     * pb_op_writable.
     */
    bool (*on_emit)(void *user, struct pbay_builder *out, const pbay_batch *batch);
    /* After a push that answered PBAY_LATER: push the same batch again. */
    void (*on_ready)(void *user);
    pb_op_complete_fn on_complete;
};

/* 0 with *call, valid until on_complete; or -1 with err: refused. fns is borrowed for ever (a static table).
 */
int pb_op_open(struct pb_op *op, struct pb_op_context *ctx, uint32_t attempt,
               const struct pb_op_stream_fns *fns, void *user, struct pb_op_call **call, struct pb_err *err);
/*
 * PBAY_OK: taken; the batch was borrowed until return. PBAY_LATER: on_ready comes. PBAY_CANCELLED: the call
 * is over and on_complete comes with the reason.
 */
int32_t pb_op_push(struct pb_op_call *call, const pbay_batch *batch);
/* There are no more rows. */
void pb_op_end(struct pb_op_call *call);
/* on_emit may be called again. */
void pb_op_writable(struct pb_op_call *call);

/* Free what this thread keeps for coming calls; a thread that made calls does it before it ends. */
void pb_op_pool_free(void);
