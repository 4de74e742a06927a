/* SPDX-License-Identifier: MIT */
/*
 * How one training job gets into ModelDB 1.0 once: which call comes next, sans I/O.
 *
 * The server deduplicates projects by name and author and gives every project a default experiment; runs and
 * metrics it appends whenever it is told, and a model's metadata it stores last, apart from the rest. So:
 *
 *   - the metadata carries the job's ARN, and getModelIds says whether the job is there; if it is, only what
 *     differs is written;
 *   - before a run is begun a mark is put into our own store. Where a mark is but no model, an earlier
 * attempt died on the way: its run is found by its description and gone on with, and a model whose metadata
 * was lost gets it by the same storeFitEvent once more, with the model's id;
 *   - a project is made under a lock of ours, for the server would make two, and then refuse the name for
 * ever;
 *   - DataFrames of further channels cannot be listed. Their ids are noted in the metadata when all are
 * stored; without that note the ids behind the training frame's are asked for one by one, and ours know
 * themselves by a column that names the job.
 *
 * With `seed` none of this: the five calls of the ModelDB light client, as the step function made them.
 *
 * Threads: one at a time.
 */
#pragma once

#include "v1_calls.h"

typedef struct v1_number {
    pbay_str name;
    double value; /* finite */
} v1_number;

typedef struct v1_channel {
    pbay_str name, uri;
    const v1_pair *facts; /* CompressionType and the like */
    size_t n_facts;
} v1_channel;

/* The job as this server is to hold it. All borrowed for as long as the sync. */
typedef struct v1_wanted {
    bool seed;
    pbay_str project, author, description;
    pbay_str arn, run; /* run: the description of its run, which says the ARN too */
    pbay_str type, name, artifact;
    const v1_pair *parameters;
    size_t n_parameters;
    const v1_number *metrics;
    size_t n_metrics;
    const v1_channel *channels;
    size_t n_channels;
    const v1_pair *fields; /* of the metadata; keys of [A-Za-z0-9_], each once */
    size_t n_fields;
} v1_wanted;

/* What must be done now. After each the matching v1_sync_... says how it ended. */
enum v1_need {
    V1_NEED_CALL, /* of s->method, written into the text: v1_sync_answer */
    V1_NEED_MARK, /* is this job's mark there?: v1_sync_mark */
    V1_NEED_SET_MARK,
    V1_NEED_LOCK, /* that of the project: v1_sync_go_on when it is ours */
    V1_NEED_UNLOCK,
    V1_NEED_NOTHING /* it is over */
};

typedef struct v1_difference {
    const char *what; /* "parameter", "metric", "field", "channel", "type", "project", "run", "model" */
    pbay_str name;
    pbay_str wanted, stored; /* an empty text where there is nothing */
} v1_difference;

typedef struct v1_sync v1_sync;
typedef void (*v1_differs)(void *user, const v1_difference *d);

v1_sync *v1_sync_new(const v1_wanted *w);
/* Only reads, and tells what is not as it should be. */
v1_sync *v1_verify_new(const v1_wanted *w, v1_differs differs, void *user);
void v1_sync_free(v1_sync *s);

/* out is emptied first. V1_NEED_CALL: a frame with this sequence number (0 with `seed`). */
enum v1_need v1_sync_next(v1_sync *s, pbay_text *out, int32_t seqid);
enum v1_method v1_sync_method(const v1_sync *s);
/* Done, or refused with ResourceNotFoundException; other ends are no concern of this. */
void v1_sync_answer(v1_sync *s, const v1_answer *a);
void v1_sync_mark(v1_sync *s, bool there);
void v1_sync_go_on(v1_sync *s); /* set, locked, unlocked */
bool v1_sync_locked(const v1_sync *s);

/* When it is over. Why it went wrong, borrowed: the server holds something that does not fit together, or a
 * call cannot be written. NULL: it went well. */
const char *v1_sync_fault(const v1_sync *s);
/* Would the same from the beginning help? */
bool v1_sync_fault_passes(const v1_sync *s);

typedef struct v1_outcome {
    int32_t project, experiment, run, model; /* -1: not known */
    bool found, repaired;                    /* there already; an earlier attempt's run was gone on with */
    uint32_t n_fields, n_metrics, n_frames;  /* written */
    uint32_t n_kept; /* metrics whose value differs: the server can only append, so they stay */
    bool begun;      /* a run was asked for: in seed mode the same again makes another one */
} v1_outcome;

const v1_outcome *v1_sync_outcome(const v1_sync *s);
