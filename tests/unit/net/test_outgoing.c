/* SPDX-License-Identifier: MIT */
/* Which proxy, and for whom none: the cases of curl's manual and of Go's httpproxy among them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "net/outgoing.h"

static void test_no_proxy(void **state)
{
    (void)state;
    static const struct {
        const char *list, *host;
        uint16_t port;
        bool excepted;
    } cases[] = {
        {"", "example.com", 443, false},
        {"*", "example.com", 443, true},
        {"example.com", "example.com", 443, true},
        {"example.com", "EXAMPLE.com.", 443, true},
        {"example.com", "www.example.com", 443, true},
        {".example.com", "www.example.com", 443, true},
        {".example.com", "example.com", 443, true},
        {"example.com", "notexample.com", 443, false},
        {"example.com", "example.com.evil.org", 443, false},
        {"a.org, example.com", "www.example.com", 443, true},
        {"a.org example.com", "www.example.com", 443, true},
        {"example.com:8443", "example.com", 443, false},
        {"example.com:8443", "example.com", 8443, true},
        {"127.0.0.1", "127.0.0.1", 80, true},
        {"127.0.0.1", "127.0.0.11", 80, false},
        {"127.0.0.1:80", "127.0.0.1", 80, true},
        {"127.0.0.1:80", "127.0.0.1", 81, false},
        {"10.0.0.0/8", "10.255.1.2", 80, true},
        {"10.0.0.0/8", "11.0.0.1", 80, false},
        {"192.168.1.128/25", "192.168.1.200", 80, true},
        {"192.168.1.128/25", "192.168.1.127", 80, false},
        {"10.0.0.0/33", "10.0.0.1", 80, false},
        {"10.0.0.0/8", "host.example", 80, false},
        {"::1", "::1", 80, true},
        {"[::1]:80", "::1", 80, true},
        {"[::1]:80", "::1", 81, false},
        {"fd00::/8", "fd12::5", 80, true},
        {"fd00::/8", "fe12::5", 80, false},
        {"0:0:0::1", "::1", 80, true},
        {"0.0.1", "127.0.0.1", 80, false},
        {"com", "example.com", 80, true},
        {",,", "example.com", 80, false},
    };
    for (size_t i = 0; i < PB_COUNTOF(cases); i++)
        if (pb_no_proxy(pb_str_c(cases[i].list), pb_str_c(cases[i].host), cases[i].port) != cases[i].excepted)
            fail_msg("no_proxy \"%s\", %s:%u", cases[i].list, cases[i].host, cases[i].port);
}

static void test_parse(void **state)
{
    (void)state;
    struct pb_proxy p;
    struct pb_err err;
    assert_int_equal(pb_proxy_parse(PB_STR("http://Aladdin:open%20sesame@proxy.example:3128/"), &p, &err), 0);
    assert_string_equal(p.host, "proxy.example");
    assert_int_equal(p.port, 3128);
    assert_string_equal(p.url, "http://proxy.example:3128");
    assert_string_equal(p.basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="); /* RFC 7617, 2 */
    pb_proxy_free(&p);
    assert_int_equal(pb_proxy_parse(PB_STR(" [::1]:8080 "), &p, &err), 0);
    assert_string_equal(p.host, "::1");
    assert_string_equal(p.url, "http://[::1]:8080");
    assert_null(p.basic);
    pb_proxy_free(&p);
    assert_int_equal(pb_proxy_parse(PB_STR("proxy"), &p, &err), 0);
    assert_int_equal(p.port, 80);
    pb_proxy_free(&p);
    static const char *const bad[] = {
        "socks5://sam:TOPSECRET@x:1", "https://sam:TOPSECRET@x",     "http://sam:TOPSECRET@",
        "http://sam:TOPSECRET@x:0",   "http://sam:TOPSECRET@x/path", "http://s%3Am:TOPSECRET@x",
        "http://sam:TOPSECRET%0d@x",  "http://sam:TOPSECRET%@x",     ""};
    for (size_t i = 0; i < PB_COUNTOF(bad); i++) {
        if (pb_proxy_parse(pb_str_c(bad[i]), &p, &err) == 0) fail_msg("%s", bad[i]);
        if (strstr(err.msg, "TOPSECRET")) fail_msg("%s", err.msg);
    }
}

static const char *ask(const struct pb_outgoing *o, bool tls, const char *host)
{
    const struct pb_proxy *p;
    struct pb_err err;
    if (pb_outgoing_proxy(o, tls, pb_str_c(host), tls ? 443 : 80, &p, &err)) {
        assert_int_equal(err.code, PBAY_FAILED_PRECONDITION);
        return "error";
    }
    return p ? p->host : "none";
}

static void test_variables(void **state)
{
    (void)state;
    struct pb_err err;
    setenv("https_proxy", "http://tls:1", 1);
    setenv("HTTP_PROXY", "http://evil:1", 1); /* a CGI's client could set it */
    setenv("ALL_PROXY", "http://all:1", 1);
    setenv("NO_PROXY", "internal", 1);
    struct pb_outgoing *o = pb_outgoing_new(&(struct pb_outgoing_conf){0}, &err);
    assert_string_equal(ask(o, true, "example.com"), "tls");
    assert_string_equal(ask(o, false, "example.com"), "all");
    assert_string_equal(ask(o, true, "a.internal"), "none");
    pb_outgoing_free(o);
    /* What is configured comes first. */
    o = pb_outgoing_new(&(struct pb_outgoing_conf){.proxy = "mine:1", .no_proxy = "other"}, &err);
    assert_string_equal(ask(o, false, "a.internal"), "mine");
    assert_string_equal(ask(o, true, "other"), "none");
    pb_outgoing_free(o);
    o = pb_outgoing_new(&(struct pb_outgoing_conf){.proxy = "none"}, &err);
    assert_string_equal(ask(o, true, "example.com"), "none");
    pb_outgoing_free(o);
    /* A variable that is of no use is an error for whoever needs it. */
    setenv("https_proxy", "socks5://x:1", 1);
    o = pb_outgoing_new(&(struct pb_outgoing_conf){0}, &err);
    assert_string_equal(ask(o, true, "example.com"), "error");
    assert_string_equal(ask(o, true, "a.internal"), "none");
    assert_string_equal(ask(o, false, "example.com"), "all");
    pb_outgoing_free(o);
    assert_null(pb_outgoing_new(&(struct pb_outgoing_conf){.proxy = "socks5://x:1"}, &err));
    assert_null(pb_outgoing_new(&(struct pb_outgoing_conf){.ca_file = "/nowhere/ca.pem"}, &err));
    assert_non_null(strstr(err.msg, "/nowhere/ca.pem"));
    assert_null(pb_outgoing_new(&(struct pb_outgoing_conf){.client_cert = "/nowhere/cert.pem"}, &err));
    assert_null(pb_outgoing_new(&(struct pb_outgoing_conf){.client_key = "/nowhere/key.pem"}, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_proxy),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_variables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
