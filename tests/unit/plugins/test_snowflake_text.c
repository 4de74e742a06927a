/* SPDX-License-Identifier: MIT */
/* Headers and lines of the snowflake plugin, without a host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../../plugins/snowflake/csv_line.h"
#include "../../../plugins/snowflake/headers.h"

static pbay_str json_text(pbay_str json)
{
    /* The strings of these tests have one escape at most. */
    static char buf[64];
    size_t n = 0;
    if (*json.p != '"') return json;
    for (size_t i = 1; i + 1 < json.n; i++) {
        if (json.p[i] == '\\') i++;
        buf[n++] = json.p[i];
    }
    return (pbay_str){buf, n};
}

static const pbay_batch_1 batch = {.struct_size = sizeof batch, .json_text = json_text};
static const struct snowflake snow = {.batch = &batch};

static void expect_line(const char *json, const char *wanted)
{
    pbay_text t = {0};
    const char *wrong = csv_line_of_array(&snow, str_c(json), &t);
    if (!wanted) {
        assert_non_null(wrong);
    } else {
        assert_null(wrong);
        pbay_text_c(&t, "");
        assert_int_equal(t.n, strlen(wanted));
        assert_memory_equal(t.n ? t.p : "", wanted, t.n);
    }
    pbay_text_free(&t);
}

static void lines(void **state)
{
    (void)state;
    expect_line("[-0.32,0.29,0]", "-0.32,0.29,0");
    expect_line("[ 1 , 2.50,\n3e4 ]", "1,2.50,3e4");
    expect_line("[]", "");
    expect_line("[null,true,\"a\"]", ",true,a");
    expect_line("[\"a,b\",\"say \\\"x\\\"\"]", "\"a,b\",\"say \"\"x\"\"\"");
    expect_line("7", "7");
    expect_line("\"x\"", "x");
    expect_line("[[1]]", NULL);
    expect_line("[1,{\"a\":1}]", NULL);
    expect_line("{\"a\":1}", NULL);
}

static void twins(void **state)
{
    (void)state;
    const pbay_header headers[] = {
        {STR("sf-external-function-name"), STR("F  N")},
        {STR("sf-external-function-name-base64"), STR("RsOkTg==")},
        {STR("sf-external-function-signature"), STR("(N NUMBER)")},
        {STR("sf-external-function-signature-base64"), STR("KE4gTlVNQkVSKQ==")},
        {STR("sf-context-current-user"), STR("KIM")},
        {STR("sf-external-function-query-batch-id"), STR("01b:1:1:0:0")},
        {STR("sf-custom-sagemaker-endpoint-name"), STR("churn-v1")},
    };
    struct sf_headers h;
    const char *wrong = NULL;
    assert_int_equal(sf_headers_read(&h, headers, 7, &wrong), 0);
    assert_true(str_is(h.name, "F\303\244N"));
    assert_true(str_is(h.signature, "(N NUMBER)"));
    assert_true(str_is(h.user, "KIM"));
    assert_true(str_is(h.batch_id, "01b:1:1:0:0"));
    assert_int_equal(h.query_id.n, 0);
    assert_true(str_is(sf_header(headers, 7, "sf-custom-sagemaker-endpoint-name"), "churn-v1"));
    assert_int_equal(sf_header(headers, 7, "sf-custom-sagemaker-region").n, 0);
    sf_headers_free(&h);
}

static void bad_twins(void **state)
{
    (void)state;
    static const char *const BAD[] = {"!", "A", "AAAAA", "/w==", "w6Q", "7aCA", "AA=A"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        const pbay_header header = {STR("sf-context-current-user-base64"), str_c(BAD[i])};
        struct sf_headers h;
        const char *wrong = NULL;
        int rc = sf_headers_read(&h, &header, 1, &wrong);
        assert_int_equal(rc, i == 4 ? 0 : -1); /* without its padding it is good */
        if (rc) assert_non_null(strstr(wrong, "base64"));
        sf_headers_free(&h);
    }
    const pbay_header format = {STR("sf-external-function-format"), STR("xml")},
                      version = {STR("sf-external-function-format-version"), STR("2.0")};
    struct sf_headers h;
    const char *wrong = NULL;
    assert_int_equal(sf_headers_read(&h, &format, 1, &wrong), -1);
    sf_headers_free(&h);
    assert_int_equal(sf_headers_read(&h, &version, 1, &wrong), -1);
    sf_headers_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(twins),
        cmocka_unit_test(bad_twins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
