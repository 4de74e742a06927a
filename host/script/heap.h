/* SPDX-License-Identifier: MIT */
/*
 * Memory of one Lua state. Rows make short strings by the million and throw them away: small sizes come from free lists
 * of this state alone, which costs a tenth of malloc; large ones are malloc'ed. Threads: the state's.
 *
 * Under AddressSanitizer everything is malloc'ed, so that it sees use after free.
 */
#pragma once

#include <stddef.h>

enum { PB_HEAP_SMALL = 256, PB_HEAP_STEP = 16 };

struct pb_heap {
    void *free[PB_HEAP_SMALL / PB_HEAP_STEP]; /* by size class: cells, linked */
    struct pb_heap_block *blocks;             /* cells are carved from the first */
    char *at, *end;
};

/* As lua_Alloc wants it: sizes are exact, osize is 0 for a new block. NULL: there is no memory. */
void *pb_heap_realloc(struct pb_heap *h, void *p, size_t osize, size_t nsize);
/* The state has been closed. */
void pb_heap_free(struct pb_heap *h);
