/* SPDX-License-Identifier: MIT */
#include "aws_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT_S = 60, TICK_MS = 200 };

extern char **environ;

/* In a group and session of its own, so that all of it can be ended. */
static int start(const char *command, pid_t *pid)
{
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t all, none;
    int fd[2];
    if (pipe2(fd, O_CLOEXEC)) return -1;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, fd[1], 1);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setsigmask(&attr, &none);
    int rc = posix_spawn(pid, "/bin/sh", &fa, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&attr);
    close(fd[1]);
    if (rc) {
        close(fd[0]);
        return -1;
    }
    return fd[0];
}

static int64_t now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static void collect(struct process *p, int fd)
{
    int64_t until = now_s() + LIMIT_S;
    while (!p->wrong[0]) {
        struct pollfd pf = {fd, POLLIN, 0};
        int k = poll(&pf, 1, TICK_MS);
        if (p->stop || now_s() > until)
            snprintf(p->wrong, sizeof p->wrong, "%s", p->stop ? "was stopped" : "did not end within 60 s");
        if (k < 0 && errno != EINTR)
            snprintf(p->wrong, sizeof p->wrong, "cannot be read: %s", strerror(errno));
        if (k <= 0) continue;
        ssize_t n = read(fd, p->out + p->n, PROCESS_OUT - p->n);
        if (n == 0) return;
        if (n > 0 && (p->n += (size_t)n) == PROCESS_OUT)
            snprintf(p->wrong, sizeof p->wrong, "writes more than 64 KiB");
        if (n < 0 && errno != EINTR) return;
    }
}

static void work(void *user, uint32_t slot)
{
    struct process *p = user;
    pid_t pid = 0;
    int status = 0;
    (void)slot;
    int fd = start(p->command, &pid);
    if (fd < 0) {
        snprintf(p->wrong, sizeof p->wrong, "cannot be started: %s", strerror(errno));
        return;
    }
    collect(p, fd);
    close(fd);
    if (p->wrong[0]) kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (p->wrong[0]) return;
    if (WIFSIGNALED(status))
        snprintf(p->wrong, sizeof p->wrong, "was ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status))
        snprintf(p->wrong, sizeof p->wrong, "ended with %d%s", WEXITSTATUS(status),
                 WEXITSTATUS(status) == 127 ? ": there is no such program" : "");
}

static void finished(void *user, int cancelled)
{
    struct process *p = user;
    if (cancelled) snprintf(p->wrong, sizeof p->wrong, "was not started: the connector stops");
    p->done(p->user, p);
}

struct process *process_run(const pbay_host *host, const pbay_work_1 *svc, const char *command,
                            void (*done)(void *user, struct process *p), void *user)
{
    struct process *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->command = strdup(command);
    p->out = malloc(PROCESS_OUT);
    if (!p->command || !p->out) abort();
    p->done = done;
    p->user = user;
    if (svc->submit(host, work, finished, p) == PBAY_OK) return p;
    process_free(p);
    return NULL;
}

void process_kill(struct process *p)
{
    p->stop = 1;
}

void process_free(struct process *p)
{
    memset(p->out, 0, PROCESS_OUT);
    free(p->out);
    free(p->command);
    free(p);
}
