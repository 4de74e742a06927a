/* SPDX-License-Identifier: MIT */
#include "script/heap.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 * 1024 };

struct pb_heap_block {
    struct pb_heap_block *next;
    _Alignas(16) char mem[];
};

struct cell {
    struct cell *next;
};

#if defined(__SANITIZE_ADDRESS__)
static const bool pooled = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
static const bool pooled = false;
#else
static const bool pooled = true;
#endif
#else
static const bool pooled = true;
#endif

static size_t class_of(size_t n)
{
    return (n - 1) / PB_HEAP_STEP;
}

static bool small(size_t n)
{
    return pooled && n && n <= PB_HEAP_SMALL;
}

static void *carve(struct pb_heap *h, size_t size)
{
    if ((size_t)(h->end - h->at) < size) {
        struct pb_heap_block *b = malloc(sizeof *b + BLOCK);
        if (!b) return NULL;
        b->next = h->blocks;
        h->blocks = b;
        h->at = b->mem;
        h->end = b->mem + BLOCK;
    }
    void *p = h->at;
    h->at += size;
    return p;
}

static void *get(struct pb_heap *h, size_t n)
{
    if (!small(n)) return malloc(n);
    size_t k = class_of(n);
    struct cell *c = h->free[k];
    if (!c) return carve(h, (k + 1) * PB_HEAP_STEP);
    h->free[k] = c->next;
    return c;
}

static void put(struct pb_heap *h, void *p, size_t n)
{
    if (!small(n)) {
        free(p);
        return;
    }
    struct cell *c = p;
    size_t k = class_of(n);
    c->next = h->free[k];
    h->free[k] = c;
}

void *pb_heap_realloc(struct pb_heap *h, void *p, size_t osize, size_t nsize)
{
    if (!p) return get(h, nsize);
    if (!nsize) {
        put(h, p, osize);
        return NULL;
    }
    if (!small(osize) && !small(nsize)) return realloc(p, nsize);
    if (small(osize) && small(nsize) && class_of(osize) == class_of(nsize)) return p;
    void *q = get(h, nsize);
    if (!q) return NULL;
    memcpy(q, p, osize < nsize ? osize : nsize);
    put(h, p, osize);
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
