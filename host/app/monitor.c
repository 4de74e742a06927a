/* SPDX-License-Identifier: MIT */
#include "app/monitor.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/worker.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "plugin/registry.h"
#include "store/durable.h"

enum { BEAT_MS = 1000 };

struct pb_monitor {
    struct pb_monitor_options o;
    struct pb_timer beat;
    uint32_t log_turn;
    uint32_t cpu, memory, fds, conns, ops, failed, groups, waiting, longest, away;
};

static int64_t resident(void)
{
    long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) return 0;
    if (fscanf(f, "%*s %lld", &pages) != 1) pages = 0;
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

static int64_t descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int64_t n = -3; /* ".", ".." and this one */
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n > 0 ? n : 0;
}

static int64_t cpu_ns(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u)) return 0;
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * PB_SEC +
           (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

static void configured(void *user)
{
    struct pb_monitor *m = user;
    pb_worker_log_levels(m->o.site);
}

static void beat(void *user)
{
    struct pb_monitor *m = user;
    struct pb_metrics *x = m->o.metrics;
    struct pb_page_row *row = &m->o.page->rows[m->o.row];
    atomic_store_explicit(&row->heartbeat_ns, pb_loop_now(m->o.loop), memory_order_relaxed);
    pb_page_log_apply(m->o.page, &m->log_turn, configured, m);
    pb_registry_publish(m->o.registry);
    pb_metric_set(x, m->cpu, cpu_ns());
    pb_metric_set(x, m->memory, resident());
    pb_metric_set(x, m->fds, descriptors());
    pb_metric_set(x, m->conns, (int64_t)atomic_load(&row->conns));
    if (m->o.durable) {
        struct pb_store_load load;
        pb_store_async_load(pb_durable_store(m->o.durable), &load);
        pb_metric_set(x, m->ops, (int64_t)load.ops);
        pb_metric_set(x, m->failed, (int64_t)load.failed);
        pb_metric_set(x, m->groups, (int64_t)load.groups);
        pb_metric_set(x, m->waiting, load.waiting);
        pb_metric_set(x, m->longest, load.longest_ns / 1000);
        struct pb_store_health health;
        pb_store_async_health(pb_durable_store(m->o.durable), &health);
        pb_metric_set(x, m->away, !health.up);
    }
    pb_timer_set(m->o.loop, &m->beat, BEAT_MS);
}

struct pb_monitor *pb_monitor_new(const struct pb_monitor_options *options)
{
    struct pb_monitor *m = pb_zalloc(sizeof *m);
    struct pb_metrics *x = options->metrics;
    m->o = *options;
    m->cpu = pb_metric_scaled(x, "process_cpu_seconds_total", "", "Time that workers have used.", 1e-9);
    m->memory =
        pb_metric(x, PB_METRIC_GAUGE, "process_resident_bytes", "", "Resident memory of all workers.");
    m->fds = pb_metric(x, PB_METRIC_GAUGE, "process_open_fds", "", "Open descriptors of all workers.");
    m->conns = pb_metric(x, PB_METRIC_GAUGE, "connections", "", "Open connections.");
    if (options->durable) {
        m->ops = pb_metric(x, PB_METRIC_COUNTER, "store_operations_total", "", "Operations on the store.");
        m->failed = pb_metric(x, PB_METRIC_COUNTER, "store_failures_total", "", "Those that failed.");
        m->groups = pb_metric(x, PB_METRIC_COUNTER, "store_commits_total", "", "Commits, of several each.");
        m->waiting = pb_metric(x, PB_METRIC_GAUGE, "store_waiting", "", "Operations that wait now.");
        m->longest = pb_metric(x, PB_METRIC_GREATEST, "store_longest_microseconds", "",
                               "The longest wait of the last second, of any worker.");
    }
    if (options->durable)
        m->away = pb_metric(x, PB_METRIC_GAUGE, "store_workers_without", "",
                            "Workers whose store does not work now.");
    struct pb_buf labels = {0};
    pb_metric_label(&labels, "version", pb_str_c(PB_VERSION));
    pb_buf_ch(&labels, 0);
    pb_metric_set(x, pb_metric(x, PB_METRIC_GREATEST, "info", labels.p, "Which version this is."), 1);
    pb_buf_free(&labels);
    uint32_t workers = pb_metric(x, PB_METRIC_GAUGE, "workers", "", "Workers that are there.");
    pb_metric_set(x, workers, 1);
    atomic_store(&m->o.page->rows[m->o.row].started_ns, pb_mono_ns());
    m->beat.fn = beat;
    m->beat.user = m;
    beat(m);
    return m;
}

void pb_monitor_free(struct pb_monitor *m)
{
    if (!m) return;
    pb_timer_cancel(&m->beat);
    pb_free(m);
}
