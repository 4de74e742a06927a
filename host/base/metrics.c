/* SPDX-License-Identifier: MIT */
#include "base/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"

/* What is shown under one name. */
struct family {
    char *name, *help;
    int type; /* enum pb_metric_type; 0: histogram */
    struct series *first, **last;
};

struct series {
    struct series *next;
    char *labels;
    char *key; /* name{labels} */
    double scale;
    uint32_t slot;
    struct pb_histogram h; /* h.first != 0: a histogram */
};

struct pb_metrics_priv {
    pthread_mutex_t lock; /* guards everything here */
    struct pb_map families, series;
    uint32_t n_slots;
};

struct pb_metrics *pb_metrics_new(void)
{
    struct pb_metrics *m = pb_zalloc(sizeof *m);
    m->slots = pb_zalloc(PB_METRIC_SLOTS * sizeof *m->slots);
    m->priv = pb_zalloc(sizeof *m->priv);
    pthread_mutex_init(&m->priv->lock, NULL);
    m->priv->n_slots = 1;
    return m;
}

void pb_metrics_free(struct pb_metrics *m)
{
    if (!m) return;
    struct pb_metrics_priv *p = m->priv;
    for (size_t i = 0; i < p->series.n; i++) {
        struct series *s = p->series.entries[i].value;
        pb_free(s->labels);
        pb_free(s->key);
        pb_free(s);
    }
    for (size_t i = 0; i < p->families.n; i++) {
        struct family *f = p->families.entries[i].value;
        pb_free(f->name);
        pb_free(f->help);
        pb_free(f);
    }
    pb_map_free(&p->series);
    pb_map_free(&p->families);
    pthread_mutex_destroy(&p->lock);
    pb_free(p);
    pb_free(m->slots);
    pb_free(m);
}

/* The series, made when it is new; NULL when the name has another type or slots have run out. Called with the
 * lock. */
static struct series *find(struct pb_metrics_priv *p, int type, const char *name, const char *labels,
                           const char *help, uint32_t n_slots)
{
    PB_AUTO_FREE char *key = pb_sprintf("%s{%s}", name, labels);
    struct family *f = pb_map_get(&p->families, pb_str_c(name));
    if (f && f->type != type) return NULL;
    struct series *s = pb_map_get(&p->series, pb_str_c(key));
    if (s) return s;
    if (p->n_slots + n_slots > PB_METRIC_SLOTS) return NULL;
    if (!f) {
        f = pb_zalloc(sizeof *f);
        f->name = pb_strdup(name);
        f->help = pb_strdup(help);
        f->type = type;
        f->last = &f->first;
        pb_map_add(&p->families, pb_str_c(f->name), f);
    }
    s = pb_zalloc(sizeof *s);
    s->labels = pb_strdup(labels);
    s->key = pb_strdup(key);
    s->scale = 1;
    s->slot = p->n_slots;
    p->n_slots += n_slots;
    pb_map_add(&p->series, pb_str_c(s->key), s);
    *f->last = s;
    f->last = &s->next;
    return s;
}

static uint32_t add(struct pb_metrics *m, int type, const char *name, const char *labels, const char *help,
                    double scale)
{
    pthread_mutex_lock(&m->priv->lock);
    struct series *s = find(m->priv, type, name, labels, help, 1);
    if (s) s->scale = scale;
    pthread_mutex_unlock(&m->priv->lock);
    return s ? s->slot : 0;
}

uint32_t pb_metric(struct pb_metrics *m, enum pb_metric_type type, const char *name, const char *labels,
                   const char *help)
{
    return add(m, (int)type, name, labels, help, 1);
}

uint32_t pb_metric_scaled(struct pb_metrics *m, const char *name, const char *labels, const char *help,
                          double scale)
{
    return add(m, PB_METRIC_COUNTER, name, labels, help, scale);
}

void pb_histogram(struct pb_metrics *m, struct pb_histogram *h, const char *name, const char *labels,
                  const char *help, const int64_t *bounds, uint32_t n, double scale)
{
    *h = (struct pb_histogram){0};
    if (n > PB_METRIC_BOUNDS_MAX) n = PB_METRIC_BOUNDS_MAX;
    pthread_mutex_lock(&m->priv->lock);
    struct series *s = find(m->priv, 0, name, labels, help, n + 2);
    if (s && !s->h.first) {
        s->h.first = s->slot;
        s->h.n = n;
        memcpy(s->h.bounds, bounds, n * sizeof *bounds);
        s->scale = scale;
    }
    if (s) *h = s->h;
    pthread_mutex_unlock(&m->priv->lock);
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

static void put_value(struct pb_buf *out, int64_t v, double scale)
{
    char text[PB_F64_MAX];
    pb_buf_add(out, text, scale == 1 ? pb_format_i64(v, text) : pb_format_f64((double)v * scale, text));
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

static void put_histogram(const struct pb_metrics *m, struct pb_buf *out, const char *name,
                          const struct series *s)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i <= s->h.n; i++) {
        char le[PB_F64_MAX + 1] = "+Inf";
        if (i < s->h.n) le[pb_format_f64((double)s->h.bounds[i] * s->scale, le)] = 0;
        sum += pb_metric_get(m, s->h.first + i);
        put_name(out, name, "_bucket", s->labels, le);
        put_value(out, sum, 1);
    }
    put_name(out, name, "_sum", s->labels, NULL);
    put_value(out, pb_metric_get(m, s->h.first + s->h.n + 1), s->scale);
    put_name(out, name, "_count", s->labels, NULL);
    put_value(out, sum, 1);
}

/* In help texts only backslash and line feed are special. */
static void put_help(struct pb_buf *out, const struct family *f)
{
    static const char *const types[] = {"histogram", "counter", "gauge"};
    pb_buf_printf(out, "# HELP patchbay_%s ", f->name);
    for (const char *p = f->help; *p; p++) {
        if (*p == '\n')
            pb_buf_c(out, "\\n");
        else if (*p == '\\')
            pb_buf_c(out, "\\\\");
        else
            pb_buf_ch(out, *p);
    }
    pb_buf_printf(out, "\n# TYPE patchbay_%s %s\n", f->name, types[f->type]);
}

void pb_metrics_text(struct pb_metrics *m, struct pb_buf *out)
{
    struct pb_metrics_priv *p = m->priv;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->families.n; i++) {
        const struct family *f = p->families.entries[i].value;
        put_help(out, f);
        for (const struct series *s = f->first; s; s = s->next) {
            if (s->h.first) {
                put_histogram(m, out, f->name, s);
            } else {
                put_name(out, f->name, "", s->labels, NULL);
                put_value(out, pb_metric_get(m, s->slot), s->scale);
            }
        }
    }
    pthread_mutex_unlock(&p->lock);
}
