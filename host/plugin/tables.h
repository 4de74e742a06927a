/* SPDX-License-Identifier: MIT */
/*
 * From what a plugin's entry points to, to tables of this host's own size, checked. Inside of this room.
 *
 * Tables carry their size and arrays their stride: a plugin built against older headers gets zeros for what
 * it does not know, one built against newer headers has its tail ignored. Threads: [loop].
 */
#pragma once

#include "plugin/loader.h"

/* Fill everything of *p but path and dl. 0, or -1 with err that names table and field; then
 * pb_plugin_free(p). */
int pb_tables_read(struct pb_plugin *p, const pbay_entry *entry, struct pb_err *err);
