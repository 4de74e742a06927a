/* SPDX-License-Identifier: MIT */
/*
 * Memory of one owner that makes and drops small blocks by the million, such as a Lua state or an HTTP/2
 * session: small sizes come from free lists of this owner alone, which costs a fraction of malloc, most of
 * all when many are freed together; large ones are malloc'ed. What was carved is given back when the owner
 * ends. Threads: the owner's.
 *
 * Under AddressSanitizer everything is malloc'ed, so that it sees use after free.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

enum { PB_HEAP_SMALL = 512, PB_HEAP_STEP = 16 };

struct pb_heap {
    void **free[PB_HEAP_SMALL / PB_HEAP_STEP]; /* by size class: cells, each beginning with the next */
    struct pb_heap_block *blocks;              /* cells are carved from the first */
    char *at, *end;
};

#if defined(__SANITIZE_ADDRESS__)
#define PB_HEAP_POOLED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PB_HEAP_POOLED 0
#endif
#endif
#ifndef PB_HEAP_POOLED
#define PB_HEAP_POOLED 1
#endif

/* When the free list has none. NULL: there is no memory. */
void *pb_heap_get_slow(struct pb_heap *h, size_t n);
void pb_heap_put_slow(void *p);

static inline bool pb_heap_small(size_t n)
{
    return PB_HEAP_POOLED && n - 1 < PB_HEAP_SMALL;
}

static inline size_t pb_heap_class(size_t n)
{
    return (n - 1) / PB_HEAP_STEP;
}

/* n bytes, n > 0. NULL: there is no memory. */
static inline void *pb_heap_get(struct pb_heap *h, size_t n)
{
    void **cell = pb_heap_small(n) ? h->free[pb_heap_class(n)] : NULL;
    if (PB_UNLIKELY(!cell)) return pb_heap_get_slow(h, n);
    h->free[pb_heap_class(n)] = *cell;
    return cell;
}

/* n is the size it was asked for with. */
static inline void pb_heap_put(struct pb_heap *h, void *p, size_t n)
{
    if (!pb_heap_small(n)) {
        pb_heap_put_slow(p);
        return;
    }
    void **cell = p;
    *cell = h->free[pb_heap_class(n)];
    h->free[pb_heap_class(n)] = cell;
}

/* p moves, its bytes with it. NULL: there is no memory, p stays. Both sizes > 0. */
void *pb_heap_realloc(struct pb_heap *h, void *p, size_t osize, size_t nsize);
/* The owner has freed all its large blocks; small ones end here. */
void pb_heap_free(struct pb_heap *h);
