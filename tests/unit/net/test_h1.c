/* SPDX-License-Identifier: MIT */
/* HTTP/1 requests, split at every byte: what is understood, and what is refused with which status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "net/h1.h"

/* "METHOD target host {name=value;...} body|" for each request; "!status" at an error. */
static void run(const char *wire, size_t n, size_t cut, struct pb_buf *out)
{
    struct pb_h1 h = {0};
    bool bad = false;
    for (int i = 0; i < 2 && !bad; i++) {
        size_t from = i ? cut : 0, left = i ? n - cut : cut;
        char *copy = pb_strndup(wire + from, left);
        const char *p = copy;
        while (!bad) {
            pbay_str body;
            enum pb_h1_event e = pb_h1_next(&h, &p, &left, &body);
            if (e == PB_H1_MORE) break;
            if (e == PB_H1_HEAD) {
                pb_buf_printf(out, "%.*s %.*s %.*s {", PB_FMT(pb_h1_method(&h)), PB_FMT(pb_h1_target(&h)),
                              PB_FMT(pb_h1_host(&h)));
                for (size_t k = 0; k < pb_h1_fields(&h); k++)
                    if (!pb_str_is(pb_h1_field_name(&h, k), "host"))
                        pb_buf_printf(out, "%.*s=%.*s;", PB_FMT(pb_h1_field_name(&h, k)),
                                      PB_FMT(pb_h1_field_value(&h, k)));
                pb_buf_c(out, h.keep_alive ? "} " : "}close ");
            } else if (e == PB_H1_BODY) {
                pb_buf_str(out, body);
            } else if (e == PB_H1_END) {
                pb_buf_ch(out, '|');
                pb_h1_reset(&h);
            } else {
                pb_buf_printf(out, "!%d", h.status);
                assert_non_null(h.why);
                bad = true;
            }
        }
        pb_free(copy);
    }
    pb_h1_free(&h);
}

struct sample {
    const char *wire, *want;
};

static void check(const struct sample *s)
{
    size_t n = strlen(s->wire);
    for (size_t cut = 0; cut <= n; cut++) {
        struct pb_buf out = {0};
        run(s->wire, n, cut, &out);
        pb_buf_ch(&out, '\0');
        assert_string_equal(out.p, s->want);
        pb_buf_free(&out);
    }
}

#define HOST "Host: a\r\n"

static void understood(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / a {} |"},
        {"\r\nGET /x?y=1 HTTP/1.1\r\nHOST:a:80\r\nX-Y:  two words \t\r\nEmpty:\r\n\r\n",
         "GET /x?y=1 a:80 {x-y=two words;empty=;} |"},
        {"POST /f HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: b\r\n\r\n",
         "POST /f a {content-length=3;} abc|GET / b {} |"},
        {"POST /f HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
         "Chunked\r\n\r\n3\r\nabc\r\n0a;x=\"y\"\r\n0123456789\r\n0\r\n"
         "Trailer: t\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
         "POST /f a {transfer-encoding=Chunked;} abc0123456789|GET / b {} |"},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
         "GET / a {connection=x, Close;}close |"},
        {"GET / HTTP/1.0\r\n\r\n", "GET /  {}close |"},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET /  {connection=Keep-Alive;} |"},
        {"GET http://b.example:8080/p HTTP/1.1\r\nHost: a\r\n\r\n", "GET /p b.example:8080 {} |"},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * a {} |"},
        {"POST / HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\n\r\n",
         "POST / [::1]:80 {content-length=0;} |"},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: caf\xc3\xa9\r\n\r\n", "GET / a {x=caf\xc3\xa9;} |"},
    };
    for (size_t i = 0; i < PB_COUNTOF(samples); i++) check(&samples[i]);
}

static void refused(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"GET / HTTP/1.1\nHost: a\n\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "!400"},
        {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "!400"},
        {"GET http://b/ HTTP/1.1\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 9999999999999999999\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         "!400"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", "!501"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", "!501"},
        {"POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", "!400"},
        {"POST / HTTP/1.1\r\n" HOST "Expect: more\r\n\r\n", "!417"},
        {"GET / HTTP/2.0\r\n" HOST "\r\n", "!505"},
        {"GET / HTTP/1\r\n" HOST "\r\n", "!400"},
        {"GET /\r\n" HOST "\r\n", "!400"},
        {"GET  / HTTP/1.1\r\n" HOST "\r\n", "!400"},
        {"GET / HTTP/1.1 \r\n" HOST "\r\n", "!400"},
        {"GET /a b HTTP/1.1\r\n" HOST "\r\n", "!400"},
        {"GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", "!400"},
        {"GET x HTTP/1.1\r\n" HOST "\r\n", "!400"},
        {"CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", "!501"},
        {"G(T / HTTP/1.1\r\n" HOST "\r\n", "!400"},
        {"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "!400"},
    };
    for (size_t i = 0; i < PB_COUNTOF(samples); i++) check(&samples[i]);
#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define HEAD    "POST / a {transfer-encoding=chunked;} "
    static const struct sample chunks[] = {
        {CHUNKED "\r\n", HEAD "!400"},
        {CHUNKED "x\r\n", HEAD "!400"},
        {CHUNKED "3 \r\nabc\r\n", HEAD "!400"},
        {CHUNKED "3\nabc\r\n", HEAD "!400"},
        {CHUNKED "3\r\nabcd\r\n", HEAD "abc!400"},
        {CHUNKED "3\r\nabc\n", HEAD "abc!400"},
        {CHUNKED "-1\r\n", HEAD "!400"},
        {CHUNKED "0000000000000001\r\n", HEAD "!400"},
        {CHUNKED "0\r\nbad trailer\r\n", HEAD "!400"},
        {CHUNKED "0\r\n folded: x\r\n", HEAD "!400"},
    };
    for (size_t i = 0; i < PB_COUNTOF(chunks); i++) check(&chunks[i]);
}

static int status_of(const struct pb_buf *b)
{
    struct pb_buf out = {0};
    int status = 0;
    run(b->p, b->n, b->n, &out);
    pb_buf_ch(&out, '\0');
    const char *at = strchr(out.p, '!');
    if (at) status = (at[1] - '0') * 100 + (at[2] - '0') * 10 + (at[3] - '0');
    pb_buf_free(&out);
    return status;
}

static void limits(void **state)
{
    (void)state;
    struct pb_buf b = {0};
    pb_buf_c(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 99; i++) pb_buf_printf(&b, "x%d: y\r\n", i);
    size_t fields = b.n;
    pb_buf_c(&b, "\r\n");
    assert_int_equal(status_of(&b), 0);
    b.n = fields;
    pb_buf_c(&b, "one: more\r\n\r\n");
    assert_int_equal(status_of(&b), 431);

    b.n = 0;
    pb_buf_c(&b, "GET /");
    for (int i = 0; i < 9000; i++) pb_buf_ch(&b, 'a');
    assert_int_equal(status_of(&b), 414);

    b.n = 0;
    pb_buf_c(&b, "GET / HTTP/1.1\r\nHost: a\r\nx: ");
    for (int i = 0; i < 9000; i++) pb_buf_ch(&b, 'a');
    assert_int_equal(status_of(&b), 431);

    b.n = 0;
    pb_buf_c(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int k = 0; k < 10; k++) {
        pb_buf_printf(&b, "x%d: ", k);
        for (int i = 0; i < 8000; i++) pb_buf_ch(&b, 'a');
        pb_buf_c(&b, "\r\n");
    }
    assert_int_equal(status_of(&b), 431);
    /* NUL is no end of anything. */
    b.n = 0;
    pb_buf_add(&b, "GET / HTTP/1.1\r\nHost: a\r\nx: a\0b\r\n\r\n", 36);
    assert_int_equal(status_of(&b), 400);
    pb_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(understood),
        cmocka_unit_test(refused),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
