/* SPDX-License-Identifier: MIT */
/*
 * A shared object on disk -> a plugin that is known to be well-formed.
 *
 * Nothing of the file is believed before it was checked: who may write it (base/trust.h, on the descriptor
 * that is then loaded), ELF class and machine, the 16-byte prefix of its entry, then each table, copied into
 * the size this host knows (what an older plugin does not have is zero). A refusal names the field that
 * differs, with both values.
 *
 * Lifetimes: a loaded plugin is never unloaded; its tables live until the process ends. Threads: [loop].
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/actions.h>
#include <patchbay/commands.h>
#include <patchbay/events.h>
#include <patchbay/functions.h>
#include <patchbay/health.h>
#include <patchbay/plugin.h>
#include <patchbay/routes.h>
#include <patchbay/secrets.h>

#include "base/arena.h"
#include "base/err.h"

struct pb_plugin {
    char *path;
    const char *name; /* descriptor.name */
    pbay_entry entry;
    pbay_descriptor descriptor; /* its option table has this host's stride */
    bool has_functions, has_routes, has_health, has_commands, has_actions, has_events, has_secrets;
    pbay_functions_1 functions; /* operations points to `operations` */
    pbay_operation *operations; /* functions.n_operations, this host's stride, option tables too */
    pbay_routes_1 routes;       /* routes points to `route_table` */
    pbay_route *route_table;
    pbay_health_1 health;
    pbay_secrets_1 secrets; /* schemes are the plugin's own array */
    pbay_commands_1
        commands; /* commands points to `command_table`; its option tables have this host's stride */
    pbay_command *command_table;
    pbay_actions_1
        actions; /* actions points to `action_table`, whose option tables have this host's stride */
    pbay_action *action_table;
    pbay_events_1 events; /* sources points to `source_table` */
    pbay_source *source_table;
    void *dl;
    int fd;                  /* the file, as it was checked; -1: part of the program */
    bool apart;              /* described by a process and run in such (apart.h): nothing of it is mapped */
    struct pb_plugin *other; /* the same plugin the other way, made when it was first asked for */
    struct pb_arena mem;     /* what a description points to */
    uint32_t n_connectors;   /* instances alive */
};

/*
 * Load in this process: only what was probed, or is trusted not to crash. 0 with *out (owned by the caller,
 * for the life of the process), or -1 with err.
 */
int pb_plugin_load(const char *path, struct pb_plugin **out, struct pb_err *err);
/* The same from a descriptor opened and checked by pb_trust_open; path is for messages. fd stays the
 * caller's. */
int pb_plugin_load_fd(int fd, const char *path, struct pb_plugin **out, struct pb_err *err);
/* A plugin that is part of the program (tests, the mock): the same checks from the prefix on. */
int pb_plugin_adopt(const pbay_entry *(*get_entry)(void), const char *path, struct pb_plugin **out,
                    struct pb_err *err);
/*
 * The same plugin mapped into this process, or run in processes of its own: p itself, or a second that
 * belongs to it. NULL with err.
 */
struct pb_plugin *pb_plugin_here(struct pb_plugin *p, struct pb_err *err);
struct pb_plugin *pb_plugin_apart(struct pb_plugin *p, struct pb_err *err);
/* Frees the copies; the code stays mapped. For tests and failed loads. */
void pb_plugin_free(struct pb_plugin *p);

/* Index of an operation, or an action, by name, or -1. */
int pb_plugin_operation(const struct pb_plugin *p, pbay_str name);
int pb_plugin_action(const struct pb_plugin *p, pbay_str name);
