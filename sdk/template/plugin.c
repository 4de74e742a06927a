/* @name@: a function that greets. Each row has one text and is answered by one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <patchbay/functions.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>

/* One for each [connector] section. */
struct instance {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    pbay_str greeting; /* lives as long as the instance */
};

/* ------------------------------------------------------------------------------------------ the function */

/* [function "..."] was declared on our operation: does it fit? */
static int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    *bound = self;
    if (info->n_sends != 1 || info->sends[0].kind != PBAY_STR || info->n_answers != 1 ||
        info->answers[0].kind != PBAY_STR)
        return pbay_fail(why, PBAY_INVALID_ARGUMENT,
                         "hello takes one text and answers one: params = who:str, answer = str");
    return PBAY_OK;
}

/* A batch of rows. It is answered here; what takes time would remember `call` and complete it later: exactly
 * once, whatever happens, and `in` may be read until then. Nothing here may block. */
static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    const struct instance *x = self;
    const pbay_column *who = pbay_batch_col(in, 0);
    pbay_builder *out = x->batch->create(x->host);
    const pbay_result ok = PBAY_RESULT_OK;
    char text[4096];
    (void)bound;
    (void)why;
    x->batch->add_column(out, (pbay_str){"greeting", 8}, PBAY_STR);
    for (uint32_t row = 0; row < in->n_rows; row++) {
        const pbay_str name = pbay_cell_text(who, row);
        if (pbay_cell_null(who, row)) {
            x->batch->null(out, 0);
        } else if (name.n > 1000) {
            static const char message[] = "nobody has a name of more than 1000 bytes";
            x->batch->row_error(out, row, PBAY_INVALID_ARGUMENT, (pbay_str){message, sizeof message - 1});
            x->batch->null(out, 0);
        } else {
            const int n = snprintf(text, sizeof text, "%.*s, %.*s!", (int)x->greeting.n, x->greeting.p,
                                   (int)name.n, name.p);
            x->batch->text(out, 0, (pbay_str){text, (size_t)n});
        }
    }
    x->call->complete(call, &ok, out); /* takes `out` */
    return PBAY_OK;
}

static const pbay_operation operations[] = {
    {"hello", "Greets whom it is told of.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}},
};

static const pbay_functions_1 functions = {
    .struct_size = sizeof functions,
    .n_operations = sizeof operations / sizeof *operations,
    .operations = operations,
    .operation_stride = sizeof(pbay_operation),
    .bind = bind,
    .submit = submit,
};

/* ------------------------------------------------------------------------------------------- the plugin */

/* Keys of [connector "..."] beside the host's own: checked by the host, shown by `patchbay help @name@`. */
static const pbay_option options[] = {
    {"greeting", PBAY_OPT_STR, 0, "Hello", NULL, "What it says before the name; at most 1000 bytes."},
};

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct instance *x = calloc(1, sizeof *x);
    if (!x) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    x->host = host;
    x->batch = host->service(host, PBAY_SVC_BATCH);
    x->call = host->service(host, PBAY_SVC_CALL);
    x->greeting = host->get_str(config, "greeting");
    *self = x;
    if (x->batch && x->call && x->greeting.n <= 1000) return PBAY_OK;
    const int32_t code =
        x->greeting.n > 1000
            ? pbay_fail(why, PBAY_INVALID_ARGUMENT, "greeting has more than 1000 bytes")
            : pbay_fail(why, PBAY_UNIMPLEMENTED, "this host has no pbay.host.batch/1 or pbay.host.call/1");
    free(x);
    return code;
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
        .name = "@name@",
        .version = "0.1.0",
        .vendor = "nobody yet",
        .license = "MIT",
        .summary = "Greets",
        .options = {options, sizeof options / sizeof *options, sizeof(pbay_option)},
    };
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         NULL,
                                     NULL,       destroy,      extension};
    return &entry;
}
