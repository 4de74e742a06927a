/* SPDX-License-Identifier: MIT */
/*
 * What the services of plugins stand on: one per worker, filled by app before the first connector is made.
 *
 * A NULL member means that the service which needs it answers NULL. Borrowed: everything outlives the
 * connectors.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/routes.h>

#include "base/err.h"
#include "base/metrics.h"
#include "loop/loop.h"

struct pb_actions;
struct pb_durable;
struct pb_chain_pictures;
struct pb_http_client;
struct pb_invoker;
struct pb_request_parent;
struct pb_outgoing;
struct pb_store;

/* What a plugin would have sent, for `patchbay explain`. Strings are borrowed until return. */
typedef void (*pb_explain_fn)(void *user, pbay_str connector, pbay_str method, pbay_str url,
                              const pbay_header *headers, uint32_t n, pbay_str body);

/* Who draws the graph of chains: one per worker. got is called once, on a later turn. */
struct pb_chain_pictures {
    void (*draw)(void *user, uint32_t format, pbay_str chain,
                 void (*got)(void *got_user, const struct pb_err *err, pbay_str text), void *got_user);
    void *user;
};

struct pb_plugin_env {
    struct pb_loop *loop; /* never NULL */
    struct pb_metrics *metrics;
    struct pb_http_client *http;
    struct pb_outgoing *outgoing;   /* of connectors that say nothing of their own */
    struct pb_store *store;         /* for the start alone, before the durable's; NULL: none */
    struct pb_actions *actions;     /* set with the registry; NULL: none */
    struct pb_durable *durable;     /* NULL: nothing outlives the process, and its services say so */
    const pbay_request_1 *requests; /* pbay.host.request/1: whoever serves routes */
    /* A request that has not ended. False: there is none. NULL: nobody serves routes. */
    bool (*request)(pbay_request request, struct pb_request_parent *out);
    struct pb_chain_pictures *chains; /* pbay.host.chain/1; draws nothing before `draw` is set; NULL: none */
    const struct pb_invoker *invoker; /* pbay.host.invoke/1: plugin/invoke.h */
    /*
     * In a connector's own process: services that its worker answers. True: *table is the one for the id, or
     * NULL: there is none. NULL: this process has a house.
     */
    bool (*instead)(const char *id, const void **table);
    /* Set: nothing is sent by pbay.host.http/1; requests are shown to this and end with CANCELLED. */
    pb_explain_fn explain;
    void *explain_user;
};
