/* SPDX-License-Identifier: MIT */
/* Compression there and back, limits, damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "net/zip.h"

static void test_there_and_back(void **state)
{
    (void)state;
    struct pb_err err;
    for (uint32_t zip = PB_ZIP_GZIP; zip <= PB_ZIP_DEFLATE; zip++) {
        for (size_t n = 0; n < 3000000; n = n * 7 + 1) {
            struct pb_buf in = {0}, packed = {0}, out = {0};
            uint32_t x = 12345;
            for (size_t i = 0; i < n; i++) {
                x = x * 1664525u + 1013904223u;
                pb_buf_ch(&in, (char)((x >> 24) % 17));
            }
            pb_buf_c(&out, "kept:");
            assert_int_equal(pb_deflate(zip, n % 2 ? -1 : 6, pb_buf_view(&in), &packed, &err), 0);
            assert_int_equal(pb_inflate(zip, pb_buf_view(&packed), n, &out, &err), 0);
            assert_int_equal(out.n, n + 5);
            if (n) assert_memory_equal(out.p + 5, in.p, n);
            if (n) {
                assert_int_equal(pb_inflate(zip, pb_buf_view(&packed), n - 1, &out, &err), -1);
                assert_int_equal(err.code, PBAY_RESOURCE_EXHAUSTED);
                assert_int_equal(out.n, n + 5);
            }
            for (size_t cut = 0; cut < packed.n; cut += packed.n / 7 + 1) {
                assert_int_equal(pb_inflate(zip, pb_str(packed.p, cut), n + 10, &out, &err), -1);
                assert_int_equal(err.code, PBAY_INVALID_ARGUMENT);
            }
            if (zip != PB_ZIP_DEFLATE) {
                out.n = 0;
                assert_int_equal(pb_inflate(PB_ZIP_SNIFF, pb_buf_view(&packed), n, &out, &err), 0);
                assert_int_equal(out.n, n);
            }
            pb_buf_ch(&packed, 'x');
            assert_int_equal(pb_inflate(zip, pb_buf_view(&packed), n + 10, &out, &err), -1);
            assert_int_equal(err.code, PBAY_INVALID_ARGUMENT);
            pb_buf_free(&in);
            pb_buf_free(&packed);
            pb_buf_free(&out);
        }
    }
}

static void test_members(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_buf packed = {0}, out = {0};
    assert_int_equal(pb_deflate(PB_ZIP_GZIP, 9, PB_STR("one,"), &packed, &err), 0);
    assert_int_equal(pb_deflate(PB_ZIP_GZIP, 1, PB_STR("two"), &packed, &err), 0);
    assert_int_equal(pb_inflate(PB_ZIP_GZIP, pb_buf_view(&packed), 7, &out, &err), 0);
    assert_int_equal(out.n, 7);
    assert_memory_equal(out.p, "one,two", 7);
    assert_int_equal(pb_inflate(PB_ZIP_GZIP, pb_buf_view(&packed), 6, &out, &err), -1);
    assert_int_equal(err.code, PBAY_RESOURCE_EXHAUSTED);
    pb_buf_free(&packed);
    pb_buf_free(&out);
}

static void test_bomb(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_buf zeros = {0}, packed = {0}, out = {0};
    memset(pb_buf_room(&zeros, 32 << 20), 0, 32 << 20);
    zeros.n = 32 << 20;
    assert_int_equal(pb_deflate(PB_ZIP_GZIP, 9, pb_buf_view(&zeros), &packed, &err), 0);
    assert_int_equal(pb_inflate(PB_ZIP_GZIP, pb_buf_view(&packed), 1 << 20, &out, &err), -1);
    assert_int_equal(err.code, PBAY_RESOURCE_EXHAUSTED);
    assert_true(out.cap < 8 << 20);
    pb_buf_free(&zeros);
    pb_buf_free(&packed);
    pb_buf_free(&out);
}

static void test_sniff_plain(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_buf out = {0};
    assert_int_equal(pb_inflate(PB_ZIP_SNIFF, PB_STR("{\"a\":1}"), 7, &out, &err), 0);
    assert_int_equal(out.n, 7);
    assert_int_equal(pb_inflate(PB_ZIP_SNIFF, PB_STR("{\"a\":1}"), 6, &out, &err), -1);
    assert_int_equal(pb_inflate(PB_ZIP_SNIFF, PB_STR(""), 6, &out, &err), 0);
    assert_int_equal(pb_inflate(9, PB_STR("x"), 6, &out, &err), -1);
    assert_int_equal(pb_deflate(PB_ZIP_SNIFF, 1, PB_STR("x"), &out, &err), -1);
    assert_int_equal(pb_deflate(PB_ZIP_GZIP, 10, PB_STR("x"), &out, &err), -1);
    pb_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_sniff_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
