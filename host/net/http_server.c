/* SPDX-License-Identifier: MIT */
/* The server: its options, its connections of both kinds, drain. */
#include "net/http_priv.h"

#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"

const char *pb__http_date(struct pb_http_server *server)
{
    int64_t now = pb_now_coarse_ms() / 1000;
    if (now != server->date_s) {
        time_t t = (time_t)now;
        struct tm tm;
        server->date_s = now;
        gmtime_r(&t, &tm);
        strftime(server->date, sizeof server->date, "%a, %d %b %Y %H:%M:%S GMT",
                 &tm); /* the C locale's names */
    }
    return server->date;
}

void pb__http_error_body(int status, const char *why, struct pb_buf *out)
{
    const char *code = status == 408                                     ? "DEADLINE_EXCEEDED"
                       : status == 413 || status == 414 || status == 431 ? "RESOURCE_EXHAUSTED"
                       : status == 501 || status == 505                  ? "UNIMPLEMENTED"
                       : status == 503                                   ? "UNAVAILABLE"
                                                                         : "INVALID_ARGUMENT";
    pb_buf_printf(out, "{\"error\":{\"code\":\"%s\",\"message\":", code);
    pb_buf_json(out, pb_str_c(why));
    pb_buf_c(out, "}}\n");
}

/* ------------------------------------------------------------------------------------------------
 * connections */

void pb__http_link(struct pb_http_server *server, struct pb_http_conn *c)
{
    c->server = server;
    c->prev = NULL;
    c->next = server->conns;
    if (c->next) c->next->prev = c;
    server->conns = c;
    server->n_conns++;
}

void pb__http_unlink(struct pb_http_conn *c)
{
    struct pb_http_server *server = c->server;
    if (!server) return;
    if (c->next) c->next->prev = c->prev;
    if (c->prev)
        c->prev->next = c->next;
    else
        server->conns = c->next;
    server->n_conns--;
    c->kind->leave(c);
    c->server = NULL;
    if (server->draining && !server->conns) pb_loop_defer(server->loop, &server->drained_defer);
}

void pb_http_server_take(struct pb_http_server *server, struct pb_conn *conn)
{
    pb_conn_limit_writes(conn, server->o.write_ms);
    pb__http1_take(server, conn);
}

/* ------------------------------------------------------------------------------------------------ life */

static void on_drained(void *user)
{
    struct pb_http_server *server = user;
    void (*drained)(void *) = server->drained;
    server->drained = NULL;
    if (drained) drained(server->drained_user);
}

#define DEFAULT(field, value)                                                                                \
    do {                                                                                                     \
        if (!server->o.field) server->o.field = (value);                                                     \
    } while (0)

struct pb_http_server *pb_http_server_new(struct pb_loop *loop, const char *name,
                                          const struct pb_http_options *options,
                                          const struct pb_http_ops *ops, void *user)
{
    struct pb_http_server *server = pb_zalloc(sizeof *server);
    PB_REQUIRE(ops->request);
    server->loop = loop;
    server->name = pb_strdup(name);
    server->ops = ops;
    server->user = user;
    if (options) server->o = *options;
    DEFAULT(max_body, (size_t)16 << 20);
    DEFAULT(max_bodies, (size_t)512 << 20);
    DEFAULT(max_head, PB_H1_MAX_HEAD);
    DEFAULT(max_streams, 128);
    DEFAULT(pack_min, 1024);
    DEFAULT(head_ms, 10000);
    DEFAULT(body_ms, 30000);
    DEFAULT(write_ms, 60000);
    DEFAULT(idle_ms, 75000);
    DEFAULT(low, (size_t)256 << 10);
    DEFAULT(high, (size_t)1 << 20);
    server->drained_defer = pb_defer_make(on_drained, server);
    return server;
}

void pb_http_server_drain(struct pb_http_server *server, void (*drained)(void *user), void *user)
{
    server->drained = drained;
    server->drained_user = user;
    server->draining = true;
    for (struct pb_http_conn *c = server->conns, *next; c; c = next) {
        next = c->next;
        c->kind->drain(c);
    }
    if (!server->conns) pb_loop_defer(server->loop, &server->drained_defer);
}

void pb_http_server_free(struct pb_http_server *server)
{
    if (!server) return;
    server->draining = false;
    while (server->conns) {
        struct pb_http_conn *c = server->conns;
        pb__http_unlink(c);
        pb_conn_abort(c->conn, NULL);
    }
    pb_defer_cancel(&server->drained_defer);
    pb_free(server->name);
    pb_free(server);
}

uint64_t pb_http_server_conns(const struct pb_http_server *server)
{
    return server->n_conns;
}
