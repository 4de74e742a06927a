/* SPDX-License-Identifier: MIT */
/*
 * What pbay.host.invoke/1 stands on: a table of functions that flow implements and app puts into the
 * environment, because this room does not see the rooms that have functions.
 *
 *   invocation   one function, operation or action on its way; flow's
 *   invoked      the same as a plugin holds it: its handle, its callbacks, its parent; service_invoke.c's
 *   parent       the call of an operation, or the request of a route, that it belongs to
 *
 * Threads: [loop].
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/host_call.h>
#include <patchbay/host_invoke.h>

#include "base/err.h"

struct pb_connector;
struct pb_invocation; /* flow's */
struct pb_invoked;

/* Who calls what. Borrowed during open. */
struct pb_invoke_request {
    uint32_t kind; /* PBAY_INVOKE_* */
    pbay_str target;
    const pbay_header *options;
    uint32_t n_options;
    const pbay_field *sends, *answers; /* operations */
    uint32_t n_sends, n_answers;
    pbay_identity identity;
    pbay_str traceparent;
    pbay_str peer;       /* of the request it is for; empty: none */
    int64_t deadline_ns; /* monotonic; PB_NO_DEADLINE: none */
    uint32_t depth;      /* 1: what was invoked is not itself inside an invocation */
    bool row_errors;
    pbay_str key, json;
};

struct pb_invoke_end {
    pbay_str json;
    bool no_store; /* the answer must not be kept */
    bool personal; /* it depends on who calls */
};

/* Never called from inside a function of pb_invoker. */
struct pb_invoke_sink {
    void (*ready)(void *user);
    void (*describe)(void *user, const pbay_field *fields, uint32_t n);
    /* personal: so far the answer depends on who calls. */
    void (*rows)(void *user, const pbay_batch *rows, bool personal);
    /* Exactly once; the invocation is gone. err->code PBAY_OK: success. */
    void (*done)(void *user, const struct pb_err *err, const struct pb_invoke_end *end);
};

struct pb_invoker {
    void *user;
    /* PBAY_OK or NOT_FOUND. */
    int32_t (*describe)(void *user, pbay_str function, pbay_invoke_function *out);
    /* NULL with err. sink is a static table. */
    struct pb_invocation *(*open)(void *user, const struct pb_invoke_request *request,
                                  const struct pb_invoke_sink *sink, void *sink_user, struct pb_err *err);
    /* The rest: as in pbay_invoke_1. */
    int32_t (*push)(struct pb_invocation *i, const pbay_batch *in);
    void (*end)(struct pb_invocation *i);
    void (*credit)(struct pb_invocation *i, uint32_t rows);
    /* done follows, later. why NULL: the caller has given up. */
    void (*cancel)(struct pb_invocation *i, const char *why);
    /* Empty: there are no more. */
    pbay_str (*nth)(void *user, uint32_t i);
};

/* ------------------------------------------------------------------------------------------------ parents */

/* A request of a route, as whoever serves routes knows it. */
struct pb_request_parent {
    const pbay_request_info *info;
    struct pb_invoked **children; /* NULL at first; pb_invoke_orphan when the request ends */
};

/* The parent is over: what was invoked for it is cancelled, later. */
void pb_invoke_orphan(struct pb_invoked **children);
/* Everything a connector has invoked is cancelled, later: it stops. */
void pb_invoke_stop(struct pb_connector *c);
/* Part of pb_op_pool_free. */
void pb_invoke_pool_free(void);
