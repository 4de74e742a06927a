/* SPDX-License-Identifier: MIT */
/*
 * A secret of the SSM parameter store, with the credentials that SageMaker gives a container: the
 * environment's keys, or the container's endpoint
 * (https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html).
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "fetch.h"

/* GetParameter with decryption; the value is appended to out. Errors name the parameter, never its value. */
int rec_parameter_get(struct rec_fetcher *f, const char *region, const char *name, struct pb_buf *out,
                      struct pb_err *err);
