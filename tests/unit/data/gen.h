/* SPDX-License-Identifier: MIT */
/* Random batches for property tests: the seed is printed, and PB_SEED in the environment repeats a run. */
#pragma once

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "data/batch.h"

static uint64_t gen_state;

static inline void gen_seed(void)
{
    const char *s = getenv("PB_SEED");
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    gen_state = s ? strtoull(s, NULL, 10) : (uint64_t)t.tv_nsec ^ (uint64_t)t.tv_sec << 20;
    printf("PB_SEED=%llu\n", (unsigned long long)gen_state);
    fflush(stdout);
}

/* splitmix64 */
static inline uint64_t gen_u64(void)
{
    uint64_t z = gen_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 .. n - 1 */
static inline uint32_t gen_below(uint32_t n)
{
    return (uint32_t)(gen_u64() % n);
}

static inline double gen_num(void)
{
    switch (gen_below(8)) {
    case 0: return 0;
    case 1: return -0.0;
    case 2: return INFINITY;
    case 3: return -INFINITY;
    case 4: return (double)gen_below(1000);
    case 5: return (double)gen_below(100000) / 100;
    case 6: return 1e308;
    default: {
        double d;
        uint64_t u = gen_u64();
        memcpy(&d, &u, 8);
        return isnan(d) ? 1.5 : d;
    }
    }
}

/* Valid UTF-8: mostly short, with quotes, controls, NUL, characters of every length, sometimes long. */
static inline pbay_str gen_text(char out[2048])
{
    static const char *const parts[] = {"a",    "Z",  "0",    " ",    "\"", "\\", ",",    "\n",
                                        "\r\n", "\t", "\x01", "\x7f", "é",  "ß",  "€",    "日",
                                        "𝄞",    "😀",  "[",    "]",    "{",  "}",  "null", "1e5"};
    uint32_t shape = gen_below(20), n = shape == 0 ? 0 : shape == 1 ? gen_below(400) : gen_below(12);
    size_t len = 0;
    bool plain = gen_below(2);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = gen_below(PB_COUNTOF(parts) + 1);
        if (plain)
            out[len++] = (char)('a' + k);
        else if (k == PB_COUNTOF(parts))
            out[len++] = 0;
        else {
            size_t m = strlen(parts[k]);
            memcpy(out + len, parts[k], m);
            len += m;
        }
    }
    return pb_str(out, len);
}

static inline void gen_cell(struct pbay_builder *b, uint32_t c, bool nulls)
{
    char text[2048];
    if (nulls && gen_below(6) == 0) {
        pb_put_null(b, c);
        return;
    }
    pbay_str s = gen_text(text);
    switch (b->cols[c].kind) {
    case PBAY_NUM: pb_put_num(b, c, gen_num()); break;
    case PBAY_STR: pb_put_text(b, c, s.p, s.n); break;
    case PBAY_DUAL: pb_put_dual(b, c, gen_num(), s.p, s.n); break;
    default: {
        static const char *const json[] = {"1",
                                           "-0.5e+10",
                                           "true",
                                           "\"x\\u00e9\"",
                                           "[1,{\"a\":null}]",
                                           "{}",
                                           "12345678901234567890123456789012345678"};
        const char *v = json[gen_below(PB_COUNTOF(json))];
        pb_put_text(b, c, v, strlen(v));
    }
    }
}

static inline void gen_rows(struct pbay_builder *b, uint32_t rows, bool nulls)
{
    for (uint32_t c = 0; c < b->n_cols; c++) {
        bool some = nulls && gen_below(3);
        for (uint32_t r = 0; r < rows; r++) gen_cell(b, c, some);
    }
    if (!b->n_cols) b->bare_rows = rows;
}

/* Columns of kinds 1 .. max_kind. */
static inline void gen_columns(struct pbay_builder *b, uint32_t n, uint32_t max_kind)
{
    char name[16];
    for (uint32_t c = 0; c < n; c++) {
        snprintf(name, sizeof name, "c%u", c);
        pb_builder_column(b, pb_str_c(name), 1 + gen_below(max_kind));
    }
}

/* A way to see a cell that compares: kind of nullness, bits of the number, text. */
static inline bool gen_same_cell(const pbay_column *x, uint32_t i, const pbay_column *y, uint32_t k)
{
    if (x->kind != y->kind || pbay_cell_null(x, i) != pbay_cell_null(y, k)) return false;
    if (pbay_cell_null(x, i)) return true;
    if (x->num && memcmp(&x->num[i], &y->num[k], 8) != 0) return false;
    return !x->off || pb_str_eq(pbay_cell_text(x, i), pbay_cell_text(y, k));
}

static inline bool gen_same(const pbay_batch *x, const pbay_batch *y)
{
    if (x->n_cols != y->n_cols || x->n_rows != y->n_rows) return false;
    for (uint32_t c = 0; c < x->n_cols; c++)
        for (uint32_t r = 0; r < x->n_rows; r++)
            if (!gen_same_cell(pbay_batch_col(x, c), r, pbay_batch_col(y, c), r)) {
                printf("row %u, column %u differ\n", r, c);
                return false;
            }
    return true;
}
