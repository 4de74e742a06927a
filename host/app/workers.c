/* SPDX-License-Identifier: MIT */
/* Worker processes: started, told, buried. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/channel.h"
#include "app/leash.h"
#include "app/supervisor_priv.h"
#include "base/log.h"
#include "loop/bell.h"
#include "base/mem.h"
#include "guard/quota.h"

/* A loop that has not turned for so long will not turn again: the longest script budget is a minute. */
enum { HUNG_S = 120 };

/* ------------------------------------------------------------------------------------------------ start */

/* In the child. What is inherited goes to its fixed place, from above so that nothing is overwritten. */
static void place(const int from[3])
{
    int high[3];
    for (int i = 0; i < 3; i++)
        if ((high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 16)) < 0) _exit(126);
    for (int i = 0; i < 3; i++)
        if (dup2(high[i], PB_LEASH_CHANNEL + i) < 0) _exit(126);
}

static void run_child(const struct pb_crew *crew, const struct pb_supervisor *s, uint32_t slot, int channel)
{
    char slot_text[16], generation[16];
    snprintf(slot_text, sizeof slot_text, "%u", slot);
    snprintf(generation, sizeof generation, "%u", crew->number);
    const int fds[3] = {channel, s->page_fd, crew->config_fd};
    place(fds);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    execl("/proc/self/exe", "patchbay", "worker", "--config", crew->config, "--state", s->o->state_dir,
          "--slot", slot_text, "--generation", generation,
          crew == s->next && s->current ? "--trial" : (char *)NULL, (char *)NULL);
    _exit(127);
}

static int free_slot(const struct pb_supervisor *s)
{
    bool used[PB_PAGE_ROWS] = {false};
    for (const struct pb_process *p = s->processes; p; p = p->next) used[p->slot] = true;
    for (int i = 0; i < PB_PAGE_ROWS; i++)
        if (!used[i]) return i;
    return -1;
}

/* ------------------------------------------------------------------------------------------------
 * connections */

bool pb_process_give(struct pb_process *p, const char *name, int fd)
{
    if (pb_msg_send(p->channel, PB_MSG_CONN, name, NULL, fd, false)) return false;
    struct pb_sent_conn *c = pb_zalloc(sizeof *c);
    c->fd = fd;
    snprintf(c->name, sizeof c->name, "%s", name);
    *p->sent_end = c;
    p->sent_end = &c->next;
    p->handed++;
    return true;
}

/* The oldest that it had not said to have. */
static struct pb_sent_conn *pop(struct pb_process *p)
{
    struct pb_sent_conn *c = p->sent;
    if (c && !(p->sent = c->next)) p->sent_end = &p->sent;
    return c;
}

static void forget_conn(struct pb_process *p)
{
    struct pb_sent_conn *c = pop(p);
    if (c) close(c->fd);
    pb_free(c);
}

/* It has ended: what it never had goes to others. */
static void give_again(struct pb_process *p)
{
    for (struct pb_sent_conn *c; (c = pop(p));) {
        if (p->s->stopping || !pb_supervisor_give(p->s, c->name, c->fd)) close(c->fd);
        pb_free(c);
    }
}

/* ------------------------------------------------------------------------------------------------ messages
 */

static void answer_listen(struct pb_process *p, const struct pb_msg *m)
{
    char where[PB_BOUND_NAME];
    struct pb_err err;
    if (pb_sockets_want(p->s->sockets, p->crew->number, m->name, m->text, where, &err))
        pb_msg_send(p->channel, PB_MSG_REFUSED, m->name, err.msg, -1, false);
    else
        pb_msg_send(p->channel, PB_MSG_LISTENING, m->name, where, -1, false);
}

static void hear(struct pb_process *p, const struct pb_msg *m)
{
    if (m->fd >= 0) close(m->fd);
    switch (m->type) {
    case PB_MSG_LISTEN: answer_listen(p, m); return;
    case PB_MSG_READY:
        p->ready_ns = pb_mono_ns();
        if (p->state != PB_WORKER_STARTING) return; /* told to leave meanwhile */
        p->state = PB_WORKER_SERVING;
        snprintf(p->crew->functions, sizeof p->crew->functions, "%.31s", m->text);
        pb_supervisor_ready(p);
        return;
    case PB_MSG_TAKEN: forget_conn(p); return;
    case PB_MSG_FAILED:
        memcpy(p->why, m->text, sizeof p->why);
        p->told = true;
        return;
    case PB_MSG_LEAVE:
        pb_log(PB_LOG_INFO, "app", "a worker was asked to end and is replaced", PB_I("worker", p->slot),
               PB_I("pid", p->pid));
        if (p->seat) {
            struct pb_seat *seat = p->seat;
            pb_process_leave(p, false, "it was asked to end", p->crew->drain_ms + 5000);
            pb_supervisor_ended(p, seat, "it was asked to end");
        }
        return;
    default: return;
    }
}

static void on_readable(void *user)
{
    struct pb_process *p = user;
    struct pb_msg m;
    for (int i = 0; i < 16 && p->watch; i++) {
        int rc = pb_msg_receive(p->channel, &m, false);
        if (rc == 0) return;
        if (rc < 0) {
            pb_watch_close(p->watch);
            p->watch = NULL;
            return;
        }
        hear(p, &m);
    }
}

int pb_process_start(struct pb_seat *seat, struct pb_err *err)
{
    struct pb_crew *crew = seat->crew;
    struct pb_supervisor *s = crew->s;
    int slot = free_slot(s), ends[2];
    if (slot < 0) return pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "all %d worker slots are taken", PB_PAGE_ROWS);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return pb_fail(err, PBAY_INTERNAL, "a channel to a worker cannot be made: %s", strerror(errno));
    pb_log_flush();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) run_child(crew, s, (uint32_t)slot, ends[1]);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return pb_fail(err, PBAY_INTERNAL, "a worker cannot be started: %s", strerror(errno));
    }
    struct pb_process *p = pb_zalloc(sizeof *p);
    *p = (struct pb_process){
        .next = s->processes, .s = s, .crew = crew, .seat = seat, .slot = (uint32_t)slot, .pid = pid};
    p->row = &s->page->rows[slot];
    p->state = PB_WORKER_STARTING;
    p->channel = ends[0];
    p->sent_end = &p->sent;
    p->started_ns = pb_mono_ns();
    s->processes = p;
    crew->n_processes++;
    seat->process = p;
    p->watch = pb_watch_open(s->loop, p->channel, on_readable, p, err);
    return 0; /* without a watch it starts too late and is killed then; there is memory for one */
}

/* ------------------------------------------------------------------------------------------------ end */

static void kill_now(void *user)
{
    struct pb_process *p = user;
    pb_log(PB_LOG_WARN, "app", "a worker did not end in time and is killed", PB_I("worker", p->slot),
           PB_I("pid", p->pid));
    p->late = true;
    kill(p->pid, SIGKILL);
}

void pb_process_leave(struct pb_process *p, bool at_once, const char *why, int64_t kill_ms)
{
    if (p->seat) p->seat->process = NULL;
    p->seat = NULL;
    p->state = PB_WORKER_LEAVING;
    if (pb_msg_send(p->channel, at_once ? PB_MSG_STOP : PB_MSG_DRAIN, NULL, why, -1, false) > 0)
        shutdown(p->channel, SHUT_WR); /* full: the end of the channel says the same */
    p->kill.fn = kill_now;
    p->kill.user = p;
    pb_timer_set(p->s->loop, &p->kill, kill_ms);
}

static bool is_crash(int status)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    for (size_t i = 0; WIFSIGNALED(status) && i < PB_COUNTOF(signals); i++)
        if (WTERMSIG(status) == signals[i]) return true;
    return false;
}

/*
 * Has a stop failed by this one? It had calls, and ended otherwise than it should. Who had not begun had
 * none; and a SIGKILL that is not ours (of somebody, of a kernel without memory) is no failure of the stop,
 * as it is none when nothing stops: it may even have come before.
 */
static bool failed_to_stop(const struct pb_process *p, int status)
{
    if (!status || !p->ready_ns) return false;
    return p->late || p->hung || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL;
}

static void describe(int status, bool hung, char *out, size_t cap)
{
    if (hung)
        snprintf(out, cap, "a callback that did not return");
    else if (WIFSIGNALED(status))
        snprintf(out, cap, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(out, cap, "exit status %d", WEXITSTATUS(status));
}

/* A crash inside of a connector is that connector's. */
static void attribute(struct pb_process *p, const char *how)
{
    struct pb_page_mark *m = &p->row->mark;
    m->connector[PB_PAGE_NAME - 1] = m->function[PB_PAGE_FUNCTION - 1] = m->what[PB_PAGE_WHAT - 1] = 0;
    if (!atomic_load_explicit(&m->inside, memory_order_acquire)) {
        pb_log(PB_LOG_ERROR, "app", "a worker crashed", PB_I("worker", p->slot), PB_I("pid", p->pid),
               PB_S("by", how), PB_S("connector", ""), PB_S("in", "the gateway itself"));
        snprintf(p->why, sizeof p->why, "the worker ended by %s, outside of any connector", how);
        return;
    }
    pb_log(PB_LOG_ERROR, "app", "a worker crashed", PB_I("worker", p->slot), PB_I("pid", p->pid),
           PB_S("by", how), PB_S("connector", m->connector), PB_S("in", m->what),
           PB_S("function", m->function));
    snprintf(p->why, sizeof p->why, "the worker ended by %s in connector \"%s\" (%s%s%s)", how, m->connector,
             m->what, m->function[0] ? " of " : "", m->function);
    char reason[PB_PAGE_REASON];
    if (p->crew == p->s->next)
        return; /* the attempt fails by it; those who serve have another configuration */
    if (!pb_crashes_add(p->s->crashes, m->connector, how, pb_mono_ns(), reason)) return;
    pb_log(PB_LOG_ERROR, "app", "a connector is put out; its functions answer UNAVAILABLE",
           PB_S("connector", m->connector), PB_S("why", reason));
    pb_page_put_out(p->s->page, m->connector, reason);
    for (struct pb_process *o = p->s->processes; o; o = o->next)
        if (o != p) pb_msg_send(o->channel, PB_MSG_OUTS, NULL, NULL, -1, false);
}

static void bury(struct pb_process **at, int status)
{
    struct pb_process *p = *at;
    struct pb_supervisor *s = p->s;
    struct pb_msg m;
    char how[128];
    pb_watch_close(p->watch);
    p->watch = NULL;
    describe(status, p->hung, how, sizeof how);
    while (pb_msg_receive(p->channel, &m, false) > 0)
        if (m.type == PB_MSG_FAILED || m.type == PB_MSG_TAKEN) hear(p, &m);
    if (!p->told) snprintf(p->why, sizeof p->why, "the worker ended by %s", how);
    /* A sanitizer, or a plugin that calls exit(), ends a worker with a status in the middle of a callback. */
    bool inside = atomic_load(&p->row->mark.inside) != 0;
    bool crashed = p->hung || is_crash(status) || (WIFEXITED(status) && inside && !p->told);
    if (crashed)
        attribute(p, how);
    else if (status && !p->told)
        pb_log(PB_LOG_WARN, "app", "a worker ended", PB_I("worker", p->slot), PB_I("pid", p->pid),
               PB_S("by", how));
    struct pb_seat *seat = p->seat;
    if (seat) seat->process = NULL;
    give_again(p);
    if (s->stopping && p->state == PB_WORKER_LEAVING && failed_to_stop(p, status)) s->failed = true;
    *at = p->next;
    pb_timer_cancel(&p->kill);
    close(p->channel);
    pb_quota_return(s->page, p->slot);
    pb_page_clear_row(s->page, p->slot);
    atomic_fetch_add(&s->page->deaths, 1);
    pb_bell_ring_word(&s->page->work);
    p->crew->n_processes--;
    pb_supervisor_ended(p, seat, p->why);
    pb_free(p);
}

void pb_process_reap(struct pb_supervisor *s)
{
    for (struct pb_process **at = &s->processes; *at;) {
        int status;
        struct pb_process *p = *at;
        if (waitpid(p->pid, &status, WNOHANG) == p->pid) {
            bury(at, status);
            at = &s->processes; /* burying may have started another */
        } else {
            at = &p->next;
        }
    }
}

void pb_process_check(struct pb_supervisor *s)
{
    int64_t now = pb_mono_ns();
    for (struct pb_process *p = s->processes; p; p = p->next) {
        if (p->state == PB_WORKER_STARTING || p->hung) continue;
        if (now - atomic_load(&p->row->heartbeat_ns) < HUNG_S * PB_SEC) continue;
        pb_log(PB_LOG_ERROR, "app", "a worker's loop stands still; it is killed", PB_I("worker", p->slot),
               PB_I("pid", p->pid), PB_I("seconds", HUNG_S));
        p->hung = true;
        kill(p->pid, SIGKILL);
    }
}

uint64_t pb_process_conns(const struct pb_process *p)
{
    return p->handed - atomic_load_explicit(&p->row->conns_ended, memory_order_relaxed);
}
