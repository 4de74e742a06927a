/* SPDX-License-Identifier: MIT */
/* The build itself: a test that runs with the language and the options that everything else relies on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <assert.h>
#include <float.h>
#include <limits.h>

static void test_language(void **state)
{
    (void)state;
    assert_true(__STDC_VERSION__ >= 201112L);
#ifdef NDEBUG
    fail_msg("assert() is compiled out: a broken invariant would go unseen");
#endif
}

/* The batch puts doubles and 32-bit offsets side by side in flat arrays. */
static void test_machine(void **state)
{
    (void)state;
    assert_int_equal(CHAR_BIT, 8);
    assert_int_equal(sizeof(double), 8);
    assert_int_equal(DBL_MANT_DIG, 53);
    assert_int_equal(sizeof(void *), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_language),
        cmocka_unit_test(test_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
