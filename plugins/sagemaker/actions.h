/* SPDX-License-Identifier: MIT */
/* pbay.actions/1 of this plugin: SageMaker's control plane (control.c) and objects of S3 (objects.c). */
#pragma once

#include <patchbay/actions.h>

#include "aws_call.h"
#include "sagemaker.h"

/* One of the plugin's actions; what is not there it does not have. */
struct action {
    pbay_action about;
    const void *spec; /* of the room that runs it */
    int32_t (*run)(struct sagemaker *sm, const struct action *a, pbay_action_run run,
                   const pbay_action_info *info, pbay_result *why);
    int32_t (*poll)(struct sagemaker *sm, const struct action *a, pbay_action_run run,
                    const pbay_action_info *info, pbay_result *why);
    int32_t (*lookup)(struct sagemaker *sm, const struct action *a, pbay_action_run run,
                      const pbay_action_info *info, pbay_result *why);
};

/* Under way: embedded in what a room keeps of a run. */
struct running {
    struct sagemaker *sm;
    pbay_action_run run;
    void (*cancel)(struct running *r);
    struct running *next;
};
void running_add(struct running *r, struct sagemaker *sm, pbay_action_run run,
                 void (*cancel)(struct running *r));
void running_remove(struct running *r);

extern const struct action control_actions[], object_actions[];
extern const uint32_t control_n_actions, object_n_actions;
extern const pbay_actions_1 *sagemaker_actions(void);

/* The arguments as JSON, or NULL with *why. Returns owned. */
json_t *action_arguments(struct sagemaker *sm, const pbay_action_info *info, pbay_result *why);
/* A member taken out of the arguments: Wait, AllPages. Not there: dflt. -1 with *why: it is no boolean. */
int action_flag(struct sagemaker *sm, json_t *args, const char *name, int dflt, pbay_result *why);
/* done with a value, which is freed. */
void action_done(struct running *r, json_t *value);
