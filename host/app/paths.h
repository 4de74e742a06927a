/* SPDX-License-Identifier: MIT */
/* Where things are when nobody says. Threads: main, before others start. */
#pragma once

#include "base/err.h"

/* patchbay.ini: ./patchbay.ini, then /etc/patchbay/patchbay.ini. NULL: neither is there. Returns owned. */
char *pb_path_config(void);
/* $STATE_DIRECTORY (systemd), /var/lib/patchbay for root, $XDG_STATE_HOME/patchbay or
 * ~/.local/state/patchbay. Owned. */
char *pb_path_state(void);
/* The plugins that came with this program: plugins/ beside it (a build), or the installed folder. Owned. */
char *pb_path_plugins(void);
/* This program. Owned. */
char *pb_path_self(void);
/*
 * Where the control socket stands: STATE/run when the state directory was named; else $RUNTIME_DIRECTORY
 * (systemd), what systemd made of it for a root who asks from outside, or STATE/run. Owned.
 */
char *pb_path_runtime(const char *given_state, const char *state);
/* Make a folder, 0700, and those above it. */
int pb_path_make(const char *path, struct pb_err *err);
