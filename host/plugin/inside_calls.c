/* SPDX-License-Identifier: MIT */
/* Calls of functions, as the process that runs them has them: pbay.host.call/1 without the worker. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "data/batch.h"
#include "plugin/inside_priv.h"
#include "plugin/services.h"

/* An operation bound to a function. */
struct bound {
    uint64_t id;
    void *bound;
    struct pb_arena mem;
    const char *function;
    struct pbay_config *config;
    uint32_t operation;
};

/* Rows of a push that the plugin has not taken. */
struct rows {
    struct rows *next;
    struct pbay_builder *in;
    size_t bytes;
};

struct call {
    uint64_t handle;
    struct bound *bound;
    uint32_t attempt;
    int64_t deadline, timeout_ns, due;
    pbay_identity identity;
    pbay_str traceparent;
    struct pbay_config *options; /* of this call alone, or NULL */
    struct pbay_builder *in;
    uint32_t marks; /* PB_APART_NO_STORE, _IDENTITY: to be told with the next message */
    bool inside;    /* submit, open, push or end is running: not to be freed */
    bool over;      /* completed */
    bool ending;    /* cancelled */

    /* aggregates and tables */
    bool stream, waits /* for `ready` */, ready_inside, ends, want_writable;
    struct rows *first, **last;
    size_t emitted; /* and not gone on */
    struct pb_defer step;
    void *plugins; /* what the plugin keeps for it */
    char text[];
};

static struct pb_inside_table bounds, calls;

static const pbay_functions_1 *table(void)
{
    return &pb_inside.plugin->functions;
}

/* ------------------------------------------------------------------------------------------------ binding */

static void bind(uint64_t asked, struct pb_in *in)
{
    const struct pb_plugin *p = pb_inside.plugin;
    struct pb_err err = {0};
    struct bound *b = pb_zalloc(sizeof *b);
    pbay_function_info info = {.struct_size = sizeof info};
    b->id = pb_in_u64(in);
    b->operation = info.operation = pb_in_u32(in);
    info.name = pb_arena_str(&b->mem, pb_in_str(in));
    b->function = info.name.p;
    /* Names in the message may move while bind asks for something. */
    const pbay_field *sends = pb_in_fields(in, &b->mem, &info.n_sends);
    const pbay_field *answers = pb_in_fields(in, &b->mem, &info.n_answers);
    pbay_field *own = pb_arena_zalloc(&b->mem, (info.n_sends + info.n_answers + 1u) * sizeof *own);
    for (uint32_t i = 0; i < info.n_sends + info.n_answers; i++) {
        const pbay_field *f = i < info.n_sends ? &sends[i] : &answers[i - info.n_sends];
        own[i] = (pbay_field){pb_arena_str(&b->mem, f->name), f->kind, 0};
    }
    info.sends = own;
    info.answers = own + info.n_sends;
    info.max_rows = pb_in_u32(in);
    info.flags = pb_in_u32(in);
    int rc = p->has_functions && b->operation < p->functions.n_operations
                 ? 0
                 : pb_fail(&err, PBAY_INTERNAL, "there is no operation %u", b->operation);
    if (!rc) {
        const pbay_option_table *options = &p->operations[b->operation].options;
        rc = pb_in_config(in, &options, 1, &b->config, &err);
    }
    info.config = b->config;
    if (!rc && table()->bind) {
        pbay_result why = PBAY_RESULT_OK;
        struct pb_visit v;
        pb_visit_enter(&v, pb_inside.c, "bind", b->function);
        int32_t code = table()->bind(pb_inside.c->self, &info, &b->bound, &why);
        pb_visit_leave(&v);
        if (code != PBAY_OK) {
            pb_plugin_why(&err, code, &why, "bind");
            rc = -1;
        }
    }
    pbay_str lane = {NULL, 0};
    if (!rc && table()->lane) {
        struct pb_visit v;
        pb_visit_enter(&v, pb_inside.c, "lane", b->function);
        lane = table()->lane(pb_inside.c->self, b->bound);
        pb_visit_leave(&v);
    }
    struct pb_buf *m = pb_inside_begin(PB_APART_REPLY, asked);
    if (rc) {
        pb_put_err(m, &err);
        pb_config_free(b->config);
        pb_arena_free(&b->mem);
        pb_free(b);
    } else {
        pb_put_result(m, NULL);
        pb_put_str(m, lane);
        pb_inside_set(&bounds, b->id, b);
        pb_connector_began(pb_inside.c);
    }
    pb_inside_commit();
}

static void unbind(struct bound *b)
{
    if (table()->unbind) {
        struct pb_visit v;
        pb_visit_enter(&v, pb_inside.c, "unbind", b->function);
        table()->unbind(pb_inside.c->self, b->bound);
        pb_visit_leave(&v);
    }
    pb_inside_set(&bounds, b->id, NULL);
    pb_config_free(b->config);
    pb_arena_free(&b->mem);
    pb_free(b);
    pb_connector_ended(pb_inside.c);
}

/* ----------------------------------------------------------------------------------------- life of a call */

static void drop_rows(struct call *c)
{
    for (struct rows *r; (r = c->first) != NULL;) {
        c->first = r->next;
        pb_builder_unref(r->in);
        pb_free(r);
    }
    c->last = &c->first;
}

static void free_call(struct call *c)
{
    pb_defer_cancel(&c->step);
    drop_rows(c);
    pb_builder_unref(c->in);
    pb_config_free(c->options);
    pb_free(c);
    pb_connector_ended(pb_inside.c);
}

/* The last word of a call. Takes out. */
static void finish(struct call *c, const pbay_result *result, struct pbay_builder *out)
{
    const pbay_batch *batch = NULL;
    struct pb_err err;
    pbay_result broken;
    if (out && (!result || result->code == PBAY_OK) && !(batch = pb_builder_seal(out, &err))) {
        pb_connector_fault(pb_inside.c, "completed with rows that do not fit", err.msg);
        err.code = PBAY_INTERNAL;
        err.effect = PBAY_EFFECT_MAYBE;
        broken = pb_err_result(&err);
        result = &broken;
    }
    struct pb_buf *m = pb_inside_begin(PB_APART_COMPLETE, c->handle);
    pb_put_u32(m, c->marks | (batch ? PB_APART_ROWS : 0));
    pb_put_result(m, result);
    if (batch) pb_pipe_put_rows(pb_inside.pipe, m, batch);
    pb_inside_commit();
    pb_builder_unref(out);
    pb_inside_set(&calls, c->handle, NULL);
    c->over = true;
    if (!c->inside) free_call(c);
}

/* A visit to the plugin on behalf of a call, which may end inside. */
static void enter(struct pb_visit *v, struct call *c, const char *what)
{
    pb_visit_enter(v, pb_inside.c, what, c->bound->function);
    pb_current.trace = c->traceparent;
    c->inside = true;
    atomic_store_explicit(&pb_inside.page->call, c->handle, memory_order_relaxed);
}

/* False: it has ended, and is freed. */
static bool leave(struct pb_visit *v, struct call *c)
{
    pb_visit_leave(v);
    c->inside = false;
    atomic_store_explicit(&pb_inside.page->call, 0, memory_order_relaxed);
    if (!c->over) return true;
    free_call(c);
    return false;
}

/* submit, open or push did not take it. */
static void refused(struct pb_visit *v, struct call *c, int32_t code, pbay_result *why)
{
    /* What the plugin says lives until the next call into it. */
    if (c->over)
        pb_connector_fault(pb_inside.c, "a call was completed and refused", c->bound->function);
    else {
        why->code = pb_plugin_code(code);
        finish(c, why, NULL);
    }
    leave(v, c);
}

static void push_on(struct call *c)
{
    while (c->first && !c->waits && !c->ending) {
        struct rows *r = c->first;
        pbay_result why = PBAY_RESULT_OK;
        struct pb_visit v;
        c->ready_inside = false;
        enter(&v, c, "push");
        int32_t code =
            table()->push(pb_inside.c->self, c->bound->bound, c->handle, pb_builder_seal(r->in, NULL), &why);
        if (code == PBAY_LATER && !c->over) {
            c->waits = !c->ready_inside;
            if (c->ready_inside) pb_loop_defer(pb_inside.loop, &c->step);
            leave(&v, c);
            return;
        }
        if (code != PBAY_OK && code != PBAY_LATER) {
            refused(&v, c, code, &why);
            return;
        }
        if (!leave(&v, c)) return;
        pb_put_u64(pb_inside_begin(PB_APART_PUSHED, c->handle), r->bytes);
        pb_inside_commit();
        c->due = pb_mono_ns() + c->timeout_ns;
        c->first = r->next;
        if (!c->first) c->last = &c->first;
        pb_builder_unref(r->in);
        pb_free(r);
    }
    if (c->first || !c->ends || c->ending) return;
    c->ends = false;
    struct pb_visit v;
    enter(&v, c, "end");
    table()->end(pb_inside.c->self, c->bound->bound, c->handle);
    leave(&v, c);
}

static void step(void *user)
{
    push_on(user);
}

static pbay_str put_text(char **at, pbay_str s)
{
    char *p = *at;
    if (s.n) memcpy(p, s.p, s.n);
    *at = p + s.n;
    return pb_str(p, s.n);
}

/* The call in front of a message; NULL: nonsense, or its options do not fit. */
static struct call *new_call(uint64_t handle, struct pb_in *in)
{
    struct bound *b = pb_inside_get(&bounds, pb_in_u64(in));
    uint32_t attempt = pb_in_u32(in);
    int64_t deadline = pb_in_i64(in), timeout_ns = pb_in_i64(in);
    pbay_str s[5];
    size_t n = 0;
    for (size_t i = 0; i < PB_COUNTOF(s); i++) n += (s[i] = pb_in_str(in)).n;
    if (in->bad || !b) return NULL;
    struct call *c = pb_alloc(sizeof *c + n);
    memset(c, 0, sizeof *c);
    c->handle = handle;
    c->bound = b;
    c->attempt = attempt;
    c->deadline = deadline;
    c->timeout_ns = timeout_ns;
    c->due = pb_mono_coarse_ns() + timeout_ns;
    c->last = &c->first;
    c->step = pb_defer_make(step, c);
    char *at = c->text;
    c->identity.struct_size = sizeof c->identity;
    c->identity.user = put_text(&at, s[0]);
    c->identity.app = put_text(&at, s[1]);
    c->identity.principal = put_text(&at, s[2]);
    c->identity.source = put_text(&at, s[3]);
    c->traceparent = put_text(&at, s[4]);
    const pbay_option_table *options = &pb_inside.plugin->operations[b->operation].options;
    pb_inside_set(&calls, handle, c);
    pb_connector_began(pb_inside.c);
    struct pb_err err;
    if (!pb_in_config(in, &options, 1, &c->options, &err)) return c;
    pbay_result r = pb_err_result(&err);
    finish(c, &r, NULL);
    return NULL;
}

static void submit(uint64_t handle, struct pb_in *in)
{
    struct call *c = new_call(handle, in);
    struct pb_err err;
    if (!c) return;
    size_t bytes;
    c->in = pb_pipe_rows(pb_inside.pipe, in, &bytes, &err);
    if (!c->in) {
        pbay_result r = pb_err_result(&err);
        finish(c, &r, NULL);
        return;
    }
    pbay_result why = PBAY_RESULT_OK;
    struct pb_visit v;
    enter(&v, c, "submit");
    int32_t code =
        table()->submit(pb_inside.c->self, c->bound->bound, handle, pb_builder_seal(c->in, NULL), &why);
    if (PB_UNLIKELY(code != PBAY_OK))
        refused(&v, c, code, &why);
    else
        leave(&v, c);
}

static void open_it(uint64_t handle, struct pb_in *in)
{
    struct call *c = new_call(handle, in);
    if (!c) return;
    c->stream = true;
    pbay_result why = PBAY_RESULT_OK;
    struct pb_visit v;
    enter(&v, c, "open");
    int32_t code = table()->open(pb_inside.c->self, c->bound->bound, handle, &why);
    if (code != PBAY_OK)
        refused(&v, c, code, &why);
    else
        leave(&v, c);
}

static void push(struct call *c, struct pb_in *in)
{
    struct pb_err err;
    size_t bytes;
    struct pbay_builder *b = pb_pipe_rows(pb_inside.pipe, in, &bytes, &err);
    if (!b) {
        pbay_result r = pb_err_result(&err);
        finish(c, &r, NULL);
        return;
    }
    struct rows *r = pb_zalloc(sizeof *r);
    r->in = b;
    r->bytes = bytes;
    *c->last = r;
    c->last = &r->next;
    if (c->first == r) push_on(c);
}

static void cancel(struct call *c)
{
    c->ending = true;
    drop_rows(c);
    if (!table()->cancel) return;
    struct pb_visit v;
    enter(&v, c, "cancel");
    table()->cancel(pb_inside.c->self, c->bound->bound, c->handle);
    leave(&v, c);
}

static void emitted(struct call *c, struct pb_in *in)
{
    uint64_t n = pb_in_u64(in);
    c->emitted -= n < c->emitted ? (size_t)n : c->emitted;
    if (!c->want_writable || c->emitted > PB_INSIDE_WINDOW / 2 || c->ending) return;
    c->want_writable = false;
    if (!table()->writable) return;
    struct pb_visit v;
    enter(&v, c, "writable");
    table()->writable(pb_inside.c->self, c->bound->bound, c->handle);
    leave(&v, c);
}

bool pb_inside_function(uint32_t type, uint64_t handle, struct pb_in *in)
{
    switch (type) {
    case PB_APART_SUBMIT: submit(handle, in); return true;
    case PB_APART_OPEN: open_it(handle, in); return true;
    case PB_APART_BIND: bind(handle, in); return true;
    case PB_APART_UNBIND: {
        struct bound *b = pb_inside_get(&bounds, handle);
        if (b) unbind(b);
        return true;
    }
    default: break;
    }
    if (type < PB_APART_PUSH || type > PB_APART_CANCEL) return false;
    struct call *c = pb_inside_get(&calls, handle);
    if (type == PB_APART_PUSH && (!c || c->ending)) {
        pb_pipe_skip_rows(pb_inside.pipe, in);
        return true;
    }
    if (!c) return true; /* it has just ended */
    switch (type) {
    case PB_APART_PUSH: push(c, in); return true;
    case PB_APART_END:
        c->ends = true;
        if (!c->first) push_on(c);
        return true;
    case PB_APART_EMITTED: emitted(c, in); return true;
    default: cancel(c); return true;
    }
}

/* -------------------------------------------------------------------------------------------- the service */

static struct call *call_of(pbay_call handle, const char *what)
{
    return pb_inside_find(&calls, handle, "a call that is over was used", what);
}

static int64_t call_deadline(pbay_call handle)
{
    const struct call *c = call_of(handle, "deadline");
    if (!c) return 0;
    return c->stream || c->ending || c->deadline < c->due ? c->deadline : c->due;
}

static const pbay_identity *call_identity(pbay_call handle)
{
    struct call *c = call_of(handle, "identity");
    if (!c) return NULL;
    c->marks |= PB_APART_IDENTITY;
    return &c->identity;
}

static pbay_str call_function(pbay_call handle)
{
    const struct call *c = call_of(handle, "function");
    return c ? pb_str_c(c->bound->function) : pb_str(NULL, 0);
}

static const pbay_config *call_options(pbay_call handle)
{
    const struct call *c = call_of(handle, "options");
    if (!c) return NULL;
    return c->options ? c->options : c->bound->config;
}

static pbay_str call_traceparent(pbay_call handle)
{
    const struct call *c = call_of(handle, "traceparent");
    return c ? c->traceparent : pb_str(NULL, 0);
}

static uint32_t call_attempt(pbay_call handle)
{
    const struct call *c = call_of(handle, "attempt");
    return c ? c->attempt : 0;
}

static void call_complete(pbay_call handle, const pbay_result *result, pbay_builder *out)
{
    struct call *c = call_of(handle, "complete");
    if (c)
        finish(c, result, out);
    else
        pb_builder_unref(out);
}

static struct call *stream_of(pbay_call handle, const char *what)
{
    struct call *c = call_of(handle, what);
    if (!c) return NULL;
    if (!c->stream) {
        pb_connector_fault(pb_inside.c, "a map call was used as a stream", what);
        return NULL;
    }
    return c->ending ? NULL : c;
}

static void call_ready(pbay_call handle)
{
    struct call *c = stream_of(handle, "ready");
    if (!c) return;
    if (c->inside) c->ready_inside = true;
    if (!c->waits) return;
    c->waits = false;
    pb_loop_defer(pb_inside.loop, &c->step);
}

static int32_t call_emit(pbay_call handle, pbay_builder *out)
{
    struct call *c = stream_of(handle, "emit");
    struct pb_err err;
    if (!c || !out) {
        pb_builder_unref(out);
        return PBAY_CANCELLED;
    }
    const pbay_batch *batch = pb_builder_seal(out, &err);
    if (!batch) {
        pb_builder_unref(out);
        pb_connector_fault(pb_inside.c, "rows that do not fit", err.msg);
        err.code = PBAY_INTERNAL;
        err.effect = PBAY_EFFECT_MAYBE;
        pbay_result r = pb_err_result(&err);
        finish(c, &r, NULL);
        return PBAY_INTERNAL;
    }
    struct pb_buf *m = pb_inside_begin(PB_APART_EMIT, handle);
    pb_put_u32(m, c->marks);
    c->emitted += pb_pipe_put_rows(pb_inside.pipe, m, batch);
    pb_inside_commit();
    pb_builder_unref(out);
    if (c->emitted <= PB_INSIDE_WINDOW) return PBAY_OK;
    c->want_writable = true;
    return PBAY_LATER;
}

static void call_describe(pbay_call handle, pbay_str table_name, const pbay_field *fields, uint32_t n)
{
    if (!stream_of(handle, "describe")) return;
    struct pb_buf *m = pb_inside_begin(PB_APART_DESCRIBE, handle);
    pb_put_str(m, table_name);
    pb_put_fields(m, fields, n);
    pb_inside_commit();
}

static void call_no_store(pbay_call handle)
{
    struct call *c = call_of(handle, "no_store");
    if (c) c->marks |= PB_APART_NO_STORE;
}

static void call_set_user(pbay_call handle, void *user)
{
    struct call *c = call_of(handle, "set_user");
    if (c) c->plugins = user;
}

static void *call_user(pbay_call handle)
{
    const struct call *c = call_of(handle, "user");
    return c ? c->plugins : NULL;
}

const pbay_call_1 pb_inside_call = {
    .struct_size = sizeof(pbay_call_1),
    .deadline = call_deadline,
    .identity = call_identity,
    .function = call_function,
    .options = call_options,
    .traceparent = call_traceparent,
    .attempt = call_attempt,
    .complete = call_complete,
    .ready = call_ready,
    .emit = call_emit,
    .describe = call_describe,
    .no_store = call_no_store,
    .set_user = call_set_user,
    .user = call_user,
};
