/* SPDX-License-Identifier: MIT */
/*
 * HTTP routes of plugins: extension pbay.routes/1 on one side, a plain-HTTP listener on the other, and the
 * service pbay.host.request/1 between them.
 *
 * A route of a connector stands at /CONNECTOR + suffix; others are added by name. A path is matched after
 * percent-decoding; the longest pattern wins, one without a star before one with. The plugin owes one answer
 * per request; at the deadline the host gives 504 in its place, and what the plugin was lent stays until it
 * answers too. Threads: the loop; one pb_routes per thread.
 */
#pragma once

#include <patchbay/routes.h>

#include <stdbool.h>

#include "base/err.h"

struct pb_allow;
struct pb_connector;
struct pb_http_guest;
struct pb_http_request;
struct pb_loop;
struct pb_registry;
struct pb_request_parent;
struct pb_routes;

struct pb_routes_options {
    int64_t timeout_ms; /* for the plugin's answer; 0: 60 s */
};

/* Returns owned. options may be NULL. */
struct pb_routes *pb_routes_new(struct pb_loop *loop, const struct pb_routes_options *options);
/* For pb_plugin_env.requests: works with this thread's pb_routes. */
const pbay_request_1 *pb_routes_service(void);
/* For pb_plugin_env.request: a request of this thread's that is not answered yet. */
bool pb_routes_parent(pbay_request request, struct pb_request_parent *out);
/* All routes of all connectors of a registry, whose connectors outlive it. -1 with err: two stand at one
 * path. */
int pb_routes_add_all(struct pb_routes *r, const struct pb_registry *registry, struct pb_err *err);
/*
 * [route "/path"]: the connector's route of this suffix at another path, or at its own when that is the path.
 * allow says who may come there; NULL: everybody who is proven (auth = own: whom the plugin accepts);
 * borrowed as long as r. -1 with err. Copies path.
 */
int pb_routes_add(struct pb_routes *r, pbay_str path, struct pb_connector *c, pbay_str suffix,
                  const struct pb_allow *allow, struct pb_err *err);
/* Every request was answered or is gone; connectors are closed. */
void pb_routes_free(struct pb_routes *r); /* NULL is fine */

/* Headers are there: sets the body's limit. True: the route's plugin says who asks, by itself. */
bool pb_routes_head(struct pb_routes *r, struct pb_http_request *req);
/* A whole request. False: no route stands at this path, nothing was done. */
bool pb_routes_request(struct pb_routes *r, struct pb_http_request *req, struct pb_http_guest **guest);
