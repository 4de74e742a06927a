/* SPDX-License-Identifier: MIT */
/*
 * A key set, a newline, a token. Whatever comes: no token is good unless its claims are the rule's, and a
 * refusal says why without the token's signature.
 */
#include <stdint.h>

#include "base/check.h"
#include "data/jwks.h"
#include "guard/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pbay_str rest = pb_str((const char *)data, size), text, token;
    if (!pb_str_split(&rest, '\n', &text)) return 0;
    token = rest;
    struct pb_jwks set = {0};
    struct pb_err err = {0};
    struct pb_jwt_keys *keys = NULL;
    if (pb_jwks_parse(text, &set, &err) == 0) {
        PB_REQUIRE(set.n > 0 && set.n <= PB_JWKS_KEYS_MAX && set.with_secret <= set.left_out);
        keys = pb_jwt_keys_new(&set, &err);
        if (keys) PB_REQUIRE(pb_jwt_keys_count(keys) <= set.n);
    }
    if (!keys) PB_REQUIRE(err.code == PBAY_INVALID_ARGUMENT && err.msg[0]);
    pb_jwks_free(&set);
    if (!keys) return 0;
    const pbay_str audience = PB_STR("patchbay"), keep = PB_STR("org");
    const struct pb_jwt_rule rule = {.issuer = PB_STR("https://id.example"),
                                     .audiences = &audience,
                                     .n_audiences = 1,
                                     .leeway_ms = 1000,
                                     .keep = &keep,
                                     .n_keep = 1};
    struct pb_arena a = {0};
    struct pb_jwt got;
    enum pb_jwt_fault fault = pb_jwt_verify(&rule, keys, token, INT64_C(1800000000000), &a, &got, &err);
    if (fault)
        PB_REQUIRE(err.code == PBAY_UNAUTHENTICATED && err.msg[0] && !got.subject.p);
    else
        PB_REQUIRE(got.subject.n && got.expires_ms > INT64_C(1799999999000) &&
                   got.n_scopes <= PB_JWT_SCOPES_MAX);
    pb_arena_free(&a);
    pb_jwt_keys_free(keys);
    return 0;
}
