/* SPDX-License-Identifier: MIT */
/*
 * Extension pbay.functions/1: operations on batches of rows, which operators bind to functions:
 *
 *     [function "predict_churn"]
 *     connector = aws
 *     operation = invoke          ; <- one of `operations` below
 *     endpoint  = churn-v1        ; <- one of that operation's options
 *
 * Shapes
 *
 *   map        n rows in, n rows out, in the same order. The host cuts, runs several batches at once, puts
 *              the answers back in order, caches and repeats.
 *                  submit -> complete
 *   aggregate  all rows of a call in, one row or n rows out.
 *                  open -> push* -> end -> emit* -> complete
 *   table      any shape out: `describe` once before the first `emit`, else as aggregate.
 *
 * Example: an operation that doubles numbers.
 *
 *     static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
 *     {
 *         const struct mine *m = self;
 *         const pbay_result ok = PBAY_RESULT_OK;
 *         const pbay_column *col = pbay_batch_col(in, 0);
 *         (void)bound;
 *         if (col->kind != PBAY_NUM) return pbay_fail(why, PBAY_INVALID_ARGUMENT, "a number is expected");
 *         pbay_builder *out = m->batch->create(m->host);
 *         m->batch->add_column(out, pbay_str_c("twice"), PBAY_NUM);
 *         for (uint32_t i = 0; i < in->n_rows; i++) {
 *             if (pbay_cell_null(col, i))
 *                 m->batch->null(out, 0);
 *             else
 *                 m->batch->num(out, 0, 2 * col->num[i]);
 *         }
 *         m->call->complete(call, &ok, out);
 *         return PBAY_OK;
 *     }
 *     static const pbay_operation operations[] = {
 *         {"twice", "Each number, twice.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}},
 *     };
 *     static const pbay_functions_1 functions = {
 *         .struct_size = sizeof functions,
 *         .n_operations = 1,
 *         .operations = operations,
 *         .operation_stride = sizeof(pbay_operation),
 *         .submit = submit,
 *     };
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_EXT_FUNCTIONS "pbay.functions/1"

#define PBAY_SHAPE_MAP       1u
#define PBAY_SHAPE_AGGREGATE 2u
#define PBAY_SHAPE_TABLE     3u

/* Flags of an operation. */
#define PBAY_OPF_PER_USER 1u /* answers depend on who calls: never shared between identities */
/* It changes the world: never cached, never coalesced, repeated only when it says so. */
#define PBAY_OPF_EFFECTS 2u

/* One call of an operation. A generation-checked number: a stale one is noticed and ignored. 0 is never a
 * call. */
typedef uint64_t pbay_call;

typedef struct pbay_operation {
    const char *name;          /* what `operation =` says; [a-z][a-z0-9_]* */
    const char *doc;           /* one or two sentences */
    uint32_t shape;            /* PBAY_SHAPE_* */
    uint32_t flags;            /* PBAY_OPF_* */
    pbay_option_table options; /* keys of [function "NAME"] beside the host's own */
} pbay_operation;

/* A parameter or an answer column of a function. */
typedef struct pbay_field {
    pbay_str name;
    uint32_t kind; /* PBAY_NUM .. PBAY_JSON */
    uint32_t reserved;
} pbay_field;

/* Flags of a binding. */
#define PBAY_BIND_INVOKED 1u /* for pbay.host.invoke/1: a caller chose the options, not the operator */

/* What the host knows of the function an operation is bound to. Borrowed during `bind`, but config for its
 * life. */
typedef struct pbay_function_info {
    uint32_t struct_size;
    uint32_t operation; /* index into the table of operations */
    pbay_str name;      /* "predict_churn" */
    /* The columns a batch will have; n_sends 0: only known when it comes (Lua decides). */
    const pbay_field *sends;
    const pbay_field *answers; /* the columns the answer must have */
    uint32_t n_sends;
    uint32_t n_answers;
    uint32_t max_rows;         /* no batch has more */
    uint32_t flags;            /* PBAY_BIND_* */
    const pbay_config *config; /* the operation's options */
} pbay_function_info;

/* What the plugin offers. Functions of shapes that no operation has may be NULL. */
typedef struct pbay_functions_1 {
    uint32_t struct_size;
    uint32_t n_operations;
    const pbay_operation *operations;
    uint32_t operation_stride; /* sizeof(pbay_operation) as the plugin knows it */
    uint32_t reserved;

    /*
     * [loop] A function was declared on this operation: check its options and prepare what every call needs.
     * Returns PBAY_OK with *bound set, or a code with *why. Called also in check-only instances. NULL:
     * nothing to prepare, bound is NULL.
     */
    int32_t (*bind)(void *self, const pbay_function_info *info, void **bound, pbay_result *why);
    /* [loop] No call of this function is in flight and none will come. NULL: nothing to free. */
    void (*unbind)(void *self, void *bound);
    /*
     * [loop] The lane of a bound function: functions of one lane share `in_flight` and throttling (e.g. the
     * endpoint's name). Borrowed as long as `bound`. "", or no function here: a lane of its own.
     */
    pbay_str (*lane)(void *self, void *bound);

    /*
     * [loop] Map. PBAY_OK: accepted, and exactly one `complete` is owed (pbay.host.call/1), also after cancel
     * and deadline; it may be called before submit returns. Any other code: refused with *why, none is owed.
     * `in` is borrowed until `complete`. in->n_rows >= 1.
     */
    int32_t (*submit)(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why);

    /* [loop] Aggregate and table: a call begins. PBAY_OK: one `complete` is owed. Else refused with *why. */
    int32_t (*open)(void *self, void *bound, pbay_call call, pbay_result *why);
    /*
     * [loop] Rows of the call, in order. PBAY_OK: taken, `in` was borrowed until return. PBAY_LATER: not
     * taken; call `ready` (pbay.host.call/1) when there is room, and the same batch comes again. Else: as
     * `complete` with *why, which is then not owed any more. (Who has completed from inside answers PBAY_OK.)
     */
    int32_t (*push)(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why);
    /* [loop] There are no more rows. */
    void (*end)(void *self, void *bound, pbay_call call);
    /* [loop] An `emit` that answered PBAY_LATER may go on. May be NULL when the plugin never waits for it. */
    void (*writable)(void *self, void *bound, pbay_call call);

    /* [loop] Nobody waits for the answer any more. Advice: `complete` is still owed, the sooner the better.
     * NULL: nothing can be cut short. */
    void (*cancel)(void *self, void *bound, pbay_call call);
} pbay_functions_1;

#ifdef __cplusplus
}
#endif
