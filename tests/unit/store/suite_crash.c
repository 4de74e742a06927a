/* SPDX-License-Identifier: MIT */
/* Processes that die at any instant: what was told holds, and each job is run by one at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "crash.h"
#include "store/jobs.h"
#include "store/store.h"
#include "store_suite.h"

static void kill_and_reap(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_writers(void **state)
{
    (void)state;
    static struct crash_told told[100000];
    size_t n = 0;
    int rounds = crash_rounds(5, 200);
    for (int round = 0; round < rounds; round++) {
        enum { WRITERS = 2 };
        int answers[WRITERS];
        pid_t pids[WRITERS];
        for (uint32_t i = 0; i < WRITERS; i++)
            pids[i] = crash_writer(suite_url, ((uint32_t)round * WRITERS + i) * 100000, &answers[i]);
        /* Some time, then at whatever they are doing. */
        uint64_t more = 1 + pb_random_u64() % 100;
        for (uint64_t k = 0; k < more; k++)
            assert_int_equal(read(answers[0], &told[n++], sizeof *told), sizeof *told);
        for (int i = 0; i < WRITERS; i++) kill_and_reap(pids[i]);
        for (int i = 0; i < WRITERS; i++) {
            while (n < PB_COUNTOF(told) && read(answers[i], &told[n], sizeof *told) == (ssize_t)sizeof *told)
                n++;
            close(answers[i]);
        }
    }
    crash_check(suite_url, told, n);
}

enum { JOBS = 120, RUNNERS = 3 };

static struct {
    _Atomic int64_t fence[JOBS]; /* the highest that ran it */
    _Atomic int ended[JOBS];     /* ends that were accepted */
    _Atomic int wrong;
} * shared;

static void run_jobs(void)
{
    struct pb_store *s;
    struct pb_err err = {0};
    struct pb_claim c = {.owner = PB_STR("runner"), .lease_ms = 300, .max = 3};
    if (pb_store_open(suite_url, &s, &err) != 0) _exit(1);
    for (;;) {
        struct pb_jobs jobs;
        if (pb_store_job_claim(s, &c, &jobs, &err) != 0) _exit(2);
        for (size_t i = 0; i < jobs.n; i++) {
            int64_t k, was;
            const struct pb_job *job = jobs.items[i];
            if (!pb_parse_i64(job->args, &k)) _exit(3);
            /* Nobody ran it before with this fence or a higher one, and nobody has ended it. */
            was = atomic_exchange(&shared->fence[k], job->fence);
            if (was >= job->fence || shared->ended[k]) shared->wrong++;
            usleep(2000);
            if (pb_store_job_done(s, job->id, job->fence, job->args, &err) == 0)
                shared->ended[k]++;
            else if (err.code != PBAY_ABORTED)
                _exit(4);
        }
        if (!jobs.n) usleep(10000);
        pb_jobs_free(&jobs);
    }
}

static pid_t start_runner(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) run_jobs();
    return pid;
}

static void test_runners(void **state)
{
    (void)state;
    struct pb_store *s = suite_open();
    struct pb_err err = {0};
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    for (int i = 0; i < JOBS; i++) {
        char args[16], id[PB_ID_SIZE];
        bool known;
        snprintf(args, sizeof args, "%d", i);
        struct pb_job_put in = {
            .queue = PB_STR("q"), .action = PB_STR("a"), .args = pb_str_c(args), .max_attempts = 1000};
        assert_int_equal(pb_store_job_put(s, &in, id, &known, &err), 0);
    }
    pid_t pids[RUNNERS];
    for (int i = 0; i < RUNNERS; i++) pids[i] = start_runner();
    int ended = 0, kills = 0, most = crash_rounds(6, 60);
    while (ended < JOBS) {
        usleep(20000);
        if (kills < most) {
            int i = kills++ % RUNNERS;
            kill_and_reap(pids[i]);
            pids[i] = start_runner();
        }
        ended = 0;
        for (int i = 0; i < JOBS; i++) ended += shared->ended[i] > 0;
        /* One that was killed between the store's word and its own. */
        if (ended == JOBS) break;
        struct pb_jobs jobs;
        struct pb_job_filter done = {.states = 1u << PB_JOB_DONE};
        assert_int_equal(pb_store_job_list(s, &done, &jobs, &err), 0);
        if (jobs.n == JOBS) ended = JOBS;
        pb_jobs_free(&jobs);
    }
    for (int i = 0; i < RUNNERS; i++) kill_and_reap(pids[i]);
    assert_int_equal(shared->wrong, 0);
    int taken_over = 0;
    for (int i = 0; i < JOBS; i++) {
        assert_in_range(shared->ended[i], 0, 1);
        taken_over += shared->fence[i] > 1;
    }
    assert_true(taken_over > 0);
    assert_int_equal(pb_store_check(s, false, &err), 0);
    munmap(shared, sizeof *shared);
    pb_store_close(s);
}

int suite_crash(void)
{
    const struct CMUnitTest tests[] = {SUITE_TEST(test_writers), SUITE_TEST(test_runners)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
