/* SPDX-License-Identifier: MIT */
/* Tasks that do not depend on each other, on the processors there are. Results never depend on how many. */
#pragma once

#include <stdint.h>

/* Processors that this process may use; RECOMMENDER_THREADS (1..256) says otherwise. */
uint32_t rec_processors(void);
/* fn(user, task, thread) for task 0 .. n - 1, on at most `threads` threads (0: rec_processors); returns when
 * all are done. The caller's thread takes part. */
void rec_parallel(uint32_t n, uint32_t threads, void (*fn)(void *user, uint32_t task, uint32_t thread),
                  void *user);
