/* SPDX-License-Identifier: MIT */
#include "endpoints/qlik_sse.h"

#include "base/check.h"
#include "base/log.h"
#include "data/bundle.h"
#include "data/sse_messages.h"
#include "endpoints/gate.h"
#include "endpoints/qlik_script.h"
#include "endpoints/sse_reply.h"

enum { SSE_MAGIC = 0x53534543, HEADER_KEEP = 16 * 1024 };

struct pb_sse {
    struct pb_loop *loop;
    const struct pb_catalog *catalog;
    struct pb_flow *flow;
    struct pb_gate *gate; /* NULL: everybody is let in */
    struct pb_script_method *script;
    struct pb_buf capabilities; /* encoded once */
    struct pb_buf header;       /* scratch: a decoded -bin header */
    struct sse_call *free_calls;
};

struct sse_call {
    uint32_t magic;
    struct pb_sse *sse;
    struct sse_call *next_free;
    struct pb_grpc_call *grpc;
    struct pb_flow_call *flow; /* NULL: over */
    const struct pb_function *fn;
    struct pb_arena arena;
    struct pb_pass pass;
    struct pb_sse_reply reply;
    uint64_t rows_out;
    struct pb_err err; /* of the reply side: fails the call later in the turn */
    struct pb_defer give_up;
};

/* ------------------------------------------------------------------------------------------------
 * capabilities */

static void encode_capabilities(struct pb_sse *sse)
{
    const struct pb_catalog *c = sse->catalog;
    struct pb_arena arena = {0};
    struct pb_sse_function *list = pb_arena_alloc(&arena, (c->n + 1) * sizeof *list);
    uint32_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        const struct pb_function *fn = c->functions[i];
        if (fn->id < 0) continue; /* none yet: the store is away */
        struct pb_sse_param *params = pb_arena_alloc(&arena, (fn->n_params + 1) * sizeof *params);
        for (uint32_t k = 0; k < fn->n_params; k++)
            params[k] = (struct pb_sse_param){fn->params[k].kind, fn->params[k].name};
        list[n++] = (struct pb_sse_function){.name = fn->name,
                                             .function_type = (uint32_t)fn->type,
                                             .returns = fn->n_returns ? fn->returns[0].kind : PBAY_STR,
                                             .n_params = fn->n_params,
                                             .params = params,
                                             .id = fn->id};
    }
    const struct pb_sse_capabilities caps = {c->allow_script, n, list, c->identifier, c->version};
    pb_sse_write_capabilities(&caps, &sse->capabilities);
    pb_arena_free(&arena);
}

void pb_sse_ids_changed(struct pb_sse *sse)
{
    sse->capabilities.n = 0;
    encode_capabilities(sse);
}

static void capabilities(struct pb_grpc_call *grpc, pbay_str request)
{
    (void)request;
    struct pb_sse *sse = pb_grpc_user(grpc);
    const pbay_str none = {NULL, 0};
    struct pb_pass pass = {0};
    struct pb_err err;
    if (sse->gate && pb_gate_grpc(sse->gate, grpc, none, none, &pass, &err)) {
        pb_grpc_fail(grpc, &err);
        return;
    }
    pb_pass_close(&pass);
    struct pb_buf out = pb_grpc_buf(grpc);
    pb_buf_str(&out, pb_buf_view(&sse->capabilities));
    pb_log(PB_LOG_INFO, "endpoints", "capabilities asked", PB_V("catalog", sse->catalog->name),
           PB_I("functions", sse->catalog->n), PB_V("peer", pb_grpc_peer(grpc)));
    pb_grpc_reply(grpc, &out);
}

static void capabilities_opened(struct pb_grpc_call *grpc, void *user)
{
    pb_grpc_set_user(grpc, user);
}

static const struct pb_grpc_ops capabilities_ops = {.opened = capabilities_opened, .unary = capabilities};

/* ------------------------------------------------------------------------------------------------ a call */

static void call_free(struct sse_call *c)
{
    struct pb_sse *sse = c->sse;
    pb_defer_cancel(&c->give_up);
    pb_sse_reply_close(&c->reply);
    pb_pass_close(&c->pass);
    pb_arena_reset(&c->arena);
    c->magic = 0;
    c->next_free = sse->free_calls;
    sse->free_calls = c;
}

static void give_up(void *user)
{
    struct sse_call *c = user;
    if (c->flow) pb_flow_fail(c->flow, &c->err);
}

static bool on_rows(void *user, const pbay_batch *batch)
{
    struct sse_call *c = user;
    if (pb_defer_queued(&c->give_up)) return false;
    int rc = pb_sse_reply_rows(&c->reply, batch, c->rows_out, &c->err);
    c->rows_out += batch->n_rows;
    if (rc < 0) pb_loop_defer(c->sse->loop, &c->give_up);
    return rc == 0;
}

static void on_describe(void *user, pbay_str name, const pbay_field *fields, uint32_t n)
{
    struct sse_call *c = user;
    pb_sse_reply_describe(&c->reply, name, fields, n);
}

static void on_consumed(void *user, size_t bytes)
{
    struct sse_call *c = user;
    pb_grpc_consumed(c->grpc, bytes);
}

static void on_done(void *user, const struct pb_err *err, const struct pb_flow_stats *stats)
{
    struct sse_call *c = user;
    c->flow = NULL;
    pb_defer_cancel(&c->give_up);
    pb_sse_reply_finish(&c->reply, err, stats->no_store);
}

static const struct pb_flow_sink sink = {on_rows, on_describe, on_consumed, on_done};

/* Which function is called, by whom. -1 with err; 1: the gate has refused it, and said so. */
static int read_headers(struct sse_call *c, struct pb_flow_request *req, struct pb_err *err)
{
    struct pb_sse *sse = c->sse;
    struct pb_buf *raw = &sse->header;
    raw->n = 0;
    struct pb_sse_call fh;
    struct pb_sse_common ch = {0};
    int there = pb_grpc_metadata_bin(c->grpc, "qlik-functionrequestheader-bin", raw, err);
    int rc = there < 0 ? -1 : 0;
    if (there == 0)
        rc =
            pb_fail(err, PBAY_INVALID_ARGUMENT,
                    "the header qlik-functionrequestheader-bin is missing: it says which function is called");
    if (!rc && pb_sse_read_call(pb_buf_view(raw), &fh, &c->arena, err))
        rc = pb_fail_in(err, "header qlik-functionrequestheader-bin");
    if (!rc) {
        c->fn = pb_catalog_id(sse->catalog, fh.function_id);
        if (!c->fn) {
            struct pb_buf list = {0};
            pb_catalog_list(sse->catalog, &list);
            rc = pb_fail(err, PBAY_UNIMPLEMENTED,
                         "there is no function with id %d; there are: %.*s. If functions were changed, Qlik "
                         "has to read them "
                         "again: change and save the analytic connection, or restart the engine",
                         fh.function_id, PB_FMT(pb_buf_view(&list)));
            pb_buf_free(&list);
        }
    }
    /* Who calls is worth knowing, not worth failing for. */
    raw->n = 0;
    struct pb_err ignored;
    if (!rc && pb_grpc_metadata_bin(c->grpc, "qlik-commonrequestheader-bin", raw, &ignored) > 0)
        if (pb_sse_read_common(pb_buf_view(raw), &ch, &c->arena, &ignored)) ch = (struct pb_sse_common){0};
    pb_buf_reset(raw, HEADER_KEEP);
    if (rc) return -1;
    if (sse->gate) {
        if (pb_gate_grpc(sse->gate, c->grpc, ch.user_id, ch.app_id, &c->pass, err) ||
            pb_gate_function(&c->pass, c->fn, err))
            return 1;
    } else
        c->pass.id.principal = pb_grpc_tls_subject(c->grpc);
    req->fn = c->fn;
    req->identity = (pbay_identity){.struct_size = sizeof(pbay_identity),
                                    .user = ch.user_id,
                                    .app = ch.app_id,
                                    .principal = c->pass.id.principal,
                                    .source = PB_STR("sse")};
    req->peer = pb_grpc_peer(c->grpc);
    req->traceparent = pb_grpc_metadata(c->grpc, "traceparent");
    req->deadline_ns = pb_grpc_deadline(c->grpc);
    return 0;
}

static void execute_opened(struct pb_grpc_call *grpc, void *user)
{
    struct pb_sse *sse = user;
    struct sse_call *c = sse->free_calls;
    if (c)
        sse->free_calls = c->next_free;
    else
        c = pb_zalloc(sizeof *c);
    c->magic = SSE_MAGIC;
    c->sse = sse;
    c->grpc = grpc;
    c->flow = NULL;
    c->fn = NULL;
    c->rows_out = 0;
    c->give_up = pb_defer_make(give_up, c);
    pb_grpc_set_user(grpc, c);
    struct pb_flow_request req = {.sink = &sink, .user = c};
    struct pb_err err;
    int rc = read_headers(c, &req, &err);
    pb_sse_reply_open(&c->reply, sse->loop, grpc, !rc && !c->fn->qlik_cache);
    if (!rc)
        c->flow = pb_flow_open(sse->flow, &req, &err);
    else if (rc < 0)
        pb_log(PB_LOG_WARN, "endpoints", "call refused", PB_V("peer", pb_grpc_peer(grpc)),
               PB_V("catalog", sse->catalog->name), PB_S("error", err.msg));
    if (!c->flow) pb_sse_reply_finish(&c->reply, &err, true);
}

static void execute_message(struct pb_grpc_call *grpc, pbay_str message, size_t credit)
{
    struct sse_call *c = pb_grpc_user(grpc);
    PB_MAGIC_CHECK(c, SSE_MAGIC);
    if (!c->flow) {
        pb_grpc_consumed(grpc, credit);
        return;
    }
    if (pb_bundle_decode(message, pb_flow_input(c->flow), &c->err)) {
        pb_fail_in(&c->err, "function %.*s takes %u values a row", PB_FMT(c->fn->name), c->fn->n_params);
        pb_flow_fail(c->flow, &c->err);
        return;
    }
    pb_flow_commit(c->flow, credit);
}

static void execute_half_close(struct pb_grpc_call *grpc)
{
    struct sse_call *c = pb_grpc_user(grpc);
    if (c->flow) pb_flow_end(c->flow);
}

static void execute_writable(struct pb_grpc_call *grpc)
{
    struct sse_call *c = pb_grpc_user(grpc);
    pb_sse_reply_writable(&c->reply);
    if (c->flow) pb_flow_writable(c->flow);
}

static void execute_closed(struct pb_grpc_call *grpc, enum pb_grpc_closed reason)
{
    struct sse_call *c = pb_grpc_user(grpc);
    PB_MAGIC_CHECK(c, SSE_MAGIC);
    c->reply.grpc = NULL;
    struct pb_err why;
    if (reason == PB_GRPC_EXPIRED)
        pb_fail(&why, PBAY_DEADLINE_EXCEEDED, "the caller's deadline has passed");
    else if (reason == PB_GRPC_REFUSED)
        pb_fail(&why, PBAY_INVALID_ARGUMENT, "what the caller sent was refused, as an earlier line says");
    if (c->flow)
        pb_flow_cancel(c->flow, reason == PB_GRPC_EXPIRED || reason == PB_GRPC_REFUSED ? &why : NULL);
    c->flow = NULL;
    call_free(c);
}

static const struct pb_grpc_ops execute_ops = {.refusal = &pb_sse_not_kept,
                                               .opened = execute_opened,
                                               .message = execute_message,
                                               .half_close = execute_half_close,
                                               .writable = execute_writable,
                                               .closed = execute_closed};

/* ------------------------------------------------------------------------------------------------ life */

struct pb_sse *pb_sse_new(struct pb_loop *loop, struct pb_grpc_server *server,
                          const struct pb_catalog *catalog, struct pb_flow *flow,
                          struct pb_evaluator *evaluator, struct pb_gate *gate)
{
    struct pb_sse *sse = pb_zalloc(sizeof *sse);
    sse->loop = loop;
    sse->catalog = catalog;
    sse->flow = flow;
    sse->gate = gate;
    encode_capabilities(sse);
    pb_grpc_server_method(server, "/qlik.sse.Connector/GetCapabilities", &capabilities_ops, sse);
    pb_grpc_server_method(server, "/qlik.sse.Connector/ExecuteFunction", &execute_ops, sse);
    sse->script = pb_sse_script_method(server, loop, evaluator, catalog, gate);
    return sse;
}

void pb_sse_free(struct pb_sse *sse)
{
    if (!sse) return;
    for (struct sse_call *c = sse->free_calls, *next; c; c = next) {
        next = c->next_free;
        pb_arena_free(&c->arena);
        pb_free(c);
    }
    pb_buf_free(&sse->capabilities);
    pb_buf_free(&sse->header);
    pb_free(sse->script);
    pb_free(sse);
}
