/* SPDX-License-Identifier: MIT */
/*
 * Removes what is old, in small steps and while others write: once a minute, and again soon while there is
 * more. Every process has one; a lease in the store makes one of them do it. All functions: [loop].
 */
#pragma once

#include "store/async.h"
#include "store/control.h"

struct pb_keeper;

/* owner names this process. keep is copied. Returns owned. */
struct pb_keeper *pb_keeper_new(struct pb_loop *loop, struct pb_store_async *store, pbay_str owner,
                                const struct pb_retention *keep);
/* Frees itself when its last step is back; before the store is closed. */
void pb_keeper_stop(struct pb_keeper *k, void (*stopped)(void *user), void *user);
