/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.metric/1: numbers of a plugin's own in /metrics, with the label connector="NAME" added.
 *
 * Registered in `create` (fixed slots: at most 64 per instance), changed from [any] thread, without locks.
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
    /* name: [a-z][a-z0-9_]*, shown as patchbay_PLUGIN_NAME; labels: "kind=\"x\"" or "". The same again: the
     * same slot. */
    pbay_metric (*slot)(const pbay_host *host, uint32_t type, const char *name, const char *labels,
                        const char *help);
    void (*add)(const pbay_host *host, pbay_metric metric, int64_t n);
    void (*set)(const pbay_host *host, pbay_metric metric, int64_t value);
} pbay_metric_1;

#ifdef __cplusplus
}
#endif
