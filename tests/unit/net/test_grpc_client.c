/* SPDX-License-Identifier: MIT */
/* The gRPC client against a server of grpcio (tests/peers/grpc_peer.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/grpc_client.h"
#include "peer.h"

enum { PLAIN, TLS, HTTP, SILENT }; /* ports */

static struct peer peer;

static char address[64];

static const char *at(int port)
{
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    return address;
}

static int start_peer(void **state)
{
    (void)state;
    return peer_start(&peer, PB_TESTS_DIR "/peers/grpc_peer.py");
}

static int stop_peer(void **state)
{
    (void)state;
    return peer_stop(&peer);
}

static struct pb_grpc_client *client_of(int port, const char *tls_dir)
{
    struct pb_err err;
    struct pb_grpc_client_options o = {.address = at(port), .tls_dir = tls_dir, .wake_fd = -1};
    if (tls_dir) o.tls_name = "localhost";
    struct pb_grpc_client *c = pb_grpc_client_open(&o, &err);
    if (!c) fail_msg("%s", err.msg);
    return c;
}

static void check_refused(struct pb_grpc_client_options o, const char *expected)
{
    struct pb_err err;
    o.wake_fd = -1;
    assert_null(pb_grpc_client_open(&o, &err));
    if (!strstr(err.msg, expected)) fail_msg("\"%s\" is not in \"%s\"", expected, err.msg);
}

static void unary_on(struct pb_grpc_client *c)
{
    struct pb_err err;
    struct pb_buf reply = {0};
    const pbay_header metadata[] = {
        {PB_STR("x-text"), PB_STR("one two")},
        {PB_STR("x-raw-bin"), PB_STR("\x00\x01\xfe\xff")},
    };
    assert_int_equal(
        pb_grpc_client_unary(c, "/peer/Unary", metadata, 2, 20000, PB_STR("hello"), &reply, &err), 0);
    assert_true(pb_str_is(pb_buf_view(&reply), "hello"));
    pb_buf_reset(&reply, 0);

    struct pb_grpc_stream *s = pb_grpc_stream_open(c, "/peer/Unary", metadata, 2, 0);
    pb_grpc_stream_send(s, PB_STR(""));
    pb_grpc_stream_end(s);
    pbay_str m;
    size_t n = 0;
    while (!pb_grpc_stream_over(s)) {
        while (pb_grpc_stream_next(s, &m)) n += m.n + 1;
        pb_grpc_client_turn(c, 1000);
    }
    assert_int_equal(n, 1);
    assert_int_equal(pb_grpc_stream_status(s)->code, PBAY_OK);
    assert_true(pb_str_is(pb_grpc_stream_metadata(s, "x-text"), "one two"));
    assert_true(pb_str_is(pb_grpc_stream_metadata(s, "first"), "yes"));
    assert_int_equal(pb_grpc_stream_metadata_bin(s, "x-raw-bin", &reply, &err), 1);
    assert_true(pb_str_eq(pb_buf_view(&reply), PB_STR("\x00\x01\xfe\xff")));
    assert_int_equal(pb_grpc_stream_metadata_bin(s, "no-bin", &reply, &err), 0);
    pb_grpc_stream_free(s);
    pb_buf_free(&reply);
}

static void test_unary(void **state)
{
    (void)state;
    struct pb_grpc_client *c = client_of(peer.ports[PLAIN], NULL);
    unary_on(c);
    pb_grpc_client_close(c);
}

static void test_tls(void **state)
{
    (void)state;
    struct pb_grpc_client *c = client_of(peer.ports[TLS], peer.dir);
    unary_on(c);
    pb_grpc_client_close(c);
}

static void fill(char *p, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) p[i] = (char)((seed + i) * 2654435761u >> 24);
}

/* Messages of many sizes, all of them back, in order; more in flight than any window holds. */
static void test_echo(void **state)
{
    (void)state;
    enum { COUNT = 600, MAX = 200000 };
    struct pb_grpc_client *c = client_of(peer.ports[PLAIN], NULL);
    struct pb_grpc_stream *s = pb_grpc_stream_open(c, "/peer/Echo", NULL, 0, 0);
    char *want = malloc(MAX);
    uint32_t sent = 0, got = 0;
    pbay_str m;
    while (!pb_grpc_stream_over(s)) {
        while (sent < COUNT && pb_grpc_stream_unsent(s) < 1 << 20) {
            size_t n = (size_t)sent * 7919 % MAX;
            fill(want, n, sent++);
            pb_grpc_stream_send(s, pb_str(want, n));
        }
        if (sent == COUNT) pb_grpc_stream_end(s);
        while (pb_grpc_stream_next(s, &m)) {
            size_t n = (size_t)got * 7919 % MAX;
            fill(want, n, got++);
            assert_true(pb_str_eq(m, pb_str(want, n)));
        }
        pb_grpc_client_turn(c, 1000);
    }
    assert_int_equal(got, COUNT);
    assert_int_equal(pb_grpc_stream_status(s)->code, PBAY_OK);
    pb_grpc_stream_free(s);
    pb_grpc_client_close(c);
    free(want);
}

/* 100 MiB each way, from a server that reads nothing until it has sent all. */
static void cross(int port, const char *tls)
{
    enum { MIB = 100 };
    struct pb_grpc_client *c = client_of(port, tls);
    struct pb_grpc_stream *s = pb_grpc_stream_open(c, "/peer/Cross", NULL, 0, 0);
    char *piece = calloc(1, 1 << 20);
    char text[32] = "";
    snprintf(text, sizeof text, "%d", MIB << 20);
    pb_grpc_stream_send(s, pb_str_c(text));
    size_t sent = 0, got = 0;
    pbay_str m;
    while (!pb_grpc_stream_over(s)) {
        while (sent < MIB && pb_grpc_stream_unsent(s) < 1 << 20) {
            pb_grpc_stream_send(s, pb_str(piece, 1 << 20));
            sent++;
        }
        if (sent == MIB) pb_grpc_stream_end(s);
        while (pb_grpc_stream_next(s, &m)) {
            if (m.n == 1 << 20)
                got += m.n;
            else
                snprintf(text, sizeof text, "%.*s", PB_FMT(m));
        }
        pb_grpc_client_turn(c, 1000);
    }
    assert_int_equal(pb_grpc_stream_status(s)->code, PBAY_OK);
    assert_int_equal(got, (size_t)MIB << 20);
    assert_int_equal(atoi(text), MIB << 20);
    pb_grpc_stream_free(s);
    pb_grpc_client_close(c);
    free(piece);
}

static void test_cross(void **state)
{
    (void)state;
    cross(peer.ports[PLAIN], NULL);
    cross(peer.ports[TLS], peer.dir);
}

static void test_early_answer(void **state)
{
    (void)state;
    struct pb_grpc_client *c = client_of(peer.ports[PLAIN], NULL);
    struct pb_grpc_stream *s = pb_grpc_stream_open(c, "/peer/Early", NULL, 0, 0);
    char *piece = calloc(1, 1 << 16);
    size_t got = 0;
    pbay_str m;
    while (!pb_grpc_stream_over(s)) { /* never ends on its side */
        if (pb_grpc_stream_unsent(s) < 1 << 20) pb_grpc_stream_send(s, pb_str(piece, 1 << 16));
        while (pb_grpc_stream_next(s, &m)) got++;
        pb_grpc_client_turn(c, 1000);
    }
    assert_int_equal(got, 1);
    assert_int_equal(pb_grpc_stream_status(s)->code, PBAY_OK);
    pb_grpc_stream_free(s);
    unary_on(c); /* the connection lives on */
    pb_grpc_client_close(c);
    free(piece);
}

static void test_errors(void **state)
{
    (void)state;
    struct pb_grpc_client *c = client_of(peer.ports[PLAIN], NULL);
    struct pb_err err;
    struct pb_buf reply = {0};
    for (int code = 1; code <= 16; code++) {
        char text[64];
        snprintf(text, sizeof text, "%d r\xc3\xb6w 100%% \xe2\x82\xac\n\"x\"", code);
        assert_int_equal(pb_grpc_client_unary(c, "/peer/Fail", NULL, 0, 0, pb_str_c(text), &reply, &err), -1);
        assert_int_equal(err.code, code);
        assert_string_equal(err.msg, strchr(text, ' ') + 1);
    }
    assert_int_equal(pb_grpc_client_unary(c, "/peer/None", NULL, 0, 0, PB_STR(""), &reply, &err), -1);
    assert_int_equal(err.code, PBAY_UNIMPLEMENTED);
    const pbay_header bad[] = {{PB_STR("x"), PB_STR("a\nb")}};
    assert_int_equal(pb_grpc_client_unary(c, "/peer/Unary", bad, 1, 0, PB_STR(""), &reply, &err), -1);
    assert_int_equal(err.code, PBAY_INVALID_ARGUMENT);
    assert_int_equal(reply.n, 0);
    unary_on(c);
    pb_grpc_client_close(c);
    pb_buf_free(&reply);
}

static void test_deadline_and_cancel(void **state)
{
    (void)state;
    struct pb_grpc_client *c = client_of(peer.ports[PLAIN], NULL);
    struct pb_grpc_stream *s = pb_grpc_stream_open(c, "/peer/Slow", NULL, 0, 300);
    pb_grpc_stream_send(s, PB_STR("x"));
    while (!pb_grpc_stream_over(s)) pb_grpc_client_turn(c, -1);
    assert_int_equal(pb_grpc_stream_status(s)->code, PBAY_DEADLINE_EXCEEDED);
    pb_grpc_stream_free(s);

    s = pb_grpc_stream_open(c, "/peer/Slow", NULL, 0, 0);
    pb_grpc_stream_send(s, PB_STR("x"));
    pb_grpc_client_turn(c, 100);
    pb_grpc_stream_cancel(s);
    assert_true(pb_grpc_stream_over(s));
    assert_int_equal(pb_grpc_stream_status(s)->code, PBAY_CANCELLED);
    pb_grpc_stream_free(s);

    /* Freed before a byte of it has left. */
    pb_grpc_stream_free(pb_grpc_stream_open(c, "/peer/Slow", NULL, 0, 0));

    struct pb_err err;
    struct pb_buf reply = {0};
    assert_int_equal(pb_grpc_client_unary(c, "/peer/Cancelled", NULL, 0, 0, PB_STR("2"), &reply, &err), 0);
    assert_true(pb_str_is(pb_buf_view(&reply), "2"));
    pb_buf_free(&reply);
    pb_grpc_client_close(c);
}

static void test_reply_too_large(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_grpc_client_options o = {.address = at(peer.ports[PLAIN]), .max_message = 1000, .wake_fd = -1};
    struct pb_grpc_client *c = pb_grpc_client_open(&o, &err);
    assert_non_null(c);
    struct pb_buf reply = {0};
    char text[1001] = "";
    assert_int_equal(pb_grpc_client_unary(c, "/peer/Unary", NULL, 0, 0, pb_str(text, 1001), &reply, &err),
                     -1);
    assert_int_equal(err.code, PBAY_RESOURCE_EXHAUSTED);
    assert_int_equal(pb_grpc_client_unary(c, "/peer/Unary", NULL, 0, 0, pb_str(text, 1000), &reply, &err), 0);
    assert_int_equal(reply.n, 1000);
    pb_buf_free(&reply);
    pb_grpc_client_close(c);
}

static void test_interrupted(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct pb_err err;
    struct pb_grpc_client_options o = {.address = at(peer.ports[PLAIN]), .wake_fd = fds[0]};
    struct pb_grpc_client *c = pb_grpc_client_open(&o, &err);
    assert_non_null(c);
    assert_int_equal(write(fds[1], "x", 1), 1);
    struct pb_grpc_stream *s = pb_grpc_stream_open(c, "/peer/Slow", NULL, 0, 0);
    assert_int_equal(pb_grpc_client_turn(c, -1), 1);
    pb_grpc_stream_free(s);
    pb_grpc_client_close(c);
    o.address = at(peer.ports[SILENT]);
    assert_null(pb_grpc_client_open(&o, &err));
    assert_int_equal(err.code, PBAY_CANCELLED);
    close(fds[0]);
    close(fds[1]);
}

static void test_what_listens(void **state)
{
    (void)state;
    check_refused((struct pb_grpc_client_options){.address = "127.0.0.1:1"},
                  "nothing listens on 127.0.0.1:1: is the");
    check_refused((struct pb_grpc_client_options){.address = "unix:/nowhere/sock"},
                  "nothing listens on unix:/nowhere");
    check_refused((struct pb_grpc_client_options){.address = at(peer.ports[HTTP])},
                  "answered with HTTP/1 and not gRPC");
    check_refused((struct pb_grpc_client_options){.address = at(peer.ports[HTTP]), .tls_dir = peer.dir},
                  "does not speak TLS");
    check_refused((struct pb_grpc_client_options){.address = at(peer.ports[PLAIN]), .tls_dir = peer.dir},
                  "does not speak TLS");
    check_refused((struct pb_grpc_client_options){.address = at(peer.ports[TLS])}, "wrong port");
    check_refused(
        (struct pb_grpc_client_options){.address = at(peer.ports[SILENT]), .connect_timeout_ms = 200},
        "says nothing");
    check_refused((struct pb_grpc_client_options){.address = at(peer.ports[SILENT]),
                                                  .connect_timeout_ms = 200,
                                                  .tls_dir = peer.dir},
                  "does not answer in TLS");
    check_refused((struct pb_grpc_client_options){.address = at(peer.ports[TLS]), .tls_dir = peer.dir},
                  "--tls-name");
    check_refused((struct pb_grpc_client_options){.address = at(peer.ports[TLS]), .tls_dir = "/nowhere"},
                  "/nowhere/root_cert.pem: No such file");
    check_refused((struct pb_grpc_client_options){.address = "localhost"}, "HOST:PORT is expected");
    check_refused((struct pb_grpc_client_options){.address = "localhost:99999"}, "no port");
    check_refused((struct pb_grpc_client_options){.address = "::1:50058"}, "brackets");
    check_refused((struct pb_grpc_client_options){.address = "no-such-host.invalid:1"},
                  "cannot find the host");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unary),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_cross),
        cmocka_unit_test(test_early_answer),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_deadline_and_cancel),
        cmocka_unit_test(test_reply_too_large),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_what_listens),
    };
    return cmocka_run_group_tests(tests, start_peer, stop_peer);
}
