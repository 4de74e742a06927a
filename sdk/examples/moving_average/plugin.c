/* SPDX-License-Identifier: MIT */
/* An aggregate and a table over rows that stream: nothing is kept but what the next row needs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <patchbay/functions.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>

struct instance {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    struct series *calls;
};

/* A function that was declared on one of our operations. */
struct function {
    uint32_t operation, window;
};

/* One call under way. */
struct series {
    struct series *next;
    pbay_call call;
    const struct function *fn;
    int full;            /* emit said LATER: nothing more until writable */
    int waits;           /* a push was refused meanwhile */
    int ended;           /* no more rows come */
    uint64_t n;          /* rows with a number */
    double mean, square; /* Welford: sums of squares lose their digits */
    double sum;          /* of the window */
    double *last;        /* its numbers, a ring */
};

enum { SPREAD, AVERAGE };

static int32_t refuse(pbay_result *why, int32_t code, const char *text)
{
    why->code = code;
    why->message = (pbay_str){text, strlen(text)};
    return code;
}

/* ------------------------------------------------------------------------------------------- functions */

static int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    const struct instance *x = self;
    if (info->n_sends != 1 || info->sends[0].kind != PBAY_NUM)
        return refuse(why, PBAY_INVALID_ARGUMENT, "one column of numbers is expected: params = x:num");
    if (info->n_answers != (info->operation == AVERAGE ? 2 : 1))
        return refuse(why, PBAY_INVALID_ARGUMENT,
                      info->operation == AVERAGE ? "two columns are answered: returns = x:num, average:num"
                                                 : "one number is answered: returns = num");
    struct function *fn = calloc(1, sizeof *fn);
    if (!fn) return refuse(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    fn->operation = info->operation;
    fn->window = info->operation == AVERAGE ? (uint32_t)x->host->get_int(info->config, "window") : 1;
    *bound = fn;
    return PBAY_OK;
}

static void unbind(void *self, void *bound)
{
    (void)self;
    free(bound);
}

/* --------------------------------------------------------------------------------------------- calls */

static struct series *find(const struct instance *x, pbay_call call)
{
    struct series *s = x->calls;
    while (s && s->call != call) s = s->next;
    return s;
}

static int32_t open_call(void *self, void *bound, pbay_call call, pbay_result *why)
{
    struct instance *x = self;
    const struct function *fn = bound;
    struct series *s = calloc(1, sizeof *s);
    double *last = calloc(fn->window, sizeof *last);
    if (!s || !last) {
        free(s);
        free(last);
        return refuse(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    }
    *s = (struct series){.next = x->calls, .call = call, .fn = fn, .last = last};
    x->calls = s;
    if (fn->operation == AVERAGE) {
        static const pbay_field columns[] = {{{"x", 1}, PBAY_NUM, 0}, {{"average", 7}, PBAY_NUM, 0}};
        x->call->describe(call, (pbay_str){"smoothed", 8}, columns, 2);
    }
    return PBAY_OK;
}

/* The one end of a call. out is taken; NULL when all was emitted, or with a failure. */
static void finish(struct instance *x, struct series *s, const pbay_result *result, pbay_builder *out)
{
    struct series **at = &x->calls;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    x->call->complete(s->call, result, out);
    free(s->last);
    free(s);
}

static double next_average(struct series *s, double v)
{
    double *slot = &s->last[s->n % s->fn->window];
    s->sum += v - (s->n >= s->fn->window ? *slot : 0);
    *slot = v;
    s->n++;
    return s->sum / (double)(s->n < s->fn->window ? s->n : s->fn->window);
}

static void next_spread(struct series *s, double v)
{
    const double from = v - s->mean;
    s->n++;
    s->mean += from / (double)s->n;
    s->square += from * (v - s->mean);
}

/* Rows, in order; they are read before this returns. */
static int32_t push(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct instance *x = self;
    struct series *s = find(x, call);
    const pbay_column *col = pbay_batch_col(in, 0);
    (void)bound;
    if (!s) return refuse(why, PBAY_CANCELLED, "the call is over");
    if (s->full) { /* the caller reads slowly: the same rows again when there is room */
        s->waits = 1;
        return PBAY_LATER;
    }
    if (s->fn->operation == SPREAD) {
        for (uint32_t i = 0; i < in->n_rows; i++)
            if (!pbay_cell_null(col, i)) next_spread(s, col->num[i]);
        return PBAY_OK;
    }
    pbay_builder *out = x->batch->create(x->host);
    x->batch->add_column(out, (pbay_str){"x", 1}, PBAY_NUM);
    x->batch->add_column(out, (pbay_str){"average", 7}, PBAY_NUM);
    for (uint32_t i = 0; i < in->n_rows; i++) {
        if (pbay_cell_null(col, i)) {
            x->batch->null(out, 0);
            x->batch->null(out, 1);
        } else {
            x->batch->num(out, 0, col->num[i]);
            x->batch->num(out, 1, next_average(s, col->num[i]));
        }
    }
    const int32_t rc = x->call->emit(call, out);
    s->full = rc == PBAY_LATER;
    if (rc == PBAY_OK || rc == PBAY_LATER) return PBAY_OK;
    /* Nobody takes it any more. What push answers now ends the call; complete is not owed. */
    struct series **at = &x->calls;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    free(s->last);
    free(s);
    return refuse(why, rc, "nobody takes the answer any more");
}

static void end_call(void *self, void *bound, pbay_call call)
{
    struct instance *x = self;
    struct series *s = find(x, call);
    const pbay_result ok = PBAY_RESULT_OK;
    (void)bound;
    if (!s) return;
    s->ended = 1;
    if (s->fn->operation == AVERAGE) {
        if (!s->full) finish(x, s, &ok, NULL);
        return;
    }
    pbay_builder *out = x->batch->create(x->host);
    x->batch->add_column(out, (pbay_str){"spread", 6}, PBAY_NUM);
    if (s->n > 1)
        x->batch->num(out, 0, sqrt(s->square / (double)(s->n - 1)));
    else
        x->batch->null(out, 0);
    finish(x, s, &ok, out);
}

static void writable(void *self, void *bound, pbay_call call)
{
    struct instance *x = self;
    struct series *s = find(x, call);
    const pbay_result ok = PBAY_RESULT_OK;
    (void)bound;
    if (!s || !s->full) return;
    s->full = 0;
    if (s->ended) {
        finish(x, s, &ok, NULL);
    } else if (s->waits) {
        s->waits = 0;
        x->call->ready(call);
    }
}

static void cancel(void *self, void *bound, pbay_call call)
{
    struct instance *x = self;
    struct series *s = find(x, call);
    pbay_result r = PBAY_RESULT_OK;
    (void)bound;
    r.code = PBAY_CANCELLED;
    if (s) finish(x, s, &r, NULL);
}

static const pbay_option average_options[] = {
    {"window", PBAY_OPT_INT, 0, "7", "1..100000",
     "How many rows an average is made of; fewer at the beginning."},
};
static const pbay_operation operations[] = {
    [SPREAD] = {"spread", "The standard deviation of all rows.", PBAY_SHAPE_AGGREGATE, 0, {NULL, 0, 0}},
    [AVERAGE] = {"average",
                 "Each row, with the mean of the last ones.",
                 PBAY_SHAPE_TABLE,
                 0,
                 {average_options, 1, sizeof(pbay_option)}},
};
static const pbay_functions_1 functions = {
    .struct_size = sizeof functions,
    .n_operations = 2,
    .operations = operations,
    .operation_stride = sizeof(pbay_operation),
    .bind = bind,
    .unbind = unbind,
    .open = open_call,
    .push = push,
    .end = end_call,
    .writable = writable,
    .cancel = cancel,
};

/* --------------------------------------------------------------------------------------------- plugin */

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct instance *x = calloc(1, sizeof *x);
    (void)config;
    if (!x) return refuse(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    x->host = host;
    x->batch = host->service(host, PBAY_SVC_BATCH);
    x->call = host->service(host, PBAY_SVC_CALL);
    *self = x;
    if (x->batch && x->call) return PBAY_OK;
    free(x);
    return refuse(why, PBAY_UNIMPLEMENTED, "this host has no pbay.host.batch/1 or pbay.host.call/1");
}

static void destroy(void *self)
{
    free(self);
}

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_FUNCTIONS) == 0 ? &functions : NULL;
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "moving_average",
        .version = "1.0.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "Standard deviations and moving averages of rows that stream",
    };
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         NULL,
                                     NULL,       destroy,      extension};
    return &entry;
}
