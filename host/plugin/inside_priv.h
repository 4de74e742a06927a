/* SPDX-License-Identifier: MIT */
/* The inside of a connector's process, for inside*.c alone. There is one connector, so there are no instances
 * of any of this. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/host_call.h>
#include <patchbay/host_chain.h>
#include <patchbay/host_event.h>
#include <patchbay/host_invoke.h>
#include <patchbay/host_job.h>
#include <patchbay/host_kv.h>
#include <patchbay/host_limit.h>
#include <patchbay/host_metric.h>
#include <patchbay/host_secret.h>

#include "plugin/apart_page.h"
#include "plugin/apart_pipe.h"
#include "plugin/apart_wire.h"
#include "plugin/connector_priv.h"

#define PB_INSIDE_WINDOW ((size_t)1 << 20)

struct pb_inside {
    struct pb_loop *loop;
    struct pb_pipe *pipe;
    struct pb_apart_page *page;
    struct pb_plugin_env env;
    struct pb_registry *registry;
    struct pb_plugin *plugin;
    struct pb_connector *c; /* NULL: not made yet, or destroyed */
    uint32_t services;      /* PB_APART_HAS_* */
    uint64_t n_asked;
    struct pb_defer notice; /* at the end of a turn: how it is, and metrics */
    struct pb_timer tick;
    bool leaving;
};
extern struct pb_inside pb_inside;

/* What the worker has handed over, by the slots of its handles. Each kind has numbers of its own. */
struct pb_inside_table {
    struct {
        uint64_t handle;
        void *item;
    } * slots;
    uint32_t n;
};
/* item NULL: it is gone. */
void pb_inside_set(struct pb_inside_table *t, uint64_t handle, void *item);
static inline void *pb_inside_get(const struct pb_inside_table *t, uint64_t handle)
{
    uint32_t i = (uint32_t)handle;
    return handle && i < t->n && t->slots[i].handle == handle ? t->slots[i].item : NULL;
}
/* The same; a stale one is the plugin's fault. */
void *pb_inside_find(const struct pb_inside_table *t, uint64_t handle, const char *fault, const char *what);

/* A message to the worker; pb_pipe_commit(pb_inside.pipe) ends it. */
struct pb_buf *pb_inside_begin(uint32_t type, uint64_t handle);
static inline void pb_inside_commit(void)
{
    pb_pipe_commit(pb_inside.pipe);
}
/* A question whose answer is waited for: begin, then ask. Ends the process when the worker has gone. */
struct pb_buf *pb_inside_question(uint32_t type);
struct pb_in pb_inside_ask(void);
/* The same; what it asks for may have the worker bind an operation of this connector. */
struct pb_in pb_inside_ask_bound(void);

/* inside_calls.c */
extern const pbay_call_1 pb_inside_call;
extern const pbay_action_1 pb_inside_action;
extern const pbay_request_1 pb_inside_request;
extern const struct pbay_command_1 pb_inside_command;
extern const struct pbay_resolve_1 pb_inside_resolve;
void pb_inside_polled(uint64_t poll, const pbay_result *result, const pbay_event *events, uint32_t n,
                      pbay_str cursor, int again);
/* A message about a function's calls, or about anything else that the worker hands over; false: it is none.
 */
bool pb_inside_function(uint32_t type, uint64_t handle, struct pb_in *in);
bool pb_inside_given(uint32_t type, uint64_t handle, struct pb_in *in);

/* inside_serve.c */
extern const pbay_kv_1 pb_inside_kv;
extern const pbay_limit_1 pb_inside_limit;
extern const pbay_event_1 pb_inside_event;
extern const pbay_chain_1 pb_inside_chain;
extern const pbay_job_1 pb_inside_job;
extern const pbay_secret_1 pb_inside_secret;
extern const pbay_metric_1 pb_inside_metric;
bool pb_inside_answer(uint32_t type, uint64_t handle, struct pb_in *in);
/* Tell the worker of metrics that have changed. */
void pb_inside_metrics(void);

/* inside_invoke.c */
extern const pbay_invoke_1 pb_inside_invoke;
bool pb_inside_invoked(uint32_t type, uint64_t handle, struct pb_in *in);
