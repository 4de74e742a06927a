/* SPDX-License-Identifier: MIT */
#include "guard/digest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

#include "base/check.h"

static const struct {
    const char *name;
    size_t size;
} ALGS[] = {
    [PB_MAC_SHA256] = {"SHA256", 32},
    [PB_MAC_SHA512] = {"SHA512", 64},
    [PB_MAC_SHA1] = {"SHA1", 20},
};

void pb_sha256(pbay_str bytes, uint8_t out[PB_SHA256_SIZE])
{
    size_t n = 0;
    if (EVP_Q_digest(NULL, "SHA256", NULL, bytes.n ? bytes.p : "", bytes.n, out, &n) != 1 ||
        n != PB_SHA256_SIZE)
        pb_fatal("OpenSSL offers no SHA256");
}

size_t pb_mac_size(enum pb_mac_alg alg)
{
    return alg >= PB_MAC_SHA256 && alg <= PB_MAC_SHA1 ? ALGS[alg].size : 0;
}

size_t pb_mac(enum pb_mac_alg alg, pbay_str key, const pbay_str *parts, size_t n,
              uint8_t out[PB_MAC_SIZE_MAX])
{
    size_t size = 0;
    char name[8];
    PB_REQUIRE(pb_mac_size(alg));
    memcpy(name, ALGS[alg].name, strlen(ALGS[alg].name) + 1);
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                                 OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    bool ok = ctx && EVP_MAC_init(ctx, (const unsigned char *)(key.n ? key.p : ""), key.n, params) == 1;
    for (size_t i = 0; ok && i < n; i++)
        if (parts[i].n) ok = EVP_MAC_update(ctx, (const unsigned char *)parts[i].p, parts[i].n) == 1;
    ok = ok && EVP_MAC_final(ctx, out, &size, PB_MAC_SIZE_MAX) == 1 && size == ALGS[alg].size;
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    if (!ok) pb_fatal("OpenSSL offers no HMAC with %s", ALGS[alg].name);
    return size;
}

bool pb_same_ct(const void *a, size_t n_a, const void *b, size_t n_b)
{
    return n_a == n_b && (n_a == 0 || CRYPTO_memcmp(a, b, n_a) == 0);
}

void pb_fresh_bytes(void *out, size_t n)
{
    if (n > 4096 || RAND_bytes(out, (int)n) != 1) pb_fatal("the system gives no random bytes");
}

void pb_wipe(void *p, size_t n)
{
    OPENSSL_cleanse(p, n);
}
