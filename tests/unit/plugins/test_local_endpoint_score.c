/* SPDX-License-Identifier: MIT */
/* The stand-in's model against values computed by the formula of its header in Python. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../../sdk/examples/local_endpoint/score.h"
#include "base/str.h"

static void check(const char *body, int json, size_t rows, const char *expected)
{
    struct out out = {NULL, 0, 0};
    assert_int_equal(score_csv(pb_str_c(body), json, &out), rows);
    if (!pb_str_is(pb_str(out.p, out.n), expected))
        fail_msg("%.*s instead of %s", (int)out.n, out.p, expected);
    free(out.p);
}

static void test_scores(void **state)
{
    (void)state;
    check("42,50000,Plus,12\n20,14000,Basic,0\r\n79,130000,Premium,95", 0, 3,
          "0.486638\n0.799220\n0.156167\n");
    check("\"a,b\",-1.5e3,,\"q\"\"q\"\ncaf\xc3\xa9\n", 0, 2, "0.851375\n0.289873\n");
    check("42,50000,Plus,12\n", 1, 1, "{\"predictions\":[{\"score\":0.486638}]}");
    check("\n\n", 0, 2, "0.450166\n0.450166\n");
    check("", 1, 0, "{\"predictions\":[]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scores)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
