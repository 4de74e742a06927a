/* SPDX-License-Identifier: MIT */
/* Objects and arrays taken apart, and key sets: the example of RFC 7517 §A.1, and what must be left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "data/json_object.h"
#include "data/jwks.h"

/* RFC 7517 §A.1. */
#define EC_KEY                                                                                               \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","               \
    "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\",\"use\":\"%s\",\"kid\":\"1\"}"
#define RSA_N                                                                                                \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"                \
    "BJECPebWKRXjBZCi"                                                                                       \
    "FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"                               \
    "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9"                                                                      \
    "c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"           \
    "xBniIqbw0Ls1"                                                                                           \
    "jF44-csFCur-kEgU8awapJzKnqDKgw"

static struct pb_jwks parse(const char *text)
{
    struct pb_jwks set = {0};
    struct pb_err err = {0};
    if (pb_jwks_parse(pb_str_c(text), &set, &err)) fail_msg("%s", err.msg);
    return set;
}

static void refused(const char *text, const char *msg)
{
    struct pb_jwks set = {0};
    struct pb_err err = {0};
    assert_int_equal(pb_jwks_parse(pb_str_c(text), &set, &err), -1);
    assert_string_equal(err.msg, msg);
    pb_jwks_free(&set);
}

static void test_objects(void **state)
{
    (void)state;
    struct pb_arena a = {0};
    struct pb_json_object o;
    struct pb_err err = {0};
    const char *text = " { \"a\" : 1 , \"b\\u0063\" : [ {\"a\":2} ] , \"s\":\"x\\ny\" } ";
    assert_int_equal(pb_json_object(pb_str_c(text), 3, 3, &a, &o, &err), 0);
    assert_int_equal(o.n, 3);
    assert_true(pb_str_is(pb_json_get(&o, "a"), "1"));
    assert_true(pb_str_is(pb_json_get(&o, "bc"), "[ {\"a\":2} ]"));
    assert_null(pb_json_get(&o, "b").p);
    pbay_str s, *items;
    size_t n;
    assert_true(pb_json_string(pb_json_get(&o, "s"), &a, &s) && pb_str_is(s, "x\ny"));
    assert_false(pb_json_string(pb_json_get(&o, "a"), &a, &s));
    assert_false(pb_json_string(pb_json_get(&o, "none"), &a, &s));
    assert_int_equal(pb_json_array(PB_STR("[1, \"]\" ,[]]"), 3, 3, &a, &items, &n, &err), 0);
    assert_true(n == 3 && pb_str_is(items[1], "\"]\"") && pb_str_is(items[2], "[]"));
    assert_int_equal(pb_json_object(PB_STR("{}"), 0, 2, &a, &o, &err), 0);
    assert_int_equal(pb_json_array(PB_STR("[]"), 0, 2, &a, &items, &n, &err), 0);
    assert_int_equal(n, 0);

    static const char *const BAD[] = {"",
                                      "[]",
                                      "{",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1",
                                      "{\"a\":1,}",
                                      "{\"a\":1}x",
                                      "{a:1}",
                                      "{\"a\":1 \"b\":2}",
                                      "{,}",
                                      "{\"a\":01}",
                                      "{\"a\":[[[1]]]}",
                                      "{\"a\":1,\"\\u0061\":2}",
                                      "{\"a\":1,\"b\":2,\"c\":3,\"d\":4}"};
    for (size_t i = 0; i < PB_COUNTOF(BAD); i++)
        if (pb_json_object(pb_str_c(BAD[i]), 3, 3, &a, &o, &err) == 0) fail_msg("taken: %s", BAD[i]);
    static const char *const BAD_ARRAY[] = {"",     "{}",   "[",         "[1",       "[1,]",
                                            "[,1]", "[1]]", "[1,2,3,4]", "[[[[1]]]]"};
    for (size_t i = 0; i < PB_COUNTOF(BAD_ARRAY); i++)
        if (pb_json_array(pb_str_c(BAD_ARRAY[i]), 3, 3, &a, &items, &n, &err) == 0)
            fail_msg("taken: %s", BAD_ARRAY[i]);
    pb_arena_free(&a);
}

static void test_rfc7517(void **state)
{
    (void)state;
    PB_AUTO_FREE char *text = pb_sprintf("{\"keys\":[" EC_KEY ",{\"kty\":\"RSA\",\"n\":\"" RSA_N
                                         "\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}]}",
                                         "sig");
    struct pb_jwks set = parse(text);
    assert_true(set.n == 2 && set.left_out == 0);
    assert_true(set.keys[0].type == PB_JWK_EC_P256 && pb_str_is(set.keys[0].kid, "1"));
    assert_true(set.keys[0].x.n == 32 && set.keys[0].y.n == 32 && (unsigned char)set.keys[0].x.p[0] == 0x30);
    assert_true(set.keys[1].type == PB_JWK_RSA && pb_str_is(set.keys[1].kid, "2011-04-29"));
    assert_true(set.keys[1].n.n == 256 && pb_str_eq(set.keys[1].e, PB_STR("\x01\x00\x01")));
    pb_jwks_free(&set);
}

static void test_left_out(void **state)
{
    (void)state;
    PB_AUTO_FREE char *good = pb_sprintf(EC_KEY, "sig");
    PB_AUTO_FREE char *enc = pb_sprintf(EC_KEY, "enc"); /* as the RFC has it */
    PB_AUTO_FREE char *text =
        pb_sprintf("{\"keys\":[%s,%s,{\"kty\":\"oct\",\"k\":\"AAAA\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                   "\"x\":\"AA\"},"
                   "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"d\":\"AQAB\"},"
                   "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"alg\":\"HS256\"},"
                   "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\"},{\"kty\":\"RSA\",\"n\":\"" RSA_N
                   "\",\"e\":\"AQAB\",\"key_ops\":[\"sign\"]},"
                   "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"},{\"kty\":7},{}]}",
                   enc, good);
    struct pb_jwks set = parse(text);
    assert_int_equal(set.n, 1);
    assert_int_equal(set.left_out, 10);
    assert_int_equal(set.with_secret, 2);
    pb_jwks_free(&set);
}

static void test_refused(void **state)
{
    (void)state;
    refused("", "key set: the text is empty");
    refused("[]", "key set: byte 1: a JSON object is expected");
    refused("{}", "key set: there is no member \"keys\"");
    refused("{\"keys\":{}}", "key set: \"keys\": byte 1: a JSON array is expected");
    refused("{\"keys\":[1]}", "key set: key 1: byte 1: a JSON object is expected");
    refused("{\"keys\":[{\"kty\":\"EC\",\"kty\":\"RSA\"}]}",
            "key set: key 1: byte 18: a name stands twice in one object");
    refused("{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}",
            "key set: none of its 1 keys can verify RS256 (kty RSA) or ES256 (kty EC, crv P-256) signatures");
    PB_AUTO_FREE char *big = pb_alloc(PB_JWKS_TEXT_MAX + 2);
    memset(big, ' ', PB_JWKS_TEXT_MAX + 1);
    big[PB_JWKS_TEXT_MAX + 1] = 0;
    refused(big, "the key set has 262145 bytes; 262144 are allowed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_rfc7517),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
