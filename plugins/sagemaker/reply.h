/* SPDX-License-Identifier: MIT */
/*
 * What an endpoint answered, taken apart into one answer per row that was sent. Sans I/O.
 *
 * Containers answer in many shapes: CSV lines, all scores on one CSV line, {"predictions": [...]}, {"scores":
 * [...]}, bare arrays, arrays of arrays, arrays of objects, JSON lines. The shape is found by looking at the
 * bytes, because content types are often wrong. Whatever the shape, there is exactly one answer per row or
 * the whole reply is refused: predictions never shift to another row.
 */
#pragma once

#include <patchbay/types.h>

#include "path.h"

/* What the function wants. */
struct reply_shape {
    uint32_t n_rows;
    uint32_t n_cols;         /* at least 1 */
    const uint32_t *kinds;   /* PBAY_NUM ... */
    const pbay_str *names;   /* for rows that are objects */
    const struct path *path; /* NULL or without steps: find it */
};

/* Where cells go: row by row, each row's columns in order. Texts are valid UTF-8 and borrowed until return.
 */
struct reply_sink {
    void *user;
    void (*num)(void *user, uint32_t row, uint32_t col, double v);
    void (*text)(void *user, uint32_t row, uint32_t col, pbay_str v);
    void (*null)(void *user, uint32_t row, uint32_t col);
};

enum { REPLY_WHY = 512 };

/* 0; or -1 with a sentence in why (cells given so far are void). PBAY_DATA_LOSS in *code when rows are
 * missing. */
int reply_parse(pbay_str body, const struct reply_shape *shape, const struct reply_sink *sink, int32_t *code,
                char why[REPLY_WHY]);
