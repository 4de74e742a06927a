/* SPDX-License-Identifier: MIT */
/*
 * Small texts that browsers send: forms (application/x-www-form-urlencoded, https://url.spec.whatwg.org/) and
 * cookies (RFC 6265 §5.4). Threads: any.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

/*
 * The first field of that name, decoded, appended to out. False: there is none, or it is not percent-encoded
 * UTF-8; out is as it was.
 */
bool pb_form_get(pbay_str body, const char *name, struct pb_buf *out);
/* The value of a cookie in the header Cookie; p NULL: there is none. Borrowed. */
pbay_str pb_cookie_get(pbay_str header, const char *name);
