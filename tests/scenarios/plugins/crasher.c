/* SPDX-License-Identifier: MIT */
/*
 * A plugin that takes its process down when asked to: a row that says "crash" writes through a null pointer,
 * "exit" ends the process, "hold" is answered after half a second. Other rows come back as they are. With
 * `late = yes` a connector crashes when it is started; it does not start while the file `held_by` is there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <unistd.h>

#include <patchbay/functions.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>
#include <patchbay/host_timer.h>

#define STR(lit) ((pbay_str){(lit), sizeof(lit) - 1})

struct crasher {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_timer_1 *timer;
};

struct held {
    struct crasher *c;
    pbay_call call;
    const pbay_batch *in;
};

static void answer(struct crasher *c, pbay_call call, const pbay_batch *in)
{
    pbay_builder *b = c->batch->create(c->host);
    const pbay_column *col = pbay_batch_col(in, 0);
    c->batch->add_column(b, col->name, col->kind);
    c->batch->copy(b, 0, col, 0, in->n_rows);
    pbay_result ok = PBAY_RESULT_OK;
    c->call->complete(call, &ok, b);
}

static void release(void *user)
{
    struct held *h = user;
    answer(h->c, h->call, h->in);
    free(h);
}

static int says(const pbay_column *col, uint32_t row, const char *word)
{
    pbay_str cell = pbay_cell_text(col, row);
    return cell.n == strlen(word) && !memcmp(cell.p, word, cell.n);
}

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct crasher *c = self;
    const pbay_column *col = pbay_batch_col(in, 0);
    (void)bound;
    (void)why;
    for (uint32_t i = 0; i < in->n_rows; i++) {
        if (says(col, i, "crash")) *(volatile char *)0 = 1;
        if (says(col, i, "exit")) exit(3);
        if (!says(col, i, "hold")) continue;
        struct held *h = calloc(1, sizeof *h);
        if (!h) abort();
        *h = (struct held){c, call, in};
        c->timer->start(c->host, 500, 0, release, h);
        return PBAY_OK;
    }
    answer(c, call, in);
    return PBAY_OK;
}

static int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    (void)self;
    (void)info;
    (void)why;
    *bound = NULL;
    return PBAY_OK;
}

static void unbind(void *self, void *bound)
{
    (void)self;
    (void)bound;
}

static void cancel(void *self, void *bound, pbay_call call)
{
    (void)self;
    (void)bound;
    (void)call;
}

static const pbay_operation operations[] = {
    {.name = "echo", .doc = "Rows as they are.", .shape = PBAY_SHAPE_MAP}};
static const pbay_functions_1 functions = {
    .struct_size = sizeof(pbay_functions_1),
    .n_operations = 1,
    .operations = operations,
    .operation_stride = sizeof(pbay_operation),
    .bind = bind,
    .unbind = unbind,
    .submit = submit,
    .cancel = cancel,
};

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    (void)why;
    struct crasher *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->host = host;
    c->config = config;
    c->batch = host->service(host, PBAY_SVC_BATCH);
    c->call = host->service(host, PBAY_SVC_CALL);
    c->timer = host->service(host, PBAY_SVC_TIMER);
    *self = c;
    return PBAY_OK;
}

static int32_t start(void *self, pbay_result *why)
{
    struct crasher *c = self;
    (void)why;
    char path[4096];
    pbay_str held_by = c->host->get_str(c->config, "held_by");
    snprintf(path, sizeof path, "%.*s", (int)held_by.n, held_by.p ? held_by.p : "");
    while (*path && access(path, F_OK) == 0) thrd_sleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    if (c->host->get_int(c->config, "late")) *(volatile char *)0 = 1;
    return PBAY_OK;
}

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_FUNCTIONS) ? NULL : &functions;
}

static const pbay_option options[] = {
    {"late", PBAY_OPT_BOOL, 0, "no", NULL, "Crash when started."},
    {"held_by", PBAY_OPT_STR, 0, "", NULL, "Do not start while this file is there."}};

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "crasher",
        .version = "1.0.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "Takes its process down.",
        .options = {options, sizeof options / sizeof *options, sizeof(pbay_option)},
    };
    static const pbay_entry entry = {.magic = PBAY_MAGIC,
                                     .struct_size = sizeof entry,
                                     .abi_major = PBAY_ABI_MAJOR,
                                     .abi_minor = PBAY_ABI_MINOR,
                                     .descriptor = &descriptor,
                                     .create = create,
                                     .start = start,
                                     .destroy = free,
                                     .extension = extension};
    return &entry;
}
