/* SPDX-License-Identifier: MIT */
/* The mock's life: loading, instances, faults, time. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "mockhost/breach.h"
#include "mockhost/mock.h"
#include "plugin/connector_priv.h"
#include "plugin/current.h"
#include "plugin/services.h"

enum { PATIENCE_S = 10, TURNS_MAX = 100000 };

struct pbay_mock *pb_mock;

static void (*heard_by)(void *user, const char *sentence);
static void *hearer;

/* ------------------------------------------------------------------------------------------------ faults */

void pbay_mock_on_fault(void (*fn)(void *user, const char *sentence), void *user)
{
    heard_by = fn;
    hearer = user;
}

void pb_mock_fault(const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (heard_by) {
        heard_by(hearer, text);
        return;
    }
    fprintf(stderr, "mock host: %s\n", text);
    abort();
}

bool pb_mock_on_loop(const char *service, const char *function)
{
    if (!pb_mock || pthread_equal(pthread_self(), pb_mock->thread)) return true;
    pb_mock_fault(
        "%s of %s was called in another thread than the loop's: work hands its result to `done`, which "
        "is called on the loop",
        function, service);
    return false;
}

/* What the host's own code noticed: its line in the log says what. */
static void look_for_faults(struct pbay_mock *m)
{
    if (!m->connector) return;
    const uint64_t faults = pb_connector_stats(m->connector)->faults;
    if (faults == m->faults_seen) return;
    m->faults_seen = faults;
    char said[768] = "?";
    pb_breach_last(m->log_fd, said, sizeof said);
    pb_mock_fault("the plugin broke a rule: %s", said);
}

/* ------------------------------------------------------------------------------------------------ services
 */

const void *pb_service(const struct pb_connector *c, const char *id)
{
    const void *(*const parts[])(const char *) = {pb_mock_guarded, pb_mock_net, pb_mock_stored,
                                                  pb_mock_recorded};
    const struct pbay_mock *m = pb_mock;
    (void)c;
    for (uint32_t i = 0; i < m->n_without; i++)
        if (!strcmp(m->without[i], id)) return NULL;
    const void *table = NULL;
    for (size_t i = 0; i < PB_COUNTOF(parts) && !table; i++) table = parts[i](id);
    return table;
}

void pbay_mock_without(pbay_mock *m, const char *service)
{
    if (m->n_without < PB_COUNTOF(m->without)) m->without[m->n_without++] = pb_strdup(service);
}

void pbay_mock_check_only(pbay_mock *m)
{
    m->check_only = true;
}

/* ------------------------------------------------------------------------------------------------ time */

static void set_clock(struct pbay_mock *m, int64_t ns)
{
    m->utc_ms += (ns - m->ns) / PB_MS;
    m->ns = ns;
    pb_clock_fake_mono(m->ns);
    pb_clock_fake(m->utc_ms);
}

static void nothing(void *user)
{
    (void)user;
}

/* One turn in which everything that is due by the mock's clock comes. */
static void turn(struct pbay_mock *m)
{
    /* The loop's own wait is by the real clock; for a time that it is armed for already it would not be set.
     */
    pb_timer_set_at(m->loop, &m->kick, m->ns - 1);
    pb_loop_turn(m->loop, false);
    pb_timer_cancel(&m->kick);
}

void pbay_mock_run(pbay_mock *m)
{
    struct timespec began, now;
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (int turns = 0, quiet = 0; quiet < 3; turns++) {
        const int64_t due = pb_loop_due(m->loop);
        turn(m);
        if (m->works) {
            quiet = 0;
            usleep(100);
            clock_gettime(CLOCK_MONOTONIC, &now);
            if (now.tv_sec - began.tv_sec <= PATIENCE_S) continue;
            pb_mock_fault("work of pbay.host.work/1 still runs after %d s", PATIENCE_S);
            break;
        }
        quiet = due <= m->ns ? 0 : quiet + 1;
        if (turns > TURNS_MAX) {
            pb_mock_fault("there is no end of timers that are due at once");
            break;
        }
    }
    look_for_faults(m);
}

void pbay_mock_advance(pbay_mock *m, int64_t ms)
{
    const int64_t end = m->ns + ms * PB_MS;
    pbay_mock_run(m);
    for (int64_t due; (due = pb_loop_due(m->loop)) <= end;) {
        /* To whole milliseconds, as both clocks show the same time. */
        int64_t to = m->ns + (due - m->ns + PB_MS - 1) / PB_MS * PB_MS;
        set_clock(m, to < m->ns ? m->ns : to > end ? end : to);
        pbay_mock_run(m);
    }
    set_clock(m, end);
    pbay_mock_run(m);
}

int64_t pbay_mock_now_ms(const pbay_mock *m)
{
    return m->utc_ms;
}

static void later_due(void *user)
{
    struct pb_mock_later *l = user;
    pb_mock_later_cancel(l);
    l->fn(l);
}

void pb_mock_later(struct pb_mock_later *l, int64_t after_ms, void (*fn)(struct pb_mock_later *l))
{
    struct pb_mock_later *head = &pb_mock->ring;
    pb_mock_later_cancel(l);
    l->fn = fn;
    l->timer.fn = later_due;
    l->timer.user = l;
    l->next = head;
    l->prev = head->prev;
    head->prev->next = l;
    head->prev = l;
    pb_timer_set(pb_mock->loop, &l->timer, after_ms);
}

void pb_mock_later_cancel(struct pb_mock_later *l)
{
    pb_timer_cancel(&l->timer);
    if (!l->next) return;
    l->next->prev = l->prev;
    l->prev->next = l->next;
    l->next = l->prev = NULL;
}

/* ------------------------------------------------------------------------------------------------ loading */

static struct pbay_mock *mock_new(void)
{
    struct pb_err err;
    if (pb_mock) pb_mock_fault("there is a mock already: one at a time");
    struct pbay_mock *m = pb_zalloc(sizeof *m);
    pb_current_tell_crashes("mock host");
    m->thread = pthread_self();
    m->utc_ms = INT64_C(1767225600000);
    set_clock(m, 1000 * PB_SEC);
    m->utc_ms = INT64_C(1767225600000);
    pb_clock_fake(m->utc_ms);
    m->ring.next = m->ring.prev = &m->ring;
    m->kick.fn = nothing;
    m->http_end = &m->http;
    m->peers_end = &m->peers;
    m->log_fd = memfd_create("mockhost", MFD_CLOEXEC);
    pb_log_open(m->log_fd, PB_LOG_LOGFMT);
    m->loop = pb_loop_new(&err);
    if (!m->loop) pb_mock_fault("%s", err.msg);
    m->env =
        (struct pb_plugin_env){.loop = m->loop, .requests = &pb_mock_requests, .invoker = &pb_mock_invoker};
    m->registry = pb_registry_new(&m->env, false);
    pb_mock = m;
    return m;
}

/* The one file, as the registry found it. */
static struct pbay_mock *loaded(struct pbay_mock *m, int rc, const struct pb_err *err)
{
    const struct pb_found *found = rc ? NULL : pb_registry_at(m->registry, 0);
    if (found && found->plugin)
        m->plugin = found->plugin;
    else
        pb_mock_fault("%s", found && found->why ? found->why->msg : err->msg);
    return m;
}

pbay_mock *pbay_mock_new(const char *path)
{
    struct pbay_mock *m = mock_new();
    struct pb_err err = {0};
    char *real = realpath(path, NULL);
    const int rc = pb_registry_add(m->registry, real ? real : path, &err);
    free(real);
    return loaded(m, rc, &err);
}

pbay_mock *pbay_mock_new_entry(const pbay_entry *(*entry)(void))
{
    struct pbay_mock *m = mock_new();
    struct pb_err err = {0};
    return loaded(m, pb_registry_adopt(m->registry, entry, &err), &err);
}

/* ------------------------------------------------------------------------------------------------ instances
 */

static void on_closed(void *user, bool clean)
{
    struct pbay_mock *m = user;
    m->closed = true;
    m->clean = clean;
    m->connector = NULL;
}

/* Gone, or given up after 5 s of mock time. */
static void close_instance(struct pbay_mock *m)
{
    if (!m->connector) return;
    pb_mock_calls_end(m);
    for (struct pb_declared *d = m->functions; d; d = d->next) {
        pb_op_unbind(d->op);
        d->op = NULL;
    }
    pbay_mock_run(m);
    m->closed = false;
    pb_connector_close(m->connector, 5000, on_closed, m);
    pbay_mock_run(m);
    if (!m->closed) pbay_mock_advance(m, 5000);
    pb_mock_calls_held(m);
    if (!m->clean)
        pb_mock_fault(
            "5 s after `stop` the plugin still keeps a call, a request or work: its instance cannot be "
            "destroyed");
}

static void drop_functions(struct pbay_mock *m)
{
    while (m->functions) {
        struct pb_declared *d = m->functions;
        m->functions = d->next;
        pb_declared_free(d);
    }
    pb_ini_free(m->ini);
    m->ini = NULL;
}

static int make(struct pbay_mock *m, const char *dir, struct pb_err *err)
{
    const struct pb_ini_section *s = pb_declared_connector(m->ini, m->plugin);
    if (!s)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "there is no [connector] section with plugin = %s",
                       m->plugin->name);
    struct pb_connector_spec spec = {
        .name = s->name, .plugin = m->plugin, .check_only = m->check_only, .here = true};
    const pbay_option_table *tables[] = {&pb_connector_options, &m->plugin->descriptor.options};
    const struct pb_config_env env = {dir, NULL, NULL};
    if (pb_config_make(s, tables, 2, &env, &spec.config, err)) return -1;
    m->connector = pb_connector_new(m->registry, &spec, err);
    if (!m->connector) return -1;
    m->faults_seen = 0;
    struct pb_declared **end = &m->functions;
    for (size_t i = 0; i < m->ini->n; i++) {
        const struct pb_ini_section *f = m->ini->sections[i];
        if (!pb_declared_is(f, s->name)) continue;
        *end = pb_declared_new(f, m->plugin, dir, err);
        if (!*end) return -1;
        if (pb_declared_bind(*end, m->connector, err))
            return pb_fail_in(err, "[function \"%s\"]", (*end)->name);
        end = &(*end)->next;
    }
    return 0;
}

static void not_mute(const struct pbay_mock *m)
{
    if (pb_plugin_mute(&m->why))
        pb_mock_fault("%s: why->message says what is wrong, and what to do", m->why.msg);
}

int32_t pbay_mock_create(pbay_mock *m, const char *ini)
{
    char dir[4096];
    pb_err_clear(&m->why);
    if (m->connector) {
        pb_mock_fault("pbay_mock_create: the instance is there already");
        return PBAY_ALREADY_EXISTS;
    }
    drop_functions(m);
    int rc = pb_ini_parse("(test)", pb_str_c(ini), PB_INI_OURS, &m->ini, &m->why);
    if (!rc) rc = make(m, getcwd(dir, sizeof dir) ? dir : "/", &m->why);
    if (rc && m->connector) close_instance(m);
    if (rc) not_mute(m);
    look_for_faults(m);
    return rc ? m->why.code : PBAY_OK;
}

int32_t pbay_mock_start(pbay_mock *m)
{
    pb_err_clear(&m->why);
    if (!m->connector || m->check_only || m->started) {
        pb_mock_fault("pbay_mock_start: the instance is not there, started already, or for checks only");
        return PBAY_FAILED_PRECONDITION;
    }
    if (pb_connector_start(m->connector, &m->why)) {
        not_mute(m);
        return m->why.code;
    }
    m->started = true;
    look_for_faults(m);
    return PBAY_OK;
}

const char *pbay_mock_message(const pbay_mock *m)
{
    return m->why.msg;
}

void pbay_mock_stop(pbay_mock *m)
{
    struct pb_connector *c = m->connector;
    if (!c || c->stopped) return;
    c->stopped = true; /* what pb_connector_close does later is the rest */
    if (c->started && c->plugin->entry.stop) {
        struct pb_visit v;
        pb_visit_enter(&v, c, "stop", NULL);
        c->plugin->entry.stop(c->self);
        pb_visit_leave(&v);
    }
    pb_invoke_stop(c);
    pb_service_work_stop(c);
}

void pbay_mock_free(pbay_mock *m)
{
    static struct pbay_mock *given_up; /* a plugin that keeps something may still reach for it */
    if (!m) return;
    close_instance(m);
    drop_functions(m);
    pb_mock_calls_free(m);
    pb_mock_http_free(m);
    pb_mock_peers_free(m);
    pb_mock_targets_free(m);
    pb_mock_guard_free(m);
    pb_mock_jobs_free(m);
    pb_mock_store_free(m);
    pb_mock_record_free(m);
    for (uint32_t i = 0; i < m->n_without; i++) pb_free(m->without[i]);
    pb_buf_free(&m->text);
    pb_free(m->user);
    pb_free(m->app);
    pb_free(m->principal);
    pb_log_flush();
    pb_log_open(STDERR_FILENO, PB_LOG_LOGFMT);
    close(m->log_fd);
    pb_clock_fake(-1);
    pb_clock_fake_mono(-1);
    pb_mock = NULL;
    if (m->closed && !m->clean) {
        given_up = m;
        return;
    }
    pb_registry_free(m->registry);
    pb_loop_free(m->loop);
    pb_op_pool_free();
    pb_action_pool_free();
    pb_builder_pool_free();
    pb_free(m);
    (void)given_up;
}

/* ------------------------------------------------------------------------------------------------ small
 * things */

uint32_t pbay_mock_fail_allocation(pbay_mock *m, uint32_t n)
{
    const void *code;
    memcpy(&code, &m->plugin->entry.create, sizeof code); /* as dlsym's: a function's address as data */
    if (!m->watched && !(m->watched = pb_alloc_watch(code)) && n)
        pb_mock_fault("its allocations cannot fail: it is part of the program, or allocates nothing itself");
    return pb_alloc_fail(n);
}
