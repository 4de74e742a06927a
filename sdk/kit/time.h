/* SPDX-License-Identifier: MIT */
/* Moments as other people write them: RFC 3339 and HTTP dates, in milliseconds since 1970. Threads: any. */
#pragma once

#include <patchbay/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { PBAY_TIME_TEXT = 32 };

/* "2026-11-21T08:49:37Z", with a fraction, with +01:00, with a blank for the T. -1: not one, or before 1970.
 */
int64_t pbay_time_rfc3339(pbay_str s);
/* "Sat, 21 Nov 2026 08:49:37 GMT" (RFC 9110 section 5.6.7, the form that is sent today). -1: not one. */
int64_t pbay_time_http(pbay_str s);
/* "2026-11-21T08:49:37.123Z" into out, NUL-terminated; without the fraction when it is 0. Returns its length.
 */
size_t pbay_time_format(int64_t ms, char out[PBAY_TIME_TEXT]);

#ifdef __cplusplus
}
#endif
