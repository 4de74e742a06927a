/* SPDX-License-Identifier: MIT */
/*
 * From what a request shows to an identity. Everything that is shown must be good: a wrong key is refused
 * even when a certificate came with it, and a request that shows nothing is nobody. Threads: one at a time
 * per struct pb_auth.
 */
#pragma once

#include "guard/apikeys.h"
#include "guard/identity.h"
#include "guard/jwt.h"

/* Whose tokens are taken. */
struct pb_auth_issuer {
    pbay_str name; /* of its section */
    bool admin;    /* PB_ADMIN_SCOPE in its tokens counts */
    struct pb_jwt_rule rule;
    const struct pb_jwt_keys *keys; /* NULL: none could be had yet */
};

/* What a listener asks for; everything borrowed. Zero-initialised: nothing is taken and nothing is asked for.
 */
struct pb_auth {
    const struct pb_apikeys *keys;        /* NULL: no keys are taken */
    const struct pb_auth_issuer *issuers; /* tokens of these are taken */
    size_t n_issuers;
    struct pb_allow_list clients; /* subjects of client certificates; not set: every one that was verified */
    bool required;                /* somebody must be proven */
};

struct pb_auth_request {
    const pbay_header *headers; /* names in lower case */
    size_t n_headers;
    pbay_str subject; /* of the verified client certificate; empty: none */
    pbay_str peer;
    int64_t now_ms; /* UTC */
};

struct pb_auth_stale {
    bool unknown_key; /* a token named a key that is not known: jwks_refresh.h */
    size_t issuer;    /* of pb_auth.issuers */
};

/*
 * 0 and *out filled, borrowing from auth, request and arena. -1: UNAUTHENTICATED, or PERMISSION_DENIED for a
 * certificate that clients does not name; err is for the log, pb_denial_public() for the caller. stale may be
 * NULL.
 */
int pb_auth_check(const struct pb_auth *auth, const struct pb_auth_request *req, struct pb_arena *a,
                  struct pb_identity *out, struct pb_auth_stale *stale, struct pb_err *err) PB_NODISCARD;

/* ------------------------------------------------------------------------------------------------ exposure
 */

/* Can only this machine reach it? "127.0.0.1:80", "[::1]:80", "::1", "localhost:80". Anything else: no. */
bool pb_address_is_local(pbay_str address);

struct pb_exposure {
    const char *listener; /* `[listen "sse"]`, for the message */
    pbay_str address;
    bool authenticated; /* certificates, keys or tokens are asked for */
    bool insecure;      /* the operator wrote insecure = yes */
};

/* -1, FAILED_PRECONDITION: other machines reach it, nobody has to say who they are, and nobody said that this
 * is meant. */
int pb_exposure_check(const struct pb_exposure *e, struct pb_err *err) PB_NODISCARD;
