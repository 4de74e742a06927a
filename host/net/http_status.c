/* SPDX-License-Identifier: MIT */
#include "net/http_status.h"

#include <patchbay/types.h>

#include "base/attr.h"

int pb_http_status_of(int32_t code)
{
    static const uint16_t statuses[] = {
        [PBAY_OK] = 200,
        [PBAY_CANCELLED] = 499, /* nobody reads it: the client is gone */
        [PBAY_UNKNOWN] = 500,
        [PBAY_INVALID_ARGUMENT] = 400,
        [PBAY_DEADLINE_EXCEEDED] = 504,
        [PBAY_NOT_FOUND] = 404,
        [PBAY_ALREADY_EXISTS] = 409,
        [PBAY_PERMISSION_DENIED] = 403,
        [PBAY_RESOURCE_EXHAUSTED] = 429,
        [PBAY_FAILED_PRECONDITION] = 400,
        [PBAY_ABORTED] = 409,
        [PBAY_OUT_OF_RANGE] = 400,
        [PBAY_UNIMPLEMENTED] = 501,
        [PBAY_INTERNAL] = 500,
        [PBAY_UNAVAILABLE] = 503,
        [PBAY_DATA_LOSS] = 500,
        [PBAY_UNAUTHENTICATED] = 401,
    };
    return code >= 0 && code < (int32_t)PB_COUNTOF(statuses) ? statuses[code] : 500;
}
