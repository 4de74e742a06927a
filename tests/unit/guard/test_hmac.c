/* SPDX-License-Identifier: MIT */
/* HMAC by RFC 4231 and RFC 2202, signatures of bodies in both texts, secrets side by side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "guard/hmac.h"

static void test_vectors(void **state)
{
    (void)state;
    static const struct {
        enum pb_mac_alg alg;
        const char *hex;
    } V[] = {
        {PB_MAC_SHA256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {PB_MAC_SHA512, "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
                        "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
        {PB_MAC_SHA1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
    };
    const pbay_str secret = PB_STR("Jefe"),
                   parts[] = {PB_STR("what do ya want "), PB_STR(""), PB_STR("for nothing?")};
    for (size_t i = 0; i < PB_COUNTOF(V); i++) {
        struct pb_mac_rule rule = {.alg = V[i].alg, .text = PB_MAC_HEX, .secrets = &secret, .n_secrets = 1};
        struct pb_buf b = {0};
        pb_mac_sign(&rule, parts, 3, &b);
        assert_true(pb_str_is(pb_buf_view(&b), V[i].hex));
        pb_buf_free(&b);
    }
}

static int check(const struct pb_mac_rule *rule, const char *body, const char *given, const char *msg)
{
    struct pb_err err = {0};
    pbay_str part = pb_str_c(body);
    int rc = pb_mac_verify(rule, &part, 1, pb_str_c(given), &err);
    assert_int_equal(err.code, rc ? PBAY_UNAUTHENTICATED : 0);
    if (msg && !strstr(err.msg, msg)) fail_msg("%s", err.msg);
    return rc;
}

static void test_verify(void **state)
{
    (void)state;
    const pbay_str secrets[] = {PB_STR("first-secret"), PB_STR("second-secret"), PB_STR("third-secret")};
    struct pb_mac_rule rule = {PB_MAC_SHA256, PB_MAC_HEX, PB_STR("sha256="), secrets, 2};
    struct pb_mac_rule second = rule, third = rule;
    second.secrets++;
    third.secrets += 2;
    pbay_str body = PB_STR("body");
    struct pb_buf b = {0};
    pb_mac_sign(&second, &body, 1, &b);
    pb_buf_ch(&b, 0);
    assert_int_equal(check(&rule, "body", b.p, NULL), 0);
    assert_int_equal(check(&rule, "bodY", b.p, "fits none of the 2 secrets"), -1);
    assert_int_equal(check(&rule, "", b.p, "fits none"), -1);
    assert_int_equal(check(&rule, "body", b.p + 7, "does not begin with \"sha256=\""), -1);
    assert_int_equal(check(&rule, "body", "", "the body is not signed"), -1);
    assert_int_equal(check(&rule, "body", "sha256=", "is not 32 bytes in hex"), -1);
    assert_int_equal(check(&rule, "body", "sha256=00", "is not 32 bytes in hex"), -1);
    for (char *p = b.p + 7; *p; p++) /* hex in capitals is the same signature */
        if (*p >= 'a') *p = (char)(*p - 32);
    assert_int_equal(check(&rule, "body", b.p, NULL), 0);
    b.p[10] = b.p[10] == '0' ? '1' : '0';
    assert_int_equal(check(&rule, "body", b.p, "fits none"), -1);
    b.n = 0;
    pb_mac_sign(&third, &body, 1, &b);
    pb_buf_ch(&b, 0);
    assert_int_equal(check(&rule, "body", b.p, "fits none"), -1);

    rule = (struct pb_mac_rule){PB_MAC_SHA1, PB_MAC_BASE64, PB_STR(""), secrets, 3};
    b.n = 0;
    pb_mac_sign(&rule, &body, 1, &b);
    pb_buf_ch(&b, 0);
    assert_int_equal(b.n, 29);
    assert_int_equal(check(&rule, "body", b.p, NULL), 0);
    b.p[27] = 0; /* without its padding */
    assert_int_equal(check(&rule, "body", b.p, "is not 20 bytes in base64"), -1);
    rule.n_secrets = 0;
    b.p[27] = '=';
    assert_int_equal(check(&rule, "body", b.p, "none of the 0"), -1);
    pb_buf_free(&b);
}

static void test_rules(void **state)
{
    (void)state;
    struct pb_err err = {0};
    const pbay_str secrets[9] = {PB_STR("first-secret"), PB_STR("short")};
    struct pb_mac_rule rule = {PB_MAC_SHA256, PB_MAC_HEX, PB_STR(""), secrets, 1};
    assert_int_equal(pb_mac_rule_check(&rule, &err), 0);
    rule.n_secrets = 2;
    assert_int_equal(pb_mac_rule_check(&rule, &err), -1);
    assert_string_equal(err.msg, "secret 2 has 5 bytes; 8 or more are needed");
    rule.n_secrets = 9;
    assert_int_equal(pb_mac_rule_check(&rule, &err), -1);
    rule.n_secrets = 0;
    assert_int_equal(pb_mac_rule_check(&rule, &err), -1);
    rule.n_secrets = 1;
    rule.alg = (enum pb_mac_alg)9;
    assert_int_equal(pb_mac_rule_check(&rule, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
