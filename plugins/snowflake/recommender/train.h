/* SPDX-License-Identifier: MIT */
/* A training job from its hyperparameters to its model, as SageMaker starts one. */
#pragma once

#include "base/err.h"

/*
 * root is /opt/ml or a folder laid out like it. Prints the table of folds and `name=value` lines to standard
 * output. 0; or -1 with err, which also stands in root/output/failure: then neither the model nor the output
 * table has changed.
 */
int rec_train(const char *root, struct pb_err *err);
/* What SageMaker shows as FailureReason: the first 1,024 bytes of root/output/failure. */
void rec_write_failure(const char *root, const char *message);
/* root/model/NAME, owned. */
char *rec_model_path(const char *root);
