/* SPDX-License-Identifier: MIT */
/*
 * Durable rows per second of the store: an event with a key is a row, on disk when it counts.
 *
 *     store_bench --dir DIR --waiting N --processes P --seconds S [--what event|job|kv|run]
 *
 * waiting 0: one transaction per row, one after the other. Else N rows always wait at the store thread of
 * each process, which groups them. Prints one line of JSON. The store is made in DIR and removed.
 *
 * With --what run, rows are jobs that were put before: each process runs `waiting` of them at once, and they
 * end at once; waits are not measured.
 */
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/async.h"
#include "store/events.h"
#include "store/runner.h"

enum { SAMPLES = 4 << 20, PROCESSES_MAX = 16, WAITING_MAX = 4096, JOBS_AHEAD = 50000 };

/* What a process measured, in memory that its parent sees. */
struct measured {
    uint64_t rows, groups;
    uint32_t n;
    uint32_t us[SAMPLES];
};

struct row {
    struct pb_store_op op;
    int64_t began_ns;
    uint64_t number;
};

static struct {
    const char *dir, *what;
    char *url;
    uint32_t waiting, processes;
    double seconds;
} args = {.dir = ".", .what = "event", .processes = 1, .seconds = 2};

static struct measured *mine;
static struct pb_loop *loop;
static struct pb_store_async *async;
static int64_t end_ns;
static uint32_t out;

static void die(const char *what, const struct pb_err *err)
{
    fprintf(stderr, "store_bench: %s: %s\n", what, err->msg);
    _exit(1);
}

static int put_row(struct pb_store *s, uint64_t number, struct pb_err *err)
{
    static const char data[] =
        "{\"appId\":\"b4a3cf85-5dd8-42f7-a864-3b2460215f8b\",\"status\":\"ok\",\"duration\":12345,"
        "\"tenant\":\"acme.eu.qlikcloud.com\",\"user\":\"auth0|0123456789abcdef\"}";
    char key[48], id[PB_ID_SIZE];
    bool known;
    /* As random as the ids that deliveries carry. */
    snprintf(key, sizeof key, "%016llx-%d-%llu", (unsigned long long)(number * 0x9e3779b97f4a7c15u),
             (int)getpid(), (unsigned long long)number);
    pbay_str k = pb_str_c(key);
    if (strcmp(args.what, "kv") == 0)
        return pb_store_kv_put(s, PB_STR("bench"), k, PB_STR(data), NULL, 0, err);
    struct pb_job_put job = {.queue = PB_STR("q"), .action = PB_STR("c.reload"), .args = PB_STR(data)};
    struct pb_event_put in = {.connector = PB_STR("bench"),
                              .type = PB_STR("reload.done"),
                              .subject = PB_STR("app"),
                              .data = PB_STR(data),
                              .keys = &k,
                              .n_keys = 1,
                              .jobs = &job,
                              .n_jobs = strcmp(args.what, "job") == 0};
    return pb_store_event_put(s, &in, id, &known, err);
}

static void count(int64_t began_ns, int64_t now)
{
    int64_t us = (now - began_ns) / 1000;
    mine->rows++;
    if (mine->n < SAMPLES) mine->us[mine->n++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int run_row(struct pb_store *s, void *user, struct pb_err *err)
{
    struct row *r = user;
    return put_row(s, r->number, err);
}

static void closed(void *user)
{
    (void)user;
    pb_loop_stop(loop);
}

static void row_done(void *user, const struct pb_err *err)
{
    struct row *r = user;
    int64_t now = pb_mono_ns();
    if (err) die("put", err);
    if (now < end_ns) {
        count(r->began_ns, now);
        r->began_ns = now;
        r->number += args.waiting;
        pb_store_post(async, &r->op);
    } else if (--out == 0) {
        struct pb_store_load load;
        pb_store_async_load(async, &load);
        mine->groups = load.groups;
        pb_store_async_close(async, closed, NULL);
    }
}

static void one_by_one(struct pb_store *s)
{
    struct pb_err err;
    for (uint64_t i = 0;; i++) {
        int64_t began = pb_mono_ns();
        if (began >= end_ns) break;
        if (put_row(s, i, &err) != 0) die("put", &err);
        count(began, pb_mono_ns());
    }
    mine->groups = mine->rows;
    pb_store_close(s);
}

static void grouped(struct pb_store *s)
{
    static struct row rows[WAITING_MAX];
    loop = pb_loop_new(NULL);
    async = pb_store_async_new(loop, s);
    out = args.waiting;
    for (uint32_t i = 0; i < args.waiting; i++) {
        rows[i] = (struct row){.op = {.run = run_row, .done = row_done, .user = &rows[i]}, .number = i};
        rows[i].began_ns = pb_mono_ns();
        pb_store_post(async, &rows[i].op);
    }
    pb_loop_run(loop);
    pb_loop_free(loop);
}

/* ------------------------------------------------------------------------ jobs */

static struct pb_runner *runner;
static struct pb_timer over;

static void run_job(void *user, struct pb_turn *turn, const struct pb_job *job)
{
    (void)user;
    (void)job;
    mine->rows++;
    pb_turn_done(turn, PB_STR("{}"));
}

static const struct pb_job_handler handler = {run_job, NULL, NULL};

static const struct pb_job_handler *find(void *user, const struct pb_job *job)
{
    (void)user;
    (void)job;
    return &handler;
}

static void runner_stopped(void *user)
{
    (void)user;
    struct pb_store_load load;
    pb_store_async_load(async, &load);
    mine->groups = load.groups;
    pb_store_async_close(async, closed, NULL);
}

static void time_is_over(void *user)
{
    (void)user;
    pb_runner_stop(runner, runner_stopped, NULL);
}

static void run_jobs(struct pb_store *s)
{
    loop = pb_loop_new(NULL);
    async = pb_store_async_new(loop, s);
    struct pb_runner_config c = {.loop = loop,
                                 .store = async,
                                 .owner = PB_STR("bench"),
                                 .concurrency = args.waiting,
                                 .lease_ms = 30000,
                                 .find = find};
    runner = pb_runner_new(&c);
    over = (struct pb_timer){.fn = time_is_over};
    pb_timer_set(loop, &over, (int64_t)(args.seconds * 1000));
    pb_loop_run(loop);
    pb_loop_free(loop);
}

static int put_jobs(struct pb_store *s, void *user, struct pb_err *err)
{
    (void)user;
    for (int i = 0; i < JOBS_AHEAD; i++) {
        struct pb_job_put in = {
            .queue = i % 3 ? PB_STR("a") : PB_STR("b"), .action = PB_STR("c.act"), .args = PB_STR("{}")};
        char id[PB_ID_SIZE];
        bool known;
        if (pb_store_job_put(s, &in, id, &known, err) != 0) return -1;
    }
    return 0;
}

static void work(struct measured *m)
{
    struct pb_store *s;
    struct pb_err err;
    mine = m;
    if (pb_store_open(args.url, &s, &err) != 0) die("open", &err);
    end_ns = pb_mono_ns() + (int64_t)(args.seconds * 1e9);
    if (strcmp(args.what, "run") == 0)
        run_jobs(s);
    else if (args.waiting)
        grouped(s);
    else
        one_by_one(s);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(struct measured *all)
{
    uint64_t rows = 0, groups = 0, n = 0, least = UINT64_MAX;
    for (uint32_t i = 0; i < args.processes; i++) {
        rows += all[i].rows;
        groups += all[i].groups;
        n += all[i].n;
        if (all[i].rows < least) least = all[i].rows;
    }
    uint32_t *us = pb_array(n ? n : 1, sizeof *us), at = 0;
    for (uint32_t i = 0; i < args.processes; i++)
        for (uint32_t k = 0; k < all[i].n; k++) us[at++] = all[i].us[k];
    if (n) qsort(us, n, sizeof *us, by_size);
    printf(
        "{\"waiting\": %u, \"processes\": %u, \"what\": \"%s\", \"rows_s\": %.0f, \"rows_per_commit\": %.1f, "
        "\"p50_us\": %u, \"p99_us\": %u, \"longest_us\": %u, \"least_share\": %.3f}\n",
        args.waiting, args.processes, args.what, (double)rows / args.seconds,
        (double)rows / (double)(groups ? groups : 1), n ? us[n / 2] : 0, n ? us[n * 99 / 100] : 0,
        n ? us[n - 1] : 0, rows ? (double)least * args.processes / (double)rows : 0);
    pb_free(us);
}

static void remove_store(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < PB_COUNTOF(ends); i++) {
        char *path = pb_sprintf("%s%s", args.url + strlen("sqlite:"), ends[i]);
        unlink(path);
        pb_free(path);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"dir", 1, NULL, 'd'},       {"waiting", 1, NULL, 'w'},
                                            {"processes", 1, NULL, 'p'}, {"seconds", 1, NULL, 's'},
                                            {"what", 1, NULL, 'k'},      {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'd')
            args.dir = optarg;
        else if (c == 'w')
            args.waiting = (uint32_t)strtoul(optarg, NULL, 10);
        else if (c == 'p')
            args.processes = (uint32_t)strtoul(optarg, NULL, 10);
        else if (c == 's')
            args.seconds = strtod(optarg, NULL);
        else if (c == 'k')
            args.what = optarg;
        else
            return 2;
    }
    if (args.waiting > WAITING_MAX || args.processes < 1 || args.processes > PROCESSES_MAX) return 2;
    args.url = pb_sprintf("sqlite:%s/store_bench-%d.db", args.dir, (int)getpid());
    struct measured *all = mmap(NULL, sizeof *all * args.processes, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) return 2;
    struct pb_store *s;
    struct pb_err err;
    if (pb_store_open(args.url, &s, &err) != 0) die("open", &err);
    if (strcmp(args.what, "run") == 0 && pb_store_atomic(s, put_jobs, NULL, &err) != 0) die("put", &err);
    pb_store_close(s);
    int failed = 0;
    if (args.processes == 1) {
        work(all);
    } else {
        for (uint32_t i = 0; i < args.processes; i++)
            if (fork() == 0) {
                work(&all[i]);
                _exit(0);
            }
        for (uint32_t i = 0; i < args.processes; i++) {
            int status;
            wait(&status);
            failed |= status;
        }
    }
    remove_store();
    if (!failed) report(all);
    munmap(all, sizeof *all * args.processes);
    pb_free(args.url);
    return failed != 0;
}
