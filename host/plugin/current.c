/* SPDX-License-Identifier: MIT */
#include "plugin/current.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "plugin/connector_priv.h"

enum { SLOW_MS = 5, LOG_EVERY_S = 60 };

_Thread_local struct pb_current pb_current;
_Thread_local struct pb_page_mark *pb_current_mark;

static void put(char *to, size_t cap, const char *from)
{
    if (!from) from = "";
    size_t n = strnlen(from, cap - 1);
    memcpy(to, from, n);
    to[n] = 0;
}

/* The supervisor reads it only when this process is gone, so its parts need no order among themselves. */
static void mark(const struct pb_current *now)
{
    struct pb_page_mark *m = pb_current_mark;
    if (now->connector) {
        put(m->connector, sizeof m->connector, now->name);
        put(m->function, sizeof m->function, now->function);
        put(m->what, sizeof m->what, now->what);
    }
    atomic_store_explicit(&m->inside, now->connector != NULL, memory_order_release);
}

void pb_visit_enter(struct pb_visit *v, struct pb_connector *c, const char *what, const char *function)
{
    v->before = pb_current;
    pb_current = (struct pb_current){c, c->name, what, function, {NULL, 0}};
    if (pb_current_mark) mark(&pb_current);
    v->start_ns = pb_mono_coarse_ns();
}

static int64_t tick_ns(void)
{
    static _Atomic int64_t tick;
    int64_t t = atomic_load_explicit(&tick, memory_order_relaxed);
    if (t) return t;
    struct timespec r = {0, 4 * PB_MS};
    clock_getres(CLOCK_MONOTONIC_COARSE, &r);
    t = r.tv_nsec;
    atomic_store_explicit(&tick, t, memory_order_relaxed);
    return t;
}

static void slow(struct pb_connector *c, const char *what, int64_t now, int64_t took)
{
    if (pb_connector_apart(c)) return; /* waiting for its process, which says so itself */
    if (c->slow_logged_ns && now - c->slow_logged_ns < LOG_EVERY_S * PB_SEC) return;
    c->slow_logged_ns = now;
    pb_log(PB_LOG_WARN, "plugin", "a plugin blocked the loop", PB_S("plugin", c->plugin->name),
           PB_S("connector", c->name), PB_S("in", what), PB_F("ms", (double)took / (double)PB_MS));
}

void pb_visit_leave(struct pb_visit *v)
{
    int64_t now = pb_mono_coarse_ns(), took = now - v->start_ns;
    /* Between two ticks lies up to one tick less. */
    if (PB_UNLIKELY(took > SLOW_MS * PB_MS + tick_ns()))
        slow(pb_current.connector, pb_current.what, now, took);
    pb_current = v->before;
    if (pb_current_mark) mark(&pb_current);
}

/* ------------------------------------------------------------------------------------------------ taken
 * along */

enum { LOOK_S = 5 };

static const char *teller;

/* Signal-safe. */
static void tell(const char *did)
{
    const struct pb_current *now = &pb_current;
    const char *const parts[] = {teller,        ": connector \"",
                                 now->name,     "\": its plugin ",
                                 did,           " in ",
                                 now->what,     now->function ? " of " : "",
                                 now->function, "\n"};
    for (size_t i = 0; i < PB_COUNTOF(parts); i++)
        if (parts[i] && write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0) return;
}

static const struct {
    int sig;
    const char *did;
} deadly[] = {
    {SIGSEGV, "crashed (SEGV)"}, {SIGBUS, "crashed (BUS)"},   {SIGFPE, "crashed (FPE)"},
    {SIGILL, "crashed (ILL)"},   {SIGABRT, "crashed (ABRT)"},
};

/* The handler is gone when it returns (SA_RESETHAND): what follows is what would have come without it. */
static void on_crash(int sig)
{
    for (size_t i = 0; pb_current.connector && i < PB_COUNTOF(deadly); i++)
        if (deadly[i].sig == sig) tell(deadly[i].did);
}

static void hear(int sig)
{
    struct sigaction old, act = {.sa_handler = on_crash, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};
    if (!sigaction(sig, NULL, &old) && !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL)
        sigaction(sig, &act, NULL);
}

/* Not of SIGABRT: who aborts has said why, the mock host above all. */
void pb_current_tell_crashes(const char *who)
{
    teller = who;
    for (size_t i = 0; i < PB_COUNTOF(deadly); i++)
        if (deadly[i].sig != SIGABRT) hear(deadly[i].sig);
}

static void at_exit(void)
{
    if (pb_current.connector) tell("ended the process");
}

/* Found in the same place twice. */
static void on_look(int sig)
{
    static struct pb_current before;
    const struct pb_current *now = &pb_current;
    (void)sig;
    if (now->connector && now->connector == before.connector && now->what == before.what &&
        !pb_connector_apart(now->connector)) {
        tell("has not returned for seconds and is given up,");
        _exit(1);
    }
    before = *now;
    alarm(LOOK_S);
}

void pb_current_tell_ends(const char *who)
{
    const struct sigaction act = {.sa_handler = on_look, .sa_flags = SA_RESTART};
    pb_current_tell_crashes(who);
    hear(SIGABRT);
    atexit(at_exit);
    sigaction(SIGALRM, &act, NULL);
    alarm(LOOK_S);
}
