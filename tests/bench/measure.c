/* SPDX-License-Identifier: MIT */
/* Clock, histogram and /proc readings of the load client; see measure.h. */
#include "measure.h"

#include <dirent.h>
#include <stdbool.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROCESSES 64

uint64_t measure_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void measure_hist_clear(struct measure_hist *h)
{
    memset(h, 0, sizeof *h);
}

static unsigned cell_of(uint64_t ns)
{
    if (ns < 64) return (unsigned)ns;
    unsigned top = 63u - (unsigned)__builtin_clzll(ns);
    return (top - 5) * 64 + (unsigned)((ns >> (top - 6)) & 63);
}

static uint64_t cell_value(unsigned cell)
{
    if (cell < 64) return cell;
    unsigned top = cell / 64 + 5;
    return ((uint64_t)(64 + cell % 64) << (top - 6)) + ((uint64_t)1 << (top - 6)) / 2;
}

void measure_hist_add(struct measure_hist *h, uint64_t ns)
{
    h->count++;
    if (ns > h->max) h->max = ns;
    h->cell[cell_of(ns)]++;
}

uint64_t measure_hist_at(const struct measure_hist *h, double q)
{
    uint64_t want = (uint64_t)(q * (double)h->count), seen = 0;
    for (unsigned c = 0; c < sizeof h->cell / sizeof h->cell[0]; c++) {
        seen += h->cell[c];
        if (seen > want) return cell_value(c);
    }
    return h->max;
}

static bool read_file(const char *path, char *buf, size_t size)
{
    FILE *f = fopen(path, "r");
    if (!f) return false;
    size_t n = fread(buf, 1, size - 1, f);
    fclose(f);
    buf[n] = '\0';
    return n > 0;
}

/* The fields of /proc/PID/stat after the command name: 0 is the state, 1 the parent, 11 and on the CPU times.
 */
static bool read_stat(pid_t pid, pid_t *parent, uint64_t *ticks)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!read_file(path, text, sizeof text)) return false;
    char *at = strrchr(text, ')');
    if (!at) return false;
    int ppid = 0;
    unsigned long long ut = 0, st = 0, cut = 0, cst = 0;
    if (sscanf(at + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu", &ppid, &ut, &st,
               &cut, &cst) != 5)
        return false;
    if (parent) *parent = ppid;
    if (ticks) *ticks = ut + st + cut + cst;
    return true;
}

/* `pid` and its living descendants. */
static size_t family(pid_t pid, pid_t *out)
{
    size_t n = 0;
    if (pid <= 0) return 0;
    out[n++] = pid;
    for (size_t k = 0; k < n; k++) {
        char path[64], text[4096];
        snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)out[k], (int)out[k]);
        if (!read_file(path, text, sizeof text)) continue;
        for (char *p = strtok(text, " \n"); p && n < MAX_PROCESSES; p = strtok(NULL, " \n"))
            out[n++] = atoi(p);
    }
    return n;
}

uint64_t measure_cpu_us(pid_t pid)
{
    pid_t all[MAX_PROCESSES];
    size_t n = family(pid, all);
    uint64_t sum = 0;
    for (size_t k = 0; k < n; k++) {
        uint64_t ticks = 0;
        if (read_stat(all[k], NULL, &ticks)) sum += ticks;
    }
    return sum * (1000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

uint64_t measure_own_cpu_us(void)
{
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    return (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000u +
           (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

static uint64_t status_kib(pid_t pid, const char *key)
{
    pid_t all[MAX_PROCESSES];
    size_t n = family(pid, all);
    uint64_t sum = 0;
    for (size_t k = 0; k < n; k++) {
        char path[64], text[8192];
        snprintf(path, sizeof path, "/proc/%d/status", (int)all[k]);
        if (!read_file(path, text, sizeof text)) continue;
        const char *at = strstr(text, key);
        if (at) sum += strtoull(at + strlen(key), NULL, 10);
    }
    return sum;
}

uint64_t measure_peak_kib(pid_t pid)
{
    return status_kib(pid, "VmHWM:");
}

uint64_t measure_rss_kib(pid_t pid)
{
    return status_kib(pid, "VmRSS:");
}

int measure_peak_reset(pid_t pid)
{
    pid_t all[MAX_PROCESSES];
    size_t n = family(pid, all);
    int rc = n ? 0 : -1;
    for (size_t k = 0; k < n; k++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/clear_refs", (int)all[k]);
        FILE *f = fopen(path, "w");
        if (!f || fputs("5", f) < 0) rc = -1;
        if (f && fclose(f) != 0) rc = -1;
    }
    return rc;
}

int measure_fds(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    if (!d) return -1;
    int n = 0;
    for (const struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double measure_median(double *values, size_t n)
{
    if (n == 0) return 0;
    qsort(values, n, sizeof *values, by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}
