/* SPDX-License-Identifier: MIT */
/*
 * Actions as durable jobs: which job an action is, how jobs run their actions, and the event that tells of
 * the end.
 *
 * A target is CONNECTOR.ACTION, by the connector's configured name. Its job has that connector, the target as
 * its `action`, and the arguments as its args; it stands in the queue that lists it (struct
 * pb_action_queue), else in the queue of its connector's name. The end of the job puts the event
 * `ACTION.done` of the connector in the same transaction (sdk: patchbay/actions.h); its subject is the job's
 * key, or its id.
 *
 * One per worker, made after the registry and before the connectors. Threads: [loop], but for what is marked.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "store/durable.h"

struct pb_actions;
struct pb_registry;

/* [queue "NAME"]. Strings are borrowed as long as the actions. */
struct pb_action_queue {
    pbay_str name;
    const pbay_str *targets; /* "aws.create_model", "aws.*"; none: those of the connector of that name */
    uint32_t n_targets;
    uint32_t starts; /* at most so many in any `per_ms`, for the whole machine; 0: no limit */
    int64_t per_ms;
    uint32_t attempts; /* 0: as everybody */
};

struct pb_actions_config {
    struct pb_durable *durable; /* NULL (a check): targets and arguments can be checked, nothing runs */
    const struct pb_action_queue *queues; /* copied */
    uint32_t n_queues;
    uint32_t attempts;  /* of a job; 0: PB_JOB_ATTEMPTS */
    bool attempts_said; /* by the operator: of patient actions, too */
    int64_t keep_ms;    /* results; 0: PB_RESULT_KEEP_MS */
};

/* Registers itself with the durable work, before its start. Returns owned. */
struct pb_actions *pb_actions_new(struct pb_registry *r, const struct pb_actions_config *config);
/* After the durable work was told to drain and the connectors are closed. NULL is fine. */
void pb_actions_free(struct pb_actions *a);

/*
 * The job of an action. args: one JSON object, checked against the action's table; empty: {}. *out borrows
 * target and args from the caller and the rest from `a`; key, cause, run, function, run_at_ms are the
 * caller's to fill in. Errors: NOT_FOUND (no such connector, or action: names what there is),
 * INVALID_ARGUMENT.
 */
int pb_actions_job(struct pb_actions *a, pbay_str target, pbay_str args, struct pb_job_put *out,
                   struct pb_err *err);
/* Has the action an argument of that name, or takes any? Errors: INVALID_ARGUMENT. */
bool pb_actions_takes(struct pb_actions *a, pbay_str target, pbay_str name, struct pb_err *err);
/* Is there such a target? For checking at load. Errors: as above. */
int pb_actions_known(struct pb_actions *a, pbay_str target, struct pb_err *err);

/*
 * The event's data, for who shows or tells it himself: what became of a job. result: JSON, or empty for
 * null. Appends. [any]
 */
void pb_action_end_data(struct pb_buf *out, const struct pb_job *job, enum pb_job_state state,
                        const struct pb_err *why, pbay_str result);
