/* SPDX-License-Identifier: MIT */
/* `train` in three files: what is configured (train_bind.c), what SageMaker is asked for (train_job.c), and
 * the way of a call (train.c). */
#pragma once

#include <jansson.h>

#include "actions.h"
#include "policy.h"

/* The longest AutoMLJobName. */
enum { TRAIN_JOB_NAME = 32 };

struct training;

struct trainer {
    const struct operation *op;
    struct sagemaker *sm;
    const pbay_config *config;
    char who[96];
    char prefix[TRAIN_JOB_NAME - 12];
    pbay_str bucket, folder; /* the configuration's */
    char **names;            /* of the columns that are trained on */
    uint32_t n_sends, n_trained;
    int32_t key; /* column, or -1 */
    struct training *calls;
    int unbound; /* and freed with the last of them */
    struct use use;
};

/* Of struct operation. */
int32_t train_bind(struct sagemaker *sm, const pbay_function_info *info, void **bound, pbay_result *why);
void train_unbind(struct sagemaker *sm, void *bound);

/* The arguments of CreateAutoMLJobV2 for data in `folder` below the prefix. Owned by the caller. */
json_t *train_job(const struct trainer *t, const char *name, const char *folder);
