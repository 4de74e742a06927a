/* SPDX-License-Identifier: MIT */
/*
 * The store without blocking: operations are posted from the loop, run on one store thread, and come back on
 * the loop when what they wrote is on disk.
 *
 * Writing operations that wait are grouped: one turn at the store's lock, one transaction, one wait for the
 * disk, for up to PB_STORE_GROUP_OPS of them or PB_STORE_GROUP_MS. Each is a part of its own
 * (pb_store_atomic): one that fails leaves the others alone. Reading operations run before a group, take no
 * lock, and work also while the disk is full or read-only.
 */
#pragma once

#include <stdbool.h>

#include "loop/loop.h"
#include "store/store.h"

enum { PB_STORE_GROUP_OPS = 256, PB_STORE_GROUP_MS = 20 };

struct pb_store_async;

/* One operation, embedded in its owner's struct, which must live until `done` was called. Zero what is
 * private. */
struct pb_store_op {
    /*
     * [store thread] Any verbs on s. 0, or -1 with err. May be called a second time, when the group it was in
     * could not be committed: it must start from scratch, outputs included. Touches nothing that the loop
     * touches meanwhile.
     */
    int (*run)(struct pb_store *s, void *user, struct pb_err *err);
    /*
     * [loop] Exactly once. err NULL: it is done and on disk. Else nothing of it was kept; borrowed during the
     * call. What the store itself fails by (a full, damaged or read-only file) is UNAVAILABLE here, without
     * the file's name, which goes to the log.
     */
    void (*done)(void *user, const struct pb_err *err);
    void *user;
    bool reads; /* run only reads */

    struct pb_store_op *next; /* private from here */
    struct pb_err *err;
    int64_t posted_ns;
};

struct pb_store_load {
    uint64_t ops, failed, groups; /* since it was made; groups: commits of one or more operations */
    uint32_t waiting;             /* posted, done not yet called */
    int64_t longest_ns; /* from post to done's being due, since the last call of pb_store_async_load */
};

/* Whether it takes writes now, as far as was seen. */
struct pb_store_health {
    bool up;
    int64_t since_ms;  /* UTC */
    struct pb_err why; /* not up: for who runs the gateway, with the file's name */
};

/*
 * Takes s, which nobody else uses from now on: pb_store_on_work comes before, and its fn is called on the
 * store thread (pb_wake_send is what it may do). Starts the thread. Returns owned. [loop]
 */
struct pb_store_async *pb_store_async_new(struct pb_loop *loop, struct pb_store *s);
/* The same, but the thread starts with pb_store_async_start: until then s is still the caller's, and what is
 * posted waits. [loop] */
struct pb_store_async *pb_store_async_new_idle(struct pb_loop *loop, struct pb_store *s);
void pb_store_async_start(struct pb_store_async *a);
/*
 * A store that fails is opened again, on a timer, until it works; until then each operation is refused with
 * UNAVAILABLE. s may have been NULL: then why says why. opened(s, user) [store thread] is for what is to be
 * set in each newly opened one; changed(user) [loop] follows each change of the health. Before the start.
 * [loop]
 */
void pb_store_async_keep(struct pb_store_async *a, const char *url, const struct pb_err *why,
                         void (*opened)(struct pb_store *s, void *user), void (*changed)(void *user),
                         void *user);
void pb_store_async_health(struct pb_store_async *a, struct pb_store_health *out);
/* Was err given because the store does not work? Then it was said already, in the log. */
bool pb_store_is_away(const struct pb_err *err);
/* Never refuses: who takes work from outside looks at the load first. [loop] */
void pb_store_post(struct pb_store_async *a, struct pb_store_op *op);
void pb_store_async_load(struct pb_store_async *a, struct pb_store_load *out);
/*
 * All that was posted is finished, then the store is closed, a frees itself, and closed(user) is called.
 * `done` of the last operations may still post; nothing may be posted after closed. [loop]
 */
void pb_store_async_close(struct pb_store_async *a, void (*closed)(void *user), void *user);
