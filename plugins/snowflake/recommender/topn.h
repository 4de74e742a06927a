/* SPDX-License-Identifier: MIT */
/*
 * The best items for each user among those that he has not rated, by estimate before clipping (so that ties
 * at the top of the scale are none); equal ones in the order in which items first appeared.
 *
 * Users are scored in blocks on all processors: memory is some hundred KiB a thread, whatever the model.
 */
#pragma once

#include "model.h"
#include "ratings.h"

/* Borrowed until return. n items, best first; fewer than asked for when he has rated nearly all. */
typedef void (*rec_top_fn)(void *user, uint32_t who, const uint32_t *items, uint32_t n);

/*
 * top_n 1..REC_TOP_MAX. got is called from this thread, once for each user in the order of their numbers. The
 * users are worked on in runs of some thousands, whose lists wait in memory.
 */
enum { REC_TOP_MAX = 1000 };
void rec_top(const struct rec_model *m, const struct rec_ratings *r, uint32_t top_n, rec_top_fn got,
             void *user);
