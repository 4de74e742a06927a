/* SPDX-License-Identifier: MIT */
/*
 * [connector] and [function] sections as the gateway reads them, as far as a plugin sees of it. Shared by
 * patchbay-check and the mock host, which know nothing of the rooms behind plugins.
 */
#pragma once

#include <patchbay/functions.h>

#include "base/err.h"
#include "data/config.h"
#include "data/ini.h"
#include "plugin/registry.h"

enum { PB_DECLARED_COLUMNS = 64 };

/* A function that was read; bound by who wants it. */
struct pb_declared {
    struct pb_declared *next;
    char *name;
    uint32_t operation;
    struct pbay_config *config;
    pbay_field sends[PB_DECLARED_COLUMNS], answers[PB_DECLARED_COLUMNS];
    uint32_t n_sends, n_answers;
    struct pb_op *op;
};

/* The host's keys of [function "NAME"], read as texts and lists; unit/sdk compares them with the gateway's.
 */
extern const pbay_option_table pb_declared_keys;

/*
 * The first [connector] section of the plugin; NULL: there is none. ini NULL is fine.
 */
const struct pb_ini_section *pb_declared_connector(const struct pb_ini *ini, const struct pb_plugin *p);
/* Is it a function of this plugin: bound to `connector` (the section's name), or to none? */
bool pb_declared_is(const struct pb_ini_section *section, pbay_str connector);
/*
 * Read a [function] section: which operation, its options, its columns. params default to none, answers to
 * `returns`, that to num. Returns owned, or NULL with err.
 */
struct pb_declared *pb_declared_new(const struct pb_ini_section *section, const struct pb_plugin *p,
                                    const char *dir, struct pb_err *err);
/* 0 with d->op; -1 with err: refused. */
int pb_declared_bind(struct pb_declared *d, struct pb_connector *c, struct pb_err *err);
/* It must be unbound. NULL is fine. */
void pb_declared_free(struct pb_declared *d);
