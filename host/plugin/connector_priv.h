/* SPDX-License-Identifier: MIT */
/* The inside of a connector, for this room alone. */
#pragma once

#include "base/metrics.h"
#include "base/str.h"
#include "plugin/connector.h"
#include "plugin/current.h"
#include "plugin/env.h"
#include "plugin/invoke.h"

enum { PB_CONNECTOR_MAGIC = 0x434f4e4e, PB_STATE_TEXT = 512 };

struct pb_service_timers;
struct pb_service_works;
struct pb_service_jobs;
struct pb_action_call;

struct pb_connector {
    pbay_host host; /* first: what the plugin holds; host.impl is this */
    uint32_t magic;
    char *name;
    struct pb_plugin *plugin;
    struct pb_registry *registry;
    const struct pb_plugin_env *env;
    struct pbay_config *config;
    void *self; /* the plugin's instance */
    bool check_only, patient, started, stopped;
    bool unproven; /* a request with auth = own is being handled and its caller is not known yet */
    int64_t timeout_ms;
    struct pb_outgoing *outgoing; /* its own, or NULL: the environment's */
    enum pb_connector_state state;
    char sentence[PB_STATE_TEXT];
    struct pb_connector_stats stats;
    uint32_t holds; /* ops, calls, requests, work: what keeps the instance from being destroyed */

    int64_t slow_logged_ns; /* when a slow callback was last logged; 0: never */
    int64_t fault_minute;   /* the minute that fault_lines counts */
    uint32_t fault_lines;

    /* services with state per connector; each frees its own */
    struct pb_service_timers *timers;
    struct pb_service_works *works;
    struct pb_invoked *invoked;          /* what it has invoked and has not ended */
    struct pb_service_jobs *jobs;        /* NULL: none parked, none resumed */
    struct pb_action_call *action_calls; /* a ring; NULL: none */
    uint32_t n_metrics;
    uint32_t metrics[64]; /* slots */

    /* closing */
    bool closing, ended_apart;
    struct pb_defer close_step;
    struct pb_timer close_limit;
    void (*closed)(void *user, bool clean);
    void *closed_user;
};

static inline struct pb_connector *pb_connector_of(const pbay_host *host)
{
    return host->impl;
}

/* Something the connector waits for before it is destroyed has ended. */
void pb_connector_settle(struct pb_connector *c);

/* Something that the instance must not be destroyed under. */
static inline void pb_connector_began(struct pb_connector *c)
{
    c->holds++;
}
static inline void pb_connector_ended(struct pb_connector *c)
{
    c->holds--;
    if (PB_UNLIKELY(c->closing)) pb_connector_settle(c);
}

/* How its connections leave; NULL when there is nothing that says so. */
static inline struct pb_outgoing *pb_connector_outgoing(const struct pb_connector *c)
{
    return c->outgoing ? c->outgoing : c->env->outgoing;
}

/* No new work while it is out: UNAVAILABLE with the reason; returns -1. */
int pb_connector_refuse(const struct pb_connector *c, struct pb_err *err);
/* True, and counted as a fault, when the service may not be used before the caller of a request is known. */
bool pb_connector_locked(struct pb_connector *c, const char *service);

void pb_registry_link(struct pb_registry *r, struct pb_connector *c);
void pb_registry_unlink(struct pb_registry *r, struct pb_connector *c);

/* A code that a plugin gave for a failure: one of gRPC's, or UNKNOWN. */
static inline int32_t pb_plugin_code(int32_t code)
{
    return code > PBAY_OK && code <= PBAY_UNAUTHENTICATED ? code : PBAY_UNKNOWN;
}
/* What a plugin said in *why, or (it said nothing) what it was doing. err->code is `code` when that is a
 * failure. */
void pb_plugin_why(struct pb_err *err, int32_t code, const pbay_result *why, const char *what);
/* Is that all there is: did it say nothing? */
bool pb_plugin_mute(const struct pb_err *err);
