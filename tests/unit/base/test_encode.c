/* SPDX-License-Identifier: MIT */
/* base64 by the vectors of RFC 4648 §10, both alphabets over all bytes, and one text per value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"

static void test_vectors(void **state)
{
    (void)state;
    static const char *const V[][3] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xff\xef\xbe", "/+++", "_---"},
    };
    for (size_t i = 0; i < PB_COUNTOF(V); i++) {
        struct pb_buf b = {0};
        pb_base64_encode(pb_str_c(V[i][0]), &b);
        assert_true(pb_str_is(pb_buf_view(&b), V[i][1]));
        b.n = 0;
        pb_base64url_encode(pb_str_c(V[i][0]), &b);
        assert_true(pb_str_is(pb_buf_view(&b), V[i][2]));
        b.n = 0;
        assert_true(pb_base64_decode(pb_str_c(V[i][1]), &b));
        assert_true(pb_str_is(pb_buf_view(&b), V[i][0]));
        assert_true(pb_base64url_decode(pb_str_c(V[i][2]), &b)); /* appended */
        assert_int_equal(b.n, 2 * strlen(V[i][0]));
        pb_buf_free(&b);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    unsigned char all[256];
    for (size_t i = 0; i < sizeof all; i++) all[i] = (unsigned char)(i * 167 + 13);
    for (size_t n = 0; n <= sizeof all; n++) {
        struct pb_buf text = {0}, back = {0};
        pbay_str in = pb_str((const char *)all, n);
        pb_base64_encode(in, &text);
        assert_true(pb_base64_decode(pb_buf_view(&text), &back) && pb_str_eq(pb_buf_view(&back), in));
        text.n = back.n = 0;
        pb_base64url_encode(in, &text);
        assert_true(pb_base64url_decode(pb_buf_view(&text), &back) && pb_str_eq(pb_buf_view(&back), in));
        text.n = back.n = 0;
        pb_hex_encode(in, &text);
        assert_int_equal(text.n, 2 * n);
        assert_true(pb_hex_decode(pb_buf_view(&text), &back) && pb_str_eq(pb_buf_view(&back), in));
        pb_buf_free(&text);
        pb_buf_free(&back);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const STANDARD[] = {"Zg",   "Zg=",  "Zh==",     "Zm9=", "Zm 9v",           "Zm9v\n",
                                           "====", "Z===", "Zg==Zg==", "Zm9_", "\xc3\xa4\xc3\xa4"};
    static const char *const URL[] = {"Z", "Zg==", "Zh", "Zm9=", "Zm9+", "Zm9/", "Zm9v "};
    static const char *const HEX[] = {"0", "0g", "0x", " 00", "00 "};
    struct pb_buf b = {0};
    pb_buf_c(&b, "kept");
    for (size_t i = 0; i < PB_COUNTOF(STANDARD); i++)
        assert_false(pb_base64_decode(pb_str_c(STANDARD[i]), &b));
    for (size_t i = 0; i < PB_COUNTOF(URL); i++) assert_false(pb_base64url_decode(pb_str_c(URL[i]), &b));
    for (size_t i = 0; i < PB_COUNTOF(HEX); i++) assert_false(pb_hex_decode(pb_str_c(HEX[i]), &b));
    assert_true(pb_str_is(pb_buf_view(&b), "kept"));
    b.n = 0;
    assert_true(pb_hex_decode(PB_STR("fFaA"), &b));
    assert_true(pb_str_eq(pb_buf_view(&b), PB_STR("\xff\xaa")));
    pb_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
