/* SPDX-License-Identifier: MIT */
/*
 * One record as a run of an MLflow tracking server, and the calls that bring it there: a plan for rest.h.
 *
 * https://mlflow.org/docs/latest/rest-api.html; limits: mlflow/utils/validation.py. Names of runs are not
 * unique, so the job's ARN is a tag that the run is created with, and the run is searched by it. Parameters
 * are written once: another value goes into a tag. Metrics are appended, so only those that are not there are
 * sent. The status comes last: a run that is FINISHED is complete.
 */
#pragma once

#include "rest.h"

/* The run as it is to be: JSON objects of key and text, metrics of key and {"value", "timestamp"}. */
typedef struct mlflow_wanted {
    char *experiment, *description, *name, *user;
    char *arn;
    const char *status; /* "FINISHED" */
    int64_t started_ms, ended_ms;
    json_t *params, *metrics, *tags;
} mlflow_wanted;

#define MLFLOW_ARN "sagemaker.training_job_arn"

/* Keys are of [A-Za-z0-9_/. -] and not like a path; what a name was before is in the tag
 * sagemaker.name_of.KEY. Texts are cut to what a value may be long. experiment empty: the project's name.
 * param_max: bytes of a parameter's value. */
void mlflow_map(const mdb_record *r, pbay_str experiment, size_t param_max, mlflow_wanted *out);
void mlflow_wanted_free(mlflow_wanted *w);

extern const rest_plan mlflow_plan;
/* Takes what w holds. differs: only read, and tell; NULL: write. */
void *mlflow_plan_new(mlflow_wanted *w, mdb_differs differs, void *user);
