/* SPDX-License-Identifier: MIT */
/* Frames from anyone into an HTTP/2 session whose streams answer, hold, reset and finish as their bytes say.
 * The first byte is the size of the pieces; a preface goes before the rest. */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "net/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned g_open;

static struct pb_h2_stream *on_open(void *user)
{
    (void)user;
    if (g_open >= 50) return NULL;
    g_open++;
    return pb_zalloc(sizeof(struct pb_h2_stream));
}

static void on_headers(struct pb_h2_stream *s)
{
    const pbay_header h[] = {{PB_STR(":status"), PB_STR("200")},
                             {PB_STR("x"), pb_h2_header(s, PB_STR(":path"))}};
    pbay_str path = h[1].value;
    pb_h2_respond(s, h, PB_COUNTOF(h), path.n > 1 && path.p[1] == 'n');
}

static void on_data(struct pb_h2_stream *s, const char *p, size_t n)
{
    const pbay_header trailer = {PB_STR("grpc-status"), PB_STR("0")};
    struct pb_buf b = pb_h2_buf(s->h2);
    pb_buf_add(&b, p, n);
    pb_h2_write(s, (const uint8_t *)"head", 4, &b);
    switch (n ? p[0] & 7 : 0) {
    case 1: pb_h2_reset(s, 8); break;
    case 2: pb_h2_finish(s, &trailer, 1); break;
    case 3: pb_h2_finish(s, NULL, 0); break;
    case 4: pb_h2_expect(s, 3 << 20); break;
    default: pb_h2_consumed(s, s->owed); break;
    }
}

static void on_end(struct pb_h2_stream *s)
{
    pb_h2_finish(s, NULL, 0);
}

static void on_sent(struct pb_h2_stream *s, size_t n)
{
    (void)s;
    (void)n;
}

static void on_close(struct pb_h2_stream *s, uint32_t code)
{
    (void)code;
    PB_REQUIRE(g_open > 0);
    g_open--;
    pb_h2_stream_free(s);
    pb_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pb_h2_ops ops = {on_open, on_headers, on_data, on_end, on_sent, on_close};
    static const struct pb_h2_options options = {.max_streams = 20, .max_header = 4096};
    if (!size) return 0;
    struct pb_err err;
    struct pb_buf out = {0};
    size_t piece = (size_t)data[0] + 1;
    struct pb_h2 *h2 = pb_h2_server_new(&options, &ops, NULL);
    int rc = pb_h2_feed(h2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PB_H2_PREFACE, &err);
    PB_REQUIRE(rc == 0);
    const char *p = (const char *)data + 1;
    for (size_t n = size - 1; n && rc == 0;) {
        size_t k = n < piece ? n : piece;
        rc = pb_h2_feed(h2, p, k, &err);
        p += k;
        n -= k;
        out.n = 0;
        for (int i = 0; i < 16 && pb_h2_pull(h2, &out, 4096, &err) > 0; i++) out.n = 0;
        if (pb_h2_done(h2)) break;
    }
    pb_h2_free(h2);
    PB_REQUIRE(g_open == 0);
    pb_buf_free(&out);
    return 0;
}
