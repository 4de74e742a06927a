/* SPDX-License-Identifier: MIT */
#include "app/supervisor_priv.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/channel.h"
#include "app/notify.h"
#include "app/worker.h"
#include "base/log.h"
#include "loop/bell.h"
#include "base/mem.h"

enum {
    START_LIMIT_MS = 120 * 1000, /* for a crew to become healthy */
    END_MS = 5000,               /* for a worker that was told to stop without waiting */
    SERVED_WELL_S = 1,           /* who served so long is replaced at once */
    BACK_OFF_MS = 50,
    BACK_OFF_MAX_MS = 30 * 1000,
    TICK_MS = 1000,
};

/* ------------------------------------------------------------------------------------------------
 * connections */

static struct pb_process *least_loaded(const struct pb_crew *crew, uint64_t passed_over)
{
    struct pb_process *best = NULL;
    for (unsigned i = 0; crew && i < crew->n; i++) {
        struct pb_process *p = crew->seats[i].process;
        if (!p || p->state != PB_WORKER_SERVING || (passed_over >> i & 1)) continue;
        if (!best || pb_process_conns(p) < pb_process_conns(best)) best = p;
    }
    return best;
}

bool pb_supervisor_give(struct pb_supervisor *s, const char *name, int fd)
{
    uint64_t passed_over = 0;
    struct pb_process *p;
    while ((p = least_loaded(s->current, passed_over))) {
        if (pb_process_give(p, name, fd)) return true;
        passed_over |= UINT64_C(1) << (p->seat - s->current->seats);
    }
    return false;
}

/* As many are open as there may be: closed at once, so that nobody waits for what does not come. */
static bool full(struct pb_supervisor *s, const char *name)
{
    uint64_t n = 0;
    for (const struct pb_process *p = s->processes; p; p = p->next) n += pb_process_conns(p);
    if (!s->current || n < s->current->max_conns) return false;
    int64_t now = pb_mono_ns();
    if (!s->full_ns || now - s->full_ns >= PB_SEC)
        pb_log(PB_LOG_WARN, "app", "connection refused", PB_S("listener", name),
               PB_S("why", "as many connections are open as `connections` allows"), PB_I("open", n));
    s->full_ns = now;
    return true;
}

static bool give(void *user, const char *name, int fd)
{
    struct pb_supervisor *s = user;
    if (!full(s, name)) return pb_supervisor_give(s, name, fd);
    close(fd);
    return true;
}

/* ------------------------------------------------------------------------------------------------ crews */

static void free_crew(struct pb_crew *crew)
{
    if (!crew || crew->n_processes) return;
    for (unsigned i = 0; i < crew->n; i++) pb_timer_cancel(&crew->seats[i].restart);
    close(crew->config_fd);
    pb_free(crew->config);
    pb_free(crew);
}

/* It is replaced, or has failed: its processes end, and it with the last of them. */
static void dismiss(struct pb_crew *crew, bool at_once, const char *why)
{
    crew->over = true;
    for (unsigned i = 0; i < crew->n; i++) {
        struct pb_seat *seat = &crew->seats[i];
        pb_timer_cancel(&seat->restart);
        if (!seat->process) continue;
        bool now = at_once || seat->process->state == PB_WORKER_STARTING; /* it has no calls */
        pb_process_leave(seat->process, now, why, now ? END_MS : crew->drain_ms + END_MS);
    }
    free_crew(crew);
}

static void fill_seat(void *user);

static void fill_later(struct pb_seat *seat)
{
    int64_t delay = 0;
    if (seat->failures) {
        unsigned shift = seat->failures < 12 ? seat->failures - 1 : 11;
        delay = (int64_t)BACK_OFF_MS << shift;
        if (delay > BACK_OFF_MAX_MS) delay = BACK_OFF_MAX_MS;
    }
    pb_timer_set(seat->crew->s->loop, &seat->restart, delay);
}

static void fill_seat(void *user)
{
    struct pb_seat *seat = user;
    struct pb_err err;
    if (pb_process_start(seat, &err) == 0) return;
    pb_log(PB_LOG_ERROR, "app", "a worker cannot be started", PB_S("error", err.msg));
    seat->failures++;
    fill_later(seat);
}

static struct pb_crew *new_crew(struct pb_supervisor *s, struct pb_err *err)
{
    char *full;
    int fd = pb_site_snapshot(s->o->config, &full, err);
    if (fd < 0) return NULL;
    struct pb_site *site = pb_site_load_fd(fd, full, err);
    if (!site || pb_worker_open_log(site, err)) {
        pb_site_free(site);
        close(fd);
        pb_free(full);
        return NULL;
    }
    struct pb_crew *crew = pb_zalloc(sizeof *crew);
    *crew = (struct pb_crew){
        .s = s, .number = ++s->last_number, .config = full, .config_fd = fd, .n = s->o->workers};
    crew->drain_ms = pb_config_get_int(site->limits, "drain");
    crew->max_conns = (uint64_t)pb_config_get_int(site->limits, "connections");
    pb_site_free(site);
    for (unsigned i = 0; i < crew->n; i++) {
        crew->seats[i].crew = crew;
        crew->seats[i].restart.fn = fill_seat;
        crew->seats[i].restart.user = &crew->seats[i];
    }
    return crew;
}

/* ------------------------------------------------------------------------------------------------ start and
 * reload */

static void stop(struct pb_supervisor *s, const char *why);

static void answer_waits(struct pb_supervisor *s, const char *text)
{
    for (size_t i = 0; i < s->n_waits; i++) pb_control_answer(s->waits[i], text);
    s->n_waits = 0;
}

static void reload(struct pb_supervisor *s);

/* A reload has ended, well or not. */
static void settled(struct pb_supervisor *s, const char *text)
{
    pb_timer_cancel(&s->start_limit);
    answer_waits(s, text);
    pb_notify("READY=1\nSTATUS=generation %u, %u workers", s->current->number, s->current->n);
    if (!s->reload_again || s->stopping) return;
    s->reload_again = false;
    reload(s);
}

static void start_failed(struct pb_supervisor *s, const char *why)
{
    char text[PB_ERR_TEXT + 16];
    snprintf(text, sizeof text, "error: %s\n", why);
    if (!s->current) {
        fprintf(stderr, "patchbay: %s\n", why);
        s->failed = true;
        answer_waits(s, text);
        stop(s, "it could not start");
        return;
    }
    pb_log(PB_LOG_ERROR, "app", "reload failed; everything goes on as before",
           PB_I("generation", s->current->number), PB_S("error", why));
    settled(s, text);
}

/* Those of before, and what was put out during the attempt. */
static void restore_outs(struct pb_supervisor *s)
{
    struct pb_page_out meanwhile[PB_PAGE_OUTS];
    memcpy(meanwhile, s->page->outs, sizeof meanwhile);
    memcpy(s->page->outs, s->outs_before, sizeof s->page->outs);
    for (size_t i = 0; i < PB_PAGE_OUTS; i++)
        if (atomic_load(&meanwhile[i].set))
            pb_page_put_out(s->page, meanwhile[i].connector, meanwhile[i].reason);
}

static void next_failed(struct pb_supervisor *s, const char *why)
{
    struct pb_crew *crew = s->next;
    char text[PB_ERR_TEXT];
    snprintf(text, sizeof text, "%s", why); /* it may be a process' own, which goes with the crew */
    s->next = NULL;
    restore_outs(s);
    pb_sockets_forget(s->sockets, crew->number);
    dismiss(crew, true, text);
    if (!s->stopping) start_failed(s, text);
}

static void start_too_long(void *user)
{
    struct pb_supervisor *s = user;
    char text[PB_ERR_TEXT];
    snprintf(text, sizeof text, "the new workers were not healthy within %d s", START_LIMIT_MS / 1000);
    for (const struct pb_process *p = s->processes; p; p = p->next)
        if (p->crew == s->next && p->state == PB_WORKER_STARTING && atomic_load(&p->row->mark.inside))
            snprintf(
                text, sizeof text,
                "the new workers were not healthy within %d s: connector \"%s\" has not returned from %s",
                START_LIMIT_MS / 1000, p->row->mark.connector, p->row->mark.what);
    next_failed(s, text);
}

/* One worker first: what is wrong with the configuration is said once, and plugins are tried once. */
static void begin(struct pb_supervisor *s)
{
    struct pb_err err;
    memcpy(s->outs_before, s->page->outs, sizeof s->page->outs);
    struct pb_crew *crew = new_crew(s, &err);
    if (!crew) {
        start_failed(s, err.msg);
        return;
    }
    s->next = crew;
    pb_page_clear_outs(s->page);
    s->start_limit.fn = start_too_long;
    s->start_limit.user = s;
    pb_timer_set(s->loop, &s->start_limit, START_LIMIT_MS);
    if (pb_process_start(&crew->seats[0], &err)) next_failed(s, err.msg);
}

static void reload(struct pb_supervisor *s)
{
    if (s->stopping) return;
    if (s->next) {
        s->reload_again = true;
        return;
    }
    pb_log(PB_LOG_INFO, "app", "reloading", PB_S("file", s->o->config));
    pb_notify_reloading();
    begin(s);
}

static void say_socket(void *user, const char *name, const char *where)
{
    (void)user;
    printf(" %s=%s", name, where);
}

static void take_over(struct pb_supervisor *s)
{
    struct pb_crew *old = s->current;
    s->current = s->next;
    s->next = NULL;
    pb_crashes_clear(s->crashes);
    pb_sockets_switch(s->sockets, s->current->number);
    pb_log(PB_LOG_INFO, "app", old ? "reloaded" : "ready", PB_S("version", PB_VERSION),
           PB_I("generation", s->current->number), PB_I("workers", s->current->n));
    if (old && strcmp(old->functions, s->current->functions) != 0)
        pb_log0(PB_LOG_INFO, "app",
                "functions changed; Qlik has to read them again: change and save the analytic connection, "
                "or restart the engine");
    if (old) {
        dismiss(old, false, "a new generation has taken over");
    } else {
        printf("ready");
        pb_sockets_each(s->sockets, say_socket, NULL);
        printf("\n");
        fflush(stdout);
    }
    char text[64];
    snprintf(text, sizeof text, "ok: generation %u\n", s->current->number);
    settled(s, text);
}

void pb_supervisor_ready(struct pb_process *p)
{
    struct pb_supervisor *s = p->s;
    struct pb_crew *crew = p->crew;
    if (crew != s->next) {
        if (p->seat)
            pb_log(PB_LOG_INFO, "app", "a worker was replaced", PB_I("worker", p->slot), PB_I("pid", p->pid),
                   PB_F("ms", (double)(p->ready_ns - p->started_ns) / (double)PB_MS));
        return;
    }
    unsigned n = 0;
    for (unsigned i = 0; i < crew->n; i++) {
        struct pb_seat *seat = &crew->seats[i];
        struct pb_err err;
        if (!seat->process && pb_process_start(seat, &err)) {
            next_failed(s, err.msg);
            return;
        }
        n += seat->process->state == PB_WORKER_SERVING;
    }
    if (n == crew->n) take_over(s);
}

void pb_supervisor_ended(struct pb_process *p, struct pb_seat *seat, const char *why)
{
    struct pb_supervisor *s = p->s;
    struct pb_crew *crew = p->crew;
    if (s->stopping) {
        if (!s->processes) pb_loop_stop(s->loop);
        if (crew->over) free_crew(crew);
    } else if (crew == s->next) {
        next_failed(s, why);
    } else if (crew->over) {
        free_crew(crew);
    } else if (seat) {
        bool well = p->ready_ns && pb_mono_ns() - p->ready_ns >= SERVED_WELL_S * PB_SEC;
        seat->failures = well ? 0 : seat->failures + 1;
        if (p->told)
            pb_log(PB_LOG_ERROR, "app", "a worker could not start", PB_I("worker", p->slot),
                   PB_S("error", why));
        fill_later(seat);
    }
}

/* ------------------------------------------------------------------------------------------------ the end */

static void stop(struct pb_supervisor *s, const char *why)
{
    if (s->stopping) {
        if (s->stopped) return;
        s->stopped = true;
        pb_log(PB_LOG_WARN, "app", "stopping without waiting any longer", PB_S("why", why));
        for (struct pb_process *p = s->processes; p; p = p->next) pb_process_leave(p, true, why, END_MS);
        return;
    }
    s->stopping = true;
    pb_log(PB_LOG_INFO, "app", "draining", PB_S("why", why));
    pb_notify("STOPPING=1");
    pb_sockets_close(s->sockets);
    answer_waits(s, "error: the gateway is stopping\n");
    pb_timer_cancel(&s->start_limit);
    struct pb_crew *next = s->next, *current = s->current;
    s->next = s->current = NULL;
    if (next) dismiss(next, true, why);
    if (current) dismiss(current, false, why);
    if (!s->processes && s->running) pb_loop_stop(s->loop);
}

static void on_signal(void *user, int signum)
{
    struct pb_supervisor *s = user;
    if (signum == SIGCHLD) {
        pb_process_reap(s);
        while (pb_renew_reap(s)) pb_process_reap(s);
    } else if (signum == SIGUSR2)
        pb_renew(s, NULL);
    else if (signum == SIGHUP)
        reload(s);
    else {
        pb_process_reap(s); /* who died before is not one who did not stop well */
        stop(s, s->stopping ? "a second signal" : signum == SIGTERM ? "SIGTERM" : "SIGINT");
    }
}

/* ------------------------------------------------------------------------------------------------ commands
 */

static void status(const struct pb_supervisor *s, struct pb_buf *out)
{
    static const char *const states[] = {"?", "starting", "serving", "leaving"};
    pb_buf_printf(out, "generation=%u workers=%u\n", s->current ? s->current->number : 0, s->o->workers);
    for (const struct pb_process *p = s->processes; p; p = p->next)
        pb_buf_printf(out, "worker=%u pid=%d generation=%u state=%s connections=%llu\n", p->slot, (int)p->pid,
                      p->crew->number, states[p->state], (unsigned long long)pb_process_conns(p));
    for (size_t i = 0; i < PB_PAGE_OUTS; i++)
        if (atomic_load(&s->page->outs[i].set))
            pb_buf_printf(out, "out connector=%s why=\"%s\"\n", s->page->outs[i].connector,
                          s->page->outs[i].reason);
}

static void configured(void *user)
{
    struct pb_supervisor *s = user;
    struct pb_err err;
    struct pb_site *site =
        s->current ? pb_site_load_fd(s->current->config_fd, s->current->config, &err) : NULL;
    if (site) pb_worker_log_levels(site);
    pb_site_free(site);
}

/* "LEVEL", "LEVEL ROOM" */
static void set_log(struct pb_supervisor *s, pbay_str text, struct pb_buf *out)
{
    struct pb_err err;
    pbay_str level = {NULL, 0};
    pb_str_split(&text, ' ', &level);
    if (pb_page_log_level(s->page, level, pb_str_trim(text), &err))
        pb_buf_printf(out, "error: %s\n", err.msg);
    else
        pb_buf_c(out, "ok\n");
    pb_page_log_apply(s->page, &s->log_turn, configured, s);
}

static void on_command(void *user, struct pb_control_call *call, const char *line)
{
    struct pb_supervisor *s = user;
    struct pb_buf out = {0};
    if (strcmp(line, "reload") == 0 && !s->next && !s->stopping && s->n_waits < PB_COUNTOF(s->waits)) {
        s->waits[s->n_waits++] = call;
        reload(s);
        return;
    }
    if (strcmp(line, "restart") == 0) {
        pb_renew(s, call);
        return;
    }
    if (strcmp(line, "status") == 0)
        status(s, &out);
    else if (pb_str_starts(pb_str_c(line), PB_STR("log ")))
        set_log(s, pb_str_c(line + 4), &out);
    else if (strcmp(line, "wake") == 0) {
        /* Jobs or pauses were changed from outside. */
        atomic_fetch_add(&s->page->pauses, 1);
        pb_bell_ring_word(&s->page->work);
        pb_buf_c(&out, "ok\n");
    } else if (strcmp(line, "reload") == 0)
        pb_buf_c(&out, "error: a start, a reload or a stop is under way; try again\n");
    else
        pb_buf_c(&out, "error: there are commands reload, restart, status, wake and log\n");
    pb_buf_ch(&out, 0);
    pb_control_answer(call, out.p);
    pb_buf_free(&out);
}

/* ------------------------------------------------------------------------------------------------ the life
 * of a supervisor */

static void tick(void *user)
{
    struct pb_supervisor *s = user;
    int64_t now = pb_mono_ns();
    pb_process_check(s);
    if (s->watchdog_ms && now - s->watchdog_ns >= s->watchdog_ms * PB_MS) {
        pb_notify("WATCHDOG=1");
        s->watchdog_ns = now;
    }
    pb_timer_set(s->loop, &s->tick, s->watchdog_ms && s->watchdog_ms < TICK_MS ? s->watchdog_ms : TICK_MS);
}

static void flush_log(void *user)
{
    (void)user;
    pb_log_flush();
}

static int open_all(struct pb_supervisor *s, struct pb_err *err)
{
    static const int signums[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGCHLD};
    if (!(s->loop = pb_loop_new(err)) || !(s->page = pb_page_make(&s->page_fd, err))) return -1;
    s->log_hook.fn = flush_log;
    pb_loop_hook_add(s->loop, &s->log_hook);
    s->crashes = pb_crashes_new();
    s->sockets = pb_sockets_new(s->loop, give, s);
    for (size_t i = 0; i < PB_COUNTOF(signums); i++)
        if (!(s->signals[i] = pb_signal_open(s->loop, signums[i], on_signal, s, err))) return -1;
    s->control = pb_control_open(s->loop, s->o->runtime_dir, on_command, s, err);
    if (!s->control && err->code != PBAY_UNAVAILABLE && err->code != PBAY_FAILED_PRECONDITION) return -1;
    /* A disk that is full or read-only keeps nobody from scoring. */
    if (!s->control)
        pb_log(PB_LOG_ERROR, "app",
               "no control socket: `patchbay reload` cannot reach this gateway, SIGHUP can",
               PB_S("why", err->msg));
    s->watchdog_ms = pb_notify_watchdog_ms();
    s->tick.fn = tick;
    s->tick.user = s;
    tick(s);
    return 0;
}

int pb_supervisor_run(const struct pb_supervisor_options *options)
{
    struct pb_supervisor supervisor = {.o = options, .page_fd = -1}, *s = &supervisor;
    struct pb_err err;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error, as a full disk is */
    if (open_all(s, &err)) {
        fprintf(stderr, "patchbay: %s\n", err.msg);
        s->failed = true;
    } else {
        pb_renewed();
        begin(s);
        s->running = !s->stopping || s->processes;
        if (s->running) pb_loop_run(s->loop);
        pb_log(PB_LOG_INFO, "app", "stopped", PB_I("exit", s->failed));
    }
    pb_timer_cancel(&s->tick);
    pb_control_close(s->control);
    pb_sockets_free(s->sockets);
    for (size_t i = 0; i < PB_COUNTOF(s->signals); i++) pb_signal_close(s->signals[i]);
    if (s->loop) pb_loop_hook_remove(s->loop, &s->log_hook);
    pb_loop_free(s->loop);
    pb_crashes_free(s->crashes);
    pb_page_unmap(s->page);
    if (s->page_fd >= 0) close(s->page_fd);
    pb_log_flush();
    return s->failed ? 1 : 0;
}
