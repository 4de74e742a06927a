/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.chain/1: the graph of chains with its live state, for pages and for replies that other
 * programs read.
 *
 * Example: the graph as rows for another program.
 *
 *     static void got(void *user, const pbay_result *result, pbay_str text)
 *     {
 *         struct mine *m = user;
 *         m->rows_known = result->code == PBAY_OK ? text.n : 0; // copy what is to be kept
 *     }
 *     static void ask(struct mine *m)
 *     {
 *         m->chain->graph(m->host, PBAY_CHAIN_ROWS, pbay_str_c(NULL), got, m);
 *     }
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_CHAIN "pbay.host.chain/1"

/*
 * JSON: {"chains": [{"name", "nodes": [{"id", "kind", ...}], "edges": [{"source", "target", "link",
 * "condition"}]}]}. ROWS: a JSON array of flat objects, one per parent and node, with stable members: chain,
 * node_id, parent_id, node_name, connector, app_id, condition, last_status, last_start, last_end,
 * last_reload_id; parent_id of a first node is "". DOT: a digraph for Graphviz. MERMAID: a flowchart. LIST:
 * [{"name", "appId", "chain", "condition"}], one entry per app and condition, as lists of chained apps used
 * to be written.
 */
#define PBAY_CHAIN_JSON    1u
#define PBAY_CHAIN_ROWS    2u
#define PBAY_CHAIN_DOT     3u
#define PBAY_CHAIN_MERMAID 4u
#define PBAY_CHAIN_LIST    5u

typedef struct pbay_chain_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /*
     * [loop] chain empty: all of them. got is called once, never from inside of graph; text is borrowed until
     * it returns. Failures: NOT_FOUND (no such chain), INVALID_ARGUMENT (no such format), UNAVAILABLE (the
     * store).
     */
    void (*graph)(const pbay_host *host, uint32_t format, pbay_str chain,
                  void (*got)(void *user, const pbay_result *result, pbay_str text), void *user);
} pbay_chain_1;

#ifdef __cplusplus
}
#endif
