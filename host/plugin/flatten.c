/* SPDX-License-Identifier: MIT */
#include "plugin/flatten.h"

#include "base/buf.h"
#include "base/check.h"
#include "plugin/apart_wire.h"

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

/* As a connector in a process of its own says it. */
void pb_flatten_err(struct pb_err *err)
{
    struct pb_buf flat = {0};
    pb_put_err(&flat, err);
    struct pb_in in = pb_in_of(pb_buf_view(&flat));
    const pbay_result r = pb_in_result(&in);
    if (in.bad) pb_fatal("an error does not survive its encoding: %s", err->msg);
    pb_err_from_result(err, &r);
    pb_buf_free(&flat);
}
