/* SPDX-License-Identifier: MIT */
/*
 * What an engine implements. store.c has checked sizes and text before an engine sees them; the contracts
 * are those of the verbs in store/store.h, and tests/unit/store/store_suite.c holds every engine to them.
 * Private to host/store.
 */
#pragma once

#include <stdint.h>

#include "store/store.h"

struct pb_store_engine {
    const char *scheme; /* "sqlite" */
    /* rest: the URL behind "scheme:" */
    int (*open)(pbay_str rest, struct pb_store **out, struct pb_err *err);
    void (*close)(struct pb_store *s);
    int (*check)(struct pb_store *s, struct pb_err *err);
    int (*function_id)(struct pb_store *s, pbay_str scope, pbay_str name, int32_t explicit_id, int32_t *id,
                       struct pb_err *err);
    int (*kv_get)(struct pb_store *s, pbay_str space, pbay_str key, struct pb_buf *out, struct pb_err *err);
    int (*kv_put)(struct pb_store *s, pbay_str space, pbay_str key, pbay_str value, const pbay_str *expected,
                  int64_t ttl_ms, struct pb_err *err);
};

enum { PB_STORE_MAGIC = 0x5053544f };

/* The head of every engine's own struct. */
struct pb_store {
    uint32_t magic;
    const struct pb_store_engine *engine;
};

extern const struct pb_store_engine pb_store_sqlite;
