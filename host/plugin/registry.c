/* SPDX-License-Identifier: MIT */
#include "plugin/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/trust.h"
#include "plugin/connector_priv.h"
#include "plugin/probe.h"
#include "plugin/secrets.h"

struct pb_registry {
    const struct pb_plugin_env *env;
    bool probe;
    struct pb_found *found;
    size_t n, cap;
    struct pb_map connectors; /* name -> struct pb_connector */
    struct pb_map secrets;    /* secrets.h */
};

struct pb_registry *pb_registry_new(const struct pb_plugin_env *env, bool probe)
{
    struct pb_registry *r = pb_zalloc(sizeof *r);
    r->env = env;
    r->probe = probe;
    return r;
}

void pb_registry_free(struct pb_registry *r)
{
    if (!r) return;
    PB_REQUIRE(r->connectors.n == 0);
    for (size_t i = 0; i < r->n; i++) {
        pb_free(r->found[i].path);
        pb_free(r->found[i].why);
        /* An abandoned connector's calls may still come back to the tables. */
        struct pb_plugin *p = r->found[i].plugin;
        if (p && !p->n_connectors && (!p->other || !p->other->n_connectors)) pb_plugin_free(p);
    }
    pb_free(r->found);
    pb_map_free(&r->connectors);
    pb_secrets_free(&r->secrets);
    pb_free(r);
}

struct pb_map *pb_registry_secrets(struct pb_registry *r)
{
    return &r->secrets;
}

static struct pb_found *by_name(const struct pb_registry *r, pbay_str name)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->found[i].plugin && pb_str_is(name, r->found[i].plugin->name)) return &r->found[i];
    return NULL;
}

/* Keep what was loaded, or why it was not. p NULL: err says why. */
static int keep(struct pb_registry *r, const char *path, struct pb_plugin *p, struct pb_err *err)
{
    if (p) {
        const struct pb_found *other = by_name(r, pb_str_c(p->name));
        if (other) {
            pb_fail(err, PBAY_ALREADY_EXISTS, "%s: descriptor.name is \"%s\", and so is that of %s", path,
                    p->name, other->path);
            pb_plugin_free(p);
            p = NULL;
        }
    }
    PB_GROW(r->found, r->cap, r->n + 1);
    struct pb_found *f = &r->found[r->n++];
    *f = (struct pb_found){pb_strdup(path), p, NULL};
    if (p) return 0;
    f->why = pb_alloc(sizeof *f->why);
    *f->why = *err;
    pb_log(PB_LOG_WARN, "plugin", "plugin refused", PB_S("path", path), PB_S("why", err->msg));
    return -1;
}

int pb_registry_add(struct pb_registry *r, const char *path, struct pb_err *err)
{
    struct pb_err mine;
    struct pb_plugin *p = NULL;
    int fd = pb_trust_open(path, &mine);
    if (fd >= 0) {
        if (r->probe ? pb_plugin_probe(path, &p, &mine) : pb_plugin_load_fd(fd, path, &p, &mine)) p = NULL;
        if (p && p->fd < 0) p->fd = fcntl(fd, F_DUPFD_CLOEXEC, 10);
        close(fd);
    }
    int rc = keep(r, path, p, &mine);
    if (rc && err) *err = mine;
    return rc;
}

int pb_registry_adopt(struct pb_registry *r, const pbay_entry *(*get_entry)(void), struct pb_err *err)
{
    struct pb_err mine;
    struct pb_plugin *p = NULL;
    if (pb_plugin_adopt(get_entry, "(built in)", &p, &mine)) p = NULL;
    int rc = keep(r, "(built in)", p, &mine);
    if (rc && err) *err = mine;
    return rc;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int pb_registry_scan(struct pb_registry *r, const char *dir, struct pb_err *err)
{
    int fd = pb_trust_open_dir(dir, err);
    if (fd < 0) return -1;
    DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return pb_fail(err, PBAY_INTERNAL, "%s: %s", dir, strerror(errno));
    }
    char **names = NULL;
    size_t n = 0, cap = 0;
    for (struct dirent *e; (e = readdir(d));) {
        pbay_str name = pb_str_c(e->d_name);
        if (name.p[0] == '.' || !pb_str_ends(name, PB_STR(".so"))) continue;
        PB_GROW(names, cap, n + 1);
        names[n++] = pb_strdup(e->d_name);
    }
    closedir(d);
    if (n) qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < n; i++) {
        char *path = pb_sprintf("%s%s%s", dir, pb_str_ends(pb_str_c(dir), PB_STR("/")) ? "" : "/", names[i]);
        pb_registry_add(r, path, NULL);
        pb_free(path);
        pb_free(names[i]);
    }
    pb_free(names);
    return 0;
}

/* Was the file that would hold it refused? Its name is the only hint: the descriptor was not believed. */
static const struct pb_found *refused(const struct pb_registry *r, pbay_str name)
{
    PB_AUTO_FREE char *file = pb_sprintf("/%.*s.so", PB_FMT(name));
    for (size_t i = 0; i < r->n; i++)
        if (!r->found[i].plugin && pb_str_ends(pb_str_c(r->found[i].path), pb_str_c(file)))
            return &r->found[i];
    return NULL;
}

struct pb_plugin *pb_registry_find(const struct pb_registry *r, pbay_str name, struct pb_err *err)
{
    const struct pb_found *f = by_name(r, name);
    if (f) return f->plugin;
    f = refused(r, name);
    if (f) {
        if (err) *err = *f->why;
        pb_fail_in(err, "plugin \"%.*s\" was refused", PB_FMT(name));
        return NULL;
    }
    const char **names = pb_array(r->n + 1, sizeof *names);
    size_t n = 0;
    struct pb_buf list = {0};
    for (size_t i = 0; i < r->n; i++) {
        if (!r->found[i].plugin) continue;
        names[n++] = r->found[i].plugin->name;
        pb_buf_printf(&list, "%s%s", list.n ? ", " : "", r->found[i].plugin->name);
    }
    const char *near = pb_nearest(name, names, n);
    pbay_str there = n ? pb_buf_view(&list) : PB_STR("none: see [plugins] dir");
    pb_fail(err, PBAY_NOT_FOUND, "there is no plugin \"%.*s\"%s%s%s there %s %.*s", PB_FMT(name),
            near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : ";", n == 1 ? "is" : "are",
            PB_FMT(there));
    pb_buf_free(&list);
    pb_free(names);
    return NULL;
}

size_t pb_registry_count(const struct pb_registry *r)
{
    return r->n;
}

const struct pb_found *pb_registry_at(const struct pb_registry *r, size_t i)
{
    return &r->found[i];
}

struct pb_connector *pb_registry_connector(const struct pb_registry *r, pbay_str name)
{
    return pb_map_get(&r->connectors, name);
}

size_t pb_registry_n_connectors(const struct pb_registry *r)
{
    return r->connectors.n;
}

struct pb_connector *pb_registry_connector_at(const struct pb_registry *r, size_t i)
{
    return r->connectors.entries[i].value;
}

bool pb_registry_probes(const struct pb_registry *r)
{
    return r->probe;
}

const struct pb_plugin_env *pb_registry_env(const struct pb_registry *r)
{
    return r->env;
}

void pb_registry_link(struct pb_registry *r, struct pb_connector *c)
{
    pb_map_add(&r->connectors, pb_str_c(c->name), c);
}

void pb_registry_unlink(struct pb_registry *r, struct pb_connector *c)
{
    pb_map_remove(&r->connectors, pb_str_c(c->name));
}

void pb_registry_publish(struct pb_registry *r)
{
    struct pb_metrics *m = r->env->metrics;
    if (!m) return;
    for (size_t i = 0; i < r->connectors.n; i++) {
        struct pb_connector *c = r->connectors.entries[i].value;
        const struct pb_connector_stats *s = &c->stats;
        const struct {
            const char *name, *help;
            enum pb_metric_type type;
            uint64_t value;
        } all[] = {
            {"connector_calls_total", "Batches and streams that the plugin took.", PB_METRIC_COUNTER,
             s->calls},
            {"connector_refused_total", "Batches and streams that it refused.", PB_METRIC_COUNTER,
             s->refused},
            {"connector_failed_total", "Those it took and that failed.", PB_METRIC_COUNTER, s->failed},
            {"connector_rows_total", "Rows sent.", PB_METRIC_COUNTER, s->rows},
            {"connector_late_total", "Calls answered in the plugin's place.", PB_METRIC_COUNTER, s->late},
            {"connector_faults_total", "Breaches of the rules by the plugin.", PB_METRIC_COUNTER, s->faults},
            {"connector_process_ends_total", "Ends of its own process that nobody asked for.",
             PB_METRIC_COUNTER, s->crashes},
            {"connector_in_flight", "What the plugin has not finished.", PB_METRIC_GAUGE, s->in_flight},
            {"connector_state", "1 up, 2 degraded, 3 out; of several workers the worst.", PB_METRIC_GREATEST,
             (uint64_t)pb_connector_state(c, NULL)},
        };
        struct pb_buf labels = {0};
        pb_metric_label(&labels, "connector", pb_str_c(c->name));
        pb_metric_label(&labels, "plugin", pb_str_c(c->plugin->name));
        pb_buf_ch(&labels, 0);
        for (size_t k = 0; k < PB_COUNTOF(all); k++)
            pb_metric_set(m, pb_metric(m, all[k].type, all[k].name, labels.p, all[k].help),
                          (int64_t)all[k].value);
        pb_buf_free(&labels);
    }
}
