/* SPDX-License-Identifier: MIT */
/* pbay.host.log/1, .metric/1 and .secret/1: what the plugin says is written down, secrets can change. */
#include <patchbay/host_log.h>
#include <patchbay/host_metric.h>
#include <patchbay/host_secret.h>
#include <string.h>

#include "base/mem.h"
#include "mockhost/mock.h"
#include "plugin/connector_priv.h"

enum { METRICS_MAX = 64 };

struct secret {
    char *option, *value; /* value NULL: as configured */
    uint32_t refused;
};

struct pb_mock_record {
    pthread_mutex_t lock; /* log and metrics are [any] */
    struct pb_buf log;
    struct {
        char *name, *labels;
        int64_t value;
    } metrics[METRICS_MAX];
    uint32_t n_metrics;
    struct secret *secrets;
    uint32_t n_secrets, secrets_cap;
};

static struct pb_mock_record *record(void)
{
    if (!pb_mock->record) {
        pb_mock->record = pb_zalloc(sizeof *pb_mock->record);
        pthread_mutex_init(&pb_mock->record->lock, NULL);
    }
    return pb_mock->record;
}

void pb_mock_record_free(struct pbay_mock *m)
{
    struct pb_mock_record *r = m->record;
    if (!r) return;
    for (uint32_t i = 0; i < r->n_metrics; i++) {
        pb_free(r->metrics[i].name);
        pb_free(r->metrics[i].labels);
    }
    for (uint32_t i = 0; i < r->n_secrets; i++) {
        pb_free(r->secrets[i].option);
        pb_free(r->secrets[i].value);
    }
    pb_free(r->secrets);
    pb_buf_free(&r->log);
    pthread_mutex_destroy(&r->lock);
    pb_free(r);
}

/* ------------------------------------------------------------------------------------------------ log */

static int log_enabled(const pbay_host *host, uint32_t level)
{
    (void)host, (void)level;
    return 1;
}

static void log_write(const pbay_host *host, uint32_t level, pbay_str message, const pbay_header *fields,
                      uint32_t n)
{
    static const char *const levels[] = {"?", "debug", "info", "warn", "error"};
    struct pb_mock_record *r = record();
    (void)host;
    pthread_mutex_lock(&r->lock);
    pb_buf_printf(&r->log, "%s %.*s", levels[level <= PBAY_LOG_ERROR ? level : 0], PB_FMT(message));
    for (uint32_t i = 0; i < n; i++)
        pb_buf_printf(&r->log, " %.*s=%.*s", PB_FMT(fields[i].name), PB_FMT(fields[i].value));
    pb_buf_ch(&r->log, '\n');
    pthread_mutex_unlock(&r->lock);
}

static const pbay_log_1 log_service = {sizeof log_service, 0, log_enabled, log_write};

const char *pbay_mock_log(pbay_mock *m)
{
    if (m->connector) pbay_mock_run(m);
    struct pb_mock_record *r = record();
    pthread_mutex_lock(&r->lock);
    struct pb_buf *b = pb_mock_text();
    pb_buf_str(b, pb_buf_view(&r->log));
    pthread_mutex_unlock(&r->lock);
    return pb_mock_said(b);
}

int pbay_mock_logged(pbay_mock *m, const char *text)
{
    return strstr(pbay_mock_log(m), text) != NULL;
}

/* ------------------------------------------------------------------------------------------------ metrics */

static pbay_metric metric_slot(const pbay_host *host, uint32_t type, const char *name, const char *labels,
                               const char *help)
{
    struct pb_mock_record *r = record();
    (void)host;
    if (!labels) labels = "";
    if (!name || !help || !*help || (type != PBAY_METRIC_COUNTER && type != PBAY_METRIC_GAUGE)) {
        pb_mock_fault("the metric %s has no name, no help or no type", name ? name : "(NULL)");
        return 0;
    }
    pbay_metric slot = 0;
    pthread_mutex_lock(&r->lock);
    for (uint32_t i = 0; i < r->n_metrics && !slot; i++)
        if (!strcmp(r->metrics[i].name, name) && !strcmp(r->metrics[i].labels, labels)) slot = i + 1;
    if (!slot && r->n_metrics < METRICS_MAX) {
        r->metrics[r->n_metrics].name = pb_strdup(name);
        r->metrics[r->n_metrics].labels = pb_strdup(labels);
        slot = ++r->n_metrics;
    }
    pthread_mutex_unlock(&r->lock);
    return slot;
}

static void change(pbay_metric metric, int64_t by, bool set)
{
    struct pb_mock_record *r = record();
    pthread_mutex_lock(&r->lock);
    if (metric && metric <= r->n_metrics)
        r->metrics[metric - 1].value = set ? by : r->metrics[metric - 1].value + by;
    pthread_mutex_unlock(&r->lock);
}

static void metric_add(const pbay_host *host, pbay_metric metric, int64_t n)
{
    (void)host;
    change(metric, n, false);
}

static void metric_set(const pbay_host *host, pbay_metric metric, int64_t value)
{
    (void)host;
    change(metric, value, true);
}

static const pbay_metric_1 metric_service = {sizeof metric_service, 0, metric_slot, metric_add, metric_set};

int64_t pbay_mock_metric(pbay_mock *m, const char *name, const char *labels)
{
    if (m->connector) pbay_mock_run(m);
    const struct pb_mock_record *r = record();
    for (uint32_t i = 0; i < r->n_metrics; i++)
        if (!strcmp(r->metrics[i].name, name) && !strcmp(r->metrics[i].labels, labels))
            return r->metrics[i].value;
    return 0;
}

/* ------------------------------------------------------------------------------------------------ secrets */

static struct secret *secret_of(const char *option)
{
    struct pb_mock_record *r = record();
    for (uint32_t i = 0; i < r->n_secrets; i++)
        if (!strcmp(r->secrets[i].option, option)) return &r->secrets[i];
    PB_GROW(r->secrets, r->secrets_cap, r->n_secrets + 1);
    r->secrets[r->n_secrets] = (struct secret){.option = pb_strdup(option)};
    return &r->secrets[r->n_secrets++];
}

void pbay_mock_secret(pbay_mock *m, const char *option, const char *value)
{
    (void)m;
    struct secret *s = secret_of(option);
    pb_free(s->value);
    s->value = pb_strdup(value);
}

uint32_t pbay_mock_secret_refused(pbay_mock *m, const char *option)
{
    if (m->connector) pbay_mock_run(m);
    return secret_of(option)->refused;
}

static int32_t secret_get(const pbay_host *host, const char *option, pbay_str *value, pbay_result *why)
{
    const struct pb_connector *c = pb_connector_of(host);
    static struct pb_err err; /* *why borrows from it */
    *value = pb_str(NULL, 0);
    if (!pb_mock_on_loop(PBAY_SVC_SECRET, "get")) return PBAY_INTERNAL;
    const struct secret *s = secret_of(option);
    if (s->value || pb_config_is_set(c->config, option)) {
        *value = s->value ? pb_str_c(s->value) : pb_config_get_str(c->config, option);
        return PBAY_OK;
    }
    pb_fail(&err, PBAY_NOT_FOUND, "connector \"%s\": %s is not set", c->name, option);
    if (why) *why = pb_err_result(&err);
    return err.code;
}

static void secret_refused(const pbay_host *host, const char *option)
{
    (void)host;
    if (pb_mock_on_loop(PBAY_SVC_SECRET, "refused")) secret_of(option)->refused++;
}

static const pbay_secret_1 secret_service = {sizeof secret_service, 0, secret_get, secret_refused};

const void *pb_mock_recorded(const char *id)
{
    if (!strcmp(id, PBAY_SVC_LOG)) return &log_service;
    if (!strcmp(id, PBAY_SVC_METRIC)) return &metric_service;
    if (!strcmp(id, PBAY_SVC_SECRET)) return &secret_service;
    return NULL;
}
