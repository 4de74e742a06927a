/* SPDX-License-Identifier: MIT */
/* The inside of the worker's side of isolation, for apart*.c alone. */
#pragma once

#include <sys/types.h>

#include "base/handle.h"
#include "plugin/apart.h"
#include "plugin/apart_page.h"
#include "plugin/apart_pipe.h"
#include "plugin/apart_wire.h"
#include "plugin/connector_priv.h"

/* Text and numbers of pushes, or emits, that may wait for the other side. */
#define PB_APART_WINDOW ((size_t)1 << 20)
/* Bytes that may wait to be written to a process before new work is refused. */
#define PB_APART_QUEUE_MAX ((size_t)256 << 20)

/* What the process has been handed and owes an answer for. */
enum pb_apart_kind {
    PB_HELD_CALL,
    PB_HELD_ACTION,
    PB_HELD_POLL,
    PB_HELD_REQUEST,
    PB_HELD_COMMAND,
    PB_HELD_RESOLVE,
    PB_HELD_KINDS
};

struct pb_apart_held {
    uint64_t handle; /* 0: the slot is free */
    uint64_t number; /* of the message that began it */
    size_t pushed;   /* bytes that were not said to be taken */
    size_t emitted;  /* bytes that have not gone on, of which the process is still to hear */
    bool full;       /* push has answered LATER */
};

/* By the handles' slots. */
struct pb_apart_table {
    struct pb_apart_held *slots;
    uint32_t n, live;
};

/* An operation bound to a function, as it is bound again in the next process. */
struct pb_apart_bound {
    struct pb_apart *apart;
    struct pb_apart_bound *next, *prev;
    uint64_t id;
    uint32_t operation; /* its index */
    const struct pbay_config *config;
    struct pb_buf message; /* the body of BIND */
    char *lane;
    char *function;
};

/* A parked job that the process runs. */
struct pb_apart_job {
    struct pb_apart_job *next;
    char id[64];
};

struct pb_apart_invoke;

enum pb_apart_phase {
    PB_APART_DOWN,     /* there is no process; one may be started later */
    PB_APART_STARTING, /* it has been told what to be and has not answered */
    PB_APART_UP,
    PB_APART_ENDED, /* for good */
};

struct pb_apart {
    struct pb_connector *c;
    enum pb_apart_phase phase;
    bool stopping, slow; /* slow: it let somebody wait too long and has said nothing since */
    pid_t pid;
    uint32_t incarnation; /* counts processes: answers for one that is gone go nowhere */
    struct pb_pipe *pipe;
    struct pb_apart_page *page;
    int page_fd;
    struct pb_buf create; /* the body of CREATE; holds secrets */
    struct pb_apart_bound *bounds;
    struct pb_handles bound_ids;
    uint64_t n_asked;
    struct pb_apart_table held[PB_HELD_KINDS];
    struct pb_apart_job *jobs;
    bool has_runner, runner_cancels;
    struct pb_apart_invoke *invokes;
    uint32_t n_metrics, metrics[65];

    /* A process that is started again is told to be made, then to bind, then to start; replies to come. */
    enum { PB_APART_MAKING, PB_APART_BINDING, PB_APART_BEGINNING } stage;
    uint32_t awaited;
    int64_t hang_ms, cpu_ms, memory;
    int64_t started_ns, cpu_until_ns;
    int64_t pinged_ns; /* when it was pinged and has said nothing since; 0: it has */
    bool suspected;
    struct pb_timer ping, again;
    int64_t backoff_ms, ended_ns[3];
    char why[256];  /* how it was ended, when the worker did it */
    char last[512]; /* how the last process ended */

    enum pb_connector_state state; /* what the process says */
    char sentence[PB_STATE_TEXT];
    uint64_t faults;
};

/* ------------------------------------------------------------------------------------------------ held */

struct pb_apart_held *pb_apart_hold(struct pb_apart *a, enum pb_apart_kind kind, uint64_t handle,
                                    uint64_t number);
struct pb_apart_held *pb_apart_held(struct pb_apart *a, enum pb_apart_kind kind, uint64_t handle);
void pb_apart_let_go(struct pb_apart *a, enum pb_apart_kind kind, struct pb_apart_held *h);

/* ------------------------------------------------------------------------------------------------ life */

/* *why says why there is no process now; returns UNAVAILABLE. */
int32_t pb_apart_refuse(struct pb_apart *a, pbay_result *why);
/* Wait for the reply to what was asked; *body is borrowed until the next. 0, or -1 with err. */
int pb_apart_await(struct pb_apart *a, uint64_t asked, int64_t timeout_ms, const char *what, pbay_str *body,
                   struct pb_err *err);
/* The next number of a question. */
static inline uint64_t pb_apart_ask(struct pb_apart *a)
{
    return ++a->n_asked;
}
/* Is there a process that takes work? Else *why. */
static inline bool pb_apart_ready(struct pb_apart *a, pbay_result *why, int32_t *code)
{
    if (PB_LIKELY(a->phase == PB_APART_UP && pb_pipe_waiting(a->pipe) < PB_APART_QUEUE_MAX)) return true;
    *code = pb_apart_refuse(a, why);
    return false;
}

/* Bound with the others when there is a process; one that has been told of them is told of it too. */
void pb_apart_bind_later(struct pb_apart *a, const struct pb_apart_bound *b);
/* A process that was started again has answered one of what it was told. */
void pb_apart_replied(struct pb_apart *a, pbay_str body);

/* apart_watch.c: a process that was just started is looked after, until pb_apart_reap. */
void pb_apart_watch(struct pb_apart *a);
/* Its end is waited for, and brought about when it is not there in time; a->last says how it ended. */
void pb_apart_reap(struct pb_apart *a, int64_t patience_ms);
/* It is ended, because it `fmt`; the end of the pipe brings the rest. */
void pb_apart_kill(struct pb_apart *a, const char *fmt, ...) PB_PRINTF(2, 3);
/* It said what no process of ours says. */
void pb_apart_nonsense(struct pb_apart *a, const char *what);
/* apart_calls.c: everything it holds ends; a->last says why. */
void pb_apart_fail_all(struct pb_apart *a);
/* apart_hear.c: a message of the process. */
void pb_apart_hear(struct pb_apart *a, uint32_t type, uint64_t handle, pbay_str body);
/* apart_serve.c: what it asks of the house; false: no such message. */
bool pb_apart_serve(struct pb_apart *a, uint32_t type, uint64_t handle, struct pb_in *in);
/* Its jobs go back to the queue, for its end was `why`. */
void pb_apart_drop_jobs(struct pb_apart *a, const struct pb_err *why);
void pb_apart_forget_job(struct pb_apart *a, pbay_str id);
/* apart_invoke.c: what it has invoked. */
bool pb_apart_invoke(struct pb_apart *a, uint32_t type, uint64_t handle, struct pb_in *in);
void pb_apart_drop_invokes(struct pb_apart *a);
