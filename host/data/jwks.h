/* SPDX-License-Identifier: MIT */
/*
 * A JSON Web Key Set (RFC 7517) as plain values: the public keys that an issuer signs its tokens with.
 *
 * Only keys that can verify RS256 or ES256 come out. Others are left out and counted, as RFC 7517 §5 wants
 * it: keys of unknown types, for encryption, with members missing. A symmetric key never comes out: whoever
 * can fetch the set could sign with it. Threads: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum { PB_JWKS_TEXT_MAX = 256 * 1024, PB_JWKS_KEYS_MAX = 64, PB_JWK_P256 = 32 };

enum pb_jwk_type { PB_JWK_RSA = 1, PB_JWK_EC_P256 };

struct pb_jwk {
    enum pb_jwk_type type;
    pbay_str kid;  /* empty: none */
    pbay_str n, e; /* RSA: modulus and exponent, big-endian, without leading zeros */
    pbay_str x,
        y; /* EC: PB_JWK_P256 bytes each; whether the point is on the curve is for the user to check */
};

struct pb_jwks {
    struct pb_jwk *keys;
    size_t n;
    size_t left_out;    /* keys of other kinds and uses */
    size_t with_secret; /* of those, private or symmetric keys: somebody published what must stay secret */
    struct pb_arena arena;
};

/*
 * At most PB_JWKS_TEXT_MAX bytes. Fills *out, which the caller frees also after an error (zero-initialised
 * before). Errors: INVALID_ARGUMENT: not a key set, or one without a usable key.
 */
int pb_jwks_parse(pbay_str text, struct pb_jwks *out, struct pb_err *err);
void pb_jwks_free(struct pb_jwks *set);
