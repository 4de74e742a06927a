/* SPDX-License-Identifier: MIT */
/* What the sketches share: text literals, results, and an entry. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include <patchbay/plugin.h>

#define STR(lit) ((pbay_str){(lit), sizeof(lit) - 1})

static inline pbay_result failed(int32_t code, pbay_str message)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    r.message = message;
    return r;
}

static inline void *zalloc(size_t n)
{
    void *p = calloc(1, n);
    if (!p) abort();
    return p;
}

/* A sketch's entry: `extension` and `create` are its own. */
#define SKETCH_ENTRY(plugin, option_list)                                                                    \
    static void sketch_destroy(void *self)                                                                   \
    {                                                                                                        \
        free(self);                                                                                          \
    }                                                                                                        \
    const pbay_entry *sketch_##plugin(void);                                                                 \
    const pbay_entry *sketch_##plugin(void)                                                                  \
    {                                                                                                        \
        static const pbay_descriptor                                                                         \
            d = {sizeof d,                                                                                   \
                 0,                                                                                          \
                 #plugin,                                                                                    \
                 "0",                                                                                        \
                 "-",                                                                                        \
                 "MIT",                                                                                      \
                 "A sketch.",                                                                                \
                 NULL,                                                                                       \
                 {option_list, sizeof option_list / sizeof *option_list, sizeof(pbay_option)}};              \
        static const pbay_entry e = {PBAY_MAGIC, sizeof e, PBAY_ABI_MAJOR, PBAY_ABI_MINOR, 0,        &d,     \
                                     create,     NULL,     NULL,           sketch_destroy, extension};       \
        return &e;                                                                                           \
    }
