/* SPDX-License-Identifier: MIT */
/*
 * The first byte chooses the columns. Rows that decode are encoded and decode to the same again; a message
 * that does not leaves the builder as it was; and protobuf-c takes whatever is taken here.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "data/bundle.h"
#include "sse.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pbay_builder *columns(unsigned shape)
{
    struct pbay_builder *b = pb_builder_get();
    for (unsigned n = shape % 4, kinds = shape / 4; n; n--, kinds /= 3)
        pb_builder_column(b, PB_STR("c"), PBAY_NUM + kinds % 3);
    return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    pbay_str msg = pb_str((const char *)data + 1, size - 1);
    struct pb_err err;
    struct pbay_builder *b = columns(data[0]), *again = columns(data[0]);
    for (uint32_t c = 0; c < b->n_cols; c++) pb_builder_nulls(b, c, 3);
    if (!b->n_cols) b->bare_rows = 3;
    int rc = pb_bundle_decode(msg, b, &err);
    const pbay_batch *v = pb_builder_seal(b, &err);
    if (!v || v->n_rows < 3 || (rc != 0 && v->n_rows != 3)) abort();
    if (rc == 0) {
        Qlik__Sse__BundledRows *m = qlik__sse__bundled_rows__unpack(NULL, msg.n, (const uint8_t *)msg.p);
        if (m && m->n_rows != v->n_rows - 3) abort();
        for (uint32_t r = 3; m && r < v->n_rows; r++) {
            const Qlik__Sse__Row *row = m->rows[r - 3];
            if (row->n_duals != v->n_cols) abort();
            for (uint32_t c = 0; c < v->n_cols; c++) {
                const pbay_column *col = pbay_batch_col(v, c);
                double want = row->duals[c]->numdata;
                if (col->num && memcmp(&col->num[r], &want, 8) != 0 &&
                    !(col->num[r] != col->num[r] && want != want))
                    abort();
                pbay_str s = col->off ? pbay_cell_text(col, r) : pb_str(NULL, 0);
                if (col->off && !memchr(s.n ? s.p : "", 0, s.n) &&
                    !pb_str_eq(pb_str_c(row->duals[c]->strdata), s))
                    abort();
            }
        }
        if (m) qlik__sse__bundled_rows__free_unpacked(m, NULL);
        struct pb_buf out = {0}, twice = {0};
        uint32_t next = pb_bundle_encode(v, 0, 0, SIZE_MAX, SIZE_MAX, &out, &err);
        if (next != v->n_rows || pb_bundle_decode(pb_buf_view(&out), again, &err) != 0) abort();
        next = pb_bundle_encode(pb_builder_seal(again, &err), 0, 0, SIZE_MAX, SIZE_MAX, &twice, &err);
        if (next != v->n_rows || !pb_str_eq(pb_buf_view(&out), pb_buf_view(&twice))) abort();
        pb_buf_free(&out);
        pb_buf_free(&twice);
    }
    pb_builder_unref(b);
    pb_builder_unref(again);
    return 0;
}
