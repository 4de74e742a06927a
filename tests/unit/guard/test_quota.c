/* SPDX-License-Identifier: MIT */
/* Limits over a page that two workers share, and what becomes of them when one dies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "guard/quota.h"

static struct pb_page *page;

static int setup(void **state)
{
    (void)state;
    struct pb_err err;
    int fd;
    page = pb_page_make(&fd, &err);
    if (!page) return -1;
    close(fd);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pb_page_unmap(page);
    return 0;
}

static void test_peers(void **state)
{
    (void)state;
    static const char *const same[] = {"203.0.113.7:51034", "203.0.113.7:1"}, *const v6 = "[2001:db8::1]:80";
    assert_true(pb_str_is(pb_quota_peer(pb_str_c(same[0])), "203.0.113.7"));
    assert_true(pb_str_is(pb_quota_peer(pb_str_c(v6)), "2001:db8::1"));
    assert_true(pb_str_is(pb_quota_peer(PB_STR("unix")), "unix"));
    const struct pb_quota_limits limits = {.peer_conns = 3};
    struct pb_quota one, two;
    pb_quota_init(&one, &limits, page, 1);
    pb_quota_init(&two, &limits, page, 2);
    struct pb_count_hold h[4];
    assert_true(pb_quota_conn(&one, pb_str_c(same[0]), 0, &h[0]));
    assert_true(pb_quota_conn(&two, pb_str_c(same[1]), 0, &h[1]));
    assert_true(pb_quota_conn(&two, pb_str_c(same[0]), 0, &h[2]));
    assert_false(pb_quota_conn(&one, pb_str_c(same[1]), 0, &h[3]));
    assert_true(pb_quota_conn(&one, pb_str_c(v6), 0, &h[3]));
    pb_quota_conn_end(&two, h[1]);
    assert_true(pb_quota_conn(&one, pb_str_c(same[1]), 0, &h[1]));
    /* Worker 2 dies with one of the three. */
    pb_quota_return(page, 2);
    pb_page_clear_row(page, 2);
    assert_true(pb_quota_conn(&one, pb_str_c(same[1]), 0, &h[2]));
    assert_false(pb_quota_conn(&one, pb_str_c(same[1]), 0, &h[2]));
}

static void test_calls(void **state)
{
    (void)state;
    const struct pb_quota_limits limits = {.calls = 3, .peer_calls = 2};
    struct pb_quota one, two;
    pb_quota_init(&one, &limits, page, 3);
    pb_quota_init(&two, &limits, page, 4);
    struct pb_quota_call c[4];
    assert_int_equal(pb_quota_call(&one, PB_STR("a:1"), &c[0]), PB_QUOTA_OK);
    assert_int_equal(pb_quota_call(&two, PB_STR("a:2"), &c[1]), PB_QUOTA_OK);
    assert_int_equal(pb_quota_call(&two, PB_STR("a:3"), &c[2]), PB_QUOTA_PEER);
    assert_int_equal(pb_quota_call(&two, PB_STR("b:1"), &c[2]), PB_QUOTA_OK);
    assert_int_equal(pb_quota_call(&one, PB_STR("c:1"), &c[3]), PB_QUOTA_ALL);
    pb_quota_call_end(&one, &c[3]); /* it holds nothing */
    pb_quota_call_end(&one, &c[0]);
    assert_int_equal(pb_quota_call(&one, PB_STR("c:1"), &c[3]), PB_QUOTA_OK);
    assert_int_equal(pb_quota_call(&one, PB_STR("d:1"), &c[0]), PB_QUOTA_ALL);
    /* Worker 4 dies with two of the three. */
    pb_quota_return(page, 4);
    pb_page_clear_row(page, 4);
    assert_int_equal(pb_quota_call(&one, PB_STR("a:1"), &c[0]), PB_QUOTA_OK);
    assert_int_equal(pb_quota_call(&one, PB_STR("a:1"), &c[1]), PB_QUOTA_OK);
    assert_int_equal(pb_quota_call(&one, PB_STR("e:1"), &c[2]), PB_QUOTA_ALL);
}

static void test_connects(void **state)
{
    (void)state;
    const struct pb_quota_limits limits = {.connect = {.rate = 10, .burst = 2}};
    struct pb_quota q;
    struct pb_count_hold hold;
    const pbay_str peer = PB_STR("203.0.113.7:4711"), same = PB_STR("203.0.113.7:4712"),
                   other = PB_STR("203.0.113.8:1");
    int64_t now = 5000 * PB_SEC;
    pb_quota_init(&q, &limits, page, 5);
    assert_true(pb_quota_conn(&q, peer, now, &hold));
    assert_true(pb_quota_conn(&q, same, now, &hold));
    assert_false(pb_quota_conn(&q, peer, now, &hold));
    assert_true(pb_quota_conn(&q, other, now, &hold));
    assert_true(pb_quota_conn(&q, peer, now + PB_SEC / 5, &hold));
}

static void test_rates(void **state)
{
    (void)state;
    const struct pb_quota_limits limits = {.key = {.rate = 1, .burst = 2}, .user = {.rate = 1, .burst = 1}};
    struct pb_quota one, two;
    const pbay_str none = {NULL, 0};
    int64_t now = 1000 * PB_SEC;
    pb_quota_init(&one, &limits, page, 5);
    pb_quota_init(&two, &limits, page, 6);
    assert_int_equal(pb_quota_rate(&one, "key", PB_STR("etl"), none, now), 0);
    assert_int_equal(pb_quota_rate(&two, "key", PB_STR("etl"), none, now), 0);
    assert_int_equal(pb_quota_rate(&one, "key", PB_STR("etl"), none, now), 1000);
    assert_int_equal(pb_quota_rate(&one, "key", PB_STR("etl"), none, now + PB_SEC), 0);
    assert_int_equal(pb_quota_rate(&one, "key", PB_STR("other"), PB_STR("kim"), now), 0);
    assert_true(pb_quota_rate(&two, "key", none, PB_STR("kim"), now) >
                0); /* a user is one, whoever brings him */
    assert_int_equal(pb_quota_rate(&two, "key", PB_STR("kim"), none, now), 0);
    assert_int_equal(pb_quota_rate(&two, "key", none, none, now), 0);
    /* A token of the same name is another caller. */
    assert_int_equal(pb_quota_rate(&one, "key", PB_STR("bot"), none, now), 0);
    assert_int_equal(pb_quota_rate(&one, "key", PB_STR("bot"), none, now), 0);
    assert_int_equal(pb_quota_rate(&one, "key", PB_STR("bot"), none, now), 1000);
    assert_int_equal(pb_quota_rate(&one, "token", PB_STR("bot"), none, now), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_peers), cmocka_unit_test(test_calls),
                                       cmocka_unit_test(test_connects), cmocka_unit_test(test_rates)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
