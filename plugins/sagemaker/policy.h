/* SPDX-License-Identifier: MIT */
/* `patchbay sagemaker aws-policy`: what IAM has to allow for what is configured, and nothing more. */
#pragma once

#include <patchbay/commands.h>

#include "sagemaker.h"

/* A function's need; what is empty it does not have. Embedded in what is bound, so that it goes with it. */
struct use {
    const char *action;                 /* "sagemaker:InvokeEndpoint" */
    const char *kind;                   /* of the resource in its ARN: "endpoint" */
    const char *name;                   /* of it; "*": any */
    pbay_str bucket, folder, pass_role; /* of what is put on S3 and of the role that is handed on */
    int reads_objects, tags;
    struct use *next;
};
void use_add(struct sagemaker *sm, struct use *u);
void use_remove(struct sagemaker *sm, struct use *u);

extern const pbay_commands_1 sagemaker_commands;
