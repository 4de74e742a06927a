/* SPDX-License-Identifier: MIT */
/*
 * Draft: service pbay.host.invoke/1: an operation seen from its caller.
 *
 * Targets: `function NAME` (through the whole pipeline: split, order, cache, limits), `operation
 * CONNECTOR.OP` with checked options, `action CONNECTOR.ACTION`. The deadline is the parent's unless
 * detached; nesting is limited to 4.
 */
#pragma once

#include <patchbay/functions.h>
#include <patchbay/routes.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_INVOKE "pbay.host.invoke/1"

#define PBAY_INVOKE_FUNCTION  1u
#define PBAY_INVOKE_OPERATION 2u
#define PBAY_INVOKE_ACTION    3u

#define PBAY_INVOKE_DETACHED 1u /* lives on when the parent ends */

/* One invocation. A generation-checked number; 0 is never one. */
typedef uint64_t pbay_invoke;

typedef struct pbay_invoke_info {
    uint32_t struct_size;
    uint32_t kind;   /* PBAY_INVOKE_FUNCTION .. */
    pbay_str target; /* "predict_churn", "aws.invoke", "aws.create_training_job" */
    uint32_t flags;  /* PBAY_INVOKE_* */
    uint32_t n_options;
    const pbay_header *options;  /* options that may be set per call, by name */
    pbay_call parent_call;       /* whose deadline, identity and trace are inherited; or */
    pbay_request parent_request; /* the same of a request; both 0: the connector itself */
    int64_t deadline;   /* CLOCK_MONOTONIC ns, the earlier of this and the parent's counts; 0: the parent's */
    pbay_str user, app; /* said of whom by the one who calls (routes with auth = own); empty: the parent's */
    pbay_str key;       /* of actions and functions with effects */
} pbay_invoke_info;

typedef struct pbay_invoke_events {
    uint32_t struct_size;
    uint32_t reserved;
    /* There is room for `push` again. May be NULL. */
    void (*on_ready)(void *user, pbay_invoke call);
    /* Tables: their columns, before the first rows. May be NULL. */
    void (*on_describe)(void *user, pbay_invoke call, const pbay_field *fields, uint32_t n);
    /* Rows in order, borrowed until return; give their number back with `credit`. */
    void (*on_rows)(void *user, pbay_invoke call, const pbay_batch *rows);
    /* The end, exactly once, after all rows. json: what an action answered. */
    void (*on_done)(void *user, pbay_invoke call, const pbay_result *result, pbay_str json);
} pbay_invoke_events;

/* All functions and callbacks: [loop]; callbacks never come from inside a function. */
typedef struct pbay_invoke_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* The columns a function wants (n may be 0: any) and its kind, to decode with. 0: there is no such
     * function. */
    int (*describe)(const pbay_host *host, pbay_str function, const pbay_field **fields, uint32_t *n,
                    uint32_t *flags);
    /* 0 with *why: no such target, not allowed, too many. json: the arguments of an action. */
    pbay_invoke (*open)(const pbay_host *host, const pbay_invoke_info *info, pbay_str json,
                        const pbay_invoke_events *events, void *user, pbay_result *why);
    /* PBAY_OK: taken, in was borrowed until return. PBAY_LATER: not taken, on_ready comes. PBAY_CANCELLED: it
     * is over. */
    int32_t (*push)(pbay_invoke call, const pbay_batch *in);
    void (*end)(pbay_invoke call);
    /* rows were used up; at first 4096 are given. */
    void (*credit)(pbay_invoke call, uint32_t rows);
    /* on_done comes with PBAY_CANCELLED. */
    void (*cancel)(pbay_invoke call);
} pbay_invoke_1;

#ifdef __cplusplus
}
#endif
