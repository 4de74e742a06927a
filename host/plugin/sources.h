/* SPDX-License-Identifier: MIT */
/*
 * Sources of events (pbay.events/1): polled in their intervals, each by one worker of all.
 *
 * Who polls a source holds the lease "source CONNECTOR.SOURCE"; each poll's events and its cursor are stored
 * in one transaction with the lease's renewal, so that two workers never both move it. Others look now and
 * then whether the lease is free. Threads: [loop].
 */
#pragma once

#include <patchbay/events.h>
#include <patchbay/host_event.h>

#include "base/arena.h"
#include "store/durable.h"

struct pb_connector;
struct pb_registry;
struct pb_sources;

/* Are the connector's `poll.SOURCE` keys ones of its sources, with a time? -1 with err: where, and which
 * there are. */
int pb_sources_check(const struct pb_connector *c, struct pb_err *err);

/* Begin to poll what is switched on, of connectors that have started. Returns owned. */
struct pb_sources *pb_sources_start(struct pb_registry *r, struct pb_durable *d);
/* No new polls; leases are let go. Before the connectors are closed. */
void pb_sources_stop(struct pb_sources *s);
/* After the connectors are closed. NULL is fine. */
void pb_sources_free(struct pb_sources *s);

/* pbay.host.event/1, inside of this room: the end of a poll; events as a plugin gives them, checked. */
void pb_source_polled(uint64_t poll, const pbay_result *result, const pbay_event *events, uint32_t n,
                      pbay_str cursor, int again);
int pb_events_read(const struct pb_connector *c, const pbay_event *events, uint32_t n, struct pb_arena *mem,
                   struct pb_event_put **out, struct pb_err *err);
