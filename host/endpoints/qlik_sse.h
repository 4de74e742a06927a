/* SPDX-License-Identifier: MIT */
/*
 * Qlik's Server-Side Extension protocol: service qlik.sse.Connector over gRPC.
 * https://github.com/qlik-oss/server-side-extension (docs/SSE_Protocol.md, proto/ServerSideExtension.proto)
 *
 * Threads: the loop.
 */
#pragma once

#include "endpoints/catalog.h"
#include "flow/call.h"
#include "net/grpc_server.h"

struct pb_sse;
struct pb_gate;
struct pb_evaluator; /* endpoints/qlik_script.h */

/*
 * Register GetCapabilities, ExecuteFunction and EvaluateScript. Borrows catalog and flow for the server's
 * life. evaluator: NULL: scripts are refused. gate: NULL: everybody is let in. Returns owned: free after the
 * server.
 */
struct pb_sse *pb_sse_new(struct pb_loop *loop, struct pb_grpc_server *server,
                          const struct pb_catalog *catalog, struct pb_flow *flow,
                          struct pb_evaluator *evaluator, struct pb_gate *gate);
/* Functions have other ids than before: tell so who asks from now on. */
void pb_sse_ids_changed(struct pb_sse *sse);
void pb_sse_free(struct pb_sse *sse);
