/* SPDX-License-Identifier: MIT */
#include "fit.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "parallel.h"
#include "rng.h"

const struct rec_params rec_params_default = {
    .n_factors = 100,
    .n_epochs = 20,
    .folds = 5,
    .top_n = 10,
    .init_std_dev = 0.1f,
    .rating_min = 1,
    .rating_max = 5,
    .rates = {0.005f, 0.005f, 0.005f, 0.005f, 0.02f, 0.02f, 0.02f, 0.02f},
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* All users' factors, then all items'; an odd one at the end has its partner dropped. */
void rec_start(struct rec_model *m, const struct rec_ratings *r, const struct rec_params *params)
{
    struct rec_rng g = {params->seed};
    rec_model_init(m, r->users.n, r->items.n, params->n_factors);
    double two[2];
    uint64_t n = 0;
    for (uint64_t row = 0; row < (uint64_t)r->users.n + r->items.n; row++) {
        float *to = row < r->users.n ? m->p + row * m->stride : m->q + (row - r->users.n) * m->stride;
        for (uint32_t k = 0; k < m->n_factors; k++, n++) {
            if (n % 2 == 0) rec_rng_normals(&g, two);
            to[k] = (float)two[n % 2] * params->init_std_dev;
        }
    }
}

static float mean_of(const struct rec_ratings *r, const uint8_t *fold, uint8_t skip)
{
    double total = 0;
    uint64_t n = 0;
    for (uint64_t i = 0; i < r->n; i++) {
        if (fold && fold[i] == skip) continue;
        total += (double)r->list[i].value;
        n++;
    }
    return n ? (float)(total / (double)n) : (r->min + r->max) / 2;
}

void rec_fit(struct rec_model *m, const struct rec_ratings *r, const struct rec_params *params,
             const struct rec_model *start, const uint8_t *fold, uint8_t skip)
{
    const struct rec_kernels *k = params->kernels ? params->kernels : rec_kernels();
    if (start) {
        rec_model_init(m, r->users.n, r->items.n, params->n_factors);
        memcpy(m->p, start->p, (size_t)r->users.n * m->stride * sizeof *m->p);
        memcpy(m->q, start->q, (size_t)r->items.n * m->stride * sizeof *m->q);
    } else
        rec_start(m, r, params);
    m->min = r->min;
    m->max = r->max;
    m->mean = mean_of(r, fold, skip);
    for (uint32_t epoch = 0; epoch < params->n_epochs; epoch++)
        for (uint32_t u = 0; u < r->users.n; u++)
            k->fit_user(r->list + r->first[u], fold ? fold + r->first[u] : NULL, skip,
                        r->first[u + 1] - r->first[u], m->mean, &m->bu[u], m->p + (size_t)u * m->stride,
                        m->bi, m->q, m->stride, &params->rates);
}

uint8_t *rec_folds(uint64_t n, uint32_t folds, uint64_t seed)
{
    struct rec_rng g = {seed ^ UINT64_C(0x666f6c6473)}; /* not the numbers that the factors begin with */
    uint8_t *fold = pb_alloc(n ? n : 1);
    uint64_t at = 0;
    for (uint32_t f = 0; f < folds; f++)
        for (uint64_t size = n / folds + (f < n % folds); size; size--) fold[at++] = (uint8_t)f;
    /* Shuffling the labels is the same as cutting a shuffled list, and takes one byte each. */
    for (uint64_t i = n; i > 1; i--) {
        uint64_t j = rec_rng_below(&g, i);
        uint8_t t = fold[i - 1];
        fold[i - 1] = fold[j];
        fold[j] = t;
    }
    return fold;
}

/* A user or item that the other folds do not have is unknown; its parameters are as they began. */
static void seen(const struct rec_ratings *r, const uint8_t *fold, uint8_t which, uint8_t *users,
                 uint8_t *items)
{
    for (uint32_t u = 0; u < r->users.n; u++)
        for (uint64_t i = r->first[u]; i < r->first[u + 1]; i++)
            if (fold[i] != which) users[u] = items[r->list[i].item] = 1;
}

void rec_evaluate(const struct rec_model *m, const struct rec_ratings *r, const uint8_t *fold, uint8_t which,
                  struct rec_score *score)
{
    uint8_t *users = pb_zalloc(r->users.n + 1), *items = pb_zalloc(r->items.n + 1);
    double square = 0, absolute = 0;
    uint64_t n = 0;
    seen(r, fold, which, users, items);
    for (uint32_t u = 0; u < r->users.n; u++) {
        for (uint64_t i = r->first[u]; i < r->first[u + 1]; i++) {
            if (fold[i] != which) continue;
            uint32_t item = r->list[i].item;
            double e = (double)r->list[i].value -
                       (double)rec_estimate(m, users[u] ? u : REC_NO_ID, items[item] ? item : REC_NO_ID);
            square += e * e;
            absolute += fabs(e);
            n++;
        }
    }
    score->rmse = n ? sqrt(square / (double)n) : 0;
    score->mae = n ? absolute / (double)n : 0;
    pb_free(users);
    pb_free(items);
}

struct validation {
    struct rec_model *whole;
    const struct rec_model *start;
    const struct rec_ratings *r;
    const struct rec_params *params;
    const uint8_t *fold;
    struct rec_score *scores;
};

/* Task 0 is the model of all ratings, which takes longest. */
static void validate(void *user, uint32_t task, uint32_t thread)
{
    struct validation *v = user;
    struct rec_model m;
    (void)thread;
    if (task == 0) {
        rec_fit(v->whole, v->r, v->params, v->start, NULL, 0);
        return;
    }
    struct rec_score *score = &v->scores[task - 1];
    double begun = seconds();
    rec_fit(&m, v->r, v->params, v->start, v->fold, (uint8_t)(task - 1));
    double fitted = seconds();
    rec_evaluate(&m, v->r, v->fold, (uint8_t)(task - 1), score);
    score->fit_s = fitted - begun;
    score->test_s = seconds() - fitted;
    rec_model_free(&m);
}

void rec_cross_validate(struct rec_model *m, const struct rec_ratings *r, const struct rec_params *params,
                        struct rec_score *scores)
{
    uint8_t *fold = rec_folds(r->n, params->folds, params->seed);
    uint64_t bytes = rec_model_bytes(r->users.n, r->items.n, params->n_factors);
    bool small = bytes < 32 << 20;
    struct rec_model start = {0};
    if (small) rec_start(&start, r, params);
    struct validation v = {m, small ? &start : NULL, r, params, fold, scores};
    uint32_t threads = rec_processors();
    uint64_t models = 1 + 24 * r->n / bytes;
    if (!small && models < threads) threads = (uint32_t)models;
    rec_parallel(params->folds + 1, threads, validate, &v);
    rec_model_free(&start);
    pb_free(fold);
}
