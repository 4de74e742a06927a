/* SPDX-License-Identifier: MIT */
/* What a connector's process invokes: functions, operations and actions of the house. */
#include <string.h>

#include <patchbay/host_invoke.h>

#include "base/mem.h"
#include "data/batch.h"
#include "plugin/apart_priv.h"
#include "plugin/services.h"

/* Rows that were not taken yet. */
struct batch {
    struct batch *next;
    struct pbay_builder *rows;
    size_t bytes;
};

struct pb_apart_invoke {
    struct pb_apart *apart; /* NULL: the process that asked is gone */
    struct pb_apart_invoke *next, *prev;
    uint64_t there; /* the process's own number */
    pbay_invoke handle;
    struct batch *first, **last;
    bool ends;
};

static void drop_batches(struct pb_apart_invoke *i)
{
    for (struct batch *b; (b = i->first) != NULL;) {
        i->first = b->next;
        pb_builder_unref(b->rows);
        pb_free(b);
    }
    i->last = &i->first;
}

static void unlink_invoke(struct pb_apart_invoke *i)
{
    if (!i->apart) return;
    *(i->prev ? &i->prev->next : &i->apart->invokes) = i->next;
    if (i->next) i->next->prev = i->prev;
    i->apart = NULL;
}

/* What it has pushed, as far as it is taken. */
static void push(struct pb_apart_invoke *i)
{
    size_t taken = 0;
    while (i->first) {
        struct batch *b = i->first;
        int32_t code = pb_service_invoke.push(i->handle, pb_builder_seal(b->rows, NULL));
        if (code == PBAY_LATER) break;
        taken += b->bytes;
        i->first = b->next;
        if (!i->first) i->last = &i->first;
        pb_builder_unref(b->rows);
        pb_free(b);
        if (code != PBAY_OK) drop_batches(i); /* on_done says why */
    }
    if (taken) {
        pb_put_u64(pb_pipe_begin(i->apart->pipe, PB_APART_INVOKE_READY, i->there), taken);
        pb_pipe_commit(i->apart->pipe);
    }
    if (i->first || !i->ends) return;
    i->ends = false;
    pb_service_invoke.end(i->handle);
}

static void on_ready(void *user, pbay_invoke call)
{
    struct pb_apart_invoke *i = user;
    (void)call;
    if (i->apart) push(i);
}

static void on_describe(void *user, pbay_invoke call, const pbay_field *fields, uint32_t n)
{
    struct pb_apart_invoke *i = user;
    (void)call;
    if (!i->apart) return;
    pb_put_fields(pb_pipe_begin(i->apart->pipe, PB_APART_INVOKE_DESCRIBED, i->there), fields, n);
    pb_pipe_commit(i->apart->pipe);
}

static void on_rows(void *user, pbay_invoke call, const pbay_batch *rows)
{
    struct pb_apart_invoke *i = user;
    (void)call;
    if (!i->apart) return;
    pb_pipe_put_rows(i->apart->pipe, pb_pipe_begin(i->apart->pipe, PB_APART_INVOKE_ROWS, i->there), rows);
    pb_pipe_commit(i->apart->pipe);
}

static void on_done(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    struct pb_apart_invoke *i = user;
    (void)call;
    if (i->apart) {
        struct pb_buf *m = pb_pipe_begin(i->apart->pipe, PB_APART_INVOKE_DONE, i->there);
        pb_put_result(m, result);
        pb_put_str(m, json);
        pb_pipe_commit(i->apart->pipe);
    }
    unlink_invoke(i);
    drop_batches(i);
    pb_free(i);
}

static const pbay_invoke_events events = {sizeof events, 0, on_ready, on_describe, on_rows, on_done};
static const pbay_invoke_events no_rows = {sizeof no_rows, 0, on_ready, on_describe, NULL, on_done};

static void open_it(struct pb_apart *a, uint64_t handle, struct pb_in *in)
{
    struct pb_arena mem = {0};
    pbay_invoke_info info = {.struct_size = sizeof info};
    uint64_t there = pb_in_u64(in);
    bool wants_rows = pb_in_u32(in);
    info.kind = pb_in_u32(in);
    info.flags = pb_in_u32(in);
    info.target = pb_in_str(in);
    info.options = pb_in_headers(in, &mem, &info.n_options);
    info.parent_call = pb_in_u64(in);
    info.parent_request = pb_in_u64(in);
    info.deadline = pb_in_i64(in);
    info.user = pb_in_str(in);
    info.app = pb_in_str(in);
    info.key = pb_in_str(in);
    info.sends = pb_in_fields(in, &mem, &info.n_sends);
    info.answers = pb_in_fields(in, &mem, &info.n_answers);
    pbay_str json = pb_in_str(in);
    if (!in->bad) {
        pbay_result why = PBAY_RESULT_OK;
        struct pb_apart_invoke *i = pb_zalloc(sizeof *i);
        i->there = there;
        i->last = &i->first;
        i->apart = a;
        i->next = a->invokes;
        if (i->next) i->next->prev = i;
        a->invokes = i;
        i->handle = a->c->env->invoker ? pb_service_invoke.open(&a->c->host, &info, json,
                                                                wants_rows ? &events : &no_rows, i, &why)
                                       : 0;
        struct pb_buf *m = pb_pipe_begin(a->pipe, PB_APART_REPLY, handle);
        pb_put_u32(m, i->handle != 0);
        pb_put_result(m, &why);
        pb_pipe_commit(a->pipe);
        if (!i->handle) {
            unlink_invoke(i);
            pb_free(i);
        }
    }
    pb_arena_free(&mem);
}

static void describes(struct pb_apart *a, uint64_t handle, struct pb_in *in)
{
    pbay_str name = pb_in_str(in);
    pbay_invoke_function f = {.struct_size = sizeof f};
    if (in->bad) return;
    int32_t code = a->c->env->invoker ? pb_service_invoke.describe(&a->c->host, name, &f) : PBAY_NOT_FOUND;
    struct pb_buf *m = pb_pipe_begin(a->pipe, PB_APART_REPLY, handle);
    pb_put_i32(m, code);
    if (code == PBAY_OK) {
        pb_put_u32(m, f.shape);
        pb_put_u32(m, f.flags);
        pb_put_fields(m, f.params, f.n_params);
        pb_put_fields(m, f.returns, f.n_returns);
        pb_put_str(m, f.doc);
    }
    pb_pipe_commit(a->pipe);
}

static struct pb_apart_invoke *invoke_of(struct pb_apart *a, uint64_t there)
{
    struct pb_apart_invoke *i = a->invokes;
    while (i && i->there != there) i = i->next;
    return i;
}

static void pushed(struct pb_apart *a, struct pb_apart_invoke *i, struct pb_in *in)
{
    struct pb_err err;
    size_t bytes;
    struct pbay_builder *rows = pb_pipe_rows(a->pipe, in, &bytes, &err);
    if (!rows) {
        pb_apart_nonsense(a, err.msg);
        return;
    }
    struct batch *b = pb_zalloc(sizeof *b);
    b->rows = rows;
    b->bytes = bytes;
    *i->last = b;
    i->last = &b->next;
    if (i->first == b) push(i);
}

bool pb_apart_invoke(struct pb_apart *a, uint32_t type, uint64_t handle, struct pb_in *in)
{
    if (type == PB_APART_INVOKE_OPEN) {
        open_it(a, handle, in);
        return true;
    }
    if (type == PB_APART_INVOKE_DESCRIBES) {
        describes(a, handle, in);
        return true;
    }
    if (type == PB_APART_INVOKE_NTH) {
        uint32_t n = pb_in_u32(in);
        pbay_str name = a->c->env->invoker ? pb_service_invoke.nth(&a->c->host, n) : pb_str(NULL, 0);
        pb_put_str(pb_pipe_begin(a->pipe, PB_APART_REPLY, handle), name);
        pb_pipe_commit(a->pipe);
        return true;
    }
    if (type < PB_APART_INVOKE_PUSH || type > PB_APART_INVOKE_CANCEL) return false;
    struct pb_apart_invoke *i = invoke_of(a, handle);
    if (!i) { /* its end has crossed with this */
        if (type == PB_APART_INVOKE_PUSH) pb_pipe_skip_rows(a->pipe, in);
        return true;
    }
    if (type == PB_APART_INVOKE_PUSH)
        pushed(a, i, in);
    else if (type == PB_APART_INVOKE_END) {
        i->ends = true;
        if (!i->first) push(i);
    } else if (type == PB_APART_INVOKE_CREDIT)
        pb_service_invoke.credit(i->handle, pb_in_u32(in));
    else
        pb_service_invoke.cancel(i->handle);
    return true;
}

void pb_apart_drop_invokes(struct pb_apart *a)
{
    for (struct pb_apart_invoke *i; (i = a->invokes) != NULL;) {
        unlink_invoke(i);
        drop_batches(i);
        pb_service_invoke.cancel(i->handle); /* on_done frees it, later */
    }
}
