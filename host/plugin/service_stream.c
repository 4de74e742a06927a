/* SPDX-License-Identifier: MIT */
/* pbay.host.stream/1 over net/stream.h: each stream knows its connector. */
#include <patchbay/host_stream.h>

#include <string.h>

#include "base/handle.h"
#include "base/mem.h"
#include "net/stream.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"
#include "plugin/why.h"

struct stream {
    struct pb_connector *connector;
    uint64_t handle;
    struct pb_stream *s;
    pbay_stream_events events;
    void *user;
};

static _Thread_local struct pb_handles streams;

static void gone(void *user)
{
    struct stream *t = user;
    struct pb_connector *c = t->connector;
    pb_free(t);
    if (!streams.live) pb_handles_free(&streams);
    pb_connector_ended(c);
}

static void on_open(void *user, struct pb_stream *s)
{
    struct stream *t = user;
    struct pb_visit v;
    (void)s;
    pb_visit_enter(&v, t->connector, "stream open", NULL);
    t->events.on_open(t->user, t->handle);
    pb_visit_leave(&v);
}

static void on_data(void *user, struct pb_stream *s, pbay_str piece)
{
    struct stream *t = user;
    struct pb_visit v;
    (void)s;
    pb_visit_enter(&v, t->connector, "stream data", NULL);
    t->events.on_data(t->user, t->handle, piece);
    pb_visit_leave(&v);
}

static void on_drained(void *user, struct pb_stream *s)
{
    struct stream *t = user;
    struct pb_visit v;
    (void)s;
    if (!t->events.on_drained) return;
    pb_visit_enter(&v, t->connector, "stream drained", NULL);
    t->events.on_drained(t->user, t->handle);
    pb_visit_leave(&v);
}

static void on_end(void *user, struct pb_stream *s)
{
    struct stream *t = user;
    struct pb_visit v;
    (void)s;
    if (!t->events.on_end) return;
    pb_visit_enter(&v, t->connector, "stream end", NULL);
    t->events.on_end(t->user, t->handle);
    pb_visit_leave(&v);
}

static void on_closed(void *user, struct pb_stream *s, const struct pb_err *why)
{
    struct stream *t = user;
    struct pb_visit v;
    const pbay_result result = pb_err_result(why);
    (void)s;
    pb_handle_release(&streams, t->handle);
    pb_visit_enter(&v, t->connector, "stream close", NULL);
    t->events.on_close(t->user, t->handle, &result);
    pb_visit_leave(&v);
}

static const struct pb_stream_ops ops = {on_open, on_data, on_drained, on_end, on_closed, gone};

static bool good(struct pb_connector *c, const pbay_stream_open_info *info, const pbay_stream_events *ev,
                 pbay_result *why)
{
    if (pb_connector_locked(c, PBAY_SVC_STREAM)) {
        pb_why(why, PBAY_PERMISSION_DENIED, "the request that is being handled has not been accepted yet");
        return false;
    }
    const char *wrong =
        !ev->on_open || !ev->on_data || !ev->on_close ? "events.on_open, on_data or on_close is NULL"
        : info->flags & ~(PBAY_STREAM_TLS | PBAY_STREAM_CONFIGURED) ? "info.flags are not known"
        : info->port > 65535                                        ? "info.port is not a port"
                                                                    : NULL;
    if (wrong) pb_why(why, PBAY_INVALID_ARGUMENT, "%s", wrong);
    return !wrong;
}

static pbay_stream stream_open(const pbay_host *host, const pbay_stream_open_info *given,
                               const pbay_stream_events *events, void *user, pbay_result *why)
{
    struct pb_connector *c = pb_connector_of(host);
    pbay_stream_open_info info;
    pbay_stream_events ev;
    pb_copy_known(&info, sizeof info, given, given->struct_size, "pbay_stream_open_info");
    pb_copy_known(&ev, sizeof ev, events, events->struct_size, "pbay_stream_events");
    if (!good(c, &info, &ev, why)) return 0;
    struct stream *t = pb_zalloc(sizeof *t);
    t->connector = c;
    t->events = ev;
    t->user = user;
    t->handle = pb_handle_new(&streams, t);
    pb_connector_began(c);
    uint64_t handle = t->handle;
    const struct pb_stream_options o = {
        .host = info.host,
        .port = (uint16_t)info.port,
        .tls = info.flags & PBAY_STREAM_TLS,
        .configured = info.flags & PBAY_STREAM_CONFIGURED,
        .connect_timeout_ms = info.connect_timeout_ms,
        .idle_timeout_ms = info.idle_timeout_ms,
        .outgoing = pb_connector_outgoing(c),
    };
    t->s = pb_stream_open(c->env->loop, &o, &ops, t, pb_why_err());
    if (t->s) return handle;
    pb_handle_release(&streams, handle);
    gone(t);
    pb_why_put(why);
    return 0;
}

static int32_t stream_write(pbay_stream handle, pbay_str piece)
{
    const struct stream *t = pb_handle_get(&streams, handle);
    return t ? pb_stream_write(t->s, piece) : PBAY_CANCELLED;
}

static void stream_credit(pbay_stream handle, size_t n)
{
    const struct stream *t = pb_handle_get(&streams, handle);
    if (t) pb_stream_credit(t->s, n);
}

static void stream_half_close(pbay_stream handle)
{
    const struct stream *t = pb_handle_get(&streams, handle);
    if (t) pb_stream_half_close(t->s);
}

static void stream_close(pbay_stream handle)
{
    const struct stream *t = pb_handle_get(&streams, handle);
    if (t) pb_stream_close(t->s);
}

const pbay_stream_1 pb_service_stream = {
    .struct_size = sizeof(pbay_stream_1),
    .open = stream_open,
    .write = stream_write,
    .credit = stream_credit,
    .half_close = stream_half_close,
    .close = stream_close,
};
