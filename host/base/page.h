/* SPDX-License-Identifier: MIT */
/*
 * The page that a supervisor and its workers share: one row per worker, which that worker alone writes and
 * everybody reads, and a few words for the whole machine.
 *
 * It is a memfd that each process maps: no locks, only atomics and text that its one writer finishes before
 * it sets the flag beside it. A worker that dies leaves its row as it was; the supervisor reads from it what
 * the worker was doing, then clears it. Nothing in it is a pointer. Threads: any, unless a member says
 * otherwise.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"

enum {
    PB_PAGE_ROWS = 64,     /* worker slots; two generations live side by side during a reload */
    PB_PAGE_LIMITS = 1024, /* lanes that were ever named while the supervisor runs */
    PB_PAGE_WORKERS = 32,  /* of one generation */
    PB_PAGE_OUTS = 32,     /* connectors that crashes have put out */
    PB_PAGE_NAME = 64,     /* bytes of a connector's name, with NUL; longer ones are cut */
    PB_PAGE_FUNCTION = 128,
    PB_PAGE_WHAT = 24,
    PB_PAGE_REASON = 256,
    PB_PAGE_RATES = 2048,   /* buckets of callers' requests a second; a power of two */
    PB_PAGE_COUNTS = 32768, /* peers and what they hold; a power of two, twice what may be held at once */
};

/* What of a plugin is running now in a worker's loop thread. Written by that thread alone. */
struct pb_page_mark {
    _Atomic uint32_t inside; /* 0: the host itself; the text below is of the last visit */
    char connector[PB_PAGE_NAME];
    char function[PB_PAGE_FUNCTION];
    char what[PB_PAGE_WHAT]; /* "submit", "http done" */
};

struct pb_page_row {
    _Atomic int32_t pid; /* 0: the slot is free */
    _Atomic uint32_t generation;
    _Atomic int64_t heartbeat_ns; /* monotonic; written once a second while the loop turns */
    _Atomic int64_t started_ns;
    _Atomic uint64_t conns;       /* open */
    _Atomic uint64_t conns_ended; /* connections that were handed to it and are gone */
    _Atomic uint32_t watching;    /* jobs whose end it waits for */
    uint32_t reserved;
    struct pb_page_mark mark;
    _Atomic uint32_t held[PB_PAGE_LIMITS];   /* of each limit; given back by the supervisor when it dies */
    _Atomic uint32_t queued[PB_PAGE_LIMITS]; /* who waits for each in this worker */
    _Atomic uint64_t calls;                  /* of page.calls */
    _Atomic uint64_t counts[PB_PAGE_COUNTS]; /* of page.counts (guard/quota.h) */
};

/* How much of a limit is used, as found out while it is used (flow/pace.h). Zero-initialised: all of it. */
struct pb_pace_shared {
    _Atomic uint32_t allowed;  /* times 256; 0: the limit */
    _Atomic int64_t slowed_ns; /* monotonic: when it last went down */
};

/* How much of something all workers together have now. Its place is found by name and kept for ever. */
struct pb_page_limit {
    _Atomic uint64_t name; /* a hash; 0: free */
    _Atomic uint32_t taken;
    _Atomic uint32_t queued;    /* who waits, in all */
    _Atomic uint64_t waiting;   /* bit per row: that worker would take more */
    struct pb_pace_shared pace; /* how many of them are used now */
};

/* A connector that crashed too often. Written by the supervisor alone; `set` last. */
struct pb_page_out {
    _Atomic uint32_t set;
    char connector[PB_PAGE_NAME];
    char reason[PB_PAGE_REASON];
};

struct pb_page {
    uint64_t magic;
    uint64_t size;
    /* Goes up with each commit that makes a job due, or ends one that somebody waits for (loop/bell.h). */
    _Atomic uint32_t work;
    _Atomic uint32_t deaths; /* goes up when a worker has died; then work does: its leases are for others */
    _Atomic uint32_t pauses; /* goes up when somebody paused something, or took it back; then work does */
    /* Levels of the log that were changed while it runs; 0: as the configuration says. [0] is for all rooms,
     * [i + 1] for pb_log_room_at(i). log_turn goes up with each change. */
    _Atomic uint32_t log_turn;
    _Atomic uint8_t log_levels[PB_LOG_ROOMS + 1];
    uint64_t seed;          /* of the hashes below: nobody outside can know which names share a place */
    _Atomic uint64_t calls; /* at once, in all */
    _Atomic uint64_t rates[2 * PB_PAGE_RATES];
    _Atomic uint64_t counts[PB_PAGE_COUNTS];
    struct pb_page_limit limits[PB_PAGE_LIMITS];
    struct pb_page_out outs[PB_PAGE_OUTS];
    struct pb_page_row rows[PB_PAGE_ROWS];
    struct pb_metric_page metrics; /* a row for each of those */
};
_Static_assert((int)PB_METRIC_ROWS == (int)PB_PAGE_ROWS, "a worker has a row of either");

/* The supervisor's: made, zeroed and mapped. *fd is owned and close-on-exec. NULL with err. */
struct pb_page *pb_page_make(int *fd, struct pb_err *err);
/* A worker's: mapped from the inherited descriptor, which may be closed afterwards. NULL with err. */
struct pb_page *pb_page_map(int fd, struct pb_err *err);
void pb_page_unmap(struct pb_page *page); /* NULL is fine */

/* A worker has died: what it held is given back, its row is all zero. */
void pb_page_clear_row(struct pb_page *page, uint32_t row);

/* The limit of that name, the same in every worker. -1: there are too many names. */
int pb_page_limit(struct pb_page *page, pbay_str name);
/*
 * Take one when all together have less than max, and when others wait, no more than a fair share of it.
 * False: not now. Who dies between the two changes of these leaves one too many to have, never one too few.
 */
bool pb_page_take(struct pb_page *page, uint32_t row, int limit, uint32_t max);
void pb_page_give(struct pb_page *page, uint32_t row, int limit);
/* This worker would take more, or would not any longer. */
void pb_page_wait(struct pb_page *page, uint32_t row, int limit, bool waiting);
/* How many other workers would. */
uint32_t pb_page_others(const struct pb_page *page, uint32_t row, int limit);

/* So many wait in this worker now. */
void pb_page_queued(struct pb_page *page, uint32_t row, int limit, uint32_t n);

/*
 * Another level for a room, or (room empty) for all; "default": what the configuration says, everywhere. Who
 * shares the page hears of it within a second (pb_page_log_apply). -1 with err: no such level or room.
 */
int pb_page_log_level(struct pb_page *page, pbay_str level, pbay_str room, struct pb_err *err);
/* When something changed since *turn: configured(user) sets what the configuration says, then the changes. */
void pb_page_log_apply(const struct pb_page *page, uint32_t *turn, void (*configured)(void *user),
                       void *user);

/* Why crashes have put this connector out, or NULL. Borrowed as long as the page. */
const char *pb_page_out_reason(const struct pb_page *page, pbay_str connector);
/* Put it out. False: there is no room for another. */
bool pb_page_put_out(struct pb_page *page, const char *connector, const char *reason);
/* Everybody in again. */
void pb_page_clear_outs(struct pb_page *page);
