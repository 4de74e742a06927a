/* SPDX-License-Identifier: MIT */
/* Batches: building, sealing, slices against the cells they stand for, the flat form and what is not one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gen.h"

static void test_build(void **state)
{
    (void)state;
    struct pbay_builder *b = pb_builder_get();
    assert_int_equal(pb_builder_column(b, PB_STR("n"), PBAY_NUM), 0);
    assert_int_equal(pb_builder_column(b, PB_STR("s"), PBAY_STR), 1);
    assert_int_equal(pb_builder_column(b, PB_STR("d"), PBAY_DUAL), 2);
    for (int i = 0; i < 1000; i++) {
        if (i % 7 == 3) {
            for (uint32_t c = 0; c < 3; c++) pb_put_null(b, c);
            continue;
        }
        pb_put_num(b, 0, i);
        pb_put_text(b, 1, "hello", (size_t)(i % 6));
        pb_put_dual(b, 2, i * 0.5, "x", 1);
    }
    const pbay_batch *v = pb_builder_seal(b, NULL);
    assert_non_null(v);
    assert_int_equal(v->n_rows, 1000);
    assert_int_equal(v->n_cols, 3);
    for (uint32_t i = 0; i < 1000; i++) {
        const pbay_column *n = pbay_batch_col(v, 0), *s = pbay_batch_col(v, 1), *d = pbay_batch_col(v, 2);
        assert_int_equal(pbay_cell_null(n, i), i % 7 == 3);
        assert_int_equal(pbay_cell_null(s, i), i % 7 == 3);
        assert_int_equal(pbay_cell_text(s, i).n, i % 7 == 3 ? 0 : i % 6);
        if (i % 7 == 3)
            assert_true(isnan(n->num[i]) && isnan(d->num[i]));
        else
            assert_true(n->num[i] == i && d->num[i] == i * 0.5);
    }
    assert_true(pb_str_is(v->cols[2].name, "d"));
    assert_int_equal(pb_builder_text(b), v->cols[1].off[1000] + v->cols[2].off[1000]);

    /* Rows and their nulls go, the columns stay. */
    pb_builder_clear_rows(b);
    assert_int_equal(pb_builder_rows(b), 0);
    for (uint32_t c = 0; c < 3; c++) assert_null(pb_builder_seal(b, NULL)->cols[c].null_bits);
    pb_put_num(b, 0, 1);
    struct pb_err err;
    assert_null(pb_builder_seal(b, &err));
    assert_string_equal(err.msg, "column 2 (\"s\") has 0 rows, column 1 has 1");
    pb_builder_reset(b);
    assert_int_equal(b->n_cols, 0);
    /* Memory of other kinds is not mistaken for one's own. */
    pb_builder_column(b, PB_STR("a"), PBAY_STR);
    pb_builder_column(b, PB_STR("b"), PBAY_NUM);
    pb_builder_column(b, PB_STR("c"), PBAY_JSON);
    v = pb_builder_seal(b, NULL);
    assert_null(v->cols[0].num);
    assert_null(v->cols[1].off);
    assert_null(v->cols[2].num);
    pb_builder_unref(b);
}

static void test_pool(void **state)
{
    (void)state;
    struct pbay_builder *b = pb_builder_get();
    pb_builder_column(b, PB_STR("s"), PBAY_STR);
    static char big[1 << 16];
    while (pb_builder_text(b) < (size_t)6 << 20) pb_put_text(b, 0, big, sizeof big);
    assert_true(pb_builder_footprint(b) > (size_t)6 << 20);
    pb_builder_unref(b);
    /* Whatever comes from the list is empty and small. */
    struct pbay_builder *many[100];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 100; i++) {
            many[i] = pb_builder_get();
            assert_int_equal(many[i]->n_cols, 0);
            assert_int_equal(pb_builder_rows(many[i]), 0);
            assert_true(pb_builder_footprint(many[i]) < (size_t)4 << 20);
            pb_builder_column(many[i], PB_STR("s"), PBAY_STR);
            pb_put_text(many[i], 0, big, sizeof big);
            pb_put_null(many[i], 0);
        }
        for (int i = 0; i < 100; i++) pb_builder_unref(many[i]);
    }
    pb_builder_pool_free();
}

static void test_truncate_and_copy(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct pbay_builder *b = pb_builder_get(), *to = pb_builder_get();
        gen_columns(b, 1 + gen_below(4), 4);
        for (uint32_t c = 0; c < b->n_cols; c++) pb_builder_column(to, b->cols[c].name, b->cols[c].kind);
        uint32_t rows = gen_below(300);
        gen_rows(b, rows, true);
        const pbay_batch *v = pb_builder_seal(b, NULL);
        uint32_t lead = gen_below(130), from = gen_below(rows + 1), n = gen_below(rows - from + 1);
        for (uint32_t c = 0; c < b->n_cols; c++) {
            pb_builder_nulls(to, c, lead);
            pb_builder_copy(to, c, pbay_batch_col(v, c), from, n);
            pb_builder_copy(to, c, pbay_batch_col(v, c), 0, rows);
        }
        pb_builder_truncate(to, lead + n + rows / 2);
        const pbay_batch *t = pb_builder_seal(to, NULL);
        assert_int_equal(t->n_rows, lead + n + rows / 2);
        for (uint32_t c = 0; c < b->n_cols; c++) {
            const pbay_column *x = pbay_batch_col(v, c), *y = pbay_batch_col(t, c);
            uint32_t nulls = 0;
            for (uint32_t r = 0; r < t->n_rows; r++) nulls += (uint32_t)pbay_cell_null(y, r);
            assert_int_equal(nulls, to->cols[c].n_null);
            for (uint32_t r = 0; r < lead; r++) assert_true(pbay_cell_null(y, r));
            for (uint32_t r = 0; r < n; r++) assert_true(gen_same_cell(x, from + r, y, lead + r));
            for (uint32_t r = 0; r < rows / 2; r++) assert_true(gen_same_cell(x, r, y, lead + n + r));
        }
        pb_builder_unref(b);
        pb_builder_unref(to);
    }
}

static void test_slices(void **state)
{
    (void)state;
    struct pb_slice s = {0};
    for (int round = 0; round < 500; round++) {
        struct pbay_builder *b = pb_builder_get();
        gen_columns(b, gen_below(5), 4);
        uint32_t rows = gen_below(400);
        gen_rows(b, rows, true);
        for (uint32_t r = 0; r < rows; r++)
            if (gen_below(20) == 0) pb_builder_row_error(b, r, PBAY_UNAVAILABLE, PB_STR("down"));
        const pbay_batch *v = pb_builder_seal(b, NULL);
        uint32_t from = gen_below(rows + 1), n = gen_below(rows - from + 1);
        pb_slice_set(&s, v, b, from, n);
        /* The slice keeps what it stands on. */
        pb_builder_unref(b);
        assert_int_equal(s.batch.n_rows, n);
        assert_int_equal(s.batch.n_cols, v->n_cols);
        for (uint32_t c = 0; c < v->n_cols; c++) {
            const pbay_column *col = pbay_batch_col(&s.batch, c);
            for (uint32_t r = 0; r < n; r++)
                assert_true(gen_same_cell(pbay_batch_col(v, c), from + r, col, r));
            if (col->null_bits && n % 64) assert_int_equal(col->null_bits[n / 64] >> n % 64, 0);
            if (col->null_bits) assert_true(pb_bits_count(col->null_bits, n) > 0);
        }
        uint32_t k = 0;
        for (uint32_t i = 0; i < v->n_row_errors; i++) {
            uint32_t row = v->row_errors[i].row;
            if (row < from || row >= from + n) continue;
            assert_int_equal(s.batch.row_errors[k].row, row - from);
            assert_true(pb_str_is(s.batch.row_errors[k++].message, "down"));
        }
        assert_int_equal(s.batch.n_row_errors, k);
        /* A slice of a slice, of a batch that is nobody's. */
        struct pb_slice t = {0};
        uint32_t from2 = gen_below(n + 1);
        pb_slice_set(&t, &s.batch, NULL, from2, n - from2);
        for (uint32_t c = 0; c < v->n_cols; c++)
            for (uint32_t r = 0; r < n - from2; r++)
                assert_true(
                    gen_same_cell(pbay_batch_col(v, c), from + from2 + r, pbay_batch_col(&t.batch, c), r));
        pb_slice_free(&t);
    }
    pb_slice_free(&s);
}

static void test_overflow(void **state)
{
    (void)state;
    struct pbay_builder *b = pb_builder_new();
    struct pb_err err;
    pb_builder_column(b, PB_STR("s"), PBAY_STR);
    /* As if 1 GiB less 10 bytes stood there. */
    pb_put_text(b, 0, "x", 1);
    b->cols[0].off[1] = (uint32_t)PB_COLUMN_TEXT_MAX - 10;
    b->cols[0].bytes_cap = PB_COLUMN_TEXT_MAX - 10;
    assert_false(pb_col_more_text(b, &b->cols[0], 11));
    pb_put_text(b, 0, "eleven bytes", 12);
    assert_int_equal(pb_builder_rows(b), 2);
    assert_null(pb_builder_seal(b, &err));
    assert_int_equal(err.code, PBAY_RESOURCE_EXHAUSTED);
    pb_builder_clear_rows(b);
    assert_non_null(pb_builder_seal(b, &err));
    pb_builder_unref(b);
}

static void test_row_errors(void **state)
{
    (void)state;
    struct pbay_builder *b = pb_builder_get();
    struct pb_err err;
    pb_builder_column(b, PB_STR("n"), PBAY_NUM);
    pb_builder_nulls(b, 0, 3);
    pb_builder_row_error(b, 1, PBAY_INTERNAL, PB_STR("a"));
    assert_int_equal(pb_builder_seal(b, &err)->n_row_errors, 1);
    pb_builder_row_error(b, 1, PBAY_INTERNAL, PB_STR("b"));
    assert_null(pb_builder_seal(b, &err));
    pb_builder_truncate(b, 1);
    assert_int_equal(b->n_row_errors, 0);
    pb_builder_row_error(b, 1, PBAY_INTERNAL, PB_STR("c"));
    assert_null(pb_builder_seal(b, &err));
    pb_builder_unref(b);
}

static void test_kinds(void **state)
{
    (void)state;
    for (uint32_t k = PBAY_NUM; k <= PBAY_JSON; k++) {
        uint32_t got = 0;
        assert_true(pb_kind_parse(pb_str_c(pb_kind_name(k)), &got));
        assert_int_equal(got, k);
    }
    uint32_t got;
    assert_false(pb_kind_parse(PB_STR("number"), &got));
    assert_string_equal(pb_kind_name(5), "unknown");
}

static void test_cells_invalid(void **state)
{
    (void)state;
    const char bytes[] = "plain\xc3\xa9\xc3\xa9tail";
    const uint32_t good[] = {0, 5, 7, 9, 13}, split[] = {0, 5, 6, 9, 13}, empty[] = {0, 5, 5, 9, 13};
    assert_int_equal(pb_cells_invalid(bytes, good, 0, 4), 4);
    assert_int_equal(pb_cells_invalid(bytes, split, 0, 4), 1);
    assert_int_equal(pb_cells_invalid(bytes, empty, 0, 4), 4);
    assert_int_equal(pb_cells_invalid(bytes, split, 3, 1), 4);
    assert_int_equal(pb_cells_invalid("ab\xff"
                                      "c",
                                      (const uint32_t[]){0, 1, 2, 4}, 0, 3),
                     2);
}

static void test_flat(void **state)
{
    (void)state;
    struct pb_buf flat = {0}, again = {0};
    for (int round = 0; round < 300; round++) {
        struct pbay_builder *b = pb_builder_get();
        gen_columns(b, gen_below(6), 4);
        uint32_t rows = gen_below(200);
        gen_rows(b, rows, true);
        for (uint32_t r = 0; r < rows; r++)
            if (gen_below(30) == 0) pb_builder_row_error(b, r, PBAY_UNAVAILABLE, PB_STR("né"));
        struct pb_slice s = {0};
        uint32_t from = gen_below(rows + 1);
        pb_slice_set(&s, pb_builder_seal(b, NULL), b, from, rows - from);
        flat.n = again.n = 0;
        pb_batch_encode(&s.batch, &flat);
        struct pb_err err;
        struct pbay_builder *d = pb_batch_decode(pb_buf_view(&flat), &err);
        if (!d) fail_msg("%s", err.msg);
        const pbay_batch *v = pb_builder_seal(d, NULL);
        assert_true(gen_same(&s.batch, v));
        assert_int_equal(v->n_row_errors, s.batch.n_row_errors);
        for (uint32_t c = 0; c < v->n_cols; c++) assert_true(pb_str_eq(v->cols[c].name, s.cols[c].name));
        pb_batch_encode(v, &again);
        assert_true(pb_str_eq(pb_buf_view(&flat), pb_buf_view(&again)));
        pb_builder_unref(d);

        /* One bit wrong somewhere: refused, or still a batch that can be read and written. */
        for (int k = 0; k < 20 && flat.n; k++) {
            size_t at = gen_u64() % flat.n;
            char was = flat.p[at];
            flat.p[at] = (char)(was ^ 1 << gen_below(8));
            d = pb_batch_decode(pb_buf_view(&flat), &err);
            if (d) {
                again.n = 0;
                pb_batch_encode(pb_builder_seal(d, NULL), &again);
                assert_true(pb_str_eq(pb_buf_view(&flat), pb_buf_view(&again)));
            }
            pb_builder_unref(d);
            flat.p[at] = was;
        }
        assert_null(pb_batch_decode(pb_str(flat.p, flat.n - 1), &err));
        pb_slice_free(&s);
        pb_builder_unref(b);
    }
    pb_buf_free(&flat);
    pb_buf_free(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_truncate_and_copy),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_row_errors),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_cells_invalid),
        cmocka_unit_test(test_flat),
    };
    gen_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
