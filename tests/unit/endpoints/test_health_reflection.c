/* SPDX-License-Identifier: MIT */
/* Health and reflection: a gateway's gRPC server in a child, our client as the tool that asks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "data/wire.h"
#include "endpoints/health.h"
#include "endpoints/reflection.h"
#include "loop/loop.h"
#include "net/grpc_client.h"
#include "net/grpc_server.h"
#include "net/listener.h"

/* ------------------------------------------------------------------------------------------ the child */

static struct pb_loop *loop;
static struct pb_health *health;
static struct pb_listener *listener;

static void drained(void *user)
{
    (void)user;
    pb_loop_stop(loop);
}

static void drain(struct pb_grpc_call *call, pbay_str request)
{
    (void)request;
    struct pb_grpc_server *server = pb_grpc_call_server(call);
    struct pb_buf reply = {0};
    pb_grpc_reply(call, &reply);
    pb_health_drain(health);
    pb_listener_close(listener);
    pb_grpc_server_drain(server, drained, NULL);
}

static void take(void *server, struct pb_conn *conn)
{
    pb_grpc_server_take(server, conn);
}

static int serve(int ready)
{
    static const struct pb_grpc_ops drain_ops = {.unary = drain};
    struct pb_err err;
    loop = pb_loop_new(&err);
    struct pb_grpc_server *server = pb_grpc_server_new(loop, "test", NULL);
    pb_grpc_server_method(server, "/qlik.sse.Connector/GetCapabilities", &drain_ops, NULL);
    pb_grpc_server_method(server, "/qlik.sse.Connector/ExecuteFunction", &drain_ops, NULL);
    health = pb_health_new(server);
    pb_reflection_register(server);
    const struct pb_listener_options o = {
        .name = "test", .address = "127.0.0.1:0", .protocol = "gRPC (HTTP/2)", .take = take, .user = server};
    listener = pb_listener_open(loop, &o, &err);
    if (!listener) return 1;
    uint16_t port = pb_listener_port(listener);
    if (write(ready, &port, sizeof port) != sizeof port) return 1;
    pb_loop_run(loop);
    pb_grpc_server_free(server);
    pb_health_free(health);
    pb_loop_free(loop);
    return 0;
}

/* ------------------------------------------------------------------------------------------ the parent */

static pid_t child;
static struct pb_grpc_client *client;

static int start(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    int fds[2];
    if (pipe(fds)) return -1;
    child = fork();
    if (child == 0) exit(serve(fds[1]));
    uint16_t port;
    if (read(fds[0], &port, sizeof port) != sizeof port) return -1;
    close(fds[0]);
    close(fds[1]);
    char *address = pb_sprintf("127.0.0.1:%u", port);
    struct pb_err err;
    client = pb_grpc_client_open(&(struct pb_grpc_client_options){.address = address, .wake_fd = -1}, &err);
    pb_free(address);
    return client ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    int status;
    pb_grpc_client_close(client);
    return waitpid(child, &status, 0) == child && status == 0 ? 0 : -1; /* it has drained and freed all */
}

static pbay_str message_of(struct pb_buf *b, uint32_t field, const char *text)
{
    b->n = 0;
    pb_buf_ch(b, (char)PB_WIRE_TAG(field, PB_WIRE_LEN));
    pb_buf_ch(b, (char)strlen(text));
    pb_buf_c(b, text);
    return pb_buf_view(b);
}

static int check(pbay_str request, struct pb_err *err)
{
    struct pb_buf reply = {0};
    int rc =
        pb_grpc_client_unary(client, "/grpc.health.v1.Health/Check", NULL, 0, 20000, request, &reply, err);
    int status = rc ? -err->code : reply.n == 2 && reply.p[0] == 8 ? reply.p[1] : -1000;
    pb_buf_free(&reply);
    return status;
}

static void test_check(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_buf b = {0};
    assert_int_equal(check(pb_str("", 0), &err), 1);
    assert_int_equal(check(message_of(&b, 1, "qlik.sse.Connector"), &err), 1);
    assert_int_equal(check(message_of(&b, 1, "grpc.health.v1.Health"), &err), 1);
    assert_int_equal(check(message_of(&b, 1, "qlik.sse"), &err), -PBAY_NOT_FOUND);
    assert_string_equal(err.msg, "no service \"qlik.sse\" here");
    assert_int_equal(check(PB_STR("\x0a\x05x"), &err), -PBAY_INVALID_ARGUMENT);
    pb_buf_free(&b);
}

/* One question; the answer's field `want` (of the oneof), or p NULL when it is another. Borrowed until the
 * next. */
static pbay_str ask(pbay_str request, uint32_t want)
{
    static struct pb_buf reply;
    struct pb_err err;
    struct pb_wire_field f;
    pbay_str found = {NULL, 0};
    bool echoed = false;
    reply.n = 0;
    if (pb_grpc_client_unary(client, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", NULL, 0,
                             20000, request, &reply, &err))
        fail_msg("%s", err.msg);
    const uint8_t *p = (const uint8_t *)reply.p, *end = p + reply.n;
    while (pb_wire_next(&p, end, &f) > 0) {
        if (f.tag == PB_WIRE_TAG(2, PB_WIRE_LEN)) echoed = pb_str_eq(f.bytes, request);
        if (f.tag == PB_WIRE_TAG(want, PB_WIRE_LEN)) found = f.bytes;
    }
    assert_true(echoed);
    if (!want) pb_buf_free(&reply);
    return found;
}

static void test_reflection(void **state)
{
    (void)state;
    static const char services[] = "\x0a\x14\x0a\x12qlik.sse.Connector"
                                   "\x0a\x17\x0a\x15grpc.health.v1.Health"
                                   "\x0a\x25\x0a\x23grpc.reflection.v1.ServerReflection"
                                   "\x0a\x2a\x0a\x28grpc.reflection.v1alpha.ServerReflection";
    struct pb_buf b = {0};
    assert_true(pb_str_eq(ask(message_of(&b, 7, "*"), 6), PB_STR(services)));
    static const char *const symbols[][2] = {
        {"qlik.sse.Connector", "\x0a\x09sse.proto"},
        {"qlik.sse.Connector.ExecuteFunction", "\x0a\x09sse.proto"},
        {"qlik.sse.BundledRows", "\x0a\x09sse.proto"},
        {"qlik.sse.DataType", "\x0a\x09sse.proto"},
        {"grpc.health.v1.HealthCheckResponse.ServingStatus", "\x0a\x1bgrpc/health/v1/health.proto"},
        {"grpc.reflection.v1.ServerReflection", "\x0a#grpc/reflection/v1/reflection.proto"},
        {"grpc.reflection.v1alpha.ServerReflection", "\x0a(grpc/reflection/v1alpha/reflection.proto"},
    };
    for (size_t i = 0; i < PB_COUNTOF(symbols); i++) {
        pbay_str answer = ask(message_of(&b, 4, symbols[i][0]), 4);
        struct pb_wire_field f = {0};
        const uint8_t *p = (const uint8_t *)answer.p;
        assert_non_null(p);
        assert_int_equal(pb_wire_next(&p, p + answer.n, &f), 1);
        assert_true(pb_str_starts(f.bytes, pb_str_c(symbols[i][1])));
    }
    assert_non_null(ask(message_of(&b, 3, "sse.proto"), 4).p);
    static const char *const missing[] = {
        "qlik.sse", "qlik.sse.Connector.Execute", "qlik.sse.Connector.", "qlik.sse.Nothing", "qlik", ""};
    for (size_t i = 0; i < PB_COUNTOF(missing); i++) {
        pbay_str answer = ask(message_of(&b, 4, missing[i]), 7);
        assert_true(pb_str_starts(answer, PB_STR("\x08\x05"))); /* NOT_FOUND */
    }
    assert_non_null(ask(message_of(&b, 3, "other.proto"), 7).p);
    assert_true(pb_str_starts(ask(message_of(&b, 6, "qlik.sse.Row"), 5), PB_STR("\x0a\x0cqlik.sse.Row")));
    assert_non_null(ask(pb_str("", 0), 7).p);
    ask(pb_str("", 0), 0);
    pb_buf_free(&b);
}

static int next_status(struct pb_grpc_stream *s)
{
    pbay_str m;
    while (!pb_grpc_stream_next(s, &m)) {
        if (pb_grpc_stream_over(s)) return -pb_grpc_stream_status(s)->code;
        pb_grpc_client_turn(client, -1);
    }
    return m.n == 2 && m.p[0] == 8 ? m.p[1] : -1000;
}

/* Last: it ends the server. */
static void test_watch_and_drain(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_buf b = {0};
    struct pb_grpc_stream *s[3];
    const char *const names[] = {"", "qlik.sse.Connector", "nobody"};
    for (int i = 0; i < 3; i++) {
        s[i] = pb_grpc_stream_open(client, "/grpc.health.v1.Health/Watch", NULL, 0, 0);
        pb_grpc_stream_send(s[i], message_of(&b, 1, names[i]));
        pb_grpc_stream_end(s[i]);
    }
    assert_int_equal(next_status(s[0]), 1);
    assert_int_equal(next_status(s[1]), 1);
    assert_int_equal(next_status(s[2]), 3);
    pb_grpc_stream_free(s[1]); /* one leaves before */
    struct pb_buf reply = {0};
    assert_int_equal(pb_grpc_client_unary(client, "/qlik.sse.Connector/GetCapabilities", NULL, 0, 20000,
                                          pb_str("", 0), &reply, &err),
                     0);
    assert_int_equal(next_status(s[0]), 2);
    assert_int_equal(next_status(s[0]), -PBAY_UNAVAILABLE);
    pb_grpc_stream_free(s[0]);
    pb_grpc_stream_free(s[2]);
    pb_buf_free(&b);
    pb_buf_free(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_reflection),
        cmocka_unit_test(test_watch_and_drain),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
