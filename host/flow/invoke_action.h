/* SPDX-License-Identifier: MIT */
/*
 * An action that was invoked: put as a durable job, waited for wherever it runs, and told. Who gives up
 * leaves the job as it is. Inside of flow/invoke*.c. Threads: the loop.
 */
#pragma once

#include "plugin/actions.h"
#include "plugin/invoke.h"

struct pb_invoked_action;

/* Once, later: the answer (json, with err NULL) or why there is none. The action is gone then. */
typedef void (*pb_invoked_action_fn)(void *user, const struct pb_err *err, pbay_str json);

/* NULL with err: no such action, or its arguments are wrong. */
struct pb_invoked_action *pb_invoked_action_new(struct pb_actions *actions, struct pb_durable *durable,
                                                const struct pb_invoke_request *r, pb_invoked_action_fn done,
                                                void *user, struct pb_err *err);
/* Nobody waits for it any more: done is not called. */
void pb_invoked_action_drop(struct pb_invoked_action *a);
