/* SPDX-License-Identifier: MIT */
/* Transforms over batches: order, nulls, rows left out, rows that fail, widening, whole columns. */
#include "script/helpers.h"

#include "script/transform.h"

struct fix {
    struct pb_vm *vm;
    struct pb_transform *t;
    struct pbay_builder *in, *ans, *out;
    struct pb_sent sent;
    struct pb_script_ctx ctx;
    struct pb_err err;
};

static struct pb_script_field two[] = {{{"age", 3}, PBAY_NUM, false}, {{"plan", 4}, PBAY_STR, false}};

static void open_fix(struct fix *f, const char *text, struct pb_transform_options o)
{
    memset(f, 0, sizeof *f);
    f->vm = vm_with_text(text, NULL);
    o.path = "t.lua";
    o.params = two;
    o.n_params = 2;
    f->t = pb_transform_new(f->vm, &o, &f->err);
    if (!f->t) fail_msg("%s", f->err.msg);
    f->in = pb_builder_new();
    pb_builder_column(f->in, PB_STR("age"), PBAY_NUM);
    pb_builder_column(f->in, PB_STR("plan"), PBAY_STR);
    f->ans = pb_builder_new();
    f->out = pb_builder_new();
}

static void row(struct fix *f, double age, const char *plan)
{
    if (age < 0)
        pb_put_null(f->in, 0);
    else
        pb_put_num(f->in, 0, age);
    if (plan)
        pb_put_text(f->in, 1, plan, strlen(plan));
    else
        pb_put_null(f->in, 1);
}

static int before(struct fix *f)
{
    return pb_transform_before(f->t, &f->ctx, pb_builder_seal(f->in, NULL), 100, &f->sent, &f->err);
}

static int after(struct fix *f)
{
    const pbay_batch *a = f->sent.n_kept ? pb_builder_seal(f->ans, NULL) : NULL;
    return pb_transform_after(f->t, &f->ctx, a, pb_builder_seal(f->in, NULL), &f->sent, 100, f->out, &f->err);
}

static void close_fix(struct fix *f)
{
    pb_sent_drop(&f->sent);
    pb_transform_free(f->t);
    pb_builder_unref(f->in);
    pb_builder_unref(f->ans);
    pb_builder_unref(f->out);
    pb_vm_free(f->vm);
}

static struct pb_script_field str1[] = {{{"answer", 6}, PBAY_STR, false}};
static struct pb_script_field num1[] = {{{"answer", 6}, PBAY_NUM, false}};

static void test_there_and_back(void **state)
{
    (void)state;
    struct fix f;
    open_fix(
        &f,
        "return { before = function(age, plan) if not plan then return end return age, plan:lower() end,\n"
        "after = function(score, age) return score > 0.5 and 'leaves' .. math.tointeger(age) or 'stays' end "
        "}",
        (struct pb_transform_options){.returns = str1, .n_returns = 1});
    row(&f, 30, "GOLD");
    row(&f, 40, NULL);
    row(&f, 50, "Iron");
    row(&f, 60, "x");
    assert_int_equal(before(&f), 0);
    assert_int_equal(f.sent.n_kept, 3);
    assert_int_equal(f.sent.kept[1], 2);
    const pbay_batch *s = pb_builder_seal(f.sent.rows, NULL);
    assert_int_equal(s->n_cols, 2);
    assert_int_equal(pbay_batch_col(s, 0)->kind, PBAY_NUM);
    assert_cell(s, 1, 0, "gold");
    assert_cell(s, 1, 2, "x");
    pb_builder_column(f.ans, PB_STR(""), PBAY_NUM);
    pb_put_num(f.ans, 0, 0.9);
    pb_put_num(f.ans, 0, 0.1);
    pb_put_null(f.ans, 0);
    assert_int_equal(after(&f), 0);
    const pbay_batch *o = pb_builder_seal(f.out, NULL);
    assert_int_equal(o->n_rows, 4);
    assert_cell(o, 0, 0, "leaves30");
    assert_cell(o, 0, 1, NULL);
    assert_cell(o, 0, 2, "stays");
    assert_cell(o, 0, 3, NULL);
    close_fix(&f);
}

static void test_error_says_where(void **state)
{
    (void)state;
    struct fix f;
    open_fix(&f, "return {\n before = function(age, plan)\n  return age + 1, plan end }",
             (struct pb_transform_options){0});
    row(&f, 1, "a");
    row(&f, -1, "q\"\x1b");
    assert_int_equal(before(&f), -1);
    assert_non_null(strstr(f.err.msg, "t.lua:3:"));
    assert_non_null(strstr(f.err.msg, "row 102"));
    assert_non_null(strstr(f.err.msg, "age = null, plan = \"q\\\"\\u001b\""));
    close_fix(&f);
}

static void test_error_null_and_fail(void **state)
{
    (void)state;
    struct fix f;
    open_fix(&f,
             "return { before = function(age, plan) if plan == 'f' then fail 'no f' end return age + 1 end,\n"
             "after = function(v, age) if v == 7 then error('seven') end return v end }",
             (struct pb_transform_options){.returns = num1, .n_returns = 1, .error_null = true});
    row(&f, -1, "a"); /* raises: null */
    row(&f, 1, "f");  /* fails alone */
    row(&f, 2, "b");
    row(&f, 3, "c");
    assert_int_equal(before(&f), 0);
    assert_int_equal(f.sent.n_kept, 2);
    assert_int_equal(f.sent.n_failed, 1);
    assert_int_equal(f.ctx.n_nulled, 1);
    pb_builder_column(f.ans, PB_STR(""), PBAY_NUM);
    pb_put_num(f.ans, 0, 7);
    pb_put_num(f.ans, 0, 8);
    assert_int_equal(after(&f), 0);
    const pbay_batch *o = pb_builder_seal(f.out, NULL);
    assert_int_equal(o->n_rows, 4);
    for (uint32_t i = 0; i < 3; i++) assert_true(pbay_cell_null(pbay_batch_col(o, 0), i));
    assert_true(pbay_batch_col(o, 0)->num[3] == 8);
    assert_int_equal(o->n_row_errors, 1);
    assert_int_equal(o->row_errors[0].row, 1);
    assert_int_equal(f.ctx.n_nulled, 2);
    close_fix(&f);
}

static void test_widening(void **state)
{
    (void)state;
    struct fix f;
    open_fix(&f,
             "return { before = function(age, plan) if plan == 'n' then return nil, 1.5 end\n"
             "if plan == 's' then return 'x', 2 end return 4, {1, 'q'} end }",
             (struct pb_transform_options){0});
    row(&f, 1, "n");
    row(&f, 1, "s");
    row(&f, 1, "t");
    assert_int_equal(before(&f), 0);
    const pbay_batch *s = pb_builder_seal(f.sent.rows, NULL);
    assert_cell(s, 0, 0, NULL);
    assert_cell(s, 0, 1, "x");
    assert_cell(s, 0, 2, "4");
    assert_int_equal(pbay_batch_col(s, 1)->kind, PBAY_JSON);
    assert_cell(s, 1, 0, "1.5");
    assert_cell(s, 1, 2, "[1,\"q\"]");
    close_fix(&f);
}

static void test_columns(void **state)
{
    (void)state;
    struct fix f;
    open_fix(
        &f,
        "return { before_batch = function(a, p) for i = 1, a.n do a[i] = (a[i] or 0) * 2 end return a end,\n"
        "after_batch = function(v, a) local t = {n = v.n} for i = 1, v.n do if i > 1 then t[i] = v[i] + a[i] "
        "end end "
        "return t end }",
        (struct pb_transform_options){.returns = num1, .n_returns = 1});
    row(&f, 1, "a");
    row(&f, 2, "b");
    assert_int_equal(before(&f), 0);
    assert_true(f.sent.rows->cols[0].num[1] == 4);
    pb_builder_column(f.ans, PB_STR(""), PBAY_NUM);
    pb_put_num(f.ans, 0, 10);
    pb_put_num(f.ans, 0, 20);
    assert_int_equal(after(&f), 0);
    const pbay_batch *o = pb_builder_seal(f.out, NULL);
    assert_true(pbay_cell_null(pbay_batch_col(o, 0), 0));
    assert_true(pbay_batch_col(o, 0)->num[1] == 22);
    close_fix(&f);
}

/* after_batch sees the rows that were sent alone, and its results go back into their places. */
static void test_columns_with_gaps(void **state)
{
    (void)state;
    struct fix f;
    open_fix(&f,
             "return { before = function(a, p) if p == 'f' then fail 'no' end if a then return a end end,\n"
             "after_batch = function(v, a) for i = 1, v.n do v[i] = v[i] + a[i] end return v end }",
             (struct pb_transform_options){.returns = num1, .n_returns = 1});
    row(&f, -1, "a");
    row(&f, 2, "b");
    row(&f, 3, "f");
    row(&f, 4, "d");
    assert_int_equal(before(&f), 0);
    assert_int_equal(f.sent.n_kept, 2);
    pb_builder_column(f.ans, PB_STR(""), PBAY_NUM);
    pb_put_num(f.ans, 0, 10);
    pb_put_num(f.ans, 0, 20);
    assert_int_equal(after(&f), 0);
    const pbay_batch *o = pb_builder_seal(f.out, NULL);
    assert_int_equal(o->n_rows, 4);
    assert_true(pbay_cell_null(pbay_batch_col(o, 0), 0) && pbay_cell_null(pbay_batch_col(o, 0), 2));
    assert_true(pbay_batch_col(o, 0)->num[1] == 12 && pbay_batch_col(o, 0)->num[3] == 24);
    assert_int_equal(o->n_row_errors, 1);
    assert_int_equal(o->row_errors[0].row, 2);
    close_fix(&f);
}

static void test_after_alone(void **state)
{
    (void)state;
    struct fix f;
    open_fix(&f, "return { after = function(v, age, plan) return v .. plan end }",
             (struct pb_transform_options){0});
    row(&f, 1, "a");
    row(&f, 2, "b");
    assert_int_equal(before(&f), 0);
    assert_int_equal(f.sent.n_kept, 2);
    assert_cell(pb_builder_seal(f.sent.rows, NULL), 1, 1, "b");
    pb_builder_column(f.ans, PB_STR(""), PBAY_STR);
    pb_put_text(f.ans, 0, "x", 1);
    pb_put_text(f.ans, 0, "y", 1);
    assert_int_equal(after(&f), 0);
    assert_cell(pb_builder_seal(f.out, NULL), 0, 0, "xa");
    assert_cell(pb_builder_seal(f.out, NULL), 0, 1, "yb");
    close_fix(&f);
}

static void test_nothing_sent(void **state)
{
    (void)state;
    struct fix f;
    open_fix(&f, "return { before = function() end, after = function(v) return v end }",
             (struct pb_transform_options){0});
    row(&f, 1, "a");
    assert_int_equal(before(&f), 0);
    assert_int_equal(f.sent.n_kept, 0);
    assert_int_equal(after(&f), 0);
    assert_int_equal(pb_builder_rows(f.out), 1);
    close_fix(&f);
}

static void test_wrong_scripts(void **state)
{
    (void)state;
    static const char *const wrong[] = {"return 5",
                                        "return {}",
                                        "return { befor = function() end }",
                                        "return { before = 3 }",
                                        "x x",
                                        "return { before = undefined_thing }"};
    for (size_t i = 0; i < PB_COUNTOF(wrong); i++) {
        struct pb_err err;
        struct pb_vm *vm = vm_with_text(wrong[i], NULL);
        assert_null(pb_transform_new(vm, &(struct pb_transform_options){.path = "t.lua"}, &err));
        assert_non_null(strstr(err.msg, "t.lua"));
        pb_vm_free(vm);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_error_says_where),
        cmocka_unit_test(test_error_null_and_fail),
        cmocka_unit_test(test_widening),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_columns_with_gaps),
        cmocka_unit_test(test_after_alone),
        cmocka_unit_test(test_nothing_sent),
        cmocka_unit_test(test_wrong_scripts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
