/* SPDX-License-Identifier: MIT */
/* Whole functions and evaluations: shapes, several calls at once, pieces, names, messages. */
#include "script/helpers.h"

#include "script/eval.h"
#include "script/function.h"

static struct pb_script_field num_x[] = {{{"x", 1}, PBAY_NUM, false}};
static struct pb_script_field num_out[] = {{{"", 0}, PBAY_NUM, false}};

static struct pbay_builder *numbers(const double *v, uint32_t n)
{
    struct pbay_builder *b = pb_builder_new();
    pb_builder_column(b, PB_STR("x"), PBAY_NUM);
    for (uint32_t i = 0; i < n; i++) pb_put_num(b, 0, v[i]);
    return b;
}

struct taken {
    uint64_t rows;
    uint32_t pieces;
    double last;
    bool stop;
};

static int take(void *arg, struct pbay_builder *rows)
{
    struct taken *t = arg;
    const pbay_batch *b = pb_builder_seal(rows, NULL);
    t->rows += b->n_rows;
    t->pieces++;
    t->last = pbay_batch_col(b, 0)->num[b->n_rows - 1];
    pb_builder_unref(rows);
    return t->stop;
}

static struct pb_fn *function(struct pb_vm *vm, struct pb_err *err)
{
    return pb_fn_new(vm,
                     &(struct pb_fn_options){
                         .path = "f.lua", .params = num_x, .n_params = 1, .returns = num_out, .n_returns = 1},
                     err);
}

static void test_map(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_vm *vm =
        vm_with_text("return function(x) if x < 0 then fail 'below' end return x * 2 end", NULL);
    struct pb_fn *f = function(vm, &err);
    assert_non_null(f);
    struct pbay_builder *in = numbers((double[]){1, -1, 3}, 3), *out = pb_builder_new();
    for (int i = 0; i < 2; i++)
        assert_int_equal(pb_fn_map(f, NULL, pb_builder_seal(in, NULL), 0, out, &err), 0);
    const pbay_batch *b = pb_builder_seal(out, NULL);
    assert_int_equal(b->n_rows, 6);
    assert_int_equal(b->n_row_errors, 2);
    assert_int_equal(b->row_errors[1].row, 4);
    assert_true(pbay_batch_col(b, 0)->num[5] == 6);
    pb_builder_unref(in);
    pb_builder_unref(out);
    pb_fn_free(f);
    pb_vm_free(vm);
}

static void test_two_calls_at_once(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_vm *vm =
        vm_with_text("return { init = function() return 0 end, step = function(s, x) return s + x end, "
                     "final = function(s) return s end }",
                     NULL);
    struct pb_fn *f = function(vm, &err);
    assert_non_null(f);
    assert_int_equal(pb_fn_shape(f), PB_FN_AGGREGATE);
    struct taken a = {0}, b = {0};
    struct pb_fn_call *one = pb_fn_open(f, NULL, take, &a, &err), *two = pb_fn_open(f, NULL, take, &b, &err);
    struct pbay_builder *in = numbers((double[]){1, 2, 3}, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pb_fn_push(one, pb_builder_seal(in, NULL), &err), 0);
        if (i) assert_int_equal(pb_fn_push(two, pb_builder_seal(in, NULL), &err), 0);
    }
    assert_int_equal(pb_fn_end(one, &err), 0);
    assert_int_equal(pb_fn_end(two, &err), 0);
    assert_true(a.last == 18 && b.last == 12 && a.rows == 1);
    pb_fn_close(one);
    pb_fn_close(two);
    pb_builder_unref(in);
    pb_fn_free(f);
    pb_vm_free(vm);
}

static void test_table_in_pieces(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_vm *vm = vm_with_text("return { columns = { 'n:num', 's:str' }, rows = function(emit) "
                                    "for i = 1, 50000 do emit(i, 'row') end end }",
                                    NULL);
    struct pb_fn *f = pb_fn_new(vm, &(struct pb_fn_options){.path = "f.lua"}, &err);
    assert_non_null(f);
    uint32_t n;
    assert_true(pb_fn_columns(f, &n)[1].kind == PBAY_STR && n == 2);
    struct taken t = {0};
    struct pb_fn_call *c = pb_fn_open(f, NULL, take, &t, &err);
    assert_int_equal(pb_fn_end(c, &err), 0);
    assert_int_equal(t.rows, 50000);
    assert_true(t.pieces > 2 && t.last == 50000);
    pb_fn_close(c);
    t = (struct taken){.stop = true};
    c = pb_fn_open(f, NULL, take, &t, &err);
    assert_int_equal(pb_fn_end(c, &err), -1);
    assert_int_equal(err.code, PBAY_CANCELLED);
    assert_int_equal(t.pieces, 1);
    pb_fn_close(c);
    pb_fn_free(f);
    pb_vm_free(vm);
}

/* emit kept beyond its call, and a row that breaks off inside a pcall. */
static void test_emit_misused(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_vm *vm =
        vm_with_text("local kept return { columns = { 'a:num', 'b:num' }, rows = function(emit)\n"
                     "if kept then kept(9, 9) end kept = emit emit(1, 2) pcall(emit, 3, 'x') end }",
                     NULL);
    struct pb_fn *f = pb_fn_new(vm, &(struct pb_fn_options){.path = "f.lua"}, &err);
    assert_non_null(f);
    struct taken t = {0};
    struct pb_fn_call *first = pb_fn_open(f, NULL, take, &t, &err);
    struct pb_fn_call *second = pb_fn_open(f, NULL, take, &t, &err);
    assert_int_equal(pb_fn_end(first, &err), 0);
    assert_int_equal(t.rows, 1);
    assert_true(t.last == 1);
    pb_fn_close(first);
    assert_int_equal(pb_fn_end(second, &err), -1);
    assert_non_null(strstr(err.msg, "emit is for the call it was given to"));
    pb_fn_close(second);
    pb_fn_free(f);
    pb_vm_free(vm);
}

static void test_step_error(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_vm *vm = vm_with_text("return { step = function(s, x)\n if x == 2 then error('two') end end, "
                                    "final = function() return 1 end }",
                                    NULL);
    struct pb_fn *f = function(vm, &err);
    struct taken t = {0};
    struct pb_fn_call *c = pb_fn_open(f, NULL, take, &t, &err);
    struct pbay_builder *in = numbers((double[]){1, 2, 3}, 3);
    assert_int_equal(pb_fn_push(c, pb_builder_seal(in, NULL), &err), -1);
    assert_non_null(strstr(err.msg, "f.lua:2: two (row 2: x = 2)"));
    assert_int_equal(pb_fn_end(c, &err), -1);
    assert_int_equal(t.pieces, 0);
    pb_fn_close(c);
    pb_builder_unref(in);
    pb_fn_free(f);
    pb_vm_free(vm);
}

/* ------------------------------------------------------------------------------------------------
 * evaluations */

static struct pb_script_field odd_names[] = {{{"Age", 3}, PBAY_NUM, false}, {{"end", 3}, PBAY_STR, false}};

static int evaluate(struct pb_vm *vm, const char *text, uint32_t shape, uint32_t answer,
                    struct pbay_builder *out, struct pb_err *err)
{
    struct pbay_builder *in = pb_builder_new();
    pb_builder_column(in, PB_STR("Age"), PBAY_NUM);
    pb_builder_column(in, PB_STR("end"), PBAY_STR);
    pb_put_num(in, 0, 20);
    pb_put_null(in, 0);
    pb_put_num(in, 0, 40);
    for (int i = 0; i < 3; i++) pb_put_text(in, 1, &"abc"[i], 1);
    struct pb_eval *e = pb_eval_new(
        vm,
        &(struct pb_eval_options){
            .source = pb_str_c(text), .params = odd_names, .n_params = 2, .shape = shape, .answer = answer},
        err);
    int rc = e ? 0 : -1;
    if (e) rc = pb_eval_push(e, NULL, pb_builder_seal(in, NULL), out, err);
    if (rc == 0) rc = pb_eval_end(e, NULL, out, err);
    pb_eval_free(e);
    pb_builder_unref(in);
    return rc;
}

static void test_eval(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t shape, answer;
        const char *rows[3];
    } cases[] = {
        {"Age and Age + 1", PB_EVAL_ROWS, PBAY_STR, {"21", NULL, "41"}},
        {"args[2]:upper() -- a comment", PB_EVAL_ROWS, PBAY_STR, {"A", "B", "C"}},
        {"local a = Age or 0\nreturn a > 30", PB_EVAL_ROWS, PBAY_STR, {"false", "false", "true"}},
        {"#args[2] .. table.concat(args[2])", PB_EVAL_AGGREGATE, PBAY_STR, {"3abc"}},
        {"local s = 0 for i = 1, Age.n do s = s + (Age[i] or 0) end return s",
         PB_EVAL_AGGREGATE,
         PBAY_STR,
         {"60"}},
    };
    struct pb_err err;
    struct pb_vm *vm = pb_eval_vm(NULL, &err);
    for (size_t i = 0; i < PB_COUNTOF(cases); i++) {
        struct pbay_builder *out = pb_builder_new();
        if (evaluate(vm, cases[i].text, cases[i].shape, cases[i].answer, out, &err) != 0)
            fail_msg("%s", err.msg);
        const pbay_batch *b = pb_builder_seal(out, NULL);
        assert_int_equal(b->n_rows, cases[i].shape == PB_EVAL_ROWS ? 3 : 1);
        for (uint32_t r = 0; r < b->n_rows; r++) assert_cell(b, 0, r, cases[i].rows[r]);
        pb_builder_unref(out);
    }
    pb_vm_free(vm);
}

static void test_eval_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
        uint32_t answer;
    } cases[] = {
        {"1 +", "script:1:", PBAY_NUM},
        {"local x = 1\nreturn x .. y", "script:2: \"y\" is not defined (row 1: Age = 20", PBAY_NUM},
        {"'abc'", "value 1 is \"abc\" where a number is declared", PBAY_NUM},
        {"{}", "is a table where a text is declared", PBAY_STR},
        {"'\\xff'", "UTF-8", PBAY_STR},
        {"ctx.nothing", "ctx", PBAY_STR},
    };
    struct pb_err err;
    struct pb_vm *vm = pb_eval_vm(NULL, &err);
    for (size_t i = 0; i < PB_COUNTOF(cases); i++) {
        struct pbay_builder *out = pb_builder_new();
        assert_int_equal(evaluate(vm, cases[i].text, PB_EVAL_ROWS, cases[i].answer, out, &err), -1);
        if (!strstr(err.msg, cases[i].error)) fail_msg("%s: %s", cases[i].text, err.msg);
        pb_builder_unref(out);
    }
    pb_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_two_calls_at_once),
        cmocka_unit_test(test_table_in_pieces),
        cmocka_unit_test(test_emit_misused),
        cmocka_unit_test(test_step_error),
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_eval_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
