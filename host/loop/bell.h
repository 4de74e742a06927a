/* SPDX-License-Identifier: MIT */
/*
 * A bell that several processes hear: a word in memory they share goes up, and each one's loop is called.
 *
 * The word is waited for by a thread (a futex), because a loop cannot; with a word of one process alone there
 * is no thread. Several rings may become one call.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "loop/loop.h"

struct pb_bell;

/*
 * fn(user) on the loop some time after anybody rang. word: in shared memory, borrowed until the bell is
 * closed; NULL: this process alone. Returns owned, or NULL with err. [loop]
 */
struct pb_bell *pb_bell_open(struct pb_loop *loop, _Atomic uint32_t *word, void (*fn)(void *user), void *user,
                             struct pb_err *err);
/* [any] until pb_bell_close. */
void pb_bell_ring(struct pb_bell *b);
/* Ring for others, without a bell of one's own: [any]. */
void pb_bell_ring_word(_Atomic uint32_t *word);
/* NULL is fine. [loop] */
void pb_bell_close(struct pb_bell *b);
