/* SPDX-License-Identifier: MIT */
/* Tokens as the documentation describes them, bodies that a JSON library reads back, what statuses mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/encode.h"
#include "kit/crypto_table.h"
#include "kit/snowflake_sql.h"

static struct pbay_key *make_key(void)
{
    char pem[8192];
    struct pb_err err;
    FILE *p = popen("openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null || "
                    "openssl genrsa 2048 2>/dev/null",
                    "r");
    size_t n = fread(pem, 1, sizeof pem, p);
    assert_int_equal(pclose(p), 0);
    struct pbay_key *key = pb_key_load(pb_str(pem, n), pb_str(NULL, 0), &err);
    assert_non_null(key);
    return key;
}

/* The part of a token between two dots, decoded. */
static json_t *part(pbay_str token, int which)
{
    pbay_str rest = token, piece = {0};
    struct pb_buf text = {0};
    for (int i = 0; i <= which; i++) assert_true(pb_str_split(&rest, '.', &piece));
    assert_true(pb_base64url_decode(piece, &text));
    json_t *j = json_loadb(text.p, text.n, 0, NULL);
    assert_non_null(j);
    pb_buf_free(&text);
    return j;
}

static void tokens(void **state)
{
    (void)state;
    struct pbay_key *key = make_key();
    pbay_sf_jwt *j = pbay_sf_jwt_new(&CRYPTO, key, PB_STR("xy12345.eu-west-1"), PB_STR("Loader"));
    assert_non_null(j);
    const int64_t now = INT64_C(1795219200000);
    pbay_str token = pbay_sf_jwt_token(j, now);
    json_t *claims = part(token, 1), *head = part(token, 0);
    assert_string_equal(json_string_value(json_object_get(head, "alg")), "RS256");
    assert_string_equal(json_string_value(json_object_get(claims, "sub")), "XY12345.LOADER");
    assert_int_equal(json_integer_value(json_object_get(claims, "iat")), now / 1000);
    assert_int_equal(json_integer_value(json_object_get(claims, "exp")), now / 1000 + 3540);

    uint8_t digest[32];
    struct pb_buf print = {0}, sig = {0};
    pbay_str der = pb_key_public_der(key);
    pb_digest(PB_HASH_SHA256, &der, 1, digest);
    pb_buf_c(&print, "XY12345.LOADER.SHA256:");
    pb_base64_encode(pb_str((char *)digest, 32), &print);
    pb_buf_ch(&print, 0);
    assert_string_equal(json_string_value(json_object_get(claims, "iss")), print.p);

    size_t dot = token.n;
    while (token.p[dot - 1] != '.') dot--;
    assert_true(pb_base64url_decode(pb_str(token.p + dot, token.n - dot), &sig));
    const pbay_str signed_part = pb_str(token.p, dot - 1);
    assert_int_equal(pb_key_verify(key, PB_SIGN_RS256, &signed_part, 1, pb_buf_view(&sig)), PBAY_OK);

    /* Kept for 54 minutes, then another; and another when it was refused. */
    const char *first = token.p;
    assert_ptr_equal(pbay_sf_jwt_token(j, now + 53 * 60000).p, first);
    token = pbay_sf_jwt_token(j, now + 55 * 60000);
    json_t *later = part(token, 1);
    assert_int_equal(json_integer_value(json_object_get(later, "iat")), now / 1000 + 3300);
    pbay_sf_jwt_drop(j);
    token = pbay_sf_jwt_token(j, now);
    assert_true(token.n > 0);

    assert_null(pbay_sf_jwt_new(&CRYPTO, key, PB_STR("a\"b"), PB_STR("u")));
    assert_null(pbay_sf_jwt_new(&CRYPTO, key, PB_STR(""), PB_STR("u")));
    json_decref(claims);
    json_decref(head);
    json_decref(later);
    pb_buf_free(&print);
    pb_buf_free(&sig);
    pbay_sf_jwt_free(j);
    pb_key_free(key);
}

static void put(void *to, const char *p, size_t n)
{
    pb_buf_add(to, p, n);
}

static void bodies(void **state)
{
    (void)state;
    const pbay_str users[] = {PB_STR("1"), PB_STR("2"), {NULL, 0}},
                   texts[] = {PB_STR("[1, \"x\"]"), PB_STR("\t\\"), PB_STR("")};
    const pbay_str seven = PB_STR("7");
    const pbay_sf_binding bindings[] = {
        {"FIXED", users, 3, 1}, {"TEXT", texts, 3, 1}, {"FIXED", &seven, 1, 0}};
    const pbay_sf_statement s = {.text = PB_STR("insert into \"t\"\nvalues (?, ?)"),
                                 .role = PB_STR("SYSADMIN"),
                                 .timeout_s = 60,
                                 .bindings = bindings,
                                 .n_bindings = 3,
                                 .n_statements = UINT32_MAX,
                                 .query_tag = PB_STR("it's \"me\"")};
    struct pb_buf b = {0};
    pbay_sf_put_body(&s, put, &b);
    json_t *j = json_loadb(b.p, b.n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(j);
    assert_string_equal(json_string_value(json_object_get(j, "statement")),
                        "insert into \"t\"\nvalues (?, ?)");
    assert_int_equal(json_integer_value(json_object_get(j, "timeout")), 60);
    assert_null(json_object_get(j, "database"));
    json_t *all = json_object_get(j, "bindings"),
           *first = json_object_get(json_object_get(all, "1"), "value");
    assert_int_equal(json_array_size(first), 3);
    assert_true(json_is_null(json_array_get(first, 2)));
    json_t *second = json_object_get(json_object_get(all, "2"), "value");
    assert_string_equal(json_string_value(json_array_get(second, 1)), "\t\\");
    assert_string_equal(json_string_value(json_array_get(second, 2)), "");
    assert_string_equal(json_string_value(json_object_get(json_object_get(all, "3"), "value")), "7");
    json_t *parameters = json_object_get(j, "parameters");
    assert_string_equal(json_string_value(json_object_get(parameters, "MULTI_STATEMENT_COUNT")), "0");
    assert_string_equal(json_string_value(json_object_get(parameters, "QUERY_TAG")), "it's \"me\"");
    json_decref(j);
    pb_buf_free(&b);
}

static void paths(void **state)
{
    (void)state;
    static const uint8_t random[16] = {0xff, 1, 2, 3, 4, 5, 0xff, 7, 0xff, 9, 10, 11, 12, 13, 14, 15};
    char id[PBAY_SF_UUID], path[PBAY_SF_PATH];
    pbay_sf_uuid(random, id);
    assert_string_equal(id, "ff010203-0405-4f07-bf09-0a0b0c0d0e0f");
    size_t n = pbay_sf_path_submit(id, 1, 0, path);
    assert_int_equal(n, strlen(path));
    assert_string_equal(
        path, "/api/v2/statements?requestId=ff010203-0405-4f07-bf09-0a0b0c0d0e0f&retry=true&async=false");
    assert_true(pbay_sf_path_poll(PB_STR("01a2-b3"), 0, path) > 0);
    assert_string_equal(path, "/api/v2/statements/01a2-b3");
    assert_true(pbay_sf_path_poll(PB_STR("01a2-b3"), 4, path) > 0);
    assert_string_equal(path, "/api/v2/statements/01a2-b3?partition=4");
    assert_true(pbay_sf_path_cancel(PB_STR("01a2-b3"), path) > 0);
    assert_string_equal(path, "/api/v2/statements/01a2-b3/cancel");
    assert_int_equal(pbay_sf_path_poll(PB_STR("../x"), 0, path), 0);
    assert_int_equal(pbay_sf_path_cancel(PB_STR(""), path), 0);
}

static void statuses(void **state)
{
    (void)state;
    static const struct {
        int32_t status;
        uint32_t class;
        int32_t code;
        uint32_t effect;
    } all[] = {{202, PBAY_SF_RUNNING, 0, 0},
               {0, PBAY_SF_AGAIN, PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE},
               {400, PBAY_SF_FAILED, PBAY_INVALID_ARGUMENT, PBAY_EFFECT_NONE},
               {401, PBAY_SF_TOKEN, PBAY_UNAUTHENTICATED, PBAY_EFFECT_NONE},
               {422, PBAY_SF_FAILED, PBAY_FAILED_PRECONDITION, PBAY_EFFECT_NONE},
               {429, PBAY_SF_AGAIN, PBAY_RESOURCE_EXHAUSTED, PBAY_EFFECT_NONE},
               {503, PBAY_SF_AGAIN, PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE}};
    assert_int_equal(pbay_sf_class(200), PBAY_SF_DONE);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        pbay_result r = {0};
        assert_int_equal(pbay_sf_class(all[i].status), all[i].class);
        if (all[i].status == 202) continue;
        pbay_sf_result(all[i].status, 1, &r);
        assert_int_equal(r.code, all[i].code);
        assert_int_equal(r.effect, all[i].effect);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tokens), cmocka_unit_test(bodies),
                                       cmocka_unit_test(paths), cmocka_unit_test(statuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
