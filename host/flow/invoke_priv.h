/* SPDX-License-Identifier: MIT */
/* What the files of flow/invoke.h share; nobody else includes it. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "data/config.h"
#include "flow/invoke.h"
#include "loop/loop.h"

/* An operation that was invoked without a function: bound with its options, kept for the next time. */
struct pb_bare_op {
    struct pb_bare_op *next, *prev; /* the one used last comes first */
    struct pb_function fn;
    struct pb_function_counters counters;
    struct pbay_config *cfg;
    struct pb_arena mem;
    pbay_str key;
    uint32_t refs;
};

struct pb_invokes {
    struct pb_invokes_options o;
    struct pb_invoker service;
    struct pb_invocation *first; /* under way */
    uint32_t live;
    bool closed;
    struct pb_map bare_by_key;
    struct pb_bare_op *bare, *bare_last;
    uint32_t n_bare;
};

/* The function for an operation and its options; one reference. NULL with err. */
struct pb_bare_op *pb__bare_op(struct pb_invokes *v, const struct pb_invoke_request *r, struct pb_err *err);
void pb__bare_op_unref(struct pb_bare_op *b); /* NULL is fine */
void pb__bare_ops_unbind(struct pb_invokes *v);
void pb__bare_ops_free(struct pb_invokes *v);
