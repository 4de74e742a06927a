/* SPDX-License-Identifier: MIT */
/* HTTP requests through tinyproxy, and past it: by CONNECT and without, with a password, refused,
 * unreachable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/http_client.h"
#include "net/outgoing.h"
#include "peer.h"

static struct peer server, proxies;
static struct pb_loop *loop;
static struct pb_http_client *client;
static char ca[96], cert[96], key[96];

struct got {
    bool done;
    int32_t status, code;
    uint32_t effect, advice;
    char body[64], message[1024];
};

static void on_done(void *user, uint64_t exchange, const struct pb_fetch_reply *r)
{
    struct got *g = user;
    (void)exchange;
    g->done = true;
    g->status = r->status;
    g->code = r->result.code;
    g->effect = r->result.effect;
    g->advice = r->result.advice;
    snprintf(g->body, sizeof g->body, "%.*s", PB_FMT(r->body));
    snprintf(g->message, sizeof g->message, "%.*s", PB_FMT(r->result.message));
}

static struct got ask(const char *proxy, const char *no_proxy, const char *url, uint32_t flags)
{
    static const struct pb_fetch_events events = {.on_done = on_done};
    struct pb_err err = {0};
    struct got g = {0};
    struct pb_outgoing *o = pb_outgoing_new(
        &(struct pb_outgoing_conf){
            .proxy = proxy, .no_proxy = no_proxy, .ca_file = ca, .client_cert = cert, .client_key = key},
        &err);
    assert_non_null(o);
    const struct pb_fetch_request r = {
        .flags = flags, .method = PB_STR("GET"), .url = pb_str_c(url), .timeout_ms = 60000, .outgoing = o};
    if (pb_fetch_send(client, &r, &events, &g, &err)) {
        while (!g.done) pb_loop_turn(loop, true);
    } else {
        g.code = err.code;
        snprintf(g.message, sizeof g.message, "%s", err.msg);
    }
    pb_outgoing_free(o);
    return g;
}

/* name: of the proxy's host, or NULL for none; user: "sam:secret1@" or "". */
static const char *proxy_url(const char *user, const char *host, int which)
{
    static char url[128];
    snprintf(url, sizeof url, "http://%s%s:%d", user, host, proxies.ports[which]);
    return url;
}

static const char *target(bool tls)
{
    static char url[2][64];
    snprintf(url[tls], sizeof url[tls], "%s:%d/", tls ? "https://localhost" : "http://127.0.0.1",
             server.ports[tls]);
    return url[tls];
}

/* Lines of the proxy's log with this text: did it come by there? */
static int logged(const char *name, const char *text)
{
    char path[128], line[512];
    int n = 0;
    snprintf(path, sizeof path, "%s/%s.log", proxies.dir, name);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) n += strstr(line, text) != NULL;
    if (f) fclose(f);
    return n;
}

static void test_through(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++)
        for (int tls = 0; tls < 2; tls++) {
            int before =
                logged(which ? "secret" : "open", tls ? "CONNECT localhost" : "GET http://127.0.0.1");
            struct got g = ask(proxy_url(which ? "sam:secret%31@" : "", "127.0.0.1", which), "", target(tls),
                               PB_FETCH_CONFIGURED);
            if (g.code) fail_msg("%s", g.message);
            assert_int_equal(g.status, 200);
            assert_string_equal(g.body, tls ? "the client" : "nobody");
            assert_int_equal(
                logged(which ? "secret" : "open", tls ? "CONNECT localhost" : "GET http://127.0.0.1"),
                before + 1);
        }
}

static void test_past(void **state)
{
    (void)state;
    /* The proxy would refuse. */
    struct got g = ask(proxy_url("", "127.0.0.1", 2), "localhost", target(true), 0);
    assert_int_equal(g.code, PBAY_OK);
    assert_string_equal(g.body, "the client");
    /* The credential chain goes past every proxy, nobody else gets at such addresses, proxy or not. */
    g = ask(proxy_url("", "127.0.0.2", 2), "", target(false), PB_FETCH_METADATA);
    assert_int_equal(g.code, PBAY_OK);
    g = ask(proxy_url("", "127.0.0.1", 0), "", "http://169.254.169.254/latest", PB_FETCH_CONFIGURED);
    assert_int_equal(g.code, PBAY_PERMISSION_DENIED);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *user, *host;
        int which;
        bool tls;
        const char *url, *text;
        uint32_t advice;
    } cases[] = {
        {"", "127.0.0.1", 1, true, NULL, "wants a user name and password (407)", PBAY_ADVICE_NONE},
        {"", "127.0.0.1", 1, false, NULL, "wants a user name and password (407)", PBAY_ADVICE_NONE},
        {"sam:wrong@", "127.0.0.1", 1, true, NULL, "the proxy 127.0.0.1:", PBAY_ADVICE_NONE},
        {"", "127.0.0.1", 2, true, NULL, "does not connect to localhost:", PBAY_ADVICE_NONE},
        {"", "127.0.0.1", 0, true, "https://nowhere.invalid/", "does not connect to nowhere.invalid:443: 500",
         PBAY_ADVICE_RETRY},
        {"", "127.0.0.2", 0, true, NULL, "connecting to the proxy 127.0.0.2:", PBAY_ADVICE_RETRY},
        {"", "127.0.0.2", 0, false, NULL, "connecting to the proxy 127.0.0.2:", PBAY_ADVICE_RETRY},
        {"", "nowhere.invalid", 0, true, NULL, "looking up the proxy nowhere.invalid", PBAY_ADVICE_RETRY}};
    for (size_t i = 0; i < PB_COUNTOF(cases); i++) {
        struct got g = ask(proxy_url(cases[i].user, cases[i].host, cases[i].which), "",
                           cases[i].url ? cases[i].url : target(cases[i].tls), PB_FETCH_CONFIGURED);
        if (!strstr(g.message, cases[i].text) || strstr(g.message, "wrong"))
            fail_msg("%zu: %d %s", i, g.code, g.message);
        assert_int_equal(g.code, PBAY_UNAVAILABLE);
        assert_int_equal(g.advice, cases[i].advice);
        if (cases[i].tls) assert_int_equal(g.effect, PBAY_EFFECT_NONE);
    }
}

static void set(void *user)
{
    *(bool *)user = true;
}

static int setup(void **state)
{
    struct pb_err err;
    const struct pb_http_client_conf conf = {0};
    (void)state;
    if (peer_start(&server, PB_TESTS_DIR "/peers/ws_peer.mjs")) return -1;
    if (peer_start(&proxies, PB_TESTS_DIR "/peers/proxy_peer.py")) return -1;
    snprintf(ca, sizeof ca, "%s/ca.pem", server.dir);
    snprintf(cert, sizeof cert, "%s/client.pem", server.dir);
    snprintf(key, sizeof key, "%s/client.key", server.dir);
    loop = pb_loop_new(&err);
    client = pb_http_client_new(loop, &conf, &err);
    return loop && client ? 0 : -1;
}

static int teardown(void **state)
{
    bool done = false;
    (void)state;
    pb_http_client_close(client, set, &done);
    while (!done) pb_loop_turn(loop, true);
    pb_loop_free(loop);
    peer_stop(&proxies);
    return peer_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_through),
        cmocka_unit_test(test_past),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
