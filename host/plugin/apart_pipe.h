/* SPDX-License-Identifier: MIT */
/*
 * The socket between a worker and a connector's process: messages in order, written once per turn, read as
 * many at a time as there are. Inside of this room. Threads: [loop].
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "loop/loop.h"

/* Bytes of one message; more is refused by who writes and the end of who is read. */
#define PB_APART_MESSAGE_MAX ((size_t)1 << 30)

struct pb_pipe;
struct pb_watch;
struct pb_apart_page;
struct pb_in;
struct pbay_builder;

struct pb_pipe_fns {
    /* A message, borrowed until return. */
    void (*message)(void *user, uint32_t type, uint64_t handle, pbay_str body);
    /* The other side is gone, or what it wrote is no message. Once; nothing comes afterwards. */
    void (*end)(void *user);
};

/* fd is taken. Returns owned, or NULL with err. */
struct pb_pipe *pb_pipe_new(struct pb_loop *loop, int fd, const struct pb_pipe_fns *fns, void *user,
                            struct pb_err *err);
void pb_pipe_close(struct pb_pipe *p); /* NULL is fine */

/*
 * Begin a message and append its body to what is returned; then pb_pipe_commit. It leaves at the end of the
 * turn. Returns its number, from 1: what the other side has begun is counted alike.
 */
struct pb_buf *pb_pipe_begin(struct pb_pipe *p, uint32_t type, uint64_t handle);
uint64_t pb_pipe_commit(struct pb_pipe *p);
/* Take back what was begun. */
void pb_pipe_abort(struct pb_pipe *p);
/* A message without a body. */
uint64_t pb_pipe_send(struct pb_pipe *p, uint32_t type, uint64_t handle);
/* Bytes that wait to be written. */
size_t pb_pipe_waiting(const struct pb_pipe *p);
/* Write what can be written now. */
void pb_pipe_flush(struct pb_pipe *p);
/* What was written until now is still read, and then it is the end, whoever else has the other side. */
void pb_pipe_hang_up(struct pb_pipe *p);
/* Read and hand over what there is, without waiting. */
void pb_pipe_read(struct pb_pipe *p);

/*
 * Rows as the rest of a message that was begun, and back. Long ones go by the memory of the page where there
 * is room. Returns their bytes, of which both sides say the same number. pb_pipe_rows: owned; NULL with err.
 */
size_t pb_pipe_put_rows(struct pb_pipe *p, struct pb_buf *m, const pbay_batch *rows);
struct pbay_builder *pb_pipe_rows(struct pb_pipe *p, struct pb_in *in, size_t *bytes, struct pb_err *err);
/* They are for nobody any more: their place is free. */
void pb_pipe_skip_rows(struct pb_pipe *p, struct pb_in *in);
/* Here is that memory. worker: is this end the worker, which looks at copies alone? */
void pb_pipe_share(struct pb_pipe *p, struct pb_apart_page *page, bool worker);

enum pb_pipe_waited { PB_PIPE_REPLIED, PB_PIPE_GONE, PB_PIPE_LATE };
/*
 * Stand still until the reply to `handle` is there: *body is borrowed until the next wait. Urgent messages,
 * and those of the type `also` (0: none), are handed over meanwhile, all others afterwards. What is queued is
 * written meanwhile, as far as the other side reads. timeout_ms < 0: for ever.
 */
enum pb_pipe_waited pb_pipe_wait(struct pb_pipe *p, uint64_t handle, uint32_t also, int64_t timeout_ms,
                                 pbay_str *body);
/* So many messages have been handed over; written where the other side can read it after a crash. */
void pb_pipe_count(struct pb_pipe *p, _Atomic uint64_t *begun);
