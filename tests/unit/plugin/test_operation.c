/* SPDX-License-Identifier: MIT */
/* Calls of operations as flow makes them: every way they end, and what the plugin may get wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/str.h"
#include "plugin/harness.h"
#include "plugin/operation.h"

static struct pb_connector *connector;

static int setup(void **state)
{
    (void)state;
    harness_open();
    connector = make_connector("c", NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (!close_connector(connector, 1000)) return -1;
    harness_close();
    return 0;
}

/* ------------------------------------------------------------------------------------------------ helpers */

struct seen {
    int n, emits, readies, describes;
    uint32_t rows;
    double first, last;
    struct pb_err err;
    bool no_store, per_user, late, hold, in_order;
    struct pbay_builder *out;
    const pbay_batch *batch;
    struct pb_op_call *call;
};

static void on_complete(void *user, struct pb_op_answer *a)
{
    struct seen *s = user;
    s->n++;
    if (a->err)
        s->err = *a->err;
    else
        s->err.code = PBAY_OK;
    s->no_store = a->no_store;
    s->per_user = a->per_user;
    s->late = a->late;
    s->out = a->out;
    s->batch = a->batch;
}

static struct pbay_builder *numbers(uint32_t n)
{
    struct pbay_builder *b = pb_builder_new();
    pb_builder_column(b, PB_STR("x"), PBAY_NUM);
    pb_builder_column(b, PB_STR("s"), PBAY_STR);
    for (uint32_t i = 0; i < n; i++) {
        pb_put_num(b, 0, i);
        if (i % 3 == 1)
            pb_put_null(b, 1);
        else
            pb_put_text(b, 1, "text", i % 5);
    }
    return b;
}

static struct pb_op *bind_to(struct pb_connector *c, const char *operation)
{
    struct pb_err err;
    const pbay_function_info info = {.struct_size = sizeof info, .name = PB_STR("f")};
    struct pb_op *op = pb_op_bind(c, pb_str_c(operation), &info, &err);
    if (!op) fail_msg("%s", err.msg);
    return op;
}

static struct pb_op_context *context(int64_t deadline)
{
    const pbay_identity id = {sizeof id, 0, PB_STR("kim"), PB_STR("app-1"), PB_STR(""), PB_STR("sse")};
    const struct pb_op_context_info info = {
        .identity = &id, .traceparent = PB_STR("00-trace"), .deadline_ns = deadline};
    return pb_op_context_new(&info);
}

/* Submit rows from .. from + n - 1 of a fresh batch; returns what submit did. The caller waits. */
static int submit(struct pb_op *op, uint32_t from, uint32_t n, int64_t deadline, struct seen *s)
{
    struct pbay_builder *b = numbers(from + n + 3);
    struct pb_op_context *ctx = context(deadline);
    struct pb_err err;
    int rc =
        pb_op_submit(op, ctx, 1, pb_builder_seal(b, &err), b, from, n, on_complete, s, &s->call, &s->err);
    pb_op_context_unref(ctx);
    pb_builder_unref(b);
    return rc;
}

static void wait_for(struct seen *s)
{
    while (!s->n) turn();
    pb_loop_drain(loop);
    assert_int_equal(s->n, 1);
}

static uint64_t faults(void)
{
    return pb_connector_stats(connector)->faults;
}

/* ------------------------------------------------------------------------------------------------ maps */

static void check_echo(const struct seen *s, uint32_t from, uint32_t n)
{
    assert_int_equal(s->err.code, PBAY_OK);
    assert_int_equal(s->batch->n_cols, 2);
    assert_int_equal(s->batch->n_rows, n);
    const pbay_column *x = pbay_batch_col(s->batch, 0), *t = pbay_batch_col(s->batch, 1);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = from + i;
        assert_true(x->num[i] == k);
        assert_int_equal(pbay_cell_null(t, i), k % 3 == 1);
        if (k % 3 != 1) assert_int_equal(pbay_cell_text(t, i).n, k % 5);
    }
}

static void map_case(const char *operation, uint32_t from, uint32_t n)
{
    struct pb_op *op = bind_to(connector, operation);
    struct seen s = {0};
    assert_int_equal(submit(op, from, n, PB_NO_DEADLINE, &s), 0);
    assert_int_equal(s.n, 0); /* never from inside */
    wait_for(&s);
    check_echo(&s, from, n);
    assert_false(s.late || s.no_store || s.per_user);
    pb_builder_unref(s.out);
    assert_int_equal(pb_op_in_flight(op), 0);
    pb_op_unbind(op);
}

static void test_map(void **state)
{
    (void)state;
    map_case("echo", 0, 1);
    map_case("echo", 5, 100);
    map_case("later", 63, 130);
    map_case("blocking", 1, 7);
    struct pb_op *op = bind_to(connector, "echo");
    assert_true(pb_str_is(pb_op_lane(op), "fast lane"));
    pb_op_unbind(op);
}

static void test_failures(void **state)
{
    (void)state;
    struct seen s = {0};
    struct pb_op *op = bind_to(connector, "refuse");
    assert_int_equal(submit(op, 0, 1, PB_NO_DEADLINE, &s), -1);
    assert_int_equal(s.err.code, PBAY_RESOURCE_EXHAUSTED);
    assert_int_equal(s.err.advice, PBAY_ADVICE_SLOW);
    assert_string_equal(s.err.msg, "not today");
    assert_int_equal(pb_op_in_flight(op), 0);
    pb_op_unbind(op);

    op = bind_to(connector, "fail");
    assert_int_equal(submit(op, 0, 1, PB_NO_DEADLINE, &s), 0);
    wait_for(&s);
    assert_int_equal(s.err.code, PBAY_NOT_FOUND);
    assert_string_equal(s.err.msg, "no such endpoint");
    assert_null(s.out);
    pb_op_unbind(op);

    struct pb_err err;
    const pbay_function_info info = {.struct_size = sizeof info, .name = PB_STR("unfair")};
    assert_null(pb_op_bind(connector, PB_STR("echo"), &info, &err));
    assert_string_equal(err.msg, "no such name");
    assert_null(pb_op_bind(connector, PB_STR("ecko"), &info, &err));
    assert_non_null(strstr(err.msg, "did you mean \"echo\""));
}

/* Each breach is counted once and answered as INTERNAL, or not at all when the answer was there already. */
static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *operation, *says;
    } cases[] = {{"no_rows", "without rows"}, {"crooked", "do not fit"}, {"twice", NULL}};
    for (size_t i = 0; i < PB_COUNTOF(cases); i++) {
        struct pb_op *op = bind_to(connector, cases[i].operation);
        struct seen s = {0};
        uint64_t before = faults();
        assert_int_equal(submit(op, 0, 3, PB_NO_DEADLINE, &s), 0);
        wait_for(&s);
        assert_int_equal(faults(), before + 1);
        if (cases[i].says) {
            assert_int_equal(s.err.code, PBAY_INTERNAL);
            if (!strstr(s.err.msg, cases[i].says)) fail_msg("%s", s.err.msg);
            assert_non_null(strstr(s.err.msg, "plugin good"));
        } else {
            check_echo(&s, 0, 3);
        }
        pb_builder_unref(s.out);
        pb_op_unbind(op);
    }
}

static void test_deadline(void **state)
{
    (void)state;
    struct pb_op *op = bind_to(connector, "never");
    struct seen s = {0};
    assert_int_equal(submit(op, 0, 3, pb_mono_ns() + 20 * PB_MS, &s), 0);
    wait_for(&s);
    assert_int_equal(s.err.code, PBAY_DEADLINE_EXCEEDED);
    assert_int_equal(s.err.effect, PBAY_EFFECT_MAYBE);
    assert_true(s.late);
    assert_int_equal(pb_op_in_flight(op), 0); /* it obeyed */
    pb_op_unbind(op);

    static const char *const keys[] = {"timeout = 20ms", NULL};
    struct pb_connector *c = make_connector("impatient", keys);
    op = bind_to(c, "never");
    s = (struct seen){0};
    assert_int_equal(submit(op, 0, 3, PB_NO_DEADLINE, &s), 0);
    wait_for(&s);
    assert_int_equal(s.err.code, PBAY_DEADLINE_EXCEEDED);
    assert_non_null(strstr(s.err.msg, "timeout of 20 ms"));
    pb_op_unbind(op);
    assert_true(close_connector(c, 1000));
}

static void test_cancel(void **state)
{
    (void)state;
    struct pb_op *op = bind_to(connector, "never");
    struct seen s = {0};
    assert_int_equal(submit(op, 0, 3, PB_NO_DEADLINE, &s), 0);
    pb_op_cancel(s.call);
    assert_int_equal(s.n, 0);
    wait_for(&s);
    assert_int_equal(s.err.code, PBAY_CANCELLED);
    pb_op_unbind(op);

    /* Answered at once, completed later: the rows stay until then. */
    op = bind_to(connector, "later");
    s = (struct seen){0};
    assert_int_equal(submit(op, 0, 50, PB_NO_DEADLINE, &s), 0);
    pb_op_cancel(s.call);
    pb_loop_drain(loop);
    assert_int_equal(s.n, 1);
    assert_int_equal(pb_op_in_flight(op), 1);
    assert_int_equal(pb_op_late(op), 1);
    while (pb_op_in_flight(op)) turn();
    assert_int_equal(s.n, 1);
    pb_op_unbind(op);

    /* The answer is there but not told: cancelling comes too late. */
    op = bind_to(connector, "echo");
    s = (struct seen){0};
    assert_int_equal(submit(op, 0, 3, PB_NO_DEADLINE, &s), 0);
    pb_op_cancel(s.call);
    wait_for(&s);
    check_echo(&s, 0, 3);
    pb_builder_unref(s.out);
    pb_op_unbind(op);
}

static void text_is(const pbay_batch *b, uint32_t c, const char *want)
{
    pbay_str s = pbay_cell_text(pbay_batch_col(b, c), 0);
    if (!pb_str_is(s, want)) fail_msg("%.*s, wanted %s", PB_FMT(s), want);
}

static void test_identity(void **state)
{
    (void)state;
    struct pb_op *op = bind_to(connector, "who");
    struct seen s = {0};
    assert_int_equal(submit(op, 0, 1, PB_NO_DEADLINE, &s), 0);
    wait_for(&s);
    assert_true(s.per_user && s.no_store);
    text_is(s.batch, 0, "kim");
    text_is(s.batch, 1, "app-1");
    text_is(s.batch, 2, "f");
    text_is(s.batch, 3, "00-trace");
    pb_builder_unref(s.out);
    pb_op_unbind(op);
}

/* ------------------------------------------------------------------------------------------------ streams */

static void on_describe(void *user, pbay_str name, const pbay_field *fields, uint32_t n)
{
    struct seen *s = user;
    s->describes++;
    assert_int_equal(s->emits, 0);
    assert_int_equal(n, 1);
    assert_true(pb_str_is(name, "numbers") && pb_str_is(fields[0].name, "n"));
}

static bool on_emit(void *user, struct pbay_builder *out, const pbay_batch *batch)
{
    struct seen *s = user;
    const pbay_column *col = pbay_batch_col(batch, 0);
    if (!s->emits++) s->first = col->num[0];
    s->in_order = s->emits == 1 || col->num[0] == s->last + 1;
    s->last = col->num[batch->n_rows - 1];
    s->rows += batch->n_rows;
    pb_builder_unref(out);
    return !s->hold;
}

static void on_ready(void *user)
{
    ((struct seen *)user)->readies++;
}

static const struct pb_op_stream_fns fns = {on_describe, on_emit, on_ready, on_complete};

static struct pb_op *open_to(const char *operation, struct seen *s)
{
    struct pb_op *op = bind_to(connector, operation);
    struct pb_op_context *ctx = context(PB_NO_DEADLINE);
    struct pb_err err;
    if (pb_op_open(op, ctx, 1, &fns, s, &s->call, &err)) fail_msg("%s", err.msg);
    pb_op_context_unref(ctx);
    return op;
}

static int32_t push(struct seen *s, uint32_t n)
{
    struct pbay_builder *b = numbers(n);
    int32_t code = pb_op_push(s->call, pb_builder_seal(b, NULL));
    pb_builder_unref(b);
    return code;
}

static void test_aggregate(void **state)
{
    (void)state;
    struct seen s = {0};
    struct pb_op *op = open_to("sum", &s);
    assert_int_equal(push(&s, 3), PBAY_OK);
    assert_int_equal(push(&s, 7), PBAY_LATER);
    while (!s.readies) turn();
    assert_int_equal(push(&s, 7), PBAY_OK);
    assert_int_equal(s.n + s.emits, 0);
    pb_op_end(s.call);
    assert_int_equal(s.n + s.emits, 0);
    wait_for(&s);
    assert_int_equal(s.err.code, PBAY_OK);
    assert_int_equal(s.rows, 1);
    assert_true(s.first == 3 + 21);
    assert_int_equal(s.readies, 1);
    pb_op_unbind(op);

    /* A push that fails is the end. */
    s = (struct seen){0};
    op = open_to("sum", &s);
    assert_int_equal(push(&s, 13), PBAY_CANCELLED);
    assert_int_equal(push(&s, 1), PBAY_CANCELLED);
    wait_for(&s);
    assert_int_equal(s.err.code, PBAY_OUT_OF_RANGE);
    assert_string_equal(s.err.msg, "thirteen rows are one too many");
    pb_op_unbind(op);
}

/* 40 batches of 512 KiB: never more than the window waits, and they come in order. */
static void test_table(void **state)
{
    (void)state;
    struct seen s = {.hold = true};
    struct pb_op *op = open_to("table", &s);
    for (int i = 0; i < 40; i++) assert_int_equal(push(&s, 2), PBAY_OK); /* the sum of 0 and 1 */
    pb_op_end(s.call);
    for (int i = 1; i <= 40; i++) {
        pb_loop_drain(loop);
        pb_loop_drain(loop);
        assert_int_equal(s.emits, i);
        assert_true(s.in_order);
        assert_int_equal(s.n, i == 40); /* the end needs no room */
        if (!s.n) pb_op_writable(s.call);
    }
    wait_for(&s);
    assert_int_equal(s.err.code, PBAY_OK);
    assert_int_equal(s.describes, 1);
    assert_int_equal(s.rows, 40 * 65536);
    pb_op_unbind(op);

    /* Cancelled half-way: no more rows. */
    s = (struct seen){.hold = true};
    op = open_to("table", &s);
    for (int i = 0; i < 40; i++) assert_int_equal(push(&s, 2), PBAY_OK);
    pb_op_end(s.call);
    pb_loop_drain(loop);
    assert_int_equal(s.emits, 1);
    pb_op_cancel(s.call);
    wait_for(&s);
    assert_int_equal(s.emits, 1);
    assert_int_equal(s.err.code, PBAY_CANCELLED);
    pb_op_unbind(op);
}

static void test_stream_faults(void **state)
{
    (void)state;
    struct seen s = {0};
    uint64_t before = faults();
    struct pb_op *op = open_to("undescribed", &s);
    assert_int_equal(push(&s, 2), PBAY_OK);
    pb_op_end(s.call);
    wait_for(&s);
    assert_int_equal(s.err.code, PBAY_INTERNAL);
    assert_non_null(strstr(s.err.msg, "before describe"));
    assert_int_equal(faults(), before + 1);
    pb_op_unbind(op);
}

/* A stream is timed when the next move is the plugin's, not while the caller takes his time. */
static void test_stream_timeout(void **state)
{
    (void)state;
    struct pb_connector *all = connector;
    static const char *const keys[] = {"timeout = 30ms", NULL};
    connector = make_connector("impatient", keys);
    struct seen s = {0};
    struct pb_op *op = open_to("stall", &s);
    assert_int_equal(push(&s, 2), PBAY_OK);
    int64_t until = pb_mono_ns() + 80 * PB_MS;
    while (pb_mono_ns() < until) {
        pb_loop_turn(loop, false);
        usleep(1000);
    }
    assert_int_equal(s.n, 0);
    pb_op_end(s.call);
    wait_for(&s);
    assert_int_equal(s.err.code, PBAY_DEADLINE_EXCEEDED);
    pb_op_unbind(op);
    assert_true(close_connector(connector, 1000));
    connector = all;
}

/* ------------------------------------------------------------------------------------------------ many */

/* Ten thousand cancelled calls leave nothing behind: the leak checker has the last word. */
static void test_many(void **state)
{
    (void)state;
    struct pb_op *op = bind_to(connector, "never");
    static struct seen s[64];
    for (int round = 0; round < 160; round++) {
        memset(s, 0, sizeof s);
        for (int i = 0; i < 64; i++) {
            assert_int_equal(submit(op, (uint32_t)i, 2, PB_NO_DEADLINE, &s[i]), 0);
            if (i % 2) pb_op_cancel(s[i].call);
        }
        for (int i = 0; i < 64; i += 2) pb_op_cancel(s[i].call);
        pb_loop_drain(loop);
        for (int i = 0; i < 64; i++) assert_int_equal(s[i].n, 1);
    }
    assert_int_equal(pb_op_in_flight(op), 0);
    pb_op_unbind(op);
}

int main(void)
{
    pb_log_level(NULL, PB_LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),           cmocka_unit_test(test_failures),
        cmocka_unit_test(test_faults),        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_cancel),        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_aggregate),     cmocka_unit_test(test_table),
        cmocka_unit_test(test_stream_faults), cmocka_unit_test(test_stream_timeout),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
