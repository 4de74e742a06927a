/* SPDX-License-Identifier: MIT */
/*
 * Digests, HMAC, comparison, random and signatures: OpenSSL behind the numbers of pbay.host.crypto/1.
 *
 * Algorithms are fetched once per process and contexts kept per thread, because a fetch costs more than
 * hashing what a request signature hashes. HMAC is written over the digest for the same reason. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/err.h"

/* The values of PBAY_HASH_* and PBAY_SIGN_* (patchbay/host_crypto.h). */
enum pb_hash_alg { PB_HASH_SHA256 = 1, PB_HASH_SHA512, PB_HASH_SHA1, PB_HASH_MD5 };
enum pb_sign_alg { PB_SIGN_RS256 = 1, PB_SIGN_ES256 };
enum { PB_DIGEST_MAX = 64, PB_SIGNATURE_MAX = 1024, PB_PEM_MAX = 64 * 1024 };

/* Bytes of a digest; 0: no such algorithm. */
size_t pb_digest_size(uint32_t alg);
/* Digest of the concatenation of n parts into out (pb_digest_size bytes). PBAY_OK or PBAY_INVALID_ARGUMENT.
 */
int32_t pb_digest(uint32_t alg, const pbay_str *parts, uint32_t n, uint8_t *out);
/* HMAC (RFC 2104) of the concatenation, as long as the digest. PBAY_OK or PBAY_INVALID_ARGUMENT. */
int32_t pb_hmac(uint32_t alg, pbay_str key, const pbay_str *parts, uint32_t n, uint8_t *out);
/* Equal? The time taken depends on the lengths alone. */
bool pb_equal_ct(pbay_str a, pbay_str b);
/* Fit for keys. The process ends when the system has none to give. */
void pb_random(void *out, size_t n);

/* A private or public key. Immutable: may be used by several threads at once. */
struct pbay_key;

/*
 * From PEM of at most PB_PEM_MAX bytes: a private key (PKCS#8, PKCS#1, SEC 1; encrypted ones with the
 * passphrase), a public key (SubjectPublicKeyInfo, PKCS#1) or a certificate's. RSA of 2048 to 8192 bits, or
 * EC P-256. Returns owned, or NULL with err; nothing of the input appears in the message.
 */
struct pbay_key *pb_key_load(pbay_str pem, pbay_str passphrase, struct pb_err *err);
void pb_key_free(struct pbay_key *key); /* NULL is fine */
/*
 * Sign the concatenation of n parts. *sig_len: room in, length out. RS256 is PKCS#1 v1.5; ES256 is r || s
 * (RFC 7518). PBAY_OK; PBAY_INVALID_ARGUMENT: algorithm and key do not fit, or the key is public, or there is
 * too little room.
 */
int32_t pb_key_sign(const struct pbay_key *key, uint32_t alg, const pbay_str *parts, uint32_t n, uint8_t *sig,
                    size_t *sig_len);
/* PBAY_OK: genuine. PBAY_UNAUTHENTICATED: not. PBAY_INVALID_ARGUMENT: algorithm and key do not fit. */
int32_t pb_key_verify(const struct pbay_key *key, uint32_t alg, const pbay_str *parts, uint32_t n,
                      pbay_str sig);
/* SubjectPublicKeyInfo in DER. Borrowed as long as the key. */
pbay_str pb_key_public_der(const struct pbay_key *key);
