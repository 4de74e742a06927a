/* SPDX-License-Identifier: MIT */
#include "base/metrics.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

/* How often another's half-written name is waited for. */
enum { PATIENCE = 10000 };

/* ------------------------------------------------------------------------------------------------ pages */

struct pb_metrics *pb_metrics_join(struct pb_metric_page *page, uint32_t row)
{
    PB_REQUIRE(row < PB_METRIC_ROWS);
    struct pb_metrics *m = pb_zalloc(sizeof *m);
    m->page = page;
    m->slots = page->rows[row];
    return m;
}

struct pb_metrics *pb_metrics_new(void)
{
    void *p = mmap(NULL, sizeof(struct pb_metric_page), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) pb_fatal("no memory for metrics");
    struct pb_metrics *m = pb_metrics_join(p, 0);
    m->own = true;
    return m;
}

void pb_metrics_free(struct pb_metrics *m)
{
    if (!m) return;
    if (m->own) munmap(m->page, sizeof *m->page);
    pb_free(m);
}

static uint32_t slots_of(const struct pb_metric_entry *e)
{
    return e->type ? 1 : e->n + 2;
}

/* The entry at a place, when it is one that can be shown. */
static const struct pb_metric_entry *shown(const struct pb_metric_page *page, uint32_t at)
{
    const struct pb_metric_entry *e = &page->entries[at];
    if (!atomic_load_explicit(&e->hash, memory_order_relaxed) ||
        !atomic_load_explicit(&e->ready, memory_order_acquire))
        return NULL;
    return e->slot ? e : NULL;
}

void pb_metrics_retire(struct pb_metric_page *page, uint32_t row)
{
    atomic_fetch_add(&page->retiring, 1);
    for (uint32_t at = 0; at < PB_METRIC_SERIES; at++) {
        const struct pb_metric_entry *e = shown(page, at);
        for (uint32_t i = 0; e && i < slots_of(e); i++) {
            int64_t n = atomic_exchange(&page->rows[row][e->slot + i], 0);
            bool gauge = e->type == PB_METRIC_GAUGE || e->type == PB_METRIC_GREATEST;
            if (n && !gauge) atomic_fetch_add(&page->past[e->slot + i], n);
        }
    }
    atomic_fetch_add(&page->retiring, 1);
}

/* ------------------------------------------------------------------------------------------------ names */

/* 0: there is no room. Byte 0 of the text is an empty string. */
static uint32_t keep(struct pb_metric_page *page, const void *bytes, size_t n)
{
    size_t room = (n + 7) & ~(size_t)7;
    if (n > PB_METRIC_TEXT / 4) return 0;
    uint32_t at = atomic_fetch_add(&page->n_text, (uint32_t)room) + 8;
    if (at + room > PB_METRIC_TEXT) {
        atomic_fetch_sub(&page->n_text, (uint32_t)room);
        return 0;
    }
    memcpy(page->text + at, bytes, n);
    return at;
}

static uint64_t hash_of(uint64_t h, const char *s)
{
    while (*s) h = (h ^ (unsigned char)*s++) * UINT64_C(0x100000001b3); /* FNV-1a */
    return h;
}

/* The entry of that hash; *made: it is new, and this thread fills it and sets ready. NULL: none can be had.
 */
static struct pb_metric_entry *find(struct pb_metric_page *page, uint64_t h, bool *made)
{
    if (!h) h = 1;
    *made = false;
    for (uint32_t i = 0; i < PB_METRIC_SERIES; i++) {
        struct pb_metric_entry *e = &page->entries[(h + i) & (PB_METRIC_SERIES - 1)];
        uint64_t is = 0;
        if (atomic_compare_exchange_strong(&e->hash, &is, h)) {
            e->order = atomic_fetch_add(&page->n_entries, 1);
            *made = true;
            return e;
        }
        if (is != h) continue;
        for (int k = 0; k < PATIENCE; k++) {
            if (atomic_load_explicit(&e->ready, memory_order_acquire)) return e;
            sched_yield();
        }
        return NULL; /* who began it has died */
    }
    return NULL;
}

static void finish(struct pb_metric_entry *e)
{
    atomic_store_explicit(&e->ready, 1, memory_order_release);
}

static uint32_t take_slots(struct pb_metric_page *page, uint32_t n)
{
    uint32_t was = atomic_load(&page->n_slots);
    do {
        if (was + n + 1 > PB_METRIC_SLOTS) return 0;
    } while (!atomic_compare_exchange_weak(&page->n_slots, &was, was + n));
    return was + 1;
}

/* The series, made when it is new; NULL when the name has another type or there is no room. */
static const struct pb_metric_entry *series(struct pb_metrics *m, uint32_t type, const char *name,
                                            const char *labels, const char *help, double scale,
                                            const int64_t *bounds, uint32_t n)
{
    struct pb_metric_page *page = m->page;
    bool made;
    uint64_t h = hash_of(UINT64_C(0xcbf29ce484222325), name);
    struct pb_metric_entry *family = find(page, h, &made);
    if (made) {
        family->type = type;
        family->family = (uint32_t)(family - page->entries);
        family->text = keep(page, name, strlen(name) + 1);
        family->more = keep(page, help, strlen(help) + 1);
        finish(family);
    }
    if (!family || family->type != type || !family->text) return NULL;
    struct pb_metric_entry *e = find(page, hash_of(hash_of(h, "{"), labels), &made);
    if (!e || !made) return e;
    e->type = type;
    e->family = family->family;
    e->scale = scale;
    e->n = n;
    e->text = *labels ? keep(page, labels, strlen(labels) + 1) : 0;
    e->more = n ? keep(page, bounds, n * sizeof *bounds) : 0;
    bool room = (e->text || !*labels) && (e->more || !n);
    e->slot = room ? take_slots(page, slots_of(e)) : 0;
    finish(e);
    return e;
}

uint32_t pb_metric(struct pb_metrics *m, enum pb_metric_type type, const char *name, const char *labels,
                   const char *help)
{
    const struct pb_metric_entry *e = series(m, type, name, labels, help, 1, NULL, 0);
    return e ? e->slot : 0;
}

uint32_t pb_metric_scaled(struct pb_metrics *m, const char *name, const char *labels, const char *help,
                          double scale)
{
    const struct pb_metric_entry *e = series(m, PB_METRIC_COUNTER, name, labels, help, scale, NULL, 0);
    return e ? e->slot : 0;
}

void pb_histogram(struct pb_metrics *m, struct pb_histogram *h, const char *name, const char *labels,
                  const char *help, const int64_t *bounds, uint32_t n, double scale)
{
    *h = (struct pb_histogram){0};
    if (n > PB_METRIC_BOUNDS_MAX) n = PB_METRIC_BOUNDS_MAX;
    const struct pb_metric_entry *e = series(m, 0, name, labels, help, scale, bounds, n);
    if (!e || !e->slot) return;
    h->first = e->slot;
    h->n = e->n;
    memcpy(h->bounds, m->page->text + e->more, e->n * sizeof *h->bounds);
}

void pb_metric_label(struct pb_buf *labels, const char *name, pbay_str value)
{
    if (labels->n) pb_buf_ch(labels, ',');
    pb_buf_c(labels, name);
    pb_buf_c(labels, "=\"");
    if (!pb_utf8_valid(value)) value = PB_STR("invalid UTF-8");
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == '\\' || c == '"') pb_buf_ch(labels, '\\');
        if (c == '\n')
            pb_buf_c(labels, "\\n");
        else
            pb_buf_ch(labels, c);
    }
    pb_buf_ch(labels, '"');
}

/* Divided where the scale is a part of one: 30e9 ns are 30 s and not 30.000000000000004. */
static double scaled(int64_t v, double scale)
{
    return scale < 1 ? (double)v / round(1 / scale) : (double)v * scale;
}

static void put_value(struct pb_buf *out, int64_t v, double scale)
{
    char text[PB_F64_MAX];
    pb_buf_add(out, text, scale == 1 ? pb_format_i64(v, text) : pb_format_f64(scaled(v, scale), text));
    pb_buf_ch(out, '\n');
}

static void put_name(struct pb_buf *out, const char *name, const char *suffix, const char *labels,
                     const char *le)
{
    pb_buf_printf(out, "patchbay_%s%s", name, suffix);
    if (!*labels && !le) {
        pb_buf_ch(out, ' ');
        return;
    }
    pb_buf_printf(out, "{%s", labels);
    if (le) pb_buf_printf(out, "%sle=\"%s\"", *labels ? "," : "", le);
    pb_buf_c(out, "} ");
}

/* ------------------------------------------------------------------------------------------------ text */

static int64_t all_of(const struct pb_metric_page *page, uint32_t slot, uint32_t type)
{
    int64_t n = atomic_load_explicit(&page->past[slot], memory_order_relaxed);
    for (uint32_t row = 0; row < PB_METRIC_ROWS; row++) {
        int64_t v = atomic_load_explicit(&page->rows[row][slot], memory_order_relaxed);
        if (type != PB_METRIC_GREATEST)
            n += v;
        else if (v > n)
            n = v;
    }
    return n;
}

int64_t pb_metric_sum(const struct pb_metrics *m, uint32_t slot)
{
    return all_of(m->page, slot, PB_METRIC_GAUGE);
}

static void put_histogram(const struct pb_metric_page *page, struct pb_buf *out, const char *name,
                          const struct pb_metric_entry *s)
{
    int64_t sum = 0, bounds[PB_METRIC_BOUNDS_MAX];
    const char *labels = page->text + s->text;
    memcpy(bounds, page->text + s->more, s->n * sizeof *bounds);
    for (uint32_t i = 0; i <= s->n; i++) {
        char le[PB_F64_MAX + 1] = "+Inf";
        if (i < s->n) le[pb_format_f64(scaled(bounds[i], s->scale), le)] = 0;
        sum += all_of(page, s->slot + i, 0);
        put_name(out, name, "_bucket", labels, le);
        put_value(out, sum, 1);
    }
    put_name(out, name, "_sum", labels, NULL);
    put_value(out, all_of(page, s->slot + s->n + 1, 0), s->scale);
    put_name(out, name, "_count", labels, NULL);
    put_value(out, sum, 1);
}

/* In help texts only backslash and line feed are special. */
static void put_help(struct pb_buf *out, const char *name, const char *help, uint32_t type)
{
    static const char *const types[] = {"histogram", "counter", "gauge", "gauge"};
    pb_buf_printf(out, "# HELP patchbay_%s ", name);
    for (const char *p = help; *p; p++) {
        if (*p == '\n')
            pb_buf_c(out, "\\n");
        else if (*p == '\\')
            pb_buf_c(out, "\\\\");
        else
            pb_buf_ch(out, *p);
    }
    pb_buf_printf(out, "\n# TYPE patchbay_%s %s\n", name, types[type]);
}

struct place {
    uint64_t key; /* order of the family, then of the series */
    uint32_t at;
};

static int by_key(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

static void put_all(const struct pb_metric_page *page, const struct place *list, size_t n, struct pb_buf *out)
{
    uint32_t family = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        const struct pb_metric_entry *s = &page->entries[list[i].at], *f = &page->entries[s->family];
        const char *name = page->text + f->text;
        if (s->family != family) put_help(out, name, page->text + f->more, f->type);
        family = s->family;
        if (!s->type)
            put_histogram(page, out, name, s);
        else {
            put_name(out, name, "", page->text + s->text, NULL);
            put_value(out, all_of(page, s->slot, s->type), s->scale);
        }
    }
}

void pb_metrics_text(struct pb_metrics *m, struct pb_buf *out)
{
    const struct pb_metric_page *page = m->page;
    struct place *list = pb_array(atomic_load(&page->n_entries) + 1, sizeof *list);
    size_t n = 0, cap = atomic_load(&page->n_entries), start = out->n;
    for (uint32_t at = 0; at < PB_METRIC_SERIES && n < cap; at++) {
        const struct pb_metric_entry *e = shown(page, at);
        if (e) list[n++] = (struct place){(uint64_t)page->entries[e->family].order << 32 | e->order, at};
    }
    qsort(list, n, sizeof *list, by_key);
    /* A row that becomes the past meanwhile would be counted twice or not at all: read again. */
    for (int tries = 0; tries < 100; tries++) {
        uint32_t turn = atomic_load(&page->retiring);
        out->n = start;
        put_all(page, list, n, out);
        if (!(turn & 1) && atomic_load(&page->retiring) == turn) break;
        sched_yield();
    }
    pb_free(list);
}
