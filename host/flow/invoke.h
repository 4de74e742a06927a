/* SPDX-License-Identifier: MIT */
/*
 * Functions and operations as plugins invoke them: what stands behind pbay.host.invoke/1 (plugin/invoke.h).
 *
 * A function goes the way of any other call. An operation of a connector gets a function of its own for the
 * purpose, bound with the options that were given and kept for the next time. Threads: the loop.
 */
#pragma once

#include "flow/call.h"
#include "plugin/invoke.h"

struct pb_actions;
struct pb_durable;
struct pb_invokes;
struct pb_metrics;
struct pb_registry;

struct pb_invokes_options {
    struct pb_loop *loop;
    struct pb_flow *flow;
    struct pb_metrics *metrics;
    void *user;
    /* A function by its name; NULL: there is none. */
    const struct pb_function *(*find)(void *user, pbay_str name);
    /* "predict_churn (1000), ...", appended: for messages. */
    void (*list)(void *user, struct pb_buf *out);
    /* Name by name, in the order of the configuration; empty: there are no more. */
    pbay_str (*nth)(void *user, uint32_t i);
    /* A connector by its name; NULL: there is none. */
    struct pb_connector *(*connector)(void *user, pbay_str name);
    /* The lane of an operation, shared with the functions that go there. */
    struct pb_lane *(*lane)(void *user, struct pb_op *op);
    /* Actions and what they are stored in; NULL answers: there is no store. Asked when one is invoked. */
    struct pb_actions *(*actions)(void *user, struct pb_durable **durable);
};

/* Returns owned. */
struct pb_invokes *pb_invokes_new(const struct pb_invokes_options *options);
/* For pb_plugin_env.invoker; lives as long as the invokes. */
const struct pb_invoker *pb_invokes_service(struct pb_invokes *v);
/* No more of them: those under way end as cancelled before this returns, operations are unbound. */
void pb_invokes_close(struct pb_invokes *v);
/* After close, when every connector is closed. NULL is fine. */
void pb_invokes_free(struct pb_invokes *v);
uint32_t pb_invokes_live(const struct pb_invokes *v);
