/* SPDX-License-Identifier: MIT */
/* Connections and event loop of the load client; see load.h. */
#include "load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

void load_error(struct load *l, const char *fmt, ...)
{
    if (l->errors++ > 0) return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(l->first_error, sizeof l->first_error, fmt, ap);
    va_end(ap);
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

int load_open(struct load *l, const struct load_options *opt)
{
    *l = (struct load){.opt = opt, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    rows_common_header("bench-app", "UserDirectory=BENCH; UserId=load", opt->rows, l->common_header,
                       sizeof l->common_header);
    for (unsigned s = 0; s < opt->spec_count; s++) {
        rows_form_init(&l->forms[s], &opt->specs[s]);
        rows_function_header(opt->specs[s].function_id, l->function_header[s], sizeof l->function_header[s]);
        l->fields[s][0] = field("qlik-functionrequestheader-bin", l->function_header[s]);
        l->fields[s][1] = field("qlik-commonrequestheader-bin", l->common_header);
    }
    for (unsigned k = 0; k < opt->connections; k++) {
        if (grpc_conn_open(&l->conns[k], opt->target, &opt->conn) != 0) return -1;
        l->conn_count++;
        l->watched[k] = EPOLLIN;
        struct epoll_event ev = {.events = EPOLLIN, .data.u32 = k};
        epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->conns[k].fd, &ev);
    }
    return 0;
}

void load_close(struct load *l)
{
    for (unsigned k = 0; k < l->conn_count; k++) grpc_conn_close(&l->conns[k]);
    close(l->epoll);
}

bool load_turn(struct load *l, int timeout_ms)
{
    bool alive = true;
    for (unsigned k = 0; k < l->conn_count; k++) {
        struct grpc_conn *c = &l->conns[k];
        if (!grpc_conn_flush(c)) alive = false;
        uint32_t want = c->want_write ? EPOLLIN | EPOLLOUT : EPOLLIN;
        if (want != l->watched[k] && !c->closed) {
            struct epoll_event ev = {.events = want, .data.u32 = k};
            epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &ev);
            l->watched[k] = want;
        }
    }
    struct epoll_event ev[LOAD_MAX_CONNS];
    int n = alive ? epoll_wait(l->epoll, ev, LOAD_MAX_CONNS, timeout_ms) : 0;
    for (int i = 0; i < n; i++)
        if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !grpc_conn_read(&l->conns[ev[i].data.u32]))
            alive = false;
    if (alive) return true;
    for (unsigned k = 0; k < l->conn_count; k++)
        if (l->conns[k].closed)
            load_error(l, "connection %u lost: %s (GOAWAY code %d)", k, l->conns[k].why,
                       (int)l->conns[k].goaway - 1);
    return false;
}

int load_start(struct load *l, struct grpc_conn *c, struct grpc_call *call, unsigned spec)
{
    int rc = grpc_conn_start(c, call, l->opt->path, l->fields[spec], 2);
    if (rc != 0) load_error(l, "%s", c->why);
    return rc;
}
