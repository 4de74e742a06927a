/* SPDX-License-Identifier: MIT */
/* A plugin of a later time: longer tables, longer strides, a higher minor. What this host does not know is
 * ignored. */
#include <string.h>

#include <patchbay/functions.h>

typedef struct long_option {
    pbay_option known;
    const char *unknown;
} long_option;

typedef struct long_operation {
    pbay_operation known;
    uint64_t unknown[3];
} long_operation;

typedef struct long_functions {
    pbay_functions_1 known;
    void (*unknown)(void);
} long_functions;

typedef struct long_descriptor {
    pbay_descriptor known;
    const char *unknown;
} long_descriptor;

typedef struct long_entry {
    pbay_entry known;
    void (*unknown)(void);
} long_entry;

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    (void)config;
    (void)why;
    *self = (void *)(uintptr_t)host;
    return PBAY_OK;
}

static void destroy(void *self)
{
    (void)self;
}

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    (void)self;
    (void)bound;
    (void)call;
    (void)in;
    (void)why;
    return PBAY_UNIMPLEMENTED;
}

static const long_option options[] = {
    {{"first", PBAY_OPT_INT, 0, "3", NULL, "The first."}, "more"},
    {{"second", PBAY_OPT_INT, 0, "4", NULL, "The second."}, "more"},
};
static const long_operation operations[] = {
    {{"one", "The first.", PBAY_SHAPE_MAP, 0, {&options[0].known, 2, sizeof(long_option)}}, {1, 2, 3}},
    {{"two", "The second.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}}, {1, 2, 3}},
};
static const long_functions functions = {
    {.struct_size = sizeof(long_functions),
     .n_operations = 2,
     .operations = &operations[0].known,
     .operation_stride = sizeof(long_operation),
     .submit = submit},
    NULL,
};

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_FUNCTIONS) ? NULL : &functions;
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const long_descriptor descriptor = {
        {sizeof descriptor,
         0,
         "newer",
         "2.0.0",
         "Patchbay",
         "MIT",
         "Knows more than the host.",
         NULL,
         {&options[0].known, 2, sizeof(long_option)}},
        "more",
    };
    static const long_entry entry = {
        {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, 99, 0, &descriptor.known, create, NULL, NULL, destroy,
         extension},
        NULL,
    };
    return &entry.known;
}
