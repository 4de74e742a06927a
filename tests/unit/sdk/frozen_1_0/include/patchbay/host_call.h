/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.call/1: one call of an operation, as the plugin that serves it sees it.
 *
 * Every function takes a `pbay_call`; a call that has been completed is stale, and a stale call is answered
 * with zero, NULL or PBAY_CANCELLED and counted as the plugin's fault in the metrics. All functions: [loop].
 *
 * Example: a table of one row, with what belongs to the call kept by the host.
 *
 *     static int32_t open_call(void *self, void *bound, pbay_call call, pbay_result *why)
 *     {
 *         const struct mine *m = self;
 *         double *sum = calloc(1, sizeof *sum);
 *         (void)bound;
 *         if (!sum) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
 *         m->call->set_user(call, sum);
 *         return PBAY_OK;
 *     }
 *     static void end(void *self, void *bound, pbay_call call)
 *     {
 *         static const pbay_field columns[] = {{{"sum", 3}, PBAY_NUM, 0}};
 *         const struct mine *m = self;
 *         const pbay_result ok = PBAY_RESULT_OK;
 *         double *sum = m->call->user(call); // `push` has added to it
 *         (void)bound;
 *         pbay_builder *out = m->batch->create(m->host);
 *         m->batch->add_column(out, columns[0].name, PBAY_NUM);
 *         m->batch->num(out, 0, *sum);
 *         m->call->describe(call, pbay_str_c("sums"), columns, 1);
 *         m->call->emit(call, out);
 *         m->call->complete(call, &ok, NULL);
 *         free(sum);
 *     }
 */
#pragma once

#include <patchbay/functions.h>
#include <patchbay/host_batch.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_CALL "pbay.host.call/1"

/* Who calls. Asking marks the answer as depending on the user: it is not shared between identities. */
typedef struct pbay_identity {
    uint32_t struct_size;
    uint32_t reserved;
    pbay_str user; /* e.g. Qlik's "UserDirectory=ACME; UserId=kim", Snowflake's current user; may be empty */
    pbay_str app;  /* Qlik's app id, ... */
    pbay_str principal; /* what authenticated: certificate subject, key name, token subject; may be empty */
    pbay_str source;    /* "sse", "http", "snowflake", "cli", "chain" */
} pbay_identity;

typedef struct pbay_call_1 {
    uint32_t struct_size;
    uint32_t reserved;

    /* CLOCK_MONOTONIC nanoseconds by which the host answers in the plugin's place; INT64_MAX: none. */
    int64_t (*deadline)(pbay_call call);
    /* Borrowed until `complete`. Empty when the batch holds rows of several callers (see PBAY_OPF_PER_USER).
     */
    const pbay_identity *(*identity)(pbay_call call);
    /* The function's name, borrowed until `complete`. */
    pbay_str (*function)(pbay_call call);
    /* The options of this call: those of the function, with what the caller may set for one call laid over.
     */
    const pbay_config *(*options)(pbay_call call);
    /* W3C trace context to pass on ("00-..."), empty when there is none. Borrowed until `complete`. */
    pbay_str (*traceparent)(pbay_call call);
    /* Which attempt this is, from 1. The host repeats what failed with an advice of RETRY, SLOW or SPLIT. */
    uint32_t (*attempt)(pbay_call call);

    /*
     * The end. Takes `out` (see pbay.host.batch/1) in every case; NULL with a failure, or with aggregates and
     * tables that have emitted all. Map: out has exactly as many rows as the batch had, or the call fails.
     * Delivered to the flow on a later turn of the loop, so it may be called from inside submit.
     */
    void (*complete)(pbay_call call, const pbay_result *result, pbay_builder *out);

    /* Aggregate, table: push answered PBAY_LATER and there is room now. */
    void (*ready)(pbay_call call);
    /*
     * Aggregate, table: rows of the answer, in order. Takes `out` in every case. PBAY_OK: go on. PBAY_LATER:
     * taken, but wait for `writable` before the next. Other codes: the call is over, complete it.
     */
    int32_t (*emit)(pbay_call call, pbay_builder *out);
    /* Table: the columns of the answer, once, before the first emit. Borrowed until return. */
    void (*describe)(pbay_call call, pbay_str table_name, const pbay_field *fields, uint32_t n);
    /* This answer must not be kept by any cache (a partial or random result). Before `complete` or the first
     * emit. */
    void (*no_store)(pbay_call call);

    /*
     * What the plugin keeps for this call, to find it again in `push`, `end`, `writable` and `cancel`: NULL
     * until it is set. The plugin frees it, no later than it completes the call.
     */
    void (*set_user)(pbay_call call, void *user);
    void *(*user)(pbay_call call);
} pbay_call_1;

#ifdef __cplusplus
}
#endif
