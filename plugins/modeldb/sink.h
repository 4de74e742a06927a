/* SPDX-License-Identifier: MIT */
/*
 * Where records go. A connector has one sink, which its option `store` chooses; a house with several stores
 * has several connectors, so that one that is down holds none of the others.
 *
 * The core sees to it that a sink writes one record of a job at a time, machine-wide, and none that is older
 * than what it wrote before. Everything else is the sink's: the same record again must change nothing, a
 * write that was cut short is completed by the next one, and nothing is written twice.
 *
 * Threads: [loop].
 */
#pragma once

#include "modeldb.h"
#include "record.h"

/* The end, once, never from inside. json: what was written and under which ids, for the action's result; ""
 * with an error. Borrowed until return. */
typedef void (*mdb_done)(void *user, const pbay_result *result, pbay_str json);

/* One difference: "metric" "rmse" is 0.25 in SageMaker and 0.5 in the store; "" is nothing. Borrowed until
 * return. */
typedef void (*mdb_differs)(void *user, const char *what, pbay_str name, pbay_str wanted, pbay_str stored);

/* One write or verification. */
typedef struct mdb_task mdb_task;

typedef struct mdb_sink {
    const char *name; /* of the option: "v1" */
    /* Read m's options. NULL with *why. It talks to nobody yet. */
    void *(*open)(struct modeldb *m, pbay_result *why);
    /* Nothing new begins; what runs ends soon, PBAY_CANCELLED if need be. */
    void (*stop)(void *sink);
    void (*close)(void *sink); /* nothing runs any more */
    /* record: borrowed until done. deadline: CLOCK_MONOTONIC ns, when done is due. */
    mdb_task *(*write)(void *sink, const mdb_record *record, int64_t deadline, mdb_done done, void *user);
    /* Only reads; done with "" says that all differences have been told. A record that is not there at all:
     * one difference, "job". */
    mdb_task *(*verify)(void *sink, const mdb_record *record, int64_t deadline, mdb_differs differs,
                        mdb_done done, void *user);
    /* Advice: nobody wants it any more. done still comes. */
    void (*cancel)(mdb_task *task);
} mdb_sink;

extern const mdb_sink mdb_v1, mdb_v2, mdb_mlflow;
