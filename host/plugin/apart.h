/* SPDX-License-Identifier: MIT */
/*
 * `isolation = process`: the worker's side of a connector whose plugin runs in a process of its own.
 *
 * To the rest of the house such a connector is a plugin like any other: a struct pb_plugin whose functions
 * are the tables below and whose descriptions came from the process (describe.h). Every rule about calls,
 * actions, routes and so on is watched over where it always is (operation.c, action.c, ...): what the process
 * says is said again here, by the same services that a plugin in the worker calls.
 *
 * Contract: when the process ends, however it does, everything it held is answered UNAVAILABLE at once, with
 * effect NONE for what it had not begun; nothing else is touched. It is started again after 100 ms, twice as
 * long after each further end, up to 30 s, and until then the connector refuses. The process ends with the
 * worker. It guards against crashes, hangs and leaks, not against malice: the process has the rights of the
 * gateway.
 *
 * Threads: [loop]. Starting, `start` and binding wait for the process, at most `process_hang`, or (binding
 * while the gateway serves) a quarter of a second.
 */
#pragma once

#include "plugin/loader.h"

struct pb_connector;

extern const pbay_entry pb_apart_entry; /* descriptor and extension: describe.c's */
extern const pbay_functions_1 pb_apart_functions;
extern const pbay_routes_1 pb_apart_routes;
extern const pbay_commands_1 pb_apart_commands;
extern const pbay_actions_1 pb_apart_actions;
extern const pbay_events_1 pb_apart_events;
extern const pbay_secrets_1 pb_apart_secrets;
extern const pbay_health_1 pb_apart_health;

/* It keeps what it owes for too long: another process takes its place. */
void pb_apart_stuck(struct pb_connector *c, const char *what);
/* The process of a connector, for who shows it; 0: there is none (now). */
int pb_apart_pid(const struct pb_connector *c);
