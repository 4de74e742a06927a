/* SPDX-License-Identifier: MIT */
/*
 * A function as declared: its name and id, its columns, and what stands behind it.
 *
 *   parameters  the columns callers send
 *   sent        what the backend gets: the parameters, or what the transform's `before` makes of them
 *   answer      what the backend answers
 *   returns     what callers get: the answer converted, or what the transform's `after` makes of it
 *
 * Made from the configuration by app, immutable while it serves. Threads: the loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/functions.h>

#include "base/arena.h"
#include "base/err.h"
#include "flow/counters.h"
#include "flow/lane.h"
#include "guard/identity.h"
#include "plugin/operation.h"
#include "script/function.h"

enum pb_empty { PB_EMPTY_NULL, PB_EMPTY_SEND, PB_EMPTY_ERROR };
enum pb_bad { PB_BAD_ERROR, PB_BAD_NULL };

/* What Qlik is told: how rows in and out belong together (FunctionType of the SSE protocol). */
enum pb_function_type {
    PB_TYPE_SCALAR,
    PB_TYPE_AGGREGATION,
    PB_TYPE_TENSOR
}; /* the numbers of the protocol */

enum { PB_FUNCTION_MAGIC = 0x46554e43 };

struct pb_function {
    uint32_t magic;
    int32_t id; /* Qlik's functionId, stable for ever */
    pbay_str name;
    pbay_str where; /* "patchbay.ini:14": where it was declared */
    pbay_str doc;
    uint32_t shape; /* PBAY_SHAPE_* */
    enum pb_function_type type;

    const struct pb_script_field *params;
    uint32_t n_params;
    const struct pb_script_field
        *answers; /* n_answers 0: whatever comes, converted to `returns` column by column */
    uint32_t n_answers;
    const struct pb_script_field *returns; /* at least one; a table may leave it to `describe` */
    uint32_t n_returns;
    const pbay_field *plain_params, *plain_returns; /* the same without what only scripts care for */

    /* Exactly one of the two stands behind it (neither with a refusal). */
    struct pb_op *op;               /* an operation of a connector */
    struct pb_fn *script;           /* Lua alone */
    struct pb_transform *transform; /* before and after, or NULL */
    struct pb_lane *lane;           /* of the operation; NULL for Lua alone */
    struct pb_coalesce *coalesce;   /* rows of different calls go together; NULL: they do not */
    struct pb_result_cache *cache;  /* answers are kept; NULL: they are not */

    uint32_t max_rows;       /* rows per batch */
    uint32_t max_bytes;      /* text per batch, cut by rows */
    uint32_t attempts;       /* of a batch, at most */
    int64_t call_timeout_ms; /* of a whole call; 0: none but the caller's own */
    enum pb_empty empty;
    enum pb_bad on_bad;
    bool more_columns; /* an answer may have more columns than `returns`: an old folder's function declares
                          one only */
    bool qlik_cache;   /* no: callers are told not to keep the answer */
    bool effects;      /* bound to an action: never repeated or cached by the flow */

    uint32_t max_waiting;   /* calls of this machine that may wait for a place in the lane; 0: no limit */
    uint64_t max_call_rows; /* 0: no limit */
    const struct pb_allow *allow; /* who may call it; NULL: everybody the listener lets in */

    const char *refusal; /* not NULL: it is listed, but every call is UNIMPLEMENTED with this sentence */

    struct pb_function_counters *counters;
};

/* A column without what only scripts care for. */
static inline pbay_field pb_plain_field(const struct pb_script_field *p)
{
    return (pbay_field){p->name, p->kind, 0};
}
