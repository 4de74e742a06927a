/* SPDX-License-Identifier: MIT */
/*
 * What an AWS service means by an error: by its code first, by the HTTP status only when there is none.
 *
 * Throttling arrives as HTTP 400 from some services, so the status alone misleads. The lists are those of the
 * AWS SDKs (https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html). Threads: any.
 */
#pragma once

#include <patchbay/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_AWS_CALLER    0u /* the caller's mistake, or nothing that would help: do not repeat */
#define PBAY_AWS_THROTTLED 1u /* repeat later, and fewer at once */
#define PBAY_AWS_TRANSIENT 2u /* repeat later */
#define PBAY_AWS_AUTH      3u /* the credentials were refused: fetch them anew, once */
#define PBAY_AWS_CLOCK     4u /* as AUTH; and the Date of the reply tells how far this clock is off */
#define PBAY_AWS_TOO_LARGE 5u /* send less at once */

/*
 * The error's code: of the header x-amzn-ErrorType, the body's __type and the body's code, the first that is
 * not empty, cut at the first ':' and after the last '#'. Borrows; empty when there is none.
 */
pbay_str pbay_aws_error_code(pbay_str header, pbay_str body_type, pbay_str body_code);
/* PBAY_AWS_*. status: the HTTP status, 0 when there was no reply (then the connection failed: transient). */
uint32_t pbay_aws_error_class(pbay_str code, int32_t status);
/*
 * Fill code, effect, advice, vendor_status and vendor_code of *r. A refused request did nothing
 * (EFFECT_NONE), one that failed on the other side may have.
 */
void pbay_aws_error_result(pbay_str code, int32_t status, pbay_result *r);

#ifdef __cplusplus
}
#endif
