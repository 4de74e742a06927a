/* SPDX-License-Identifier: MIT */
/*
 * The listeners of a worker and what answers behind each: Qlik's protocol ("sse", one per [qrag]), plain
 * HTTP. Threads: the loop.
 */
#pragma once

#include "app/generation.h"
#include "flow/call.h"

struct pb_chain_work;
struct pb_durable;
struct pb_evaluator;
struct pb_gatekeeper;
struct pb_leash;
struct pb_routes;
struct pb_serving;

struct pb_serving_options {
    struct pb_loop *loop;
    struct pb_flow *flow;
    struct pb_generation *generation;
    struct pb_evaluator *evaluator; /* NULL: scripts are refused */
    struct pb_routes *routes;       /* of plugins */
    struct pb_gatekeeper *gatekeeper;
    struct pb_durable *durable;   /* for the admin listener */
    struct pb_chain_work *chains; /* likewise */
    struct pb_metrics *metrics;
    struct pb_page *page;
    uint32_t row;
    struct pb_leash *leash; /* NULL: sockets of one's own; else connections come from the supervisor */
};

/* What opening would find wrong without taking an address: who may come in, and the certificates. 0, or -1
 * with err. */
int pb_serving_check(struct pb_generation *generation, struct pb_gatekeeper *gatekeeper, struct pb_err *err);
/* Open every listener that the configuration names. Returns owned; NULL with err: which, and why. */
struct pb_serving *pb_serving_open(const struct pb_serving_options *options, struct pb_err *err);
/* Walk the listeners: "sse", "127.0.0.1:50058". */
void pb_serving_each(const struct pb_serving *s, void (*fn)(void *user, const char *name, pbay_str address),
                     void *user);
/* Functions have other ids: what clients are told of them is made anew. */
void pb_serving_ids_changed(struct pb_serving *s);
/* A connection that the supervisor accepted for the listener of that name. Takes fd. */
void pb_serving_adopt(struct pb_serving *s, const char *name, int fd);
/* Take no more connections, let calls end; drained(user) when all have. */
void pb_serving_drain(struct pb_serving *s, void (*drained)(void *user), void *user);
/* What has not ended is lost. drained() of a drain under way comes from inside this. */
void pb_serving_abandon(struct pb_serving *s);
/* After it was drained or abandoned, or when the start failed. NULL is fine. */
void pb_serving_free(struct pb_serving *s);
