/* SPDX-License-Identifier: MIT */
/* Between jwt.c and jwt_keys.c: keys with OpenSSL's side of them. */
#pragma once

#include <openssl/evp.h>

#include "data/jwks.h"
#include "guard/jwt.h"

struct pb_jwt_key {
    enum pb_jwk_type type;
    pbay_str kid; /* empty: none */
    EVP_PKEY *pkey;
};

struct pb_jwt_keys {
    struct pb_arena arena;
    struct pb_jwt_key *keys;
    size_t n;
};

/* Did the key sign these bytes? RS256 by an RSA key; ES256 (r || s, RFC 7518 §3.4) by an EC key. */
bool pb_jwt_key_signed(const struct pb_jwt_key *key, pbay_str bytes, pbay_str signature);
