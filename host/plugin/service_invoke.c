/* SPDX-License-Identifier: MIT */
/*
 * pbay.host.invoke/1: the handles that plugins hold, what they inherit from the call or request they serve,
 * and the end of both. What an invocation does is behind the table of invoke.h.
 */
#include <patchbay/host_invoke.h>

#include "base/clock.h"
#include "base/handle.h"
#include "base/mem.h"
#include "plugin/operation_priv.h"
#include "plugin/services.h"
#include "plugin/why.h"

enum { LIVE_MAX = 65536 };

struct pb_invoked {
    struct pb_connector *connector;
    const struct pb_invoker *invoker;
    struct pb_invocation *invocation;
    uint64_t handle;
    pbay_invoke_events events;
    void *user;
    uint64_t parent_call; /* whose answer depends on this one's; 0: none */
    /* Of the parent, when it is not detached; and of the connector. */
    struct pb_invoked *next, **link;
    struct pb_invoked *sibling, **sibling_link;
};

static _Thread_local struct pb_handles invoked;

static void unlink_parent(struct pb_invoked *i)
{
    if (!i->link) return;
    *i->link = i->next;
    if (i->next) i->next->link = i->link;
    i->link = NULL;
    i->next = NULL;
}

static void link_parent(struct pb_invoked *i, struct pb_invoked **first)
{
    i->link = first;
    i->next = *first;
    if (i->next) i->next->link = &i->next;
    *first = i;
}

static void invoked_free(struct pb_invoked *i)
{
    unlink_parent(i);
    *i->sibling_link = i->sibling;
    if (i->sibling) i->sibling->sibling_link = i->sibling_link;
    pb_handle_release(&invoked, i->handle);
    struct pb_connector *c = i->connector;
    pb_free(i);
    pb_connector_ended(c);
}

void pb_invoke_pool_free(void)
{
    if (!invoked.live) pb_handles_free(&invoked);
}

void pb_invoke_orphan(struct pb_invoked **children)
{
    while (*children) {
        struct pb_invoked *i = *children;
        unlink_parent(i);
        i->invoker->cancel(i->invocation, "what it was invoked for has ended");
    }
}

void pb_invoke_stop(struct pb_connector *c)
{
    for (struct pb_invoked *i = c->invoked; i; i = i->sibling)
        i->invoker->cancel(i->invocation, "the connector that invoked it stops");
}

/* ------------------------------------------------------------------------------------------------ what comes
 * back */

/* The answer of the call that asked depends on what this one's depends on. */
static void taint(const struct pb_invoked *i, bool no_store, bool personal)
{
    struct pb_op_call *call = i->parent_call ? pb_handle_get(&pb_op_calls, i->parent_call) : NULL;
    if (!call) return;
    call->no_store = call->no_store || no_store;
    call->per_user = call->per_user || personal;
}

static void on_ready(void *user)
{
    struct pb_invoked *i = user;
    if (!i->events.on_ready) return;
    struct pb_visit v;
    pb_visit_enter(&v, i->connector, "invoke ready", NULL);
    i->events.on_ready(i->user, i->handle);
    pb_visit_leave(&v);
}

static void on_describe(void *user, const pbay_field *fields, uint32_t n)
{
    struct pb_invoked *i = user;
    if (!i->events.on_describe) return;
    struct pb_visit v;
    pb_visit_enter(&v, i->connector, "invoke describe", NULL);
    i->events.on_describe(i->user, i->handle, fields, n);
    pb_visit_leave(&v);
}

static void on_rows(void *user, const pbay_batch *rows, bool personal)
{
    struct pb_invoked *i = user;
    taint(i, rows->n_row_errors != 0, personal);
    if (!i->events.on_rows) {
        i->invoker->credit(i->invocation, rows->n_rows);
        return;
    }
    struct pb_visit v;
    pb_visit_enter(&v, i->connector, "invoke rows", NULL);
    i->events.on_rows(i->user, i->handle, rows);
    pb_visit_leave(&v);
}

static void on_done(void *user, const struct pb_err *err, const struct pb_invoke_end *end)
{
    struct pb_invoked *i = user;
    taint(i, end->no_store, end->personal);
    uint64_t handle = i->handle;
    pb_handle_release(&invoked, handle);
    pbay_result result = PBAY_RESULT_OK;
    if (err->code != PBAY_OK) result = pb_err_result(err);
    struct pb_visit v;
    pb_visit_enter(&v, i->connector, "invoke done", NULL);
    i->events.on_done(i->user, handle, &result, end->json);
    pb_visit_leave(&v);
    invoked_free(i);
}

static const struct pb_invoke_sink sink = {on_ready, on_describe, on_rows, on_done};

/* ------------------------------------------------------------------------------------------------
 * inheritance
 */

static void earlier(int64_t *deadline, int64_t other)
{
    if (other < *deadline) *deadline = other;
}

/* Fill what the parent gives; *children is where the invocation is hung up, NULL: nowhere. -1 with err. */
static int inherit(struct pb_connector *c, const pbay_invoke_info *info, struct pb_invoke_request *r,
                   struct pb_invoked ***children, struct pb_err *err)
{
    static const pbay_identity nobody = {sizeof nobody, 0, {0, 0}, {0, 0}, {0, 0}, {0, 0}};
    *children = NULL;
    r->identity = nobody;
    r->identity.source = pb_str_c(c->plugin->name);
    r->deadline_ns = PB_NO_DEADLINE;
    r->depth = 1;
    bool bound = !(info->flags & PBAY_INVOKE_DETACHED);
    if (info->parent_call) {
        struct pb_op_call *call = pb_op_call_of(info->parent_call, "invoke");
        if (!call || call->told)
            return pb_fail(err, PBAY_CANCELLED, "the call that it was to be invoked for is over");
        r->identity = call->ctx->identity;
        r->traceparent = call->ctx->traceparent;
        r->depth = call->ctx->depth + 1;
        if (!bound) return 0;
        earlier(&r->deadline_ns, call->ctx->deadline_ns);
        if (pb_deadline_is_set(&call->deadline)) earlier(&r->deadline_ns, call->deadline.due_ns);
        *children = &call->children;
    } else if (info->parent_request) {
        struct pb_request_parent parent = {0};
        if (!c->env->request || !c->env->request(info->parent_request, &parent))
            return pb_fail(err, PBAY_CANCELLED, "the request that it was to be invoked for is over");
        r->identity.principal = parent.info->principal;
        r->traceparent = parent.info->traceparent;
        r->peer = parent.info->peer;
        if (!bound) return 0;
        earlier(&r->deadline_ns, parent.info->deadline);
        *children = parent.children;
    }
    return 0;
}

/* The caller's struct may be shorter than the one known here: what it lacks is zero. */
static int read_info(const pbay_invoke_info *info, pbay_invoke_info *out, struct pb_err *err)
{
    size_t least = offsetof(pbay_invoke_info, sends);
    *out = (pbay_invoke_info){0};
    if (info->struct_size < least)
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "pbay_invoke_info.struct_size is %u, at least %zu expected", info->struct_size, least);
    memcpy(out, info, info->struct_size < sizeof *out ? info->struct_size : sizeof *out);
    if (out->flags & ~(uint32_t)(PBAY_INVOKE_DETACHED | PBAY_INVOKE_ROW_ERRORS))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "pbay_invoke_info.flags has unknown bits: 0x%x",
                       out->flags);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ the
 * service */

static int32_t svc_describe(const pbay_host *host, pbay_str function, pbay_invoke_function *out)
{
    const struct pb_invoker *inv = pb_connector_of(host)->env->invoker;
    pbay_invoke_function whole = {.struct_size = sizeof whole};
    int32_t rc = inv->describe(inv->user, function, &whole);
    if (rc == PBAY_OK) {
        uint32_t n = out->struct_size < sizeof whole ? out->struct_size : (uint32_t)sizeof whole;
        whole.struct_size = out->struct_size;
        memcpy(out, &whole, n);
    }
    return rc;
}

static int open_it(struct pb_connector *c, const pbay_invoke_info *given, pbay_str json,
                   const pbay_invoke_events *events, void *user, pbay_invoke *out, struct pb_err *err)
{
    pbay_invoke_info info;
    struct pb_invoke_request r = {0};
    struct pb_invoked **children;
    if (pb_connector_locked(c, PBAY_SVC_INVOKE))
        return pb_fail(err, PBAY_PERMISSION_DENIED, "the caller of the request is not known yet");
    if (c->stopped || c->check_only)
        return pb_fail(err, PBAY_UNAVAILABLE, "connector \"%s\" is not running", c->name);
    if (read_info(given, &info, err) || inherit(c, &info, &r, &children, err)) return -1;
    if (r.depth > PBAY_INVOKE_DEPTH)
        return pb_fail(err, PBAY_FAILED_PRECONDITION,
                       "\"%.*s\" would be invoked inside %u other invocations; %u are allowed: does it call "
                       "itself?",
                       PB_FMT(info.target), r.depth - 1, PBAY_INVOKE_DEPTH - 1);
    if (invoked.live >= LIVE_MAX)
        return pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "%u invocations are under way in this process",
                       LIVE_MAX);
    if (info.deadline) earlier(&r.deadline_ns, info.deadline);
    if (info.user.n) r.identity.user = info.user;
    if (info.app.n) r.identity.app = info.app;
    r.kind = info.kind;
    r.target = info.target;
    r.options = info.options;
    r.n_options = info.n_options;
    r.sends = info.sends;
    r.n_sends = info.n_sends;
    r.answers = info.answers;
    r.n_answers = info.n_answers;
    r.row_errors = (info.flags & PBAY_INVOKE_ROW_ERRORS) != 0;
    r.key = info.key;
    r.json = json;
    struct pb_invoked *i = pb_zalloc(sizeof *i);
    i->connector = c;
    i->invoker = c->env->invoker;
    pb_copy_known(&i->events, sizeof i->events, events, events->struct_size, "pbay_invoke_events");
    i->user = user;
    i->parent_call = info.parent_call;
    i->invocation = i->invoker->open(i->invoker->user, &r, &sink, i, err);
    if (!i->invocation) {
        pb_free(i);
        return -1;
    }
    i->handle = pb_handle_new(&invoked, i);
    i->sibling_link = &c->invoked;
    i->sibling = c->invoked;
    if (i->sibling) i->sibling->sibling_link = &i->sibling;
    c->invoked = i;
    if (children) link_parent(i, children);
    pb_connector_began(c);
    *out = i->handle;
    return 0;
}

static pbay_invoke svc_open(const pbay_host *host, const pbay_invoke_info *info, pbay_str json,
                            const pbay_invoke_events *events, void *user, pbay_result *why)
{
    pbay_invoke handle = 0;
    if (open_it(pb_connector_of(host), info, json, events, user, &handle, pb_why_err())) pb_why_put(why);
    return handle;
}

static struct pb_invoked *invoked_of(pbay_invoke handle, const char *function)
{
    struct pb_invoked *i = pb_handle_get(&invoked, handle);
    if (!i && pb_current.connector)
        pb_connector_fault(pb_current.connector, "an invocation that is over was used", function);
    return i;
}

static int32_t svc_push(pbay_invoke handle, const pbay_batch *in)
{
    struct pb_invoked *i = invoked_of(handle, "push");
    return i ? i->invoker->push(i->invocation, in) : PBAY_CANCELLED;
}

static void svc_end(pbay_invoke handle)
{
    struct pb_invoked *i = invoked_of(handle, "end");
    if (i) i->invoker->end(i->invocation);
}

static void svc_credit(pbay_invoke handle, uint32_t rows)
{
    struct pb_invoked *i = invoked_of(handle, "credit");
    if (i) i->invoker->credit(i->invocation, rows);
}

static void svc_cancel(pbay_invoke handle)
{
    struct pb_invoked *i = pb_handle_get(&invoked, handle); /* too late is no fault */
    if (i) i->invoker->cancel(i->invocation, NULL);
}

static pbay_str svc_nth(const pbay_host *host, uint32_t i)
{
    const struct pb_invoker *inv = pb_connector_of(host)->env->invoker;
    return inv->nth(inv->user, i);
}

const pbay_invoke_1 pb_service_invoke = {
    .struct_size = sizeof(pbay_invoke_1),
    .describe = svc_describe,
    .open = svc_open,
    .push = svc_push,
    .end = svc_end,
    .credit = svc_credit,
    .cancel = svc_cancel,
    .nth = svc_nth,
};
