/* SPDX-License-Identifier: MIT */
/* What a WebSocket client writes: the handshake of RFC 6455, 1.3, and frames as long as they may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"
#include "net/ws_wire.h"

static int opened;
static struct pb_buf got;

static void on_open(void *user, pbay_str protocol)
{
    (void)user;
    opened++;
    pb_buf_str(&got, protocol);
}

static bool on_message(void *user, uint32_t type, pbay_str message)
{
    (void)user, (void)type;
    pb_buf_str(&got, message);
    return true;
}

static void on_close(void *user, uint32_t code, pbay_str reason)
{
    (void)user;
    pb_buf_printf(&got, "%u %.*s", code, PB_FMT(reason));
}

static const struct pb_ws_wire_ops ops = {on_open, on_message, on_close};

static struct pb_ws_wire *open_wire(struct pb_buf *out, uint32_t max_frame)
{
    const struct pb_ws_wire_options o = {
        .max_frame = max_frame, .max_message = 1000, .protocols = PB_STR("chat, superchat")};
    const pbay_header h = {PB_STR("Origin"), PB_STR("http://example.com")};
    struct pb_err err;
    size_t took;
    opened = 0;
    got.n = 0;
    struct pb_ws_wire *w = pb_ws_wire_new(&o, &ops, NULL, out);
    pb_ws_wire_set_key(w, "dGhlIHNhbXBsZSBub25jZQ==");
    assert_int_equal(pb_ws_wire_request(w, PB_STR("server.example.com"), PB_STR("/chat"), &h, 1, &err), 0);
    static const char answer[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    assert_int_equal(pb_ws_wire_feed(w, answer, sizeof answer - 1, &took, &err), 0);
    assert_int_equal(opened, 1);
    return w;
}

static void test_handshake(void **state)
{
    (void)state;
    struct pb_buf out = {0};
    struct pb_ws_wire *w = open_wire(&out, 100);
    pb_buf_ch(&out, 0);
    assert_memory_equal(
        out.p,
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        87);
    assert_non_null(strstr(out.p, "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
    assert_non_null(strstr(out.p, "\r\nSec-WebSocket-Version: 13\r\n"));
    assert_non_null(strstr(out.p, "\r\nSec-WebSocket-Protocol: chat, superchat\r\n"));
    assert_non_null(strstr(out.p, "\r\nOrigin: http://example.com\r\n\r\n"));
    assert_memory_equal(got.p, "chat", 4);
    pb_ws_wire_free(w);
    pb_buf_free(&out);
}

/* One frame at p: its whole length; the payload, unmasked, goes to into. */
static size_t frame(const unsigned char *p, unsigned *opcode, bool *fin, struct pb_buf *into)
{
    size_t at = 2;
    uint64_t n = p[1] & 0x7f;
    assert_true(p[1] & 0x80); /* a client masks */
    assert_int_equal(p[0] & 0x70, 0);
    *opcode = p[0] & 15;
    *fin = p[0] & 0x80;
    if (n == 126) {
        n = (uint64_t)p[2] << 8 | p[3];
        at = 4;
    } else if (n == 127) {
        n = 0;
        for (int i = 0; i < 8; i++) n = n << 8 | p[2 + i];
        at = 10;
    }
    for (uint64_t i = 0; i < n; i++) pb_buf_ch(into, (char)(p[at + 4 + i] ^ p[at + i % 4]));
    return at + 4 + (size_t)n;
}

static void test_frames(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 125, 32 * 1024 - 14, 32 * 1024, 128 * 1024};
    for (size_t i = 0; i < PB_COUNTOF(sizes); i++) {
        struct pb_buf out = {0}, text = {0}, back = {0};
        struct pb_ws_wire *w = open_wire(&out, 32 * 1024);
        while (text.n < sizes[i]) pb_buf_ch(&text, (char)('a' + text.n % 26));
        out.n = 0;
        pb_ws_wire_send(w, PB_WS_TEXT, pb_buf_view(&text));
        unsigned opcode = 0, count = 0;
        bool fin = false;
        for (size_t at = 0; at < out.n; count++) {
            assert_false(fin);
            size_t n = frame((unsigned char *)out.p + at, &opcode, &fin, &back);
            assert_true(n <= 32 * 1024);
            assert_int_equal(opcode, count ? 0 : 1);
            at += n;
        }
        assert_true(fin && count == 1 + (sizes[i] ? (sizes[i] - 1) / (32 * 1024 - 14) : 0));
        assert_int_equal(back.n, text.n);
        if (text.n) assert_memory_equal(back.p, text.p, text.n);
        pb_ws_wire_free(w);
        pb_buf_free(&out);
        pb_buf_free(&text);
        pb_buf_free(&back);
    }
}

static void test_closing(void **state)
{
    (void)state;
    struct pb_buf out = {0}, back = {0};
    struct pb_err err;
    struct pb_ws_wire *w = open_wire(&out, 1000);
    size_t took;
    unsigned opcode;
    bool fin;
    out.n = got.n = 0;
    static const char ping[] = {(char)0x89, 2, 'h', 'i'},
                      bye[] = {(char)0x88, 5, 3, (char)0xe9, 'b', 'y', 'e'};
    assert_int_equal(pb_ws_wire_feed(w, ping, sizeof ping, &took, &err), 0);
    assert_int_equal(pb_ws_wire_feed(w, bye, sizeof bye, &took, &err), 0);
    size_t n = frame((unsigned char *)out.p, &opcode, &fin, &back);
    assert_int_equal(opcode, 10); /* the pong has the ping's text */
    assert_memory_equal(back.p, "hi", 2);
    back.n = 0;
    assert_int_equal(n + frame((unsigned char *)out.p + n, &opcode, &fin, &back), out.n);
    assert_int_equal(opcode, 8);
    assert_memory_equal(back.p, "\x03\xe9", 2);
    assert_memory_equal(got.p, "1001 bye", 8);
    /* Nothing leaves any more. */
    out.n = 0;
    pb_ws_wire_send(w, PB_WS_TEXT, PB_STR("late"));
    pb_ws_wire_ping(w);
    pb_ws_wire_close(w, 1000, PB_STR("late"));
    assert_int_equal(out.n, 0);
    static const uint32_t good[] = {1000, 1001, 1003, 1007, 1014, 3000, 4999},
                          bad[] = {0, 999, 1002 + 2, 1005, 1006, 1015, 2999, 5000};
    for (size_t i = 0; i < PB_COUNTOF(good); i++) assert_true(pb_ws_code_ok(good[i]));
    for (size_t i = 0; i < PB_COUNTOF(bad); i++) assert_false(pb_ws_code_ok(bad[i]));
    pb_ws_wire_free(w);
    pb_buf_free(&out);
    pb_buf_free(&back);
    pb_buf_free(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_closing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
