/* SPDX-License-Identifier: MIT */
/*
 * What this room needs of cryptography beside signatures: SHA-256, HMAC, comparison in constant time, random
 * bytes. OpenSSL's one-call forms: a request needs one or two. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

enum { PB_SHA256_SIZE = 32 };

enum pb_mac_alg { PB_MAC_SHA256 = 1, PB_MAC_SHA512, PB_MAC_SHA1 };
enum { PB_MAC_SIZE_MAX = 64 };

void pb_sha256(pbay_str bytes, uint8_t out[PB_SHA256_SIZE]);
/* Bytes of a MAC; 0: no such algorithm. */
size_t pb_mac_size(enum pb_mac_alg alg);
/* HMAC (RFC 2104) of the concatenation of n parts; returns its size. */
size_t pb_mac(enum pb_mac_alg alg, pbay_str key, const pbay_str *parts, size_t n,
              uint8_t out[PB_MAC_SIZE_MAX]);
/* Equal? The time taken depends on the lengths alone. */
bool pb_same_ct(const void *a, size_t n_a, const void *b, size_t n_b);
/* Fit for keys. The process ends when the system has none to give. */
void pb_fresh_bytes(void *out, size_t n);
/* Overwrite, and not optimised away. */
void pb_wipe(void *p, size_t n);
