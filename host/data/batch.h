/* SPDX-License-Identifier: MIT */
/*
 * Batches: rows in columns, the one currency between SSE, JSON, Lua and plugins.
 *
 *   builder  a batch in the making: growing columns. It is the `pbay_builder` of the SDK. Reference-counted,
 * because several slices of what one message brought may be on their way at once. batch    the sealed,
 * immutable view (pbay_batch) of a builder; valid until the builder changes or is freed. slice    rows from
 * .. from + n - 1 of a batch, sharing its text and numbers.
 *
 * Threads: one at a time. The append functions are inline: they are the path of every cell.
 */
#pragma once

#include <math.h>
#include <stdbool.h>

#include <patchbay/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"

/* The host splits before a column reaches this; more is an error. */
#define PB_COLUMN_TEXT_MAX ((size_t)1 << 30)

/* What comes from outside has at most so many columns; each costs memory before its first cell. */
#define PB_COLUMNS_MAX 16384u

struct pb_col {
    uint32_t kind; /* PBAY_NUM .. PBAY_JSON */
    uint32_t n;    /* cells */
    uint32_t cap;  /* cells there is room for (off has cap + 1 items) */
    uint32_t n_null;
    pbay_str name;
    double *num;
    uint32_t *off;
    char *bytes;
    size_t bytes_cap;    /* off[n] bytes are used */
    uint64_t *null_bits; /* allocated at the first null; cap bits */
};

struct pbay_builder {
    uint32_t refs;
    uint32_t n_cols, cols_cap;
    uint32_t bare_rows; /* rows of a batch without columns: calls of a function that takes nothing */
    bool overflow; /* a column has passed PB_COLUMN_TEXT_MAX: nothing more is appended to it, seal fails */
    struct pb_col *cols;
    pbay_row_error *row_errors;
    uint32_t n_row_errors, row_errors_cap;
    struct pb_arena names; /* column names */
    struct pb_arena notes; /* messages of row errors */
    pbay_batch view;
    pbay_column *view_cols;
    uint32_t view_cap;
};

/* Returns owned, with one reference. */
struct pbay_builder *pb_builder_new(void);
/* From and to a per-thread free list, so that calls do not pay for memory: unref gives it back at the last.
 */
struct pbay_builder *pb_builder_get(void);
struct pbay_builder *pb_builder_ref(struct pbay_builder *b);
void pb_builder_unref(struct pbay_builder *b); /* NULL is fine */
/* Free what this thread's list holds; a thread that used builders calls it before it ends. */
void pb_builder_pool_free(void);
/* Forget columns and rows, keep memory. */
void pb_builder_reset(struct pbay_builder *b);
/* Forget rows, keep columns and memory. */
void pb_builder_clear_rows(struct pbay_builder *b);
/* Before the first cell; returns the index. Copies name. */
uint32_t pb_builder_column(struct pbay_builder *b, pbay_str name, uint32_t kind);
/* Rows of the first column, or bare_rows. */
uint32_t pb_builder_rows(const struct pbay_builder *b);
/* Bytes of text in all columns. */
size_t pb_builder_text(const struct pbay_builder *b);
void pb_builder_row_error(struct pbay_builder *b, uint32_t row, int32_t code, pbay_str message);
/* NULL with err when columns differ in length or one has overflowed. Borrowed until the next change. */
const pbay_batch *pb_builder_seal(struct pbay_builder *b, struct pb_err *err);
/* Append n rows of a column of the same kind. */
void pb_builder_copy(struct pbay_builder *b, uint32_t c, const pbay_column *src, uint32_t from, uint32_t n);
/* n nulls. */
void pb_builder_nulls(struct pbay_builder *b, uint32_t c, uint32_t n);
/* Forget the rows from `rows` on, and the row errors among them; columns shorter than that stay as they are.
 */
void pb_builder_truncate(struct pbay_builder *b, uint32_t rows);
/* Bytes of memory the builder holds. */
size_t pb_builder_footprint(const struct pbay_builder *b);

/* Slow paths of the inline functions below. */
void pb_col_more_cells(struct pb_col *col, uint32_t n);
bool pb_col_more_text(struct pbay_builder *b, struct pb_col *col, size_t n);
void pb_col_set_null(struct pb_col *col, uint32_t row);

/* Room for n more cells. */
static inline void pb_col_reserve(struct pb_col *col, uint32_t n)
{
    if (PB_UNLIKELY(col->cap - col->n < n)) pb_col_more_cells(col, n);
}

static inline void pb_put_num(struct pbay_builder *b, uint32_t c, double v)
{
    struct pb_col *col = &b->cols[c];
    pb_col_reserve(col, 1);
    col->num[col->n++] = v;
}

/* STR and JSON. Valid UTF-8 is the caller's business. */
static inline void pb_put_text(struct pbay_builder *b, uint32_t c, const char *p, size_t n)
{
    struct pb_col *col = &b->cols[c];
    pb_col_reserve(col, 1);
    size_t at = col->off[col->n];
    if (PB_UNLIKELY(col->bytes_cap - at < n) && !pb_col_more_text(b, col, n)) n = 0;
    if (n) memcpy(col->bytes + at, p, n);
    col->off[++col->n] = (uint32_t)(at + n);
}

/* As pb_put_text; `readable` bytes may be read from p, so that short text is one move of 16 bytes. */
static inline void pb_put_text_near(struct pbay_builder *b, uint32_t c, const char *p, size_t n,
                                    size_t readable)
{
    struct pb_col *col = &b->cols[c];
    pb_col_reserve(col, 1);
    size_t at = col->off[col->n];
    if (PB_LIKELY(n <= 16 && readable >= 16 && col->bytes_cap - at >= 16)) {
        memcpy(col->bytes + at, p, 16);
        col->off[++col->n] = (uint32_t)(at + n);
        return;
    }
    pb_put_text(b, c, p, n);
}

static inline void pb_put_dual(struct pbay_builder *b, uint32_t c, double v, const char *p, size_t n)
{
    struct pb_col *col = &b->cols[c];
    pb_col_reserve(col, 1);
    col->num[col->n] = v;
    pb_put_text(b, c, p, n);
}

static inline void pb_put_null(struct pbay_builder *b, uint32_t c)
{
    struct pb_col *col = &b->cols[c];
    pb_col_reserve(col, 1);
    pb_col_set_null(col, col->n);
    if (col->num) col->num[col->n] = NAN;
    if (col->off) col->off[col->n + 1] = col->off[col->n];
    col->n++;
}

/*
 * A slice with storage of its own for the column headers, the shifted null bits and the row errors that fall
 * into it. Bits past its last row are 0, and a column without a null in the slice has null_bits NULL.
 */
struct pb_slice {
    pbay_batch batch;
    struct pbay_builder *of; /* referenced; NULL when the slice is of a foreign batch */
    pbay_column *cols;
    uint32_t cols_cap;
    uint64_t *bits;
    size_t bits_cap;
    pbay_row_error *errors;
    uint32_t errors_cap;
};

/* Fill *s (zero-initialised or used before) with rows from .. from + n - 1. `of` is referenced when not NULL.
 */
void pb_slice_set(struct pb_slice *s, const pbay_batch *batch, struct pbay_builder *of, uint32_t from,
                  uint32_t n);
/* Drop the reference; storage is kept for the next set. */
void pb_slice_drop(struct pb_slice *s);
void pb_slice_free(struct pb_slice *s);

/* "num", "str", "dual", "json" */
const char *pb_kind_name(uint32_t kind);
bool pb_kind_parse(pbay_str s, uint32_t *kind);

/*
 * Bits from .. from + n - 1 of src to the bits at `to` of dst, which must be 0 there. Reads only words of src
 * that hold one of the bits, writes only such words of dst.
 */
void pb_bits_or(uint64_t *dst, size_t to, const uint64_t *src, size_t from, size_t n);
/* Bits set among the first n. */
size_t pb_bits_count(const uint64_t *bits, size_t n);

/*
 * Is every cell of text off[from] .. off[from + n] valid UTF-8? The first that is not, or from + n. One pass
 * over the bytes of the whole column when they are ASCII.
 */
uint32_t pb_cells_invalid(const char *bytes, const uint32_t *off, uint32_t from, uint32_t n);

/*
 * Flat form: the bytes that `isolation = process` sends, and that a test build passes every call through.
 * Decode checks everything it reads and returns a builder (owned), or NULL with err.
 */
struct pb_buf;
void pb_batch_encode(const pbay_batch *batch, struct pb_buf *out);
/* What that appends, at most. */
size_t pb_batch_encoded_most(const pbay_batch *batch);
struct pbay_builder *pb_batch_decode(pbay_str flat, struct pb_err *err);
