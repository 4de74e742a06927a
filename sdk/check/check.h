/* SPDX-License-Identifier: MIT */
/*
 * patchbay-check: does a plugin keep the rules of the ABI? Each check runs in a child of its own, so that a
 * plugin that crashes or hangs is named and the next check goes on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "data/ini.h"
#include "plugin/operation.h"
#include "plugin/registry.h"

/* What the command line said, and in a child what a check works with. */
struct kit {
    const char *path;
    struct pb_ini *ini;  /* --config; NULL: none */
    uint32_t cycles;     /* of create and destroy */
    int64_t patience_ms; /* how long a call may take */

    struct pb_loop *loop;
    struct pb_plugin_env env;
    struct pb_registry *registry;
    struct pb_plugin *plugin;
};

/* The end of a check, in its child: with a sentence for whoever wrote the plugin. Nothing after them runs. */
PB_NORETURN void kit_fault(const char *fmt, ...) PB_PRINTF(1, 2);
PB_NORETURN void kit_skip(const char *fmt, ...) PB_PRINTF(1, 2);

struct check {
    const char *name;
    void (*run)(struct kit *k); /* returns: the plugin passed */
};

extern const struct check checks[];
extern const size_t n_checks;

/* The checks, by file. */
void check_file(struct kit *k);
void check_exports(struct kit *k);
void check_hardening(struct kit *k);
void check_libraries(struct kit *k);
void check_tables(struct kit *k);
void check_options(struct kit *k);
void check_entry(struct kit *k);
void check_longer_host(struct kit *k);
void check_bare_host(struct kit *k);
void check_create(struct kit *k);
void check_cycles(struct kit *k);
void check_memory(struct kit *k);
void check_calls(struct kit *k);
void check_cancel(struct kit *k);
void check_deadline(struct kit *k);
void check_close(struct kit *k);
void check_routes(struct kit *k);

/* pbay.host.request/1 of the house. */
extern const pbay_request_1 kit_requests;

/* ------------------------------------------------------------------------------------------------ the house
 */

/* A loop, services and the plugin loaded in this process. When it cannot be, kit_load is a fault, kit_open
 * skips. */
void kit_open(struct kit *k);
void kit_load(struct kit *k);
/* One turn of the loop that does not block for long. */
void kit_turn(struct kit *k);
/*
 * An instance with the configuration's [connector] section for this plugin, or with defaults. check_only as
 * in `patchbay check`. NULL with err: the plugin refused.
 */
struct pb_connector *kit_connector(struct kit *k, bool check_only, struct pb_err *err);
/* The same, started; skips the check with the plugin's own words when it wants more configuration. */
struct pb_connector *kit_started(struct kit *k);
void kit_close(struct kit *k, struct pb_connector *c);
/* Breaches that the host noticed: a fault with what it logged. */
void kit_no_faults(struct kit *k, struct pb_connector *c);

/* Fail the n-th allocation (from 1) that the plugin makes from now on; 0: none. Returns how many it made
 * since the last call. False from kit_can_fail: this build cannot (sanitizers). */
bool kit_can_fail(void);
uint32_t kit_fail_allocation(uint32_t n);
/* The plugin's code lies from .. to. */
void kit_alloc_watch(const void *from, const void *to);
