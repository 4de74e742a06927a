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
#include "data/batch.h"
#include "data/ini.h"
#include "mockhost/declare.h"
#include "plugin/operation.h"
#include "plugin/registry.h"

/* What the command line said, and in a child what a check works with. */
struct kit {
    const char *path;
    struct pb_ini *ini;   /* --config; NULL: none */
    uint32_t cycles;      /* of create and destroy */
    int64_t patience_ms;  /* how long a call may take */
    int64_t stop_ns;      /* how long `stop` took, of the last that was closed */
    uint32_t calls_ended; /* counted by kit_count_end */
    bool ini_may_fail;    /* an allocation fails: a function that cannot be bound is passed over */

    struct pb_loop *loop;
    struct pb_plugin_env env;
    struct pb_registry *registry;
    struct pb_plugin *plugin;
};

/*
 * The end of a check, in its child: with a sentence for whoever wrote the plugin. Nothing after them runs.
 * skip: the check is not about this plugin; untried: it is, but there is no instance, or nothing to call.
 */
PB_NORETURN void kit_fault(const char *fmt, ...) PB_PRINTF(1, 2);
PB_NORETURN void kit_skip(const char *fmt, ...) PB_PRINTF(1, 2);
PB_NORETURN void kit_untried(const char *fmt, ...) PB_PRINTF(1, 2);

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
void check_pressure(struct kit *k);
void check_loop(struct kit *k);
void check_call_memory(struct kit *k);
void check_actions(struct kit *k);
void check_action_cancel(struct kit *k);
void check_sources(struct kit *k);
void check_commands(struct kit *k);
void check_secrets(struct kit *k);
void check_health(struct kit *k);

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
/* Did the plugin not say why it failed? The host says so in its place. What was cancelled needs no reason. */
bool kit_is_mute(const struct pb_err *err);
/* Does the configuration have a [connector] section for this plugin? */
bool kit_has_section(const struct kit *k);
/* Breaches that the host noticed: a fault with what it logged. */
void kit_no_faults(struct kit *k, struct pb_connector *c);

/* ------------------------------------------------------------------------------------------------ functions
 */

/* The end of sentences about those who keep the reason to themselves. */
#define SAY ": say what happened, where, with which value, and what to do"

/* One to call: bound. */
struct function {
    struct kit *k;
    struct pb_connector *c;
    const char *name;
    struct pb_declared *d;
};

/*
 * Each [function] of the configuration, else each operation that takes a text and needs no options, one after
 * the other. How many there were; *why is why another could not.
 */
uint32_t kit_functions(struct kit *k, struct pb_connector *c, void (*run)(struct function *f),
                       struct pb_err *why);
/* The same in a house of its own; skips when there is none. */
void kit_over_functions(struct kit *k, void (*run)(struct function *f));
bool kit_is_map(const struct function *f);
/* n rows; every third cell is null when holes. Owned. */
struct pbay_builder *kit_rows(const struct function *f, uint32_t n, bool holes);
/* deadline_ms 0: none. Owned. */
struct pb_op_context *kit_context(int64_t deadline_ms);
/* As pb_op_complete_fn, user is the kit: counts. */
void kit_count_end(void *user, struct pb_op_answer *a);
/* What was answered in its place must still be completed. */
void kit_await_plugin(const struct function *f);

/*
 * What was asked so often took so long each time: is that too long for the loop? What blocks blocks every
 * time; a machine that is busy does not take the processor away each time.
 */
enum { KIT_TRIES = 5 };
void kit_quick(const char *what, const char *name, const int64_t took_ns[KIT_TRIES]);
void kit_time_actions(struct kit *k, struct pb_connector *c);

/* The plugin's code: in a process whose n-th allocation fails `run` is called, n = 1, 2, ... until it makes
 * no more. */
void kit_without_memory(struct kit *k, void (*run)(struct kit *k));
/* Before it: its allocations can be made to fail from now on. Skips when it makes none. */
void kit_watch_memory(struct kit *k);
