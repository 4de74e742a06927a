/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/clock.h"
#include "data/schedule.h"

static int64_t at(const char *rfc3339)
{
    int64_t ms;
    if (!pb_parse_time(pb_str_c(rfc3339), &ms)) fail_msg("%s", rfc3339);
    return ms;
}

static void times(const char *line, const char *zone, const char *after, const char *const *want)
{
    struct pb_cron c;
    struct pb_err err;
    if (pb_cron_parse(pb_str_c(line), pb_str_c(zone), &c, &err) != 0) fail_msg("%s", err.msg);
    int64_t t = at(after);
    for (; *want; want++) {
        t = pb_cron_next(&c, t);
        char got[PB_TIME_MAX];
        pb_format_time(t, got);
        assert_int_equal(t, at(*want));
    }
}
#define TIMES(line, zone, after, ...) times(line, zone, after, (const char *const[]){__VA_ARGS__, NULL})

static void test_cron(void **state)
{
    (void)state;
    TIMES("0 2 * * mon-fri", "", "2026-11-27T02:00:00Z", "2026-11-30T02:00:00Z", "2026-12-01T02:00:00Z");
    TIMES("*/20 9-10 * * *", "", "2026-01-01T09:30:00Z", "2026-01-01T09:40:00Z", "2026-01-01T10:00:00Z",
          "2026-01-01T10:20:00Z", "2026-01-01T10:40:00Z", "2026-01-02T09:00:00Z");
    TIMES("5/30 0 1,15 * *", "", "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z", "2026-01-01T00:35:00Z",
          "2026-01-15T00:05:00Z");
    /* day or weekday */
    TIMES("0 0 13 * fri", "", "2026-11-12T00:00:00Z", "2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z",
          "2026-11-27T00:00:00Z", "2026-12-04T00:00:00Z", "2026-12-11T00:00:00Z", "2026-12-13T00:00:00Z");
    TIMES("0 0 29 2 *", "", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z");
    TIMES("0 0 * * 7", "", "2026-11-27T00:00:00Z", "2026-11-29T00:00:00Z");
    TIMES("0 0 * * fri-mon", "", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z",
          "2026-11-29T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-04T00:00:00Z");
    TIMES("@daily", "Asia/Kolkata", "2026-01-01T00:00:00Z", "2026-01-01T18:30:00Z");
    TIMES("0 0 1 JAN *", "", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
}

static void test_dst(void **state)
{
    (void)state;
    /* Skipped: once, at the first minute after the gap. */
    TIMES("30 2 * * *", "Europe/Stockholm", "2026-03-27T12:00:00Z", "2026-03-28T01:30:00Z",
          "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z");
    TIMES("*/30 2 * * *", "Europe/Stockholm", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z",
          "2026-03-30T00:00:00Z");
    TIMES("0,30 2-3 * * *", "Europe/Stockholm", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z",
          "2026-03-29T01:30:00Z", "2026-03-30T00:00:00Z");
    /* Repeated: once, the first time. */
    TIMES("30 2 * * *", "Europe/Stockholm", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z",
          "2026-10-26T01:30:00Z");
    TIMES("0 * * * *", "Europe/Stockholm", "2026-10-24T23:30:00Z", "2026-10-25T00:00:00Z",
          "2026-10-25T02:00:00Z");
    /* A gap at midnight. */
    TIMES("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-23T22:00:00Z",
          "2026-04-24T21:00:00Z");
    /* A gap of a whole day: its time comes when the day after begins. */
    TIMES("0 12 30 12 *", "Pacific/Apia", "2011-01-01T00:00:00Z", "2011-12-30T10:00:00Z");
}

static void test_cron_refused(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"0 2 * *", "has not five fields"},
        {"0 2 * * * *", "has not five fields"},
        {"60 2 * * *", "is no minute"},
        {"-1 2 * * *", "is no minute"},
        {"0 2-1 * * *", "is no hour"},
        {"0 2 * * fun", "is no weekday"},
        {"*/0 * * * *", "is no minute"},
        {"1, * * * *", "is no minute"},
        {"0 0 31 2 *", "never comes"},
        {"", "has not five fields"},
        {"0 0 99999999999999999999 * *", "is no day"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pb_cron c;
        struct pb_err err;
        assert_int_equal(pb_cron_parse(pb_str_c(bad[i][0]), pb_str("", 0), &c, &err), -1);
        if (!strstr(err.msg, bad[i][1])) fail_msg("%s: %s", bad[i][0], err.msg);
    }
}

static void test_moments(void **state)
{
    (void)state;
    struct pb_cron c;
    struct pb_err err;
    assert_int_equal(pb_moment_parse(PB_STR("mon-fri 06:00 Europe/Stockholm"), &c, &err), 0);
    assert_int_equal(pb_cron_next(&c, at("2026-11-27T06:00:00Z")), at("2026-11-30T05:00:00Z"));
    assert_int_equal(pb_moment_parse(PB_STR("6:00"), &c, &err), 0);
    assert_int_equal(pb_cron_next(&c, at("2026-11-27T06:00:00Z")), at("2026-11-28T06:00:00Z"));
    assert_int_equal(pb_moment_parse(PB_STR("24:00"), &c, &err), -1);
    assert_int_equal(pb_moment_parse(PB_STR("mon"), &c, &err), -1);
    assert_int_equal(pb_moment_parse(PB_STR("06:00 Mars/Base"), &c, &err), -1);
}

static bool open_at(const char *window, const char *when)
{
    struct pb_window w;
    struct pb_err err;
    if (pb_window_parse(pb_str_c(window), &w, &err) != 0) fail_msg("%s", err.msg);
    bool open = pb_window_open(&w, at(when));
    return open;
}

static int64_t opens(const char *window, const char *after)
{
    struct pb_window w;
    struct pb_err err;
    if (pb_window_parse(pb_str_c(window), &w, &err) != 0) fail_msg("%s", err.msg);
    int64_t t = pb_window_next(&w, at(after));
    return t;
}

static void test_windows(void **state)
{
    (void)state;
    const char *night = "mon-fri 22:00-04:00 Europe/Stockholm", *day = "01:00-06:00 Europe/Stockholm";
    /* Over midnight: Friday's goes into Saturday, Sunday's does not exist. */
    assert_true(open_at(night, "2026-11-27T21:00:00Z"));
    assert_false(open_at(night, "2026-11-27T20:59:59Z"));
    assert_true(open_at(night, "2026-11-28T02:59:59Z"));
    assert_false(open_at(night, "2026-11-28T03:00:00Z"));
    assert_false(open_at(night, "2026-11-28T22:00:00Z"));
    assert_false(open_at(night, "2026-11-30T02:00:00Z"));
    assert_int_equal(opens(night, "2026-11-28T05:00:00Z"), at("2026-11-30T21:00:00Z"));
    /* Over changes of the clock: from 01:00 to 06:00 are four hours in March and six in October. */
    assert_true(open_at(day, "2026-03-29T00:00:00Z"));
    assert_true(open_at(day, "2026-03-29T03:59:00Z"));
    assert_false(open_at(day, "2026-03-29T04:00:00Z"));
    assert_true(open_at(day, "2026-10-24T23:00:00Z"));
    assert_true(open_at(day, "2026-10-25T04:59:00Z"));
    assert_false(open_at(day, "2026-10-25T05:00:00Z"));
    /* It begins in the gap. */
    assert_false(open_at("02:30-04:00 Europe/Stockholm", "2026-03-29T00:59:59Z"));
    assert_true(open_at("02:30-04:00 Europe/Stockholm", "2026-03-29T01:00:00Z"));
    assert_true(open_at("sat,sun 00:00-24:00", "2026-11-29T23:59:59Z"));
    assert_false(open_at("sat,sun 00:00-24:00", "2026-11-30T00:00:00Z"));
    struct pb_window w;
    struct pb_err err;
    static const char *const bad[] = {
        "", "mon-fri", "01:00", "1-2", "25:00-26:00", "xyz 01:00-02:00", "01:00-02:00 Europe/Nowhere"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(pb_window_parse(pb_str_c(bad[i]), &w, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cron), cmocka_unit_test(test_dst),
                                       cmocka_unit_test(test_cron_refused), cmocka_unit_test(test_moments),
                                       cmocka_unit_test(test_windows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
