/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.batch/1: building batches, and reading and writing rows as CSV, JSON rows and JSON lines.
 *
 * The codecs are the ones the gateway itself uses: POST /functions and Snowflake's envelope go through them.
 * They take pieces of any size, keep JSON cells verbatim (38-digit numbers survive), and say where an error
 * is. All functions: [loop]; but a builder, reader or writer that was made on the loop may be used in [work]
 * meanwhile, by one thread at a time (not `create`, `free`, `json_text`).
 *
 * Example: a reply in CSV becomes the answer of a call.
 *
 *     static void answer(struct mine *m, pbay_call call, pbay_str csv)
 *     {
 *         static const uint32_t kinds[] = {PBAY_NUM};
 *         const pbay_codec codec = {
 *             .struct_size = sizeof codec, .format = PBAY_FORMAT_CSV, .kinds = kinds, .n_columns = 1};
 *         pbay_result result = PBAY_RESULT_OK;
 *         pbay_builder *out = m->batch->create(m->host);
 *         pbay_reader *r = m->batch->reader(m->host, &codec, out);
 *         int32_t rc = m->batch->feed(r, csv, &result);
 *         if (rc == PBAY_OK) rc = m->batch->finish(r, &result);
 *         m->batch->reader_free(r);
 *         if (rc != PBAY_OK) {
 *             m->batch->free(out);
 *             out = NULL;
 *         }
 *         m->call->complete(call, &result, out); // takes out
 *     }
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_BATCH "pbay.host.batch/1"

typedef struct pbay_builder pbay_builder; /* a batch in the making */
typedef struct pbay_reader pbay_reader;   /* text in pieces -> rows in a builder */
typedef struct pbay_writer pbay_writer;   /* batches -> text */

typedef struct pbay_batch_1 {
    uint32_t struct_size;
    uint32_t reserved;

    /* --- builders. The caller owns a builder until it frees it or hands it on (complete, emit). */

    /* A builder without columns. Owned; never NULL. */
    pbay_builder *(*create)(const pbay_host *host);
    void (*free)(pbay_builder *b); /* NULL is fine */
    /*
     * Add a column before the first cell is appended; returns its index, or UINT32_MAX (a fault) after rows,
     * for an unknown kind and beyond 16384 columns. name is copied.
     */
    uint32_t (*add_column)(pbay_builder *b, pbay_str name, uint32_t kind);
    /*
     * Append a cell to column c. Columns are filled in any order; `seal` wants them equally long.
     * num: NUM. text: STR (UTF-8, not checked again) and JSON (one value, not checked). dual: DUAL. null:
     * all. A cell for a column that is not there, or of another kind, is a fault and changes nothing.
     */
    void (*num)(pbay_builder *b, uint32_t c, double v);
    void (*text)(pbay_builder *b, uint32_t c, pbay_str v);
    void (*dual)(pbay_builder *b, uint32_t c, double v, pbay_str s);
    void (*null)(pbay_builder *b, uint32_t c);
    /*
     * Whole columns at once, for what must be fast. nums: n more cells of a NUM column, to be filled before
     * the next call on the builder; NULL when there is no such column. texts: room for n more cells and
     * n_bytes of text of a STR or JSON column. Returns where bytes[0] is and *off, with off[0] set: the text
     * of the i-th new cell goes to bytes + off[i], and off[i + 1] = off[i] + its length. Then, before
     * anything else is done with the builder, texts_done with the number of cells that were written. NULL: no
     * such column, or it would pass 1 GiB.
     */
    double *(*nums)(pbay_builder *b, uint32_t c, uint32_t n);
    char *(*texts)(pbay_builder *b, uint32_t c, uint32_t n, size_t n_bytes, uint32_t **off);
    void (*texts_done)(pbay_builder *b, uint32_t c, uint32_t n);
    /* Append rows from .. from + n - 1 of a column of the same kind; copies. */
    void (*copy)(pbay_builder *b, uint32_t c, const pbay_column *src, uint32_t from, uint32_t n);
    /* Row `row` failed alone (its cells are null); in row order. message is copied. */
    void (*row_error)(pbay_builder *b, uint32_t row, int32_t code, pbay_str message);
    /*
     * What was built, borrowed until the builder is changed or freed; NULL with *why when the columns are not
     * equally long or a column has passed 1 GiB of text.
     */
    const pbay_batch *(*seal)(pbay_builder *b, pbay_result *why);
    /* Forget rows, keep columns and memory: also between two pieces of a reader that fills it. */
    void (*clear_rows)(pbay_builder *b);
    /* Forget rows and columns, keep memory. */
    void (*reset)(pbay_builder *b);

    /* --- cells */

    /* The number in a JSON cell (number, or string holding one) or a text cell. 0: it is not a number. */
    int (*to_num)(pbay_str text, double *out);
    /* The decoded text of a JSON string, or the text of any other value; borrowed until the next call. */
    pbay_str (*json_text)(pbay_str json);

    /* --- readers */

    /* Rows go to `into`, whose columns the reader adds; it must live as long as the reader. Copies the codec.
     * Owned; never NULL. */
    pbay_reader *(*reader)(const pbay_host *host, const pbay_codec *codec, pbay_builder *into);
    /* A piece of text, of any length. PBAY_OK, or PBAY_INVALID_ARGUMENT with row, column and offset in *why:
     * then only reader_free is left to do. */
    int32_t (*feed)(pbay_reader *r, pbay_str piece, pbay_result *why);
    /* There is no more text. */
    int32_t (*finish)(pbay_reader *r, pbay_result *why);
    /*
     * The row numbers of `row_numbers`, as JSON numbers verbatim: a column of one JSON cell per row that the
     * builder holds now. Borrowed until the next feed.
     */
    const pbay_column *(*numbers)(pbay_reader *r);
    void (*reader_free)(pbay_reader *r); /* NULL is fine */

    /* --- writers */

    /* Copies the codec. Owned; never NULL. */
    pbay_writer *(*writer)(const pbay_host *host, const pbay_codec *codec);
    /* Append the rows of a batch; numbers: the column from `numbers`, or NULL. */
    void (*write)(pbay_writer *w, const pbay_batch *batch, const pbay_column *numbers);
    /* All that was written, closed; borrowed until the writer is reset or freed. */
    pbay_str (*text_of)(pbay_writer *w);
    void (*writer_reset)(pbay_writer *w); /* nothing was written; the memory is kept */
    void (*writer_free)(pbay_writer *w);  /* NULL is fine */
} pbay_batch_1;

#ifdef __cplusplus
}
#endif
