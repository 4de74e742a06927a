/* SPDX-License-Identifier: MIT */
/*
 * Chains in a worker: flow/chain.h over the worker's durable work. Events that somebody listens to cause an
 * evaluation job in the transaction that stores them; whichever worker claims it reads, asks the conditions
 * on its loop, and decides in the transaction that ends the job. Messages are sent from jobs as well.
 *
 * Threads: [loop].
 */
#pragma once

#include <patchbay/host_chain.h>

#include "flow/chain.h"
#include "flow/chain_notify.h"
#include "store/durable.h"

struct pb_chain_work;
struct pb_actions;
struct pb_metrics;

struct pb_chain_work_config {
    struct pb_durable *durable;
    struct pb_actions *actions;
    struct pb_http_client *http;
    struct pb_chains *chains;               /* taken */
    const struct pb_notify_target *targets; /* borrowed as long as this lives */
    size_t n_targets;
    pbay_str alert;             /* borrowed likewise */
    struct pb_metrics *metrics; /* decisions are counted; may be NULL */
};

/* Registers with the durable work, before its start. Returns owned. */
struct pb_chain_work *pb_chain_work_new(const struct pb_chain_work_config *config);
/* After the start: cron and deadlines are put; again every few minutes, or seconds while the store fails. */
void pb_chain_work_start(struct pb_chain_work *w);
/* Before the durable work is closed: nothing is tried again. NULL is fine. */
void pb_chain_work_stop(struct pb_chain_work *w);
/* After the durable work is closed. NULL is fine. */
void pb_chain_work_free(struct pb_chain_work *w);
const struct pb_bundle *pb_chain_work_bundle(const struct pb_chain_work *w);

/* A picture (PBAY_CHAIN_*); got once, on a later turn; text is borrowed until it returns. */
void pb_chain_work_picture(struct pb_chain_work *w, uint32_t format, pbay_str chain,
                           void (*got)(void *user, const struct pb_err *err, pbay_str text), void *user);

/* What a person wants done, as flow/chain.h names it. Strings are copied. */
enum pb_chain_deed {
    PB_DEED_START,
    PB_DEED_RESUME,
    PB_DEED_SKIP,
    PB_DEED_CANCEL,
    PB_DEED_REPLAY,
    PB_DEED_RELEASE
};
struct pb_chain_wish {
    enum pb_chain_deed deed;
    pbay_str object; /* a chain (start), a run, an event; RELEASE: "chain" or "app" */
    pbay_str name;   /* an app (start, skip), what is released */
    enum pb_held held;
    pbay_str who;
};
/* done(user, NULL, what came of it as JSON) when it is on disk. Once. */
void pb_chain_work_do(struct pb_chain_work *w, const struct pb_chain_wish *wish,
                      void (*done)(void *user, const struct pb_err *err, pbay_str json), void *user);
/* The same on a store of one's own, at once: for commands. h has what the deeds need. */
int pb_chain_do(const struct pb_bundle *now, struct pb_store *s, const struct pb_chain_host *h,
                const struct pb_chain_wish *wish, pb_bundle_fn find, void *user, struct pb_buf *out,
                struct pb_err *err);
/* Runs and their steps as JSON: run empty: a list by the filter. Appends. Reads. */
int pb_chain_runs_json(struct pb_store *s, pbay_str run, const struct pb_run_filter *f, struct pb_buf *out,
                       struct pb_err *err);
