/* SPDX-License-Identifier: MIT */
/*
 * What a record says beside project, hyperparameters and metrics, as flat names and texts: the metadata of
 * ModelDB 1.0, the attributes of ModelDB 2, the tags of MLflow. Threads: one at a time per value.
 */
#pragma once

#include "record.h"

typedef struct mdb_fact {
    pbay_str name;  /* of [A-Za-z0-9_], each once: "sagemaker_training_job_arn", "input_train_uri" */
    pbay_str value; /* not empty, except for what the rule says */
    bool number;    /* the text is one that JSON knows as a number */
    bool own;       /* from the rule's fields */
} mdb_fact;

typedef struct mdb_facts {
    mdb_fact *p;
    size_t n;
    uint32_t *index; /* by name: 1 + place in p, 0: free; a power of two of them */
    size_t room;
} mdb_facts;

#define MDB_ARN "sagemaker_training_job_arn"

/* Copies. metrics: the exact value of each as "metric_NAME" too (for stores that keep 32 bits, or no NaN). */
void mdb_facts_of(const mdb_record *r, bool metrics, mdb_facts *out);
void mdb_facts_free(mdb_facts *f);

/* The fact of that name, or NULL. */
const mdb_fact *mdb_fact_named(const mdb_facts *f, pbay_str name);

/* A copy of a name in which every character that is not a letter, a digit or one of `also` is an underscore;
 * free. */
char *mdb_name(const char *prefix, pbay_str name, const char *suffix, const char *also);
