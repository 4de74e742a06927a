/* SPDX-License-Identifier: MIT */
#include "app/worker.h"

#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "endpoints/health.h"
#include "endpoints/qlik_script.h"
#include "endpoints/qlik_sse.h"
#include "endpoints/reflection.h"
#include "net/grpc_server.h"
#include "net/listener.h"
#include "net/tls.h"

/* A listener that Qlik connects to: the gRPC server, what it serves, and the socket. */
struct sse_site {
    struct pb_worker *worker;
    const char *name; /* "sse", "qrag.NAME" */
    struct pb_grpc_server *server;
    struct pb_sse *sse;
    struct pb_health *health;
    struct pb_listener *listener;
    bool drained;
};

struct pb_worker {
    struct pb_workshop shop;
    struct pb_generation *generation;
    struct pb_evaluator *evaluator;
    struct sse_site *sites;
    size_t n_sites;
    struct pb_signal *signals[2];
    struct pb_timer drain_limit;
    bool stopping;
    int exit_code;
};

/* ------------------------------------------------------------------------------------------------ listeners */

static bool loopback(pbay_str address)
{
    static const char *const own[] = {"127.", "localhost:", "[::1]:"};
    for (size_t i = 0; i < PB_COUNTOF(own); i++)
        if (pb_str_starts(address, pb_str_c(own[i]))) return true;
    return false;
}

static int check_public(const struct pbay_config *cfg, pbay_str address, pbay_str tls_dir, struct pb_err *err)
{
    if (tls_dir.n || loopback(address) || pb_config_get_int(cfg, "insecure")) return 0;
    return pb_config_fail(cfg, "address", err,
                          "anybody who reaches %.*s could call functions: set tls_dir for mutual TLS, listen on 127.0.0.1, or "
                          "write `insecure = yes` when the network itself keeps others out",
                          PB_FMT(address));
}

static void take(void *user, struct pb_conn *conn)
{
    struct sse_site *s = user;
    pb_grpc_server_take(s->server, conn);
}

static int open_sse(struct pb_worker *w, struct sse_site *s, const char *name, const struct pbay_config *cfg, pbay_str address,
                    pbay_str tls_dir, const struct pb_catalog *catalog, struct pb_err *err)
{
    const struct pbay_config *limits = w->generation->site->limits;
    s->worker = w;
    s->name = name;
    if (check_public(cfg, address, tls_dir, err)) return -1;
    struct pb_tls *tls = NULL;
    if (tls_dir.n) {
        char *dir = pb_strndup(tls_dir.p, tls_dir.n);
        tls = pb_tls_server_from_dir(dir, PB_ALPN_H2, err);
        pb_free(dir);
        if (!tls) return pb_fail_in(err, "%.*s", PB_FMT(pb_config_where(cfg, "tls_dir")));
    }
    const struct pb_grpc_options options = {.max_message = (size_t)pb_config_get_int(limits, "max_message"),
                                            .max_streams = (uint32_t)pb_config_get_int(limits, "max_streams"),
                                            .max_header = (uint32_t)pb_config_get_int(limits, "max_header")};
    s->server = pb_grpc_server_new(w->shop.loop, name, &options);
    s->sse = pb_sse_new(w->shop.loop, s->server, catalog, w->shop.flow, w->evaluator);
    s->health = pb_health_new(s->server);
    pb_reflection_register(s->server);
    char *where = pb_strndup(address.p, address.n);
    const struct pb_listener_options listen = {
        .name = name, .address = where, .protocol = "gRPC (HTTP/2)", .tls = tls, .take = take, .user = s};
    s->listener = pb_listener_open(w->shop.loop, &listen, err);
    pb_free(where);
    pb_tls_unref(tls);
    return s->listener ? 0 : pb_fail_in(err, "%.*s", PB_FMT(pb_config_where(cfg, "address")));
}

static int open_listeners(struct pb_worker *w, struct pb_err *err)
{
    struct pb_generation *g = w->generation;
    const struct pb_site_parts *listens = &g->site->listens;
    w->sites = pb_zalloc((listens->n + g->n_qrags + 1) * sizeof *w->sites);
    for (size_t i = 0; i < listens->n; i++) {
        const struct pbay_config *cfg = listens->list[i].cfg;
        if (!pb_str_is(listens->list[i].name, "sse")) continue;
        if (open_sse(w, &w->sites[w->n_sites++], "sse", cfg, pb_config_get_str(cfg, "address"),
                     pb_config_get_str(cfg, "tls_dir"), &g->catalog, err))
            return -1;
    }
    for (size_t i = 0; i < g->n_qrags; i++) {
        struct pb_qrag *q = &g->qrags[i];
        const char *name = pb_arena_printf(&g->mem, "qrag.%.*s", PB_FMT(q->part->name));
        if (open_sse(w, &w->sites[w->n_sites++], name, q->part->cfg, q->address, q->tls_dir, &q->catalog, err)) return -1;
    }
    if (w->n_sites) return 0;
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: nothing to listen on: write a [listen \"sse\"] with an address",
                   g->site->path);
}

static void say_ready(const struct pb_worker *w)
{
    printf("ready");
    for (size_t i = 0; i < w->n_sites; i++) {
        pbay_str a = pb_listener_address(w->sites[i].listener);
        printf(" %s=%.*s", w->sites[i].name, PB_FMT(a));
        pb_log(PB_LOG_INFO, "app", "listening", PB_S("listener", w->sites[i].name), PB_V("address", a));
    }
    printf("\n");
    fflush(stdout);
    pb_log(PB_LOG_INFO, "app", "ready", PB_S("version", PB_VERSION), PB_I("functions", w->generation->catalog.n),
           PB_I("connectors", pb_registry_n_connectors(w->generation->registry)));
}

/* ------------------------------------------------------------------------------------------------ the end */

static void generation_closed(void *user)
{
    struct pb_worker *w = user;
    pb_loop_stop(w->shop.loop);
}

static void all_drained(struct pb_worker *w)
{
    for (size_t i = 0; i < w->n_sites; i++)
        if (w->sites[i].server && !w->sites[i].drained) return;
    pb_timer_cancel(&w->drain_limit);
    pb_generation_close(w->generation, generation_closed, w);
}

static void site_drained(void *user)
{
    struct sse_site *s = user;
    s->drained = true;
    all_drained(s->worker);
}

/* Calls are lost from here on. */
static void give_up(struct pb_worker *w, const char *why)
{
    pb_log(PB_LOG_WARN, "app", "stopping without waiting any longer", PB_S("why", why),
           PB_I("calls", pb_flow_live(w->shop.flow)));
    if (pb_flow_live(w->shop.flow)) w->exit_code = 1;
    for (size_t i = 0; i < w->n_sites; i++) {
        struct sse_site *s = &w->sites[i];
        if (s->drained || !s->server) continue;
        pb_grpc_server_free(s->server);
        s->server = NULL;
    }
    all_drained(w);
}

static void drain_over(void *user)
{
    give_up(user, "the drain limit has passed");
}

static void on_signal(void *user, int signum)
{
    struct pb_worker *w = user;
    if (w->stopping) {
        if (pb_timer_is_set(&w->drain_limit)) {
            pb_timer_cancel(&w->drain_limit);
            give_up(w, "a second signal");
        }
        return;
    }
    w->stopping = true;
    pb_log(PB_LOG_INFO, "app", "draining", PB_S("signal", signum == SIGTERM ? "SIGTERM" : "SIGINT"),
           PB_I("calls", pb_flow_live(w->shop.flow)));
    w->drain_limit.fn = drain_over;
    w->drain_limit.user = w;
    pb_timer_set(w->shop.loop, &w->drain_limit, pb_config_get_int(w->generation->site->limits, "drain"));
    for (size_t i = 0; i < w->n_sites; i++) {
        pb_listener_close(w->sites[i].listener);
        w->sites[i].listener = NULL;
    }
    for (size_t i = 0; i < w->n_sites; i++) pb_health_drain(w->sites[i].health);
    for (size_t i = 0; i < w->n_sites; i++) pb_grpc_server_drain(w->sites[i].server, site_drained, &w->sites[i]);
    if (!w->n_sites) all_drained(w);
}

static void close_worker(struct pb_worker *w)
{
    for (size_t i = 0; i < w->n_sites; i++) {
        struct sse_site *s = &w->sites[i];
        pb_listener_close(s->listener);
        if (s->server) pb_grpc_server_free(s->server);
        pb_sse_free(s->sse);
        pb_health_free(s->health);
    }
    pb_free(w->sites);
    for (size_t i = 0; i < PB_COUNTOF(w->signals); i++) pb_signal_close(w->signals[i]);
    pb_evaluator_free(w->evaluator);
    pb_timer_cancel(&w->drain_limit);
}

/* ------------------------------------------------------------------------------------------------ the life of a worker */

static void open_log(const struct pb_site *site)
{
    static const enum pb_log_level levels[] = {PB_LOG_DEBUG, PB_LOG_INFO, PB_LOG_WARN, PB_LOG_ERROR, PB_LOG_OFF};
    pb_log_level(NULL, levels[pb_config_get_int(site->log, "level")]);
    pb_log_open(2, pb_config_get_int(site->log, "format") == 1 ? PB_LOG_JSON : PB_LOG_LOGFMT);
    uint32_t n = pb_config_count(site->log, "room");
    for (uint32_t i = 0; i < n; i++) {
        pbay_str room, level = pb_config_item(site->log, "room", i, &room);
        enum pb_log_level l;
        char *name = pb_strndup(room.p, room.n);
        if (pb_log_level_parse(level, &l)) pb_log_level(name, l);
        else pb_log(PB_LOG_WARN, "app", "no such log level", PB_V("room", room), PB_V("level", level));
        pb_free(name);
    }
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

int pb_worker_run(const struct pb_worker_options *options)
{
    struct pb_worker worker = {0}, *w = &worker;
    struct pb_site *site = options->site;
    struct pb_err err;
    open_log(site);
    signal(SIGPIPE, SIG_IGN);
    if (pb_workshop_open(&w->shop, site, options->state_dir, true, &err)) {
        pb_site_free(site);
        goto failed;
    }
    const struct pb_generation_options go = {.probe = pb_config_get_int(site->plugins, "probe") != 0, .env = w->shop.env};
    w->generation = pb_generation_build(site, &go, &err);
    if (!w->generation) goto failed;
    static const int signums[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < PB_COUNTOF(signums); i++)
        if (!(w->signals[i] = pb_signal_open(w->shop.loop, signums[i], on_signal, w, &err))) goto failed;
    if (make_evaluator(w, &err)) goto failed;
    pb_generation_start(w->generation);
    if (open_listeners(w, &err)) goto failed;
    say_ready(w);
    pb_loop_run(w->shop.loop);
    close_worker(w);
    pb_generation_free(w->generation);
    pb_log(PB_LOG_INFO, "app", "stopped", PB_I("exit", w->exit_code));
    pb_workshop_close(&w->shop);
    return w->exit_code;

failed:
    close_worker(w);
    pb_workshop_end_generation(&w->shop, w->generation);
    pb_workshop_close(&w->shop);
    fprintf(stderr, "patchbay: %s\n", err.msg);
    return 1;
}
