/* SPDX-License-Identifier: MIT */
/* pbay.host.invoke/1 for a connector in its own process: the worker invokes, this end has the callbacks. */
#include <string.h>

#include "base/handle.h"
#include "base/map.h"
#include "base/mem.h"
#include "data/batch.h"
#include "plugin/inside_priv.h"
#include "plugin/services.h"
#include "plugin/why.h"

struct invoked {
    uint64_t handle;
    pbay_invoke_events events;
    void *user;
    size_t pushed; /* bytes that were not said to be taken */
    bool full;     /* push has answered LATER */
};

static struct pb_handles invoked;

static struct invoked *find(pbay_invoke handle, const char *what)
{
    struct invoked *i = pb_handle_get(&invoked, handle);
    if (!i && pb_current.connector)
        pb_connector_fault(pb_current.connector, "an invocation that is over was used", what);
    return i;
}

/* ------------------------ what there is; borrowed as long as the connector lives, so it is asked for once */

static struct pb_arena mem;
static struct pb_map functions; /* name -> pbay_invoke_function */
static pbay_str *names;
static size_t n_names, names_cap;

static const pbay_field *own_fields(struct pb_in *in, uint32_t *n)
{
    const pbay_field *f = pb_in_fields(in, &mem, n);
    pbay_field *own = pb_arena_zalloc(&mem, (*n + (size_t)1) * sizeof *own);
    for (uint32_t i = 0; i < *n; i++) own[i] = (pbay_field){pb_arena_str(&mem, f[i].name), f[i].kind, 0};
    return own;
}

static int32_t svc_describe(const pbay_host *host, pbay_str function, pbay_invoke_function *out)
{
    const pbay_invoke_function *known = pb_map_get(&functions, function);
    (void)host;
    if (!known) {
        pbay_str name = pb_arena_str(&mem, function);
        pb_put_str(pb_inside_question(PB_APART_INVOKE_DESCRIBES), function);
        struct pb_in in = pb_inside_ask();
        int32_t code = pb_in_i32(&in);
        if (code != PBAY_OK) return code;
        pbay_invoke_function *f = pb_arena_zalloc(&mem, sizeof *f);
        f->shape = pb_in_u32(&in);
        f->flags = pb_in_u32(&in);
        f->params = own_fields(&in, &f->n_params);
        f->returns = own_fields(&in, &f->n_returns);
        f->doc = pb_arena_str(&mem, pb_in_str(&in));
        pb_map_add(&functions, name, f);
        known = f;
    }
    pbay_invoke_function whole = *known;
    whole.struct_size = out->struct_size;
    memcpy(out, &whole, out->struct_size < sizeof whole ? out->struct_size : sizeof whole);
    return PBAY_OK;
}

static pbay_str svc_nth(const pbay_host *host, uint32_t i)
{
    (void)host;
    while (n_names <= i) {
        pb_put_u32(pb_inside_question(PB_APART_INVOKE_NTH), (uint32_t)n_names);
        struct pb_in in = pb_inside_ask();
        pbay_str name = pb_in_str(&in);
        if (!name.n) return pb_str("", 0);
        PB_GROW(names, names_cap, n_names + 1);
        names[n_names++] = pb_arena_str(&mem, name);
    }
    return names[i];
}

/* -------------------------------------------------------------------------------------------- one of them */

static pbay_invoke svc_open(const pbay_host *host, const pbay_invoke_info *given, pbay_str json,
                            const pbay_invoke_events *events, void *user, pbay_result *why)
{
    pbay_invoke_info info = {0};
    (void)host;
    if (pb_connector_locked(pb_inside.c, PBAY_SVC_INVOKE)) {
        pb_why(why, PBAY_PERMISSION_DENIED, "the caller of the request is not known yet");
        return 0;
    }
    size_t least = offsetof(pbay_invoke_info, sends);
    if (given->struct_size < least) {
        pb_why(why, PBAY_INVALID_ARGUMENT, "pbay_invoke_info.struct_size is %u, at least %zu expected",
               given->struct_size, least);
        return 0;
    }
    memcpy(&info, given, given->struct_size < sizeof info ? given->struct_size : sizeof info);
    struct invoked *i = pb_zalloc(sizeof *i);
    pb_copy_known(&i->events, sizeof i->events, events, events->struct_size, "pbay_invoke_events");
    i->user = user;
    i->handle = pb_handle_new(&invoked, i);
    struct pb_buf *m = pb_inside_question(PB_APART_INVOKE_OPEN);
    pb_put_u64(m, i->handle);
    pb_put_u32(m, i->events.on_rows != NULL);
    pb_put_u32(m, info.kind);
    pb_put_u32(m, info.flags);
    pb_put_str(m, info.target);
    pb_put_headers(m, info.options, info.n_options);
    pb_put_u64(m, info.parent_call);
    pb_put_u64(m, info.parent_request);
    pb_put_i64(m, info.deadline);
    pb_put_str(m, info.user);
    pb_put_str(m, info.app);
    pb_put_str(m, info.key);
    pb_put_fields(m, info.sends, info.n_sends);
    pb_put_fields(m, info.answers, info.n_answers);
    pb_put_str(m, json);
    struct pb_in in = pb_inside_ask_bound();
    bool opened = pb_in_u32(&in);
    if (opened) {
        pb_connector_began(pb_inside.c);
        return i->handle;
    }
    pbay_result r = pb_in_result(&in);
    pb_handle_release(&invoked, i->handle);
    pb_free(i);
    pb_err_from_result(pb_why_err(), &r);
    pb_why_put(why);
    return 0;
}

static int32_t svc_push(pbay_invoke handle, const pbay_batch *batch)
{
    struct invoked *i = find(handle, "push");
    if (!i) return PBAY_CANCELLED;
    if (i->pushed > PB_INSIDE_WINDOW) {
        i->full = true;
        return PBAY_LATER;
    }
    struct pb_buf *m = pb_inside_begin(PB_APART_INVOKE_PUSH, handle);
    i->pushed += pb_pipe_put_rows(pb_inside.pipe, m, batch);
    pb_inside_commit();
    return PBAY_OK;
}

static void svc_end(pbay_invoke handle)
{
    if (!find(handle, "end")) return;
    pb_inside_begin(PB_APART_INVOKE_END, handle);
    pb_inside_commit();
}

static void svc_credit(pbay_invoke handle, uint32_t rows)
{
    if (!find(handle, "credit")) return;
    pb_put_u32(pb_inside_begin(PB_APART_INVOKE_CREDIT, handle), rows);
    pb_inside_commit();
}

static void svc_cancel(pbay_invoke handle)
{
    if (!pb_handle_get(&invoked, handle)) return; /* too late is no fault */
    pb_inside_begin(PB_APART_INVOKE_CANCEL, handle);
    pb_inside_commit();
}

const pbay_invoke_1 pb_inside_invoke = {
    .struct_size = sizeof(pbay_invoke_1),
    .describe = svc_describe,
    .open = svc_open,
    .push = svc_push,
    .end = svc_end,
    .credit = svc_credit,
    .cancel = svc_cancel,
    .nth = svc_nth,
};

/* ---------------------------------------------------------------------------------------- what comes back */

static void on_rows(struct invoked *i, struct pb_in *in)
{
    struct pb_err err;
    size_t bytes;
    struct pbay_builder *b = pb_pipe_rows(pb_inside.pipe, in, &bytes, &err);
    if (!b) return;
    struct pb_visit v;
    pb_visit_enter(&v, pb_inside.c, "invoke rows", NULL);
    i->events.on_rows(i->user, i->handle, pb_builder_seal(b, NULL));
    pb_visit_leave(&v);
    pb_builder_unref(b);
}

static void on_done(struct invoked *i, struct pb_in *in)
{
    struct pb_arena own = {0};
    pbay_result r = pb_in_result(in);
    r.vendor_code = pb_arena_str(&own, r.vendor_code);
    r.message = pb_arena_str(&own, r.message);
    pbay_str json = pb_arena_str(&own, pb_in_str(in));
    uint64_t handle = i->handle;
    pb_handle_release(&invoked, handle);
    struct pb_visit v;
    pb_visit_enter(&v, pb_inside.c, "invoke done", NULL);
    i->events.on_done(i->user, handle, &r, json);
    pb_visit_leave(&v);
    pb_free(i);
    pb_arena_free(&own);
    pb_connector_ended(pb_inside.c);
}

bool pb_inside_invoked(uint32_t type, uint64_t handle, struct pb_in *in)
{
    if (type < PB_APART_INVOKE_READY || type > PB_APART_INVOKE_DONE) return false;
    struct invoked *i = pb_handle_get(&invoked, handle);
    if (!i) return true;
    struct pb_visit v;
    if (type == PB_APART_INVOKE_ROWS)
        on_rows(i, in);
    else if (type == PB_APART_INVOKE_DONE)
        on_done(i, in);
    else if (type == PB_APART_INVOKE_READY) {
        uint64_t n = pb_in_u64(in);
        i->pushed -= n < i->pushed ? (size_t)n : i->pushed;
        if (!i->full || i->pushed > PB_INSIDE_WINDOW / 2) return true;
        i->full = false;
        if (!i->events.on_ready) return true;
        pb_visit_enter(&v, pb_inside.c, "invoke ready", NULL);
        i->events.on_ready(i->user, handle);
        pb_visit_leave(&v);
    } else if (i->events.on_describe) {
        struct pb_arena own = {0};
        uint32_t n;
        const pbay_field *fields = pb_in_fields(in, &own, &n);
        pb_visit_enter(&v, pb_inside.c, "invoke describe", NULL);
        i->events.on_describe(i->user, handle, fields, n);
        pb_visit_leave(&v);
        pb_arena_free(&own);
    }
    return true;
}
