/* SPDX-License-Identifier: MIT */
#include "plugin/connector_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/outgoing.h"
#include "plugin/action.h"
#include "plugin/apart.h"
#include "plugin/given.h"
#include "plugin/registry.h"
#include "plugin/services.h"
#include "plugin/sources.h"

static const pbay_option host_options[] = {
    {"plugin", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "The plugin that this connector is an instance of."},
    {"timeout", PBAY_OPT_DURATION, 0, "30s", "1ms..1h",
     "How long one batch, or the wait for the next rows of an answer, may take before the gateway answers in "
     "the "
     "plugin's place."},
    {"poll", PBAY_OPT_FAMILY, 0, NULL, NULL,
     "poll.SOURCE = yes, no, or the time between two polls: of one of the plugin's sources of events."},
    {"work_threads", PBAY_OPT_INT, 0, "4", "1..256", "Threads for the plugin's blocking work."},
    {"work_queue", PBAY_OPT_INT, 0, "1024", "1..1048576", "How much blocking work may wait for a thread."},
    {"isolation", PBAY_OPT_ENUM, 0, NULL, "none|process",
     "process: the plugin runs in a process of its own, one per worker, whose crash or hang costs its own "
     "calls "
     "alone. none: in the worker. By default process, but for sagemaker, qlik_saas, snowflake and modeldb."},
    {"process_memory", PBAY_OPT_SIZE, 0, NULL, "16M..1024G",
     "Most memory of such a process; more is refused to the plugin, which few survive. None: no limit."},
    {"process_files", PBAY_OPT_INT, 0, NULL, "32..1048576", "Most descriptors that it has open."},
    {"process_cpu", PBAY_OPT_DURATION, 0, NULL, "1s..1h",
     "Most CPU time that it uses within a minute, of all its threads; then it is ended and started again."},
    {"process_hang", PBAY_OPT_DURATION, 0, "10s", "100ms..1h",
     "It is ended and started again when its loop does not turn for so long."},
    {"proxy", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL,
     "http://[USER:PASSWORD@]HOST:PORT through which its HTTP requests, WebSockets and streams go; none: "
     "straight. By "
     "default the variables https_proxy, http_proxy and all_proxy say so."},
    {"no_proxy", PBAY_OPT_STR, 0, NULL, NULL,
     "Where to go straight all the same: names (and all below them), addresses, networks such as 10.0.0.0/8, "
     "* for all; "
     "commas between them. By default the variable no_proxy."},
    {"ca_file", PBAY_OPT_FILE, 0, NULL, NULL,
     "PEM file of the authorities that servers' certificates must come from; by default SSL_CERT_FILE, else "
     "the system's."},
    {"client_cert", PBAY_OPT_FILE, 0, NULL, NULL,
     "PEM certificate (with its chain) for servers that ask for one."},
    {"client_key", PBAY_OPT_FILE, 0, NULL, NULL,
     "Its private key in PEM form, without passphrase; by default in client_cert."},
};
const pbay_option_table pb_connector_options = {host_options, PB_COUNTOF(host_options), sizeof(pbay_option)};

/* ------------------------------------------------------------------------------------------------ struct
 * pbay_host */

static const void *host_service(const pbay_host *host, const char *id)
{
    return pb_service(pb_connector_of(host), id);
}

static pbay_str host_name(const pbay_host *host)
{
    return pb_str_c(pb_connector_of(host)->name);
}

static pbay_str host_version(const pbay_host *host)
{
    (void)host;
    return PB_STR("patchbay/" PB_VERSION);
}

static int host_check_only(const pbay_host *host)
{
    return pb_connector_of(host)->check_only;
}

static const pbay_host host_table = {
    .struct_size = sizeof(pbay_host),
    .abi_major = PBAY_ABI_MAJOR,
    .abi_minor = PBAY_ABI_MINOR,
    .service = host_service,
    .name = host_name,
    .version = host_version,
    .check_only = host_check_only,
    .is_set = pb_given_is_set,
    .get_int = pb_given_get_int,
    .get_num = pb_given_get_num,
    .get_str = pb_given_get_str,
    .count = pb_given_count,
    .item = pb_given_item,
    .where = pb_given_where,
};

/* ------------------------------------------------------------------------------------------------ life */

static const char no_reason[] = " failed without a reason";

bool pb_plugin_mute(const struct pb_err *err)
{
    return pb_str_ends(pb_str_c(err->msg), PB_STR(no_reason));
}

void pb_plugin_why(struct pb_err *err, int32_t code, const pbay_result *why, const char *what)
{
    struct pb_err mine;
    pb_err_from_result(&mine, why);
    mine.code = pb_plugin_code(code);
    if (!mine.msg[0]) snprintf(mine.msg, sizeof mine.msg, "%s%s", what, no_reason);
    if (err) *err = mine;
}

/* Those of the project were watched for years; of all others a crash is to cost no more than their own calls.
 */
static bool wants_process(const struct pb_connector *c, const struct pb_plugin *p)
{
    static const char *const ours[] = {"sagemaker", "qlik_saas", "snowflake", "modeldb"};
    if (c->config && pb_config_is_set(c->config, "isolation"))
        return pb_config_get_int(c->config, "isolation") == 1;
    if (!pb_registry_probes(c->registry) || p->fd < 0) return false;
    for (size_t i = 0; i < PB_COUNTOF(ours); i++)
        if (!strcmp(p->name, ours[i])) return false;
    return true;
}

static int choose_plugin(struct pb_connector *c, const struct pb_connector_spec *spec, struct pb_err *err)
{
    bool apart = !spec->here && wants_process(c, spec->plugin);
    struct pb_plugin *p = apart ? pb_plugin_apart(spec->plugin, err) : pb_plugin_here(spec->plugin, err);
    if (!p) return pb_fail_in(err, "connector \"%s\"", c->name);
    c->plugin = p;
    return 0;
}

bool pb_connector_apart(const struct pb_connector *c)
{
    return c->plugin->apart;
}

/* One of its own only when it says something of its own. 0, or -1 with err. */
static int set_outgoing(struct pb_connector *c, struct pb_err *err)
{
    static const char *const keys[] = {"proxy", "no_proxy", "ca_file", "client_cert", "client_key"};
    char *texts[PB_COUNTOF(keys)] = {NULL};
    bool any = false;
    for (size_t i = 0; c->config && i < PB_COUNTOF(keys); i++) {
        if (!pb_config_is_set(c->config, keys[i])) continue;
        pbay_str s = pb_config_get_str(c->config, keys[i]);
        texts[i] = pb_strndup(s.p, s.n);
        any = true;
    }
    const struct pb_outgoing_conf conf = {texts[0], texts[1], texts[2], texts[3], texts[4]};
    if (any) c->outgoing = pb_outgoing_new(&conf, err);
    for (size_t i = 0; i < PB_COUNTOF(keys); i++) pb_free(texts[i]);
    if (!any || c->outgoing) return 0;
    return pb_fail_in(err, "connector \"%s\"", c->name);
}

static void free_connector(struct pb_connector *c)
{
    pb_outgoing_free(c->outgoing);
    pb_service_job_free(c);
    pb_config_free(c->config);
    pb_free(c->name);
    c->magic = 0;
    pb_free(c);
}

struct pb_connector *pb_connector_new(struct pb_registry *r, const struct pb_connector_spec *spec,
                                      struct pb_err *err)
{
    struct pb_connector *c = pb_zalloc(sizeof *c);
    c->host = host_table;
    c->host.impl = c;
    c->magic = PB_CONNECTOR_MAGIC;
    c->name = pb_strndup(spec->name.p, spec->name.n);
    c->plugin = spec->plugin;
    c->registry = r;
    c->env = pb_registry_env(r);
    c->config = spec->config;
    c->check_only = spec->check_only;
    c->patient = spec->patient;
    c->state = PB_CONNECTOR_UP;
    c->timeout_ms = c->config ? pb_config_get_int(c->config, "timeout") : 30000;
    int32_t code;
    if (pb_registry_connector(r, spec->name)) {
        pb_fail(err, PBAY_ALREADY_EXISTS, "there are two connectors named \"%s\"", c->name);
        free_connector(c);
        return NULL;
    }
    if (choose_plugin(c, spec, err) || set_outgoing(c, err)) {
        free_connector(c);
        return NULL;
    }
    pbay_result why = PBAY_RESULT_OK;
    struct pb_visit v;
    pb_visit_enter(&v, c, "create", NULL);
    code = c->plugin->entry.create(&c->host, c->config, &c->self, &why);
    pb_visit_leave(&v);
    if (code != PBAY_OK) {
        pb_plugin_why(err, code, &why, "create");
        pb_fail_in(err, "connector \"%s\" (plugin %s)", c->name, c->plugin->name);
        pb_service_timer_stop(c);
        pb_service_work_stop(c);
        free_connector(c);
        return NULL;
    }
    if (pb_sources_check(c, err)) {
        pb_visit_enter(&v, c, "destroy", NULL);
        c->plugin->entry.destroy(c->self);
        pb_visit_leave(&v);
        pb_service_timer_stop(c);
        pb_service_work_stop(c);
        free_connector(c);
        return NULL;
    }
    c->plugin->n_connectors++;
    pb_registry_link(r, c);
    return c;
}

bool pb_connector_started(const struct pb_connector *c)
{
    return c->started;
}

int pb_connector_start(struct pb_connector *c, struct pb_err *err)
{
    PB_REQUIRE(!c->check_only && !c->started);
    c->started = true;
    if (!c->plugin->entry.start) return 0;
    pbay_result why = PBAY_RESULT_OK;
    struct pb_visit v;
    pb_visit_enter(&v, c, "start", NULL);
    int32_t code = c->plugin->entry.start(c->self, &why);
    pb_visit_leave(&v);
    if (code == PBAY_OK) return 0;
    c->started = false;
    struct pb_err mine;
    pb_plugin_why(&mine, code, &why, "start");
    pb_connector_set_state(c, PB_CONNECTOR_OUT, mine.msg);
    pb_fail_in(&mine, "connector \"%s\" (plugin %s)", c->name, c->plugin->name);
    if (err) *err = mine;
    return -1;
}

static void stop(struct pb_connector *c)
{
    if (c->stopped) return;
    c->stopped = true;
    if (c->started && c->plugin->entry.stop) {
        struct pb_visit v;
        pb_visit_enter(&v, c, "stop", NULL);
        c->plugin->entry.stop(c->self);
        pb_visit_leave(&v);
    }
    pb_invoke_stop(c);
    pb_service_work_stop(c);
}

static void close_now(struct pb_connector *c, bool clean)
{
    pb_timer_cancel(&c->close_limit);
    pb_defer_cancel(&c->close_step);
    pb_service_timer_stop(c);
    pb_registry_unlink(c->registry, c);
    c->plugin->n_connectors--;
    void (*closed)(void *, bool) = c->closed;
    void *user = c->closed_user;
    if (clean) {
        struct pb_visit v;
        pb_visit_enter(&v, c, "destroy", NULL);
        c->plugin->entry.destroy(c->self);
        pb_visit_leave(&v);
        free_connector(c);
    } else {
        /* The plugin still holds what it was given: taking it away would be worse than losing it. */
        pb_log(PB_LOG_WARN, "plugin", "a connector did not finish its calls and is abandoned",
               PB_S("plugin", c->plugin->name), PB_S("connector", c->name),
               PB_I("calls", c->stats.in_flight));
    }
    if (closed) closed(user, clean);
}

static void close_step(void *user)
{
    struct pb_connector *c = user;
    if (!c->holds) close_now(c, true);
}

static void close_limit(void *user)
{
    enum { END_MS = 1000 };
    struct pb_connector *c = user;
    /* What a process of its own keeps ends with it, and then the instance can be destroyed like any other. */
    if (c->plugin->apart && !c->ended_apart) {
        pb_log(PB_LOG_WARN, "plugin", "a connector did not finish its calls; its process is ended",
               PB_S("plugin", c->plugin->name), PB_S("connector", c->name),
               PB_I("calls", c->stats.in_flight));
        c->ended_apart = true;
        pb_timer_set(c->env->loop, &c->close_limit, END_MS);
        pb_apart_stuck(c, "kept what it owed after it was stopped");
        return;
    }
    pb_action_abandon(user);
    pb_service_job_drop(user);
    close_now(user, false);
}

void pb_connector_settle(struct pb_connector *c)
{
    if (!c->holds && !pb_defer_queued(&c->close_step)) pb_loop_defer(c->env->loop, &c->close_step);
}

void pb_connector_close(struct pb_connector *c, int64_t grace_ms, void (*closed)(void *user, bool clean),
                        void *user)
{
    PB_REQUIRE(!c->closing);
    c->closing = true;
    c->closed = closed;
    c->closed_user = user;
    c->close_step = pb_defer_make(close_step, c);
    c->close_limit.fn = close_limit;
    c->close_limit.user = c;
    pb_timer_set(c->env->loop, &c->close_limit, grace_ms);
    stop(c);
    pb_connector_settle(c);
}

/* ------------------------------------------------------------------------------------------------ state */

pbay_str pb_connector_name(const struct pb_connector *c)
{
    return pb_str_c(c->name);
}

struct pb_plugin *pb_connector_plugin(const struct pb_connector *c)
{
    return c->plugin;
}

struct pb_registry *pb_connector_registry(const struct pb_connector *c)
{
    return c->registry;
}

int64_t pb_connector_timeout(const struct pb_connector *c)
{
    return c->timeout_ms;
}

const struct pb_connector_stats *pb_connector_stats(const struct pb_connector *c)
{
    return &c->stats;
}

const char *pb_connector_state_name(enum pb_connector_state s)
{
    static const char *const names[] = {"?", "up", "degraded", "out"};
    return names[s];
}

enum pb_connector_state pb_connector_state(struct pb_connector *c, pbay_str *sentence)
{
    pb_service_work_check(c);
    enum pb_connector_state state = c->state;
    pbay_str text = pb_str_c(c->sentence);
    if (c->plugin->has_health && c->self && !c->check_only && state != PB_CONNECTOR_OUT) {
        pbay_str own = {NULL, 0};
        struct pb_visit v;
        pb_visit_enter(&v, c, "health", NULL);
        uint32_t s = c->plugin->health.state(c->self, &own);
        pb_visit_leave(&v);
        if (s < PBAY_UP || s > PBAY_OUT) {
            pb_connector_fault(c, "health state that does not exist", NULL);
        } else if (s > (uint32_t)state) {
            state = (enum pb_connector_state)s;
            text = own;
        }
    }
    if (sentence) *sentence = text;
    return state;
}

void pb_connector_set_state(struct pb_connector *c, enum pb_connector_state s, const char *sentence)
{
    if (c->state == s && !strcmp(c->sentence, sentence)) return;
    c->state = s;
    snprintf(c->sentence, sizeof c->sentence, "%s", sentence);
    pb_log(s == PB_CONNECTOR_UP ? PB_LOG_INFO : PB_LOG_WARN, "plugin", "connector state",
           PB_S("connector", c->name), PB_S("plugin", c->plugin->name),
           PB_S("state", pb_connector_state_name(s)), PB_S("why", sentence));
}

void pb_connector_stuck(struct pb_connector *c, const char *sentence)
{
    if (c->plugin->apart)
        pb_apart_stuck(c, sentence);
    else
        pb_connector_set_state(c, PB_CONNECTOR_OUT, sentence);
}

int pb_connector_refuse(const struct pb_connector *c, struct pb_err *err)
{
    return pb_fail(err, PBAY_UNAVAILABLE, "connector \"%s\" is out: %s", c->name, c->sentence);
}

void pb_connector_fault(struct pb_connector *c, const char *what, const char *detail)
{
    enum { LINES = 10 };
    c->stats.faults++;
    int64_t minute = pb_mono_ns() / (60 * PB_SEC);
    if (minute != c->fault_minute) {
        c->fault_minute = minute;
        c->fault_lines = 0;
    }
    if (c->fault_lines++ >= LINES) return;
    pb_log(PB_LOG_WARN, "plugin", "a plugin broke the rules", PB_S("plugin", c->plugin->name),
           PB_S("connector", c->name), PB_S("fault", what), PB_S("detail", detail ? detail : ""));
}

bool pb_connector_locked(struct pb_connector *c, const char *service)
{
    if (PB_LIKELY(!c->unproven)) return false;
    pb_connector_fault(c, "service used before the request was accepted", service);
    return true;
}

/* ------------------------------------------------------------------------------------------------ requests
 */

void pb_connector_request(struct pb_connector *c, uint32_t route, pbay_request request,
                          const pbay_request_info *info, bool own_auth)
{
    struct pb_visit v;
    bool before = c->unproven;
    c->unproven = own_auth;
    pb_visit_enter(&v, c, "route", c->plugin->route_table[route].suffix);
    c->plugin->routes.handle(c->self, route, request, info);
    pb_visit_leave(&v);
    c->unproven = before;
}

void pb_connector_proven(struct pb_connector *c)
{
    c->unproven = false;
}

void pb_connector_request_cancel(struct pb_connector *c, uint32_t route, pbay_request request)
{
    if (!c->plugin->routes.cancel) return;
    struct pb_visit v;
    pb_visit_enter(&v, c, "route cancel", c->plugin->route_table[route].suffix);
    c->plugin->routes.cancel(c->self, route, request);
    pb_visit_leave(&v);
}
