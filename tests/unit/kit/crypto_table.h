/* SPDX-License-Identifier: MIT */
/* The host's crypto as a plugin gets it, for tests of the kit. */
#pragma once

#include <patchbay/host_crypto.h>

#include "net/crypto.h"

static int crypto_equal(pbay_str a, pbay_str b)
{
    return pb_equal_ct(a, b);
}

static const pbay_crypto_1 CRYPTO = {
    .struct_size = sizeof(pbay_crypto_1),
    .hash = pb_digest,
    .hmac = pb_hmac,
    .equal = crypto_equal,
    .sign = pb_key_sign,
    .verify = pb_key_verify,
    .public_der = pb_key_public_der,
};
