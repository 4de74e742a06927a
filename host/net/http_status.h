/* SPDX-License-Identifier: MIT */
/* From the codes everything here ends with to HTTP's, which are fewer: the way back is not possible. Threads:
 * any. */
#pragma once

#include <stdint.h>

/* PBAY_OK .. PBAY_UNAUTHENTICATED; anything else is 500. */
int pb_http_status_of(int32_t code);
