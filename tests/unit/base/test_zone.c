/* SPDX-License-Identifier: MIT */
/* The oracle is libc's localtime_r. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/zone.h"

static const char *const names[] = {"Europe/Stockholm",
                                    "America/New_York",
                                    "Australia/Lord_Howe",
                                    "Asia/Kolkata",
                                    "America/Sao_Paulo",
                                    "Africa/Casablanca",
                                    "Pacific/Apia",
                                    "Europe/Dublin",
                                    "Asia/Gaza",
                                    "UTC",
                                    "EST5EDT"};

static struct pb_zone *load(const char *name)
{
    struct pb_zone *z = NULL;
    struct pb_err err;
    if (pb_zone_load(pb_str_c(name), &z, &err) != 0) fail_msg("%s", err.msg);
    return z;
}

static void test_offsets_are_libcs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct pb_zone *z = load(names[i]);
        setenv("TZ", names[i], 1);
        tzset();
        for (int64_t t = 0; t < INT64_C(2871763200); t += 5413) { /* to 2061, at odd times */
            struct tm tm;
            time_t tt = (time_t)t;
            localtime_r(&tt, &tm);
            if (pb_zone_offset(z, t) != tm.tm_gmtoff)
                fail_msg("%s at %lld: %lld, not %ld", names[i], (long long)t, (long long)pb_zone_offset(z, t),
                         tm.tm_gmtoff);
            int64_t local = pb_zone_local(z, t), back = pb_zone_utc(z, local);
            /* The first of the instants that show it. */
            assert_true(back <= t);
            assert_int_equal(pb_zone_local(z, back), local);
        }
        unsetenv("TZ");
        tzset();
        pb_zone_free(z);
    }
}

static int64_t at(const char *rfc3339)
{
    int64_t ms;
    assert_true(pb_parse_time(pb_str_c(rfc3339), &ms));
    return ms / 1000;
}

static void test_gaps_and_repeats(void **state)
{
    (void)state;
    struct pb_zone *z = load("Europe/Stockholm");
    /* 2026-03-29 02:30 is skipped: 03:00 is the first after the gap. */
    assert_int_equal(pb_zone_utc(z, at("2026-03-29T02:30:00Z")), at("2026-03-29T01:00:00Z"));
    assert_int_equal(pb_zone_utc(z, at("2026-03-29T02:00:00Z")), at("2026-03-29T01:00:00Z"));
    assert_int_equal(pb_zone_utc(z, at("2026-03-29T03:00:00Z")), at("2026-03-29T01:00:00Z"));
    assert_int_equal(pb_zone_utc(z, at("2026-03-29T01:59:59Z")), at("2026-03-29T00:59:59Z"));
    /* 2026-10-25 02:30 comes twice: the first. */
    assert_int_equal(pb_zone_utc(z, at("2026-10-25T02:30:00Z")), at("2026-10-25T00:30:00Z"));
    pb_zone_free(z);
    /* Samoa left out the whole of 2011-12-30. */
    z = load("Pacific/Apia");
    assert_int_equal(pb_zone_utc(z, at("2011-12-30T12:00:00Z")), at("2011-12-30T10:00:00Z"));
    pb_zone_free(z);
}

static void test_refused(void **state)
{
    (void)state;
    struct pb_zone *z = NULL;
    struct pb_err err;
    static const char *const bad[] = {"",          "/etc/passwd", "../../etc/passwd", "Europe/Stock holm",
                                      "Europe/..", "a\nb"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(pb_zone_load(pb_str_c(bad[i]), &z, &err), -1);
    assert_int_equal(pb_zone_load(PB_STR("Europe/Stokholm"), &z, &err), -1);
    assert_int_equal(err.code, PBAY_NOT_FOUND);
    assert_non_null(strstr(err.msg, "Europe/Stokholm"));
    assert_int_equal(pb_zone_parse(PB_STR("TZif2"), &z, &err), -1);
    assert_int_equal(err.code, PBAY_DATA_LOSS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_offsets_are_libcs),
                                       cmocka_unit_test(test_gaps_and_repeats),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
