/* SPDX-License-Identifier: MIT */
/*
 * Fitting the model by stochastic gradient descent, and how good it is: k folds, RMSE and MAE.
 *
 * One pass visits every rating once, grouped by user. Everything is decided by the ratings, the parameters
 * and the seed, not by the number of threads; only the last bits differ between kinds of processors.
 */
#pragma once

#include "model.h"
#include "ratings.h"

/* What a data scientist may set; the defaults are those of the SVD algorithm of the Surprise library. */
struct rec_params {
    uint32_t n_factors;                /* 100 */
    uint32_t n_epochs;                 /* 20 */
    uint32_t folds;                    /* 5; 0: no evaluation */
    uint32_t top_n;                    /* 10 */
    uint64_t seed;                     /* 0 */
    float init_std_dev;                /* 0.1, of the factors before the first pass */
    float rating_min, rating_max;      /* 1, 5 */
    struct rec_rates rates;            /* 0.005 and 0.02 */
    const struct rec_kernels *kernels; /* NULL: those that suit this processor */
};

extern const struct rec_params rec_params_default;

enum { REC_FOLDS_MAX = 50 };

struct rec_score {
    double rmse, mae, fit_s, test_s;
};

/* Factors as they are before the first pass; every fit of these ratings with this seed begins with them. */
void rec_start(struct rec_model *m, const struct rec_ratings *r, const struct rec_params *params);
/*
 * Fit all ratings; fold (NULL: none) and skip leave those of one fold out. start (NULL: made here) is what
 * rec_start gave. m gets parameters and the scale, not the ids.
 */
void rec_fit(struct rec_model *m, const struct rec_ratings *r, const struct rec_params *params,
             const struct rec_model *start, const uint8_t *fold, uint8_t skip);
/*
 * A fold for each rating: a random permutation (Fisher and Yates, from the end, by `seed`) of the grouped
 * ratings, cut into `folds` runs, the first n % folds of which are one longer. Returns owned, n bytes.
 */
uint8_t *rec_folds(uint64_t n, uint32_t folds, uint64_t seed);
/* RMSE and MAE of clipped estimates over one fold. */
void rec_evaluate(const struct rec_model *m, const struct rec_ratings *r, const uint8_t *fold, uint8_t which,
                  struct rec_score *score);
/*
 * Each fold in its turn the test, side by side as far as there are processors and the models take at most 24
 * bytes a rating more; and the model of all ratings into m. scores has room for params->folds.
 */
void rec_cross_validate(struct rec_model *m, const struct rec_ratings *r, const struct rec_params *params,
                        struct rec_score *scores);
