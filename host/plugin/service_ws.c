/* SPDX-License-Identifier: MIT */
/* pbay.host.ws/1 over net/ws.h: each socket knows its connector, and can be shown instead of opened. */
#include <patchbay/host_http.h>
#include <patchbay/host_ws.h>

#include "base/handle.h"
#include "base/mem.h"
#include "net/ws.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"
#include "plugin/why.h"

_Static_assert(PBAY_WS_TEXT == PB_WS_TEXT && PBAY_WS_BINARY == PB_WS_BINARY, "one numbering of types");

struct socket {
    struct pb_connector *connector;
    uint64_t handle;
    struct pb_ws *ws; /* NULL: explained, never opened */
    pbay_ws_events events;
    void *user;
    struct pb_buf url; /* explained: what it would be sent to */
    struct pb_defer step;
    bool shown;
};

static _Thread_local struct pb_handles sockets;

static void gone(void *user)
{
    struct socket *s = user;
    struct pb_connector *c = s->connector;
    pb_buf_free(&s->url);
    pb_free(s);
    if (!sockets.live) pb_handles_free(&sockets);
    pb_connector_ended(c);
}

static void on_open(void *user, struct pb_ws *ws, pbay_str protocol)
{
    struct socket *s = user;
    struct pb_visit v;
    (void)ws;
    pb_visit_enter(&v, s->connector, "ws open", NULL);
    s->events.on_open(s->user, s->handle, protocol);
    pb_visit_leave(&v);
}

static void on_message(void *user, struct pb_ws *ws, uint32_t type, pbay_str message)
{
    struct socket *s = user;
    struct pb_visit v;
    (void)ws;
    pb_visit_enter(&v, s->connector, "ws message", NULL);
    s->events.on_message(s->user, s->handle, type, message);
    pb_visit_leave(&v);
}

static void on_writable(void *user, struct pb_ws *ws)
{
    struct socket *s = user;
    struct pb_visit v;
    (void)ws;
    if (!s->events.on_writable) return;
    pb_visit_enter(&v, s->connector, "ws writable", NULL);
    s->events.on_writable(s->user, s->handle);
    pb_visit_leave(&v);
}

static void on_closed(void *user, struct pb_ws *ws, uint32_t code, pbay_str reason, const struct pb_err *why)
{
    struct socket *s = user;
    struct pb_visit v;
    const pbay_result result = pb_err_result(why);
    (void)ws;
    pb_handle_release(&sockets, s->handle);
    pb_visit_enter(&v, s->connector, "ws close", NULL);
    s->events.on_close(s->user, s->handle, code, reason, &result);
    pb_visit_leave(&v);
}

static const struct pb_ws_ops ops = {on_open, on_message, on_writable, on_closed, gone};

/* ------------------------------------------------------------------------------------------------ explained
 */

static void end_explained(void *user)
{
    struct pb_err err;
    pb_fail(&err, PBAY_CANCELLED, "shown, not sent");
    on_closed(user, NULL, 0, pb_str(NULL, 0), &err);
    gone(user);
}

static void end_soon(struct socket *s)
{
    pb_defer_cancel(&s->step);
    s->step = pb_defer_make(end_explained, s);
    pb_loop_defer(s->connector->env->loop, &s->step);
}

static void begin_explained(void *user)
{
    on_open(user, NULL, pb_str(NULL, 0));
}

static void explain(struct socket *s, const pbay_ws_open_info *info)
{
    const struct pb_plugin_env *env = s->connector->env;
    pb_buf_str(&s->url, info->url);
    env->explain(env->explain_user, pb_str_c(s->connector->name), PB_STR("GET"), info->url, info->headers,
                 info->n_headers, pb_str(NULL, 0));
    s->step = pb_defer_make(begin_explained, s);
    pb_loop_defer(env->loop, &s->step);
}

/* It ends when what was sent in one go has been shown. */
static int32_t show(struct socket *s, pbay_str message)
{
    const struct pb_plugin_env *env = s->connector->env;
    env->explain(env->explain_user, pb_str_c(s->connector->name), PB_STR("MESSAGE"), pb_buf_view(&s->url),
                 NULL, 0, message);
    if (!s->shown) end_soon(s);
    s->shown = true;
    return PBAY_OK;
}

/* ------------------------------------------------------------------------------------------------ the table
 */

static bool good(struct pb_connector *c, const pbay_ws_open_info *info, const pbay_ws_events *ev,
                 pbay_result *why)
{
    if (pb_connector_locked(c, PBAY_SVC_WS)) {
        pb_why(why, PBAY_PERMISSION_DENIED, "the request that is being handled has not been accepted yet");
        return false;
    }
    const char *wrong =
        !ev->on_open || !ev->on_message || !ev->on_close ? "events.on_open, on_message or on_close is NULL"
        : info->flags & ~(PBAY_HTTP_CONFIGURED | PBAY_HTTP_METADATA) ? "info.flags are not known"
                                                                     : NULL;
    if (wrong) pb_why(why, PBAY_INVALID_ARGUMENT, "%s", wrong);
    return !wrong;
}

static pbay_ws ws_open(const pbay_host *host, const pbay_ws_open_info *given, const pbay_ws_events *events,
                       void *user, pbay_result *why)
{
    struct pb_connector *c = pb_connector_of(host);
    pbay_ws_open_info info;
    pbay_ws_events ev;
    pb_copy_known(&info, sizeof info, given, given->struct_size, "pbay_ws_open_info");
    pb_copy_known(&ev, sizeof ev, events, events->struct_size, "pbay_ws_events");
    if (!good(c, &info, &ev, why)) return 0;
    struct socket *s = pb_zalloc(sizeof *s);
    s->connector = c;
    s->events = ev;
    s->user = user;
    s->handle = pb_handle_new(&sockets, s);
    pb_connector_began(c);
    uint64_t handle = s->handle;
    if (c->env->explain) {
        explain(s, &info);
        return handle;
    }
    const struct pb_ws_options o = {
        .url = info.url,
        .configured = info.flags & PBAY_HTTP_CONFIGURED,
        .metadata = info.flags & PBAY_HTTP_METADATA,
        .headers = info.headers,
        .n_headers = info.n_headers,
        .max_frame = info.max_frame,
        .max_message = info.max_message,
        .max_send = info.max_send,
        .connect_timeout_ms = info.connect_timeout_ms,
        .ping_ms = info.ping_ms,
        .protocols = info.protocols,
        .outgoing = pb_connector_outgoing(c),
    };
    s->ws = pb_ws_open(c->env->loop, &o, &ops, s, pb_why_err());
    if (s->ws) return handle;
    pb_handle_release(&sockets, handle);
    gone(s);
    pb_why_put(why);
    return 0;
}

static int32_t ws_send(pbay_ws handle, uint32_t type, pbay_str message)
{
    struct socket *s = pb_handle_get(&sockets, handle);
    if (!s) return PBAY_CANCELLED;
    return s->ws ? pb_ws_send(s->ws, type, message) : show(s, message);
}

static void ws_credit(pbay_ws handle, uint32_t messages)
{
    struct socket *s = pb_handle_get(&sockets, handle);
    if (s && s->ws) pb_ws_credit(s->ws, messages);
}

static void ws_close(pbay_ws handle, uint32_t code, pbay_str reason)
{
    struct socket *s = pb_handle_get(&sockets, handle);
    if (!s) return;
    if (s->ws)
        pb_ws_close(s->ws, code, reason);
    else
        end_soon(s);
}

const pbay_ws_1 pb_service_ws = {
    .struct_size = sizeof(pbay_ws_1),
    .open = ws_open,
    .send = ws_send,
    .credit = ws_credit,
    .close = ws_close,
};
