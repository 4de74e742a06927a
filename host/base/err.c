/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

void pb_err_clear(struct pb_err *err)
{
    err->code = PBAY_OK;
    err->effect = err->advice = 0;
    err->vendor_status = 0;
    err->retry_after_ms = 0;
    err->vendor_code[0] = 0;
    err->msg[0] = 0;
}

/* A message that was cut must not end in half a character. */
static void cut_whole(char *s, size_t cap)
{
    size_t n = strlen(s);
    if (n + 1 == cap) s[pb_utf8_floor(pb_str(s, n), n)] = 0;
}

int pb_fail(struct pb_err *err, int32_t code, const char *fmt, ...)
{
    if (!err) return -1;
    pb_err_clear(err);
    err->code = code;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    cut_whole(err->msg, sizeof err->msg);
    return -1;
}

int pb_fail_in(struct pb_err *err, const char *fmt, ...)
{
    if (!err) return -1;
    char old[PB_ERR_TEXT];
    memcpy(old, err->msg, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : (size_t)n < sizeof err->msg ? (size_t)n : sizeof err->msg - 1;
    const char *parts[] = {": ", old};
    for (size_t i = 0; i < PB_COUNTOF(parts); i++) {
        size_t len = strlen(parts[i]), room = sizeof err->msg - 1 - at;
        if (len > room) len = room;
        memcpy(err->msg + at, parts[i], len);
        at += len;
    }
    err->msg[at] = 0;
    cut_whole(err->msg, sizeof err->msg);
    return -1;
}

void pb_err_from_result(struct pb_err *err, const pbay_result *r)
{
    pb_err_clear(err);
    err->code = r->code;
    err->effect = r->effect;
    err->advice = r->advice;
    err->retry_after_ms = r->retry_after_ms;
    err->vendor_status = r->vendor_status;
    size_t m = pb_utf8_floor(r->vendor_code,
                             r->vendor_code.n < PB_ERR_VENDOR ? r->vendor_code.n : PB_ERR_VENDOR - 1);
    if (m) memcpy(err->vendor_code, r->vendor_code.p, m);
    err->vendor_code[m] = 0;
    size_t n = pb_utf8_floor(r->message, sizeof err->msg - 1);
    if (n) memcpy(err->msg, r->message.p, n);
    err->msg[n] = 0;
}

pbay_result pb_err_result(const struct pb_err *err)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = err->code;
    r.effect = err->effect;
    r.advice = err->advice;
    r.retry_after_ms = err->retry_after_ms;
    r.vendor_status = err->vendor_status;
    r.vendor_code = pb_str_c(err->vendor_code);
    r.message = pb_str_c(err->msg);
    return r;
}

const char *pb_code_name(int32_t code)
{
    static const char *const names[] = {
        "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED",
    };
    return code >= 0 && (size_t)code < PB_COUNTOF(names) ? names[code] : "UNKNOWN";
}
