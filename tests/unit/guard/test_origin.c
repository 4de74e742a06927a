/* SPDX-License-Identifier: MIT */
/* A stranger's page in a browser: rebinding, posting to loopback, forms; and the programs that must not be
 * disturbed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/str.h"
#include "guard/digest.h"
#include "guard/origin.h"

static struct pb_err why;

static void test_hosts(void **state)
{
    (void)state;
    const pbay_str hosts[] = {PB_STR("gw.example.com"), PB_STR("other:8443"), PB_STR("[2001:db8::1]")};
    struct pb_vhost site = {.hosts = hosts, .n_hosts = 3, .loopback = true};
    assert_int_equal(pb_vhost_check(&site, &why), 0);
    static const char *const GOOD[] = {
        "localhost",      "LocalHost:8080",      "127.0.0.1:1", "[::1]",           "[::1]:65535",
        "gw.example.com", "GW.example.com:9999", "other:8443",  "[2001:db8::1]:80"};
    static const char *const BAD[] = {"",
                                      "evil.example:8080",
                                      "other",
                                      "other:8444",
                                      "localhost.evil.example",
                                      "127.0.0.2",
                                      "10.0.0.5",
                                      "localhost:",
                                      "localhost:0",
                                      "localhost:65536",
                                      "localhost:+80",
                                      "a@localhost",
                                      "localhost/",
                                      "localhost:80:80",
                                      "[::1",
                                      "[::1]80",
                                      "[localhost]",
                                      "local host",
                                      "localhost\x01",
                                      "gw.example.com.",
                                      "http://localhost",
                                      "::1"};
    for (size_t i = 0; i < PB_COUNTOF(GOOD); i++)
        if (pb_host_check(&site, pb_str_c(GOOD[i]), &why)) fail_msg("refused: %s", GOOD[i]);
    for (size_t i = 0; i < PB_COUNTOF(BAD); i++)
        if (pb_host_check(&site, pb_str_c(BAD[i]), &why) == 0) fail_msg("taken: %s", BAD[i]);
    /* DNS rebinding: the stranger's name leads here, and the browser says so. */
    assert_int_equal(pb_host_check(&site, PB_STR("evil.example:8080"), &why), -1);
    assert_int_equal(why.code, PBAY_PERMISSION_DENIED);
    assert_string_equal(
        why.msg, "Host \"evil.example:8080\" is not a name of this listener; when it is, add it to `hosts`");
    site.addresses = true;
    assert_int_equal(pb_host_check(&site, PB_STR("10.0.0.5:80"), &why), 0);
    assert_int_equal(pb_host_check(&site, PB_STR("[fe80::1]"), &why), 0);
    assert_int_equal(pb_host_check(&site, PB_STR("evil.example"), &why), -1);
    site.loopback = false;
    assert_int_equal(pb_host_check(&site, PB_STR("localhost"), &why), -1);
    const pbay_str bad_hosts[] = {PB_STR("https://x")}, bad_origins[] = {PB_STR("portal.example.com")};
    site.hosts = bad_hosts;
    site.n_hosts = 1;
    assert_int_equal(pb_vhost_check(&site, &why), -1);
    assert_string_equal(why.msg, "hosts: \"https://x\" is neither NAME nor NAME:PORT");
    site.n_hosts = 0;
    site.origins = bad_origins;
    site.n_origins = 1;
    assert_int_equal(pb_vhost_check(&site, &why), -1);
}

static int origin(const struct pb_vhost *site, const char *method, const char *host, const char *from,
                  const char *fetch)
{
    const struct pb_origin_request r = {pb_str_c(method), pb_str_c(host), pb_str_c(from), pb_str_c(fetch)};
    return pb_origin_check(site, &r, &why);
}

static void test_origins(void **state)
{
    (void)state;
    const pbay_str portal = PB_STR("https://portal.example.com");
    const struct pb_vhost plain = {.loopback = true}, tls = {.tls = true, .origins = &portal, .n_origins = 1};
    /* Programs, and our own pages. */
    assert_int_equal(origin(&plain, "POST", "localhost:8080", NULL, NULL), 0);
    assert_int_equal(origin(&plain, "POST", "localhost:8080", "http://localhost:8080", "same-origin"), 0);
    assert_int_equal(origin(&plain, "POST", "localhost", "http://LOCALHOST:80", NULL), 0);
    assert_int_equal(origin(&tls, "POST", "gw:443", "https://gw", NULL), 0);
    assert_int_equal(origin(&tls, "POST", "gw", "https://portal.example.com:443", NULL), 0);
    assert_int_equal(origin(&plain, "GET", "localhost", NULL, "cross-site"), 0); /* a link leads here */
    assert_int_equal(origin(&plain, "POST", "localhost", NULL, "none"), 0);
    /* Other pages. */
    assert_int_equal(origin(&plain, "POST", "localhost:8080", "http://evil.example", "cross-site"), -1);
    assert_string_equal(
        why.msg, "a page of \"http://evil.example\" sends this to \"localhost:8080\"; when it may, add it to "
                 "`origins`");
    static const char *const FOREIGN[] = {"http://localhost:3000",
                                          "https://localhost:8080",
                                          "http://127.0.0.1:8080",
                                          "null",
                                          "",
                                          "http://localhost:8080/",
                                          "http://localhost:8080@evil.example",
                                          "http://localhost:8080.evil.example",
                                          "localhost:8080",
                                          "ftp://localhost:8080",
                                          "http://",
                                          "http://localhost:8080 http://evil.example"};
    for (size_t i = 0; i < PB_COUNTOF(FOREIGN); i++) {
        if (origin(&plain, "POST", "localhost:8080", FOREIGN[i], NULL) == 0)
            fail_msg("taken: %s", FOREIGN[i]);
        assert_int_equal(origin(&plain, "GET", "localhost:8080", FOREIGN[i], NULL), -1);
    }
    assert_int_equal(origin(&tls, "POST", "gw", "http://portal.example.com", NULL), -1);
    assert_int_equal(origin(&tls, "POST", "gw", "https://portal.example.com:8443", NULL), -1);
    /* A form on another site whose Origin somebody cut out. */
    assert_int_equal(origin(&plain, "POST", "localhost", NULL, "cross-site"), -1);
    assert_int_equal(origin(&plain, "DELETE", "localhost", NULL, "same-site"), -1);
    assert_true(pb_method_is_safe(PB_STR("HEAD")) && !pb_method_is_safe(PB_STR("get")) &&
                !pb_method_is_safe(PB_STR("PUT")));
}

static void test_types(void **state)
{
    (void)state;
    static const char *const GOOD[] = {"application/json", "Application/JSON ; charset=UTF-8",
                                       "application/json;charset=\"utf-8\"", "application/json; x=y"};
    static const char *const BAD[] = {"",
                                      "text/plain",
                                      "application/x-www-form-urlencoded",
                                      "multipart/form-data; boundary=a",
                                      "text/plain; application/json",
                                      "application/jsonp",
                                      "application/json; charset=utf-16",
                                      "application/json, text/plain"};
    for (size_t i = 0; i < PB_COUNTOF(GOOD); i++)
        assert_int_equal(pb_json_type_check(pb_str_c(GOOD[i]), &why), 0);
    for (size_t i = 0; i < PB_COUNTOF(BAD); i++)
        if (pb_json_type_check(pb_str_c(BAD[i]), &why) == 0) fail_msg("taken: %s", BAD[i]);
    assert_int_equal(why.code, PBAY_INVALID_ARGUMENT);
}

static void test_forms(void **state)
{
    (void)state;
    uint8_t key[PB_CSRF_KEY], other[PB_CSRF_KEY];
    pb_fresh_bytes(key, sizeof key);
    pb_fresh_bytes(other, sizeof other);
    char token[PB_CSRF_LEN + 1];
    const int64_t now = INT64_C(1800000000000);
    pbay_str session = PB_STR("s1"), t = pb_str(token, PB_CSRF_LEN);
    pb_csrf_issue(key, session, now, token);
    assert_int_equal(strlen(token), PB_CSRF_LEN);
    assert_int_equal(pb_csrf_check(key, session, t, now, &why), 0);
    assert_int_equal(pb_csrf_check(key, session, t, now + PB_CSRF_AGE_MS, &why), 0);
    assert_int_equal(pb_csrf_check(key, session, t, now + PB_CSRF_AGE_MS + 1, &why), -1);
    assert_string_equal(why.msg, "the form is too old: load the page again");
    assert_int_equal(pb_csrf_check(key, session, t, now - 1, &why), -1);
    assert_int_equal(pb_csrf_check(key, PB_STR("s2"), t, now, &why), -1);
    assert_string_equal(why.msg, "the form's token is not one of this session");
    assert_int_equal(pb_csrf_check(other, session, t, now, &why), -1);
    assert_int_equal(pb_csrf_check(key, session, pb_str(token, PB_CSRF_LEN - 1), now, &why), -1);
    assert_int_equal(pb_csrf_check(key, session, pb_str(NULL, 0), now, &why), -1);
    for (size_t i = 0; i < PB_CSRF_LEN; i++) {
        char c = token[i];
        token[i] = c == 'A' ? 'B' : 'A';
        assert_int_equal(pb_csrf_check(key, session, t, now, &why), -1);
        token[i] = c;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
