/* SPDX-License-Identifier: MIT */
/*
 * What the files of the call pipeline share; nobody else includes it.
 *
 *   call.c    open, input, commit, the order of units, done
 *   unit.c    one unit: empty rows, before, parts at the backend, repeats, after
 *   coalesce.c   rows of several units in one batch
 *   unit_cache.c a unit whose function has a result cache
 *   stream.c  calls that are not cut: aggregates and tables
 */
#pragma once

#include "data/batch.h"
#include "flow/call.h"
#include "flow/coalesce.h"
#include "flow/result_cache.h"
#include "loop/loop.h"

enum { PB_CALL_MAGIC = 0x43414c4c, PB_UNIT_MAGIC = 0x554e4954 };

/* Rows that were committed together. Freed when its last row has left. */
struct pb_chunk {
    struct pb_chunk *next;
    struct pbay_builder *rows; /* owned */
    const pbay_batch *batch;   /* of rows */
    uint64_t first_row;        /* number of its first row in the call */
    uint32_t n, cut, left;     /* rows: all, given to units, gone */
    size_t bytes, given;       /* of the caller's window: all, given back */
};

enum pb_unit_state { PB_UNIT_RUNNING, PB_UNIT_DONE };

struct pb_unit {
    uint32_t magic;
    enum pb_unit_state state;
    struct pb_unit *next;      /* in the order of rows; free list */
    struct pb_flow_call *call; /* NULL: the call is over, only the backend's completion is awaited */
    struct pb_flow *flow;
    const struct pb_function *fn;
    struct pb_chunk *chunk;
    struct pb_slice rows; /* as the caller sent them */
    uint64_t first_row;

    /* What goes to the backend: rows.batch itself, or the rows of `sent`, which are some of them or made of
     * them. */
    const pbay_batch *send;
    struct pbay_builder *send_of; /* what holds it; NULL: sent.rows, or the caller's own */
    struct pb_sent sent;
    struct pb_cached *cached; /* the function has a result cache: unit_cache.c */
    uint64_t *skip;           /* bits of rows that the transform is not shown */
    uint32_t skip_cap;
    bool picked; /* sent.kept and sent.failed count: not every row goes */

    /* Parts: [at, at + size) of send goes next or is there now. */
    uint32_t at, size;
    uint32_t attempt;
    bool has_place; /* in the lane */
    struct pb_lane_waiter waiter;
    struct pb_defer resume; /* it has one again */
    struct pb_group *group; /* it goes together with others, as member group_at: coalesce.c */
    uint32_t group_at;
    bool joins;    /* it goes with a group, which has the place */
    bool alone;    /* in a group of its own */
    bool unshared; /* its answers are for nobody else */
    int64_t sent_ns;
    struct pb_op_call *op_call;
    struct pb_timer backoff;

    struct pbay_builder *answer; /* of all parts so far */
    struct pbay_builder *out;    /* what leaves */
};

enum pb_call_state { PB_CALL_OPEN, PB_CALL_OVER };

struct pb_flow_call {
    uint32_t magic;
    enum pb_call_state state;
    struct pb_flow *flow;
    const struct pb_function *fn;
    struct pb_flow_request req;
    struct pb_flow_call *next_free;

    struct pbay_builder *input;
    size_t pending_bytes; /* committed, not yet in a chunk */
    uint64_t rows_in;     /* in chunks */
    bool ended;           /* the caller has sent all */
    bool held;            /* the sink wants no more for now */
    bool pumping;
    uint32_t busy; /* callbacks of ours on the stack: free later */

    struct pb_chunk *chunks, *last_chunk;
    struct pb_chunk *cutting; /* the first whose rows are not all in units; NULL: none */
    struct pb_unit *units, *last_unit;

    bool has_place; /* a place in the lane was taken for the next unit */
    struct pb_lane_waiter waiter;
    struct pb_defer pump_later;
    struct pb_deadline deadline;
    struct pb_deadline linger; /* rows that wait for more to come */

    struct pb_script_ctx script; /* who calls, for scripts */
    struct pb_op_context *ctx;   /* who calls, for operations */
    bool own_options;            /* options of its own: its rows go with nobody's */
    struct pb_stream *stream;    /* aggregates and tables */
    struct pb_flow_stats stats;
    int64_t opened_ns;
};

struct pb_flow {
    struct pb_loop *loop;
    const struct pb_durable *durable; /* NULL: nothing is ever paused */
    struct pb_flow_call *free_calls;
    struct pb_unit *free_units;
    struct pb_chunk *free_chunks;
    uint32_t live;  /* calls */
    uint32_t units; /* not in the free list */
    bool payload;
};

/* payload.c: the first rows of a batch in the log. way: "in", "out". */
void pb__flow_show_rows(const struct pb_function *fn, const char *way, const pbay_batch *batch,
                        uint64_t first_row);

/* call.c */
void pb__call_fail(struct pb_flow_call *call, const struct pb_err *err);
void pb__call_emit(struct pb_flow_call *call);
/* The whole call has succeeded. */
void pb__call_succeed(struct pb_flow_call *call);
/* Rows of an answer to the sink; counts them. False: the sink holds. */
bool pb__call_rows(struct pb_flow_call *call, const pbay_batch *batch);
/* Give bytes of the caller's window back. */
void pb__call_consumed(struct pb_flow_call *call, size_t bytes);
/* The next chunk, owned by the caller, or NULL. */
struct pb_chunk *pb__call_take_chunk(struct pb_flow_call *call);
void pb__chunk_free(struct pb_flow *flow, struct pb_chunk *chunk);
/* Free the call if it is over and nobody of ours is on the stack. */
void pb__call_release(struct pb_flow_call *call);

/* unit.c: a unit of the next rows of the call's first uncut chunk; it has a place in the lane if the function
 * has one. */
void pb__unit_start(struct pb_flow_call *call, bool joins);
/* Will the next unit go with a group, and so need no place of its own? */
bool pb__unit_joins(const struct pb_flow_call *call);
/* The call is over: free it, or let it wait for its completion. */
void pb__unit_abandon(struct pb_unit *unit);
void pb__unit_free(struct pb_unit *unit);
/* Send what is to be sent, from the first row on. */
void pb__unit_ask(struct pb_unit *unit);
/* Nothing of it is at the backend for now: its place is for others. */
void pb__unit_idle(struct pb_unit *unit);
/* What was sent has come back; takes answer->out. Or it has not: tried again, or the call fails. */
void pb__unit_answered(struct pb_unit *unit, struct pb_op_answer *answer);
void pb__unit_failed(struct pb_unit *unit, struct pb_err *err);
/* All answers are there. Or the call fails. */
void pb__unit_finish(struct pb_unit *unit);
void pb__unit_end(struct pb_unit *unit, const struct pb_err *err);
/* What holds the rows that are sent. */
struct pbay_builder *pb__unit_sends(const struct pb_unit *unit);
/* What an answer says of the backend's load. */
enum pb_load pb__load_of(const struct pb_op_answer *answer);

/* coalesce.c: the unit's part goes with others. Or it has nothing to do with them any more. */
void pb__coalesce_join(struct pb_unit *unit);
void pb__coalesce_leave(struct pb_unit *unit);

/* unit_cache.c */
void pb__cache_begin(struct pb_unit *unit);
void pb__cache_answered(struct pb_unit *unit);
/* The unit is about to fail. */
void pb__cache_failed(struct pb_unit *unit, const struct pb_err *err);
void pb__cache_drop(struct pb_unit *unit);

/* stream.c */
int pb__stream_open(struct pb_flow_call *call, struct pb_err *err);
void pb__stream_pump(struct pb_flow_call *call);
void pb__stream_writable(struct pb_flow_call *call);
void pb__stream_abandon(struct pb_flow_call *call);
