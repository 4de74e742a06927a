/* SPDX-License-Identifier: MIT */
/*
 * What a plugin says of itself (struct pb_plugin without its functions) as one run of bytes: so that a file
 * is loaded by a child process and known to one that never maps it. Inside of this room.
 */
#pragma once

#include "base/buf.h"
#include "plugin/loader.h"

/* Bytes of a description; no plugin comes near. */
#define PB_DESCRIPTION_MAX ((size_t)4 << 20)

void pb_describe(const struct pb_plugin *p, struct pb_buf *out);
/*
 * The same plugin, whose functions are those of apart.h: it runs in processes of its own. All that the loader
 * checks is checked again. path is for messages. 0 with *out, or -1 with err.
 */
int pb_described(pbay_str description, const char *path, struct pb_plugin **out, struct pb_err *err);
