/* SPDX-License-Identifier: MIT */
/* Row bundles against protobuf-c: what it packs is decoded to the same cells, what is encoded it unpacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "data/bundle.h"
#include "gen.h"
#include "sse.pb-c.h"

/* The batch as protobuf-c packs it; NUL in text is cut, so the generator of these tests makes none. */
static void oracle_pack(const pbay_batch *b, struct pb_buf *out)
{
    struct pb_arena a = {0};
    Qlik__Sse__BundledRows m = QLIK__SSE__BUNDLED_ROWS__INIT;
    m.n_rows = b->n_rows;
    m.rows = pb_arena_zalloc(&a, (b->n_rows + 1) * sizeof *m.rows);
    for (uint32_t r = 0; r < b->n_rows; r++) {
        Qlik__Sse__Row *row = m.rows[r] = pb_arena_alloc(&a, sizeof *row);
        qlik__sse__row__init(row);
        row->n_duals = b->n_cols;
        row->duals = pb_arena_zalloc(&a, (b->n_cols + 1) * sizeof *row->duals);
        for (uint32_t c = 0; c < b->n_cols; c++) {
            const pbay_column *col = pbay_batch_col(b, c);
            Qlik__Sse__Dual *d = row->duals[c] = pb_arena_alloc(&a, sizeof *d);
            qlik__sse__dual__init(d);
            if (col->num) d->numdata = pbay_cell_null(col, r) ? (double)NAN : col->num[r];
            if (col->off) d->strdata = (char *)(uintptr_t)pb_arena_str(&a, pbay_cell_text(col, r)).p;
        }
    }
    char *to = pb_buf_room(out, qlik__sse__bundled_rows__get_packed_size(&m) + 1);
    out->n += qlik__sse__bundled_rows__pack(&m, (uint8_t *)to);
    pb_arena_free(&a);
}

/* protobuf-c leaves out what compares equal to 0, and so loses the sign of -0.0; its text ends at a NUL. */
static void oracle_friendly(struct pbay_builder *b)
{
    for (uint32_t c = 0; c < b->n_cols; c++) {
        struct pb_col *col = &b->cols[c];
        for (uint32_t r = 0; col->num && r < col->n; r++)
            if (col->num[r] == 0) col->num[r] = 0;
        for (size_t i = 0; col->off && i < col->off[col->n]; i++)
            if (!col->bytes[i]) col->bytes[i] = '0';
    }
}

static void like(struct pbay_builder *to, const struct pbay_builder *b)
{
    for (uint32_t c = 0; c < b->n_cols; c++) pb_builder_column(to, b->cols[c].name, b->cols[c].kind);
}

/* The wire has no null for text: STR "" and null are one. */
static bool same_on_wire(const pbay_batch *x, const pbay_batch *y)
{
    if (x->n_cols != y->n_cols || x->n_rows != y->n_rows) return false;
    for (uint32_t c = 0; c < x->n_cols; c++) {
        const pbay_column *p = pbay_batch_col(x, c), *q = pbay_batch_col(y, c);
        for (uint32_t r = 0; r < x->n_rows; r++) {
            if (p->kind == PBAY_STR ? !pb_str_eq(pbay_cell_text(p, r), pbay_cell_text(q, r))
                                    : !gen_same_cell(p, r, q, r)) {
                printf("row %u, column %u\n", r, c);
                return false;
            }
        }
    }
    return true;
}

static void test_decode(void **state)
{
    (void)state;
    struct pb_buf wire = {0};
    struct pb_err err;
    for (int round = 0; round < 600; round++) {
        struct pbay_builder *b = pb_builder_get(), *to = pb_builder_get();
        gen_columns(b, gen_below(5), 3);
        like(to, b);
        gen_rows(b, gen_below(100), true);
        oracle_friendly(b);
        const pbay_batch *v = pb_builder_seal(b, NULL);
        wire.n = 0;
        oracle_pack(v, &wire);
        if (pb_bundle_decode(pb_buf_view(&wire), to, &err) != 0) fail_msg("%s", err.msg);
        assert_true(same_on_wire(v, pb_builder_seal(to, NULL)));
        /* A second message goes behind the first; cut anywhere it leaves all as it was, or is a shorter
         * message. */
        uint32_t rows = v->n_rows;
        assert_int_equal(pb_bundle_decode(pb_buf_view(&wire), to, &err), 0);
        assert_int_equal(pb_builder_rows(to), 2 * rows);
        pb_builder_truncate(to, rows);
        if (wire.n) {
            char *exact = pb_strndup(wire.p, wire.n);
            size_t cut = gen_u64() % wire.n;
            if (pb_bundle_decode(pb_str(exact, cut), to, &err) == 0) pb_builder_truncate(to, rows);
            pb_free(exact);
            assert_true(same_on_wire(v, pb_builder_seal(to, NULL)));
        }
        pb_builder_unref(b);
        pb_builder_unref(to);
    }
    pb_buf_free(&wire);
}

static void unpack_and_compare(const pbay_batch *b, uint32_t from, uint32_t next, const char *p, size_t n)
{
    Qlik__Sse__BundledRows *m = qlik__sse__bundled_rows__unpack(NULL, n, (const uint8_t *)p);
    assert_non_null(m);
    assert_int_equal(m->n_rows, next - from);
    for (uint32_t r = from; r < next; r++) {
        const Qlik__Sse__Row *row = m->rows[r - from];
        assert_int_equal(row->n_duals, b->n_cols);
        for (uint32_t c = 0; c < b->n_cols; c++) {
            const pbay_column *col = pbay_batch_col(b, c);
            double want = !col->num ? 0 : pbay_cell_null(col, r) ? (double)NAN : col->num[r];
            if (isnan(want))
                assert_true(isnan(row->duals[c]->numdata));
            else
                assert_memory_equal(&row->duals[c]->numdata, &want, 8);
            pbay_str text = col->off ? pbay_cell_text(col, r) : pb_str(NULL, 0);
            assert_true(pb_str_eq(pb_str_c(row->duals[c]->strdata), text));
        }
    }
    qlik__sse__bundled_rows__free_unpacked(m, NULL);
}

static void test_encode(void **state)
{
    (void)state;
    struct pb_buf wire = {0};
    struct pb_err err;
    for (int round = 0; round < 600; round++) {
        struct pbay_builder *b = pb_builder_get(), *back = pb_builder_get();
        gen_columns(b, gen_below(5), 3);
        like(back, b);
        gen_rows(b, gen_below(700), true);
        for (uint32_t c = 0; c < b->n_cols; c++) /* text for protobuf-c ends at a NUL */
            for (size_t i = 0; b->cols[c].off && i < b->cols[c].off[b->cols[c].n]; i++)
                if (!b->cols[c].bytes[i]) b->cols[c].bytes[i] = '0';
        struct pb_slice s = {0};
        uint32_t rows = pb_builder_rows(b), skip = gen_below(rows + 1);
        pb_slice_set(&s, pb_builder_seal(b, NULL), NULL, skip, rows - skip);
        const pbay_batch *v = &s.batch;
        size_t soft = gen_below(3) ? gen_below(5000) : (size_t)1 << 20, hard = soft + 6000 + gen_below(9000);
        for (uint32_t from = 0; from < v->n_rows;) {
            wire.n = 0;
            pb_buf_add(&wire, "frame", 5);
            uint32_t next = pb_bundle_encode(v, from, 0, soft, hard, &wire, &err);
            if (next == PB_BUNDLE_FAILED) fail_msg("%s", err.msg);
            assert_true(next > from && next <= v->n_rows);
            assert_true(wire.n - 5 <= hard);
            if (next < v->n_rows) assert_true(wire.n - 5 > soft || wire.n - 5 > hard - 6000);
            unpack_and_compare(v, from, next, wire.p + 5, wire.n - 5);
            if (pb_bundle_decode(pb_str(wire.p + 5, wire.n - 5), back, &err) != 0) fail_msg("%s", err.msg);
            from = next;
        }
        assert_true(same_on_wire(v, pb_builder_seal(back, NULL)));
        pb_slice_free(&s);
        pb_builder_unref(b);
        pb_builder_unref(back);
    }
    pb_buf_free(&wire);
}

static struct pbay_builder *columns(const char *kinds)
{
    struct pbay_builder *b = pb_builder_get();
    for (; *kinds; kinds++)
        pb_builder_column(b, pb_str(kinds, 1),
                          *kinds == 'n'   ? PBAY_NUM
                          : *kinds == 's' ? PBAY_STR
                                          : PBAY_DUAL);
    return b;
}

#define DECODE(b, lit) pb_bundle_decode(PB_STR(lit), b, &err)

static void test_by_hand(void **state)
{
    (void)state;
    struct pb_err err;
    struct pbay_builder *b = columns("s");
    /* Defaults; unknown fields of every type, before and behind; the last strData of three; long forms of
     * lengths. */
    assert_int_equal(DECODE(b, "\x0a\x02\x0a\x00"), 0);
    assert_int_equal(DECODE(b, "\x18\x05\x0a\x0e\x22\x01x\x0a\x07\x12\x01"
                               "a\x12\x02"
                               "bc\x18\x01\x2d"
                               "abcd"),
                     0);
    assert_int_equal(DECODE(b, "\x0a\x84\x80\x00\x0a\x82\x00\x12\x00"
                               "\x0a\x05\x0a\x03\x12\x01z"),
                     -1);
    assert_int_equal(pb_builder_rows(b), 2);
    assert_int_equal(DECODE(b, "\x0a\x86\x80\x00\x0a\x83\x00\x12\x01q"
                               "\x0a\x05\x0a\x03\x12\x01z"),
                     0);
    const pbay_batch *v = pb_builder_seal(b, NULL);
    assert_int_equal(v->n_rows, 4);
    assert_true(pb_str_is(pbay_cell_text(v->cols, 0), ""));
    assert_true(pb_str_is(pbay_cell_text(v->cols, 1), "bc"));
    assert_true(pb_str_is(pbay_cell_text(v->cols, 2), "q"));
    assert_true(pb_str_is(pbay_cell_text(v->cols, 3), "z"));
    assert_null(v->cols[0].null_bits);
    pb_builder_unref(b);

    /* A dual with its text first, a number that is NaN, NaN with text, negative zero. */
    b = columns("nd");
    assert_int_equal(
        DECODE(b,
               "\x0a\x1c\x0a\x0c\x12\x01t\x09\0\0\0\0\0\0\xf8\x7f\x0a\x0c\x12\x01t\x09\0\0\0\0\0\0\xf8\x7f"),
        0);
    assert_int_equal(DECODE(b, "\x0a\x16\x0a\x09\x09\0\0\0\0\0\0\0\x80\x0a\x09\x09\0\0\0\0\0\0\xf8\x7f"), 0);
    v = pb_builder_seal(b, NULL);
    assert_true(pbay_cell_null(&v->cols[0], 0) && !pbay_cell_null(&v->cols[1], 0));
    assert_true(isnan(v->cols[1].num[0]) && pb_str_is(pbay_cell_text(&v->cols[1], 0), "t"));
    assert_true(signbit(v->cols[0].num[1]) && v->cols[0].num[1] == 0 && !pbay_cell_null(&v->cols[0], 1));
    assert_true(pbay_cell_null(&v->cols[1], 1));
    pb_builder_unref(b);
}

static void test_refused(void **state)
{
    (void)state;
    struct pb_err err;
    struct pbay_builder *b = columns("ns");
    assert_int_equal(DECODE(b, "\x0a\x04\x0a\x00\x0a\x00"), 0);
    assert_int_equal(DECODE(b, "\x0a\x04\x0a\x00\x0a\x00\x0a\x02\x0a\x00"), -1);
    assert_string_equal(err.msg, "row 2 of the bundle has 1 value, the function takes 2");
    assert_int_equal(err.code, PBAY_INVALID_ARGUMENT);
    assert_int_equal(DECODE(b, "\x0a\x06\x0a\x00\x0a\x00\x0a\x00"), -1);
    assert_string_equal(err.msg, "row 1 of the bundle has 3 values, the function takes 2");
    assert_int_equal(DECODE(b, "\x0a\x00"), -1);
    assert_string_equal(err.msg, "row 1 of the bundle has 0 values, the function takes 2");
    assert_int_equal(DECODE(b, "\x0a\x07\x0a\x00\x0a\x03\x12\x01\xff"), -1);
    assert_string_equal(err.msg, "row 1 of the bundle, value 2 (\"s\") is not valid UTF-8");
    /* A character over two cells is none, though the bytes of the column are valid. */
    assert_int_equal(DECODE(b, "\x0a\x07\x0a\x00\x0a\x03\x12\x01\xc3\x0a\x07\x0a\x00\x0a\x03\x12\x01\xa9"),
                     -1);
    assert_int_equal(DECODE(b, "\x0a\x05\x0a\x00"), -1);
    assert_int_equal(DECODE(b, "\x0b"), -1);
    assert_int_equal(DECODE(b, "\x0a"), -1);
    assert_int_equal(DECODE(b, "\x0a\x04\x0a\x00\x0a\x05"), -1);
    assert_int_equal(DECODE(b, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), -1);
    assert_int_equal(pb_builder_rows(b), 1);
    assert_int_equal(pb_builder_seal(b, NULL)->n_rows, 1);
    pb_builder_unref(b);

    b = pb_builder_get();
    assert_int_equal(DECODE(b, "\x0a\x00\x0a\x00\x0a\x00"), 0);
    assert_int_equal(pb_builder_seal(b, NULL)->n_rows, 3);
    assert_int_equal(DECODE(b, "\x0a\x00\x0a\x02\x0a\x00"), -1);
    assert_int_equal(pb_builder_seal(b, NULL)->n_rows, 3);
    pb_builder_unref(b);
}

static void test_row_too_long(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_buf out = {0};
    struct pbay_builder *b = columns("s");
    static char big[5 << 20];
    memset(big, 'x', sizeof big);
    pb_put_text(b, 0, "a", 1);
    pb_put_text(b, 0, big, PB_BUNDLE_HARD_MAX - 10);
    pb_put_text(b, 0, big, sizeof big);
    const pbay_batch *v = pb_builder_seal(b, NULL);
    /* The long one does not fit behind the short one, but fits alone. */
    assert_int_equal(pb_bundle_encode(v, 0, 0, 1 << 20, PB_BUNDLE_HARD_MAX, &out, &err), 1);
    assert_int_equal(out.n, 7);
    out.n = 0;
    assert_int_equal(pb_bundle_encode(v, 1, 0, 1 << 20, PB_BUNDLE_HARD_MAX, &out, &err), PB_BUNDLE_FAILED);
    assert_int_equal(err.code, PBAY_RESOURCE_EXHAUSTED);
    assert_int_equal(out.n, 0);
    assert_int_equal(pb_bundle_encode(v, 1, 0, 1 << 20, PB_BUNDLE_HARD_MAX + 100, &out, &err), 2);
    assert_int_equal(pb_bundle_encode(v, 2, 0, 1 << 20, PB_BUNDLE_HARD_MAX, &out, &err), PB_BUNDLE_FAILED);
    assert_true(strncmp(err.msg, "row 3 takes 5242", 16) == 0);
    assert_int_equal(pb_bundle_encode(v, 3, 0, 1 << 20, PB_BUNDLE_HARD_MAX, &out, &err), 3);
    pb_builder_unref(b);
    pb_buf_free(&out);
}

static void test_convert(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_buf out = {0};
    struct pbay_builder *b = columns("ns"), *back;
    pb_builder_column(b, PB_STR("j"), PBAY_JSON);
    for (int i = 0; i < 600; i++) {
        pb_put_num(b, 0, i + 0.5);
        if (i == 7)
            pb_put_null(b, 1);
        else
            pb_put_text(b, 1, "17", 2);
        pb_put_text(b, 2, "\"4\\u0032\"", 9);
    }
    const pbay_batch *v = pb_builder_seal(b, NULL);
    const uint32_t kinds[] = {PBAY_NUM, PBAY_STR, PBAY_DUAL};
    for (size_t k = 0; k < 3; k++) {
        out.n = 0;
        assert_int_equal(pb_bundle_encode(v, 0, kinds[k], 1 << 20, PB_BUNDLE_HARD_MAX, &out, &err), 600);
        back = columns(k == 0 ? "nnn" : k == 1 ? "sss" : "ddd");
        assert_int_equal(pb_bundle_decode(pb_buf_view(&out), back, &err), 0);
        const pbay_batch *w = pb_builder_seal(back, NULL);
        for (uint32_t c = 0; c < 3; c++) {
            const pbay_column *col = &w->cols[c];
            static const char *const texts[] = {"3.5", "17", "42"};
            static const double nums[] = {3.5, 17, 42};
            if (col->num) assert_true(col->num[3] == nums[c]);
            if (col->off) assert_true(pb_str_is(pbay_cell_text(col, 3), texts[c]));
        }
        if (k == 0)
            assert_true(pbay_cell_null(&w->cols[1], 7));
        else
            assert_true(pb_str_is(pbay_cell_text(&w->cols[1], 7), ""));
        pb_builder_unref(back);
    }
    /* A message may end within the rows that were converted together. */
    for (uint32_t from = 0; from < 600;) {
        out.n = 0;
        uint32_t next = pb_bundle_encode(v, from, PBAY_STR, 100, PB_BUNDLE_HARD_MAX, &out, &err);
        assert_true(next > from && next <= from + 8);
        from = next;
    }
    pb_put_num(b, 0, 1);
    pb_put_text(b, 1, "no number", 9);
    pb_put_text(b, 2, "1", 1);
    out.n = 0;
    v = pb_builder_seal(b, NULL);
    assert_int_equal(pb_bundle_encode(v, 0, PBAY_NUM, 1 << 20, PB_BUNDLE_HARD_MAX, &out, &err),
                     PB_BUNDLE_FAILED);
    assert_string_equal(err.msg,
                        "row 601, column 2 (\"s\"): a number is to be returned, the answer is \"no number\"");
    assert_int_equal(out.n, 0);
    pb_builder_unref(b);
    pb_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),  cmocka_unit_test(test_encode),       cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_row_too_long), cmocka_unit_test(test_convert),
    };
    gen_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
