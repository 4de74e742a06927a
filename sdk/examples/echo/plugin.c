/* SPDX-License-Identifier: MIT */
/* The smallest useful plugin: a map function that answers the rows it is sent. */
#include <stdlib.h>
#include <string.h>

#include <patchbay/functions.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>

struct echo {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
};

/* One batch of rows. PBAY_OK: we owe exactly one `complete`, now or later. */
static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct echo *e = self;
    const pbay_result ok = PBAY_RESULT_OK;
    (void)bound;
    (void)why;
    pbay_builder *out = e->batch->create(e->host);
    for (uint32_t c = 0; c < in->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(in, c);
        e->batch->add_column(out, col->name, col->kind);
    }
    for (uint32_t c = 0; c < in->n_cols; c++) e->batch->copy(out, c, pbay_batch_col(in, c), 0, in->n_rows);
    e->call->complete(call, &ok, out);
    return PBAY_OK;
}

static const pbay_operation operations[] = {
    {"echo", "Answers the rows it is sent.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}},
};

static const pbay_functions_1 functions = {
    .struct_size = sizeof functions,
    .n_operations = 1,
    .operations = operations,
    .operation_stride = sizeof(pbay_operation),
    .submit = submit,
};

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_FUNCTIONS) == 0 ? &functions : NULL;
}

/* One instance per [connector] section. What we need and the host does not have is a reason to refuse. */
static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct echo *e = calloc(1, sizeof *e);
    (void)config;
    if (!e) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    e->host = host;
    e->batch = host->service(host, PBAY_SVC_BATCH);
    e->call = host->service(host, PBAY_SVC_CALL);
    *self = e;
    if (e->batch && e->call) return PBAY_OK;
    free(e);
    return pbay_fail(why, PBAY_UNIMPLEMENTED, "this host has no pbay.host.batch/1 or pbay.host.call/1");
}

static void destroy(void *self)
{
    free(self);
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "echo",
        .version = "1.0.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "Answers the rows it is sent",
    };
    static const pbay_entry entry = {
        PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR, 0,         &descriptor,
        create,     NULL,         NULL,           destroy,        extension,
    };
    return &entry;
}
