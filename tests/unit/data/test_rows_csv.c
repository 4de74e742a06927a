/* SPDX-License-Identifier: MIT */
/* CSV: written and read back through any split, both ways against python3's csv module, and every error's
 * place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <unistd.h>

#include "data/json_scan.h"
#include "gen.h"
#include "rows_feed.h"

static const uint32_t num_str[] = {PBAY_NUM, PBAY_STR}, num_dual[] = {PBAY_NUM, PBAY_DUAL};
static const char *const ab[] = {"a", "b"};

#define CSV(...)                                                                                             \
    {                                                                                                        \
        .struct_size = sizeof(pbay_codec), .format = PBAY_FORMAT_CSV, __VA_ARGS__                            \
    }

static void test_round_trip(void **state)
{
    (void)state;
    for (int round = 0; round < 500; round++) {
        struct pbay_builder *b = pb_builder_get(), *back = pb_builder_get();
        uint32_t n_cols = 1 + gen_below(4), kinds[4];
        for (uint32_t c = 0; c < n_cols; c++) {
            static const uint32_t any[] = {PBAY_NUM, PBAY_STR, PBAY_JSON};
            char name[24];
            snprintf(name, sizeof name, "col \"%u\",x", c);
            pb_builder_column(b, pb_str_c(name), kinds[c] = any[gen_below(3)]);
        }
        gen_rows(b, gen_below(50), true);
        const pbay_batch *v = pb_builder_seal(b, NULL);
        pbay_codec codec = CSV(.n_columns = 0, .header = gen_below(2), .quote_all = (char)gen_below(2),
                               .trailing_newline = (char)gen_below(2), .delimiter = gen_below(2) ? '\t' : 0);
        struct pbay_writer *w = pb_writer_new(&codec);
        pb_writer_write(w, v, NULL);
        codec.n_columns = n_cols;
        codec.kinds = kinds;
        struct pbay_reader *r = pb_reader_new(&codec, back);
        struct pb_err err;
        pbay_str text = pb_writer_text(w);
        if (feed_split(r, text, &err) != 0) fail_msg("%s in %.*s", err.msg, (int)text.n, text.p);
        const pbay_batch *got = pb_builder_seal(back, NULL);
        assert_int_equal(got->n_rows, v->n_rows);
        struct pb_buf s1 = {0}, s2 = {0};
        for (uint32_t c = 0; c < n_cols; c++) {
            const pbay_column *x = &v->cols[c], *y = &got->cols[c];
            for (uint32_t i = 0; i < v->n_rows; i++) {
                bool null = pbay_cell_null(x, i) || (x->num && isinf(x->num[i]));
                assert_int_equal(pbay_cell_null(y, i), null);
                if (null) continue;
                pbay_str p = x->off ? pbay_cell_text(x, i) : pb_str(NULL, 0),
                         q = y->off ? pbay_cell_text(y, i) : p;
                if (x->num) assert_memory_equal(&x->num[i], &y->num[i], 8);
                if (x->kind == PBAY_STR) assert_true(pb_str_eq(p, q));
                /* Strings come back as strings, lists and objects as strings that hold them. */
                if (x->kind == PBAY_JSON) assert_true(pb_str_eq(pb_json_text(p, &s1), pb_json_text(q, &s2)));
            }
        }
        pb_buf_free(&s1);
        pb_buf_free(&s2);
        pb_reader_free(r);
        pb_writer_free(w);
        pb_builder_unref(back);
        pb_builder_unref(b);
    }
}

static pbay_str slurp(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    struct pb_buf b = {0};
    size_t n;
    do b.n += n = fread(pb_buf_room(&b, 65536), 1, 65536, f);
    while (n);
    fclose(f);
    return pb_buf_view(&b);
}

static void python(const char *dir, const char *what)
{
    char command[512];
    snprintf(command, sizeof command, "/usr/bin/python3 '%s/unit/data/csv_peer.py' %s '%s/t.csv' '%s/t.json'",
             PB_TESTS_DIR, what, dir, dir);
    if (system(command) != 0) fail_msg("failed: %s", command);
}

static void check_rows(const pbay_batch *v, const char *json_path)
{
    json_t *rows = json_load_file(json_path, JSON_ALLOW_NUL, NULL);
    assert_non_null(rows);
    assert_int_equal(json_array_size(rows), v->n_rows);
    for (uint32_t r = 0; r < v->n_rows; r++) {
        json_t *row = json_array_get(rows, r);
        assert_int_equal(json_array_size(row), v->n_cols);
        for (uint32_t c = 0; c < v->n_cols; c++) {
            json_t *cell = json_array_get(row, c);
            assert_true(pb_str_eq(pbay_cell_text(&v->cols[c], r),
                                  pb_str(json_string_value(cell), json_string_length(cell))));
        }
    }
    json_decref(rows);
}

static void test_python(void **state)
{
    (void)state;
    char dir[] = "/tmp/pb_csv_XXXXXX", what[64], csv[64], json[64];
    assert_non_null(mkdtemp(dir));
    snprintf(csv, sizeof csv, "%s/t.csv", dir);
    snprintf(json, sizeof json, "%s/t.json", dir);
    for (int round = 0; round < 6; round++) {
        /* It writes, we read. */
        struct pb_err err;
        snprintf(what, sizeof what, "write %u", gen_below(1u << 30));
        python(dir, what);
        pbay_str text = slurp(csv);
        struct pbay_builder *b = pb_builder_get();
        pbay_codec codec = CSV(.any_kind = PBAY_STR);
        struct pbay_reader *r = pb_reader_new(&codec, b);
        if (feed_split(r, text, &err) != 0) fail_msg("%s", err.msg);
        check_rows(pb_builder_seal(b, NULL), json);
        pb_reader_free(r);
        pb_free((char *)(uintptr_t)text.p);

        /* We write, it reads; a null is an empty text to it. */
        pb_builder_reset(b);
        for (uint32_t c = 0, n = 2 + gen_below(3); c < n; c++) pb_builder_column(b, PB_STR("c"), PBAY_STR);
        gen_rows(b, 1 + gen_below(100), true);
        codec = (pbay_codec)CSV(.trailing_newline = 1, .quote_all = (char)gen_below(2));
        struct pbay_writer *w = pb_writer_new(&codec);
        pb_writer_write(w, pb_builder_seal(b, NULL), NULL);
        text = pb_writer_text(w);
        FILE *f = fopen(csv, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
        fclose(f);
        python(dir, "read");
        check_rows(pb_builder_seal(b, NULL), json);
        pb_writer_free(w);
        pb_builder_unref(b);
    }
    unlink(csv);
    unlink(json);
    rmdir(dir);
}

static void test_errors(void **state)
{
    (void)state;
    const struct feed_case cases[] = {
        {CSV(.n_columns = 2, .kinds = num_str), "1,a\nx,b\n", 1,
         "row 2, column 1, offset 4: a number is expected, found x"},
        {CSV(.n_columns = 2, .kinds = num_str, .names = ab), "1,a\n1e400,b", 1,
         "row 2, column 1 (\"a\"), offset 4: a number is expected, found 1e400"},
        {CSV(.n_columns = 2, .kinds = num_str), "1,a\n2\n", 1, "row 2, offset 4: 1 field, 2 expected"},
        {CSV(.n_columns = 2, .kinds = num_str), "1,a\n2,b,c\n", 1, "row 2, offset 4: 3 fields, 2 expected"},
        {CSV(.n_columns = 2, .kinds = num_str), "1,a\"b\n", 0,
         "row 1, offset 3: a quote within a field that does not begin with one"},
        {CSV(.n_columns = 2, .kinds = num_str), "1,\"a\"b\n", 0,
         "row 1, offset 5: text behind the closing quote of a field"},
        {CSV(.n_columns = 2, .kinds = num_str), "1,\"a\n", 0,
         "row 1, offset 2: the quotes that open here are never closed"},
        {CSV(.n_columns = 2, .kinds = num_str), "1,a\rb\n", 0,
         "row 1, offset 3: a carriage return that no newline follows: put the field in quotes"},
        {CSV(.n_columns = 2, .kinds = num_str), "1,\xff\n", 0,
         "row 1, column 2, offset 2: the field is not valid UTF-8"},
        {CSV(.n_columns = 2, .kinds = num_str, .max_rows = 1), "1,a\n2,b\n", 1,
         "row 2, offset 4: there are more than 1 rows"},
        {CSV(.n_columns = 2, .kinds = num_str, .names = ab, .header = 1), "a,c\n1,x\n", 0,
         "header line, offset 0: there is no field \"b\""},
        {CSV(.n_columns = 2, .kinds = num_str, .names = ab, .header = 1), "a,b,a\n", 0,
         "header line, offset 0: the field \"a\" is there twice"},
        {CSV(.n_columns = 2, .kinds = num_str, .header = 1), "a,b,a\n", 0,
         "header line, offset 0: 3 fields, 2 expected"},
        {CSV(.n_columns = 2, .kinds = num_str, .header = 1), "", 0,
         "header line, offset 0: the header line is missing"},
        {CSV(.any_kind = PBAY_STR), "a,b\nc\n", 1, "row 2, offset 4: 1 field, 2 expected"},
        {CSV(.delimiter = '"'), "a", 0, "rows as text: quotes and line ends cannot separate fields"},
    };
    feed_cases(cases, PB_COUNTOF(cases));
}

static void test_shapes(void **state)
{
    (void)state;
    struct pb_err err;
    struct pbay_builder *b = pb_builder_get();
    /* A header in another order, a column nobody asked for, a byte order mark, CRLF, blank lines, no last
     * newline. */
    pbay_codec codec = CSV(.n_columns = 2, .kinds = num_dual, .names = ab, .header = 1);
    struct pbay_reader *r = pb_reader_new(&codec, b);
    assert_int_equal(feed_split(r,
                                PB_STR("\xef\xbb\xbf"
                                       "b,z,\"a\"\r\n12.50,?,1\r\n\r\n,,\r\n\"\",x,\"\"\r\ntext,,-0.5"),
                                &err),
                     0);
    const pbay_batch *v = pb_builder_seal(b, NULL);
    assert_int_equal(v->n_rows, 4);
    assert_true(v->cols[0].num[0] == 1 && v->cols[0].num[3] == -0.5);
    assert_true(pbay_cell_null(&v->cols[0], 1) && pbay_cell_null(&v->cols[0], 2) &&
                pbay_cell_null(&v->cols[1], 1));
    assert_true(v->cols[1].num[0] == 12.5 && pb_str_is(pbay_cell_text(&v->cols[1], 0), "12.50"));
    assert_true(!pbay_cell_null(&v->cols[1], 2) && isnan(v->cols[1].num[2]) && isnan(v->cols[1].num[3]));
    pb_reader_free(r);

    /* One column: an empty line is a null. JSON cells. */
    pb_builder_reset(b);
    codec = (pbay_codec)CSV(.n_columns = 1);
    r = pb_reader_new(&codec, b);
    assert_int_equal(feed_split(r, PB_STR("1\n\n\"\"\n\"1\"\ntrue\nx \"y\"\n"), &err), -1);
    assert_int_equal(pb_builder_rows(b), 5);
    v = pb_builder_seal(b, NULL);
    assert_true(pb_str_is(pbay_cell_text(v->cols, 0), "1") && pbay_cell_null(v->cols, 1));
    assert_true(pb_str_is(pbay_cell_text(v->cols, 2), "\"\"") &&
                pb_str_is(pbay_cell_text(v->cols, 3), "\"1\""));
    assert_true(pb_str_is(pbay_cell_text(v->cols, 4), "true"));
    pb_reader_free(r);

    /* What is written, to the byte. */
    pb_builder_reset(b);
    for (uint32_t c = 0; c < 2; c++) pb_builder_column(b, pb_str(c ? "b" : "a", 1), num_str[c]);
    pb_put_num(b, 0, 0.1);
    pb_put_text(b, 1, "x,y", 3);
    pb_put_null(b, 0);
    pb_put_text(b, 1, "", 0);
    pb_put_num(b, 0, INFINITY);
    pb_put_null(b, 1);
    v = pb_builder_seal(b, NULL);
    codec = (pbay_codec)CSV(.header = 1);
    struct pbay_writer *w = pb_writer_new(&codec);
    pb_writer_write(w, v, NULL);
    assert_true(pb_str_is(pb_writer_text(w), "a,b\n0.1,\"x,y\"\n,\"\"\n,"));
    pb_writer_free(w);
    codec = (pbay_codec)CSV(.raw = 1, .trailing_newline = 1);
    w = pb_writer_new(&codec);
    struct pbay_builder *one = pb_builder_get();
    pb_builder_column(one, PB_STR("s"), PBAY_STR);
    pb_put_text(one, 0, "1,\"2\",3", 7);
    pb_writer_write(w, pb_builder_seal(one, NULL), NULL);
    assert_true(pb_str_is(pb_writer_text(w), "1,\"2\",3\n"));
    pb_writer_free(w);
    pb_builder_unref(one);
    pb_builder_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_python),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_shapes),
    };
    gen_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
