/* SPDX-License-Identifier: MIT */
/*
 * What a row costs on each way in and out: ns per row, the best of a few runs, and the size of the text.
 *     micro_codec [ROWS]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "data/bundle.h"
#include "data/codec.h"

enum { RUNS = 7, PER_MESSAGE = 2000 };

static uint32_t n_rows = 200000;

static void report(const char *what, int64_t best, size_t bytes)
{
    printf("%-44s %7.1f ns/row  %7.1f M rows/s  %8.0f MB/s\n", what, (double)best / n_rows,
           n_rows * 1e3 / (double)best, (double)bytes * 1e3 / (double)best);
}

static struct pbay_builder *rows(const char *kinds)
{
    struct pbay_builder *b = pb_builder_new();
    for (const char *k = kinds; *k; k++)
        pb_builder_column(b, pb_str(k, 1),
                          *k == 'n' || *k == 'i' ? PBAY_NUM
                          : *k == 'j'            ? PBAY_JSON
                                                 : PBAY_STR);
    for (uint32_t c = 0; c < b->n_cols; c++) {
        for (uint32_t i = 0; i < n_rows; i++) {
            char text[32];
            if (kinds[c] == 'i')
                pb_put_num(b, c, i);
            else if (kinds[c] == 'n')
                pb_put_num(b, c, (double)(i % 10000) / 100);
            else if (kinds[c] == 'j')
                pb_put_text(b, c, text, (size_t)snprintf(text, sizeof text, "%u.%u", i % 10000, i % 97));
            else
                pb_put_text(b, c, text,
                            (size_t)snprintf(text, sizeof text, "%s%u",
                                             kinds[c] == 'l' ? "a longer text of 30 b " : "row", i));
        }
    }
    return b;
}

static void die(const struct pb_err *err)
{
    fprintf(stderr, "%s\n", err->msg);
    exit(1);
}

static void bundles(const char *name, const char *kinds)
{
    struct pbay_builder *b = rows(kinds);
    const pbay_batch *v = pb_builder_seal(b, NULL);
    struct pb_err err;
    struct pb_buf wire = {0};
    size_t ends[1 << 12], n = 0, total = 0;
    int64_t best = INT64_MAX, dec = INT64_MAX;
    char what[64];
    for (int run = 0; run < RUNS; run++) {
        int64_t t = pb_mono_ns();
        wire.n = 0;
        for (uint32_t from = 0; from < n_rows;)
            if ((from = pb_bundle_encode(v, from, 0, 1 << 20, PB_BUNDLE_HARD_MAX, &wire, &err)) ==
                PB_BUNDLE_FAILED)
                die(&err);
        t = pb_mono_ns() - t;
        if (t < best) best = t;
    }
    snprintf(what, sizeof what, "bundle encode, %s", name);
    report(what, best, wire.n);
    /* Messages of the size an engine might send. */
    wire.n = 0;
    for (uint32_t from = 0; from < n_rows && n < PB_COUNTOF(ends); n++) {
        struct pb_slice s = {0};
        uint32_t k = n_rows - from < PER_MESSAGE ? n_rows - from : PER_MESSAGE;
        pb_slice_set(&s, v, NULL, from, k);
        if (pb_bundle_encode(&s.batch, 0, 0, SIZE_MAX, SIZE_MAX, &wire, &err) != k) die(&err);
        pb_slice_free(&s);
        from += k;
        ends[n] = wire.n;
    }
    for (int run = 0; run < RUNS; run++) {
        int64_t t = pb_mono_ns();
        total = 0;
        for (size_t i = 0, at = 0; i < n; at = ends[i++]) {
            struct pbay_builder *to = pb_builder_get();
            for (uint32_t c = 0; c < b->n_cols; c++) pb_builder_column(to, b->cols[c].name, b->cols[c].kind);
            if (pb_bundle_decode(pb_str(wire.p + at, ends[i] - at), to, &err) != 0) die(&err);
            total += pb_builder_rows(to);
            pb_builder_unref(to);
        }
        t = pb_mono_ns() - t;
        if (t < dec) dec = t;
    }
    if (total != n_rows) exit(1);
    snprintf(what, sizeof what, "bundle decode, %s", name);
    report(what, dec, wire.n);
    pb_buf_free(&wire);
    pb_builder_unref(b);
}

static void texts(const char *name, const char *kinds, pbay_codec codec, size_t piece)
{
    struct pbay_builder *b = rows(kinds);
    const pbay_batch *v = pb_builder_seal(b, NULL);
    uint32_t column_kinds[8];
    struct pb_err err;
    char what[64];
    int64_t out = INT64_MAX, in = INT64_MAX;
    codec.struct_size = sizeof codec;
    codec.n_columns = v->n_cols;
    codec.kinds = column_kinds;
    for (uint32_t c = 0; c < v->n_cols; c++) column_kinds[c] = v->cols[c].kind;
    struct pbay_writer *w = pb_writer_new(&codec);
    pbay_str text = {NULL, 0};
    for (int run = 0; run < RUNS; run++) {
        pb_writer_reset(w);
        int64_t t = pb_mono_ns();
        pb_writer_write(w, v, NULL);
        text = pb_writer_text(w);
        t = pb_mono_ns() - t;
        if (t < out) out = t;
    }
    snprintf(what, sizeof what, "%s write", name);
    report(what, out, text.n);
    for (int run = 0; run < RUNS; run++) {
        struct pbay_builder *to = pb_builder_get();
        int64_t t = pb_mono_ns();
        struct pbay_reader *r = pb_reader_new(&codec, to);
        for (size_t at = 0, n; at < text.n; at += n) {
            n = piece && piece < text.n - at ? piece : text.n - at;
            if (pb_reader_feed(r, pb_str(text.p + at, n), &err) != 0) die(&err);
        }
        if (pb_reader_finish(r, &err) != 0) die(&err);
        t = pb_mono_ns() - t;
        if (t < in) in = t;
        pb_reader_free(r);
        pb_builder_unref(to);
    }
    snprintf(what, sizeof what, "%s read%s", name, piece ? ", 16 KiB pieces" : "");
    report(what, in, text.n);
    pb_writer_free(w);
    pb_builder_unref(b);
}

int main(int argc, char **argv)
{
    if (argc > 1) n_rows = (uint32_t)strtoul(argv[1], NULL, 10);
    if (!n_rows) return 2;
    const pbay_codec json = {.format = PBAY_FORMAT_JSON_ROWS, .key = PB_STR("data"), .row_numbers = 1},
                     csv = {.format = PBAY_FORMAT_CSV}, lines = {.format = PBAY_FORMAT_JSON_LINES};
    bundles("1 string", "s");
    bundles("1 string of 30", "l");
    bundles("2 numbers", "nn");
    bundles("3 numbers, 2 strings", "nnnss");
    texts("JSON rows, number + string", "is", json, 0);
    texts("JSON rows, number + string", "is", json, 16384);
    texts("JSON rows, decimals", "nn", json, 0);
    texts("Snowflake's envelope, a JSON cell", "j",
          (pbay_codec){.format = PBAY_FORMAT_JSON_ROWS, .key = PB_STR("data"), .row_numbers = 1}, 0);
    texts("JSON lines, number + string", "is", lines, 0);
    texts("CSV, number + string", "is", csv, 0);
    texts("CSV, decimals", "nnn", csv, 16384);
    return 0;
}
