/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static void *must(void *p, size_t n)
{
    if (PB_UNLIKELY(!p && n)) pb_fatal("out of memory: %zu bytes", n);
    return p;
}

void *pb_alloc(size_t n)
{
    return must(malloc(n ? n : 1), n ? n : 1);
}

/* glibc's calloc (2.36) takes nothing from the thread's own cache, which malloc does for up to this size. */
enum { SMALL = 1032 };

void *pb_zalloc(size_t n)
{
    if (n && n <= SMALL) return memset(pb_alloc(n), 0, n);
    return must(calloc(1, n ? n : 1), n ? n : 1);
}

void *pb_realloc(void *p, size_t n)
{
    return must(realloc(p, n ? n : 1), n ? n : 1);
}

static size_t product(size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total)) pb_fatal("out of memory: %zu items of %zu bytes", n, size);
    return total;
}

void *pb_array(size_t n, size_t size)
{
    return pb_alloc(product(n, size));
}

void *pb_array_grow(void *p, size_t n, size_t size)
{
    return pb_realloc(p, product(n, size));
}

char *pb_strndup(const char *s, size_t n)
{
    char *d = pb_alloc(n + 1);
    if (n) memcpy(d, s, n);
    d[n] = 0;
    return d;
}

char *pb_strdup(const char *s)
{
    return pb_strndup(s, strlen(s));
}

char *pb_sprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    PB_REQUIRE(n >= 0);
    char *s = pb_alloc((size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return s;
}

void pb_free(void *p)
{
    free(p);
}

void pb_auto_free_(void *pp)
{
    free(*(void **)pp);
}
