/* SPDX-License-Identifier: MIT */
/* Jobs: who may take them, when, and what becomes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/control.h"
#include "store/jobs.h"
#include "store_suite.h"

static struct pb_store *s;
static struct pb_err err;

#define OK(call)                                                                                             \
    do {                                                                                                     \
        if ((call) != 0) fail_msg("%s", err.msg);                                                            \
    } while (0)
#define REFUSED(call, why)                                                                                   \
    do {                                                                                                     \
        assert_int_equal((call), -1);                                                                        \
        assert_int_equal(err.code, (why));                                                                   \
    } while (0)

static int set_up(void **state)
{
    suite_setup(state);
    pb_clock_fake(1000000);
    s = suite_open();
    return 0;
}

static int tear_down(void **state)
{
    pb_store_close(s);
    return suite_teardown(state);
}

static void put(struct pb_job_put in, char id[PB_ID_SIZE])
{
    char here[PB_ID_SIZE];
    bool known;
    if (!in.queue.n) in.queue = PB_STR("q");
    if (!in.action.n) in.action = PB_STR("c.act");
    OK(pb_store_job_put(s, &in, id ? id : here, &known, &err));
    assert_false(known);
}

static size_t claim_in(const char *queue, uint32_t max, struct pb_jobs *out)
{
    pbay_str q = pb_str_c(queue);
    struct pb_claim c = {.queues = queue ? &q : NULL,
                         .n_queues = queue != NULL,
                         .owner = PB_STR("me"),
                         .lease_ms = 1000,
                         .max = max};
    OK(pb_store_job_claim(s, &c, out, &err));
    return out->n;
}

/* The one job that can be claimed now; pb_free. NULL: none. */
static struct pb_job *claim(void)
{
    struct pb_jobs list;
    size_t n = claim_in(NULL, 1, &list);
    struct pb_job *job = n ? list.items[0] : NULL;
    list.n = 0;
    pb_jobs_free(&list);
    return job;
}

static void nothing(void)
{
    struct pb_job *job = claim();
    if (job) fail_msg("claimed %s", job->action.p);
}

static struct pb_job *get(const char *id)
{
    struct pb_job *job;
    OK(pb_store_job_get(s, pb_str_c(id), PB_STR(""), &job, &err));
    return job;
}

static void state_is(const char *id, enum pb_job_state want)
{
    struct pb_job *job = get(id);
    if (job->state != want)
        fail_msg("job is %s, not %s", pb_job_state_name(job->state), pb_job_state_name(want));
    pb_free(job);
}

static int64_t due(void)
{
    int64_t ms;
    OK(pb_store_job_due(s, NULL, 0, &ms, &err));
    return ms;
}

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

static struct pb_err failure(int32_t code, uint32_t effect)
{
    struct pb_err e = {0};
    pb_fail(&e, code, "the other side said %d", code);
    e.effect = effect;
    e.vendor_status = 418;
    snprintf(e.vendor_code, sizeof e.vendor_code, "Teapot");
    return e;
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

static void test_queues(void **state)
{
    (void)state;
    struct pb_jobs list;
    char action[16];
    pb_clock_fake(2000000);
    for (int i = 0; i < 40; i++) {
        snprintf(action, sizeof action, "%d", i);
        put((struct pb_job_put){.queue = i < 30 ? PB_STR("big") : PB_STR("small"),
                                .action = pb_str_c(action),
                                .run_at_ms = 1000000 - i},
            NULL);
    }
    put((struct pb_job_put){.queue = PB_STR("big"), .action = PB_STR("later"), .run_at_ms = 2000001}, NULL);
    /* A full queue does not starve the other; in one the longest due first. */
    assert_int_equal(claim_in(NULL, 10, &list), 10);
    int small = 0;
    for (size_t i = 0; i < list.n; i++) {
        bool is = pb_str_is(list.items[i]->queue, "small");
        int64_t n;
        assert_true(pb_parse_i64(list.items[i]->action, &n));
        assert_true(is ? n >= 35 : n >= 25 && n < 30);
        small += is;
    }
    assert_int_equal(small, 5);
    pb_jobs_free(&list);
    assert_int_equal(claim_in("small", 256, &list), 5);
    pb_jobs_free(&list);
    assert_int_equal(claim_in("none", 256, &list), 0);
    pb_jobs_free(&list);
    assert_int_equal(claim_in("big", 256, &list), 25);
    pb_jobs_free(&list);
    pbay_str big = PB_STR("big");
    int64_t at;
    OK(pb_store_job_due(s, &big, 1, &at, &err));
    assert_int_equal(at, 2000001);
}

static void test_limits(void **state)
{
    (void)state;
    struct pb_jobs list;
    /* Three starts a minute for one tenant, over two queues. */
    for (int i = 0; i < 10; i++)
        put((struct pb_job_put){.queue = i % 2 ? PB_STR("a") : PB_STR("b"),
                                .limit_key = PB_STR("tenant"),
                                .limit_n = 3,
                                .limit_ms = 60000},
            NULL);
    assert_int_equal(claim_in("a", 2, &list), 2);
    struct pb_job *polls = list.items[0];
    OK(pb_store_job_started(s, polls->id, 1, PB_STR("h"), 0, &err));
    OK(pb_store_job_done(s, list.items[1]->id, 1, PB_STR(""), &err));
    pb_jobs_free(&list);
    pb_clock_fake(1010000);
    /* One start is left, and polls are no starts. */
    assert_int_equal(claim_in(NULL, 9, &list), 2);
    for (size_t i = 0; i < 2; i++)
        OK(pb_store_job_done(s, list.items[i]->id, list.items[i]->fence, PB_STR(""), &err));
    pb_jobs_free(&list);
    nothing();
    assert_int_equal(due(), 1060000);
    pb_clock_fake(1060000);
    assert_int_equal(claim_in(NULL, 9, &list), 2);
    for (size_t i = 0; i < 2; i++) OK(pb_store_job_done(s, list.items[i]->id, 1, PB_STR(""), &err));
    pb_jobs_free(&list);
    assert_int_equal(due(), 1070000);
    /* Others are not held up. */
    put((struct pb_job_put){.queue = PB_STR("a")}, NULL);
    assert_int_equal(claim_in(NULL, 9, &list), 1);
    pb_jobs_free(&list);
}

static void test_pause(void **state)
{
    (void)state;
    static const char *const kinds[] = {"queue", "connector", "function"};
    struct pb_jobs list;
    for (int i = 0; i < 3; i++) {
        put((struct pb_job_put){.queue = PB_STR("x"), .connector = PB_STR("x"), .function = PB_STR("x")},
            NULL);
        pbay_str kind = pb_str_c(kinds[i]);
        OK(pb_store_pause(s, kind, PB_STR("x"), PB_STR("anna"), PB_STR("the vendor is down"), &err));
        nothing();
        assert_true(due() == INT64_MAX);
        put((struct pb_job_put){.queue = PB_STR("y")}, NULL);
        assert_int_equal(claim_in(NULL, 9, &list), 1);
        OK(pb_store_job_done(s, list.items[0]->id, 1, PB_STR(""), &err));
        pb_jobs_free(&list);
        OK(pb_store_unpause(s, kind, PB_STR("x"), PB_STR("ben"), &err));
        assert_int_equal(claim_in(NULL, 9, &list), 1);
        OK(pb_store_job_done(s, list.items[0]->id, 1, PB_STR(""), &err));
        pb_jobs_free(&list);
    }
}

struct counted {
    uint64_t n[PB_JOB_STATES];
};

static void count(void *user, pbay_str queue, enum pb_job_state state, uint64_t n)
{
    assert_true(pb_str_is(queue, "q"));
    ((struct counted *)user)->n[state] += n;
}

static void test_list(void **state)
{
    (void)state;
    char ids[6][PB_ID_SIZE];
    struct pb_err why = failure(PBAY_NOT_FOUND, PBAY_EFFECT_NONE);
    struct pb_jobs list;
    for (int i = 0; i < 6; i++) put((struct pb_job_put){.run = i < 3 ? PB_STR("r1") : PB_STR("r2")}, ids[i]);
    assert_int_equal(claim_in(NULL, 3, &list), 3);
    OK(pb_store_job_done(s, list.items[0]->id, 1, PB_STR(""), &err));
    OK(pb_store_job_fail(s, list.items[1], &why, &(enum pb_job_state){0}, &err));
    OK(pb_store_job_park(s, list.items[2], PB_STR("?"), &err));
    pb_jobs_free(&list);
    assert_int_equal(claim_in(NULL, 1, &list), 1);
    pb_jobs_free(&list);
    struct counted c = {{0}};
    OK(pb_store_job_counts(s, count, &c, &err));
    assert_int_equal(c.n[PB_JOB_WAITING], 2);
    assert_int_equal(c.n[PB_JOB_RUNNING], 1);
    assert_int_equal(c.n[PB_JOB_DEAD], 1);
    assert_int_equal(c.n[PB_JOB_PARKED], 1);
    struct pb_job_filter f = {.run = PB_STR("r2"), .limit = 2};
    OK(pb_store_job_list(s, &f, &list, &err));
    assert_int_equal(list.n, 2);
    assert_true(pb_str_is(list.items[0]->id, ids[5]) && pb_str_is(list.items[1]->id, ids[4]));
    pb_jobs_free(&list);
    f = (struct pb_job_filter){.before = pb_str_c(ids[2])};
    OK(pb_store_job_list(s, &f, &list, &err));
    assert_int_equal(list.n, 2);
    pb_jobs_free(&list);
    f = (struct pb_job_filter){.states = 1u << PB_JOB_DEAD | 1u << PB_JOB_PARKED, .queue = PB_STR("q")};
    OK(pb_store_job_list(s, &f, &list, &err));
    assert_int_equal(list.n, 2);
    pb_jobs_free(&list);
    enum pb_job_state st;
    for (int i = 0; i < PB_JOB_STATES; i++) {
        assert_true(pb_job_state_parse(pb_str_c(pb_job_state_name((enum pb_job_state)i)), &st));
        assert_int_equal(st, i);
    }
    assert_false(pb_job_state_parse(PB_STR("lost"), &st));
}

static void test_sizes(void **state)
{
    (void)state;
    char id[PB_ID_SIZE];
    bool known;
    struct pb_jobs list;
    struct pb_job_put in = {.action = PB_STR("a")};
    REFUSED(pb_store_job_put(s, &in, id, &known, &err), PBAY_INVALID_ARGUMENT);
    assert_string_equal(err.msg, "a queue of 0 bytes; expected 1 to 256");
    in.queue = PB_STR("q");
    in.limit_key = PB_STR("k");
    REFUSED(pb_store_job_put(s, &in, id, &known, &err), PBAY_INVALID_ARGUMENT);
    in.limit_key.n = 0;
    char *big = pb_zalloc(PB_JOB_BLOB_MAX + 1);
    in.input = pb_str(big, PB_JOB_BLOB_MAX + 1);
    REFUSED(pb_store_job_put(s, &in, id, &known, &err), PBAY_INVALID_ARGUMENT);
    assert_string_equal(err.msg, "a job's input of 67108865 bytes; expected at most 67108864");
    in.input.n--;
    OK(pb_store_job_put(s, &in, id, &known, &err));
    assert_int_equal(claim_in(NULL, 1, &list), 1);
    assert_true(pb_str_eq(list.items[0]->input, in.input));
    OK(pb_store_job_done(s, list.items[0]->id, 1, in.input, &err));
    pb_jobs_free(&list);
    pb_free(big);
    struct pb_claim c = {.max = PB_JOB_CLAIM_MAX + 1, .lease_ms = 1};
    REFUSED(pb_store_job_claim(s, &c, &list, &err), PBAY_INVALID_ARGUMENT);
}

static int woken;

static void on_work(void *user)
{
    (void)user;
    woken++;
}

static int put_and_fail(struct pb_store *store, void *user, struct pb_err *e)
{
    (void)store;
    (void)user;
    put((struct pb_job_put){0}, NULL);
    return pb_fail(e, PBAY_ABORTED, "no");
}

static void test_wake(void **state)
{
    (void)state;
    woken = 0;
    pb_store_on_work(s, on_work, NULL);
    put((struct pb_job_put){0}, NULL);
    assert_int_equal(woken, 1);
    struct pb_job *j = claim();
    assert_int_equal(woken, 1);
    OK(pb_store_job_done(s, j->id, 1, PB_STR(""), &err));
    pb_free(j);
    assert_int_equal(woken, 1);
    assert_int_equal(pb_store_atomic(s, put_and_fail, NULL, &err), -1);
    assert_int_equal(woken, 1);
    nothing();
    OK(pb_store_pause(s, PB_STR("queue"), PB_STR("q"), PB_STR("anna"), PB_STR(""), &err));
    assert_int_equal(woken, 1);
    OK(pb_store_unpause(s, PB_STR("queue"), PB_STR("q"), PB_STR("anna"), &err));
    assert_int_equal(woken, 2);
}

/* Ends that no turn brings are told of by a job of the host, in the same transaction. */
static void told(const char *id, uint32_t want)
{
    struct pb_job_filter f = {.queue = PB_STR(PB_JOB_TELL_QUEUE)};
    struct pb_jobs list;
    OK(pb_store_job_list(s, &f, &list, &err));
    uint32_t n = 0;
    for (size_t i = 0; i < list.n; i++) {
        assert_int_equal(list.items[i]->connector.n, 0);
        n += pb_str_is(list.items[i]->args, id);
    }
    pb_jobs_free(&list);
    assert_int_equal(n, want);
}

static void test_tell(void **state)
{
    (void)state;
    char waits[PB_ID_SIZE], quiet[PB_ID_SIZE], runs[PB_ID_SIZE], dies[PB_ID_SIZE];
    /* Cancelled while it waits; one of which nobody wants to be told. */
    put((struct pb_job_put){.tell = true, .run_at_ms = 9000000}, waits);
    put((struct pb_job_put){.run_at_ms = 9000000}, quiet);
    OK(pb_store_job_cancel(s, pb_str_c(waits), &err));
    OK(pb_store_job_cancel(s, pb_str_c(waits), &err));
    OK(pb_store_job_cancel(s, pb_str_c(quiet), &err));
    told(waits, 1);
    told(quiet, 0);
    pb_free(claim()); /* the one that tells */
    /* One that runs ends with its turn, which tells itself. */
    put((struct pb_job_put){.tell = true}, runs);
    struct pb_job *job = claim();
    OK(pb_store_job_cancel(s, pb_str_c(runs), &err));
    told(runs, 0);
    OK(pb_store_job_done(s, job->id, job->fence, PB_STR(""), &err));
    told(runs, 0);
    pb_free(job);
    /* The last lease that ends. */
    put((struct pb_job_put){.tell = true, .max_attempts = 1}, dies);
    job = claim();
    assert_true(pb_str_is(job->id, dies));
    pb_free(job);
    pb_clock_fake(pb_now_ms() + 5000);
    pb_free(claim());
    state_is(dies, PB_JOB_DEAD);
    told(dies, 1);
    /* Retried, it may end like that again. */
    OK(pb_store_job_retry(s, pb_str_c(dies), &err));
    OK(pb_store_job_cancel(s, pb_str_c(dies), &err));
    told(dies, 2);
}

int suite_jobs(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_life),   T(test_held),   T(test_retries), T(test_check),  T(test_poll),
        T(test_killer), T(test_cancel), T(test_release), T(test_queues), T(test_limits),
        T(test_pause),  T(test_list),   T(test_sizes),   T(test_wake),   T(test_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
