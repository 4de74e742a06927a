/* SPDX-License-Identifier: MIT */
/*
 * AWS Signature Version 4: signing a request, and verifying one.
 *
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 * Sans I/O: the caller gives the time and sends the headers. The derived key of (day, region, service, key)
 * is kept, because deriving it costs more than the rest of a small signature. Threads: one at a time per
 * signer.
 *
 * Sign again for every attempt: a signature is good for five minutes around its date.
 */
#pragma once

#include <patchbay/host_crypto.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pbay_sigv4 pbay_sigv4;

typedef struct pbay_aws_keys {
    pbay_str id; /* AKIA... */
    pbay_str secret;
    pbay_str token; /* session token; empty: permanent keys */
} pbay_aws_keys;

#define PBAY_SIGV4_S3       1u /* S3: the path is signed as it is, neither normalised nor encoded again */
#define PBAY_SIGV4_UNSIGNED 2u /* the body is not covered: UNSIGNED-PAYLOAD (over https only) */

enum { PBAY_SIGV4_MAX_HEADERS = 100, PBAY_SIGV4_HEADERS = 4 };

typedef struct pbay_sigv4_request {
    pbay_str method;
    pbay_str host;  /* with the port unless it is the scheme's own: as it will stand in the Host header */
    pbay_str path;  /* percent-encoded, as it will be sent, beginning with '/' */
    pbay_str query; /* percent-encoded (kit/percent.h), without '?' */
    const pbay_header
        *headers; /* what else will be sent; hop-by-hop and the like are left out of the signature */
    uint32_t n_headers;
    uint32_t flags; /* PBAY_SIGV4_* */
    pbay_str body;
} pbay_sigv4_request;

/* All borrowed until the next call with the signer. */
typedef struct pbay_sigv4_signed {
    pbay_header headers[PBAY_SIGV4_HEADERS]; /* to send besides: x-amz-date, x-amz-content-sha256,
                                                (x-amz-security- token,) authorization */
    uint32_t n_headers;
    uint32_t reserved;
    pbay_str canonical_request; /* for tests and for explaining what was signed */
    pbay_str string_to_sign;
    pbay_str signature; /* 64 hex digits */
} pbay_sigv4_signed;

/* Returns owned; NULL when there is no memory. crypto is borrowed for its life. */
pbay_sigv4 *pbay_sigv4_new(const pbay_crypto_1 *crypto);
void pbay_sigv4_free(pbay_sigv4 *s); /* NULL is fine; secrets are wiped */

/* now_ms: UTC since 1970. PBAY_OK, or INVALID_ARGUMENT or RESOURCE_EXHAUSTED with *why set to a constant
 * text. */
int32_t pbay_sigv4_sign(pbay_sigv4 *s, const pbay_aws_keys *keys, pbay_str region, pbay_str service,
                        int64_t now_ms, const pbay_sigv4_request *request, pbay_sigv4_signed *out,
                        const char **why);

/* What an Authorization header says. Borrowed from it. */
typedef struct pbay_sigv4_claim {
    pbay_str key_id, day, region, service;
    pbay_str signed_headers; /* "accept;host;..." */
    pbay_str signature;
} pbay_sigv4_claim;

/* PBAY_OK, or UNAUTHENTICATED: it is not a SigV4 header. */
int32_t pbay_sigv4_parse(pbay_str authorization, pbay_sigv4_claim *claim);

/*
 * Is the request signed as claimed, with this secret, within skew_ms of now_ms? `request` holds all headers
 * received with names in lower case, Host among them; its `host` is not looked at. host and x-amz-date must
 * be signed. PBAY_OK; UNAUTHENTICATED with *why set to a constant text; *expected (may be NULL) shows what
 * was computed.
 */
int32_t pbay_sigv4_verify(pbay_sigv4 *s, const pbay_sigv4_claim *claim, pbay_str secret, int64_t now_ms,
                          int64_t skew_ms, const pbay_sigv4_request *request, pbay_sigv4_signed *expected,
                          const char **why);

#ifdef __cplusplus
}
#endif
