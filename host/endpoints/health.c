/* SPDX-License-Identifier: MIT */
#include "endpoints/health.h"

#include "base/check.h"
#include "data/wire.h"
#include "endpoints/services.h"
#include "net/grpc_server.h"

enum { HEALTH_MAGIC = 0x484c5448, SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3, NAME_MAX_BYTES = 256 };

struct watcher {
    struct watcher *next, **link;
    struct pb_grpc_call *call;
};

struct pb_health {
    uint32_t magic;
    struct pb_grpc_server *server;
    struct watcher *watchers;
    bool draining;
};

/* The service of a HealthCheckRequest. -1 with err. */
static int read_service(pbay_str message, pbay_str *service, struct pb_err *err)
{
    const uint8_t *p = (const uint8_t *)(message.p ? message.p : ""), *end = p + message.n;
    struct pb_wire_field f;
    int rc;
    *service = pb_str("", 0);
    while ((rc = pb_wire_next(&p, end, &f)) > 0)
        if (f.tag == PB_WIRE_TAG(1, PB_WIRE_LEN)) *service = f.bytes;
    if (rc < 0 || !pb_utf8_valid(*service))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "HealthCheckRequest is not a valid protobuf message");
    return 0;
}

static struct pb_buf response(struct pb_grpc_call *call, int status)
{
    struct pb_buf b = pb_grpc_buf(call);
    pb_buf_ch(&b, PB_WIRE_TAG(1, PB_WIRE_VARINT));
    pb_buf_ch(&b, (char)status);
    return b;
}

static bool known(const struct pb_health *h, pbay_str service)
{
    return !service.n || pb_services_has(h->server, service);
}

/* ---------------------------------------------------------------------------------------------- Check */

static void check_opened(struct pb_grpc_call *call, void *method_user)
{
    pb_grpc_set_user(call, method_user);
}

static void check(struct pb_grpc_call *call, pbay_str request)
{
    struct pb_health *h = pb_grpc_user(call);
    PB_MAGIC_CHECK(h, HEALTH_MAGIC);
    struct pb_err err;
    pbay_str service;
    int rc = read_service(request, &service, &err);
    if (!rc && !known(h, service)) {
        if (service.n > NAME_MAX_BYTES) service.n = pb_utf8_floor(service, NAME_MAX_BYTES);
        rc = pb_fail(&err, PBAY_NOT_FOUND, "no service \"%.*s\" here", PB_FMT(service));
    }
    if (rc) {
        pb_grpc_fail(call, &err);
        return;
    }
    struct pb_buf reply = response(call, h->draining ? NOT_SERVING : SERVING);
    pb_grpc_reply(call, &reply);
}

static const struct pb_grpc_ops check_ops = {.opened = check_opened, .unary = check};

/* ---------------------------------------------------------------------------------------------- Watch */

struct watch_call {
    struct pb_health *health;
    struct watcher watcher;
    bool asked;
};

static void watch_opened(struct pb_grpc_call *call, void *method_user)
{
    struct watch_call *w = pb_zalloc(sizeof *w);
    w->health = method_user;
    w->watcher.call = call;
    pb_grpc_set_user(call, w);
}

static void tell(struct pb_grpc_call *call, int status)
{
    struct pb_buf b = response(call, status);
    pb_grpc_send(call, &b);
}

static void send_away(struct pb_grpc_call *call)
{
    pb_grpc_finish(call, PBAY_UNAVAILABLE, PB_STR("the gateway is shutting down"), NULL, 0);
}

static void watch_message(struct pb_grpc_call *call, pbay_str message, size_t credit)
{
    struct watch_call *w = pb_grpc_user(call);
    struct pb_health *h = w->health;
    PB_MAGIC_CHECK(h, HEALTH_MAGIC);
    struct pb_err err;
    pbay_str service;
    pb_grpc_consumed(call, credit);
    int rc = read_service(message, &service, &err);
    if (!rc && w->asked)
        rc = pb_fail(&err, PBAY_INVALID_ARGUMENT, "Watch takes one request message, not two");
    if (rc) {
        pb_grpc_fail(call, &err);
        return;
    }
    w->asked = true;
    bool there = known(h, service);
    tell(call, !there ? SERVICE_UNKNOWN : h->draining ? NOT_SERVING : SERVING);
    if (h->draining) {
        send_away(call);
        return;
    }
    w->watcher.next = h->watchers;
    w->watcher.link = &h->watchers;
    if (h->watchers) h->watchers->link = &w->watcher.next;
    h->watchers = &w->watcher;
    /* A service that is not known stays so: it is not told again. */
}

static void watch_half_close(struct pb_grpc_call *call)
{
    struct watch_call *w = pb_grpc_user(call);
    if (!w->asked)
        pb_grpc_finish(call, PBAY_INVALID_ARGUMENT, PB_STR("Watch takes one request message"), NULL, 0);
}

static void unlink_watcher(struct watcher *w)
{
    if (!w->link) return;
    *w->link = w->next;
    if (w->next) w->next->link = w->link;
    w->link = NULL;
}

static void watch_closed(struct pb_grpc_call *call, enum pb_grpc_closed reason)
{
    (void)reason;
    struct watch_call *w = pb_grpc_user(call);
    unlink_watcher(&w->watcher);
    pb_free(w);
}

static const struct pb_grpc_ops watch_ops = {
    .opened = watch_opened,
    .message = watch_message,
    .half_close = watch_half_close,
    .closed = watch_closed,
};

/* ---------------------------------------------------------------------------------------------- */

struct pb_health *pb_health_new(struct pb_grpc_server *server)
{
    struct pb_health *h = pb_zalloc(sizeof *h);
    h->magic = HEALTH_MAGIC;
    h->server = server;
    pb_grpc_server_method(server, "/grpc.health.v1.Health/Check", &check_ops, h);
    pb_grpc_server_method(server, "/grpc.health.v1.Health/Watch", &watch_ops, h);
    return h;
}

void pb_health_drain(struct pb_health *h)
{
    PB_MAGIC_CHECK(h, HEALTH_MAGIC);
    h->draining = true;
    for (struct watcher *w; (w = h->watchers);) {
        unlink_watcher(w);
        tell(w->call, NOT_SERVING);
        send_away(w->call);
    }
}

void pb_health_free(struct pb_health *h)
{
    if (!h) return;
    PB_REQUIRE(!h->watchers);
    h->magic = 0;
    pb_free(h);
}
