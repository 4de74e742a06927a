/* SPDX-License-Identifier: MIT */
/* What signing and verifying share. */
#pragma once

#include "kit/sigv4.h"

enum { PBAY_SIGV4_CACHE = 8, PBAY_SIGV4_PART = 128, PBAY_SIGV4_DATE = 16 };

/* One derived key; secret and names are kept to tell entries apart. Longer ones are not cached. */
struct pbay__sigv4_key {
    char day[8];
    uint8_t n_region, n_service, n_secret, used;
    char region[PBAY_SIGV4_PART], service[PBAY_SIGV4_PART], secret[PBAY_SIGV4_PART];
    uint8_t key[32];
};

/* One header on its way into the canonical request. */
struct pbay__sigv4_header {
    pbay_str name; /* lower case */
    pbay_str value;
};

struct pbay_sigv4 {
    const pbay_crypto_1 *crypto;
    struct pbay__sigv4_key cache[PBAY_SIGV4_CACHE];
    unsigned next;
    char *text; /* canonical request, then string to sign, then authorization */
    size_t n, cap;
    char date[PBAY_SIGV4_DATE]; /* "20261121T000000Z" */
    char payload[64];           /* hex */
    char signature[64];
    struct pbay__sigv4_header headers[PBAY_SIGV4_MAX_HEADERS + PBAY_SIGV4_HEADERS];
    char names[4096]; /* lower-case names of those headers */
};

/*
 * Canonical request, string to sign and signature from s->date, s->payload and the n headers of s->headers
 * (which are sorted here). The results stand in s->text and s->signature. PBAY_OK or RESOURCE_EXHAUSTED.
 */
int32_t pbay__sigv4_compute(pbay_sigv4 *s, const pbay_sigv4_request *request, uint32_t n, pbay_str secret,
                            pbay_str region, pbay_str service, pbay_sigv4_signed *out,
                            pbay_str *signed_names);
/* Hex SHA-256 of the body into s->payload. */
void pbay__sigv4_hash_body(pbay_sigv4 *s, pbay_str body);
/* Make room for n more bytes of s->text. */
int pbay__sigv4_room(pbay_sigv4 *s, size_t n);
