/* SPDX-License-Identifier: MIT */
/* Keys, their JWKS and tokens signed with them, by OpenSSL: what an issuer does. */
#pragma once

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/encode.h"
#include "base/mem.h"

static inline void maker_number(EVP_PKEY *pkey, const char *param, int pad, const char *name,
                                struct pb_buf *out)
{
    BIGNUM *n = NULL;
    unsigned char bytes[1024];
    EVP_PKEY_get_bn_param(pkey, param, &n);
    int size = pad ? pad : BN_num_bytes(n);
    BN_bn2binpad(n, bytes, size);
    BN_free(n);
    pb_buf_printf(out, ",\"%s\":\"", name);
    pb_base64url_encode(pb_str((const char *)bytes, (size_t)size), out);
    pb_buf_ch(out, '"');
}

/* One key of a set; kid NULL: without. */
static inline void maker_jwk(EVP_PKEY *pkey, const char *kid, struct pb_buf *out)
{
    bool rsa = EVP_PKEY_is_a(pkey, "RSA");
    pb_buf_printf(out, "%s{\"kty\":\"%s\"", out->n ? "," : "", rsa ? "RSA" : "EC\",\"crv\":\"P-256");
    if (kid) pb_buf_printf(out, ",\"kid\":\"%s\"", kid);
    maker_number(pkey, rsa ? OSSL_PKEY_PARAM_RSA_N : OSSL_PKEY_PARAM_EC_PUB_X, rsa ? 0 : 32, rsa ? "n" : "x",
                 out);
    maker_number(pkey, rsa ? OSSL_PKEY_PARAM_RSA_E : OSSL_PKEY_PARAM_EC_PUB_Y, rsa ? 0 : 32, rsa ? "e" : "y",
                 out);
    pb_buf_ch(out, '}');
}

/* header.claims.signature, with NUL. Returns owned. */
static inline char *maker_token(EVP_PKEY *pkey, const char *header, const char *claims)
{
    struct pb_buf b = {0};
    pb_base64url_encode(pb_str_c(header), &b);
    pb_buf_ch(&b, '.');
    pb_base64url_encode(pb_str_c(claims), &b);
    unsigned char sig[1024];
    size_t n = sizeof sig;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, pkey, NULL);
    EVP_DigestSign(ctx, sig, &n, (const unsigned char *)b.p, b.n);
    EVP_MD_CTX_free(ctx);
    if (!EVP_PKEY_is_a(pkey, "RSA")) {
        const unsigned char *p = sig;
        ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)n);
        BN_bn2binpad(ECDSA_SIG_get0_r(s), sig, 32);
        BN_bn2binpad(ECDSA_SIG_get0_s(s), sig + 32, 32);
        ECDSA_SIG_free(s);
        n = 64;
    }
    pb_buf_ch(&b, '.');
    pb_base64url_encode(pb_str((const char *)sig, n), &b);
    pb_buf_ch(&b, 0);
    return b.p;
}
