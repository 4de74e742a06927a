/* SPDX-License-Identifier: MIT */
#include "data/jwks.h"

#include "base/encode.h"
#include "data/json_object.h"

enum { MEMBERS_MAX = 64, DEPTH_MAX = 8, RSA_BYTES_MAX = 1024, EXPONENT_BYTES_MAX = 8 };

static pbay_str text_of(const struct pb_json_object *o, const char *name, struct pb_arena *a)
{
    pbay_str out;
    return pb_json_string(pb_json_get(o, name), a, &out) ? out : pb_str(NULL, 0);
}

/* base64url of 1..max bytes, leading zeros cut; empty when it is not that. */
static pbay_str number_of(const struct pb_json_object *o, const char *name, size_t max, struct pb_arena *a)
{
    pbay_str text = text_of(o, name, a), out = {NULL, 0};
    struct pb_buf b = {0};
    if (text.n && text.n <= max * 2 && pb_base64url_decode(text, &b)) {
        out = pb_arena_str(a, pb_buf_view(&b));
        while (out.n && out.p[0] == 0) out = pb_str(out.p + 1, out.n - 1);
    }
    pb_buf_free(&b);
    return out.n <= max ? out : pb_str(NULL, 0);
}

/* A coordinate is as long as the field, zeros included (RFC 7518 §6.2.1.2). */
static pbay_str coordinate_of(const struct pb_json_object *o, const char *name, struct pb_arena *a)
{
    pbay_str text = text_of(o, name, a), out = {NULL, 0};
    struct pb_buf b = {0};
    if (text.n == 43 && pb_base64url_decode(text, &b)) out = pb_arena_str(a, pb_buf_view(&b));
    pb_buf_free(&b);
    return out;
}

/* Absent, or an array that holds "verify". */
static bool may_verify(const struct pb_json_object *o, struct pb_arena *a)
{
    pbay_str ops = pb_json_get(o, "key_ops"), *items, op;
    size_t n;
    if (!ops.p) return true;
    if (pb_json_array(ops, MEMBERS_MAX, DEPTH_MAX, a, &items, &n, NULL)) return false;
    for (size_t i = 0; i < n; i++)
        if (pb_json_string(items[i], a, &op) && pb_str_is(op, "verify")) return true;
    return false;
}

static bool take(const struct pb_json_object *o, struct pb_jwks *set)
{
    struct pb_arena *a = &set->arena;
    struct pb_jwk k = {.kid = text_of(o, "kid", a)};
    pbay_str kty = text_of(o, "kty", a), use = text_of(o, "use", a), alg = text_of(o, "alg", a);
    if (pb_json_get(o, "d").p || pb_json_get(o, "k").p) {
        set->with_secret++;
        return false;
    }
    if ((pb_json_get(o, "use").p && !pb_str_is(use, "sig")) || !may_verify(o, a)) return false;
    bool any_alg = !pb_json_get(o, "alg").p;
    if (pb_str_is(kty, "RSA") && (any_alg || pb_str_is(alg, "RS256"))) {
        k.type = PB_JWK_RSA;
        k.n = number_of(o, "n", RSA_BYTES_MAX, a);
        k.e = number_of(o, "e", EXPONENT_BYTES_MAX, a);
        if (!k.n.n || !k.e.n) return false;
    } else if (pb_str_is(kty, "EC") && pb_str_is(text_of(o, "crv", a), "P-256") &&
               (any_alg || pb_str_is(alg, "ES256"))) {
        k.type = PB_JWK_EC_P256;
        k.x = coordinate_of(o, "x", a);
        k.y = coordinate_of(o, "y", a);
        if (!k.x.n || !k.y.n) return false;
    } else
        return false;
    set->keys[set->n++] = k;
    return true;
}

int pb_jwks_parse(pbay_str text, struct pb_jwks *out, struct pb_err *err)
{
    *out = (struct pb_jwks){0};
    struct pb_arena *a = &out->arena;
    struct pb_json_object doc, key;
    pbay_str *items;
    size_t n;
    if (text.n > PB_JWKS_TEXT_MAX)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "the key set has %zu bytes; %d are allowed", text.n,
                       PB_JWKS_TEXT_MAX);
    if (pb_json_object(text, MEMBERS_MAX, DEPTH_MAX, a, &doc, err)) return pb_fail_in(err, "key set");
    pbay_str keys = pb_json_get(&doc, "keys");
    if (!keys.p) return pb_fail(err, PBAY_INVALID_ARGUMENT, "key set: there is no member \"keys\"");
    if (pb_json_array(keys, PB_JWKS_KEYS_MAX, DEPTH_MAX - 1, a, &items, &n, err))
        return pb_fail_in(err, "key set: \"keys\"");
    out->keys = pb_arena_zalloc(a, (n ? n : 1) * sizeof *out->keys);
    for (size_t i = 0; i < n; i++) {
        if (pb_json_object(items[i], MEMBERS_MAX, DEPTH_MAX - 2, a, &key, err))
            return pb_fail_in(err, "key set: key %zu", i + 1);
        if (!take(&key, out)) out->left_out++;
    }
    if (!out->n)
        return pb_fail(
            err, PBAY_INVALID_ARGUMENT,
            "key set: none of its %zu keys can verify RS256 (kty RSA) or ES256 (kty EC, crv P-256) "
            "signatures",
            n);
    return 0;
}

void pb_jwks_free(struct pb_jwks *set)
{
    pb_arena_free(&set->arena);
    *set = (struct pb_jwks){0};
}
