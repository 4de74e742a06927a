/* SPDX-License-Identifier: MIT */
/*
 * What survives a restart, as a set of verbs. One engine stands behind them per URL scheme (store/engine.h).
 *
 * Every verb is one transaction: what returned 0 is on disk, what returned -1 changed nothing. Any number
 * of processes may use one store; each opens it for itself, after fork. Threads: one at a time per struct
 * pb_store. Verbs block (disk, other processes' locks): they run at start or on the store thread, never on
 * the loop.
 *
 * Errors of every verb: UNAVAILABLE (another process holds it too long: try again), RESOURCE_EXHAUSTED
 * (disk full), FAILED_PRECONDITION (read-only, a newer schema), DATA_LOSS (damaged); messages name the
 * file.
 *
 * Glossary
 *   scope   a name space of function ids: Qlik sees each listener's functions by itself
 *   space   a name space of key-value pairs: one connector's
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/buf.h"
#include "base/err.h"

struct pb_store;

enum {
    PB_STORE_FIRST_ID = 1000,     /* ids below are for the operator to give */
    PB_STORE_NAME_MAX = 256,      /* bytes of a scope, a space or a function's name */
    PB_STORE_KEY_MAX = 512,       /* bytes of a key */
    PB_STORE_VALUE_MAX = 1 << 20, /* bytes of a value */
    PB_LIST_MAX = 1000,           /* rows of one list */
};

/*
 * Open, creating and migrating as needed. `url` is "sqlite:PATH"; a relative PATH starts from the working
 * directory. The file is made with mode 0600; its directory (made with 0700 when only it is missing) must
 * belong to the running user and not be writable by anybody else. *out is the caller's: pb_store_close.
 * Errors: INVALID_ARGUMENT (no such engine), PERMISSION_DENIED (whose directory or file it is), the common
 * ones.
 */
int pb_store_open(const char *url, struct pb_store **out, struct pb_err *err);
/* NULL is fine. */
void pb_store_close(struct pb_store *s);
/*
 * Read everything and check it. Takes as long as reading the store does; quick: without comparing what is
 * indexed with its indices, which costs several times as much. Errors: DATA_LOSS with what is wrong.
 */
int pb_store_check(struct pb_store *s, bool quick, struct pb_err *err);
/* The same for a store that others may be using, or that an older program made: it is only read. */
int pb_store_verify(const char *url, bool quick, struct pb_err *err);

/*
 * Several verbs as one: all that fn does with s is kept when it returns 0 and undone when it returns -1. May
 * be nested; an inner one that fails is undone alone. Returns what fn returned, or -1 with err when it could
 * not be kept.
 */
int pb_store_atomic(struct pb_store *s, int (*fn)(struct pb_store *s, void *user, struct pb_err *err),
                    void *user, struct pb_err *err);
/*
 * fn(user) after each commit with which a job became due, or will be: whoever runs jobs looks again. Called
 * on the thread that uses s; one fn, NULL for none.
 */
void pb_store_on_work(struct pb_store *s, void (*fn)(void *user), void *user);
/* The same after each commit with which a job ended: for who waits for that. */
void pb_store_on_end(struct pb_store *s, void (*fn)(void *user), void *user);

/*
 * The id of a function, the same in every process and for ever, also when the function goes and comes back.
 * explicit_id >= 0 is the operator's and recorded; -1 asks for what was recorded or, the first time, the
 * next free id from PB_STORE_FIRST_ID on. An id once given to a name is never given to another of its
 * scope, also when the operator gave that name another one since. Ask for all explicit ids of a scope
 * before the others.
 * Errors: ALREADY_EXISTS (the explicit id belongs to another name; both are named), RESOURCE_EXHAUSTED
 * (none left).
 */
int pb_store_function_id(struct pb_store *s, pbay_str scope, pbay_str name, int32_t explicit_id, int32_t *id,
                         struct pb_err *err);

/* Append the value to *out. Errors: NOT_FOUND (never put, deleted or expired). */
int pb_store_kv_get(struct pb_store *s, pbay_str space, pbay_str key, struct pb_buf *out, struct pb_err *err);
/*
 * Put a value, or delete with value.p NULL. `expected` NULL: whatever was there; else only if the present
 * value equals it, where an empty one means that there must be none. ttl_ms 0: for ever.
 * Errors: ABORTED (expected something else), INVALID_ARGUMENT (sizes).
 */
int pb_store_kv_put(struct pb_store *s, pbay_str space, pbay_str key, pbay_str value,
                    const pbay_str *expected, int64_t ttl_ms, struct pb_err *err);
