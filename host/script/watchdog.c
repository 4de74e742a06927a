/* SPDX-License-Identifier: MIT */
/* One thread for all states of the process; it only ever reads two atomics of each. */
#include "script/watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

/* PATIENCE: budgets of wall time after which a stretch is stopped whatever the processor's time says. */
enum { TICK_MS = 10, IDLE_TICKS = 100, PATIENCE = 40 };

static pthread_mutex_t life =
    PTHREAD_MUTEX_INITIALIZER; /* around add and remove: one start or end at a time */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static struct pb_watch *watches; /* under lock */
static pthread_t thread;
static bool stopping; /* under lock */
static atomic_bool asleep;

/* What this thread is in the middle of. Local-exec storage: safe to touch in a handler. */
static _Thread_local struct pb_watch *volatile current;
static _Thread_local int own_tid;
static _Thread_local clockid_t own_clock;

static int late_signal(void)
{
    return SIGRTMIN + 6;
}

static void on_signal(int sig)
{
    (void)sig;
    int saved = errno;
    for (struct pb_watch *w = current; w; w = w->outer) {
        int64_t deadline = atomic_load_explicit(&w->deadline, memory_order_relaxed);
        if (deadline && atomic_load_explicit(&w->is_late, memory_order_relaxed) == deadline) w->late(w);
    }
    errno = saved;
}

/* The processor time of a watched thread, or -1 when it has ended. */
static int64_t cpu_of(struct pb_watch *w)
{
    struct timespec t;
    if (clock_gettime((clockid_t)atomic_load(&w->clock), &t)) return -1;
    return (int64_t)t.tv_sec * PB_SEC + t.tv_nsec;
}

/* Has the stretch used up its budget? The first look at it sets the mark that its time is counted from. */
static bool used_up(struct pb_watch *w, int64_t deadline, int64_t now)
{
    if (w->seen != deadline) {
        w->seen = deadline;
        w->cpu_ns = cpu_of(w);
    }
    if (now <= deadline) return false;
    int64_t budget = atomic_load(&w->budget), used = cpu_of(w) - w->cpu_ns;
    return used >= budget - 2 * TICK_MS * PB_MS || now - deadline > PATIENCE * budget;
}

/*
 * The handler walks all calls of a state, which takes longer than a tick when a script has nested some
 * hundred thousand of them: told every tick, the script would never come to the instruction that stops it. So
 * each wait is twice as long as the one before.
 */
static bool time_to_tell(struct pb_watch *w, int64_t deadline, int64_t now)
{
    if (atomic_load(&w->is_late) != deadline)
        w->gap_ns = TICK_MS * PB_MS;
    else if (now - w->told_ns < w->gap_ns)
        return false;
    else
        w->gap_ns *= 2;
    w->told_ns = now;
    atomic_store(&w->is_late, deadline);
    return true;
}

/* Under lock. True when something is running. */
static bool look(void)
{
    bool busy = false;
    int64_t now = pb_mono_ns();
    for (struct pb_watch *w = watches; w; w = w->next) {
        int64_t deadline = atomic_load(&w->deadline);
        if (!deadline) continue;
        busy = true;
        /* By number: the thread may have ended since, and then this is a harmless ESRCH. */
        if (!used_up(w, deadline, now) || !time_to_tell(w, deadline, now)) continue;
        syscall(SYS_tgkill, getpid(), atomic_load(&w->tid), late_signal());
    }
    return busy;
}

static void *watch(void *arg)
{
    (void)arg;
    unsigned idle = 0;
    pthread_mutex_lock(&lock);
    while (!stopping) {
        if (look()) idle = 0;
        if (++idle > IDLE_TICKS) {
            atomic_store(&asleep, true);
            /* A stretch that began before it could see that we sleep is seen here. */
            while (!stopping && atomic_load(&asleep) && !look()) pthread_cond_wait(&wake, &lock);
            atomic_store(&asleep, false);
            idle = 0;
            continue;
        }
        pthread_mutex_unlock(&lock);
        nanosleep(&(struct timespec){0, TICK_MS * PB_MS}, NULL);
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* Under lock: no signal but its own may end up in this thread. */
static void start_thread(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    PB_REQUIRE(sigaction(late_signal(), &action, NULL) == 0);
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    stopping = false;
    int rc = pthread_create(&thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    PB_REQUIRE(rc == 0);
}

void pb_watch_add(struct pb_watch *w)
{
    atomic_store(&w->deadline, 0);
    pthread_mutex_lock(&life);
    pthread_mutex_lock(&lock);
    w->next = watches;
    watches = w;
    if (!w->next) start_thread();
    pthread_mutex_unlock(&lock);
    pthread_mutex_unlock(&life);
}

void pb_watch_remove(struct pb_watch *w)
{
    pthread_mutex_lock(&life);
    pthread_mutex_lock(&lock);
    struct pb_watch **at = &watches;
    while (*at && *at != w) at = &(*at)->next;
    PB_REQUIRE(*at == w);
    *at = w->next;
    bool last = !watches;
    if (last) {
        stopping = true;
        pthread_cond_signal(&wake);
    }
    pthread_mutex_unlock(&lock);
    if (last) pthread_join(thread, NULL);
    pthread_mutex_unlock(&life);
}

void pb_watch_start(struct pb_watch *w, int64_t deadline_ns, int64_t budget_ns)
{
    if (!own_tid) {
        own_tid = (int)syscall(SYS_gettid);
        PB_REQUIRE(pthread_getcpuclockid(pthread_self(), &own_clock) == 0);
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, late_signal());
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    }
    w->outer = current;
    atomic_store_explicit(&w->tid, own_tid, memory_order_relaxed);
    atomic_store_explicit(&w->clock, (int)own_clock, memory_order_relaxed);
    atomic_store_explicit(&w->budget, budget_ns, memory_order_relaxed);
    current = w;
    atomic_store(&w->deadline, deadline_ns);
    if (atomic_load(&asleep)) {
        pthread_mutex_lock(&lock);
        atomic_store(&asleep, false);
        pthread_cond_signal(&wake);
        pthread_mutex_unlock(&lock);
    }
}

void pb_watch_stop(struct pb_watch *w)
{
    atomic_store_explicit(&w->deadline, 0, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    current = w->outer;
    atomic_signal_fence(memory_order_seq_cst);
}
