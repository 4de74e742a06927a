/* SPDX-License-Identifier: MIT */
/* Allow lists, what requests show, listeners that strangers can reach; the attacker has the wrong half of
 * everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "data/config.h"
#include "data/jwks.h"
#include "data/options.h"
#include "guard/auth.h"
#include "guard/jwt_maker.h"

#define LIST(...)                                                                                            \
    {                                                                                                        \
        (const pbay_str[]){__VA_ARGS__}, sizeof((const pbay_str[]){__VA_ARGS__}) / sizeof(pbay_str), true    \
    }

static struct pb_err why;

static void refused(int rc, int32_t code, const char *msg)
{
    assert_int_equal(rc, -1);
    assert_int_equal(why.code, code);
    assert_string_equal(why.msg, msg);
    /* The caller learns nothing of it. */
    assert_string_equal(pb_denial_public(why.code),
                        code == PBAY_UNAUTHENTICATED ? "authentication is required" : "not allowed");
}

static void test_patterns(void **state)
{
    (void)state;
    assert_true(pb_pattern_match(PB_STR("a"), PB_STR("a")) && !pb_pattern_match(PB_STR("a"), PB_STR("A")));
    assert_true(!pb_pattern_match(PB_STR("a"), PB_STR("ab")) && !pb_pattern_match(PB_STR("ab"), PB_STR("a")));
    assert_true(pb_pattern_match(PB_STR("a*"), PB_STR("a")) && pb_pattern_match(PB_STR("a*"), PB_STR("abc")));
    assert_true(!pb_pattern_match(PB_STR("a*c"), PB_STR("abc")) &&
                pb_pattern_match(PB_STR("a*c"), PB_STR("a*c")));
    assert_true(pb_pattern_match(PB_STR("*"), PB_STR("x")) && !pb_pattern_match(PB_STR("*"), PB_STR("")));
    assert_true(!pb_pattern_match(PB_STR(""), PB_STR("")) && !pb_pattern_match(PB_STR(""), PB_STR("x")));
}

static void test_allow(void **state)
{
    (void)state;
    const pbay_str scopes[] = {PB_STR("score")};
    const struct pb_identity nobody = {0};
    const struct pb_identity etl = {.method = PB_AUTH_KEY,
                                    .principal = PB_STR("etl"),
                                    .key = PB_STR("etl"),
                                    .scopes = scopes,
                                    .n_scopes = 1};
    const struct pb_identity qlik = {.method = PB_AUTH_CERT,
                                     .principal = PB_STR("CN=sse_client"),
                                     .subject = PB_STR("CN=sse_client"),
                                     .user = PB_STR("ACME\\anna"),
                                     .app = PB_STR("b4a3")};
    const struct pb_identity jwt = {
        .method = PB_AUTH_TOKEN, .principal = PB_STR("CN=sse_client"), .token = PB_STR("CN=sse_client")};
    struct pb_allow none = {0};
#define MAY(allow, id) pb_allow_check(&(allow), "function", PB_STR("churn"), &(id), &why)
    assert_int_equal(MAY(none, nobody), 0);

    struct pb_allow keys = {.keys = LIST(PB_STR("ops"), PB_STR("et*"))};
    assert_int_equal(MAY(keys, etl), 0);
    refused(MAY(keys, nobody), PBAY_UNAUTHENTICATED,
            "function \"churn\" is for some callers only, and this one showed "
            "neither a key nor a token nor a certificate");
    refused(MAY(keys, qlik), PBAY_PERMISSION_DENIED,
            "function \"churn\" is not for certificate \"CN=sse_client\": no "
            "pattern of allow_keys matches");
    /* A token's subject is no certificate's: an issuer cannot speak for the certificate authority. */
    struct pb_allow subjects = {.subjects = LIST(PB_STR("CN=sse_client"))};
    assert_int_equal(MAY(subjects, qlik), 0);
    refused(MAY(subjects, jwt), PBAY_PERMISSION_DENIED,
            "function \"churn\" is not for token \"CN=sse_client\": no "
            "pattern of allow_subjects matches");
    /* One way of three is enough. */
    struct pb_allow either = {.keys = LIST(PB_STR("etl")), .subjects = LIST(PB_STR("CN=*"))};
    assert_true(MAY(either, etl) == 0 && MAY(either, qlik) == 0 && MAY(either, jwt) == -1);
    /* Users, apps and scopes are conditions beside it. */
    struct pb_allow user = {
        .subjects = LIST(PB_STR("*")), .users = LIST(PB_STR("ACME\\a*")), .apps = LIST(PB_STR("b4a3"))};
    assert_int_equal(MAY(user, qlik), 0);
    struct pb_identity other = qlik;
    other.user = PB_STR("EVIL\\anna");
    refused(MAY(user, other), PBAY_PERMISSION_DENIED,
            "function \"churn\" is not for certificate \"CN=sse_client\": "
            "Qlik user \"EVIL\\anna\" is not in allow_users");
    other.user.n = 0;
    refused(MAY(user, other), PBAY_PERMISSION_DENIED,
            "function \"churn\" is not for certificate \"CN=sse_client\": "
            "allow_users is set, and no Qlik user was named");
    other = qlik;
    other.app = PB_STR("b4a");
    refused(MAY(user, other), PBAY_PERMISSION_DENIED,
            "function \"churn\" is not for certificate \"CN=sse_client\": "
            "Qlik app \"b4a\" is not in allow_apps");
    struct pb_allow scope = {.scopes = LIST(PB_STR("admin"), PB_STR("score"))};
    assert_int_equal(MAY(scope, etl), 0);
    refused(MAY(scope, qlik), PBAY_PERMISSION_DENIED,
            "function \"churn\" is not for certificate \"CN=sse_client\": none "
            "of its 0 scopes is in allow_scopes");
    refused(MAY(scope, nobody), PBAY_UNAUTHENTICATED,
            "function \"churn\" asks for a scope, and the caller showed nothing");
    /* A list that is there and empty: nobody. */
    struct pb_allow closed = {.users = {NULL, 0, true}};
    assert_int_equal(MAY(closed, qlik), -1);
}

static void test_allow_config(void **state)
{
    (void)state;
    struct pb_ini *doc;
    struct pbay_config *cfg;
    const pbay_option_table *tables[] = {&pb_allow_options};
    const struct pb_config_env env = {.dir = "/"};
    struct pb_arena a = {0};
    assert_int_equal(pb_options_lint(tables, 1, &why), 0);
    assert_int_equal(pb_ini_parse("p.ini",
                                  PB_STR("[function \"f\"]\nallow_keys = etl, ops*\nallow_users =\n"
                                         "allow_scopes = s\n"),
                                  PB_INI_OURS, &doc, &why),
                     0);
    if (pb_config_make(doc->sections[0], tables, 1, &env, &cfg, &why)) fail_msg("%s", why.msg);
    struct pb_allow allow;
    pb_allow_from_config(cfg, &a, &allow);
    assert_true(allow.keys.set && allow.keys.n == 2 && pb_str_is(allow.keys.patterns[1], "ops*"));
    assert_true(allow.users.set && allow.users.n == 0);
    assert_true(allow.scopes.set && allow.scopes.n == 1);
    assert_true(!allow.subjects.set && !allow.tokens.set && !allow.apps.set);
    pb_config_free(cfg);
    pb_ini_free(doc);
    pb_arena_free(&a);
}

static void test_auth(void **state)
{
    (void)state;
    struct pb_arena a = {0};
    char text[PB_APIKEY_LEN + 1];
    struct pb_apikeys *keys = pb_apikeys_new();
    struct pb_apikey k = {.name = PB_STR("etl")};
    pb_apikey_generate(text);
    pb_apikey_hash(pb_str_c(text), k.hash);
    assert_int_equal(pb_apikeys_add(keys, &k, &why), 0);
    EVP_PKEY *ec = EVP_EC_gen("P-256");
    struct pb_buf jwk = {0};
    maker_jwk(ec, "e1", &jwk);
    PB_AUTO_FREE char *set_text = pb_sprintf("{\"keys\":[%.*s]}", PB_FMT(pb_buf_view(&jwk)));
    pb_buf_free(&jwk);
    struct pb_jwks set;
    assert_int_equal(pb_jwks_parse(pb_str_c(set_text), &set, &why), 0);
    struct pb_jwt_keys *jwt_keys = pb_jwt_keys_new(&set, &why);
    pb_jwks_free(&set);
#define CLAIMS(iss)                                                                                          \
    "{\"iss\":\"" iss "\",\"aud\":\"p\",\"sub\":\"bot\",\"exp\":2000000000,\"scope\":\"a admin\"}"
    PB_AUTO_FREE char *token = maker_token(ec, "{\"alg\":\"ES256\",\"kid\":\"e1\"}", CLAIMS("two"));
    PB_AUTO_FREE char *foreign = maker_token(ec, "{\"alg\":\"ES256\",\"kid\":\"e1\"}", CLAIMS("three"));
    PB_AUTO_FREE char *waiting = maker_token(ec, "{\"alg\":\"ES256\",\"kid\":\"e1\"}", CLAIMS("one"));
    PB_AUTO_FREE char *rolled = maker_token(ec, "{\"alg\":\"ES256\",\"kid\":\"e2\"}", CLAIMS("two"));
    EVP_PKEY_free(ec);
    const pbay_str aud = PB_STR("p");
    struct pb_auth_issuer issuers[] = {
        {PB_STR("first"), true, {.issuer = PB_STR("one"), .audiences = &aud, .n_audiences = 1}, NULL},
        {PB_STR("second"), false, {.issuer = PB_STR("two"), .audiences = &aud, .n_audiences = 1}, jwt_keys}};
    const struct pb_auth auth = {.keys = keys,
                                 .issuers = issuers,
                                 .n_issuers = 2,
                                 .clients = LIST(PB_STR("CN=sse_client")),
                                 .required = true};
    pbay_header h[2] = {{PB_STR("accept"), PB_STR("*/*")}, {PB_STR("x-api-key"), pb_str_c(text)}};
    struct pb_auth_request req = {.headers = h, .n_headers = 2, .peer = PB_STR("p:1"), .now_ms = 1};
    struct pb_identity id;
    struct pb_auth_stale stale;
    assert_int_equal(pb_auth_check(&auth, &req, &a, &id, &stale, &why), 0);
    assert_true(id.method == PB_AUTH_KEY && pb_str_is(id.principal, "etl") && pb_str_is(id.peer, "p:1"));
    /* With a certificate beside it: both are proven. */
    req.subject = PB_STR("CN=sse_client");
    assert_int_equal(pb_auth_check(&auth, &req, &a, &id, &stale, &why), 0);
    assert_true(pb_str_is(id.key, "etl") && pb_str_is(id.subject, "CN=sse_client"));
    req.subject = PB_STR("CN=other");
    refused(pb_auth_check(&auth, &req, &a, &id, &stale, &why), PBAY_PERMISSION_DENIED,
            "certificate \"CN=other\" is good, but its subject is not one of the 1 in `clients`");
    assert_true(id.method == PB_AUTH_NONE && !id.key.n && !id.subject.n);
    /* A wrong key is not made good by a certificate. */
    req.subject = PB_STR("CN=sse_client");
    h[1].value = PB_STR("pbk_0123456789012345678901234567890123456789012");
    refused(pb_auth_check(&auth, &req, &a, &id, &stale, &why), PBAY_UNAUTHENTICATED,
            "the API key is not one of the 1 that are known");
    assert_true(id.method == PB_AUTH_NONE && !id.subject.n);
    req.subject.n = 0;
    req.n_headers = 1;
    refused(pb_auth_check(&auth, &req, &a, &id, &stale, &why), PBAY_UNAUTHENTICATED,
            "the request shows no API key, token or certificate");

    PB_AUTO_FREE char *bearer = pb_sprintf("Bearer %s", token);
    h[1] = (pbay_header){PB_STR("authorization"), pb_str_c(bearer)};
    req.n_headers = 2;
    if (pb_auth_check(&auth, &req, &a, &id, &stale, &why)) fail_msg("%s", why.msg);
    assert_true(id.method == PB_AUTH_TOKEN && pb_str_is(id.token, "second:bot") && id.n_scopes == 2 &&
                !id.key.n);
    assert_true(pb_str_is(id.principal, "bot") && pb_str_is(pb_identity_account(&id), "second:bot"));
    assert_false(id.admin); /* it says so, and its issuer may not */
    issuers[1].admin = true;
    assert_int_equal(pb_auth_check(&auth, &req, &a, &id, &stale, &why), 0);
    assert_true(id.admin);
    PB_AUTO_FREE char *b2 = pb_sprintf("Bearer %s", foreign);
    h[1].value = pb_str_c(b2);
    refused(pb_auth_check(&auth, &req, &a, &id, &stale, &why), PBAY_UNAUTHENTICATED,
            "token: its issuer \"three\" is none of the 2 whose tokens are taken");
    assert_false(stale.unknown_key);
    PB_AUTO_FREE char *b3 = pb_sprintf("Bearer %s", waiting);
    h[1].value = pb_str_c(b3);
    refused(pb_auth_check(&auth, &req, &a, &id, &stale, &why), PBAY_UNAUTHENTICATED,
            "token: the keys of \"one\" could not be fetched yet");
    assert_true(stale.unknown_key && stale.issuer == 0);
    PB_AUTO_FREE char *b4 = pb_sprintf("Bearer %s", rolled);
    h[1].value = pb_str_c(b4);
    refused(pb_auth_check(&auth, &req, &a, &id, &stale, &why), PBAY_UNAUTHENTICATED,
            "token: none of 1 keys has kid \"e2\" and fits ES256");
    assert_true(stale.unknown_key && stale.issuer == 1);
    h[1].value = PB_STR("Bearer x");
    refused(pb_auth_check(&auth, &req, &a, &id, NULL, &why), PBAY_UNAUTHENTICATED,
            "token: it names no issuer, or is no token");
    h[0] = (pbay_header){PB_STR("x-api-key"), pb_str_c(text)};
    refused(pb_auth_check(&auth, &req, &a, &id, NULL, &why), PBAY_UNAUTHENTICATED,
            "the request shows an API key and a token");
    h[0] = (pbay_header){PB_STR("authorization"), pb_str_c(bearer)};
    refused(pb_auth_check(&auth, &req, &a, &id, NULL, &why), PBAY_UNAUTHENTICATED,
            "the request shows two bearer tokens");
    /* A listener that takes nothing: what is shown is not overlooked, and nobody is somebody. */
    const struct pb_auth open = {0};
    req.n_headers = 1;
    refused(pb_auth_check(&open, &req, &a, &id, NULL, &why), PBAY_UNAUTHENTICATED,
            "a bearer token was shown; none are taken here");
    req.n_headers = 0;
    assert_int_equal(pb_auth_check(&open, &req, &a, &id, NULL, &why), 0);
    assert_int_equal(id.method, PB_AUTH_NONE);
    pb_jwt_keys_free(jwt_keys);
    pb_apikeys_free(keys);
    pb_arena_free(&a);
}

static void test_exposure(void **state)
{
    (void)state;
    static const char *const LOCAL[] = {"127.0.0.1:80", "127.1.2.3", "localhost:0", "LOCALHOST",
                                        "[::1]:80",     "::1",       "[::1]",       "::ffff:127.0.0.1"};
    static const char *const PUBLIC[] = {"",
                                         ":80",
                                         "0.0.0.0:80",
                                         "*:80",
                                         "[::]:80",
                                         "::",
                                         "10.0.0.1",
                                         "localhost.evil",
                                         "127.0.0.1.evil:80",
                                         "[::1",
                                         "[::1]x",
                                         "example.com:80",
                                         "::ffff:10.0.0.1",
                                         "127.1:80",
                                         "2130706433"};
    for (size_t i = 0; i < PB_COUNTOF(LOCAL); i++)
        if (!pb_address_is_local(pb_str_c(LOCAL[i]))) fail_msg("not local: %s", LOCAL[i]);
    for (size_t i = 0; i < PB_COUNTOF(PUBLIC); i++)
        if (pb_address_is_local(pb_str_c(PUBLIC[i]))) fail_msg("local: %s", PUBLIC[i]);
    struct pb_exposure e = {.listener = "[listen \"http\"]", .address = PB_STR("0.0.0.0:8080")};
    assert_int_equal(pb_exposure_check(&e, &why), -1);
    assert_int_equal(why.code, PBAY_FAILED_PRECONDITION);
    assert_memory_equal(why.msg, "[listen \"http\"]: other machines can reach 0.0.0.0:8080, and nobody", 66);
    e.insecure = true;
    assert_int_equal(pb_exposure_check(&e, &why), 0);
    e.insecure = false;
    e.authenticated = true;
    assert_int_equal(pb_exposure_check(&e, &why), 0);
    e.authenticated = false;
    e.address = PB_STR("127.0.0.1:8080");
    assert_int_equal(pb_exposure_check(&e, &why), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns), cmocka_unit_test(test_allow),    cmocka_unit_test(test_allow_config),
        cmocka_unit_test(test_auth),     cmocka_unit_test(test_exposure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
