/* SPDX-License-Identifier: MIT */
/*
 * A growing run of bytes. Owner: whoever holds the struct; zero-initialised is empty. Threads: one at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "base/mem.h"
#include "base/str.h"

struct pb_buf {
    char *p;
    size_t n;   /* bytes used */
    size_t cap; /* bytes there */
};

/* Room for n more bytes; returns where they go. Commit with b->n += written. */
char *pb_buf_room(struct pb_buf *b, size_t n);
void pb_buf_free(struct pb_buf *b);
/* Empty, memory kept; given back when it had grown beyond keep bytes. */
void pb_buf_reset(struct pb_buf *b, size_t keep);
/* Drop n bytes from the front. */
void pb_buf_drop(struct pb_buf *b, size_t n);
void pb_buf_printf(struct pb_buf *b, const char *fmt, ...) PB_PRINTF(2, 3);
/* JSON string with quotes; invalid UTF-8 becomes U+FFFD; control characters and DEL are escaped. */
void pb_buf_json(struct pb_buf *b, pbay_str s);

static inline void pb_buf_add(struct pb_buf *b, const void *p, size_t n)
{
    if (PB_UNLIKELY(b->cap - b->n < n)) pb_buf_room(b, n);
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
}

static inline void pb_buf_str(struct pb_buf *b, pbay_str s)
{
    pb_buf_add(b, s.p, s.n);
}

static inline void pb_buf_c(struct pb_buf *b, const char *s)
{
    pb_buf_add(b, s, strlen(s));
}

static inline void pb_buf_ch(struct pb_buf *b, char c)
{
    if (PB_UNLIKELY(b->cap == b->n)) pb_buf_room(b, 1);
    b->p[b->n++] = c;
}

static inline pbay_str pb_buf_view(const struct pb_buf *b)
{
    return pb_str(b->p, b->n);
}
