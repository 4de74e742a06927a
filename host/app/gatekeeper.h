/* SPDX-License-Identifier: MIT */
/*
 * Whom this worker knows: API keys, issuers of tokens with their keys fetched and renewed, the token of
 * whoever runs the gateway, and the limits of callers. Each listener gets a gate made of it
 * (endpoints/gate.h). Threads: the loop.
 */
#pragma once

#include "app/site.h"
#include "base/page.h"
#include "endpoints/gate.h"

struct pb_gatekeeper;
struct pb_http_client;
struct pb_loop;

struct pb_gatekeeper_options {
    const struct pb_site *site; /* borrowed */
    struct pb_loop *loop;
    struct pb_http_client *http; /* for issuers' keys; NULL: only looked at, nothing is fetched (check) */
    const char *state_dir;       /* where the admin token stands; NULL: there is none */
    struct pb_page *page;        /* what workers share; NULL: there are no limits (check) */
    uint32_t row;
};

/* Returns owned, or NULL with err: FILE:LINE, what is wrong with a key or an issuer. */
struct pb_gatekeeper *pb_gatekeeper_new(const struct pb_gatekeeper_options *options, struct pb_err *err);
void pb_gatekeeper_free(struct pb_gatekeeper *k); /* after all gates; NULL is fine */
/* Are there keys or issuers, beside the admin token? */
bool pb_gatekeeper_knows(const struct pb_gatekeeper *k);
/* For a listener of that name; everything borrowed. Returns owned: pb_gate_free. */
struct pb_gate *pb_gatekeeper_gate(struct pb_gatekeeper *k, const char *listener, bool required,
                                   const struct pb_vhost *vhost);
/* NULL: there are no limits. */
struct pb_quota *pb_gatekeeper_quota(struct pb_gatekeeper *k);
/* Does this key have the admin scope? 0; -1 with err, for the log. */
int pb_gatekeeper_admin(const struct pb_gatekeeper *k, pbay_str key, struct pb_err *err);
/* Derived from the admin token: forms of the pages are signed with it. */
const uint8_t *pb_gatekeeper_secret(const struct pb_gatekeeper *k);

/* The name of the admin token's key and of the scope that it has. */
#define PB_ADMIN_KEY "admin"
/*
 * The token of whoever runs the gateway: an API key in DIR/admin.token (0600), made when it is not there.
 * out: with NUL, to be wiped. A file that others may read is refused.
 */
int pb_admin_token(const char *state_dir, bool make, char out[48], struct pb_err *err);
