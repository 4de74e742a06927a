/* SPDX-License-Identifier: MIT */
/* The WebSocket client against npm's ws, with TLS and through tinyproxy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/outgoing.h"
#include "net/ws.h"
#include "peer.h"

static struct peer server, proxies;
static struct pb_loop *loop;
static struct pb_outgoing *straight, *trusting;

struct got {
    struct pb_ws *ws;
    int open, closed, gone, messages, writable;
    bool hold; /* give no credit */
    uint32_t type, code;
    char protocol[32], reason[130];
    struct pb_err why;
    struct pb_buf text; /* of messages, a newline behind each */
    size_t longest;
    const char *send; /* on open */
};

static void on_open(void *user, struct pb_ws *ws, pbay_str protocol)
{
    struct got *g = user;
    assert_int_equal(g->closed, 0);
    g->open++;
    snprintf(g->protocol, sizeof g->protocol, "%.*s", PB_FMT(protocol));
    if (g->send) assert_int_equal(pb_ws_send(ws, PB_WS_TEXT, pb_str_c(g->send)), PBAY_OK);
}

static void on_message(void *user, struct pb_ws *ws, uint32_t type, pbay_str message)
{
    struct got *g = user;
    assert_int_equal(g->open, 1);
    assert_int_equal(g->closed, 0);
    g->messages++;
    g->type = type;
    if (message.n > g->longest) g->longest = message.n;
    pb_buf_str(&g->text, message);
    pb_buf_ch(&g->text, '\n');
    if (!g->hold) pb_ws_credit(ws, 1);
}

static void on_writable(void *user, struct pb_ws *ws)
{
    struct got *g = user;
    (void)ws;
    g->writable++;
}

static void on_closed(void *user, struct pb_ws *ws, uint32_t code, pbay_str reason, const struct pb_err *why)
{
    struct got *g = user;
    (void)ws;
    g->closed++;
    g->code = code;
    g->why = *why;
    snprintf(g->reason, sizeof g->reason, "%.*s", PB_FMT(reason));
}

static void on_gone(void *user)
{
    struct got *g = user;
    assert_int_equal(g->closed, 1);
    g->gone++;
}

static const struct pb_ws_ops ops = {on_open, on_message, on_writable, on_closed, on_gone};

static struct pb_ws_options options(bool tls, const char *path)
{
    static char url[512];
    snprintf(url, sizeof url, "%s://%s:%d%s", tls ? "wss" : "ws", tls ? "localhost" : "127.0.0.1",
             server.ports[tls], path);
    return (struct pb_ws_options){
        .url = pb_str_c(url), .configured = true, .outgoing = tls ? trusting : straight};
}

static void begin(struct got *g, const struct pb_ws_options *o)
{
    struct pb_err err = {0};
    g->ws = pb_ws_open(loop, o, &ops, g, &err);
    if (!g->ws) fail_msg("%s", err.msg);
}

#define UNTIL(condition)                                                                                     \
    while (!(condition)) pb_loop_turn(loop, true)

static void end(struct got *g)
{
    if (!g->closed) pb_ws_close(g->ws, 0, pb_str(NULL, 0));
    UNTIL(g->gone);
    assert_int_equal(g->closed, 1);
    pb_buf_free(&g->text);
}

/* One exchange on a path: what was sent on opening, until n messages came or it ended. */
static void talk(struct got *g, const struct pb_ws_options *o, const char *send, int n)
{
    g->send = send;
    begin(g, o);
    UNTIL(g->messages >= n || g->closed);
}

static void expect(const struct got *g, const char *text)
{
    if (g->closed && g->why.code) print_message("closed: %s\n", g->why.msg);
    assert_int_equal(g->text.n, strlen(text));
    assert_memory_equal(g->text.p, text, g->text.n);
}

/* ------------------------------------------------------------------------------------------------ good ways
 */

static void test_echo(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct got g = {0};
        struct pb_ws_options o = options(tls, "/echo?x=1");
        talk(&g, &o, "gr\xc3\xbc\xc3\x9f dich", 1);
        expect(&g, "gr\xc3\xbc\xc3\x9f dich\n");
        assert_int_equal(g.type, PB_WS_TEXT);
        assert_int_equal(pb_ws_send(g.ws, PB_WS_BINARY, pb_str("\0\xff\x01", 3)), PBAY_OK);
        UNTIL(g.messages == 2);
        assert_int_equal(g.type, PB_WS_BINARY);
        assert_int_equal(pb_ws_send(g.ws, PB_WS_TEXT, pb_str(NULL, 0)), PBAY_OK);
        UNTIL(g.messages == 3);
        end(&g);
        assert_int_equal(g.why.code, PBAY_OK);
        assert_int_equal(g.code, 1000);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,         125,   126,   127,        32 * 1024 - 15, 32 * 1024 - 14,
                                   32 * 1024, 65535, 65536, 128 * 1024, 3000000};
    struct pb_buf text = {0};
    for (size_t i = 0; i < PB_COUNTOF(sizes); i++) {
        struct got g = {0};
        struct pb_ws_options o = options(i & 1, i % 3 ? "/echo" : "/pieces?n=7");
        begin(&g, &o);
        UNTIL(g.open || g.closed);
        text.n = 0;
        while (text.n < sizes[i]) pb_buf_ch(&text, (char)('a' + text.n % 26));
        int32_t rc = pb_ws_send(g.ws, PB_WS_TEXT, pb_buf_view(&text));
        assert_int_equal(rc, sizes[i] > 256 * 1024 ? PBAY_LATER : PBAY_OK);
        UNTIL(g.messages || g.closed);
        assert_int_equal(g.writable, rc == PBAY_LATER);
        assert_int_equal(g.text.n, sizes[i] + 1);
        assert_memory_equal(g.text.p, text.p, sizes[i]);
        end(&g);
    }
    pb_buf_free(&text);
}

static void test_header_and_protocol(void **state)
{
    (void)state;
    struct got g = {0};
    const pbay_header h[] = {{PB_STR("X-Client"), PB_STR("kim")}, {PB_STR("User-Agent"), PB_STR("mine")}};
    struct pb_ws_options o = options(true, "/headers");
    o.headers = h;
    o.n_headers = 2;
    o.protocols = PB_STR("one, two");
    talk(&g, &o, NULL, 1);
    pb_buf_ch(&g.text, 0);
    assert_non_null(strstr(g.text.p, "\"x-client\":\"kim\""));
    assert_non_null(strstr(g.text.p, "\"user-agent\":\"mine\""));
    assert_non_null(strstr(g.text.p, "\"sec-websocket-version\":\"13\""));
    assert_string_equal(g.protocol, "two");
    end(&g);
    struct got who = {0};
    o = options(true, "/who");
    talk(&who, &o, NULL, 1);
    expect(&who, "the client\n");
    end(&who);
}

static void test_early_message(void **state)
{
    (void)state;
    struct got g = {0};
    struct pb_ws_options o = options(true, "/early");
    talk(&g, &o, NULL, 1);
    expect(&g, "hi\n");
    end(&g);
}

static void test_credit(void **state)
{
    (void)state;
    /* More than the socket's buffers hold: what is not credited is not read. */
    struct got g = {.hold = true};
    struct pb_ws_options o = options(false, "/flood?n=3000&size=5000");
    talk(&g, &o, NULL, PB_WS_CREDIT);
    for (int i = 0; i < 50; i++) pb_loop_turn(loop, false);
    assert_int_equal(g.messages, PB_WS_CREDIT);
    pb_ws_credit(g.ws, 1);
    UNTIL(g.messages == PB_WS_CREDIT + 1);
    for (int i = 0; i < 50; i++) pb_loop_turn(loop, false);
    assert_int_equal(g.messages, PB_WS_CREDIT + 1);
    g.hold = false;
    pb_ws_credit(g.ws, 10);
    UNTIL(g.messages == 3000 || g.closed);
    const char *at = g.text.p;
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(strtol(at, NULL, 10), i);
        at = strchr(at, '\n') + 1;
    }
    end(&g);
    /* Small ones, many in one read. */
    struct got h = {.hold = true};
    o = options(false, "/flood?n=2000&size=0");
    talk(&h, &o, NULL, PB_WS_CREDIT);
    for (int i = 0; i < 50; i++) pb_loop_turn(loop, false);
    assert_int_equal(h.messages, PB_WS_CREDIT);
    for (int i = PB_WS_CREDIT; i < 2000; i++) {
        pb_ws_credit(h.ws, 1);
        UNTIL(h.messages == i + 1);
    }
    /* Closing while messages wait. */
    end(&h);
    struct got k = {.hold = true};
    o = options(false, "/flood?n=3000&size=500");
    talk(&k, &o, NULL, PB_WS_CREDIT);
    end(&k);
    assert_int_equal(k.why.code, PBAY_OK);
    assert_int_equal(k.messages, PB_WS_CREDIT);
}

static void test_pings(void **state)
{
    (void)state;
    struct got g = {0};
    struct pb_ws_options o = options(false, "/pinging");
    talk(&g, &o, "how many", 1);
    while (strncmp(g.text.p + g.text.n - 2, "5", 1) != 0) { /* they may still be under way */
        pb_ws_send(g.ws, PB_WS_TEXT, PB_STR("and now"));
        int n = g.messages;
        UNTIL(g.messages > n);
    }
    end(&g);
    /* A silent connection is asked; whoever says nothing to that is given up. */
    struct got asked = {0}, silent = {0};
    o = options(false, "/asked");
    o.ping_ms = 2000;
    begin(&asked, &o);
    o = options(false, "/silent");
    o.ping_ms = 500;
    begin(&silent, &o);
    UNTIL(silent.closed && (asked.messages || asked.closed));
    expect(&asked, "asked\n");
    assert_int_equal(silent.why.code, PBAY_UNAVAILABLE);
    assert_int_equal(silent.why.effect, PBAY_EFFECT_MAYBE);
    assert_non_null(strstr(silent.why.msg, "does not answer pings"));
    end(&asked);
    end(&silent);
}

/* ------------------------------------------------------------------------------------------------ ends */

static void test_close_codes(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        uint32_t code;
        const char *reason;
    } cases[] = {{"/close?code=1000&reason=done", 1000, "done"},
                 {"/close?code=1001&reason=Going+away", 1001, "Going away"},
                 {"/close?code=4321", 4321, ""},
                 {"/raw?hex=8800", 1005, ""},
                 {"/raw?hex=880403e96869", 1001, "hi"}};
    for (size_t i = 0; i < PB_COUNTOF(cases); i++) {
        struct got g = {0};
        struct pb_ws_options o = options(i & 1, cases[i].path);
        talk(&g, &o, "x", 1);
        UNTIL(g.gone);
        assert_int_equal(g.open, 1);
        assert_int_equal(g.code, cases[i].code);
        assert_string_equal(g.reason, cases[i].reason);
        assert_int_equal(g.why.code, PBAY_UNAVAILABLE);
        assert_int_equal(g.why.vendor_status, cases[i].code);
        end(&g);
    }
    /* What is not taken. */
    struct got full = {0};
    struct pb_ws_options few = options(false, "/echo");
    few.max_send = 10;
    begin(&full, &few);
    UNTIL(full.open);
    assert_int_equal(pb_ws_send(full.ws, PB_WS_TEXT, PB_STR("0123456789A")), PBAY_OUT_OF_RANGE);
    assert_int_equal(pb_ws_send(full.ws, PB_WS_TEXT, PB_STR("\xff")), PBAY_INVALID_ARGUMENT);
    assert_int_equal(pb_ws_send(full.ws, 9, PB_STR("x")), PBAY_INVALID_ARGUMENT);
    end(&full);
    /* Our own close, against one who does not answer it, ends too; sending is over at once. */
    struct got g = {0};
    struct pb_ws_options o = options(false, "/echo");
    talk(&g, &o, NULL, 0);
    UNTIL(g.open);
    pb_ws_close(g.ws, 4000, PB_STR("enough"));
    assert_int_equal(pb_ws_send(g.ws, PB_WS_TEXT, PB_STR("x")), PBAY_CANCELLED);
    end(&g);
    assert_int_equal(g.code, 4000);
    /* Before it is open. */
    struct got early = {0};
    begin(&early, &o);
    assert_int_equal(pb_ws_send(early.ws, PB_WS_TEXT, PB_STR("x")), PBAY_FAILED_PRECONDITION);
    end(&early);
    assert_int_equal(early.why.code, PBAY_CANCELLED);
    assert_int_equal(early.open, 0);
}

static void test_lost(void **state)
{
    (void)state;
    struct got g = {0};
    struct pb_ws_options o = options(false, "/drop");
    talk(&g, &o, "x", 1);
    assert_int_equal(g.code, 0);
    assert_int_equal(g.why.code, PBAY_UNAVAILABLE);
    assert_int_equal(g.why.effect, PBAY_EFFECT_MAYBE);
    end(&g);
}

static void test_bad_frames(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int32_t code;
        const char *text;
    } cases[] = {{"8182000000006869", PBAY_DATA_LOSS, "does not allow"},     /* masked */
                 {"8302aaaa", PBAY_DATA_LOSS, "does not allow"},             /* opcode 3 */
                 {"c1026869", PBAY_DATA_LOSS, "does not allow"},             /* RSV1 */
                 {"8102ff00", PBAY_DATA_LOSS, "not UTF-8"},                  /* text */
                 {"80026869", PBAY_DATA_LOSS, "does not allow"},             /* a continuation of nothing */
                 {"0102686981026869", PBAY_DATA_LOSS, "does not allow"},     /* a message within a message */
                 {"897e007e", PBAY_DATA_LOSS, "does not allow"},             /* a long ping */
                 {"817f8000000000000001", PBAY_DATA_LOSS, "does not allow"}, /* 2^63 */
                 {"827f000000000010000000", PBAY_RESOURCE_EXHAUSTED, "more than 1000 bytes"}};
    for (size_t i = 0; i < PB_COUNTOF(cases); i++) {
        struct got g = {0};
        char path[64];
        snprintf(path, sizeof path, "/raw?hex=%s", cases[i].hex);
        struct pb_ws_options o = options(i & 1, path);
        o.max_message = 1000;
        begin(&g, &o);
        UNTIL(g.closed);
        assert_int_equal(g.messages, 0);
        if (g.why.code != cases[i].code || !strstr(g.why.msg, cases[i].text))
            fail_msg("%s: %s", cases[i].hex, g.why.msg);
        end(&g);
    }
    /* Fragments that are too much only together. */
    struct got g = {0};
    struct pb_ws_options o = options(false, "/pieces?n=30");
    o.max_message = 1000;
    char text[1500];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    talk(&g, &o, text, 1);
    assert_int_equal(g.why.code, PBAY_RESOURCE_EXHAUSTED);
    end(&g);
}

static void test_bad_handshakes(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int32_t code;
        uint32_t advice;
        int32_t status;
        const char *text;
    } cases[] = {{"/refuse?status=403", PBAY_PERMISSION_DENIED, PBAY_ADVICE_NONE, 403,
                  "403 Because, \"{\\\"message\\\":\\\"Forbidden\\\"}\""},
                 {"/refuse?status=401", PBAY_UNAUTHENTICATED, PBAY_ADVICE_NONE, 401, "401"},
                 {"/refuse?status=429", PBAY_RESOURCE_EXHAUSTED, PBAY_ADVICE_SLOW, 429, "429"},
                 {"/refuse?status=503", PBAY_UNAVAILABLE, PBAY_ADVICE_RETRY, 503, "503"},
                 {"/redirect", PBAY_FAILED_PRECONDITION, PBAY_ADVICE_NONE, 302, "302"},
                 {"/nothttp", PBAY_FAILED_PRECONDITION, PBAY_ADVICE_NONE, 0, "not HTTP"},
                 {"/badaccept", PBAY_FAILED_PRECONDITION, PBAY_ADVICE_NONE, 0, "Sec-WebSocket-Accept"},
                 {"/extension", PBAY_FAILED_PRECONDITION, PBAY_ADVICE_NONE, 0, "extension"}};
    for (size_t i = 0; i < PB_COUNTOF(cases); i++) {
        struct got g = {0};
        struct pb_ws_options o = options(i & 1, cases[i].path);
        begin(&g, &o);
        UNTIL(g.closed);
        if (!strstr(g.why.msg, cases[i].text)) fail_msg("%s: %s", cases[i].path, g.why.msg);
        assert_int_equal(g.open, 0);
        assert_int_equal(g.why.code, cases[i].code);
        assert_int_equal(g.why.effect, PBAY_EFFECT_NONE);
        assert_int_equal(g.why.advice, cases[i].advice);
        assert_int_equal(g.why.vendor_status, cases[i].status);
        end(&g);
    }
}

static void test_refused_at_once(void **state)
{
    (void)state;
    const pbay_header bad[] = {{PB_STR("x"), PB_STR("a\r\nb")},
                               {PB_STR("Sec-WebSocket-Key"), PB_STR("x")},
                               {PB_STR("Host"), PB_STR("x")}};
    struct pb_err err;
    struct pb_ws_options o = options(false, "/echo");
    for (size_t i = 0; i < PB_COUNTOF(bad); i++) {
        o.headers = &bad[i];
        o.n_headers = 1;
        assert_null(pb_ws_open(loop, &o, &ops, NULL, &err));
        assert_int_equal(err.code, PBAY_INVALID_ARGUMENT);
    }
    o.n_headers = 0;
    static const struct {
        const char *url;
        int32_t code;
    } urls[] = {
        {"http://localhost/", PBAY_INVALID_ARGUMENT},       {"wss://a b/", PBAY_INVALID_ARGUMENT},
        {"wss://u:p@host/", PBAY_INVALID_ARGUMENT},         {"wss://host/#x", PBAY_INVALID_ARGUMENT},
        {"wss://169.254.169.254/", PBAY_PERMISSION_DENIED}, {"wss://[fe80::1]/", PBAY_PERMISSION_DENIED}};
    for (size_t i = 0; i < PB_COUNTOF(urls); i++) {
        o.url = pb_str_c(urls[i].url);
        assert_null(pb_ws_open(loop, &o, &ops, NULL, &err));
        assert_int_equal(err.code, urls[i].code);
    }
    o = options(false, "/echo");
    o.configured = false;
    assert_null(pb_ws_open(loop, &o, &ops, NULL, &err));
    assert_int_equal(err.code, PBAY_PERMISSION_DENIED);
}

/* ------------------------------------------------------------------------------------------------ ways there
 */

static void unreachable(const struct pb_ws_options *o, const char *text, uint32_t advice)
{
    struct got g = {0};
    begin(&g, o);
    UNTIL(g.closed);
    if (!strstr(g.why.msg, text)) fail_msg("%s", g.why.msg);
    assert_int_equal(g.why.effect, PBAY_EFFECT_NONE);
    assert_int_equal(g.why.advice, advice);
    end(&g);
}

static void test_unreachable(void **state)
{
    (void)state;
    struct pb_ws_options o = options(true, "/echo");
    o.outgoing = straight; /* trusts the system's authorities alone */
    unreachable(&o, "its certificate is not trusted", PBAY_ADVICE_NONE);
    o = options(true, "/echo");
    char url[64];
    snprintf(url, sizeof url, "wss://127.0.0.2:%d/", server.ports[1]);
    o.url = pb_str_c(url);
    unreachable(&o, "connection refused", PBAY_ADVICE_RETRY);
    snprintf(url, sizeof url, "wss://localhost:%d/", server.ports[0]);
    unreachable(&o, "does not speak TLS", PBAY_ADVICE_RETRY);
    o.url = PB_STR("wss://nowhere.invalid/");
    unreachable(&o, "looking up nowhere.invalid", PBAY_ADVICE_RETRY);
}

static void test_proxies(void **state)
{
    (void)state;
    if (!proxies.ports[0]) skip();
    char proxy[96], ca[96];
    snprintf(ca, sizeof ca, "%s/ca.pem", server.dir);
    struct pb_err err;
    for (int which = 0; which < 2; which++) {
        snprintf(proxy, sizeof proxy, "http://%s127.0.0.1:%d/", which ? "sam:secret%31@" : "",
                 proxies.ports[which]);
        struct pb_outgoing *o =
            pb_outgoing_new(&(struct pb_outgoing_conf){.proxy = proxy, .ca_file = ca}, &err);
        assert_non_null(o);
        for (int tls = 0; tls < 2; tls++) {
            struct got g = {0};
            struct pb_ws_options w = options(tls, "/echo");
            w.outgoing = o;
            talk(&g, &w, "through", 1);
            expect(&g, "through\n");
            end(&g);
        }
        struct pb_ws_options w = options(false, "/echo");
        w.outgoing = o;
        w.url = PB_STR("wss://nowhere.invalid/");
        unreachable(&w, "does not connect to nowhere.invalid:443: 50", PBAY_ADVICE_RETRY);
        pb_outgoing_free(o);
    }
    static const struct {
        const char *proxy;
        int which;
        const char *text;
        uint32_t advice;
    } cases[] = {{"http://127.0.0.1", 1, "wants a user name and password", PBAY_ADVICE_NONE},
                 {"http://sam:wrong@127.0.0.1", 1, "401", PBAY_ADVICE_NONE},
                 {"http://127.0.0.1", 2, "does not connect to localhost:", PBAY_ADVICE_NONE},
                 {"http://127.0.0.2", 2, "connecting to the proxy", PBAY_ADVICE_RETRY},
                 {"http://nowhere.invalid", 2, "looking up the proxy nowhere.invalid", PBAY_ADVICE_RETRY}};
    for (size_t i = 0; i < PB_COUNTOF(cases); i++) {
        snprintf(proxy, sizeof proxy, "%s:%d", cases[i].proxy, proxies.ports[cases[i].which]);
        struct pb_outgoing *o =
            pb_outgoing_new(&(struct pb_outgoing_conf){.proxy = proxy, .ca_file = ca}, &err);
        struct pb_ws_options w = options(true, "/echo");
        w.outgoing = o;
        unreachable(&w, i == 1 ? "40" : cases[i].text, cases[i].advice);
        pb_outgoing_free(o);
    }
}

static int setup(void **state)
{
    struct pb_err err;
    char ca[96], cert[96], key[96];
    (void)state;
    if (peer_start(&server, PB_TESTS_DIR "/peers/ws_peer.mjs")) return -1;
    if (peer_start(&proxies, PB_TESTS_DIR "/peers/proxy_peer.py"))
        print_message("tinyproxy is not installed\n");
    loop = pb_loop_new(&err);
    snprintf(ca, sizeof ca, "%s/ca.pem", server.dir);
    snprintf(cert, sizeof cert, "%s/client.pem", server.dir);
    snprintf(key, sizeof key, "%s/client.key", server.dir);
    straight = pb_outgoing_new(&(struct pb_outgoing_conf){.proxy = ""}, &err);
    trusting = pb_outgoing_new(
        &(struct pb_outgoing_conf){.proxy = "none", .ca_file = ca, .client_cert = cert, .client_key = key},
        &err);
    return loop && straight && trusting ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    pb_outgoing_free(straight);
    pb_outgoing_free(trusting);
    pb_loop_free(loop);
    peer_stop(&proxies);
    return peer_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_header_and_protocol),
        cmocka_unit_test(test_early_message),
        cmocka_unit_test(test_credit),
        cmocka_unit_test(test_pings),
        cmocka_unit_test(test_close_codes),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_bad_frames),
        cmocka_unit_test(test_bad_handshakes),
        cmocka_unit_test(test_refused_at_once),
        cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_proxies),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
