/* SPDX-License-Identifier: MIT */
#include "guard/jwt_keys.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "base/mem.h"

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192, P256_SIGNATURE = 2 * PB_JWK_P256 };

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return pkey;
}

static EVP_PKEY *rsa_key(const struct pb_jwk *k)
{
    EVP_PKEY *pkey = NULL;
    BIGNUM *n = BN_bin2bn((const unsigned char *)k->n.p, (int)k->n.n, NULL);
    BIGNUM *e = BN_bin2bn((const unsigned char *)k->e.p, (int)k->e.n, NULL);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (n && e && bld && BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e) && BN_num_bits(n) >= RSA_BITS_MIN &&
        BN_num_bits(n) <= RSA_BITS_MAX && BN_num_bits(e) <= 64 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        pkey = from_params("RSA", bld);
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);
    return pkey;
}

static EVP_PKEY *ec_key(const struct pb_jwk *k)
{
    unsigned char point[1 + 2 * PB_JWK_P256] = {4}; /* uncompressed: 4, x, y */
    memcpy(point + 1, k->x.p, PB_JWK_P256);
    memcpy(point + 1 + PB_JWK_P256, k->y.p, PB_JWK_P256);
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bld && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1)
        pkey = from_params("EC", bld);
    OSSL_PARAM_BLD_free(bld);
    /* On the curve, and not its zero. */
    EVP_PKEY_CTX *ctx = pkey ? EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL) : NULL;
    if (!ctx || EVP_PKEY_public_check(ctx) != 1) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

struct pb_jwt_keys *pb_jwt_keys_new(const struct pb_jwks *set, struct pb_err *err)
{
    struct pb_jwt_keys *keys = pb_zalloc(sizeof *keys);
    keys->keys = pb_arena_zalloc(&keys->arena, (set->n ? set->n : 1) * sizeof *keys->keys);
    for (size_t i = 0; i < set->n; i++) {
        const struct pb_jwk *k = &set->keys[i];
        EVP_PKEY *pkey = k->type == PB_JWK_RSA ? rsa_key(k) : ec_key(k);
        if (pkey)
            keys->keys[keys->n++] =
                (struct pb_jwt_key){.type = k->type, .kid = pb_arena_str(&keys->arena, k->kid), .pkey = pkey};
    }
    ERR_clear_error();
    if (keys->n) return keys;
    pb_jwt_keys_free(keys);
    pb_fail(err, PBAY_INVALID_ARGUMENT,
            "key set: none of its %zu keys is good: RSA needs %d to %d bits, EC a point on P-256", set->n,
            RSA_BITS_MIN, RSA_BITS_MAX);
    return NULL;
}

void pb_jwt_keys_free(struct pb_jwt_keys *keys)
{
    if (!keys) return;
    for (size_t i = 0; i < keys->n; i++) EVP_PKEY_free(keys->keys[i].pkey);
    pb_arena_free(&keys->arena);
    pb_free(keys);
}

size_t pb_jwt_keys_count(const struct pb_jwt_keys *keys)
{
    return keys->n;
}

/* r || s to the DER that OpenSSL reads. Returns its length, 0 when it is none; *der is freed with
 * OPENSSL_free. */
static size_t to_der(pbay_str sig, unsigned char **der)
{
    int n = 0;
    ECDSA_SIG *s = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn((const unsigned char *)sig.p, PB_JWK_P256, NULL);
    BIGNUM *t = BN_bin2bn((const unsigned char *)sig.p + PB_JWK_P256, PB_JWK_P256, NULL);
    if (s && r && t && ECDSA_SIG_set0(s, r, t) == 1) {
        r = t = NULL; /* s owns them */
        n = i2d_ECDSA_SIG(s, der);
    }
    BN_free(r);
    BN_free(t);
    ECDSA_SIG_free(s);
    return n > 0 ? (size_t)n : 0;
}

bool pb_jwt_key_signed(const struct pb_jwt_key *key, pbay_str bytes, pbay_str signature)
{
    unsigned char *der = NULL;
    const unsigned char *sig = (const unsigned char *)signature.p;
    size_t n = signature.n;
    if (key->type == PB_JWK_EC_P256) {
        if (n != P256_SIGNATURE || (n = to_der(signature, &der)) == 0) return false;
        sig = der;
    } else if (n != (size_t)EVP_PKEY_get_size(key->pkey))
        return false;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    bool good = ctx && EVP_DigestVerifyInit_ex(ctx, &pctx, "SHA256", NULL, NULL, key->pkey, NULL) == 1 &&
                (key->type != PB_JWK_RSA || EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PADDING) == 1) &&
                EVP_DigestVerify(ctx, sig, n, (const unsigned char *)bytes.p, bytes.n) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    ERR_clear_error();
    return good;
}
