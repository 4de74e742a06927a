/* SPDX-License-Identifier: MIT */
/*
 * Percent-encoding of URL parts (RFC 3986 §2): everything but letters, digits and -._~ becomes %XX.
 *
 * Whatever a caller chose goes through here before it stands in a URL, so that it cannot become another path,
 * query, host or header. Threads: any.
 */
#pragma once

#include <patchbay/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Room that any encoding of n bytes fits into. */
#define PBAY_PERCENT_ROOM(n) (3 * (size_t)(n))

/* One path segment, or one name or value of a query; '/' is encoded. Returns the length written to out. */
size_t pbay_percent_encode(pbay_str in, char *out);
/* A whole path: '/' stays. */
size_t pbay_percent_encode_path(pbay_str in, char *out);
/* The bytes meant; out has room for in.n and may be in.p. Returns their number, or -1: a '%' without two
 * digits. */
ptrdiff_t pbay_percent_decode(pbay_str in, char *out);

#ifdef __cplusplus
}
#endif
