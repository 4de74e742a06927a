/* SPDX-License-Identifier: MIT */
/* What comes after a failure: every rule of effect and repeat. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "store/jobs.h"
#include <patchbay/actions.h>

#include "store/retry.h"

struct row {
    enum pb_job_phase phase;
    enum pb_job_repeat repeat;
    uint32_t before, effect, n; /* effect so far; of this failure; attempts or tries of 3 */
    int32_t code;
    enum pb_job_state state;
    enum pb_job_phase next;
};

#define NONE  PBAY_EFFECT_NONE
#define MAYBE PBAY_EFFECT_MAYBE
#define SOFT  PBAY_UNAVAILABLE
#define HARD  PBAY_INVALID_ARGUMENT

static void test_rules(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {PB_JOB_RUN, PB_REPEAT_SAFE, NONE, MAYBE, 1, SOFT, PB_JOB_WAITING, PB_JOB_RUN},
        {PB_JOB_RUN, PB_REPEAT_SAFE, NONE, MAYBE, 3, SOFT, PB_JOB_DEAD, PB_JOB_RUN},
        {PB_JOB_RUN, PB_REPEAT_SAFE, NONE, MAYBE, 1, HARD, PB_JOB_DEAD, PB_JOB_RUN},
        {PB_JOB_RUN, PB_REPEAT_KEYED, MAYBE, MAYBE, 2, SOFT, PB_JOB_WAITING, PB_JOB_RUN},
        {PB_JOB_RUN, PB_REPEAT_CHECK, NONE, NONE, 1, SOFT, PB_JOB_WAITING, PB_JOB_RUN},
        {PB_JOB_RUN, PB_REPEAT_CHECK, NONE, NONE, 1, HARD, PB_JOB_DEAD, PB_JOB_RUN},
        {PB_JOB_RUN, PB_REPEAT_CHECK, NONE, MAYBE, 1, SOFT, PB_JOB_WAITING, PB_JOB_CHECK},
        {PB_JOB_RUN, PB_REPEAT_CHECK, NONE, MAYBE, 1, HARD, PB_JOB_WAITING, PB_JOB_CHECK},
        {PB_JOB_RUN, PB_REPEAT_CHECK, NONE, MAYBE, 3, SOFT, PB_JOB_WAITING, PB_JOB_CHECK},
        {PB_JOB_CHECK, PB_REPEAT_CHECK, MAYBE, NONE, 1, SOFT, PB_JOB_WAITING, PB_JOB_CHECK},
        {PB_JOB_CHECK, PB_REPEAT_CHECK, MAYBE, NONE, 3, SOFT, PB_JOB_PARKED, PB_JOB_CHECK},
        {PB_JOB_CHECK, PB_REPEAT_CHECK, MAYBE, NONE, 1, HARD, PB_JOB_PARKED, PB_JOB_CHECK},
        {PB_JOB_POLL, PB_REPEAT_CHECK, MAYBE, NONE, 1, SOFT, PB_JOB_WAITING, PB_JOB_POLL},
        {PB_JOB_POLL, PB_REPEAT_SAFE, MAYBE, NONE, 3, SOFT, PB_JOB_DEAD, PB_JOB_POLL},
        {PB_JOB_POLL, PB_REPEAT_SAFE, MAYBE, NONE, 1, HARD, PB_JOB_DEAD, PB_JOB_POLL},
    };
    for (size_t i = 0; i < PB_COUNTOF(rows); i++) {
        const struct row *r = &rows[i];
        struct pb_err why = {.code = r->code, .effect = r->effect};
        struct pb_job job = {.phase = r->phase, .repeat = r->repeat, .effect = r->before, .max_attempts = 3};
        job.attempt = r->phase == PB_JOB_RUN ? r->n : 1;
        job.tries = r->phase == PB_JOB_RUN ? 0 : r->n;
        struct pb_verdict v = pb_job_verdict(&job, &why, 7);
        if (v.state != r->state || v.phase != r->next)
            fail_msg("row %zu: %s, phase %d", i, pb_job_state_name(v.state), v.phase);
        assert_int_equal(v.effect, r->before > r->effect ? r->before : r->effect);
    }
}

static void test_advice(void **state)
{
    (void)state;
    struct pb_err e = {.code = PBAY_INTERNAL};
    assert_false(pb_err_transient(&e));
    e.advice = PBAY_ADVICE_RETRY;
    assert_true(pb_err_transient(&e));
    e = (struct pb_err){.code = PBAY_RESOURCE_EXHAUSTED, .advice = PBAY_ADVICE_SPLIT};
    assert_true(pb_err_transient(&e));
    /* A cancelled job is not tried again. */
    struct pb_job job = {.attempt = 1, .max_attempts = 9, .cancel = true};
    assert_int_equal(pb_job_verdict(&job, &e, 0).state, PB_JOB_CANCELLED);
}

static void test_delay(void **state)
{
    (void)state;
    for (uint64_t r = 0; r < 100000; r += 777) {
        assert_in_range(pb_job_delay_ms(1, false, r), 500, 1000);
        assert_in_range(pb_job_delay_ms(4, false, r), 4000, 8000);
        assert_in_range(pb_job_delay_ms(1, true, r), 2500, 5000);
        assert_in_range(pb_job_delay_ms(1000, true, r), 150000, 300000);
    }
    struct pb_job job = {.attempt = 1, .max_attempts = 9};
    struct pb_err e = {.code = PBAY_UNAVAILABLE, .retry_after_ms = 60000};
    for (uint64_t r = 0; r < 100000; r += 777)
        assert_in_range(pb_job_verdict(&job, &e, r).after_ms, 60000, 66000);
    e.retry_after_ms = INT64_MAX;
    assert_in_range(pb_job_verdict(&job, &e, 1).after_ms, 24 * 3600 * 1000, 27 * 3600 * 1000);
    e.retry_after_ms = -5;
    assert_in_range(pb_job_verdict(&job, &e, 1).after_ms, 500, 1000);
}

/* Five hundred that wait for a limit of fifty a minute: the last is told ten times to come later. */
static void test_early(void **state)
{
    (void)state;
    struct pb_err e = {.code = PBAY_RESOURCE_EXHAUSTED, .advice = PBAY_ADVICE_SLOW, .retry_after_ms = 1000};
    struct pb_job job = {.attempt = 8, .max_attempts = 8, .first_ms = pb_now_ms()};
    struct pb_verdict v = pb_job_verdict(&job, &e, 0);
    assert_true(v.early && v.state == PB_JOB_WAITING);
    job.phase = PB_JOB_CHECK;
    job.tries = 8;
    v = pb_job_verdict(&job, &e, 0);
    assert_true(v.early && v.state == PB_JOB_WAITING && v.phase == PB_JOB_CHECK);
    /* Not for ever; not without a time; not when it may have been done; not when nobody wants it any more. */
    job.phase = PB_JOB_RUN;
    job.first_ms -= INT64_C(4) * 24 * 3600 * 1000;
    assert_int_equal(pb_job_verdict(&job, &e, 0).state, PB_JOB_DEAD);
    job.first_ms = pb_now_ms();
    e.retry_after_ms = 0;
    assert_int_equal(pb_job_verdict(&job, &e, 0).state, PB_JOB_DEAD);
    e.retry_after_ms = 1000;
    e.effect = PBAY_EFFECT_MAYBE;
    assert_false(pb_job_verdict(&job, &e, 0).early);
    e.effect = PBAY_EFFECT_NONE;
    job.cancel = true;
    assert_int_equal(pb_job_verdict(&job, &e, 0).state, PB_JOB_CANCELLED);
}

/* An action that is patient outlives an hour, and a day, of the other side's absence, and is never more than
 * five minutes late when it is back. */
static void test_patience(void **state)
{
    (void)state;
    const struct pb_err away = {.code = PBAY_UNAVAILABLE, .effect = PBAY_EFFECT_NONE};
    const int64_t back_ms[] = {INT64_C(3600) * 1000, INT64_C(24) * 3600 * 1000};
    for (size_t i = 0; i < PB_COUNTOF(back_ms); i++)
        for (uint64_t r = 0; r < 1000; r += 7) {
            struct pb_job job = {.max_attempts = PBAY_ACTION_TRIES};
            int64_t now = 0;
            while (now < back_ms[i]) {
                job.attempt++;
                struct pb_verdict v = pb_job_verdict(&job, &away, r * 0x9e3779b97f4a7c15u + job.attempt);
                assert_int_equal(v.state, PB_JOB_WAITING);
                now += v.after_ms;
            }
            assert_true(now - back_ms[i] <= 5 * 60 * 1000);
        }
}

/* Not of failures, but of a job alone as well: which trace its requests belong to. */
static void test_trace(void **state)
{
    (void)state;
    char room[PB_JOB_TRACE];
    struct pb_job job = {.id = PB_STR("01a22575-764f-7001-89e5-32eec2d69e37")};
    assert_true(
        pb_str_is(pb_job_trace(&job, room), "00-01a22575764f700189e532eec2d69e37-89e532eec2d69e37-01"));
    job.run = PB_STR("01a22576-16f7-7000-aeb7-fbb0adb4c205");
    assert_true(
        pb_str_is(pb_job_trace(&job, room), "00-01a2257616f77000aeb7fbb0adb4c205-89e532eec2d69e37-01"));
    job.run = PB_STR("not a run");
    assert_int_equal(pb_job_trace(&job, room).n, 0);
    job = (struct pb_job){.id = PB_STR("")};
    assert_int_equal(pb_job_trace(&job, room).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),    cmocka_unit_test(test_advice), cmocka_unit_test(test_delay),
        cmocka_unit_test(test_patience), cmocka_unit_test(test_early),  cmocka_unit_test(test_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
