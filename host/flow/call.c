/* SPDX-License-Identifier: MIT */
#include "flow/call.h"

#include "base/check.h"
#include "base/log.h"
#include "data/config.h"
#include "flow/flow_priv.h"
#include "plugin/connector.h"
#include "store/durable.h"

/* What waits for a full batch is cut anyway at this: a caller's window must never fill up with waiting rows.
 */
enum { CUT_BYTES = 256 * 1024 };
/* ... and after this: the caller may be waiting for answers before it sends more. */
#define LINGER_NS (20 * PB_MS)

struct pb_flow *pb_flow_new(struct pb_loop *loop)
{
    struct pb_flow *flow = pb_zalloc(sizeof *flow);
    flow->loop = loop;
    return flow;
}

void pb_flow_show_payload(struct pb_flow *flow, bool show)
{
    flow->payload = show;
}

uint32_t pb_flow_live(const struct pb_flow *flow)
{
    return flow->live;
}

void pb_flow_free(struct pb_flow *flow)
{
    if (!flow) return;
    PB_REQUIRE(flow->live == 0 && flow->units == 0);
    for (struct pb_flow_call *c = flow->free_calls, *next; c; c = next) {
        next = c->next_free;
        pb_free(c);
    }
    for (struct pb_unit *u = flow->free_units, *next; u; u = next) {
        next = u->next;
        pb_slice_free(&u->rows);
        pb_sent_drop(&u->sent);
        pb_free(u->skip);
        pb_free(u);
    }
    for (struct pb_chunk *c = flow->free_chunks, *next; c; c = next) {
        next = c->next;
        pb_free(c);
    }
    pb_free(flow);
}

/* ------------------------------------------------------------------------------------------------ chunks */

static struct pb_chunk *chunk_new(struct pb_flow *flow)
{
    struct pb_chunk *c = flow->free_chunks;
    if (c)
        flow->free_chunks = c->next;
    else
        c = pb_alloc(sizeof *c);
    *c = (struct pb_chunk){0};
    return c;
}

void pb__chunk_free(struct pb_flow *flow, struct pb_chunk *c)
{
    pb_builder_unref(c->rows);
    c->next = flow->free_chunks;
    flow->free_chunks = c;
}

static struct pbay_builder *input_new(const struct pb_function *fn)
{
    struct pbay_builder *b = pb_builder_get();
    for (uint32_t i = 0; i < fn->n_params; i++) pb_builder_column(b, fn->params[i].name, fn->params[i].kind);
    return b;
}

/* Seal what waits into a chunk. all: also the rows that do not fill a batch. */
static void seal(struct pb_flow_call *call, bool all)
{
    struct pbay_builder *in = call->input;
    uint32_t n = in ? pb_builder_rows(in) : 0;
    if (!n) return;
    const struct pb_function *fn = call->fn;
    /* Rows of a function that takes nothing have no cells to copy: all of them go. */
    uint32_t rest = all || fn->shape != PBAY_SHAPE_MAP || !fn->n_params ? 0 : n % fn->max_rows;
    struct pb_err err;
    const pbay_batch *batch = pb_builder_seal(in, &err);
    if (!batch) {
        pb__call_fail(call, &err);
        return;
    }
    if (call->flow->payload) pb__flow_show_rows(fn, "in", batch, call->rows_in);
    struct pb_chunk *c = chunk_new(call->flow);
    c->rows = in;
    c->batch = batch;
    c->n = n - rest;
    c->first_row = call->rows_in;
    c->bytes = call->pending_bytes;
    call->rows_in += c->n;
    call->pending_bytes = 0;
    call->input = NULL;
    if (rest) {
        call->input = input_new(fn);
        for (uint32_t i = 0; i < fn->n_params; i++)
            pb_builder_copy(call->input, i, pbay_batch_col(batch, i), c->n, rest);
    }
    if (call->last_chunk)
        call->last_chunk->next = c;
    else
        call->chunks = c;
    call->last_chunk = c;
    if (!call->cutting) call->cutting = c;
}

struct pb_chunk *pb__call_take_chunk(struct pb_flow_call *call)
{
    struct pb_chunk *c = call->chunks;
    if (c) {
        call->chunks = c->next;
        if (!call->chunks) call->last_chunk = NULL;
    }
    return c;
}

void pb__call_consumed(struct pb_flow_call *call, size_t bytes)
{
    if (bytes && call->req.sink->consumed) call->req.sink->consumed(call->req.user, bytes);
}

/* ------------------------------------------------------------------------------------------------ the end of
 * a call */

void pb__call_release(struct pb_flow_call *call)
{
    if (call->busy || call->state != PB_CALL_OVER) return;
    struct pb_flow *flow = call->flow;
    call->magic = 0;
    call->next_free = flow->free_calls;
    flow->free_calls = call;
    flow->live--;
}

static void drop_everything(struct pb_flow_call *call)
{
    call->state = PB_CALL_OVER;
    pb_deadline_cancel(&call->deadline);
    pb_deadline_cancel(&call->linger);
    pb_defer_cancel(&call->pump_later);
    if (call->fn->lane) {
        pb_lane_forget(call->fn->lane, &call->waiter);
        if (call->has_place) {
            call->has_place = false;
            pb_lane_leave(call->fn->lane);
        }
    }
    for (struct pb_unit *u = call->units, *next; u; u = next) {
        next = u->next;
        pb__unit_abandon(u);
    }
    call->units = call->last_unit = NULL;
    if (call->stream) pb__stream_abandon(call);
    for (struct pb_chunk *c; (c = pb__call_take_chunk(call));) pb__chunk_free(call->flow, c);
    pb_op_context_unref(call->ctx);
    call->ctx = NULL;
    pb_builder_unref(call->input);
    call->input = NULL;
}

/* What is wrong with rows is told with their values, and those are logged on request alone. */
static bool about_rows(int32_t code)
{
    return code == PBAY_INVALID_ARGUMENT || code == PBAY_DATA_LOSS || code == PBAY_INTERNAL ||
           code == PBAY_UNKNOWN || code == PBAY_OUT_OF_RANGE || code == PBAY_BAD_VALUE;
}

static void log_call(struct pb_flow_call *call, int32_t code, const char *message)
{
    const struct pb_flow_request *r = &call->req;
    const struct pb_flow_stats *s = &call->stats;
    enum pb_log_level level = code == PBAY_OK || code == PBAY_CANCELLED ? PB_LOG_INFO : PB_LOG_WARN;
    if (!pb_log_enabled(level, "flow")) return;
    struct pb_field f[16];
    size_t n = 0;
    f[n++] = PB_V("function", call->fn->name);
    f[n++] = PB_S("status", pb_code_name(code));
    f[n++] = PB_I("rows", s->rows_in);
    f[n++] = PB_I("answered", s->rows_out);
    f[n++] = PB_I("batches", s->batches);
    f[n++] = PB_F("ms", (double)s->ns / 1e6);
    if (r->identity.user.n) f[n++] = PB_V("user", r->identity.user);
    if (r->identity.app.n) f[n++] = PB_V("app", r->identity.app);
    if (r->identity.principal.n) f[n++] = PB_V("who", r->identity.principal);
    f[n++] = PB_V("via", r->identity.source);
    if (r->peer.n) f[n++] = PB_V("peer", r->peer);
    if (s->repeats) f[n++] = PB_I("repeats", s->repeats);
    if (r->call_id.n) f[n++] = PB_V("call_id", r->call_id);
    if (r->traceparent.n) f[n++] = PB_V("traceparent", r->traceparent);
    char text[PB_ERR_TEXT];
    bool hide = about_rows(code) && !call->flow->payload;
    if (hide) pb_err_unquoted(message, text);
    if (code != PBAY_OK) f[n++] = PB_S("error", hide ? text : message);
    pb_log_write(level, "flow", "call", f, n);
}

static void count_call(const struct pb_flow_call *call, int32_t code)
{
    const struct pb_function_counters *c = call->fn->counters;
    const struct pb_flow_stats *s = &call->stats;
    struct pb_metrics *m = c->metrics;
    pb_metric_add_own(m, c->in_flight, -1);
    pb_metric_add_own(m, c->by_code[code >= 0 && code < PB_CODES ? code : PBAY_UNKNOWN], 1);
    pb_histogram_add_own(m, &c->latency, s->ns);
    if (s->rows_in) pb_metric_add_own(m, c->rows_in, (int64_t)s->rows_in);
    if (s->rows_out) pb_metric_add_own(m, c->rows_out, (int64_t)s->rows_out);
    if (s->batches) pb_metric_add_own(m, c->batches, s->batches);
    if (s->repeats) pb_metric_add_own(m, c->repeats, s->repeats);
    if (s->nulled) pb_metric_add_own(m, c->nulled, s->nulled);
}

/* Count, log, and (unless the caller has gone) tell. The call may be freed on return. */
static void over(struct pb_flow_call *call, const struct pb_err *err, bool tell)
{
    if (call->state == PB_CALL_OVER) return;
    drop_everything(call);
    struct pb_flow_stats *s = &call->stats;
    s->ns = pb_mono_ns() - call->opened_ns;
    s->rows_in = call->rows_in;
    count_call(call, err->code);
    log_call(call, err->code, err->msg);
    call->busy++;
    if (tell) call->req.sink->done(call->req.user, err, s);
    call->busy--;
    pb__call_release(call);
}

void pb__call_fail(struct pb_flow_call *call, const struct pb_err *err)
{
    call->stats.no_store = true;
    over(call, err, true);
}

void pb__call_succeed(struct pb_flow_call *call)
{
    static const struct pb_err ok;
    over(call, &ok, true);
}

static void deadline_passed(void *user)
{
    struct pb_flow_call *call = user;
    struct pb_err err;
    pb_fail(&err, PBAY_DEADLINE_EXCEEDED, "function %.*s: no whole answer within %lld ms",
            PB_FMT(call->fn->name), (long long)((call->deadline.due_ns - call->opened_ns) / PB_MS));
    err.effect = PBAY_EFFECT_MAYBE;
    pb__call_fail(call, &err);
}

void pb_flow_fail(struct pb_flow_call *call, const struct pb_err *err)
{
    PB_MAGIC_CHECK(call, PB_CALL_MAGIC);
    pb__call_fail(call, err);
}

void pb_flow_cancel(struct pb_flow_call *call, const struct pb_err *why)
{
    PB_MAGIC_CHECK(call, PB_CALL_MAGIC);
    struct pb_err err;
    pb_fail(&err, PBAY_CANCELLED, "the caller went away");
    over(call, why ? why : &err, false);
}

/* ------------------------------------------------------------------------------------------------ rows out
 */

bool pb__call_rows(struct pb_flow_call *call, const pbay_batch *batch)
{
    if (batch->n_row_errors && !call->req.row_errors) {
        const pbay_row_error *e = &batch->row_errors[0];
        struct pb_err err;
        pb_fail(&err, e->code, "row %llu: %.*s", (unsigned long long)(call->stats.rows_out + e->row + 1),
                PB_FMT(e->message));
        pb__call_fail(call, &err);
        return false;
    }
    if (call->flow->payload) pb__flow_show_rows(call->fn, "out", batch, call->stats.rows_out);
    call->stats.rows_out += batch->n_rows;
    if (batch->n_row_errors) call->stats.no_store = true;
    if (call->script.personal) call->stats.personal = true;
    if (call->script.n_nulled || call->script.personal) call->stats.no_store = true;
    bool more = call->req.sink->rows(call->req.user, batch);
    if (!more) call->held = true;
    return more;
}

/* The rows of a unit have left: give the caller's bytes back in proportion, and the chunk when it is through.
 */
static void leave(struct pb_flow_call *call, struct pb_unit *u)
{
    struct pb_chunk *c = u->chunk;
    c->left += u->rows.batch.n_rows;
    size_t due = c->left == c->n ? c->bytes : (size_t)((double)c->bytes / c->n * c->left);
    size_t give = due - c->given;
    c->given = due;
    if (c->left == c->n) {
        PB_REQUIRE(pb__call_take_chunk(call) == c);
        pb_slice_drop(&u->rows);
        pb__chunk_free(call->flow, c);
    }
    u->chunk = NULL;
    pb__call_consumed(call, give);
}

void pb__call_emit(struct pb_flow_call *call)
{
    call->busy++;
    while (call->state == PB_CALL_OPEN && !call->held && call->units && call->units->state == PB_UNIT_DONE) {
        struct pb_unit *u = call->units;
        call->units = u->next;
        if (!call->units) call->last_unit = NULL;
        struct pb_err err;
        const pbay_batch *batch = pb_builder_seal(u->out, &err);
        if (batch)
            pb__call_rows(call, batch);
        else
            pb__call_fail(call, &err);
        if (call->state == PB_CALL_OPEN) leave(call, u);
        pb__unit_free(u);
    }
    if (call->state == PB_CALL_OPEN && call->ended && !call->units && !call->chunks && !call->held)
        pb__call_succeed(call);
    call->busy--;
    pb__call_release(call);
}

/* ------------------------------------------------------------------------------------------------ rows in */

/* Start units as long as there are rows and places. */
static void pump(struct pb_flow_call *call)
{
    if (call->pumping) return;
    if (call->fn->shape != PBAY_SHAPE_MAP) {
        pb__stream_pump(call);
        return;
    }
    call->pumping = true;
    call->busy++;
    struct pb_lane *lane = call->fn->lane;
    while (call->state == PB_CALL_OPEN && call->cutting) {
        if (pb__unit_joins(call)) {
            pb__unit_start(call, true);
            continue;
        }
        if (lane && !call->has_place && !pb_lane_enter(lane, &call->waiter, false)) break;
        call->has_place = false;
        pb__unit_start(call, false);
    }
    if (call->has_place && call->state == PB_CALL_OPEN) {
        call->has_place = false;
        pb_lane_leave(lane);
    }
    call->busy--;
    call->pumping = false;
    if (call->state == PB_CALL_OPEN)
        pb__call_emit(call);
    else
        pb__call_release(call);
}

static void pump_now(void *user)
{
    pump(user);
}

/* A place came free: not at once, for the one who left is still on the stack. */
static void lane_turn(struct pb_lane_waiter *w)
{
    struct pb_flow_call *call = PB_CONTAINER(w, struct pb_flow_call, waiter);
    call->has_place = true;
    pb_loop_defer(call->flow->loop, &call->pump_later);
}

struct pbay_builder *pb_flow_input(struct pb_flow_call *call)
{
    if (!call->input) call->input = input_new(call->fn);
    return call->input;
}

static void lingered(void *user);

/* Rows wait for more of them, but not for long. */
static void linger(struct pb_flow_call *call)
{
    if (pb_deadline_is_set(&call->linger)) return;
    call->linger.fn = lingered;
    call->linger.user = call;
    pb_deadline_set(call->flow->loop, &call->linger, pb_loop_now(call->flow->loop) + LINGER_NS);
}

/* Cut what waits and start it. all: also the rows that do not fill a batch. */
static void cut(struct pb_flow_call *call, bool all)
{
    pb_deadline_cancel(&call->linger);
    call->busy++;
    seal(call, all);
    if (call->state == PB_CALL_OPEN && call->input && !call->ended) linger(call);
    if (call->state == PB_CALL_OPEN) pump(call);
    call->busy--;
    pb__call_release(call);
}

static void lingered(void *user)
{
    cut(user, true);
}

void pb_flow_commit(struct pb_flow_call *call, size_t bytes)
{
    PB_MAGIC_CHECK(call, PB_CALL_MAGIC);
    const struct pb_function *fn = call->fn;
    call->pending_bytes += bytes;
    uint32_t n = pb_builder_rows(pb_flow_input(call));
    if (fn->max_call_rows && call->rows_in + n > fn->max_call_rows) {
        struct pb_err err;
        pb_fail(&err, PBAY_RESOURCE_EXHAUSTED,
                "function %.*s: more than the %llu rows that one call may have", PB_FMT(fn->name),
                (unsigned long long)fn->max_call_rows);
        pb__call_fail(call, &err);
        return;
    }
    if (!n) {
        call->pending_bytes = 0;
        pb__call_consumed(call, bytes);
        return;
    }
    bool much = call->pending_bytes >= call->req.cut_bytes;
    if (!much && n < fn->max_rows && (fn->max_bytes == 0 || pb_builder_text(call->input) < fn->max_bytes)) {
        linger(call);
        return;
    }
    cut(call, n < fn->max_rows);
}

void pb_flow_end(struct pb_flow_call *call)
{
    PB_MAGIC_CHECK(call, PB_CALL_MAGIC);
    if (call->ended) return;
    call->ended = true;
    cut(call, true);
}

void pb_flow_writable(struct pb_flow_call *call)
{
    PB_MAGIC_CHECK(call, PB_CALL_MAGIC);
    if (!call->held) return;
    call->held = false;
    if (call->stream)
        pb__stream_writable(call);
    else
        pb__call_emit(call);
}

bool pb_flow_personal(const struct pb_flow_call *call)
{
    return call->stats.personal;
}

void pb_flow_pauses(struct pb_flow *flow, const struct pb_durable *durable)
{
    flow->durable = durable;
}

/* A person said so: the function, or what is behind it. */
static int check_pauses(const struct pb_flow *flow, const struct pb_function *fn, struct pb_err *err)
{
    if (!flow->durable) return 0;
    const struct pb_pause *p = pb_durable_paused(flow->durable, "function", fn->name);
    if (!p && fn->op)
        p = pb_durable_paused(flow->durable, "connector", pb_connector_name(pb_op_connector(fn->op)));
    if (!p) return 0;
    return pb_fail(err, PBAY_UNAVAILABLE, "%.*s %.*s is paused by %.*s%s%.*s", PB_FMT(p->kind),
                   PB_FMT(p->name), PB_FMT(p->by), p->why.n ? ": " : "", PB_FMT(p->why));
}

struct pb_flow_call *pb_flow_open(struct pb_flow *flow, const struct pb_flow_request *request,
                                  struct pb_err *err)
{
    if (request->fn->refusal) {
        pb_config_free(request->options);
        pb_fail(err, PBAY_UNIMPLEMENTED, "function %.*s: %s", PB_FMT(request->fn->name),
                request->fn->refusal);
        return NULL;
    }
    if (check_pauses(flow, request->fn, err)) {
        pb_config_free(request->options);
        return NULL;
    }
    const struct pb_lane *lane = request->fn->lane;
    if (lane && request->fn->max_waiting && pb_lane_waiting(lane) >= request->fn->max_waiting) {
        pb_fail(err, PBAY_RESOURCE_EXHAUSTED,
                "function %.*s: %u calls wait for a place at its backend already (`queue`)",
                PB_FMT(request->fn->name), request->fn->max_waiting);
        err->retry_after_ms = 1000;
        return NULL;
    }
    struct pb_flow_call *call = flow->free_calls;
    if (call)
        flow->free_calls = call->next_free;
    else
        call = pb_alloc(sizeof *call);
    *call = (struct pb_flow_call){.magic = PB_CALL_MAGIC, .flow = flow, .fn = request->fn, .req = *request};
    flow->live++;
    call->opened_ns = pb_loop_now(flow->loop);
    if (!call->req.cut_bytes) call->req.cut_bytes = CUT_BYTES;
    if (!pb_traceparent_is(call->req.traceparent)) call->req.traceparent = pb_str(NULL, 0);
    call->script = (struct pb_script_ctx){.user = request->identity.user,
                                          .app = request->identity.app,
                                          .function = request->fn->name,
                                          .query_id = request->call_id};
    call->waiter.turn = lane_turn;
    call->pump_later = pb_defer_make(pump_now, call);
    const struct pb_function *fn = call->fn;
    pb_metric_add_own(fn->counters->metrics, fn->counters->in_flight, 1);
    int64_t due = request->deadline_ns;
    if (fn->call_timeout_ms && due > call->opened_ns + fn->call_timeout_ms * PB_MS)
        due = call->opened_ns + fn->call_timeout_ms * PB_MS;
    call->req.deadline_ns = due;
    call->req.options = NULL;
    call->own_options = request->options != NULL;
    if (fn->op) {
        struct pb_op_context_info info = {.identity = &call->req.identity,
                                          .traceparent = call->req.traceparent,
                                          .key = call->req.key,
                                          .deadline_ns = due,
                                          .own_options = request->options,
                                          .depth = request->depth};
        call->ctx = pb_op_context_new(&info);
    } else
        pb_config_free(request->options);
    if (fn->shape != PBAY_SHAPE_MAP && pb__stream_open(call, err)) {
        over(call, err, false);
        return NULL;
    }
    if (due != PB_NO_DEADLINE) {
        call->deadline.fn = deadline_passed;
        call->deadline.user = call;
        pb_deadline_set(flow->loop, &call->deadline, due);
    }
    return call;
}
