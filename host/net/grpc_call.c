/* SPDX-License-Identifier: MIT */
/* A call: from its headers to its trailers. */
#include "net/grpc_server_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/zip.h"

enum { FREE_CALLS = 1024, UNARY_KEEP = 16 * 1024 };

/* nghttp2's numbers of RFC 9113, section 7 */
enum { H2_NO_ERROR = 0, H2_CANCEL = 8 };

static void on_deadline(void *user);

static struct pb_grpc_call *call_of(struct pb_h2_stream *s)
{
    return PB_CONTAINER(s, struct pb_grpc_call, s);
}

static void want_write(struct pb_grpc_call *call)
{
    if (call->conn) pb_conn_want_write(call->conn->conn);
}

/* ------------------------------------------------------------------------------------------------ life */

static struct pb_h2_stream *on_open(void *user)
{
    struct pb_grpc_conn *gc = user;
    struct pb_grpc_server *server = gc->server;
    struct pb_grpc_call *call = server->free_calls;
    if (call) {
        server->free_calls = call->next_free;
        server->n_free--;
    } else {
        call = pb_zalloc(sizeof *call);
        call->magic = PB_GRPC_CALL_MAGIC;
    }
    call->state = PB_GRPC_OPENING;
    call->wants_writable = call->compress = call->sent_any = call->accepts_gzip = call->got_unary = false;
    call->conn = gc;
    call->server = server;
    call->method = NULL;
    call->ops = NULL;
    call->user = NULL;
    call->started = pb_loop_now(server->loop);
    call->deadline_ns = PB_NO_DEADLINE;
    call->deadline = (struct pb_deadline){.fn = on_deadline, .user = call};
    call->n_reply = 0;
    call->reply_text.n = 0;
    call->unary.n = 0;
    call->next_free = NULL;
    return &call->s;
}

void pb__grpc_call_free(struct pb_grpc_call *call)
{
    call->magic = 0;
    pb_h2_stream_free(&call->s);
    pb_grpc_reader_free(&call->reader);
    pb_buf_free(&call->unary);
    pb_buf_free(&call->reply_text);
    pb_free(call->reply);
    pb_free(call);
}

static void recycle(struct pb_grpc_call *call)
{
    struct pb_grpc_server *server = call->server;
    pb_deadline_cancel(&call->deadline);
    call->conn = NULL;
    if (server->n_free >= FREE_CALLS) {
        pb__grpc_call_free(call);
        return;
    }
    pb_h2_stream_reset(&call->s);
    pb_grpc_reader_reset(&call->reader);
    pb_buf_reset(&call->unary, UNARY_KEEP);
    pb_buf_reset(&call->reply_text, UNARY_KEEP);
    call->next_free = server->free_calls;
    server->free_calls = call;
    server->n_free++;
}

void pb__grpc_call_closed(struct pb_grpc_call *call, enum pb_grpc_closed reason)
{
    if (call->state == PB_GRPC_DEAD) return;
    bool opened = call->ops != NULL;
    call->state = PB_GRPC_DEAD;
    pb_deadline_cancel(&call->deadline);
    if (!opened) return;
    call->server->stats.calls_open--;
    if (call->ops->closed) call->ops->closed(call, reason);
}

static void on_close(struct pb_h2_stream *s, uint32_t h2_code)
{
    struct pb_grpc_call *call = call_of(s);
    struct pb_grpc_conn *gc = call->conn;
    enum pb_grpc_closed reason = h2_code == H2_NO_ERROR && call->state == PB_GRPC_FINISHED ? PB_GRPC_DONE
                                 : gc->failed                                              ? PB_GRPC_LOST
                                              : PB_GRPC_CANCELLED;
    pb__grpc_call_closed(call, reason);
    recycle(call);
    if (pb_h2_streams(gc->h2) == 0) pb_loop_defer(gc->server->loop, &gc->check);
}

static void on_deadline(void *user)
{
    struct pb_grpc_call *call = user;
    if (call->state != PB_GRPC_OPEN && call->state != PB_GRPC_FINISHED) return;
    if (call->state == PB_GRPC_OPEN) {
        const pbay_header *h = call->ops->refusal;
        pb_grpc_finish(call, PBAY_DEADLINE_EXCEEDED, PB_STR("the deadline of the call has passed"), h,
                       h != NULL);
    } else {
        pb_h2_reset(&call->s, H2_CANCEL); /* finished, but the client does not take its output */
        want_write(call);
    }
    pb__grpc_call_closed(call, PB_GRPC_EXPIRED);
}

/* ------------------------------------------------------------------------------------------------ the
 * request */

/* The server itself ends a call that its method may know. */
enum { REFUSALS_SAID = 20 }; /* in a second */

static void refuse(struct pb_grpc_call *call, const struct pb_err *err)
{
    const pbay_header *h = call->ops ? call->ops->refusal : NULL;
    static _Thread_local struct pb_warnings warnings;
    int64_t unsaid;
    if (pb_conn_may_warn(&warnings, REFUSALS_SAID, &unsaid))
        pb_log(PB_LOG_WARN, "net", "call refused", PB_S("listener", call->server->name),
               PB_V("peer", pb_grpc_peer(call)), PB_S("error", err->msg), PB_I("unsaid_before", unsaid));
    pb_grpc_finish(call, err->code, pb_str_c(err->msg), h, h != NULL);
    pb__grpc_call_closed(call, PB_GRPC_REFUSED);
    pb_h2_consumed(&call->s, call->s.owed);
}

static void refuse_http(struct pb_grpc_call *call, const char *status, const char *text)
{
    const pbay_header h[] = {{PB_STR(":status"), pb_str_c(status)},
                             {PB_STR("content-type"), PB_STR("text/plain")}};
    pb_h2_respond(&call->s, h, PB_COUNTOF(h), false);
    struct pb_buf b = {0};
    pb_buf_c(&b, text);
    pb_h2_write(&call->s, NULL, 0, &b);
    pb_h2_finish(&call->s, NULL, 0);
    call->state = PB_GRPC_DEAD;
    want_write(call);
}

static void unknown_method(struct pb_grpc_call *call, pbay_str path)
{
    struct pb_err err;
    pb_fail(&err, PBAY_UNIMPLEMENTED, "unknown method %.*s", PB_FMT(path));
    call->state = PB_GRPC_OPEN;
    refuse(call, &err);
}

static void on_headers(struct pb_h2_stream *s)
{
    struct pb_grpc_call *call = call_of(s);
    struct pb_grpc_server *server = call->server;
    struct pb_err err;
    pbay_str path = pb_str(NULL, 0), type = path, timeout = path, coding = path, accept = path;
    bool post = false;
    for (uint32_t i = 0; i < s->n_fields; i++) {
        pbay_str name = pb_h2_field_name(s, i);
        switch (name.n) {
        case 5:
            if (!memcmp(name.p, ":path", 5)) path = pb_h2_field_value(s, i);
            break;
        case 7:
            if (!memcmp(name.p, ":method", 7)) post = pb_str_is(pb_h2_field_value(s, i), "POST");
            break;
        case 12:
            if (!memcmp(name.p, "content-type", 12))
                type = pb_h2_field_value(s, i);
            else if (!memcmp(name.p, "grpc-timeout", 12))
                timeout = pb_h2_field_value(s, i);
            break;
        case 13:
            if (!memcmp(name.p, "grpc-encoding", 13)) coding = pb_h2_field_value(s, i);
            break;
        case 20:
            if (!memcmp(name.p, "grpc-accept-encoding", 20)) accept = pb_h2_field_value(s, i);
            break;
        default: break;
        }
    }
    if (!s->headers_large) {
        if (!post) {
            refuse_http(call, "405", "gRPC calls are POST requests\n");
            return;
        }
        if (!pb_grpc_content_type_ok(type)) {
            refuse_http(call, "415", "this port serves gRPC: content-type must be application/grpc\n");
            return;
        }
    }
    call->reader.limit = server->o.max_message;
    call->reader.coding = pb_grpc_coding_of(coding);
    call->accepts_gzip = accept.n && pb_grpc_accepts_gzip(accept);
    call->state = PB_GRPC_OPEN;
    if (s->headers_large) {
        pb_fail(&err, PBAY_RESOURCE_EXHAUSTED, "request metadata of more than %u bytes",
                server->o.max_header);
        refuse(call, &err);
        return;
    }
    if (call->reader.coding == PB_GRPC_UNKNOWN_CODING) {
        pb_grpc_reply_header(call, PB_STR("grpc-accept-encoding"), PB_STR("identity,deflate,gzip"));
        pb_fail(&err, PBAY_UNIMPLEMENTED,
                "grpc-encoding %.*s is not known here; use gzip, deflate or identity", PB_FMT(coding));
        refuse(call, &err);
        return;
    }
    int64_t ns;
    if (timeout.p) {
        if (!pb_grpc_timeout_parse(timeout, &ns)) {
            pb_fail(&err, PBAY_INVALID_ARGUMENT, "grpc-timeout \"%.*s\" is not digits and one of H M S m u n",
                    PB_FMT(timeout));
            refuse(call, &err);
            return;
        }
        if (__builtin_add_overflow(call->started, ns, &call->deadline_ns)) call->deadline_ns = PB_NO_DEADLINE;
        pb_deadline_set(server->loop, &call->deadline, call->deadline_ns);
    }
    const struct pb_grpc_method *m = pb__grpc_find(server, path);
    if (!m) {
        unknown_method(call, path);
        return;
    }
    call->method = m;
    call->ops = m->ops;
    server->stats.calls_opened++;
    server->stats.calls_open++;
    if (m->ops->opened) m->ops->opened(call, m->user);
}

static void give_message(struct pb_grpc_call *call, const struct pb_grpc_message *m)
{
    struct pb_grpc_server *server = call->server;
    server->stats.messages_in++;
    server->stats.bytes_in += m->bytes.n;
    if (!call->ops->unary) {
        call->ops->message(call, m->bytes, m->wire);
        return;
    }
    pb_h2_consumed(&call->s, m->wire);
    if (call->got_unary) {
        struct pb_err err;
        pb_fail(&err, PBAY_INTERNAL, "a second request message for %s, which takes one", call->method->path);
        refuse(call, &err);
        return;
    }
    call->got_unary = true;
    pb_buf_reset(&call->unary, UNARY_KEEP);
    pb_buf_str(&call->unary, m->bytes);
}

static void on_data(struct pb_h2_stream *s, const char *p, size_t n)
{
    struct pb_grpc_call *call = call_of(s);
    struct pb_err err;
    while (call->state == PB_GRPC_OPEN) {
        struct pb_grpc_message m;
        int rc = pb_grpc_reader_next(&call->reader, &p, &n, &m, &err);
        if (rc < 0) {
            refuse(call, &err);
            return;
        }
        if (rc == 0) {
            /* A message that the windows do not hold twice would wait for itself. */
            size_t expects = pb_grpc_reader_expects(&call->reader);
            if (expects > call->server->o.stream_window / 2) {
                pb_h2_expect(s, expects);
                want_write(call);
            }
            return;
        }
        give_message(call, &m);
    }
    /* Nobody will give back what comes after the end. */
    pb_h2_consumed(s, s->owed);
    want_write(call);
}

static void on_end(struct pb_h2_stream *s)
{
    struct pb_grpc_call *call = call_of(s);
    struct pb_err err;
    if (call->state != PB_GRPC_OPEN) return;
    if (pb_grpc_reader_partial(&call->reader)) {
        pb_fail(&err, PBAY_INTERNAL, "the request ended in the middle of a message");
        refuse(call, &err);
    } else if (!call->ops->unary) {
        if (call->ops->half_close) call->ops->half_close(call);
    } else if (!call->got_unary) {
        pb_fail(&err, PBAY_INTERNAL, "no request message for %s, which takes one", call->method->path);
        refuse(call, &err);
    } else {
        call->ops->unary(call, pb_buf_view(&call->unary));
    }
}

static void on_sent(struct pb_h2_stream *s, size_t n)
{
    struct pb_grpc_call *call = call_of(s);
    (void)n;
    if (!call->wants_writable || s->unsent > call->server->o.low) return;
    call->wants_writable = false;
    if (call->state == PB_GRPC_OPEN && call->ops->writable) call->ops->writable(call);
}

const struct pb_h2_ops pb__grpc_h2_ops = {
    .open = on_open,
    .headers = on_headers,
    .data = on_data,
    .end = on_end,
    .sent = on_sent,
    .close = on_close,
};

/* ------------------------------------------------------------------------------------------------ the reply
 */

void pb_grpc_consumed(struct pb_grpc_call *call, size_t n)
{
    PB_MAGIC_CHECK(call, PB_GRPC_CALL_MAGIC);
    if (call->state >= PB_GRPC_FINISHED) return; /* all was given back */
    pb_h2_consumed(&call->s, n);
    want_write(call);
}

/* Name and value as they go on the wire, gathered in text. */
static bool put_field(struct pb_buf *text, struct pb_h2_field *f, pbay_str name, pbay_str value)
{
    bool bin = pb_str_ends(name, PB_STR("-bin"));
    if (!bin && !pb_grpc_value_ok(value)) return false;
    f->name = (uint32_t)text->n;
    f->name_n = (uint32_t)name.n;
    pb_buf_str(text, name);
    f->value = (uint32_t)text->n;
    if (bin)
        pb_grpc_base64_encode(value, text);
    else
        pb_buf_str(text, value);
    f->value_n = (uint32_t)(text->n - f->value);
    return true;
}

static pbay_header to_header(const struct pb_buf *text, const struct pb_h2_field *f)
{
    return (pbay_header){pb_str(text->p + f->name, f->name_n), pb_str(text->p + f->value, f->value_n)};
}

bool pb_grpc_reply_header(struct pb_grpc_call *call, pbay_str name, pbay_str value)
{
    PB_MAGIC_CHECK(call, PB_GRPC_CALL_MAGIC);
    if (call->s.responded || call->state != PB_GRPC_OPEN) return false;
    PB_GROW(call->reply, call->reply_cap, call->n_reply + 1);
    if (!put_field(&call->reply_text, &call->reply[call->n_reply], name, value)) return false;
    call->n_reply++;
    return true;
}

void pb_grpc_reply_compress(struct pb_grpc_call *call)
{
    PB_MAGIC_CHECK(call, PB_GRPC_CALL_MAGIC);
    if (!call->s.responded && call->accepts_gzip) call->compress = true;
}

/* Response headers: status, type, what the method added, and `more` (the status of a trailers-only response).
 */
static void respond(struct pb_grpc_call *call, const pbay_header *more, size_t n_more, bool trailers_only)
{
    pbay_header stack[16], *h = stack;
    size_t n = 0, most = 3 + call->n_reply + n_more;
    if (most > PB_COUNTOF(stack)) h = pb_array(most, sizeof *h);
    h[n++] = (pbay_header){PB_STR(":status"), PB_STR("200")};
    h[n++] = (pbay_header){PB_STR("content-type"), PB_STR("application/grpc")};
    if (call->compress && !trailers_only) h[n++] = (pbay_header){PB_STR("grpc-encoding"), PB_STR("gzip")};
    for (uint32_t i = 0; i < call->n_reply; i++) h[n++] = to_header(&call->reply_text, &call->reply[i]);
    for (size_t i = 0; i < n_more; i++) h[n++] = more[i];
    pb_h2_respond(&call->s, h, n, trailers_only);
    if (h != stack) pb_free(h);
}

struct pb_buf pb_grpc_buf(struct pb_grpc_call *call)
{
    struct pb_buf none = {0};
    return call->conn && call->state != PB_GRPC_DEAD ? pb_h2_buf(call->conn->h2) : none;
}

bool pb_grpc_send(struct pb_grpc_call *call, struct pb_buf *message)
{
    PB_MAGIC_CHECK(call, PB_GRPC_CALL_MAGIC);
    if (call->state != PB_GRPC_OPEN) {
        pb_buf_free(message);
        return false;
    }
    if (!call->s.responded) respond(call, NULL, 0, false);
    struct pb_grpc_server *server = call->server;
    server->stats.messages_out++;
    server->stats.bytes_out += message->n;
    if (call->compress) {
        struct pb_buf packed = {0};
        if (pb_deflate(PB_ZIP_GZIP, 1, pb_buf_view(message), &packed, NULL)) pb_fatal("gzip failed");
        pb_buf_free(message);
        *message = packed;
    }
    PB_REQUIRE(message->n <= UINT32_MAX);
    uint8_t head[PB_GRPC_PREFIX];
    pb_grpc_prefix(head, call->compress, (uint32_t)message->n);
    pb_h2_write(&call->s, head, sizeof head, message);
    want_write(call);
    if (call->s.unsent < server->o.high) return true;
    call->wants_writable = true;
    return false;
}

size_t pb_grpc_unsent(const struct pb_grpc_call *call)
{
    return call->s.unsent;
}

void pb_grpc_finish(struct pb_grpc_call *call, int32_t code, pbay_str message, const pbay_header *trailers,
                    size_t n_trailers)
{
    PB_MAGIC_CHECK(call, PB_GRPC_CALL_MAGIC);
    if (call->state != PB_GRPC_OPEN) return;
    call->state = PB_GRPC_FINISHED;
    char number[12];
    int digits = code >= 0 && code < 10 ? (number[0] = (char)('0' + code), 1)
                                        : snprintf(number, sizeof number, "%d", code);
    pbay_header stack[16], *h = stack;
    if (n_trailers + 2 > PB_COUNTOF(stack)) h = pb_array(n_trailers + 2, sizeof *h);
    size_t n = 0;
    struct pb_buf text = {0};
    h[n++] = (pbay_header){PB_STR("grpc-status"), pb_str(number, (size_t)digits)};
    struct pb_h2_field fstack[16], *f = fstack;
    if (n_trailers + 1 > PB_COUNTOF(fstack)) f = pb_array(n_trailers + 1, sizeof *f);
    size_t n_fields = 0;
    if (message.n) {
        f[0] = (struct pb_h2_field){0, 12, 12, 0};
        pb_buf_c(&text, "grpc-message");
        pb_grpc_percent_encode(message, &text);
        f[0].value_n = (uint32_t)(text.n - 12);
        n_fields = 1;
    }
    for (size_t i = 0; i < n_trailers; i++)
        if (put_field(&text, &f[n_fields], trailers[i].name, trailers[i].value)) n_fields++;
    for (size_t i = 0; i < n_fields; i++) h[n++] = to_header(&text, &f[i]);
    if (call->s.responded)
        pb_h2_finish(&call->s, h, n);
    else
        respond(call, h, n, true);
    if (h != stack) pb_free(h);
    if (f != fstack) pb_free(f);
    pb_buf_free(&text);
    pb_h2_consumed(&call->s, call->s.owed);
    want_write(call);
}

void pb_grpc_fail(struct pb_grpc_call *call, const struct pb_err *err)
{
    pb_grpc_finish(call, err->code, pb_str_c(err->msg), NULL, 0);
}

void pb_grpc_reply(struct pb_grpc_call *call, struct pb_buf *message)
{
    pb_grpc_send(call, message);
    pb_grpc_finish(call, PBAY_OK, pb_str(NULL, 0), NULL, 0);
}
