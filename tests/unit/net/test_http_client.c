/* SPDX-License-Identifier: MIT */
/* The client against Python's http.server: good answers, bad ones, none; limits; streaming; reuse of
 * connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/map.h"
#include "net/http_client.h"
#include "net/http_peer.h"

static struct pb_loop *loop;
static struct pb_http_client *client;

/* What came of one exchange. */
struct got {
    int done, heads;
    bool in_send; /* a callback now would be inside pb_fetch_send */
    int32_t status, code;
    uint32_t effect, advice;
    bool reused;
    char message[1024];
    struct pb_buf body, head;
    /* streaming */
    uint64_t exchange;
    bool hold; /* give no credit */
    size_t pieces, most;
    int cancel_in; /* 1: on_head, 2: on_data */
    int writable;
};

static void on_done(void *user, uint64_t exchange, const struct pb_fetch_reply *r)
{
    struct got *g = user;
    (void)exchange;
    assert_false(g->in_send);
    g->done++;
    g->status = r->status;
    g->code = r->result.code;
    g->effect = r->result.effect;
    g->advice = r->result.advice;
    g->reused = r->connection_reused;
    snprintf(g->message, sizeof g->message, "%.*s", PB_FMT(r->result.message));
    for (uint32_t i = 0; i < r->n_headers; i++)
        pb_buf_printf(&g->head, "%.*s=%.*s;", PB_FMT(r->headers[i].name), PB_FMT(r->headers[i].value));
    pb_buf_str(&g->body, r->body);
}

static void on_head(void *user, uint64_t exchange, const struct pb_fetch_reply *r)
{
    struct got *g = user;
    g->heads++;
    g->status = r->status;
    if (g->cancel_in == 1) pb_fetch_cancel(client, exchange);
}

static void on_data(void *user, uint64_t exchange, pbay_str piece)
{
    struct got *g = user;
    assert_int_equal(g->done, 0);
    g->pieces++;
    pb_buf_str(&g->body, piece);
    if (g->cancel_in == 2) pb_fetch_cancel(client, exchange);
    if (!g->hold) pb_fetch_credit(client, exchange, piece.n);
}

static void on_writable(void *user, uint64_t exchange)
{
    struct got *g = user;
    (void)exchange;
    g->writable++;
}

static const struct pb_fetch_events EVENTS = {on_head, on_data, on_writable, on_done};

static void got_free(struct got *g)
{
    pb_buf_free(&g->body);
    pb_buf_free(&g->head);
}

static struct pb_fetch_request request(const char *method, const char *path)
{
    static char urls[128][96];
    static unsigned next;
    char *url = urls[next++ % 128];
    snprintf(url, 96, "http://127.0.0.1:%d%s", peer_port, path);
    struct pb_fetch_request r = {0};
    r.flags = PB_FETCH_CONFIGURED;
    r.method = pb_str_c(method);
    r.url = pb_str_c(url);
    r.timeout_ms = 20000;
    return r;
}

static uint64_t begin(struct got *g, const struct pb_fetch_request *r)
{
    struct pb_err err = {0};
    memset(g, 0, sizeof *g);
    g->in_send = true;
    g->exchange = pb_fetch_send(client, r, &EVENTS, g, &err);
    g->in_send = false;
    if (!g->exchange) fail_msg("%s", err.msg);
    return g->exchange;
}

static void ignore(void *user)
{
    (void)user;
}

/* What was waited for may happen before the loop blocks; a timer lets us see so. */
static void turn(void)
{
    static struct pb_timer tick;
    tick.fn = ignore;
    pb_timer_set(loop, &tick, 20);
    pb_loop_turn(loop, true);
    pb_timer_cancel(&tick);
}

static void finish(struct got *g)
{
    while (!g->done) turn();
}

static struct got run(const struct pb_fetch_request *r)
{
    struct got g;
    begin(&g, r);
    finish(&g);
    assert_int_equal(g.done, 1);
    return g;
}

static struct got get(const char *path)
{
    struct pb_fetch_request r = request("GET", path);
    return run(&r);
}

static bool has(const struct pb_buf *b, const char *text)
{
    return b->n && memmem(b->p, b->n, text, strlen(text)) != NULL;
}

/* ------------------------------------------------------------------------------------------------ tests */

static void test_echo(void **state)
{
    (void)state;
    const pbay_header headers[] = {{PB_STR("X-First"), PB_STR("one  two")},
                                   {PB_STR("x-empty"), PB_STR("")},
                                   {PB_STR("content-type"), PB_STR("text/csv")}};
    struct pb_fetch_request r = request("POST", "/echo?a=%20b");
    r.headers = headers;
    r.n_headers = 3;
    r.body = PB_STR("1,2\0,3\n");
    struct got g = run(&r);
    assert_int_equal(g.status, 200);
    assert_int_equal(g.code, PBAY_OK);
    assert_true(has(&g.body, "POST /echo?a=%20b\n"));
    assert_true(has(&g.body, "X-First: one  two\n"));
    assert_true(has(&g.body, "x-empty: \n"));
    assert_true(has(&g.body, "content-type: text/csv\n"));
    assert_true(has(&g.body, "Content-Length: 7\n"));
    assert_true(has(&g.body, "User-Agent: patchbay/"));
    assert_false(has(&g.body, "Expect"));
    assert_false(has(&g.body, "Accept:"));
    assert_memory_equal(g.body.p + g.body.n - 9, "\n\n1,2\0,3\n", 9);
    assert_true(has(&g.head, "x-mixed-case=padded;x-twice=1;x-twice=2;"));
    got_free(&g);

    g = run(&r);
    assert_true(g.reused);
    got_free(&g);

    static const char *const METHODS[] = {"GET", "PUT", "DELETE", "PATCH", "POST"};
    for (size_t i = 0; i < PB_COUNTOF(METHODS); i++) {
        r = request(METHODS[i], "/echo");
        g = run(&r);
        char line[32];
        snprintf(line, sizeof line, "%s /echo\n", METHODS[i]);
        assert_true(has(&g.body, line));
        assert_false(has(&g.body, "Content-Type"));
        assert_int_equal(has(&g.body, "Content-Length: 0"), i == 1 || i >= 3);
        got_free(&g);
    }
    r = request("HEAD", "/size/100");
    g = run(&r);
    assert_int_equal(g.status, 200);
    assert_int_equal(g.body.n, 0);
    got_free(&g);
    char *big = malloc(3000000);
    memset(big, 'b', 3000000);
    r = request("POST", "/echo");
    r.body = pb_str(big, 3000000);
    g = run(&r);
    assert_true(g.body.n > 3000000);
    assert_false(has(&g.body, "Expect"));
    got_free(&g);
    free(big);
}

static void test_status(void **state)
{
    (void)state;
    static const int CODES[] = {201, 204, 400, 404, 429, 500, 503};
    for (size_t i = 0; i < PB_COUNTOF(CODES); i++) {
        char path[32];
        snprintf(path, sizeof path, "/status/%d", CODES[i]);
        struct got g = get(path);
        assert_int_equal(g.status, CODES[i]);
        assert_int_equal(g.code, PBAY_OK);
        assert_true(has(&g.head, "retry-after=7;"));
        got_free(&g);
    }
    struct got g = get("/redirect");
    assert_int_equal(g.status, 302);
    assert_true(has(&g.head, "location=/echo;"));
    got_free(&g);
}

static void test_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        size_t n;
    } V[] = {
        {"/size/0", 0}, {"/size/1000000", 1000000}, {"/chunked/123456", 123456}, {"/gzip/2000000", 2000000}};
    for (size_t i = 0; i < PB_COUNTOF(V); i++) {
        struct got g = get(V[i].path);
        assert_int_equal(g.code, PBAY_OK);
        assert_int_equal(g.body.n, V[i].n);
        for (size_t k = 0; k < g.body.n; k++) assert_int_equal(g.body.p[k], 'x');
        got_free(&g);
    }
}

static void test_failures(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path;
        int32_t code;
        const char *message;
    } V[] = {
        {"POST", "/truncated", PBAY_UNAVAILABLE, "closed the connection in the middle of its answer"},
        {"POST", "/nothing", PBAY_UNAVAILABLE, "closed the connection before it answered"},
        {"POST", "/reset", PBAY_UNAVAILABLE, "connection reset by peer"},
        {"GET", "/badgzip", PBAY_DATA_LOSS, "damaged"},
        {"GET", "/bighead", PBAY_RESOURCE_EXHAUSTED, "the head of the answer"},
    };
    char where[64];
    snprintf(where, sizeof where, "127.0.0.1:%d", peer_port);
    for (size_t i = 0; i < PB_COUNTOF(V); i++) {
        struct pb_fetch_request r = request(V[i].method, V[i].path);
        struct got g = run(&r);
        if (g.code != V[i].code || !strstr(g.message, V[i].message))
            fail_msg("%s: %d %s", V[i].path, g.code, g.message);
        assert_non_null(strstr(g.message, where));
        assert_int_equal(g.effect, PBAY_EFFECT_MAYBE);
        got_free(&g);
    }
}

static void test_no_connection(void **state)
{
    (void)state;
    struct pb_fetch_request r = request("POST", "/");
    r.url = PB_STR("http://127.0.0.1:9/x?secret=1");
    struct got g = run(&r);
    assert_int_equal(g.code, PBAY_UNAVAILABLE);
    assert_int_equal(g.effect, PBAY_EFFECT_NONE);
    assert_int_equal(g.advice, PBAY_ADVICE_RETRY);
    assert_int_equal(g.status, 0);
    assert_string_equal(g.message, "connecting to 127.0.0.1:9: connection refused");
    got_free(&g);

    r.url = PB_STR("http://no-such-host.invalid/");
    g = run(&r);
    assert_int_equal(g.code, PBAY_UNAVAILABLE);
    assert_int_equal(g.effect, PBAY_EFFECT_NONE);
    assert_non_null(strstr(g.message, "looking up no-such-host.invalid"));
    got_free(&g);

    /* TLS to a server that speaks plain text. */
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%d/echo", peer_port);
    r.url = pb_str_c(url);
    g = run(&r);
    assert_int_equal(g.code, PBAY_UNAVAILABLE);
    assert_int_equal(g.effect, PBAY_EFFECT_NONE);
    assert_non_null(strstr(g.message, "TLS with 127.0.0.1:"));
    got_free(&g);
}

/* A machine that is busy may not even have connected by then: longer and longer, until it has. */
static void late(const char *method, const char *path, const char *what, uint32_t effect)
{
    for (int64_t ms = 100; ms <= 20000; ms *= 2) {
        char text[96];
        struct pb_fetch_request r = request(method, path);
        r.timeout_ms = ms;
        struct got g = run(&r);
        assert_int_equal(g.code, PBAY_DEADLINE_EXCEEDED);
        snprintf(text, sizeof text, "%s within %lld ms", what, (long long)ms);
        bool found = strstr(g.message, text);
        if (found) assert_int_equal(g.effect, effect);
        got_free(&g);
        if (found) return;
    }
    fail_msg("never: %s", what);
}

static void test_timeout(void **state)
{
    (void)state;
    late("POST", "/slow/60000", "did not answer", PBAY_EFFECT_MAYBE);
    late("GET", "/drip/1000/50", "did not finish its answer", PBAY_EFFECT_MAYBE);
}

static void test_reply_limit(void **state)
{
    (void)state;
    static const char *const PATHS[] = {"/size/1001", "/chunked/1001", "/gzip/1000000"};
    for (size_t i = 0; i < PB_COUNTOF(PATHS); i++) {
        struct pb_fetch_request r = request("GET", PATHS[i]);
        r.max_reply = 1000;
        struct got g = run(&r);
        assert_int_equal(g.code, PBAY_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(g.message, "more than 1000 bytes"));
        got_free(&g);
    }
    struct pb_fetch_request r = request("GET", "/size/1000");
    r.max_reply = 1000;
    struct got g = run(&r);
    assert_int_equal(g.code, PBAY_OK);
    got_free(&g);
}

static long connections(void)
{
    struct got g = get("/connections");
    pb_buf_ch(&g.body, 0);
    long n = atol(g.body.p);
    got_free(&g);
    return n;
}

static void test_reuse(void **state)
{
    (void)state;
    enum { N = 40 };
    long before = connections();
    for (int i = 0; i < N; i++) {
        struct got g = get("/echo");
        assert_true(g.reused);
        got_free(&g);
    }
    assert_int_equal(connections(), before);
    /* Several at once, again and again: as many connections as there were at once, at most. */
    static struct got many[N];
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < N; i++) {
            struct pb_fetch_request r = request("GET", "/echo");
            begin(&many[i], &r);
        }
        for (int i = 0; i < N; i++) {
            finish(&many[i]);
            assert_int_equal(many[i].status, 200);
            got_free(&many[i]);
        }
    }
    long after = connections();
    assert_true(after - before <= N);
    /* A server that closes is not asked again on that connection. */
    for (int i = 0; i < 3; i++) {
        struct got g = get(i % 2 ? "/drop" : "/close");
        assert_int_equal(g.status, 200);
        got_free(&g);
        for (int k = 0; k < 20; k++) {
            pb_loop_turn(loop, false);
            usleep(1000);
        }
        /* Its end may not have come yet: then the request fails on that connection, and the next has another.
         */
        struct pb_fetch_request r = request("POST", "/echo");
        g = run(&r);
        if (g.code) {
            assert_int_equal(g.code, PBAY_UNAVAILABLE);
            got_free(&g);
            g = run(&r);
        }
        assert_int_equal(g.code, PBAY_OK);
        got_free(&g);
    }
}

static void test_streamed_reply(void **state)
{
    (void)state;
    struct pb_fetch_request r = request("GET", "/size/5000000");
    r.flags |= PB_FETCH_STREAM_REPLY;
    struct got g = run(&r);
    assert_int_equal(g.code, PBAY_OK);
    assert_int_equal(g.heads, 1);
    assert_true(g.pieces > 4);
    assert_int_equal(g.body.n, 5000000);
    got_free(&g);

    /* Without credit it stops; with credit it goes on. */
    begin(&g, &r);
    g.hold = true;
    size_t last = 0;
    while (g.body.n < PB_FETCH_WINDOW / 2 && !g.done) turn();
    for (int quiet = 0; quiet < 30; quiet++) {
        pb_loop_turn(loop, false);
        usleep(2000);
        if (g.body.n != last) quiet = 0;
        last = g.body.n;
    }
    assert_false(g.done);
    assert_true(g.body.n >= PB_FETCH_WINDOW / 2 && g.body.n <= PB_FETCH_WINDOW + 65536);
    g.hold = false;
    pb_fetch_credit(client, g.exchange, g.body.n);
    finish(&g);
    assert_int_equal(g.code, PBAY_OK);
    assert_int_equal(g.body.n, 5000000);
    got_free(&g);

    r = request("GET", "/gzip/4000000");
    r.flags |= PB_FETCH_STREAM_REPLY;
    g = run(&r);
    assert_int_equal(g.body.n, 4000000);
    got_free(&g);
}

static void test_streamed_body(void **state)
{
    (void)state;
    for (int known = 0; known < 2; known++) {
        struct pb_fetch_request r = request("POST", "/echo");
        r.flags |= PB_FETCH_STREAM_BODY;
        enum { PIECE = 50000, PIECES = 60 };
        r.body_length = known ? (int64_t)PIECE * PIECES : -1;
        static char piece[PIECE];
        memset(piece, 'p', sizeof piece);
        struct got g;
        begin(&g, &r);
        int waits = 0;
        for (int i = 0; i < PIECES; i++) {
            int seen = g.writable;
            int32_t rc = pb_fetch_write(client, g.exchange, pb_str(piece, sizeof piece));
            if (i % 7 == 0) pb_loop_turn(loop, false);
            if (rc == PBAY_LATER) {
                waits++;
                while (g.writable == seen && !g.done) turn();
            } else {
                assert_int_equal(rc, PBAY_OK);
            }
        }
        pb_fetch_finish(client, g.exchange);
        finish(&g);
        assert_int_equal(g.code, PBAY_OK);
        assert_true(waits > 0);
        assert_true(g.body.n > PIECE * PIECES);
        assert_true(has(&g.body, known ? "Content-Length: 3000000\n" : "Transfer-Encoding: chunked\n"));
        got_free(&g);
        assert_int_equal(pb_fetch_write(client, g.exchange, PB_STR("x")), PBAY_CANCELLED);
    }
    struct pb_fetch_request r = request("POST", "/echo");
    r.flags |= PB_FETCH_STREAM_BODY;
    r.body_length = 3;
    struct got g;
    begin(&g, &r);
    assert_int_equal(pb_fetch_write(client, g.exchange, PB_STR("four")), PBAY_OUT_OF_RANGE);
    finish(&g);
    assert_int_equal(g.code, PBAY_CANCELLED);
    got_free(&g);
}

static void test_cancel(void **state)
{
    (void)state;
    struct pb_fetch_request r = request("GET", "/slow/5000");
    struct got g;
    begin(&g, &r);
    pb_fetch_cancel(client, g.exchange);
    assert_int_equal(g.done, 0);
    pb_fetch_cancel(client, g.exchange);
    finish(&g);
    assert_int_equal(g.code, PBAY_CANCELLED);
    assert_int_equal(g.effect, PBAY_EFFECT_NONE);
    pb_fetch_cancel(client, g.exchange);
    got_free(&g);
    for (int where = 1; where <= 2; where++) {
        r = request("GET", "/size/5000000");
        r.flags |= PB_FETCH_STREAM_REPLY;
        begin(&g, &r);
        g.cancel_in = where;
        finish(&g);
        assert_int_equal(g.code, PBAY_CANCELLED);
        assert_int_equal(g.effect, PBAY_EFFECT_MAYBE);
        assert_int_equal(g.pieces, where - 1);
        got_free(&g);
    }
    assert_int_equal(pb_fetch_in_flight(client), 0);
}

static void refused(const char *url, uint32_t flags, int32_t code)
{
    struct pb_fetch_request r = request("GET", "/echo");
    struct pb_err err = {0};
    r.url = pb_str_c(url);
    r.flags = flags;
    uint64_t x = pb_fetch_send(client, &r, &EVENTS, NULL, &err);
    if (x || err.code != code) fail_msg("%s: %llu %d %s", url, (unsigned long long)x, err.code, err.msg);
}

static void test_rules(void **state)
{
    (void)state;
    const uint32_t conf = PB_FETCH_CONFIGURED;
    refused("http://example.com/", 0, PBAY_PERMISSION_DENIED);
    refused("http://169.254.169.254/latest/", conf, PBAY_PERMISSION_DENIED);
    refused("https://[fe80::1]/", conf, PBAY_PERMISSION_DENIED);
    refused("https://[::ffff:169.254.169.254]/", 0, PBAY_PERMISSION_DENIED);
    refused("https://[fd00:ec2::254]/", 0, PBAY_PERMISSION_DENIED);
    refused("https://100.100.100.200/", 0, PBAY_PERMISSION_DENIED);
    refused("http://2852039166/", conf, PBAY_INVALID_ARGUMENT);
    refused("http://0xa9fea9fe/", conf, PBAY_INVALID_ARGUMENT);
    refused("http://169.254.43518/", conf, PBAY_INVALID_ARGUMENT);
    refused("http://0251.0376.0251.0376/", conf, PBAY_INVALID_ARGUMENT);
    refused("https://user:pw@example.com/", 0, PBAY_INVALID_ARGUMENT);
    refused("https://example.com/\r\nX: y", 0, PBAY_INVALID_ARGUMENT);
    refused("https://example.com/a b", 0, PBAY_INVALID_ARGUMENT);
    refused("https://example.com#x", 0, PBAY_INVALID_ARGUMENT);
    refused("https://example.com:0/", 0, PBAY_INVALID_ARGUMENT);
    refused("https://example.com:65536/", 0, PBAY_INVALID_ARGUMENT);
    refused("https://example.com:x/", 0, PBAY_INVALID_ARGUMENT);
    refused("https://ex%61mple.com/", 0, PBAY_INVALID_ARGUMENT);
    refused("https://\\example.com/", 0, PBAY_INVALID_ARGUMENT);
    refused("https:///x", 0, PBAY_INVALID_ARGUMENT);
    refused("file:///etc/passwd", conf, PBAY_INVALID_ARGUMENT);
    refused("gopher://127.0.0.1/", conf, PBAY_INVALID_ARGUMENT);
    refused("", conf, PBAY_INVALID_ARGUMENT);
    const pbay_header BAD[] = {
        {PB_STR("X-A"), PB_STR("a\r\nX-B: b")},
        {PB_STR("X-A"), PB_STR("a\nb")},
        {PB_STR("X-A"), PB_STR("a\0b")},
        {PB_STR("X A"), PB_STR("a")},
        {PB_STR(""), PB_STR("a")},
        {PB_STR("X:"), PB_STR("a")},
        {PB_STR("Host"), PB_STR("other")},
        {PB_STR("content-LENGTH"), PB_STR("1")},
        {PB_STR("Transfer-Encoding"), PB_STR("chunked")},
    };
    for (size_t i = 0; i < PB_COUNTOF(BAD); i++) {
        struct pb_fetch_request r = request("GET", "/echo");
        struct pb_err err = {0};
        r.headers = &BAD[i];
        r.n_headers = 1;
        assert_int_equal(pb_fetch_send(client, &r, &EVENTS, NULL, &err), 0);
        assert_int_equal(err.code, PBAY_INVALID_ARGUMENT);
    }
    struct pb_fetch_request r = request("GET\r\nX: y", "/echo");
    struct pb_err err = {0};
    assert_int_equal(pb_fetch_send(client, &r, &EVENTS, NULL, &err), 0);
    assert_int_equal(pb_fetch_in_flight(client), 0);
}

static void closed(void *user)
{
    *(bool *)user = true;
}

/* Closing with exchanges in every state: each is told once, nothing is left. */
static void test_close_in_flight(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_http_client_conf conf = {.max_host_connections = 3};
    struct pb_http_client *kept = client;
    client = pb_http_client_new(loop, &conf, &err);
    assert_non_null(client);
    static struct got many[10];
    for (int i = 0; i < 10; i++) {
        struct pb_fetch_request r = request("GET", i < 3 ? "/size/9000000" : "/slow/5000");
        r.flags |= i < 3 ? PB_FETCH_STREAM_REPLY : 0;
        begin(&many[i], &r);
        many[i].hold = true;
    }
    for (int i = 0; i < 50; i++) {
        pb_loop_turn(loop, false);
        usleep(1000);
    }
    bool is_closed = false;
    pb_http_client_close(client, closed, &is_closed);
    while (!is_closed) turn();
    for (int i = 0; i < 10; i++) {
        assert_int_equal(many[i].done, 1);
        assert_int_equal(many[i].code, PBAY_CANCELLED);
        got_free(&many[i]);
    }
    client = kept;
}

static int setup(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_http_client_conf conf = {0};
    if (peer_start("http_peer.py")) return -1;
    loop = pb_loop_new(&err);
    client = loop ? pb_http_client_new(loop, &conf, &err) : NULL;
    return client ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    bool is_closed = false;
    pb_http_client_close(client, closed, &is_closed);
    while (!is_closed) turn();
    pb_loop_free(loop);
    peer_stop();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_no_connection),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_reply_limit),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_streamed_reply),
        cmocka_unit_test(test_streamed_body),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_close_in_flight),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
