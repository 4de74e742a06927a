/* SPDX-License-Identifier: MIT */
/* A loop, the plugin of doubling.h, a function on it, and a caller that writes down what it is answered. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/call.h"
#include "flow/coalesce.h"
#include "flow/result_cache.h"
#include "flow/doubling.h"
#include "loop/loop.h"
#include "plugin/registry.h"

struct fixture {
    struct pb_loop *loop;
    struct pb_metrics *metrics;
    struct pb_plugin_env env;
    struct pb_registry *registry;
    struct pb_connector *connector;
    struct pb_flow *flow;
    struct pb_function fn;
    struct pb_function_counters counters;
    struct pb_lane lane;
};

extern const struct pb_script_field text_field;

struct got {
    char *text; /* answers joined with '|', "~" for null */
    size_t n, cap;
    uint64_t rows;
    size_t consumed;
    bool hold, done;
    struct pb_err err;
    struct pb_flow_stats stats;
};

/* For calls with `got` as user. */
extern const struct pb_flow_sink sink;

int setup(void **state);
int teardown(void **state);
/* The function's operation. */
void use(struct fixture *f, const char *operation);
struct pb_flow_call *begin(struct fixture *f, struct got *g, int64_t deadline_ns);
/* Rows "from", "from + 1", ... in one commit of ten bytes a row. */
void rows(struct pb_flow_call *call, unsigned from, unsigned n);
void until_done(struct fixture *f, struct got *g);
void expect_doubled(const struct got *g, unsigned n);
