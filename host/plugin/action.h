/* SPDX-License-Identifier: MIT */
/*
 * Actions of connectors (pbay.actions/1), from the side of who runs them: one attempt, poll or lookup.
 *
 * Contract: an attempt that began (pb_action_begin returned it) ends with exactly one on_end, on a later turn
 * or later in this one, never inside pb_action_begin. When its deadline passes, or the connector is given up,
 * on_end comes with DEADLINE_EXCEEDED or UNAVAILABLE and effect maybe; what the plugin does with it
 * afterwards is this room's business. Breaches by the plugin are counted and logged by the connector's name,
 * and answered as INTERNAL. Nothing here knows of jobs: plugin/actions.h does. Threads: [loop].
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/actions.h>

#include "base/err.h"

struct pb_connector;
struct pb_action_call;

enum pb_action_what { PB_ACTION_RUN, PB_ACTION_POLL, PB_ACTION_LOOKUP };

/* Copied. */
struct pb_action_info {
    enum pb_action_what what;
    uint32_t attempt;
    uint64_t fence;
    pbay_str key, args, handle, traceparent;
    int64_t first_attempt_ms;
};

struct pb_action_answer {
    const struct pb_err *err; /* NULL: done or started. Borrowed until return */
    bool started;
    pbay_str text; /* the result's JSON ("null" for none), or the handle. Borrowed until return */
    int64_t poll_after_ms;
    bool late; /* answered in the plugin's place */
};
typedef void (*pb_action_end_fn)(void *user, const struct pb_action_answer *answer);

/* Its index; or -1 with err: NOT_FOUND, and which there are. */
int pb_action_find(const struct pb_connector *c, pbay_str name, struct pb_err *err);
/* Borrowed for ever. */
const pbay_action *pb_action_at(const struct pb_connector *c, int action);
/* Would these arguments (one JSON object) do? 0, or -1 with err: INVALID_ARGUMENT, and which one would not.
 */
int pb_action_check(const struct pb_connector *c, int action, pbay_str args, struct pb_err *err);
/*
 * Begin. Returns the attempt, valid until on_end; NULL with err: refused, and on_end does not come (effect as
 * the plugin says; none when the connector is out or stopping, or the arguments are wrong).
 */
struct pb_action_call *pb_action_begin(struct pb_connector *c, int action, const struct pb_action_info *info,
                                       pb_action_end_fn on_end, void *user, struct pb_err *err);
/* Nobody wants it any more: the plugin is told, once, and may end it earlier. on_end comes as ever. */
void pb_action_cancel(struct pb_action_call *call);

/* Free what this thread keeps for coming attempts; a thread that made some does it before it ends. */
void pb_action_pool_free(void);

/* The connector is given up with calls that its plugin still holds: they end now. Inside of this room. */
void pb_action_abandon(struct pb_connector *c);
