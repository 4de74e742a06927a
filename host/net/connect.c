/* SPDX-License-Identifier: MIT */
/*
 * Steps: looking up -> connecting -> asking the proxy -> TLS -> done. Whatever fails is said with the step
 * and the host that the user named; the deadline is over all of them.
 */
#include "net/connect.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <uv.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/conn.h"
#include "net/h1_reply.h"
#include "net/http_rules.h"
#include "net/outgoing.h"
#include "net/tls.h"

/* An address that does not answer leaves time for the next one. */
enum { TIMEOUT_MS = 10000, ATTEMPT_MS = 2500 };

enum step { LOOKING_UP, CONNECTING, ASKING_PROXY, TLS, DONE };

/* Outlives its connect when that ends first: a look-up cannot always be taken back. */
struct lookup {
    uv_getaddrinfo_t req;
    struct pb_connect *of; /* NULL: nobody waits */
};

struct pb_connect {
    struct pb_loop *loop;
    enum step step;
    char *host, *authority; /* authority: host:port as CONNECT and messages have it */
    uint16_t port;
    bool tls, metadata;
    const char *alpn, *protocol;
    int64_t timeout_ms;
    struct pb_outgoing *outgoing;
    const struct pb_proxy *proxy;
    struct lookup *lookup;
    struct addrinfo *addresses, *next; /* next: to be tried */
    bool forbidden;                    /* an address was left out */
    struct pb_conn *conn;
    struct pb_h1_reply reply;
    struct pb_buf ask;
    struct pb_timer limit, attempt;
    struct pb_defer begin;
    struct pb_err failed; /* the last attempt's */
    void (*done)(void *user, struct pb_conn *conn, const struct pb_err *err);
    void *user;
};

static void try_next(struct pb_connect *c);

/* ------------------------------------------------------------------------------------------------ ends */

static void release(struct pb_connect *c)
{
    pb_timer_cancel(&c->limit);
    pb_timer_cancel(&c->attempt);
    pb_defer_cancel(&c->begin);
    if (c->lookup) {
        c->lookup->of = NULL;
        uv_cancel((uv_req_t *)&c->lookup->req);
    }
    if (c->addresses) uv_freeaddrinfo(c->addresses);
    pb_h1_reply_free(&c->reply);
    pb_buf_free(&c->ask);
    pb_free(c->host);
    pb_free(c->authority);
    pb_free(c);
}

static void drop_conn(struct pb_connect *c)
{
    static const struct pb_conn_ops nobody = {NULL, NULL, NULL, NULL};
    struct pb_conn *conn = c->conn;
    c->conn = NULL;
    if (!conn) return;
    if (c->step >= ASKING_PROXY) pb_conn_hand_over(conn, &nobody, NULL);
    pb_conn_abort(conn, NULL);
}

void pb_connect_cancel(struct pb_connect *c)
{
    drop_conn(c);
    release(c);
}

static void fail(struct pb_connect *c, struct pb_err *err)
{
    void (*done)(void *, struct pb_conn *, const struct pb_err *) = c->done;
    void *user = c->user;
    err->effect = PBAY_EFFECT_NONE;
    pb_connect_cancel(c);
    done(user, NULL, err);
}

static void on_limit(void *user)
{
    static const char *const DOING[] = {"looking up its name", "connecting", "asking the proxy", "TLS"};
    struct pb_connect *c = user;
    struct pb_err err;
    pb_fail(&err, PBAY_DEADLINE_EXCEEDED, "connecting to %s: no answer within %lld ms (%s)", c->authority,
            (long long)c->timeout_ms, DOING[c->step]);
    err.advice = PBAY_ADVICE_RETRY;
    fail(c, &err);
}

static void finish(struct pb_connect *c, const char *early, size_t n)
{
    struct pb_conn *conn = c->conn;
    c->conn = NULL;
    c->step = DONE;
    c->done(c->user, conn, NULL);
    pb_conn_feed(conn, early, n);
    release(c);
}

/* ------------------------------------------------------------------------------------------------ TLS and
 * proxy */

static void on_closed(void *user, const struct pb_err *why)
{
    struct pb_connect *c = user;
    struct pb_err err;
    c->conn = NULL;
    if (why && c->step == TLS && why->code == PBAY_UNAVAILABLE && strncmp(why->msg, "TLS with", 8) == 0) {
        err = *why; /* says it all */
    } else {
        pb_fail(&err, PBAY_UNAVAILABLE, "%s %s: %s", c->step == TLS ? "TLS with" : "the proxy on the way to",
                c->authority, why ? why->msg : "the connection was closed");
        err.advice = PBAY_ADVICE_RETRY;
    }
    fail(c, &err);
}

static void on_eof(void *user)
{
    struct pb_connect *c = user;
    pb_conn_abort(c->conn, NULL);
}

static void on_secured(void *user)
{
    struct pb_connect *c = user;
    finish(c, NULL, 0);
}

static void secure(struct pb_connect *c, const char *early, size_t n)
{
    struct pb_err err;
    if (!c->tls) {
        finish(c, early, n);
        return;
    }
    struct pb_tls *tls = pb_outgoing_tls(c->outgoing, &err);
    if (!tls) {
        fail(c, &err);
        return;
    }
    c->step = TLS;
    struct pb_conn *conn = c->conn;
    pb_conn_start_tls(conn, pb_tls_session_to(tls, c->host, c->alpn), on_secured);
    pb_conn_feed(conn, early, n);
}

static void proxy_refused(struct pb_connect *c)
{
    struct pb_err err;
    pbay_str reason = pb_h1_reply_reason(&c->reply);
    int status = c->reply.status;
    if (status == 407)
        pb_fail(&err, PBAY_UNAVAILABLE,
                "the proxy %s:%u wants a user name and password%s (407): proxy = http://USER:PASSWORD@%s:%u",
                c->proxy->host, c->proxy->port, c->proxy->basic ? " other than those it was given" : "",
                c->proxy->host, c->proxy->port);
    else
        pb_fail(&err, PBAY_UNAVAILABLE, "the proxy %s:%u does not connect to %s: %d %.*s", c->proxy->host,
                c->proxy->port, c->authority, status, PB_FMT(reason));
    err.vendor_status = status;
    err.advice = status >= 500 ? PBAY_ADVICE_RETRY : PBAY_ADVICE_NONE;
    fail(c, &err);
}

static void on_data(void *user, const char *p, size_t n)
{
    struct pb_connect *c = user;
    struct pb_err err;
    if (c->step != ASKING_PROXY) return;
    switch (pb_h1_reply_next(&c->reply, &p, &n)) {
    case PB_H1_REPLY_MORE: break;
    case PB_H1_REPLY_BAD:
        pb_fail(&err, PBAY_UNAVAILABLE,
                "the proxy %s:%u answered CONNECT with something else than HTTP/1.1: %s", c->proxy->host,
                c->proxy->port, c->reply.why);
        err.advice = PBAY_ADVICE_NONE;
        fail(c, &err);
        break;
    case PB_H1_REPLY_HEAD:
        if (c->reply.status / 100 == 2)
            secure(c, p, n);
        else
            proxy_refused(c);
        break;
    }
}

static bool on_fill(void *user, struct pb_buf *out)
{
    struct pb_connect *c = user;
    pb_buf_str(out, pb_buf_view(&c->ask));
    c->ask.n = 0;
    return false;
}

static const struct pb_conn_ops conn_ops = {on_data, on_fill, on_eof, on_closed};

/* ------------------------------------------------------------------------------------------------ connecting
 */

static void on_connected(void *user, int rc)
{
    struct pb_connect *c = user;
    pb_timer_cancel(&c->attempt);
    if (rc) {
        const char *to = c->proxy ? c->proxy->host : c->authority;
        pb_fail(&c->failed, PBAY_UNAVAILABLE, "%s %s: %s",
                c->proxy ? "connecting to the proxy" : "connecting to", to, uv_strerror(rc));
        c->failed.advice = PBAY_ADVICE_RETRY;
        pb_conn_abort(c->conn, NULL);
        c->conn = NULL;
        try_next(c);
        return;
    }
    c->step = ASKING_PROXY;
    pb_conn_start(c->conn, &conn_ops, c);
    if (!c->proxy) {
        secure(c, NULL, 0);
        return;
    }
    pb_buf_printf(&c->ask, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", c->authority, c->authority);
    if (c->proxy->basic) pb_buf_printf(&c->ask, "Proxy-Authorization: %s\r\n", c->proxy->basic);
    pb_buf_c(&c->ask, "User-Agent: patchbay/" PB_VERSION "\r\n\r\n");
    pb_conn_want_write(c->conn);
}

static void on_attempt(void *user)
{
    struct pb_connect *c = user;
    pb_conn_abort(c->conn, NULL);
    c->conn = NULL;
    pb_fail(&c->failed, PBAY_DEADLINE_EXCEEDED, "connecting to %s: no answer", c->authority);
    c->failed.advice = PBAY_ADVICE_RETRY;
    try_next(c);
}

static void try_next(struct pb_connect *c)
{
    while (c->next) {
        const struct addrinfo *a = c->next;
        c->next = a->ai_next;
        if (!c->metadata && !c->proxy && !pb_http_address_allowed(a->ai_addr)) {
            c->forbidden = true;
            continue;
        }
        const struct pb_conn_options o = {
            .listener = c->authority, .protocol = c->protocol, .handshake_ms = -1};
        c->conn = pb_conn_connect(c->loop, a->ai_addr, &o, on_connected, c, &c->failed);
        if (!c->conn) continue;
        if (c->next) pb_timer_set(c->loop, &c->attempt, ATTEMPT_MS);
        return;
    }
    struct pb_err err = c->failed;
    if (c->forbidden && !err.code) {
        pb_fail(&err, PBAY_PERMISSION_DENIED,
                "%s has a link-local or metadata address: nothing is sent there", c->host);
        err.advice = PBAY_ADVICE_NONE;
    }
    fail(c, &err);
}

static void on_looked_up(uv_getaddrinfo_t *req, int rc, struct addrinfo *found)
{
    struct lookup *l = (struct lookup *)(void *)req;
    struct pb_connect *c = l->of;
    pb_free(l);
    if (!c) {
        if (found) uv_freeaddrinfo(found);
        return;
    }
    c->lookup = NULL;
    if (rc) {
        struct pb_err err;
        const char *name = c->proxy ? c->proxy->host : c->host;
        if (rc == UV_EAI_NONAME || rc == UV_EAI_NODATA || rc == UV_EAI_AGAIN || rc == UV_EAI_FAIL)
            pb_fail(&err, PBAY_UNAVAILABLE, "looking up %s%s: no such host, or no name server answers",
                    c->proxy ? "the proxy " : "", name);
        else
            pb_fail(&err, PBAY_UNAVAILABLE, "looking up %s%s: %s", c->proxy ? "the proxy " : "", name,
                    uv_strerror(rc));
        err.advice = PBAY_ADVICE_RETRY;
        fail(c, &err);
        return;
    }
    c->addresses = c->next = found;
    c->step = CONNECTING;
    try_next(c);
}

static void begin(void *user)
{
    struct pb_connect *c = user;
    char service[8];
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct lookup *l = pb_zalloc(sizeof *l);
    l->of = c;
    snprintf(service, sizeof service, "%u", c->proxy ? c->proxy->port : c->port);
    int rc = uv_getaddrinfo(pb_loop_uv(c->loop), &l->req, on_looked_up, c->proxy ? c->proxy->host : c->host,
                            service, &hints);
    if (rc == 0) {
        c->lookup = l;
        return;
    }
    pb_free(l);
    struct pb_err err;
    pb_fail(&err, PBAY_UNAVAILABLE, "looking up %s: %s", c->host, uv_strerror(rc));
    err.advice = PBAY_ADVICE_NONE;
    fail(c, &err);
}

struct pb_connect *pb_connect_start(struct pb_loop *loop, const struct pb_connect_options *o,
                                    void (*done)(void *user, struct pb_conn *conn, const struct pb_err *err),
                                    void *user, struct pb_err *err)
{
    const struct pb_proxy *proxy = NULL;
    if (!o->metadata && !pb_http_host_allowed(o->host)) {
        pb_fail(err, PBAY_PERMISSION_DENIED,
                "%.*s is a link-local or metadata address: nothing is sent there", PB_FMT(o->host));
        return NULL;
    }
    if (!o->metadata && pb_outgoing_proxy(o->outgoing, o->tls, o->host, o->port, &proxy, err)) return NULL;
    struct pb_connect *c = pb_zalloc(sizeof *c);
    c->loop = loop;
    c->host = pb_strndup(o->host.p, o->host.n);
    c->authority = pb_sprintf(strchr(c->host, ':') ? "[%s]:%u" : "%s:%u", c->host, o->port);
    c->port = o->port;
    c->tls = o->tls;
    c->metadata = o->metadata;
    c->alpn = o->alpn;
    c->protocol = o->protocol;
    c->outgoing = o->outgoing;
    c->proxy = proxy;
    c->done = done;
    c->user = user;
    c->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS;
    c->limit = (struct pb_timer){.fn = on_limit, .user = c};
    c->attempt = (struct pb_timer){.fn = on_attempt, .user = c};
    c->begin = pb_defer_make(begin, c);
    pb_timer_set(loop, &c->limit, c->timeout_ms);
    pb_loop_defer(loop, &c->begin);
    return c;
}
