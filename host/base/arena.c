/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"

/* With its head the first block is one that malloc keeps at hand. */
enum { FIRST = 1008, KEEP = 64 * 1024 };

struct pb_arena_block {
    struct pb_arena_block *next;
    size_t size;
    _Alignas(16) char mem[];
};

/* First blocks that are free, at hand for the next arenas of this thread: a turn of the loop may open
 * hundreds. A sanitizer must see what is used after its arena's end, so there the list stays empty. */
#if defined(__SANITIZE_ADDRESS__)
#define POOLED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOLED 0
#endif
#endif
#ifndef POOLED
#define POOLED 512
#endif
static _Thread_local struct {
    struct pb_arena_block *first;
    int n;
} pool;

static struct pb_arena_block *block_new(size_t size)
{
    struct pb_arena_block *b = pool.first;
    if (size == FIRST && b) {
        pool.first = b->next;
        pool.n--;
        return b;
    }
    b = pb_alloc(sizeof *b + size);
    b->size = size;
    return b;
}

static void block_free(struct pb_arena_block *b)
{
    if (b->size != FIRST || pool.n >= POOLED) {
        pb_free(b);
        return;
    }
    b->next = pool.first;
    pool.first = b;
    pool.n++;
}

static void *more(struct pb_arena *a, size_t n)
{
    size_t size = a->head ? a->head->size * 2 : FIRST;
    if (size > KEEP) size = KEEP;
    if (size < n) size = n;
    struct pb_arena_block *b = block_new(size);
    b->next = a->head;
    a->head = b;
    a->at = b->mem + n;
    a->end = b->mem + size;
    return b->mem;
}

void *pb_arena_alloc(struct pb_arena *a, size_t n)
{
    PB_REQUIRE(n < SIZE_MAX / 2);
    n = (n + 15) & ~(size_t)15;
    a->total += n;
    if (PB_UNLIKELY((size_t)(a->end - a->at) < n)) return more(a, n);
    void *p = a->at;
    a->at += n;
    return p;
}

void *pb_arena_zalloc(struct pb_arena *a, size_t n)
{
    return memset(pb_arena_alloc(a, n), 0, n);
}

pbay_str pb_arena_str(struct pb_arena *a, pbay_str s)
{
    char *p = pb_arena_alloc(a, s.n + 1);
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return pb_str(p, s.n);
}

char *pb_arena_printf(struct pb_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    PB_REQUIRE(n >= 0);
    char *p = pb_arena_alloc(a, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

void pb_arena_reset(struct pb_arena *a)
{
    struct pb_arena_block *keep = NULL;
    for (struct pb_arena_block *b = a->head, *next; b; b = next) {
        next = b->next;
        if (!keep && b->size <= KEEP)
            keep = b;
        else
            block_free(b);
    }
    if (keep) keep->next = NULL;
    a->head = keep;
    a->at = keep ? keep->mem : NULL;
    a->end = keep ? keep->mem + keep->size : NULL;
    a->total = 0;
}

void pb_arena_free(struct pb_arena *a)
{
    for (struct pb_arena_block *b = a->head, *next; b; b = next) {
        next = b->next;
        block_free(b);
    }
    *a = (struct pb_arena){0};
}
