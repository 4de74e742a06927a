/* SPDX-License-Identifier: MIT */
/*
 * An endpoint's answer, whatever it is: never more or fewer cells than rows that were sent, in order.
 * First byte: rows; second: columns and kinds; then the path up to a newline; then the body.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../plugins/sagemaker/reply.h"

struct seen {
    uint32_t n_cols;
    uint64_t cells;
};

static void at(struct seen *s, uint32_t row, uint32_t col)
{
    if ((uint64_t)row * s->n_cols + col != s->cells) abort();
    s->cells++;
}

static void num(void *user, uint32_t row, uint32_t col, double v)
{
    (void)v;
    at(user, row, col);
}

static void text(void *user, uint32_t row, uint32_t col, pbay_str v)
{
    volatile char last = v.n ? v.p[v.n - 1] : 0;
    (void)last;
    at(user, row, col);
}

static void null(void *user, uint32_t row, uint32_t col)
{
    at(user, row, col);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const pbay_str NAMES[] = {{"score", 5}, {"label", 5}, {"x", 1}};
    if (n < 3) return 0;
    uint32_t kinds[3], rows = 1u + data[0] % 20, cols = 1u + data[1] % 3;
    for (uint32_t i = 0; i < 3; i++) kinds[i] = 1u + ((data[1] >> (2 + 2 * i)) & 3u);
    const char *p = (const char *)data + 2, *nl = memchr(p, '\n', n - 2);
    if (!nl) return 0;
    struct path path;
    const char *wrong;
    if (path_parse((pbay_str){p, (size_t)(nl - p)}, &path, &wrong)) memset(&path, 0, sizeof path);
    /* Of its own size, so that reading beyond it is seen. */
    size_t n_body = n - (size_t)(nl + 1 - (const char *)data);
    char *body = malloc(n_body ? n_body : 1);
    if (n_body) memcpy(body, nl + 1, n_body);
    struct seen seen = {cols, 0};
    struct reply_shape shape = {rows, cols, kinds, NAMES, &path};
    struct reply_sink sink = {&seen, num, text, null};
    int32_t code;
    char why[REPLY_WHY];
    int rc = reply_parse((pbay_str){body, n_body}, &shape, &sink, &code, why);
    if (rc == 0 && seen.cells != (uint64_t)rows * cols) abort();
    if (rc != 0 && (code == PBAY_OK || !why[0])) abort();
    free(body);
    return 0;
}
