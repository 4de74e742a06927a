/* SPDX-License-Identifier: MIT */
/* What decodes as a flat batch encodes to the same bytes. */
#include <stdlib.h>

#include "base/buf.h"
#include "data/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pb_err err;
    struct pbay_builder *b = pb_batch_decode(pb_str((const char *)data, size), &err);
    if (!b) return 0;
    const pbay_batch *v = pb_builder_seal(b, &err);
    struct pb_buf out = {0};
    if (!v) abort();
    pb_batch_encode(v, &out);
    if (out.n > pb_batch_encoded_most(v)) abort();
    if (out.n != size || memcmp(out.p, data, size) != 0) abort();
    pb_buf_free(&out);
    pb_builder_unref(b);
    return 0;
}
