/* SPDX-License-Identifier: MIT */
/* The server and its connections: preface, bytes in and out, upkeep, drain. Calls are in grpc_call.c. */
#include "net/grpc_server_priv.h"

#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

/*
 * GOAWAY_AFTER_MS: how long after a GOAWAY notice the final one follows when the client has not answered the
 * PING behind it: one that is busy has not seen the notice either, and would have calls refused.
 */
enum {
    HUSH_MS = 5,
    HEARD_MS = 100,
    GOAWAY_AFTER_MS = 2000,
    PREFACE_MS = 1000,
    PING_WAIT_MS = 20000,
    UPKEEP_MIN_MS = 100
};

static void on_check(void *user);
static void on_upkeep(void *user);

/* ------------------------------------------------------------------------------------------------
 * connections */

static void schedule_upkeep(struct pb_grpc_conn *gc)
{
    const struct pb_grpc_options *o = &gc->server->o;
    int64_t ms = INT64_MAX;
    if (gc->server->draining && !gc->preface_seen)
        ms = PREFACE_MS;
    else if (o->ping_ms > 0)
        ms = gc->ping_sent ? PING_WAIT_MS : o->ping_ms;
    if (o->idle_ms > 0 && o->idle_ms < ms) ms = o->idle_ms;
    if (ms == INT64_MAX) return;
    if (ms < UPKEEP_MIN_MS) ms = UPKEEP_MIN_MS;
    pb_deadline_set(gc->server->loop, &gc->upkeep, pb_mono_ns() + ms * PB_MS);
}

static void fail_conn(struct pb_grpc_conn *gc, const struct pb_err *err)
{
    if (gc->failed) return;
    gc->failed = true;
    pb_h2_hush(gc->h2, false);
    gc->why = *err;
    pb_conn_close(gc->conn); /* what is left of GOAWAY leaves first */
}

/* ------------------------------------------------------------------------------------------------
 * the end of a connection that goes on elsewhere */

static void step(struct pb_grpc_conn *gc, enum pb_grpc_drain to, int64_t ms)
{
    gc->drain = to;
    pb_deadline_cancel(&gc->upkeep);
    pb_deadline_set(gc->server->loop, &gc->upkeep, pb_mono_ns() + ms * PB_MS);
}

static void begin_drain(struct pb_grpc_conn *gc)
{
    if (gc->drain == PB_GRPC_STAYS) step(gc, PB_GRPC_HUSH, HUSH_MS);
}

static void tell(struct pb_grpc_conn *gc)
{
    gc->acks = pb_h2_ping_acks(gc->h2) + gc->ping_sent; /* an earlier one may be on its way */
    pb_h2_hush(gc->h2, true);
    pb_h2_goaway_notice(gc->h2);
    step(gc, PB_GRPC_TOLD, HEARD_MS);
}

static void leave(struct pb_grpc_conn *gc)
{
    gc->drain = PB_GRPC_LEAVES;
    pb_deadline_cancel(&gc->upkeep);
    pb_h2_hush(gc->h2, false);
    pb_h2_goaway(gc->h2);
    pb_loop_defer(gc->server->loop, &gc->check);
}

static void on_heard(struct pb_grpc_conn *gc)
{
    if (gc->drain == PB_GRPC_TOLD)
        step(gc, PB_GRPC_HEARD, HUSH_MS);
    else
        leave(gc);
}

static void next_step(struct pb_grpc_conn *gc)
{
    if (gc->drain == PB_GRPC_HUSH) {
        tell(gc);
    } else if (gc->drain == PB_GRPC_TOLD) {
        pb_h2_hush(gc->h2, false);
        step(gc, PB_GRPC_UNSURE, GOAWAY_AFTER_MS);
    } else {
        leave(gc);
    }
    pb_conn_want_write(gc->conn);
}

static void on_upkeep(void *user)
{
    struct pb_grpc_conn *gc = user;
    const struct pb_grpc_options *o = &gc->server->o;
    if (!gc->preface_seen && gc->server->draining) {
        pb_conn_close(gc->conn);
        return;
    }
    if (gc->drain != PB_GRPC_STAYS) {
        next_step(gc);
        return;
    }
    int64_t now = pb_mono_ns();
    bool heard = pb_h2_frames(gc->h2) != gc->frames_seen;
    gc->frames_seen = pb_h2_frames(gc->h2);
    if (pb_h2_streams(gc->h2) || heard) gc->quiet_since = now;
    if (o->idle_ms > 0 && !pb_h2_streams(gc->h2) && now - gc->quiet_since >= o->idle_ms * PB_MS) {
        leave(gc);
        pb_conn_want_write(gc->conn);
        return;
    }
    if (o->ping_ms > 0) {
        if (heard) {
            gc->ping_sent = false;
        } else if (gc->ping_sent) {
            struct pb_err err;
            pb_fail(&err, PBAY_UNAVAILABLE, "%.*s did not answer a PING", PB_FMT(pb_conn_peer(gc->conn)));
            gc->failed = true;
            pb_conn_abort(gc->conn, &err);
            return;
        } else {
            gc->ping_sent = true;
            pb_h2_ping(gc->h2);
            pb_conn_want_write(gc->conn);
        }
    }
    schedule_upkeep(gc);
}

/* The last call has ended, or the session is over: should the connection go? */
static void on_check(void *user)
{
    struct pb_grpc_conn *gc = user;
    if (pb_h2_done(gc->h2) || (gc->drain == PB_GRPC_LEAVES && !pb_h2_streams(gc->h2)))
        pb_conn_close(gc->conn);
}

static void not_http2(struct pb_grpc_conn *gc)
{
    const char *p = gc->first;
    struct pb_err err;
    if ((unsigned char)p[0] == 0x16) {
        pb_conn_wrong_protocol(
            gc->conn, "TLS",
            "this listener is cleartext: set tls_dir for it, or leave the certificate folder out of the "
            "client's connection. Qlik shows this as error code 14");
    } else if (p[0] >= 'A' && p[0] <= 'Z') {
        static const char answer[] =
            "HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Type: text/plain\r\n"
            "Connection: close\r\nContent-Length: 72\r\n\r\n"
            "This port speaks gRPC over HTTP/2. HTTP/1.1 is served on another port.\r\n";
        pb_conn_wrong_protocol(gc->conn, "HTTP/1.1",
                               "this port serves Qlik's SSE (gRPC over HTTP/2): use the http "
                               "listener, or a gRPC client");
        gc->failed = true;
        pb_fail(&gc->why, PBAY_UNAVAILABLE, "HTTP/1.1 on a gRPC port");
        pb_conn_send_last(gc->conn, PB_STR(answer));
        return;
    } else {
        pb_conn_wrong_protocol(gc->conn, "bytes that are not HTTP/2", "this port serves gRPC over HTTP/2");
    }
    gc->failed = true;
    pb_fail(&err, PBAY_UNAVAILABLE, "%.*s does not speak HTTP/2", PB_FMT(pb_conn_peer(gc->conn)));
    pb_conn_abort(gc->conn, &err);
}

static void feed(struct pb_grpc_conn *gc, const char *p, size_t n)
{
    struct pb_err err;
    if (pb_h2_feed(gc->h2, p, n, &err)) {
        pb_log(PB_LOG_INFO, "net", "connection failed", PB_S("server", gc->server->name),
               PB_V("peer", pb_conn_peer(gc->conn)), PB_S("error", err.msg));
        fail_conn(gc, &err);
    }
    if ((gc->drain == PB_GRPC_TOLD || gc->drain == PB_GRPC_UNSURE) && pb_h2_ping_acks(gc->h2) > gc->acks)
        on_heard(gc);
    pb_conn_want_write(gc->conn);
}

static void on_data(void *user, const char *p, size_t n)
{
    struct pb_grpc_conn *gc = user;
    if (gc->failed) return;
    if (PB_LIKELY(gc->preface_seen)) {
        feed(gc, p, n);
        return;
    }
    size_t take = PB_H2_PREFACE - gc->first_n;
    if (take > n) take = n;
    memcpy(gc->first + gc->first_n, p, take);
    gc->first_n += (uint32_t)take;
    if (!pb_h2_is_preface(gc->first, gc->first_n)) {
        not_http2(gc);
        return;
    }
    if (gc->first_n < PB_H2_PREFACE) return;
    gc->preface_seen = true;
    pb_conn_established(gc->conn);
    feed(gc, gc->first, PB_H2_PREFACE);
    if (!gc->failed && n > take) feed(gc, p + take, n - take);
    if (gc->server->draining && !gc->failed) begin_drain(gc);
}

static bool on_fill(void *user, struct pb_buf *out)
{
    struct pb_grpc_conn *gc = user;
    struct pb_err err;
    if (!gc->preface_seen) return false; /* SETTINGS go to those who speak HTTP/2 */
    if (gc->drain == PB_GRPC_HUSH && !gc->failed) return false;
    int rc = pb_h2_pull(gc->h2, out, PB_CONN_OUT_MAX, &err);
    if (rc < 0) {
        fail_conn(gc, &err);
        return false;
    }
    if (rc == 0 && (gc->drain == PB_GRPC_LEAVES || gc->failed || pb_h2_done(gc->h2)))
        pb_loop_defer(gc->server->loop, &gc->check);
    return rc > 0;
}

static void on_eof(void *user)
{
    struct pb_grpc_conn *gc = user;
    /* A client that has ended its side cannot open streams nor give windows back; gRPC clients do not
     * half-close. */
    gc->failed = true;
    pb_conn_abort(gc->conn, NULL);
}

static void maybe_drained(struct pb_grpc_server *server)
{
    if (server->draining && !server->conns) pb_loop_defer(server->loop, &server->drained_defer);
}

static void unlink_conn(struct pb_grpc_conn *gc)
{
    if (gc->next) gc->next->prev = gc->prev;
    if (gc->prev)
        gc->prev->next = gc->next;
    else
        gc->server->conns = gc->next;
}

static void on_closed(void *user, const struct pb_err *why)
{
    struct pb_grpc_conn *gc = user;
    struct pb_grpc_server *server = gc->server;
    gc->failed = true;
    pb_deadline_cancel(&gc->upkeep);
    if (why)
        pb_log(PB_LOG_DEBUG, "net", "connection lost", PB_S("server", server ? server->name : ""),
               PB_S("why", why->msg));
    if (server) {
        pb_h2_free(gc->h2);
        pb_defer_cancel(&gc->check);
        unlink_conn(gc);
        server->stats.conns_open--;
        maybe_drained(server);
    }
    pb_free(gc);
}

static const struct pb_conn_ops conn_ops = {on_data, on_fill, on_eof, on_closed};

void pb_grpc_server_take(struct pb_grpc_server *server, struct pb_conn *conn)
{
    struct pb_grpc_conn *gc = pb_zalloc(sizeof *gc);
    gc->server = server;
    gc->conn = conn;
    gc->check = pb_defer_make(on_check, gc);
    gc->upkeep = (struct pb_deadline){.fn = on_upkeep, .user = gc};
    gc->quiet_since = pb_mono_ns();
    const struct pb_h2_options o = {server->o.max_streams, server->o.stream_window, server->o.conn_window,
                                    server->o.max_header};
    gc->h2 = pb_h2_server_new(&o, &pb__grpc_h2_ops, gc);
    gc->next = server->conns;
    if (gc->next) gc->next->prev = gc;
    server->conns = gc;
    server->stats.conns_opened++;
    server->stats.conns_open++;
    pb_conn_start(conn, &conn_ops, gc);
    schedule_upkeep(gc);
}

/* ------------------------------------------------------------------------------------------------ the server
 */

static void on_drained(void *user)
{
    struct pb_grpc_server *server = user;
    void (*drained)(void *) = server->drained;
    server->drained = NULL;
    if (drained) drained(server->drained_user);
}

#define DEFAULT(field, value)                                                                                \
    do {                                                                                                     \
        if (!server->o.field) server->o.field = (value);                                                     \
    } while (0)

struct pb_grpc_server *pb_grpc_server_new(struct pb_loop *loop, const char *name,
                                          const struct pb_grpc_options *options)
{
    struct pb_grpc_server *server = pb_zalloc(sizeof *server);
    server->loop = loop;
    server->name = pb_strdup(name);
    if (options) server->o = *options;
    DEFAULT(max_message, (size_t)64 << 20);
    DEFAULT(max_streams, 1024);
    DEFAULT(stream_window, 1u << 20);
    DEFAULT(conn_window, 64u << 20);
    DEFAULT(max_header, 256u << 10);
    DEFAULT(low, (size_t)256 << 10);
    DEFAULT(high, (size_t)1 << 20);
    DEFAULT(ping_ms, 60000);
    if (server->o.max_message > INT32_MAX / 2 - 16) server->o.max_message = INT32_MAX / 2 - 16;
    server->last_method = &server->first_method;
    server->drained_defer = pb_defer_make(on_drained, server);
    return server;
}

void pb_grpc_server_method(struct pb_grpc_server *server, const char *path, const struct pb_grpc_ops *ops,
                           void *method_user)
{
    struct pb_grpc_method *m = pb_map_get(&server->methods, pb_str_c(path));
    PB_REQUIRE(ops->message || ops->unary);
    if (!m) {
        m = pb_zalloc(sizeof *m);
        m->path = pb_strdup(path);
        pb_map_add(&server->methods, pb_str_c(m->path), m);
        *server->last_method = m;
        server->last_method = &m->next;
    }
    m->ops = ops;
    m->user = method_user;
}

const struct pb_grpc_method *pb__grpc_find(struct pb_grpc_server *server, pbay_str path)
{
    if (server->recent && pb_str_is(path, server->recent->path)) return server->recent;
    const struct pb_grpc_method *m = pb_map_get(&server->methods, path);
    if (m) server->recent = m;
    return m;
}

void pb_grpc_server_each(const struct pb_grpc_server *server, void (*fn)(void *user, pbay_str path),
                         void *user)
{
    for (const struct pb_grpc_method *m = server->first_method; m; m = m->next) fn(user, pb_str_c(m->path));
}

const struct pb_grpc_stats *pb_grpc_server_stats(const struct pb_grpc_server *server)
{
    return &server->stats;
}

void pb_grpc_server_drain(struct pb_grpc_server *server, void (*drained)(void *user), void *user)
{
    server->drained = drained;
    server->drained_user = user;
    server->draining = true;
    for (struct pb_grpc_conn *gc = server->conns, *next; gc; gc = next) {
        next = gc->next;
        /* One that has only just come is told once it speaks, so that it does not look refused. */
        if (gc->preface_seen)
            begin_drain(gc);
        else
            schedule_upkeep(gc);
    }
    maybe_drained(server);
}

void pb_grpc_server_free(struct pb_grpc_server *server)
{
    if (!server) return;
    while (server->conns) {
        struct pb_grpc_conn *gc = server->conns;
        gc->failed = true;
        pb_deadline_cancel(&gc->upkeep);
        pb_h2_free(gc->h2);
        gc->h2 = NULL;
        pb_defer_cancel(&gc->check);
        unlink_conn(gc);
        gc->server = NULL; /* gc is freed when its connection has closed */
        pb_conn_abort(gc->conn, NULL);
    }
    pb_defer_cancel(&server->drained_defer);
    while (server->free_calls) {
        struct pb_grpc_call *call = server->free_calls;
        server->free_calls = call->next_free;
        pb__grpc_call_free(call);
    }
    while (server->first_method) {
        struct pb_grpc_method *m = server->first_method;
        server->first_method = m->next;
        pb_free(m->path);
        pb_free(m);
    }
    pb_map_free(&server->methods);
    pb_free(server->name);
    pb_free(server);
}

/* ------------------------------------------------------------------------------------------------ accessors
 */

void pb_grpc_set_user(struct pb_grpc_call *call, void *user)
{
    call->user = user;
}

void *pb_grpc_user(const struct pb_grpc_call *call)
{
    return call->user;
}

pbay_str pb_grpc_path(const struct pb_grpc_call *call)
{
    return call->method ? pb_str_c(call->method->path) : pb_h2_header(&call->s, PB_STR(":path"));
}

pbay_str pb_grpc_metadata(const struct pb_grpc_call *call, const char *name)
{
    return pb_h2_header(&call->s, pb_str_c(name));
}

int pb_grpc_metadata_bin(const struct pb_grpc_call *call, const char *name, struct pb_buf *out,
                         struct pb_err *err)
{
    pbay_str v = pb_grpc_metadata(call, name);
    if (!v.p) return 0;
    v = pb_str_trim(pb_str(v.p, pb_str_chr(v, ',')));
    if (pb_grpc_base64_decode(v, out)) return 1;
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "metadata %s is not base64: \"%.*s%s\"", name,
                   PB_FMT(pb_str(v.p, v.n > 40 ? 40 : v.n)), v.n > 40 ? "..." : "");
}

bool pb_grpc_metadata_at(const struct pb_grpc_call *call, size_t i, pbay_str *name, pbay_str *value)
{
    const struct pb_h2_stream *s = &call->s;
    size_t pseudo = 0; /* they stand first (RFC 9113, 8.3) */
    while (pseudo < s->n_fields && s->text.p[s->fields[pseudo].name] == ':') pseudo++;
    i += pseudo;
    if (i >= s->n_fields) return false;
    *name = pb_h2_field_name(s, i);
    *value = pb_h2_field_value(s, i);
    return true;
}

int64_t pb_grpc_deadline(const struct pb_grpc_call *call)
{
    return call->deadline_ns;
}

int64_t pb_grpc_started(const struct pb_grpc_call *call)
{
    return call->started;
}

pbay_str pb_grpc_peer(const struct pb_grpc_call *call)
{
    return call->conn ? pb_conn_peer(call->conn->conn) : pb_str(NULL, 0);
}

pbay_str pb_grpc_tls_subject(const struct pb_grpc_call *call)
{
    return call->conn ? pb_conn_tls_subject(call->conn->conn) : pb_str(NULL, 0);
}

struct pb_grpc_server *pb_grpc_call_server(const struct pb_grpc_call *call)
{
    return call->server;
}
