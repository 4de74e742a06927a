/* SPDX-License-Identifier: MIT */
/*
 * One worker: a loop, a generation, its listeners, from start to drained. Everything it serves is wired here,
 * to be read from top to bottom. Threads: its own.
 */
#pragma once

#include "app/generation.h"

struct pb_leash;

struct pb_worker_options {
    struct pb_site *site;    /* taken */
    const char *state_dir;   /* for the store, unless [store] says otherwise */
    const char *runtime_dir; /* without a supervisor: where the control socket stands; NULL: none */
    struct pb_leash *leash;  /* NULL: no supervisor, sockets of its own. Taken */
    bool trial;              /* others serve, and go on when this does not come up whole */
};

/*
 * Serve until told to stop by SIGTERM or SIGINT, then drain. Prints `ready NAME=ADDRESS ...` on standard
 * output when every listener is open (with a leash: tells the supervisor, which says so when all workers
 * are). Returns the exit code: 0 after a drain, 1 when it could not start or did not drain in time.
 */
int pb_worker_run(const struct pb_worker_options *options);
/* Log as [log] says; its file stays open as long as the process, or until this is called again. */
int pb_worker_open_log(const struct pb_site *site, struct pb_err *err);
/* The levels that [log] says, and no others. */
void pb_worker_log_levels(const struct pb_site *site);

/* What commands that do not serve need of it too: a loop, the services of plugins, a store when one is
 * wanted. */
struct pb_routes;

enum pb_store_need {
    PB_STORE_NONE, /* it is not opened */
    PB_STORE_MUST, /* no store, no success */
    PB_STORE_MAY,  /* one that does not work is tried again later, unless [store] required says otherwise */
};

struct pb_workshop {
    struct pb_loop *loop;
    struct pb_metrics *metrics;
    struct pb_outgoing *outgoing;
    struct pb_http_client *http;
    struct pb_store *store;     /* NULL: not opened, or the durable's */
    char *store_url;            /* NULL: not wanted */
    struct pb_err store_why;    /* wanted, and NULL: why */
    struct pb_durable *durable; /* NULL: not opened */
    struct pb_flow *flow;
    struct pb_routes *routes;
    struct pb_plugin_env env;
    struct pb_turn_hook log_hook;
};
int pb_workshop_open(struct pb_workshop *w, const struct pb_site *site, const char *state_dir,
                     enum pb_store_need need, struct pb_err *err);
/* Durable work, in the store that was opened, or is once it works: for env, before a generation is built.
 * page may be NULL. */
int pb_workshop_durable(struct pb_workshop *w, const struct pb_site *site, struct pb_page *page, uint32_t row,
                        struct pb_err *err);
/* Count in a page that others share, in place of one's own; before anything counts. */
/* The store of a gateway beside which this process runs (store/durable.h, aside); it must be there. */
int pb_workshop_aside(struct pb_workshop *w, const struct pb_site *site, const char *state_dir,
                      void (*woken)(void *user), void *user, struct pb_err *err);
void pb_workshop_share(struct pb_workshop *w, struct pb_page *page, uint32_t row);
/* Everything made with it is gone. */
void pb_workshop_close(struct pb_workshop *w);
/* Close and free a generation, turning the loop until it is done. NULL is fine. */
void pb_workshop_end_generation(struct pb_workshop *w, struct pb_generation *g);
