/* SPDX-License-Identifier: MIT */
/*
 * patchbay.ini, read and checked as far as it can be without plugins: which listeners, connectors and
 * functions an operator has written down. What a connector's or a function's own keys mean is checked when
 * the generation is built, because only the plugins know.
 *
 * Immutable once loaded. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "data/config.h"
#include "data/ini.h"

/* A section that may stand several times, with a name: [listen "sse"]. cfg NULL: checked later. */
struct pb_site_part {
    pbay_str name;
    const struct pb_ini_section *section;
    struct pbay_config *cfg;
};

struct pb_site_parts {
    struct pb_site_part *list;
    size_t n, cap;
};

struct pb_site {
    char *path; /* absolute */
    char *dir;  /* where it stands: relative paths start here */
    struct pb_ini *ini;
    struct pbay_config *store, *log, *plugins, *scripts, *limits, *jobs,
        *chains;      /* with their defaults when not written */
    char *script_dir; /* absolute */
    struct pb_site_parts listens, connectors, functions, qrags, routes, keys, issuers, queues, notifies;
};

/* Read the file (trusted: base/trust.h). NULL with err: FILE:LINE:COL, what is wrong, what was expected. */
struct pb_site *pb_site_load(const char *path, struct pb_err *err);
/*
 * The same in two steps. The first takes the text as it is now: *full is owned, the absolute path; returns a
 * memfd (owned, close-on-exec) or -1. What is built of it, now or in another process, is the same however the
 * file changes.
 */
int pb_site_snapshot(const char *path, char **full, struct pb_err *err) PB_NODISCARD;
struct pb_site *pb_site_load_fd(int fd, const char *full, struct pb_err *err);
void pb_site_free(struct pb_site *site);
/* For [connector] and [function] sections later: references resolved, relative paths from the file's
 * directory. */
struct pb_config_env pb_site_env(const struct pb_site *site);
/* What a reference gets that no connector resolves: 1, plain text; -1 with err: it looks like one. */
int pb_site_unresolved(pbay_str scheme, struct pb_err *err);

/* The host's own keys of each section; for checking, `patchbay help` and the reference. */
struct pb_section_doc {
    const char *kind;
    const char *doc;
    bool named;
    const pbay_option_table *options;
    const pbay_option_table *more; /* of another room; NULL: none */
};
extern const struct pb_section_doc pb_section_docs[];
extern const size_t pb_section_docs_n;
extern const pbay_option_table pb_function_options;
