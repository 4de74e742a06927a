/* SPDX-License-Identifier: MIT */
/*
 * Calls that are not cut into units: an aggregate sees all rows of the call, a table answers in any shape.
 * Rows go to the operation (or to Lua) in the order they came, and what it emits goes out in the order it was
 * emitted.
 */
#include "base/check.h"
#include "flow/convert.h"
#include "flow/flow_priv.h"

struct pb_stream {
    struct pb_flow_call *call; /* NULL: the call is over, only the completion is awaited */
    struct pb_flow *flow;
    const struct pb_function *fn;
    struct pb_op_call *op_call;
    struct pb_fn_call *lua;
    bool full; /* the operation said later */
    bool end_sent;
    bool in_lua;      /* a script of ours is on the stack: free it when it has returned */
    bool described;   /* the sink has the columns */
    bool columns_own; /* a table described its own columns: nothing is converted */
    uint32_t at;      /* rows of the first chunk that were taken */
    struct pb_slice slice;
    struct pb_err sink_err; /* why rows that Lua emitted could not be passed on */
};

static void stream_free(struct pb_stream *s)
{
    pb_slice_free(&s->slice);
    if (s->lua) pb_fn_close(s->lua);
    s->flow->units--;
    pb_free(s);
}

static void fail(struct pb_stream *s, const struct pb_err *err)
{
    if (s->call) pb__call_fail(s->call, err);
}

/* ------------------------------------------------------------------------------------------------ rows out
 */

static void describe_once(struct pb_stream *s)
{
    const struct pb_function *fn = s->fn;
    if (s->described || fn->shape != PBAY_SHAPE_TABLE) return;
    s->described = true;
    pbay_field *fields = pb_array(fn->n_returns, sizeof *fields);
    for (uint32_t i = 0; i < fn->n_returns; i++) fields[i] = pb_plain_field(&fn->returns[i]);
    if (s->call->req.sink->describe)
        s->call->req.sink->describe(s->call->req.user, fn->name, fields, fn->n_returns);
    pb_free(fields);
}

/* Emitted rows to the sink, as the function returns them. Takes out. */
static int put(struct pb_stream *s, struct pbay_builder *out, struct pb_err *err)
{
    const struct pb_function *fn = s->fn;
    describe_once(s);
    const pbay_batch *b = pb_builder_seal(out, err);
    int rc = b ? 0 : -1;
    struct pbay_builder *converted = NULL;
    if (b && !s->columns_own && b->n_cols != fn->n_returns)
        rc = pb_fail(err, PBAY_DATA_LOSS, "function %.*s: the answer has %u columns, %u are declared",
                     PB_FMT(fn->name), b->n_cols, fn->n_returns);
    else if (b && !s->columns_own) {
        converted = pb_builder_get();
        for (uint32_t c = 0; c < b->n_cols; c++)
            pb_builder_column(converted, fn->returns[c].name, fn->returns[c].kind);
        for (uint32_t c = 0; c < b->n_cols && !rc; c++)
            rc = pb_convert(pbay_batch_col(b, c), b->n_rows, converted, c, fn->on_bad,
                            s->call->stats.rows_out, NULL, "the answer", err);
        if (!rc) b = pb_builder_seal(converted, err);
        if (!b) rc = -1;
    }
    if (!rc && b->n_rows) pb__call_rows(s->call, b);
    pb_builder_unref(converted);
    pb_builder_unref(out);
    return rc;
}

/* ------------------------------------------------------------------------------------------------ Lua's */

/* Rows from inside push or end. An error of the sink's side is kept until the script has returned. */
static int lua_emit(void *user, struct pbay_builder *rows)
{
    struct pb_stream *s = user;
    if (!s->call) {
        pb_builder_unref(rows);
        return -1;
    }
    int rc = put(s, rows, &s->sink_err);
    return s->call ? rc : -1; /* a row's own error ends the call at once */
}

/* The script has returned. True: the call is over. */
static bool left_lua(struct pb_stream *s, int rc, const struct pb_err *err)
{
    s->in_lua = false;
    if (!s->call) { /* the call ended meanwhile */
        stream_free(s);
        return true;
    }
    if (rc) fail(s, s->sink_err.code != PBAY_OK ? &s->sink_err : err);
    return rc != 0;
}

/* ------------------------------------------------------------------------------------------------ an
 * operation's */

static bool on_emit(void *user, struct pbay_builder *out, const pbay_batch *batch)
{
    struct pb_stream *s = user;
    (void)batch;
    if (!s->call) {
        pb_builder_unref(out);
        return false;
    }
    struct pb_err err;
    s->call->busy++;
    struct pb_flow_call *call = s->call;
    int rc = put(s, out, &err);
    if (rc) fail(s, &err);
    bool go_on = s->call && !s->call->held;
    call->busy--;
    pb__call_release(call);
    return go_on;
}

static void on_describe(void *user, pbay_str name, const pbay_field *fields, uint32_t n)
{
    struct pb_stream *s = user;
    if (!s->call || s->described) return;
    s->described = s->columns_own = true;
    if (s->call->req.sink->describe) s->call->req.sink->describe(s->call->req.user, name, fields, n);
}

static void on_ready(void *user)
{
    struct pb_stream *s = user;
    if (!s->call) return;
    s->full = false;
    pb__stream_pump(s->call);
}

static void on_complete(void *user, struct pb_op_answer *answer)
{
    struct pb_stream *s = user;
    s->op_call = NULL;
    pb_builder_unref(answer->out); /* all was emitted */
    if (!s->call) {
        stream_free(s);
        return;
    }
    if (answer->no_store) s->call->stats.no_store = true;
    if (answer->err) {
        pb__call_fail(s->call, answer->err);
        return;
    }
    describe_once(s);
    pb__call_succeed(s->call);
}

static const struct pb_op_stream_fns stream_fns = {on_describe, on_emit, on_ready, on_complete};

/* ------------------------------------------------------------------------------------------------ life */

int pb__stream_open(struct pb_flow_call *call, struct pb_err *err)
{
    const struct pb_function *fn = call->fn;
    struct pb_stream *s = pb_zalloc(sizeof *s);
    s->call = call;
    s->flow = call->flow;
    s->fn = fn;
    call->flow->units++;
    if (fn->script) {
        s->lua = pb_fn_open(fn->script, &call->script, lua_emit, s, err);
        if (!s->lua) {
            stream_free(s);
            return -1;
        }
    } else if (pb_op_open(fn->op, call->ctx, 1, &stream_fns, s, &s->op_call, err)) {
        stream_free(s);
        return -1;
    }
    call->stream = s;
    return 0;
}

void pb__stream_abandon(struct pb_flow_call *call)
{
    struct pb_stream *s = call->stream;
    call->stream = NULL;
    s->call = NULL;
    if (!s->in_lua) pb_slice_drop(&s->slice); /* a script that emitted a failure still reads it */
    if (s->op_call)
        pb_op_cancel(s->op_call); /* its completion frees the stream */
    else if (!s->in_lua)
        stream_free(s);
}

void pb__stream_writable(struct pb_flow_call *call)
{
    struct pb_stream *s = call->stream;
    if (s->op_call) pb_op_writable(s->op_call);
    if (call->stream) pb__stream_pump(call);
}

/* ------------------------------------------------------------------------------------------------ rows in */

/* PBAY_OK: the slice was taken. PBAY_LATER: not yet. Else: the call is over or will be. */
static int32_t give(struct pb_stream *s, const pbay_batch *rows)
{
    s->call->stats.batches++;
    if (!s->lua) return pb_op_push(s->op_call, rows); /* when it is over, on_complete says why */
    struct pb_err err;
    s->in_lua = true;
    int rc = pb_fn_push(s->lua, rows, &err);
    if (left_lua(s, rc, &err)) return PBAY_CANCELLED;
    return PBAY_OK;
}

static void finish_lua(struct pb_stream *s)
{
    struct pb_err err;
    s->in_lua = true;
    int rc = pb_fn_end(s->lua, &err);
    if (left_lua(s, rc, &err)) return;
    describe_once(s);
    pb__call_succeed(s->call);
}

void pb__stream_pump(struct pb_flow_call *call)
{
    struct pb_stream *s = call->stream;
    if (call->pumping || !s) return;
    call->pumping = true;
    call->busy++;
    /* While the sink holds, Lua rests: what it emits is not bounded by what came in. */
    while (call->state == PB_CALL_OPEN && call->chunks && !s->full && !(s->lua && call->held)) {
        struct pb_chunk *c = call->chunks;
        uint32_t n = c->n - s->at < call->fn->max_rows ? c->n - s->at : call->fn->max_rows;
        pb_slice_set(&s->slice, c->batch, c->rows, s->at, n);
        int32_t rc = give(s, &s->slice.batch);
        if (rc == PBAY_LATER) s->full = true;
        if (rc != PBAY_OK) break;
        pb_slice_drop(&s->slice);
        s->at += n;
        if (s->at == c->n) {
            s->at = 0;
            pb__call_take_chunk(call);
            size_t bytes = c->bytes;
            pb__chunk_free(call->flow, c);
            pb__call_consumed(call, bytes);
        }
    }
    if (call->state == PB_CALL_OPEN && call->ended && !call->chunks && !s->end_sent &&
        !(s->lua && call->held)) {
        s->end_sent = true;
        if (s->lua)
            finish_lua(s);
        else {
            pb_op_end(s->op_call);
        }
    }
    call->busy--;
    call->pumping = false;
    if (call->state != PB_CALL_OPEN) pb__call_release(call);
}
