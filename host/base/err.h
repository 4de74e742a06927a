/* SPDX-License-Identifier: MIT */
/*
 * One error, filled once where it is noticed: what, where, which value, what to do.
 *
 * Functions that can fail return 0 or -1 and take a `struct pb_err *` last; on -1 it is filled. The caller
 * either passes it on untouched or wraps it once, at a boundary, with what it knows more. Codes are gRPC's
 * (PBAY_*), so that every failure can cross to a client.
 */
#pragma once

#include <stdint.h>

#include <patchbay/types.h>

#include "base/attr.h"

enum { PB_ERR_TEXT = 1024, PB_ERR_VENDOR = 64 };

struct pb_err {
    int32_t code;           /* PBAY_* */
    uint32_t effect;        /* PBAY_EFFECT_* */
    uint32_t advice;        /* PBAY_ADVICE_* */
    int32_t vendor_status;  /* 0: none */
    int64_t retry_after_ms; /* 0: none */
    char vendor_code[PB_ERR_VENDOR];
    char msg[PB_ERR_TEXT]; /* UTF-8, cut at a character */
};

/* Fill; returns -1 so that `return pb_fail(err, PBAY_NOT_FOUND, "...")` reads well. err may be NULL. */
int pb_fail(struct pb_err *err, int32_t code, const char *fmt, ...) PB_PRINTF(3, 4);
/* Put "text: " in front of the message; returns -1. */
int pb_fail_in(struct pb_err *err, const char *fmt, ...) PB_PRINTF(2, 3);
/* To and from what crosses the ABI. The result borrows from err. */
void pb_err_from_result(struct pb_err *err, const pbay_result *r);
pbay_result pb_err_result(const struct pb_err *err);
/*
 * What may be logged of a message about rows: values of cells stand in double quotes, behind ", found ", in
 * "(row 3: ...)" and in what a model answered, and are left out.
 */
void pb_err_unquoted(const char *msg, char out[PB_ERR_TEXT]);
/* No error. */
void pb_err_clear(struct pb_err *err);
/* "NOT_FOUND" */
const char *pb_code_name(int32_t code);
