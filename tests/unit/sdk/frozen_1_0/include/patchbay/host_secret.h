/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.secret/1: secret values by the reference the operator wrote (`env:NAME`, `file:PATH`,
 * ...).
 *
 * Options flagged SECRET are resolved already (get_str). This service is for what changes: a value is asked
 * for each time it is needed, and asked for anew when the other side answered 401. All functions: [loop].
 *
 * Example: a token that may have been changed at the other side.
 *
 *     static int32_t token(struct mine *m, pbay_str *value, pbay_result *why)
 *     {
 *         return m->secret->get(m->host, "token", value, why); // copy it into the request's header
 *     }
 *     static void on_401(struct mine *m)
 *     {
 *         m->secret->refused(m->host, "token"); // then repeat the request, once
 *     }
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_SECRET "pbay.host.secret/1"

typedef struct pbay_secret_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* The newest value of an option of this connector, borrowed until the next call of this service. PBAY_OK,
     * or PBAY_NOT_FOUND with *why: it is not set. */
    int32_t (*get)(const pbay_host *host, const char *option, pbay_str *value, pbay_result *why);
    /* The value was refused (401): resolve it again before the next `get`. */
    void (*refused)(const pbay_host *host, const char *option);
} pbay_secret_1;

#ifdef __cplusplus
}
#endif
