/* SPDX-License-Identifier: MIT */
/* The pull scanner against jansson: what is JSON, what strings and numbers mean, and that every cut is
 * noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "data/json_scan.h"
#include "gen.h"

static const char *const good[] = {
    "0",
    "-0",
    "1e400",
    "-1.5E-7",
    "12345678901234567890123456789012345678",
    "\"\"",
    "\"a\\u0000b\"",
    "\"\\ud834\\udd1e\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"é€𝄞 and a long run of plain text to cross a lane\"",
    "true",
    "false",
    "null",
    "[]",
    "{}",
    "[1,[2,[3,{\"a\":[]}]],\"x\"]",
    " { \"a\" : 1 ,\n\t\"b\" : [ ] }\r\n",
    "[[[[[[[[]]]]]]]]",
    "{\"a\":{},\"b\":{\"c\":null}}",
};
static const char *const bad[] = {
    "",
    " ",
    "01",
    "-",
    "+1",
    "1.",
    ".5",
    "1e",
    "1e+",
    "0x1",
    "1.2.3",
    "--1",
    "nul",
    "nulll",
    "True",
    "NaN",
    "Infinity",
    "\"",
    "\"a",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\\ud834\"",
    "\"\\ud834x\"",
    "\"\\ud834\\u0041\"",
    "\"\\udd1e\"",
    "\"\x01\"",
    "\"\xff\"",
    "\"\xc3\"",
    "\"\xed\xa0\x80\"",
    "\"\xc0\x80\"",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    "{",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{a:1}",
    "{1:1}",
    "{\"a\" 1}",
    "{\"a\":1]",
    "1 2",
    "[]]",
    "'a'",
    "/**/1",
    "\"\t\"",
};

static void test_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < PB_COUNTOF(good); i++)
        if (!pb_json_valid(pb_str_c(good[i]), 0)) fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < PB_COUNTOF(bad); i++)
        if (pb_json_valid(pb_str_c(bad[i]), 0)) fail_msg("taken: %s", bad[i]);
}

/* A text that is not whole asks for more at every cut, and never for more when it is wrong already. */
static void test_cuts(void **state)
{
    (void)state;
    pbay_str v;
    for (size_t i = 0; i < PB_COUNTOF(good); i++) {
        size_t n = strlen(good[i]);
        for (size_t cut = 0; cut < n; cut++) {
            char *exact = pb_strndup(good[i], cut);
            struct pb_scan_in in = {.p = exact, .end = exact + cut};
            enum pb_scan rc = pb_scan_value(&in, 64, &v);
            if (rc == PB_SCAN_BAD) fail_msg("%s cut at %zu: %s", good[i], cut, in.why);
            pb_free(exact);
        }
    }
    struct pb_scan_in in = {.p = "[1,2,x", .end = NULL};
    in.end = in.p + 6;
    assert_int_equal(pb_scan_value(&in, 64, &v), PB_SCAN_BAD);
}

static void test_depth(void **state)
{
    (void)state;
    char deep[3000];
    for (size_t depth = 1; depth < 1200; depth += 7) {
        for (size_t i = 0; i < depth; i++) {
            deep[i] = '[';
            deep[2 * depth - 1 - i] = ']';
        }
        assert_int_equal(pb_json_valid(pb_str(deep, 2 * depth), 0), depth <= 64);
        assert_int_equal(pb_json_valid(pb_str(deep, 2 * depth), (uint32_t)depth), depth <= PB_JSON_DEPTH_MAX);
        assert_false(pb_json_valid(pb_str(deep, 2 * depth), (uint32_t)depth - 1 + (depth == 1 ? 65 : 0)) &&
                     depth > 65);
    }
}

/* Small changes to good texts: jansson and we are of one mind, but for what it cannot hold. */
static void test_against_jansson(void **state)
{
    (void)state;
    for (int round = 0; round < 60000; round++) {
        char text[256];
        const char *from = good[gen_below(PB_COUNTOF(good))];
        size_t n = strlen(from);
        memcpy(text, from, n);
        for (uint32_t k = gen_below(3); k && n; k--) {
            size_t at = gen_below((uint32_t)n);
            if (gen_below(2))
                text[at] = (char)"[]{},:\"\\0123456789.eE+-tfn ud8\xc3\xa9"[gen_below(32)];
            else {
                memmove(text + at, text + at + 1, n - at - 1);
                n--;
            }
        }
        json_error_t e;
        json_t *j = json_loadb(text, n, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES * 0, &e);
        bool ours = pb_json_valid(pb_str(text, n), 0);
        if (j && !ours) fail_msg("refused: %.*s", (int)n, text);
        if (!j && ours) {
            enum json_error_code code = json_error_code(&e);
            if (code != json_error_numeric_overflow && code != json_error_null_byte_in_key)
                fail_msg("taken: %.*s (%s)", (int)n, text, e.text);
        }
        if (j && json_is_string(j)) {
            struct pb_buf scratch = {0};
            pbay_str s = pb_json_text(pb_str_trim(pb_str(text, n)), &scratch);
            assert_true(pb_str_eq(s, pb_str(json_string_value(j), json_string_length(j))));
            pb_buf_free(&scratch);
        }
        if (j && json_is_number(j)) {
            double v;
            assert_true(pb_json_to_num(pb_str(text, n), &v));
            assert_true(v == json_number_value(j));
        }
        json_decref(j);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is;
        double v;
    } t[] = {{"1", 1, 1},
             {" 2.50 ", 1, 2.5},
             {"\"3\"", 1, 3},
             {"\" -4e2 \"", 1, -400},
             {"\"\\u0035\"", 1, 5},
             {"+6", 1, 6},
             {".5", 1, 0.5},
             {"9007199254740993", 1, 9007199254740992.0},
             {"0.1", 1, 0.1},
             {"123456789.123456789", 1, 123456789.123456789},
             {"1e400", 0, 0},
             {"-1e400", 0, 0},
             {"nan", 0, 0},
             {"inf", 0, 0},
             {"", 0, 0},
             {"\"\"", 0, 0},
             {"abc", 0, 0},
             {"1x", 0, 0},
             {"0x10", 0, 0},
             {"true", 0, 0},
             {"null", 0, 0},
             {"[1]", 0, 0},
             {"-", 0, 0},
             {"\"1", 0, 0},
             {"1,5", 0, 0},
             {"5e-324", 1, 5e-324}};
    for (size_t i = 0; i < PB_COUNTOF(t); i++) {
        double v = -99;
        if (pb_json_to_num(pb_str_c(t[i].text), &v) != t[i].is) fail_msg("%s", t[i].text);
        if (t[i].is && v != t[i].v) fail_msg("%s: %.17g", t[i].text, v);
    }
    /* As strtod reads them. */
    for (int i = 0; i < 100000; i++) {
        char s[64];
        int n = snprintf(s, sizeof s, gen_below(2) ? "%.*g" : "%.*f", (int)gen_below(19),
                         (double)(int64_t)gen_u64() / (double)(1ull << gen_below(63)));
        double v;
        assert_true(pb_json_to_num(pb_str(s, (size_t)n), &v));
        if (v != strtod(s, NULL)) fail_msg("%s: %.17g", s, v);
    }
}

/* Text that reads back, and "%.15g" where that does. */
static void test_shortest(void **state)
{
    (void)state;
    static const double pow10[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
    for (int i = 0; i < 200000; i++) {
        double v = (double)(int64_t)(gen_u64() >> gen_below(60)) / pow10[gen_below(13)];
        if (gen_below(2)) v = -v;
        if (gen_below(8) == 0) v = gen_num();
        char got[PB_F64_MAX], want[PB_F64_MAX];
        size_t n = pb_format_f64(v, got);
        assert_int_equal(strlen(got), n);
        if (!isfinite(v)) continue;
        if (memcmp(&(double){strtod(got, NULL)}, &v, sizeof v) != 0) fail_msg("%.17g became %s", v, got);
        snprintf(want, sizeof want, "%.15g", v);
        if (strtod(want, NULL) == v && !strchr(want, 'e')) assert_string_equal(got, want);
    }
}

static void test_skip(void **state)
{
    (void)state;
    pbay_str text = PB_STR(" {\"a\":[1,2]} , \"x\" 17]");
    size_t pos = 0;
    struct pb_err err;
    assert_int_equal(pb_json_skip(text, &pos, 0, &err), 0);
    assert_int_equal(pos, 12);
    assert_int_equal(pb_json_skip(text, &pos, 0, &err), -1);
    assert_string_equal(err.msg, "JSON, offset 13: expected a JSON value");
    pos = 14;
    assert_int_equal(pb_json_skip(text, &pos, 0, &err), 0);
    assert_int_equal(pb_json_skip(text, &pos, 0, &err), 0);
    assert_int_equal(pos, 21);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),           cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_depth),           cmocka_unit_test(test_skip),
        cmocka_unit_test(test_shortest),        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_against_jansson),
    };
    gen_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
