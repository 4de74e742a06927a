/* SPDX-License-Identifier: MIT */
/*
 * One invocation: a call of the flow whose caller is a plugin. What the plugin asks for is done later in the
 * turn, so that nothing comes back while it is still asking.
 */
#include "flow/invoke.h"

#include "base/check.h"
#include "flow/convert.h"
#include "flow/invoke_action.h"
#include "flow/invoke_priv.h"

enum { INVOCATION_MAGIC = 0x494e564f };

/* Pushed and not yet gone: about so many bytes, then PBAY_LATER. */
#define WINDOW ((size_t)1 << 20)

struct pb_invocation {
    uint32_t magic;
    struct pb_invokes *v;
    struct pb_invocation *next, **link;
    const struct pb_invoke_sink *sink;
    void *user;
    struct pb_arena mem;       /* the texts of the call's request */
    struct pb_flow_call *flow; /* NULL: over, or an action */
    struct pb_invoked_action *action;
    const struct pb_function *fn;
    struct pb_bare_op *bare; /* NULL: a function of the configuration */
    int64_t credit;          /* rows that the plugin will take */
    size_t window;           /* bytes that were pushed and have not left */
    uint64_t n_pushed;       /* rows */

    struct pb_defer step;
    size_t commit_bytes;
    bool commit_due, end_due, end_asked, held, was_full, over, stepping;
    struct pb_err *failure; /* the end that the caller, or what it pushed, brings about */
};

/* ------------------------------------------------------------------------------------------------ what comes
 * back */

static bool on_rows(void *user, const pbay_batch *batch)
{
    struct pb_invocation *i = user;
    PB_MAGIC_CHECK(i, INVOCATION_MAGIC);
    i->credit -= batch->n_rows;
    i->sink->rows(i->user, batch, pb_flow_personal(i->flow));
    i->held = i->credit <= 0;
    return !i->held;
}

static void on_describe(void *user, pbay_str name, const pbay_field *fields, uint32_t n)
{
    struct pb_invocation *i = user;
    (void)name;
    i->sink->describe(i->user, fields, n);
}

static void on_consumed(void *user, size_t bytes)
{
    struct pb_invocation *i = user;
    i->window -= bytes < i->window ? bytes : i->window;
    if (i->was_full && i->window <= WINDOW / 2) pb_loop_defer(i->v->o.loop, &i->step);
}

static void invocation_free(struct pb_invocation *i)
{
    pb_defer_cancel(&i->step);
    *i->link = i->next;
    if (i->next) i->next->link = i->link;
    i->v->live--;
    pb__bare_op_unref(i->bare);
    pb_arena_free(&i->mem);
    pb_free(i->failure);
    i->magic = 0;
    pb_free(i);
}

static void on_done(void *user, const struct pb_err *err, const struct pb_flow_stats *stats)
{
    struct pb_invocation *i = user;
    PB_MAGIC_CHECK(i, INVOCATION_MAGIC);
    const struct pb_invoke_end end = {.no_store = stats->no_store, .personal = stats->personal};
    i->flow = NULL;
    i->over = true;
    i->sink->done(i->user, err, &end);
    if (!i->stepping) invocation_free(i);
}

/* The end of an action, or of the waiting for one. */
static void action_over(void *user, const struct pb_err *err, pbay_str json)
{
    struct pb_invocation *i = user;
    static const struct pb_err fine;
    const struct pb_invoke_end end = {.json = json, .no_store = true};
    i->action = NULL;
    i->over = true;
    i->sink->done(i->user, err ? err : &fine, &end);
    if (!i->stepping) invocation_free(i);
}

static void give_up_action(struct pb_invocation *i, const struct pb_err *err)
{
    pb_invoked_action_drop(i->action);
    action_over(i, err, PB_STR(""));
}

static const struct pb_flow_sink sink = {on_rows, on_describe, on_consumed, on_done};

/* ------------------------------------------------------------------------------------------------ what is
 * asked for */

/* Everything that was asked for since, in its order. Each may end the call. */
static void step(void *user)
{
    struct pb_invocation *i = user;
    i->stepping = true;
    if (i->failure && i->action)
        give_up_action(i, i->failure);
    else if (i->failure && i->flow)
        pb_flow_fail(i->flow, i->failure);
    if (i->flow && i->commit_due) {
        size_t bytes = i->commit_bytes;
        i->commit_due = false;
        i->commit_bytes = 0;
        pb_flow_commit(i->flow, bytes);
    }
    if (i->flow && i->end_due) {
        i->end_due = false;
        pb_flow_end(i->flow);
    }
    if (i->flow && i->held && i->credit > 0) {
        i->held = false;
        pb_flow_writable(i->flow);
    }
    if (i->flow && i->was_full && i->window <= WINDOW / 2) {
        i->was_full = false;
        i->sink->ready(i->user);
    }
    i->stepping = false;
    if (i->over) invocation_free(i);
}

static void fail_later(struct pb_invocation *i, const struct pb_err *err)
{
    if (i->failure || i->over) return;
    i->failure = pb_alloc(sizeof *i->failure);
    *i->failure = *err;
    pb_loop_defer(i->v->o.loop, &i->step);
}

static size_t bytes_of(const pbay_batch *in)
{
    size_t n = 16;
    for (uint32_t c = 0; c < in->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(in, c);
        n += (size_t)in->n_rows * (col->num ? 8 : 4);
        if (col->off) n += col->off[in->n_rows] - col->off[0];
    }
    return n;
}

static int take_rows(struct pb_invocation *i, const pbay_batch *in, struct pb_err *err)
{
    const struct pb_function *fn = i->fn;
    if (in->n_cols != fn->n_params)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%.*s takes %u columns, and %u were sent",
                       PB_FMT(fn->name), fn->n_params, in->n_cols);
    struct pbay_builder *b = pb_flow_input(i->flow);
    uint32_t before = pb_builder_rows(b);
    if (!fn->n_params) b->bare_rows += in->n_rows;
    for (uint32_t c = 0; c < in->n_cols; c++) {
        if (!pb_convert(pbay_batch_col(in, c), in->n_rows, b, c, PB_BAD_ERROR, i->n_pushed, NULL, NULL, err))
            continue;
        pb_fail_in(err, "%.*s, parameter %.*s", PB_FMT(fn->name), PB_FMT(fn->params[c].name));
        pb_builder_truncate(b, before);
        return -1;
    }
    i->n_pushed += in->n_rows;
    return 0;
}

static int32_t invoke_push(struct pb_invocation *i, const pbay_batch *in)
{
    struct pb_err err;
    if (i->over || i->failure || i->end_asked || i->action) return PBAY_CANCELLED;
    if (i->window > WINDOW) {
        i->was_full = true;
        return PBAY_LATER;
    }
    if (!in->n_rows) return PBAY_OK;
    if (take_rows(i, in, &err)) {
        fail_later(i, &err);
        return PBAY_CANCELLED;
    }
    size_t bytes = bytes_of(in);
    i->window += bytes;
    i->commit_bytes += bytes;
    i->commit_due = true;
    pb_loop_defer(i->v->o.loop, &i->step);
    return PBAY_OK;
}

static void invoke_end(struct pb_invocation *i)
{
    if (i->over || i->end_asked || i->action) return;
    i->end_asked = i->end_due = true;
    pb_loop_defer(i->v->o.loop, &i->step);
}

static void invoke_credit(struct pb_invocation *i, uint32_t rows)
{
    i->credit += rows;
    if (i->held && i->credit > 0 && !i->over) pb_loop_defer(i->v->o.loop, &i->step);
}

static void invoke_cancel(struct pb_invocation *i, const char *why)
{
    struct pb_err err;
    pb_fail(&err, PBAY_CANCELLED, "%s", why ? why : "cancelled by the one who invoked it");
    err.effect = PBAY_EFFECT_MAYBE;
    fail_later(i, &err);
}

/* ------------------------------------------------------------------------------------------------ targets */

static const struct pb_function *find_function(struct pb_invokes *v, pbay_str name, struct pb_err *err)
{
    const struct pb_function *fn = v->o.find(v->o.user, name);
    if (fn) return fn;
    struct pb_buf there = {0};
    if (name.n > 256) name.n = pb_utf8_floor(name, 256);
    v->o.list(v->o.user, &there);
    pb_fail(err, PBAY_NOT_FOUND, "there is no function \"%.*s\"; there are: %.*s", PB_FMT(name),
            PB_FMT(pb_buf_view(&there)));
    pb_buf_free(&there);
    return NULL;
}

static pbay_str invoke_nth(void *user, uint32_t i)
{
    struct pb_invokes *v = user;
    return v->o.nth ? v->o.nth(v->o.user, i) : pb_str("", 0);
}

static int32_t invoke_describe(void *user, pbay_str name, pbay_invoke_function *out)
{
    struct pb_invokes *v = user;
    const struct pb_function *fn = v->o.find(v->o.user, name);
    if (!fn) return PBAY_NOT_FOUND;
    out->shape = fn->shape;
    out->flags = fn->effects ? PBAY_INVOKE_EFFECTS : 0;
    out->n_params = fn->n_params;
    out->params = fn->plain_params;
    out->n_returns = fn->n_returns;
    out->returns = fn->plain_returns;
    out->doc = fn->doc;
    return PBAY_OK;
}

/* The function's options with those of the call; *out NULL: as the function has them. */
static int lay_over(const struct pb_function *fn, const struct pb_invoke_request *r, struct pbay_config **out,
                    struct pb_err *err)
{
    *out = NULL;
    if (!r->n_options) return 0;
    const struct pbay_config *base = fn->op ? pb_op_config(fn->op) : NULL;
    if (!base)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "function %.*s has no options that a call can set",
                       PB_FMT(fn->name));
    struct pb_config_pair *pairs = pb_array(r->n_options, sizeof *pairs);
    for (uint32_t i = 0; i < r->n_options; i++)
        pairs[i] = (struct pb_config_pair){r->options[i].name, r->options[i].value};
    int rc = pb_config_overlay(base, pairs, r->n_options, out, err);
    pb_free(pairs);
    return rc ? pb_fail_in(err, "function %.*s", PB_FMT(fn->name)) : 0;
}

static pbay_identity copy_identity(struct pb_arena *mem, const pbay_identity *id)
{
    return (pbay_identity){.struct_size = sizeof(pbay_identity),
                           .user = pb_arena_str(mem, id->user),
                           .app = pb_arena_str(mem, id->app),
                           .principal = pb_arena_str(mem, id->principal),
                           .source = pb_arena_str(mem, id->source)};
}

static struct pb_invocation *invocation_new(struct pb_invokes *v, const struct pb_invoke_sink *s, void *user)
{
    struct pb_invocation *i = pb_zalloc(sizeof *i);
    i->magic = INVOCATION_MAGIC;
    i->v = v;
    i->sink = s;
    i->user = user;
    i->credit = PBAY_INVOKE_CREDIT;
    i->step = pb_defer_make(step, i);
    i->link = &v->first;
    i->next = v->first;
    if (i->next) i->next->link = &i->next;
    v->first = i;
    v->live++;
    return i;
}

static struct pb_invocation *open_flow(struct pb_invokes *v, const struct pb_invoke_request *r,
                                       const struct pb_function *fn, struct pb_bare_op *bare,
                                       struct pbay_config *options, const struct pb_invoke_sink *s,
                                       void *user, struct pb_err *err)
{
    struct pb_invocation *i = invocation_new(v, s, user);
    i->fn = fn;
    i->bare = bare;
    const struct pb_flow_request request = {.fn = fn,
                                            .identity = copy_identity(&i->mem, &r->identity),
                                            .traceparent = pb_arena_str(&i->mem, r->traceparent),
                                            .peer = pb_arena_str(&i->mem, r->peer),
                                            .call_id = pb_arena_str(&i->mem, r->key),
                                            .key = pb_arena_str(&i->mem, r->key),
                                            .deadline_ns = r->deadline_ns,
                                            .row_errors = r->row_errors,
                                            .options = options,
                                            .depth = r->depth,
                                            .sink = &sink,
                                            .user = i};
    i->flow = pb_flow_open(v->o.flow, &request, err);
    if (i->flow) return i;
    invocation_free(i);
    return NULL;
}

static struct pb_invocation *open_action(struct pb_invokes *v, const struct pb_invoke_request *r,
                                         const struct pb_invoke_sink *s, void *user, struct pb_err *err)
{
    struct pb_durable *durable = NULL;
    struct pb_actions *actions = v->o.actions ? v->o.actions(v->o.user, &durable) : NULL;
    struct pb_invocation *i = invocation_new(v, s, user);
    i->action = pb_invoked_action_new(actions, durable, r, action_over, i, err);
    if (i->action) return i;
    invocation_free(i);
    return NULL;
}

static struct pb_invocation *invoke_open(void *user, const struct pb_invoke_request *r,
                                         const struct pb_invoke_sink *s, void *sink_user, struct pb_err *err)
{
    struct pb_invokes *v = user;
    if (v->closed) {
        pb_fail(err, PBAY_UNAVAILABLE, "the gateway is stopping");
        return NULL;
    }
    if (r->kind == PBAY_INVOKE_FUNCTION) {
        struct pbay_config *options;
        const struct pb_function *fn = find_function(v, r->target, err);
        if (!fn || lay_over(fn, r, &options, err)) return NULL;
        return open_flow(v, r, fn, NULL, options, s, sink_user, err);
    }
    if (r->kind == PBAY_INVOKE_OPERATION) {
        struct pb_bare_op *bare = pb__bare_op(v, r, err);
        return bare ? open_flow(v, r, &bare->fn, bare, NULL, s, sink_user, err) : NULL;
    }
    if (r->kind == PBAY_INVOKE_ACTION) return open_action(v, r, s, sink_user, err);
    pb_fail(err, PBAY_INVALID_ARGUMENT, "pbay_invoke_info.kind is %u, known are 1 to 3", r->kind);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ life */

struct pb_invokes *pb_invokes_new(const struct pb_invokes_options *options)
{
    struct pb_invokes *v = pb_zalloc(sizeof *v);
    v->o = *options;
    v->service = (struct pb_invoker){.user = v,
                                     .describe = invoke_describe,
                                     .open = invoke_open,
                                     .push = invoke_push,
                                     .end = invoke_end,
                                     .credit = invoke_credit,
                                     .cancel = invoke_cancel,
                                     .nth = invoke_nth};
    return v;
}

const struct pb_invoker *pb_invokes_service(struct pb_invokes *v)
{
    return &v->service;
}

uint32_t pb_invokes_live(const struct pb_invokes *v)
{
    return v->live;
}

void pb_invokes_close(struct pb_invokes *v)
{
    v->closed = true;
    struct pb_err err;
    pb_fail(&err, PBAY_CANCELLED, "the gateway is stopping");
    while (v->first) {
        struct pb_invocation *i = v->first;
        PB_REQUIRE(!i->stepping);
        if (i->action)
            give_up_action(i, &err);
        else
            pb_flow_fail(i->flow, &err); /* done, and so freed */
    }
    pb__bare_ops_unbind(v);
}

void pb_invokes_free(struct pb_invokes *v)
{
    if (!v) return;
    PB_REQUIRE(!v->first);
    pb__bare_ops_free(v);
    pb_free(v);
}
