/* SPDX-License-Identifier: MIT */
/*
 * One record as an experiment run of ModelDB 2, and the calls that bring it there: a plan for rest.h.
 *
 * https://github.com/VertaAI/modeldb, tag 2.0.8.1: protos/public/modeldb (the calls and their HTTP paths) and
 * the grpc-gateway in front of it. Projects, experiments and runs are got by name and created when they are
 * not there; a taken name (409, code 6) is somebody who was faster, so it is got again. What a run holds
 * cannot be changed: what differs is deleted and logged again. A log of several keys of which one is there
 * already is refused as a whole.
 */
#pragma once

#include "rest.h"

/* The run as it is to be: JSON objects of key and value, tags an array. */
typedef struct v2_wanted {
    pbay_str project, description, experiment, workspace; /* borrowed as long as the plan */
    char *name, *other_name;                              /* the run's; when that is another job's */
    pbay_str arn;
    int64_t started_ms, ended_ms;
    json_t *metrics, *hyperparameters, *attributes; /* values as the store takes them */
    json_t *artifacts;                              /* {"path", "artifact_type"} */
    json_t *tags;
} v2_wanted;

/* Keys are of [A-Za-z0-9_/-], what a run can be searched by; what a name was before is in the attribute
 * name_of_KEY. */
void v2_map(const mdb_record *r, pbay_str experiment, pbay_str workspace, v2_wanted *out);
void v2_wanted_free(v2_wanted *w);

/* A text that JSON would read as a number is one, so that it can be compared and charted; not when digits
 * would get lost. */
json_t *v2_number_or_text(pbay_str s);
/* Is what the store holds what was sent? It may have made numbers of texts and texts of numbers. */
bool v2_same(const json_t *wanted, const json_t *stored);

extern const rest_plan v2_plan;
/* Takes what w holds. differs: only read, and tell; NULL: write. */
void *v2_plan_new(v2_wanted *w, mdb_differs differs, void *user);
