/* SPDX-License-Identifier: MIT */
/* Parts of batches without a copy of cells; and what else looks at a column 64 rows or many bytes at a time.
 */
#include "data/batch.h"

#include "base/check.h"
#include "base/str.h"

/* 64 bits of src from bit `at` on; bits at or after `end` are not read and come back 0. */
static uint64_t bits_at(const uint64_t *src, size_t at, size_t end)
{
    size_t w = at / 64, shift = at % 64;
    uint64_t v = src[w] >> shift;
    if (shift && (w + 1) * 64 < end) v |= src[w + 1] << (64 - shift);
    if (end - at < 64) v &= (UINT64_C(1) << (end - at)) - 1;
    return v;
}

void pb_bits_or(uint64_t *dst, size_t to, const uint64_t *src, size_t from, size_t n)
{
    size_t end = from + n, shift = to % 64;
    for (size_t i = 0; i < n; i += 64) {
        uint64_t v = bits_at(src, from + i, end);
        if (!v) continue;
        size_t w = (to + i) / 64;
        dst[w] |= v << shift;
        if (shift && v >> (64 - shift)) dst[w + 1] |= v >> (64 - shift);
    }
}

size_t pb_bits_count(const uint64_t *bits, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i += 64) sum += (size_t)__builtin_popcountll(bits_at(bits, i, n));
    return sum;
}

static void slice_errors(struct pb_slice *s, const pbay_batch *batch, uint32_t from, uint32_t n)
{
    s->batch.n_row_errors = 0;
    for (uint32_t i = 0; i < batch->n_row_errors; i++) {
        const pbay_row_error *e = &batch->row_errors[i];
        if (e->row < from) continue;
        if (e->row - from >= n) break;
        PB_GROW(s->errors, s->errors_cap, s->batch.n_row_errors + 1);
        s->errors[s->batch.n_row_errors] = *e;
        s->errors[s->batch.n_row_errors++].row -= from;
    }
    s->batch.row_errors = s->batch.n_row_errors ? s->errors : NULL;
}

void pb_slice_set(struct pb_slice *s, const pbay_batch *batch, struct pbay_builder *of, uint32_t from,
                  uint32_t n)
{
    PB_REQUIRE(from <= batch->n_rows && n <= batch->n_rows - from);
    if (of) pb_builder_ref(of);
    pb_builder_unref(s->of);
    s->of = of;
    PB_GROW(s->cols, s->cols_cap, batch->n_cols);
    size_t per_col = ((size_t)n + 63) / 64;
    PB_GROW(s->bits, s->bits_cap, per_col * batch->n_cols);
    for (uint32_t c = 0; c < batch->n_cols; c++) {
        const pbay_column *src = pbay_batch_col(batch, c);
        pbay_column *col = &s->cols[c];
        *col = (pbay_column){.kind = src->kind,
                             .name = src->name,
                             .bytes = src->bytes,
                             .num = src->num ? src->num + from : NULL,
                             .off = src->off ? src->off + from : NULL};
        if (!src->null_bits) continue;
        uint64_t *bits = s->bits + per_col * c, any = 0;
        for (size_t w = 0; w < per_col; w++)
            any |= bits[w] = bits_at(src->null_bits, from + w * 64, (size_t)from + n);
        if (any) col->null_bits = bits;
    }
    s->batch = (pbay_batch){.struct_size = sizeof(pbay_batch),
                            .n_cols = batch->n_cols,
                            .n_rows = n,
                            .col_stride = sizeof(pbay_column),
                            .cols = s->cols};
    slice_errors(s, batch, from, n);
}

void pb_slice_drop(struct pb_slice *s)
{
    pb_builder_unref(s->of);
    s->of = NULL;
    s->batch = (pbay_batch){0};
}

void pb_slice_free(struct pb_slice *s)
{
    pb_slice_drop(s);
    pb_free(s->cols);
    pb_free(s->bits);
    pb_free(s->errors);
    *s = (struct pb_slice){0};
}

static bool ascii(const char *p, size_t n)
{
    uint64_t seen = 0, w;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        uint64_t v[4];
        memcpy(v, p + i, 32);
        seen |= v[0] | v[1] | v[2] | v[3];
    }
    for (; i + 8 <= n; i += 8) {
        memcpy(&w, p + i, 8);
        seen |= w;
    }
    for (; i < n; i++) seen |= (unsigned char)p[i];
    return !(seen & UINT64_C(0x8080808080808080));
}

uint32_t pb_cells_invalid(const char *bytes, const uint32_t *off, uint32_t from, uint32_t n)
{
    size_t len = off[from + n] - off[from];
    if (!len || ascii(bytes + off[from], len)) return from + n;
    bool good = pb_utf8_valid(pb_str(bytes + off[from], len));
    /* The column as a whole may be valid though a cell ends within a character. */
    for (uint32_t i = from; good && i < from + n; i++)
        good = off[i] == off[i + 1] || ((unsigned char)bytes[off[i]] & 0xc0) != 0x80;
    if (good) return from + n;
    for (uint32_t i = from; i < from + n; i++)
        if (!pb_utf8_valid(pb_str(bytes + off[i], off[i + 1] - off[i]))) return i;
    return from + n;
}
