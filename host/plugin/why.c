/* SPDX-License-Identifier: MIT */
#include "plugin/why.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local struct pb_err last;

struct pb_err *pb_why_err(void)
{
    return &last;
}

int32_t pb_why_put(pbay_result *why)
{
    if (why) *why = pb_err_result(&last);
    return last.code;
}

int32_t pb_why(pbay_result *why, int32_t code, const char *fmt, ...)
{
    char text[PB_ERR_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pb_fail(&last, code, "%s", text);
    return pb_why_put(why);
}
