/* SPDX-License-Identifier: MIT */
/* gRPC framing split at every byte, limits and damage; base64, timeouts, percent-encoding by tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/grpc.h"
#include "net/zip.h"

/* All messages of a stream that is fed in two pieces, each message followed by '|'. */
static int read_all(struct pb_grpc_reader *r, pbay_str stream, size_t cut, struct pb_buf *out, size_t *wire,
                    struct pb_err *err)
{
    const pbay_str pieces[2] = {{stream.p, cut}, {stream.p + cut, stream.n - cut}};
    *wire = 0;
    for (int i = 0; i < 2; i++) {
        /* On the heap in its exact size, so that a sanitizer sees what is read beyond it. */
        char *copy = pb_strndup(pieces[i].p, pieces[i].n);
        const char *p = copy;
        size_t n = pieces[i].n;
        struct pb_grpc_message m;
        int rc;
        while ((rc = pb_grpc_reader_next(r, &p, &n, &m, err)) == 1) {
            pb_buf_str(out, m.bytes);
            pb_buf_ch(out, '|');
            *wire += m.wire;
        }
        pb_free(copy);
        if (rc < 0) return rc;
        assert_int_equal(n, 0);
    }
    return 0;
}

static void put(struct pb_buf *b, bool compressed, pbay_str m)
{
    uint8_t head[PB_GRPC_PREFIX];
    pb_grpc_prefix(head, compressed, (uint32_t)m.n);
    pb_buf_add(b, head, sizeof head);
    pb_buf_str(b, m);
}

static void messages_split_at_every_byte(void **state)
{
    (void)state;
    struct pb_buf s = {0}, packed = {0}, out = {0};
    struct pb_err err;
    assert_int_equal(pb_deflate(PB_ZIP_GZIP, 1, PB_STR("squeezed squeezed squeezed"), &packed, &err), 0);
    put(&s, false, PB_STR("one"));
    put(&s, false, PB_STR(""));
    put(&s, true, pb_buf_view(&packed));
    put(&s, false, PB_STR("four, which is longer"));
    for (size_t cut = 0; cut <= s.n; cut++) {
        struct pb_grpc_reader r = {.limit = 100, .coding = PB_GRPC_GZIP};
        size_t wire;
        out.n = 0;
        assert_int_equal(read_all(&r, pb_buf_view(&s), cut, &out, &wire, &err), 0);
        assert_true(pb_str_is(pb_buf_view(&out), "one||squeezed squeezed squeezed|four, which is longer|"));
        assert_int_equal(wire, s.n);
        assert_false(pb_grpc_reader_partial(&r));
        pb_grpc_reader_free(&r);
    }
    pb_buf_free(&s);
    pb_buf_free(&packed);
    pb_buf_free(&out);
}

static void expects_says_how_much_a_message_takes(void **state)
{
    (void)state;
    struct pb_grpc_reader r = {.limit = 1 << 20};
    struct pb_grpc_message m;
    struct pb_err err;
    const char *p = "\0\0\1\0";
    size_t n = 4;
    assert_int_equal(pb_grpc_reader_next(&r, &p, &n, &m, &err), 0);
    assert_int_equal(pb_grpc_reader_expects(&r), 0);
    p = "\0xyz";
    n = 4;
    assert_int_equal(pb_grpc_reader_next(&r, &p, &n, &m, &err), 0);
    assert_int_equal(pb_grpc_reader_expects(&r), 65536 + PB_GRPC_PREFIX);
    assert_true(pb_grpc_reader_partial(&r));
    assert_true(r.gather.cap < 65536); /* memory grows with what has come */
    pb_grpc_reader_free(&r);
}

static void damage(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        enum pb_grpc_coding coding;
        int32_t code;
        const char *word;
    } table[] = {
        {"\2\0\0\0\0", 5, PB_GRPC_IDENTITY, PBAY_INTERNAL, "0x02"},
        {"\1\0\0\0\0", 5, PB_GRPC_IDENTITY, PBAY_INTERNAL, "without grpc-encoding"},
        {"\0\0\0\0\145", 5, PB_GRPC_IDENTITY, PBAY_RESOURCE_EXHAUSTED, "101"},
        {"\0\377\377\377\377", 5, PB_GRPC_IDENTITY, PBAY_RESOURCE_EXHAUSTED, "4294967295"},
        {"\1\0\0\0\3abc", 8, PB_GRPC_GZIP, PBAY_INTERNAL, "compressed"},
        {"\1\0\0\0\0", 5, PB_GRPC_GZIP, PBAY_INTERNAL, "compressed"},
        {"\1\0\0\0\0", 5, PB_GRPC_UNKNOWN_CODING, PBAY_UNIMPLEMENTED, "grpc-encoding"},
    };
    for (size_t i = 0; i < PB_COUNTOF(table); i++) {
        struct pb_grpc_reader r = {.limit = 100, .coding = table[i].coding};
        struct pb_buf out = {0};
        struct pb_err err;
        size_t wire;
        assert_int_equal(read_all(&r, pb_str(table[i].bytes, table[i].n), 3, &out, &wire, &err), -1);
        assert_int_equal(err.code, table[i].code);
        assert_non_null(strstr(err.msg, table[i].word));
        pb_grpc_reader_free(&r);
        pb_buf_free(&out);
    }
    /* A bomb is stopped at the limit. */
    struct pb_buf zeros = {0}, packed = {0}, s = {0};
    struct pb_err err;
    memset(pb_buf_room(&zeros, 10 << 20), 0, 10 << 20);
    zeros.n = 10 << 20;
    assert_int_equal(pb_deflate(PB_ZIP_GZIP, 9, pb_buf_view(&zeros), &packed, &err), 0);
    put(&s, true, pb_buf_view(&packed));
    struct pb_grpc_reader r = {.limit = 1 << 20, .coding = PB_GRPC_GZIP};
    const char *p = s.p;
    size_t n = s.n;
    struct pb_grpc_message m;
    assert_int_equal(pb_grpc_reader_next(&r, &p, &n, &m, &err), -1);
    assert_int_equal(err.code, PBAY_RESOURCE_EXHAUSTED);
    assert_true(r.inflated.cap < 4 << 20);
    pb_grpc_reader_free(&r);
    pb_buf_free(&zeros);
    pb_buf_free(&packed);
    pb_buf_free(&s);
}

static void base64(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bytes;
        size_t n;
    } good[] = {{"", "", 0},
                {"Zg", "f", 1},
                {"Zg==", "f", 1},
                {"Zm8", "fo", 2},
                {"Zm8=", "fo", 2},
                {"Zm9v", "foo", 3},
                {"Zm9vYg==", "foob", 4},
                {"AAAA", "\0\0\0", 3},
                {"+/+/", "\xfb\xff\xbf", 3},
                {"Zm9vYmFy", "foobar", 6},
                {"Zh", "f", 1}};
    static const char *const wrong[] = {
        "Z", "Zg=", "Zg===", "=", "====", "Zm9v=", "Zm 9v", "Zm9v\n", "Zg-_", "Zm9vY", "Zg==Zg=="};
    for (size_t i = 0; i < PB_COUNTOF(good); i++) {
        struct pb_buf b = {0}, back = {0};
        assert_true(pb_grpc_base64_decode(pb_str_c(good[i].text), &b));
        assert_int_equal(b.n, good[i].n);
        assert_memory_equal(b.p, good[i].bytes, b.n);
        pb_grpc_base64_encode(pb_buf_view(&b), &back);
        assert_int_equal(back.n, (b.n * 4 + 2) / 3);
        pb_buf_free(&b);
        assert_true(pb_grpc_base64_decode(pb_buf_view(&back), &b));
        assert_int_equal(b.n, good[i].n);
        pb_buf_free(&b);
        pb_buf_free(&back);
    }
    for (size_t i = 0; i < PB_COUNTOF(wrong); i++) {
        struct pb_buf b = {0};
        pb_buf_c(&b, "kept");
        assert_false(pb_grpc_base64_decode(pb_str_c(wrong[i]), &b));
        assert_int_equal(b.n, 4);
        pb_buf_free(&b);
    }
}

static void timeouts(void **state)
{
    (void)state;
    int64_t ns;
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {{"1n", 1},
                {"1u", 1000},
                {"250m", 250000000},
                {"30S", INT64_C(30000000000)},
                {"2M", INT64_C(120000000000)},
                {"1H", INT64_C(3600000000000)},
                {"0S", 0},
                {"99999999H", INT64_MAX}};
    static const char *const wrong[] = {"",     "S",          "5",   "5s",  "-1S",
                                        "1.5S", "123456789S", " 1S", "1S ", "soon"};
    for (size_t i = 0; i < PB_COUNTOF(good); i++) {
        assert_true(pb_grpc_timeout_parse(pb_str_c(good[i].text), &ns));
        assert_true(ns == good[i].ns);
    }
    for (size_t i = 0; i < PB_COUNTOF(wrong); i++)
        assert_false(pb_grpc_timeout_parse(pb_str_c(wrong[i]), &ns));
}

static void percent(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wire;
    } table[] = {{"plain text, with = and ~", "plain text, with = and ~"},
                 {"100%", "100%25"},
                 {"a\nb\x7f", "a%0Ab%7F"},
                 {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "%C3%A9%E2%82%AC%F0%9F%98%80"},
                 {"\xff\xc3", "%EF%BF%BD%EF%BF%BD"},
                 {"\x1b[31m", "%1B[31m"}};
    for (size_t i = 0; i < PB_COUNTOF(table); i++) {
        struct pb_buf b = {0};
        pb_grpc_percent_encode(pb_str_c(table[i].text), &b);
        assert_true(pb_str_is(pb_buf_view(&b), table[i].wire));
        pb_buf_free(&b);
    }
    struct pb_buf b = {0};
    pb_grpc_percent_decode(PB_STR("a%C3%A9%25 %zz %4"), &b);
    assert_true(pb_str_is(pb_buf_view(&b), "a\xc3\xa9% %zz %4"));
    pb_buf_free(&b);
    /* Cut at a character. */
    struct pb_buf longer = {0};
    for (int i = 0; i < 1023; i++) pb_buf_ch(&longer, 'x');
    pb_buf_c(&longer, "\xc3\xa9tail");
    pb_grpc_percent_encode(pb_buf_view(&longer), &b);
    assert_int_equal(b.n, 1023);
    pb_buf_free(&b);
    pb_buf_free(&longer);
}

static void names(void **state)
{
    (void)state;
    assert_true(pb_grpc_content_type_ok(PB_STR("application/grpc")));
    assert_true(pb_grpc_content_type_ok(PB_STR("application/grpc+proto")));
    assert_true(pb_grpc_content_type_ok(PB_STR("application/grpc;charset=utf-8")));
    assert_true(pb_grpc_content_type_ok(PB_STR("application/grpc+proto ; x=y")));
    assert_false(pb_grpc_content_type_ok(PB_STR("application/grpc+json")));
    assert_false(pb_grpc_content_type_ok(PB_STR("application/grpc-web")));
    assert_false(pb_grpc_content_type_ok(PB_STR("application/json")));
    assert_false(pb_grpc_content_type_ok(PB_STR("")));
    assert_true(pb_grpc_key_ok(PB_STR("qlik-cache")));
    assert_false(pb_grpc_key_ok(PB_STR("Qlik-Cache")));
    assert_false(pb_grpc_key_ok(PB_STR(":path")));
    assert_false(pb_grpc_key_ok(PB_STR("grpc-status")));
    assert_false(pb_grpc_key_ok(PB_STR("")));
    assert_true(pb_grpc_value_ok(PB_STR("no-store ~")));
    assert_false(pb_grpc_value_ok(PB_STR("a\r\nb")));
    assert_false(pb_grpc_value_ok(PB_STR("\xc3\xa9")));
    assert_true(pb_grpc_accepts_gzip(PB_STR("identity, deflate, gzip")));
    assert_false(pb_grpc_accepts_gzip(PB_STR("identity,xgzip")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_split_at_every_byte),
        cmocka_unit_test(expects_says_how_much_a_message_takes),
        cmocka_unit_test(damage),
        cmocka_unit_test(base64),
        cmocka_unit_test(timeouts),
        cmocka_unit_test(percent),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
