/* SPDX-License-Identifier: MIT */
/*
 * A training job as it is written into a store of experiments: what SageMaker says of it, and what the
 * operator's rule (scripts/chains) says of its project and its model. It travels as JSON, which scripts see
 * and change:
 *
 *   {"arn", "name", "region", "account", "status", "secondary_status", "failure_reason", "artifact", "image",
 *    "algorithm", "instance_type": texts;  "instance_count", "volume_gb", "training_seconds",
 * "billable_seconds": numbers;  "spot": boolean;  "created", "started", "ended", "modified": RFC 3339, UTC;
 *    "hyperparameters": {name: text},
 *    "metrics": {name: number, or "NaN", "Infinity", "-Infinity"},  "metric_times": {name: RFC 3339},
 *    "channels": [{"name", "uri", "content_type", "compression", "wrapper", "input_mode", "data_type"}],
 *    "tags": {key: text},
 *    "project", "user", "description", "model_name", "model_type": texts, of the rule,
 *    "fields": {name: text, number or boolean}: more, of the rule;
 *    "digests": {member: text}: by them it is known what a script has changed (mark.h)}
 *
 * Where the source's fields come from:
 * https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html
 *
 * Threads: one at a time per value.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include <patchbay/types.h>

/* Members of each table. SageMaker has at most 100; the rest is for what scripts add. */
enum { MDB_WHY = 400, MDB_ITEMS_MAX = 2000 };

typedef struct mdb_pair {
    pbay_str name, value;
} mdb_pair;

typedef struct mdb_metric {
    pbay_str name;
    bool finite;
    double value;    /* when it is */
    pbay_str text;   /* "0.25"; "NaN", "Infinity", "-Infinity" when it is not */
    int64_t time_ms; /* 0: not said */
} mdb_metric;

typedef struct mdb_channel {
    pbay_str name, uri; /* "s3://…", or "fs-0123:/data" of a file system */
    pbay_str content_type, compression, wrapper, input_mode, data_type;
} mdb_channel;

/* All texts are borrowed from `json` or `memory`; empty when absent. */
typedef struct mdb_record {
    json_t *json;
    pbay_str arn, name, region, account;
    pbay_str status, secondary, failure; /* "Completed", "Failed", "Stopped"; what else SageMaker says */
    pbay_str artifact, image, algorithm, instance_type;
    int64_t instance_count, volume_gb;         /* -1: not said */
    double training_seconds, billable_seconds; /* -1: not said */
    bool spot;
    int64_t created_ms, started_ms, ended_ms, modified_ms; /* UTC; 0: not said */
    mdb_pair *parameters;                                  /* tables are sorted by name */
    size_t n_parameters;
    mdb_metric *metrics;
    size_t n_metrics;
    mdb_channel *channels;
    size_t n_channels;
    mdb_pair *tags;
    size_t n_tags;
    pbay_str project, user, description, model_name, model_type;
    mdb_pair *fields;
    size_t n_fields;
    char *memory;   /* numbers as text */
    pbay_str trace; /* W3C traceparent of who has it written, for requests; borrowed, may be empty */
} mdb_record;

typedef struct mdb_reading {
    bool unquote;  /* hyperparameters that are JSON strings, as the SageMaker SDK writes them, without their
                      quotes */
    bool internal; /* keep hyperparameters that begin with "sagemaker_" */
} mdb_reading;

/*
 * What DescribeTrainingJob answered, with the job's tags (a list of {"Key", "Value"}, or an object; NULL:
 * none), as the JSON above without what the rule says. Moments may be seconds or milliseconds, as numbers or
 * texts, or RFC 3339. Returns owned; NULL with a sentence in why, which names the job where it is known.
 */
json_t *mdb_record_of_job(const json_t *job, const json_t *tags, const mdb_reading *how, char why[MDB_WHY]);

/*
 * Read the JSON above; takes a reference of json. 0, or -1 with a sentence that names the job and the member.
 * Freed with mdb_record_free in both cases.
 */
int mdb_record_read(json_t *json, mdb_record *out, char why[MDB_WHY]);
void mdb_record_free(mdb_record *r);

/* "Completed", "Failed" or "Stopped": nothing follows it. */
bool mdb_record_over(const mdb_record *r);

/* A moment as SageMaker's API, its events or its documentation write it, in ms since 1970. -1: none. */
int64_t mdb_moment(const json_t *v);
