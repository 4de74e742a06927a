/* SPDX-License-Identifier: MIT */
/* A command of credential_process: run by /bin/sh in the connector's work pool, what it writes collected. */
#pragma once

#include <signal.h>

#include <patchbay/host_work.h>

enum { PROCESS_OUT = 64 << 10 };

struct process {
    char *command;
    char *out; /* PROCESS_OUT bytes, n used */
    size_t n;
    char wrong[160]; /* "ended with 1", or empty */
    volatile sig_atomic_t stop;
    void (*done)(void *user, struct process *p);
    void *user;
};

/* [loop] done: on the loop, never from inside; the callee frees p. NULL: no thread. */
struct process *process_run(const pbay_host *host, const pbay_work_1 *work, const char *command,
                            void (*done)(void *user, struct process *p), void *user);
/* [loop] It ends soon, and done comes. */
void process_kill(struct process *p);
void process_free(struct process *p);
