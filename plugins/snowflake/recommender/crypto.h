/* SPDX-License-Identifier: MIT */
/* net/crypto.h as the table that the kit asks for. */
#pragma once

#include <patchbay/host_crypto.h>

extern const pbay_crypto_1 rec_crypto;
