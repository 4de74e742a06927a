/* SPDX-License-Identifier: MIT */
/* What the targets of the row readers have in common. */
#pragma once

#include <stdlib.h>

#include "data/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Read in pieces of `step` bytes (0: whole), each in memory of its own size. */
static inline int fuzz_read(const pbay_codec *codec, struct pbay_builder *into, size_t step, pbay_str text,
                            struct pb_err *err)
{
    struct pbay_reader *r = pb_reader_new(codec, into);
    int rc = 0;
    for (size_t at = 0, n; rc == 0 && at < text.n; at += n) {
        n = step && step < text.n - at ? step : text.n - at;
        char *piece = pb_alloc(n);
        memcpy(piece, text.p + at, n);
        rc = pb_reader_feed(r, pb_str(piece, n), err);
        pb_free(piece);
    }
    if (rc == 0) rc = pb_reader_finish(r, err);
    pb_reader_free(r);
    return rc;
}

static inline void fuzz_same(struct pbay_builder *x, struct pbay_builder *y, bool names)
{
    struct pb_buf p = {0}, q = {0};
    const pbay_batch *v = pb_builder_seal(x, NULL), *w = pb_builder_seal(y, NULL);
    if (!v || !w) abort();
    for (uint32_t c = 0; !names && c < v->n_cols; c++) x->view_cols[c].name = pb_str(NULL, 0);
    for (uint32_t c = 0; !names && c < w->n_cols; c++) y->view_cols[c].name = pb_str(NULL, 0);
    pb_batch_encode(v, &p);
    pb_batch_encode(w, &q);
    if (!pb_str_eq(pb_buf_view(&p), pb_buf_view(&q))) abort();
    pb_buf_free(&p);
    pb_buf_free(&q);
}

/* Returns the rows, owned, or NULL when the text was refused. */
static inline struct pbay_builder *fuzz_rows(const pbay_codec *codec, size_t step, pbay_str text)
{
    struct pb_err e1 = {.code = PBAY_OK}, e2 = e1;
    struct pbay_builder *whole = pb_builder_get(), *cut = pb_builder_get(), *back = pb_builder_get();
    int rc = fuzz_read(codec, whole, 0, text, &e1), rc2 = fuzz_read(codec, cut, step, text, &e2);
    if (rc != rc2 || strcmp(e1.msg, e2.msg) != 0) abort();
    fuzz_same(whole, cut, true);
    if (rc == 0 && whole->n_cols) {
        pbay_codec out = *codec;
        uint32_t kinds[16];
        if (whole->n_cols <= 16) {
            for (uint32_t c = 0; c < whole->n_cols; c++) kinds[c] = whole->cols[c].kind;
            out.n_columns = whole->n_cols;
            out.kinds = kinds;
            out.names = NULL;
            out.header = out.row_numbers = 0;
            struct pbay_writer *w = pb_writer_new(&out);
            pb_writer_write(w, pb_builder_seal(whole, NULL), NULL);
            if (fuzz_read(&out, back, 3, pb_writer_text(w), &e1) != 0) abort();
            /* A dual's text may be spelled otherwise: "1.0" is written 1. */
            bool exact = true;
            for (uint32_t c = 0; c < whole->n_cols; c++) exact = exact && kinds[c] != PBAY_DUAL;
            if (exact) fuzz_same(whole, back, false);
            pb_writer_free(w);
        }
    }
    pb_builder_unref(cut);
    pb_builder_unref(back);
    if (rc == 0) return whole;
    pb_builder_unref(whole);
    return NULL;
}
