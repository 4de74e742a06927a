/* SPDX-License-Identifier: MIT */
/*
 * grpc.reflection.v1 and v1alpha: tools like grpcurl learn the services and messages from the server itself.
 * https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
 *
 * The descriptors are made from the .proto files when the gateway is built. Threads: the loop.
 */
#pragma once

#include <patchbay/types.h>

#include "base/buf.h"
#include "base/err.h"

struct pb_grpc_server;

/* Register both versions. Nothing is kept beside the server. */
void pb_reflection_register(struct pb_grpc_server *server);
/*
 * The ServerReflectionResponse to one ServerReflectionRequest, appended to out. What is asked for and not
 * there is an answer too; -1 with err (INVALID_ARGUMENT) is for what is not a request.
 */
int pb_reflection_answer(const struct pb_grpc_server *server, pbay_str request, struct pb_buf *out,
                         struct pb_err *err);
