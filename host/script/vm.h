/* SPDX-License-Identifier: MIT */
/*
 * One Lua state: capped memory, a sandbox, and one protected door that everything goes through.
 *
 *   script   one file of scripts/, loaded once into an environment of its own, then frozen: globals can
 * neither be read when undefined nor be assigned; libraries are read-only for everyone budget   how long one
 * call into a state may take. No standing hook (it costs 10-35 %): a watchdog thread signals the thread whose
 * call is late, and the handler sets a hook that raises (watchdog.h) cap      bytes a state may hold. A state
 * that is still full after a call has failed on it is rebuilt from the texts of its scripts before the next
 * one: scripts lose what they kept in upvalues, nothing else
 *
 * Threads: a state belongs to the thread that calls into it. Nothing of Lua's own crosses this header.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/buf.h"
#include "base/err.h"

struct pb_vm;
struct pb_script;

/* The version of what scripts see: `patchbay.version`. */
#define PB_LUA_API_VERSION 1

struct pb_vm_options {
    size_t memory_cap;     /* bytes; 0: 64 MiB */
    int64_t budget_ms;     /* of one call into the state; 0: 1000 */
    uint64_t instructions; /* budget in VM instructions instead of time: the same on every machine; 0: time */
    uint32_t pattern_steps; /* of one find, match or gsub; 0: 4,000,000 */
    const char *dir;        /* scripts/; NULL: no files. Copied */
    /* Instead of reading below `dir`: fill `out` with the file `path` names, or fail. For bundles. */
    int (*read)(void *arg, pbay_str path, struct pb_buf *out, struct pb_err *err);
    void *read_arg;
};

/* What `ctx` shows a script. The caller fills it for a call and reads back what happened. Borrowed during a
 * run. */
struct pb_script_ctx {
    pbay_str user, app, function, query_id;
    int64_t now_ms; /* 0: the clock */
    bool personal;  /* out: the script read user, app or query_id, so the answer is not to be shared */
    uint64_t
        n_nulled; /* out: rows that raised and became null (on_error = null): the answer is not to be kept */
};

/* Returns owned; NULL with err (only when the cap is too small to start). */
struct pb_vm *pb_vm_new(const struct pb_vm_options *options, struct pb_err *err);
/* After all scripts, transforms, functions and evaluations made on it. NULL is fine. */
void pb_vm_free(struct pb_vm *vm);

/* Bytes held now. */
size_t pb_vm_memory(const struct pb_vm *vm);
/* How often it had to be rebuilt. */
uint32_t pb_vm_rebuilt(const struct pb_vm *vm);
/* How often a call ran out of time or memory. */
uint32_t pb_vm_stopped(const struct pb_vm *vm);

/*
 * Load scripts/PATH ("transforms/round.lua") and keep what it returns. Paths are relative, without "..". The
 * same path gives the same script, counted; drop gives it back. NULL with err: "transforms/round.lua:3: ...".
 */
struct pb_script *pb_script_load(struct pb_vm *vm, const char *path, struct pb_err *err);
void pb_script_drop(struct pb_script *s);

/* The reference of everything scripts see, as Markdown (docs/lua.md), out of the bindings' own doc tables. */
void pb_script_reference(struct pb_buf *out);
