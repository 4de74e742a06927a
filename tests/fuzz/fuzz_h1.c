/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1 requests, one after another. However the bytes are cut, the events are the same; and requests that
 * are accepted are as many to http-parser, with the same bodies: that is what smuggling would need to be
 * otherwise. (It is lenient, so it accepts more; it knows a fixed list of methods, so it accepts less there.)
 */
#include <stdint.h>
#include <string.h>

#include <http_parser.h>

#include "base/check.h"
#include "base/str.h"
#include "net/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 64 };

/* Requests sent ahead, one after another, until one says that it is the last: their bodies, a bar behind
 * each. Returns how many are complete. */
static unsigned all(const char *p, size_t n, size_t piece, struct pb_buf *bodies, int *status, bool *upgrade)
{
    struct pb_h1 h = {0};
    unsigned complete = 0;
    bool head = false, last = false;
    *status = 0;
    *upgrade = false;
    while (n && !last && !*status && complete < MOST) {
        size_t k = n < piece ? n : piece;
        char *copy = pb_strndup(p, k);
        const char *at = copy;
        size_t left = k;
        while (!last && !*status && complete < MOST) {
            pbay_str b;
            enum pb_h1_event e = pb_h1_next(&h, &at, &left, &b);
            if (e == PB_H1_MORE) break;
            if (e == PB_H1_BODY) {
                PB_REQUIRE(head);
                pb_buf_str(bodies, b);
            } else if (e == PB_H1_HEAD) {
                PB_REQUIRE(!head && pb_h1_fields(&h) <= PB_H1_MAX_FIELDS && pb_h1_token(pb_h1_method(&h)));
                head = true;
                for (size_t i = 0; i < pb_h1_fields(&h); i++) {
                    PB_REQUIRE(pb_h1_token(pb_h1_field_name(&h, i)) &&
                               pb_h1_value_ok(pb_h1_field_value(&h, i)));
                    *upgrade = *upgrade || pb_str_is(pb_h1_field_name(&h, i), "upgrade");
                }
                *upgrade = *upgrade || pb_str_is(pb_h1_method(&h), "CONNECT");
            } else if (e == PB_H1_END) {
                pb_buf_ch(bodies, '|');
                complete++;
                head = false;
                last = !h.keep_alive || *upgrade;
                pb_h1_reset(&h);
            } else {
                *status = h.status;
            }
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
    struct pb_buf bodies;
    unsigned complete, wanted;
};

static int on_body(http_parser *parser, const char *p, size_t n)
{
    pb_buf_add(&((struct oracle *)parser->data)->bodies, p, n);
    return 0;
}

static int on_complete(http_parser *parser)
{
    struct oracle *o = parser->data;
    pb_buf_ch(&o->bodies, '|');
    if (++o->complete == o->wanted) http_parser_pause(parser, 1);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    struct pb_buf a = {0}, b = {0};
    int status_a, status_b;
    bool upgrade;
    const char *p = (const char *)data + 1;
    size_t n = size - 1;
    unsigned whole = all(p, n, SIZE_MAX, &a, &status_a, &upgrade);
    unsigned cut = all(p, n, (size_t)data[0] % 64 + 1, &b, &status_b, &upgrade);
    PB_REQUIRE(whole == cut && (status_a != 0) == (status_b != 0));
    if (!status_a) PB_REQUIRE(pb_str_eq(pb_buf_view(&a), pb_buf_view(&b)));
    if (whole) {
        struct oracle o = {.wanted = whole};
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
                     e != HPE_INVALID_HOST && e != HPE_INVALID_CONSTANT &&
                     e != HPE_INVALID_TRANSFER_ENCODING && !parser.upgrade;
        if (knows) PB_REQUIRE(o.complete == whole && pb_str_starts(pb_buf_view(&a), pb_buf_view(&o.bodies)));
        pb_buf_free(&o.bodies);
    }
    pb_buf_free(&a);
    pb_buf_free(&b);
    return 0;
}
