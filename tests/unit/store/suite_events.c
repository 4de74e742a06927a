/* SPDX-License-Identifier: MIT */
/* Events: once, with what they cause. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/events.h"
#include "store_suite.h"

static bool put(struct pb_store *s, const char *connector, const char *keys, size_t n_jobs,
                char id[PB_ID_SIZE])
{
    /* One key per character. */
    pbay_str k[8];
    struct pb_job_put jobs[2] = {{.queue = PB_STR("q"), .action = PB_STR("a.b"), .args = PB_STR("{}")},
                                 {.queue = PB_STR("q"), .action = PB_STR("a.c"), .args = PB_STR("{}")}};
    struct pb_event_put in = {.connector = pb_str_c(connector),
                              .type = PB_STR("reload.done"),
                              .subject = PB_STR("app/1"),
                              .data = PB_STR("{\"n\":1}"),
                              .time_ms = 1234,
                              .keys = k,
                              .n_keys = strlen(keys),
                              .jobs = jobs,
                              .n_jobs = n_jobs};
    struct pb_err err = {0};
    bool known = false;
    for (size_t i = 0; i < in.n_keys; i++) k[i] = pb_str(keys + i, 1);
    if (pb_store_event_put(s, &in, id, &known, &err) != 0) fail_msg("%s", err.msg);
    assert_true(pb_id_valid(pb_str_c(id)));
    return known;
}

static size_t n_jobs(struct pb_store *s)
{
    struct pb_jobs jobs;
    struct pb_err err;
    struct pb_job_filter any = {0};
    assert_int_equal(pb_store_job_list(s, &any, &jobs, &err), 0);
    size_t n = jobs.n;
    pb_jobs_free(&jobs);
    return n;
}

static void test_once(void **state)
{
    (void)state;
    char a[PB_ID_SIZE], b[PB_ID_SIZE];
    struct pb_store *s = suite_open();
    assert_false(put(s, "qlik", "12", 2, a));
    assert_int_equal(n_jobs(s), 2);
    /* Any key in common is the same event; keys it did not have are learnt. */
    assert_true(put(s, "qlik", "1", 2, b));
    assert_string_equal(a, b);
    assert_true(put(s, "qlik", "32", 2, b));
    assert_true(put(s, "qlik", "3", 2, b));
    assert_string_equal(a, b);
    assert_int_equal(n_jobs(s), 2);
    /* Another connector's keys are its own; without a key each is new. */
    assert_false(put(s, "qlik2", "1", 0, b));
    assert_string_not_equal(a, b);
    assert_false(put(s, "qlik", "", 0, a));
    assert_false(put(s, "qlik", "", 0, b));
    assert_true(strcmp(a, b) < 0);
    pb_store_close(s);
}

static void test_read(void **state)
{
    (void)state;
    char ids[5][PB_ID_SIZE];
    struct pb_err err = {0};
    struct pb_store *s = suite_open();
    pb_clock_fake(5000);
    for (int i = 0; i < 5; i++) put(s, i % 2 ? "odd" : "even", "", 0, ids[i]);
    struct pb_event *e;
    assert_int_equal(pb_store_event_get(s, pb_str_c(ids[1]), &e, &err), 0);
    assert_true(pb_str_is(e->id, ids[1]) && pb_str_is(e->connector, "odd") &&
                pb_str_is(e->type, "reload.done"));
    assert_true(pb_str_is(e->subject, "app/1") && pb_str_is(e->data, "{\"n\":1}"));
    assert_int_equal(e->time_ms, 1234);
    assert_int_equal(e->stored_ms, 5000);
    pb_free(e);
    assert_int_equal(pb_store_event_get(s, PB_STR("x"), &e, &err), -1);
    assert_int_equal(err.code, PBAY_NOT_FOUND);
    struct pb_events list;
    struct pb_event_filter f = {.connector = PB_STR("even"), .limit = 2};
    assert_int_equal(pb_store_event_list(s, &f, &list, &err), 0);
    assert_int_equal(list.n, 2);
    assert_true(pb_str_is(list.items[0]->id, ids[4]) && pb_str_is(list.items[1]->id, ids[2]));
    pb_events_free(&list);
    f.before = pb_str_c(ids[2]);
    assert_int_equal(pb_store_event_list(s, &f, &list, &err), 0);
    assert_int_equal(list.n, 1);
    assert_true(pb_str_is(list.items[0]->id, ids[0]));
    pb_events_free(&list);
    f.before = PB_STR("nothing");
    assert_int_equal(pb_store_event_list(s, &f, &list, &err), -1);
    assert_int_equal(err.code, PBAY_NOT_FOUND);
    f = (struct pb_event_filter){.type = PB_STR("other")};
    assert_int_equal(pb_store_event_list(s, &f, &list, &err), 0);
    assert_int_equal(list.n, 0);
    pb_store_close(s);
}

static void test_sizes(void **state)
{
    (void)state;
    struct pb_store *s = suite_open();
    struct pb_err err = {0};
    char id[PB_ID_SIZE];
    bool known;
    pbay_str none = {NULL, 0}, many[PB_EVENT_KEYS_MAX + 1];
    struct pb_event_put in = {.connector = PB_STR("c"), .type = PB_STR("t"), .keys = &none, .n_keys = 1};
    assert_int_equal(pb_store_event_put(s, &in, id, &known, &err), -1);
    assert_string_equal(err.msg, "a key of 0 bytes; expected 1 to 512");
    in.keys = many;
    in.n_keys = PB_EVENT_KEYS_MAX + 1;
    assert_int_equal(pb_store_event_put(s, &in, id, &known, &err), -1);
    in.n_keys = 0;
    in.connector = none;
    assert_int_equal(pb_store_event_put(s, &in, id, &known, &err), -1);
    assert_string_equal(err.msg, "a connector of 0 bytes; expected 1 to 256");
    /* A job that is refused takes its event with it. */
    struct pb_job_put job = {.queue = PB_STR("q")};
    in.connector = PB_STR("c");
    in.jobs = &job;
    in.n_jobs = 1;
    assert_int_equal(pb_store_event_put(s, &in, id, &known, &err), -1);
    struct pb_events list;
    struct pb_event_filter any = {0};
    assert_int_equal(pb_store_event_list(s, &any, &list, &err), 0);
    assert_int_equal(list.n, 0);
    pb_events_free(&list);
    pb_store_close(s);
}

struct step {
    const char *cursor;
    int rc;
};

static int take_step(struct pb_store *s, void *user, struct pb_err *err)
{
    struct step *step = user;
    char id[PB_ID_SIZE];
    put(s, "poll", step->cursor, 0, id);
    if (pb_store_cursor_put(s, PB_STR("poll"), PB_STR("src"), pb_str_c(step->cursor), err) != 0) return -1;
    return step->rc ? pb_fail(err, PBAY_ABORTED, "on purpose") : 0;
}

static void cursor_is(struct pb_store *s, const char *want)
{
    struct pb_buf b = {0};
    struct pb_err err;
    assert_int_equal(pb_store_cursor_get(s, PB_STR("poll"), PB_STR("src"), &b, &err), 0);
    assert_true(pb_str_is(pb_buf_view(&b), want));
    pb_buf_free(&b);
}

/* A source's events and how far it was read: both or neither. */
static void test_cursor(void **state)
{
    (void)state;
    struct pb_store *s = suite_open();
    struct pb_err err = {0};
    struct step one = {"1", 0}, two = {"2", -1};
    cursor_is(s, "");
    assert_int_equal(pb_store_atomic(s, take_step, &one, &err), 0);
    cursor_is(s, "1");
    assert_int_equal(pb_store_atomic(s, take_step, &two, &err), -1);
    assert_string_equal(err.msg, "on purpose");
    cursor_is(s, "1");
    char id[PB_ID_SIZE];
    assert_false(put(s, "poll", "2", 0, id));
    assert_true(put(s, "poll", "1", 0, id));
    pb_store_close(s);
}

int suite_events(void)
{
    const struct CMUnitTest tests[] = {
        SUITE_TEST(test_once),
        SUITE_TEST(test_read),
        SUITE_TEST(test_sizes),
        SUITE_TEST(test_cursor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
