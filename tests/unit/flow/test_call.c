/* SPDX-License-Identifier: MIT */
/* Calls through the whole flow, against a plugin whose operation does what the test needs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "flow/fixture.h"

static void in_order_whatever_the_backend_does(void **state)
{
    static const char *const how[] = {"now", "later", "reversed", "split"};
    struct fixture *f = *state;
    for (size_t i = 0; i < 4; i++) {
        struct got g = {0};
        pb_op_unbind(f->fn.op);
        use(f, how[i]);
        struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
        rows(call, 0, 7);
        rows(call, 7, 61);
        rows(call, 68, 1);
        rows(call, 69, 131);
        pb_flow_end(call);
        until_done(f, &g);
        expect_doubled(&g, 200);
        assert_int_equal(g.consumed, 2000);
        assert_int_equal(g.stats.rows_in, 200);
        assert_true(P.most_rows <= 10);
        assert_true(P.most_at_once <= 4);
        free(g.text);
    }
}

static void no_rows_no_call(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_OK);
    assert_int_equal(g.rows, 0);
    assert_int_equal(P.submits, 0);
}

static void empty_rows_keep_their_place(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    struct pbay_builder *b = pb_flow_input(call);
    pb_put_text(b, 0, "", 0);
    pb_put_text(b, 0, "a", 1);
    pb_put_null(b, 0);
    pb_put_text(b, 0, "", 0);
    pb_put_text(b, 0, "b", 1);
    pb_flow_commit(call, 5);
    pb_flow_end(call);
    until_done(f, &g);
    assert_string_equal(g.text, "~|aa|~|~|bb|");
    assert_int_equal(g.stats.nulled, 3);
    free(g.text);

    f->fn.empty = PB_EMPTY_ERROR;
    struct got e = {0};
    call = begin(f, &e, PB_NO_DEADLINE);
    rows(call, 0, 3);
    pb_put_text(pb_flow_input(call), 0, "", 0);
    pb_flow_commit(call, 1);
    pb_flow_end(call);
    until_done(f, &e);
    assert_int_equal(e.err.code, PBAY_INVALID_ARGUMENT);
    assert_non_null(strstr(e.err.msg, "row 4 is empty"));
    free(e.text);

    f->fn.empty = PB_EMPTY_SEND;
    struct got s = {0};
    call = begin(f, &s, PB_NO_DEADLINE);
    pb_put_text(pb_flow_input(call), 0, "", 0);
    pb_flow_commit(call, 1);
    pb_flow_end(call);
    until_done(f, &s);
    assert_string_equal(s.text, "|");
    free(s.text);
}

static void all_empty_asks_nobody(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    for (int i = 0; i < 25; i++) pb_put_text(pb_flow_input(call), 0, "", 0);
    pb_flow_commit(call, 25);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.rows, 25);
    assert_int_equal(P.submits, 0);
    free(g.text);
}

static void a_wrong_count_is_an_error_not_a_shift(void **state)
{
    struct fixture *f = *state;
    static const char *const how[] = {"few", "many"};
    for (size_t i = 0; i < 2; i++) {
        struct got g = {0};
        pb_op_unbind(f->fn.op);
        use(f, how[i]);
        struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
        rows(call, 0, 25);
        pb_flow_end(call);
        until_done(f, &g);
        assert_int_equal(g.err.code, PBAY_DATA_LOSS);
        assert_int_equal(g.rows, 0);
        assert_true(g.stats.no_store);
        assert_non_null(strstr(g.err.msg, i ? "answered 11 rows for the 10" : "answered 9 rows for the 10"));
        free(g.text);
    }
}

static void repeats_what_may_succeed_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "flaky");
    P.fail_next = 2;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    rows(call, 0, 5);
    pb_flow_end(call);
    until_done(f, &g);
    expect_doubled(&g, 5);
    assert_int_equal(g.stats.repeats, 2);
    assert_int_equal(g.stats.batches, 3);
    free(g.text);

    struct got h = {0};
    P.fail_next = 3;
    call = begin(f, &h, PB_NO_DEADLINE);
    rows(call, 0, 5);
    pb_flow_end(call);
    until_done(f, &h);
    assert_int_equal(h.err.code, PBAY_UNAVAILABLE);
    assert_string_equal(h.err.msg, "try later");
    P.fail_next = 0;

    pb_op_unbind(f->fn.op);
    use(f, "broken");
    P.submits = 0;
    struct got b = {0};
    call = begin(f, &b, PB_NO_DEADLINE);
    rows(call, 0, 5);
    pb_flow_end(call);
    until_done(f, &b);
    assert_string_equal(b.err.msg, "the model broke");
    assert_int_equal(P.submits, 1);
}

static void a_refusal_is_told(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "refuse");
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    rows(call, 0, 50);
    if (!g.done) pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_INVALID_ARGUMENT);
    assert_non_null(strstr(g.err.msg, "I will not"));
}

static void deadline_and_cancel_leave_nothing(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "never");
    struct pb_flow_call *call = begin(f, &g, pb_mono_ns() + 30 * PB_MS);
    rows(call, 0, 100);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_DEADLINE_EXCEEDED);
    for (int i = 0; i < 200 && f->lane.running; i++) pb_loop_turn(f->loop, true);
    assert_int_equal(f->lane.running, 0);
    assert_true(P.cancels >= 4);

    struct got c = {0};
    call = begin(f, &c, PB_NO_DEADLINE);
    rows(call, 0, 100);
    pb_flow_cancel(call, NULL);
    for (int i = 0; i < 200 && f->lane.running; i++) pb_loop_turn(f->loop, true);
    assert_int_equal(f->lane.running, 0);
    assert_false(c.done);
}

static void the_sink_can_hold(void **state)
{
    struct fixture *f = *state;
    struct got g = {.hold = true};
    use(f, "now");
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    rows(call, 0, 50);
    pb_flow_end(call);
    for (int i = 0; i < 5; i++) pb_loop_turn(f->loop, false);
    assert_int_equal(g.rows, 10);
    assert_int_equal(g.consumed, 100);
    assert_false(g.done);
    pb_flow_writable(call);
    assert_int_equal(g.rows, 20);
    g.hold = false;
    pb_flow_writable(call);
    until_done(f, &g);
    expect_doubled(&g, 50);
    free(g.text);
}

/* A caller that sends no more than its window must never be left waiting for a batch that cannot fill. */
static void a_window_full_of_waiting_rows_is_cut(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    f->fn.max_rows = 1000000;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    pb_put_text(pb_flow_input(call), 0, "a", 1);
    pb_flow_commit(call, 300 * 1024);
    for (int i = 0; i < 5; i++) pb_loop_turn(f->loop, false);
    assert_int_equal(g.consumed, 300 * 1024);
    pb_flow_end(call);
    until_done(f, &g);
    assert_string_equal(g.text, "aa|");
    free(g.text);
}

/* A caller may wait for answers before it sends more: rows that do not fill a batch go after a moment. */
static void a_caller_that_waits_is_answered(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    rows(call, 0, 3);
    for (int i = 0; i < 1000 && g.rows < 3; i++) pb_loop_turn(f->loop, true);
    assert_int_equal(g.rows, 3);
    rows(call, 3, 12);
    for (int i = 0; i < 1000 && g.rows < 15; i++) pb_loop_turn(f->loop, true);
    assert_int_equal(g.rows, 15);
    pb_flow_end(call);
    until_done(f, &g);
    expect_doubled(&g, 15);
    free(g.text);
}

static void many_calls_share_a_lane_fairly(void **state)
{
    struct fixture *f = *state;
    struct got g[20] = {0};
    struct pb_flow_call *calls[20];
    use(f, "later");
    for (int i = 0; i < 20; i++) calls[i] = begin(f, &g[i], PB_NO_DEADLINE);
    for (int i = 0; i < 20; i++) {
        rows(calls[i], 0, 100);
        pb_flow_end(calls[i]);
    }
    for (int i = 0; i < 20; i++) until_done(f, &g[i]);
    for (int i = 0; i < 20; i++) {
        expect_doubled(&g[i], 100);
        free(g[i].text);
    }
    assert_int_equal(P.most_at_once, 4);
}

static void converts_what_the_backend_answers(void **state)
{
    static const struct pb_script_field number = {{"n", 1}, PBAY_NUM, false};
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    f->fn.answers = &number;
    f->fn.n_answers = 1;
    f->fn.returns = &number;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    pb_put_text(pb_flow_input(call), 0, "1", 1);
    pb_put_text(pb_flow_input(call), 0, "cat", 3);
    pb_flow_commit(call, 2);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_INVALID_ARGUMENT);
    assert_non_null(strstr(g.err.msg, "row 2"));
    assert_non_null(strstr(g.err.msg, "\"catcat\""));
}

static void a_bad_answer_is_named_by_the_callers_row(void **state)
{
    static const struct pb_script_field number = {{"n", 1}, PBAY_NUM, false};
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    f->fn.returns = &number;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    pb_put_text(pb_flow_input(call), 0, "1", 1);
    pb_put_null(pb_flow_input(call), 0); /* not sent: the backend's second row is the caller's third */
    pb_put_text(pb_flow_input(call), 0, "cat", 3);
    pb_flow_commit(call, 2);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_INVALID_ARGUMENT);
    assert_non_null(strstr(g.err.msg, "row 3"));
}

static void more_columns_than_declared_are_an_error(void **state)
{
    static const struct pb_script_field two[] = {{{"a", 1}, PBAY_STR, false}, {{"b", 1}, PBAY_STR, false}};
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    f->fn.returns = two;
    f->fn.n_returns = 2;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    rows(call, 0, 1);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_DATA_LOSS);
    assert_non_null(strstr(g.err.msg, "the answer has 1 columns, 2 are declared"));
    assert_int_equal(g.rows, 0);
}

/* Rows without cells count too, also those beyond the last full batch. */
static void a_function_that_takes_nothing_answers_every_row(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "bare");
    f->fn.n_params = 0;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    pb_flow_input(call)->bare_rows = 25;
    pb_flow_commit(call, 25);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_OK);
    assert_int_equal(g.rows, 25);
    assert_int_equal(g.consumed, 25);
    free(g.text);
}

static void bad_rows_are_null_or_fail_the_call(void **state)
{
    struct fixture *f = *state;
    for (int null = 0; null < 2; null++) {
        struct got g = {0};
        pb_op_unbind(f->fn.op);
        use(f, "bad2");
        f->fn.on_bad = null ? PB_BAD_NULL : PB_BAD_ERROR;
        struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
        rows(call, 0, 3);
        pb_flow_end(call);
        until_done(f, &g);
        assert_int_equal(g.err.code, null ? PBAY_OK : PBAY_INVALID_ARGUMENT);
        if (null)
            assert_string_equal(g.text, "00|~|22|");
        else
            assert_non_null(strstr(g.err.msg, "row 2: no number"));
        free(g.text);
    }
}

static void a_number_without_text_is_not_empty(void **state)
{
    static const struct pb_script_field dual = {{"d", 1}, PBAY_DUAL, false};
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "bare");
    f->fn.params = &dual;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    pb_put_dual(pb_flow_input(call), 0, 5, "", 0);
    pb_put_dual(pb_flow_input(call), 0, (double)NAN, "", 0);
    pb_put_dual(pb_flow_input(call), 0, 0, "", 0);
    pb_flow_commit(call, 3);
    pb_flow_end(call);
    until_done(f, &g);
    assert_string_equal(g.text, "y|~|y|");
    free(g.text);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    pb_log_level(NULL, PB_LOG_OFF);
    const struct CMUnitTest tests[] = {
        T(in_order_whatever_the_backend_does),
        T(no_rows_no_call),
        T(empty_rows_keep_their_place),
        T(all_empty_asks_nobody),
        T(a_wrong_count_is_an_error_not_a_shift),
        T(repeats_what_may_succeed_and_nothing_else),
        T(a_refusal_is_told),
        T(deadline_and_cancel_leave_nothing),
        T(the_sink_can_hold),
        T(a_window_full_of_waiting_rows_is_cut),
        T(a_caller_that_waits_is_answered),
        T(many_calls_share_a_lane_fairly),
        T(converts_what_the_backend_answers),
        T(a_bad_answer_is_named_by_the_callers_row),
        T(more_columns_than_declared_are_an_error),
        T(a_function_that_takes_nothing_answers_every_row),
        T(bad_rows_are_null_or_fail_the_call),
        T(a_number_without_text_is_not_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
