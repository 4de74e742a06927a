/* SPDX-License-Identifier: MIT */
/* A reply that is not 2xx, as a result with a sentence for a person. */
#pragma once

#include <patchbay/host_http.h>

enum { HTTP_ERROR_TEXT = 1024, HTTP_ERROR_CODE = 128 };

struct http_error {
    char text[HTTP_ERROR_TEXT];
    char code[HTTP_ERROR_CODE];
    uint32_t klass; /* PBAY_AWS_* */
};

/* An AWS service's, in JSON or XML: by the error's code. who: "endpoint churn-v1". The result borrows from
 * *e. */
pbay_result http_error_aws(const pbay_http_reply *reply, const char *who, struct http_error *e);
/* Any other server's: by the status. */
pbay_result http_error_plain(const pbay_http_reply *reply, const char *who, struct http_error *e);
/* The value of a header (name in lower case), or empty. */
pbay_str http_header(const pbay_http_reply *reply, const char *name);
