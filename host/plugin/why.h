/* SPDX-License-Identifier: MIT */
/* Filling the *why of a service: its strings live until the next service call of this thread. Inside of this
 * room. */
#pragma once

#include "base/err.h"

/* The thread's error, for a function that fills one; then pb_why_put(why). */
struct pb_err *pb_why_err(void);
/* *why (NULL is fine) becomes what pb_why_err holds; returns its code. */
int32_t pb_why_put(pbay_result *why);
/* Both at once. */
int32_t pb_why(pbay_result *why, int32_t code, const char *fmt, ...) PB_PRINTF(3, 4);
