/* SPDX-License-Identifier: MIT */
/* Streams: header fields, windows, output and how it ends. */
#include "net/h2_priv.h"

#include <string.h>

#include "base/check.h"

enum { FIELDS_MAX = 128 /* on the stack; more go to the heap */, TEXT_KEEP = 16 * 1024, FIELDS_KEEP = 64 };

void pb__h2_put_field(struct pb_buf *text, struct pb_h2_field **fields, uint32_t *n, uint32_t *cap,
                      pbay_str name, pbay_str value)
{
    PB_GROW(*fields, *cap, *n + 1);
    (*fields)[(*n)++] = (struct pb_h2_field){(uint32_t)text->n, (uint32_t)name.n,
                                             (uint32_t)(text->n + name.n), (uint32_t)value.n};
    pb_buf_str(text, name);
    pb_buf_str(text, value);
}

pbay_str pb_h2_header(const struct pb_h2_stream *s, pbay_str name)
{
    for (uint32_t i = 0; i < s->n_fields; i++)
        if (s->fields[i].name_n == name.n && memcmp(s->text.p + s->fields[i].name, name.p, name.n) == 0)
            return pb_h2_field_value(s, i);
    return pb_str(NULL, 0);
}

void pb_h2_consumed(struct pb_h2_stream *s, size_t n)
{
    if (!n || !s->h2) return;
    PB_REQUIRE(n <= s->owed);
    s->owed -= (uint32_t)n;
    /* Nothing more can come on a stream that has ended: its window needs no update. */
    if (s->remote_end || s->reset)
        nghttp2_session_consume_connection(s->h2->session, n);
    else
        nghttp2_session_consume(s->h2->session, s->id, n);
}

void pb_h2_discard(struct pb_h2_stream *s, size_t n)
{
    if (!n || !s->h2) return;
    PB_REQUIRE(n <= s->owed);
    s->owed -= (uint32_t)n;
    nghttp2_session_consume_connection(s->h2->session, n);
}

void pb_h2_expect(struct pb_h2_stream *s, size_t n)
{
    if (!s->h2 || s->remote_end || s->reset) return;
    /* nghttp2 announces a window again when half of it has been given back, so that up to half may be
     * unannounced. */
    size_t need = n + 1 > INT32_MAX / 2 ? INT32_MAX : 2 * (n + 1);
    nghttp2_session *session = s->h2->session;
    if ((size_t)nghttp2_session_get_stream_effective_local_window_size(session, s->id) < need)
        nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, s->id, (int32_t)need);
    if ((size_t)nghttp2_session_get_effective_local_window_size(session) < need)
        nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, (int32_t)need);
}

/* ------------------------------------------------------------------------------------------------ output */

static void drop_output(struct pb_h2_stream *s)
{
    while (s->first) {
        struct pb_h2_chunk *c = s->first;
        s->first = c->next;
        pb__h2_give_buf(s->h2, &c->buf);
        c->next = s->h2->chunks;
        s->h2->chunks = c;
    }
    s->last = &s->first;
    s->unsent = 0;
}

void pb__h2_take_output(struct pb_h2_stream *s, struct pb_buf *out, size_t n)
{
    PB_REQUIRE(n <= s->unsent);
    s->unsent -= n;
    while (n) {
        struct pb_h2_chunk *c = s->first;
        size_t head = (size_t)(c->head_n - c->head_at);
        if (head > n) head = n;
        pb_buf_add(out, c->head + c->head_at, head);
        c->head_at = (uint8_t)(c->head_at + head);
        n -= head;
        size_t body = c->buf.n - c->at;
        if (body > n) body = n;
        pb_buf_add(out, c->buf.p + c->at, body);
        c->at += body;
        n -= body;
        if (c->at < c->buf.n || c->head_at < c->head_n) break;
        s->first = c->next;
        if (!s->first) s->last = &s->first;
        pb__h2_give_buf(s->h2, &c->buf);
        c->next = s->h2->chunks;
        s->h2->chunks = c;
    }
}

static size_t to_nv(nghttp2_nv *nv, const struct pb_buf *text, const struct pb_h2_field *f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        nv[i] = (nghttp2_nv){(uint8_t *)text->p + f[i].name, (uint8_t *)text->p + f[i].value, f[i].name_n,
                             f[i].value_n, NGHTTP2_NV_FLAG_NONE};
    return n;
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    struct pb_h2_stream *s = source->ptr;
    (void)buf;
    (void)user;
    size_t n = s->unsent < length ? s->unsent : length;
    if (n == s->unsent && s->finished) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->has_trailers) {
            nghttp2_nv stack[16], *nv = stack;
            if (s->n_trailers > PB_COUNTOF(stack)) nv = pb_array(s->n_trailers, sizeof *nv);
            to_nv(nv, &s->trailer_text, s->trailers, s->n_trailers);
            if (nghttp2_submit_trailer(session, id, nv, s->n_trailers) == 0)
                *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (nv != stack) pb_free(nv);
        }
    } else if (n == 0) {
        s->waiting = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return (ssize_t)n;
}

void pb_h2_respond(struct pb_h2_stream *s, const pbay_header *fields, size_t n, bool no_body)
{
    if (s->responded || s->reset || !s->h2) return;
    s->responded = true;
    if (no_body) s->finished = true;
    nghttp2_nv stack[16] = {0}, *nv = stack;
    if (n > PB_COUNTOF(stack)) nv = pb_array(n, sizeof *nv);
    for (size_t i = 0; i < n; i++)
        nv[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)fields[i].name.p, (uint8_t *)(uintptr_t)fields[i].value.p,
                             fields[i].name.n, fields[i].value.n, NGHTTP2_NV_FLAG_NONE};
    nghttp2_data_provider provider = {.source = {.ptr = s}, .read_callback = on_read};
    nghttp2_submit_response(s->h2->session, s->id, nv, n, no_body ? NULL : &provider);
    if (nv != stack) pb_free(nv);
}

void pb_h2_continue(struct pb_h2_stream *s)
{
    const nghttp2_nv status = {(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "100", 7, 3,
                               NGHTTP2_NV_FLAG_NONE};
    if (s->responded || s->reset || !s->h2) return;
    nghttp2_submit_headers(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NULL, &status, 1, NULL);
}

static void resume(struct pb_h2_stream *s)
{
    if (!s->waiting) return;
    s->waiting = false;
    nghttp2_session_resume_data(s->h2->session, s->id);
}

void pb_h2_write(struct pb_h2_stream *s, const uint8_t *head, size_t head_n, struct pb_buf *body)
{
    if (!s->h2 || s->finished || s->reset) {
        pb_buf_free(body);
        return;
    }
    PB_REQUIRE(s->responded && head_n <= sizeof((struct pb_h2_chunk *)NULL)->head);
    struct pb_h2 *h2 = s->h2;
    struct pb_h2_chunk *c = h2->chunks;
    if (c)
        h2->chunks = c->next;
    else
        c = pb_alloc(sizeof *c);
    c->next = NULL;
    c->buf = *body;
    *body = (struct pb_buf){0};
    c->at = 0;
    c->head_at = 0;
    c->head_n = (uint8_t)head_n;
    if (head_n) memcpy(c->head, head, head_n);
    if (head_n + c->buf.n == 0) { /* nothing to send */
        pb__h2_give_buf(h2, &c->buf);
        c->next = h2->chunks;
        h2->chunks = c;
        return;
    }
    *s->last = c;
    s->last = &c->next;
    s->unsent += head_n + c->buf.n;
    resume(s);
}

void pb_h2_finish(struct pb_h2_stream *s, const pbay_header *trailers, size_t n)
{
    if (!s->h2 || s->finished || s->reset) return;
    s->finished = true;
    s->has_trailers = n != 0;
    for (size_t i = 0; i < n; i++)
        pb__h2_put_field(&s->trailer_text, &s->trailers, &s->n_trailers, &s->trailers_cap, trailers[i].name,
                         trailers[i].value);
    resume(s);
}

void pb_h2_reset(struct pb_h2_stream *s, uint32_t h2_code)
{
    if (!s->h2 || s->reset) return;
    s->reset = true;
    nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, h2_code);
}

void pb__h2_forget(struct pb_h2_stream *s)
{
    struct pb_h2 *h2 = s->h2;
    drop_output(s);
    nghttp2_session_set_stream_user_data(h2->session, s->id, NULL);
    if (s->next) s->next->prev = s->prev;
    if (s->prev)
        s->prev->next = s->next;
    else
        h2->streams = s->next;
    s->next = s->prev = NULL;
    h2->n_streams--;
    s->h2 = NULL;
}

void pb_h2_stream_reset(struct pb_h2_stream *s)
{
    struct pb_h2_stream fresh = {0};
    pb_buf_reset(&s->text, TEXT_KEEP);
    pb_buf_reset(&s->trailer_text, TEXT_KEEP);
    fresh.text = s->text;
    fresh.trailer_text = s->trailer_text;
    if (s->fields_cap <= FIELDS_KEEP) {
        fresh.fields = s->fields;
        fresh.fields_cap = s->fields_cap;
    } else {
        pb_free(s->fields);
    }
    if (s->trailers_cap <= FIELDS_KEEP) {
        fresh.trailers = s->trailers;
        fresh.trailers_cap = s->trailers_cap;
    } else {
        pb_free(s->trailers);
    }
    *s = fresh;
}

void pb_h2_stream_free(struct pb_h2_stream *s)
{
    pb_buf_free(&s->text);
    pb_buf_free(&s->trailer_text);
    pb_free(s->fields);
    pb_free(s->trailers);
    s->fields = s->trailers = NULL;
}
