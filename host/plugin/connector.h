/* SPDX-License-Identifier: MIT */
/*
 * A connector: one configured, named instance of a plugin, and the state it is in.
 *
 *     new -> start -> ( operations, routes, timers, ... ) -> stop -> destroy when nothing is in flight ->
 * closed
 *
 * Threads: [loop], but for what is marked [any].
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/routes.h>

#include "base/err.h"
#include "data/config.h"
#include "plugin/loader.h"

struct pb_connector;
struct pb_registry;

enum pb_connector_state { PB_CONNECTOR_UP = 1, PB_CONNECTOR_DEGRADED, PB_CONNECTOR_OUT };

/* Keys of [connector "NAME"] that are the host's: plugin, timeout, isolation, ... */
extern const pbay_option_table pb_connector_options;

struct pb_connector_spec {
    pbay_str name; /* [connector "NAME"]; copied */
    struct pb_plugin *plugin;
    struct pbay_config
        *config;     /* checked against pb_connector_options and the plugin's table as one. Taken */
    bool check_only; /* never started */
    bool patient; /* a process that does not come up is started again until it does; else that is an error */
    bool here;    /* this is the process of its own */
};

struct pb_connector_stats {
    uint64_t calls;     /* accepted */
    uint64_t refused;   /* refused by submit or open */
    uint64_t failed;    /* completed with another code than OK */
    uint64_t rows;      /* sent */
    uint64_t late;      /* answered by the host in the plugin's place */
    uint64_t faults;    /* breaches of the rules */
    uint64_t crashes;   /* ends of its own process */
    uint32_t in_flight; /* calls the plugin has not completed */
};

/*
 * Make an instance and put it into the registry. NULL with err (the plugin's own message with the connector's
 * name and place in front); then nothing was made, and spec->config is freed all the same.
 */
struct pb_connector *pb_connector_new(struct pb_registry *r, const struct pb_connector_spec *spec,
                                      struct pb_err *err);
/* 0, or -1 with err: the instance stays, in state OUT, until it is closed. */
int pb_connector_start(struct pb_connector *c, struct pb_err *err);
bool pb_connector_started(const struct pb_connector *c);
/*
 * No new work; the plugin is told, and destroyed when its calls have completed, at the latest when grace_ms
 * are over (then calls that it still owes are forgotten and the instance is leaked, not freed under it).
 * closed(user) is called on a later turn; c is dead then. Each op bound must have been unbound by then.
 */
void pb_connector_close(struct pb_connector *c, int64_t grace_ms, void (*closed)(void *user, bool clean),
                        void *user);

pbay_str pb_connector_name(const struct pb_connector *c);
struct pb_plugin *pb_connector_plugin(const struct pb_connector *c);
struct pb_registry *pb_connector_registry(const struct pb_connector *c);
/* The host's `timeout` of one batch, in ms. */
int64_t pb_connector_timeout(const struct pb_connector *c);
/* The worse of what the host and the plugin itself (pbay.health/1) say; sentence borrowed until the next
 * call. */
enum pb_connector_state pb_connector_state(struct pb_connector *c, pbay_str *sentence);
/* "up", "degraded", "out" */
const char *pb_connector_state_name(enum pb_connector_state s);
/* The host's own view, e.g. after crashes. UP takes it back. */
void pb_connector_set_state(struct pb_connector *c, enum pb_connector_state s, const char *sentence);
/* It keeps what it owes for too long: a process of its own is replaced; a plugin in the worker is out. */
void pb_connector_stuck(struct pb_connector *c, const char *sentence);
/* Does it run in a process of its own? */
bool pb_connector_apart(const struct pb_connector *c);
/* A breach of the rules by the plugin: counted, and logged with its name (at most ten lines a minute). */
void pb_connector_fault(struct pb_connector *c, const char *what, const char *detail);
const struct pb_connector_stats *pb_connector_stats(const struct pb_connector *c);

/*
 * Hand a request to the plugin (pbay.routes/1); route is an index into plugin->routes.routes. One `respond`
 * of env.requests is owed for it from now on. `own_auth`: until pb_connector_proven, or the return of this
 * function, only crypto, secret, log and request services answer.
 */
void pb_connector_request(struct pb_connector *c, uint32_t route, pbay_request request,
                          const pbay_request_info *info, bool own_auth);
/* The plugin has accepted the caller of the request that it is handling now (pbay.host.request/1 accept). */
void pb_connector_proven(struct pb_connector *c);
/* The client went away. */
void pb_connector_request_cancel(struct pb_connector *c, uint32_t route, pbay_request request);
