/* SPDX-License-Identifier: MIT */
/* Entry: options of the connector, life of an instance. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sink.h"

static const pbay_option OPTIONS[] = {
    {"store", PBAY_OPT_ENUM, PBAY_OPTF_REQUIRED, NULL, "v1|v2|mlflow",
     "what is behind this connector: ModelDB 1 (Thrift), ModelDB 2 (REST), or an MLflow tracking server"},
    {"sagemaker", PBAY_OPT_STR, 0, NULL, NULL,
     "the sagemaker connector that is asked for training jobs (collect, verify)"},
    {"mode", PBAY_OPT_ENUM, 0, "full", "full|seed",
     "full: everything that SageMaker says of a job, once; seed: what the SageMaker ModelDB Sync step "
     "function wrote, in its "
     "order, ModelDB 1 only"},
    {"unquote", PBAY_OPT_BOOL, 0, "yes", NULL,
     "hyperparameters that are JSON strings, as the SageMaker SDK writes them, lose their quotes"},
    {"internal", PBAY_OPT_BOOL, 0, "no", NULL,
     "keep hyperparameters that begin with sagemaker_ (the SDK's own)"},
    {"metrics_wait", PBAY_OPT_DURATION, 0, "60s", "0ms..1h",
     "a completed job without metrics is described once more after so long: they may come a moment later"},
    {"address", PBAY_OPT_STR, 0, NULL, NULL, "v1: the server's host"},
    {"port", PBAY_OPT_INT, 0, "6543", "1..65535", "v1: the port of its Thrift service"},
    {"tls", PBAY_OPT_BOOL, 0, "no", NULL,
     "v1: speak TLS, to a proxy in front of it; the server itself does not"},
    {"connections", PBAY_OPT_INT, 0, "4", "1..32", "v1: at most; the server has a thread for each"},
    {"connect_timeout", PBAY_OPT_DURATION, 0, "10s", "1ms..10m", "v1: until a connection stands"},
    {"answer_timeout", PBAY_OPT_DURATION, 0, "30s", "1ms..1h", "v1: until a call is answered"},
    {"url", PBAY_OPT_STR, 0, NULL, NULL,
     "v2: the base of its REST calls, \"http://HOST:3000\" (/api/v1/modeldb is added to a bare host) or "
     "\"http://HOST:8080/v1\"; mlflow: the tracking server, \"http://HOST:5000\""},
    {"experiment", PBAY_OPT_STR, 0, NULL, NULL,
     "v2: the experiment within the project, by default SageMaker; mlflow: one experiment for all, by "
     "default "
     "one for each project, of its name"},
    {"workspace", PBAY_OPT_STR, 0, NULL, NULL, "v2: the workspace of the projects"},
    {"email", PBAY_OPT_STR, 0, NULL, NULL, "v2: who asks, where the server wants to know"},
    {"developer_key", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "v2: and with which key"},
    {"token", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "mlflow: a bearer token"},
    {"username", PBAY_OPT_STR, 0, NULL, NULL, "mlflow: basic authentication instead"},
    {"password", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "mlflow: its password"},
    {"param_length", PBAY_OPT_INT, 0, "6000", "50..100000",
     "mlflow: bytes that a parameter's value may have; older servers take 250 or 500. What is longer is cut, "
     "and "
     "stands whole in a tag"},
};

int32_t modeldb_refuse(struct modeldb *m, pbay_result *why, int32_t code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(m->why, sizeof m->why, fmt, ap);
    va_end(ap);
    why->struct_size = sizeof *why;
    why->code = code;
    why->message = (pbay_str){m->why, strlen(m->why)};
    return code;
}

pbay_str modeldb_secret(const struct modeldb *m, const char *option)
{
    pbay_str value = {NULL, 0};
    pbay_result why = PBAY_RESULT_OK;
    if (!m->host->is_set(m->config, option)) return value;
    if (m->secret && m->secret->get(m->host, option, &value, &why) == PBAY_OK) return value;
    return m->host->get_str(m->config, option);
}

/* ------------------------------------------------------------------------------------------------ counts */

void modeldb_make_counts(struct modeldb *m)
{
    static const struct {
        const char *name, *labels, *help;
    } all[MDB_COUNTS] = {
        [MDB_WRITTEN] = {"syncs_total", "result=\"written\"", "Writes of training jobs, by how they ended."},
        [MDB_LATE] = {"syncs_total", "result=\"late\"", "Writes of training jobs, by how they ended."},
        [MDB_FAILED] = {"syncs_total", "result=\"failed\"", "Writes of training jobs, by how they ended."},
        [MDB_COLLECTED] = {"collects_total", "result=\"done\"", "Training jobs asked for, by how it ended."},
        [MDB_COLLECT_FAILED] = {"collects_total", "result=\"failed\"",
                                "Training jobs asked for, by how it ended."},
    };
    if (!m->metric) return;
    for (size_t i = 0; i < MDB_COUNTS; i++)
        m->counts[i] = m->metric->slot(m->host, PBAY_METRIC_COUNTER, all[i].name, all[i].labels, all[i].help);
    m->last_written = m->metric->slot(m->host, PBAY_METRIC_GAUGE, "last_written_seconds", "",
                                      "When a training job was written last, since 1970.");
}

void modeldb_count(const struct modeldb *m, enum mdb_count what)
{
    if (!m->metric) return;
    m->metric->add(m->host, m->counts[what], 1);
    if (what == MDB_WRITTEN) m->metric->set(m->host, m->last_written, m->timer->now_ms() / 1000);
}

/* ------------------------------------------------------------------------------------------------ life */

static const char *ask_services(struct modeldb *m)
{
    const pbay_host *h = m->host;
    m->action = h->service(h, PBAY_SVC_ACTION);
    m->command = h->service(h, PBAY_SVC_COMMAND);
    m->crypto = h->service(h, PBAY_SVC_CRYPTO);
    m->event = h->service(h, PBAY_SVC_EVENT);
    m->http = h->service(h, PBAY_SVC_HTTP);
    m->invoke = h->service(h, PBAY_SVC_INVOKE);
    m->kv = h->service(h, PBAY_SVC_KV);
    m->log = h->service(h, PBAY_SVC_LOG);
    m->metric = h->service(h, PBAY_SVC_METRIC);
    m->secret = h->service(h, PBAY_SVC_SECRET);
    m->stream = h->service(h, PBAY_SVC_STREAM);
    m->timer = h->service(h, PBAY_SVC_TIMER);
    m->checking = h->check_only(h);
    return !m->action                   ? PBAY_SVC_ACTION
           : !m->crypto                 ? PBAY_SVC_CRYPTO
           : !m->http                   ? PBAY_SVC_HTTP
           : !m->invoke && !m->checking ? PBAY_SVC_INVOKE
           : !m->kv                     ? PBAY_SVC_KV
           : !m->stream                 ? PBAY_SVC_STREAM
           : !m->timer                  ? PBAY_SVC_TIMER
                                        : NULL;
}

/* Options that say something to some stores alone: said to another they would do nothing, and nobody would
 * know. */
static int32_t foreign_options(struct modeldb *m, pbay_result *why)
{
    static const struct {
        const char *name, *stores;
        bool has_default; /* and so is set whether it was written or not */
    } only[] = {{"address", "v1", false},
                {"url", "v2, mlflow", false},
                {"experiment", "v2, mlflow", false},
                {"workspace", "v2", false},
                {"email", "v2", false},
                {"developer_key", "v2", false},
                {"token", "mlflow", false},
                {"username", "mlflow", false},
                {"password", "mlflow", false},
                {"port", "v1", true},
                {"tls", "v1", true},
                {"connections", "v1", true},
                {"connect_timeout", "v1", true},
                {"answer_timeout", "v1", true},
                {"param_length", "mlflow", true}};
    pbay_str section = {"", 0}; /* where what was not written is said to stand: known from the first ones */
    for (size_t i = 0; i < COUNT(only); i++) {
        if (strstr(only[i].stores, m->sink->name)) continue;
        const pbay_str where = m->host->where(m->config, only[i].name);
        const bool written = only[i].has_default
                                 ? where.n != section.n || memcmp(where.p, section.p, where.n) != 0
                                 : m->host->is_set(m->config, only[i].name) != 0;
        if (written)
            return modeldb_refuse(m, why, PBAY_INVALID_ARGUMENT,
                                  "%.*s: `%s` says nothing to store = %s; it goes with store = %s",
                                  FMT(where), only[i].name, m->sink->name, only[i].stores);
        section = where;
    }
    return PBAY_OK;
}

static int32_t open_sink(struct modeldb *m, pbay_result *why)
{
    static const mdb_sink *const SINKS[] = {&mdb_v1, &mdb_v2, &mdb_mlflow};
    m->sink = SINKS[m->host->get_int(m->config, "store")];
    m->seed = m->host->get_int(m->config, "mode") == 1;
    if (m->seed && m->sink != &mdb_v1)
        return modeldb_refuse(
            m, why, PBAY_INVALID_ARGUMENT,
            "%.*s: mode = seed is what was done to ModelDB 1; it goes with store = v1 alone",
            FMT(m->host->where(m->config, "mode")));
    if (foreign_options(m, why) != PBAY_OK) return why->code;
    m->store = m->sink->open(m, why);
    return m->store ? PBAY_OK : why->code;
}

static void destroy(void *self)
{
    struct modeldb *m = self;
    if (m->store) m->sink->close(m->store);
    free(m);
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    static char refused[1024]; /* holds the message until the next call */
    struct modeldb *m = calloc(1, sizeof *m);
    if (!m) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    m->host = host;
    m->config = config;
    const char *missing = ask_services(m);
    int32_t code =
        missing ? modeldb_refuse(m, why, PBAY_FAILED_PRECONDITION, "this host does not offer %s", missing)
                : open_sink(m, why);
    if (code == PBAY_OK) {
        modeldb_make_counts(m);
        *self = m;
        return PBAY_OK;
    }
    snprintf(refused, sizeof refused, "%.*s", FMT(why->message));
    why->message = (pbay_str){refused, strlen(refused)};
    destroy(m);
    return code;
}

static void stop(void *self)
{
    struct modeldb *m = self;
    modeldb_stop_actions(m);
    modeldb_stop_commands(m);
    m->sink->stop(m->store);
}

static const void *extension(const char *id)
{
    if (strcmp(id, PBAY_EXT_ACTIONS) == 0) return &modeldb_actions;
    if (strcmp(id, PBAY_EXT_COMMANDS) == 0) return &modeldb_commands;
    return NULL;
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "modeldb",
        .version = "0.1.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "ModelDB and MLflow: every training job of SageMaker recorded once",
        .options = {OPTIONS, COUNT(OPTIONS), sizeof(pbay_option)},
    };
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         NULL,
                                     stop,       destroy,      extension};
    return &entry;
}
