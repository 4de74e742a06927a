/* SPDX-License-Identifier: MIT */
/*
 * Qlik's numbers for functions. The store gives them, once and for ever; STATE/function-ids.json is a copy
 * that every start keeps up to date, because Qlik must reach the same functions by the same numbers while the
 * store is away, and after it had to be made anew. Threads: the loop.
 */
#pragma once

#include "app/generation.h"

struct pb_durable;
struct pb_function_ids;
struct pb_loop;

/*
 * An id for every function that is declared: the operator's, else the copy's, else the store's next. Without
 * a store (env.store NULL) functions that the copy does not know have -1: they can be called by name alone.
 * state_dir NULL: there is no copy.
 */
int pb_assign_ids(struct pb_generation *g, const char *state_dir, struct pb_err *err);

/*
 * When the store is there again: what is missing is given, what the copy knew is written down.
 * changed(user) when a function has an id that it had not. One at a time.
 */
struct pb_function_ids *pb_function_ids_new(struct pb_generation *g, struct pb_durable *durable,
                                            const char *state_dir, void (*changed)(void *user), void *user);
void pb_function_ids_again(struct pb_function_ids *f);
/* Before its generation and its durable: turns the loop until the store, which reads g, has answered. NULL is
 * fine. */
void pb_function_ids_free(struct pb_function_ids *f, struct pb_loop *loop);
