/* SPDX-License-Identifier: MIT */
/*
 * What stands before every listener: whose page sends this, who is it, how often may he, may he have this.
 * What is refused makes one line in the log that says by what and what to change (at most one a second for
 * each listener), and an error for the caller that says neither. Threads: the loop.
 */
#pragma once

#include "guard/auth.h"
#include "guard/origin.h"
#include "guard/quota.h"

struct pb_function;
struct pb_gate;
struct pb_grpc_call;
struct pb_http_request;

/* Everything is borrowed as long as the gate, strings of auth and vhost too. */
struct pb_gate_options {
    const char *listener; /* for log lines */
    struct pb_auth auth;
    struct pb_vhost vhost; /* HTTP alone */
    const struct pb_quota *quota;
    struct pb_loop *loop; /* for the line of the last refusal of a burst; NULL: there is none */
    /* A token names a key that issuer number i is not known to have. May be NULL. */
    void (*stale)(void *user, size_t i);
    void *user;
};

/* Returns owned. */
struct pb_gate *pb_gate_new(const struct pb_gate_options *options);
void pb_gate_free(struct pb_gate *gate); /* NULL is fine */

/* Who was let in, until the call ends. Zero-initialised: nobody, nothing to close. */
struct pb_pass {
    struct pb_gate *gate;
    struct pb_identity id; /* borrows from the gate, the request and arena */
    struct pb_arena arena;
    struct pb_quota_call call;
};

/*
 * The head of an HTTP request. 0, or the status of the answer with err; pass is zero then. own: keys and
 * tokens in it are for somebody else to judge (a route with PBAY_AUTH_OWN) and not looked at; certificates
 * are.
 */
int pb_gate_http(struct pb_gate *gate, struct pb_http_request *req, bool own, struct pb_pass *pass,
                 struct pb_err *err);
/* A gRPC call; user and app are what the Qlik engine says, or empty. -1 with err; pass is zero then. */
int pb_gate_grpc(struct pb_gate *gate, struct pb_grpc_call *call, pbay_str user, pbay_str app,
                 struct pb_pass *pass, struct pb_err *err);
/*
 * May he have this function? Its allow lists, and for one with effects the rule that somebody must be proven.
 * A pass without a gate may have what nobody is asked for.
 */
int pb_gate_function(const struct pb_pass *pass, const struct pb_function *fn, struct pb_err *err);
/* May he have this route ("/crm/hook")? proven: nobody in particular is not enough. allow may be NULL. */
int pb_gate_route(const struct pb_pass *pass, const struct pb_allow *allow, pbay_str path, bool proven,
                  struct pb_err *err);
/* err for the caller of what another room refused; it is logged here. Returns -1. */
int pb_gate_refuse(const struct pb_pass *pass, struct pb_err *err);
/* The call has ended. */
void pb_pass_close(struct pb_pass *pass);
