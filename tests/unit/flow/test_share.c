/* SPDX-License-Identifier: MIT */
/* Coalescing and the result cache: rows of several calls in one batch, and equal rows answered once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "flow/fixture.h"

static int share_teardown(void **state)
{
    struct fixture *f = *state;
    struct pb_coalesce *c = f->fn.coalesce;
    struct pb_result_cache *cache = f->fn.cache;
    int rc = teardown(state);
    pb_coalesce_free(c);
    pb_result_cache_free(cache);
    return rc;
}

static void share(struct fixture *f, const char *operation, bool coalesce, bool cache)
{
    if (f->fn.op) pb_op_unbind(f->fn.op);
    use(f, operation);
    if (coalesce && !f->fn.coalesce) f->fn.coalesce = pb_coalesce_new(200, f->metrics, f->fn.name);
    if (cache && !f->fn.cache)
        f->fn.cache = pb_result_cache_new(3600 * PB_SEC, 1 << 20, f->metrics, f->fn.name);
}

static void one_row(struct fixture *f, struct got *g, const char *text)
{
    struct pb_flow_call *call = begin(f, g, PB_NO_DEADLINE);
    pb_put_text(pb_flow_input(call), 0, text, strlen(text));
    pb_flow_commit(call, 10);
    pb_flow_end(call);
}

static void expect(const struct got *g, const char *text)
{
    char want[64];
    snprintf(want, sizeof want, "%s%s|", text, text);
    assert_int_equal(g->err.code, PBAY_OK);
    assert_string_equal(g->text, want);
}

static int64_t counter(struct fixture *f, const char *name)
{
    char line[128];
    struct pb_buf b = {0};
    pb_metrics_text(f->metrics, &b);
    pb_buf_ch(&b, 0);
    snprintf(line, sizeof line, "\npatchbay_%s{function=\"doubled\"} ", name);
    const char *at = strstr(b.p, line);
    assert_non_null(at);
    int64_t v = strtoll(at + strlen(line), NULL, 10);
    pb_buf_free(&b);
    return v;
}

/* ------------------------------------------------------------------------------------------------ coalescing
 */

static void rows_of_many_calls_go_together(void **state)
{
    static const char *const how[] = {"now", "later", "reversed"};
    struct fixture *f = *state;
    f->fn.max_rows = 100;
    for (size_t k = 0; k < PB_COUNTOF(how); k++) {
        struct got g[250] = {{0}};
        char text[16];
        share(f, how[k], true, false);
        P.submits = 0;
        for (int i = 0; i < 250; i++) {
            snprintf(text, sizeof text, "%d", i);
            one_row(f, &g[i], text);
        }
        for (int i = 0; i < 250; i++) {
            until_done(f, &g[i]);
            snprintf(text, sizeof text, "%d", i);
            expect(&g[i], text);
            free(g[i].text);
        }
        assert_int_equal(P.submits, 3);
        assert_int_equal(P.most_rows, 100);
    }
    assert_int_equal(counter(f, "function_coalesced_rows_total"), 750);
    assert_int_equal(counter(f, "function_coalesced_batches_total"), 9);
}

static void a_batch_that_is_full_already_goes_by_itself(void **state)
{
    struct fixture *f = *state;
    struct got g = {0}, h = {0};
    share(f, "later", true, false);
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    rows(call, 0, 35); /* max_rows is 10: three go at once, and five wait for others */
    pb_flow_end(call);
    one_row(f, &h, "x");
    until_done(f, &g);
    until_done(f, &h);
    expect_doubled(&g, 35);
    expect(&h, "x");
    assert_int_equal(P.submits, 4);
    free(g.text);
    free(h.text);
}

static void a_bad_row_fails_its_own_call_alone(void **state)
{
    struct fixture *f = *state;
    struct got g[20] = {{0}};
    char text[16];
    share(f, "poison", true, false);
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof text, i == 7 ? "bad" : "%d", i);
        one_row(f, &g[i], text);
    }
    for (int i = 0; i < 20; i++) {
        until_done(f, &g[i]);
        snprintf(text, sizeof text, "%d", i);
        if (i == 7)
            assert_int_equal(g[i].err.code, PBAY_INVALID_ARGUMENT);
        else
            expect(&g[i], text);
        free(g[i].text);
    }
}

static void too_much_is_halved_and_flaky_is_repeated(void **state)
{
    static const char *const how[] = {"split", "flaky"};
    struct fixture *f = *state;
    for (size_t k = 0; k < PB_COUNTOF(how); k++) {
        struct got g[30] = {{0}};
        char text[16];
        share(f, how[k], true, false);
        P.fail_next = 2;
        for (int i = 0; i < 30; i++) {
            snprintf(text, sizeof text, "%d", i);
            one_row(f, &g[i], text);
        }
        for (int i = 0; i < 30; i++) {
            until_done(f, &g[i]);
            snprintf(text, sizeof text, "%d", i);
            expect(&g[i], text);
            free(g[i].text);
        }
    }
}

static void who_leaves_takes_nobody_along(void **state)
{
    struct fixture *f = *state;
    for (int sent = 0; sent < 2; sent++) {
        struct got g[3] = {{0}};
        struct pb_flow_call *calls[3];
        share(f, "later", true, false);
        for (int i = 0; i < 3; i++) {
            char text[4] = {(char)('a' + i), 0};
            calls[i] = begin(f, &g[i], PB_NO_DEADLINE);
            pb_put_text(pb_flow_input(calls[i]), 0, text, 1);
            pb_flow_commit(calls[i], 10);
            pb_flow_end(calls[i]);
        }
        P.submits = 0;
        while (sent && !P.submits) pb_loop_turn(f->loop, true);
        pb_flow_cancel(calls[1], NULL);
        until_done(f, &g[0]);
        until_done(f, &g[2]);
        expect(&g[0], "a");
        expect(&g[2], "c");
        assert_false(g[1].done);
        for (int i = 0; i < 3; i++) free(g[i].text);
        /* All of them: nothing is left behind. */
        struct got h = {0};
        struct pb_flow_call *call = begin(f, &h, PB_NO_DEADLINE);
        rows(call, 0, 1);
        pb_flow_end(call);
        P.submits = 0;
        while (sent && !P.submits) pb_loop_turn(f->loop, true);
        pb_flow_cancel(call, NULL);
        free(h.text);
    }
    while (f->lane.running) pb_loop_turn(f->loop, true);
}

static void never_for_a_plugin_that_asks_who_calls(void **state)
{
    struct fixture *f = *state;
    static const char *const users[] = {"kim", "lee", "sam"};
    share(f, "who", true, false);
    for (int round = 0; round < 2; round++) {
        struct got g[3] = {{0}};
        for (int i = 0; i < 3; i++) {
            struct pb_err err;
            const struct pb_flow_request req = {.fn = &f->fn,
                                                .identity = {.user = pb_str_c(users[i])},
                                                .deadline_ns = PB_NO_DEADLINE,
                                                .sink = &sink,
                                                .user = &g[i]};
            struct pb_flow_call *call = pb_flow_open(f->flow, &req, &err);
            rows(call, 0, 1);
            pb_flow_end(call);
        }
        for (int i = 0; i < 3; i++) {
            char want[16];
            until_done(f, &g[i]);
            snprintf(want, sizeof want, "%s|", users[i]);
            assert_string_equal(g[i].text, want);
            assert_true(g[i].stats.personal);
            free(g[i].text);
        }
    }
    assert_true(pb_coalesce_is_off(f->fn.coalesce));
    assert_int_equal(P.submits, 1 + 3 + 3);
}

/* ------------------------------------------------------------------------------------------------ the cache
 */

static void equal_rows_are_asked_once(void **state)
{
    struct fixture *f = *state;
    for (int coalesce = 0; coalesce < 2; coalesce++) {
        share(f, "later", coalesce, true);
        P.submits = 0;
        for (int round = 0; round < 3; round++) {
            struct got g = {0};
            struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
            for (unsigned i = 0; i < 40; i++) {
                char t[16];
                int k = snprintf(t, sizeof t, "%c%u", 'a' + coalesce, i % 4);
                pb_put_text(pb_flow_input(call), 0, t, (size_t)k);
            }
            pb_flow_commit(call, 400);
            pb_flow_end(call);
            until_done(f, &g);
            assert_int_equal(g.err.code, PBAY_OK);
            assert_int_equal(g.rows, 40);
            const char *p = g.text;
            for (unsigned i = 0; i < 40; i++) {
                char want[16];
                int k =
                    snprintf(want, sizeof want, "%c%u%c%u|", 'a' + coalesce, i % 4, 'a' + coalesce, i % 4);
                assert_memory_equal(p, want, (size_t)k);
                p += k;
            }
            free(g.text);
        }
        assert_int_equal(P.submits, 1);
    }
    assert_int_equal(counter(f, "function_cache_misses_total"), 8);
    assert_true(counter(f, "function_cache_hits_total") >= 160);
    assert_true(counter(f, "function_cache_bytes") > 0);
}

static void who_asks_meanwhile_waits_for_the_one_who_asked(void **state)
{
    struct fixture *f = *state;
    struct got g[10] = {{0}};
    share(f, "later", false, true);
    for (int i = 0; i < 10; i++) one_row(f, &g[i], "same");
    for (int i = 0; i < 10; i++) {
        until_done(f, &g[i]);
        expect(&g[i], "same");
        free(g[i].text);
    }
    assert_int_equal(P.submits, 1);
    assert_int_equal(counter(f, "function_cache_shared_total"), 9);
}

static void who_asked_may_leave_and_the_others_ask_for_themselves(void **state)
{
    struct fixture *f = *state;
    struct got g[3] = {{0}};
    share(f, "later", false, true);
    struct pb_flow_call *call = begin(f, &g[0], PB_NO_DEADLINE);
    pb_put_text(pb_flow_input(call), 0, "same", 4);
    pb_flow_commit(call, 10);
    pb_flow_end(call);
    one_row(f, &g[1], "same");
    one_row(f, &g[2], "same");
    pb_flow_cancel(call, NULL);
    for (int i = 1; i < 3; i++) {
        until_done(f, &g[i]);
        expect(&g[i], "same");
        free(g[i].text);
    }
    while (f->lane.running) pb_loop_turn(f->loop, true);
}

static void failures_are_told_and_not_kept(void **state)
{
    struct fixture *f = *state;
    struct got g[4] = {{0}};
    share(f, "broken", false, true);
    for (int i = 0; i < 2; i++) {
        one_row(f, &g[i], "x");
        until_done(f, &g[i]);
        assert_int_equal(g[i].err.code, PBAY_INTERNAL);
    }
    assert_int_equal(P.submits, 2);
    share(f, "now", false, true);
    one_row(f, &g[2], "x");
    until_done(f, &g[2]);
    expect(&g[2], "x");
    free(g[2].text);
    /* Rows that failed alone are not kept either, and the others of their batch are. */
    share(f, "bad2", false, true);
    f->fn.on_bad = PB_BAD_ERROR;
    P.submits = 0;
    for (int i = 0; i < 2; i++) {
        struct got h = {0};
        struct pb_err err;
        const struct pb_flow_request req = {
            .fn = &f->fn, .deadline_ns = PB_NO_DEADLINE, .row_errors = true, .sink = &sink, .user = &h};
        struct pb_flow_call *call = pb_flow_open(f->flow, &req, &err);
        for (int k = 0; k < 3; k++) {
            char t[2] = {(char)('p' + k), 0};
            pb_put_text(pb_flow_input(call), 0, t, 1);
        }
        pb_flow_commit(call, 10);
        pb_flow_end(call);
        until_done(f, &h);
        assert_int_equal(h.err.code, PBAY_OK);
        assert_string_equal(h.text, i ? "pp|qq|rr|"
                                      : "pp|~|rr|"); /* asked alone it is the first row, which is good */
        free(h.text);
    }
    assert_int_equal(P.submits, 2);
}

static void answers_for_one_are_not_for_another(void **state)
{
    struct fixture *f = *state;
    static const char *const users[] = {"kim", "lee", "kim"};
    share(f, "who", false, true);
    for (int i = 0; i < 3; i++) {
        struct got g = {0};
        struct pb_err err;
        char want[16];
        const struct pb_flow_request req = {.fn = &f->fn,
                                            .identity = {.user = pb_str_c(users[i])},
                                            .deadline_ns = PB_NO_DEADLINE,
                                            .sink = &sink,
                                            .user = &g};
        struct pb_flow_call *call = pb_flow_open(f->flow, &req, &err);
        rows(call, 0, 1);
        pb_flow_end(call);
        until_done(f, &g);
        snprintf(want, sizeof want, "%s|", users[i]);
        assert_string_equal(g.text, want);
        free(g.text);
    }
    assert_int_equal(P.submits, 3);
}

static void memory_is_bounded_and_time_too(void **state)
{
    struct fixture *f = *state;
    use(f, "now");
    f->fn.cache = pb_result_cache_new(PB_MS, 20000, f->metrics, f->fn.name);
    for (unsigned k = 0; k < 50; k++) {
        struct got g = {0};
        struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
        rows(call, k * 100, 100);
        pb_flow_end(call);
        until_done(f, &g);
        free(g.text);
        assert_true(counter(f, "function_cache_bytes") <= 20000);
    }
    struct got g = {0};
    int64_t before = counter(f, "function_cache_hits_total");
    int64_t until = pb_mono_ns() + 3 * PB_MS;
    while (pb_mono_ns() < until) pb_loop_turn(f->loop, false);
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    rows(call, 4900, 100);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(counter(f, "function_cache_hits_total"), before);
    free(g.text);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, share_teardown)
    pb_log_level(NULL, PB_LOG_OFF);
    const struct CMUnitTest tests[] = {
        T(rows_of_many_calls_go_together),
        T(a_batch_that_is_full_already_goes_by_itself),
        T(a_bad_row_fails_its_own_call_alone),
        T(too_much_is_halved_and_flaky_is_repeated),
        T(who_leaves_takes_nobody_along),
        T(never_for_a_plugin_that_asks_who_calls),
        T(equal_rows_are_asked_once),
        T(who_asks_meanwhile_waits_for_the_one_who_asked),
        T(who_asked_may_leave_and_the_others_ask_for_themselves),
        T(failures_are_told_and_not_kept),
        T(answers_for_one_are_not_for_another),
        T(memory_is_bounded_and_time_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
