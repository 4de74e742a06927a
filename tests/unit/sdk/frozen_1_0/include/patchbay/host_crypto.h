/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.crypto/1: digests, HMAC, comparison, signatures, random, compression.
 *
 * So that plugins need not link a crypto library. Threads: [any], all of it.
 *
 * Example: a signature in a header, compared in constant time.
 *
 *     static int genuine(const struct mine *m, pbay_str secret, pbay_str body, pbay_str hex)
 *     {
 *         static const char digits[] = "0123456789abcdef";
 *         uint8_t mac[32];
 *         char text[64];
 *         if (m->crypto->hmac(PBAY_HASH_SHA256, secret, &body, 1, mac) != PBAY_OK) return 0;
 *         for (int i = 0; i < 32; i++) {
 *             text[2 * i] = digits[mac[i] >> 4];
 *             text[2 * i + 1] = digits[mac[i] & 15];
 *         }
 *         return m->crypto->equal(hex, (pbay_str){text, sizeof text});
 *     }
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_CRYPTO "pbay.host.crypto/1"

#define PBAY_HASH_SHA256 1u /* 32 bytes */
#define PBAY_HASH_SHA512 2u /* 64 bytes */
#define PBAY_HASH_SHA1   3u /* 20 bytes; for file names others chose, not for security */
#define PBAY_HASH_MD5    4u /* 16 bytes; checksums only */

#define PBAY_SIGN_RS256 1u /* RSASSA-PKCS1-v1_5 with SHA-256 */
#define PBAY_SIGN_ES256 2u /* ECDSA P-256 with SHA-256; signature as r || s, 64 bytes, as in JWS */

#define PBAY_ZIP_GZIP    1u
#define PBAY_ZIP_ZLIB    2u
#define PBAY_ZIP_DEFLATE 3u /* raw */
#define PBAY_ZIP_SNIFF   4u /* inflate only: by the first bytes */

typedef struct pbay_key pbay_key; /* a private or public key, held by the host */

typedef struct pbay_crypto_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* Digest of the concatenation of n parts into out (its length is the hash's). PBAY_OK or
     * INVALID_ARGUMENT. */
    int32_t (*hash)(uint32_t hash, const pbay_str *parts, uint32_t n, uint8_t *out);
    /* RFC 2104; as hash. */
    int32_t (*hmac)(uint32_t hash, pbay_str key, const pbay_str *parts, uint32_t n, uint8_t *out);
    /* 1 when equal; the time depends on the lengths only. */
    int (*equal)(pbay_str a, pbay_str b);
    /* n bytes fit for keys. */
    void (*random)(uint8_t *out, size_t n);

    /*
     * A key in PEM, at most 64 KiB: private (PKCS#8, PKCS#1, SEC 1; encrypted ones with the passphrase),
     * public, or of an X.509 certificate; RSA of 2048 to 8192 bits or P-256. Owned: key_free. NULL with *why.
     */
    pbay_key *(*key_load)(pbay_str pem, pbay_str passphrase, pbay_result *why);
    void (*key_free)(pbay_key *key); /* NULL is fine */
    /*
     * Sign the concatenation of n parts. *sig_len: room in (RS256: up to 1024 bytes), length out. PBAY_OK, or
     * PBAY_INVALID_ARGUMENT: algorithm and key do not fit, the key is public, or there is too little room.
     */
    int32_t (*sign)(const pbay_key *key, uint32_t alg, const pbay_str *parts, uint32_t n, uint8_t *sig,
                    size_t *sig_len);
    /* PBAY_OK: it is genuine. PBAY_UNAUTHENTICATED: it is not. PBAY_INVALID_ARGUMENT: algorithm and key do
     * not fit. */
    int32_t (*verify)(const pbay_key *key, uint32_t alg, const pbay_str *parts, uint32_t n, pbay_str sig);
    /* The public key's SubjectPublicKeyInfo in DER; borrowed as long as the key. */
    pbay_str (*public_der)(const pbay_key *key);

    /*
     * Whole-buffer compression (level 1 to 9, 0: the usual) and its inverse; *out is the host's memory, given
     * back with `release`. PBAY_OK; inflate: PBAY_RESOURCE_EXHAUSTED beyond max bytes, PBAY_INVALID_ARGUMENT
     * on damage. On failure *out is empty.
     */
    int32_t (*deflate)(uint32_t zip, int level, pbay_str in, pbay_str *out);
    int32_t (*inflate)(uint32_t zip, pbay_str in, size_t max, pbay_str *out);
    void (*release)(pbay_str out);
} pbay_crypto_1;

#ifdef __cplusplus
}
#endif
