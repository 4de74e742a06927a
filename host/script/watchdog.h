/* SPDX-License-Identifier: MIT */
/*
 * Time budgets without a standing hook: a thread looks every 10 ms whether a watched stretch of work is late
 * and signals the thread that does it; the handler, in that thread, calls `late`. A stretch costs a few
 * stores and a look at the clock, no system call. While nothing has run for a second the watchdog sleeps.
 *
 * Late is who has passed his deadline and used the processor for about that long: a stretch that waits for
 * the processor on a busy machine is not stopped for what others do.
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
    _Atomic int64_t deadline; /* ns, monotonic; 0: not running. Tells stretches apart, too */
    _Atomic int64_t budget;   /* ns */
    _Atomic int64_t is_late;  /* the deadline of the stretch that is; set by the watchdog */
    _Atomic int clock;        /* of the thread's processor time */
    int64_t seen,
        cpu_ns; /* the watchdog's: a stretch's deadline, and the thread's time when it was first seen */
    int64_t told_ns,
        gap_ns; /* the watchdog's: when it signalled last, and how long it waits before the next */
    _Atomic int tid;
    struct pb_watch *outer; /* of the same thread */
    struct pb_watch *next;
};

/* Threads: any. The first one starts the watchdog, removing the last one ends it. */
void pb_watch_add(struct pb_watch *w);
void pb_watch_remove(struct pb_watch *w);
/* A stretch begins on this thread; `late` is called when it has taken budget_ns, which end at deadline_ns. */
void pb_watch_start(struct pb_watch *w, int64_t deadline_ns, int64_t budget_ns);
/* It is over; `late` will not be called any more. */
void pb_watch_stop(struct pb_watch *w);
