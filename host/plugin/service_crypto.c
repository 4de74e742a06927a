/* SPDX-License-Identifier: MIT */
/* pbay.host.crypto/1 over net/crypto.h and net/zip.h. */
#include <patchbay/host_crypto.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/crypto.h"
#include "net/zip.h"
#include "plugin/services.h"
#include "plugin/why.h"

_Static_assert(PBAY_HASH_SHA256 == PB_HASH_SHA256 && PBAY_HASH_MD5 == PB_HASH_MD5, "one numbering of hashes");
_Static_assert(PBAY_SIGN_RS256 == PB_SIGN_RS256 && PBAY_SIGN_ES256 == PB_SIGN_ES256,
               "one numbering of signatures");
_Static_assert(PBAY_ZIP_GZIP == PB_ZIP_GZIP && PBAY_ZIP_SNIFF == PB_ZIP_SNIFF,
               "one numbering of compressions");

static int crypto_equal(pbay_str a, pbay_str b)
{
    return pb_equal_ct(a, b);
}

static void crypto_random(uint8_t *out, size_t n)
{
    pb_random(out, n);
}

static pbay_key *key_load(pbay_str pem, pbay_str passphrase, pbay_result *why)
{
    struct pbay_key *key = pb_key_load(pem, passphrase, pb_why_err());
    if (!key) pb_why_put(why);
    return key;
}

/* A buffer becomes the plugin's, who gives it back with release. */
static int32_t hand_over(int rc, struct pb_buf *buf, pbay_str *out)
{
    if (rc) {
        pb_buf_free(buf);
        *out = pb_str(NULL, 0);
        return pb_why_err()->code;
    }
    *out = pb_buf_view(buf);
    return PBAY_OK;
}

static int32_t crypto_deflate(uint32_t zip, int level, pbay_str in, pbay_str *out)
{
    struct pb_buf buf = {0};
    return hand_over(pb_deflate(zip, level, in, &buf, pb_why_err()), &buf, out);
}

static int32_t crypto_inflate(uint32_t zip, pbay_str in, size_t max, pbay_str *out)
{
    struct pb_buf buf = {0};
    return hand_over(pb_inflate(zip, in, max, &buf, pb_why_err()), &buf, out);
}

static void crypto_release(pbay_str out)
{
    pb_free((void *)(uintptr_t)out.p);
}

const pbay_crypto_1 pb_service_crypto = {
    .struct_size = sizeof(pbay_crypto_1),
    .hash = pb_digest,
    .hmac = pb_hmac,
    .equal = crypto_equal,
    .random = crypto_random,
    .key_load = key_load,
    .key_free = pb_key_free,
    .sign = pb_key_sign,
    .verify = pb_key_verify,
    .public_der = pb_key_public_der,
    .deflate = crypto_deflate,
    .inflate = crypto_inflate,
    .release = crypto_release,
};
