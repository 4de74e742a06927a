/* SPDX-License-Identifier: MIT */
/* One connector: a Qlik Cloud tenant. The host's services, the tenant's address and keys, what is known of
 * it. */
#pragma once

#include <patchbay/actions.h>
#include <patchbay/commands.h>
#include <patchbay/events.h>
#include <patchbay/host_chain.h>
#include <patchbay/host_crypto.h>
#include <patchbay/host_event.h>
#include <patchbay/host_http.h>
#include <patchbay/host_limit.h>
#include <patchbay/host_log.h>
#include <patchbay/host_metric.h>
#include <patchbay/host_secret.h>
#include <patchbay/host_timer.h>
#include <patchbay/routes.h>

#include "kit/text.h"

#define STR(lit)  ((pbay_str){(lit), sizeof(lit) - 1})
#define COUNT(a)  (sizeof(a) / sizeof *(a))
#define FMT(s)    (int)(s).n, ((s).n ? (s).p : "")
#define NS_PER_MS INT64_C(1000000)

/* The documented tiers (https://qlik.dev/apis/rest/rate-limiting): most GETs; what changes something;
 * starting and cancelling reloads, which has limits of its own. */
enum tier { TIER_READ, TIER_WRITE, TIER_START, N_TIERS };

enum hook_end { HOOK_STORED, HOOK_KNOWN, HOOK_IGNORED, HOOK_REFUSED, HOOK_FOREIGN, HOOK_LOST, N_HOOK_ENDS };

enum { QLIK_SOURCES = 2 };

struct api_call;
struct action_run;
struct log_fetch;
struct name_entry;
struct command_run;
struct watch;

struct qlik {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_action_1 *action;   /* NULL: this host runs no actions */
    const pbay_chain_1 *chain;     /* NULL: this host has no chains */
    const pbay_command_1 *command; /* may be NULL */
    const pbay_crypto_1 *crypto;
    const pbay_event_1 *event; /* NULL: this host keeps no events */
    const pbay_http_1 *http;
    const pbay_limit_1 *limit; /* NULL: nothing is counted for others */
    const pbay_log_1 *log;     /* may be NULL */
    const pbay_metric_1 *metric;
    const pbay_request_1 *request;
    const pbay_secret_1 *secret;
    const pbay_timer_1 *timer;

    /* webhook.c */
    int hooks; /* events are taken */
    pbay_metric ends[N_HOOK_ENDS];
    int64_t hook_minute; /* the minute that hook_lines counts */
    int hook_lines;

    /* api.c */
    char *base; /* "https://acme.eu.qlikcloud.com", no slash at the end */
    uint32_t http_flags;
    int oauth;
    char *token;         /* OAuth; NULL: none */
    int64_t token_until; /* monotonic ns: use it no longer */
    int fetching;        /* a token is on its way */
    pbay_text token_request;
    struct api_call *waiting;      /* for it */
    struct api_call *calls;        /* alive */
    int64_t paused_until[N_TIERS]; /* monotonic ns: the tenant asked for silence */
    int64_t clock_lo, clock_hi;    /* the tenant's clock minus ours, in ms, is between them */
    int32_t state;                 /* the last answer: PBAY_OK, or what is wrong */
    char state_why[400];

    struct action_run *runs; /* actions.c */
    struct log_fetch *logs;  /* logs.c */
    uint32_t n_logs;
    struct name_entry *names;            /* names.c */
    struct command_run *command_run;     /* commands.c: the one there is */
    struct watch *watches[QLIK_SOURCES]; /* sources.c: polls that run */
    int64_t failed_ms;  /* sources.c: the newest end of a reload that failed whose log was asked for */
    int told_not_admin; /* sources.c: reloads can only be listed app by app */
    int hooks_v1;       /* pages.c: the tenant has only the older path of webhooks */
    char why[600];      /* for results that must outlive a call */
};

/* Fill *why with a code and a sentence (kept in q->why). Returns the code. */
int32_t qlik_refuse(struct qlik *q, pbay_result *why, int32_t code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* One line of the log with up to two fields; name NULL ends them. */
void qlik_log(const struct qlik *q, uint32_t level, const char *message, const char *name, pbay_str value,
              const char *name2, pbay_str value2);

/* The option's text now, a secret resolved; empty when it is not set. Borrowed until the next call. */
pbay_str qlik_secret(const struct qlik *q, const char *option);
/* Allocation ends the process when there is no memory. */
void *qlik_alloc(size_t size);
char *qlik_copy(pbay_str s);
int qlik_same(pbay_str a, pbay_str b);

/* Tables of extensions, one per file. */
extern const pbay_routes_1 qlik_routes;
extern const pbay_actions_1 qlik_actions;
extern const pbay_events_1 qlik_sources;
extern const pbay_commands_1 qlik_commands;
