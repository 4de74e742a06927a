/* SPDX-License-Identifier: MIT */
#include "endpoints/services.h"

#include "base/str.h"
#include "net/grpc_server.h"

/* "/package.Service/Method" */
static pbay_str service_of(pbay_str path)
{
    pbay_str s = pb_str(path.p + 1, path.n - 1);
    s.n = pb_str_chr(s, '/');
    return s;
}

struct each {
    pbay_str last; /* methods of a service are registered together */
    void (*fn)(void *user, pbay_str service);
    void *user;
};

static void each_path(void *user, pbay_str path)
{
    struct each *e = user;
    pbay_str service = service_of(path);
    if (pb_str_eq(service, e->last)) return;
    e->last = service;
    e->fn(e->user, service);
}

void pb_services_each(const struct pb_grpc_server *server, void (*fn)(void *user, pbay_str service),
                      void *user)
{
    struct each e = {.fn = fn, .user = user};
    pb_grpc_server_each(server, each_path, &e);
}

struct has {
    pbay_str wanted;
    bool found;
};

static void has_path(void *user, pbay_str path)
{
    struct has *h = user;
    if (pb_str_eq(service_of(path), h->wanted)) h->found = true;
}

bool pb_services_has(const struct pb_grpc_server *server, pbay_str service)
{
    struct has h = {.wanted = service};
    pb_grpc_server_each(server, has_path, &h);
    return h.found;
}
