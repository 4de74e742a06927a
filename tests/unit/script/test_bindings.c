/* SPDX-License-Identifier: MIT */
/* What scripts see, each as an expression and its text. */
#include "script/helpers.h"

#include "base/clock.h"
#include "script/eval.h"
#include "script/transform.h"

static const struct {
    const char *text, *want; /* NULL: nil */
} cases[] = {
    {"math.round(2.5) .. math.round(-2.5) .. math.round(1.005, 2)", "3-31.01"},
    {"math.round(1234, -2)", "1200"},
    {"math.round(0.1234499, 4)", "0.1234"},
    {"math.clamp(5, 1, 3) + math.clamp(-5, 1, 3) + math.clamp(2, 1, 3)", "6"},
    {"(math.argmax({1, 7, 7}))", "2"},
    {"(math.argmax(3, 2, nil, 9))", "4"},
    {"math.argmax({})", NULL},
    {"table.concat((' a,b ,, c'):split(','), '|')", " a|b || c"},
    {"#(''):split(';') .. ('a::b'):split('::')[2]", "1b"},
    {"(' x y\\n'):trim() .. tostring(('abc'):starts('ab')) .. tostring(('abc'):ends('x'))", "x ytruefalse"},
    {"json.encode({1, 2.5, 'a\"', json.null, {x = true}, json.array()})",
     "[1,2.5,\"a\\\"\",null,{\"x\":true},[]]"},
    {"json.encode(json.decode('[]')) .. json.encode(json.decode('{}'))", "[]{}"},
    {"json.decode('[9007199254740993]')[1]", "9007199254740993"},
    {"math.type(json.decode('1.0'))", "float"},
    {"json.decode('\"\\\\u00e9\\\\ud83d\\\\ude00\"')", "\xc3\xa9\xf0\x9f\x98\x80"},
    {"json.decode('null') == json.null and tostring(json.null)", "null"},
    {"pcall(json.decode, '[1,]') and 1 or 0", "0"},
    {"pcall(json.decode, '01') and 1 or 0", "0"},
    {"select(2, pcall(json.decode, '{\"a\":tru}')):match('byte %d+')", "byte 6"},
    {"pcall(json.encode, {1, x = 2}) and 1 or 0", "0"},
    {"pcall(json.encode, 0/0) and 1 or 0", "0"},
    {"csv.format('a', nil, 1.5, 'x,y', 'q\"')", "a,,1.5,\"x,y\",\"q\"\"\""},
    {"select(2, csv.fields('a,\"b \"\"q\"\",\",c'))", "b \"q\","},
    {"#csv.parse('a,b\\r\\n\"1\\n2\",\\n') .. csv.parse('a;b', ';')[1][2]", "2b"},
    {"pcall(csv.parse, '\"open') and 1 or 0", "0"},
    {"date.format(date.parse('2026-11-21T07:31:05+01:00'))", "2026-11-21T06:31:05.000Z"},
    {"date.parse('yesterday')", NULL},
    {"patchbay.version >= 1", "true"},
    {"ctx.user .. ctx['function'] .. tostring(ctx.app) .. ctx.now", "meffnil42"},
    {"os.time and not os.getenv", "true"},
    {"('x'):rep(3, '-')", "x-x-x"},
};

static void test_values(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_vm *vm = pb_eval_vm(NULL, &err);
    for (size_t i = 0; i < PB_COUNTOF(cases); i++) {
        struct pb_script_ctx ctx = {.user = PB_STR("me"), .function = PB_STR("ff"), .now_ms = 42};
        struct pbay_builder *out = pb_builder_new();
        struct pb_eval *e = pb_eval_new(vm,
                                        &(struct pb_eval_options){.source = pb_str_c(cases[i].text),
                                                                  .shape = PB_EVAL_AGGREGATE,
                                                                  .answer = PBAY_STR},
                                        &err);
        if (!e || pb_eval_end(e, &ctx, out, &err) != 0) fail_msg("%s: %s", cases[i].text, err.msg);
        const pbay_batch *b = pb_builder_seal(out, NULL);
        if (cases[i].want) {
            pbay_str got = pbay_cell_text(pbay_batch_col(b, 0), 0);
            if (!pb_str_is(got, cases[i].want)) fail_msg("%s: %.*s", cases[i].text, PB_FMT(got));
        } else {
            assert_true(pbay_cell_null(pbay_batch_col(b, 0), 0));
        }
        assert_int_equal(ctx.personal, strstr(cases[i].text, "ctx.user") != NULL);
        pb_eval_free(e);
        pb_builder_unref(out);
    }
    pb_vm_free(vm);
}

static int two_files(void *arg, pbay_str path, struct pb_buf *out, struct pb_err *err)
{
    (void)arg;
    if (pb_str_is(path, "t.lua"))
        pb_buf_c(out, "local plans = lookup 'plans.csv'\nreturn { before = function(x) local a, b = plans(x) "
                      "return a, b, plans(x, 'rate'), plans[tostring(math.tointeger(x))], pcall(lookup, "
                      "'plans.csv') end }");
    else if (pb_str_is(path, "plans.csv"))
        pb_buf_c(out, "id,name,rate\r\n7,gold,1.5\n8,\"i,ron\",2\n");
    else
        return pb_fail(err, PBAY_NOT_FOUND, "no such file");
    return 0;
}

static void test_lookup(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_vm *vm = pb_vm_new(&(struct pb_vm_options){.read = two_files}, &err);
    struct pb_transform *t = pb_transform_new(vm, &(struct pb_transform_options){.path = "t.lua"}, &err);
    if (!t) fail_msg("%s", err.msg);
    struct pbay_builder *in = pb_builder_new();
    pb_builder_column(in, PB_STR("x"), PBAY_NUM);
    pb_put_num(in, 0, 8);
    struct pb_sent s = {0};
    if (pb_transform_before(t, NULL, pb_builder_seal(in, NULL), 0, &s, &err) != 0) fail_msg("%s", err.msg);
    const pbay_batch *b = pb_builder_seal(s.rows, NULL);
    assert_cell(b, 0, 0, "i,ron");
    assert_cell(b, 1, 0, "2");
    assert_cell(b, 2, 0, "2");
    assert_cell(b, 3, 0, "i,ron");
    assert_cell(b, 4, 0, "false"); /* only while a script is loaded */
    pb_sent_drop(&s);
    pb_builder_unref(in);
    pb_transform_free(t);
    pb_vm_free(vm);
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const wrong[] = {"../x.lua", "/etc/passwd", "a//b",       "",
                                        "a/../b",   "./a",         "missing.lua"};
    struct pb_err err;
    struct pb_vm *vm = pb_vm_new(&(struct pb_vm_options){.dir = PB_TESTS_DIR}, &err);
    for (size_t i = 0; i < PB_COUNTOF(wrong); i++) assert_null(pb_script_load(vm, wrong[i], &err));
    pb_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_lookup),
                                       cmocka_unit_test(test_paths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
