/* SPDX-License-Identifier: MIT */
/* A growing text. Zero-initialised is empty; freed with free(p). */
#pragma once

#include <stdlib.h>
#include <string.h>

struct text {
    char *p;
    size_t n, cap;
};

static inline void text_add(struct text *t, const char *p, size_t n)
{
    if (t->cap - t->n < n) {
        size_t cap = t->cap ? t->cap : 256;
        while (cap - t->n < n) cap *= 2;
        char *fresh = (char *)realloc(t->p, cap);
        if (!fresh) abort();
        t->p = fresh;
        t->cap = cap;
    }
    if (n) memcpy(t->p + t->n, p, n);
    t->n += n;
}
