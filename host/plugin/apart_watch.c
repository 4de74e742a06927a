/* SPDX-License-Identifier: MIT */
/* How a connector's process does: whether it gets on, what it uses, and how it ended. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "plugin/apart_priv.h"

enum { PING_MAX_MS = 2500, CPU_WINDOW_S = 60 };

/* ----------------------------------------------------------------------------------------------- watching */

/* The kernel ends it when it has used what it may until then. */
static void more_cpu(struct pb_apart *a, int64_t now)
{
    clockid_t clock;
    struct timespec used;
    struct rlimit r;
    if (!a->cpu_ms || !a->pid || now < a->cpu_until_ns) return;
    a->cpu_until_ns = now + CPU_WINDOW_S * PB_SEC;
    if (clock_getcpuclockid(a->pid, &clock) || clock_gettime(clock, &used)) return;
    if (prlimit(a->pid, RLIMIT_CPU, NULL, &r)) return;
    r.rlim_cur = (rlim_t)used.tv_sec + (rlim_t)(a->cpu_ms / 1000);
    if (r.rlim_cur > r.rlim_max) r.rlim_cur = r.rlim_max;
    prlimit(a->pid, RLIMIT_CPU, &r, NULL);
}

/* Did it end, and a child that it left has the socket still? Else the pipe would have said so. */
static bool has_ended(const struct pb_apart *a)
{
    siginfo_t how = {0};
    return !waitid(P_PID, (id_t)a->pid, &how, WEXITED | WNOHANG | WNOWAIT) && how.si_pid == a->pid;
}

static void set_ping(struct pb_apart *a)
{
    int64_t ms = a->hang_ms / 4;
    pb_timer_set(a->c->env->loop, &a->ping, ms > PING_MAX_MS ? PING_MAX_MS : ms < 10 ? 10 : ms);
}

static void ping(void *user)
{
    struct pb_apart *a = user;
    int64_t now = pb_mono_ns();
    if (!a->pipe) return;
    set_ping(a);
    more_cpu(a, now);
    if (has_ended(a))
        pb_pipe_hang_up(a->pipe);
    else if (!a->pinged_ns) {
        a->pinged_ns = now;
        pb_pipe_send(a->pipe, PB_APART_PING, 0);
    } else if (now - a->pinged_ns > a->hang_ms * PB_MS) {
        /* Perhaps it was the worker that stood still: what is there is read first. */
        if (a->suspected)
            pb_apart_kill(a, "did not answer for %lld ms (process_hang)", (long long)a->hang_ms);
        a->suspected = true;
    }
}

void pb_apart_watch(struct pb_apart *a)
{
    a->pinged_ns = 0;
    a->cpu_until_ns = pb_mono_ns() + CPU_WINDOW_S * PB_SEC;
    a->ping = (struct pb_timer){.fn = ping, .user = a};
    set_ping(a);
}

void pb_apart_kill(struct pb_apart *a, const char *fmt, ...)
{
    va_list ap;
    if (!a->pid || a->why[0]) return;
    va_start(ap, fmt);
    vsnprintf(a->why, sizeof a->why, fmt, ap);
    va_end(ap);
    /* What follows, the end of the pipe brings, which comes when there is hardly anything left of the
     * process: to wait for that here could be long. */
    kill(a->pid, SIGKILL);
}

void pb_apart_nonsense(struct pb_apart *a, const char *what)
{
    pb_apart_kill(a, "said what cannot be (%s)", what);
}

void pb_apart_stuck(struct pb_connector *c, const char *what)
{
    struct pb_apart *a = c->self;
    pb_apart_kill(a, "%s", what);
}

int pb_apart_pid(const struct pb_connector *c)
{
    const struct pb_apart *a = c->plugin->apart ? c->self : NULL;
    return a ? (int)a->pid : 0;
}

/* ------------------------------------------------------------------------------------------- how it ended */

static void said(char *to, size_t cap, const char *fmt, ...) PB_PRINTF(3, 4);
static void said(char *to, size_t cap, const char *fmt, ...)
{
    size_t n = strlen(to);
    va_list ap;
    va_start(ap, fmt);
    if (n < cap) vsnprintf(to + n, cap - n, fmt, ap);
    va_end(ap);
}

/* Of the page: text that a broken process may have left without an end. */
static void what_it_ran(const struct pb_apart_page *page, char *to, size_t cap)
{
    const struct pb_page_mark *m = &page->mark;
    if (!atomic_load(&m->inside)) return;
    said(to, cap, ", in %.*s", (int)strnlen(m->what, sizeof m->what), m->what);
    if (m->function[0])
        said(to, cap, " of \"%.*s\"", (int)strnlen(m->function, sizeof m->function), m->function);
    for (char *c = to; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~') *c = '?';
}

static void how_it_ended(struct pb_apart *a, int status, const struct rusage *used)
{
    char *to = a->last;
    const size_t cap = sizeof a->last;
    to[0] = 0;
    bool signaled = status >= 0 && WIFSIGNALED(status);
    if (a->why[0])
        said(to, cap, "was ended because it %s", a->why);
    else if (signaled && WTERMSIG(status) == SIGXCPU)
        said(to, cap, "used more than process_cpu = %lld s of CPU within a minute",
             (long long)(a->cpu_ms / 1000));
    else if (signaled)
        said(to, cap, "was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (status >= 0 && WIFEXITED(status))
        said(to, cap, "ended itself with status %d", WEXITSTATUS(status));
    else
        said(to, cap, "ended");
    what_it_ran(a->page, to, cap);
    int64_t most = (int64_t)used->ru_maxrss * 1024, data = atomic_load(&a->page->data);
    if (data > most) most = data;
    /* Allocators ask for much at once, so what was refused may have been a good part of the whole. */
    if (a->memory && !a->why[0] && most > a->memory / 2)
        said(to, cap, ", with %lld MiB in use of process_memory = %lld MiB", (long long)(most >> 20),
             (long long)(a->memory >> 20));
}

static int reap(struct pb_apart *a, int64_t patience_ms, struct rusage *used)
{
    int status = -1;
    bool killed = false;
    memset(used, 0, sizeof *used);
    for (int64_t ms = 0;; ms++) {
        pid_t got = wait4(a->pid, &status, ms > patience_ms ? 0 : WNOHANG, used);
        if (got == a->pid || (got < 0 && errno != EINTR)) break;
        if (ms == patience_ms) killed = !kill(a->pid, SIGKILL);
        struct timespec one = {0, PB_MS};
        if (ms < patience_ms) nanosleep(&one, NULL);
    }
    a->pid = 0;
    if (killed && !a->why[0] && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        snprintf(a->why, sizeof a->why, "closed its socket, or said what is no message");
    return status;
}

void pb_apart_reap(struct pb_apart *a, int64_t patience_ms)
{
    struct rusage used;
    pb_timer_cancel(&a->ping);
    if (!a->pid) return;
    int status = reap(a, patience_ms, &used);
    how_it_ended(a, status, &used);
}
