/* SPDX-License-Identifier: MIT */
/* The kit and the mock host read [function] sections with keys of their own: they are the gateway's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "app/site.h"
#include "base/str.h"
#include "data/options.h"
#include "guard/identity.h"
#include "mockhost/declare.h"

static void every_key_of_the_gateway_is_known(void **state)
{
    const pbay_option_table *tables[] = {&pb_function_options, &pb_allow_options};
    uint32_t n = 0;
    (void)state;
    for (size_t t = 0; t < PB_COUNTOF(tables); t++)
        for (uint32_t i = 0; i < tables[t]->count; i++, n++) {
            const pbay_option *o = pb_option_at(tables[t], i);
            if (!pb_option_find(&pb_declared_keys, pb_str_c(o->name)))
                fail_msg("%s is a key of [function] that sdk/mockhost/declare.c does not know", o->name);
        }
    assert_int_equal(n, pb_declared_keys.count);
    /* What both read they read alike. */
    assert_string_equal(pb_option_find(&pb_declared_keys, PB_STR("max_rows"))->dflt,
                        pb_option_find(&pb_function_options, PB_STR("max_rows"))->dflt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_key_of_the_gateway_is_known)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
