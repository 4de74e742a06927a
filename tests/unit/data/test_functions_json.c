/* SPDX-License-Identifier: MIT */
/* functions.json: the shapes that operators have, and what is said about the ones that are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "data/functions_json.h"

static struct pb_buf read_sample(const char *module)
{
    char path[1024];
    struct pb_buf b = {0};
    snprintf(path, sizeof path, "%s/data/qrag/%s/functions.json", PB_TESTS_DIR, module);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s cannot be opened", path);
    for (size_t n; (n = fread(pb_buf_room(&b, 65536), 1, 65536, f)) > 0;) b.n += n;
    fclose(f);
    return b;
}

static struct pb_qrag_functions *load(const char *module, enum pb_qrag_params order)
{
    struct pb_buf b = read_sample(module);
    struct pb_qrag_functions *f = NULL;
    struct pb_err err = {0};
    if (pb_qrag_functions_parse(module, pb_buf_view(&b), order, &f, &err) != 0) fail_msg("%s", err.msg);
    pb_buf_free(&b);
    return f;
}

static void function_is(const struct pb_qrag_functions *f, size_t i, const char *name, const char *type,
                        size_t n_params)
{
    assert_true(i < f->n);
    assert_int_equal(f->functions[i].id, i);
    assert_true(pb_str_is(f->functions[i].name, name));
    assert_true(pb_str_is(f->functions[i].qrap_type, type));
    assert_int_equal(f->functions[i].type, 2);
    assert_int_equal(f->functions[i].return_type, 0);
    assert_int_equal(f->functions[i].n_params, n_params);
    assert_false(f->functions[i].cache_given);
}

static void param_is(const struct pb_qrag_functions *f, size_t i, size_t p, const char *name)
{
    if (!pb_str_is(f->functions[i].params[p].name, name))
        fail_msg("parameter %zu is %.*s, expected %s", p, PB_FMT(f->functions[i].params[p].name), name);
}

static void test_shipped(void **state)
{
    (void)state;
    struct pb_qrag_functions *f = load("sagemaker", PB_QRAG_PARAMS_SORTED);
    assert_int_equal(f->n, 16);
    function_is(f, 0, "sample_single", "rest_single", 1);
    function_is(f, 1, "sample_30", "rest_30", 30);
    function_is(f, 3, "sample_ws_batch", "ws_batch", 1);
    function_is(f, 15, "movie_rating", "rest_template", 2);
    assert_int_equal(f->functions[0].line, 3);
    assert_int_equal(f->functions[1].line, 13);
    pb_qrag_functions_free(f);
    static const struct {
        const char *module;
        size_t n;
    } others[] = {{"precog", 5}, {"databricks", 1}, {"cognitive_services", 5}, {"peloton", 5}};
    for (size_t i = 0; i < PB_COUNTOF(others); i++) {
        f = load(others[i].module, PB_QRAG_PARAMS_SORTED);
        assert_int_equal(f->n, others[i].n);
        pb_qrag_functions_free(f);
    }
    f = load("peloton", PB_QRAG_PARAMS_FILE);
    function_is(f, 0, "get_instructors", "instructors", 0);
    function_is(f, 4, "echo_table", "echo_table", 1);
    pb_qrag_functions_free(f);
}

/* Arguments go by position, so this order is what an expression means. */
static void test_order(void **state)
{
    (void)state;
    struct pb_qrag_functions *f = load("sagemaker", PB_QRAG_PARAMS_SORTED);
    static const char *const first[] = {"col1", "col10", "col11"};
    for (size_t i = 0; i < 3; i++) param_is(f, 1, i, first[i]);
    param_is(f, 1, 11, "col2");
    param_is(f, 1, 12, "col20");
    param_is(f, 1, 29, "col9");
    param_is(f, 15, 0, "items");
    param_is(f, 15, 1, "user_id");
    pb_qrag_functions_free(f);
    f = load("sagemaker", PB_QRAG_PARAMS_FILE);
    for (size_t i = 0; i < 30; i++) {
        char name[16];
        snprintf(name, sizeof name, "col%zu", i + 1);
        param_is(f, 1, i, name);
    }
    param_is(f, 15, 0, "user_id");
    pb_qrag_functions_free(f);
}

static void refused(const char *text, const char *msg)
{
    struct pb_err err = {0};
    struct pb_qrag_functions *f = (void *)1;
    int rc = pb_qrag_functions_parse("f.json", pb_str_c(text), PB_QRAG_PARAMS_SORTED, &f, &err);
    assert_string_equal(err.msg, msg);
    assert_int_equal(rc, -1);
    assert_null(f);
    assert_int_equal(err.code, PBAY_INVALID_ARGUMENT);
}

static void test_not_json(void **state)
{
    (void)state;
    struct pb_buf b = read_sample("gcp");
    pb_buf_ch(&b, '\0');
    refused(b.p, "f.json:81:7: this is not JSON: ':' expected near '}'");
    pb_buf_free(&b);
    refused("", "f.json:1:1: this is not JSON: '[' or '{' expected near end of file");
    refused("{\"Functions\": [\n{]", "f.json:2:2: this is not JSON: string or '}' expected near ']'");
    refused("{\"Functions\": [], \"Functions\": []}",
            "f.json:1:29: this is not JSON: duplicate object key near '\"Functions\"'");
    refused("{\"Functions\": [\"\xff\"]}",
            "f.json:1:16: this is not JSON: unable to decode byte 0xff near '\"'");
}

static void test_wrong(void **state)
{
    (void)state;
    static const char shape[] = "expected {\"Functions\": [ ... ]}";
    char msg[256];
    snprintf(msg, sizeof msg, "f.json: the file holds an array; %s", shape);
    refused("[]", msg);
    snprintf(msg, sizeof msg, "f.json: \"Functions\" is missing; %s", shape);
    refused("{\"functions\": []}", msg);
    snprintf(msg, sizeof msg, "f.json: \"Functions\" is an object; %s", shape);
    refused("{\"Functions\": {}}", msg);
    refused("{\"Functions\": [\n 5]}", "f.json:2: Functions[0]: it is an integer; expected an object");
    refused("{\"x\": [1, {\"Functions\": [1]}], \"Functions\": [\n\n {}]}",
            "f.json:3: Functions[0]: \"Name\" is missing");
    refused("{\"Functions\": [{\"Name\": \"a b\"}]}",
            "f.json:1: Functions[0] (a b): Qlik takes only letters, digits and _ in a function's name");
    refused("{\"Functions\": [{\"Name\": \"\"}]}", "f.json:1: Functions[0]: \"Name\" is empty");
    refused("{\"Functions\": [{\"Name\": 5}]}",
            "f.json:1: Functions[0]: \"Name\" is an integer; expected a string");
#define A "{\"Functions\": [{\"Name\": \"a\", "
    refused(A "\"x\":1}]}", "f.json:1: Functions[0] (a): \"Id\" is missing");
    refused(A "\"Id\":-1}]}",
            "f.json:1: Functions[0] (a): \"Id\" is -1; expected an integer from 0 to 2147483647");
    refused(A "\"Id\":2147483648}]}",
            "f.json:1: Functions[0] (a): \"Id\" is 2147483648; expected an integer from 0 to 2147483647");
    refused(A "\"Id\":1.0}]}", "f.json:1: Functions[0] (a): \"Id\" is a number with a fraction; expected an "
                               "integer from 0 to 2147483647");
    refused(A "\"Id\":1}]}", "f.json:1: Functions[0] (a): \"Type\" is missing");
    refused(A "\"Id\":1,\"Type\":3}]}",
            "f.json:1: Functions[0] (a): \"Type\" is 3; expected 0 (scalar), 1 (aggregation) or 2 (tensor)");
    refused(A "\"Id\":1,\"FunctionType\":3}]}", "f.json:1: Functions[0] (a): \"FunctionType\" is 3; expected "
                                                "0 (scalar), 1 (aggregation) or 2 (tensor)");
    refused(A "\"Id\":1,\"Type\":2,\"ReturnType\":true}]}",
            "f.json:1: Functions[0] (a): \"ReturnType\" is true or false; expected 0 (string), 1 (numeric) "
            "or 2 (dual)");
#define B A "\"Type\":2,\"ReturnType\":0,"
    refused(B "\"Id\":1}]}", "f.json:1: Functions[0] (a): \"QRAP_Type\" is missing");
#define C B "\"QRAP_Type\":\"x\",\"Id\":1"
    refused(C "}]}", "f.json:1: Functions[0] (a): \"Params\" is missing");
    refused(C ",\"Params\":[]}]}",
            "f.json:1: Functions[0] (a): \"Params\" is an array; expected an object of names and types");
    refused(C ",\"Params\":{\"p\":null}}]}",
            "f.json:1: Functions[0] (a): \"Params.p\" is null; expected 0 (string), 1 (numeric) or 2 (dual)");
    refused(C ",\"Params\":{},\"CacheResultInQlik\":\"maybe\"}]}",
            "f.json:1: Functions[0] (a): \"CacheResultInQlik\" is neither true nor false");
#define REST "\"Type\":2,\"ReturnType\":0,\"QRAP_Type\":\"x\",\"Params\":{}"
    refused(C ",\"Params\":{}},\n{\"Name\":\"b\",\"Id\":1," REST "}]}",
            "f.json:2: Functions[1] (b): \"Id\" 1 is taken by Functions[0] (a) in line 1");
    refused(C ",\"Params\":{}},\n{\"Name\":\"c\",\"Id\":2," REST "},\n\n {\"Name\":\"a\",\"Id\":3," REST
              "}]}",
            "f.json:4: Functions[2] (a): \"Name\" a is taken by Functions[0] (a) in line 1");
}

static void test_accepted(void **state)
{
    (void)state;
    static const char text[] =
        "\xef\xbb\xbf{\"Functions\": [{\"Name\":\"a\",\"Id\":7,\"FunctionType\":1,\"ReturnType\":2,"
        "\"QRAP_Type\":\"x\",\"CacheResultInQlik\":\"True\",\"Other\":[1,{\"a\":\"]\"}],"
        "\"Params\":{\"z\":2,\"\xc3\xa4\":1,\"B\":0}},"
        "\r\n{\"Name\":\"b\",\"Id\":3,\"CacheResultInQlik\":false," REST "}]}";
    struct pb_qrag_functions *f;
    struct pb_err err = {0};
    assert_int_equal(pb_qrag_functions_parse("f", pb_str_c(text), PB_QRAG_PARAMS_SORTED, &f, &err), 0);
    assert_int_equal(f->functions[0].id, 7);
    assert_int_equal(f->functions[0].type, 1);
    assert_int_equal(f->functions[0].return_type, 2);
    assert_true(f->functions[0].cache_given && f->functions[0].cache);
    param_is(f, 0, 0, "B");
    param_is(f, 0, 1, "z");
    param_is(f, 0, 2, "\xc3\xa4");
    assert_int_equal(f->functions[0].params[1].type, 2);
    assert_int_equal(f->functions[0].params[2].type, 1);
    assert_int_equal(f->functions[1].id, 3);
    assert_int_equal(f->functions[1].line, 2);
    assert_true(f->functions[1].cache_given && !f->functions[1].cache);
    pb_qrag_functions_free(f);
    assert_int_equal(
        pb_qrag_functions_parse("f", PB_STR("{\"Functions\":[]}"), PB_QRAG_PARAMS_FILE, &f, &err), 0);
    assert_int_equal(f->n, 0);
    pb_qrag_functions_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shipped), cmocka_unit_test(test_order),    cmocka_unit_test(test_not_json),
        cmocka_unit_test(test_wrong),   cmocka_unit_test(test_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
