/* SPDX-License-Identifier: MIT */
/*
 * May this file decide what the gateway does? Plugins, scripts and configuration are code: whoever can change
 * them owns the process.
 *
 * A file is trusted when it is a regular file owned by root or the running user, writable by nobody else, and
 * every directory above it likewise (a world-writable one only with the sticky bit, as /tmp has it). The
 * checks are made on the opened descriptor, which is the one to read or to load from: nobody can swap the
 * file in between. Threads: any.
 */
#pragma once

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"

/*
 * Open path for reading and check it. Returns a descriptor (owned, close-on-exec), or -1 with err: NOT_FOUND,
 * PERMISSION_DENIED with the path, the owner and the mode at fault and the command that mends it.
 */
int pb_trust_open(const char *path, struct pb_err *err) PB_NODISCARD;
/* The same for a directory. */
int pb_trust_open_dir(const char *path, struct pb_err *err) PB_NODISCARD;
/* A file inside a directory that was opened and checked; name has no slash. */
int pb_trust_open_at(int dir, const char *dir_path, const char *name, struct pb_err *err) PB_NODISCARD;
