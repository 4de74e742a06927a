/* SPDX-License-Identifier: MIT */
/*
 * EvaluateScript of Qlik's protocol: Lua text that comes with the call. Off unless the configuration switches
 * it on for listed users or apps; then PERMISSION_DENIED for everybody else.
 *
 * Each evaluator has Lua states of its own: what a caller's text does to its state touches no transform.
 * Threads: the loop.
 */
#pragma once

#include "endpoints/catalog.h"
#include "net/grpc_server.h"

struct pb_evaluator;
struct pb_gate;
struct pb_loop;

struct pb_evaluator_options {
    /* Who may: Qlik user ids and app ids, "*" for everybody. Both lists empty: nobody. Borrowed for its life.
     */
    const pbay_str *users;
    size_t n_users;
    const pbay_str *apps;
    size_t n_apps;
    int64_t budget_ms; /* of a thousand rows */
    size_t memory;     /* bytes of a state */
};

/* Returns owned, or NULL with err. */
struct pb_evaluator *pb_evaluator_new(const struct pb_evaluator_options *options, struct pb_err *err);
void pb_evaluator_free(struct pb_evaluator *e);
/*
 * Register the method. evaluator NULL, or a catalog that allows no scripts: every call is refused. gate NULL:
 * the lists of the evaluator alone say who may. Returns owned: pb_free after the server.
 */
struct pb_script_method;
struct pb_script_method *pb_sse_script_method(struct pb_grpc_server *server, struct pb_loop *loop,
                                              struct pb_evaluator *evaluator,
                                              const struct pb_catalog *catalog, struct pb_gate *gate);
