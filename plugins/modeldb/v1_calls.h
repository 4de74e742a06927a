/* SPDX-License-Identifier: MIT */
/*
 * The calls of ModelDB 1.0's ModelDBService that a sync needs, written and read.
 *
 * The wire is public: thrift/ModelDB.thrift, the Python light client and the Java server in
 * https://github.com/VertaAI/modeldb, tag v1.0.0 (2019). What that server does with a call stands here where
 * it matters, because it is not what the names say.
 *
 * Sans I/O; threads: one at a time per value.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "thrift.h"

enum v1_method {
    V1_TEST_CONNECTION,
    V1_STORE_PROJECT,
    V1_STORE_EXPERIMENT,
    V1_STORE_RUN,
    V1_STORE_FIT,
    V1_STORE_METRIC,
    V1_STORE_DATA_FRAME,
    V1_GET_PROJECT_IDS,
    V1_GET_MODEL_IDS,
    V1_UPDATE_PROJECT,
    V1_SCALAR_FIELD, /* createOrUpdateScalarField */
    V1_PROJECT_RUNS, /* getRunsAndExperimentsInProject; getRunsInExperiment of 1.0.0 asks by the wrong column
                      */
    V1_RUN_DETAILS,  /* getExperimentRunDetails */
    V1_GET_MODEL,
    V1_FRAME_ANCESTRY, /* getDataFrameAncestry: the only way to read a DataFrame by its id */
    V1_METHODS
};

/* "storeFitEvent". */
const char *v1_method_name(enum v1_method m);
/* May the same call be made again when nobody knows whether it was done? (Reads, and what only sets a value.)
 */
bool v1_method_repeats(enum v1_method m);

/* ------------------------------------------------------------------------------------------------- asking */

typedef struct v1_pair {
    pbay_str name, value;
} v1_pair;

typedef struct v1_frame {
    int32_t id; /* -1, or one that is stored already: then the rest is not looked at */
    pbay_str tag, path;
    const v1_pair *metadata;
    size_t n_metadata;
    pbay_str metadata_type; /* of all of them */
    v1_pair column;         /* a column of the schema, name and type; none with an empty name */
} v1_frame;

typedef struct v1_fit {
    v1_frame frame;
    pbay_str type; /* of the model; NOT NULL in the server */
    const v1_pair *parameters;
    size_t n_parameters;
    pbay_str parameter_type; /* at most 40 characters: the server's column */
    int32_t model;           /* -1; or one that has a FitEvent: then only the metadata is stored */
    pbay_str model_tag, model_path;
    int32_t run;
    pbay_str
        metadata; /* the text of a JSON object with flat keys; stored apart from all else, and after it */
} v1_fit;

typedef struct v1_metric {
    v1_frame frame;
    int32_t model, run;
    pbay_str name;
    double value; /* the server keeps 32 bits of it */
} v1_metric;

/* Each appends a frame to t. 0, or -1: longer than a frame may be, nothing was appended. */
int v1_ask_nothing(pbay_text *t, int32_t seqid, enum v1_method m); /* testConnection */
int v1_ask_project(pbay_text *t, int32_t seqid, pbay_str name, pbay_str author, pbay_str description);
int v1_ask_experiment(pbay_text *t, int32_t seqid, int32_t project); /* the project's default one */
int v1_ask_run(pbay_text *t, int32_t seqid, int32_t experiment, pbay_str description);
int v1_ask_fit(pbay_text *t, int32_t seqid, const v1_fit *fit);
int v1_ask_metric(pbay_text *t, int32_t seqid, const v1_metric *metric);
int v1_ask_frame(pbay_text *t, int32_t seqid, const v1_frame *frame, int32_t run);
/* getProjectIds and getModelIds: whatever has all of these. */
int v1_ask_ids(pbay_text *t, int32_t seqid, enum v1_method m, const v1_pair *pairs, size_t n);
int v1_ask_update_project(pbay_text *t, int32_t seqid, int32_t project, pbay_str key, pbay_str value);
/* type: string, int, double, long, datetime or bool. Answers false when the model has no metadata at all. */
int v1_ask_scalar(pbay_text *t, int32_t seqid, int32_t model, pbay_str key, pbay_str value, pbay_str type);
/* The four that take one id. */
int v1_ask_id(pbay_text *t, int32_t seqid, enum v1_method m, int32_t id);

/* ------------------------------------------------------------------------------------------------ answers */

enum v1_end {
    V1_DONE,
    V1_REFUSED,   /* a declared exception: the server's own words; `exception` says which */
    V1_FAILED,    /* a TApplicationException: unknown method, internal error, ... */
    V1_UNREADABLE /* not an answer to this call; fault and why say what it is */
};

typedef struct v1_run {
    int32_t id, experiment;
    pbay_str description;
} v1_run;

/* One of model.metrics: name, DataFrame, value. */
typedef struct v1_stored_metric {
    pbay_str name;
    int32_t frame;
    double value;
} v1_stored_metric;

typedef struct v1_stored_frame {
    int32_t id;
    pbay_str tag, path;
    v1_pair column; /* the first one */
} v1_stored_frame;

/*
 * getModel's. The server swaps two arguments: `filepath` of the struct holds when the run was made,
 * `timestamp` the path, and that it never stored. So neither is here.
 */
typedef struct v1_model {
    int32_t id, run, experiment, project;
    v1_stored_frame frame;
    pbay_str type;
    v1_pair *parameters;
    size_t n_parameters;
    v1_stored_metric *metrics;
    size_t n_metrics;
    pbay_str metadata; /* the document as JSON, with members of the server's own; empty: there is none */
} v1_model;

/* Zero-initialise; texts are borrowed from the frame, arrays are freed by v1_answer_free. */
typedef struct v1_answer {
    enum v1_end end;
    pbay_str exception; /* "ServerLogicException", "unknown method" */
    pbay_str message;
    enum thrift_fault fault;
    char why[THRIFT_WHY];

    /* testConnection: its number; store...: the id of what was stored (storeFitEvent: of the model;
     * storeMetricEvent: of the frame). */
    int32_t id;
    int32_t frame; /* storeFitEvent: of the frame */
    bool yes;      /* updateProject, createOrUpdateScalarField */
    int32_t *ids;  /* get...Ids */
    size_t n_ids;
    v1_run *runs; /* getRunsAndExperimentsInProject; getExperimentRunDetails: one */
    size_t n_runs;
    v1_model *models; /* getModel: one; getExperimentRunDetails */
    size_t n_models;
    pbay_str project_name, project_author, project_description; /* getExperimentRunDetails */
    v1_stored_frame *frames;                                    /* getDataFrameAncestry */
    size_t n_frames;
} v1_answer;

/* Reads the inside of a frame as the answer to a call. */
void v1_read(pbay_str frame, enum v1_method m, int32_t seqid, v1_answer *a);
void v1_answer_free(v1_answer *a);
