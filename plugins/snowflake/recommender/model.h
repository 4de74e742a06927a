/* SPDX-License-Identifier: MIT */
/*
 * The model: biased matrix factorisation. An estimate is
 *
 *     mean + user bias + item bias + item factors . user factors
 *
 * where an unknown user or item adds nothing, clipped to the scale of the ratings (Koren, Bell, Volinsky,
 * "Matrix factorization techniques for recommender systems", IEEE Computer 42(8), 2009).
 *
 * Threads: immutable after it was fitted or loaded.
 */
#pragma once

#include <stdint.h>

#include "kernels.h"
#include "ratings.h"

struct rec_model {
    struct rec_ids users, items;
    uint32_t n_factors, stride; /* stride: n_factors rounded up to REC_PAD */
    float mean, min, max;
    float *bu, *bi; /* biases */
    float *p, *q;   /* rows of factors, stride floats each, aligned to 64 bytes */
    const struct rec_kernels *kernels;
};

/* n zeros aligned to 64 bytes, never NULL, as pb_alloc; owned: free(). */
float *rec_floats(uint64_t n);
/* Room for parameters, ids not set. n_factors 1..4096. */
void rec_model_init(struct rec_model *m, uint32_t n_users, uint32_t n_items, uint32_t n_factors);
void rec_model_free(struct rec_model *m);
/* Bytes of a model's parameters. */
uint64_t rec_model_bytes(uint32_t n_users, uint32_t n_items, uint32_t n_factors);

/* user and item by index, REC_NO_ID: unknown. Not clipped. */
float rec_estimate_raw(const struct rec_model *m, uint32_t user, uint32_t item);
/* Clipped to the scale. */
float rec_estimate(const struct rec_model *m, uint32_t user, uint32_t item);

/*
 * The file: "PBREC1", little endian, with sizes and a CRC-32, so that a file
 * that was cut off or changed is refused. save writes beside it and renames. Errors name the file.
 */
int rec_model_save(const struct rec_model *m, const char *path, struct pb_err *err);
int rec_model_load(struct rec_model *m, const char *path, struct pb_err *err);
