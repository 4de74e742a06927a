/* SPDX-License-Identifier: MIT */
/*
 * Option tables: what keys a section may have, of which type, and what is said about them.
 *
 * The same table checks patchbay.ini, prints `patchbay help PLUGIN` and writes the reference. Tables come
 * from the host and from plugins; a plugin's is linted when it is loaded and believed afterwards.
 * Glossary: table, option, flags: patchbay/types.h. Threads: any; everything here only reads.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/*
 * What the text of a value says, by type: INT, BOOL, DURATION (ms), SIZE (bytes), ENUM (index) in i, NUM in
 * num.
 */
struct pb_option_value {
    int64_t i;
    double num;
};

/* Option i < t->count; its struct may be longer than the one known here. */
static inline const pbay_option *pb_option_at(const pbay_option_table *t, uint32_t i)
{
    return (const pbay_option *)(const void *)((const char *)t->options + (size_t)i * t->stride);
}

/*
 * The option that answers for a key: its own, or for "name.ANYTHING" the FAMILY "name". NULL when there is
 * none.
 */
const pbay_option *pb_option_find(const pbay_option_table *t, pbay_str key);

/*
 * Read one value, for every type (texts and lists set nothing, an empty FILE is refused), range and choices
 * checked.
 * Errors: INVALID_ARGUMENT with what is wrong and what is expected, without place and key; a SECRET is not
 * shown.
 */
int pb_option_parse(const pbay_option *opt, pbay_str text, struct pb_option_value *out, struct pb_err *err);

/*
 * Is a set of tables that stand in one section sound: names well-formed and unique, types and flags known,
 * ranges and defaults readable, docs there? Errors: INVALID_ARGUMENT naming the option and the field. NULL
 * tables are skipped.
 */
int pb_options_lint(const pbay_option_table *const *tables, size_t n, struct pb_err *err);
/* The same of the arguments of an action: capitals are allowed in names, FILE and SECRET are not. */
int pb_options_lint_arguments(const pbay_option_table *table, struct pb_err *err);

/* "whole number, 1..1000" : the type with its choices, appended. */
void pb_option_describe(const pbay_option *opt, struct pb_buf *out);
/* For a terminal, 78 columns, appended. */
void pb_options_help(const pbay_option_table *t, struct pb_buf *out);
/* A Markdown table, appended. */
void pb_options_markdown(const pbay_option_table *t, struct pb_buf *out);
