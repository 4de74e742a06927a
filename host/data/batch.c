/* SPDX-License-Identifier: MIT */
#include "data/batch.h"

#include "base/check.h"
#include "base/str.h"

enum { FIRST_CELLS = 16, FIRST_TEXT = 256 };
/* Beyond this a builder is freed at the last unref, and so much all free builders of a thread may hold. */
#define POOL_ONE ((size_t)4 << 20)
#define POOL_ALL ((size_t)16 << 20)

/* A sanitizer must see a builder that is used after its last unref, so there the list stays empty. */
#if defined(__SANITIZE_ADDRESS__)
#define POOLED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOLED 0
#endif
#endif
#ifndef POOLED
#define POOLED 1
#endif

/* A turn of the loop may have a call of every stream at hand, each with a few builders. */
enum { POOL_MAX = 1024 };
static _Thread_local struct {
    struct pbay_builder *free[POOL_MAX];
    size_t held[POOL_MAX];
    uint32_t n;
    size_t bytes;
} pool;

static size_t words(size_t bits)
{
    return (bits + 63) / 64;
}

struct pbay_builder *pb_builder_new(void)
{
    struct pbay_builder *b = pb_zalloc(sizeof *b);
    b->refs = 1;
    return b;
}

struct pbay_builder *pb_builder_get(void)
{
    if (!pool.n) return pb_builder_new();
    struct pbay_builder *b = pool.free[--pool.n];
    pool.bytes -= pool.held[pool.n];
    b->refs = 1;
    return b;
}

struct pbay_builder *pb_builder_ref(struct pbay_builder *b)
{
    PB_REQUIRE(b->refs > 0);
    b->refs++;
    return b;
}

size_t pb_builder_footprint(const struct pbay_builder *b)
{
    size_t n = sizeof *b + b->cols_cap * sizeof *b->cols + b->view_cap * sizeof *b->view_cols +
               b->row_errors_cap * sizeof *b->row_errors + b->names.total + b->notes.total;
    for (uint32_t i = 0; i < b->cols_cap; i++) {
        const struct pb_col *c = &b->cols[i];
        n += c->bytes_cap;
        if (c->num) n += (size_t)c->cap * sizeof *c->num;
        if (c->off) n += ((size_t)c->cap + 1) * sizeof *c->off;
        if (c->null_bits) n += words(c->cap) * sizeof *c->null_bits;
    }
    return n;
}

static void builder_free(struct pbay_builder *b)
{
    for (uint32_t i = 0; i < b->cols_cap; i++) {
        pb_free(b->cols[i].num);
        pb_free(b->cols[i].off);
        pb_free(b->cols[i].bytes);
        pb_free(b->cols[i].null_bits);
    }
    pb_free(b->cols);
    pb_free(b->view_cols);
    pb_free(b->row_errors);
    pb_arena_free(&b->names);
    pb_arena_free(&b->notes);
    pb_free(b);
}

void pb_builder_unref(struct pbay_builder *b)
{
    if (!b) return;
    PB_REQUIRE(b->refs > 0);
    if (--b->refs) return;
    size_t held = pb_builder_footprint(b);
    if (!POOLED || held > POOL_ONE || pool.n == POOL_MAX || pool.bytes + held > POOL_ALL) {
        builder_free(b);
        return;
    }
    pb_builder_reset(b);
    pool.free[pool.n] = b;
    pool.held[pool.n++] = held;
    pool.bytes += held;
}

void pb_builder_pool_free(void)
{
    while (pool.n) builder_free(pool.free[--pool.n]);
    pool.bytes = 0;
}

static void col_truncate(struct pb_col *col, uint32_t rows)
{
    if (col->n <= rows) return;
    if (col->n_null) {
        /* Bits from n on are 0 at all times, so that a null is one OR. */
        size_t first = rows / 64, last = words(col->n);
        uint64_t keep = rows % 64 ? (UINT64_C(1) << rows % 64) - 1 : 0;
        for (size_t w = first; w < last; w++) {
            uint64_t gone = col->null_bits[w] & ~keep;
            col->n_null -= (uint32_t)__builtin_popcountll(gone);
            col->null_bits[w] &= keep;
            keep = 0;
        }
    }
    col->n = rows;
}

void pb_builder_truncate(struct pbay_builder *b, uint32_t rows)
{
    for (uint32_t i = 0; i < b->n_cols; i++) col_truncate(&b->cols[i], rows);
    if (b->bare_rows > rows) b->bare_rows = rows;
    while (b->n_row_errors && b->row_errors[b->n_row_errors - 1].row >= rows) b->n_row_errors--;
}

void pb_builder_clear_rows(struct pbay_builder *b)
{
    pb_builder_truncate(b, 0);
    b->n_row_errors = 0;
    b->overflow = false;
    pb_arena_reset(&b->notes);
}

void pb_builder_reset(struct pbay_builder *b)
{
    pb_builder_clear_rows(b);
    b->n_cols = 0;
    pb_arena_reset(&b->names);
}

uint32_t pb_builder_column(struct pbay_builder *b, pbay_str name, uint32_t kind)
{
    PB_REQUIRE(kind >= PBAY_NUM && kind <= PBAY_JSON);
    PB_REQUIRE(pb_builder_rows(b) == 0);
    if (b->n_cols == b->cols_cap) {
        uint32_t was = b->cols_cap;
        PB_GROW(b->cols, b->cols_cap, b->n_cols + 1);
        memset(b->cols + was, 0, (b->cols_cap - was) * sizeof *b->cols);
    }
    struct pb_col *col = &b->cols[b->n_cols];
    bool num = kind == PBAY_NUM || kind == PBAY_DUAL, text = kind != PBAY_NUM;
    /* Memory of the column that stood here before serves again where it fits. */
    if (!num) {
        pb_free(col->num);
        col->num = NULL;
    }
    if (!text) {
        pb_free(col->off);
        pb_free(col->bytes);
        col->off = NULL;
        col->bytes = NULL;
        col->bytes_cap = 0;
    }
    if (!col->cap) col->cap = FIRST_CELLS;
    if (num && !col->num) col->num = pb_array(col->cap, sizeof *col->num);
    if (text && !col->off) col->off = pb_array((size_t)col->cap + 1, sizeof *col->off);
    if (text && !col->bytes) col->bytes = pb_alloc(col->bytes_cap = FIRST_TEXT);
    if (text) col->off[0] = 0;
    col->kind = kind;
    col->name = pb_arena_str(&b->names, name);
    return b->n_cols++;
}

uint32_t pb_builder_rows(const struct pbay_builder *b)
{
    return b->n_cols ? b->cols[0].n : b->bare_rows;
}

size_t pb_builder_text(const struct pbay_builder *b)
{
    size_t n = 0;
    for (uint32_t i = 0; i < b->n_cols; i++)
        if (b->cols[i].off) n += b->cols[i].off[b->cols[i].n];
    return n;
}

void pb_builder_row_error(struct pbay_builder *b, uint32_t row, int32_t code, pbay_str message)
{
    PB_GROW(b->row_errors, b->row_errors_cap, b->n_row_errors + 1);
    b->row_errors[b->n_row_errors++] = (pbay_row_error){row, code, pb_arena_str(&b->notes, message)};
}

static int check_columns(const struct pbay_builder *b, struct pb_err *err)
{
    uint32_t rows = pb_builder_rows(b);
    for (uint32_t i = 1; i < b->n_cols; i++) {
        if (b->cols[i].n == rows) continue;
        return pb_fail(err, PBAY_INTERNAL, "column %u (\"%.*s\") has %u rows, column 1 has %u", i + 1,
                       PB_FMT(b->cols[i].name), b->cols[i].n, rows);
    }
    if (b->overflow)
        return pb_fail(err, PBAY_RESOURCE_EXHAUSTED,
                       "a column has more than %zu bytes of text: send fewer rows at once",
                       PB_COLUMN_TEXT_MAX);
    for (uint32_t i = 0; i < b->n_row_errors; i++) {
        uint32_t row = b->row_errors[i].row;
        if (row >= rows) return pb_fail(err, PBAY_INTERNAL, "an error for row %u of %u rows", row, rows);
        if (i && row <= b->row_errors[i - 1].row)
            return pb_fail(err, PBAY_INTERNAL, "errors of rows out of order: row %u after row %u", row,
                           b->row_errors[i - 1].row);
    }
    return 0;
}

const pbay_batch *pb_builder_seal(struct pbay_builder *b, struct pb_err *err)
{
    if (check_columns(b, err) != 0) return NULL;
    PB_GROW(b->view_cols, b->view_cap, b->n_cols);
    for (uint32_t i = 0; i < b->n_cols; i++) {
        const struct pb_col *c = &b->cols[i];
        b->view_cols[i] = (pbay_column){.kind = c->kind,
                                        .name = c->name,
                                        .num = c->num,
                                        .off = c->off,
                                        .bytes = c->bytes,
                                        .null_bits = c->n_null ? c->null_bits : NULL};
    }
    b->view = (pbay_batch){.struct_size = sizeof(pbay_batch),
                           .n_cols = b->n_cols,
                           .n_rows = pb_builder_rows(b),
                           .col_stride = sizeof(pbay_column),
                           .cols = b->view_cols,
                           .row_errors = b->row_errors,
                           .n_row_errors = b->n_row_errors};
    return &b->view;
}

/* ------------------------------------------------------------------------------------------------ growing */

void pb_col_more_cells(struct pb_col *col, uint32_t n)
{
    uint64_t need = (uint64_t)col->n + n, cap = (uint64_t)col->cap * 2;
    PB_REQUIRE(need < UINT32_MAX);
    if (cap < need) cap = need;
    if (cap >= UINT32_MAX) cap = UINT32_MAX - 1;
    if (cap < FIRST_CELLS) cap = FIRST_CELLS;
    if (col->num) col->num = pb_array_grow(col->num, cap, sizeof *col->num);
    if (col->off) col->off = pb_array_grow(col->off, cap + 1, sizeof *col->off);
    if (col->null_bits) {
        size_t was = words(col->cap), now = words(cap);
        col->null_bits = pb_array_grow(col->null_bits, now, sizeof *col->null_bits);
        memset(col->null_bits + was, 0, (now - was) * sizeof *col->null_bits);
    }
    col->cap = (uint32_t)cap;
}

bool pb_col_more_text(struct pbay_builder *b, struct pb_col *col, size_t n)
{
    size_t used = col->off[col->n];
    if (b->overflow || n > PB_COLUMN_TEXT_MAX - used) {
        b->overflow = true;
        return false;
    }
    size_t cap = col->bytes_cap * 2;
    if (cap > PB_COLUMN_TEXT_MAX) cap = PB_COLUMN_TEXT_MAX;
    if (cap < used + n) cap = used + n;
    col->bytes = pb_realloc(col->bytes, cap);
    col->bytes_cap = cap;
    return true;
}

void pb_col_set_null(struct pb_col *col, uint32_t row)
{
    if (!col->null_bits) {
        size_t n = words(col->cap);
        col->null_bits = memset(pb_array(n, sizeof *col->null_bits), 0, n * sizeof *col->null_bits);
    }
    col->null_bits[row / 64] |= UINT64_C(1) << row % 64;
    col->n_null++;
}

void pb_builder_nulls(struct pbay_builder *b, uint32_t c, uint32_t n)
{
    pb_col_reserve(&b->cols[c], n);
    for (uint32_t i = 0; i < n; i++) pb_put_null(b, c);
}

void pb_builder_copy(struct pbay_builder *b, uint32_t c, const pbay_column *src, uint32_t from, uint32_t n)
{
    struct pb_col *col = &b->cols[c];
    PB_REQUIRE(col->kind == src->kind);
    if (!n) return;
    pb_col_reserve(col, n);
    if (col->num) memcpy(col->num + col->n, src->num + from, n * sizeof *col->num);
    if (col->off) {
        uint32_t first = src->off[from], at = col->off[col->n];
        size_t len = src->off[from + n] - first;
        if (len && col->bytes_cap - at < len && !pb_col_more_text(b, col, len)) {
            /* Lost anyway: seal fails. The column keeps its shape. */
            for (uint32_t i = 1; i <= n; i++) col->off[col->n + i] = at;
        } else {
            if (len) memcpy(col->bytes + at, src->bytes + first, len);
            for (uint32_t i = 1; i <= n; i++) col->off[col->n + i] = src->off[from + i] - first + at;
        }
    }
    if (src->null_bits) {
        uint32_t was = col->n_null;
        for (uint32_t i = 0; i < n && was == col->n_null; i++)
            if (pbay_cell_null(src, from + i)) pb_col_set_null(col, col->n + i);
        if (was != col->n_null) {
            /* At least one, so the bitmap is there: all of them at once. */
            pb_bits_or(col->null_bits, col->n, src->null_bits, from, n);
            col->n_null = (uint32_t)pb_bits_count(col->null_bits, (size_t)col->n + n);
        }
    }
    col->n += n;
}

/* ------------------------------------------------------------------------------------------------ kinds */

static const char *const kind_names[] = {"num", "str", "dual", "json"};

const char *pb_kind_name(uint32_t kind)
{
    return kind >= PBAY_NUM && kind <= PBAY_JSON ? kind_names[kind - PBAY_NUM] : "unknown";
}

bool pb_kind_parse(pbay_str s, uint32_t *kind)
{
    for (uint32_t i = 0; i < PB_COUNTOF(kind_names); i++) {
        if (!pb_str_is(s, kind_names[i])) continue;
        *kind = PBAY_NUM + i;
        return true;
    }
    return false;
}
