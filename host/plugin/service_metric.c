/* SPDX-License-Identifier: MIT */
/* pbay.host.metric/1: a plugin's own numbers, in the slots of base/metrics.h. */
#include <patchbay/host_metric.h>

#include <string.h>

#include "base/buf.h"
#include "base/metrics.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"

enum { METRICS_MAX = 64, NAME_LEN_MAX = 80, LABELS_LEN_MAX = 512 };

static const char *word(const char *s)
{
    if (*s < 'a' || *s > 'z') return NULL;
    while ((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '_') s++;
    return s;
}

/* a="x",b="y" with quotes, backslashes and line feeds escaped. */
static bool good_labels(const char *s)
{
    if (!*s) return true;
    for (;;) {
        s = word(s);
        if (!s || s[0] != '=' || s[1] != '"') return false;
        for (s += 2; *s != '"'; s++) {
            if (!*s || *s == '\n') return false;
            if (*s == '\\' && !*++s) return false;
        }
        if (!*++s) return true;
        if (*s++ != ',') return false;
    }
}

static pbay_metric metric_slot(const pbay_host *host, uint32_t type, const char *name, const char *labels,
                               const char *help)
{
    struct pb_connector *c = pb_connector_of(host);
    const char *end = name ? word(name) : NULL;
    if (!labels) labels = "";
    if (!end || *end || end - name > NAME_LEN_MAX || strlen(labels) > LABELS_LEN_MAX ||
        !good_labels(labels) || !pb_utf8_valid(pb_str_c(labels)) || !help ||
        (type != PBAY_METRIC_COUNTER && type != PBAY_METRIC_GAUGE)) {
        pb_connector_fault(c, "a metric whose name, labels or type are wrong", name);
        return 0;
    }
    PB_AUTO_FREE char *full = pb_sprintf("%s_%s", c->plugin->name, name);
    struct pb_buf all = {0};
    pb_metric_label(&all, "connector", pb_str_c(c->name));
    if (*labels) pb_buf_printf(&all, ",%s", labels);
    pb_buf_ch(&all, 0);
    uint32_t slot = pb_metric(c->env->metrics, (enum pb_metric_type)type, full, all.p, help);
    pb_buf_free(&all);
    if (!slot) return 0;
    for (uint32_t i = 0; i < c->n_metrics; i++)
        if (c->metrics[i] == slot) return slot;
    if (c->n_metrics == METRICS_MAX) return 0;
    c->metrics[c->n_metrics++] = slot;
    return slot;
}

static void metric_add(const pbay_host *host, pbay_metric metric, int64_t n)
{
    if (metric && metric < PB_METRIC_SLOTS) pb_metric_add(pb_connector_of(host)->env->metrics, metric, n);
}

static void metric_set(const pbay_host *host, pbay_metric metric, int64_t value)
{
    if (metric && metric < PB_METRIC_SLOTS) pb_metric_set(pb_connector_of(host)->env->metrics, metric, value);
}

const pbay_metric_1 pb_service_metric = {
    .struct_size = sizeof(pbay_metric_1),
    .slot = metric_slot,
    .add = metric_add,
    .set = metric_set,
};
