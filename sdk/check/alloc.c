/* SPDX-License-Identifier: MIT */
/*
 * Allocations of the plugin, told from those of everybody else by who called: the program's malloc stands in
 * front of the C library's, for libraries too as it is exported. Not in sanitized builds, which have an
 * allocator of their own.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "check.h"

static const char *code_from, *code_to;
static uint32_t made, fail_at;

void kit_alloc_watch(const void *from, const void *to)
{
    code_from = from;
    code_to = to;
}

uint32_t kit_fail_allocation(uint32_t n)
{
    uint32_t was = made;
    made = 0;
    fail_at = n;
    return was;
}

#ifdef __SANITIZE_ADDRESS__
bool kit_can_fail(void)
{
    return false;
}
#else
bool kit_can_fail(void)
{
    return true;
}

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static bool refused(const void *caller)
{
    if ((const char *)caller < code_from || (const char *)caller >= code_to) return false;
    if (++made != fail_at) return false;
    errno = ENOMEM;
    return true;
}

PBAY_EXPORT void *malloc(size_t n)
{
    return refused(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

PBAY_EXPORT void *calloc(size_t n, size_t size)
{
    return refused(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

PBAY_EXPORT void *realloc(void *p, size_t n)
{
    return refused(__builtin_return_address(0)) ? NULL : __libc_realloc(p, n);
}
#endif
