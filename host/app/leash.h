/* SPDX-License-Identifier: MIT */
/* A worker's end of what binds it to its supervisor: the channel, its row of the page. Threads: [loop]. */
#pragma once

#include "base/err.h"
#include "base/page.h"
#include "net/bound.h"

struct pb_leash;
struct pb_loop;

/* The descriptors that a worker inherits. */
enum { PB_LEASH_CHANNEL = 3, PB_LEASH_PAGE = 4, PB_LEASH_CONFIG = 5 };

struct pb_leash_ops {
    void (*conn)(void *user, const char *name, int fd); /* takes fd */
    void (*outs)(void *user);                           /* see pb_page_out_reason again */
    void (*drain)(void *user, const char *why);         /* also when it is gone; may come twice */
    void (*stop)(void *user, const char *why);
};

/* Take the descriptors; the calling thread's calls into plugins are marked in the row. NULL with err. */
struct pb_leash *pb_leash_new(uint32_t slot, uint32_t generation, struct pb_err *err);
struct pb_page *pb_leash_page(const struct pb_leash *l);
/* Its row. */
uint32_t pb_leash_slot(const struct pb_leash *l);
/* Ask for the connections of a listener; blocks until there is an answer. out: where it really listens. */
int pb_leash_listen(struct pb_leash *l, const char *name, const char *address, char out[PB_BOUND_NAME],
                    struct pb_err *err);
/* From here on ops are called. Borrowed until pb_leash_free. */
int pb_leash_start(struct pb_leash *l, struct pb_loop *loop, const struct pb_leash_ops *ops, void *user,
                   struct pb_err *err);
/* text: see PB_MSG_READY. */
void pb_leash_ready(struct pb_leash *l, const char *text);
void pb_leash_failed(struct pb_leash *l, const char *why);
/* Asked to end by somebody else than the supervisor; drain() follows when it has taken note. */
void pb_leash_leave(struct pb_leash *l);
/* A connection that was handed over is gone: user is the leash. */
void pb_leash_conn_gone(void *user);
/* Nothing is watched any more; the loop may be freed. */
void pb_leash_stop(struct pb_leash *l);
/* NULL is fine. */
void pb_leash_free(struct pb_leash *l);
