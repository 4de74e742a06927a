/* SPDX-License-Identifier: MIT */
/*
 * Draft: extension pbay.actions/1: named operations with JSON in and JSON out, run from durable jobs.
 *
 * An action that takes long completes with `started`: the host keeps a poll job and calls `poll` until the
 * end, which becomes the event CONNECTOR.ACTION.done. Every attempt carries a key, its number and a fence.
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_EXT_ACTIONS "pbay.actions/1"
#define PBAY_SVC_ACTION  "pbay.host.action/1"

#define PBAY_REPEAT_SAFE  1u /* the same again does no harm */
#define PBAY_REPEAT_KEYED 2u /* the other side knows the key and does it once */
#define PBAY_REPEAT_CHECK 3u /* `lookup` tells whether it was done */

/* One attempt, poll or lookup. A generation-checked number; 0 is never one. */
typedef uint64_t pbay_action_run;

typedef struct pbay_action {
    const char *name; /* [a-z][a-z0-9_]*: `action CONNECTOR.NAME` */
    const char *doc;
    uint32_t repeat;             /* PBAY_REPEAT_* */
    uint32_t flags;              /* 0 */
    pbay_option_table arguments; /* checked before the plugin sees them */
} pbay_action;

/* Borrowed until the run is completed. */
typedef struct pbay_action_info {
    uint32_t struct_size;
    uint32_t attempt;             /* from 1 */
    uint64_t fence;               /* greater with every attempt */
    pbay_str key;                 /* idempotency key, the same for every attempt; 1 to 64 of [A-Za-z0-9_-] */
    pbay_str json;                /* the arguments, whole */
    const pbay_config *arguments; /* and read by their table */
    int64_t first_attempt_ms;     /* UTC; lookup: nothing can have happened before */
    int64_t deadline;             /* CLOCK_MONOTONIC ns */
    pbay_str handle;              /* poll, lookup: what `started` gave, or empty */
    pbay_str traceparent;
} pbay_action_info;

typedef struct pbay_actions_1 {
    uint32_t struct_size;
    uint32_t n_actions;
    const pbay_action *actions;
    uint32_t action_stride;
    uint32_t reserved;
    /* [loop] Begin. PBAY_OK: one of done, started or failed (pbay.host.action/1) is owed. Else refused with
     * *why. */
    int32_t (*run)(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                   pbay_result *why);
    /* [loop] How is it? As run: done, or started with the same handle: later again. NULL: nothing takes long.
     */
    int32_t (*poll)(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                    pbay_result *why);
    /* [loop] REPEAT_CHECK: was it done? done(result), failed with NOT_FOUND: it was not, or UNKNOWN: a person
     * decides. */
    int32_t (*lookup)(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                      pbay_result *why);
    /* [loop] Advice; the answer is still owed. May be NULL. */
    void (*cancel)(void *self, uint32_t action, pbay_action_run run);
} pbay_actions_1;

/* Service pbay.host.action/1: the answers. [loop]; each ends the run, all strings are copied. */
typedef struct pbay_action_1 {
    uint32_t struct_size;
    uint32_t reserved;
    void (*done)(pbay_action_run run, pbay_str json);
    void (*started)(pbay_action_run run, pbay_str handle, int64_t poll_after_ms);
    void (*failed)(pbay_action_run run, const pbay_result *result);
} pbay_action_1;

#ifdef __cplusplus
}
#endif
