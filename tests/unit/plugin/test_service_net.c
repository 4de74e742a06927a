/* SPDX-License-Identifier: MIT */
/* pbay.host.ws/1 and pbay.host.stream/1 as a plugin sees them, and the keys of a connector that say how it
 * goes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <patchbay/host_http.h>
#include <patchbay/host_stream.h>
#include <patchbay/host_ws.h>

#include "base/buf.h"
#include "base/log.h"
#include "net/outgoing.h"
#include "peer.h"
#include "plugin/connector_priv.h"
#include "plugin/harness.h"

static struct peer ws_server, stream_server;

struct got {
    int open, end, drained, closed;
    struct pb_buf in;
    int32_t code, sent;
    uint32_t close_code, effect;
    char message[512];
    const pbay_ws_1 *ws;
    const pbay_stream_1 *stream;
    const char *say;
};

static void take(struct got *g, const pbay_result *r)
{
    g->closed++;
    g->code = r->code;
    g->effect = r->effect;
    snprintf(g->message, sizeof g->message, "%.*s", PB_FMT(r->message));
}

static void ws_open(void *user, pbay_ws ws, pbay_str protocol)
{
    struct got *g = user;
    (void)protocol;
    g->open++;
    if (g->say) g->sent = g->ws->send(ws, PBAY_WS_TEXT, pb_str_c(g->say));
}

static void ws_message(void *user, pbay_ws ws, uint32_t type, pbay_str message)
{
    struct got *g = user;
    assert_int_equal(type, PBAY_WS_TEXT);
    pb_buf_str(&g->in, message);
    g->ws->credit(ws, 1);
}

static void ws_close(void *user, pbay_ws ws, uint32_t code, pbay_str reason, const pbay_result *result)
{
    struct got *g = user;
    (void)ws, (void)reason;
    g->close_code = code;
    take(g, result);
}

static const pbay_ws_events ws_events = {sizeof ws_events, 0, ws_open, ws_message, NULL, ws_close};

static void stream_open(void *user, pbay_stream s)
{
    struct got *g = user;
    g->open++;
    if (g->say) g->sent = g->stream->write(s, pb_str_c(g->say));
}

static void stream_data(void *user, pbay_stream s, pbay_str piece)
{
    struct got *g = user;
    pb_buf_str(&g->in, piece);
    g->stream->credit(s, piece.n);
}

static void stream_end(void *user, pbay_stream s)
{
    struct got *g = user;
    (void)s;
    g->end++;
}

static void stream_close(void *user, pbay_stream s, const pbay_result *result)
{
    (void)s;
    take(user, result);
}

static const pbay_stream_events stream_events = {
    sizeof stream_events, 0, stream_open, stream_data, NULL, stream_end, stream_close};

#define UNTIL(condition)                                                                                     \
    while (!(condition)) turn()

static pbay_ws_open_info ws_info(const char *path)
{
    static char url[128];
    snprintf(url, sizeof url, "wss://localhost:%d%s", ws_server.ports[1], path);
    return (pbay_ws_open_info){.struct_size = sizeof(pbay_ws_open_info), .url = pb_str_c(url)};
}

static const char *line(const char *key, const struct peer *p, const char *file)
{
    static char lines[8][160];
    static unsigned next;
    char *l = lines[next++ % 8];
    snprintf(l, sizeof lines[0], "%s = %s/%s", key, p->dir, file);
    return l;
}

static void test_ws(void **state)
{
    (void)state;
    const char *const lines[] = {line("ca_file", &ws_server, "ca.pem"),
                                 line("client_cert", &ws_server, "client.pem"),
                                 line("client_key", &ws_server, "client.key"), NULL};
    struct pb_connector *c = make_connector("a", lines);
    const pbay_ws_1 *ws = c->host.service(&c->host, PBAY_SVC_WS);
    pbay_result why = PBAY_RESULT_OK;
    struct got g = {.ws = ws, .say = "a row"};
    pbay_ws_open_info info = ws_info("/echo");
    pbay_ws s = ws->open(&c->host, &info, &ws_events, &g, &why);
    assert_int_not_equal(s, 0);
    assert_int_equal(g.open, 0);
    UNTIL(g.in.n || g.closed);
    if (g.closed) fail_msg("%s", g.message);
    assert_memory_equal(g.in.p, "a row", 5);
    assert_int_equal(ws->send(s, PBAY_WS_TEXT, PB_STR("\xff")), PBAY_INVALID_ARGUMENT);
    ws->close(s, 4001, PB_STR("enough"));
    UNTIL(g.closed);
    assert_int_equal(g.code, PBAY_OK);
    assert_int_equal(g.close_code, 4001);
    /* The number is stale: nothing happens. */
    assert_int_equal(ws->send(s, PBAY_WS_TEXT, PB_STR("x")), PBAY_CANCELLED);
    ws->credit(s, 1);
    ws->close(s, 0, pb_str(NULL, 0));
    pb_buf_free(&g.in);
    /* The client certificate of the section was shown. */
    struct got who = {.ws = ws};
    info = ws_info("/who");
    s = ws->open(&c->host, &info, &ws_events, &who, &why);
    UNTIL(who.in.n || who.closed);
    assert_memory_equal(who.in.p, "the client", 10);
    /* A connector that leaves with an open socket is waited for. */
    ws->close(s, 0, pb_str(NULL, 0));
    assert_true(close_connector(c, 10000));
    assert_int_equal(who.closed, 1);
    pb_buf_free(&who.in);
}

static void test_ws_refused(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("a", NULL);
    const pbay_ws_1 *ws = c->host.service(&c->host, PBAY_SVC_WS);
    struct got g = {.ws = ws};
    pbay_result why = PBAY_RESULT_OK;
    pbay_ws_open_info info = ws_info("/echo");
    pbay_ws_events none = ws_events;
    none.on_message = NULL;
    assert_int_equal(ws->open(&c->host, &info, &none, &g, &why), 0);
    assert_int_equal(why.code, PBAY_INVALID_ARGUMENT);
    info.flags = 1u << 20;
    assert_int_equal(ws->open(&c->host, &info, &ws_events, &g, &why), 0);
    info.flags = 0;
    info.url = PB_STR("ws://localhost/");
    assert_int_equal(ws->open(&c->host, &info, &ws_events, &g, &why), 0);
    assert_int_equal(why.code, PBAY_PERMISSION_DENIED);
    /* Not trusted: this connector has no ca_file. */
    info = ws_info("/echo");
    assert_int_not_equal(ws->open(&c->host, &info, &ws_events, &g, &why), 0);
    UNTIL(g.closed);
    assert_int_equal(g.code, PBAY_UNAVAILABLE);
    assert_int_equal(g.effect, PBAY_EFFECT_NONE);
    assert_non_null(strstr(g.message, "not trusted"));
    assert_true(close_connector(c, 1000));
}

static void test_stream(void **state)
{
    (void)state;
    const char *const lines[] = {line("ca_file", &stream_server, "ca.pem"), "proxy = none", NULL};
    struct pb_connector *c = make_connector("a", lines);
    const pbay_stream_1 *stream = c->host.service(&c->host, PBAY_SVC_STREAM);
    pbay_result why = PBAY_RESULT_OK;
    struct got g = {.stream = stream, .say = "echo\nthere and back"};
    pbay_stream_open_info info = {.struct_size = sizeof info,
                                  .flags = PBAY_STREAM_TLS,
                                  .host = PB_STR("localhost"),
                                  .port = (uint32_t)stream_server.ports[1]};
    pbay_stream s = stream->open(&c->host, &info, &stream_events, &g, &why);
    assert_int_not_equal(s, 0);
    UNTIL(g.in.n == 20 || g.closed);
    if (g.closed) fail_msg("%s", g.message);
    assert_memory_equal(g.in.p, "hello\nthere and back", 20);
    stream->half_close(s);
    UNTIL(g.closed);
    assert_int_equal(g.end, 1);
    assert_int_equal(g.code, PBAY_OK);
    assert_int_equal(stream->write(s, PB_STR("x")), PBAY_CANCELLED);
    stream->close(s);
    pb_buf_free(&g.in);
    info.port = 65536;
    assert_int_equal(stream->open(&c->host, &info, &stream_events, &g, &why), 0);
    info.port = 1;
    info.flags = 0;
    assert_int_equal(stream->open(&c->host, &info, &stream_events, &g, &why), 0);
    assert_int_equal(why.code, PBAY_PERMISSION_DENIED);
    assert_true(close_connector(c, 1000));
}

static void test_keys(void **state)
{
    (void)state;
    static const struct {
        const char *line, *text;
    } bad[] = {{"proxy = socks5://kim:TOPSECRET@h:1", "\"socks5\" is not known here"},
               {"ca_file = /nowhere/ca.pem", "/nowhere/ca.pem: cannot read the CA file"},
               {"client_cert = /nowhere/c.pem", "/nowhere/c.pem: cannot read the certificate"},
               {"client_key = /nowhere/k.pem", "without client_cert"}};
    for (size_t i = 0; i < PB_COUNTOF(bad); i++) {
        const char *const lines[] = {bad[i].line, NULL};
        struct pb_err err;
        assert_null(try_connector("a", lines, &err));
        if (!strstr(err.msg, bad[i].text) || !strstr(err.msg, "connector \"a\"") ||
            strstr(err.msg, "TOPSECRET"))
            fail_msg("%s", err.msg);
    }
}

/* ------------------------------------------------------------------------------------------------ explain */

static struct pb_buf shown;

static void on_explain(void *user, pbay_str connector, pbay_str method, pbay_str url,
                       const pbay_header *headers, uint32_t n, pbay_str body)
{
    (void)user, (void)connector, (void)headers, (void)n;
    pb_buf_printf(&shown, "%.*s %.*s %.*s\n", PB_FMT(method), PB_FMT(url), PB_FMT(body));
}

static void test_explain(void **state)
{
    (void)state;
    env.explain = on_explain;
    struct pb_connector *c = make_connector("a", NULL);
    const pbay_ws_1 *ws = c->host.service(&c->host, PBAY_SVC_WS);
    pbay_result why = PBAY_RESULT_OK;
    struct got g = {.ws = ws, .say = "{\"row\": 1}"};
    const pbay_ws_open_info info = {.struct_size = sizeof info, .url = PB_STR("wss://example.org/x")};
    assert_int_not_equal(ws->open(&c->host, &info, &ws_events, &g, &why), 0);
    UNTIL(g.closed);
    assert_int_equal(g.code, PBAY_CANCELLED);
    pb_buf_ch(&shown, 0);
    assert_string_equal(shown.p, "GET wss://example.org/x \nMESSAGE wss://example.org/x {\"row\": 1}\n");
    pb_buf_free(&shown);
    assert_true(close_connector(c, 1000));
    env.explain = NULL;
}

static int setup_all(void **state)
{
    (void)state;
    return peer_start(&ws_server, PB_TESTS_DIR "/peers/ws_peer.mjs") ||
           peer_start(&stream_server, PB_TESTS_DIR "/peers/stream_peer.py");
}

static int teardown_all(void **state)
{
    (void)state;
    return peer_stop(&ws_server) | peer_stop(&stream_server);
}

static int setup(void **state)
{
    struct pb_err err;
    (void)state;
    harness_open();
    env.outgoing = pb_outgoing_new(&(struct pb_outgoing_conf){0}, &err);
    return env.outgoing ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    pb_outgoing_free(env.outgoing);
    harness_close();
    return 0;
}

int main(void)
{
    pb_log_level(NULL, PB_LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ws, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ws_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_explain, setup, teardown),
    };
    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
