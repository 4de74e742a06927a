/* SPDX-License-Identifier: MIT */
/*
 * Memory that is there or the process ends.
 *
 * A worker that cannot have a few bytes cannot answer anything either; its supervisor starts another. Sizes
 * that a caller from outside chooses are bounded before they come here. Threads: any.
 */
#pragma once

#include <stddef.h>

#include "base/attr.h"

/* Never NULL. Returns owned: free with pb_free. */
void *pb_alloc(size_t n) __attribute__((malloc, returns_nonnull));
void *pb_zalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *pb_realloc(void *p, size_t n) __attribute__((returns_nonnull));
/* n * size with the overflow checked. */
void *pb_array(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *pb_array_grow(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *pb_strdup(const char *s) __attribute__((malloc, returns_nonnull));
/* n bytes of s and a NUL. */
char *pb_strndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
/* printf into fresh memory. Returns owned. */
char *pb_sprintf(const char *fmt, ...) PB_PRINTF(1, 2) __attribute__((malloc, returns_nonnull));
void pb_free(void *p);

void pb_auto_free_(void *pp);

/* Make room for at least `need` items in a growing array: `p` and `cap` are updated, capacity doubles. */
#define PB_GROW(p, cap, need)                                                                                \
    do {                                                                                                     \
        if ((need) > (cap)) {                                                                                \
            size_t pb_n_ = (cap) ? (size_t)(cap)*2 : 8;                                                      \
            if (pb_n_ < (size_t)(need)) pb_n_ = (size_t)(need);                                              \
            (p) = pb_array_grow((p), pb_n_, sizeof *(p));                                                    \
            (cap) = (__typeof__(cap))pb_n_;                                                                  \
        }                                                                                                    \
    } while (0)
