/* SPDX-License-Identifier: MIT */
/* Which services a gRPC server has: the methods' paths without their last part. Threads: the loop. */
#pragma once

#include <stdbool.h>

#include <patchbay/types.h>

struct pb_grpc_server;

/* fn for each service in the order of registration, once when its methods were registered one after the
 * other. */
void pb_services_each(const struct pb_grpc_server *server, void (*fn)(void *user, pbay_str service),
                      void *user);
/* Is there a method of this service? */
bool pb_services_has(const struct pb_grpc_server *server, pbay_str service);
