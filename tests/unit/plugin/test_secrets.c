/* SPDX-License-Identifier: MIT */
/* Values that connectors resolve: asked once, kept for their time, asked for again, refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "plugin/connector_priv.h"
#include "plugin/harness.h"
#include "plugin/secrets.h"

static int n_got;
static struct pb_err got_err;

static void got(void *user, const struct pb_err *err)
{
    (void)user;
    n_got++;
    got_err = *err;
}

static void ask(struct pb_connector *c, const char *scheme, const char *rest)
{
    int i = pb_secrets_scheme(pb_connector_plugin(c), pb_str_c(scheme));
    assert_true(i >= 0);
    pb_secrets_ask(c, (uint32_t)i, pb_str_c(rest), got, NULL);
}

static void answered(int n)
{
    while (n_got < n) turn();
    assert_int_equal(n_got, n);
}

static void is(const char *scheme, const char *rest, const char *wanted)
{
    pbay_str value;
    bool there = pb_secrets_known(registry, pb_str_c(scheme), pb_str_c(rest), &value);
    if (!wanted) {
        assert_false(there);
        return;
    }
    assert_true(there);
    if (!pb_str_is(value, wanted)) fail_msg("%.*s, not %s", PB_FMT(value), wanted);
}

static void test_ask(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("a", NULL);
    n_got = 0;
    assert_int_equal(pb_secrets_scheme(pb_connector_plugin(c), PB_STR("vault")), -1);
    is("said", "x", NULL);
    ask(c, "said", "x");
    assert_int_equal(n_got, 0); /* never from inside */
    answered(1);
    assert_int_equal(got_err.code, PBAY_OK);
    is("said", "x", "x");
    assert_int_equal(pb_connector_stats(c)->faults, 1); /* it answers twice */
    ask(c, "gone", "x");
    answered(2);
    assert_int_equal(got_err.code, PBAY_NOT_FOUND);
    assert_non_null(strstr(got_err.msg, "gone:x: nobody has it"));
    ask(c, "bad", "x");
    answered(3);
    assert_int_equal(got_err.code, PBAY_INVALID_ARGUMENT);
    is("bad", "x", NULL);
    assert_true(close_connector(c, 1000));
}

static void test_again(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("b", NULL);
    n_got = 0;
    /* Asked by three, answered once. */
    for (int i = 0; i < 3; i++) ask(c, "later", "v");
    answered(3);
    is("later", "v", "v1");
    /* Its time is over, but it was asked for just now: the old one serves. */
    int64_t until = pb_mono_ns() + 20 * PB_MS;
    while (pb_mono_ns() < until) turn();
    is("later", "v", "v1");
    pb_secrets_refused(registry, PB_STR("later"), PB_STR("v"));
    for (int i = 0; i < 50; i++) turn();
    is("later", "v", "v1");
    ask(c, "later", "v");
    answered(4);
    is("later", "v", "v2");
    pb_secrets_put(registry, PB_STR("file"), PB_STR("/x"), PB_STR("1"));
    is("file", "/x", "1");
    pb_secrets_put(registry, PB_STR("file"), PB_STR("/x"), PB_STR("22"));
    is("file", "/x", "22");
    assert_true(close_connector(c, 1000));
}

static void test_late(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("c", (const char *const[]){"timeout = 50ms", NULL});
    n_got = 0;
    ask(c, "never", "x");
    answered(1);
    assert_int_equal(got_err.code, PBAY_DEADLINE_EXCEEDED);
    assert_non_null(strstr(got_err.msg, "never:x"));
    ask(c, "said", "release"); /* it answers the old one as well, and nobody minds */
    answered(2);
    is("said", "release", "release");
    for (int i = 0; i < 20; i++) turn();
    assert_int_equal(n_got, 2);
    assert_true(close_connector(c, 1000));
}

static int setup(void **state)
{
    (void)state;
    harness_open();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    harness_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ask, setup, teardown),
        cmocka_unit_test_setup_teardown(test_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
