/* SPDX-License-Identifier: MIT */
/* nghttp2 makes about a dozen small blocks per stream, and a turn of the loop frees those of many streams
 * together, which is where malloc's own lists overflow. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/h2_priv.h"

/* nghttp2 frees without saying how much it had asked for. */
struct block {
    size_t size; /* with this */
    _Alignas(16) char mem[];
};

static struct block *block_of(void *p)
{
    return (struct block *)(void *)((char *)p - offsetof(struct block, mem));
}

static void *get(size_t n, void *user)
{
    if (n > SIZE_MAX / 2) return NULL;
    size_t size = sizeof(struct block) + n;
    struct block *b = pb_heap_get(user, size);
    if (!b) return NULL;
    b->size = size;
    return b->mem;
}

static void put(void *p, void *user)
{
    if (!p) return;
    struct block *b = block_of(p);
    pb_heap_put(user, b, b->size);
}

static void *get_zeroed(size_t n, size_t each, void *user)
{
    size_t size;
    void *p = __builtin_mul_overflow(n, each, &size) ? NULL : get(size, user);
    return p ? memset(p, 0, size) : NULL;
}

static void *resize(void *p, size_t n, void *user)
{
    if (!p) return get(n, user);
    if (n > SIZE_MAX / 2) return NULL;
    size_t size = sizeof(struct block) + n;
    struct block *b = pb_heap_realloc(user, block_of(p), block_of(p)->size, size);
    if (!b) return NULL;
    b->size = size;
    return b->mem;
}

nghttp2_mem pb__h2_mem(struct pb_heap *heap)
{
    return (nghttp2_mem){heap, get, put, get_zeroed, resize};
}
