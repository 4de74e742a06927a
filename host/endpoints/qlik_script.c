/* SPDX-License-Identifier: MIT */
#include "endpoints/qlik_script.h"

#include "base/check.h"
#include "base/log.h"
#include "data/bundle.h"
#include "data/sse_messages.h"
#include "endpoints/gate.h"
#include "endpoints/sse_reply.h"
#include "script/eval.h"

enum { SCRIPT_MAGIC = 0x53435254, ROWS_AT_ONCE = 1000 };

struct pb_evaluator {
    struct pb_vm *vm;
    struct pb_evaluator_options o;
};

/* What the method is registered with. */
struct pb_script_method {
    struct pb_loop *loop;
    struct pb_evaluator *evaluator; /* NULL: nobody may */
    const struct pb_catalog *catalog;
    struct pb_gate *gate; /* NULL: the lists say who may */
};

struct script_call {
    uint32_t magic;
    const struct pb_script_method *method;
    struct pb_grpc_call *grpc;
    struct pb_arena arena;
    struct pb_pass pass;
    struct pb_eval *eval; /* NULL: over */
    struct pb_sse_script header;
    struct pbay_builder *input;
    struct pb_slice slice;
    struct pb_script_ctx ctx;
    struct pb_sse_reply reply;
    uint64_t rows_in, rows_out;
    int64_t opened_ns;
    bool held;   /* the client reads slower than it sends */
    size_t owed; /* of its window, kept back meanwhile */
};

struct pb_evaluator *pb_evaluator_new(const struct pb_evaluator_options *options, struct pb_err *err)
{
    const struct pb_vm_options vm = {.memory_cap = options->memory, .budget_ms = options->budget_ms};
    struct pb_evaluator *e = pb_zalloc(sizeof *e);
    e->o = *options;
    e->vm = pb_eval_vm(&vm, err);
    if (e->vm) return e;
    pb_free(e);
    return NULL;
}

void pb_evaluator_free(struct pb_evaluator *e)
{
    if (!e) return;
    pb_vm_free(e->vm);
    pb_free(e);
}

static bool listed(const pbay_str *list, size_t n, pbay_str who)
{
    for (size_t i = 0; i < n; i++)
        if (pb_str_is(list[i], "*") || (who.n && pb_str_eq(list[i], who))) return true;
    return false;
}

static int allowed(const struct pb_evaluator *e, const struct pb_sse_common *who, struct pb_err *err)
{
    if (!e)
        return pb_fail(
            err, PBAY_PERMISSION_DENIED,
            "this gateway evaluates no scripts (patchbay.ini: [scripts] evaluate = yes switches it on)");
    if (listed(e->o.users, e->o.n_users, who->user_id) || listed(e->o.apps, e->o.n_apps, who->app_id))
        return 0;
    return pb_fail(err, PBAY_PERMISSION_DENIED,
                   "user \"%.*s\" in app \"%.*s\" may not have scripts evaluated (patchbay.ini: [scripts] "
                   "evaluate_users, "
                   "evaluate_apps)",
                   PB_FMT(who->user_id), PB_FMT(who->app_id));
}

static void finish(struct script_call *c, const struct pb_err *err)
{
    if (!c->grpc) return;
    double ms = (double)(pb_mono_ns() - c->opened_ns) / 1e6;
    char text[PB_ERR_TEXT];
    pb_err_unquoted(err->msg, text);
    pb_log(err->code == PBAY_OK ? PB_LOG_INFO : PB_LOG_WARN, "endpoints", "script evaluated",
           PB_S("status", pb_code_name(err->code)), PB_I("rows", c->rows_in), PB_I("answered", c->rows_out),
           PB_F("ms", ms), PB_V("user", c->ctx.user), PB_V("app", c->ctx.app),
           PB_V("peer", pb_grpc_peer(c->grpc)), PB_S("error", text));
    pb_eval_free(c->eval);
    c->eval = NULL;
    pb_sse_reply_finish(&c->reply, err, c->ctx.n_nulled > 0);
}

static int read_headers(struct script_call *c, struct pb_err *err)
{
    struct pb_buf raw = {0};
    struct pb_sse_common who = {0};
    struct pb_err ignored;
    if (pb_grpc_metadata_bin(c->grpc, "qlik-commonrequestheader-bin", &raw, &ignored) > 0 &&
        pb_sse_read_common(pb_buf_view(&raw), &who, &c->arena, &ignored))
        who = (struct pb_sse_common){0};
    c->ctx =
        (struct pb_script_ctx){.user = who.user_id, .app = who.app_id, .function = PB_STR("EvaluateScript")};
    raw.n = 0;
    int rc = 0, there = 0;
    if (c->method->gate) rc = pb_gate_grpc(c->method->gate, c->grpc, who.user_id, who.app_id, &c->pass, err);
    if (!rc) rc = allowed(c->method->evaluator, &who, err);
    if (!rc) there = pb_grpc_metadata_bin(c->grpc, "qlik-scriptrequestheader-bin", &raw, err);
    if (!rc && there == 0)
        rc = pb_fail(err, PBAY_INVALID_ARGUMENT,
                     "the header qlik-scriptrequestheader-bin is missing: it holds the script");
    if (there < 0) rc = -1;
    if (!rc && pb_sse_read_script(pb_buf_view(&raw), &c->header, &c->arena, err))
        rc = pb_fail_in(err, "header qlik-scriptrequestheader-bin");
    pb_buf_free(&raw);
    return rc;
}

static int compile(struct script_call *c, struct pb_err *err)
{
    const struct pb_sse_script *h = &c->header;
    struct pb_script_field *params = pb_arena_zalloc(&c->arena, (h->n_params + 1) * sizeof *params);
    c->input = pb_builder_get();
    for (uint32_t i = 0; i < h->n_params; i++) {
        params[i] = (struct pb_script_field){h->params[i].name, h->params[i].kind, false};
        pb_builder_column(c->input, h->params[i].name, h->params[i].kind);
    }
    const struct pb_eval_options o = {.source = h->script,
                                      .params = params,
                                      .n_params = h->n_params,
                                      .shape = h->function_type == PB_SSE_AGGREGATION ? PB_EVAL_AGGREGATE
                                                                                      : PB_EVAL_ROWS,
                                      .answer = h->returns};
    c->eval = pb_eval_new(c->method->evaluator->vm, &o, err);
    return c->eval ? 0 : -1;
}

static void opened(struct pb_grpc_call *grpc, void *user)
{
    struct script_call *c = pb_zalloc(sizeof *c);
    c->magic = SCRIPT_MAGIC;
    c->method = user;
    c->grpc = grpc;
    c->opened_ns = pb_mono_ns();
    pb_grpc_set_user(grpc, c);
    struct pb_err err;
    int rc = read_headers(c, &err) || compile(c, &err);
    pb_sse_reply_open(&c->reply, c->method->loop, grpc, false);
    if (rc) finish(c, &err);
}

static int put(struct script_call *c, struct pbay_builder *out, struct pb_err *err)
{
    const pbay_batch *rows = pb_builder_seal(out, err);
    int rc = rows ? 0 : -1;
    if (rows && rows->n_row_errors)
        rc = pb_fail(err, rows->row_errors[0].code, "row %llu: %.*s",
                     (unsigned long long)(c->rows_out + rows->row_errors[0].row + 1),
                     PB_FMT(rows->row_errors[0].message));
    if (!rc && rows->n_rows) {
        int sent = pb_sse_reply_rows(&c->reply, rows, c->rows_out, err);
        if (sent < 0) rc = -1;
        if (sent > 0) c->held = true;
    }
    if (!rc) c->rows_out += rows->n_rows;
    return rc;
}

static int evaluate(struct script_call *c, struct pb_err *err)
{
    const pbay_batch *in = pb_builder_seal(c->input, err);
    if (!in) return -1;
    int rc = 0;
    for (uint32_t at = 0; !rc && at < in->n_rows; at += ROWS_AT_ONCE) {
        uint32_t n = in->n_rows - at < ROWS_AT_ONCE ? in->n_rows - at : ROWS_AT_ONCE;
        struct pbay_builder *out = pb_builder_get();
        pb_slice_set(&c->slice, in, c->input, at, n);
        rc = pb_eval_push(c->eval, &c->ctx, &c->slice.batch, out, err);
        if (!rc && c->header.function_type != PB_SSE_AGGREGATION) rc = put(c, out, err);
        pb_slice_drop(&c->slice);
        pb_builder_unref(out);
        c->rows_in += n;
    }
    pb_builder_clear_rows(c->input);
    return rc;
}

static void message(struct pb_grpc_call *grpc, pbay_str msg, size_t credit)
{
    struct script_call *c = pb_grpc_user(grpc);
    PB_MAGIC_CHECK(c, SCRIPT_MAGIC);
    struct pb_err err;
    bool hold = false;
    if (c->eval && (pb_bundle_decode(msg, c->input, &err) || evaluate(c, &err)))
        finish(c, &err);
    else if (c->eval && c->held) {
        hold = true;
        c->owed += credit;
    }
    if (!hold) pb_grpc_consumed(grpc, credit);
}

static void writable(struct pb_grpc_call *grpc)
{
    struct script_call *c = pb_grpc_user(grpc);
    size_t owed = c->owed;
    c->held = false;
    c->owed = 0;
    pb_sse_reply_writable(&c->reply);
    if (owed) pb_grpc_consumed(grpc, owed);
}

static void half_close(struct pb_grpc_call *grpc)
{
    struct script_call *c = pb_grpc_user(grpc);
    if (!c->eval) return;
    struct pb_err err;
    pb_err_clear(&err);
    struct pbay_builder *out = pb_builder_get();
    int rc = pb_eval_end(c->eval, &c->ctx, out, &err);
    if (!rc && c->header.function_type == PB_SSE_AGGREGATION) rc = put(c, out, &err);
    pb_builder_unref(out);
    if (!rc) pb_err_clear(&err);
    finish(c, &err);
}

static void closed(struct pb_grpc_call *grpc, enum pb_grpc_closed reason)
{
    (void)reason;
    struct script_call *c = pb_grpc_user(grpc);
    PB_MAGIC_CHECK(c, SCRIPT_MAGIC);
    pb_eval_free(c->eval);
    pb_sse_reply_close(&c->reply);
    pb_slice_free(&c->slice);
    pb_builder_unref(c->input);
    pb_pass_close(&c->pass);
    pb_arena_free(&c->arena);
    c->magic = 0;
    pb_free(c);
}

static const struct pb_grpc_ops ops = {.refusal = &pb_sse_not_kept,
                                       .opened = opened,
                                       .message = message,
                                       .half_close = half_close,
                                       .writable = writable,
                                       .closed = closed};

struct pb_script_method *pb_sse_script_method(struct pb_grpc_server *server, struct pb_loop *loop,
                                              struct pb_evaluator *evaluator,
                                              const struct pb_catalog *catalog, struct pb_gate *gate)
{
    struct pb_script_method *m = pb_alloc(sizeof *m);
    *m = (struct pb_script_method){loop, catalog->allow_script ? evaluator : NULL, catalog, gate};
    pb_grpc_server_method(server, "/qlik.sse.Connector/EvaluateScript", &ops, m);
    return m;
}
