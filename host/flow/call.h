/* SPDX-License-Identifier: MIT */
/*
 * A call of a function as its caller sees it: rows in, rows out, in order, once.
 *
 *   chunk   rows that came together, sealed; its bytes are given back to the caller as its rows leave
 *   unit    rows that go to the backend together (at most max_rows); the answer of a unit takes its place in
 * the order part    a unit, or a piece of one that was too large for the backend; what one submit carries
 *
 *   open -> ( input, commit )* -> end ...            the caller
 *                rows*, consumed* ... done            the sink, exactly one done unless cancelled
 *
 * The flow holds what the caller has not been given back yet: a caller that sends no more than its window
 * keeps the memory of a call bounded, however many rows pass. Threads: the loop. Callbacks may come from
 * inside commit, end and writable; after done the call is gone.
 */
#pragma once

#include "flow/function.h"

struct pb_durable;
struct pb_flow; /* per worker: pools, counters */
struct pb_flow_call;

/* How a call went; for logs and trailers. */
struct pb_flow_stats {
    uint64_t rows_in, rows_out;
    uint32_t batches; /* submits to the backend, repeats included */
    uint32_t repeats;
    uint32_t nulled; /* rows answered null without asking the backend */
    bool no_store;   /* the answer must not be kept */
    bool personal;   /* it depends on who calls */
    int64_t ns;      /* from open to the end */
};

struct pb_flow_sink {
    /*
     * Rows of the answer, in order, in the columns and kinds of fn->returns (or as described). `batch` is
     * borrowed until return. row_errors in it are numbered within the batch. False: hold; pb_flow_writable
     * says go on.
     */
    bool (*rows)(void *user, const pbay_batch *batch);
    /* Tables: once before the first rows. Borrowed until return. */
    void (*describe)(void *user, pbay_str name, const pbay_field *fields, uint32_t n);
    /* These bytes of what was committed have left. */
    void (*consumed)(void *user, size_t bytes);
    /* The end; err->code PBAY_OK is success. All rows were delivered, or none will be any more. */
    void (*done)(void *user, const struct pb_err *err, const struct pb_flow_stats *stats);
};

struct pb_flow_request {
    const struct pb_function *fn;
    pbay_identity identity; /* strings live as long as the call */
    pbay_str traceparent;   /* likewise */
    pbay_str peer;          /* for the log line */
    pbay_str call_id;       /* query id, batch id: for the log line; may be empty */
    pbay_str key;           /* of a call that must not do anything twice; else empty. Likewise */
    int64_t deadline_ns;    /* monotonic, PB_NO_DEADLINE: none */
    size_t cut_bytes;       /* wire bytes that may wait for a full batch; 0: 256 KiB */
    struct pbay_config
        *options;    /* taken, also on failure: the function's with some set for this call; NULL */
    uint32_t depth;  /* how many invocations it is inside of */
    bool row_errors; /* the sink can tell of rows that failed alone; else the first one fails the call */
    const struct pb_flow_sink *sink;
    void *user;
};

/* NULL with err when the call is refused at once (draining, out of service); then no callback comes. */
struct pb_flow_call *pb_flow_open(struct pb_flow *flow, const struct pb_flow_request *request,
                                  struct pb_err *err);
/* Where rows go: a builder with the columns of fn->params. Asked for anew after every commit. */
struct pbay_builder *pb_flow_input(struct pb_flow_call *call);
/* What was appended since input came from `bytes` bytes of the caller's window. */
void pb_flow_commit(struct pb_flow_call *call, size_t bytes);
/* No more rows. */
void pb_flow_end(struct pb_flow_call *call);
/* Does what was answered so far depend on who calls? */
bool pb_flow_personal(const struct pb_flow_call *call);
/* The sink can take rows again. */
void pb_flow_writable(struct pb_flow_call *call);
/* The caller ends it with an error of its own (what it was sent cannot be read): done follows, inside this
 * call. */
void pb_flow_fail(struct pb_flow_call *call, const struct pb_err *err);
/* The call is over for its caller: no callback comes any more, backends are told. why is for the log line;
 * NULL: the caller went away. */
void pb_flow_cancel(struct pb_flow_call *call, const struct pb_err *why);

struct pb_loop;
struct pb_flow *pb_flow_new(struct pb_loop *loop);
/* Calls of what is paused are refused from now on. Borrowed until the flow is freed. */
void pb_flow_pauses(struct pb_flow *flow, const struct pb_durable *durable);
/* Show the first rows of what comes and goes in the log: for finding faults, rows may be anybody's secrets.
 */
void pb_flow_show_payload(struct pb_flow *flow, bool show);
/* Calls in flight. */
uint32_t pb_flow_live(const struct pb_flow *flow);
/* All calls must be over. */
void pb_flow_free(struct pb_flow *flow);
