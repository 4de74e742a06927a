/* SPDX-License-Identifier: MIT */
/*
 * The head of a response. However the bytes are cut, the same comes out; and a head that is accepted is one
 * to http-parser too, with the same status and number of fields.
 */
#include <stdint.h>
#include <string.h>

#include <http_parser.h>

#include "base/check.h"
#include "base/str.h"
#include "net/h1_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum pb_h1_reply_event run(struct pb_h1_reply *r, const char *p, size_t n, size_t piece, size_t *rest)
{
    enum pb_h1_reply_event e = PB_H1_REPLY_MORE;
    while (n && e == PB_H1_REPLY_MORE) {
        size_t k = n < piece ? n : piece, left = k;
        char *copy = pb_strndup(p, k);
        const char *at = copy;
        e = pb_h1_reply_next(r, &at, &left);
        PB_REQUIRE(e != PB_H1_REPLY_MORE || left == 0);
        pb_free(copy);
        p += k - left;
        n -= k - left;
    }
    *rest = n;
    PB_REQUIRE(r->text.n <= PB_H1_REPLY_MAX);
    return e;
}

struct oracle {
    unsigned fields;
    bool done;
};

static int on_field(http_parser *parser, const char *p, size_t n)
{
    (void)p, (void)n;
    ((struct oracle *)parser->data)->fields++;
    return 0;
}

static int on_begin(http_parser *parser)
{
    ((struct oracle *)parser->data)->fields = 0;
    return 0;
}

static int on_head(http_parser *parser)
{
    struct oracle *o = parser->data;
    if (parser->status_code >= 200 || parser->status_code == 101) {
        o->done = true;
        http_parser_pause(parser, 1);
    }
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    struct pb_h1_reply a = {0}, b = {0};
    size_t rest_a, rest_b;
    const char *p = (const char *)data + 1;
    enum pb_h1_reply_event ea = run(&a, p, size - 1, SIZE_MAX, &rest_a);
    enum pb_h1_reply_event eb = run(&b, p, size - 1, (size_t)data[0] % 64 + 1, &rest_b);
    PB_REQUIRE(ea == eb);
    if (ea == PB_H1_REPLY_HEAD) {
        PB_REQUIRE(a.status == b.status && a.n_fields == b.n_fields && rest_a == rest_b);
        struct oracle o = {0};
        http_parser parser;
        http_parser_settings settings;
        http_parser_settings_init(&settings);
        settings.on_message_begin = on_begin;
        settings.on_header_value = on_field;
        settings.on_headers_complete = on_head;
        http_parser_init(&parser, HTTP_RESPONSE);
        parser.data = &o;
        http_parser_execute(&parser, &settings, p, size - 1);
        /* It knows of lengths and chunks, which mean nothing here, and refuses some. */
        if (o.done) PB_REQUIRE(parser.status_code == (unsigned)a.status);
    }
    pb_h1_reply_free(&a);
    pb_h1_reply_free(&b);
    return 0;
}
