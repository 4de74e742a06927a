/* SPDX-License-Identifier: MIT */
/* pbay.host.batch/1 over data/batch.h and data/codec.h. What a plugin gets wrong is counted and changes
 * nothing. */
#include <patchbay/host_batch.h>

#include <string.h>

#include "base/buf.h"
#include "data/batch.h"
#include "data/codec.h"
#include "data/json_scan.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"
#include "plugin/why.h"

/* The column, when there is one of this kind. */
static struct pb_col *column(pbay_builder *b, uint32_t c, uint32_t kinds)
{
    if (PB_LIKELY(c < b->n_cols && 1u << b->cols[c].kind & kinds)) return &b->cols[c];
    if (pb_current.connector)
        pb_connector_fault(pb_current.connector, "a cell for a column of another kind", NULL);
    return NULL;
}

enum {
    NUM = 1u << PBAY_NUM,
    TEXT = 1u << PBAY_STR | 1u << PBAY_JSON,
    DUAL = 1u << PBAY_DUAL,
    ANY = NUM | TEXT | DUAL,
};

static pbay_builder *batch_create(const pbay_host *host)
{
    (void)host;
    return pb_builder_get();
}

static uint32_t batch_add_column(pbay_builder *b, pbay_str name, uint32_t kind)
{
    if (kind >= PBAY_NUM && kind <= PBAY_JSON && b->n_cols < PB_COLUMNS_MAX && !pb_builder_rows(b))
        return pb_builder_column(b, name, kind);
    if (pb_current.connector)
        pb_connector_fault(pb_current.connector, "a column after rows, of an unknown kind or one too many",
                           NULL);
    return UINT32_MAX;
}

static void batch_num(pbay_builder *b, uint32_t c, double v)
{
    if (column(b, c, NUM)) pb_put_num(b, c, v);
}

static void batch_text(pbay_builder *b, uint32_t c, pbay_str v)
{
    if (column(b, c, TEXT)) pb_put_text(b, c, v.p, v.n);
}

static void batch_dual(pbay_builder *b, uint32_t c, double v, pbay_str s)
{
    if (column(b, c, DUAL)) pb_put_dual(b, c, v, s.p, s.n);
}

static void batch_null(pbay_builder *b, uint32_t c)
{
    if (column(b, c, ANY)) pb_put_null(b, c);
}

static double *batch_nums(pbay_builder *b, uint32_t c, uint32_t n)
{
    struct pb_col *col = column(b, c, NUM);
    if (!col) return NULL;
    pb_col_reserve(col, n);
    double *at = col->num + col->n;
    col->n += n;
    return at;
}

static char *batch_texts(pbay_builder *b, uint32_t c, uint32_t n, size_t n_bytes, uint32_t **off)
{
    struct pb_col *col = column(b, c, TEXT);
    *off = NULL;
    if (!col) return NULL;
    pb_col_reserve(col, n);
    if (col->bytes_cap - col->off[col->n] < n_bytes + 1 && !pb_col_more_text(b, col, n_bytes + 1))
        return NULL;
    *off = col->off + col->n;
    return col->bytes;
}

static void batch_texts_done(pbay_builder *b, uint32_t c, uint32_t n)
{
    struct pb_col *col = column(b, c, TEXT);
    if (!col) return;
    bool good = n <= col->cap - col->n;
    for (uint32_t i = 0; good && i < n; i++) good = col->off[col->n + i] <= col->off[col->n + i + 1];
    if (good && col->off[col->n + n] <= col->bytes_cap)
        col->n += n;
    else if (pb_current.connector)
        pb_connector_fault(pb_current.connector, "texts_done with offsets beyond what was asked for", NULL);
}

static void batch_copy(pbay_builder *b, uint32_t c, const pbay_column *src, uint32_t from, uint32_t n)
{
    if (src->kind <= PBAY_JSON && column(b, c, 1u << src->kind)) pb_builder_copy(b, c, src, from, n);
}

static const pbay_batch *batch_seal(pbay_builder *b, pbay_result *why)
{
    const pbay_batch *batch = pb_builder_seal(b, pb_why_err());
    if (!batch) pb_why_put(why);
    return batch;
}

static int batch_to_num(pbay_str text, double *out)
{
    return pb_json_to_num(text, out);
}

static pbay_str batch_json_text(pbay_str json)
{
    static _Thread_local struct pb_buf scratch;
    pb_buf_reset(&scratch, 64 * 1024);
    return pb_json_text(json, &scratch);
}

static pbay_codec known_codec(const pbay_codec *codec)
{
    pbay_codec mine;
    pb_copy_known(&mine, sizeof mine, codec, codec->struct_size, "pbay_codec");
    mine.struct_size = sizeof mine;
    return mine;
}

static pbay_reader *batch_reader(const pbay_host *host, const pbay_codec *codec, pbay_builder *into)
{
    (void)host;
    pbay_codec mine = known_codec(codec);
    return pb_reader_new(&mine, into);
}

static int32_t batch_feed(pbay_reader *r, pbay_str piece, pbay_result *why)
{
    return pb_reader_feed(r, piece, pb_why_err()) ? pb_why_put(why) : PBAY_OK;
}

static int32_t batch_finish(pbay_reader *r, pbay_result *why)
{
    return pb_reader_finish(r, pb_why_err()) ? pb_why_put(why) : PBAY_OK;
}

static pbay_writer *batch_writer(const pbay_host *host, const pbay_codec *codec)
{
    (void)host;
    pbay_codec mine = known_codec(codec);
    return pb_writer_new(&mine);
}

const pbay_batch_1 pb_service_batch = {
    .struct_size = sizeof(pbay_batch_1),
    .create = batch_create,
    .free = pb_builder_unref,
    .add_column = batch_add_column,
    .num = batch_num,
    .text = batch_text,
    .dual = batch_dual,
    .null = batch_null,
    .nums = batch_nums,
    .texts = batch_texts,
    .texts_done = batch_texts_done,
    .copy = batch_copy,
    .row_error = pb_builder_row_error,
    .seal = batch_seal,
    .clear_rows = pb_builder_clear_rows,
    .reset = pb_builder_reset,
    .to_num = batch_to_num,
    .json_text = batch_json_text,
    .reader = batch_reader,
    .feed = batch_feed,
    .finish = batch_finish,
    .numbers = pb_reader_numbers,
    .reader_free = pb_reader_free,
    .writer = batch_writer,
    .write = pb_writer_write,
    .text_of = pb_writer_text,
    .writer_reset = pb_writer_reset,
    .writer_free = pb_writer_free,
};
