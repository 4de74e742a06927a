/* SPDX-License-Identifier: MIT */
/* A plugin that breaks one rule of the ABI: which one, FAULT_... says when it is compiled. Without one it is
 * sound. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <patchbay/functions.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>
#include <patchbay/host_timer.h>

#ifdef FAULT_LIBRARY
#include <openssl/crypto.h>
#endif

struct faulty {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_timer_1 *timer;
    char *text;
    pbay_call last;
};

#ifdef FAULT_EXPORT
PBAY_EXPORT int helper_of_mine(void);
int helper_of_mine(void)
{
    return 1;
}
#endif

__attribute__((unused)) static void answer(struct faulty *f, pbay_call call, const pbay_batch *in)
{
    const pbay_result ok = PBAY_RESULT_OK;
    pbay_builder *out = f->batch->create(f->host);
    f->batch->add_column(out, (pbay_str){"answer", 6}, PBAY_STR);
    uint32_t n = in->n_rows;
#ifdef FAULT_ROWS
    if (n > 1) n--;
#endif
    for (uint32_t i = 0; i < n; i++) f->batch->text(out, 0, (pbay_str){"x", 1});
    f->call->complete(call, &ok, out);
}

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct faulty *f = self;
    (void)bound, (void)why, (void)f, (void)call;
#if defined(FAULT_CRASH)
    *(volatile int *)0 = (int)in->n_rows;
#elif defined(FAULT_NEVER)
    (void)in;
#elif defined(FAULT_TWICE)
    answer(f, call, in);
    answer(f, call, in);
#elif defined(FAULT_CANCEL) || defined(FAULT_STOP)
    if (in->n_rows == 10)
        f->last = call; /* only `cancel` could end it */
    else
        answer(f, call, in);
#else
    answer(f, call, in);
#endif
    return PBAY_OK;
}

#ifdef FAULT_STOP
static void cancel(void *self, void *bound, pbay_call call)
{
    struct faulty *f = self;
    const pbay_result r = {.struct_size = sizeof r, .code = PBAY_CANCELLED, .message = {"gone", 4}};
    (void)bound;
    if (!f->timer) f->call->complete(call, &r, NULL); /* never: there is a timer */
}
#endif

static const pbay_operation operations[] = {{"one", "Answers x.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}}};
static const pbay_functions_1 functions = {
    .struct_size = sizeof functions,
    .n_operations = 1,
    .operations = operations,
    .operation_stride = sizeof(pbay_operation),
    .submit = submit,
#ifdef FAULT_STOP
    .cancel = cancel,
#endif
};

static const void *extension(const char *id)
{
#ifdef FAULT_EXTENSION
    return strncmp(id, PBAY_EXT_FUNCTIONS, 14) == 0 ? &functions
                                                    : NULL; /* "pbay.functions" of any revision */
#else
    return strcmp(id, PBAY_EXT_FUNCTIONS) == 0 ? &functions : NULL;
#endif
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct faulty *f = calloc(1, sizeof *f);
    (void)config;
    if (!f) {
        why->message = (pbay_str){"no memory", 9};
        return PBAY_RESOURCE_EXHAUSTED;
    }
    f->host = host;
    f->batch = host->service(host, PBAY_SVC_BATCH);
    f->call = host->service(host, PBAY_SVC_CALL);
    f->timer = host->service(host, PBAY_SVC_TIMER);
#ifdef FAULT_LONGER
    if (host->struct_size != sizeof *host) {
        free(f);
        why->message = (pbay_str){"another host", 12};
        return PBAY_UNIMPLEMENTED;
    }
#endif
#ifdef FAULT_SERVICE
    f->batch->free(f->batch->create(host)); /* there may be none */
#endif
#ifdef FAULT_MUTE
    if (!f->batch) {
        free(f);
        return PBAY_UNIMPLEMENTED;
    }
#endif
#ifdef FAULT_HANG
    for (volatile int i = 0; i < 1; i = 0) {
    }
#endif
    f->text = malloc(100);
#ifdef FAULT_MEMORY
    f->text[0] = 0;
#else
    if (!f->text || !f->batch || !f->call) {
        free(f->text);
        free(f);
        why->message = (pbay_str){"no memory or no batches", 23};
        return PBAY_RESOURCE_EXHAUSTED;
    }
#endif
#ifdef FAULT_DESCRIPTOR
    if (open("/dev/null", O_RDONLY) < 0) return PBAY_INTERNAL;
#endif
#ifdef FAULT_LIBRARY
    f->text[0] = OpenSSL_version(0)[0];
#endif
    *self = f;
    return PBAY_OK;
}

static void destroy(void *self)
{
    struct faulty *f = self;
#ifndef FAULT_LEAK
    free(f->text);
#endif
    free(f);
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_option options[] = {
#ifdef FAULT_DEFAULT
        {"patience", PBAY_OPT_DURATION, 0, "soon", NULL, "how long"},
#elif defined(FAULT_DOC)
        {"patience", PBAY_OPT_DURATION, 0, "1s", NULL, ""},
#else
        {"patience", PBAY_OPT_DURATION, 0, "1s", NULL, "how long"},
#endif
    };
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "faulty",
        .version = "1.0.0",
        .vendor = "Patchbay",
        .license = "MIT",
#ifdef FAULT_SUMMARY
        .summary = "",
#else
        .summary = "Breaks one rule",
#endif
        .options = {options, 1, sizeof(pbay_option)},
    };
    static const pbay_entry entry[2] = {
        {PBAY_MAGIC, sizeof *entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR, 0, &descriptor, create, NULL, NULL,
         destroy, extension},
        {PBAY_MAGIC, sizeof *entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR, 0, &descriptor, create, NULL, NULL,
         destroy, extension},
    };
#ifdef FAULT_MOVING
    static int turn;
    return &entry[turn++ % 2];
#else
    return &entry[0];
#endif
}
