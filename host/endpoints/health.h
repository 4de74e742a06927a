/* SPDX-License-Identifier: MIT */
/*
 * grpc.health.v1.Health: what load balancers and `grpc_health_probe` ask.
 * https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 *
 * "" and every service of the server are SERVING until it drains, then NOT_SERVING. Check of any other name
 * is NOT_FOUND; Watch of it says SERVICE_UNKNOWN. Threads: the loop.
 */
#pragma once

#include <stdbool.h>

struct pb_grpc_server;
struct pb_health;

/* Register Check and Watch; after the server's other methods or before. Returns owned: free after the server.
 */
struct pb_health *pb_health_new(struct pb_grpc_server *server);
/* Watchers are told. Those of a server that drains are then sent away (UNAVAILABLE), so that it can come to
 * its end. */
void pb_health_drain(struct pb_health *health);
void pb_health_free(struct pb_health *health);
