/* SPDX-License-Identifier: MIT */
#include "kit/aws_error.h"

#include <string.h>

static const char *const THROTTLED[] = {
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceededException",
    "ModelNotReadyException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
};
static const char *const TRANSIENT[] = {
    "InternalDependencyException",
    "InternalFailure",
    "InternalServerError",
    "InternalServerException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "TimeoutError",
};
static const char *const AUTH[] = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
};
static const char *const CLOCK[] = {
    "RequestExpired",
    "RequestInTheFuture",
    "RequestTimeTooSkewed",
    "SignatureExpired",
};
static const char *const TOO_LARGE[] = {
    "PayloadTooLargeException",
    "RequestEntityTooLarge",
    "RequestEntityTooLargeException",
};

static int in(pbay_str code, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(names[i]) == code.n && memcmp(names[i], code.p, code.n) == 0) return 1;
    return 0;
}
#define IN(code, names) in((code), (names), sizeof(names) / sizeof *(names))

pbay_str pbay_aws_error_code(pbay_str header, pbay_str body_type, pbay_str body_code)
{
    pbay_str s = header.n ? header : body_type.n ? body_type : body_code;
    const char *colon = s.n ? memchr(s.p, ':', s.n) : NULL;
    if (colon) s.n = (size_t)(colon - s.p);
    for (size_t i = s.n; i; i--) {
        if (s.p[i - 1] != '#') continue;
        s.p += i;
        s.n -= i;
        break;
    }
    return s;
}

uint32_t pbay_aws_error_class(pbay_str code, int32_t status)
{
    if (IN(code, THROTTLED)) return PBAY_AWS_THROTTLED;
    if (IN(code, TRANSIENT)) return PBAY_AWS_TRANSIENT;
    if (IN(code, CLOCK)) return PBAY_AWS_CLOCK;
    if (IN(code, AUTH)) return PBAY_AWS_AUTH;
    if (IN(code, TOO_LARGE) || status == 413) return PBAY_AWS_TOO_LARGE;
    if (status == 429) return PBAY_AWS_THROTTLED;
    if (status == 0 || status == 408 || status == 500 || status == 502 || status == 503 || status == 504 ||
        status == 530)
        return PBAY_AWS_TRANSIENT;
    if (status == 401 || (status == 403 && code.n == 0)) return PBAY_AWS_AUTH;
    return PBAY_AWS_CALLER;
}

static int32_t code_of_status(pbay_str code, int32_t status)
{
    if (status == 404 || (code.n >= 8 && memcmp(code.p + code.n - 8, "NotFound", 8) == 0))
        return PBAY_NOT_FOUND;
    if (status == 409) return PBAY_ABORTED;
    if (status == 403) return PBAY_PERMISSION_DENIED;
    if (status >= 400 && status < 500) return PBAY_INVALID_ARGUMENT;
    return status >= 500 ? PBAY_INTERNAL : PBAY_UNKNOWN;
}

void pbay_aws_error_result(pbay_str code, int32_t status, pbay_result *r)
{
    r->vendor_status = status;
    r->vendor_code = code;
    r->effect = PBAY_EFFECT_NONE;
    r->advice = PBAY_ADVICE_NONE;
    switch (pbay_aws_error_class(code, status)) {
    case PBAY_AWS_THROTTLED:
        r->code = PBAY_RESOURCE_EXHAUSTED;
        r->advice = PBAY_ADVICE_SLOW;
        break;
    case PBAY_AWS_TRANSIENT:
        r->code = PBAY_UNAVAILABLE;
        r->effect = PBAY_EFFECT_MAYBE;
        r->advice = PBAY_ADVICE_RETRY;
        break;
    case PBAY_AWS_AUTH: r->code = status == 401 ? PBAY_UNAUTHENTICATED : PBAY_PERMISSION_DENIED; break;
    case PBAY_AWS_CLOCK: r->code = PBAY_UNAUTHENTICATED; break;
    case PBAY_AWS_TOO_LARGE:
        r->code = PBAY_RESOURCE_EXHAUSTED;
        r->advice = PBAY_ADVICE_SPLIT;
        break;
    default: r->code = code_of_status(code, status); break;
    }
}
