/* SPDX-License-Identifier: MIT */
/* The server's session against nghttp2's client: how a connection is told to go elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/h2.h"

/* ------------------------------------------------------------------------------------------------ the server
 */

static struct pb_h2_stream *on_open(void *user)
{
    (void)user;
    return pb_zalloc(sizeof(struct pb_h2_stream));
}

static void answer(struct pb_h2_stream *s)
{
    if (s->responded) return;
    const pbay_header status = {PB_STR(":status"), PB_STR("200")},
                      trailer = {PB_STR("grpc-status"), PB_STR("0")};
    struct pb_buf body = {0};
    pb_buf_str(&body, PB_STR("answer"));
    pb_h2_respond(s, &status, 1, false);
    pb_h2_write(s, NULL, 0, &body);
    pb_h2_finish(s, &trailer, 1);
}

static void on_headers(struct pb_h2_stream *s)
{
    (void)s;
}

static void on_data(struct pb_h2_stream *s, const char *p, size_t n)
{
    (void)p;
    pb_h2_consumed(s, (uint32_t)n);
}

static void on_end(struct pb_h2_stream *s)
{
    (void)s;
}

static void answer_all(struct pb_h2 *h2)
{
    for (struct pb_h2_stream *s = pb_h2_first_stream(h2); s; s = s->next) answer(s);
}

static void on_sent(struct pb_h2_stream *s, size_t n)
{
    (void)s;
    (void)n;
}

static void on_close(struct pb_h2_stream *s, uint32_t code)
{
    (void)code;
    pb_h2_stream_free(s);
    pb_free(s);
}

/* ------------------------------------------------------------------------------------------------ the client
 */

struct client {
    nghttp2_session *session;
    char heard[256]; /* what came, a letter each: G notice, F final GOAWAY, P ping, d the last DATA, t
                        trailers */
    int32_t last;    /* the final GOAWAY's last stream */
};

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
    struct client *c = user;
    (void)session;
    char letter = 0;
    if (f->hd.type == NGHTTP2_GOAWAY) {
        letter = f->goaway.last_stream_id == INT32_MAX ? 'G' : 'F';
        if (letter == 'F') c->last = f->goaway.last_stream_id;
        assert_int_equal(f->goaway.error_code, NGHTTP2_NO_ERROR);
    } else if (f->hd.type == NGHTTP2_PING && !(f->hd.flags & NGHTTP2_FLAG_ACK))
        letter = 'P';
    else if (f->hd.type == NGHTTP2_DATA && f->hd.length)
        letter = 'd';
    else if (f->hd.type == NGHTTP2_HEADERS && f->hd.flags & NGHTTP2_FLAG_END_STREAM)
        letter = 't';
    const char text[2] = {letter, 0};
    if (letter) strcat(c->heard, text);
    return 0;
}

static int32_t ask(struct client *c)
{
#define NV(n, v)                                                                                             \
    {                                                                                                        \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, sizeof(v) - 1, 0                \
    }
    const nghttp2_nv fields[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/f"),
                                 NV(":authority", "a")};
    int32_t id = nghttp2_submit_request(c->session, NULL, fields, 4, NULL, NULL);
    assert_true(id > 0);
    return id;
}

static void client_to_server(struct client *c, struct pb_h2 *h2)
{
    const uint8_t *p;
    struct pb_err err;
    for (ssize_t n; (n = nghttp2_session_mem_send(c->session, &p)) > 0;)
        assert_int_equal(pb_h2_feed(h2, (const char *)p, (size_t)n, &err), 0);
}

static void server_to_client(struct pb_h2 *h2, struct client *c)
{
    struct pb_buf out = {0};
    struct pb_err err;
    int rc;
    do {
        rc = pb_h2_pull(h2, &out, 16, &err);
        assert_true(rc >= 0);
        assert_int_equal(nghttp2_session_mem_recv(c->session, (const uint8_t *)out.p, out.n), (ssize_t)out.n);
        out.n = 0;
    } while (rc > 0);
    pb_buf_free(&out);
}

static void begin(struct client *c, struct pb_h2 **h2)
{
    static const struct pb_h2_ops ops = {on_open, on_headers, on_data, on_end, on_sent, on_close};
    nghttp2_session_callbacks *callbacks;
    *c = (struct client){.last = -1};
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    assert_int_equal(nghttp2_session_client_new(&c->session, callbacks, c), 0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(c->session, 0, NULL, 0), 0);
    *h2 = pb_h2_server_new(NULL, &ops, NULL);
    client_to_server(c, *h2);
    server_to_client(*h2, c);
}

static void end(struct client *c, struct pb_h2 *h2)
{
    pb_h2_free(h2);
    nghttp2_session_del(c->session);
}

/* ------------------------------------------------------------------------------------------------ */

/* RFC 9113, 6.8: what was opened before the notice was heard is served, and stands in the final GOAWAY. */
static void notice_and_end(void **state)
{
    (void)state;
    struct client c;
    struct pb_h2 *h2;
    begin(&c, &h2);
    ask(&c);
    client_to_server(&c, h2);
    answer_all(h2);
    server_to_client(h2, &c);
    assert_string_equal(c.heard, "dt");
    pb_h2_goaway_notice(h2);
    int32_t id = ask(&c); /* on its way to meet it */
    client_to_server(&c, h2);
    server_to_client(h2, &c);
    assert_string_equal(c.heard, "dtGP");
    assert_int_equal(pb_h2_ping_acks(h2), 0);
    client_to_server(&c, h2);
    assert_int_equal(pb_h2_ping_acks(h2), 1);
    pb_h2_goaway(h2);
    server_to_client(h2, &c);
    assert_string_equal(c.heard, "dtGPF");
    assert_int_equal(c.last, id);
    answer_all(h2);
    server_to_client(h2, &c);
    assert_string_equal(c.heard, "dtGPFdt");
    assert_true(pb_h2_done(h2));
    end(&c, h2);
}

/* Nothing is sent behind the PING until it is allowed again; then nothing is missing. */
static void hushed(void **state)
{
    (void)state;
    struct client c;
    struct pb_h2 *h2;
    begin(&c, &h2);
    ask(&c);
    client_to_server(&c, h2);
    answer_all(h2);
    pb_h2_hush(h2, true);
    pb_h2_goaway_notice(h2);
    ask(&c);
    client_to_server(&c, h2);
    answer_all(h2);
    server_to_client(h2, &c);
    assert_string_equal(c.heard, "GP");
    server_to_client(h2, &c);
    client_to_server(&c, h2);
    assert_int_equal(pb_h2_ping_acks(h2), 1); /* it hears */
    server_to_client(h2, &c);
    assert_string_equal(c.heard, "GP");
    assert_int_equal(pb_h2_streams(h2), 2);
    pb_h2_hush(h2, false);
    pb_h2_goaway(h2);
    server_to_client(h2, &c);
    assert_string_equal(c.heard, "GPFdtdt");
    assert_int_equal(pb_h2_streams(h2), 0);
    end(&c, h2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notice_and_end),
        cmocka_unit_test(hushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
