/* SPDX-License-Identifier: MIT */
/* JSON rows and lines: written and read back through any split, against jansson, and every error with its
 * place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "gen.h"
#include "rows_feed.h"

static void check_value(const pbay_column *col, uint32_t r, const json_t *v)
{
    if (pbay_cell_null(col, r) || (col->kind == PBAY_NUM && !isfinite(col->num[r]))) {
        assert_true(json_is_null(v));
        return;
    }
    if (col->num && !isnan(col->num[r])) {
        if (isfinite(col->num[r]))
            assert_true(json_number_value(v) == col->num[r]);
        else
            assert_true(json_is_null(v));
    } else if (col->kind == PBAY_JSON) {
        pbay_str s = pbay_cell_text(col, r);
        json_error_t e;
        json_t *want = json_loadb(s.p, s.n, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &e);
        assert_true(json_equal(want, v));
        json_decref(want);
    } else {
        assert_true(pb_str_eq(pbay_cell_text(col, r), pb_str(json_string_value(v), json_string_length(v))));
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int round = 0; round < 400; round++) {
        struct pbay_builder *b = pb_builder_get();
        uint32_t n_cols = gen_below(6), n_rows = gen_below(60);
        bool lines = gen_below(3) == 0, objects = n_cols && gen_below(3) == 0,
             numbers = !lines && !objects && gen_below(2);
        bool duals = gen_below(2);
        const char *names[8] = {"c0", "c1", "a \"quoted\" name", "c3", "é", "c5"};
        for (uint32_t c = 0; c < n_cols; c++) {
            static const uint32_t kinds[] = {PBAY_NUM, PBAY_STR, PBAY_JSON, PBAY_DUAL};
            pb_builder_column(b, pb_str_c(names[c]), kinds[gen_below(duals ? 4 : 3)]);
        }
        gen_rows(b, n_rows, true);
        const pbay_batch *v = pb_builder_seal(b, NULL);
        uint32_t kinds[8];
        for (uint32_t c = 0; c < n_cols; c++) kinds[c] = b->cols[c].kind;
        pbay_codec codec = {.struct_size = sizeof codec,
                            .format = lines ? PBAY_FORMAT_JSON_LINES : PBAY_FORMAT_JSON_ROWS,
                            .n_columns = n_cols,
                            .names = objects ? names : NULL,
                            .kinds = kinds,
                            .objects = objects,
                            .row_numbers = numbers,
                            .trailing_newline = (char)gen_below(2)};
        if (!lines && gen_below(2)) codec.key = gen_below(2) ? PB_STR("rows") : PB_STR("body.x\"y.rows");
        struct pbay_writer *w = pb_writer_new(&codec);
        /* In two parts, and the second time in memory that was used. */
        struct pb_slice s = {0};
        uint32_t cut = gen_below(n_rows + 1);
        pb_writer_write(w, v, NULL);
        pb_writer_text(w);
        pb_writer_reset(w);
        pb_slice_set(&s, v, NULL, 0, cut);
        pb_writer_write(w, &s.batch, NULL);
        pb_slice_set(&s, v, NULL, cut, n_rows - cut);
        pb_writer_write(w, &s.batch, NULL);
        pb_slice_free(&s);
        pbay_str text = pb_writer_text(w);

        json_error_t e;
        pbay_str rest = text, line = text;
        for (uint32_t r = 0; lines && r < n_rows; r++) {
            assert_true(pb_str_split(&rest, '\n', &line));
            json_t *j = json_loadb(line.p, line.n, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &e);
            if (!j) fail_msg("%s", e.text);
            for (uint32_t c = 0; c < n_cols; c++)
                check_value(&v->cols[c], r, objects ? json_object_get(j, names[c]) : json_array_get(j, c));
            json_decref(j);
        }
        if (!lines) {
            json_t *j = json_loadb(text.p, text.n, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &e), *rows = j;
            if (!j) fail_msg("%s: %.*s", e.text, (int)text.n, text.p);
            if (codec.key.n == 4)
                rows = json_object_get(j, "rows");
            else if (codec.key.n)
                rows = json_object_get(json_object_get(json_object_get(j, "body"), "x\"y"), "rows");
            assert_int_equal(json_array_size(rows), n_rows);
            for (uint32_t r = 0; r < n_rows; r++) {
                json_t *row = json_array_get(rows, r);
                assert_int_equal(objects ? json_object_size(row) : json_array_size(row), n_cols + numbers);
                if (numbers) assert_true(json_number_value(json_array_get(row, 0)) == r);
                for (uint32_t c = 0; c < n_cols; c++)
                    check_value(&v->cols[c], r,
                                objects ? json_object_get(row, names[c]) : json_array_get(row, c + numbers));
            }
            json_decref(j);
        }

        struct pbay_builder *back = pb_builder_get();
        struct pbay_reader *reader = pb_reader_new(&codec, back);
        struct pb_err err;
        if (feed_split(reader, text, &err) != 0) fail_msg("%s in %.*s", err.msg, (int)text.n, text.p);
        const pbay_batch *got = pb_builder_seal(back, NULL);
        assert_int_equal(got->n_rows, n_rows);
        for (uint32_t c = 0; c < n_cols; c++) {
            const pbay_column *x = &v->cols[c], *y = &got->cols[c];
            for (uint32_t r = 0; r < n_rows; r++) {
                bool null = pbay_cell_null(x, r) || (x->num && isinf(x->num[r]));
                assert_int_equal(pbay_cell_null(y, r), null);
                if (null) continue;
                if (x->num && !isnan(x->num[r])) assert_memory_equal(&x->num[r], &y->num[r], 8);
                if (!x->num || (x->kind == PBAY_DUAL && isnan(x->num[r])))
                    assert_true(pb_str_eq(pbay_cell_text(x, r), pbay_cell_text(y, r)));
            }
        }
        if (numbers && n_rows) {
            const pbay_column *no = pb_reader_numbers(reader);
            char want[PB_F64_MAX];
            assert_true(
                pb_str_eq(pbay_cell_text(no, n_rows - 1), pb_str(want, pb_format_i64(n_rows - 1, want))));
        }
        pb_reader_free(reader);
        pb_writer_free(w);
        pb_builder_unref(back);
        pb_builder_unref(b);
    }
}

/* jansson's own layout of arbitrary values, into JSON cells. */
static json_t *any_json(int depth)
{
    char text[2048];
    pbay_str s = gen_text(text);
    switch (gen_below(depth > 3 ? 4 : 6)) {
    case 0: return json_integer((json_int_t)gen_u64());
    case 1: return json_real(isfinite(gen_num()) ? 0.5 + gen_below(1000) : 1);
    case 2: return json_stringn(s.p, s.n);
    case 3: return gen_below(2) ? json_true() : json_false();
    case 4: {
        json_t *a = json_array();
        for (uint32_t n = gen_below(4); n; n--) json_array_append_new(a, any_json(depth + 1));
        return a;
    }
    default: {
        json_t *o = json_object();
        for (uint32_t n = gen_below(4); n; n--) {
            char key[8];
            snprintf(key, sizeof key, "k%u", n);
            json_object_set_new(o, key, any_json(depth + 1));
        }
        return o;
    }
    }
}

static void test_verbatim(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        uint32_t n_rows = 1 + gen_below(20), n_cols = 1 + gen_below(4);
        json_t *rows = json_array();
        for (uint32_t r = 0; r < n_rows; r++) {
            json_t *row = json_array();
            for (uint32_t c = 0; c < n_cols; c++) json_array_append_new(row, any_json(0));
            json_array_append_new(rows, row);
        }
        json_t *doc = json_object();
        json_object_set_new(doc, "before", any_json(0));
        json_object_set(doc, "data", rows);
        json_object_set_new(doc, "after", any_json(0));
        char *text = json_dumps(doc, JSON_INDENT(gen_below(3)) | (gen_below(2) ? JSON_ENSURE_ASCII : 0));
        pbay_codec codec = {
            .struct_size = sizeof codec, .format = PBAY_FORMAT_JSON_ROWS, .key = PB_STR("data")};
        struct pbay_builder *b = pb_builder_get();
        struct pbay_reader *reader = pb_reader_new(&codec, b);
        struct pb_err err;
        if (feed_split(reader, pb_str_c(text), &err) != 0) fail_msg("%s in %s", err.msg, text);
        const pbay_batch *v = pb_builder_seal(b, NULL);
        assert_int_equal(v->n_rows, n_rows);
        assert_int_equal(v->n_cols, n_cols);
        for (uint32_t r = 0; r < n_rows; r++)
            for (uint32_t c = 0; c < n_cols; c++) {
                pbay_str s = pbay_cell_text(&v->cols[c], r);
                json_t *cell = json_loadb(s.p, s.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
                assert_true(json_equal(cell, json_array_get(json_array_get(rows, r), c)));
                json_decref(cell);
            }
        pb_reader_free(reader);
        pb_builder_unref(b);
        free(text);
        json_decref(doc);
        json_decref(rows);
    }
}

static const char *const ab[] = {"a", "b"};
static const uint32_t num_str[] = {PBAY_NUM, PBAY_STR}, json_json[] = {PBAY_JSON, PBAY_JSON},
                      one_num[] = {PBAY_NUM};

#define ROWS(...)                                                                                            \
    {                                                                                                        \
        .struct_size = sizeof(pbay_codec), .format = PBAY_FORMAT_JSON_ROWS, __VA_ARGS__                      \
    }
#define LINES(...)                                                                                           \
    {                                                                                                        \
        .struct_size = sizeof(pbay_codec), .format = PBAY_FORMAT_JSON_LINES, __VA_ARGS__                     \
    }

static void test_errors(void **state)
{
    (void)state;
    const struct feed_case cases[] = {
        {ROWS(.n_columns = 2, .kinds = num_str), "[[1,\"x\"],[\"q\",\"y\"]]", 1,
         "row 2, column 1, offset 10: a number is expected, found \"q\""},
        {ROWS(.n_columns = 2, .kinds = num_str, .names = ab), "[[1,\"x\"],[true,\"y\"]]", 1,
         "row 2, column 1 (\"a\"), offset 10: a number is expected, found true"},
        {ROWS(.n_columns = 2, .kinds = num_str), "[[1,[2]]]", 0,
         "row 1, column 2, offset 4: a text is expected, found [2]"},
        {ROWS(.n_columns = 2, .kinds = num_str), "[[1e400,\"\"]]", 0,
         "row 1, column 1, offset 2: \"1e400\" is beyond the range of a number"},
        {ROWS(.n_columns = 2, .kinds = num_str), "[[1]]", 0, "row 1, offset 1: 1 value, 2 expected"},
        {ROWS(.n_columns = 2, .kinds = num_str), "[[1,\"\"],[]]", 1, "row 2, offset 8: 0 values, 2 expected"},
        {ROWS(.n_columns = 2, .kinds = num_str), "[[1,\"\",3,[4]]]", 0,
         "row 1, offset 1: 4 values, 2 expected"},
        {ROWS(.n_columns = 2, .kinds = num_str), "[[1,\"\"] [2,\"\"]]", 1,
         "row 2, offset 8: expected ',' or ']' after a row"},
        {ROWS(.n_columns = 2, .kinds = num_str), "[[1,\"\"],]", 1,
         "row 2, offset 8: a row is an array or an object"},
        {ROWS(.n_columns = 2, .kinds = num_str), "[[1,\"\xff\"]]", 0,
         "row 1, offset 5: the string is not valid UTF-8"},
        {ROWS(.n_columns = 2, .kinds = num_str), "[[1,\"\\ud800\"]]", 0,
         "row 1, offset 5: half of a surrogate pair"},
        {ROWS(.n_columns = 2, .kinds = num_str), "[[1,\"\n\"]]", 0,
         "row 1, offset 5: a control character in a string must be escaped"},
        {ROWS(.n_columns = 2, .kinds = num_str), "[[01,\"\"]]", 0,
         "row 1, offset 3: a number has no leading zero and one point"},
        {ROWS(.n_columns = 2, .kinds = num_str), "[[1,\"\"]]x", 1, "offset 8: there is text after the end"},
        {ROWS(.n_columns = 2, .kinds = num_str), "[[1,\"\"]", 1,
         "row 2, offset 7: the text ends here, within a value"},
        {ROWS(.n_columns = 2, .kinds = num_str), "", 0, "offset 0: the text ends here, within a value"},
        {ROWS(.n_columns = 2, .kinds = num_str), "{}", 0, "offset 0: expected an array of rows"},
        {ROWS(.n_columns = 2, .kinds = num_str), "[{\"a\":1}]", 0,
         "row 1, offset 1: an object, and the columns have no names"},
        {ROWS(.n_columns = 2, .kinds = num_str, .key = PB_STR("rows")), "[]", 0,
         "offset 0: expected an object with the member \"rows\""},
        {ROWS(.n_columns = 2, .kinds = num_str, .key = PB_STR("rows")), "{\"row\":[]}", 0,
         "offset 9: there is no member \"rows\""},
        {ROWS(.n_columns = 2, .kinds = num_str, .key = PB_STR("rows")), "{\"rows\":{}}", 0,
         "offset 8: the member \"rows\" is to be an array of rows"},
        {ROWS(.n_columns = 2, .kinds = num_str, .key = PB_STR("rows")), "{\"rows\":[[1,\"\"]],\"rows\":[]}",
         1, "offset 17: the member \"rows\" is there twice"},
        {ROWS(.n_columns = 2, .kinds = num_str, .key = PB_STR("x.rows")), "{\"x\":{\"y\":1}}", 0,
         "offset 11: there is no member \"rows\""},
        {ROWS(.n_columns = 2, .kinds = num_str, .names = ab), "[{\"a\":1,\"b\":\"\",\"a\":2}]", 0,
         "row 1, column 1 (\"a\"), offset 15: the member is there twice"},
        {ROWS(.n_columns = 2, .kinds = num_str, .row_numbers = 1), "[[0,1,\"\"],[\"1\",2,\"\"]]", 1,
         "row 2, offset 11: a row begins with its number"},
        {ROWS(.n_columns = 2, .kinds = num_str, .row_numbers = 1), "[[0,1]]", 0,
         "row 1, offset 1: a row number and 1 value, 2 expected"},
        {ROWS(.n_columns = 2, .kinds = num_str, .row_numbers = 1), "[[]]", 0,
         "row 1, offset 1: the row number is missing"},
        {ROWS(.n_columns = 2, .kinds = json_json, .max_depth = 2), "[[1,[[1]]],[1,[[[]]]]]", 1,
         "row 2, offset 16: nested too deeply"},
        {ROWS(.max_rows = 2), "[[1],[2],[3]]", 2, "row 3, offset 9: there are more than 2 rows"},
        {ROWS(.any_kind = PBAY_JSON), "[[1,2],[3]]", 1, "row 2, offset 7: 1 value, 2 expected"},
        {ROWS(.any_kind = PBAY_JSON), "[1,2,[3,4]]", 2, "row 3, offset 5: 2 values, 1 expected"},
        {LINES(.n_columns = 1, .kinds = one_num), "1\n2\nx\n", 2, "row 3, offset 4: expected a JSON value"},
        {LINES(.n_columns = 1, .kinds = one_num), "[1] [2]\n", 1,
         "row 2, offset 4: expected the end of the line"},
        {LINES(.n_columns = 1, .kinds = one_num), "1\n[2", 1,
         "row 2, offset 5: the text ends here, within a value"},
        {ROWS(.key = PB_STR("a.b.c.d.e.f.g.h.i")), "{}", 0,
         "rows as text: the key \"a.b.c.d.e.f.g.h.i\" has more than 8 parts"},
        {{.struct_size = sizeof(pbay_codec), .format = 9}, "[]", 0, "rows as text: there is no format 9"},
    };
    feed_cases(cases, PB_COUNTOF(cases));
}

static void test_shapes(void **state)
{
    (void)state;
    struct pb_err err;
    struct pbay_builder *b = pb_builder_get();
    /* Objects: any order, absent and null alike, unknown members skipped, escapes in names. */
    pbay_codec codec = ROWS(.n_columns = 2, .kinds = num_str, .names = ab);
    struct pbay_reader *r = pb_reader_new(&codec, b);
    assert_int_equal(
        feed_split(
            r, PB_STR("[{\"b\":\"x\\n\",\"z\":[{}],\"a\":1},{},{\"\\u0061\":\"7\",\"b\":null},{\"b\":true}]"),
            &err),
        0);
    const pbay_batch *v = pb_builder_seal(b, NULL);
    assert_int_equal(v->n_rows, 4);
    assert_true(v->cols[0].num[0] == 1 && v->cols[0].num[2] == 7);
    assert_true(pb_str_is(pbay_cell_text(&v->cols[1], 0), "x\n") &&
                pb_str_is(pbay_cell_text(&v->cols[1], 3), "true"));
    assert_true(pbay_cell_null(&v->cols[0], 1) && pbay_cell_null(&v->cols[1], 1) &&
                pbay_cell_null(&v->cols[1], 2));
    pb_reader_free(r);

    /* Columns from the first row; row numbers verbatim; more than sixteen names are found by hash. */
    pb_builder_reset(b);
    codec = (pbay_codec)ROWS(.row_numbers = 1, .key = PB_STR("data"));
    r = pb_reader_new(&codec, b);
    assert_int_equal(
        feed_split(r, PB_STR("{\n\"data\":[\n[0,\"4545\", 1.50],[12345678901234567890,null,[ 1 ]]\n]\n}"),
                   &err),
        0);
    v = pb_builder_seal(b, NULL);
    assert_int_equal(v->n_cols, 2);
    assert_true(pb_str_is(pbay_cell_text(&v->cols[0], 0), "\"4545\"") && pbay_cell_null(&v->cols[0], 1));
    assert_true(pb_str_is(pbay_cell_text(&v->cols[1], 0), "1.50") &&
                pb_str_is(pbay_cell_text(&v->cols[1], 1), "[ 1 ]"));
    assert_true(pb_str_is(pbay_cell_text(pb_reader_numbers(r), 1), "12345678901234567890"));
    pb_reader_free(r);

    pb_builder_reset(b);
    codec = (pbay_codec)LINES(.any_kind = PBAY_STR);
    r = pb_reader_new(&codec, b);
    struct pb_buf text = {0};
    for (int row = 0; row < 2; row++) {
        for (int i = 0; i < 40; i++)
            pb_buf_printf(&text, "%s\"k%d\":\"%d\"", i ? "," : "{", row ? 39 - i : i, row ? 39 - i : i);
        pb_buf_c(&text, "}\n\n");
    }
    assert_int_equal(feed_split(r, pb_buf_view(&text), &err), 0);
    v = pb_builder_seal(b, NULL);
    assert_int_equal(v->n_cols, 40);
    assert_true(pb_str_is(pbay_cell_text(&v->cols[31], 1), "31") && pb_str_is(v->cols[31].name, "k31"));
    pb_reader_free(r);

    /* Functions without arguments: rows without cells. */
    pb_builder_reset(b);
    codec = (pbay_codec)ROWS(.row_numbers = 1);
    r = pb_reader_new(&codec, b);
    assert_int_equal(feed_split(r, PB_STR("[[0],[1],[2]]"), &err), 0);
    assert_int_equal(pb_builder_seal(b, NULL)->n_rows, 3);
    pb_reader_free(r);
    pb_buf_free(&text);
    pb_builder_unref(b);
}

/* Rows leave while others come: the builder is emptied, or exchanged, between pieces. */
static void test_streaming(void **state)
{
    (void)state;
    struct pb_err err;
    struct pbay_builder *b = pb_builder_get();
    pbay_codec codec = ROWS(.row_numbers = 1);
    struct pbay_reader *r = pb_reader_new(&codec, b);
    uint32_t seen = 0;
    struct pb_buf text = {0};
    pb_buf_ch(&text, '[');
    for (uint32_t i = 0; i < 5000; i++) pb_buf_printf(&text, "%s[%u,\"%u\"]", i ? "," : "", i, i);
    pb_buf_ch(&text, ']');
    for (size_t at = 0, n; at < text.n; at += n) {
        n = 1 + gen_below(300);
        if (n > text.n - at) n = text.n - at;
        assert_int_equal(pb_reader_feed(r, pb_str(text.p + at, n), &err), 0);
        const pbay_batch *v = pb_builder_seal(b, NULL);
        const pbay_column *no = pb_reader_numbers(r);
        for (uint32_t i = 0; i < v->n_rows; i++, seen++) {
            char want[16];
            snprintf(want, sizeof want, "%u", seen);
            assert_true(pb_str_is(pbay_cell_text(no, i), want));
        }
        if (gen_below(2))
            pb_builder_clear_rows(b);
        else {
            pb_builder_unref(b);
            b = pb_builder_get();
            pb_reader_into(r, b);
        }
    }
    assert_int_equal(pb_reader_finish(r, &err), 0);
    assert_int_equal(seen, 5000);
    assert_int_equal(pb_reader_rows(r), 5000);
    assert_int_equal(pb_reader_feed(r, PB_STR(" "), &err), -1);
    pb_reader_free(r);
    pb_builder_unref(b);
    pb_buf_free(&text);
}

/* A row of megabytes in pieces of bytes takes no time that matters: begun again each time it would take
 * hours. */
static void test_long_row_in_small_pieces(void **state)
{
    (void)state;
    struct pb_err err;
    struct pbay_builder *b = pb_builder_get();
    pbay_codec codec = ROWS(.n_columns = 1, .kinds = json_json);
    struct pbay_reader *r = pb_reader_new(&codec, b);
    assert_int_equal(pb_reader_feed(r, PB_STR("[[\""), &err), 0);
    for (int i = 0; i < 300000; i++) assert_int_equal(pb_reader_feed(r, PB_STR("]}\\\"]"), &err), 0);
    assert_int_equal(pb_reader_feed(r, PB_STR("\"]]"), &err), 0);
    assert_int_equal(pb_reader_finish(r, &err), 0);
    assert_int_equal(pb_builder_text(b), 300000 * 5 + 2);
    pb_reader_free(r);
    pb_builder_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_verbatim),
        cmocka_unit_test(test_errors),     cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_streaming),  cmocka_unit_test(test_long_row_in_small_pieces),
    };
    gen_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
