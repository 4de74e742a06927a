/* SPDX-License-Identifier: MIT */
/*
 * Generation-checked numbers for objects that outsiders hold: a stale number is noticed, never followed.
 *
 * A handle is slot index (low 32 bits) and generation (high 32 bits, odd while alive). 0 is never a handle.
 * Owner: whoever holds the struct; zero-initialised is empty. Threads: one at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct pb_handle_slot {
    void *object;
    uint32_t generation;
    uint32_t next_free; /* index + 1 */
};

struct pb_handles {
    struct pb_handle_slot *slots;
    uint32_t n, cap;
    uint32_t free; /* index + 1 of the first free slot */
    uint32_t live;
};

/* object must not be NULL. */
uint64_t pb_handle_new(struct pb_handles *t, void *object);
/* The handle is stale from now on. */
void pb_handle_release(struct pb_handles *t, uint64_t handle);
void pb_handles_free(struct pb_handles *t);

/* The object, or NULL when the handle is stale or was never given. */
static inline void *pb_handle_get(const struct pb_handles *t, uint64_t handle)
{
    uint32_t i = (uint32_t)handle;
    if (i >= t->n || t->slots[i].generation != (uint32_t)(handle >> 32)) return NULL;
    return t->slots[i].object;
}
