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

/*
 * Does p begin with what goes before the values of a row? How much of it may be said; 0: it does not.
 * "(row 3: a = 1)", ", found x", "answered 400: what a model says of its input".
 */
static size_t before_values(const char *p)
{
    static const char *const begins[] = {"(row ", "answered HTTP ", "answered "};
    if (strncmp(p, ", found ", 8) == 0) return 8;
    for (size_t i = 0; i < PB_COUNTOF(begins); i++) {
        size_t n = strlen(begins[i]);
        if (strncmp(p, begins[i], n) != 0) continue;
        size_t digits = strspn(p + n, "0123456789");
        if (digits && digits < 20 && p[n + digits] == ':') return n + digits + 1;
    }
    return 0;
}

void pb_err_unquoted(const char *msg, char out[PB_ERR_TEXT])
{
    static const char dots[] = "…";
    size_t n = 0, k;
    /* A step writes at most 48 bytes, and msg may be as long as out. */
    for (const char *p = msg; *p && n + 48 < PB_ERR_TEXT;) {
        if ((k = before_values(p))) {
            memcpy(out + n, p, k);
            memcpy(out + n + k, dots, sizeof dots);
            if (*p == '(') memcpy(out + n + k + sizeof dots - 1, ")", 2);
            return;
        }
        out[n++] = *p;
        if (*p++ != '"') continue;
        while (*p && *p != '"') p += *p == '\\' && p[1] ? 2 : 1;
        memcpy(out + n, dots, sizeof dots - 1);
        n += sizeof dots - 1;
        if (*p == '"') out[n++] = *p++;
    }
    out[n] = 0;
    cut_whole(out, n + 1);
}
