/* SPDX-License-Identifier: MIT */
/* The runner on the loop: bounded, waking, renewing, draining. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "store/control.h"
#include "store/events.h"
#include "store/keeper.h"
#include "store/runner.h"
#include "store_suite.h"

static struct pb_loop *loop;
static struct pb_store_async *async;
static struct pb_store *direct; /* another connection, for looking */
static struct pb_runner *runner;
static int n_runs, n_cancels, n_checks, n_polls, at_once, most_at_once, want;
static bool stop_when_done;

static void wake_up(void *user)
{
    (void)user;
    pb_runner_wake(runner);
}

static struct pb_defer woken;

static int set_up(void **state)
{
    suite_setup(state);
    loop = pb_loop_new(NULL);
    async = pb_store_async_new(loop, suite_open());
    direct = suite_open();
    n_runs = n_cancels = n_checks = n_polls = at_once = most_at_once = 0;
    stop_when_done = true;
    woken = pb_defer_make(wake_up, NULL);
    return 0;
}

static void stop_loop(void *user)
{
    (void)user;
    pb_loop_stop(loop);
}

static int tear_down(void **state)
{
    pb_runner_stop(runner, stop_loop, NULL);
    pb_loop_run(loop);
    pb_store_async_close(async, stop_loop, NULL);
    pb_loop_run(loop);
    pb_loop_free(loop);
    pb_store_close(direct);
    return suite_teardown(state);
}

static void put(struct pb_job_put in, char id[PB_ID_SIZE])
{
    struct pb_err err = {0};
    char here[PB_ID_SIZE];
    bool known;
    in.queue = PB_STR("q");
    if (pb_store_job_put(direct, &in, id ? id : here, &known, &err) != 0) fail_msg("%s", err.msg);
}

static struct pb_job *get(const char *id)
{
    struct pb_err err = {0};
    struct pb_job *job;
    if (pb_store_job_get(direct, pb_str_c(id), PB_STR(""), &job, &err) != 0) fail_msg("%s", err.msg);
    return job;
}

static void state_is(const char *id, enum pb_job_state state)
{
    struct pb_job *job = get(id);
    assert_string_equal(pb_job_state_name(job->state), pb_job_state_name(state));
    pb_free(job);
}

static void one_more(void)
{
    if (++n_runs >= want && stop_when_done) pb_loop_stop(loop);
}

/* ------------------------------------------------------------------------ what the jobs do */

struct slow {
    struct pb_turn *turn;
    struct pb_timer timer;
};

static void slow_end(void *user)
{
    struct slow *slow = user;
    at_once--;
    pb_turn_done(slow->turn, PB_STR("slept"));
    pb_free(slow);
    one_more();
}

static int put_event(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_event_put in = {.connector = PB_STR("c"), .type = PB_STR("act.done")};
    char id[PB_ID_SIZE];
    bool known;
    (void)user;
    return pb_store_event_put(s, &in, id, &known, err);
}

static int refuse(struct pb_store *s, void *user, struct pb_err *err)
{
    (void)s;
    (void)user;
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "what goes with it is wrong");
}

static struct pb_turn *held;

static void run(void *user, struct pb_turn *turn, const struct pb_job *job)
{
    (void)user;
    struct pb_err why = {0};
    if (job->phase == PB_JOB_CHECK) {
        n_checks++;
        if (pb_str_is(job->action, "unsure"))
            pb_turn_unknown(turn, PB_STR("two of them look alike"));
        else
            pb_turn_not_done(turn);
        return;
    }
    if (job->phase == PB_JOB_POLL) {
        assert_true(pb_str_is(job->handle, "h-1"));
        if (++n_polls < 3) {
            pb_turn_started(turn, job->handle, 1);
            return;
        }
    } else if (pb_str_is(job->action, "start")) {
        pb_turn_started(turn, PB_STR("h-1"), 1);
        return;
    } else if (pb_str_is(job->action, "slow")) {
        struct slow *slow = pb_zalloc(sizeof *slow);
        slow->turn = turn;
        slow->timer = (struct pb_timer){.fn = slow_end, .user = slow};
        if (++at_once > most_at_once) most_at_once = at_once;
        pb_timer_set(loop, &slow->timer, 5);
        return;
    } else if (pb_str_is(job->action, "hold")) {
        held = turn;
        one_more();
        return;
    } else if (pb_str_is(job->action, "unsure") || (pb_str_is(job->action, "maybe") && job->attempt == 1)) {
        pb_fail(&why, PBAY_UNAVAILABLE, "the line is dead");
        why.effect = PBAY_EFFECT_MAYBE;
        pb_turn_fail(turn, &why);
        one_more();
        return;
    } else if (pb_str_is(job->action, "event")) {
        pb_turn_also(turn, put_event, NULL, NULL);
    } else if (pb_str_is(job->action, "refused")) {
        pb_turn_also(turn, refuse, NULL, NULL);
    }
    pb_turn_done(turn, PB_STR("ok"));
    one_more();
}

static void cancel(void *user, struct pb_turn *turn)
{
    struct pb_err why;
    (void)user;
    n_cancels++;
    pb_fail(&why, PBAY_CANCELLED, "as you wish");
    pb_turn_fail(turn, &why);
    pb_loop_stop(loop);
}

static const struct pb_job_handler handler = {run, cancel, NULL};

static const struct pb_job_handler *find(void *user, const struct pb_job *job)
{
    (void)user;
    return pb_str_is(job->action, "elsewhere") ? NULL : &handler;
}

static void start(uint32_t concurrency, int64_t lease_ms)
{
    struct pb_runner_config c = {.loop = loop,
                                 .store = async,
                                 .owner = PB_STR("me"),
                                 .concurrency = concurrency,
                                 .lease_ms = lease_ms,
                                 .look_ms = 50,
                                 .find = find};
    runner = pb_runner_new(&c);
}

/* Turns until the jobs ended that were wanted, and no turn is open. */
static void run_until(int n)
{
    want = n;
    if (n_runs < n) pb_loop_run(loop);
    while (pb_runner_running(runner)) pb_loop_turn(loop, true);
}

static void test_runs(void **state)
{
    (void)state;
    char ids[30][PB_ID_SIZE];
    for (int i = 0; i < 30; i++) put((struct pb_job_put){.action = PB_STR("slow")}, ids[i]);
    start(4, 60000);
    run_until(30);
    for (int i = 0; i < 30; i++) state_is(ids[i], PB_JOB_DONE);
    assert_int_equal(most_at_once, 4);
    assert_int_equal(n_runs, 30);
    /* Later work: found when it is due, and at once when woken. */
    put((struct pb_job_put){.action = PB_STR("quick"), .run_at_ms = pb_now_ms() + 20}, ids[0]);
    pb_loop_post(loop, &woken);
    run_until(31);
    state_is(ids[0], PB_JOB_DONE);
    struct pb_job *job = get(ids[0]);
    assert_true(job->first_ms >= job->run_at_ms);
    pb_free(job);
}

static void test_with_it(void **state)
{
    (void)state;
    char id[PB_ID_SIZE], refused[PB_ID_SIZE];
    struct pb_events list;
    struct pb_err err;
    put((struct pb_job_put){.action = PB_STR("event")}, id);
    put((struct pb_job_put){.action = PB_STR("refused")}, refused);
    start(4, 60000);
    run_until(2);
    state_is(id, PB_JOB_DONE);
    struct pb_job *job = get(refused);
    assert_int_equal(job->state, PB_JOB_DEAD);
    assert_true(pb_str_is(job->error, "what goes with it is wrong"));
    assert_int_equal(job->effect, PBAY_EFFECT_DONE);
    pb_free(job);
    assert_int_equal(pb_store_event_list(direct, &(struct pb_event_filter){0}, &list, &err), 0);
    assert_int_equal(list.n, 1);
    pb_events_free(&list);
}

static void test_phases(void **state)
{
    (void)state;
    char maybe[PB_ID_SIZE], unsure[PB_ID_SIZE], started[PB_ID_SIZE];
    put((struct pb_job_put){.action = PB_STR("maybe"), .repeat = PB_REPEAT_CHECK}, maybe);
    put((struct pb_job_put){.action = PB_STR("unsure"), .repeat = PB_REPEAT_CHECK}, unsure);
    put((struct pb_job_put){.action = PB_STR("start")}, started);
    start(4, 60000);
    run_until(3); /* maybe fails, unsure fails, the poll ends */
    /* The checks come after a delay of up to a second: a person does not want to wait. */
    struct pb_err err;
    assert_int_equal(pb_store_job_retry(direct, pb_str_c(maybe), &err), 0);
    assert_int_equal(pb_store_job_retry(direct, pb_str_c(unsure), &err), 0);
    run_until(4);
    while (n_checks < 2) pb_loop_turn(loop, true);
    while (pb_runner_running(runner)) pb_loop_turn(loop, true);
    state_is(maybe, PB_JOB_DONE);
    state_is(unsure, PB_JOB_PARKED);
    state_is(started, PB_JOB_DONE);
    assert_int_equal(n_polls, 3);
}

/* A job longer than its lease stays its runner's; who cancels it is heard. */
static void test_renews(void **state)
{
    (void)state;
    char id[PB_ID_SIZE];
    struct pb_err err;
    put((struct pb_job_put){.action = PB_STR("hold")}, id);
    start(2, 3000);
    want = 1;
    pb_loop_run(loop);
    struct pb_job *job = get(id);
    int64_t until = job->lease_until_ms;
    pb_free(job);
    for (;;) {
        job = get(id);
        bool renewed = job->lease_until_ms > until;
        pb_free(job);
        if (renewed) break;
        pb_loop_turn(loop, true);
    }
    assert_int_equal(pb_store_job_cancel(direct, pb_str_c(id), &err), 0);
    pb_loop_run(loop);
    while (pb_runner_running(runner)) pb_loop_turn(loop, true);
    assert_int_equal(n_cancels, 1);
    state_is(id, PB_JOB_CANCELLED);
}

/* What another one took is not ended by us. */
static void test_lost(void **state)
{
    (void)state;
    char id[PB_ID_SIZE];
    struct pb_err err;
    struct pb_jobs jobs = {0};
    struct pb_claim c = {.owner = PB_STR("other"), .lease_ms = 60000, .max = 1};
    put((struct pb_job_put){.action = PB_STR("hold")}, id);
    start(1, 60000);
    want = 1;
    pb_loop_run(loop);
    pb_clock_fake(pb_now_ms() + 70000);
    assert_int_equal(pb_store_job_claim(direct, &c, &jobs, &err), 0);
    assert_int_equal(jobs.n, 1);
    assert_int_equal(jobs.items[0]->fence, 2);
    pb_turn_done(held, PB_STR("mine"));
    while (pb_runner_running(runner)) pb_loop_turn(loop, true);
    state_is(id, PB_JOB_RUNNING);
    assert_int_equal(pb_store_job_done(direct, pb_str_c(id), 2, PB_STR("other's"), &err), 0);
    pb_jobs_free(&jobs);
}

/* What nobody here runs goes back, and is no attempt. */
static void test_elsewhere(void **state)
{
    (void)state;
    char id[PB_ID_SIZE];
    put((struct pb_job_put){.action = PB_STR("elsewhere")}, id);
    start(1, 60000);
    for (;;) {
        struct pb_job *job = get(id);
        bool back = job->state == PB_JOB_WAITING && job->fence == 1;
        if (back) assert_int_equal(job->attempt, 0);
        pb_free(job);
        if (back) break;
        pb_loop_turn(loop, true);
    }
}

static void test_keeper(void **state)
{
    (void)state;
    const struct pb_retention none = {0, 0, 0};
    struct pb_err err;
    struct pb_events list;
    char id[PB_ID_SIZE];
    bool known;
    struct pb_event_put in = {.connector = PB_STR("c"), .type = PB_STR("t")};
    pb_clock_fake(1000000);
    for (int i = 0; i < 300; i++) assert_int_equal(pb_store_event_put(direct, &in, id, &known, &err), 0);
    pb_clock_fake(1000001);
    start(1, 60000);
    struct pb_keeper *k = pb_keeper_new(loop, async, PB_STR("me"), &none),
                     *idle = pb_keeper_new(loop, async, PB_STR("you"), &none);
    do {
        pb_loop_turn(loop, true);
        assert_int_equal(pb_store_event_list(direct, &(struct pb_event_filter){0}, &list, &err), 0);
        known = list.n > 0;
        pb_events_free(&list);
    } while (known);
    pb_keeper_stop(k, stop_loop, NULL);
    pb_loop_run(loop);
    pb_keeper_stop(idle, stop_loop, NULL);
    pb_loop_run(loop);
}

int suite_runner(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_runs), T(test_with_it),   T(test_phases), T(test_renews),
        T(test_lost), T(test_elsewhere), T(test_keeper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
