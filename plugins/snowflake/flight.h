/* SPDX-License-Identifier: MIT */
/*
 * One batch of an external function, from its POST until its reply has been fetched.
 *
 *     POST -> decode all rows -> the work (a function, or one of our own) -> reply -> 200
 *                                    |  not done in `async_after`: parked as a durable job -> 202
 *     GET or POST again with the same batch id: waits for, or fetches, what the first one began
 *
 * A batch is known by its function and batch id: Snowflake repeats it with the same id after 429, 5xx and
 * broken connections, and its rows are to be worked on once. A caller that has gone does not end the work,
 * because its repetition will ask for the answer.
 * https://docs.snowflake.com/en/sql-reference/external-functions-implementation
 */
#pragma once

#include "headers.h"
#include "reply.h"
#include "snowflake.h"

struct flight;

/* Who does the work. The rows are f->rows (sealed: f->in), at least one. */
struct work {
    const char *name;
    /*
     * Begin; ends with flight_done, now or later, once. 0, or -1 with *why: nothing was begun.
     */
    int (*begin)(struct flight *f, pbay_result *why);
    /* Nobody wants it any more; flight_done is still owed. */
    void (*cancel)(struct flight *f);
    /* Free what begin made; after flight_done. */
    void (*end)(struct flight *f);
};

enum { CODED_NOT, CODED_GZIP, CODED_DEFLATE };

struct waiter {
    struct waiter *next;
    pbay_request request;
    int gone;
    int coded; /* CODED_*: the client takes compressed replies */
};

struct flight {
    struct snowflake *s;
    struct flight *next, **link;  /* of a bucket */
    struct flight *newer, *older; /* finished ones */
    const struct work *work;
    pbay_invoke_function fn;                          /* of the work that is a function */
    int effects;                                      /* the work changes the world */
    pbay_str name, batch_id, query_id, user, account; /* in mem */
    pbay_str endpoint, region;                        /* what HEADERS of the DDL, or a path, said */
    char key[65];                                     /* the job's */
    char body_hash[65];                               /* empty until it is needed */
    pbay_str body; /* borrowed from the first waiter, or from the next two */
    char *kept;
    pbay_str inflated; /* of crypto->inflate */
    struct waiter *waiters;
    int64_t began_ns, deadline;
    int patient; /* its callers wait for the reply itself; see struct flights */
    struct flight *before, *after;

    pbay_builder *rows;
    pbay_reader *reader;
    const pbay_batch *in;
    const pbay_column *numbers;
    struct reply reply;
    void *task; /* the work's own */
    pbay_invoke call;
    uint32_t answered;

    int running, done, over_limit, rows_mode;
    int begun, cancelled; /* cancelled before it was begun */
    int parking, parked;
    int elsewhere; /* another process has it: its end is of no interest here */
    char job[80];
    int32_t status;
    char *text; /* what is answered, when done */
    size_t n_text;
    char mem[]; /* of its strings */
};

struct flights;
struct flights *flights_new(struct snowflake *s);
void flights_stop(struct flights *fs); /* cancels what runs */
void flights_cancel(struct flights *fs, pbay_str job);
void flights_free(struct flights *fs); /* nothing runs any more */
uint32_t flights_running(const struct flights *fs);
/* One more, or one less, that is none of these and counts with them (translate.c). */
void flights_count(struct flights *fs, int by);

/*
 * What a batch is known by. Functions of one path that ask different endpoints, or in different regions, may
 * be called by one query.
 */
struct batch_id {
    pbay_str name, endpoint, region, batch;
};

/* The batch of this id that is under way or finished; NULL: none that this process knows. */
struct flight *flight_find(struct flights *fs, const struct batch_id *id);

/* The batch of this id, when it runs here without a job: from now on it is this job. 0: there is
 * none. */
int flight_adopt(struct flights *fs, const struct batch_id *id, const char *job);

/* What a batch is begun with; everything is copied but body. */
struct flight_info {
    const struct work *work;
    const pbay_invoke_function *fn; /* NULL: none */
    pbay_str name, batch_id, query_id, user, account, endpoint, region, body;
    int effects, rows_mode;
    pbay_str inflated;    /* what body is borrowed from; the flight releases it. May be empty */
    pbay_request request; /* 0: resumed */
    int coded;
    const char *job; /* resumed: the job's id, and the hash of the body */
    pbay_str hash;
    const uint32_t *kinds;
    uint32_t n_kinds;
};

/* Decode and begin. Answers the request in every case; NULL when it did already. */
struct flight *flight_begin(struct snowflake *s, const struct flight_info *info);
/* One more who waits for the same. */
void flight_wait(struct flight *f, pbay_request request, int coded);
/* It failed, and not for good: 429, 5xx. */
int flight_may_pass(const struct flight *f);
/* Is this the body that it was begun with? */
int flight_same_body(struct flight *f, pbay_str body);
/* A caller has gone. */
void flight_gone(struct flights *fs, pbay_request request);
/* The work is over: the rows are in f->reply, or result says why not. */
void flight_done(struct flight *f, const pbay_result *result);
/* It takes long, and the jobs' service knows it now (park.c), or cannot. id: the job's; NULL: it is not
 * parked. */
void flight_parked(struct flight *f, const char *id);
/* Somebody else has it: wait for nothing, tell the callers status and text. */
void flight_leave(struct flight *f, int32_t status, pbay_str text);
/* Its end is of no interest any more; the last that is done to it. */
void flight_drop(struct flight *f);

/* The key by which the store and the other side know a batch, into out (65 bytes). */
void batch_key(const struct snowflake *s, const struct batch_id *id, char *out);
void flight_key(struct flight *f);

/* The answer of one request: an error as JSON, which is logged (request 0: only that), or a reply, compressed
 * or with its checksum. */
void answer(struct snowflake *s, pbay_request request, int32_t status, pbay_str body, int coded);
void answer_as(struct snowflake *s, pbay_request request, int32_t status, pbay_str type, pbay_str body,
               int coded);
void answer_error(struct snowflake *s, pbay_request request, int32_t status, const char *code,
                  pbay_str message, pbay_str batch_id, pbay_str query_id);
/* The body of an error, appended. */
void error_text(pbay_text *t, const char *code, pbay_str message, pbay_str batch_id, pbay_str query_id);
/* How Snowflake is told: 429 and 5xx bring the batch again, everything else ends the query. */
int32_t status_of(const pbay_result *r);

/* Hex of SHA-256 of the parts, n characters of it (up to 64) and a NUL. */
void hash_hex(const struct snowflake *s, const pbay_str *parts, uint32_t n_parts, char *out, size_t n);

extern const struct work function_work; /* work_function.c */

/* What a task answered for one row. */
struct told {
    int32_t code;
    char *text; /* the value, or what is wrong; NULL and OK: null */
    size_t n;
};
void told_value(struct told *t, pbay_str value);
void told_error(struct told *t, int32_t code, pbay_str message);
/* One answer per row, as JSON or (kind STR) as texts, to the reply; then the batch is done. Frees the texts.
 */
void flight_told(struct flight *f, struct told *told, uint32_t kind);
