/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.kv/1: small values that outlive the process, in the store, in a name space of the
 * connector's.
 *
 * Keys up to 512 bytes, values up to 1 MiB. Callbacks: [loop], never inside the call. All functions: [loop].
 *
 * Example: a counter that two workers may count at once.
 *
 *     static void look(struct mine *m);
 *     static void stored(void *user, const pbay_result *result)
 *     {
 *         if (result->code == PBAY_ABORTED) look(user); // somebody was faster: once more
 *     }
 *     static void found(void *user, const pbay_result *result, pbay_str value)
 *     {
 *         struct mine *m = user;
 *         char text[32], old[32];
 *         if (result->code != PBAY_OK && result->code != PBAY_NOT_FOUND) return;
 *         snprintf(old, sizeof old, "%.*s", (int)(value.n < 20 ? value.n : 20), value.n ? value.p : "");
 *         snprintf(text, sizeof text, "%lld", strtoll(old, NULL, 10) + 1);
 *         m->kv->put(m->host, pbay_str_c("count"), pbay_str_c(text), &value, 0, stored, m);
 *     }
 *     static void look(struct mine *m)
 *     {
 *         m->kv->get(m->host, pbay_str_c("count"), found, m);
 *     }
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_KV "pbay.host.kv/1"

typedef struct pbay_kv_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* found: PBAY_OK with the value, PBAY_NOT_FOUND, or why the store could not answer. */
    void (*get)(const pbay_host *host, pbay_str key,
                void (*found)(void *user, const pbay_result *result, pbay_str value), void *user);
    /*
     * Store; done comes when it is on disk. An empty value deletes: empty and not there are one. expected
     * NULL: whatever was there. Else only if the present value equals it (empty: only if there is none), or
     * PBAY_ABORTED. ttl_ms 0: for ever.
     */
    void (*put)(const pbay_host *host, pbay_str key, pbay_str value, const pbay_str *expected, int64_t ttl_ms,
                void (*done)(void *user, const pbay_result *result), void *user);
} pbay_kv_1;

#ifdef __cplusplus
}
#endif
