/* SPDX-License-Identifier: MIT */
#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

void pb_fatal(const char *fmt, ...)
{
    /* stderr by hand: the log may be what is broken, and its buffer must not be lost either. */
    pb_log_flush();
    va_list ap;
    va_start(ap, fmt);
    fputs("patchbay: fatal: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}

bool pb_check_failed_(const char *file, int line, const char *cond)
{
    pb_log(PB_LOG_ERROR, "base", "an internal check failed", PB_S("where", file), PB_I("line", line),
           PB_S("check", cond));
    return true;
}
