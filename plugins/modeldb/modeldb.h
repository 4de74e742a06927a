/* SPDX-License-Identifier: MIT */
/* One connector: a store of experiments. The host's services, and what is under way. */
#pragma once

#include <stdbool.h>

#include <patchbay/actions.h>
#include <patchbay/commands.h>
#include <patchbay/host_crypto.h>
#include <patchbay/host_event.h>
#include <patchbay/host_http.h>
#include <patchbay/host_invoke.h>
#include <patchbay/host_kv.h>
#include <patchbay/host_log.h>
#include <patchbay/host_metric.h>
#include <patchbay/host_secret.h>
#include <patchbay/host_stream.h>
#include <patchbay/host_timer.h>
#include <patchbay/plugin.h>

#include "kit/text.h"

#define STR(lit)  ((pbay_str){(lit), sizeof(lit) - 1})
#define COUNT(a)  (sizeof(a) / sizeof *(a))
#define FMT(s)    (int)(s).n, ((s).n ? (s).p : "")
#define NS_PER_MS INT64_C(1000000)

struct mdb_sink;
struct sync;
struct collect;
struct errand;

/* What an operator may count; plugin.c has the names. */
enum mdb_count {
    MDB_WRITTEN,
    MDB_LATE, /* a later state had been written already */
    MDB_FAILED,
    MDB_COLLECTED,
    MDB_COLLECT_FAILED,
    MDB_COUNTS
};

struct modeldb {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_action_1 *action;
    const pbay_command_1 *command; /* may be NULL */
    const pbay_crypto_1 *crypto;
    const pbay_event_1 *event; /* NULL: this host keeps no events */
    const pbay_http_1 *http;
    const pbay_invoke_1 *invoke;
    const pbay_kv_1 *kv;         /* NULL: this host keeps nothing (commands): no locks, no marks */
    const pbay_log_1 *log;       /* may be NULL */
    const pbay_metric_1 *metric; /* may be NULL */
    const pbay_secret_1 *secret; /* may be NULL */
    const pbay_stream_1 *stream;
    const pbay_timer_1 *timer;

    bool seed;     /* mode = seed: as the step function did it */
    bool checking; /* created to be checked, not to run */
    const struct mdb_sink *sink;
    void *store; /* the sink's own */
    pbay_metric counts[MDB_COUNTS], last_written;
    struct sync *syncs;
    struct collect *collects;
    struct errand *errands; /* commands under way */
    char why[1024];         /* for results that must outlive a call */
};

/* Fill *why with a code and a sentence (kept in m->why). Returns the code. */
int32_t modeldb_refuse(struct modeldb *m, pbay_result *why, int32_t code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The option's text now, a secret resolved; empty when it is not set. Borrowed until the next call. */
pbay_str modeldb_secret(const struct modeldb *m, const char *option);

void modeldb_make_counts(struct modeldb *m);
void modeldb_count(const struct modeldb *m, enum mdb_count what);

/* Tables of extensions, one per file. */
extern const pbay_actions_1 modeldb_actions;   /* actions.c */
extern const pbay_commands_1 modeldb_commands; /* commands.c: backfill.c, verify.c */
void modeldb_stop_actions(struct modeldb *m);
void modeldb_stop_commands(struct modeldb *m);
