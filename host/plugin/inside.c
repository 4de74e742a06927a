/* SPDX-License-Identifier: MIT */
#include "plugin/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <patchbay/commands.h>
#include <patchbay/secrets.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http_client.h"
#include "net/outgoing.h"
#include "plugin/current.h"
#include "plugin/inside_priv.h"
#include "plugin/registry.h"

enum { TICK_MS = 1000, LEAVE_MS = 2000, LONG_TURN_MS = 50 };

struct pb_inside pb_inside;
static const char *me; /* the connector's name */

/* ------------------------------------------------------------------------------------ what is handed over */

void pb_inside_set(struct pb_inside_table *t, uint64_t handle, void *item)
{
    uint32_t i = (uint32_t)handle;
    if (i >= t->n) {
        uint32_t n = i < 32 ? 64 : i * 2;
        t->slots = pb_realloc(t->slots, n * sizeof *t->slots);
        memset(t->slots + t->n, 0, (n - t->n) * sizeof *t->slots);
        t->n = n;
    }
    t->slots[i].handle = item ? handle : 0;
    t->slots[i].item = item;
}

void *pb_inside_find(const struct pb_inside_table *t, uint64_t handle, const char *fault, const char *what)
{
    void *item = pb_inside_get(t, handle);
    if (!item && pb_current.connector) pb_connector_fault(pb_current.connector, fault, what);
    return item;
}

/* ------------------------------------------------------------------------------------------ to the worker */

struct pb_buf *pb_inside_begin(uint32_t type, uint64_t handle)
{
    if (!pb_defer_queued(&pb_inside.notice)) pb_loop_at_turn_end(pb_inside.loop, &pb_inside.notice);
    return pb_pipe_begin(pb_inside.pipe, type, handle);
}

struct pb_buf *pb_inside_question(uint32_t type)
{
    return pb_inside_begin(type, ++pb_inside.n_asked);
}

static struct pb_in ask(uint32_t also)
{
    pbay_str body;
    uint64_t asked = pb_inside.n_asked;
    pb_inside_commit();
    if (pb_pipe_wait(pb_inside.pipe, asked, also, -1, &body) != PB_PIPE_REPLIED) _exit(0);
    return pb_in_of(body);
}

struct pb_in pb_inside_ask(void)
{
    return ask(0);
}

struct pb_in pb_inside_ask_bound(void)
{
    return ask(PB_APART_BIND);
}

/* How the connector is, when that has changed. */
static void tell_state(void)
{
    static enum pb_connector_state told = PB_CONNECTOR_UP;
    static char text[PB_STATE_TEXT];
    static uint64_t faults;
    pbay_str sentence;
    if (!pb_inside.c) return;
    enum pb_connector_state state = pb_connector_state(pb_inside.c, &sentence);
    if (state == told && pb_inside.c->stats.faults == faults && pb_str_is(sentence, text)) return;
    told = state;
    faults = pb_inside.c->stats.faults;
    snprintf(text, sizeof text, "%.*s", PB_FMT(sentence));
    struct pb_buf *m = pb_pipe_begin(pb_inside.pipe, PB_APART_STATE, 0);
    pb_put_u32(m, (uint32_t)state);
    pb_put_u64(m, faults);
    pb_put_str(m, pb_str_c(text));
    pb_inside_commit();
}

static void notice(void *user)
{
    (void)user;
    pb_inside_metrics();
    tell_state();
}

static void tick(void *user)
{
    notice(user);
    pb_timer_set(pb_inside.loop, &pb_inside.tick, TICK_MS);
}

static void explain(void *user, pbay_str connector, pbay_str method, pbay_str url, const pbay_header *headers,
                    uint32_t n, pbay_str body)
{
    (void)user;
    (void)connector;
    struct pb_buf *m = pb_inside_begin(PB_APART_EXPLAIN, 0);
    pb_put_str(m, method);
    pb_put_str(m, url);
    pb_put_str(m, body);
    pb_put_headers(m, headers, n);
    pb_inside_commit();
}

/* ----------------------------------------------------------------------------------------------- services */

/* Those that the worker has to answer; all others are this process's own. */
static bool instead(const char *id, const void **table)
{
    const uint32_t has = pb_inside.services;
    const struct {
        const char *id;
        const void *table;
    } all[] = {
        {PBAY_SVC_CALL, &pb_inside_call},
        {PBAY_SVC_ACTION, &pb_inside_action},
        {PBAY_SVC_REQUEST, has & PB_APART_HAS_REQUESTS ? &pb_inside_request : NULL},
        {PBAY_SVC_COMMAND, &pb_inside_command},
        {PBAY_SVC_RESOLVE, &pb_inside_resolve},
        {PBAY_SVC_KV, &pb_inside_kv},
        {PBAY_SVC_LIMIT, &pb_inside_limit},
        {PBAY_SVC_EVENT, &pb_inside_event},
        {PBAY_SVC_CHAIN, has & PB_APART_HAS_CHAINS ? &pb_inside_chain : NULL},
        {PBAY_SVC_JOB, &pb_inside_job},
        {PBAY_SVC_SECRET, &pb_inside_secret},
        {PBAY_SVC_METRIC, has & PB_APART_HAS_METRICS ? &pb_inside_metric : NULL},
        {PBAY_SVC_INVOKE, has & PB_APART_HAS_INVOKE ? &pb_inside_invoke : NULL},
    };
    for (size_t i = 0; i < PB_COUNTOF(all); i++)
        if (!strcmp(id, all[i].id)) {
            *table = all[i].table;
            return true;
        }
    return false;
}

static void flush_log(void *user)
{
    (void)user;
    pb_log_flush();
}

static int open_house(bool explains, struct pb_err *err)
{
    static struct pb_turn_hook hook = {.fn = flush_log};
    const struct pb_outgoing_conf variables = {0};
    struct pb_plugin_env *env = &pb_inside.env;
    env->loop = pb_inside.loop;
    env->outgoing = pb_outgoing_new(&variables, err);
    if (!env->outgoing) return -1;
    const struct pb_http_client_conf http = {.outgoing = env->outgoing};
    env->http = pb_http_client_new(pb_inside.loop, &http, err);
    env->instead = instead;
    if (explains) env->explain = explain;
    pb_loop_hook_add(pb_inside.loop, &hook);
    pb_inside.registry = pb_registry_new(env, false);
    return env->http ? 0 : -1;
}

/* ------------------------------------------------------------------------------------------------ life */

/* hard < 0: as it is, for the worker may be nobody who can raise it again. */
static void limit(int what, int64_t soft, int64_t hard)
{
    struct rlimit r;
    if (getrlimit(what, &r)) return;
    r.rlim_cur = (rlim_t)soft;
    if (hard >= 0) r.rlim_max = (rlim_t)hard;
    if (r.rlim_cur > r.rlim_max) r.rlim_cur = r.rlim_max;
    setrlimit(what, &r);
}

static void reply(uint64_t asked, int rc, const struct pb_err *err)
{
    struct pb_buf *m = pb_inside_begin(PB_APART_REPLY, asked);
    if (rc)
        pb_put_err(m, err);
    else
        pb_put_result(m, NULL);
    pb_inside_commit();
}

#ifndef __SANITIZE_ADDRESS__ /* it maps terabytes */
/*
 * The last thing that it does: how much memory was there, so that the worker can tell whether that was why.
 * Then the signal comes again, whoever sent it, and ends it.
 */
static void last_look(int signum)
{
    char text[128];
    int64_t pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC), field = 0;
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
    for (ssize_t i = 0; i < n && field < 6; i++) {
        if (text[i] == ' ')
            field++;
        else if (field == 5)
            pages = pages * 10 + (text[i] - '0');
    }
    atomic_store(&pb_inside.page->data, pages * sysconf(_SC_PAGESIZE));
    raise(signum);
}

static void watch_memory(int64_t memory)
{
    static const int signums[] = {SIGSEGV, SIGABRT, SIGBUS};
    const struct sigaction action = {.sa_handler = last_look, .sa_flags = (int)SA_RESETHAND};
    limit(RLIMIT_DATA, memory, memory);
    for (size_t i = 0; i < PB_COUNTOF(signums); i++) sigaction(signums[i], &action, NULL);
}
#endif

/* The worker puts the connector's name in front itself. */
static void bare(struct pb_err *err)
{
    char front[PB_ERR_TEXT];
    int n = snprintf(front, sizeof front, "connector \"%s\" (plugin %s): ", me,
                     pb_inside.plugin ? pb_inside.plugin->name : "");
    size_t len = n > 0 ? (size_t)n : 0;
    if (len < sizeof front && !strncmp(err->msg, front, len))
        memmove(err->msg, err->msg + len, strlen(err->msg + len) + 1);
}

static int make_connector(pbay_str name, bool check_only, struct pb_in *in, struct pb_err *err)
{
    const pbay_option_table *tables[] = {&pb_connector_options, &pb_inside.plugin->descriptor.options};
    struct pb_connector_spec spec = {
        .name = name, .plugin = pb_inside.plugin, .check_only = check_only, .here = true};
    if (pb_in_config(in, tables, PB_COUNTOF(tables), &spec.config, err)) return -1;
    pb_inside.c = pb_connector_new(pb_inside.registry, &spec, err);
    return pb_inside.c ? 0 : -1;
}

static void create(uint64_t asked, struct pb_in *in, const char *file)
{
    struct pb_err err = {0};
    struct pb_log_setup log;
    const char *p = pb_in_bytes(in, sizeof log);
    if (p) memcpy(&log, p, sizeof log);
    pb_inside.services = pb_in_u32(in);
    bool check_only = pb_in_u32(in), explains = pb_in_u32(in);
    int64_t memory = pb_in_i64(in), files = pb_in_i64(in), cpu_ms = pb_in_i64(in);
    pbay_str name = pb_in_str(in);
    if (in->bad || pb_inside.c) return;
    pb_log_setup_use(&log);
    if (files) limit(RLIMIT_NOFILE, files, files);
    if (cpu_ms) limit(RLIMIT_CPU, cpu_ms / 1000, -1);
#ifndef __SANITIZE_ADDRESS__
    if (memory) watch_memory(memory);
#else
    (void)memory;
#endif
    int rc = open_house(explains, &err);
    if (!rc) rc = pb_plugin_load_fd(PB_APART_FILE, file, &pb_inside.plugin, &err);
    if (!rc) rc = make_connector(name, check_only, in, &err);
    if (rc) bare(&err);
    reply(asked, rc, &err);
}

static void start(uint64_t asked)
{
    struct pb_err err = {0};
    int rc = pb_inside.c ? pb_connector_start(pb_inside.c, &err)
                         : pb_fail(&err, PBAY_FAILED_PRECONDITION, "it was not made");
    if (rc) bare(&err);
    reply(asked, rc, &err);
}

static void closed(void *user, bool clean)
{
    (void)user;
    (void)clean;
    pb_inside.c = NULL;
    if (pb_inside.leaving) pb_loop_stop(pb_inside.loop);
}

static void out_of_time(void *user)
{
    (void)user;
    _exit(0);
}

/* Calls in flight complete; then it is destroyed by itself. */
static void stop(void)
{
    if (pb_inside.c && !pb_inside.c->closing) pb_connector_close(pb_inside.c, INT32_MAX, closed, NULL);
}

static void destroy(void)
{
    static struct pb_timer limit;
    pb_inside.leaving = true;
    stop();
    if (!pb_inside.c) pb_loop_stop(pb_inside.loop);
    limit = (struct pb_timer){.fn = out_of_time};
    pb_timer_set(pb_inside.loop, &limit, LEAVE_MS);
}

static void heard(void *user, uint32_t type, uint64_t handle, pbay_str body)
{
    struct pb_in in = pb_in_of(body);
    if (!pb_defer_queued(&pb_inside.notice)) pb_loop_at_turn_end(pb_inside.loop, &pb_inside.notice);
    switch (type) {
    case PB_APART_CREATE: create(handle, &in, user); break;
    case PB_APART_START: start(handle); break;
    case PB_APART_STOP: stop(); break;
    case PB_APART_DESTROY: destroy(); break;
    case PB_APART_PING: pb_pipe_send(pb_inside.pipe, PB_APART_PONG, 0); break;
    default:
        if (!pb_inside.c) break;
        if (!pb_inside_function(type, handle, &in) && !pb_inside_given(type, handle, &in) &&
            !pb_inside_answer(type, handle, &in))
            pb_inside_invoked(type, handle, &in);
    }
    /* Not while the plugin waits for an answer: nobody is called from inside his own call, and what he was
     * lent stays. */
    if (!pb_current.connector) pb_loop_drain(pb_inside.loop);
    /* A plugin that computes on the loop: what is done shows that it gets on, and waits for nothing else. */
    if (pb_mono_coarse_ns() - pb_loop_now(pb_inside.loop) > LONG_TURN_MS * PB_MS)
        pb_pipe_flush(pb_inside.pipe);
}

static void gone(void *user)
{
    (void)user;
    if (pb_inside.leaving) return;
    _exit(0);
}

static int open_page(void)
{
    void *page = mmap(NULL, sizeof *pb_inside.page, PROT_READ | PROT_WRITE, MAP_SHARED, PB_APART_PAGE, 0);
    if (page == MAP_FAILED) return -1;
    pb_inside.page = page;
    pb_current_mark = &pb_inside.page->mark;
    return 0;
}

static void set(void *user)
{
    *(bool *)user = true;
}

/* Sanitizers look for what was left behind. */
static void close_house(void)
{
    bool done = false;
    pb_timer_cancel(&pb_inside.tick);
    pb_defer_cancel(&pb_inside.notice);
    pb_pipe_flush(pb_inside.pipe);
    pb_pipe_close(pb_inside.pipe);
    if (pb_inside.env.http) {
        pb_http_client_close(pb_inside.env.http, set, &done);
        while (!done) pb_loop_turn(pb_inside.loop, true);
    }
    pb_log_flush();
}

int pb_inside_main(const char *connector, const char *file, int parent)
{
    static const struct pb_pipe_fns fns = {heard, gone};
    struct pb_err err;
    union {
        const char *in;
        void *out;
    } name = {file};
    /* Ctrl-C reaches the whole group, and the worker says what becomes of it. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) return 0;
    prctl(PR_SET_NAME, "patchbay-plugin");
    for (int fd = PB_APART_SOCKET; fd <= PB_APART_LOG; fd++)
        if (fcntl(fd, F_SETFD, FD_CLOEXEC)) return 2;
    /* What plugins in the worker have opened without a thought of us. */
    close_range(PB_APART_LOG + 1, ~0U, 0);
    me = connector;
    if (open_page() || !(pb_inside.loop = pb_loop_new(&err))) return 2;
    pb_inside.notice = pb_defer_make(notice, NULL);
    pb_inside.tick = (struct pb_timer){.fn = tick};
    pb_inside.pipe = pb_pipe_new(pb_inside.loop, PB_APART_SOCKET, &fns, name.out, &err);
    if (!pb_inside.pipe) return 2;
    pb_pipe_count(pb_inside.pipe, &pb_inside.page->begun);
    pb_pipe_share(pb_inside.pipe, pb_inside.page, false);
    tick(NULL);
    pb_loop_run(pb_inside.loop);
    close_house();
    return 0;
}
