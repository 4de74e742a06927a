/* SPDX-License-Identifier: MIT */
/*
 * Named numbers with labels, shown in Prometheus' text form: counters, gauges, histograms.
 *
 * Each series has a slot with a fixed index, the same in every process: names lie in a page that processes
 * may share (base/page.h), and so do the numbers, an array of them for each process, which it alone changes
 * and everybody reads. Registration and changes take no lock: atomics alone, so that who dies in between
 * leaves at most a name that nobody uses. What a process had counted is kept when it is gone
 * (pb_metrics_retire): counters never go back. Threads: any; slots that one thread alone changes, as those of
 * functions, have cheaper additions, and are read from anywhere all the same.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

/* A gauge of several processes is shown as the sum of them, or as the greatest. */
enum pb_metric_type { PB_METRIC_COUNTER = 1, PB_METRIC_GAUGE, PB_METRIC_GREATEST };
enum {
    PB_METRIC_SLOTS = 16384,
    PB_METRIC_BOUNDS_MAX = 24,
    PB_METRIC_ROWS = 64,      /* processes */
    PB_METRIC_SERIES = 32768, /* places for names; a power of two */
    PB_METRIC_TEXT = 2 << 20, /* bytes of names, labels and help */
};

/* What is shown under one name, or one of its series. Zero: a free place. */
struct pb_metric_entry {
    _Atomic uint64_t hash;
    _Atomic uint32_t ready; /* all below is written */
    uint32_t order;
    uint32_t family; /* of a series: place of its family; of a family: its own */
    uint32_t type;   /* enum pb_metric_type; 0: histogram */
    uint32_t slot;   /* of a series; 0: there was no place for it */
    uint32_t n;      /* bounds of a histogram */
    uint32_t text;   /* the family's name, or the labels */
    uint32_t more;   /* the family's help, or the histogram's bounds */
    double scale;
};

/* All zero at first. */
struct pb_metric_page {
    _Atomic uint32_t n_slots, n_text, n_entries;
    _Atomic uint32_t retiring; /* odd while a row is being added to the past */
    struct pb_metric_entry entries[PB_METRIC_SERIES];
    _Alignas(8) char text[PB_METRIC_TEXT];
    _Atomic int64_t past[PB_METRIC_SLOTS];
    _Atomic int64_t rows[PB_METRIC_ROWS][PB_METRIC_SLOTS];
};

struct pb_buf;
struct pb_metrics {
    _Atomic int64_t *slots; /* PB_METRIC_SLOTS, of this process; slot 0 takes what has no place */
    struct pb_metric_page *page;
    bool own;
};

/* With a page of its own. Returns owned. */
struct pb_metrics *pb_metrics_new(void);
/* A row of a page that others map too, which outlives it. Returns owned. */
struct pb_metrics *pb_metrics_join(struct pb_metric_page *page, uint32_t row);
void pb_metrics_free(struct pb_metrics *m); /* NULL is fine */
/* The process of that row has ended: its counts become the past, its gauges are gone, the row is all zero. */
void pb_metrics_retire(struct pb_metric_page *page, uint32_t row);

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

/* What all processes together say now. */
int64_t pb_metric_sum(const struct pb_metrics *m, uint32_t slot);
/* Append everything, of all processes: https://prometheus.io/docs/instrumenting/exposition_formats/ (text,
 * version 0.0.4). */
void pb_metrics_text(struct pb_metrics *m, struct pb_buf *out);
