/* SPDX-License-Identifier: MIT */
/* Functions: batches of maps, whole calls of aggregates and tables; and how anything ended. */
#include "mockhost/calls.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "plugin/connector_priv.h"

/* ------------------------------------------------------------------------------------------------ any call
 */

struct pbay_mock_call *pb_mock_call_new(struct pbay_mock *m, enum pb_mock_kind kind, const char *name)
{
    struct pbay_mock_call *c = pb_zalloc(sizeof *c);
    c->m = m;
    c->kind = kind;
    c->name = pb_strdup(name);
    c->next = m->calls;
    m->calls = c;
    return c;
}

void pb_mock_call_end(struct pbay_mock_call *c, const struct pb_err *err)
{
    if (c->ended) {
        pb_mock_fault("%s ended twice", c->name);
        return;
    }
    c->ended = true;
    if (err) c->err = *err;
    if (err && err->code != PBAY_OK && err->code != PBAY_CANCELLED && (!err->msg[0] || pb_plugin_mute(err)))
        pb_mock_fault("%s failed without a message: say what happened, where, and what to do", c->name);
}

struct pb_connector *pb_mock_instance(struct pbay_mock *m, bool started)
{
    if (m->connector && (m->started || !started)) return m->connector;
    pb_mock_fault("%s", m->connector ? "the instance was not started: pbay_mock_start"
                                     : "there is no instance: pbay_mock_create");
    return NULL;
}

struct pbay_mock_call *pb_mock_call_of(enum pb_mock_kind kind, uint64_t handle)
{
    for (struct pbay_mock_call *c = pb_mock->calls; c; c = c->next)
        if (c->kind == kind && c->handle == handle && !c->ended) return c;
    return NULL;
}

int32_t pbay_mock_code(pbay_mock_call *c)
{
    if (c->m->connector) pbay_mock_run(c->m);
    return c->ended ? c->err.code : PBAY_MOCK_PENDING;
}

const pbay_result *pbay_mock_result(pbay_mock_call *c)
{
    pbay_mock_code(c);
    c->result = pb_err_result(&c->err);
    return &c->result;
}

const char *pbay_mock_why(pbay_mock_call *c)
{
    pbay_mock_code(c);
    return c->err.msg;
}

pbay_str pbay_mock_bytes(pbay_mock_call *c)
{
    pbay_mock_code(c);
    if (c->kind > PB_MOCK_STREAM) return pb_str(pb_mock_said(&c->text), c->text.n);
    struct pb_buf *b = pb_mock_text(); /* rows, with the array closed */
    pb_buf_ch(b, '[');
    pb_buf_str(b, pb_buf_view(&c->text));
    pb_buf_ch(b, ']');
    return pb_str(pb_mock_said(b), b->n);
}

const char *pbay_mock_text(pbay_mock_call *c)
{
    return pbay_mock_bytes(c).p;
}

uint32_t pbay_mock_flags(pbay_mock_call *c)
{
    pbay_mock_code(c);
    return c->flags;
}

const pbay_batch *pbay_mock_batch(pbay_mock_call *c)
{
    pbay_mock_code(c);
    return c->batch;
}

const char *pbay_mock_columns(pbay_mock_call *c)
{
    pbay_mock_code(c);
    return pb_mock_said(&c->columns);
}

/* ------------------------------------------------------------------------------------------------ rows */

/* A row as JSON, a row error as an object in its place. */
void pb_mock_rows_write(struct pb_buf *out, const pbay_batch *batch)
{
    uint32_t bad = 0;
    for (uint32_t row = 0; row < batch->n_rows; row++) {
        if (out->n) pb_buf_ch(out, ',');
        if (bad < batch->n_row_errors && batch->row_errors[bad].row == row) {
            const pbay_row_error *e = &batch->row_errors[bad++];
            char *text =
                pb_sprintf("%s: %.*s", e->code == PBAY_BAD_VALUE ? "BAD_VALUE" : pb_code_name(e->code),
                           PB_FMT(e->message));
            pb_buf_c(out, "{\"error\": ");
            pb_buf_json(out, pb_str_c(text));
            pb_buf_ch(out, '}');
            pb_free(text);
            continue;
        }
        pb_buf_ch(out, '[');
        for (uint32_t i = 0; i < batch->n_cols; i++) {
            const pbay_column *col = pbay_batch_col(batch, i);
            char number[PB_F64_MAX];
            if (i) pb_buf_ch(out, ',');
            if (pbay_cell_null(col, row))
                pb_buf_c(out, "null");
            else if (col->kind == PBAY_NUM)
                pb_buf_add(out, number, pb_format_f64(col->num[row], number));
            else if (col->kind == PBAY_JSON)
                pb_buf_str(out, pbay_cell_text(col, row));
            else
                pb_buf_json(out, pbay_cell_text(col, row));
        }
        pb_buf_ch(out, ']');
    }
}

struct pbay_builder *pb_mock_rows_read(const char *of, const pbay_field *fields, uint32_t n, pbay_str text)
{
    struct pb_arena mem = {0};
    const char **names = pb_arena_alloc(&mem, (n + 1) * sizeof *names);
    uint32_t *kinds = pb_arena_alloc(&mem, (n + 1) * sizeof *kinds);
    for (uint32_t i = 0; i < n; i++) {
        names[i] = pb_arena_str(&mem, fields[i].name).p;
        kinds[i] = fields[i].kind;
    }
    const pbay_codec codec = {.struct_size = sizeof codec,
                              .format = PBAY_FORMAT_JSON_ROWS,
                              .names = names,
                              .kinds = kinds,
                              .n_columns = n,
                              .any_kind = PBAY_JSON};
    struct pbay_builder *b = pb_builder_new();
    struct pbay_reader *r = pb_reader_new(&codec, b);
    struct pb_err err;
    if (pb_reader_feed(r, text, &err) || pb_reader_finish(r, &err)) {
        pb_mock_fault("the rows for %s: %s", of, err.msg);
        pb_builder_unref(b);
        b = NULL;
    }
    pb_reader_free(r);
    pb_arena_free(&mem);
    return b;
}

static struct pbay_builder *read_rows(const struct pb_declared *d, const char *text)
{
    return pb_mock_rows_read(d->name, d->sends, d->n_sends, pb_str_c(text));
}

static struct pb_op_context *context(const struct pbay_mock *m)
{
    const pbay_identity who = {.struct_size = sizeof who,
                               .user = pb_str_c(m->user),
                               .app = pb_str_c(m->app),
                               .principal = pb_str_c(m->principal),
                               .source = PB_STR("http")};
    const struct pb_op_context_info info = {
        .identity = &who, .deadline_ns = m->patience_ms ? m->ns + m->patience_ms * PB_MS : PB_NO_DEADLINE};
    return pb_op_context_new(&info);
}

static void set(char **to, const char *text)
{
    pb_free(*to);
    *to = text ? pb_strdup(text) : NULL;
}

void pbay_mock_caller(pbay_mock *m, const char *user, const char *app, const char *principal)
{
    set(&m->user, user);
    set(&m->app, app);
    set(&m->principal, principal);
}

void pbay_mock_patience(pbay_mock *m, int64_t ms)
{
    m->patience_ms = ms;
}

static struct pbay_mock_call *call_new(struct pbay_mock *m, const char *function, enum pb_mock_kind kind)
{
    struct pbay_mock_call *c = pb_mock_call_new(m, kind, function);
    for (struct pb_declared *d = m->functions; d; d = d->next)
        if (!strcmp(d->name, function)) c->function = d;
    const char *wrong = NULL;
    if (!c->function)
        wrong = "there is no such [function] of this connector";
    else if ((pb_op_shape(c->function->op) == PBAY_SHAPE_MAP) != (kind == PB_MOCK_MAP))
        wrong = kind == PB_MOCK_MAP ? "it is no map: pbay_mock_open" : "it is a map: pbay_mock_submit";
    if (!wrong && pb_mock_instance(m, true)) return c;
    if (wrong) pb_mock_fault("function %s: %s", function, wrong);
    pb_fail(&c->err, PBAY_NOT_FOUND, "not called");
    c->ended = true;
    return c;
}

static void on_complete(void *user, struct pb_op_answer *a)
{
    struct pbay_mock_call *c = user;
    c->op_call = NULL;
    c->held = a->late;
    c->flags |= (a->late ? PBAY_MOCK_LATE : 0) | (a->no_store ? PBAY_MOCK_NO_STORE : 0) |
                (a->per_user ? PBAY_MOCK_PERSONAL : 0);
    pb_mock_call_end(c, a->err);
    if (!a->out) return;
    c->out = a->out;
    c->batch = a->batch;
    c->rows_came += a->batch->n_rows;
    pb_mock_rows_write(&c->text, a->batch);
    if (c->kind == PB_MOCK_MAP && c->rows_came != c->rows_sent)
        pb_mock_fault("function %s: %u rows were sent and %u answered: a map answers each row, in order",
                      c->name, c->rows_sent, c->rows_came);
}

static void on_refused(struct pbay_mock_call *c, struct pb_err *err)
{
    c->op_call = NULL;
    pb_mock_call_end(c, err);
}

pbay_mock_call *pbay_mock_submit(pbay_mock *m, const char *function, const char *rows)
{
    struct pbay_mock_call *c = call_new(m, function, PB_MOCK_MAP);
    struct pb_err err = {0};
    struct pbay_builder *b = c->ended ? NULL : read_rows(c->function, rows);
    const pbay_batch *batch = b ? pb_builder_seal(b, &err) : NULL;
    if (batch && !batch->n_rows) pb_mock_fault("function %s: a batch has at least one row", function);
    if (batch && batch->n_rows) {
        struct pb_op_context *ctx = context(m);
        c->rows_sent = batch->n_rows;
        if (pb_op_submit(c->function->op, ctx, 1, batch, b, 0, batch->n_rows, on_complete, c, &c->op_call,
                         &err))
            on_refused(c, &err);
        pb_op_context_unref(ctx);
    } else {
        c->ended = true;
    }
    pb_builder_unref(b);
    return c;
}

/* ------------------------------------------------------------------------------------------------ streams */

static void on_describe(void *user, pbay_str table_name, const pbay_field *fields, uint32_t n)
{
    struct pbay_mock_call *c = user;
    (void)table_name;
    for (uint32_t i = 0; i < n; i++)
        pb_buf_printf(&c->columns, "%s%.*s:%s", i ? "," : "", PB_FMT(fields[i].name),
                      pb_kind_name(fields[i].kind));
}

static bool on_emit(void *user, struct pbay_builder *out, const pbay_batch *batch)
{
    struct pbay_mock_call *c = user;
    c->rows_came += batch->n_rows;
    pb_mock_rows_write(&c->text, batch);
    pb_builder_unref(out);
    return !c->hold;
}

static void on_ready(void *user)
{
    ((struct pbay_mock_call *)user)->ready = true;
}

static const struct pb_op_stream_fns stream_fns = {on_describe, on_emit, on_ready, on_complete};

pbay_mock_call *pbay_mock_open(pbay_mock *m, const char *function)
{
    struct pbay_mock_call *c = call_new(m, function, PB_MOCK_STREAM);
    struct pb_err err = {0};
    if (c->ended) return c;
    struct pb_op_context *ctx = context(m);
    if (pb_op_open(c->function->op, ctx, 1, &stream_fns, c, &c->op_call, &err)) on_refused(c, &err);
    pb_op_context_unref(ctx);
    return c;
}

int32_t pbay_mock_push(pbay_mock_call *c, const char *rows)
{
    struct pb_err err;
    pbay_mock_run(c->m);
    if (!c->op_call || c->kind != PB_MOCK_STREAM) return PBAY_CANCELLED;
    if (c->pushed_later && !c->ready) return PBAY_LATER;
    struct pbay_builder *b = read_rows(c->function, rows);
    const pbay_batch *batch = b ? pb_builder_seal(b, &err) : NULL;
    c->ready = c->pushed_later = false;
    const int32_t rc = batch ? pb_op_push(c->op_call, batch) : PBAY_CANCELLED;
    c->pushed_later = rc == PBAY_LATER;
    pb_builder_unref(b);
    pbay_mock_run(c->m);
    return rc;
}

int pbay_mock_ready(pbay_mock_call *c)
{
    pbay_mock_run(c->m);
    return c->op_call && (!c->pushed_later || c->ready);
}

void pbay_mock_end(pbay_mock_call *c)
{
    if (c->op_call && c->kind == PB_MOCK_STREAM) pb_op_end(c->op_call);
    pbay_mock_run(c->m);
}

void pbay_mock_hold(pbay_mock_call *c, int hold)
{
    c->hold = hold != 0;
    if (!hold && c->op_call && c->kind == PB_MOCK_STREAM) pb_op_writable(c->op_call);
    if (!hold) pbay_mock_run(c->m);
}

void pbay_mock_cancel(pbay_mock_call *c)
{
    if (c->kind > PB_MOCK_STREAM)
        pb_mock_ask_cancel(c);
    else if (c->op_call)
        pb_op_cancel(c->op_call);
}

/* ------------------------------------------------------------------------------------------------ the end */

/* Nobody waits for anything any more. */
void pb_mock_calls_end(struct pbay_mock *m)
{
    pbay_mock_run(m);
    for (struct pbay_mock_call *c = m->calls; c; c = c->next) {
        if (c->ended && !c->held) continue;
        if (!c->ended) pbay_mock_cancel(c);
    }
    pbay_mock_run(m);
}

void pb_mock_calls_held(struct pbay_mock *m)
{
    static const struct {
        const char *what, *owed;
    } all[] = {
        {"function",
         "a call was accepted and never completed: every call that `submit` accepts owes one `complete`, "
         "also after cancel and deadline"},
        {"function",
         "a call was accepted and never completed: every call that `open` accepts owes one `complete`, "
         "also after cancel and deadline"},
        {"action",
         "an attempt was accepted and never answered: done, started or failed is owed, also after cancel "
         "and deadline"},
        {"source", "a poll was never answered: one `polled` is owed, also after cancel"},
        {"request", "it was never answered: one `respond` is owed, also after cancel"},
        {"command", "it never ended: one `done` is owed, also after cancel"},
        {"secret", "a question was never answered: one `resolved` is owed"},
    };
    uint32_t functions = 0;
    for (struct pbay_mock_call *c = m->calls; c; c = c->next) {
        if (c->ended && (!c->held || m->clean)) continue;
        if (c->kind <= PB_MOCK_STREAM && functions++) continue; /* one sentence for all */
        pb_mock_fault("%s %s: %s", all[c->kind].what, c->name, all[c->kind].owed);
    }
}

void pb_mock_calls_free(struct pbay_mock *m)
{
    while (m->calls) {
        struct pbay_mock_call *c = m->calls;
        m->calls = c->next;
        pb_builder_unref(c->out);
        pb_buf_free(&c->text);
        pb_buf_free(&c->columns);
        pb_arena_free(&c->mem);
        pb_mock_headers_free(&c->headers);
        pb_free(c->name);
        pb_free(c);
    }
}
