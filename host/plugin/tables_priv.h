/* SPDX-License-Identifier: MIT */
/* What the readers of tables have in common: tables.c, tables_actions.c. Threads: [loop]. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "plugin/tables.h"

/* "TABLE.FIELD is GOT, ABI 1.0 has WANT: ..."; returns -1. */
int pb_table_short(struct pb_err *err, const char *table, const char *field, size_t got, size_t want);
/* A table into the size known here; what the plugin does not have is zero. */
int pb_table_copy(void *dst, size_t size, const void *src, size_t min, const char *table, struct pb_err *err);
/* An array into this host's stride. Returns owned, NULL for an empty one or with err (*bad). */
void *pb_table_array(const void *src, uint32_t n, uint32_t stride, size_t size, size_t min, uint32_t max,
                     const char *array, bool *bad, struct pb_err *err);
/* [a-z][a-z0-9_]*; text that says something, in UTF-8. */
bool pb_table_name(const char *s);
bool pb_table_text(const char *s);
int pb_table_missing(struct pb_err *err, const char *table, const char *member, const char *because);
/* An option table of arguments becomes one of ours (options NULL on failure) and is checked. */
int pb_table_arguments(pbay_option_table *t, struct pb_err *err);

int pb_tables_actions(struct pb_plugin *p, const void *table, struct pb_err *err);
int pb_tables_events(struct pb_plugin *p, const void *table, struct pb_err *err);
