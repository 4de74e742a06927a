/* SPDX-License-Identifier: MIT */
/*
 * What a worker says of itself once a second: that it turns, what it uses, what its connectors and its store
 * have done; and what it hears from others: levels of the log. Threads: the loop.
 */
#pragma once

#include "app/site.h"
#include "base/page.h"
#include "loop/loop.h"

struct pb_durable;
struct pb_metrics;
struct pb_monitor;
struct pb_registry;

struct pb_monitor_options {
    struct pb_loop *loop;
    struct pb_metrics *metrics;
    struct pb_registry *registry;
    struct pb_durable *durable; /* NULL: there is none */
    const struct pb_site *site;
    struct pb_page *page;
    uint32_t row;
};

/* Everything is borrowed. Returns owned. */
struct pb_monitor *pb_monitor_new(const struct pb_monitor_options *options);
void pb_monitor_free(struct pb_monitor *m); /* NULL is fine */
