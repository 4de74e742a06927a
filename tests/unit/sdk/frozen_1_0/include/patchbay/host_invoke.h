/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.invoke/1: a function, an operation or an action, seen from its caller.
 *
 *   function NAME           a function of patchbay.ini, through the whole pipeline: split, order, cache,
 *                           limits, scripts, repeats
 *   operation CONNECTOR.OP  an operation without a function: the same pipeline without scripts; its options
 *                           are given with the call
 *   action CONNECTOR.ACTION JSON in, JSON out
 *
 *     open -> push* -> end          rows go in (functions and operations)
 *          <- on_rows*, on_done     rows come back in order, then the end; exactly one on_done
 *
 * Who calls, until when, and the trace are inherited from the call or request that the plugin is serving
 * (`parent_*`); when that ends first, the invocation is cancelled, unless it is DETACHED. An invocation
 * inside an invocation is one level deeper, and the fourth level is the last.
 *
 * All functions and callbacks: [loop]. A callback never comes from inside one of the functions.
 *
 * Example: a function of patchbay.ini, asked for a request that is being answered.
 *
 *     static void on_rows(void *user, pbay_invoke call, const pbay_batch *rows)
 *     {
 *         struct mine *m = user;
 *         m->rows_known += rows->n_rows; // copy what is to be kept
 *         m->invoke->credit(call, rows->n_rows);
 *     }
 *     static void on_done(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
 *     {
 *         struct mine *m = user;
 *         (void)call, (void)json;
 *         m->request->respond(m->asked, result->code == PBAY_OK ? 200 : 502, NULL, 0, pbay_str_c(NULL));
 *     }
 *     static int32_t score(struct mine *m, const pbay_batch *rows, pbay_result *why)
 *     {
 *         static const pbay_invoke_events events = {sizeof events, 0, NULL, NULL, on_rows, on_done};
 *         const pbay_invoke_info info = {.struct_size = sizeof info,
 *                                        .kind = PBAY_INVOKE_FUNCTION,
 *                                        .target = pbay_str_c("predict_churn"),
 *                                        .parent_request = m->asked};
 *         const pbay_invoke call = m->invoke->open(m->host, &info, pbay_str_c(NULL), &events, m, why);
 *         if (!call) return why->code;
 *         m->invoke->push(call, rows); // PBAY_LATER: keep them, and push again at on_ready
 *         m->invoke->end(call);
 *         return PBAY_OK;
 *     }
 */
#pragma once

#include <patchbay/functions.h>
#include <patchbay/routes.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_INVOKE "pbay.host.invoke/1"

/* pbay_invoke_info.kind */
#define PBAY_INVOKE_FUNCTION  1u
#define PBAY_INVOKE_OPERATION 2u
#define PBAY_INVOKE_ACTION    3u

/* pbay_invoke_info.flags */
#define PBAY_INVOKE_DETACHED   1u /* lives on when the parent ends, and its deadline is only its own */
#define PBAY_INVOKE_ROW_ERRORS 2u /* rows that failed alone are row errors; else the first ends it */

/* pbay_invoke_function.flags */
#define PBAY_INVOKE_EFFECTS 1u /* it changes the world: give a key */

/* Levels of invocations inside invocations; deeper ones are refused with FAILED_PRECONDITION. */
#define PBAY_INVOKE_DEPTH 4u
/* Rows that may come before the first `credit`. */
#define PBAY_INVOKE_CREDIT 4096u

/* One invocation. A generation-checked number; 0 is never one. */
typedef uint64_t pbay_invoke;

/* A function as it is declared. Borrowed until the connector is destroyed. */
typedef struct pbay_invoke_function {
    uint32_t struct_size; /* set by the caller: nothing beyond it is written */
    uint32_t shape;       /* PBAY_SHAPE_* */
    uint32_t flags;       /* PBAY_INVOKE_EFFECTS */
    uint32_t n_params;    /* 0: it takes nothing */
    const pbay_field *params;
    uint32_t n_returns; /* 0: only known when they come (on_describe) */
    uint32_t reserved;
    const pbay_field *returns;
    pbay_str doc;
} pbay_invoke_function;

/* Copied by `open`. Zero-initialise, set struct_size, kind and target. */
typedef struct pbay_invoke_info {
    uint32_t struct_size;
    uint32_t kind;   /* PBAY_INVOKE_FUNCTION .. */
    pbay_str target; /* "predict_churn", "aws.invoke", "aws.create_training_job" */
    uint32_t flags;  /* PBAY_INVOKE_* */
    uint32_t n_options;
    const pbay_header *options;  /* options that may be set per call (PBAY_OPTF_PER_CALL), by name */
    pbay_call parent_call;       /* whose deadline, identity and trace are inherited; or */
    pbay_request parent_request; /* the same of a request; both 0: the connector itself calls */
    int64_t deadline;   /* CLOCK_MONOTONIC ns, the earlier of this and the parent's counts; 0: the parent's */
    pbay_str user, app; /* said of whom by the one who calls (routes with auth = own); empty: the parent's */
    pbay_str key;       /* actions and functions with effects: the same key again does it once */
    /* Operations: the columns that will be pushed, and those that are wanted back (none: as they come). */
    const pbay_field *sends, *answers;
    uint32_t n_sends, n_answers;
} pbay_invoke_info;

typedef struct pbay_invoke_events {
    uint32_t struct_size;
    uint32_t reserved;
    /* There is room for `push` again. May be NULL. */
    void (*on_ready)(void *user, pbay_invoke call);
    /* Tables: their columns, before the first rows. Borrowed until return. May be NULL. */
    void (*on_describe)(void *user, pbay_invoke call, const pbay_field *fields, uint32_t n);
    /*
     * Rows of the answer in order, borrowed until return; row_errors are numbered within them. Give their
     * number back with `credit`. May be NULL (actions; or the rows are of no interest: they are given back
     * for you).
     */
    void (*on_rows)(void *user, pbay_invoke call, const pbay_batch *rows);
    /* The end, exactly once, after all rows; the handle is stale. json: what an action answered. Borrowed. */
    void (*on_done)(void *user, pbay_invoke call, const pbay_result *result, pbay_str json);
} pbay_invoke_events;

typedef struct pbay_invoke_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* What a function of patchbay.ini takes and answers, to decode with. PBAY_OK, or NOT_FOUND. */
    int32_t (*describe)(const pbay_host *host, pbay_str function, pbay_invoke_function *out);
    /*
     * Begin. 0 with *why (borrowed until the next call of a service): no such target, an option that may not
     * be set, too deep, too many. *events is copied. json: the arguments of an action, copied.
     */
    pbay_invoke (*open)(const pbay_host *host, const pbay_invoke_info *info, pbay_str json,
                        const pbay_invoke_events *events, void *user, pbay_result *why);
    /*
     * Rows, with as many columns as the target takes; kinds are converted. PBAY_OK: taken, `in` was borrowed
     * until return. PBAY_LATER: not taken, on_ready comes, then push it again. PBAY_CANCELLED: it is over, or
     * the rows do not fit: on_done says why.
     */
    int32_t (*push)(pbay_invoke call, const pbay_batch *in);
    /* There are no more rows. Actions need none of both. */
    void (*end)(pbay_invoke call);
    /*
     * rows were used up. PBAY_INVOKE_CREDIT are given at first; at 0 no more come, but what goes beyond
     * within one batch is delivered whole.
     */
    void (*credit)(pbay_invoke call, uint32_t rows);
    /* Nobody waits for it any more: on_done comes with PBAY_CANCELLED. An action may have happened. */
    void (*cancel)(pbay_invoke call);
    /* The name of the i-th function of patchbay.ini, counted from 0; empty: there are no more. Borrowed. */
    pbay_str (*nth)(const pbay_host *host, uint32_t i);
} pbay_invoke_1;

#ifdef __cplusplus
}
#endif
