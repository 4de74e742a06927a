/* SPDX-License-Identifier: MIT */
/*
 * Draft: extension pbay.secrets/1: schemes of values (`ssm:NAME`) that a connector resolves for others.
 *
 * Connectors that use a scheme are created after the one that resolves it; a cycle is an error. Values are
 * asked for again after their time to live and when the other side refused them.
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_EXT_SECRETS "pbay.secrets/1"
#define PBAY_SVC_SECRETS "pbay.host.resolve/1"

/* One question. A generation-checked number. */
typedef uint64_t pbay_resolve;

typedef struct pbay_secrets_1 {
    uint32_t struct_size;
    uint32_t n_schemes;
    const char *const *schemes; /* "ssm", "secretsmanager" */
    /* [loop] rest: what follows the colon. One `resolved` is owed. */
    void (*resolve)(void *self, uint32_t scheme, pbay_resolve question, pbay_str rest);
} pbay_secrets_1;

/* Service pbay.host.resolve/1. [loop] The value is copied and wiped with the configuration; ttl_ms 0: for
 * ever. */
typedef struct pbay_resolve_1 {
    uint32_t struct_size;
    uint32_t reserved;
    void (*resolved)(pbay_resolve question, const pbay_result *result, pbay_str value, int64_t ttl_ms);
} pbay_resolve_1;

#ifdef __cplusplus
}
#endif
