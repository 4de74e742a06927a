/* SPDX-License-Identifier: MIT */
/* Elements of AWS's XML, moments, and texts that grow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"
#include "kit/text.h"
#include "kit/time.h"
#include "kit/xml.h"

static void test_xml(void **state)
{
    (void)state;
    pbay_str x =
        PB_STR("<?xml version=\"1.0\"?>\n<!-- <Code>no</Code> -->\n<Error xmlns=\"a\"><CodeX>1</CodeX>"
               "<Code >Access&lt;Denied&#x20AC;</Code ><Message/><Code>2</Code></Error>");
    char out[64];
    assert_true(pb_str_is(pbay_xml_element(x, "Code"), "Access&lt;Denied&#x20AC;"));
    pbay_str raw = pbay_xml_element(x, "Code");
    ptrdiff_t n = pbay_xml_text(raw, out);
    assert_true(n > 0 && pb_str_is(pb_str(out, (size_t)n), "Access<Denied\xe2\x82\xac"));
    assert_non_null(pbay_xml_element(x, "Message").p);
    assert_int_equal(pbay_xml_element(x, "Message").n, 0);
    assert_null(pbay_xml_element(x, "Cod").p);
    assert_null(pbay_xml_element(PB_STR("<Code>never closed"), "Code").p);
    assert_null(pbay_xml_element(PB_STR("<!-- <Code>1</Code>"), "Code").p);
    size_t at = 0;
    pbay_xml_next(x, &at, "Code");
    assert_true(pb_str_is(pbay_xml_next(x, &at, "Code"), "2"));
    assert_null(pbay_xml_next(x, &at, "Code").p);
    static const char *const BAD[] = {"&",          "&;",  "&nbsp;", "&#0;", "&#xd800;",
                                      "&#x110000;", "&#;", "&#x;",   "&lt"};
    for (size_t i = 0; i < PB_COUNTOF(BAD); i++) assert_int_equal(pbay_xml_text(pb_str_c(BAD[i]), out), -1);
}

static void test_time(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } V[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-21T08:49:37Z", INT64_C(1795250977000)},
        {"2026-11-21 08:49:37.123456Z", INT64_C(1795250977123)},
        {"2026-11-21t09:49:37.5+01:00", INT64_C(1795250977500)},
        {"2026-11-21T03:19:37-05:30", INT64_C(1795250977000)},
        {"2024-02-29T00:00:00Z", INT64_C(1709164800000)},
        {"2023-02-29T00:00:00Z", -1},
        {"2026-11-21T08:49:37", -1},
        {"2026-11-21T24:00:00Z", -1},
        {"2026-11-21T08:49:37.Z", -1},
        {"2026-11-21T08:49:37Zx", -1},
        {"1969-12-31T23:59:59Z", -1},
        {"", -1},
    };
    char text[PBAY_TIME_TEXT];
    for (size_t i = 0; i < PB_COUNTOF(V); i++)
        if (pbay_time_rfc3339(pb_str_c(V[i].text)) != V[i].ms) fail_msg("%s", V[i].text);
    assert_int_equal(pbay_time_format(INT64_C(1795250977123), text), 24);
    assert_string_equal(text, "2026-11-21T08:49:37.123Z");
    pbay_time_format(INT64_C(1709164800000), text);
    assert_string_equal(text, "2024-02-29T00:00:00Z");
    assert_int_equal(pbay_time_http(PB_STR("Sat, 21 Nov 2026 08:49:37 GMT")), INT64_C(1795250977000));
    assert_int_equal(pbay_time_http(PB_STR("Sat, 21 Nov 2026 08:49:37 UTC")), -1);
    assert_int_equal(pbay_time_http(PB_STR("Sat, 31 Feb 2026 08:49:37 GMT")), -1);
    for (int64_t ms = 0; ms < INT64_C(4102444800000); ms += INT64_C(86399999) * 17) {
        size_t n = pbay_time_format(ms, text);
        assert_true(pbay_time_rfc3339(pb_str(text, n)) == ms);
    }
}

/* The host's log and a plugin's leave out the same. */
static void test_unquoted(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"no values here", "no values here"},
        {"x.lua:3: bad value \"secret\" here", "x.lua:3: bad value \"…\" here"},
        {"a \"b\\\"secret\" c \"\"", "a \"…\" c \"…\""},
        {"not closed \"secret", "not closed \"…"},
        {"not closed \"secret\\", "not closed \"…"},
        {"row 1, column 2 (\"a\"), offset 3: a number is expected, found secret",
         "row 1, column 2 (\"…\"), offset 3: a number is expected, found …"},
        {"x.lua:1: attempt (row 12: a = 5, b = \"x)\")", "x.lua:1: attempt (row 12:…)"},
        {"(row of trees)", "(row of trees)"},
        {"(row 5)", "(row 5)"},
        {"endpoint x: the model answered 415: not a float: 'secret'", "endpoint x: the model answered 415:…"},
        {"https://x answered HTTP 400: secret", "https://x answered HTTP 400:…"},
        {"https://x answered HTTP 400", "https://x answered HTTP 400"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[PB_ERR_TEXT];
        pbay_text t = {0};
        pb_err_unquoted(cases[i][0], out);
        assert_string_equal(out, cases[i][1]);
        pbay_text_unquoted(&t, pb_str_c(cases[i][0]));
        pbay_text_add(&t, (pbay_str){"", 1});
        assert_string_equal(t.p, cases[i][1]);
        pbay_text_free(&t);
    }
    char most[PB_ERR_TEXT], out[PB_ERR_TEXT];
    for (size_t i = 0; i < sizeof most; i++) most[i] = i % 2 ? ' ' : '"';
    most[sizeof most - 1] = 0;
    pb_err_unquoted(most, out);
    assert_true(strlen(out) < sizeof out);
    memset(most, 'a', sizeof most - 1);
    memcpy(most + 970, "(row 1234567890123456789:", 25);
    pb_err_unquoted(most, out);
    assert_true(strlen(out) < sizeof out);
}

static void test_text(void **state)
{
    (void)state;
    pbay_text t = {NULL, 0, 0};
    pbay_text_c(&t, "/x?name=");
    pbay_text_percent(&t, PB_STR("a b/\xc3\xa9"));
    pbay_text_printf(&t, "&limit=%d ", 100);
    pbay_text_json(&t, PB_STR("say \"x\"\n\\\x01\x7f\xc3\xa9"));
    pbay_text_json(&t, pb_str(NULL, 0));
    assert_true(pb_str_is(pbay_text_view(&t), "/x?name=a%20b%2F%C3%A9&limit=100 "
                                              "\"say \\\"x\\\"\\n\\\\\\u0001\\u007f\xc3\xa9\"\"\""));
    pbay_text_clear(&t);
    for (int i = 0; i < 1000; i++) pbay_text_add(&t, PB_STR("abc"));
    assert_int_equal(t.n, 3000);
    pbay_text_free(&t);
    assert_null(t.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_xml), cmocka_unit_test(test_time),
                                       cmocka_unit_test(test_unquoted), cmocka_unit_test(test_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
