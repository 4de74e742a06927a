/* SPDX-License-Identifier: MIT */
/*
 * The two references that need nothing but this machine: env:NAME and file:PATH. Threads: any; file:
 * blocks.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { PB_RESOLVE_MAX = 64 * 1024 }; /* bytes of a referenced file */

/* Cut "scheme:rest" with a scheme of [a-z][a-z0-9]*. False: it is none. */
bool pb_resolve_split(pbay_str value, pbay_str *scheme, pbay_str *rest);
/*
 * As pb_resolve_fn (data/config.h) for `env` and `file`; 1 for any other scheme. A file's last line end is
 * cut off; relative paths start from dir. Errors: NOT_FOUND, INVALID_ARGUMENT; nothing of the content is
 * shown.
 */
int pb_resolve_local(const char *dir, pbay_str scheme, pbay_str rest, struct pb_buf *out, struct pb_err *err);
/* `path` as it is when absolute, else behind dir. Returns owned. */
char *pb_path_from(const char *dir, pbay_str path);
