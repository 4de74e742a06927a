/* SPDX-License-Identifier: MIT */
/*
 * Extension pbay.secrets/1: schemes of references (`ssm:NAME`) that a connector resolves for others; and the
 * service pbay.host.resolve/1, by which it answers.
 *
 *     [connector "aws"]
 *     plugin = sagemaker                     ; resolves ssm: and secretsmanager:
 *     [connector "prod"]
 *     plugin = qlik_saas
 *     api_key = ssm:/qlik/prod/api-key       ; asked for when "prod" is made
 *
 * A connector (or function) that uses a scheme is made after the connector that resolves it was started; of
 * several that could, the first in the file does. A circle is an error. Values are asked for again after
 * their time to live and when the other side refused them; pbay.host.secret/1 gives the newest. `patchbay
 * check` and `explain` ask nobody and put the text "not-resolved" in their place. Threads: [loop], all of it.
 *
 * Example: a scheme, `vault:NAME`.
 *
 *     static void resolve(void *self, uint32_t scheme, pbay_resolve question, pbay_str rest)
 *     {
 *         const struct mine *m = self;
 *         pbay_result result = PBAY_RESULT_OK;
 *         (void)scheme, (void)rest;
 *         pbay_fail(&result, PBAY_NOT_FOUND, "the vault has no such name"); // or the value, now or later
 *         m->resolve->resolved(question, &result, pbay_str_c(NULL), 0);
 *     }
 *     static const char *const schemes[] = {"vault"};
 *     static const pbay_secrets_1 secrets = {sizeof secrets, 1, schemes, resolve};
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_EXT_SECRETS "pbay.secrets/1"
#define PBAY_SVC_RESOLVE "pbay.host.resolve/1"

/* One question. A generation-checked number; 0 is never one. */
typedef uint64_t pbay_resolve;

typedef struct pbay_secrets_1 {
    uint32_t struct_size;
    uint32_t n_schemes;         /* 1 to 64 */
    const char *const *schemes; /* [a-z][a-z0-9]*: "ssm"; alive as long as the plugin */
    /*
     * What is behind schemes[scheme]:rest (borrowed until return)? One `resolved` is owed, now or later, also
     * after the connector's `timeout`, when nobody waits any more.
     */
    void (*resolve)(void *self, uint32_t scheme, pbay_resolve question, pbay_str rest);
} pbay_secrets_1;

/* Service pbay.host.resolve/1. */
typedef struct pbay_resolve_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /*
     * The answer; the question is stale afterwards. value: text in UTF-8, at most 64 KiB, without NUL;
     * copied, and wiped when there is a newer one. ttl_ms: ask again after so long; 0: when it was refused.
     */
    void (*resolved)(pbay_resolve question, const pbay_result *result, pbay_str value, int64_t ttl_ms);
} pbay_resolve_1;

#ifdef __cplusplus
}
#endif
