/* SPDX-License-Identifier: MIT */
#include "endpoints/sse_reply.h"

#include "data/bundle.h"
#include "data/sse_messages.h"

/* Well below the 4,194,304 bytes an engine accepts, well above what makes messages costly. */
enum { SOFT_MAX = 1024 * 1024 };

static const pbay_str cache_name = {"qlik-cache", 10}, cache_off = {"no-store", 8};
const pbay_header pb_sse_not_kept = {{"qlik-cache", 10}, {"no-store", 8}};

static void flush(void *user)
{
    struct pb_sse_reply *r = user;
    pb_defer_cancel(&r->flush);
    if (!r->out.n || !r->grpc) return;
    r->started = true;
    if (!pb_grpc_send(r->grpc, &r->out)) r->full = true;
    r->out = (struct pb_buf){0};
}

void pb_sse_reply_writable(struct pb_sse_reply *r)
{
    r->full = false;
}

void pb_sse_reply_open(struct pb_sse_reply *r, struct pb_loop *loop, struct pb_grpc_call *grpc, bool no_store)
{
    *r = (struct pb_sse_reply){.grpc = grpc, .loop = loop, .no_store = no_store};
    r->flush = pb_defer_make(flush, r);
    if (no_store) pb_grpc_reply_header(grpc, cache_name, cache_off);
}

void pb_sse_reply_describe(struct pb_sse_reply *r, pbay_str name, const pbay_field *fields, uint32_t n)
{
    struct pb_buf b = {0};
    struct pb_sse_param *params = pb_array(n ? n : 1, sizeof *params);
    for (uint32_t i = 0; i < n; i++) params[i] = (struct pb_sse_param){fields[i].kind, fields[i].name};
    const struct pb_sse_table table = {name, n, params, 0};
    pb_sse_write_table(&table, &b);
    pb_free(params);
    pb_grpc_reply_header(r->grpc, PB_STR("qlik-tabledescription-bin"), pb_buf_view(&b));
    pb_buf_free(&b);
}

int pb_sse_reply_rows(struct pb_sse_reply *r, const pbay_batch *batch, uint64_t first_row, struct pb_err *err)
{
    for (uint32_t at = 0; at < batch->n_rows;) {
        if (!r->out.p) r->out = pb_grpc_buf(r->grpc);
        size_t room = r->out.n < SOFT_MAX ? SOFT_MAX - r->out.n : 1;
        uint32_t next = pb_bundle_encode(batch, at, 0, room, PB_BUNDLE_HARD_MAX - r->out.n, &r->out, err);
        if (next == PB_BUNDLE_FAILED && r->out.n) { /* it may fit a message of its own */
            flush(r);
            continue;
        }
        if (next == PB_BUNDLE_FAILED)
            return pb_fail_in(err, "the answer from row %llu on", (unsigned long long)(first_row + at + 1));
        at = next;
        if (r->out.n < SOFT_MAX) continue;
        flush(r);
    }
    if (r->out.n) pb_loop_at_turn_end(r->loop, &r->flush);
    return r->full ? 1 : 0;
}

void pb_sse_reply_finish(struct pb_sse_reply *r, const struct pb_err *err, bool no_store)
{
    flush(r);
    /* A failed or partial answer must never be kept, and the header may also be a trailer. */
    pbay_header trailers[2];
    size_t n = 0;
    char ms[PB_F64_MAX];
    if ((no_store || err->code != PBAY_OK) && !r->no_store)
        trailers[n++] = (pbay_header){cache_name, cache_off};
    /* https://github.com/grpc/proposal/blob/master/A6-client-retries.md: in milliseconds. */
    if (err->code != PBAY_OK && err->retry_after_ms > 0)
        trailers[n++] = (pbay_header){PB_STR("grpc-retry-pushback-ms"),
                                      pb_str(ms, pb_format_i64(err->retry_after_ms, ms))};
    pb_grpc_finish(r->grpc, err->code, pb_str_c(err->msg), trailers, n);
}

void pb_sse_reply_close(struct pb_sse_reply *r)
{
    pb_defer_cancel(&r->flush);
    pb_buf_free(&r->out);
    r->grpc = NULL;
}
