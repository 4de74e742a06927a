/* SPDX-License-Identifier: MIT */
#include "crypto.h"

#include "net/crypto.h"

static int equal(pbay_str a, pbay_str b)
{
    return pb_equal_ct(a, b);
}

static void random_bytes(uint8_t *out, size_t n)
{
    pb_random(out, n);
}

/* Keys are loaded with pb_key_load; nothing of the kit compresses. */
const pbay_crypto_1 rec_crypto = {
    .struct_size = sizeof(pbay_crypto_1),
    .hash = pb_digest,
    .hmac = pb_hmac,
    .equal = equal,
    .random = random_bytes,
    .key_free = pb_key_free,
    .sign = pb_key_sign,
    .verify = pb_key_verify,
    .public_der = pb_key_public_der,
};
