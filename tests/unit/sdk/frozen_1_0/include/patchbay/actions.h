/* SPDX-License-Identifier: MIT */
/*
 * Extension pbay.actions/1: named operations with JSON in and JSON out (start a reload, create a training
 * job), run from durable jobs; and the service pbay.host.action/1, by which they are answered.
 *
 * An action is a row in the host's store before it is run, so it outlives every process: each *attempt* is
 * one `run`. Whether there is another one after a failure follows from the result's code, effect and advice,
 * and from what the action says of itself:
 *
 *     PBAY_REPEAT_SAFE    the same again does no harm
 *     PBAY_REPEAT_KEYED   the other side knows the key and does it once
 *     PBAY_REPEAT_CHECK   after an attempt that may have had an effect (`effect`, or the process died) the
 *                         host asks `lookup` first: done (with what result), not done, or nobody can tell;
 *                         then a person decides
 *
 * An action that takes long completes with `started`: the host keeps a durable poll job and calls `poll`
 * until it answers done or failed. The end of an action, either way, is stored as the event
 * CONNECTOR.ACTION.done (type "ACTION.done" of the connector) in the transaction that ends the job; its data
 * is {"ok": bool, "code": "NOT_FOUND", "message": text, "result": what done gave, "key", "args", "job"}.
 *
 * Threads: [loop], all of it.
 *
 * Example: an action that the other side does once for each key.
 *
 *     static int32_t run(void *self, uint32_t action, pbay_action_run run_, const pbay_action_info *info,
 *                        pbay_result *why)
 *     {
 *         const struct mine *m = self;
 *         const pbay_str name = m->host->get_str(info->arguments, "name");
 *         (void)action;
 *         if (!name.n) return pbay_fail(why, PBAY_INVALID_ARGUMENT, "name is empty");
 *         m->action->done(run_, pbay_str_c("{\"made\": true}")); // usually later
 *         return PBAY_OK;
 *     }
 *     static const pbay_option arguments[] = {
 *         {"name", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "What is made."},
 *     };
 *     static const pbay_action all[] = {
 *         {"make", "Makes one.", PBAY_REPEAT_KEYED, 0, {arguments, 1, sizeof(pbay_option)}},
 *     };
 *     static const pbay_actions_1 actions = {
 *         .struct_size = sizeof actions,
 *         .n_actions = 1,
 *         .actions = all,
 *         .action_stride = sizeof(pbay_action),
 *         .run = run,
 *     };
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_EXT_ACTIONS "pbay.actions/1"
#define PBAY_SVC_ACTION  "pbay.host.action/1"

#define PBAY_REPEAT_SAFE  1u
#define PBAY_REPEAT_KEYED 2u
#define PBAY_REPEAT_CHECK 3u

/* Members beside those of the argument table are allowed; the plugin finds and checks them in info->json. */
#define PBAY_ACTF_MORE 1u
/* The other side may be away for days, and the action is worth waiting for: PBAY_ACTION_TRIES attempts,
 * unless the operator says how many ([jobs] or [queue] attempts). With the longest delay (5 min) between them
 * that is three days. */
#define PBAY_ACTF_PATIENT 2u
#define PBAY_ACTION_TRIES 1000u

/* One attempt, poll or lookup. A generation-checked number; 0 is never one. */
typedef uint64_t pbay_action_run;

typedef struct pbay_action {
    const char *name; /* [a-z][a-z0-9_]*, at most 64 bytes: `action CONNECTOR.NAME` */
    const char *doc;  /* a sentence */
    uint32_t repeat;  /* PBAY_REPEAT_* */
    uint32_t flags;   /* PBAY_ACTF_* */
    /*
     * The members of the JSON object that the action takes, checked before the plugin sees them: names are
     * the vendor's own ([A-Za-z][A-Za-z0-9_]*), REQUIRED and defaults count. A LIST takes an array of texts
     * or numbers, a FAMILY an object of them, every other type one text, number or boolean (STR also any
     * other JSON, which it gets as its text). Not FILE, not SECRET: arguments are stored. An empty table
     * with MORE: any object.
     */
    pbay_option_table arguments;
} pbay_action;

/* Borrowed until the run is completed. */
typedef struct pbay_action_info {
    uint32_t struct_size;
    uint32_t attempt;             /* of `run`, from 1; poll, lookup: how many times `run` was called */
    uint64_t fence;               /* greater with every run, poll and lookup of the job */
    pbay_str key;                 /* idempotency key, the same for every attempt; 1 to 64 of [A-Za-z0-9_-] */
    pbay_str json;                /* the arguments, whole: one JSON object */
    const pbay_config *arguments; /* and read by their table */
    int64_t first_attempt_ms;     /* UTC ms; lookup: nothing can have happened before */
    int64_t deadline;             /* CLOCK_MONOTONIC ns; the connector's `timeout` from now */
    pbay_str handle;              /* poll, lookup: what `started` gave; else empty */
    pbay_str traceparent;         /* W3C: of the run, or of the job; pbay.host.http/1 sends it along */
} pbay_action_info;

typedef struct pbay_actions_1 {
    uint32_t struct_size;
    uint32_t n_actions;
    const pbay_action *actions;
    uint32_t action_stride; /* sizeof(pbay_action) as the plugin knows it */
    uint32_t reserved;
    /*
     * Begin. PBAY_OK: exactly one done, started or failed (pbay.host.action/1) is owed, also after cancel and
     * after the deadline; it may come from inside. Another code: refused with *why, nothing was done unless
     * why->effect says so.
     */
    int32_t (*run)(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                   pbay_result *why);
    /*
     * How is it? As run; `started` again (its handle may be another): not yet, ask later. NULL: no action of
     * the plugin takes long, and `started` is a fault.
     */
    int32_t (*poll)(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                    pbay_result *why);
    /*
     * Was it done? done with the result; started: it is under way; failed with NOT_FOUND: it was not, run it
     * again; failed with UNKNOWN: nobody can tell; with another code: could not ask, ask again. NULL: no
     * action has PBAY_REPEAT_CHECK.
     */
    int32_t (*lookup)(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                      pbay_result *why);
    /* Advice: nobody wants it any more. The answer is still owed. May be NULL. */
    void (*cancel)(void *self, uint32_t action, pbay_action_run run);
} pbay_actions_1;

/*
 * Service pbay.host.action/1: the answers. [loop]. Each ends the run; everything is copied. A run that has
 * ended is ignored and counted as the plugin's fault.
 */
typedef struct pbay_action_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* json: one JSON value, at most 64 MiB; empty is null. */
    void (*done)(pbay_action_run run, pbay_str json);
    /* handle: 1 to 4096 bytes, what `poll` knows it by; poll_after_ms at least 0. */
    void (*started)(pbay_action_run run, pbay_str handle, int64_t poll_after_ms);
    /* result->code is not OK. */
    void (*failed)(pbay_action_run run, const pbay_result *result);
} pbay_action_1;

#ifdef __cplusplus
}
#endif
