/* SPDX-License-Identifier: MIT */
/*
 * Bearer tokens: signed JWTs (RFC 7519, RFC 7515) checked against an issuer's public keys.
 *
 * RS256 and ES256 alone. What RFC 8725 warns of is refused: alg "none" and the symmetric HS*, a key whose
 * type does not fit the alg, header members that bring or name keys of their own (they are never read),
 * critical extensions, claims that stand twice, encrypted tokens, tokens without expiry. Text in, decision
 * out; fetching keys is the caller's, and jwks_refresh.h says when.
 *
 * Ownership: keys and rules are built once, then immutable. Threads: readers may be any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/arena.h"
#include "base/err.h"

struct pb_jwks;
struct pb_jwt_keys;

enum {
    PB_JWT_MAX = 16 * 1024,       /* bytes of a token */
    PB_JWT_LEEWAY_MS = 60 * 1000, /* the usual difference between two clocks */
    PB_JWT_SCOPES_MAX = 128,
    PB_JWT_CLAIMS_MAX = 16, /* claims that rules may ask for */
};

/* Public keys made ready. Keys that OpenSSL refuses or that are too weak are left out. Returns owned, or NULL
 * with err (INVALID_ARGUMENT) when none is left. The set is not needed afterwards. */
struct pb_jwt_keys *pb_jwt_keys_new(const struct pb_jwks *set, struct pb_err *err);
void pb_jwt_keys_free(struct pb_jwt_keys *keys); /* NULL is fine */
size_t pb_jwt_keys_count(const struct pb_jwt_keys *keys);

struct pb_jwt_claim {
    pbay_str name;
    pbay_str value; /* the text of a string, else the JSON of the value */
};

/* Everything borrowed. */
struct pb_jwt_rule {
    pbay_str issuer;           /* "iss" must be exactly this */
    const pbay_str *audiences; /* "aud" must name one of these */
    size_t n_audiences;
    int64_t leeway_ms;      /* of exp and nbf; 0..5 minutes */
    pbay_str subject_claim; /* empty: "sub" */
    pbay_str
        scope_claim; /* empty: "scope", else "scp"; a string with blanks between, or an array of strings */
    const struct pb_jwt_claim *require; /* claims that must have this value */
    size_t n_require;
    const pbay_str *keep; /* claims to hand on */
    size_t n_keep;
};

/* Is the rule sound? INVALID_ARGUMENT: no issuer, no audience, a leeway beyond five minutes, too many claims.
 */
int pb_jwt_rule_check(const struct pb_jwt_rule *rule, struct pb_err *err) PB_NODISCARD;

enum pb_jwt_fault {
    PB_JWT_GOOD = 0,
    PB_JWT_MALFORMED,   /* not a token of this kind */
    PB_JWT_ALG,         /* an alg that is not taken */
    PB_JWT_UNKNOWN_KEY, /* no key fits its kid and alg: newer keys may help (jwks_refresh.h) */
    PB_JWT_SIGNATURE,
    PB_JWT_TIME,  /* expired, or not valid yet */
    PB_JWT_CLAIM, /* issuer, audience, subject or a required claim */
};

/* What a good token says; texts live in the arena. */
struct pb_jwt {
    pbay_str subject;
    const pbay_str *scopes;
    size_t n_scopes;
    int64_t expires_ms;
    const struct pb_jwt_claim *claims; /* those of rule->keep that are there */
    size_t n_claims;
};

/*
 * PB_JWT_GOOD and *out filled; or what is wrong, and err (UNAUTHENTICATED) with a sentence for the log:
 * claims and key names may appear in it, the token and its signature do not. Claims are read only after the
 * signature was good.
 */
enum pb_jwt_fault pb_jwt_verify(const struct pb_jwt_rule *rule, const struct pb_jwt_keys *keys,
                                pbay_str token, int64_t now_ms, struct pb_arena *a, struct pb_jwt *out,
                                struct pb_err *err);
/*
 * What the token says its issuer is, before anything was checked: only to choose whose keys to check it with.
 * False: it says none, or is no token.
 */
bool pb_jwt_unverified_issuer(pbay_str token, struct pb_arena *a, pbay_str *issuer);
