/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1 requests. However the bytes are cut, the events are the same; and a first request that is accepted
 * is one to http-parser too, with the same body. (It is lenient, so it accepts more; it knows a fixed list of
 * methods, so it accepts less there.)
 */
#include <stdint.h>
#include <string.h>

#include <http_parser.h>

#include "base/check.h"
#include "base/str.h"
#include "net/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first request: its body; true when it is complete. */
static bool first(const char *p, size_t n, size_t piece, struct pb_buf *body, int *status)
{
    struct pb_h1 h = {0};
    bool complete = false, head = false;
    *status = 0;
    while (n && !complete && !*status) {
        size_t k = n < piece ? n : piece;
        char *copy = pb_strndup(p, k);
        const char *at = copy;
        size_t left = k;
        for (;;) {
            pbay_str b;
            enum pb_h1_event e = pb_h1_next(&h, &at, &left, &b);
            if (e == PB_H1_MORE) break;
            if (e == PB_H1_BODY) {
                PB_REQUIRE(head);
                pb_buf_str(body, b);
                continue;
            }
            if (e == PB_H1_HEAD) {
                PB_REQUIRE(!head && pb_h1_fields(&h) <= PB_H1_MAX_FIELDS && pb_h1_token(pb_h1_method(&h)));
                head = true;
                for (size_t i = 0; i < pb_h1_fields(&h); i++)
                    PB_REQUIRE(pb_h1_token(pb_h1_field_name(&h, i)) &&
                               pb_h1_value_ok(pb_h1_field_value(&h, i)));
                continue;
            }
            complete = e == PB_H1_END;
            if (e == PB_H1_BAD) *status = h.status;
            break;
        }
        pb_free(copy);
        p += k;
        n -= k;
    }
    PB_REQUIRE(h.text.n <= PB_H1_MAX_HEAD + PB_H1_MAX_LINE);
    pb_h1_free(&h);
    return complete;
}

struct oracle {
    struct pb_buf body;
    bool complete;
};

static int on_body(http_parser *parser, const char *p, size_t n)
{
    pb_buf_add(&((struct oracle *)parser->data)->body, p, n);
    return 0;
}

static int on_complete(http_parser *parser)
{
    ((struct oracle *)parser->data)->complete = true;
    http_parser_pause(parser, 1);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    struct pb_buf a = {0}, b = {0};
    int status_a, status_b;
    const char *p = (const char *)data + 1;
    size_t n = size - 1;
    bool whole = first(p, n, SIZE_MAX, &a, &status_a);
    bool cut = first(p, n, (size_t)data[0] % 64 + 1, &b, &status_b);
    PB_REQUIRE(whole == cut && (status_a != 0) == (status_b != 0));
    if (!status_a) PB_REQUIRE(pb_str_eq(pb_buf_view(&a), pb_buf_view(&b)));
    if (whole) {
        struct oracle o = {{0}, false};
        http_parser parser;
        http_parser_settings settings;
        http_parser_settings_init(&settings);
        settings.on_body = on_body;
        settings.on_message_complete = on_complete;
        http_parser_init(&parser, HTTP_REQUEST);
        parser.data = &o;
        http_parser_execute(&parser, &settings, p, n);
        enum http_errno e = HTTP_PARSER_ERRNO(&parser);
        /* It takes a longer name that begins with Transfer-Encoding for that field. */
        bool knows = e != HPE_INVALID_METHOD && e != HPE_INVALID_URL && e != HPE_INVALID_VERSION &&
                     e != HPE_INVALID_HOST && e != HPE_INVALID_CONSTANT && e != HPE_INVALID_TRANSFER_ENCODING;
        if (knows) PB_REQUIRE(o.complete && pb_str_eq(pb_buf_view(&a), pb_buf_view(&o.body)));
        pb_buf_free(&o.body);
    }
    pb_buf_free(&a);
    pb_buf_free(&b);
    return 0;
}
