/* SPDX-License-Identifier: MIT */
#include "flow/doubling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum mode {
    NOW,
    LATER,
    REVERSED,
    SPLIT,
    FLAKY,
    FEW,
    MANY,
    NEVER,
    REFUSE,
    BROKEN,
    BARE,
    BAD2,
    WORD,
    WHO,
    NEST,
    POISON,
    N_MODES
};

struct doubling P;

static int32_t create(const pbay_host *host, const pbay_config *cfg, void **self, pbay_result *why)
{
    (void)cfg;
    (void)why;
    P.host = host;
    P.batch = host->service(host, PBAY_SVC_BATCH);
    P.call = host->service(host, PBAY_SVC_CALL);
    P.timer = host->service(host, PBAY_SVC_TIMER);
    P.invoke = host->service(host, PBAY_SVC_INVOKE);
    *self = &P;
    return P.batch && P.call && P.timer ? PBAY_OK : PBAY_INTERNAL;
}

static void destroy(void *self)
{
    (void)self;
}

static int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    (void)self;
    (void)why;
    *bound = (void *)(uintptr_t)(info->operation + 1);
    return PBAY_OK;
}

static void unbind(void *self, void *bound)
{
    (void)self;
    (void)bound;
}

static pbay_builder *doubled(const pbay_batch *in, uint32_t rows)
{
    pbay_builder *b = P.batch->create(P.host);
    uint32_t c = P.batch->add_column(b, (pbay_str){NULL, 0}, PBAY_STR);
    for (uint32_t i = 0; i < rows; i++) {
        char text[256];
        pbay_str s = i < in->n_rows ? pbay_cell_text(pbay_batch_col(in, 0), i) : (pbay_str){"x", 1};
        int n = snprintf(text, sizeof text, "%.*s%.*s", (int)s.n, s.p, (int)s.n, s.p);
        P.batch->text(b, c, (pbay_str){text, (size_t)n});
    }
    return b;
}

static void let_go(void *user)
{
    struct held *h = user;
    pbay_result ok = PBAY_RESULT_OK;
    pbay_call call = h->call;
    pbay_builder *out = h->out;
    h->call = 0;
    P.at_once--;
    P.call->complete(call, &ok, out);
}

/* Every row the same text. */
static void answer(pbay_call call, uint32_t rows, pbay_str text)
{
    const pbay_result ok = PBAY_RESULT_OK;
    pbay_builder *b = P.batch->create(P.host);
    uint32_t c = P.batch->add_column(b, (pbay_str){NULL, 0}, PBAY_STR);
    for (uint32_t i = 0; i < rows; i++) P.batch->text(b, c, text);
    P.at_once--;
    P.call->complete(call, &ok, b);
}

/* "nest": asks the function "doubled" in turn, which is again this. */
struct nested {
    pbay_call call;
    uint32_t rows;
};

static void nested_rows(void *user, pbay_invoke call, const pbay_batch *rows)
{
    (void)user;
    P.invoke->credit(call, rows->n_rows);
}

static void nested_done(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    struct nested *n = user;
    (void)call;
    (void)json;
    if (result->code == PBAY_OK)
        answer(n->call, n->rows, (pbay_str){"deep", 4});
    else {
        P.at_once--;
        P.call->complete(n->call, result, NULL);
    }
    free(n);
}

static void nest(pbay_call call, const pbay_batch *in)
{
    static const pbay_invoke_events events = {sizeof events, 0, NULL, NULL, nested_rows, nested_done};
    struct nested *n = calloc(1, sizeof *n);
    *n = (struct nested){call, in->n_rows};
    const pbay_invoke_info info = {.struct_size = sizeof info,
                                   .kind = PBAY_INVOKE_FUNCTION,
                                   .target = {"doubled", 7},
                                   .parent_call = call};
    pbay_invoke i = P.invoke->open(P.host, &info, (pbay_str){NULL, 0}, &events, n, &P.refusal);
    if (!i) {
        snprintf(P.refusal_text, sizeof P.refusal_text, "%.*s", (int)P.refusal.message.n,
                 P.refusal.message.p);
        free(n);
        answer(call, in->n_rows, (pbay_str){"bottom", 6});
        return;
    }
    P.deepest++;
    P.invoke->push(i, in);
    P.invoke->end(i);
}

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    (void)self;
    enum mode mode = (enum mode)((uintptr_t)bound - 1);
    pbay_result r = PBAY_RESULT_OK;
    P.submits++;
    if (in->n_rows > P.most_rows) P.most_rows = in->n_rows;
    if (++P.at_once > P.most_at_once) P.most_at_once = P.at_once;
    switch (mode) {
    case LATER:
    case REVERSED:
    case NEVER:
        for (unsigned i = 0; i < 64; i++) {
            struct held *h = &P.held[i];
            if (h->call) continue;
            h->call = call;
            h->out = doubled(in, in->n_rows);
            /* REVERSED: the first to come is the last to be answered. */
            if (mode != NEVER)
                h->timer = P.timer->start(P.host, mode == LATER ? 1 : 60 - 3 * (int64_t)(P.n_held++ % 16), 0,
                                          let_go, h);
            return PBAY_OK;
        }
        break;
    case SPLIT:
        if (in->n_rows <= 3) break;
        P.at_once--;
        *why = r;
        why->code = PBAY_RESOURCE_EXHAUSTED;
        why->advice = PBAY_ADVICE_SPLIT;
        why->message = (pbay_str){"too much", 8};
        return why->code;
    case FLAKY:
        if (!P.fail_next) break;
        P.fail_next--;
        r.code = PBAY_UNAVAILABLE;
        r.advice = PBAY_ADVICE_RETRY;
        r.message = (pbay_str){"try later", 9};
        P.at_once--;
        P.call->complete(call, &r, NULL);
        return PBAY_OK;
    case REFUSE:
        P.at_once--;
        why->code = PBAY_INVALID_ARGUMENT;
        why->message = (pbay_str){"I will not", 10};
        return PBAY_INVALID_ARGUMENT;
    case BROKEN:
        r.code = PBAY_INTERNAL;
        r.message = (pbay_str){"the model broke", 15};
        P.at_once--;
        P.call->complete(call, &r, NULL);
        return PBAY_OK;
    case POISON:
        for (uint32_t i = 0; i < in->n_rows; i++) {
            pbay_str s = pbay_cell_text(pbay_batch_col(in, 0), i);
            if (s.n != 3 || memcmp(s.p, "bad", 3)) continue;
            r.code = PBAY_INVALID_ARGUMENT;
            r.message = (pbay_str){"a bad row", 9};
            P.at_once--;
            P.call->complete(call, &r, NULL);
            return PBAY_OK;
        }
        break;
    case BARE: {
        P.at_once--;
        pbay_builder *b = P.batch->create(P.host);
        uint32_t c = P.batch->add_column(b, (pbay_str){NULL, 0}, PBAY_STR);
        for (uint32_t i = 0; i < in->n_rows; i++) P.batch->text(b, c, (pbay_str){"y", 1});
        P.call->complete(call, &r, b);
        return PBAY_OK;
    }
    case WORD: answer(call, in->n_rows, P.host->get_str(P.call->options(call), "word")); return PBAY_OK;
    case WHO: answer(call, in->n_rows, P.call->identity(call)->user); return PBAY_OK;
    case NEST: nest(call, in); return PBAY_OK;
    case BAD2: {
        P.at_once--;
        pbay_builder *b = P.batch->create(P.host);
        uint32_t c = P.batch->add_column(b, (pbay_str){NULL, 0}, PBAY_STR);
        for (uint32_t i = 0; i < in->n_rows; i++) {
            pbay_str s = pbay_cell_text(pbay_batch_col(in, 0), i);
            char text[64];
            int n = snprintf(text, sizeof text, "%.*s%.*s", (int)s.n, s.p, (int)s.n, s.p);
            if (i != 1)
                P.batch->text(b, c, (pbay_str){text, (size_t)n});
            else
                P.batch->null(b, c);
        }
        if (in->n_rows > 1) P.batch->row_error(b, 1, PBAY_BAD_VALUE, (pbay_str){"no number", 9});
        P.call->complete(call, &r, b);
        return PBAY_OK;
    }
    default: break;
    }
    P.at_once--;
    uint32_t rows = mode == FEW ? in->n_rows - 1 : mode == MANY ? in->n_rows + 1 : in->n_rows;
    P.call->complete(call, &r, doubled(in, rows));
    return PBAY_OK;
}

static void cancel(void *self, void *bound, pbay_call call)
{
    (void)self;
    (void)bound;
    P.cancels++;
    for (unsigned i = 0; i < 64; i++)
        if (P.held[i].call == call) {
            pbay_result r = PBAY_RESULT_OK;
            r.code = PBAY_CANCELLED;
            P.timer->cancel(P.held[i].timer);
            P.batch->free(P.held[i].out);
            P.held[i].call = 0;
            P.at_once--;
            P.call->complete(call, &r, NULL);
            return;
        }
}

#define OP(n)                                                                                                \
    {                                                                                                        \
        n, "test", PBAY_SHAPE_MAP, 0,                                                                        \
        {                                                                                                    \
            NULL, 0, sizeof(pbay_option)                                                                     \
        }                                                                                                    \
    }
static const pbay_option word_options[] = {
    {"word", PBAY_OPT_STR, PBAY_OPTF_PER_CALL, "plain", NULL, "what is answered"},
    {"fixed", PBAY_OPT_STR, 0, NULL, NULL, "not for callers"},
};
static const pbay_operation ops[N_MODES] = {
    OP("now"),
    OP("later"),
    OP("reversed"),
    OP("split"),
    OP("flaky"),
    OP("few"),
    OP("many"),
    OP("never"),
    OP("refuse"),
    OP("broken"),
    OP("bare"),
    OP("bad2"),
    {"word", "test", PBAY_SHAPE_MAP, 0, {word_options, 2, sizeof(pbay_option)}},
    OP("who"),
    OP("nest"),
    OP("poison")};
static const pbay_functions_1 functions = {.struct_size = sizeof functions,
                                           .n_operations = N_MODES,
                                           .operations = ops,
                                           .operation_stride = sizeof(pbay_operation),
                                           .bind = bind,
                                           .unbind = unbind,
                                           .submit = submit,
                                           .cancel = cancel};

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_FUNCTIONS) == 0 ? &functions : NULL;
}

const pbay_entry *doubling_entry(void)
{
    static const pbay_descriptor descriptor = {.struct_size = sizeof descriptor,
                                               .name = "doubling",
                                               .version = "1",
                                               .vendor = "tests",
                                               .license = "MIT",
                                               .summary = "answers text doubled",
                                               .options = {NULL, 0, sizeof(pbay_option)}};
    static const pbay_entry e = {PBAY_MAGIC, sizeof e, PBAY_ABI_MAJOR, PBAY_ABI_MINOR, 0,        &descriptor,
                                 create,     NULL,     NULL,           destroy,        extension};
    return &e;
}
