/* SPDX-License-Identifier: MIT */
/*
 * Who is asking, and whether they may: the result of authentication, and the lists that functions and routes
 * carry.
 *
 * Glossary
 *   proven     shown by a certificate, a key, a token or a signature that was checked
 *   claimed    said by whoever was proven: the Qlik user and app come from the engine, and are as good as the
 * engine's own proof pattern    a name, exactly; "*", every name; "abc*", every name that begins so. Bytes
 * are compared as they are
 *
 * Threads: any; everything here only reads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct pbay_config;

enum pb_auth_method {
    PB_AUTH_NONE = 0,
    PB_AUTH_KEY,       /* API key: its name */
    PB_AUTH_CERT,      /* client certificate: its subject, RFC 2253 */
    PB_AUTH_TOKEN,     /* bearer token: its subject */
    PB_AUTH_SIGNATURE, /* signed body: the connector that checked it */
    PB_AUTH_LOCAL,     /* the control socket: the peer's user id */
};

/* Of keys, and of issuers with `admin = yes`: may change what the gateway does. */
#define PB_ADMIN_SCOPE "admin"

/* Everything borrowed, by default as long as the call. Zero-initialised: nobody. */
struct pb_identity {
    enum pb_auth_method method; /* what `principal` was proven by; NONE: not proven */
    pbay_str principal;         /* for logs and metrics */
    pbay_str key, subject,
        token;  /* the names that were proven: one caller may show a certificate and a key. token is
                   ISSUER:SUBJECT, ISSUER as the configuration names it: subjects are an issuer's own */
    bool admin; /* has the scope PB_ADMIN_SCOPE, from who may give it */
    const pbay_str *scopes; /* of the key or the token */
    size_t n_scopes;
    pbay_str user, app; /* claimed; empty: not said */
    pbay_str peer;      /* "203.0.113.7:51034" */
};

/* Whom limits count, within the name space of its method: the token, not the subject alone. */
pbay_str pb_identity_account(const struct pb_identity *id);
/* "key", "certificate", … */
const char *pb_auth_method_name(enum pb_auth_method method);
/* `key "etl"`, `certificate "CN=sse_client"`, `nobody`; appended. The name is as it is: for log fields. */
void pb_identity_text(const struct pb_identity *id, struct pb_buf *out);
/* An empty value matches nothing, not even "*". */
bool pb_pattern_match(pbay_str pattern, pbay_str value);

struct pb_allow_list {
    const pbay_str *patterns;
    size_t n;
    bool set; /* false: there is no such list, all may. Set and empty: nobody may */
};

/*
 * keys, subjects and tokens are three ways to be the right caller: when any of them is set, one must match.
 * users, apps and scopes are conditions beside it: each that is set must match too.
 */
struct pb_allow {
    struct pb_allow_list keys, subjects, tokens, users, apps, scopes;
};

/* allow_keys, allow_subjects, allow_tokens, allow_users, allow_apps, allow_scopes, for [function] and
 * [route]. */
extern const pbay_option_table pb_allow_options;
/* From a section that was checked against that table. Patterns borrow from cfg, arrays lie in the arena. */
void pb_allow_from_config(const struct pbay_config *cfg, struct pb_arena *a, struct pb_allow *out);

/*
 * 0: may. -1 with err, for the log: PERMISSION_DENIED, or UNAUTHENTICATED when nobody was proven and somebody
 * must be; it says which list refused whom. kind and name say what was asked for: "function", "churn".
 */
int pb_allow_check(const struct pb_allow *allow, const char *kind, pbay_str name,
                   const struct pb_identity *id, struct pb_err *err) PB_NODISCARD;
/* What the caller is told in place of that, which says nothing about lists, names and reasons. */
const char *pb_denial_public(int32_t code);
