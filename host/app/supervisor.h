/* SPDX-License-Identifier: MIT */
/*
 * `patchbay run` with workers: a small process that owns the listening sockets, hands each connection to the
 * worker with the fewest, and keeps workers alive. It loads no plugin and no script, so that nothing of
 * theirs can take it down.
 *
 * Glossary
 *   crew   the workers of one generation: they were started from one text of the configuration
 *   seat   a place of a crew; who dies is replaced in his seat
 *
 *     first crew healthy -> `ready`  ( reload: next crew healthy -> it takes over, the old one drains ) drain
 * -> end
 *
 * Threads: main.
 */
#pragma once

struct pb_supervisor_options {
    const char *config; /* path */
    const char *state_dir;
    const char *runtime_dir; /* of the control socket */
    unsigned workers;        /* 1 .. PB_PAGE_WORKERS */
    char **argv;             /* what starts it anew: see app/renew.c */
};

/* Serve until SIGTERM or SIGINT. The exit code: 0 after a drain, 1 when it could not start or calls were
 * lost. */
int pb_supervisor_run(const struct pb_supervisor_options *options);
