/* SPDX-License-Identifier: MIT */
/* Told when a descriptor can be read, or written: for sockets that are neither a byte stream nor a listener.
 * Threads: [loop]. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct pb_loop;
struct pb_watch;

/*
 * fn(user) whenever fd can be read, its peer has gone, or it is in error; again in each turn until that has
 * changed. fd stays the caller's, who closes the watch first. It is made non-blocking. Returns owned, or NULL
 * with err.
 */
struct pb_watch *pb_watch_open(struct pb_loop *loop, int fd, void (*fn)(void *user), void *user,
                               struct pb_err *err);
/* Look away for a while, and back. */
void pb_watch_pause(struct pb_watch *w, bool paused);
/* fn is called, too, when it can be written. */
void pb_watch_writing(struct pb_watch *w, bool writing);
void pb_watch_close(struct pb_watch *w); /* NULL is fine */
