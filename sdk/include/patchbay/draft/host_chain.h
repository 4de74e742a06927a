/* SPDX-License-Identifier: MIT */
/*
 * Draft: service pbay.host.chain/1: the graph of chains with its live state, for pages and compatible
 * replies.
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_CHAIN "pbay.host.chain/1"

#define PBAY_CHAIN_JSON    1u
#define PBAY_CHAIN_ROWS    2u /* a JSON array of flat objects, one per link */
#define PBAY_CHAIN_DOT     3u
#define PBAY_CHAIN_MERMAID 4u

typedef struct pbay_chain_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* [loop] chain empty: all. text is borrowed until got returns; got is never called from inside. */
    void (*graph)(const pbay_host *host, uint32_t format, pbay_str chain,
                  void (*got)(void *user, const pbay_result *result, pbay_str text), void *user);
} pbay_chain_1;

#ifdef __cplusplus
}
#endif
