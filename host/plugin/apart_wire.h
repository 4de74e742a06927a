/* SPDX-License-Identifier: MIT */
/*
 * What is said between a worker and a connector in a process of its own (`isolation = process`): the kinds of
 * messages, and how the values of the ABI stand in them.
 *
 * Both ends are this program, so a message has no version: little more than the structs of the SDK, one after
 * the other, numbers in the machine's order, texts with their length in front. What the worker reads comes
 * from a process that may have gone wrong: a reader never leaves its message, says so with `bad`, and answers
 * zeros and empty texts from then on. Inside of this room. Threads: any; a buffer or reader one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <patchbay/functions.h>
#include <patchbay/host_event.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "data/config.h"

/* The worker speaks of calls, requests and so on by its own handles; the process of what it asked for by its
 * own. */
enum pb_apart_type {
    /* worker -> process */
    PB_APART_CREATE = 1,
    PB_APART_START,
    PB_APART_STOP,
    PB_APART_DESTROY,
    PB_APART_BIND,
    PB_APART_UNBIND,
    PB_APART_SUBMIT,
    PB_APART_OPEN,
    PB_APART_PUSH,
    PB_APART_END,
    PB_APART_EMITTED, /* rows of an emit have gone on: there is room */
    PB_APART_CANCEL,
    PB_APART_ACTION,
    PB_APART_ACTION_CANCEL,
    PB_APART_POLL,
    PB_APART_POLL_CANCEL,
    PB_APART_REQUEST,
    PB_APART_REQUEST_CANCEL,
    PB_APART_COMMAND,
    PB_APART_COMMAND_CANCEL,
    PB_APART_RESOLVE,
    PB_APART_JOB_RESUME,
    PB_APART_JOB_CANCELLED,
    PB_APART_INVOKE_READY,
    PB_APART_INVOKE_DESCRIBED,
    PB_APART_INVOKE_ROWS,
    PB_APART_INVOKE_DONE,
    PB_APART_ANSWER, /* to what was asked for without waiting */
    PB_APART_PING,
    /* process -> worker */
    PB_APART_COMPLETE = 64,
    PB_APART_PUSHED, /* rows of a push were taken */
    PB_APART_EMIT,
    PB_APART_DESCRIBE,
    PB_APART_ACTION_DONE,
    PB_APART_ACTION_STARTED,
    PB_APART_ACTION_FAILED,
    PB_APART_POLLED,
    PB_APART_RESPOND,
    PB_APART_COMMAND_PRINT,
    PB_APART_COMMAND_PROGRESS,
    PB_APART_COMMAND_DONE,
    PB_APART_RESOLVED,
    PB_APART_KV_GET,
    PB_APART_KV_PUT,
    PB_APART_LIMIT,
    PB_APART_EVENT_PUT,
    PB_APART_CHAIN,
    PB_APART_JOB_ENQUEUE,
    PB_APART_JOB_PARK,
    PB_APART_JOB_FINISH,
    PB_APART_JOB_FIND,
    PB_APART_JOB_RESULT,
    PB_APART_JOB_CANCEL,
    PB_APART_JOB_ON_RESUME,
    PB_APART_SECRET_REFUSED,
    PB_APART_METRIC,
    PB_APART_INVOKE_PUSH,
    PB_APART_INVOKE_END,
    PB_APART_INVOKE_CREDIT,
    PB_APART_INVOKE_CANCEL,
    PB_APART_STATE,
    PB_APART_EXPLAIN,
    PB_APART_PONG,
    /* process -> worker, and it waits for the reply */
    PB_APART_ACCEPT = 128,
    PB_APART_SECRET_GET,
    PB_APART_METRIC_SLOT,
    PB_APART_INVOKE_OPEN,
    PB_APART_INVOKE_DESCRIBES,
    PB_APART_INVOKE_NTH,
    /* both ways */
    PB_APART_REPLY = 192,
};

/* Messages that somebody waits for, so that they are answered also by who is waiting himself. */
static inline bool pb_apart_urgent(uint32_t type)
{
    return (type >= PB_APART_ACCEPT && type < PB_APART_REPLY) || type == PB_APART_PING;
}

/* PB_APART_COMPLETE and _EMIT */
enum { PB_APART_ROWS = 1, PB_APART_NO_STORE = 2, PB_APART_IDENTITY = 4 };

/* Services of the worker that a connector may find missing: bits of PB_APART_CREATE. */
enum {
    PB_APART_HAS_CHAINS = 1,
    PB_APART_HAS_INVOKE = 2,
    PB_APART_HAS_METRICS = 4,
    PB_APART_HAS_REQUESTS = 8
};

/* ------------------------------------------------------------------------------------------------ writing */

static inline void pb_put_u32(struct pb_buf *b, uint32_t v)
{
    pb_buf_add(b, &v, sizeof v);
}
static inline void pb_put_i32(struct pb_buf *b, int32_t v)
{
    pb_buf_add(b, &v, sizeof v);
}
static inline void pb_put_u64(struct pb_buf *b, uint64_t v)
{
    pb_buf_add(b, &v, sizeof v);
}
static inline void pb_put_i64(struct pb_buf *b, int64_t v)
{
    pb_buf_add(b, &v, sizeof v);
}
static inline void pb_put_str(struct pb_buf *b, pbay_str s)
{
    pb_put_u32(b, (uint32_t)s.n);
    pb_buf_str(b, s);
}
/* NULL stays NULL. */
void pb_put_cstr(struct pb_buf *b, const char *s);
/* NULL is OK. */
void pb_put_result(struct pb_buf *b, const pbay_result *r);
void pb_put_err(struct pb_buf *b, const struct pb_err *err);
void pb_put_headers(struct pb_buf *b, const pbay_header *h, uint32_t n);
void pb_put_fields(struct pb_buf *b, const pbay_field *f, uint32_t n);
void pb_put_events(struct pb_buf *b, const pbay_event *e, uint32_t n);
void pb_put_options(struct pb_buf *b, const pbay_option_table *t);
/* What was written or has been set by a caller, resolved; NULL stays NULL. `t`: n tables that it was made of.
 */
void pb_put_config(struct pb_buf *b, const struct pbay_config *cfg, const pbay_option_table *const *t,
                   size_t n);

/* ------------------------------------------------------------------------------------------------ reading */

struct pb_in {
    const char *p, *end;
    bool bad;
};

static inline struct pb_in pb_in_of(pbay_str s)
{
    return (struct pb_in){s.p, s.p + s.n, false};
}

/* n bytes, or NULL and bad. */
static inline const char *pb_in_bytes(struct pb_in *in, size_t n)
{
    if (PB_UNLIKELY((size_t)(in->end - in->p) < n)) {
        in->bad = true;
        in->p = in->end;
        return NULL;
    }
    const char *p = in->p;
    in->p += n;
    return p;
}

static inline uint32_t pb_in_u32(struct pb_in *in)
{
    uint32_t v = 0;
    const char *p = pb_in_bytes(in, sizeof v);
    if (p) memcpy(&v, p, sizeof v);
    return v;
}
static inline int32_t pb_in_i32(struct pb_in *in)
{
    return (int32_t)pb_in_u32(in);
}
static inline uint64_t pb_in_u64(struct pb_in *in)
{
    uint64_t v = 0;
    const char *p = pb_in_bytes(in, sizeof v);
    if (p) memcpy(&v, p, sizeof v);
    return v;
}
static inline int64_t pb_in_i64(struct pb_in *in)
{
    return (int64_t)pb_in_u64(in);
}
/* Borrowed from the message. */
static inline pbay_str pb_in_str(struct pb_in *in)
{
    uint32_t n = pb_in_u32(in);
    const char *p = pb_in_bytes(in, n);
    return pb_str(p ? p : "", p ? n : 0);
}
/* What is left. */
static inline pbay_str pb_in_rest(struct pb_in *in)
{
    pbay_str s = pb_str(in->p, (size_t)(in->end - in->p));
    in->p = in->end;
    return s;
}
/* How many of something follow, each of at least `size` bytes. */
uint32_t pb_in_count(struct pb_in *in, size_t size);
/* Copied into the arena; NULL stays NULL; a NUL within is bad. */
const char *pb_in_cstr(struct pb_in *in, struct pb_arena *mem);
/* Texts are borrowed from the message. */
pbay_result pb_in_result(struct pb_in *in);
/* Arrays in the arena, texts borrowed from the message. */
const pbay_header *pb_in_headers(struct pb_in *in, struct pb_arena *mem, uint32_t *n);
const pbay_field *pb_in_fields(struct pb_in *in, struct pb_arena *mem, uint32_t *n);
const pbay_event *pb_in_events(struct pb_in *in, struct pb_arena *mem, uint32_t *n);
/* All of it in the arena. */
pbay_option_table pb_in_options(struct pb_in *in, struct pb_arena *mem);
/* *out is the caller's; NULL when it was. 0, or -1 with err (a message that is bad, too). */
int pb_in_config(struct pb_in *in, const pbay_option_table *const *t, size_t n, struct pbay_config **out,
                 struct pb_err *err);
