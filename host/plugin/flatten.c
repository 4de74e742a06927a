/* SPDX-License-Identifier: MIT */
#include "plugin/flatten.h"

#include <string.h>

#include "base/buf.h"
#include "base/check.h"

struct pbay_builder *pb_flatten_batch(const pbay_batch *batch)
{
    struct pb_buf flat = {0};
    struct pb_err err;
    pb_batch_encode(batch, &flat);
    struct pbay_builder *b = pb_batch_decode(pb_buf_view(&flat), &err);
    if (!b) pb_fatal("a batch does not survive its encoding: %s", err.msg);
    pb_buf_free(&flat);
    return b;
}

const pbay_batch *pb_flatten_builder(struct pbay_builder **b, struct pb_err *err)
{
    const pbay_batch *batch = pb_builder_seal(*b, err);
    if (!batch) return NULL;
    struct pbay_builder *copy = pb_flatten_batch(batch);
    pb_builder_unref(*b);
    *b = copy;
    return pb_builder_seal(copy, err);
}

/* Numbers as they are, strings with a length: what a child process would write into its socket. */
void pb_flatten_err(struct pb_err *err)
{
    struct pb_buf flat = {0};
    const uint32_t n[] = {(uint32_t)strlen(err->vendor_code), (uint32_t)strlen(err->msg)};
    pb_buf_add(&flat, &err->code, sizeof err->code);
    pb_buf_add(&flat, &err->effect, sizeof err->effect);
    pb_buf_add(&flat, &err->advice, sizeof err->advice);
    pb_buf_add(&flat, &err->vendor_status, sizeof err->vendor_status);
    pb_buf_add(&flat, &err->retry_after_ms, sizeof err->retry_after_ms);
    pb_buf_add(&flat, n, sizeof n);
    pb_buf_add(&flat, err->vendor_code, n[0]);
    pb_buf_add(&flat, err->msg, n[1]);

    struct pb_err out;
    memset(&out, 0x5a, sizeof out);
    const char *at = flat.p;
    uint32_t m[2];
    const struct {
        void *to;
        size_t n;
    } parts[] = {{&out.code, sizeof out.code},
                 {&out.effect, sizeof out.effect},
                 {&out.advice, sizeof out.advice},
                 {&out.vendor_status, sizeof out.vendor_status},
                 {&out.retry_after_ms, sizeof out.retry_after_ms},
                 {m, sizeof m}};
    for (size_t i = 0; i < PB_COUNTOF(parts); i++) {
        memcpy(parts[i].to, at, parts[i].n);
        at += parts[i].n;
    }
    memcpy(out.vendor_code, at, m[0]);
    out.vendor_code[m[0]] = 0;
    memcpy(out.msg, at + m[0], m[1]);
    out.msg[m[1]] = 0;
    *err = out;
    pb_buf_free(&flat);
}
