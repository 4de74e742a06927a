/* SPDX-License-Identifier: MIT */
/*
 * Sections against option tables: every type, every refusal with its place, references, a call's own
 * options.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/config.h"
#include "data/options.h"

static const pbay_option host_options[] = {
    {"connector", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "The connector that answers."},
    {"max_rows", PBAY_OPT_INT, PBAY_OPTF_PER_CALL, "500", "1..100000", "Rows in one request."},
    {"threshold", PBAY_OPT_NUM, PBAY_OPTF_PER_CALL, NULL, "0..1.5", "Where yes begins."},
    {"cache", PBAY_OPT_BOOL, 0, "yes", NULL, "Whether Qlik keeps answers."},
    {"timeout", PBAY_OPT_DURATION, PBAY_OPTF_PER_CALL, "30s", "1ms..10m", "For one request."},
    {"max_body", PBAY_OPT_SIZE, 0, "6M", "..1G", "Bytes of one request."},
};
static const pbay_option plugin_options[] = {
    {"format", PBAY_OPT_ENUM, PBAY_OPTF_PER_CALL, "csv", "csv|json|lines", "How rows are written | sent."},
    {"params", PBAY_OPT_LIST, PBAY_OPTF_PER_CALL, "a, b", NULL, "Columns."},
    {"key_file", PBAY_OPT_FILE, 0, NULL, NULL, "A key."},
    {"header", PBAY_OPT_FAMILY, PBAY_OPTF_PER_CALL, NULL, NULL, "Header fields of the request."},
    {"token", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "Goes into Authorization."},
    {"pin", PBAY_OPT_INT, PBAY_OPTF_SECRET, NULL, "0..9999", "A number nobody sees."},
};
static const pbay_option_table host_table = {host_options, PB_COUNTOF(host_options), sizeof *host_options};
static const pbay_option_table plugin_table = {plugin_options, PB_COUNTOF(plugin_options),
                                               sizeof *plugin_options};
static const pbay_option_table *const both[] = {&host_table, NULL, &plugin_table};

static int resolve_demo(void *user, pbay_str scheme, pbay_str rest, struct pb_buf *out, struct pb_err *err)
{
    (void)user;
    if (!pb_str_is(scheme, "ssm")) return 1;
    if (pb_str_is(rest, "gone")) return pb_fail(err, PBAY_NOT_FOUND, "no parameter \"gone\"");
    pb_buf_c(out, "from-ssm:");
    pb_buf_str(out, rest);
    return 0;
}

static char dir[] = "/tmp/pb-config-XXXXXX";

static struct pbay_config *make(const char *body, struct pb_err *err)
{
    struct pb_config_env env = {dir, resolve_demo, NULL};
    struct pb_ini *doc;
    struct pbay_config *cfg = NULL;
    char *text = pb_sprintf("[function \"churn\"]\n%s", body);
    struct pb_err bad;
    if (pb_ini_parse("patchbay.ini", pb_str_c(text), PB_INI_OURS, &doc, &bad) != 0) fail_msg("%s", bad.msg);
    int rc = pb_config_make(doc->sections[0], both, PB_COUNTOF(both), &env, &cfg, err);
    assert_int_equal(rc, cfg ? 0 : -1);
    /* A configuration outlives the text it came from. */
    pb_ini_free(doc);
    pb_free(text);
    return cfg;
}

static struct pbay_config *made(const char *body)
{
    struct pb_err err = {0};
    struct pbay_config *cfg = make(body, &err);
    if (!cfg) fail_msg("%s", err.msg);
    return cfg;
}

static void refused(const char *body, const char *msg)
{
    struct pb_err err = {0};
    struct pbay_config *cfg = make(body, &err);
    if (cfg) fail_msg("accepted: %s", body);
    assert_string_equal(err.msg, msg);
}

static void str_is(pbay_str s, const char *want)
{
    if (!pb_str_is(s, want)) fail_msg("\"%.*s\", expected \"%s\"", PB_FMT(s), want);
}

static void test_types(void **state)
{
    (void)state;
    struct pbay_config *c = made("connector = aws\n"
                                 "max_rows = 100000\n"
                                 "threshold = 1.5\n"
                                 "cache = Off\n"
                                 "timeout = 250ms\n"
                                 "max_body = 64k\n"
                                 "format = lines\n"
                                 "params = x:num, , CN=a\\, O=b ,y,\n"
                                 "key_file = pem/key.pem\n"
                                 "header.X-One = 1\n"
                                 "header.X.Two = zwei\n"
                                 "token = abc\n");
    assert_true(pb_config_is_set(c, "connector"));
    str_is(pb_config_get_str(c, "connector"), "aws");
    assert_int_equal(pb_config_get_int(c, "max_rows"), 100000);
    str_is(pb_config_get_str(c, "max_rows"), "100000");
    assert_true(pb_config_get_num(c, "threshold") == 1.5);
    assert_int_equal(pb_config_get_int(c, "cache"), 0);
    assert_true(pb_config_is_set(c, "cache"));
    assert_int_equal(pb_config_get_int(c, "timeout"), 250);
    assert_int_equal(pb_config_get_int(c, "max_body"), 65536);
    assert_int_equal(pb_config_get_int(c, "format"), 2);
    str_is(pb_config_get_str(c, "format"), "lines");
    assert_int_equal(pb_config_count(c, "params"), 3);
    pbay_str key;
    str_is(pb_config_item(c, "params", 0, &key), "x:num");
    str_is(key, "");
    str_is(pb_config_item(c, "params", 1, NULL), "CN=a, O=b");
    str_is(pb_config_item(c, "params", 2, NULL), "y");
    str_is(pb_config_item(c, "params", 3, NULL), "");
    str_is(pb_config_get_str(c, "params"), "");
    char *want = pb_sprintf("%s/pem/key.pem", dir);
    str_is(pb_config_get_str(c, "key_file"), want);
    pb_free(want);
    assert_int_equal(pb_config_count(c, "header"), 2);
    str_is(pb_config_item(c, "header", 1, &key), "zwei");
    str_is(key, "X.Two");
    str_is(pb_config_get_str(c, "token"), "abc");
    str_is(pb_config_where(c, "cache"), "patchbay.ini:5");
    str_is(pb_config_where(c, "pin"), "patchbay.ini:1");
    struct pb_err err = {0};
    pb_config_fail(c, "format", &err, "does not go with %d", 7);
    assert_string_equal(err.msg, "patchbay.ini:8: format: does not go with 7");
    pb_config_free(c);
}

static void test_defaults(void **state)
{
    (void)state;
    struct pbay_config *c = made("connector = aws\n");
    assert_int_equal(pb_config_get_int(c, "max_rows"), 500);
    assert_true(pb_config_is_set(c, "max_rows"));
    assert_false(pb_config_is_given(c, "max_rows"));
    assert_true(pb_config_is_given(c, "connector"));
    assert_int_equal(pb_config_get_int(c, "cache"), 1);
    assert_int_equal(pb_config_get_int(c, "timeout"), 30000);
    assert_int_equal(pb_config_get_int(c, "max_body"), 6 << 20);
    assert_int_equal(pb_config_get_int(c, "format"), 0);
    assert_int_equal(pb_config_count(c, "params"), 2);
    assert_false(pb_config_is_set(c, "threshold"));
    assert_true(pb_config_get_num(c, "threshold") == 0);
    assert_false(pb_config_is_set(c, "header"));
    assert_int_equal(pb_config_count(c, "header"), 0);
    str_is(pb_config_get_str(c, "token"), "");
    assert_false(pb_config_is_set(c, "no_such_option"));
    pb_config_free(c);
    c = made("connector = \"\"\nparams =\n");
    assert_true(pb_config_is_set(c, "connector"));
    assert_true(pb_config_is_set(c, "params"));
    assert_int_equal(pb_config_count(c, "params"), 0);
    pb_config_free(c);
}

static void test_refused(void **state)
{
    (void)state;
    refused("connector = a\nmax_row = 5\n",
            "patchbay.ini:3:1: unknown key \"max_row\" in [function \"churn\"]; did you mean \"max_rows\"?");
    refused("connector = a\n  zzzzzzzz = 5\n",
            "patchbay.ini:3:3: unknown key \"zzzzzzzz\" in [function \"churn\"]");
    refused("header = 5\n",
            "patchbay.ini:2:1: unknown key \"header\" in [function \"churn\"]; write header.NAME = value");
    refused("header. = 5\n",
            "patchbay.ini:2:1: unknown key \"header.\" in [function \"churn\"]; write header.NAME = value");
    refused("max_rows = 5\n",
            "patchbay.ini:1: [function \"churn\"] lacks \"connector\": The connector that answers.");
    refused("max_rows = many\n", "patchbay.ini:2:12: max_rows: \"many\"; expected a whole number");
    refused("max_rows = 0\n", "patchbay.ini:2:12: max_rows: \"0\" is out of range; expected 1..100000");
    refused("max_rows = 99999999999999999999\n",
            "patchbay.ini:2:12: max_rows: \"99999999999999999999\"; expected a whole number");
    refused("threshold = nan\n", "patchbay.ini:2:13: threshold: \"nan\"; expected a number");
    refused("threshold = 1.6\n", "patchbay.ini:2:13: threshold: \"1.6\" is out of range; expected 0..1.5");
    refused("cache = maybe\n", "patchbay.ini:2:9: cache: \"maybe\"; expected yes or no");
    refused(
        "timeout = 5 parsecs\n",
        "patchbay.ini:2:11: timeout: \"5 parsecs\"; expected a duration such as 250ms, 30s, 5m, 2h or 7d");
    refused("timeout = 1h\n", "patchbay.ini:2:11: timeout: \"1h\" is out of range; expected 1ms..10m");
    refused("max_body = 2G\n", "patchbay.ini:2:12: max_body: \"2G\" is out of range; expected ..1G");
    refused("max_body = \"6\\n\\\"M\"\n",
            "patchbay.ini:2:12: max_body: \"6\\n\\\"M\"; expected a size such as 512, 64k, 6M or 1G");
    refused("format = xml\n", "patchbay.ini:2:10: format: \"xml\"; expected one of csv, json, lines");
    refused("format = csv|json\n",
            "patchbay.ini:2:10: format: \"csv|json\"; expected one of csv, json, lines");
    refused("key_file =\n", "patchbay.ini:2:11: key_file: \"\"; expected a path");
    refused("pin = geheim\n", "patchbay.ini:2:7: pin: the value; expected a whole number");
    refused("pin = 10000\n", "patchbay.ini:2:7: pin: the value is out of range; expected 0..9999");
}

static void write_file(const char *name, const void *p, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

/* The value's path stands between place and reason. */
static void refused_path(const char *body, const char *file, const char *reason)
{
    char msg[512];
    snprintf(msg, sizeof msg, "patchbay.ini:2:9: token: %s/%s %s", dir, file, reason);
    refused(body, msg);
}

static void test_references(void **state)
{
    (void)state;
    setenv("PB_TEST_TOKEN", "env:PB_TEST_OTHER", 1);
    setenv("PB_TEST_ROWS", "7", 1);
    unsetenv("PB_TEST_GONE");
    write_file("secret", "s3cret\r\n", 8);
    write_file("binary", "a\0b", 3);
    write_file("latin", "\xe4", 1);
    char *big = calloc(1, 65537);
    assert_non_null(big);
    memset(big, 'x', 65537);
    write_file("big", big, 65537);
    write_file("fits", big, 65536);
    free(big);
    struct pbay_config *c =
        made("connector = ssm:/a/b\ntoken = env:PB_TEST_TOKEN\nmax_rows = env:PB_TEST_ROWS\n"
             "header.A = file:secret\nheader.B = \"env:PB_TEST_GONE\"\nheader.C = https://x/\n"
             "header.D = E:x\nheader.E = file:fits\n");
    str_is(pb_config_get_str(c, "connector"), "from-ssm:/a/b");
    str_is(pb_config_get_str(c, "token"), "env:PB_TEST_OTHER");
    assert_int_equal(pb_config_get_int(c, "max_rows"), 7);
    str_is(pb_config_item(c, "header", 0, NULL), "s3cret");
    str_is(pb_config_item(c, "header", 1, NULL), "env:PB_TEST_GONE");
    str_is(pb_config_item(c, "header", 2, NULL), "https://x/");
    str_is(pb_config_item(c, "header", 3, NULL), "E:x");
    assert_int_equal(pb_config_item(c, "header", 4, NULL).n, 65536);
    pb_config_free(c);
    refused("token = env:PB_TEST_GONE\n",
            "patchbay.ini:2:9: token: the environment variable \"PB_TEST_GONE\" is not set");
    refused("connector = ssm:gone\n", "patchbay.ini:2:13: connector: no parameter \"gone\"");
    refused_path("token = file:nowhere\n", "nowhere", "cannot be opened: No such file or directory");
    refused_path("token = file:.\n", ".", "is not a regular file");
    refused_path("token = file:binary\n", "binary", "holds a NUL byte; a value is expected in it");
    refused_path("token = file:latin\n", "latin", "is not valid UTF-8; a value is expected in it");
    refused_path("token = file:big\n", "big", "is longer than 64 KiB; a value is expected in it");
    refused("token = file:/dev/zero\n", "patchbay.ini:2:9: token: /dev/zero is not a regular file");
    refused("token = file:\n", "patchbay.ini:2:9: token: a path is expected behind file:");
    /* What was read is a value like any other, and a secret stays one in messages. */
    refused("max_rows = file:secret\n", "patchbay.ini:2:12: max_rows: \"s3cret\"; expected a whole number");
    refused("pin = file:secret\n", "patchbay.ini:2:7: pin: the value; expected a whole number");
}

static int overlay(const struct pbay_config *base, const char *key, const char *value,
                   struct pbay_config **out, struct pb_err *err)
{
    struct pb_config_pair pair = {pb_str_c(key), pb_str_c(value)};
    return pb_config_overlay(base, &pair, 1, out, err);
}

static void not_per_call(const struct pbay_config *base, const char *key, const char *value, const char *msg)
{
    struct pb_err err = {0};
    struct pbay_config *c = (void *)1;
    assert_int_equal(overlay(base, key, value, &c, &err), -1);
    assert_null(c);
    assert_string_equal(err.msg, msg);
}

static void test_overlay(void **state)
{
    (void)state;
    struct pbay_config *base = made("connector = aws\nheader.A = 1\nheader.B = 2\n"), *c;
    struct pb_config_pair pairs[] = {
        {PB_STR("max_rows"), PB_STR("9")},  {PB_STR("header.C"), PB_STR("env:HOME")},
        {PB_STR("header.D"), PB_STR("4")},  {PB_STR("params"), PB_STR("p,q,r")},
        {PB_STR("format"), PB_STR("json")},
    };
    struct pb_err err = {0};
    assert_int_equal(pb_config_overlay(base, pairs, PB_COUNTOF(pairs), &c, &err), 0);
    assert_int_equal(pb_config_get_int(c, "max_rows"), 9);
    assert_int_equal(pb_config_get_int(c, "format"), 1);
    assert_int_equal(pb_config_count(c, "params"), 3);
    assert_int_equal(pb_config_count(c, "header"), 2);
    str_is(pb_config_item(c, "header", 0, NULL), "env:HOME");
    str_is(pb_config_get_str(c, "connector"), "aws");
    assert_int_equal(pb_config_get_int(c, "timeout"), 30000);
    str_is(pb_config_where(c, "connector"), "patchbay.ini:2");
    assert_int_equal(pb_config_get_int(base, "max_rows"), 500);
    assert_int_equal(pb_config_count(base, "params"), 2);
    str_is(pb_config_item(base, "header", 0, NULL), "1");
    pb_config_free(c);
    assert_int_equal(pb_config_overlay(base, NULL, 0, &c, &err), 0);
    assert_int_equal(pb_config_count(c, "header"), 2);
    pb_config_free(c);
    not_per_call(base, "cache", "no", "option \"cache\" cannot be set by a call");
    not_per_call(base, "nothing", "no", "unknown option \"nothing\"");
    not_per_call(base, "max_rows", "-1", "option \"max_rows\": \"-1\" is out of range; expected 1..100000");
    not_per_call(base, "params", "\xff", "option \"params\": not text in UTF-8");
    pb_config_free(base);
}

/* From elsewhere than patchbay.ini, such as an older gateway's files. */
static void test_by_hand(void **state)
{
    (void)state;
    struct pb_ini doc = {.file = "functions.json"};
    struct pb_ini_entry entries[] = {
        {.key = PB_STR("connector"), .value = PB_STR("env:PB_TEST_GONE"), .line = 9, .quoted = true},
        {.key = PB_STR("max_rows"), .value = PB_STR("5"), .line = 12},
    };
    struct pb_ini_section sec = {
        .doc = &doc, .kind = PB_STR("function"), .name = PB_STR("f"), .line = 7, .entries = entries, .n = 2};
    struct pb_config_env env = {dir, NULL, NULL};
    struct pbay_config *c;
    struct pb_err err = {0};
    assert_int_equal(pb_config_make(&sec, both, PB_COUNTOF(both), &env, &c, &err), 0);
    str_is(pb_config_get_str(c, "connector"), "env:PB_TEST_GONE");
    str_is(pb_config_where(c, "max_rows"), "functions.json:12");
    str_is(pb_config_where(c, "cache"), "functions.json:7");
    pb_config_free(c);
    entries[1].value = PB_STR("0");
    assert_int_equal(pb_config_make(&sec, both, PB_COUNTOF(both), &env, &c, &err), -1);
    assert_string_equal(err.msg, "functions.json:12: max_rows: \"0\" is out of range; expected 1..100000");
    sec.line = entries[0].line = 0;
    sec.n = 1;
    assert_int_equal(pb_config_make(&sec, both, PB_COUNTOF(both), &env, &c, &err), 0);
    str_is(pb_config_where(c, "connector"), "functions.json");
    pb_config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),      cmocka_unit_test(test_defaults), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_references), cmocka_unit_test(test_overlay),  cmocka_unit_test(test_by_hand),
    };
    if (!mkdtemp(dir)) return 1;
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    static const char *const left[] = {"secret", "binary", "latin", "big", "fits"};
    char path[128];
    for (size_t i = 0; i < PB_COUNTOF(left); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, left[i]);
        unlink(path);
    }
    return rmdir(dir) != 0 || rc;
}
