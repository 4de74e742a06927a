/* SPDX-License-Identifier: MIT */
/* The sagemaker plugin's text work: answers of endpoints, paths into them, the shared files, old REST
 * messages. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../../plugins/sagemaker/aws_endpoint.h"
#include "../../../plugins/sagemaker/aws_files.h"
#include "../../../plugins/sagemaker/qrag_body.h"
#include "../../../plugins/sagemaker/qrag_frame.h"
#include "../../../plugins/sagemaker/qrag_message.h"
#include "../../../plugins/sagemaker/reply.h"
#include "base/attr.h"
#include "base/buf.h"

/* Cells as "a|b;c|d;": columns and rows; null is ~, a number is bare, a text in quotes. */
static void cell(struct pb_buf *b, uint32_t row, uint32_t col)
{
    static uint32_t last_row;
    if (row == 0 && col == 0) last_row = 0;
    if (row != last_row) pb_buf_ch(b, ';');
    if (col) pb_buf_ch(b, '|');
    last_row = row;
}

static void num(void *user, uint32_t row, uint32_t col, double v)
{
    cell(user, row, col);
    pb_buf_printf(user, "%.17g", v);
}

static void text(void *user, uint32_t row, uint32_t col, pbay_str v)
{
    cell(user, row, col);
    pb_buf_printf(user, "'%.*s'", PB_FMT(v));
}

static void null(void *user, uint32_t row, uint32_t col)
{
    cell(user, row, col);
    pb_buf_ch(user, '~');
}

static char *parse(const char *body, uint32_t rows, const char *kinds, const char *path)
{
    static char result[4096];
    static const pbay_str NAMES[] = {{"label", 5}, {"score", 5}, {"third", 5}};
    uint32_t k[3] = {0};
    struct path p;
    const char *why = NULL;
    char reason[REPLY_WHY];
    int32_t code = 0;
    for (size_t i = 0; kinds[i]; i++)
        k[i] = kinds[i] == 'n' ? PBAY_NUM : kinds[i] == 'j' ? PBAY_JSON : PBAY_STR;
    if (path_parse(pb_str_c(path), &p, &why)) {
        snprintf(result, sizeof result, "path: %s", why);
        return result;
    }
    struct pb_buf b = {0};
    struct reply_shape shape = {rows, (uint32_t)strlen(kinds), k, NAMES, &p};
    struct reply_sink sink = {&b, num, text, null};
    if (reply_parse(pb_str_c(body), &shape, &sink, &code, reason) == 0)
        snprintf(result, sizeof result, "%.*s", (int)b.n, b.n ? b.p : "");
    else
        snprintf(result, sizeof result, "%s: %s", code == PBAY_DATA_LOSS ? "lost" : "error", reason);
    pb_buf_free(&b);
    return result;
}

static void test_replies(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        uint32_t rows;
        const char *kinds, *path, *expected;
    } V[] = {
        /* CSV */
        {"0.5\n0.25\n", 2, "n", "", "'0.5';'0.25'"},
        {"0.5\r\n0.25", 2, "s", "", "'0.5';'0.25'"},
        {"\xef\xbb\xbf"
         "0.5",
         1, "n", "", "'0.5'"},
        {"0.5\n\n0.7\n", 3, "n", "", "'0.5';~;'0.7'"},
        {"0.5,0.25,0.75", 3, "n", "", "'0.5';'0.25';'0.75'"},
        {"0.5,0.25,0.75\n\n", 3, "n", "", "'0.5';'0.25';'0.75'"},
        {"yes,0.5\nno,0.25\n", 2, "sn", "", "'yes'|'0.5';'no'|'0.25'"},
        {"\"a,\"\"b\"\"\",1\n\"\",2\n", 2, "sn", "", "'a,\"b\"'|'1';''|'2'"},
        {"\"two\nlines\"\nx", 2, "s", "", "'two\nlines';'x'"},
        {" 0.5 \n", 1, "n", "", "'0.5'"},
        {"a,1\nb,2", 2, "n", "[1]", "'1';'2'"},
        {"0.5\n", 2, "n", "", "lost: 2 rows were sent and 1 predictions came back"},
        {"1\n2\n3\n", 2, "n", "", "lost: 2 rows were sent and 3 predictions came back"},
        {"", 1, "n", "", "lost: 1 rows were sent and 0 predictions came back"},
        {"1,2\n3,4\n", 2, "n", "", "error: line 1 of the answer has 2 fields and the function takes 1"},
        {"\"open", 1, "s", "", "lost: line 1 of the answer has a quote that does not close"},
        {"\xff\n", 1, "s", "", "lost: prediction 1 is not valid UTF-8"},
        {"a\n", 1, "s", "[1]", "error: line 1 of the answer has 1 fields, the path asks for field 1"},
        /* JSON */
        {"{\"predictions\":[0.5,1]}", 2, "n", "", "0.5;1"},
        {"{\"scores\":[0.5,null]}", 2, "n", "", "0.5;~"},
        {"[0.5, 0.25]", 2, "s", "", "'0.5';'0.25'"},
        {"[[\"yes\",0.5],[\"no\",0.1]]", 2, "sn", "", "'yes'|0.5;'no'|0.10000000000000001"},
        {"[[0.5],[0.25]]", 2, "n", "", "0.5;0.25"},
        {"{\"predictions\":[{\"score\":0.5,\"x\":1},{\"x\":2,\"score\":0.25}]}", 2, "n", "", "0.5;0.25"},
        {"{\"predictions\":[{\"score\":0.5,\"label\":\"a\"}]}", 1, "sn", "", "'a'|0.5"},
        {"{\"predictions\":[{\"predicted_label\":3.0}]}", 1, "n", "", "3"},
        {"{\"predictions\":[{\"odd\":7}]}", 1, "n", "", "7"},
        {"{\"score\":0.5,\"x\":1}", 1, "n", "", "0.5"},
        {"[0.1,0.9]", 1, "sn", "", "'0.1'|0.90000000000000002"},
        {"[[0.1,0.9],[0.3,0.7]]", 2, "j", "", "'[0.1,0.9]';'[0.3,0.7]'"},
        {"{\"score\":1}\n{\"score\":2}\n", 2, "n", "", "1;2"},
        {"{\"s\":{\"v\":1}}\n{\"s\":{\"v\":2}}\n{\"s\":{\"v\":3}}", 3, "n", "s.v", "1;2;3"},
        {"[{\"a\":[],\"b\":{},\"c\":\"\\\"\"}]", 1, "j", "", "'{\"a\":[],\"b\":{},\"c\":\"\\\"\"}'"},
        {"[true,false]", 2, "n", "", "1;0"},
        {"[true,\"x\"]", 2, "s", "", "'true';'x'"},
        {"[123456789012,1e300]", 2, "s", "", "'123456789012';'1e+300'"},
        /* paths */
        {"{\"predictions\":[{\"s\":{\"score\":0.5}},{\"s\":{\"score\":1}}]}", 2, "n", "predictions[].s.score",
         "0.5;1"},
        {"{\"a\":{\"b\":[1,2]}}", 2, "n", "$.a.b", "1;2"},
        {"[[0.1,0.9],[0.3,0.75]]", 2, "n", "[][1]", "0.90000000000000002;0.75"},
        {"{\"r\":[[1,2],[3,4]]}", 2, "n", "r[1]", "3;4"},
        {"{\"a\":{\"b\":7}}", 1, "n", "a.b", "7"},
        {"{\"predictions\":[{\"x\":1}]}", 1, "n", "predictions[].score",
         "error: prediction 1 has nothing at the path"},
        {"{\"p\":1}", 1, "n", "predictions[].score", "error: the answer has nothing at the path"},
        {"{\"p\":1}", 1, "n", "p[]", "error: the answer has no array where the path says []"},
        /* what must not become a prediction */
        {"{\"predictions\":[0.5]}", 2, "n", "", "lost: 2 rows were sent and 1 predictions came back"},
        {"{\"predictions\":[1,2,3]}", 2, "n", "", "lost: 2 rows were sent and 3 predictions came back"},
        {"[]", 1, "n", "", "lost: 1 rows were sent and 0 predictions came back"},
        {"{\"score\":1}\n{\"score\":2}\n", 3, "n", "", "lost: 3 rows were sent and 2 predictions came back"},
        {"{\"score\":1}\n{\"score\":2}\n{\"score\":3}", 2, "n", "",
         "lost: 2 rows were sent and 3 predictions came back"},
        {"{\"message\":\"Internal server error\"}", 2, "s", "",
         "lost: 2 rows were sent and 1 predictions came back"},
        {"[[1,2],[3]]", 2, "nn", "", "error: prediction 2 has 1 values and the function takes 2"},
        {"[[1,2]]", 1, "n", "", "error: prediction 1 has 2 values and the function takes 1"},
        {"[{\"a\":1,\"b\":2}]", 1, "n", "",
         "error: prediction 1 has no member \"label\": give a path to it (path = ...)"},
        {"{\"x\":[[[1]]]}", 1, "n", "x",
         "error: prediction 1 is an array and the function answers a number: give a path to it (path = ...)"},
    };
    for (size_t i = 0; i < PB_COUNTOF(V); i++) {
        const char *got = parse(V[i].body, V[i].rows, V[i].kinds, V[i].path);
        if (strcmp(got, V[i].expected) != 0)
            fail_msg("%s (%u rows, path \"%s\"): %s instead of %s", V[i].body, (unsigned)V[i].rows, V[i].path,
                     got, V[i].expected);
    }
    assert_non_null(strstr(parse("{\"predictions\":[0.5", 1, "n", ""), "lost: the answer is not JSON"));
    assert_non_null(strstr(parse("[1] x", 1, "n", ""), "lost: the answer is not JSON"));
}

static void test_paths_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "a[",   "a[x]", "a[1", "a[]b",       "[].[]x[]",
        "a..b", ".",    "a.",  "[99999999]", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q"};
    for (size_t i = 0; i < PB_COUNTOF(BAD); i++) {
        struct path p;
        const char *why = NULL;
        if (path_parse(pb_str_c(BAD[i]), &p, &why) == 0) fail_msg("%s is taken", BAD[i]);
        assert_non_null(why);
    }
}

static void test_files(void **state)
{
    (void)state;
    struct aws_profile p = {0};
    pbay_str config = PB_STR("# comment\n[default]\nregion = eu-west-1 # here\n  nested = 1\n\n[profile  "
                             "dev]\r\nregion=us-east-2\r\n"
                             "endpoint_url = http://localhost:4566\nrole_arn = arn:x\n[dev]\nregion = "
                             "wrong\n[profile \"a b\"]\nregion=x\n");
    aws_profile_read(config, PB_STR("default"), 1, &p);
    assert_true(p.found);
    assert_string_equal(p.region, "eu-west-1");
    memset(&p, 0, sizeof p);
    aws_profile_read(config, PB_STR("dev"), 1, &p);
    assert_string_equal(p.region, "us-east-2");
    assert_string_equal(p.endpoint_url, "http://localhost:4566");
    assert_string_equal(p.role_arn, "arn:x");
    aws_profile_read(
        PB_STR("[dev]\naws_access_key_id = AK\naws_secret_access_key=s/+=#x\naws_session_token =  t \n"),
        PB_STR("dev"), 0, &p);
    assert_string_equal(p.access_key_id, "AK");
    assert_string_equal(p.secret_access_key, "s/+=#x");
    assert_string_equal(p.session_token, "t");
    memset(&p, 0, sizeof p);
    aws_profile_read(config, PB_STR("a b"), 1, &p);
    assert_string_equal(p.region, "x");
    memset(&p, 0, sizeof p);
    aws_profile_read(config, PB_STR("nobody"), 1, &p);
    assert_false(p.found);
    aws_profile_read(PB_STR("[default"), PB_STR("default"), 1, &p);
    aws_profile_read(PB_STR(""), PB_STR("default"), 1, &p);
    assert_false(p.found);
}

/* What botocore 1.29.27 comes to: create_client(...).meta.endpoint_url. */
static void test_endpoints(void **state)
{
    (void)state;
    static const struct {
        enum aws_service service;
        const char *region;
        int fips, dual;
        const char *url;
    } V[] = {
        {AWS_RUNTIME, "eu-west-1", 0, 0, "https://runtime.sagemaker.eu-west-1.amazonaws.com"},
        {AWS_RUNTIME, "us-east-1", 1, 0, "https://runtime-fips.sagemaker.us-east-1.amazonaws.com"},
        {AWS_RUNTIME, "us-east-1", 1, 1, "https://runtime.sagemaker-fips.us-east-1.api.aws"},
        {AWS_RUNTIME, "cn-north-1", 0, 0, "https://runtime.sagemaker.cn-north-1.amazonaws.com.cn"},
        {AWS_RUNTIME, "cn-north-1", 1, 0, "https://runtime.sagemaker-fips.cn-north-1.amazonaws.com.cn"},
        {AWS_RUNTIME, "cn-north-1", 0, 1,
         "https://runtime.sagemaker.cn-north-1.api.amazonwebservices.com.cn"},
        {AWS_RUNTIME, "us-gov-west-1", 1, 0, "https://runtime.sagemaker.us-gov-west-1.amazonaws.com"},
        {AWS_CONTROL, "eu-west-1", 0, 1, "https://api.sagemaker.eu-west-1.api.aws"},
        {AWS_CONTROL, "us-gov-west-1", 1, 0, "https://api-fips.sagemaker.us-gov-west-1.amazonaws.com"},
        {AWS_CONTROL, "us-gov-west-1", 1, 1, "https://api.sagemaker-fips.us-gov-west-1.api.aws"},
        {AWS_S3, "eu-west-1", 0, 0, "https://s3.eu-west-1.amazonaws.com"},
        {AWS_S3, "eu-west-1", 1, 1, "https://s3-fips.dualstack.eu-west-1.amazonaws.com"},
        {AWS_S3, "cn-north-1", 0, 1, "https://s3.dualstack.cn-north-1.amazonaws.com.cn"},
        {AWS_STS, "cn-north-1", 0, 0, "https://sts.cn-north-1.amazonaws.com.cn"},
        {AWS_STS, "eu-west-1", 1, 0, "https://sts-fips.eu-west-1.amazonaws.com"},
        {AWS_STS, "us-gov-west-1", 1, 0, "https://sts.us-gov-west-1.amazonaws.com"},
        {AWS_SSM, "us-gov-west-1", 1, 1, "https://ssm-fips.us-gov-west-1.api.aws"},
        {AWS_SECRETS, "us-gov-west-1", 1, 0, "https://secretsmanager-fips.us-gov-west-1.amazonaws.com"},
        {AWS_SQS, "eu-west-1", 0, 0, "https://sqs.eu-west-1.amazonaws.com"},
        {AWS_SSO, "eu-west-1", 1, 0, "https://portal.sso-fips.eu-west-1.amazonaws.com"},
    };
    char url[AWS_URL];
    for (size_t i = 0; i < PB_COUNTOF(V); i++) {
        aws_endpoint(V[i].service, V[i].region, V[i].fips, V[i].dual, url);
        if (strcmp(url, V[i].url) != 0) fail_msg("%s is not %s", url, V[i].url);
    }
    assert_string_equal(aws_partition("cn-north-1"), "aws-cn");
    assert_string_equal(aws_partition("eu-west-1"), "aws");
    assert_true(aws_region_valid(PB_STR("eu-west-1")));
    static const char *const BAD[] = {"", "-x", "x-", "eu-west-1/", "EU", "a.b", "x@y"};
    for (size_t i = 0; i < PB_COUNTOF(BAD); i++) assert_false(aws_region_valid(pb_str_c(BAD[i])));
    pbay_str host, prefix;
    aws_url_parts("https://h:443/p", &host, &prefix);
    assert_true(pb_str_is(host, "h") && pb_str_is(prefix, "/p"));
    aws_url_parts("http://h:443", &host, &prefix);
    assert_true(pb_str_is(host, "h:443") && pb_str_is(prefix, ""));
}

static void service(void *user, pbay_str key, pbay_str sub, pbay_str value)
{
    struct pb_buf *b = user;
    pb_buf_printf(b, "%.*s.%.*s=%.*s;", PB_FMT(key), PB_FMT(sub), PB_FMT(value));
}

static void test_sections(void **state)
{
    (void)state;
    struct pb_buf b = {0};
    pbay_str text =
        PB_STR("[services local]\ns3 =\n  endpoint_url = http://localhost:1 # c\n  # no\n\nsts = \n"
               "\tendpoint_url=http://localhost:2\n[services other]\ns3=\n  endpoint_url = x\n");
    assert_true(aws_file_section(text, "services", PB_STR("local"), service, &b));
    pb_buf_ch(&b, 0);
    assert_string_equal(b.p,
                        "s3.=;s3.endpoint_url=http://localhost:1;sts.=;sts.endpoint_url=http://localhost:2;");
    assert_false(aws_file_section(text, "services", PB_STR("loca"), service, &b));
    pb_buf_free(&b);
}

static void test_qrag(void **state)
{
    (void)state;
    struct text t = {0};
    qrag_body(&t, PB_STR("17.99,10.38,122.8,1001.0"));
    assert_true(pb_str_is(pb_str(t.p, t.n), "{\"data\":\"17.99,10.38,122.8,1001.0\"}"));
    qrag_body(&t, PB_STR("a \"b\" \\ \n\x01\0\xc3\xa9"));
    assert_true(pb_str_is(pb_str(t.p, t.n), "{\"data\":\"a \\\"b\\\" \\\\ \\n\\u0001\\u0000\xc3\xa9\"}"));
    static const struct {
        const char *body, *answer;
    } V[] = {
        {"\"Malignant\"", "Malignant"},
        {"0.9876\n", "0.9876"},
        {" \"  x \" ", "x"},
        {"\"a \\\"q\\\" \\u00e9\"", "a \"q\" \xc3\xa9"},
        {"say \"hi\" now", "say hi now"},
        {"", ""},
        {"{\"result\": \"1\"}", "{result: 1}"},
    };
    for (size_t i = 0; i < PB_COUNTOF(V); i++) {
        assert_int_equal(qrag_answer(pb_str_c(V[i].body), &t), 0);
        if (!pb_str_is(pb_str(t.p, t.n), V[i].answer)) fail_msg("%s: %.*s", V[i].body, (int)t.n, t.p);
    }
    assert_int_equal(qrag_answer(PB_STR("\xff"), &t), -1);
    free(t.p);
}

static void test_python_floats(void **state)
{
    static const struct {
        double v;
        const char *text;
    } V[] = {{0, "0.0"},
             {-0.0, "-0.0"},
             {3, "3.0"},
             {1.5, "1.5"},
             {0.1, "0.1"},
             {1e22, "1e+22"},
             {1e-7, "1e-07"},
             {0.0001, "0.0001"},
             {1e16, "1e+16"},
             {9999999999999998.0, "9999999999999998.0"},
             {100, "100.0"},
             {-12.25, "-12.25"},
             {1e15, "1000000000000000.0"},
             {5e-324, "5e-324"},
             {1.7976931348623157e308, "1.7976931348623157e+308"},
             {123456789012345680.0, "1.2345678901234568e+17"}};
    (void)state;
    for (size_t i = 0; i < PB_COUNTOF(V); i++) {
        char out[PY_FLOAT_MAX + 1];
        out[py_float(V[i].v, out)] = 0;
        assert_string_equal(out, V[i].text);
    }
}

static void test_ws_replies(void **state)
{
    static const struct {
        const char *message, *keys;
        int rc;
        const char *text;
    } V[] = {
        {"{\"result\": \"0.9876\"}", "result", 0, "0.9876"},
        {"{\"re\": \"label\", \"score\": 1}", "result, re", 0, "label"},
        {"{\"result\": 1.0}", "result", 0, "1.0"},
        {"{\"result\": null}", "result", 1, ""},
        {"{\"result\": true}", "result", 0, "True"},
        {"{\"message\": \"Internal server error\", \"connectionId\":\"x\"}", "result", -1,
         "Internal server error"},
        {"{}", "result", -1, "what came back holds no result: {}"},
        {"[1]", "result", -1, "what came back is no JSON object: [1]"},
        {"", "result", -1, "what came back is no JSON object: "},
    };
    struct text t = {NULL, 0, 0};
    (void)state;
    for (size_t i = 0; i < PB_COUNTOF(V); i++) {
        assert_int_equal(qrag_ws_reply(pb_str_c(V[i].message), pb_str_c(V[i].keys), &t), V[i].rc);
        assert_int_equal(t.n, strlen(V[i].text));
        if (t.n) assert_memory_equal(t.p, V[i].text, t.n);
    }
    free(t.p);
}

static void test_frames(void **state)
{
    char why[FRAME_WHY];
    struct text t = {NULL, 0, 0};
    (void)state;
    assert_null(frame_new(PB_STR("")));
    struct frame *f = frame_new(PB_STR("a,\"b, c\",d"));
    assert_int_equal(frame_columns(f), 3);
    assert_int_equal(frame_line(f, PB_STR("1, 2 ,x\r\n"), why), 0);
    assert_int_equal(frame_line(f, PB_STR("0x10,nan,\"\"\"\""), why), 0);
    assert_int_equal(frame_line(f, PB_STR("1,2"), why), -1);
    assert_string_equal(why, "it has 2 values, and schema_metadata names 3 columns");
    assert_int_equal(frame_line(f, PB_STR("1,2,3,4"), why), -1);
    frame_json(f, 0, &t);
    text_add(&t, "", 1);
    assert_string_equal(t.p, "{\"index\": [0, 1], \"columns\": [\"a\", \"b, c\", \"d\"], \"data\": "
                             "[[\"1\", 2.0, \"x\"], [\"0x10\", null, \"\\\"\"]]}");
    frame_free(f);
    free(t.p);
}

static void test_urls_and_ratings(void **state)
{
    struct text t = {NULL, 0, 0};
    (void)state;
    qrag_url(&t, PB_STR("https://h/dev/"), PB_STR("../x?#&\n"), PB_STR("items"), PB_STR("a&b=\0"));
    text_add(&t, "", 1);
    assert_string_equal(t.p, "https://h/dev/..%2Fx%3F%23%26%0A?items=a%26b%3D%00&");
    assert_int_equal(qrag_last(PB_STR("{\"ratings\": [1, 2.50]}"), PB_STR("ratings"), &t), 0);
    assert_memory_equal(t.p, "2.5", 3);
    assert_int_equal(qrag_last(PB_STR("{\"ratings\": []}"), PB_STR("ratings"), &t), 1);
    assert_int_equal(qrag_last(PB_STR("{\"ratings\": 5}"), PB_STR("ratings"), &t), -1);
    assert_int_equal(qrag_last(PB_STR("[1]"), PB_STR("ratings"), &t), -1);
    assert_int_equal(qrag_last(PB_STR(""), PB_STR("ratings"), &t), -1);
    free(t.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),       cmocka_unit_test(test_paths_refused),
        cmocka_unit_test(test_files),         cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_sections),      cmocka_unit_test(test_qrag),
        cmocka_unit_test(test_python_floats), cmocka_unit_test(test_ws_replies),
        cmocka_unit_test(test_frames),        cmocka_unit_test(test_urls_and_ratings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
