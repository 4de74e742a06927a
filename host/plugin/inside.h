/* SPDX-License-Identifier: MIT */
/*
 * `isolation = process`: the process of one connector, `patchbay plugin-host CONNECTOR FILE PARENT`.
 *
 * It has what a worker has as far as a plugin can tell: a loop, a registry with one plugin and one connector
 * (connector.h). Services that need nothing of the house run here: batch, crypto, http, log, stream, timer,
 * work, ws. All others are tables of functions that ask the worker (inside_*.c); those that must answer at
 * once stand still until it has.
 *
 * It ends when it is told to, when its worker has gone, and when what it reads is no message. Threads:
 * [loop], but for what the SDK allows from [any].
 */
#pragma once

/* The descriptors of apart_page.h are open. Returns the exit status. */
int pb_inside_main(const char *connector, const char *file, int parent);
