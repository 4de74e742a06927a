/* SPDX-License-Identifier: MIT */
/*
 * Time budgets without a standing hook: a thread looks every 10 ms whether a watched stretch of work is late
 * and signals the thread that does it; the handler, in that thread, calls `late`. A stretch costs two stores
 * and a look at the clock, no system call. While nothing has run for a second the watchdog sleeps.
 *
 * Stretches nest (a test's state runs a transform's). The signal is SIGRTMIN + 6, with SA_RESTART.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct pb_watch {
    void (*late)(
        struct pb_watch *w); /* in a signal handler, on the thread that started the stretch; may come twice */
    /* private */
    _Atomic int64_t deadline; /* ns, monotonic; 0: not running */
    _Atomic int tid;
    struct pb_watch *outer; /* of the same thread */
    struct pb_watch *next;
};

/* Threads: any. The first one starts the watchdog, removing the last one ends it. */
void pb_watch_add(struct pb_watch *w);
void pb_watch_remove(struct pb_watch *w);
/* A stretch begins on this thread; `late` is called once now is past deadline_ns. */
void pb_watch_start(struct pb_watch *w, int64_t deadline_ns);
/* It is over; `late` will not be called any more. */
void pb_watch_stop(struct pb_watch *w);
