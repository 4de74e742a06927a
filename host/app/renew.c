/* SPDX-License-Identifier: MIT */
/*
 * A restart in which nobody is refused: the supervisor becomes the new program, in the same process, and
 * takes its listening sockets along, as systemd hands sockets over. Its workers are still its children; they
 * hear that it is gone, send GOAWAY, end their calls and then themselves, while those of the new program
 * serve.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/supervisor_priv.h"

#include "app/paths.h"
#include "base/log.h"
#include "base/mem.h"

enum { FIRST_FD = 3, HIGH_FD = 512, SOCKETS_MAX = 64 };

/* What would end the new program before it listens to signals. It takes the block away itself. */
static void hold_signals(int how)
{
    static const int signums[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < PB_COUNTOF(signums); i++) sigaddset(&set, signums[i]);
    sigprocmask(how, &set, NULL);
}

void pb_renewed(void)
{
    hold_signals(SIG_UNBLOCK);
}

/* Where the program stands: another may stand there since an upgrade. */
static char *program(void)
{
    static const char deleted[] = " (deleted)";
    char *self = pb_path_self();
    size_t n = strlen(self), d = sizeof deleted - 1;
    if (n > d && strcmp(self + n - d, deleted) == 0) self[n - d] = 0;
    return self;
}

struct taken {
    int fds[SOCKETS_MAX];
    size_t n;
    struct pb_buf names;
};

static void take(void *user, const char *name, int fd)
{
    struct taken *t = user;
    if (t->n == SOCKETS_MAX) return;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
    if (high < 0) return;
    t->fds[t->n++] = high;
    if (t->names.n) pb_buf_ch(&t->names, ':');
    /* A colon would end the name; such a one is found by its address. */
    pb_buf_c(&t->names, strchr(name, ':') ? "" : name);
}

/* Does not return. */
static void become(struct pb_supervisor *s)
{
    struct taken t = {.n = 0};
    char number[16];
    char *self = program();
    pb_log(PB_LOG_INFO, "app", "starting the program anew, in this process", PB_S("program", self),
           PB_I("pid", getpid()));
    pb_log_flush();
    hold_signals(SIG_BLOCK);
    pb_sockets_fds(s->sockets, take, &t);
    pb_buf_ch(&t.names, 0);
    /* From here on there is no way back: these numbers belonged to others until now. */
    for (size_t i = 0; i < t.n; i++)
        if (dup2(t.fds[i], FIRST_FD + (int)i) < 0) _exit(1);
    snprintf(number, sizeof number, "%zu", t.n);
    setenv("LISTEN_FDS", number, 1);
    setenv("LISTEN_FDNAMES", t.names.p, 1);
    snprintf(number, sizeof number, "%d", (int)getpid());
    setenv("LISTEN_PID", number, 1);
    execv(self, s->o->argv);
    fprintf(stderr, "patchbay: %s cannot be run: %s\n", self, strerror(errno));
    _exit(1);
}

static void answer(struct pb_supervisor *s, const char *text)
{
    if (s->renew_call) pb_control_answer(s->renew_call, text);
    s->renew_call = NULL;
}

static void refuse(struct pb_supervisor *s, const char *why)
{
    char text[256];
    snprintf(text, sizeof text, "error: %s\n", why);
    pb_log(PB_LOG_ERROR, "app", "restart refused; everything goes on as before", PB_S("why", why));
    answer(s, text);
}

void pb_renew(struct pb_supervisor *s, struct pb_control_call *call)
{
    if (s->checker || s->next || s->stopping || !s->current) {
        if (call) pb_control_answer(call, "error: a start, a reload or a stop is under way; try again\n");
        return;
    }
    s->renew_call = call;
    PB_AUTO_FREE char *self = program();
    pb_log_flush();
    s->checker = fork();
    if (s->checker == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 0);
        dup2(null, 1);
        char check[] = "check", config[] = "--config", state[] = "--state";
        char *argv[] = {s->o->argv[0], check,
                        config,        (char *)(uintptr_t)s->o->config,
                        state,         (char *)(uintptr_t)s->o->state_dir,
                        NULL};
        execv(self, argv);
        fprintf(stderr, "patchbay: %s cannot be run: %s\n", self, strerror(errno));
        _exit(127);
    }
    if (s->checker > 0) return;
    s->checker = 0;
    refuse(s, "the program that checks the configuration cannot be started");
}

static void checked(struct pb_supervisor *s, int status)
{
    s->checker = 0;
    if (status != 0) {
        refuse(s, "`patchbay check` of the program does not like the configuration; the log says why");
        return;
    }
    if (s->stopping || s->next) {
        refuse(s, "a reload or a stop came in between");
        return;
    }
    answer(s, "ok: the program starts anew with its sockets\n");
    become(s);
}

bool pb_renew_reap(struct pb_supervisor *s)
{
    siginfo_t info = {.si_pid = 0};
    int status;
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid) return false;
    for (const struct pb_process *p = s->processes; p; p = p->next)
        if (p->pid == info.si_pid) return false;
    if (waitpid(info.si_pid, &status, 0) != info.si_pid) return false;
    if (info.si_pid == s->checker) checked(s, status);
    return true;
}
