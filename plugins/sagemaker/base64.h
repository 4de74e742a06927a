/* SPDX-License-Identifier: MIT */
/* Base64 with the alphabet of RFC 4648 section 4. */
#pragma once

#include <patchbay/types.h>

#define BASE64_ROOM(n) (((n) + 2) / 3 * 4)

/* Returns the length written. */
size_t base64_encode(pbay_str in, char *out);
/* out has room for in.n. Padding must be there, nothing else may be. Returns the length, or -1. */
ptrdiff_t base64_decode(pbay_str in, char *out);
