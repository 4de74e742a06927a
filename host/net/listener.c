/* SPDX-License-Identifier: MIT */
#include "net/listener.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/bound.h"
#include "net/conn.h"
#include "net/tls.h"

/* As many as the system allows (net.core.somaxconn): who finds no room asks again after a second. */
enum { BACKLOG = 65535, MAX_CONNS = 4096 };

struct pb_listener {
    uv_tcp_t tcp;
    struct pb_loop *loop;
    char *name, *label; /* label: "sse 0.0.0.0:50058" */
    char address[PB_BOUND_NAME];
    uint16_t port;
    const char *protocol;
    struct pb_tls *tls;
    int backlog;
    uint32_t max_conns, open;
    uint32_t refs; /* the owner's, the handle's, one per connection */
    bool has_socket, closed;
    int64_t warned_ns;
    void (*take)(void *user, struct pb_conn *conn);
    void *user;
    void (*gone)(void *user);
    void *gone_user;
    bool (*admit)(void *user, pbay_str peer, uint64_t *ticket);
    void (*leave)(void *user, uint64_t ticket);
    void *admit_user;
};

/* A connection, for as long as it lives. */
struct guest {
    struct pb_listener *listener;
    uint64_t ticket;
    bool admitted;
};

static void unref(struct pb_listener *l)
{
    if (--l->refs) return;
    pb_tls_unref(l->tls);
    pb_free(l->name);
    pb_free(l->label);
    pb_free(l);
}

static void on_gone(void *user)
{
    struct guest *g = user;
    struct pb_listener *l = g->listener;
    l->open--;
    if (g->admitted) l->leave(l->admit_user, g->ticket);
    if (l->gone) l->gone(l->gone_user);
    pb_free(g);
    unref(l);
}

static struct pb_conn_options options_of(struct pb_listener *l)
{
    struct guest *g = pb_zalloc(sizeof *g);
    g->listener = l;
    struct pb_conn_options o = {
        .tls = l->tls, .listener = l->label, .protocol = l->protocol, .gone = on_gone, .gone_user = g};
    l->open++; /* gone() is called whether or not the connection comes to be */
    l->refs++;
    return o;
}

static void warn(struct pb_listener *l, const char *what, const char *why, pbay_str peer)
{
    int64_t now = pb_mono_ns();
    if (l->warned_ns && now - l->warned_ns < PB_SEC) return;
    l->warned_ns = now;
    pb_log(PB_LOG_WARN, "net", what, PB_S("listener", l->label), PB_V("peer", peer), PB_S("why", why),
           PB_I("open", l->open));
}

static void give(struct pb_listener *l, struct pb_conn *conn, struct guest *g)
{
    const char *why = NULL;
    if (l->open > l->max_conns)
        why = "as many connections are open as `connections` allows";
    else if (l->admit && !(g->admitted = l->admit(l->admit_user, pb_conn_peer(conn), &g->ticket)))
        why = "its address has as many connections open as `peer_connections` allows, or opens more than "
              "`connect_rate`";
    if (why) {
        warn(l, "connection refused", why, pb_conn_peer(conn));
        pb_conn_abort(conn, NULL);
        return;
    }
    l->take(l->user, conn);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct pb_listener *l = server->data;
    struct pb_err err;
    if (status < 0) {
        warn(l, "cannot accept", uv_strerror(status),
             pb_str(NULL, 0)); /* out of descriptors, most likely: the next one may work */
        return;
    }
    const struct pb_conn_options o = options_of(l);
    struct pb_conn *conn = pb_conn_accept(l->loop, server, &o, &err);
    if (conn)
        give(l, conn, o.gone_user);
    else
        warn(l, "cannot accept", err.msg, pb_str(NULL, 0));
}

static void on_close(uv_handle_t *h)
{
    unref(h->data);
}

static struct pb_listener *make(struct pb_loop *loop, const struct pb_listener_options *o)
{
    struct pb_listener *l = pb_zalloc(sizeof *l);
    l->loop = loop;
    l->refs = 1;
    l->name = pb_strdup(o->name);
    l->label = pb_sprintf("%s %s", o->name, o->address);
    snprintf(l->address, sizeof l->address, "%s", o->address);
    l->protocol = o->protocol;
    l->tls = o->tls ? pb_tls_ref(o->tls) : NULL;
    l->backlog = o->backlog > 0 ? o->backlog : BACKLOG;
    l->max_conns = o->max_conns ? o->max_conns : MAX_CONNS;
    l->take = o->take;
    l->gone = o->gone;
    l->gone_user = o->gone_user;
    l->admit = o->admit;
    l->leave = o->leave;
    l->admit_user = o->admit_user;
    l->user = o->user;
    return l;
}

struct pb_listener *pb_listener_for_fds(struct pb_loop *loop, const struct pb_listener_options *options)
{
    return make(loop, options);
}

int pb_listener_adopt(struct pb_listener *l, int fd, struct pb_err *err)
{
    if (l->closed) {
        close(fd);
        return pb_fail(err, PBAY_UNAVAILABLE, "%s is closing", l->label);
    }
    const struct pb_conn_options o = options_of(l);
    struct pb_conn *conn = pb_conn_from_fd(l->loop, fd, &o, err);
    if (!conn) return pb_fail_in(err, "%s", l->label);
    give(l, conn, o.gone_user);
    return 0;
}

struct pb_listener *pb_listener_open(struct pb_loop *loop, const struct pb_listener_options *options,
                                     struct pb_err *err)
{
    int fd = pb_bound_open(options->address, options->backlog > 0 ? options->backlog : BACKLOG, err);
    if (fd < 0) return NULL;
    struct pb_listener *l = make(loop, options);
    uv_tcp_init(pb_loop_uv(loop), &l->tcp);
    l->tcp.data = l;
    l->refs++;
    l->has_socket = true;
    int rc = uv_tcp_open(&l->tcp, fd);
    if (rc)
        close(fd);
    else
        rc = uv_listen((uv_stream_t *)&l->tcp, l->backlog, on_connection);
    if (rc) {
        pb_fail(err, PBAY_UNAVAILABLE, "cannot listen on %s: %s", options->address, uv_strerror(rc));
        pb_listener_close(l);
        return NULL;
    }
    l->port = pb_bound_name(fd, l->address);
    pb_free(l->label);
    l->label = pb_sprintf("%s %s", l->name, l->address);
    return l;
}

pbay_str pb_listener_address(const struct pb_listener *l)
{
    return pb_str_c(l->address);
}

uint16_t pb_listener_port(const struct pb_listener *l)
{
    return l->port;
}

void pb_listener_close(struct pb_listener *l)
{
    if (!l || l->closed) return;
    l->closed = true;
    if (l->has_socket) uv_close((uv_handle_t *)&l->tcp, on_close);
    unref(l);
}
