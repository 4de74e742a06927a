/* SPDX-License-Identifier: MIT */
/*
 * What the recommender costs, one measurement a run, as a line of JSON:
 *
 *     recommender_bench folds best|scalar|bare USERS ITEMS RATINGS    seconds of five folds (bare: of their
 * passes) recommender_bench top USERS ITEMS                               seconds, and bytes beyond the model
 *     recommender_bench memory USERS ITEMS RATINGS                    peak bytes a rating beyond one model
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/attr.h"
#include "base/mem.h"
#include "fit.h"
#include "recommender_bare.h"
#include "rng.h"
#include "topn.h"

extern const struct rec_kernels rec_kernels_scalar;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A line of /proc/self/status, in bytes. */
static uint64_t status(const char *name)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name))) sscanf(line + strlen(name), ": %llu", &kib);
    if (f) fclose(f);
    return kib * 1024;
}

/* What is there now; the peak begins here. */
static uint64_t begin_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "we");
    if (f) {
        fputs("5", f);
        fclose(f);
    }
    return status("VmRSS");
}

static uint64_t peak(void)
{
    return status("VmHWM");
}

/* Each user's items spread over all, none twice; what they are rated does not matter for speed. */
static void make(struct rec_ratings *r, uint32_t users, uint32_t items, uint64_t n)
{
    struct rec_rng g = {7};
    struct pb_err err;
    r->min = 1;
    r->max = 5;
    uint64_t each = n / users, step = items / (each + 1);
    if (!step) step = 1;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)(i % users);
        uint64_t k = i / users, item = (k * step + rec_rng_below(&g, step)) % items;
        if (rec_ratings_add(r, u, (int64_t)item, 1 + 4 * rec_rng_unit(&g), "bench", &err)) abort();
    }
    if (rec_ratings_group(r, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        exit(2);
    }
}

static void folds(const char *how, uint32_t users, uint32_t items, uint64_t n)
{
    struct rec_ratings r = {0};
    struct rec_params params = rec_params_default;
    struct rec_model m;
    struct rec_score score;
    make(&r, users, items, n);
    if (!strcmp(how, "scalar")) params.kernels = &rec_kernels_scalar;
    uint8_t *fold = rec_folds(r.n, params.folds, 0);
    double begun = now();
    if (!strcmp(how, "bare")) {
        rec_model_init(&m, r.users.n, r.items.n, params.n_factors);
        begun = now();
        /* Four of five ratings in each of five folds are four passes over all. */
        for (uint32_t pass = 0; pass < params.n_epochs * (params.folds - 1); pass++)
            bare_pass(r.list, r.first, r.users.n, m.p, m.q, params.n_factors, m.stride);
        rec_model_free(&m);
    } else {
        struct rec_model start;
        rec_start(&start, &r, &params);
        for (uint8_t f = 0; f < params.folds; f++) {
            rec_fit(&m, &r, &params, &start, fold, f);
            rec_evaluate(&m, &r, fold, f, &score);
            rec_model_free(&m);
        }
        rec_model_free(&start);
    }
    printf("{\"seconds\": %.6f, \"kernels\": \"%s\"}\n", now() - begun,
           params.kernels ? params.kernels->name : rec_kernels()->name);
    pb_free(fold);
    rec_ratings_free(&r);
}

static void count(void *user, uint32_t who, const uint32_t *items, uint32_t n)
{
    (void)who, (void)items;
    *(uint64_t *)user += n;
}

static void top(uint32_t users, uint32_t items)
{
    struct rec_ratings r = {0};
    struct rec_params params = rec_params_default;
    struct rec_model m;
    uint64_t told = 0;
    make(&r, users, items, (uint64_t)users * 20);
    params.n_epochs = 1;
    rec_fit(&m, &r, &params, NULL, NULL, 0);
    m.users = r.users;
    m.items = r.items;
    uint64_t before = begin_peak();
    double begun = now();
    rec_top(&m, &r, 10, count, &told);
    printf("{\"seconds\": %.3f, \"beyond_mib\": %.2f, \"told\": %llu}\n", now() - begun,
           (double)(peak() - before) / (1 << 20), (unsigned long long)told);
}

static void memory(uint32_t users, uint32_t items, uint64_t n)
{
    struct rec_ratings r = {0};
    struct rec_params params = rec_params_default;
    struct rec_score scores[REC_FOLDS_MAX];
    struct rec_model m;
    uint64_t before = begin_peak();
    params.n_epochs = 1;
    make(&r, users, items, n);
    rec_cross_validate(&m, &r, &params, scores);
    double beyond =
        (double)(peak() - before) - (double)rec_model_bytes(r.users.n, r.items.n, params.n_factors);
    printf("{\"bytes_a_rating\": %.2f, \"peak_mib\": %.1f}\n", beyond / (double)n,
           (double)peak() / (1 << 20));
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "folds") && argc == 6)
        folds(argv[2], (uint32_t)atol(argv[3]), (uint32_t)atol(argv[4]), (uint64_t)atol(argv[5]));
    else if (!strcmp(what, "top") && argc == 4)
        top((uint32_t)atol(argv[2]), (uint32_t)atol(argv[3]));
    else if (!strcmp(what, "memory") && argc == 5)
        memory((uint32_t)atol(argv[2]), (uint32_t)atol(argv[3]), (uint64_t)atol(argv[4]));
    else {
        fputs("usage: recommender_bench folds best|scalar|bare USERS ITEMS RATINGS | top USERS ITEMS | "
              "memory USERS ITEMS "
              "RATINGS\n",
              stderr);
        return 2;
    }
    return 0;
}
