/* SPDX-License-Identifier: MIT */
/*
 * Memory for one call or one configuration: many allocations, one free. Nothing in it is freed alone.
 * Owner: whoever holds the struct; zero-initialised is empty. Threads: one at a time.
 */
#pragma once

#include <stddef.h>

#include "base/attr.h"
#include "base/str.h"

struct pb_arena_block;

struct pb_arena {
    struct pb_arena_block *head;
    char *at, *end;
    size_t total; /* bytes handed out since the last reset */
};

/* 16-byte aligned, not zeroed. Never NULL; dies with the arena. */
void *pb_arena_alloc(struct pb_arena *a, size_t n) __attribute__((returns_nonnull));
void *pb_arena_zalloc(struct pb_arena *a, size_t n) __attribute__((returns_nonnull));
/* A copy, NUL-terminated too. */
pbay_str pb_arena_str(struct pb_arena *a, pbay_str s);
char *pb_arena_printf(struct pb_arena *a, const char *fmt, ...) PB_PRINTF(2, 3);
/* Forget everything; one block is kept for the next use when it is at most 64 KiB. */
void pb_arena_reset(struct pb_arena *a);
void pb_arena_free(struct pb_arena *a);
