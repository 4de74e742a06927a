/* SPDX-License-Identifier: MIT */
#include "app/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/function_ids.h"
#include "app/gatekeeper.h"
#include "app/control.h"
#include "app/leash.h"
#include "app/monitor.h"
#include "app/notify.h"
#include "app/paths.h"
#include "app/serve.h"
#include "base/log.h"
#include "endpoints/qlik_script.h"
#include "endpoints/routes.h"
#include "flow/chain_work.h"
#include "plugin/sources.h"
#include "store/durable.h"

enum { DESCRIPTORS_MORE = 1024, DESCRIPTORS_MAX = 131072 }; /* beside connections; what is reserved at most */

struct pb_worker {
    struct pb_workshop shop;
    struct pb_generation *generation;
    struct pb_evaluator *evaluator;
    struct pb_page *own_page; /* without a supervisor */
    struct pb_gatekeeper *gatekeeper;
    struct pb_monitor *monitor;
    struct pb_serving *serving;
    struct pb_sources *sources;
    struct pb_function_ids *ids;
    struct pb_chain_work *chains;
    struct pb_chain_pictures pictures;
    struct pb_control *control; /* NULL: the supervisor has it */
    struct pb_leash *leash;     /* NULL: no supervisor */
    struct pb_signal *signals[2];
    struct pb_timer drain_limit;
    bool stopping, served /* no calls any more */, closing;
    int exit_code;
};

static void say_listener(void *user, const char *name, pbay_str address)
{
    (void)user;
    printf(" %s=%.*s", name, PB_FMT(address));
    pb_log(PB_LOG_INFO, "app", "listening", PB_S("listener", name), PB_V("address", address));
}

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++) h = (h ^ ((const unsigned char *)p)[i]) * UINT64_C(0x100000001b3);
    return (h ^ 0xff) * UINT64_C(0x100000001b3);
}

/* What Qlik has been told of the functions of a catalog, as a number. */
static uint64_t mark_of(uint64_t h, const struct pb_catalog *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct pb_function *fn = c->functions[i];
        h = mix(h, fn->name.p, fn->name.n);
        h = mix(h, &fn->id, sizeof fn->id);
        h = mix(h, &fn->type, sizeof fn->type);
        if (fn->n_returns) h = mix(h, &fn->returns[0].kind, sizeof fn->returns[0].kind);
        for (uint32_t k = 0; k < fn->n_params; k++) {
            h = mix(h, fn->params[k].name.p, fn->params[k].name.n);
            h = mix(h, &fn->params[k].kind, sizeof fn->params[k].kind);
        }
    }
    return h;
}

static void tell_supervisor(const struct pb_worker *w)
{
    char text[32];
    uint64_t h = mark_of(UINT64_C(0xcbf29ce484222325), &w->generation->catalog);
    for (size_t i = 0; i < w->generation->n_qrags; i++) h = mark_of(h, &w->generation->qrags[i].catalog);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)h);
    pb_leash_ready(w->leash, text);
}

static void say_ready(const struct pb_worker *w)
{
    if (w->leash)
        tell_supervisor(w);
    else {
        printf("ready");
        pb_serving_each(w->serving, say_listener, NULL);
        printf("\n");
        fflush(stdout);
        pb_notify("READY=1");
    }
    pb_log(PB_LOG_INFO, "app", "ready", PB_S("version", PB_VERSION),
           PB_I("functions", w->generation->catalog.n),
           PB_I("connectors", pb_registry_n_connectors(w->generation->registry)));
}

/* ------------------------------------------------------------------------------------------------ the end */

static void generation_closed(void *user)
{
    struct pb_worker *w = user;
    pb_loop_stop(w->shop.loop);
}

/* Jobs have ended too, or are not waited for any longer: the end of their connectors ends them. */
static void close_generation(struct pb_worker *w)
{
    if (w->closing) return;
    w->closing = true;
    pb_timer_cancel(&w->drain_limit);
    pb_generation_close(w->generation, generation_closed, w);
}

static void jobs_drained(void *user)
{
    close_generation(user);
}

static void drained(void *user)
{
    struct pb_worker *w = user;
    w->served = true;
    pb_durable_drain(w->shop.durable, jobs_drained, w);
    if (!pb_timer_is_set(&w->drain_limit)) close_generation(w);
}

/* Calls are lost from here on. */
static void give_up(struct pb_worker *w, const char *why)
{
    pb_log(PB_LOG_WARN, "app", "stopping without waiting any longer", PB_S("why", why),
           PB_I("calls", pb_flow_live(w->shop.flow)));
    if (pb_flow_live(w->shop.flow)) w->exit_code = 1;
    if (w->served)
        close_generation(w);
    else
        pb_serving_abandon(w->serving);
}

static void drain_over(void *user)
{
    give_up(user, "the drain limit has passed");
}

/* Again: do not wait any longer. */
static void stop(struct pb_worker *w, const char *why)
{
    if (!pb_timer_is_set(&w->drain_limit)) return;
    pb_timer_cancel(&w->drain_limit);
    give_up(w, why);
}

static void drain(struct pb_worker *w, const char *why)
{
    w->stopping = true;
    pb_sources_stop(w->sources);
    pb_log(PB_LOG_INFO, "app", "draining", PB_S("why", why), PB_I("calls", pb_flow_live(w->shop.flow)));
    w->drain_limit.fn = drain_over;
    w->drain_limit.user = w;
    pb_timer_set(w->shop.loop, &w->drain_limit, pb_config_get_int(w->generation->site->limits, "drain"));
    pb_serving_drain(w->serving, drained, w);
}

static void on_signal(void *user, int signum)
{
    struct pb_worker *w = user;
    if (w->leash) {
        /* Ctrl-C reaches the whole group, and the supervisor says what becomes of it. */
        if (signum == SIGTERM && !w->stopping) pb_leash_leave(w->leash);
    } else if (w->stopping) {
        stop(w, "a second signal");
    } else {
        pb_notify("STOPPING=1");
        drain(w, signum == SIGTERM ? "SIGTERM" : "SIGINT");
    }
}

static void leash_conn(void *user, const char *name, int fd)
{
    struct pb_worker *w = user;
    pb_serving_adopt(w->serving, name, fd);
}

static void leash_outs(void *user)
{
    struct pb_worker *w = user;
    pb_generation_outs(w->generation, pb_leash_page(w->leash));
}

static void leash_drain(void *user, const char *why)
{
    struct pb_worker *w = user;
    if (!w->stopping) drain(w, *why ? why : "the supervisor says so");
}

static void leash_stop(void *user, const char *why)
{
    struct pb_worker *w = user;
    leash_drain(w, why);
    stop(w, *why ? why : "the supervisor says so");
}

static const struct pb_leash_ops leash_ops = {leash_conn, leash_outs, leash_drain, leash_stop};

static void close_worker(struct pb_worker *w)
{
    pb_control_close(w->control);
    if (w->leash) pb_leash_stop(w->leash);
    pb_serving_free(w->serving);
    pb_gatekeeper_free(w->gatekeeper);
    pb_monitor_free(w->monitor);
    for (size_t i = 0; i < PB_COUNTOF(w->signals); i++) pb_signal_close(w->signals[i]);
    pb_evaluator_free(w->evaluator);
    pb_timer_cancel(&w->drain_limit);
}

/* What a supervisor answers where there is one. */
static void on_command(void *user, struct pb_control_call *call, const char *line)
{
    struct pb_worker *w = user;
    if (strcmp(line, "wake") == 0) {
        pb_durable_look(w->shop.durable);
        pb_control_answer(call, "ok\n");
    } else
        pb_control_answer(call, "error: this gateway has no workers (--workers 0), so there is only wake\n");
}

static void open_control(struct pb_worker *w, const char *dir)
{
    struct pb_err err;
    if (w->leash || !dir) return;
    w->control = pb_control_open(w->shop.loop, dir, on_command, w, &err);
    if (!w->control)
        pb_log(PB_LOG_INFO, "app", "no control socket; commands take some seconds to be noticed",
               PB_S("why", err.msg));
}

/* [route "/path"]: other paths for the routes that connectors have. */
static int add_routes(struct pb_worker *w, struct pb_err *err)
{
    const struct pb_site_parts *parts = &w->generation->site->routes;
    if (pb_routes_add_all(w->shop.routes, w->generation->registry, err)) return -1;
    for (size_t i = 0; i < parts->n; i++) {
        const struct pbay_config *cfg = parts->list[i].cfg;
        pbay_str name = pb_config_get_str(cfg, "connector");
        struct pb_connector *c = pb_registry_connector(w->generation->registry, name);
        if (!c)
            return pb_config_fail(cfg, "connector", err, "there is no [connector \"%.*s\"]", PB_FMT(name));
        const struct pb_allow *allow;
        if (pb_generation_allow(w->generation, cfg, &allow, err)) return -1;
        if (pb_routes_add(w->shop.routes, parts->list[i].name, c, pb_config_get_str(cfg, "suffix"), allow,
                          err))
            return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------ the life
 * of a worker */

void pb_worker_log_levels(const struct pb_site *site)
{
    static const enum pb_log_level levels[] = {PB_LOG_DEBUG, PB_LOG_INFO, PB_LOG_WARN, PB_LOG_ERROR,
                                               PB_LOG_OFF};
    pb_log_level(NULL, levels[pb_config_get_int(site->log, "level")]);
    for (size_t i = 0; pb_log_room_at(i); i++) pb_log_level(pb_log_room_at(i), (enum pb_log_level)0);
    uint32_t n = pb_config_count(site->log, "room");
    for (uint32_t i = 0; i < n; i++) {
        pbay_str room, level = pb_config_item(site->log, "room", i, &room);
        enum pb_log_level l;
        char *name = pb_strndup(room.p, room.n);
        if (pb_log_level_parse(level, &l))
            pb_log_level(name, l);
        else
            pb_log(PB_LOG_WARN, "app", "no such log level", PB_V("room", room), PB_V("level", level));
        pb_free(name);
    }
}

int pb_worker_open_log(const struct pb_site *site, struct pb_err *err)
{
    pbay_str file = pb_config_get_str(site->log, "file");
    int fd = 2;
    if (file.n) {
        char *path = pb_strndup(file.p, file.n);
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
        if (fd < 0) pb_config_fail(site->log, "file", err, "%s cannot be written: %s", path, strerror(errno));
        pb_free(path);
        if (fd < 0) return -1;
    }
    pb_log_open(fd, pb_config_get_int(site->log, "format") == 1 ? PB_LOG_JSON : PB_LOG_LOGFMT);
    static int opened = 2;
    if (opened > 2) close(opened); /* of the generation before */
    opened = fd;
    pb_worker_log_levels(site);
    return 0;
}

static int make_evaluator(struct pb_worker *w, struct pb_err *err)
{
    const struct pbay_config *cfg = w->generation->site->scripts;
    if (!pb_config_get_int(cfg, "evaluate")) return 0;
    struct pb_arena *mem = &w->generation->mem;
    static const char *const keys[] = {"evaluate_users", "evaluate_apps"};
    pbay_str *lists[2];
    size_t n[2];
    for (size_t k = 0; k < 2; k++) {
        n[k] = pb_config_count(cfg, keys[k]);
        lists[k] = pb_arena_alloc(mem, (n[k] + 1) * sizeof **lists);
        pbay_str key;
        for (uint32_t i = 0; i < n[k]; i++) lists[k][i] = pb_config_item(cfg, keys[k], i, &key);
    }
    const struct pb_evaluator_options o = {.users = lists[0],
                                           .n_users = n[0],
                                           .apps = lists[1],
                                           .n_apps = n[1],
                                           .budget_ms = pb_config_get_int(cfg, "evaluate_budget"),
                                           .memory = (size_t)pb_config_get_int(cfg, "memory")};
    w->evaluator = pb_evaluator_new(&o, err);
    return w->evaluator ? 0 : -1;
}

static struct pb_page *page_of(const struct pb_worker *w)
{
    return w->leash ? pb_leash_page(w->leash) : w->own_page;
}

static uint32_t row_of(const struct pb_worker *w)
{
    return w->leash ? pb_leash_slot(w->leash) : 0;
}

/* Without a supervisor: a page that nobody shares. */
static int make_page(struct pb_worker *w, struct pb_err *err)
{
    int fd;
    if (!(w->own_page = pb_page_make(&fd, err))) return -1;
    close(fd);
    atomic_store(&w->own_page->rows[0].pid, (int32_t)getpid());
    atomic_store(&w->own_page->rows[0].generation, 1);
    return 0;
}

static void start_monitor(struct pb_worker *w)
{
    const struct pb_monitor_options o = {.loop = w->shop.loop,
                                         .metrics = w->shop.metrics,
                                         .registry = w->generation->registry,
                                         .durable = w->shop.durable,
                                         .site = w->generation->site,
                                         .page = page_of(w),
                                         .row = row_of(w)};
    w->monitor = pb_monitor_new(&o);
}

static int make_gatekeeper(struct pb_worker *w, const struct pb_worker_options *options, struct pb_err *err)
{
    struct pb_gatekeeper_options o = {.site = w->generation->site,
                                      .loop = w->shop.loop,
                                      .http = w->shop.http,
                                      .state_dir = options->state_dir};
    if (pb_path_make(options->state_dir, err)) return -1;
    o.page = page_of(w);
    o.row = row_of(w);
    w->gatekeeper = pb_gatekeeper_new(&o, err);
    return w->gatekeeper ? 0 : -1;
}

static void draw(void *user, uint32_t format, pbay_str chain,
                 void (*got)(void *got_user, const struct pb_err *err, pbay_str text), void *got_user)
{
    pb_chain_work_picture(user, format, chain, got, got_user);
}

static void make_chains(struct pb_worker *w)
{
    struct pb_chain_work_config c;
    pb_generation_chain_work(w->generation, &c);
    w->chains = pb_chain_work_new(&c);
    w->pictures = (struct pb_chain_pictures){draw, w->chains};
}

static void ids_changed(void *user)
{
    struct pb_worker *w = user;
    pb_serving_ids_changed(w->serving);
}

static void health_changed(void *user)
{
    struct pb_worker *w = user;
    struct pb_store_health health;
    pb_store_async_health(pb_durable_store(w->shop.durable), &health);
    if (health.up && !w->stopping) pb_function_ids_again(w->ids);
}

/*
 * The kernel's table of descriptors doubles when it is full, and where there are several threads it waits
 * then until all processors have seen it: ten milliseconds and more, eight times on the way to 10,000
 * connections, while the listener's queue runs over. So it is made large while there is one thread.
 */
static void reserve_descriptors(const struct pb_site *site)
{
    struct rlimit r;
    int64_t wanted = pb_config_get_int(site->limits, "connections") + DESCRIPTORS_MORE;
    if (getrlimit(RLIMIT_NOFILE, &r)) return;
    if (wanted > DESCRIPTORS_MAX) wanted = DESCRIPTORS_MAX;
    if ((rlim_t)wanted >= r.rlim_cur) wanted = (int64_t)r.rlim_cur - 1;
    int fd = wanted > 0 ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, (int)wanted) : -1;
    if (fd >= 0) close(fd);
}

int pb_worker_run(const struct pb_worker_options *options)
{
    struct pb_worker worker = {0}, *w = &worker;
    struct pb_site *site = options->site;
    struct pb_err err;
    w->leash = options->leash;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error, as a full disk is */
    reserve_descriptors(site);
    if (pb_worker_open_log(site, &err) ||
        pb_workshop_open(&w->shop, site, options->state_dir, PB_STORE_MAY, &err)) {
        pb_site_free(site);
        goto failed;
    }
    if (!w->leash && make_page(w, &err)) {
        pb_site_free(site);
        goto failed;
    }
    pb_workshop_share(&w->shop, page_of(w), row_of(w));
    pb_flow_show_payload(w->shop.flow, pb_config_get_int(site->log, "payload") != 0);
    if (pb_workshop_durable(&w->shop, site, w->leash ? pb_leash_page(w->leash) : NULL,
                            w->leash ? pb_leash_slot(w->leash) : 0, &err)) {
        pb_site_free(site);
        goto failed;
    }
    w->shop.env.chains = &w->pictures;
    const struct pb_generation_options go = {.env = w->shop.env,
                                             .state_dir = options->state_dir,
                                             .flow = w->shop.flow,
                                             .patient = !options->trial,
                                             .page = w->leash ? pb_leash_page(w->leash) : NULL,
                                             .row = w->leash ? pb_leash_slot(w->leash) : 0,
                                             .probe = pb_config_get_int(site->plugins, "probe") != 0};
    w->generation = pb_generation_build(site, &go, &err);
    if (!w->generation) goto failed;
    make_chains(w);
    static const int signums[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < PB_COUNTOF(signums); i++)
        if (!(w->signals[i] = pb_signal_open(w->shop.loop, signums[i], on_signal, w, &err))) goto failed;
    if (make_evaluator(w, &err) || add_routes(w, &err) || make_gatekeeper(w, options, &err)) goto failed;
    pb_generation_start(w->generation, w->leash ? pb_leash_page(w->leash) : NULL);
    const struct pb_serving_options so = {.loop = w->shop.loop,
                                          .flow = w->shop.flow,
                                          .generation = w->generation,
                                          .evaluator = w->evaluator,
                                          .routes = w->shop.routes,
                                          .gatekeeper = w->gatekeeper,
                                          .durable = w->shop.durable,
                                          .chains = w->chains,
                                          .metrics = w->shop.metrics,
                                          .page = page_of(w),
                                          .row = row_of(w),
                                          .leash = w->leash};
    if (!(w->serving = pb_serving_open(&so, &err))) goto failed;
    if (w->leash && pb_leash_start(w->leash, w->shop.loop, &leash_ops, w, &err)) goto failed;
    start_monitor(w);
    w->ids = pb_function_ids_new(w->generation, w->shop.durable, options->state_dir, ids_changed, w);
    pb_durable_on_health(w->shop.durable, health_changed, w);
    pb_durable_start(w->shop.durable);
    pb_chain_work_start(w->chains);
    w->sources = pb_sources_start(w->generation->registry, w->shop.durable);
    open_control(w, options->runtime_dir);
    say_ready(w);
    pb_loop_run(w->shop.loop);
    close_worker(w);
    pb_chain_work_stop(w->chains);
    pb_sources_free(w->sources);
    pb_function_ids_free(w->ids, w->shop.loop);
    pb_generation_free(w->generation);
    pb_log(PB_LOG_INFO, "app", "stopped", PB_I("exit", w->exit_code));
    pb_workshop_close(&w->shop);
    pb_chain_work_free(w->chains);
    pb_page_unmap(w->own_page);
    pb_leash_free(w->leash);
    return w->exit_code;

failed:
    close_worker(w);
    pb_workshop_end_generation(&w->shop, w->generation);
    pb_workshop_close(&w->shop);
    pb_chain_work_free(w->chains);
    pb_page_unmap(w->own_page);
    if (w->leash)
        pb_leash_failed(w->leash, err.msg);
    else
        fprintf(stderr, "patchbay: %s\n", err.msg);
    pb_leash_free(w->leash);
    return 1;
}
