/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_FIRST = 4 * 1024, BLOCK_MOST = 64 * 1024 };

struct pb_heap_block {
    struct pb_heap_block *next;
    size_t size;
    _Alignas(16) char mem[];
};

static void *carve(struct pb_heap *h, size_t size)
{
    if ((size_t)(h->end - h->at) < size) {
        size_t room = h->blocks ? h->blocks->size * 2 : BLOCK_FIRST;
        if (room > BLOCK_MOST) room = BLOCK_MOST;
        struct pb_heap_block *b = malloc(sizeof *b + room);
        if (!b) return NULL;
        b->size = room;
        b->next = h->blocks;
        h->blocks = b;
        h->at = b->mem;
        h->end = b->mem + room;
    }
    void *p = h->at;
    h->at += size;
    return p;
}

void *pb_heap_get_slow(struct pb_heap *h, size_t n)
{
    return pb_heap_small(n) ? carve(h, (pb_heap_class(n) + 1) * PB_HEAP_STEP) : malloc(n);
}

void pb_heap_put_slow(void *p)
{
    free(p);
}

void *pb_heap_realloc(struct pb_heap *h, void *p, size_t osize, size_t nsize)
{
    if (!pb_heap_small(osize) && !pb_heap_small(nsize)) return realloc(p, nsize);
    if (pb_heap_small(osize) && pb_heap_small(nsize) && pb_heap_class(osize) == pb_heap_class(nsize))
        return p;
    void *q = pb_heap_get(h, nsize);
    if (!q) return NULL;
    memcpy(q, p, osize < nsize ? osize : nsize);
    pb_heap_put(h, p, osize);
    return q;
}

void pb_heap_free(struct pb_heap *h)
{
    for (struct pb_heap_block *b = h->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    memset(h, 0, sizeof *h);
}
