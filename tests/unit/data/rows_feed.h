/* SPDX-License-Identifier: MIT */
/* Feeding readers: in random pieces, and tables of errors that must not depend on the pieces. After cmocka.h.
 */
#pragma once

#include "data/codec.h"
#include "gen.h"

/* All of the text in pieces of random sizes, each in memory of its own; then the end. */
static inline int feed_split(struct pbay_reader *r, pbay_str text, struct pb_err *err)
{
    uint32_t size = gen_below(4) == 0 ? 1 : gen_below(3) == 0 ? 1000000 : 1 + gen_below(40);
    for (size_t at = 0, n; at < text.n; at += n) {
        n = size == 1 || size == 1000000 ? size : 1 + gen_below(size);
        if (n > text.n - at) n = text.n - at;
        char *piece = pb_alloc(n);
        memcpy(piece, text.p + at, n);
        int rc = pb_reader_feed(r, pb_str(piece, n), err);
        pb_free(piece);
        if (rc != 0) return rc;
    }
    return pb_reader_finish(r, err);
}

struct feed_case {
    pbay_codec codec;
    const char *text;
    uint32_t rows; /* that stand before the error */
    const char *msg;
};

static inline void feed_cases(const struct feed_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (int split = 0; split < 12; split++) {
            struct pbay_builder *b = pb_builder_get();
            struct pbay_reader *r = pb_reader_new(&cases[i].codec, b);
            struct pb_err err = {.code = PBAY_OK}, again;
            if (feed_split(r, pb_str_c(cases[i].text), &err) == 0) fail_msg("taken: %s", cases[i].text);
            if (strcmp(err.msg, cases[i].msg) != 0)
                fail_msg("%s\n got: %s\nwant: %s", cases[i].text, err.msg, cases[i].msg);
            assert_int_equal(err.code, PBAY_INVALID_ARGUMENT);
            assert_int_equal(pb_builder_rows(b), cases[i].rows);
            assert_non_null(pb_builder_seal(b, NULL));
            assert_int_equal(pb_reader_finish(r, &again), -1);
            assert_string_equal(again.msg, err.msg);
            pb_reader_free(r);
            pb_builder_unref(b);
        }
    }
}
