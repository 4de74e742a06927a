/* SPDX-License-Identifier: MIT */
/*
 * Allocations of a plugin that fail: the shared object's own references to malloc and its kin are bent to
 * functions that count, so nobody else's memory is touched and a sanitizer's allocator stays what it is.
 * Shared by patchbay-check and the mock host. Threads: [any].
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Bend the references of the shared object that holds `code` (the address of one of its functions). False:
 * it has none to bend, as when it is part of the program. Once per object. */
bool pb_alloc_watch(const void *code);
/* The n-th allocation (from 1) that it makes from now on fails; 0: none. Returns how many it made since the
 * last call. */
uint32_t pb_alloc_fail(uint32_t n);
