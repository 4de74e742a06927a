/* SPDX-License-Identifier: MIT */
/* The inside of durable work, for durable*.c alone. */
#pragma once

#include <stdatomic.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/page.h"
#include "loop/bell.h"
#include "store/durable.h"
#include "store/keeper.h"

struct watch_round {
    struct pb_job_watch *watch; /* NULL: it is not waited for any more */
    char id[PB_ID_SIZE];
    struct pb_job *job;
    struct pb_err *err;
};

struct pb_durable {
    struct pb_durable_config c;
    struct pb_store_async *async;
    struct pb_bell *bell;
    struct pb_runner *runner; /* NULL: not started, or drained */
    struct pb_keeper *keeper;
    bool started, draining, closing;
    void (*drained)(void *user);
    void *drained_user;
    void (*closed)(void *user);
    void *closed_user;
    struct pb_defer step;

    pb_durable_cause_fn cause;
    void *cause_user;
    void (*health)(void *user);
    void *health_user;
    struct pb_map queues; /* name -> const struct pb_job_handler */
    const struct pb_job_handler *(*connectors)(void *user, const struct pb_job *job);
    void *connectors_user;

    /* watches */
    struct pb_job_watch watches; /* list head */
    _Atomic uint32_t *n_watches; /* in the page's row, or own */
    _Atomic uint32_t own_watches;
    struct pb_store_op watch_op;
    struct watch_round *round;
    size_t n_round, round_cap;
    bool looking, look_again;
    struct pb_timer watch_timer;

    /* leases of who has died */
    struct pb_store_op forfeit_op;
    uint32_t deaths_seen, forfeited;
    bool forfeiting;

    /* pauses */
    struct pb_store_op pause_op;
    struct pb_pauses pauses, read; /* as known on the loop; as read by the store thread */
    _Atomic uint32_t *pause_word;
    _Atomic uint32_t own_pauses;
    uint32_t pauses_seen;
    bool pauses_reading;
    struct pb_timer pause_timer;
};

/* Somebody rang. */
void pb_durable_watch_look(struct pb_durable *d);
void pb_durable_pauses_look(struct pb_durable *d, bool always);
/* Make them ready; take them down (nothing is under way any more). */
void pb_durable_watch_open(struct pb_durable *d);
void pb_durable_watch_close(struct pb_durable *d);
