/* SPDX-License-Identifier: MIT */
/*
 * The inside of a state, for this room alone.
 *
 * Functions that may leave by longjmp (any lua_CFunction and what it calls) hold no memory of malloc and no
 * lock; what they need for longer lives in the state's scratch buffer or in an object that someone outside
 * owns.
 */
#pragma once

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/map.h"
#include "base/heap.h"
#include "script/vm.h"
#include "script/watchdog.h"

enum { PB_VM_MAGIC = 0x4d564250, PB_SCRIPT_MAGIC = 0x52435350 };

/* How a protected call ended. */
enum pb_vm_end {
    PB_END_OK,
    PB_END_RAISED, /* an error of the script */
    PB_END_FAILED, /* fail "..." */
    PB_END_MEMORY,
    PB_END_BUDGET,
};

struct pb_vm_file {
    char *path;
    struct pb_buf text;
};

struct pb_vm {
    struct pb_heap heap;
    uint32_t magic;
    lua_State *L;
    size_t used;
    bool hit_cap; /* an allocation was refused since the call began */
    bool broken;  /* rebuild before the next call */
    bool running;
    bool loading;          /* a script's main chunk runs: `lookup` is allowed */
    volatile bool expired; /* the budget is over; set in a signal handler */
    uint32_t generation;   /* of L; 0 is none */
    uint32_t rebuilt, stopped;
    enum pb_vm_end end; /* of the last call */
    uint64_t c_steps;   /* of C loops in this call, when the budget is in instructions */
    struct pb_vm_options o;
    char *dir;
    struct pb_watch watch;
    struct pb_script_ctx *ctx; /* of the call that runs, or NULL */
    struct pb_buf scratch;
    struct pb_map scripts; /* path -> struct pb_script */
    struct pb_map files;   /* path -> struct pb_vm_file: what was read stays what it was */
    int64_t log_window;    /* ms; log lines in the second that began there */
    uint32_t log_lines, log_dropped;
    void *emitting;                          /* the call of a function that runs and may emit, or NULL */
    void (*extend)(lua_State *L, void *arg); /* more globals: specs, evaluations. G is on the top */
    void *extend_arg;
};

struct pb_script {
    uint32_t magic;
    uint32_t refs;
    struct pb_vm *vm;
    char *path;
    const struct pb_buf *text; /* in vm->files */
    uint32_t generation;       /* of the state it is loaded in */
    int ref;                   /* what it returned, in the registry */
};

static inline struct pb_vm *pb_vm_of(lua_State *L)
{
    return *(struct pb_vm **)lua_getextraspace(L);
}

struct pb_vm *pb_vm_new_with(const struct pb_vm_options *options, void (*extend)(lua_State *L, void *arg),
                             void *arg, struct pb_err *err);

/*
 * A call: enter, any number of tries, leave. The budget is of all of them together. enter rebuilds a broken
 * state. try runs fn(L) with `arg` as light userdata on an otherwise empty stack; -1 with err and vm->end.
 */
int pb_vm_enter(struct pb_vm *vm, struct pb_script_ctx *ctx, struct pb_err *err);
int pb_vm_try(struct pb_vm *vm, lua_CFunction fn, void *arg, struct pb_err *err);
void pb_vm_leave(struct pb_vm *vm);
/* All three. */
int pb_vm_call(struct pb_vm *vm, struct pb_script_ctx *ctx, lua_CFunction fn, void *arg, struct pb_err *err);

/* --- inside a call */

/* For loops in C: raises when the budget is over. steps: how many went by since the last time. */
void pb_vm_poll(lua_State *L, uint64_t steps);
/* Raise unless there is room for n more bytes in a state's scratch buffer, which the cap counts too. */
void pb_vm_scratch_room(lua_State *L, size_t n);
/* Push what the script returned; loads it first when the state is new. Raises. */
void pb_script_push(lua_State *L, struct pb_script *s);
/* The text of a file below scripts/; NULL with err. */
const struct pb_buf *pb_vm_read(struct pb_vm *vm, pbay_str path, struct pb_err *err);
/* Forget a reference made in generation `gen`, when that state still lives. */
void pb_vm_unref(struct pb_vm *vm, uint32_t gen, int ref);
/* The key of fail's error value, and of its message in the registry. */
extern const char pb_fail_key;

/* --- sandbox.c */

/* Build the globals in a fresh state and leave them in the registry under &pb_globals_key. Raises. */
void pb_sandbox_open(lua_State *L);
extern const char pb_globals_key;
/* Push a new environment over the globals. */
void pb_sandbox_env(lua_State *L);
/* Freeze the environment at idx: what it holds stays readable, nothing can be assigned. */
void pb_sandbox_seal(lua_State *L, int idx);
/* Replace the table on the top by a read-only view of it. */
void pb_sandbox_freeze(lua_State *L);
/* Is the value at idx something frozen? */
bool pb_sandbox_frozen(lua_State *L, int idx);

/* --- bindings: name, signature, what it does, and the function, in one place */

struct pb_binding {
    const char *name; /* "json.encode", "fail" */
    const char *args; /* "(value)"; the result after "->" */
    const char *doc;
    lua_CFunction fn; /* NULL: documented here, made elsewhere */
};

extern const struct pb_binding pb_bind_pattern[], pb_bind_string[], pb_bind_table[], pb_bind_number[],
    pb_bind_date[], pb_bind_json[], pb_bind_csv[], pb_bind_host[], pb_bind_chains[], pb_bind_spec[];
/* Register a list that ends with a NULL name into the globals on the top. */
void pb_bind(lua_State *L, const struct pb_binding *list);
/* What bind_host.c adds that is not a function: ctx, patchbay, json.null. Globals are on the top. */
void pb_bind_values(lua_State *L);
/* JSON text -> value on the top. Raises. */
void pb_json_push(lua_State *L, pbay_str text);
/* Value at idx -> JSON text appended to the scratch buffer. Raises. */
void pb_json_write(lua_State *L, int idx, struct pb_buf *out);
/* json.null and the mark of empty lists; globals are on the top. */
void pb_json_values(lua_State *L);
