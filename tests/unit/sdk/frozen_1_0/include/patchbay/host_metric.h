/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.metric/1: numbers of a plugin's own in /metrics, with the label connector="NAME" added.
 *
 * Registered in `create` (fixed slots: at most 64 per instance), changed from [any] thread, without locks.
 *
 * Example: calls by their end: patchbay_mine_calls_total{connector="NAME",end="ok"}.
 *
 *     static void count(struct mine *m)
 *     {
 *         if (!m->ok_calls) // in `create`
 *             m->ok_calls = m->metric->slot(m->host, PBAY_METRIC_COUNTER, "calls_total", "end=\"ok\"",
 *                                           "Calls by their end.");
 *         m->metric->add(m->host, m->ok_calls, 1); // from any thread
 *     }
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_METRIC "pbay.host.metric/1"

#define PBAY_METRIC_COUNTER 1u
#define PBAY_METRIC_GAUGE   2u

/* A slot; 0: there was none left, and changes to it go nowhere. */
typedef uint32_t pbay_metric;

typedef struct pbay_metric_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /*
     * [loop] name: [a-z][a-z0-9_]*, at most 80 bytes, shown as patchbay_PLUGIN_NAME; labels: "kind=\"x\"" or
     * "", at most 512 bytes; help: a sentence. All are copied. The same again: the same slot. 0: something is
     * wrong with them (a fault), or there is no slot left.
     */
    pbay_metric (*slot)(const pbay_host *host, uint32_t type, const char *name, const char *labels,
                        const char *help);
    void (*add)(const pbay_host *host, pbay_metric metric, int64_t n);     /* [any] */
    void (*set)(const pbay_host *host, pbay_metric metric, int64_t value); /* [any] gauges */
} pbay_metric_1;

#ifdef __cplusplus
}
#endif
