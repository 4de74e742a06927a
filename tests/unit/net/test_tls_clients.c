/* SPDX-License-Identifier: MIT */
/* `clients` of a listener: which subjects it names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/tls.h"

static bool is(const char *subject, const char *wanted)
{
    return pb_tls_subject_is(pb_str_c(subject), pb_str_c(wanted));
}

static void test_whole_and_items(void **state)
{
    (void)state;
    assert_true(is("CN=sse_client", "CN=sse_client"));
    assert_true(is("CN=sse_client,O=ACME", "CN=sse_client,O=ACME"));
    assert_true(is("CN=sse_client,O=ACME", "CN=sse_client"));
    assert_true(is("CN=sse_client,O=ACME,C=SE", "O=ACME"));
    assert_false(is("CN=sse_client,O=ACME,C=SE", "CN=sse_client,O=ACME"));
    assert_false(is("CN=sse_client2", "CN=sse_client"));
    assert_false(is("CN=my CN=sse_client", "CN=sse_client"));
    assert_false(is("CN=sse_client", "cn=sse_client"));
    assert_false(is("CN=sse_client", ""));
    assert_false(is("", "CN=sse_client"));
    assert_false(is("", ""));
}

/* A comma within a value does not begin an item: nobody gets in by calling himself "x,CN=sse_client". */
static void test_escaped_comma(void **state)
{
    (void)state;
    assert_false(is("CN=x\\,CN=sse_client,O=ACME", "CN=sse_client"));
    assert_true(is("CN=x\\,CN=sse_client,O=ACME", "O=ACME"));
    assert_true(is("CN=x\\\\,CN=sse_client", "CN=sse_client")); /* the backslash itself is the value's end */
    assert_false(is("CN=x\\", "CN=sse_client"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole_and_items),
                                       cmocka_unit_test(test_escaped_comma)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
