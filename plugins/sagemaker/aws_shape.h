/* SPDX-License-Identifier: MIT */
/*
 * What the arguments of an API call may look like, as a text, and a check of JSON against it: a wrong field
 * is told before AWS is asked, with its place and what was meant.
 *
 *     {TrainingJobName!:name HyperParameters:m InputDataConfig:[{ChannelName!:s64 ...}] Mode:(File|Pipe)}
 *
 * Members are NAME:TYPE, with ! when they must be there. Types: s (text), s64 (of at most 64 characters),
 * name (1 to 63 letters, digits and inner hyphens), arn, s3 (an s3:// address), i (integer), i1..100, n
 * (number), b (boolean), t (time: seconds, or RFC 3339, which becomes seconds), m (texts by name), *
 * (anything), (A|B) (one of these texts), [TYPE], {MEMBERS}.
 */
#pragma once

#include <jansson.h>

enum { SHAPE_WHY = 512 };

/* 0; or -1 with a sentence. Times of RFC 3339 in v become seconds, which is how AWS JSON 1.1 wants them. */
int aws_shape_check(const char *shape, json_t *v, char why[SHAPE_WHY]);

/* Edits between two names, letters of either case alike; 64 when one has more than 64 characters. [any] */
size_t aws_shape_distance(const char *a, const char *b, size_t nb);

/* The arguments of the operations of SageMaker's control plane that this plugin has. */
extern const char aws_create_training_job[], aws_list_training_jobs[], aws_list_tags[], aws_create_model[],
    aws_create_endpoint_config[], aws_create_endpoint[], aws_update_endpoint[], aws_create_transform_job[],
    aws_create_auto_ml_job_v2[];
