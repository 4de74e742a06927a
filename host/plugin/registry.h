/* SPDX-License-Identifier: MIT */
/*
 * The plugins of a worker: which files there are, which have been loaded, and the connectors made of them.
 *
 * Owner: app. Threads: [loop].
 */
#pragma once

#include <stddef.h>

#include "base/map.h"
#include "plugin/connector.h"
#include "plugin/env.h"
#include "plugin/loader.h"

struct pb_registry;

/* One file of a plugin directory, loaded or refused. */
struct pb_found {
    char *path;
    struct pb_plugin *plugin; /* NULL: refused */
    struct pb_err *why;       /* NULL: loaded */
};

/*
 * env is borrowed for the registry's life. probe: files are loaded by a child process, which describes them;
 * in this one they are mapped only for connectors with isolation = none. Returns owned.
 */
struct pb_registry *pb_registry_new(const struct pb_plugin_env *env, bool probe);
/* Every connector must have been closed. */
void pb_registry_free(struct pb_registry *r); /* NULL is fine */

/*
 * Load every *.so of a directory, in name order. A refused file is kept as such and found by
 * `pb_registry_find` with its reason; -1 only when the directory itself cannot be read or is not trusted. Of
 * two plugins with one name the one found first stays, the other is refused. May be called for several
 * directories.
 */
int pb_registry_scan(struct pb_registry *r, const char *dir, struct pb_err *err);
/* Load one file. */
int pb_registry_add(struct pb_registry *r, const char *path, struct pb_err *err);
/* A plugin compiled into the program. */
int pb_registry_adopt(struct pb_registry *r, const pbay_entry *(*get_entry)(void), struct pb_err *err);

/* By the name that `plugin =` says. NULL with err: what is there instead, or why the file was refused. */
struct pb_plugin *pb_registry_find(const struct pb_registry *r, pbay_str name, struct pb_err *err);
size_t pb_registry_count(const struct pb_registry *r);
const struct pb_found *pb_registry_at(const struct pb_registry *r, size_t i);

/* Connectors by their configured names; see connector.h for making them. */
struct pb_connector *pb_registry_connector(const struct pb_registry *r, pbay_str name);
size_t pb_registry_n_connectors(const struct pb_registry *r);
struct pb_connector *pb_registry_connector_at(const struct pb_registry *r, size_t i);
/* Are files tried in a child first, and connectors isolated unless they say otherwise? */
bool pb_registry_probes(const struct pb_registry *r);
const struct pb_plugin_env *pb_registry_env(const struct pb_registry *r);

/* Write the connectors' counts into env.metrics: before they are shown. */
void pb_registry_publish(struct pb_registry *r);
