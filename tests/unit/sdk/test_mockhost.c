/* SPDX-License-Identifier: MIT */
/* The mock host drives examples of the SDK, as a test of somebody's plugin would. */
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <patchbay/health.h>
#include <patchbay/host_http.h>
#include <patchbay/host_kv.h>
#include <patchbay/host_ws.h>
#include <patchbay/mockhost.h>

#define TEXT(s) ((pbay_str){(s), sizeof(s) - 1})

static pbay_mock *made(const char *so, const char *ini)
{
    pbay_mock *m = pbay_mock_new(so);
    if (pbay_mock_create(m, ini) != PBAY_OK) fail_msg("%s", pbay_mock_message(m));
    assert_int_equal(pbay_mock_start(m), PBAY_OK);
    return m;
}

/* ------------------------------------------------------------------------------------------------ functions
 */

static const char api[] =
    "[listen \"sse\"]\naddress = 127.0.0.1:0\n"
    "[connector \"api\"]\nplugin = rest_json\nbase = https://api.example\ntoken = secret\n"
    "[function \"temp\"]\nconnector = api\noperation = request\npath = /v1/{city}\n"
    "pick = now.celsius\nparams = city:str\nreturns = num\nmax_rows = 100\ncache = no\n"
    "[function \"other\"]\nconnector = elsewhere\noperation = request\n";

static void scripted_http(void **state)
{
    (void)state;
    pbay_mock *m = made(REST_JSON_SO, api);
    pbay_mock_http *bern = pbay_mock_expect(m, "GET", "https://api.example/v1/Bern");
    pbay_mock_http *rest = pbay_mock_expect(m, "GET", "https://api.example/v1/*");
    pbay_mock_times(rest, 3);
    pbay_mock_reply(bern, 200, "content-type: application/json\n", "{\"now\": {\"celsius\": 4.5}}");
    pbay_mock_reply(rest, 404, NULL, "");
    pbay_mock_call *c = pbay_mock_submit(m, "temp", "[[\"Bern\"],[\"Old Town\"],[null],[\"x/y\"]]");
    assert_int_equal(pbay_mock_code(c), PBAY_OK);
    assert_string_equal(pbay_mock_text(c), "[[4.5],[null],[null],[null]]");
    assert_int_equal(pbay_mock_batch(c)->n_rows, 4);
    assert_int_equal(pbay_mock_seen(rest), 3);
    assert_string_equal(pbay_mock_seen_url(rest), "https://api.example/v1/x%2Fy");
    assert_non_null(strstr(pbay_mock_seen_header(bern, "Authorization"), "secret"));
    assert_null(pbay_mock_seen_header(bern, "x-nothing"));
    pbay_mock_free(m);
}

static void time_stands_still(void **state)
{
    (void)state;
    pbay_mock *m = made(REST_JSON_SO, api);
    pbay_mock_http *slow = pbay_mock_expect(m, "GET", "*");
    pbay_mock_reply(slow, 200, NULL, "{\"now\": {\"celsius\": 1}}");
    pbay_mock_after(slow, 2500);
    pbay_mock_call *c = pbay_mock_submit(m, "temp", "[[\"a\"]]");
    assert_int_equal(pbay_mock_code(c), PBAY_MOCK_PENDING);
    const int64_t began = pbay_mock_now_ms(m);
    pbay_mock_advance(m, 2499);
    assert_int_equal(pbay_mock_code(c), PBAY_MOCK_PENDING);
    pbay_mock_advance(m, 1);
    assert_int_equal(pbay_mock_code(c), PBAY_OK);
    assert_string_equal(pbay_mock_text(c), "[[1]]");
    assert_int_equal(pbay_mock_now_ms(m) - began, 2500);

    /* No answer at all: the caller's patience ends, and the plugin cancels its request. */
    pbay_mock_expect(m, "GET", "*");
    pbay_mock_patience(m, 1000);
    c = pbay_mock_submit(m, "temp", "[[\"b\"]]");
    pbay_mock_advance(m, 900);
    assert_int_equal(pbay_mock_code(c), PBAY_MOCK_PENDING);
    pbay_mock_advance(m, 200);
    assert_int_equal(pbay_mock_code(c), PBAY_DEADLINE_EXCEEDED);
    assert_true(pbay_mock_flags(c) & PBAY_MOCK_LATE);

    /* Nor for somebody who goes away. */
    pbay_mock_expect(m, "GET", "*");
    pbay_mock_patience(m, 0);
    c = pbay_mock_submit(m, "temp", "[[\"c\"]]");
    assert_int_equal(pbay_mock_code(c), PBAY_MOCK_PENDING);
    pbay_mock_cancel(c);
    assert_int_equal(pbay_mock_code(c), PBAY_CANCELLED);
    pbay_mock_free(m);
}

static void failures_come_through(void **state)
{
    (void)state;
    pbay_mock *m = made(REST_JSON_SO, api);
    pbay_mock_fail(pbay_mock_expect(m, "GET", "*"), PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE,
                   "the connection was reset");
    pbay_mock_call *c = pbay_mock_submit(m, "temp", "[[\"a\"]]");
    assert_int_equal(pbay_mock_code(c), PBAY_UNAVAILABLE);
    assert_non_null(strstr(pbay_mock_why(c), "reset"));
    pbay_mock_reply(pbay_mock_expect(m, "GET", "*"), 503, "retry-after: 7\n", "busy");
    c = pbay_mock_submit(m, "temp", "[[\"a\"]]");
    assert_int_equal(pbay_mock_code(c), PBAY_UNAVAILABLE);
    assert_int_equal(pbay_mock_result(c)->vendor_status, 503);
    pbay_mock_free(m);
}

static void refusals_say_why(void **state)
{
    (void)state;
    pbay_mock *m = pbay_mock_new(REST_JSON_SO);
    assert_int_equal(
        pbay_mock_create(m, "[connector \"a\"]\nplugin = rest_json\nbase = https://x\nbaes = y\n"),
        PBAY_INVALID_ARGUMENT);
    assert_non_null(strstr(pbay_mock_message(m), "did you mean \"base\""));
    assert_int_equal(pbay_mock_create(m, "[connector \"a\"]\nplugin = rest_json\n"), PBAY_INVALID_ARGUMENT);
    assert_int_equal(
        pbay_mock_create(m, "[connector \"a\"]\nplugin = rest_json\nbase = https://x\n"
                            "[function \"f\"]\noperation = request\npath = /{nobody}\nparams = a:str\n"),
        PBAY_INVALID_ARGUMENT);
    assert_non_null(strstr(pbay_mock_message(m), "nobody"));
    assert_int_equal(pbay_mock_create(m, api), PBAY_OK);
    assert_string_equal(pbay_mock_message(m), "");
    pbay_mock_free(m);

    m = pbay_mock_new(REST_JSON_SO);
    pbay_mock_without(m, PBAY_SVC_HTTP);
    assert_int_equal(pbay_mock_create(m, api), PBAY_UNIMPLEMENTED);
    pbay_mock_free(m);

    m = pbay_mock_new(REST_JSON_SO);
    pbay_mock_check_only(m);
    assert_int_equal(pbay_mock_create(m, api), PBAY_OK);
    pbay_mock_free(m);
}

/* ------------------------------------------------------------------------------------------------ streams */

static void rows_stream(void **state)
{
    (void)state;
    pbay_mock *m =
        made(MOVING_AVERAGE_SO, "[connector \"m\"]\nplugin = moving_average\n"
                                "[function \"spread\"]\noperation = spread\nparams = x:num\nreturns = num\n"
                                "[function \"average\"]\noperation = average\nwindow = 2\nparams = x:num\n"
                                "returns = x:num, average:num\n");
    pbay_mock_call *c = pbay_mock_open(m, "spread");
    assert_int_equal(pbay_mock_push(c, "[[1],[null],[3]]"), PBAY_OK);
    assert_int_equal(pbay_mock_push(c, "[[5]]"), PBAY_OK);
    assert_int_equal(pbay_mock_code(c), PBAY_MOCK_PENDING);
    pbay_mock_end(c);
    assert_int_equal(pbay_mock_code(c), PBAY_OK);
    assert_string_equal(pbay_mock_text(c), "[[2]]");

    c = pbay_mock_open(m, "average");
    assert_int_equal(pbay_mock_push(c, "[[1],[3]]"), PBAY_OK);
    assert_string_equal(pbay_mock_columns(c), "x:num,average:num");
    assert_string_equal(pbay_mock_text(c), "[[1,1],[3,2]]");
    /* Who called reads slowly: what the plugin has is taken, then it waits. */
    pbay_mock_hold(c, 1);
    int32_t rc = pbay_mock_push(c, "[[5]]");
    for (int i = 0; i < 4 && rc == PBAY_OK; i++) rc = pbay_mock_push(c, "[[7]]");
    assert_int_equal(rc, PBAY_LATER);
    assert_int_equal(pbay_mock_ready(c), 0);
    pbay_mock_hold(c, 0);
    assert_int_equal(pbay_mock_ready(c), 1);
    assert_int_equal(pbay_mock_push(c, "[[7]]"), PBAY_OK);
    pbay_mock_end(c);
    assert_int_equal(pbay_mock_code(c), PBAY_OK);

    c = pbay_mock_open(m, "average");
    pbay_mock_push(c, "[[1]]");
    pbay_mock_cancel(c);
    assert_int_equal(pbay_mock_code(c), PBAY_CANCELLED);
    pbay_mock_free(m);
}

/* ------------------------------------------------------------------------------------------------ actions */

static void an_action_counts_once(void **state)
{
    (void)state;
    pbay_mock *m = made(COUNTER_SO, "[connector \"c\"]\nplugin = counter\nevery = 10\n");
    pbay_mock_call *c = pbay_mock_action(m, "add", "{\"name\": \"visits\", \"by\": 7}", "k1");
    assert_int_equal(pbay_mock_code(c), PBAY_OK);
    assert_string_equal(pbay_mock_text(c), "{\"name\": \"visits\", \"value\": 7}");
    c = pbay_mock_action(m, "add", "{\"name\": \"visits\", \"by\": 7}", "k1");
    assert_string_equal(pbay_mock_text(c), "{\"name\": \"visits\", \"value\": 7}");
    assert_int_equal(pbay_mock_events(m), 0);
    c = pbay_mock_action(m, "add", "{\"name\": \"visits\", \"by\": 7}", "k2");
    assert_string_equal(pbay_mock_text(c), "{\"name\": \"visits\", \"value\": 14}");
    assert_int_equal(pbay_mock_events(m), 1);
    assert_non_null(strstr(pbay_mock_event(m, 0), "\"type\": \"reached\""));
    assert_null(pbay_mock_event(m, 1));
    assert_non_null(strstr(pbay_mock_kv(m, "counter/visits"), "14 "));

    c = pbay_mock_action(m, "add", "{\"by\": 1}", "k3");
    assert_int_equal(pbay_mock_code(c), PBAY_INVALID_ARGUMENT);
    assert_non_null(strstr(pbay_mock_why(c), "name"));
    pbay_mock_store_fails(m, PBAY_UNAVAILABLE);
    c = pbay_mock_action(m, "add", "{\"name\": \"visits\"}", "k4");
    assert_int_equal(pbay_mock_code(c), PBAY_UNAVAILABLE);
    pbay_mock_store_fails(m, PBAY_OK);
    pbay_mock_kv_set(m, "counter/visits", "9223372036854775807");
    c = pbay_mock_action(m, "add", "{\"name\": \"visits\"}", "k5");
    assert_int_equal(pbay_mock_code(c), PBAY_OUT_OF_RANGE);
    pbay_mock_free(m);
}

/* Whichever allocation fails: refused or failed with a message, never a crash, nothing is kept. */
static void every_allocation_fails_once(void **state)
{
    (void)state;
    uint32_t refused = 0, failed = 0;
    bool more = true;
    for (uint32_t n = 1; more; n++) {
        pbay_mock *m = pbay_mock_new(COUNTER_SO);
        pbay_mock_fail_allocation(m, n);
        if (pbay_mock_create(m, "[connector \"c\"]\nplugin = counter\n") != PBAY_OK) {
            assert_true(pbay_mock_message(m)[0]);
            refused++;
        } else {
            assert_int_equal(pbay_mock_start(m), PBAY_OK);
            failed += pbay_mock_code(pbay_mock_action(m, "add", "{\"name\": \"x\"}", NULL)) ==
                      PBAY_RESOURCE_EXHAUSTED;
        }
        more = pbay_mock_fail_allocation(m, 0) >= n;
        pbay_mock_free(m);
    }
    assert_true(refused > 0 && failed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripted_http),
        cmocka_unit_test(time_stands_still),
        cmocka_unit_test(failures_come_through),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(rows_stream),
        cmocka_unit_test(an_action_counts_once),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
