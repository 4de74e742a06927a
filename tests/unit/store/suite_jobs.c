/* SPDX-License-Identifier: MIT */
/* A job's life: who may take it, when, and what becomes of it. */
#include "jobs_kit.h"

#include <stdio.h>
#include <string.h>

#include "store/control.h"

static void test_life(void **state)
{
    (void)state;
    char id[PB_ID_SIZE], again[PB_ID_SIZE];
    bool known;
    assert_true(due() == INT64_MAX);
    struct pb_job_put in = {.queue = PB_STR("q"),
                            .action = PB_STR("c.act"),
                            .connector = PB_STR("c"),
                            .args = PB_STR("{}"),
                            .key = PB_STR("key"),
                            .cause = PB_STR("event"),
                            .run = PB_STR("run"),
                            .input = pb_str("\0in", 3),
                            .version = 3,
                            .repeat = PB_REPEAT_KEYED};
    OK(pb_store_job_put(s, &in, id, &known, &err));
    assert_false(known);
    OK(pb_store_job_put(s, &in, again, &known, &err));
    assert_true(known);
    assert_string_equal(id, again);
    assert_int_equal(due(), 1000000);
    struct pb_job *j = claim();
    assert_non_null(j);
    assert_true(pb_str_is(j->id, id) && pb_str_is(j->queue, "q") && pb_str_is(j->action, "c.act"));
    assert_true(pb_str_is(j->connector, "c") && pb_str_is(j->args, "{}") && pb_str_is(j->key, "key"));
    assert_true(pb_str_is(j->cause, "event") && pb_str_is(j->run, "run") && pb_str_is(j->owner, "me"));
    assert_true(pb_str_eq(j->input, in.input));
    assert_int_equal(j->state, PB_JOB_RUNNING);
    assert_int_equal(j->phase, PB_JOB_RUN);
    assert_int_equal(j->repeat, PB_REPEAT_KEYED);
    assert_int_equal(j->attempt, 1);
    assert_int_equal(j->max_attempts, PB_JOB_ATTEMPTS);
    assert_int_equal(j->fence, 1);
    assert_int_equal(j->version, 3);
    assert_int_equal(j->first_ms, 1000000);
    assert_int_equal(j->lease_until_ms, 1001000);
    assert_int_equal(j->input_n, 3);
    nothing();
    assert_int_equal(due(), 1001000); /* when its lease ends */
    bool cancel = true;
    pb_clock_fake(1000500);
    OK(pb_store_job_renew(s, j->id, 1, 1000, &cancel, &err));
    assert_false(cancel);
    assert_int_equal(due(), 1001500);
    REFUSED(pb_store_job_renew(s, j->id, 2, 1000, &cancel, &err), PBAY_ABORTED);
    REFUSED(pb_store_job_done(s, PB_STR("nobody"), 1, PB_STR(""), &err), PBAY_NOT_FOUND);
    struct pb_buf b = {0};
    REFUSED(pb_store_job_result(s, j->id, &b, &err), PBAY_NOT_FOUND);
    OK(pb_store_job_input(s, j->id, &b, &err));
    assert_true(pb_str_eq(pb_buf_view(&b), in.input));
    pb_buf_reset(&b, 0);
    OK(pb_store_job_done(s, j->id, 1, pb_str("ou\0t", 4), &err));
    REFUSED(pb_store_job_done(s, j->id, 1, PB_STR(""), &err), PBAY_ABORTED);
    assert_non_null(strstr(err.msg, "is done under fence 1, not running under 1"));
    REFUSED(pb_store_job_input(s, j->id, &b, &err), PBAY_NOT_FOUND);
    OK(pb_store_job_result(s, j->id, &b, &err));
    assert_true(pb_str_eq(pb_buf_view(&b), pb_str("ou\0t", 4)));
    pb_free(j);
    OK(pb_store_job_get(s, PB_STR(""), PB_STR("key"), &j, &err));
    assert_true(pb_str_is(j->id, id));
    assert_int_equal(j->state, PB_JOB_DONE);
    assert_int_equal(j->ended_ms, 1000500);
    assert_int_equal(j->expires_ms, 1000500 + PB_RESULT_KEEP_MS);
    assert_int_equal(j->result_n, 4);
    assert_int_equal(j->input_n, 0);
    pb_free(j);
    /* The result goes when its time is over, pruned or not. */
    pb_clock_fake(1000500 + PB_RESULT_KEEP_MS);
    REFUSED(pb_store_job_result(s, pb_str_c(id), &b, &err), PBAY_NOT_FOUND);
    pb_buf_free(&b);
    assert_true(due() == INT64_MAX);
    REFUSED(pb_store_job_get(s, PB_STR("x"), PB_STR(""), &j, &err), PBAY_NOT_FOUND);
}

/* A call that goes on under its job's lease from the start. */
static void test_held(void **state)
{
    (void)state;
    char id[PB_ID_SIZE];
    put(
        (struct pb_job_put){
            .key = PB_STR("batch"), .input = PB_STR("rows"), .owner = PB_STR("w1"), .lease_ms = 500},
        id);
    state_is(id, PB_JOB_RUNNING);
    nothing();
    pb_clock_fake(1000500);
    struct pb_job *j = claim();
    assert_non_null(j);
    assert_int_equal(j->fence, 2);
    assert_int_equal(j->attempt, 2);
    assert_int_equal(j->effect, PBAY_EFFECT_MAYBE);
    assert_true(pb_str_is(j->error, "lease of w1 ended: its process died or was too slow"));
    assert_true(pb_str_is(j->input, "rows"));
    REFUSED(pb_store_job_done(s, j->id, 1, PB_STR("late"), &err), PBAY_ABORTED);
    OK(pb_store_job_done(s, j->id, 2, PB_STR("now"), &err));
    pb_free(j);
}

static void test_retries(void **state)
{
    (void)state;
    char id[PB_ID_SIZE];
    enum pb_job_state became;
    struct pb_err why = failure(PBAY_UNAVAILABLE, PBAY_EFFECT_NONE);
    put((struct pb_job_put){.max_attempts = 3}, id);
    int64_t now = 1000000;
    for (uint32_t i = 1; i <= 3; i++) {
        struct pb_job *j = claim();
        assert_non_null(j);
        assert_int_equal(j->attempt, i);
        assert_int_equal(j->fence, i);
        OK(pb_store_job_fail(s, j, &why, &became, &err));
        assert_int_equal(became, i < 3 ? PB_JOB_WAITING : PB_JOB_DEAD);
        pb_free(j);
        if (i == 3) break;
        nothing();
        int64_t at = due();
        assert_in_range(at - now, 500 << (i - 1), 1000 << (i - 1));
        pb_clock_fake(at - 1);
        nothing();
        pb_clock_fake(now = at);
    }
    struct pb_job *j = get(id);
    assert_true(pb_str_is(j->error, "the other side said 14") && pb_str_is(j->vendor_code, "Teapot"));
    assert_int_equal(j->code, PBAY_UNAVAILABLE);
    assert_int_equal(j->vendor_status, 418);
    assert_true(j->ended_ms > 0);
    pb_free(j);
    assert_true(due() == INT64_MAX);
    /* A person may try again: counted anew, under a higher fence. */
    OK(pb_store_job_retry(s, pb_str_c(id), &err));
    j = claim();
    assert_non_null(j);
    assert_int_equal(j->attempt, 1);
    assert_int_equal(j->fence, 4);
    REFUSED(pb_store_job_retry(s, pb_str_c(id), &err), PBAY_FAILED_PRECONDITION);
    OK(pb_store_job_done(s, j->id, 4, PB_STR(""), &err));
    REFUSED(pb_store_job_retry(s, pb_str_c(id), &err), PBAY_FAILED_PRECONDITION);
    pb_free(j);
    /* What cannot succeed is not tried again. */
    put((struct pb_job_put){0}, id);
    j = claim();
    why = failure(PBAY_INVALID_ARGUMENT, PBAY_EFFECT_NONE);
    OK(pb_store_job_fail(s, j, &why, &became, &err));
    assert_int_equal(became, PB_JOB_DEAD);
    pb_free(j);
}

/* repeat = check: whether it was done is found out before it is done again. */
static void test_check(void **state)
{
    (void)state;
    char id[PB_ID_SIZE];
    enum pb_job_state became;
    struct pb_err maybe = failure(PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE),
                  no = failure(PBAY_INTERNAL, PBAY_EFFECT_NONE);
    put((struct pb_job_put){.repeat = PB_REPEAT_CHECK, .max_attempts = 2}, id);
    struct pb_job *j = claim();
    OK(pb_store_job_fail(s, j, &maybe, &became, &err));
    pb_free(j);
    pb_clock_fake(due());
    j = claim();
    assert_int_equal(j->phase, PB_JOB_CHECK);
    assert_int_equal(j->effect, PBAY_EFFECT_MAYBE);
    assert_int_equal(j->attempt, 1);
    assert_int_equal(j->tries, 1);
    OK(pb_store_job_not_done(s, j, &err));
    pb_free(j);
    j = claim();
    assert_int_equal(j->phase, PB_JOB_RUN);
    assert_int_equal(j->effect, PBAY_EFFECT_NONE);
    assert_int_equal(j->attempt, 2);
    /* Its runner dies: the same question again; the lookup cannot tell. */
    pb_free(j);
    pb_clock_fake(due());
    j = claim();
    assert_int_equal(j->phase, PB_JOB_CHECK);
    OK(pb_store_job_fail(s, j, &no, &became, &err));
    assert_int_equal(became, PB_JOB_PARKED);
    pb_free(j);
    pb_clock_fake(99000000000);
    nothing();
    state_is(id, PB_JOB_PARKED);
    OK(pb_store_job_retry(s, pb_str_c(id), &err));
    j = claim();
    assert_int_equal(j->phase, PB_JOB_RUN);
    OK(pb_store_job_fail(s, j, &maybe, &became, &err));
    pb_free(j);
    pb_clock_fake(due());
    j = claim();
    OK(pb_store_job_park(s, j, PB_STR("two reloads look alike"), &err));
    pb_free(j);
    j = get(id);
    assert_int_equal(j->state, PB_JOB_PARKED);
    assert_true(pb_str_is(j->error, "two reloads look alike"));
    pb_free(j);
    /* Not done, but it was the last attempt. */
    OK(pb_store_job_retry(s, pb_str_c(id), &err));
    for (int i = 0; i < 2; i++) {
        j = claim();
        OK(pb_store_job_fail(s, j, &maybe, &became, &err));
        pb_free(j);
        pb_clock_fake(due());
        j = claim();
        OK(pb_store_job_not_done(s, j, &err));
        pb_free(j);
    }
    state_is(id, PB_JOB_DEAD);
}

static void test_poll(void **state)
{
    (void)state;
    char id[PB_ID_SIZE];
    enum pb_job_state became;
    struct pb_err e = failure(PBAY_UNAVAILABLE, PBAY_EFFECT_NONE);
    put((struct pb_job_put){.repeat = PB_REPEAT_CHECK}, id);
    struct pb_job *j = claim();
    REFUSED(pb_store_job_started(s, j->id, 1, PB_STR(""), 10, &err), PBAY_INVALID_ARGUMENT);
    OK(pb_store_job_started(s, j->id, 1, PB_STR("train-1"), 60000, &err));
    pb_free(j);
    assert_int_equal(due(), 1060000);
    for (int i = 0; i < 3; i++) {
        pb_clock_fake(due());
        j = claim();
        assert_int_equal(j->phase, PB_JOB_POLL);
        assert_int_equal(j->attempt, 1);
        assert_true(pb_str_is(j->handle, "train-1"));
        if (i == 1)
            OK(pb_store_job_fail(s, j, &e, &became, &err));
        else if (i == 0)
            OK(pb_store_job_started(s, j->id, j->fence, j->handle, 5000, &err));
        else
            OK(pb_store_job_done(s, j->id, j->fence, PB_STR("{}"), &err));
        pb_free(j);
    }
    state_is(id, PB_JOB_DONE);
    /* A poller that dies starts nothing anew. */
    put((struct pb_job_put){0}, id);
    j = claim();
    OK(pb_store_job_started(s, j->id, 1, PB_STR("h"), 0, &err));
    pb_free(j);
    pb_free(claim());
    pb_clock_fake(due());
    j = claim();
    assert_int_equal(j->phase, PB_JOB_POLL);
    pb_free(j);
}

/* A job that kills whoever runs it is not handed out for ever. */
static void test_killer(void **state)
{
    (void)state;
    char id[PB_ID_SIZE];
    put((struct pb_job_put){.max_attempts = 2}, id);
    for (int i = 0; i < 2; i++) {
        struct pb_job *j = claim();
        assert_non_null(j);
        pb_free(j);
        pb_clock_fake(due());
    }
    nothing();
    state_is(id, PB_JOB_DEAD);
}

static void test_cancel(void **state)
{
    (void)state;
    char id[PB_ID_SIZE];
    bool cancel;
    enum pb_job_state became;
    struct pb_err e = failure(PBAY_UNAVAILABLE, PBAY_EFFECT_NONE);
    put((struct pb_job_put){0}, id);
    OK(pb_store_job_cancel(s, pb_str_c(id), &err));
    state_is(id, PB_JOB_CANCELLED);
    OK(pb_store_job_cancel(s, pb_str_c(id), &err));
    nothing();
    OK(pb_store_job_retry(s, pb_str_c(id), &err));
    struct pb_job *j = claim();
    OK(pb_store_job_cancel(s, pb_str_c(id), &err));
    state_is(id, PB_JOB_RUNNING);
    OK(pb_store_job_renew(s, j->id, j->fence, 1000, &cancel, &err));
    assert_true(cancel);
    /* Its runner fails before it knew. */
    OK(pb_store_job_fail(s, j, &e, &became, &err));
    assert_int_equal(became, PB_JOB_CANCELLED);
    pb_free(j);
    REFUSED(pb_store_job_cancel(s, PB_STR("x"), &err), PBAY_NOT_FOUND);
    /* Its runner dies. */
    OK(pb_store_job_retry(s, pb_str_c(id), &err));
    pb_free(claim());
    OK(pb_store_job_cancel(s, pb_str_c(id), &err));
    pb_clock_fake(due());
    nothing();
    state_is(id, PB_JOB_CANCELLED);
}

static void test_release(void **state)
{
    (void)state;
    char id[PB_ID_SIZE];
    put((struct pb_job_put){0}, id);
    struct pb_job *j = claim();
    OK(pb_store_job_release(s, j, 5000, &err));
    pb_free(j);
    assert_int_equal(due(), 1005000);
    OK(pb_store_job_retry(s, pb_str_c(id), &err)); /* a person does not want to wait */
    j = claim();
    assert_int_equal(j->attempt, 1);
    assert_int_equal(j->fence, 2);
    pb_free(j);
}

static bool gone(pbay_str owner)
{
    return pb_str_is(owner, "me");
}

/* What somebody held who is gone is for others at once, under another fence; what others hold stays theirs.
 */
static void test_forfeit(void **state)
{
    (void)state;
    char lost[PB_ID_SIZE], kept[PB_ID_SIZE];
    int64_t fence;
    uint32_t n;
    put((struct pb_job_put){.max_attempts = 3}, lost);
    struct pb_job *job = claim(), *again;
    assert_true(pb_str_is(job->id, lost));
    put((struct pb_job_put){.max_attempts = 3}, kept);
    struct pb_jobs others;
    const struct pb_claim c = {.owner = PB_STR("other"), .lease_ms = 1000, .max = 1};
    OK(pb_store_job_claim(s, &c, &others, &err));
    assert_int_equal(others.n, 1);
    OK(pb_store_lease_take(s, PB_STR("l"), PB_STR("me"), 60000, &fence, &err));
    OK(pb_store_lease_take(s, PB_STR("m"), PB_STR("other"), 60000, &fence, &err));
    OK(pb_store_forfeit(s, gone, &n, &err));
    assert_int_equal(n, 1);
    assert_true(due() <= pb_now_ms());
    again = claim();
    assert_non_null(again);
    assert_true(pb_str_is(again->id, lost) && again->fence == job->fence + 1 && again->attempt == 2);
    assert_int_equal(again->effect, PBAY_EFFECT_MAYBE); /* nobody knows how far it got */
    nothing();
    REFUSED(pb_store_job_done(s, job->id, job->fence, PB_STR(""), &err), PBAY_ABORTED);
    OK(pb_store_job_done(s, pb_str_c(kept), others.items[0]->fence, PB_STR(""), &err));
    REFUSED(pb_store_lease_take(s, PB_STR("m"), PB_STR("third"), 60000, &fence, &err), PBAY_ABORTED);
    OK(pb_store_lease_take(s, PB_STR("l"), PB_STR("third"), 60000, &fence, &err));
    assert_int_equal(fence, 2);
    pb_free(job);
    pb_free(again);
    pb_jobs_free(&others);
    OK(pb_store_forfeit(s, gone, &n, &err)); /* its own new claim of the same name */
    assert_int_equal(n, 1);
    OK(pb_store_forfeit(s, gone, &n, &err));
}

int suite_jobs(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_life),   T(test_held),   T(test_retries), T(test_check),   T(test_poll),
        T(test_killer), T(test_cancel), T(test_release), T(test_forfeit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
