/* SPDX-License-Identifier: MIT */
/* Plugin bench_rows: compiled map functions that touch every row and do nothing else, for the benchmarks.
 * `echo` answers the first column's text, `sum` the sum of all numeric columns; what remains of a call is the
 * gateway's own cost. */
#include <stdlib.h>
#include <string.h>

#include <patchbay/host_call.h>

#include "sum.h"

static const pbay_operation operations[] = {
    {"echo", "Answers the first column, a text, row by row.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}},
    {"sum", "Answers the sum of all columns, which are numbers.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}},
};
enum { OP_ECHO, OP_SUM };

struct rows {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
};

static int32_t refuse(pbay_result *why, int32_t code, const char *message)
{
    *why = (pbay_result){.struct_size = sizeof *why, .code = code, .message = {message, strlen(message)}};
    return code;
}

static int32_t rows_create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    (void)config;
    struct rows *r = malloc(sizeof *r);
    if (!r) return refuse(why, PBAY_RESOURCE_EXHAUSTED, "out of memory");
    *r = (struct rows){host, host->service(host, PBAY_SVC_BATCH), host->service(host, PBAY_SVC_CALL)};
    if (!r->batch || !r->call) {
        free(r);
        return refuse(why, PBAY_FAILED_PRECONDITION,
                      "the host offers no " PBAY_SVC_BATCH " or " PBAY_SVC_CALL);
    }
    *self = r;
    return PBAY_OK;
}

static void rows_destroy(void *self)
{
    free(self);
}

static int32_t rows_bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    uint32_t kind = info->operation == OP_SUM ? PBAY_NUM : PBAY_STR;
    (void)self;
    for (uint32_t i = 0; i < info->n_sends; i++)
        if (info->sends[i].kind != kind)
            return refuse(why, PBAY_INVALID_ARGUMENT, "echo takes str parameters, sum takes num parameters");
    *bound = (void *)(uintptr_t)&operations[info->operation];
    return PBAY_OK;
}

static void rows_unbind(void *self, void *bound)
{
    (void)self, (void)bound;
}

/* Rows with nulls go cell by cell; the others into room that is asked for once. */
static void echo(const struct rows *r, const pbay_column *in, uint32_t n, pbay_builder *out)
{
    if (in->null_bits) {
        for (uint32_t i = 0; i < n; i++) {
            if (pbay_cell_null(in, i))
                r->batch->null(out, 0);
            else
                r->batch->text(out, 0, pbay_cell_text(in, i));
        }
        return;
    }
    uint32_t *off;
    char *to = r->batch->texts(out, 0, n, in->off[n] - in->off[0], &off);
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        pbay_str cell = pbay_cell_text(in, i);
        if (cell.n) memcpy(to + at, cell.p, cell.n);
        at += (uint32_t)cell.n;
        off[i + 1] = at;
    }
    r->batch->texts_done(out, 0, n);
}

static int32_t rows_submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    const struct rows *r = self;
    int add = bound == (const void *)&operations[OP_SUM];
    uint32_t kind = add ? PBAY_NUM : PBAY_STR;
    for (uint32_t c = 0; c < in->n_cols; c++)
        if (pbay_batch_col(in, c)->kind != kind)
            return refuse(why, PBAY_INVALID_ARGUMENT, "a column of another kind");
    if (in->n_cols == 0) return refuse(why, PBAY_INVALID_ARGUMENT, "no column");
    pbay_builder *out = r->batch->create(r->host);
    r->batch->add_column(out, (pbay_str){NULL, 0}, kind);
    if (add)
        sum_rows(r->batch->nums(out, 0, in->n_rows), in);
    else
        echo(r, pbay_batch_col(in, 0), in->n_rows, out);
    pbay_result good = PBAY_RESULT_OK;
    r->call->complete(call, &good, out);
    return PBAY_OK;
}

static void rows_cancel(void *self, void *bound, pbay_call call)
{
    (void)self, (void)bound, (void)call; /* complete has been called already */
}

static const void *rows_extension(const char *id)
{
    static const pbay_functions_1 functions = {
        .struct_size = sizeof functions,
        .n_operations = sizeof operations / sizeof operations[0],
        .operations = operations,
        .operation_stride = sizeof operations[0],
        .bind = rows_bind,
        .unbind = rows_unbind,
        .submit = rows_submit,
        .cancel = rows_cancel,
    };
    return strcmp(id, PBAY_EXT_FUNCTIONS) == 0 ? &functions : NULL;
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "bench_rows",
        .version = "1.0.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "map functions that touch every row, for the benchmarks",
    };
    static const pbay_entry entry = {
        .magic = PBAY_MAGIC,
        .struct_size = sizeof entry,
        .abi_major = PBAY_ABI_MAJOR,
        .abi_minor = PBAY_ABI_MINOR,
        .descriptor = &descriptor,
        .create = rows_create,
        .destroy = rows_destroy,
        .extension = rows_extension,
    };
    return &entry;
}
