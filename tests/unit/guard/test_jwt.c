/* SPDX-License-Identifier: MIT */
/*
 * Tokens: good ones, and every way to forge, replay or bend one that RFC 8725 lists. jwt_peer.py compares
 * with tokens and verdicts of npm's jose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "data/jwks.h"
#include "guard/digest.h"
#include "guard/jwks_refresh.h"
#include "guard/jwt.h"
#include "guard/jwt_maker.h"

#define NOW    INT64_C(1800000000000)
#define CLAIMS "\"iss\":\"https://id.example\",\"aud\":\"patchbay\",\"sub\":\"etl\",\"exp\":1800000600"
#define GOOD   "{" CLAIMS "}"
#define RS     "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"JWT\"}"
#define ES     "{\"alg\":\"ES256\",\"kid\":\"e1\"}"

static EVP_PKEY *rsa, *rsa_other, *ec;
static struct pb_jwt_keys *keys;
static const pbay_str AUDIENCES[] = {{"other", 5}, {"patchbay", 8}};
static const struct pb_jwt_rule RULE = {
    .issuer = {"https://id.example", 18}, .audiences = AUDIENCES, .n_audiences = 2, .leeway_ms = 30000};

static struct pb_jwt_keys *keys_of(const char *list)
{
    struct pb_jwks set = {0};
    struct pb_err err = {0};
    PB_AUTO_FREE char *text = pb_sprintf("{\"keys\":[%s]}", list);
    if (pb_jwks_parse(pb_str_c(text), &set, &err)) fail_msg("%s", err.msg);
    struct pb_jwt_keys *k = pb_jwt_keys_new(&set, &err);
    pb_jwks_free(&set);
    return k;
}

static int setup(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(2048);
    rsa_other = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("P-256");
    struct pb_buf b = {0};
    maker_jwk(rsa, "r1", &b);
    maker_jwk(ec, "e1", &b);
    pb_buf_ch(&b, 0);
    keys = keys_of(b.p);
    pb_buf_free(&b);
    return keys && pb_jwt_keys_count(keys) == 2 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    pb_jwt_keys_free(keys);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(rsa_other);
    EVP_PKEY_free(ec);
    return 0;
}

static struct pb_arena arena;
static struct pb_jwt got;
static struct pb_err why;

static enum pb_jwt_fault verify_at(const struct pb_jwt_rule *rule, const char *token, int64_t now)
{
    pb_arena_reset(&arena);
    pb_err_clear(&why);
    enum pb_jwt_fault f = pb_jwt_verify(rule, keys, pb_str_c(token), now, &arena, &got, &why);
    assert_int_equal(why.code, f ? PBAY_UNAUTHENTICATED : 0);
    if (f) assert_true(!got.subject.p && !got.n_scopes && !got.n_claims);
    return f;
}

/* Signed properly with the key that the header means. */
static enum pb_jwt_fault verdict(const struct pb_jwt_rule *rule, const char *claims, const char *msg)
{
    PB_AUTO_FREE char *token = maker_token(rsa, RS, claims);
    enum pb_jwt_fault f = verify_at(rule, token, NOW);
    if (msg && strcmp(why.msg, msg) != 0) fail_msg("got: %s\nwant: %s", why.msg, msg);
    return f;
}

static void test_good(void **state)
{
    (void)state;
    static const pbay_str KEEP[] = {{"org", 3}, {"absent", 6}, {"level", 5}};
    struct pb_jwt_rule rule = RULE;
    rule.keep = KEEP;
    rule.n_keep = 3;
    PB_AUTO_FREE char *r =
        maker_token(rsa, RS, "{" CLAIMS ",\"scope\":\" score  jobs\",\"org\":\"a\\nb\",\"level\":[1]}");
    assert_int_equal(verify_at(&rule, r, NOW), PB_JWT_GOOD);
    assert_true(pb_str_is(got.subject, "etl") && got.expires_ms == NOW + 600000);
    assert_true(got.n_scopes == 2 && pb_str_is(got.scopes[0], "score") && pb_str_is(got.scopes[1], "jobs"));
    assert_true(got.n_claims == 2 && pb_str_is(got.claims[0].value, "a\nb") &&
                pb_str_is(got.claims[1].value, "[1]"));
    PB_AUTO_FREE char *e = maker_token(ec, ES, "{" CLAIMS ",\"scp\":[\"a b\",\"c\"],\"aud2\":1}");
    assert_int_equal(verify_at(&RULE, e, NOW), PB_JWT_GOOD);
    assert_true(got.n_scopes == 2 && pb_str_is(got.scopes[0], "a b"));
    /* Without kid: the keys that fit the alg. */
    PB_AUTO_FREE char *nokid = maker_token(ec, "{\"alg\":\"ES256\"}", GOOD);
    assert_int_equal(verify_at(&RULE, nokid, NOW), PB_JWT_GOOD);
    PB_AUTO_FREE char *many = maker_token(
        rsa, RS,
        "{\"iss\":\"https://id.example\",\"sub\":\"s\",\"exp\":1800000000.5,\"aud\":[\"x\",\"other\"]}");
    assert_int_equal(verify_at(&RULE, many, NOW), PB_JWT_GOOD);
    assert_int_equal(got.expires_ms, NOW + 500);
}

static void test_forged(void **state)
{
    (void)state;
    /* Each byte of the signature, the claims and the header matters. */
    PB_AUTO_FREE char *token = maker_token(ec, ES, GOOD);
    size_t n = strlen(token);
    for (size_t i = 0; i < n; i++) {
        char c = token[i];
        token[i] = c == 'A' ? 'B' : 'A';
        if (verify_at(&RULE, token, NOW) == PB_JWT_GOOD) fail_msg("byte %zu does not matter", i);
        token[i] = c;
    }
    for (size_t i = 0; i < n; i++) {
        char c = token[i];
        token[i] = 0;
        assert_int_not_equal(verify_at(&RULE, token, NOW), PB_JWT_GOOD);
        token[i] = c;
    }
    assert_int_equal(verify_at(&RULE, token, NOW), PB_JWT_GOOD);

    PB_AUTO_FREE char *foreign = maker_token(rsa_other, RS, GOOD);
    assert_int_equal(verify_at(&RULE, foreign, NOW), PB_JWT_SIGNATURE);
    assert_string_equal(why.msg, "token: its RS256 signature is not that of key \"r1\"");
    PB_AUTO_FREE char *anon = maker_token(rsa_other, "{\"alg\":\"RS256\"}", GOOD);
    assert_int_equal(verify_at(&RULE, anon, NOW), PB_JWT_SIGNATURE);
    PB_AUTO_FREE char *unknown = maker_token(rsa, "{\"alg\":\"RS256\",\"kid\":\"r2\"}", GOOD);
    assert_int_equal(verify_at(&RULE, unknown, NOW), PB_JWT_UNKNOWN_KEY);
    assert_string_equal(why.msg, "token: none of 2 keys has kid \"r2\" and fits RS256");
    /* The kid of a key of the other type. */
    PB_AUTO_FREE char *crossed = maker_token(rsa, "{\"alg\":\"RS256\",\"kid\":\"e1\"}", GOOD);
    assert_int_equal(verify_at(&RULE, crossed, NOW), PB_JWT_UNKNOWN_KEY);
    PB_AUTO_FREE char *as_ec = maker_token(rsa, "{\"alg\":\"ES256\",\"kid\":\"e1\"}", GOOD);
    assert_int_equal(verify_at(&RULE, as_ec, NOW), PB_JWT_SIGNATURE);
    /* A key that the token brings along. */
    struct pb_buf jwk = {0};
    maker_jwk(rsa_other, "r1", &jwk);
    PB_AUTO_FREE char *header =
        pb_sprintf("{\"alg\":\"RS256\",\"kid\":\"r1\",\"jwk\":%.*s}", PB_FMT(pb_buf_view(&jwk)));
    PB_AUTO_FREE char *brought = maker_token(rsa_other, header, GOOD);
    assert_int_equal(verify_at(&RULE, brought, NOW), PB_JWT_SIGNATURE);
    pb_buf_free(&jwk);
}

static void test_algs(void **state)
{
    (void)state;
    static const char *const ALGS[] = {"none",  "None",  "HS256", "HS512", "RS512",
                                       "PS256", "ES384", "EdDSA", "rs256", ""};
    for (size_t i = 0; i < PB_COUNTOF(ALGS); i++) {
        PB_AUTO_FREE char *header = pb_sprintf("{\"alg\":\"%s\",\"kid\":\"r1\"}", ALGS[i]);
        PB_AUTO_FREE char *token = maker_token(rsa, header, GOOD);
        assert_int_equal(verify_at(&RULE, token, NOW), PB_JWT_ALG);
    }
    /* alg none as it is sent: without a signature. */
    struct pb_buf b = {0};
    pb_base64url_encode(PB_STR("{\"alg\":\"none\"}"), &b);
    pb_buf_ch(&b, '.');
    pb_base64url_encode(PB_STR(GOOD), &b);
    pb_buf_add(&b, ".", 2);
    assert_int_equal(verify_at(&RULE, b.p, NOW), PB_JWT_ALG);
    /* HS256 with the public key as the secret: the classic. */
    b.n = 0;
    pb_base64url_encode(PB_STR("{\"alg\":\"HS256\",\"kid\":\"r1\"}"), &b);
    pb_buf_ch(&b, '.');
    pb_base64url_encode(PB_STR(GOOD), &b);
    struct pb_buf pub = {0};
    maker_jwk(rsa, "r1", &pub);
    pbay_str part = pb_buf_view(&b);
    uint8_t mac[PB_MAC_SIZE_MAX];
    pb_mac(PB_MAC_SHA256, pb_buf_view(&pub), &part, 1, mac);
    pb_buf_ch(&b, '.');
    pb_base64url_encode(pb_str((const char *)mac, 32), &b);
    pb_buf_ch(&b, 0);
    assert_int_equal(verify_at(&RULE, b.p, NOW), PB_JWT_ALG);
    assert_string_equal(why.msg, "token: its alg is \"HS256\"; RS256 and ES256 are taken");
    pb_buf_free(&pub);
    pb_buf_free(&b);
    static const char *const HEADERS[][2] = {
        {"{\"alg\":\"RS256\",\"kid\":\"r1\",\"crit\":[\"b64\"],\"b64\":false}",
         "token: it demands extensions (crit); none is known here"},
        {"{\"kid\":\"r1\"}", "token: its header has no alg"},
        {"{\"alg\":[\"RS256\"],\"kid\":\"r1\"}", "token: its header has no alg"},
        {"{\"alg\":\"RS256\",\"kid\":1}", "token: its kid is not a string"},
        {"{\"alg\":\"RS256\",\"kid\":\"r1\",\"alg\":\"RS256\"}",
         "token: header: byte 32: a name stands twice in one object"},
        {"[]", "token: header: byte 1: a JSON object is expected"},
    };
    for (size_t i = 0; i < PB_COUNTOF(HEADERS); i++) {
        PB_AUTO_FREE char *token = maker_token(rsa, HEADERS[i][0], GOOD);
        assert_int_not_equal(verify_at(&RULE, token, NOW), PB_JWT_GOOD);
        assert_string_equal(why.msg, HEADERS[i][1]);
    }
}

static void test_times(void **state)
{
    (void)state;
    PB_AUTO_FREE char *t = maker_token(rsa, RS, "{" CLAIMS ",\"nbf\":1800000000}");
    assert_int_equal(verify_at(&RULE, t, NOW), PB_JWT_GOOD);
    assert_int_equal(verify_at(&RULE, t, NOW + 629999), PB_JWT_GOOD); /* exp and its leeway */
    assert_int_equal(verify_at(&RULE, t, NOW + 630000), PB_JWT_TIME);
    assert_string_equal(why.msg, "token: it expired at 2027-01-15T08:10:00.000Z, 30 s ago");
    assert_int_equal(verify_at(&RULE, t, NOW - 30000), PB_JWT_GOOD);
    assert_int_equal(verify_at(&RULE, t, NOW - 30001), PB_JWT_TIME);
    assert_string_equal(
        why.msg, "token: it is valid from 2027-01-15T08:00:00.000Z on, in 30 s: are both clocks right?");
#define BASE "\"iss\":\"https://id.example\",\"aud\":\"patchbay\",\"sub\":\"etl\""
    verdict(&RULE, "{" BASE "}", "token: it never expires (no exp)");
    verdict(&RULE, "{" BASE ",\"exp\":\"1800000600\"}", "token: its exp is no date");
    verdict(&RULE, "{" BASE ",\"exp\":1e300}", "token: its exp is no date");
    verdict(&RULE, "{" BASE ",\"exp\":-1}", "token: its exp is no date");
    verdict(&RULE, "{" BASE ",\"exp\":null}", "token: its exp is no date");
    verdict(&RULE, "{" CLAIMS ",\"nbf\":true}", "token: its nbf is no date");
    verdict(&RULE, "{" CLAIMS ",\"exp\":1900000000}",
            "token: claims: byte 80: a name stands twice in one object");
}

static void test_claims(void **state)
{
    (void)state;
#define EXP ",\"exp\":1800000600"
    verdict(&RULE, "{\"aud\":\"patchbay\"" EXP "}", "token: it names no issuer (iss)");
    verdict(&RULE, "{\"iss\":\"https://id.example/\",\"aud\":\"patchbay\"" EXP "}",
            "token: its issuer is \"https://id.example/\"; \"https://id.example\" is expected");
    verdict(&RULE, "{\"iss\":[\"https://id.example\"],\"aud\":\"patchbay\"" EXP "}",
            "token: it names no issuer (iss)");
    verdict(&RULE, "{\"iss\":\"https://id.example\"" EXP "}", "token: it names no audience (aud)");
    verdict(&RULE, "{\"iss\":\"https://id.example\",\"aud\":[]" EXP "}", "token: it names no audience (aud)");
    verdict(&RULE, "{\"iss\":\"https://id.example\",\"aud\":[\"patchbay\",1]" EXP "}",
            "token: its aud is neither a string nor an array of strings");
    verdict(&RULE, "{\"iss\":\"https://id.example\",\"aud\":[\"patchbay2\",\"y\"]" EXP "}",
            "token: its audience is \"patchbay2\" and others; \"other\" or others is expected");
    verdict(&RULE, "{\"iss\":\"https://id.example\",\"aud\":\"patchbay\"" EXP "}",
            "token: it names no subject (sub)");
    verdict(&RULE, "{\"iss\":\"https://id.example\",\"aud\":\"patchbay\",\"sub\":7" EXP "}",
            "token: its sub is not a string");
    verdict(&RULE, "{" CLAIMS ",\"scope\":7}",
            "token: its scopes are neither words in a string nor an array of at most 128 strings");
    struct pb_jwt_rule rule = RULE;
    const struct pb_jwt_claim need[] = {{PB_STR("tenant"), PB_STR("t1")}, {PB_STR("mfa"), PB_STR("true")}};
    rule.require = need;
    rule.n_require = 2;
    rule.subject_claim = PB_STR("client_id");
    rule.scope_claim = PB_STR("roles");
    assert_int_equal(
        verdict(&rule,
                "{" CLAIMS
                ",\"client_id\":\"c\",\"tenant\":\"t1\",\"mfa\":true,\"roles\":[\"x\"],\"scope\":1}",
                NULL),
        PB_JWT_GOOD);
    assert_true(pb_str_is(got.subject, "c") && got.n_scopes == 1 && pb_str_is(got.scopes[0], "x"));
    verdict(&rule, "{" CLAIMS ",\"client_id\":\"c\",\"tenant\":\"t2\",\"mfa\":true}",
            "token: claim tenant is \"t2\"; \"t1\" is expected");
    verdict(&rule, "{" CLAIMS ",\"client_id\":\"c\",\"tenant\":\"t1\"}",
            "token: claim mfa is \"\"; \"true\" is expected");
    verdict(&rule, "{" CLAIMS "}", "token: it names no subject (client_id)");
}

static void test_shapes(void **state)
{
    (void)state;
    static const char *const SHAPES[][2] = {
        {"", "token: a signed token has three parts with dots between"},
        {"a.b", "token: a signed token has three parts with dots between"},
        {"a.b.c.d", "token: a signed token has three parts with dots between"},
        {"a.b.c.d.e", "token: it is encrypted; signed tokens are taken"},
        {"!.b.c", "token: its header is not base64url"},
        {"..", "token: header: the text is empty"},
    };
    for (size_t i = 0; i < PB_COUNTOF(SHAPES); i++) {
        assert_int_equal(verify_at(&RULE, SHAPES[i][0], NOW), PB_JWT_MALFORMED);
        assert_string_equal(why.msg, SHAPES[i][1]);
    }
    struct pb_buf b = {0};
    pb_base64url_encode(PB_STR(RS), &b);
    pb_buf_c(&b, ".e30.");
    pb_buf_ch(&b, 0);
    assert_int_equal(verify_at(&RULE, b.p, NOW), PB_JWT_MALFORMED);
    assert_string_equal(why.msg, "token: its signature is not base64url");
    b.n = 0;
    memset(pb_buf_room(&b, PB_JWT_MAX + 2), 'a', PB_JWT_MAX + 1);
    b.p[PB_JWT_MAX + 1] = 0;
    assert_int_equal(verify_at(&RULE, b.p, NOW), PB_JWT_MALFORMED);
    assert_string_equal(why.msg, "token: it has 16385 bytes; 16384 are allowed");
    pb_buf_free(&b);
}

static void test_rules_and_keys(void **state)
{
    (void)state;
    struct pb_jwt_rule rule = RULE;
    assert_int_equal(pb_jwt_rule_check(&rule, &why), 0);
    rule.leeway_ms = 300001;
    assert_int_equal(pb_jwt_rule_check(&rule, &why), -1);
    rule = RULE;
    rule.n_audiences = 0;
    assert_int_equal(pb_jwt_rule_check(&rule, &why), -1);
    rule = RULE;
    rule.issuer.n = 0;
    assert_int_equal(pb_jwt_rule_check(&rule, &why), -1);
    /* Weak RSA, a point off the curve, an even exponent. */
    EVP_PKEY *weak = EVP_RSA_gen(1024);
    struct pb_buf b = {0};
    maker_jwk(weak, "w", &b);
    EVP_PKEY_free(weak);
    pb_buf_c(&b, ",{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
                 "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}");
    pb_buf_ch(&b, 0);
    assert_null(keys_of(b.p));
    b.n = 0;
    maker_jwk(rsa, "r", &b);
    char *e = memmem(b.p, b.n, "AQAB", 4);
    assert_non_null(e);
    memcpy(e, "AQAC", 4);
    pb_buf_ch(&b, 0);
    assert_null(keys_of(b.p));
    pb_buf_free(&b);
}

static void test_refresh(void **state)
{
    (void)state;
    enum { MIN = 60 * 1000 };
    struct pb_jwks_refresh r = {0};
    int64_t t = 1000;
    assert_true(pb_jwks_refresh_due(&r, t) && !pb_jwks_refresh_usable(&r, t) &&
                pb_jwks_refresh_unknown(&r, t));
    pb_jwks_refresh_began(&r, t);
    assert_true(!pb_jwks_refresh_due(&r, t + 99 * MIN) && !pb_jwks_refresh_unknown(&r, t + 99 * MIN));
    pb_jwks_refresh_ended(&r, t, false, pb_str(NULL, 0));
    assert_true(!pb_jwks_refresh_due(&r, t + MIN - 1) && pb_jwks_refresh_due(&r, t + MIN));
    for (int i = 0; i < 9; i++) {
        pb_jwks_refresh_began(&r, t);
        pb_jwks_refresh_ended(&r, t, false, pb_str(NULL, 0));
    }
    assert_true(!pb_jwks_refresh_due(&r, t + 5 * MIN - 1) && pb_jwks_refresh_due(&r, t + 5 * MIN));
    pb_jwks_refresh_began(&r, t);
    pb_jwks_refresh_ended(&r, t, true, PB_STR("public, Max-Age=1800, must-revalidate"));
    assert_true(pb_jwks_refresh_usable(&r, t) && !pb_jwks_refresh_due(&r, t + 30 * MIN - 1));
    assert_true(pb_jwks_refresh_due(&r, t + 30 * MIN) && pb_jwks_refresh_next(&r) == t + 30 * MIN);
    /* A flood of invented keys: one fetch a minute. */
    assert_true(!pb_jwks_refresh_unknown(&r, t + MIN - 1) && pb_jwks_refresh_unknown(&r, t + MIN));
    pb_jwks_refresh_began(&r, t + MIN);
    pb_jwks_refresh_ended(&r, t + MIN, false, pb_str(NULL, 0));
    assert_true(!pb_jwks_refresh_unknown(&r, t + 2 * MIN - 1) && pb_jwks_refresh_unknown(&r, t + 2 * MIN));
    /* What was good goes on being used for a day beyond its age. */
    assert_true(pb_jwks_refresh_usable(&r, t + (30 + 24 * 60) * MIN - 1));
    assert_false(pb_jwks_refresh_usable(&r, t + (30 + 24 * 60) * MIN));
    static const struct {
        const char *header;
        int64_t minutes;
    } AGES[] = {
        {"", 60}, {"max-age=1", 5}, {"no-store", 5}, {"max-age=999999999999", 24 * 60}, {"max-age=x", 60}};
    for (size_t i = 0; i < PB_COUNTOF(AGES); i++) {
        pb_jwks_refresh_ended(&r, t, true, pb_str_c(AGES[i].header));
        assert_int_equal(r.age_ms, AGES[i].minutes * MIN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),           cmocka_unit_test(test_forged),  cmocka_unit_test(test_algs),
        cmocka_unit_test(test_times),          cmocka_unit_test(test_claims),  cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_rules_and_keys), cmocka_unit_test(test_refresh),
    };
    int rc = cmocka_run_group_tests(tests, setup, teardown);
    pb_arena_free(&arena);
    return rc;
}
