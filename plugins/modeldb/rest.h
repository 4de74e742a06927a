/* SPDX-License-Identifier: MIT */
/*
 * JSON over HTTP for the stores that speak it: a plan says what to ask next and reads what came, this asks.
 *
 * A plan only ever does what the record and the answers so far make necessary, so the whole plan again from
 * its beginning is always right: that is how every failure is answered. What is not JSON is no answer,
 * whatever its status: a web application's page, a proxy's login.
 *
 * Threads: [loop].
 */
#pragma once

#include "sink.h"

typedef struct rest_want {
    const char *method; /* "GET"; of the ones with a body also DELETE has it */
    const char *call;   /* "experiment-run/logMetrics": below the base URL, and what errors call it */
    pbay_text query;    /* "name=a%20b", or empty */
    json_t *body;       /* taken; NULL: none */
} rest_want;

typedef struct rest_answer {
    int status;
    const json_t *body;
    /* Of an error: the code as the store writes it ("5", "RESOURCE_DOES_NOT_EXIST") and its sentence; else
     * "". */
    const char *code, *message;
} rest_answer;

typedef struct rest_plan {
    /* Fill *want (all empty). False: it is over. */
    bool (*next)(void *plan, rest_want *want);
    /* 2xx, and errors: false if this one was not reckoned with; it is then reported, and the plan is over. */
    bool (*answer)(void *plan, const rest_answer *a);
    /* It is over. NULL: it went well; what was done is appended to json. Else why not, for a person; *passes:
     * the same again may go well (an answer that lacks something, not a state that somebody must change). */
    const char *(*end)(void *plan, pbay_text *json, bool *passes);
    void (*free)(void *plan);
} rest_plan;

typedef struct rest rest;
typedef struct rest_task rest_task;

/*
 * option: the one that holds the base URL; NULL with *why when it cannot be one. tail: the path of the API,
 * put behind a URL without a path, with `always` behind every URL that does not end with it. code: the member
 * of an error that is its code.
 */
rest *rest_new(struct modeldb *m, const char *option, const char *tail, bool always, const char *code,
               pbay_result *why);
/* Asked before every request, so that secrets may change: appends headers. May be NULL. Texts are borrowed
 * until the request is made. */
typedef uint32_t (*rest_headers)(void *user, pbay_header *out, uint32_t max);
void rest_authorise(rest *r, rest_headers fn, void *user);
const char *rest_where(const rest *r);
void rest_stop(rest *r);
void rest_free(rest *r);

/* Takes the plan. Of the record its name, which errors call it by, and its trace are copied. done with
 * PBAY_EFFECT_NONE for `reads`. */
rest_task *rest_begin(rest *r, const rest_plan *ops, void *plan, const mdb_record *record, bool reads,
                      int64_t deadline, mdb_done done, void *user);
void rest_cancel(rest_task *t);

/* "name=value" onto a query. */
void rest_query(pbay_text *query, const char *name, pbay_str value);
json_t *rest_text(pbay_str s);
/* [{"key", ...}] as an object: key to entry, the first of a key. Owned; so that each key is found at once. */
json_t *rest_by_key(const json_t *list);
/* A 64-bit number, which JSON of protobuf writes as text, or as a number; 0 if it is neither. */
int64_t rest_int(const json_t *v);
/* The member's text, or empty. */
pbay_str rest_member(const json_t *object, const char *name);
