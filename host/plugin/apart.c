/* SPDX-License-Identifier: MIT */
/* The life of a connector's process: start, end, start again. How it does is apart_watch.c's. */
#include "plugin/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "plugin/apart_priv.h"
#include "plugin/probe.h"
#include "plugin/registry.h"
#include "plugin/why.h"

enum {
    BACKOFF_MS = 100,
    BACKOFF_MAX_MS = 30000,
    CALM_S = 60, /* a process that lived so long ends as the first one did */
    CRASHES = 3,
    CRASH_WINDOW_S = 600,
    EXIT_MS = 100,   /* from the end of its socket to its own */
    LEAVE_MS = 3000, /* to end by itself when it is told to */
};

static int64_t option(const struct pb_apart *a, const char *name, int64_t dflt)
{
    const struct pbay_config *cfg = a->c->config;
    return cfg && pb_config_is_set(cfg, name) ? pb_config_get_int(cfg, name) : dflt;
}

/* ------------------------------------------------------------------------------------------------ start */

static int open_page(struct pb_apart *a, struct pb_err *err)
{
    a->page_fd = memfd_create("patchbay connector", MFD_CLOEXEC);
    if (a->page_fd >= 0 && ftruncate(a->page_fd, sizeof *a->page) == 0)
        a->page = mmap(NULL, sizeof *a->page, PROT_READ | PROT_WRITE, MAP_SHARED, a->page_fd, 0);
    if (a->page && a->page != MAP_FAILED) return 0;
    a->page = NULL;
    return pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "no page for the process: %s", strerror(errno));
}

static int spawn(struct pb_apart *a, int fds[4], struct pb_err *err)
{
    char parent[24];
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    char verb[] = "plugin-host", program[] = "patchbay";
    char *const argv[] = {program, verb, a->c->name, a->c->plugin->path, parent, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    for (int i = 0; i < 4; i++) posix_spawn_file_actions_adddup2(&files, fds[i], PB_APART_SOCKET + i);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int rc = posix_spawn(&a->pid, pb_probe_program_path(), &files, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    if (!rc) return 0;
    a->pid = 0;
    return pb_fail(err, PBAY_UNAVAILABLE, "no process could be started: %s", strerror(rc));
}

static void heard(void *user, uint32_t type, uint64_t handle, pbay_str body)
{
    struct pb_apart *a = user;
    a->slow = a->suspected = false;
    a->pinged_ns = 0; /* whatever it says, it gets on */
    pb_apart_hear(a, type, handle, body);
}

static void on_end(void *user);
static const struct pb_pipe_fns pipe_fns = {heard, on_end};

/* A process that has been told nothing yet. */
static int launch(struct pb_apart *a, struct pb_err *err)
{
    struct pb_log_setup log;
    int ends[2], fds[4] = {-1, -1, -1, -1};
    pb_log_setup_get(&log);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
        return pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "no socket: %s", strerror(errno));
    memset(a->page, 0, offsetof(struct pb_apart_page, rings));
    a->why[0] = 0;
    a->incarnation++;
    a->n_metrics = 0;
    a->state = PB_CONNECTOR_UP;
    a->sentence[0] = 0;
    a->faults = 0;
    a->slow = a->suspected = false;
    /* Away from the numbers that they become there. */
    const int from[] = {ends[1], a->page_fd, a->c->plugin->fd, log.fd};
    int rc = 0;
    for (int i = 0; i < 4; i++)
        if ((fds[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 16)) < 0)
            rc = pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "no descriptor left: %s", strerror(errno));
    if (!rc) rc = spawn(a, fds, err);
    for (int i = 0; i < 4; i++)
        if (fds[i] >= 0) close(fds[i]);
    close(ends[1]);
    if (rc) {
        close(ends[0]);
        return -1;
    }
    a->pipe = pb_pipe_new(a->c->env->loop, ends[0], &pipe_fns, a, err);
    if (!a->pipe) {
        pb_apart_reap(a, 0);
        return -1;
    }
    pb_pipe_share(a->pipe, a->page, true);
    a->phase = PB_APART_STARTING;
    a->started_ns = pb_mono_ns();
    pb_apart_watch(a);
    return 0;
}

static void ask_create(struct pb_apart *a, uint64_t asked)
{
    pb_buf_str(pb_pipe_begin(a->pipe, PB_APART_CREATE, asked), pb_buf_view(&a->create));
    pb_pipe_commit(a->pipe);
}

static void make_create(struct pb_apart *a)
{
    const struct pb_connector *c = a->c;
    struct pb_buf *b = &a->create;
    struct pb_log_setup log;
    const pbay_option_table *tables[] = {&pb_connector_options, &c->plugin->descriptor.options};
    pb_log_setup_get(&log);
    log.fd = PB_APART_LOG;
    pb_buf_add(b, &log, sizeof log);
    pb_put_u32(b, (c->env->chains ? PB_APART_HAS_CHAINS : 0) | (c->env->invoker ? PB_APART_HAS_INVOKE : 0) |
                      (c->env->metrics ? PB_APART_HAS_METRICS : 0) |
                      (c->env->requests ? PB_APART_HAS_REQUESTS : 0));
    pb_put_u32(b, c->check_only);
    pb_put_u32(b, c->env->explain != NULL);
    pb_put_i64(b, a->memory);
    pb_put_i64(b, option(a, "process_files", 0));
    pb_put_i64(b, a->cpu_ms);
    pb_put_str(b, pb_str_c(c->name));
    pb_put_config(b, c->config, tables, PB_COUNTOF(tables));
}

/* ------------------------------------------------------------------------------------------------ the end */

/* Of the pipe and of the process; a->last says how. */
static void finish(struct pb_apart *a)
{
    pb_pipe_close(a->pipe);
    a->pipe = NULL;
    pb_apart_reap(a, EXIT_MS);
    a->phase = PB_APART_DOWN;
    a->awaited = 0;
    a->c->stats.crashes++;
}

static bool often(struct pb_apart *a, int64_t now)
{
    memmove(a->ended_ns, a->ended_ns + 1, (CRASHES - 1) * sizeof *a->ended_ns);
    a->ended_ns[CRASHES - 1] = now;
    return a->ended_ns[0] && now - a->ended_ns[0] < CRASH_WINDOW_S * PB_SEC;
}

static void plan(struct pb_apart *a, const char *what)
{
    int64_t now = pb_mono_ns();
    if (now - a->started_ns > CALM_S * PB_SEC) a->backoff_ms = 0;
    a->backoff_ms = a->backoff_ms ? a->backoff_ms * 2 : BACKOFF_MS;
    if (a->backoff_ms > BACKOFF_MAX_MS) a->backoff_ms = BACKOFF_MAX_MS;
    char text[PB_STATE_TEXT];
    snprintf(text, sizeof text, "its process %s; it is started again after %lld ms", what,
             (long long)a->backoff_ms);
    pb_connector_set_state(a->c, often(a, now) ? PB_CONNECTOR_OUT : PB_CONNECTOR_DEGRADED, text);
    pb_timer_set(a->c->env->loop, &a->again, a->backoff_ms);
}

static void on_end(void *user)
{
    struct pb_apart *a = user;
    finish(a);
    if (a->stopping || a->c->closing)
        pb_log(PB_LOG_WARN, "plugin", "a connector's process ended early", PB_S("connector", a->c->name),
               PB_S("why", a->last));
    else
        plan(a, a->last);
    pb_apart_fail_all(a);
}

int pb_apart_await(struct pb_apart *a, uint64_t asked, int64_t timeout_ms, const char *what, pbay_str *body,
                   struct pb_err *err)
{
    switch (pb_pipe_wait(a->pipe, asked, 0, timeout_ms, body)) {
    case PB_PIPE_REPLIED: return 0;
    case PB_PIPE_LATE:
        return pb_fail(err, PBAY_DEADLINE_EXCEEDED, "its process did not answer %s within %lld ms", what,
                       (long long)timeout_ms);
    default: return pb_fail(err, PBAY_UNAVAILABLE, "its process ended");
    }
}

int32_t pb_apart_refuse(struct pb_apart *a, pbay_result *why)
{
    struct pb_err *err = pb_why_err();
    if (a->phase == PB_APART_UP) {
        pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "the process of connector \"%s\" does not keep up", a->c->name);
        err->retry_after_ms = 100;
    } else
        pb_fail(err, PBAY_UNAVAILABLE, "connector \"%s\": its process %s%s", a->c->name,
                a->last[0] ? a->last : "is not there", a->stopping ? "" : "; it is started again");
    if (a->phase != PB_APART_UP && pb_timer_is_set(&a->again)) {
        int64_t left = (a->again.due_ns - pb_mono_ns()) / PB_MS;
        err->retry_after_ms = left > 0 ? left : 1;
    }
    err->advice = a->stopping ? PBAY_ADVICE_NONE : PBAY_ADVICE_RETRY;
    return pb_why_put(why);
}

/* ------------------------------------------------------------------------------------------------ again */

static void again(void *user)
{
    struct pb_apart *a = user;
    struct pb_err err;
    if (a->stopping || a->pipe) return;
    if (launch(a, &err)) {
        snprintf(a->last, sizeof a->last, "could not be started: %.400s", err.msg);
        a->started_ns = pb_mono_ns();
        plan(a, a->last);
        return;
    }
    ask_create(a, pb_apart_ask(a));
    a->stage = PB_APART_MAKING;
    a->awaited = 1;
}

static void bind_again(struct pb_apart *a, const struct pb_apart_bound *b)
{
    pb_buf_str(pb_pipe_begin(a->pipe, PB_APART_BIND, pb_apart_ask(a)), pb_buf_view(&b->message));
    pb_pipe_commit(a->pipe);
    a->awaited++;
}

void pb_apart_bind_later(struct pb_apart *a, const struct pb_apart_bound *b)
{
    if (a->phase == PB_APART_STARTING && a->stage != PB_APART_MAKING) bind_again(a, b);
}

/* What it is told next; false: nothing more. */
static bool go_on(struct pb_apart *a)
{
    if (a->stage == PB_APART_MAKING) {
        a->stage = PB_APART_BINDING;
        for (struct pb_apart_bound *b = a->bounds; b; b = b->next) bind_again(a, b);
        if (a->awaited) return true;
    }
    if (a->stage != PB_APART_BINDING) return false;
    a->stage = PB_APART_BEGINNING;
    if (!a->c->started || !a->c->plugin->entry.start) return false;
    pb_pipe_send(a->pipe, PB_APART_START, pb_apart_ask(a));
    a->awaited = 1;
    return true;
}

void pb_apart_replied(struct pb_apart *a, pbay_str body)
{
    struct pb_in in = pb_in_of(body);
    /* Somebody did not wait for it any longer, or it has been told to stop meanwhile. */
    if (a->phase != PB_APART_STARTING || !a->awaited || a->stopping) return;
    pbay_result r = pb_in_result(&in);
    if (in.bad || r.code != PBAY_OK) {
        pb_apart_kill(a, "could not go on: %.*s", PB_FMT(r.message));
        return;
    }
    if (--a->awaited || go_on(a)) return;
    a->phase = PB_APART_UP;
    if (a->c->state != PB_CONNECTOR_UP) pb_connector_set_state(a->c, PB_CONNECTOR_UP, "");
    pb_log(PB_LOG_INFO, "plugin", "a connector's process is there again", PB_S("connector", a->c->name),
           PB_I("pid", a->pid));
}

/* --------------------------------------------------------------------------------------- the vtable: life */

static void free_apart(struct pb_apart *a)
{
    pb_timer_cancel(&a->again);
    if (a->create.cap) explicit_bzero(a->create.p, a->create.cap);
    pb_buf_free(&a->create);
    pb_handles_free(&a->bound_ids);
    for (size_t i = 0; i < PB_HELD_KINDS; i++) pb_free(a->held[i].slots);
    if (a->page) munmap(a->page, sizeof *a->page);
    if (a->page_fd >= 0) close(a->page_fd);
    pb_free(a);
}

/* What the process said of create or start; a process that is gone or hangs is put down. Returns the code. */
static int32_t settle(struct pb_apart *a, uint64_t asked, const char *what, pbay_result *why)
{
    pbay_str body;
    struct pb_err *err = pb_why_err();
    if (pb_apart_await(a, asked, a->hang_ms, what, &body, err)) {
        if (err->code == PBAY_DEADLINE_EXCEEDED)
            pb_apart_kill(a, "did not answer %s within %lld ms", what, (long long)a->hang_ms);
        struct pb_err mine;
        finish(a);
        pb_fail(&mine, PBAY_UNAVAILABLE, "its process %s", a->last);
        *pb_why_err() = mine;
        return pb_why_put(why);
    }
    struct pb_in in = pb_in_of(body);
    pbay_result r = pb_in_result(&in);
    if (r.code == PBAY_OK) return PBAY_OK;
    pb_err_from_result(err, &r);
    return pb_why_put(why);
}

/* It ended, or was put down, while it was waited for: who is patient goes on without it until it is there. */
static void put_off(struct pb_apart *a)
{
    plan(a, a->last);
    pb_apart_fail_all(a);
}

static int32_t apart_create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct pb_connector *c = pb_connector_of(host);
    struct pb_apart *a = pb_zalloc(sizeof *a);
    (void)config;
    a->c = c;
    a->page_fd = -1;
    a->hang_ms = option(a, "process_hang", 10000);
    a->cpu_ms = option(a, "process_cpu", 0);
    a->memory = option(a, "process_memory", 0);
    a->again = (struct pb_timer){.fn = again, .user = a};
    c->self = a; /* services that the process asks for while it is being created find it */
    if (open_page(a, pb_why_err()) || launch(a, pb_why_err())) {
        free_apart(a);
        c->self = NULL;
        return pb_why_put(why);
    }
    make_create(a);
    uint64_t asked = pb_apart_ask(a);
    ask_create(a, asked);
    int32_t code = settle(a, asked, "create", why);
    if (code == PBAY_OK) {
        a->phase = PB_APART_UP;
        *self = a;
        return PBAY_OK;
    }
    if (!a->pipe && c->patient) {
        put_off(a);
        *self = a;
        return PBAY_OK;
    }
    if (a->pipe) {
        a->stopping = true;
        finish(a);
    }
    pb_apart_fail_all(a);
    free_apart(a);
    c->self = NULL;
    return code;
}

static int32_t apart_start(void *self, pbay_result *why)
{
    struct pb_apart *a = self;
    int32_t code = PBAY_OK;
    if (a->phase != PB_APART_UP && a->c->patient) return PBAY_OK; /* it is told when it is there */
    if (!pb_apart_ready(a, why, &code)) return code;
    uint64_t asked = pb_apart_ask(a);
    pb_pipe_send(a->pipe, PB_APART_START, asked);
    code = settle(a, asked, "start", why);
    if (code == PBAY_OK) return PBAY_OK;
    if (!a->pipe && a->c->patient) {
        put_off(a);
        return PBAY_OK;
    }
    a->stopping = true; /* the connector stays out, also when the process ends */
    if (!a->pipe) {
        struct pb_err err = *pb_why_err();
        pb_apart_fail_all(a);
        *pb_why_err() = err;
        pb_why_put(why);
    }
    return code;
}

static void apart_stop(void *self)
{
    struct pb_apart *a = self;
    a->stopping = true;
    pb_timer_cancel(&a->again);
    if (a->pipe) pb_pipe_send(a->pipe, PB_APART_STOP, 0);
}

/* The worker is about to end, or the connector is: a moment for the process to do so by itself. */
static void apart_destroy(void *self)
{
    struct pb_apart *a = self;
    a->stopping = true;
    if (a->pipe) {
        pb_pipe_send(a->pipe, PB_APART_DESTROY, 0);
        pb_pipe_flush(a->pipe);
        pb_pipe_close(a->pipe);
        a->pipe = NULL;
    }
    pb_apart_reap(a, LEAVE_MS);
    a->phase = PB_APART_ENDED;
    pb_apart_fail_all(a);
    free_apart(a);
}

const pbay_entry pb_apart_entry = {
    .magic = PBAY_MAGIC,
    .struct_size = sizeof(pbay_entry),
    .abi_major = PBAY_ABI_MAJOR,
    .abi_minor = PBAY_ABI_MINOR,
    .create = apart_create,
    .start = apart_start,
    .stop = apart_stop,
    .destroy = apart_destroy,
};
