/* SPDX-License-Identifier: MIT */
/*
 * A section checked against option tables: the values that host and plugins read (`struct pbay_config`, the
 * opaque type of patchbay/plugin.h; pbay_host's readers are the pb_config_* functions of the same names).
 *
 * Glossary
 *   reference   a value that names where the value is: `env:NAME`, `file:PATH`, or what a resolver knows.
 *               In quotes it is plain text. A resolved value is not resolved again.
 *   overlay     a configuration for one call: a base and the PER_CALL options the caller set
 *
 * Ownership: a configuration owns all its texts and wipes them when freed. It borrows the tables' strings:
 * the plugin stays loaded. Threads: built by one; then immutable, readers may be any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "data/ini.h"

struct pbay_config;

/*
 * Resolves references beside env: and file:. `scheme` is [a-z][a-z0-9]*, `rest` what follows the colon.
 * Returns 0 with the value appended to *out, 1 when it does not know the scheme (the value is then plain
 * text, such as a URL), or -1 with err filled, without place and key. Called by the thread that builds; may
 * block.
 */
typedef int pb_resolve_fn(void *user, pbay_str scheme, pbay_str rest, struct pb_buf *out, struct pb_err *err);

struct pb_config_env {
    const char *dir; /* absolute; what relative paths of FILE options and file: references start from */
    pb_resolve_fn *resolve; /* NULL: env: and file: only */
    void *user;
};

/*
 * Check a section against up to n tables taken as one (the host's own keys first, then the plugin's; NULL
 * entries are skipped; each set passed pb_options_lint). *out is the caller's: pb_config_free.
 * Of the section only doc->file, kind, name, line and the entries count: one that did not come from a file of
 * ours may be put together by hand (`quoted` set: the value is no reference). Python's [DEFAULT] is not
 * merged. Errors: INVALID_ARGUMENT, "FILE:LINE:COL: …" for unknown keys (with the nearest known one), values
 * that do not fit, missing REQUIRED options; NOT_FOUND for a reference to what is not there.
 */
int pb_config_make(const struct pb_ini_section *sec, const pbay_option_table *const *tables, size_t n,
                   const struct pb_config_env *env, struct pbay_config **out, struct pb_err *err);

/*
 * The same from a JSON object, one of whose members each option is: a LIST from an array, a FAMILY from an
 * object, any other from a text, a number or a boolean (a STR also from any other value, as its JSON text);
 * null is not given. Values are no references. more: members that no option knows are passed over. `what`
 * stands in front of messages: "arguments of aws.create_model". *out is the caller's: pb_config_free.
 */
int pb_config_from_json(const char *what, pbay_str json, const pbay_option_table *table, bool more,
                        struct pbay_config **out, struct pb_err *err);

struct pb_config_pair {
    pbay_str key;
    pbay_str value;
};

/*
 * The base with a call's own options over it: only PER_CALL ones, checked as in the file, references not
 * followed (a caller must not read our environment). A LIST or FAMILY replaces the base's whole. The base
 * must outlive *out, which is the caller's: pb_config_free. Errors: INVALID_ARGUMENT naming the option.
 */
int pb_config_overlay(const struct pbay_config *base, const struct pb_config_pair *pairs, size_t n,
                      struct pbay_config **out, struct pb_err *err);

/* Wipes and frees; NULL is fine. */
void pb_config_free(struct pbay_config *cfg);

/*
 * The readers, as patchbay/plugin.h describes them for pbay_host. An unknown name is logged once and reads
 * as unset.
 */
int pb_config_is_set(const struct pbay_config *cfg, const char *name);
int64_t pb_config_get_int(const struct pbay_config *cfg, const char *name);
double pb_config_get_num(const struct pbay_config *cfg, const char *name);
pbay_str pb_config_get_str(const struct pbay_config *cfg, const char *name);
uint32_t pb_config_count(const struct pbay_config *cfg, const char *name);
pbay_str pb_config_item(const struct pbay_config *cfg, const char *name, uint32_t i, pbay_str *key);
/*
 * Was the option written as a reference that was resolved? Its halves, and the directory that file: starts
 * from (dir may be NULL), borrowed as long as cfg.
 */
bool pb_config_reference(const struct pbay_config *cfg, const char *name, pbay_str *scheme, pbay_str *rest,
                         const char **dir);
pbay_str pb_config_where(const struct pbay_config *cfg, const char *name);

/* PBAY_OPT_* of the option; 0: the tables have no such one. */
uint32_t pb_config_type(const struct pbay_config *cfg, const char *name);
/* Did the operator (or the caller) write it? False for a default. */
int pb_config_is_given(const struct pbay_config *cfg, const char *name);
/*
 * Fill err with "FILE:LINE: NAME: text" for an option whose value host or plugin finds wrong later. Returns
 * -1.
 */
int pb_config_fail(const struct pbay_config *cfg, const char *name, struct pb_err *err, const char *fmt, ...)
    PB_PRINTF(4, 5);
