/* SPDX-License-Identifier: MIT */
#include "base/handle.h"

#include "base/check.h"
#include "base/mem.h"

uint64_t pb_handle_new(struct pb_handles *t, void *object)
{
    PB_REQUIRE(object);
    uint32_t i;
    if (t->free) {
        i = t->free - 1;
        t->free = t->slots[i].next_free;
    } else {
        PB_GROW(t->slots, t->cap, t->n + 1);
        i = t->n++;
        t->slots[i].generation = 0;
    }
    struct pb_handle_slot *s = &t->slots[i];
    s->object = object;
    s->generation++;
    t->live++;
    return (uint64_t)s->generation << 32 | i;
}

void pb_handle_release(struct pb_handles *t, uint64_t handle)
{
    if (!pb_handle_get(t, handle)) return;
    struct pb_handle_slot *s = &t->slots[(uint32_t)handle];
    s->object = NULL;
    s->generation++;
    s->next_free = t->free;
    t->free = (uint32_t)handle + 1;
    t->live--;
}

void pb_handles_free(struct pb_handles *t)
{
    pb_free(t->slots);
    *t = (struct pb_handles){0};
}
