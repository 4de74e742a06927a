/* SPDX-License-Identifier: MIT */
/* Streams against Python's sockets and ssl, which cut, reset and dawdle; and through tinyproxy. */
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
#include "net/stream.h"
#include "peer.h"

static struct peer server, proxies;
static struct pb_loop *loop;
static struct pb_outgoing *direct;
static char ca[96];

struct got {
    struct pb_stream *s;
    int open, drained, ended, closed, gone;
    bool hold; /* give no credit */
    struct pb_buf in;
    struct pb_err why;
    const char *say; /* on open */
    bool half;       /* and end */
};

static void on_open(void *user, struct pb_stream *s)
{
    struct got *g = user;
    g->open++;
    if (g->say) assert_int_equal(pb_stream_write(s, pb_str_c(g->say)), PBAY_OK);
    if (g->half) pb_stream_half_close(s);
}

static void on_data(void *user, struct pb_stream *s, pbay_str piece)
{
    struct got *g = user;
    assert_int_equal(g->open, 1);
    assert_int_equal(g->ended + g->closed, 0);
    pb_buf_str(&g->in, piece);
    if (!g->hold) pb_stream_credit(s, piece.n);
}

static void on_drained(void *user, struct pb_stream *s)
{
    struct got *g = user;
    (void)s;
    g->drained++;
}

static void on_end(void *user, struct pb_stream *s)
{
    struct got *g = user;
    (void)s;
    g->ended++;
}

static void on_closed(void *user, struct pb_stream *s, const struct pb_err *why)
{
    struct got *g = user;
    (void)s;
    g->closed++;
    g->why = *why;
}

static void on_gone(void *user)
{
    struct got *g = user;
    assert_int_equal(g->closed, 1);
    g->gone++;
}

static const struct pb_stream_ops ops = {on_open, on_data, on_drained, on_end, on_closed, on_gone};

static struct pb_stream_options options(bool tls)
{
    return (struct pb_stream_options){.host = tls ? PB_STR("localhost") : PB_STR("127.0.0.1"),
                                      .port = (uint16_t)server.ports[tls],
                                      .tls = tls,
                                      .configured = !tls,
                                      .outgoing = direct};
}

static void begin(struct got *g, const struct pb_stream_options *o)
{
    struct pb_err err = {0};
    g->s = pb_stream_open(loop, o, &ops, g, &err);
    if (!g->s) fail_msg("%s", err.msg);
}

#define UNTIL(condition)                                                                                     \
    while (!(condition)) pb_loop_turn(loop, true)

static void finish(struct got *g)
{
    if (!g->closed) pb_stream_close(g->s);
    UNTIL(g->gone);
    assert_int_equal(g->closed, 1);
    pb_buf_free(&g->in);
}

static void is_pattern(const struct got *g, size_t n)
{
    assert_int_equal(g->in.n, 6 + n);
    assert_memory_equal(g->in.p, "hello\n", 6);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)g->in.p[6 + i] != i % 251) fail_msg("byte %zu is another", i);
}

static void test_both_ways(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct got g = {.say = "echo\nhow are you"};
        struct pb_stream_options o = options(tls);
        begin(&g, &o);
        UNTIL(g.in.n == 17 || g.closed);
        assert_memory_equal(g.in.p, "hello\nhow are you", 17);
        UNTIL(g.drained);
        pb_stream_half_close(g.s);
        assert_int_equal(pb_stream_write(g.s, PB_STR("x")), PBAY_FAILED_PRECONDITION);
        UNTIL(g.closed);
        assert_int_equal(g.ended, 1);
        if (g.why.code) fail_msg("%s", g.why.msg);
        finish(&g);
    }
}

static void test_half_close_and_counting(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct got g = {.say = "count\n0123456789", .half = true};
        struct pb_stream_options o = options(tls);
        begin(&g, &o);
        UNTIL(g.closed);
        if (g.why.code) fail_msg("%s", g.why.msg);
        assert_int_equal(g.in.n, 9);
        assert_memory_equal(g.in.p, "hello\n10\n", 9);
        finish(&g);
    }
}

static void test_much(void **state)
{
    (void)state;
    enum { MUCH = 6000000 };
    for (int tls = 0; tls < 2; tls++) {
        struct got g = {.say = "send 6000000\n"};
        struct pb_stream_options o = options(tls);
        begin(&g, &o);
        UNTIL(g.ended || g.closed);
        is_pattern(&g, MUCH);
        finish(&g);
        /* To one who does not read at first: the writer is told to wait. */
        struct got h = {0};
        begin(&h, &o);
        UNTIL(h.open || h.closed);
        struct pb_buf out = {0};
        pb_buf_c(&out, "deaf 8000000\n");
        memset(pb_buf_room(&out, 8000000), 'x', 8000000);
        out.n += 8000000;
        size_t at = 0;
        int later = 0;
        while (at < out.n) {
            size_t n = out.n - at < 100000 ? out.n - at : 100000;
            int drained = h.drained;
            int32_t rc = pb_stream_write(h.s, pb_str(out.p + at, n));
            at += n;
            if (rc != PBAY_LATER) continue;
            later++;
            UNTIL(h.drained > drained || h.closed);
        }
        assert_true(later > 0);
        UNTIL(h.ended || h.closed);
        if (h.why.code) fail_msg("%s", h.why.msg);
        assert_memory_equal(h.in.p, "hello\n8000000\n", 14);
        pb_buf_free(&out);
        finish(&h);
    }
}

static void test_credit(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct got g = {.say = "send 1000000\n", .hold = true};
        struct pb_stream_options o = options(tls);
        begin(&g, &o);
        UNTIL(g.in.n == PB_STREAM_CREDIT || g.closed);
        for (int i = 0; i < 50; i++) pb_loop_turn(loop, false);
        assert_int_equal(g.in.n, PB_STREAM_CREDIT);
        pb_stream_credit(g.s, 1);
        UNTIL(g.in.n > PB_STREAM_CREDIT);
        assert_int_equal(g.in.n, PB_STREAM_CREDIT + 1);
        while (g.in.n < 1000006) {
            pb_stream_credit(g.s, 777);
            size_t had = g.in.n;
            UNTIL(g.in.n > had || g.closed);
        }
        UNTIL(g.ended || g.closed);
        is_pattern(&g, 1000000);
        finish(&g);
    }
    struct got g = {.say = "slow 200\n"};
    struct pb_stream_options o = options(true);
    begin(&g, &o);
    UNTIL(g.ended || g.closed);
    is_pattern(&g, 200);
    finish(&g);
}

static void test_faults(void **state)
{
    (void)state;
    struct got cut = {.say = "cut 100\n"}, reset = {.say = "reset\n"};
    struct pb_stream_options o = options(true);
    begin(&cut, &o);
    UNTIL(cut.closed);
    if (cut.why.code != PBAY_DATA_LOSS || !strstr(cut.why.msg, "without closing TLS"))
        fail_msg("%s", cut.why.msg);
    assert_int_equal(cut.why.effect, PBAY_EFFECT_MAYBE);
    assert_int_equal(cut.ended, 0);
    finish(&cut);
    /* Some systems say of a reset that it is an end when a write has seen it first. */
    o = options(false);
    begin(&reset, &o);
    UNTIL(reset.closed || reset.ended);
    if (reset.closed) {
        assert_int_equal(reset.why.code, PBAY_UNAVAILABLE);
        assert_int_equal(reset.why.effect, PBAY_EFFECT_MAYBE);
    }
    finish(&reset);
    struct got g = {.say = "hang\n"};
    o = options(false);
    o.idle_timeout_ms = 50;
    begin(&g, &o);
    UNTIL(g.closed);
    assert_int_equal(g.why.code, PBAY_DEADLINE_EXCEEDED);
    finish(&g);
    /* Closing in every state is no error. */
    struct got early = {0};
    o = options(true);
    begin(&early, &o);
    finish(&early);
    assert_int_equal(early.open, 0);
    struct got open = {.say = "hang\n"};
    begin(&open, &o);
    UNTIL(open.open);
    finish(&open);
    assert_int_equal(open.why.code, PBAY_OK);
}

static void unreachable(const struct pb_stream_options *o, const char *text)
{
    struct got g = {0};
    begin(&g, o);
    UNTIL(g.closed);
    if (!strstr(g.why.msg, text)) fail_msg("%s", g.why.msg);
    assert_int_equal(g.why.effect, PBAY_EFFECT_NONE);
    assert_int_equal(g.open, 0);
    finish(&g);
}

static void test_unreachable(void **state)
{
    (void)state;
    struct pb_stream_options o = options(false);
    o.host = PB_STR("127.0.0.2");
    unreachable(&o, "connection refused");
    o.host = PB_STR("nowhere.invalid");
    unreachable(&o, "looking up nowhere.invalid");
    o = options(true);
    o.port = (uint16_t)server.ports[0];
    unreachable(&o, "does not speak TLS");
    static const struct {
        const char *host;
        int32_t code;
    } bad[] = {{"169.254.169.254", PBAY_PERMISSION_DENIED},
               {"fe80::1", PBAY_PERMISSION_DENIED},
               {"", PBAY_INVALID_ARGUMENT},
               {"a b", PBAY_INVALID_ARGUMENT},
               {"x/y", PBAY_INVALID_ARGUMENT},
               {"2130706433", PBAY_INVALID_ARGUMENT}};
    for (size_t i = 0; i < PB_COUNTOF(bad); i++) {
        struct pb_err err;
        o = options(true);
        o.host = pb_str_c(bad[i].host);
        assert_null(pb_stream_open(loop, &o, &ops, NULL, &err));
        assert_int_equal(err.code, bad[i].code);
    }
    struct pb_err err;
    o = options(false);
    o.configured = false;
    assert_null(pb_stream_open(loop, &o, &ops, NULL, &err));
    assert_int_equal(err.code, PBAY_PERMISSION_DENIED);
}

static void test_proxies(void **state)
{
    (void)state;
    if (!proxies.ports[0]) skip();
    struct pb_err err;
    char proxy[96];
    for (int which = 0; which < 3; which++) {
        snprintf(proxy, sizeof proxy, "http://%s127.0.0.1:%d", which == 1 ? "sam:secret1@" : "",
                 proxies.ports[which]);
        struct pb_outgoing *out =
            pb_outgoing_new(&(struct pb_outgoing_conf){.proxy = proxy, .ca_file = ca}, &err);
        for (int tls = 0; tls < 2; tls++) {
            struct pb_stream_options o = options(tls);
            o.outgoing = out;
            if (which == 2) {
                unreachable(&o, "does not connect to");
                continue;
            }
            /* The server speaks first, so its bytes may come with the proxy's answer. */
            struct got g = {.say = "echo\nthrough"};
            begin(&g, &o);
            UNTIL(g.in.n == 13 || g.closed);
            if (g.closed) fail_msg("%s", g.why.msg);
            assert_memory_equal(g.in.p, "hello\nthrough", 13);
            finish(&g);
        }
        pb_outgoing_free(out);
    }
}

static int setup(void **state)
{
    struct pb_err err;
    (void)state;
    if (peer_start(&server, PB_TESTS_DIR "/peers/stream_peer.py")) return -1;
    if (peer_start(&proxies, PB_TESTS_DIR "/peers/proxy_peer.py"))
        print_message("tinyproxy is not installed\n");
    loop = pb_loop_new(&err);
    snprintf(ca, sizeof ca, "%s/ca.pem", server.dir);
    direct = pb_outgoing_new(&(struct pb_outgoing_conf){.proxy = "none", .ca_file = ca}, &err);
    return loop && direct ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    pb_outgoing_free(direct);
    pb_loop_free(loop);
    peer_stop(&proxies);
    return peer_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways), cmocka_unit_test(test_half_close_and_counting),
        cmocka_unit_test(test_much),      cmocka_unit_test(test_credit),
        cmocka_unit_test(test_faults),    cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_proxies),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
