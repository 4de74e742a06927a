/* SPDX-License-Identifier: MIT */
/*
 * What a server may send to a WebSocket client: first byte how it is cut, the rest the bytes. However they
 * are cut the same messages come; text is UTF-8; nothing is longer than allowed; after the end nothing comes.
 */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "net/ws_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LONGEST = 5000 };

struct seen {
    bool open, closed;
    uint32_t code;
    struct pb_buf all;
    unsigned hold; /* every so many messages the reader says stop */
    unsigned n;
};

static void on_open(void *user, pbay_str protocol)
{
    struct seen *s = user;
    PB_REQUIRE(!s->open && protocol.n <= 3);
    s->open = true;
}

static bool on_message(void *user, uint32_t type, pbay_str message)
{
    struct seen *s = user;
    PB_REQUIRE(s->open && !s->closed && message.n <= LONGEST && (type == PB_WS_TEXT || type == PB_WS_BINARY));
    if (type == PB_WS_TEXT) PB_REQUIRE(pb_utf8_valid(message));
    pb_buf_printf(&s->all, "%u %zu ", type, message.n);
    pb_buf_str(&s->all, message);
    return !s->hold || ++s->n % s->hold;
}

static void on_close(void *user, uint32_t code, pbay_str reason)
{
    struct seen *s = user;
    PB_REQUIRE(s->open && !s->closed && pb_utf8_valid(reason));
    s->closed = true;
    s->code = code;
}

static const struct pb_ws_wire_ops ops = {on_open, on_message, on_close};

static int run(const char *p, size_t n, size_t piece, struct seen *s)
{
    const struct pb_ws_wire_options o = {
        .max_frame = 200, .max_message = LONGEST, .protocols = pb_str("a,b", 3)};
    struct pb_buf out = {0}, held = {0};
    struct pb_err err;
    struct pb_ws_wire *w = pb_ws_wire_new(&o, &ops, s, &out);
    pb_ws_wire_set_key(w, "dGhlIHNhbXBsZSBub25jZQ==");
    PB_REQUIRE(pb_ws_wire_request(w, PB_STR("h"), PB_STR("/"), NULL, 0, &err) == 0);
    int rc = 0;
    while (rc == 0 && (n || held.n) && !s->closed) {
        size_t k = n < piece ? n : piece, took = 0;
        pb_buf_add(&held, p, k);
        p += k;
        n -= k;
        char *copy = pb_strndup(held.p, held.n); /* so that reading too far is noticed */
        rc = pb_ws_wire_feed(w, copy, held.n, &took, &err);
        pb_free(copy);
        PB_REQUIRE(took <= held.n);
        pb_buf_drop(&held, took);
        if (rc == 0 && s->open && !s->closed) pb_ws_wire_send(w, PB_WS_TEXT, PB_STR("hello"));
    }
    /* What wslay had read ahead. */
    for (unsigned i = 0; rc == 0 && s->open && !s->closed && i < LONGEST; i++) {
        size_t took, had = s->n;
        rc = pb_ws_wire_feed(w, NULL, 0, &took, &err);
        if (had == s->n) break;
    }
    if (rc == 0 && s->open) pb_ws_wire_close(w, 1000, PB_STR("bye"));
    pb_ws_wire_free(w);
    pb_buf_free(&out);
    pb_buf_free(&held);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    const char *p = (const char *)data + 1;
    struct seen whole = {0}, cut = {.hold = data[0] % 3};
    int a = run(p, size - 1, SIZE_MAX, &whole), b = run(p, size - 1, (size_t)data[0] % 64 + 1, &cut);
    PB_REQUIRE(whole.open == cut.open && whole.closed == cut.closed && whole.code == cut.code);
    /* A fault is told when it is seen: what comes before it in the same bytes is told first, either way. */
    PB_REQUIRE(a == b && pb_str_eq(pb_buf_view(&whole.all), pb_buf_view(&cut.all)));
    pb_buf_free(&whole.all);
    pb_buf_free(&cut.all);
    return 0;
}
