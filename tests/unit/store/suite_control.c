/* SPDX-License-Identifier: MIT */
/* Leases, windows, pauses, audit, retention. */
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
#include "store/events.h"
#include "store_suite.h"

static struct pb_store *s;
static struct pb_err err;

#define OK(call)                                                                                             \
    do {                                                                                                     \
        if ((call) != 0) fail_msg("%s", err.msg);                                                            \
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

static void test_lease(void **state)
{
    (void)state;
    int64_t one, two;
    pbay_str name = PB_STR("source:aws.models");
    OK(pb_store_lease_take(s, name, PB_STR("w1"), 1000, &one, &err));
    assert_int_equal(pb_store_lease_take(s, name, PB_STR("w2"), 1000, &two, &err), -1);
    assert_int_equal(err.code, PBAY_ABORTED);
    assert_string_equal(err.msg, "lease \"source:aws.models\" is held by \"w1\" for another 1000 ms");
    pb_clock_fake(1000900);
    OK(pb_store_lease_renew(s, name, one, 1000, &err));
    pb_clock_fake(1001899);
    assert_int_equal(pb_store_lease_take(s, name, PB_STR("w2"), 1000, &two, &err), -1);
    pb_clock_fake(1001900);
    OK(pb_store_lease_take(s, name, PB_STR("w2"), 1000, &two, &err));
    assert_true(two > one);
    assert_int_equal(pb_store_lease_renew(s, name, one, 1000, &err), -1);
    assert_int_equal(err.code, PBAY_ABORTED);
    assert_int_equal(pb_store_lease_release(s, name, one, &err), -1);
    OK(pb_store_lease_release(s, name, two, &err));
    assert_int_equal(pb_store_lease_renew(s, name, two, 1000, &err), -1);
    OK(pb_store_lease_take(s, name, PB_STR("w1"), 1000, &one, &err));
    assert_true(one > two);
    /* Late, but nobody came in between. */
    pb_clock_fake(2000000);
    OK(pb_store_lease_renew(s, name, one, 1000, &err));
    assert_int_equal(pb_store_lease_renew(s, PB_STR("other"), 1, 1000, &err), -1);
}

static int64_t take(uint32_t want)
{
    int64_t after = -1;
    OK(pb_store_window_take(s, PB_STR("w"), 5, 1000, want, &after, &err));
    return after;
}

static void test_window(void **state)
{
    (void)state;
    int64_t after;
    assert_int_equal(take(2), 0);
    pb_clock_fake(1000400);
    assert_int_equal(take(3), 0);
    assert_int_equal(take(1), 600);
    assert_int_equal(take(3), 1000);
    pb_clock_fake(1000999);
    assert_int_equal(take(1), 1);
    pb_clock_fake(1001000);
    assert_int_equal(take(3), 400);
    assert_int_equal(take(2), 0);
    assert_int_equal(take(1), 400);
    OK(pb_store_window_take(s, PB_STR("other"), 5, 1000, 5, &after, &err));
    assert_int_equal(after, 0);
    assert_int_equal(pb_store_window_take(s, PB_STR("w"), 5, 1000, 6, &after, &err), -1);
    assert_int_equal(err.code, PBAY_INVALID_ARGUMENT);
}

static void test_pauses(void **state)
{
    (void)state;
    struct pb_pauses list;
    OK(pb_store_pause(s, PB_STR("queue"), PB_STR("finance"), PB_STR("anna"), PB_STR("month end"), &err));
    OK(pb_store_pause(s, PB_STR("chain"), PB_STR("finance"), PB_STR("anna"), PB_STR(""), &err));
    pb_clock_fake(1000001);
    OK(pb_store_pause(s, PB_STR("queue"), PB_STR("finance"), PB_STR("ben"), PB_STR("still"), &err));
    pb_store_close(s);
    s = suite_open();
    OK(pb_store_pause_list(s, &list, &err));
    assert_int_equal(list.n, 2);
    assert_true(pb_str_is(list.items[0]->kind, "chain") && pb_str_is(list.items[0]->by, "anna"));
    assert_true(pb_str_is(list.items[1]->kind, "queue") && pb_str_is(list.items[1]->name, "finance"));
    assert_true(pb_str_is(list.items[1]->by, "ben") && pb_str_is(list.items[1]->why, "still"));
    assert_int_equal(list.items[1]->at_ms, 1000001);
    pb_pauses_free(&list);
    OK(pb_store_unpause(s, PB_STR("queue"), PB_STR("finance"), PB_STR("ben"), &err));
    OK(pb_store_unpause(s, PB_STR("queue"), PB_STR("finance"), PB_STR("ben"), &err));
    OK(pb_store_pause_list(s, &list, &err));
    assert_int_equal(list.n, 1);
    pb_pauses_free(&list);
    assert_int_equal(pb_store_pause(s, PB_STR("world"), PB_STR("x"), PB_STR("ben"), PB_STR(""), &err), -1);
    assert_int_equal(err.code, PBAY_INVALID_ARGUMENT);
    /* Who did what. */
    struct pb_audits audit;
    OK(pb_store_audit_list(s, 0, 0, &audit, &err));
    assert_int_equal(audit.n, 4);
    assert_true(pb_str_is(audit.items[0]->who, "ben") && pb_str_is(audit.items[0]->what, "unpause"));
    assert_true(pb_str_is(audit.items[3]->object, "queue finance") &&
                pb_str_is(audit.items[3]->detail, "month end"));
    int64_t seq = audit.items[1]->seq;
    pb_audits_free(&audit);
    OK(pb_store_audit_list(s, seq, 1, &audit, &err));
    assert_int_equal(audit.n, 1);
    assert_true(audit.items[0]->seq < seq);
    pb_audits_free(&audit);
}

static void make_one(int i, bool done)
{
    char id[PB_ID_SIZE], key[16];
    bool known;
    int n = snprintf(key, sizeof key, "k%d", i);
    pbay_str k = pb_str(key, (size_t)n);
    struct pb_job_put job = {
        .queue = PB_STR("q"), .action = PB_STR("a"), .input = PB_STR("in"), .keep_ms = 100};
    struct pb_event_put ev = {
        .connector = PB_STR("c"), .type = PB_STR("t"), .keys = &k, .n_keys = 1, .jobs = &job, .n_jobs = 1};
    struct pb_audit a = {.who = PB_STR("anna"), .what = PB_STR("reload")};
    struct pb_claim c = {.max = 1, .lease_ms = 1000};
    struct pb_jobs jobs;
    OK(pb_store_event_put(s, &ev, id, &known, &err));
    assert_false(known);
    OK(pb_store_audit_put(s, &a, &err));
    if (!done) return;
    OK(pb_store_job_claim(s, &c, &jobs, &err));
    assert_int_equal(jobs.n, 1);
    OK(pb_store_job_done(s, jobs.items[0]->id, jobs.items[0]->fence, PB_STR("out"), &err));
    pb_jobs_free(&jobs);
}

static void left(size_t events, size_t jobs, size_t audits)
{
    struct pb_events e;
    struct pb_jobs j;
    struct pb_audits a;
    OK(pb_store_event_list(s, &(struct pb_event_filter){0}, &e, &err));
    OK(pb_store_job_list(s, &(struct pb_job_filter){0}, &j, &err));
    OK(pb_store_audit_list(s, 0, 0, &a, &err));
    assert_int_equal(e.n, events);
    assert_int_equal(j.n, jobs);
    assert_int_equal(a.n, audits);
    pb_events_free(&e);
    pb_jobs_free(&j);
    pb_audits_free(&a);
}

static void test_prune(void **state)
{
    (void)state;
    const struct pb_retention keep = PB_RETENTION;
    bool more = true;
    for (int i = 0; i < 250; i++) make_one(i, true);
    make_one(250, false);
    OK(pb_store_prune(s, &keep, &more, &err));
    assert_false(more);
    left(251, 251, 251);
    /* Results first; the jobs stay. */
    pb_clock_fake(1000100);
    OK(pb_store_prune(s, &keep, &more, &err));
    assert_true(more);
    OK(pb_store_prune(s, &keep, &more, &err));
    assert_false(more);
    left(251, 251, 251);
    pb_clock_fake(1000000 + 30 * PB_DAY_MS + 1);
    make_one(999, false);
    OK(pb_store_prune(s, &keep, &more, &err));
    assert_true(more);
    left(52, 252, 252);
    OK(pb_store_prune(s, &keep, &more, &err));
    assert_false(more);
    left(1, 252, 252);
    /* What waits stays, however old. */
    pb_clock_fake(1000000 + 90 * PB_DAY_MS + 1);
    do OK(pb_store_prune(s, &keep, &more, &err));
    while (more);
    left(0, 2, 252);
    pb_clock_fake(1000000 + 365 * PB_DAY_MS + 1);
    do OK(pb_store_prune(s, &keep, &more, &err));
    while (more);
    left(0, 2, 1);
    struct pb_claim c = {.max = 9, .lease_ms = 1000};
    struct pb_jobs jobs;
    OK(pb_store_job_claim(s, &c, &jobs, &err));
    assert_int_equal(jobs.n, 2);
    assert_true(pb_str_is(jobs.items[0]->input, "in"));
    pb_jobs_free(&jobs);
    /* A key that was forgotten is new. */
    make_one(3, false);
    OK(pb_store_check(s, false, &err));
}

int suite_control(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lease, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pauses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_prune, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
