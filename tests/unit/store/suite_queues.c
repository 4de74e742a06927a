/* SPDX-License-Identifier: MIT */
/* Many jobs: queues, limits, pauses, lists, and who is told of what. */
#include "jobs_kit.h"

#include <stdio.h>
#include <string.h>

#include "store/control.h"

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

int suite_queues(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_queues), T(test_limits), T(test_pause), T(test_list),
        T(test_sizes),  T(test_wake),   T(test_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
