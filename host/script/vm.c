/* SPDX-License-Identifier: MIT */
/* The state itself: memory, budgets, the protected door. Scripts are in load.c, what they see in sandbox.c.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "script/vm_priv.h"

enum { DEFAULT_BUDGET_MS = 1000, DEFAULT_PATTERN_STEPS = 4000000 };

const char pb_fail_key;

static void *count_alloc(void *ud, void *p, size_t osize, size_t nsize)
{
    struct pb_vm *vm = ud;
    if (!nsize) {
        if (!p) return NULL;
        vm->used -= osize;
        pb_heap_put(&vm->heap, p, osize);
        return NULL;
    }
    if (!p) osize = 0; /* then it is the kind of object, not a size */
    size_t used = vm->used - osize + nsize;
    if (PB_UNLIKELY(used > vm->o.memory_cap) && nsize > osize) {
        vm->hit_cap = true;
        return NULL;
    }
    void *q = p ? pb_heap_realloc(&vm->heap, p, osize, nsize) : pb_heap_get(&vm->heap, nsize);
    if (PB_LIKELY(q != NULL)) vm->used = used;
    return q;
}

/* ------------------------------------------------------------------------------------------------ budgets */

static void raise_late(lua_State *L)
{
    struct pb_vm *vm = pb_vm_of(L);
    /* In a hook the function that was stopped is level 0; in a C function, which has no place, it is the
     * caller. */
    luaL_where(L, 0);
    if (!*lua_tostring(L, -1)) luaL_where(L, 1);
    if (vm->o.instructions)
        lua_pushfstring(L, "stopped after %I instructions", (LUAI_UACINT)vm->o.instructions);
    else
        lua_pushfstring(L, "stopped after %d ms", (int)vm->o.budget_ms);
    lua_concat(L, 2);
    lua_error(L);
}

static const int all_masks = LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT;

/* Stays set, so that a pcall around the error gets no further than its next instruction. */
static void late_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    raise_late(L);
}

static void count_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    pb_vm_of(L)->expired = true;
    lua_sethook(L, late_hook, all_masks, 1);
    raise_late(L);
}

/* Signal handler: lua_sethook is made for this (lua.c does the same on SIGINT). */
static void late(struct pb_watch *w)
{
    struct pb_vm *vm = PB_CONTAINER(w, struct pb_vm, watch);
    vm->expired = true;
    lua_sethook(vm->L, late_hook, all_masks, 1);
}

void pb_vm_poll(lua_State *L, uint64_t steps)
{
    struct pb_vm *vm = pb_vm_of(L);
    if (vm->o.instructions) {
        vm->c_steps += steps;
        if (vm->c_steps > vm->o.instructions * 16 && !vm->expired) count_hook(L, NULL);
    }
    if (vm->expired) raise_late(L);
}

void pb_vm_scratch_room(lua_State *L, size_t n)
{
    struct pb_vm *vm = pb_vm_of(L);
    size_t have = vm->used + vm->scratch.n;
    if (have + n <= vm->o.memory_cap) return;
    vm->hit_cap = true;
    luaL_error(L, "not enough memory: text of %d KiB would pass the limit of %d MiB",
               (int)((vm->scratch.n + n) >> 10), (int)(vm->o.memory_cap >> 20));
}

/* ------------------------------------------------------------------------------------------------ building
 */

static int build(lua_State *L)
{
    pb_sandbox_open(L);
    return 0;
}

static int panic(lua_State *L)
{
    pb_fatal("Lua outside a protected call: %s", lua_tostring(L, -1));
}

static void state_close(struct pb_vm *vm)
{
    if (vm->L) lua_close(vm->L);
    vm->L = NULL;
    pb_heap_free(&vm->heap);
}

static int state_open(struct pb_vm *vm, struct pb_err *err)
{
    vm->used = 0;
    vm->hit_cap = false;
    vm->L = lua_newstate(count_alloc, vm);
    if (!vm->L) return pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "no memory for a Lua state");
    *(struct pb_vm **)lua_getextraspace(vm->L) = vm;
    lua_atpanic(vm->L, panic);
    lua_gc(vm->L, LUA_GCGEN, 0, 0); /* rows make garbage that dies young */
    lua_pushcfunction(vm->L, build);
    if (lua_pcall(vm->L, 0, 0, 0) != LUA_OK) {
        const char *why = lua_tostring(vm->L, -1);
        pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "a Lua state does not fit into %zu bytes: %s", vm->o.memory_cap,
                why ? why : "?");
        state_close(vm);
        return -1;
    }
    vm->generation++;
    vm->broken = false;
    return 0;
}

struct pb_vm *pb_vm_new_with(const struct pb_vm_options *options, void (*extend)(lua_State *L, void *arg),
                             void *arg, struct pb_err *err)
{
    struct pb_vm *vm = pb_zalloc(sizeof *vm);
    vm->magic = PB_VM_MAGIC;
    if (options) vm->o = *options;
    if (!vm->o.memory_cap) vm->o.memory_cap = (size_t)64 << 20;
    if (!vm->o.budget_ms) vm->o.budget_ms = DEFAULT_BUDGET_MS;
    if (!vm->o.pattern_steps) vm->o.pattern_steps = DEFAULT_PATTERN_STEPS;
    if (vm->o.dir) vm->o.dir = vm->dir = pb_strdup(vm->o.dir);
    vm->extend = extend;
    vm->extend_arg = arg;
    vm->watch.late = late;
    if (state_open(vm, err) != 0) {
        pb_free(vm->dir);
        pb_free(vm);
        return NULL;
    }
    if (!vm->o.instructions) pb_watch_add(&vm->watch);
    return vm;
}

struct pb_vm *pb_vm_new(const struct pb_vm_options *options, struct pb_err *err)
{
    return pb_vm_new_with(options, NULL, NULL, err);
}

void pb_vm_free(struct pb_vm *vm)
{
    if (!vm) return;
    PB_MAGIC_CHECK(vm, PB_VM_MAGIC);
    PB_REQUIRE(!vm->running && vm->scripts.n == 0);
    if (!vm->o.instructions) pb_watch_remove(&vm->watch);
    state_close(vm);
    for (size_t i = 0; i < vm->files.n; i++) {
        struct pb_vm_file *f = vm->files.entries[i].value;
        pb_buf_free(&f->text);
        pb_free(f->path);
        pb_free(f);
    }
    pb_map_free(&vm->files);
    pb_map_free(&vm->scripts);
    pb_buf_free(&vm->scratch);
    pb_free(vm->dir);
    vm->magic = 0;
    pb_free(vm);
}

size_t pb_vm_memory(const struct pb_vm *vm)
{
    return vm->used;
}

uint32_t pb_vm_rebuilt(const struct pb_vm *vm)
{
    return vm->rebuilt;
}

uint32_t pb_vm_stopped(const struct pb_vm *vm)
{
    return vm->stopped;
}

void pb_vm_unref(struct pb_vm *vm, uint32_t gen, int ref)
{
    /* luaL_unref allocates only when the registry must grow, and the slot is there. */
    if (vm->L && gen == vm->generation && gen) luaL_unref(vm->L, LUA_REGISTRYINDEX, ref);
}

/* ------------------------------------------------------------------------------------------------ the door
 */

int pb_vm_enter(struct pb_vm *vm, struct pb_script_ctx *ctx, struct pb_err *err)
{
    PB_MAGIC_CHECK(vm, PB_VM_MAGIC);
    if (vm->running) return pb_fail(err, PBAY_FAILED_PRECONDITION, "a Lua state was entered while it runs");
    if (vm->broken || !vm->L) {
        state_close(vm);
        vm->rebuilt++;
        if (state_open(vm, err) != 0) return -1;
    }
    vm->ctx = ctx;
    vm->expired = false;
    vm->hit_cap = false;
    vm->c_steps = 0;
    vm->end = PB_END_OK;
    vm->running = true;
    if (vm->o.instructions) {
        int count = vm->o.instructions > INT32_MAX ? INT32_MAX : (int)vm->o.instructions;
        lua_sethook(vm->L, count_hook, LUA_MASKCOUNT, count);
    } else {
        pb_watch_start(&vm->watch, pb_mono_ns() + vm->o.budget_ms * PB_MS, vm->o.budget_ms * PB_MS);
    }
    return 0;
}

/* Anything may be raised; a person reads text. Runs before the stack is unwound. */
static int message(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING || lua_touserdata(L, 1) == (const void *)&pb_fail_key) return 1;
    luaL_where(L, 1);
    const char *text = NULL;
    if (lua_type(L, 1) == LUA_TNUMBER) text = lua_tostring(L, 1);
    if (text)
        lua_pushfstring(L, "%s%s", lua_tostring(L, -1), text);
    else
        lua_pushfstring(L, "%serror of type %s raised", lua_tostring(L, -1), luaL_typename(L, 1));
    return 1;
}

static int fill_error(struct pb_vm *vm, int rc, struct pb_err *err)
{
    lua_State *L = vm->L;
    if (lua_touserdata(L, -1) == (const void *)&pb_fail_key) {
        vm->end = PB_END_FAILED;
        lua_rawgetp(L, LUA_REGISTRYINDEX, &pb_fail_key);
        size_t n = 0;
        const char *text = lua_tolstring(L, -1, &n);
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%.*s", (int)(n > 512 ? 512 : n), text ? text : "failed");
    }
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "error in an error";
    if (vm->expired) {
        vm->end = PB_END_BUDGET;
        vm->stopped++;
        return pb_fail(err, PBAY_DEADLINE_EXCEEDED, "%.700s", text);
    }
    if (rc == LUA_ERRMEM || (vm->hit_cap && strstr(text, "not enough memory"))) {
        vm->end = PB_END_MEMORY;
        vm->stopped++;
        return pb_fail(err, PBAY_RESOURCE_EXHAUSTED,
                       "a script needs more than the %zu KiB a Lua state may hold", vm->o.memory_cap >> 10);
    }
    vm->end = PB_END_RAISED;
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%.700s", text);
}

int pb_vm_try(struct pb_vm *vm, lua_CFunction fn, void *arg, struct pb_err *err)
{
    lua_State *L = vm->L;
    vm->end = PB_END_OK;
    lua_settop(L, 0);
    lua_pushcfunction(L, message);
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, arg);
    int rc = lua_pcall(L, 1, 0, 1);
    int out = rc == LUA_OK ? 0 : fill_error(vm, rc, err);
    lua_settop(L, 0);
    vm->loading = false;
    return out;
}

void pb_vm_leave(struct pb_vm *vm)
{
    if (!vm->o.instructions) pb_watch_stop(&vm->watch);
    if (vm->expired || vm->o.instructions) lua_sethook(vm->L, NULL, 0, 0);
    vm->running = false;
    vm->ctx = NULL;
    pb_buf_reset(&vm->scratch, 64 << 10);
    if (vm->hit_cap) {
        lua_gc(vm->L, LUA_GCCOLLECT);
        vm->broken = vm->used > vm->o.memory_cap / 2;
    }
}

int pb_vm_call(struct pb_vm *vm, struct pb_script_ctx *ctx, lua_CFunction fn, void *arg, struct pb_err *err)
{
    if (pb_vm_enter(vm, ctx, err) != 0) return -1;
    int rc = pb_vm_try(vm, fn, arg, err);
    pb_vm_leave(vm);
    return rc;
}
