/* SPDX-License-Identifier: MIT */
/*
 * Named numbers with labels, shown in Prometheus' text form: counters, gauges, histograms.
 *
 * Each series has a slot with a fixed index in one array, so that the array can lie in memory that processes
 * share. Registration takes a lock; changes are relaxed atomic additions without one. Threads: any; slots
 * that one thread alone changes, as those of functions, have cheaper additions, and are read from anywhere
 * all the same.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

enum pb_metric_type { PB_METRIC_COUNTER = 1, PB_METRIC_GAUGE };
enum { PB_METRIC_SLOTS = 16384, PB_METRIC_BOUNDS_MAX = 24 };

struct pb_buf;
struct pb_metrics {
    _Atomic int64_t *slots; /* PB_METRIC_SLOTS; slot 0 takes what has no place */
    struct pb_metrics_priv *priv;
};

/* Returns owned. */
struct pb_metrics *pb_metrics_new(void);
void pb_metrics_free(struct pb_metrics *m); /* NULL is fine */

/*
 * The slot of a series. name: [a-z][a-z0-9_]* without the prefix "patchbay_", which is added; labels: "" or
 * `function="f",code="OK"` with the values escaped (pb_metric_label). The same name and labels again: the
 * same slot. 0 when all slots are taken, or when the name is known with another type. Strings are copied.
 */
uint32_t pb_metric(struct pb_metrics *m, enum pb_metric_type type, const char *name, const char *labels,
                   const char *help);
/* A counter whose value is shown multiplied (1e-9 for nanoseconds shown as seconds). */
uint32_t pb_metric_scaled(struct pb_metrics *m, const char *name, const char *labels, const char *help,
                          double scale);
/* `name="value"`, escaped, with a comma before it when labels are there already. */
void pb_metric_label(struct pb_buf *labels, const char *name, pbay_str value);

/* A histogram: bounds ascending, in the unit that is observed; shown multiplied by scale. */
struct pb_histogram {
    uint32_t first; /* slots: one per bound, one for the rest, the sum; 0: none */
    uint32_t n;     /* bounds */
    int64_t bounds[PB_METRIC_BOUNDS_MAX];
};
void pb_histogram(struct pb_metrics *m, struct pb_histogram *h, const char *name, const char *labels,
                  const char *help, const int64_t *bounds, uint32_t n, double scale);

static inline void pb_metric_add(struct pb_metrics *m, uint32_t slot, int64_t n)
{
    atomic_fetch_add_explicit(&m->slots[slot], n, memory_order_relaxed);
}

/* The caller's thread alone changes this slot: no locked instruction is needed. */
static inline void pb_metric_add_own(struct pb_metrics *m, uint32_t slot, int64_t n)
{
    int64_t was = atomic_load_explicit(&m->slots[slot], memory_order_relaxed);
    atomic_store_explicit(&m->slots[slot], was + n, memory_order_relaxed);
}

static inline void pb_metric_set(struct pb_metrics *m, uint32_t slot, int64_t value)
{
    atomic_store_explicit(&m->slots[slot], value, memory_order_relaxed);
}

static inline int64_t pb_metric_get(const struct pb_metrics *m, uint32_t slot)
{
    return atomic_load_explicit(&m->slots[slot], memory_order_relaxed);
}

static inline uint32_t pb_histogram_bucket(const struct pb_histogram *h, int64_t value)
{
    uint32_t i = 0;
    while (i < h->n && value > h->bounds[i]) i++;
    return h->first + i;
}

static inline void pb_histogram_add(struct pb_metrics *m, const struct pb_histogram *h, int64_t value)
{
    if (!h->first) return;
    pb_metric_add(m, pb_histogram_bucket(h, value), 1);
    pb_metric_add(m, h->first + h->n + 1, value);
}

/* The caller's thread alone changes h. */
static inline void pb_histogram_add_own(struct pb_metrics *m, const struct pb_histogram *h, int64_t value)
{
    if (!h->first) return;
    pb_metric_add_own(m, pb_histogram_bucket(h, value), 1);
    pb_metric_add_own(m, h->first + h->n + 1, value);
}

/* Append everything: https://prometheus.io/docs/instrumenting/exposition_formats/ (text, version 0.0.4). */
void pb_metrics_text(struct pb_metrics *m, struct pb_buf *out);
