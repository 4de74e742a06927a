/* SPDX-License-Identifier: MIT */
/*
 * Trying a plugin in a child process first: one that crashes or hangs on loading never reaches a worker.
 *
 * The child is this program as `patchbay plugin-probe FILE`, with limits on time, memory and files. Results
 * are kept in memory by (device, inode, mtime, size). Blocks for up to 5 s on a file not seen before: at
 * start, not on a loop that serves. Threads: one.
 */
#pragma once

#include "base/err.h"

/* The program to run as `PROGRAM plugin-probe FILE`; default /proc/self/exe. Borrowed for ever. */
void pb_probe_program(const char *program);
/* As it stands. */
const char *pb_probe_program_path(void);
struct pb_plugin;
/*
 * 0: it loads and describes itself: *out, which is the caller's (describe.h; its fd is still to be set). -1:
 * err is the loader's refusal, or how the child died.
 */
int pb_plugin_probe(const char *path, struct pb_plugin **out, struct pb_err *err);
/* What the child does: loads argv's file, prints a line, writes the description to PB_PROBE_FD, returns its
 * exit status. Called by main. */
enum { PB_PROBE_FD = 3 };
int pb_probe_child(const char *path);
